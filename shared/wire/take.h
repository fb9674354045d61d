/*
 * take - reads MessagePack value by value, strictly, without allocating.
 *
 * The first failure sticks: every later call gives zero, an empty view or NULL, and take_end()
 * tells what it was.  So a decoder reads straight through and asks once.
 *
 *     struct take take = take_of(packed);
 *     if (take_array(&take) != 2)
 *         take_fail(&take, ERR_SCHEMA);
 *     serial = take_uint(&take, UINT64_MAX);
 *     aid = take_fixed(&take, 32);
 *     return take_end(&take);
 *
 * Memory   views are borrowed from the bytes read.  Never reads past their end, whatever they are;
 *          but only bytes that passed bound_check() are known to be canonical.
 * Errors   ERR_SCHEMA.
 */
#ifndef WIRE_TAKE_H
#define WIRE_TAKE_H
#include "shared/base/bytes.h"
#include "shared/base/err.h"

struct take {
    const uint8_t *at, *end;
    enum err err;
};

enum take_kind { TAKE_UINT, TAKE_BOOL, TAKE_STR, TAKE_BIN, TAKE_ARRAY, TAKE_MAP, TAKE_NOTHING };

static inline struct take take_of(struct bytes packed)
{
    return (struct take){ packed.at, packed.len ? packed.at + packed.len : packed.at, ERR_OK };
}

/* How many elements follow; never more than bytes are left. */
size_t take_array(struct take *take);
/* As take_array(), and any other number than `count` is ERR_SCHEMA. */
void take_array_of(struct take *take, size_t count);
/* How many pairs follow; never more than half of the bytes left. */
size_t take_map(struct take *take);

uint64_t take_uint(struct take *take, uint64_t max);
bool take_bool(struct take *take);
/* At most `max` bytes. */
struct bytes take_str(struct take *take, size_t max);
struct bytes take_bin(struct take *take, size_t max);

/* A bin of exactly `len` bytes: borrowed, NULL after a failure; or copied, zeroes after a failure.
 */
const uint8_t *take_fixed(struct take *take, size_t len);
void take_copy(struct take *take, uint8_t *out, size_t len);

/* The next value, whole, as it is packed; for signed things inside others and to skip. */
struct bytes take_value(struct take *take);
void take_skip(struct take *take);

/* What comes next, without taking it; TAKE_NOTHING at the end or after a failure. */
enum take_kind take_peek(const struct take *take);

/* Sets the failure, unless there is one. */
void take_fail(struct take *take, enum err e);

/* ERR_OK if nothing failed and nothing is left. */
enum err take_end(const struct take *take);

#endif
