/*
 * senders - how far each sender's numbering has come, per session; it survives the frames.
 *
 * A row whose sum is wrong is rebuilt from the frames that are there (digest unknown) and an audit
 * line written, before anybody sees it.
 */
#ifndef STORE_SENDERS_H
#define STORE_SENDERS_H
#include "broker/store/store.h"

struct sender_row {
    int64_t session_id, sender_id;
    uint64_t stored_seq;    /* the next frame must carry stored_seq + 1 */
    uint64_t settled_seq;   /* all up to here have left their stream */
    uint64_t waiting_bytes; /* of what is still in the stream */
    uint64_t total_bytes;   /* ever stored; of a request that is not answered: its frame's size */
    uint64_t last_ms;
    uint8_t digest[32]; /* of frame stored_seq; zeroes: not known, fits all */
};

/* ERR_NOT_FOUND. */
enum err store_sender_get(struct store *store, int64_t session_id, int64_t sender_id,
                          struct sender_row *out);

/*
 * Frame `seq` has been stored (call it beside store_frame_append()).  ERR_CONFLICT if seq is not
 * stored_seq + 1: a bug of the caller.
 */
enum err store_sender_advance(struct store *store, int64_t session_id, int64_t sender_id,
                              uint64_t seq, const uint8_t digest[static 32], uint64_t bytes,
                              uint64_t now_ms);

/*
 * After a restore: the sender's signed statement, or a re-appended ACCEPTED, says that everything
 * up to `seq` is settled.  `digest` NULL: unknown.  Never moves back.
 */
enum err store_sender_settle_to(struct store *store, int64_t session_id, int64_t sender_id,
                                uint64_t seq, const uint8_t *digest);

/* A sender's share of a stream, all its sessions with the reader together; of a channel, what it
 * has in there, tombstones left out. */
struct share {
    uint64_t frames, bytes;
};
enum err store_share(struct store *store, int64_t stream_id, int64_t sender_id, struct share *out);

#endif
