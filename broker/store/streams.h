/*
 * streams - stored frames in commit order.  A mailbox is a stream with one reader, a group channel
 * a stream with many; each reader has a cursor.
 *
 * Positions are given by the store from reserved ranges: ascending in commit order, never used
 * twice, not even after deleting and restarting.
 */
#ifndef STORE_STREAMS_H
#define STORE_STREAMS_H
#include "broker/store/store.h"
#include "shared/wire/lists.h" /* enum item_kind */

enum stream_kind { STREAM_MAILBOX = 1, STREAM_CHANNEL = 2 };

struct stream_row {
    int64_t stream_id;
    enum stream_kind kind;
    int64_t agent_id;        /* a mailbox's owner, or 0 */
    int64_t group_id;        /* a channel's group, or 0 */
    uint64_t frames, bytes;  /* rows, and their bytes */
    uint64_t control;        /* of the rows: not in the quota (broker-made; a channel's tombstones) */
    uint64_t last_position;  /* highest ever stored here */
    uint64_t next_expiry_ms; /* nothing expires earlier */
};

enum err store_stream_get(struct store *store, int64_t stream_id, struct stream_row *out);
/* The next channel above *stream_id that was not empty after the last turn.  ERR_NOT_FOUND. */
enum err store_channel_next(struct store *store, int64_t *stream_id);
enum err store_mailbox(struct store *store, int64_t agent_id, struct stream_row *out);

/* ---- frames -----------------------------------------------------------------------------------
 */

/* A row of `frame`.  What is 0 or NULL does not apply. */
struct frame_row {
    uint64_t position;
    int64_t stream_id;
    int64_t scope_id;
    int64_t sender_id; /* agent; a receipt's signer; 0: the broker */
    uint64_t seq;      /* 0: broker-made */
    enum item_kind kind;
    uint64_t stored_ms, expires_ms;
    uint8_t digest[32]; /* frame_digest; broker-made: SHA-256 of the bytes */
    int reason;         /* 0: it is no tombstone */
    uint64_t len;       /* of the bytes; 0 for a tombstone */
    struct bytes frame; /* borrowed; empty where only facts were asked for */
    bool damaged;       /* the row's sum is wrong: no byte of it is to be believed */
};

/*
 * Stores behind everything that is there; `position`, `len` and `damaged` are not read.  Neither
 * the sender's number (store_sender_advance) nor any quota is looked at.
 */
enum err store_frame_append(struct store *store, const struct frame_row *frame, uint64_t *position);

/* Digest of a frame that still is in its stream.  ERR_NOT_FOUND. */
enum err store_frame_digest(struct store *store, int64_t scope_id, int64_t sender_id, uint64_t seq,
                            uint8_t digest[static 32]);
/* Facts of it, without bytes.  ERR_NOT_FOUND. */
enum err store_frame_find(struct store *store, int64_t scope_id, int64_t sender_id, uint64_t seq,
                          struct frame_row *out);

/* Borrowed for the call.  False ends the walk.  It may read the store, not write. */
typedef bool store_frame_visit(void *ctx, const struct frame_row *frame);

/* Behind `after`, with bytes, sums checked, at most `max` rows.  Damaged rows come with
 * damaged = true and no bytes: hand them to the expiry with reason 6 after the walk. */
enum err store_frame_fetch(struct store *store, int64_t stream_id, uint64_t after, uint64_t max,
                           store_frame_visit *row, void *ctx);

/* Facts only, of positions in (after, upto], at most `max` rows; bytes and overflow pages are not
 * read, sums not checked. */
enum err store_frame_list(struct store *store, int64_t stream_id, uint64_t after, uint64_t upto,
                          uint64_t max, store_frame_visit *row, void *ctx);

/* Only a tombstone is left of it: bytes gone, counters follow, the number stays.  In a channel the
 * number is settled with that, and the row counts in no quota. */
enum err store_frame_tombstone(struct store *store, const struct frame_row *frame, int reason);
/* The row goes: old tombstones, control items.  settled_seq follows. */
enum err store_frame_remove(struct store *store, const struct frame_row *frame);

/* ---- settling ---------------------------------------------------------------------------------
 */

/* What an ACK takes out of a mailbox, added up while its rows are checked. */
struct settlement {
    struct settled {
        int64_t session_id, sender_id;
        uint64_t to_seq, frames, bytes;
    } * at;
    size_t count, cap;
    uint64_t rows, control, bytes;
};

void settlement_add(struct settlement *settlement, const struct frame_row *frame);
void settlement_clear(struct settlement *settlement);
void settlement_free(struct settlement *settlement);

/* Deletes a mailbox's rows up to `upto`, which `settlement` adds up; counters, shares and senders
 * follow.  ERR_STORE if the rows are not those that were added. */
enum err store_settle(struct store *store, int64_t stream_id, uint64_t upto,
                      const struct settlement *settlement);

/* ---- cursors ----------------------------------------------------------------------------------
 */

struct cursor_row {
    int64_t stream_id, reader_id;
    uint64_t position;
    uint64_t acked_ms;
};

/* ERR_NOT_FOUND: no reader of this stream.  A damaged row is position 0, with an audit line. */
enum err store_cursor_get(struct store *store, int64_t stream_id, int64_t reader_id,
                          struct cursor_row *out);
/* Never back.  `proof`: preimage and signature of the cursor receipt; empty: the old one stays. */
enum err store_cursor_move(struct store *store, int64_t stream_id, int64_t reader_id,
                           uint64_t position, uint64_t now_ms, struct bytes proof);

/* The streams a reader has, its mailbox first.  May not write. */
typedef bool store_reader_visit(void *ctx, const struct stream_row *stream,
                                const struct cursor_row *cursor);
enum err store_reader_streams(struct store *store, int64_t reader_id, store_reader_visit *row,
                              void *ctx);

/* ---- expiry -----------------------------------------------------------------------------------
 */

/* Streams in which something may be over, at most `max`. */
enum err store_expiry_due(struct store *store, uint64_t now_ms, int64_t *ids, size_t max,
                          size_t *out);
/* At the end of a walk: the earliest that was seen. */
enum err store_expiry_set(struct store *store, int64_t stream_id, uint64_t next_ms);

#endif
