/*
 * failure - why a command ends without success: the errors of the command line (docs: cli 6).
 *
 * One table maps what the core says (enum err) to code, exit, text and next command.
 *
 * Memory   none: texts are cut to what fits.
 */
#ifndef API_FAILURE_H
#define API_FAILURE_H
#include <jansson.h>

#include "shared/base/err.h"

struct failure {
    int exit; /* 0: no failure */
    char code[32];
    char message[512]; /* WHAT: WHY */
    char hint[256];    /* the next command; empty: none */
    char peer[80];     /* empty: none */
    char id[33];       /* of the message it is about; empty: none */
    const char *wire;  /* A2A_…, static; NULL: none */
    int64_t retry_ms;  /* below 0: none */
};

/* `hint` may be NULL. */
void failure_set(struct failure *out, int exit, const char *code, const char *hint,
                 const char *format, ...) __attribute__((format(printf, 5, 6)));

/* The table's row for `e`; `what` begins the message: "WHAT: text". */
void failure_of_err(struct failure *out, enum err e, const char *what);

/* What can be cured by trying again later, without anybody's doing. */
bool failure_is_temporary(enum err e);

/* Members of the `error` object, without type; a new reference. */
json_t *failure_to_json(const struct failure *failure);
/* From a peer of our own: missing members become "internal". */
void failure_from_json(struct failure *out, json_t *object);

#endif
