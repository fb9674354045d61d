/*
 * streams - the counters of each stream, in memory while they are looked at, written once a turn.
 */
#include "broker/store/streams.h"

#include <assert.h>
#include <stdlib.h>

#include "broker/store/directory.h"
#include "broker/store/inside.h"

#define STATEMENTS(X)                                                                              \
    X(GET, "SELECT kind, agent_id, group_id, frames, bytes, control, last_position,"               \
           " next_expiry_ms FROM stream WHERE stream_id = ?1")                                     \
    X(ADD, "INSERT INTO stream (stream_id, kind, agent_id) VALUES (?1, 1, ?2)")                    \
    X(ADD_CHANNEL, "INSERT INTO stream (stream_id, kind, group_id) VALUES (?1, 2, ?2)")            \
    X(PUT, "UPDATE stream SET frames = ?2, bytes = ?3, control = ?4, last_position = ?5,"          \
           " next_expiry_ms = ?6 WHERE stream_id = ?1")                                            \
    X(CHANNEL, "SELECT stream_id FROM stream WHERE kind = 2 AND frames > 0 AND stream_id > ?1"     \
               " ORDER BY stream_id LIMIT 1")                                                      \
    X(DUE, "SELECT stream_id FROM stream WHERE next_expiry_ms <= ?1 AND frames > 0 LIMIT ?2")
STATEMENT_TABLE(STATEMENTS)

struct kept {
    struct row row; /* stream_id, 0 */
    struct stream_row stream;
};

struct streams {
    sqlite3_stmt *stmt[STMT_COUNT];
    struct rows kept;
};

static enum err open_streams(struct store *store)
{
    struct streams *s = store->streams = mem_zeroed(1, sizeof *s);

    rows_init(&s->kept, sizeof(struct kept), 0);
    return stmts_prepare(store->db, stmt_sql, STMT_COUNT, s->stmt);
}

static void close_streams(struct store *store)
{
    if (!store->streams)
        return;
    stmts_finalize(store->streams->stmt, STMT_COUNT);
    rows_wipe(&store->streams->kept);
    free(store->streams);
    store->streams = NULL;
}

static enum err flush_streams(struct store *store)
{
    sqlite3_stmt *stmt = store->streams->stmt[STMT_PUT];
    struct kept *kept;

    while ((kept = rows_next_dirty(&store->streams->kept))) {
        enum err e;

        bind_int(stmt, 1, kept->stream.stream_id);
        bind_u64(stmt, 2, kept->stream.frames);
        bind_u64(stmt, 3, kept->stream.bytes);
        bind_u64(stmt, 4, kept->stream.control);
        bind_u64(stmt, 5, kept->stream.last_position);
        bind_u64(stmt, 6, kept->stream.next_expiry_ms);
        e = stmt_run_change(store->db, stmt);
        if (e != ERR_OK)
            return e == ERR_NOT_FOUND ? ERR_STORE : e;
    }
    return ERR_OK;
}

static void committed_streams(struct store *store)
{
    if (store->streams->kept.count > ROWS_MOST)
        rows_clear(&store->streams->kept);
}

static void forget_streams(struct store *store)
{
    rows_clear(&store->streams->kept);
}

const struct module module_streams
    = { open_streams, close_streams, flush_streams, committed_streams, forget_streams };

static enum err keep(struct store *store, int64_t stream_id, struct kept **out)
{
    sqlite3_stmt *stmt = store->streams->stmt[STMT_GET];
    struct stream_row *s;
    enum err e;

    *out = rows_find(&store->streams->kept, stream_id, 0);
    if (*out)
        return ERR_OK;
    bind_int(stmt, 1, stream_id);
    if ((e = stmt_step(store->db, stmt)) != ERR_OK)
        return e;
    *out = rows_add(&store->streams->kept, stream_id, 0);
    s = &(*out)->stream;
    s->stream_id = stream_id;
    s->kind = column_int(stmt, 0) == STREAM_CHANNEL ? STREAM_CHANNEL : STREAM_MAILBOX;
    s->agent_id = column_int(stmt, 1);
    s->group_id = column_int(stmt, 2);
    s->frames = column_u64(stmt, 3);
    s->bytes = column_u64(stmt, 4);
    s->control = column_u64(stmt, 5);
    s->last_position = column_u64(stmt, 6);
    s->next_expiry_ms = column_u64(stmt, 7);
    stmt_end(stmt);
    return ERR_OK;
}

