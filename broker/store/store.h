/*
 * store - everything the broker must not forget, behind verbs.  The only SQL of the broker.
 *
 * The contract of the whole folder; a second engine would keep it, too.  This header: opening,
 * turns, facts about the file, space, clock.  Beside it, one header per kind of thing: directory,
 * prekeys, invites, log, scopes, senders, streams, dead, usage, audit.
 *
 * Owns      the state directory's broker.db, enrol.log, seen, ballast and lock.
 * Thread    the store actor's only.
 * Turn      everything that writes runs between store_begin() and store_commit(), everything else
 *           may.  Reads see the writes of their own turn.
 * Numbers   agent_id, scope_id, stream_id … are positive; 0 stands for "none".
 * Pointers  rows are copied out unless a comment says borrowed.
 * Errors    ERR_NOT_FOUND where a row may be missing; ERR_STORE, ERR_STORE_FULL, ERR_BUSY: the turn
 *           has failed, store_rollback() it.  On error outputs are left as they were.
 * Durable   after store_commit(), not before: nothing that was decided may be said earlier.
 */
#ifndef BROKER_STORE_H
#define BROKER_STORE_H
#include "shared/base/bytes.h"
#include "shared/base/err.h"

#define STORE_APPLICATION_ID 0x53504231 /* "SPB1" */

struct store;

struct store_options {
    const char *dir;  /* the state directory; NULL: all in memory, no files, no lock */
    const char *file; /* name of the database in it; NULL: broker.db */
    uint64_t now_ms;  /* both clocks at this moment */
    uint64_t elapsed_ms;
    void (*random)(void *ctx, uint8_t *out, size_t len);
    void *random_ctx;
    uint64_t max_bytes;        /* most that broker.db may be; 0: no limit */
    uint64_t disk_floor_bytes; /* free disk below it: not accepting */
    uint64_t ballast_bytes;    /* file to give away when the disk is full; 0: none */
    uint64_t wal_alarm_bytes;
};

/* 4 GiB, 256 MiB, 64 MiB, 64 MiB; no directory. */
void store_options_default(struct store_options *out);

/*
 * Makes a new, empty database in an existing directory.  ERR_EXISTS if there is one, nothing
 * touched.
 */
enum err store_init(const struct store_options *options);

/*
 * Takes the lock, opens, migrates, notices a file that was put back, replays enrol.log, reserves
 * numbers, loads the directory; afterwards the store is ready for its first turn.
 * ERR_LOCKED: another broker.  ERR_NOT_FOUND: no database (never made here).  ERR_UNSAFE,
 * ERR_FILESYSTEM, ERR_STORE_NEWER, ERR_STORE.
 */
enum err store_open(struct store **out, const struct store_options *options);

/* Truncates the log, writes `seen`, gives the lock back.  Accepts NULL; sets *store to NULL. */
void store_close(struct store **store);

/* The new bounds hold from the next turn on. */
void store_configure(struct store *store, const struct store_options *options);

/* Looks at a database without writing: schema, application id.  For `sealpostd check`. */
enum err store_check_file(const char *path);

/* ---- turns ------------------------------------------------------------------------------------
 */

/* ERR_BUSY: somebody else holds the file for writing. */
enum err store_begin(struct store *store);

/*
 * Everything of the turn becomes durable.  On error it is rolled back already.  ERR_STORE_FULL: the
 * ballast has been given away and the store no longer accepts; run the turn's ACKs again.
 */
enum err store_commit(struct store *store);

/* Nothing of the turn has happened. */
void store_rollback(struct store *store);

/* The process must end: the file failed under us. */
bool store_broken(const struct store *store);

/* Grows with every rollback: whoever keeps something in memory that belongs to the file compares.
 */
uint64_t store_rollbacks(const struct store *store);

/*
 * After the answers have been handed out: a checkpoint, if one is due.  `idle`: nothing to do for a
 * second.  *did is true if pages were copied.
 */
enum err store_maintain(struct store *store, bool idle, bool *did);

/* Debug: counters against a recount of the rows.  Logs what differs; ERR_STORE then. */
enum err store_recount(struct store *store);

/* ---- facts ------------------------------------------------------------------------------------
 */

/* 16 bytes each, borrowed for the store's life. */
const uint8_t *store_id(const struct store *store);
const uint8_t *store_incarnation(const struct store *store);
/* When a restore made this incarnation; 0: it is the first. */
uint64_t store_incarnation_ms(const struct store *store);
uint64_t store_boot(const struct store *store);
/* This opening found a file that had been put back. */
bool store_was_restored(const struct store *store);

struct store_facts {
    uint64_t pages, pages_max, pages_free, wal_pages;
    uint64_t frames, bytes; /* waiting, all streams */
    uint64_t commits;       /* since start */
    uint64_t commit_us_last;
    uint64_t commit_us_max; /* since the last store_minute() */
    uint64_t commit_us_p99; /* of the last 1,024 */
    bool accepting;
    bool pinned; /* a reader holds the log */
};
void store_facts(struct store *store, struct store_facts *out);

/* Once a minute, inside a turn: writes clock, pages, accepting for people to see. */
enum err store_minute(struct store *store, uint64_t now_ms);

/* ---- space (storage 6.4) ----------------------------------------------------------------------
 */

/* Tells the store how much disk is free (UINT64_MAX: does not matter).  Call before a turn that
 * writes much, otherwise every second; outside a turn. */
void store_space(struct store *store, uint64_t disk_free);
/* False: whatever adds is refused with ERR_DISK. */
bool store_accepting(const struct store *store);

/* ---- clock (storage 6.5) ----------------------------------------------------------------------
 */

/*
 * The broker clock: starts at the wall clock, goes on with elapsed time.  False while the wall
 * clock differs by more than an hour: nothing may expire then.
 */
bool store_clock_sound(struct store *store, uint64_t now_ms, uint64_t elapsed_ms);
/* The operator says the wall clock is right. */
void store_clock_accept(struct store *store, uint64_t now_ms, uint64_t elapsed_ms);

/* ---- for people -------------------------------------------------------------------------------
 */

/*
 * Rows of a view (v_queues, v_frames …) as text, in the view's order or, where `order_by` names a
 * column, ascending by it.  `where` is a column that must equal `value`, or NULL.  The names are
 * ours, never a peer's.  NULL in `values` is NULL.  False from `row` ends the walk.
 */
typedef bool store_view_row(void *ctx, int count, const char *const *names,
                            const char *const *values);
enum err store_view(struct store *store, const char *view, const char *where, const char *value,
                    const char *order_by, uint64_t max, store_view_row *row, void *ctx);

#endif
