/*
 * cursors - how far each reader has signed for a stream; kept in memory while it is looked at.
 */
#include <stdio.h>
#include <stdlib.h>

#include "broker/store/audit.h"
#include "broker/store/groups.h"
#include "broker/store/inside.h"
#include "broker/store/streams.h"

#define PROOF_MAX 212 /* preimage and signature of a receipt */

#define STATEMENTS(X)                                                                              \
    X(GET, "SELECT position, acked_ms, sum FROM cursor WHERE stream_id = ?1 AND reader_id = ?2")   \
    X(ADD, "INSERT INTO cursor (stream_id, reader_id, position, sum) VALUES (?1, ?2, ?3, ?4)")     \
    X(DROP, "DELETE FROM cursor WHERE stream_id = ?1 AND reader_id = ?2")                          \
    X(OF_STREAM, "SELECT reader_id FROM cursor WHERE stream_id = ?1")                              \
    X(PUT, "UPDATE cursor SET position = ?3, acked_ms = ?4, proof = coalesce(?5, proof),"          \
           " sum = ?6 WHERE stream_id = ?1 AND reader_id = ?2")                                    \
    X(OF_READER, "SELECT c.stream_id FROM cursor c JOIN stream s ON s.stream_id = c.stream_id"     \
                 " WHERE c.reader_id = ?1 ORDER BY s.kind, c.stream_id")
STATEMENT_TABLE(STATEMENTS)

struct kept {
    struct row row; /* stream_id, reader_id */
    struct cursor_row cursor;
    size_t proof_len; /* 0: the file's stays */
    uint8_t proof[PROOF_MAX];
};

struct cursors {
    sqlite3_stmt *stmt[STMT_COUNT];
    struct rows kept;
};

static enum err open_cursors(struct store *store)
{
    struct cursors *c = store->cursors = mem_zeroed(1, sizeof *c);

    rows_init(&c->kept, sizeof(struct kept), 0);
    return stmts_prepare(store->db, stmt_sql, STMT_COUNT, c->stmt);
}

static void close_cursors(struct store *store)
{
    if (!store->cursors)
        return;
    stmts_finalize(store->cursors->stmt, STMT_COUNT);
    rows_wipe(&store->cursors->kept);
    free(store->cursors);
    store->cursors = NULL;
}

static int64_t sum_of(struct store *store, const struct cursor_row *c)
{
    sum_begin(store, "cursor");
    sum_int(store, c->stream_id);
    sum_int(store, c->reader_id);
    sum_int(store, (int64_t)c->position);
    return sum_end(store);
}

static enum err put(struct store *store, const struct kept *kept)
{
    sqlite3_stmt *stmt = store->cursors->stmt[STMT_PUT];
    enum err e;

    bind_int(stmt, 1, kept->cursor.stream_id);
    bind_int(stmt, 2, kept->cursor.reader_id);
    bind_u64(stmt, 3, kept->cursor.position);
    bind_u64(stmt, 4, kept->cursor.acked_ms);
    if (kept->proof_len)
        bind_blob(stmt, 5, kept->proof, kept->proof_len);
    else
        bind_null(stmt, 5);
    bind_int(stmt, 6, sum_of(store, &kept->cursor));
    e = stmt_run_change(store->db, stmt);
    return e == ERR_NOT_FOUND ? ERR_STORE : e;
}

static enum err flush_cursors(struct store *store)
{
    struct kept *kept;

    while ((kept = rows_next_dirty(&store->cursors->kept))) {
        enum err e = put(store, kept);

        if (e != ERR_OK)
            return e;
        kept->proof_len = 0;
    }
    return ERR_OK;
}

static void committed_cursors(struct store *store)
{
    if (store->cursors->kept.count > ROWS_MOST)
        rows_clear(&store->cursors->kept);
}

static void forget_cursors(struct store *store)
{
    rows_clear(&store->cursors->kept);
}

const struct module module_cursors
    = { open_cursors, close_cursors, flush_cursors, committed_cursors, forget_cursors };

/* A cursor that cannot be believed stands at the beginning: mail comes again, none is hidden. */
static enum err mend(struct store *store, const struct kept *kept)
{
    char about[64];
    enum err e;

    snprintf(about, sizeof about, "stream %lld, reader %lld", (long long)kept->cursor.stream_id,
             (long long)kept->cursor.reader_id);
    log_event(LOG_ERROR, "cursor_damaged", "stream=%lld reader=%lld",
              (long long)kept->cursor.stream_id, (long long)kept->cursor.reader_id);
    if ((e = put(store, kept)) != ERR_OK)
        return e;
    return store_audit(store, store->now_ms, "broker", "cursor.damaged", about,
                       "back to the beginning");
}

static enum err keep(struct store *store, int64_t stream_id, int64_t reader_id, struct kept **out)
{
    sqlite3_stmt *stmt = store->cursors->stmt[STMT_GET];
    struct kept read = { .cursor = { .stream_id = stream_id, .reader_id = reader_id } };
    bool sound;
    enum err e;

