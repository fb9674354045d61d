#include "shared/base/err.h"

const char *err_name(enum err e)
{
    switch (e) {
    case ERR_OK:
        return "A2A_OK";
    case ERR_DUPLICATE:
        return "A2A_DUPLICATE";
    case ERR_TOMBSTONE:
        return "A2A_TOMBSTONE";
#define ERR(name, code, retry, text)                                                               \
    case ERR_##name:                                                                               \
        return "A2A_" #name;
#include "schema/errors.def"
    }
    return "A2A_UNKNOWN"; /* a newer peer may send a number we do not have */
}

const char *err_text(enum err e)
{
    switch (e) {
    case ERR_OK:
        return "stored";
    case ERR_DUPLICATE:
        return "stored before";
    case ERR_TOMBSTONE:
        return "expired";
#define ERR(name, code, retry, text)                                                               \
    case ERR_##name:                                                                               \
        return text;
#include "schema/errors.def"
    }
    return "unknown error";
}

enum err_retry err_retry(enum err e)
{
    switch (e) {
    case ERR_OK:
    case ERR_DUPLICATE:
    case ERR_TOMBSTONE:
        return RETRY_NO;
#define ERR(name, code, retry, text)                                                               \
    case ERR_##name:                                                                               \
        return RETRY_##retry;
#include "schema/errors.def"
    }
    return RETRY_SAME;
}

bool err_on_wire(enum err e)
{
    return e < 200;
}
