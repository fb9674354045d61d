#include "agent/store/inbox.h"

#include "agent/store/inner.h"

#define IN_COLUMNS                                                                                 \
    "SELECT inbox_id, scope_id, peer_id, seq, digest, msg_id, thread, state, first_contact,"       \
    " bytes, stored_ms, received_ms, expires_ms, handed_ms, done_ms, tries FROM inbox"
#define NOT_LIVE                                                                                   \
    " AND NOT EXISTS (SELECT 1 FROM session s WHERE s.session_id = scope_id AND s.mode = 0"        \
    " AND s.state <= 3)"
#define STATEMENTS(X)                                                                              \
    X(ADD, "INSERT INTO inbox (inbox_id, scope_id, peer_id, seq, digest, msg_id, thread, state,"   \
           " first_contact, message, bytes, stored_ms, received_ms, expires_ms)"                   \
           " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)")                \
    X(GET, IN_COLUMNS " WHERE inbox_id = ?1")                                                      \
    X(FIND, IN_COLUMNS " WHERE msg_id = ?1 AND state > 0 ORDER BY inbox_id LIMIT 1")               \
    X(AT, IN_COLUMNS " WHERE scope_id = ?1 AND peer_id = ?2 AND seq = ?3")                         \
    X(MESSAGE, "SELECT message FROM inbox WHERE inbox_id = ?1")                                    \
    X(NEXT_OPEN, IN_COLUMNS " WHERE state IN (1, 2) AND inbox_id > ?1 ORDER BY inbox_id LIMIT 1")  \
    X(NEXT, IN_COLUMNS " WHERE state > 0 AND inbox_id > ?1 ORDER BY inbox_id LIMIT 1")             \
    X(PREVIOUS, IN_COLUMNS " WHERE state > 0 AND inbox_id < ?1 ORDER BY inbox_id DESC LIMIT 1")    \
    X(HELD, IN_COLUMNS " WHERE state = 0 AND scope_id = ?1 LIMIT 1")                               \
    X(HANDED, "UPDATE inbox SET state = 2, handed_ms = ?2, tries = tries + 1 WHERE inbox_id = ?1") \
    X(SETTLE, "UPDATE inbox SET state = ?2, done_ms = ?3 WHERE inbox_id = ?1")                     \
    X(RELEASE, "UPDATE inbox SET state = 1 WHERE inbox_id = ?1 AND state = 0")                     \
    X(REMOVE, "DELETE FROM inbox WHERE inbox_id = ?1")                                             \
    X(FORGET, "DELETE FROM inbox WHERE state >= 3 AND done_ms < ?1")                               \
    X(COUNT_OPEN, "SELECT count(*) FROM inbox WHERE state IN (1, 2)" NOT_LIVE)                     \
    X(COUNT_HELD, "SELECT count(*) FROM inbox i JOIN session s ON s.session_id = i.scope_id"       \
                  " WHERE s.state = 2 AND i.state = 0")                                            \
    X(HELD_BYTES, "SELECT coalesce(sum(i.bytes), 0) FROM inbox i JOIN session s"                   \
                  " ON s.session_id = i.scope_id WHERE s.state = 2 AND i.state = 0")               \
    X(UNREAD_OF, "SELECT count(*) FROM inbox WHERE state IN (1, 2) AND peer_id = ?1" NOT_LIVE)     \
    X(SINCE, "SELECT count(*), min(received_ms) FROM inbox WHERE scope_id = ?1"                    \
             " AND received_ms > ?2")                                                              \
    X(NEXT_ID, "SELECT msg_id FROM inbox WHERE msg_id BETWEEN ?1 AND ?2 AND state > 0"             \
               " ORDER BY msg_id LIMIT 1")                                                         \
    X(IN_THREAD, IN_COLUMNS " WHERE thread = ?1 AND inbox_id > ?2 AND state > 0"                   \
                            " ORDER BY inbox_id LIMIT 1")                                          \
    X(KNOWN_ADD, "INSERT INTO known (peer_id, msg_id, at_ms) VALUES (?1, ?2, ?3)"                  \
                 " ON CONFLICT DO NOTHING")                                                        \
    X(KNOWN_ANY, "SELECT 1 FROM known WHERE peer_id = ?1 LIMIT 1")                                 \
    X(KNOWN_FORGET, "DELETE FROM known WHERE at_ms < ?1")
