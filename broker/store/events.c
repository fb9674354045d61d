/*
 * events - the signed, hash-chained steps of a scope.
 */
#include <assert.h>
#include <stdlib.h>

#include "broker/store/inside.h"
#include "broker/store/scopes.h"

#define COLUMNS "seq, type, actor_id, target_id, at_ms, preimage, sig, body, digest"
#define STATEMENTS(X)                                                                              \
    X(ADD, "INSERT INTO event (scope_id, " COLUMNS ")"                                             \
           " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")                                    \
    X(GET, "SELECT " COLUMNS " FROM event WHERE scope_id = ?1 AND seq = ?2")                       \
    X(LIST, "SELECT " COLUMNS " FROM event WHERE scope_id = ?1 AND seq >= ?2"                      \
            " ORDER BY seq LIMIT ?3")
STATEMENT_TABLE(STATEMENTS)

struct events {
    sqlite3_stmt *stmt[STMT_COUNT];
};

static enum err open_events(struct store *store)
{
    store->events = mem_zeroed(1, sizeof *store->events);
    return stmts_prepare(store->db, stmt_sql, STMT_COUNT, store->events->stmt);
}

static void close_events(struct store *store)
{
    if (!store->events)
        return;
    stmts_finalize(store->events->stmt, STMT_COUNT);
    free(store->events);
    store->events = NULL;
}

const struct module module_events = { open_events, close_events, NULL, NULL, NULL };

enum err store_event_append(struct store *store, int64_t scope_id, const uint8_t prev[static 32],
                            const struct event_row *event)
{
    sqlite3_stmt *stmt = store->events->stmt[STMT_ADD];
    enum err e = scope_event_moved(store, scope_id, event->seq, prev, event->digest);

    assert(event->body_len <= sizeof event->body);
    if (e != ERR_OK)
        return e;
    bind_int(stmt, 1, scope_id);
    bind_u64(stmt, 2, event->seq);
    bind_int(stmt, 3, event->type);
    bind_int_or_null(stmt, 4, event->actor_id);
    bind_int_or_null(stmt, 5, event->target_id);
    bind_u64(stmt, 6, event->at_ms);
    bind_blob(stmt, 7, event->preimage, sizeof event->preimage);
    bind_blob(stmt, 8, event->sig, sizeof event->sig);
    bind_blob(stmt, 9, event->body, event->body_len);
    bind_blob(stmt, 10, event->digest, sizeof event->digest);
    return stmt_run(store->db, stmt);
}

static bool read_row(sqlite3_stmt *stmt, struct event_row *out)
{
    struct bytes body = column_bytes(stmt, 7);

    out->seq = column_u64(stmt, 0);
    out->type = (uint8_t)column_int(stmt, 1);
    out->actor_id = column_int(stmt, 2);
    out->target_id = column_int(stmt, 3);
    out->at_ms = column_u64(stmt, 4);
    out->body_len = body.len;
    if (body.len > sizeof out->body)
        return false;
    if (body.len)
        memcpy(out->body, body.at, body.len);
    return column_copy(stmt, 5, out->preimage, sizeof out->preimage)
           && column_copy(stmt, 6, out->sig, sizeof out->sig)
           && column_copy(stmt, 8, out->digest, sizeof out->digest);
}

enum err store_event_get(struct store *store, int64_t scope_id, uint64_t seq, struct event_row *out)
{
    sqlite3_stmt *stmt = store->events->stmt[STMT_GET];
    enum err e;

    bind_int(stmt, 1, scope_id);
    bind_u64(stmt, 2, seq);
    if ((e = stmt_step(store->db, stmt)) == ERR_OK) {
        if (!read_row(stmt, out))
            e = ERR_STORE;
        stmt_end(stmt);
    }
    return e;
}

enum err store_event_list(struct store *store, int64_t scope_id, uint64_t seq, uint64_t max,
                          store_event_visit *visit, void *ctx)
{
    sqlite3_stmt *stmt = store->events->stmt[STMT_LIST];
    struct event_row event;
    enum err e;

    bind_int(stmt, 1, scope_id);
    bind_u64(stmt, 2, seq);
    bind_u64(stmt, 3, max);
    while ((e = stmt_step(store->db, stmt)) == ERR_OK) {
        if (!read_row(stmt, &event))
            e = ERR_STORE;
        if (e != ERR_OK || !visit(ctx, &event)) {
            stmt_end(stmt);
            return e;
        }
    }
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}
