/*
 * inside - what the files of this folder share: the store's own state, and what each table's file
 *          does when the store opens, commits, rolls back and closes.  Nobody else includes it.
 */
#ifndef STORE_INSIDE_H
#define STORE_INSIDE_H
#include "broker/store/rows.h"
#include "broker/store/store.h"
#include "shared/base/crash.h"
#include "shared/base/log.h"
#include "shared/db/stmt.h"
#include "shared/trust/log_entry.h"

/* Numbers that are given out, and the ceilings below which they may be (storage 3.4). */
struct numbers {
    uint64_t position, position_limit; /* last one given */
    uint64_t serial, serial_limit;
    int64_t agent, scope, stream, invite;
};

#define NUMBERS_RESERVE 1048576
#define NUMBERS_LOW     65536
#define RESTORE_LEAP    (UINT64_C(1) << 32)
#define ROWS_MOST       65536 /* of one kind in memory, between turns */

#define COMMIT_SAMPLES 1024

struct store {
    struct store_options options; /* dir and file are owned copies */
    struct db *db;
    int dir_fd, lock_fd;
    bool in_memory;
    bool open;    /* store_open() has returned */
    bool in_turn; /* between store_begin() and its end */

    uint8_t id[16], incarnation[16];
    uint64_t incarnation_ms, boot;
    bool restored;

    struct numbers numbers, numbers_before; /* the latter: as the turn began */
    uint64_t now_ms;                        /* newest time anybody told us; for audit lines */

    /* space and log */
    bool accepting, accepting_written, ballast_there, pinned;
    sqlite3_stmt *pages[2]; /* how many, how many unused */
    int64_t recounted; /* changes of the connection when a test build last counted again */
    sqlite3_stmt **recounts; /* prepared when first needed */
    uint64_t disk_free;

    /* clock: the wall clock should say base_ms + (elapsed - base_elapsed_ms) */
    uint64_t base_ms, base_elapsed_ms;
    bool clock_sound;

    uint64_t rollbacks, commits;
    uint32_t commit_us[COMMIT_SAMPLES];
    uint64_t commit_us_max;

    uint64_t seed;  /* of the tables in memory */
    struct buf sum; /* scratch of sum_*() */

    /* one per file, in the order of modules[] */
    struct meta *meta;
    struct streams *streams;
    struct frames *frames;
    struct cursors *cursors;
    struct senders *senders;
    struct scopes *scopes;
    struct groups_table *groups;
    struct events *events;
    struct directory *directory;
    struct certificates *certificates;
    struct prekeys *prekeys;
    struct invites *invites;
    struct log_table *log;
    struct enrol_file *enrol;
    struct usage *usage;
    struct blobs_table *blobs;
    struct audit *audit;
};

/* What a file does at the store's turning points; NULL: nothing. */
struct module {
    enum err (*open)(struct store *store);
    void (*close)(struct store *store);
    enum err (*flush)(struct store *store); /* before COMMIT: what is in memory only */
    void (*committed)(struct store *store);
    void (*forget)(struct store *store); /* after ROLLBACK: what is not in the file */
};

extern const struct module module_meta, module_streams, module_frames, module_cursors,
    module_senders, module_scopes, module_groups, module_events, module_directory,
    module_certificates, module_prekeys, module_invites, module_log, module_usage, module_blobs,
    module_audit;

/* SQL that looks at counters sees them: writes what is in memory only. */
enum err store_flush(struct store *store);

/* ---- row sums (storage 6.3): SipHash over table name and columns; finds flipped bits ------------
 */

void sum_begin(struct store *store, const char *table);
void sum_int(struct store *store, int64_t v);
void sum_null(struct store *store);
void sum_int_or_null(struct store *store, int64_t v); /* 0 is NULL */
void sum_blob(struct store *store, const void *v, size_t len);
int64_t sum_end(struct store *store);

/* ---- meta ---------------------------------------------------------------------------------------
 */

enum err meta_get(struct store *store, const char *key, int64_t *out); /* ERR_NOT_FOUND */
enum err meta_get_blob(struct store *store, const char *key, uint8_t *out, size_t len);
enum err meta_put(struct store *store, const char *key, int64_t value);
enum err meta_put_blob(struct store *store, const char *key, const uint8_t *value, size_t len);
enum err meta_drop(struct store *store, const char *key);
/* Raises the ceilings where fewer than NUMBERS_LOW are left.  Inside a transaction. */
enum err meta_reserve(struct store *store);
uint64_t position_next(struct store *store);

/* ---- what one table's file does for another's
 * ---------------------------------------------------- */

struct stream_row;
struct frame_row;

enum err stream_add_mailbox(struct store *store, int64_t agent_id, int64_t *stream_id);
enum err stream_add_channel(struct store *store, int64_t group_id, int64_t *stream_id);
/* Rows have left a stream, or lost their bytes (0, 0, bytes). */
enum err stream_count(struct store *store, int64_t stream_id, uint64_t frames, uint64_t control,
                      uint64_t bytes);
/* A row stays, but counts in no quota any more. */
enum err stream_freed(struct store *store, int64_t stream_id);
/* A frame was stored at `position`; `control`: it counts in no quota. */
enum err stream_stored(struct store *store, int64_t stream_id, uint64_t position, bool control,
                       uint64_t bytes, uint64_t expires_ms);

enum err cursor_add(struct store *store, int64_t stream_id, int64_t reader_id, uint64_t position);
/* Its rows go: nothing of them is written any more. */
void cursors_forget(struct store *store, int64_t stream_id);
void stream_forget(struct store *store, int64_t stream_id);

enum err sender_add(struct store *store, int64_t session_id, int64_t sender_id);
/* Frames have left a stream, or lost their bytes (frames 0, to_seq 0). */
enum err sender_settled(struct store *store, int64_t stream_id, int64_t session_id,
                        int64_t sender_id, uint64_t to_seq, uint64_t frames, uint64_t bytes);
/* A frame has come into a stream: shares follow. */
void share_stored(struct store *store, int64_t stream_id, int64_t sender_id, uint64_t bytes);
void sender_forget_scope(struct store *store, int64_t session_id, int64_t sender_id);

/* Sums frames of a sender that wait (tombstones of a channel do not): for rebuilding its row. */
struct waiting {
    uint64_t frames, first_seq, last_seq, bytes;
};
enum err frames_waiting(struct store *store, int64_t session_id, int64_t sender_id,
                        struct waiting *out);

/* The sessions between two agents, in either direction; ids up to `max`, their number in `out`. */
enum err scope_pair(struct store *store, int64_t a_id, int64_t b_id, int64_t *ids, size_t max,
                    size_t *out);
enum err scope_event_moved(struct store *store, int64_t scope_id, uint64_t seq,
                           const uint8_t prev[static 32], const uint8_t digest[static 32]);

/* Checks that the entry extends the list, and adds its row; the file has it already. */
enum err log_insert(struct store *store, struct bytes packed, int64_t agent_id);

/* space.c */
enum err space_open(struct store *store);
void space_close(struct store *store);
void space_full(struct store *store); /* gives the ballast away */

/* recount.c */
void recount_close(struct store *store);

/* seen: what an older file in its place could not know. */
enum err seen_read(struct store *store, bool *put_back);
enum err seen_write(struct store *store);

#endif
