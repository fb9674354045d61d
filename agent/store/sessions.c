#include "agent/store/sessions.h"

#include <sodium.h>

#include "agent/crypto/state.h"
#include "agent/store/inner.h"

#define SESSION_COLUMNS                                                                            \
    "SELECT s.session_id, s.peer_id, c.id, s.state, s.mode, s.suite, s.opened_ms, s.due_ms,"       \
    " s.heard_ms, s.version, s.skipped, s.ratchet IS NOT NULL"                                     \
    " FROM session s JOIN scope c ON c.scope_id = s.session_id"
#define STATEMENTS(X)                                                                              \
    X(GET, SESSION_COLUMNS " WHERE s.session_id = ?1")                                             \
    X(ADD, "INSERT INTO session (session_id, peer_id, state, mode, suite, opened_ms, due_ms,"      \
           " heard_ms, version, ratchet) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")        \
    X(RATCHET, "SELECT ratchet FROM session WHERE session_id = ?1 AND ratchet IS NOT NULL")        \
    X(SAVE, "UPDATE session SET ratchet = ?3, version = version + 1, skipped = ?4"                 \
            " WHERE session_id = ?1 AND version = ?2")                                             \
    X(SKIPPED, "SELECT version, keys FROM skipped WHERE session_id = ?1")                          \
    X(SKIPPED_PUT, "INSERT INTO skipped (session_id, version, keys) VALUES (?1, ?2, ?3)"           \
                   " ON CONFLICT (session_id) DO UPDATE SET version = ?2, keys = ?3")              \
    X(SKIPPED_DROP, "DELETE FROM skipped WHERE session_id = ?1")                                   \
    X(HEARD, "UPDATE session SET heard_ms = ?2 WHERE session_id = ?1")                             \
    X(MOVE, "UPDATE session SET state = ?2, due_ms = ?3 WHERE session_id = ?1")                    \
    X(END, "UPDATE session SET state = ?2, ratchet = NULL, skipped = 0, version = version + 1"     \
           " WHERE session_id = ?1")                                                               \
    X(ACTIVE, SESSION_COLUMNS " WHERE s.peer_id = ?1 AND s.state = 3 AND s.mode = 1"               \
                              " ORDER BY c.id LIMIT 1")                                            \
    X(ASKED, SESSION_COLUMNS " WHERE s.peer_id = ?1 AND s.state = 1 AND s.mode = 1"                \
                             " ORDER BY s.session_id LIMIT 1")                                     \
    X(NEXT_LIVE, SESSION_COLUMNS " WHERE s.session_id > ?1 AND s.state <= 3"                       \
                                 " ORDER BY s.session_id LIMIT 1")                                 \
    X(NEXT, SESSION_COLUMNS " WHERE s.session_id > ?1 ORDER BY s.session_id LIMIT 1")              \
    X(NEXT_OF, SESSION_COLUMNS " WHERE s.peer_id = ?1 AND s.session_id > ?2"                       \
                               " ORDER BY s.session_id LIMIT 1")                                   \
    X(DRAINING, SESSION_COLUMNS " WHERE s.session_id > ?1 AND s.state = 7"                         \
                                " AND s.ratchet IS NOT NULL ORDER BY s.session_id LIMIT 1")        \
    X(OVERDUE, SESSION_COLUMNS " WHERE s.state <= 2 AND s.due_ms <= ?1 LIMIT 1")                   \
    X(TOTAL, "SELECT count(*) FROM session WHERE state = 3")                                       \
    X(OLD, "SELECT s.session_id FROM session s WHERE s.state >= 4 AND s.opened_ms < ?1"            \
           " AND max(s.due_ms, s.heard_ms, s.opened_ms) < ?1"                                      \
           " AND NOT EXISTS (SELECT 1 FROM inbox WHERE scope_id = s.session_id)"                   \
           " AND NOT EXISTS (SELECT 1 FROM outbox WHERE scope_id = s.session_id)"                  \
           " AND NOT EXISTS (SELECT 1 FROM dead WHERE scope_id = s.session_id)"                    \
           " AND NOT EXISTS (SELECT 1 FROM ack WHERE scope_id = s.session_id)"                     \
           " AND NOT EXISTS (SELECT 1 FROM alarm WHERE scope_id = s.session_id)"                   \
           " AND NOT EXISTS (SELECT 1 FROM event WHERE scope_id = s.session_id AND stored = 0)"    \
           " LIMIT 1")                                                                             \
    X(FORGET_EVENTS, "DELETE FROM event WHERE scope_id = ?1")                                      \
    X(FORGET_RECEIVED, "DELETE FROM received WHERE scope_id = ?1")                                 \
    X(FORGET, "DELETE FROM session WHERE session_id = ?1")                                         \
    X(FORGET_SCOPE, "DELETE FROM scope WHERE scope_id = ?1")                                       \
    X(RECEIVED, "SELECT seq, digest, missing FROM received WHERE scope_id = ?1 AND peer_id = ?2")  \
    X(RECEIVED_PUT, "INSERT INTO received (scope_id, peer_id, seq, digest, missing)"               \
                    " VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (scope_id, peer_id)"                 \
                    " DO UPDATE SET seq = ?3, digest = ?4, missing = ?5")                          \
    X(RECEIVED_REMOVE, "DELETE FROM received WHERE scope_id = ?1")
