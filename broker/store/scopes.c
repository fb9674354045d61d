/*
 * scopes - sessions: rows in memory while they are looked at, every change written at once.
 */
#include "broker/store/scopes.h"

#include <assert.h>
#include <stdlib.h>

#include "broker/store/inside.h"

#define COLUMNS                                                                                    \
    "c.scope_id, c.id, c.next_event, c.head, s.a_id, s.b_id, s.state, s.mode, s.suite,"            \
    " s.opened_ms, s.idle_ms, s.ends_ms, s.due_ms, s.ended_ms, s.reason"
#define STATEMENTS(X)                                                                              \
    X(FIND, "SELECT " COLUMNS " FROM scope c JOIN session s ON s.session_id = c.scope_id"          \
            " WHERE c.id = ?1")                                                                    \
    X(GET, "SELECT " COLUMNS " FROM scope c JOIN session s ON s.session_id = c.scope_id"           \
           " WHERE c.scope_id = ?1")                                                               \
    X(ADD_SCOPE, "INSERT INTO scope (scope_id, id, kind) VALUES (?1, ?2, 1)")                      \
    X(ADD, "INSERT INTO session (session_id, a_id, b_id, state, mode, suite, opened_ms, idle_ms,"  \
           " ends_ms, due_ms) VALUES (?1, ?2, ?3, 1, ?4, ?5, ?6, ?7, ?8, ?9)")                     \
    X(MOVE, "UPDATE session SET state = ?2, due_ms = ?3, ended_ms = ?4, reason = ?5"               \
            " WHERE session_id = ?1")                                                              \
    X(SET_DUE, "UPDATE session SET due_ms = ?2 WHERE session_id = ?1")                             \
    X(DUE, "SELECT session_id FROM session WHERE state IN (1, 2) AND due_ms <= ?1"                 \
           " ORDER BY due_ms LIMIT ?2")                                                            \
    X(OF_AGENT, "SELECT session_id FROM (SELECT session_id FROM session"                           \
                " WHERE a_id = ?1 AND session_id > ?2 UNION ALL SELECT session_id FROM session"    \
                " WHERE b_id = ?1 AND session_id > ?2) ORDER BY session_id LIMIT ?3")              \
    X(PAIR, "SELECT session_id FROM session WHERE a_id = ?1 AND b_id = ?2"                         \
            " UNION ALL SELECT session_id FROM session WHERE a_id = ?2 AND b_id = ?1 LIMIT ?3")    \
    X(PAIR_FACTS, "SELECT count(*), count(*) FILTER (WHERE state = 1 AND a_id = ?1),"              \
                  " count(*) FILTER (WHERE state = 2) FROM"                                        \
                  " (SELECT state, a_id FROM session WHERE a_id = ?1 AND b_id = ?2"                \
                  " AND state IN (1, 2) UNION ALL"                                                 \
                  " SELECT state, a_id FROM session WHERE a_id = ?2 AND b_id = ?1"                 \
                  " AND state IN (1, 2))")                                                         \
    X(SWAP, "UPDATE scope SET next_event = next_event + 1, head = ?4"                              \
            " WHERE scope_id = ?1 AND next_event = ?2 AND head = ?3")                              \
    X(OLD, "SELECT session_id FROM session s WHERE s.state > 2 AND s.ended_ms < ?1"                \
           " AND NOT EXISTS (SELECT 1 FROM frame f WHERE f.session_id = s.session_id) LIMIT 1")    \
    X(DROP_EVENTS, "DELETE FROM event WHERE scope_id = ?1")                                        \
    X(DROP_SENDERS, "DELETE FROM sender WHERE session_id = ?1")                                    \
    X(DROP, "DELETE FROM session WHERE session_id = ?1")                                           \
    X(DROP_SCOPE, "DELETE FROM scope WHERE scope_id = ?1")
STATEMENT_TABLE(STATEMENTS)

