/*
 * client - how a command gets its work done: it becomes the owner of the profile, or speaks to the
 *          process that is, and finds the next one when that ends.  Either way looks the same.
 *
 * Thread   the program's.
 */
#ifndef API_CLIENT_H
#define API_CLIENT_H
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/api/failure.h"
#include "agent/api/profile.h"
#include "shared/base/bytes.h"

struct client;

/* Borrows `profile`, which must stay open; `command` is noted for others: verb and flags, never
 * values.  `stays`: serves other commands while it owns. */
struct client *client_new(struct profile *profile, const char *command, bool stays);
/* Hands the profile over; accepts NULL. */
void client_free(struct client **client);

struct client_call {
    const char *verb;
    json_t *params;      /* borrowed; gets what a hand-over must know */
    uint64_t timeout_ms; /* UINT64_MAX: the verb's own */
    bool offline;
    bool no_wait; /* completion: nobody answers at once, nothing is done */
    bool orderly; /* a signal is the wanted end: exit 0 */
    bool streams; /* items and notes are printed as they come, not at the end */

    void *ctx;
    /* Prints and flushes.  False: nobody reads any more.  Borrows the object. */
    bool (*item)(void *ctx, json_t *object);
    void (*note)(void *ctx, const char *text);
    void (*detail)(void *ctx, const char *text); /* at once; others wait for the end */
    /* Asks for the passphrase of a protected profile, which nobody owns while we ask; into a buffer
     * of passphrase_begin().  False: `failure`.  NULL: there is nobody to ask. */
    bool (*passphrase)(void *ctx, struct buf *out, struct failure *failure);

    /* Of a call that listens while it runs; NULL: it does not. */
    int (*input_fd)(void *ctx); /* where the next words come from; -1: none are wanted now */
    /* Reads what there is and appends what the call shall hear. */
    void (*input)(void *ctx, json_t *said);
    /* What the call shall hear of a signal, a new reference; NULL: it ends the call. */
    json_t *(*on_signal)(void *ctx, int number);
};

/*
 * Makes a call and gives its exit code; if it comes from an error, `failure` is it (else its exit
 * is 0).  A closed output is failure `output_closed`.  Signals: see client_signals().
 */
int client_run(struct client *client, const struct client_call *call, struct failure *failure);

/* SIGINT and SIGTERM end a call in order (the second one ends the process); with `reload` SIGHUP is
 * passed on to the owner. */
void client_signals(bool reload);

#endif