STATEMENT_TABLE(STATEMENTS)
const struct profile_statements profile_sql_session = { stmt_sql, STMT_COUNT };

static bool take_session(struct agent_store *store, sqlite3_stmt *get, struct profile_session *out)
{
    if (!in_row(store, get))
        return false;
    out->session_id = column_int(get, 0);
    out->peer_id = column_int(get, 1);
    column_copy(get, 2, out->id, 16);
    out->state = (enum session_stage)column_int(get, 3);
    out->mode = (uint8_t)column_int(get, 4);
    out->suite = (uint8_t)column_int(get, 5);
    out->opened_ms = column_u64(get, 6);
    out->due_ms = column_u64(get, 7);
    out->heard_ms = column_u64(get, 8);
    out->version = column_int(get, 9);
    out->skipped = (uint32_t)column_int(get, 10);
    out->keyed = column_int(get, 11) != 0;
    stmt_end(get);
    return true;
}

bool profile_session_get(struct agent_store *store, int64_t session_id, struct profile_session *out)
{
    sqlite3_stmt *get = in_stmt(store, IN_SESSIONS, STMT_GET);

    bind_int(get, 1, session_id);
    return take_session(store, get, out);
}

static void seal_ratchet(struct agent_store *store, struct buf *out, int64_t session_id,
                         int64_t version, const struct ratchet *ratchet)
{
    uint8_t state[RATCHET_STATE_SIZE];

    ratchet_export(ratchet, state);
    in_seal(store, out, "session.ratchet", session_id, version, bytes_of(state, sizeof state));
    sodium_memzero(state, sizeof state);
}

void profile_session_add(struct agent_store *store, const struct profile_session *session,
                         const struct ratchet *ratchet)
{
    sqlite3_stmt *add = in_stmt(store, IN_SESSIONS, STMT_ADD);
    struct buf sealed = { 0 };

    bind_int(add, 1, session->session_id);
    bind_int(add, 2, session->peer_id);
    bind_int(add, 3, session->state);
    bind_int(add, 4, session->mode);
    bind_int(add, 5, session->suite);
    bind_u64(add, 6, session->opened_ms);
    bind_u64(add, 7, session->due_ms);
    bind_u64(add, 8, session->heard_ms);
    bind_int(add, 9, session->version);
    if (ratchet) {
        seal_ratchet(store, &sealed, session->session_id, session->version, ratchet);
        bind_bytes(add, 10, buf_bytes(&sealed));
    } else {
        bind_null(add, 10);
    }
    in_run(store, add);
    buf_free(&sealed);
}

static bool load_skipped(struct agent_store *store, int64_t session_id, struct skipped *skipped)
{
    sqlite3_stmt *get = in_stmt(store, IN_SESSIONS, STMT_SKIPPED);
    struct buf plain = { 0 };
    bool good = true;

    bind_int(get, 1, session_id);
    if (!in_row(store, get))
        return agent_store_failure(store) == ERR_OK;
    good = in_unseal(store, &plain, "skipped.keys", session_id, column_int(get, 0),
                     column_bytes(get, 1));
    stmt_end(get);
    if (good && skipped_import(skipped, buf_bytes(&plain)) != ERR_OK) {
        agent_store_fail(store, ERR_CORRUPT);
        good = false;
    }
    buf_wipe(&plain);
    buf_free(&plain);
    return good;
}