struct kept {
    struct row row; /* session_id, 0 */
    struct session_row session;
};

struct kept_id {
    struct row row; /* both halves of the id */
    struct kept *kept;
};

struct scopes {
    sqlite3_stmt *stmt[STMT_COUNT];
    struct rows kept, ids;
};

static enum err open_scopes(struct store *store)
{
    struct scopes *s = store->scopes = mem_zeroed(1, sizeof *s);

    rows_init(&s->kept, sizeof(struct kept), 0);
    rows_init(&s->ids, sizeof(struct kept_id), store->seed);
    return stmts_prepare(store->db, stmt_sql, STMT_COUNT, s->stmt);
}

static void close_scopes(struct store *store)
{
    if (!store->scopes)
        return;
    stmts_finalize(store->scopes->stmt, STMT_COUNT);
    rows_wipe(&store->scopes->kept);
    rows_wipe(&store->scopes->ids);
    free(store->scopes);
    store->scopes = NULL;
}

static void forget_scopes(struct store *store)
{
    rows_clear(&store->scopes->ids);
    rows_clear(&store->scopes->kept);
}

static void committed_scopes(struct store *store)
{
    if (store->scopes->kept.count > ROWS_MOST)
        forget_scopes(store);
}

const struct module module_scopes
    = { open_scopes, close_scopes, NULL, committed_scopes, forget_scopes };

static int64_t half(const uint8_t *id)
{
    return (int64_t)get_u64(id);
}

static struct kept *remember(struct scopes *s, const struct session_row *session)
{
    struct kept *kept = rows_add(&s->kept, session->session_id, 0);
    struct kept_id *by_id = rows_add(&s->ids, half(session->id), half(session->id + 8));

    kept->session = *session;
    by_id->kept = kept;
    return kept;
}

static enum err read_row(struct store *store, sqlite3_stmt *stmt, struct kept **out)
{
    struct session_row s = { 0 };
    enum err e = stmt_step(store->db, stmt);

    if (e != ERR_OK)
        return e;
    s.session_id = column_int(stmt, 0);
    column_copy(stmt, 1, s.id, sizeof s.id);
    s.next_event = column_u64(stmt, 2);
    column_copy(stmt, 3, s.head, sizeof s.head);
    s.a_id = column_int(stmt, 4);
    s.b_id = column_int(stmt, 5);
    s.state = (enum session_state)column_int(stmt, 6);
    s.mode = (uint8_t)column_int(stmt, 7);
    s.suite = (uint8_t)column_int(stmt, 8);
    s.opened_ms = column_u64(stmt, 9);
    s.idle_ms = column_u64(stmt, 10);
    s.ends_ms = column_u64(stmt, 11);
    s.due_ms = column_u64(stmt, 12);
    s.ended_ms = column_u64(stmt, 13);
    s.reason = column_is_null(stmt, 14) ? -1 : (int)column_int(stmt, 14);
    stmt_end(stmt);
    *out = remember(store->scopes, &s);
    return ERR_OK;
}

static enum err keep(struct store *store, int64_t session_id, struct kept **out)
{
    sqlite3_stmt *stmt = store->scopes->stmt[STMT_GET];

    *out = rows_find(&store->scopes->kept, session_id, 0);
    if (*out)
        return ERR_OK;
    bind_int(stmt, 1, session_id);
    return read_row(store, stmt, out);
}

enum err store_session_get(struct store *store, int64_t session_id, struct session_row *out)
{
    struct kept *kept;
    enum err e = keep(store, session_id, &kept);

    if (e == ERR_OK)
        *out = kept->session;
    return e;
}

enum err store_session_find(struct store *store, const uint8_t id[static 16],
                            struct session_row *out)
{
    const struct kept_id *by_id = rows_find(&store->scopes->ids, half(id), half(id + 8));
    sqlite3_stmt *stmt = store->scopes->stmt[STMT_FIND];
    struct kept *kept = by_id ? by_id->kept : NULL;
    enum err e = ERR_OK;

