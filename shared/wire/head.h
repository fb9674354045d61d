/*
 * head - the first bytes of a MessagePack value, read strictly: shared by bound and take.
 *
 * Knows bool, positive integers, str, bin, array, map in their shortest spelling; anything else,
 * and anything that does not fit into the bytes left, is ERR_SCHEMA.
 */
#ifndef WIRE_HEAD_H
#define WIRE_HEAD_H
#include "shared/base/bytes.h"
#include "shared/base/err.h"

enum head_kind { HEAD_UINT, HEAD_BOOL, HEAD_STR, HEAD_BIN, HEAD_ARRAY, HEAD_MAP };

/* `value`: the number, the truth, or the count of bytes, elements or pairs that follow. */
struct head {
    enum head_kind kind;
    uint64_t value;
};

/* Reads one head and moves *at behind it.  Lengths and counts are at most what is left up to
 * `end` (a pair needs two bytes), so that a caller may believe them. */
enum err head_read(const uint8_t **at, const uint8_t *end, struct head *out);

#endif