bool profile_session_load(struct agent_store *store, const struct profile_session *session,
                          struct ratchet *ratchet, struct skipped *skipped)
{
    sqlite3_stmt *get = in_stmt(store, IN_SESSIONS, STMT_RATCHET);
    struct buf plain = { 0 };
    bool good;

    *skipped = (struct skipped){ 0 };
    bind_int(get, 1, session->session_id);
    if (!in_row(store, get))
        return false;
    good = in_unseal(store, &plain, "session.ratchet", session->session_id, session->version,
                     column_bytes(get, 0));
    stmt_end(get);
    if (good && ratchet_import(ratchet, buf_bytes(&plain)) != ERR_OK) {
        agent_store_fail(store, ERR_CORRUPT);
        good = false;
    }
    buf_wipe(&plain);
    buf_free(&plain);
    return good && (session->skipped == 0 || load_skipped(store, session->session_id, skipped));
}

static void save_skipped(struct agent_store *store, int64_t session_id, int64_t version,
                         const struct skipped *skipped)
{
    sqlite3_stmt *put = in_stmt(store, IN_SESSIONS, STMT_SKIPPED_PUT);
    sqlite3_stmt *drop = in_stmt(store, IN_SESSIONS, STMT_SKIPPED_DROP);
    struct buf plain = { 0 }, sealed = { 0 };

    if (skipped->count == 0) {
        bind_int(drop, 1, session_id);
        in_run(store, drop);
        return;
    }
    skipped_export(skipped, &plain);
    in_seal(store, &sealed, "skipped.keys", session_id, version, buf_bytes(&plain));
    bind_int(put, 1, session_id);
    bind_int(put, 2, version);
    bind_bytes(put, 3, buf_bytes(&sealed));
    in_run(store, put);
    buf_wipe(&plain);
    buf_free(&plain);
    buf_free(&sealed);
}

void profile_session_save(struct agent_store *store, struct profile_session *session,
                          const struct ratchet *ratchet, struct skipped *skipped)
{
    sqlite3_stmt *save = in_stmt(store, IN_SESSIONS, STMT_SAVE);
    struct buf sealed = { 0 };

    if (skipped && skipped->changed) {
        save_skipped(store, session->session_id, session->version + 1, skipped);
        session->skipped = skipped->count;
        skipped->changed = false;
    }
    seal_ratchet(store, &sealed, session->session_id, session->version + 1, ratchet);
    bind_int(save, 1, session->session_id);
    bind_int(save, 2, session->version);
    bind_bytes(save, 3, buf_bytes(&sealed));
    bind_int(save, 4, session->skipped);
    if (!in_change(store, save))
        agent_store_fail(store, ERR_STORE);
    session->version++;
    buf_free(&sealed);
}

void profile_session_heard(struct agent_store *store, int64_t session_id, uint64_t now_ms)
{
    sqlite3_stmt *heard = in_stmt(store, IN_SESSIONS, STMT_HEARD);

    bind_int(heard, 1, session_id);
    bind_u64(heard, 2, now_ms);
    in_run(store, heard);
}

void profile_session_move(struct agent_store *store, int64_t session_id, enum session_stage state,
                          uint64_t due_ms)
{
    sqlite3_stmt *move = in_stmt(store, IN_SESSIONS, STMT_MOVE);

    bind_int(move, 1, session_id);
    bind_int(move, 2, state);
    bind_u64(move, 3, due_ms);
    in_run(store, move);
}

void profile_session_end(struct agent_store *store, int64_t session_id, enum session_stage state)
{
    sqlite3_stmt *end = in_stmt(store, IN_SESSIONS, STMT_END);
    sqlite3_stmt *drop = in_stmt(store, IN_SESSIONS, STMT_SKIPPED_DROP);

    bind_int(end, 1, session_id);
    bind_int(end, 2, state);
    in_run(store, end);
    bind_int(drop, 1, session_id);
    in_run(store, drop);
    agent_store_shred(store);
}

bool profile_session_active(struct agent_store *store, int64_t peer_id, struct profile_session *out)
{
    sqlite3_stmt *get = in_stmt(store, IN_SESSIONS, STMT_ACTIVE);

    bind_int(get, 1, peer_id);
    return take_session(store, get, out);
}

