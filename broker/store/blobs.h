/*
 * blobs - large encrypted content in chunks of 64 KiB, and what their owners use.
 *
 * A blob that has ended (`expires_ms` has come) is nobody's any more; its chunks go in bounded
 * steps.  What it takes is charged to its owner from the announcement until the last step.
 */
#ifndef STORE_BLOBS_H
#define STORE_BLOBS_H
#include "broker/store/store.h"

#define BLOB_GETS_ENDLESS (-1)

struct blob_row {
    int64_t blob_id; /* given by the store */
    uint8_t id[16];
    int64_t owner_id;
    uint64_t bytes, chunks; /* as announced: ciphertext */
    uint64_t have;          /* chunks stored, from the front */
    uint8_t hash[32];       /* BLAKE2b-256 over all of them, as announced */
    bool checked;           /* all there, and the hash is right */
    int64_t gets_left;      /* BLOB_GETS_ENDLESS: until it expires */
    uint64_t created_ms, expires_ms;
};

/* ERR_NOT_FOUND: no such row; whether it has ended is for the caller to see. */
enum err store_blob_find(struct store *store, const uint8_t id[static 16], struct blob_row *out);
enum err store_blob_get(struct store *store, int64_t blob_id, struct blob_row *out);
/* Charges its owner.  ERR_EXISTS. */
enum err store_blob_add(struct store *store, struct blob_row *blob);
/* have, checked, gets_left and expires_ms become what `blob` says. */
enum err store_blob_set(struct store *store, const struct blob_row *blob);
/* Complete and not checked, above `after`, the first.  ERR_NOT_FOUND. */
enum err store_blob_unchecked(struct store *store, int64_t after, struct blob_row *out);
/* Ended, or its owner is revoked, the first.  ERR_NOT_FOUND. */
enum err store_blob_ended(struct store *store, uint64_t now_ms, struct blob_row *out);
/* Removes at most `max` chunks; the row and its charge go with the last one.  *more: call again. */
enum err store_blob_remove(struct store *store, const struct blob_row *blob, uint64_t max,
                           bool *more);

/* Chunk blob->have; blob->have moves on, in the row, too. */
enum err store_chunk_add(struct store *store, struct blob_row *blob, struct bytes chunk);
/* SHA-256 of a chunk as it was stored.  ERR_NOT_FOUND. */
enum err store_chunk_digest(struct store *store, int64_t blob_id, uint64_t index,
                            uint8_t digest[static 32]);
/* From `index` on, at most `max`, borrowed for the call; false ends the walk.  ERR_CORRUPT: the
 * bytes are not those that were stored. */
typedef bool store_chunk_visit(void *ctx, uint64_t index, struct bytes chunk);
enum err store_chunks(struct store *store, int64_t blob_id, uint64_t index, uint64_t max,
                      store_chunk_visit *chunk, void *ctx);

#endif
