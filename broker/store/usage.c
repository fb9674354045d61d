/*
 * usage - open and held requests of each agent; and dead letters.
 */
#include "broker/store/usage.h"

#include <stdlib.h>

#include "broker/store/dead.h"
#include "broker/store/directory.h"
#include "broker/store/inside.h"

#define STATEMENTS(X)                                                                              \
    X(GET, "SELECT blobs, blob_bytes, requests_out, requests_in, request_bytes FROM usage"         \
           " WHERE agent_id = ?1")                                                                 \
    X(CHANGE, "INSERT INTO usage (agent_id, requests_out, requests_in, request_bytes)"             \
              " VALUES (?1, max(?2, 0), max(?3, 0), max(?4, 0)) ON CONFLICT (agent_id) DO UPDATE"  \
              " SET requests_out = max(requests_out + ?2, 0),"                                     \
              " requests_in = max(requests_in + ?3, 0),"                                           \
              " request_bytes = max(request_bytes + ?4, 0)")                                       \
    X(DEAD, "INSERT INTO dead (at_ms, reason, session_id, sender_id, sender_seq, recipient_id,"    \
            " position, bytes, stored_ms, expires_ms, digest, detail)"                             \
            " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)")
STATEMENT_TABLE(STATEMENTS)

struct usage {
    sqlite3_stmt *stmt[STMT_COUNT];
};

static enum err open_usage(struct store *store)
{
    store->usage = mem_zeroed(1, sizeof *store->usage);
    return stmts_prepare(store->db, stmt_sql, STMT_COUNT, store->usage->stmt);
}

static void close_usage(struct store *store)
{
    if (!store->usage)
        return;
    stmts_finalize(store->usage->stmt, STMT_COUNT);
    free(store->usage);
    store->usage = NULL;
}

const struct module module_usage = { open_usage, close_usage, NULL, NULL, NULL };

enum err store_usage_get(struct store *store, int64_t agent_id, struct usage_row *out)
{
    sqlite3_stmt *stmt = store->usage->stmt[STMT_GET];
    enum err e;

    bind_int(stmt, 1, agent_id);
    e = stmt_step(store->db, stmt);
    if (e == ERR_OK) {
        *out = (struct usage_row){ column_u64(stmt, 0), column_u64(stmt, 1), column_u64(stmt, 2),
                                   column_u64(stmt, 3), column_u64(stmt, 4) };
        stmt_end(stmt);
    } else if (e == ERR_NOT_FOUND) {
        *out = (struct usage_row){ 0 };
        e = ERR_OK;
    }
    return e;
}

static enum err change(struct store *store, int64_t agent_id, int64_t out, int64_t in,
                       int64_t bytes)
{
    sqlite3_stmt *stmt = store->usage->stmt[STMT_CHANGE];

    bind_int(stmt, 1, agent_id);
    bind_int(stmt, 2, out);
    bind_int(stmt, 3, in);
    bind_int(stmt, 4, bytes);
    return stmt_run(store->db, stmt);
}

enum err store_request_opened(struct store *store, int64_t a_id, int64_t b_id, uint64_t bytes)
{
    enum err e = change(store, a_id, 1, 0, 0);

    return e == ERR_OK ? change(store, b_id, 0, 1, (int64_t)bytes) : e;
}

enum err store_request_ended(struct store *store, int64_t a_id, int64_t b_id, uint64_t bytes)
{
    enum err e = change(store, a_id, -1, 0, 0);

    return e == ERR_OK ? change(store, b_id, 0, -1, -(int64_t)bytes) : e;
}

enum err store_dead_add(struct store *store, const struct frame_row *frame, int64_t recipient_id,
                        int reason, uint64_t now_ms, const char *detail)
{
    sqlite3_stmt *stmt = store->usage->stmt[STMT_DEAD];

    bind_u64(stmt, 1, now_ms);
    bind_int(stmt, 2, reason);
    bind_int_or_null(stmt, 3, frame->scope_id);
    /* A damaged row may name anybody. */
    bind_int_or_null(stmt, 4, store_agent(store, frame->sender_id) ? frame->sender_id : 0);
    bind_int_or_null(stmt, 5, (int64_t)frame->seq);
    bind_int_or_null(stmt, 6, recipient_id);
    bind_u64(stmt, 7, frame->position);
    bind_u64(stmt, 8, frame->len);
    bind_u64(stmt, 9, frame->stored_ms);
    bind_u64(stmt, 10, frame->expires_ms);
    bind_blob(stmt, 11, frame->digest, sizeof frame->digest);
    bind_text(stmt, 12, detail ? detail : "");
    return stmt_run(store->db, stmt);
}