STATEMENT_TABLE(STATEMENTS)
const struct profile_statements profile_sql_inbox = { stmt_sql, STMT_COUNT };

static sqlite3_stmt *of(struct agent_store *store, int n)
{
    return in_stmt(store, IN_INBOX, n);
}

static bool take_in(struct agent_store *store, sqlite3_stmt *get, struct profile_in *out)
{
    if (!in_row(store, get))
        return false;
    out->inbox_id = column_int(get, 0);
    out->scope_id = column_int(get, 1);
    out->peer_id = column_int(get, 2);
    out->seq = column_u64(get, 3);
    column_copy(get, 4, out->digest, 32);
    column_copy(get, 5, out->msg_id, 16);
    column_copy(get, 6, out->thread, 16);
    out->state = (enum in_stage)column_int(get, 7);
    out->first_contact = column_int(get, 8) != 0;
    out->bytes = column_u64(get, 9);
    out->stored_ms = column_u64(get, 10);
    out->received_ms = column_u64(get, 11);
    out->expires_ms = column_u64(get, 12);
    out->handed_ms = column_u64(get, 13);
    out->done_ms = column_u64(get, 14);
    out->tries = column_u64(get, 15);
    stmt_end(get);
    return true;
}

int64_t profile_in_add(struct agent_store *store, const struct profile_in *row,
                       struct bytes message)
{
    sqlite3_stmt *add = of(store, STMT_ADD);
    struct buf sealed = { 0 };
    int64_t id = in_next_id(store, "inbox");

    in_seal(store, &sealed, "inbox.message", id, 0, message);
    bind_int(add, 1, id);
    bind_int(add, 2, row->scope_id);
    bind_int(add, 3, row->peer_id);
    bind_u64(add, 4, row->seq);
    bind_blob(add, 5, row->digest, 32);
    bind_blob(add, 6, row->msg_id, 16);
    bind_blob(add, 7, row->thread, 16);
    bind_int(add, 8, row->state);
    bind_int(add, 9, row->first_contact);
    bind_bytes(add, 10, buf_bytes(&sealed));
    bind_u64(add, 11, row->bytes);
    bind_u64(add, 12, row->stored_ms);
    bind_u64(add, 13, row->received_ms);
    bind_u64(add, 14, row->expires_ms);
    in_run(store, add);
    buf_free(&sealed);
    return id;
}

static bool take_by_number(struct agent_store *store, int stmt, int64_t number,
                           struct profile_in *out)
{
    sqlite3_stmt *get = of(store, stmt);

    bind_int(get, 1, number);
    return take_in(store, get, out);
}

bool profile_in_get(struct agent_store *store, int64_t inbox_id, struct profile_in *out)
{
    return take_by_number(store, STMT_GET, inbox_id, out);
}

bool profile_in_find(struct agent_store *store, const uint8_t msg_id[static 16],
                     struct profile_in *out)
{
    sqlite3_stmt *find = of(store, STMT_FIND);

    bind_blob(find, 1, msg_id, 16);
    return take_in(store, find, out);
}

bool profile_in_at(struct agent_store *store, int64_t scope_id, int64_t peer_id, uint64_t seq,
                   struct profile_in *out)
{
    sqlite3_stmt *at = of(store, STMT_AT);

    bind_int(at, 1, scope_id);
    bind_int(at, 2, peer_id);
    bind_u64(at, 3, seq);
    return take_in(store, at, out);
}

bool profile_in_message(struct agent_store *store, int64_t inbox_id, struct buf *out)
{
    sqlite3_stmt *get = of(store, STMT_MESSAGE);
    bool good;

    bind_int(get, 1, inbox_id);
    if (!in_row(store, get))
        return false;
    buf_clear(out);
    good = in_unseal(store, out, "inbox.message", inbox_id, 0, column_bytes(get, 0));
    stmt_end(get);
    return good;
}

bool profile_in_next_open(struct agent_store *store, int64_t after, struct profile_in *out)
{
    return take_by_number(store, STMT_NEXT_OPEN, after, out);
}

bool profile_in_next(struct agent_store *store, int64_t after, struct profile_in *out)
{
    return take_by_number(store, STMT_NEXT, after, out);
}

bool profile_in_previous(struct agent_store *store, int64_t before, struct profile_in *out)
{
    return take_by_number(store, STMT_PREVIOUS, before, out);
}

