/*
 * pack - writes MessagePack in its shortest spelling, one call per value, into a growing buffer.
 *
 * The caller sees to it that as many values follow an array or map as it announced.
 */
#ifndef WIRE_PACK_H
#define WIRE_PACK_H
#include "shared/base/bytes.h"

void pack_array(struct buf *out, size_t count);
/* `pairs` keys with their values follow; keys ascending. */
void pack_map(struct buf *out, size_t pairs);
void pack_uint(struct buf *out, uint64_t v);
void pack_bool(struct buf *out, bool v);
void pack_str(struct buf *out, struct bytes text);
void pack_text(struct buf *out, const char *text);
void pack_bin(struct buf *out, struct bytes v);
/* A value that is packed already. */
void pack_packed(struct buf *out, struct bytes packed);

#endif
