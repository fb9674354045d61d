/*
 * pick - chooses items of a mailbox and turns them into the list and the parts of a DELIVER or of
 *        a FETCH's answer.
 *
 * Bounds   63 items with bytes, 256 items, 64 KiB of part 0, 4 MiB in all, and what the reader
 *          allows.
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
    /* asked */
    int64_t stream_id;
    uint64_t after;
    uint64_t max, max_bytes;
    bool first_may_exceed; /* max_bytes, by being alone */
    /* found */
    struct picked items[256];
    size_t count;
    bool exhausted; /* there was nothing behind them */
};

/* Bytes become parts of `out`; the items gather in flow->items. */
enum err pick_items(struct flow *flow, struct pick *pick, struct outgoing *out);

#endif