bool profile_session_asked(struct agent_store *store, int64_t peer_id, struct profile_session *out)
{
    sqlite3_stmt *get = in_stmt(store, IN_SESSIONS, STMT_ASKED);

    bind_int(get, 1, peer_id);
    return take_session(store, get, out);
}

bool profile_session_next_live(struct agent_store *store, int64_t after,
                               struct profile_session *out)
{
    sqlite3_stmt *next = in_stmt(store, IN_SESSIONS, STMT_NEXT_LIVE);

    bind_int(next, 1, after);
    return take_session(store, next, out);
}

bool profile_session_next(struct agent_store *store, int64_t after, struct profile_session *out)
{
    sqlite3_stmt *next = in_stmt(store, IN_SESSIONS, STMT_NEXT);

    bind_int(next, 1, after);
    return take_session(store, next, out);
}

bool profile_session_next_of(struct agent_store *store, int64_t peer_id, int64_t after,
                             struct profile_session *out)
{
    sqlite3_stmt *next = in_stmt(store, IN_SESSIONS, STMT_NEXT_OF);

    bind_int(next, 1, peer_id);
    bind_int(next, 2, after);
    return take_session(store, next, out);
}

bool profile_session_next_draining(struct agent_store *store, int64_t after,
                                   struct profile_session *out)
{
    sqlite3_stmt *next = in_stmt(store, IN_SESSIONS, STMT_DRAINING);

    bind_int(next, 1, after);
    return take_session(store, next, out);
}

bool profile_session_overdue(struct agent_store *store, uint64_t now_ms,
                             struct profile_session *out)
{
    sqlite3_stmt *overdue = in_stmt(store, IN_SESSIONS, STMT_OVERDUE);

    bind_u64(overdue, 1, now_ms);
    return take_session(store, overdue, out);
}

uint64_t profile_sessions_count(struct agent_store *store)
{
    return (uint64_t)in_number(store, in_stmt(store, IN_SESSIONS, STMT_TOTAL), 0);
}

void profile_sessions_forget(struct agent_store *store, uint64_t before_ms)
{
    static const int steps[]
        = { STMT_FORGET_EVENTS, STMT_FORGET_RECEIVED, STMT_FORGET, STMT_FORGET_SCOPE };
    for (;;) {
        sqlite3_stmt *old = in_stmt(store, IN_SESSIONS, STMT_OLD);
        bind_u64(old, 1, before_ms);
        int64_t id = in_number(store, old, 0);
        if (id == 0)
            return;
        for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
            sqlite3_stmt *step = in_stmt(store, IN_SESSIONS, steps[i]);
            bind_int(step, 1, id);
            in_run(store, step);
        }
    }
}

void profile_received_get(struct agent_store *store, int64_t scope_id, int64_t peer_id,
                          struct profile_received *out)
{
    sqlite3_stmt *get = in_stmt(store, IN_SESSIONS, STMT_RECEIVED);

    out->seq = 0;
    memset(out->digest, 0, sizeof out->digest);
    buf_clear(&out->missing);
    bind_int(get, 1, scope_id);
    bind_int(get, 2, peer_id);
    if (!in_row(store, get))
        return;
    out->seq = column_u64(get, 0);
    column_copy(get, 1, out->digest, 32);
    buf_set(&out->missing, column_bytes(get, 2));
    stmt_end(get);
}

void profile_received_put(struct agent_store *store, int64_t scope_id, int64_t peer_id,
                          const struct profile_received *received)
{
    sqlite3_stmt *put = in_stmt(store, IN_SESSIONS, STMT_RECEIVED_PUT);

    bind_int(put, 1, scope_id);
    bind_int(put, 2, peer_id);
    bind_u64(put, 3, received->seq);
    bind_blob(put, 4, received->digest, 32);
    if (received->missing.len)
        bind_bytes(put, 5, buf_bytes(&received->missing));
    else
        bind_null(put, 5);
    in_run(store, put);
}

void profile_received_remove(struct agent_store *store, int64_t scope_id)
{
    sqlite3_stmt *gone = in_stmt(store, IN_SESSIONS, STMT_RECEIVED_REMOVE);

    bind_int(gone, 1, scope_id);
    in_run(store, gone);
}