    if (!kept) {
        bind_blob(stmt, 1, id, 16);
        e = read_row(store, stmt, &kept);
    }
    if (e == ERR_OK)
        *out = kept->session;
    return e;
}

enum err store_session_add(struct store *store, struct session_row *session)
{
    sqlite3_stmt *stmt = store->scopes->stmt[STMT_ADD_SCOPE];
    enum err e;

    session->session_id = ++store->numbers.scope;
    session->state = SESSION_REQUESTED;
    session->next_event = 0;
    memset(session->head, 0, sizeof session->head);
    session->ended_ms = 0;
    session->reason = -1;
    bind_int(stmt, 1, session->session_id);
    bind_blob(stmt, 2, session->id, sizeof session->id);
    if ((e = stmt_run(store->db, stmt)) != ERR_OK)
        return e;
    stmt = store->scopes->stmt[STMT_ADD];
    bind_int(stmt, 1, session->session_id);
    bind_int(stmt, 2, session->a_id);
    bind_int(stmt, 3, session->b_id);
    bind_int(stmt, 4, session->mode);
    bind_int(stmt, 5, session->suite);
    bind_u64(stmt, 6, session->opened_ms);
    bind_u64(stmt, 7, session->idle_ms);
    bind_u64(stmt, 8, session->ends_ms);
    bind_u64(stmt, 9, session->due_ms);
    if ((e = stmt_run(store->db, stmt)) != ERR_OK
        || (e = sender_add(store, session->session_id, session->a_id)) != ERR_OK
        || (e = sender_add(store, session->session_id, session->b_id)) != ERR_OK)
        return e;
    remember(store->scopes, session);
    return ERR_OK;
}

enum err store_session_move(struct store *store, int64_t session_id, enum session_state state,
                            uint64_t due_ms, uint64_t ended_ms, int reason)
{
    sqlite3_stmt *stmt = store->scopes->stmt[STMT_MOVE];
    struct kept *kept;
    enum err e = keep(store, session_id, &kept);

    if (e != ERR_OK)
        return e;
    bind_int(stmt, 1, session_id);
    bind_int(stmt, 2, state);
    bind_u64(stmt, 3, due_ms);
    bind_int_or_null(stmt, 4, (int64_t)ended_ms);
    if (reason >= 0)
        bind_int(stmt, 5, reason);
    else
        bind_null(stmt, 5);
    if ((e = stmt_run_change(store->db, stmt)) != ERR_OK)
        return e;
    kept->session.state = state;
    kept->session.due_ms = due_ms;
    kept->session.ended_ms = ended_ms;
    kept->session.reason = reason;
    return ERR_OK;
}

enum err store_session_due_set(struct store *store, int64_t session_id, uint64_t due_ms)
{
    sqlite3_stmt *stmt = store->scopes->stmt[STMT_SET_DUE];
    struct kept *kept;
    enum err e = keep(store, session_id, &kept);

    if (e != ERR_OK || kept->session.due_ms == due_ms)
        return e;
    bind_int(stmt, 1, session_id);
    bind_u64(stmt, 2, due_ms);
    if ((e = stmt_run_change(store->db, stmt)) == ERR_OK)
        kept->session.due_ms = due_ms;
    return e;
}

/* First column of every row, at most `max`. */
static enum err read_ids(struct store *store, sqlite3_stmt *stmt, int64_t *ids, size_t max,
                         size_t *out)
{
    size_t count = 0;
    enum err e;

    while ((e = stmt_step(store->db, stmt)) == ERR_OK) {
        if (count == max) {
            stmt_end(stmt);
            break;
        }
        ids[count++] = column_int(stmt, 0);
    }
    if (e != ERR_OK && e != ERR_NOT_FOUND)
        return e;
    *out = count;
    return ERR_OK;
}