bool profile_in_held(struct agent_store *store, int64_t scope_id, struct profile_in *out)
{
    return take_by_number(store, STMT_HELD, scope_id, out);
}

void profile_in_handed(struct agent_store *store, int64_t inbox_id, uint64_t now_ms)
{
    sqlite3_stmt *set = of(store, STMT_HANDED);

    bind_int(set, 1, inbox_id);
    bind_u64(set, 2, now_ms);
    in_run(store, set);
}

void profile_in_settle(struct agent_store *store, int64_t inbox_id, enum in_stage state,
                       uint64_t now_ms)
{
    sqlite3_stmt *set = of(store, STMT_SETTLE);

    bind_int(set, 1, inbox_id);
    bind_int(set, 2, state);
    if (state == INBOX_DONE || state == INBOX_FAILED)
        bind_u64(set, 3, now_ms);
    else
        bind_null(set, 3);
    in_run(store, set);
}

void profile_in_release(struct agent_store *store, int64_t inbox_id)
{
    sqlite3_stmt *set = of(store, STMT_RELEASE);

    bind_int(set, 1, inbox_id);
    in_run(store, set);
}

void profile_in_remove(struct agent_store *store, int64_t inbox_id)
{
    sqlite3_stmt *gone = of(store, STMT_REMOVE);

    bind_int(gone, 1, inbox_id);
    in_run(store, gone);
}

void profile_in_forget(struct agent_store *store, uint64_t before_ms)
{
    sqlite3_stmt *forget = of(store, STMT_FORGET);

    bind_u64(forget, 1, before_ms);
    in_run(store, forget);
}

uint64_t profile_in_count(struct agent_store *store, bool held)
{
    return (uint64_t)in_number(store, of(store, held ? STMT_COUNT_HELD : STMT_COUNT_OPEN), 0);
}

uint64_t profile_in_held_bytes(struct agent_store *store)
{
    return (uint64_t)in_number(store, of(store, STMT_HELD_BYTES), 0);
}

uint64_t profile_in_unread_of(struct agent_store *store, int64_t peer_id)
{
    sqlite3_stmt *count = of(store, STMT_UNREAD_OF);

    bind_int(count, 1, peer_id);
    return (uint64_t)in_number(store, count, 0);
}

uint64_t profile_in_since(struct agent_store *store, int64_t scope_id, uint64_t since_ms,
                          uint64_t *first_ms)
{
    sqlite3_stmt *since = of(store, STMT_SINCE);
    uint64_t count = 0;

    *first_ms = 0;
    bind_int(since, 1, scope_id);
    bind_u64(since, 2, since_ms);
    if (in_row(store, since)) {
        count = column_u64(since, 0);
        *first_ms = column_u64(since, 1);
        stmt_end(since);
    }
    return count;
}

bool profile_in_next_id(struct agent_store *store, const uint8_t low[static 16],
                        const uint8_t high[static 16], uint8_t id[static 16])
{
    sqlite3_stmt *next = of(store, STMT_NEXT_ID);

    bind_blob(next, 1, low, 16);
    bind_blob(next, 2, high, 16);
    if (!in_row(store, next))
        return false;
    column_copy(next, 0, id, 16);
    stmt_end(next);
    return true;
}

bool profile_in_next_in_thread(struct agent_store *store, const uint8_t thread[static 16],
                               int64_t after, struct profile_in *out)
{
    sqlite3_stmt *next = of(store, STMT_IN_THREAD);

    bind_blob(next, 1, thread, 16);
    bind_int(next, 2, after);
    return take_in(store, next, out);
}

bool profile_known_add(struct agent_store *store, int64_t peer_id, const uint8_t msg_id[static 16],
                       uint64_t now_ms)
{
    sqlite3_stmt *add = of(store, STMT_KNOWN_ADD);

    bind_int(add, 1, peer_id);
    bind_blob(add, 2, msg_id, 16);
    bind_u64(add, 3, now_ms);
    return in_change(store, add);
}

bool profile_known_any(struct agent_store *store, int64_t peer_id)
{
    sqlite3_stmt *any = of(store, STMT_KNOWN_ANY);

    bind_int(any, 1, peer_id);
    return in_number(store, any, 0) != 0;
}

void profile_known_forget(struct agent_store *store, uint64_t before_ms)
{
    sqlite3_stmt *forget = of(store, STMT_KNOWN_FORGET);

    bind_u64(forget, 1, before_ms);
    in_run(store, forget);
}