    *out = rows_find(&store->cursors->kept, stream_id, reader_id);
    if (*out)
        return ERR_OK;
    bind_int(stmt, 1, stream_id);
    bind_int(stmt, 2, reader_id);
    if ((e = stmt_step(store->db, stmt)) != ERR_OK)
        return e;
    read.cursor.position = column_u64(stmt, 0);
    read.cursor.acked_ms = column_u64(stmt, 1);
    sound = sum_of(store, &read.cursor) == column_int(stmt, 2);
    stmt_end(stmt);
    if (!sound) {
        read.cursor.position = 0;
        if ((e = mend(store, &read)) != ERR_OK)
            return e;
    }
    *out = rows_add(&store->cursors->kept, stream_id, reader_id);
    (*out)->cursor = read.cursor;
    return ERR_OK;
}

enum err store_cursor_get(struct store *store, int64_t stream_id, int64_t reader_id,
                          struct cursor_row *out)
{
    struct kept *kept;
    enum err e = keep(store, stream_id, reader_id, &kept);

    if (e == ERR_OK)
        *out = kept->cursor;
    return e;
}

enum err cursor_add(struct store *store, int64_t stream_id, int64_t reader_id, uint64_t position)
{
    sqlite3_stmt *stmt = store->cursors->stmt[STMT_ADD];
    struct cursor_row c = { .stream_id = stream_id, .reader_id = reader_id, .position = position };

    bind_int(stmt, 1, stream_id);
    bind_int(stmt, 2, reader_id);
    bind_u64(stmt, 3, position);
    bind_int(stmt, 4, sum_of(store, &c));
    return stmt_run(store->db, stmt);
}

enum err store_cursor_move(struct store *store, int64_t stream_id, int64_t reader_id,
                           uint64_t position, uint64_t now_ms, struct bytes proof)
{
    struct kept *kept;
    enum err e = keep(store, stream_id, reader_id, &kept);

    if (e != ERR_OK || position <= kept->cursor.position)
        return e;
    kept->cursor.position = position;
    kept->cursor.acked_ms = now_ms;
    if (proof.len && proof.len <= PROOF_MAX) {
        memcpy(kept->proof, proof.at, proof.len);
        kept->proof_len = proof.len;
    }
    rows_touch(&store->cursors->kept, kept);
    CRASH_POINT("ack.cursor");
    return ERR_OK;
}

enum err store_reader_streams(struct store *store, int64_t reader_id, store_reader_visit *visit,
                              void *ctx)
{
    sqlite3_stmt *stmt = store->cursors->stmt[STMT_OF_READER];
    enum err e;

    bind_int(stmt, 1, reader_id);
    while ((e = stmt_step(store->db, stmt)) == ERR_OK) {
        struct stream_row stream;
        struct kept *kept;
        int64_t stream_id = column_int(stmt, 0);

        if ((e = store_stream_get(store, stream_id, &stream)) != ERR_OK
            || (e = keep(store, stream_id, reader_id, &kept)) != ERR_OK
            || !visit(ctx, &stream, &kept->cursor)) {
            stmt_end(stmt);
            return e;
        }
    }
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

/* ---- a channel's -------------------------------------------------------------------------------
 */

enum err store_reader_add(struct store *store, int64_t stream_id, int64_t agent_id,
                          uint64_t position, uint64_t now_ms)
{
    struct kept *kept;
    enum err e = keep(store, stream_id, agent_id, &kept);

    (void)now_ms; /* acked_ms says when it acknowledged something: not yet */
    if (e == ERR_OK)
        return ERR_EXISTS;
    return e == ERR_NOT_FOUND ? cursor_add(store, stream_id, agent_id, position) : e;
}

enum err store_reader_remove(struct store *store, int64_t stream_id, int64_t agent_id)
{
    sqlite3_stmt *stmt = store->cursors->stmt[STMT_DROP];

    rows_remove(&store->cursors->kept, stream_id, agent_id);
    bind_int(stmt, 1, stream_id);
    bind_int(stmt, 2, agent_id);
    return stmt_run(store->db, stmt);
}

enum err store_readers(struct store *store, int64_t stream_id, store_reader_of_visit *visit,
                       void *ctx)
{
    sqlite3_stmt *stmt = store->cursors->stmt[STMT_OF_STREAM];
    enum err e;

    bind_int(stmt, 1, stream_id);
    while ((e = stmt_step(store->db, stmt)) == ERR_OK) {
        struct kept *kept;

        e = keep(store, stream_id, column_int(stmt, 0), &kept);
        if (e != ERR_OK || !visit(ctx, &kept->cursor)) {
            stmt_end(stmt);
            return e;
        }
    }
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

void cursors_forget(struct store *store, int64_t stream_id)
{
    sqlite3_stmt *stmt = store->cursors->stmt[STMT_OF_STREAM];

    bind_int(stmt, 1, stream_id);
    while (stmt_step(store->db, stmt) == ERR_OK)
        rows_remove(&store->cursors->kept, stream_id, column_int(stmt, 0));
}
