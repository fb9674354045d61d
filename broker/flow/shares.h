/*
 * shares - how much of a mailbox each sender uses: frames and bytes that wait, over all its
 * sessions with the reader.  Counted in the store when first needed, then kept in memory.
 *
 * What a failed turn changed is forgotten with shares_drop() and counted anew.
 */
#ifndef BROKER_SHARES_H
#define BROKER_SHARES_H
#include "broker/flow/flow.h"

struct share {
    int64_t sender_id, reader_id; /* reader_id 0: free */
    uint64_t frames, bytes;
};

struct shares {
    struct share *table; /* open addressing */
    size_t count, cap;
};

void shares_free(struct shares *shares);
void shares_drop(struct shares *shares);

/* Borrowed until the next call. */
enum err share_get(struct flow *flow, int64_t sender_id, int64_t reader_id, struct share **out);
/* Nothing to do where it is not held. */
void share_less(struct shares *shares, int64_t sender_id, int64_t reader_id, uint64_t frames,
                uint64_t bytes);

#endif
