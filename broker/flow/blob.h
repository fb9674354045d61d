/*
 * blob - large content: hashed while it comes, removed when its time is over.
 *
 * Hashes run along in memory, in order of the chunks.  After a start or a rollback they begin anew
 * from the stored chunks, in slices, when the blob is all there.
 */
#ifndef BROKER_BLOB_H
#define BROKER_BLOB_H
#include "broker/flow/flow_internal.h"
#include "broker/store/blobs.h"

#define BLOB_COMPLETE 1 /* of `flags` */

/* The chunk behind the last one of `blob` is about to be stored. */
void blob_hash_feed(struct flow *flow, const struct blob_row *blob, struct bytes chunk);
/* It is all there: checked, or bad, if the hash is at its end; else slices will get there. */
enum err blob_hash_look(struct flow *flow, struct blob_row *blob);

/* One bounded step of hashing or of removing, inside a turn. */
enum err blobs_step(struct flow *flow);
/* Elapsed: when there is something to do. */
uint64_t blobs_due_ms(const struct flow *flow);
void blobs_sweep_soon(struct flow *flow);
void blobs_free(struct flow *flow);

#endif