enum err store_stream_get(struct store *store, int64_t stream_id, struct stream_row *out)
{
    struct kept *kept;
    enum err e = keep(store, stream_id, &kept);

    if (e == ERR_OK)
        *out = kept->stream;
    return e;
}

enum err store_mailbox(struct store *store, int64_t agent_id, struct stream_row *out)
{
    const struct agent_row *agent = store_agent(store, agent_id);

    return agent ? store_stream_get(store, agent->mailbox, out) : ERR_NOT_FOUND;
}

enum err store_channel_next(struct store *store, int64_t *stream_id)
{
    sqlite3_stmt *stmt = store->streams->stmt[STMT_CHANNEL];
    enum err e;

    bind_int(stmt, 1, *stream_id);
    if ((e = stmt_step(store->db, stmt)) == ERR_OK) {
        *stream_id = column_int(stmt, 0);
        stmt_end(stmt);
    }
    return e;
}

enum err stream_add_mailbox(struct store *store, int64_t agent_id, int64_t *stream_id)
{
    sqlite3_stmt *stmt = store->streams->stmt[STMT_ADD];

    *stream_id = ++store->numbers.stream;
    bind_int(stmt, 1, *stream_id);
    bind_int(stmt, 2, agent_id);
    return stmt_run(store->db, stmt);
}

enum err stream_add_channel(struct store *store, int64_t group_id, int64_t *stream_id)
{
    sqlite3_stmt *stmt = store->streams->stmt[STMT_ADD_CHANNEL];

    *stream_id = ++store->numbers.stream;
    bind_int(stmt, 1, *stream_id);
    bind_int(stmt, 2, group_id);
    return stmt_run(store->db, stmt);
}

enum err stream_stored(struct store *store, int64_t stream_id, uint64_t position, bool control,
                       uint64_t bytes, uint64_t expires_ms)
{
    struct kept *kept;
    enum err e = keep(store, stream_id, &kept);

    if (e != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_STORE : e;
    kept->stream.frames++;
    kept->stream.bytes += bytes;
    kept->stream.control += control;
    kept->stream.last_position = position;
    if (expires_ms < kept->stream.next_expiry_ms)
        kept->stream.next_expiry_ms = expires_ms;
    rows_touch(&store->streams->kept, kept);
    return ERR_OK;
}

/* A counter that would go below zero is a bug of ours; in the field it stops at zero. */
static void count_down(uint64_t *counter, uint64_t by)
{
    assert(*counter >= by);
    *counter -= *counter < by ? *counter : by;
}

enum err stream_count(struct store *store, int64_t stream_id, uint64_t frames, uint64_t control,
                      uint64_t bytes)
{
    struct kept *kept;
    enum err e = keep(store, stream_id, &kept);

    if (e != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_STORE : e;
    count_down(&kept->stream.frames, frames);
    count_down(&kept->stream.control, control);
    count_down(&kept->stream.bytes, bytes);
    rows_touch(&store->streams->kept, kept);
    return ERR_OK;
}

enum err stream_freed(struct store *store, int64_t stream_id)
{
    struct kept *kept;
    enum err e = keep(store, stream_id, &kept);

    if (e != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_STORE : e;
    kept->stream.control++;
    rows_touch(&store->streams->kept, kept);
    return ERR_OK;
}

enum err store_expiry_due(struct store *store, uint64_t now_ms, int64_t *ids, size_t max,
                          size_t *out)
{
    sqlite3_stmt *stmt = store->streams->stmt[STMT_DUE];
    size_t count = 0;
    enum err e = store_flush(store);

    if (e != ERR_OK)
        return e;
    bind_u64(stmt, 1, now_ms);
    bind_u64(stmt, 2, max);
    while ((e = stmt_step(store->db, stmt)) == ERR_OK && count < max)
        ids[count++] = column_int(stmt, 0);
    if (e == ERR_OK)
        stmt_end(stmt);
    else if (e != ERR_NOT_FOUND)
        return e;
    *out = count;
    return ERR_OK;
}

enum err store_expiry_set(struct store *store, int64_t stream_id, uint64_t next_ms)
{
    struct kept *kept;
    enum err e = keep(store, stream_id, &kept);

    if (e != ERR_OK)
        return e;
    kept->stream.next_expiry_ms = next_ms > INT64_MAX ? INT64_MAX : next_ms;
    rows_touch(&store->streams->kept, kept);
    return ERR_OK;
}

void stream_forget(struct store *store, int64_t stream_id)
{
    rows_remove(&store->streams->kept, stream_id, 0);
}
