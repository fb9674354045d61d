/*
 * pick - chooses items of a stream and turns them into the list and the parts of a DELIVER or of a
 *        FETCH's answer.
 *
 * Bounds   63 items with bytes, 256 items, 64 KiB of part 0, 4 MiB in all, and what the reader
 *          allows.
 * Order    pick_stream(), then after, max, max_bytes, first_may_exceed, then pick_items().
 * Writes   a certificate that must be renewed for a request's credential; a damaged row becomes a
 *          tombstone.  So it runs inside a turn.
 */
#ifndef BROKER_PICK_H
#define BROKER_PICK_H
#include "broker/flow/flow_internal.h"

struct picked {
    uint64_t position, bytes;
};

struct pick {
    /* asked: pick_stream() */
    int64_t stream_id;
    const uint8_t *stream; /* 16 bytes: its name on the wire */
    int64_t own_id;        /* the reader, whose own frames in a channel come without bytes */
    bool is_channel;
    /* asked */
    uint64_t after;
    uint64_t max, max_bytes;
    bool first_may_exceed; /* max_bytes, by being alone */
    /* found */
    struct picked items[256];
    size_t count;
    bool exhausted; /* there was nothing behind them */
};

/* Which stream, read by whom.  ERR_NOT_MEMBER: not by this one (any more). */
enum err pick_stream(struct flow *flow, int64_t reader_id, const struct reading *reading,
                     struct pick *pick);

/* Bytes become parts of `out`; the items gather in flow->items. */
enum err pick_items(struct flow *flow, struct pick *pick, struct outgoing *out);

#endif
