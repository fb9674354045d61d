/*
 * limit - the fixed bounds of a2a/1 (schema/limits.def), and the numbers under which the broker's
 *         settings travel in HELLO.
 */
#ifndef WIRE_LIMIT_H
#define WIRE_LIMIT_H
#include <stdint.h>

/* Wider than int where needed: ISO C has no such enum, so these are macros' worth of constants. */
#define LIMIT(name, value) static const uint64_t LIMIT_##name __attribute__((unused)) = (value);
#include "schema/limits.def"

/* For array bounds. */
enum { WIRE_PARTS_MAX = 64, WIRE_ITEMS_MAX = 256, WIRE_FRAME_MAX = 65766 };

/* Numbers of the `limits` map: wire format, append only. */
enum wire_limit {
    WIRE_LIMIT_REQUEST_BYTES = 1,
    WIRE_LIMIT_REQUESTS = 2,
    WIRE_LIMIT_REQUESTS_OPEN = 3,
    WIRE_LIMIT_FRAME_LIFE = 4,
    WIRE_LIMIT_GROUP_LIFE = 5,
    WIRE_LIMIT_UNANSWERED = 6,
    WIRE_LIMIT_UNANSWERED_BYTES = 7,
    WIRE_LIMIT_RATE = 8,
    WIRE_LIMIT_BURST = 9,
    WIRE_LIMIT_PAIR_FRAMES = 10,
    WIRE_LIMIT_PAIR_BYTES = 11,
    WIRE_LIMIT_QUEUE_FRAMES = 12,
    WIRE_LIMIT_QUEUE_BYTES = 13,
    WIRE_LIMIT_CREDIT = 14,
    WIRE_LIMIT_CREDIT_BYTES = 15,
    WIRE_LIMIT_MEMBERS = 16,
    WIRE_LIMIT_BLOB = 17,
    WIRE_LIMIT_BLOB_AGENT = 18,
    WIRE_LIMIT_BLOB_LIFE = 19
};

#endif