enum err store_session_due(struct store *store, uint64_t now_ms, int64_t *ids, size_t max,
                           size_t *out)
{
    sqlite3_stmt *stmt = store->scopes->stmt[STMT_DUE];

    bind_u64(stmt, 1, now_ms);
    bind_u64(stmt, 2, max);
    return read_ids(store, stmt, ids, max, out);
}

enum err scope_pair(struct store *store, int64_t a_id, int64_t b_id, int64_t *ids, size_t max,
                    size_t *out)
{
    sqlite3_stmt *stmt = store->scopes->stmt[STMT_PAIR];

    bind_int(stmt, 1, a_id);
    bind_int(stmt, 2, b_id);
    bind_u64(stmt, 3, max);
    return read_ids(store, stmt, ids, max, out);
}

enum err store_session_of_agent(struct store *store, int64_t agent_id, int64_t after, int64_t *ids,
                                size_t max, size_t *out)
{
    sqlite3_stmt *stmt = store->scopes->stmt[STMT_OF_AGENT];

    bind_int(stmt, 1, agent_id);
    bind_int(stmt, 2, after);
    bind_u64(stmt, 3, max);
    return read_ids(store, stmt, ids, max, out);
}

enum err store_pair_facts(struct store *store, int64_t a_id, int64_t b_id, struct pair_facts *out)
{
    sqlite3_stmt *stmt = store->scopes->stmt[STMT_PAIR_FACTS];
    enum err e;

    bind_int(stmt, 1, a_id);
    bind_int(stmt, 2, b_id);
    if ((e = stmt_step(store->db, stmt)) != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_STORE : e;
    out->alive = column_u64(stmt, 0);
    out->unanswered = column_u64(stmt, 1);
    out->active = column_u64(stmt, 2);
    stmt_end(stmt);
    return ERR_OK;
}

enum err scope_event_moved(struct store *store, int64_t scope_id, uint64_t seq,
                           const uint8_t prev[static 32], const uint8_t digest[static 32])
{
    sqlite3_stmt *stmt = store->scopes->stmt[STMT_SWAP];
    struct kept *kept;
    enum err e;

    bind_int(stmt, 1, scope_id);
    bind_u64(stmt, 2, seq);
    bind_blob(stmt, 3, prev, 32);
    bind_blob(stmt, 4, digest, 32);
    if ((e = stmt_run_change(store->db, stmt)) != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_CONFLICT : e;
    if ((kept = rows_find(&store->scopes->kept, scope_id, 0))) {
        kept->session.next_event = seq + 1;
        memcpy(kept->session.head, digest, 32);
    }
    return ERR_OK;
}

static void forget_one(struct store *store, const struct session_row *s)
{
    sender_forget_scope(store, s->session_id, s->a_id);
    sender_forget_scope(store, s->session_id, s->b_id);
    rows_remove(&store->scopes->ids, half(s->id), half(s->id + 8));
    rows_remove(&store->scopes->kept, s->session_id, 0);
}

enum err store_session_sweep(struct store *store, uint64_t before_ms, int64_t *id)
{
    static const int drops[] = { STMT_DROP_EVENTS, STMT_DROP_SENDERS, STMT_DROP, STMT_DROP_SCOPE };
    sqlite3_stmt *stmt = store->scopes->stmt[STMT_OLD];
    struct session_row session;
    size_t count = 0;
    enum err e;

    bind_u64(stmt, 1, before_ms);
    if ((e = read_ids(store, stmt, id, 1, &count)) != ERR_OK)
        return e;
    if (count == 0)
        return ERR_NOT_FOUND;
    if ((e = store_session_get(store, *id, &session)) != ERR_OK)
        return e;
    forget_one(store, &session);
    for (size_t i = 0; i < sizeof drops / sizeof drops[0]; i++) {
        bind_int(store->scopes->stmt[drops[i]], 1, *id);
        if ((e = stmt_run(store->db, store->scopes->stmt[drops[i]])) != ERR_OK)
            return e;
    }
    return ERR_OK;
}
