/*
 * err - every failure has one number, one name, one text and one way to go on.
 *
 * The list is schema/errors.def.  A number below 200 is the number on the wire.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H
#include <stdbool.h>

enum err {
    ERR_OK = 0,
    ERR_DUPLICATE = 1, /* statuses of SEND: success, too */
    ERR_TOMBSTONE = 2,
#define ERR(name, code, retry, text) ERR_##name = (code),
#include "schema/errors.def"
};

enum err_retry { RETRY_NO, RETRY_SAME, RETRY_FIX, RETRY_ASK, RETRY_STOP };

/* "A2A_SEQ_GAP"; for a number that only a newer peer knows "A2A_UNKNOWN".  Never NULL. */
const char *err_name(enum err e);

/* The table's text; for an unknown number "unknown error".  Never NULL. */
const char *err_text(enum err e);

enum err_retry err_retry(enum err e);

/* True for a number that may stand in an ERROR or in a status. */
bool err_on_wire(enum err e);

#endif
