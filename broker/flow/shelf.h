/*
 * shelf - rows of channels that were read lately: a channel has many readers, and each of them
 *         wants the rows that another has just had.
 *
 * Bounds   64 slices of at most 256 rows and 1 MiB (or one row), 16 MiB and a slice in all; what
 *          was longest not asked for makes room.
 * Valid    a rollback empties it; whoever changes or removes a row says so.
 */
#ifndef BROKER_SHELF_H
#define BROKER_SHELF_H
#include "broker/flow/flow_internal.h"

/* As store_frame_fetch(), of a channel.  The visitor must not come back here; the bytes that it sees
 * are those of shelf_shared(). */
enum err shelf_fetch(struct flow *flow, int64_t stream_id, uint64_t after, uint64_t max,
                     store_frame_visit *row, void *ctx);
struct shared_bytes *shelf_shared(const struct frame_row *row);
/* As store_frame_list(); reads from the store what is not here, and keeps none of that. */
enum err shelf_list(struct flow *flow, int64_t stream_id, uint64_t after, uint64_t upto,
                    uint64_t max, store_frame_visit *row, void *ctx);

/* A row of the channel was changed, or removed from its middle. */
void shelf_forget(struct flow *flow, int64_t stream_id);
/* Its rows up to `upto` are gone. */
void shelf_trimmed(struct flow *flow, int64_t stream_id, uint64_t upto);

void shelf_free(struct flow *flow);

#endif
