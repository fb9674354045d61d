#include "agent/store/scopes.h"

#include "agent/store/inner.h"

#define SCOPE_COLUMNS                                                                              \
    "SELECT scope_id, id, next_seq, receipted_seq, next_event, head, adopts FROM scope"
#define STATEMENTS(X)                                                                              \
    X(GET, SCOPE_COLUMNS " WHERE scope_id = ?1")                                                   \
    X(FIND, SCOPE_COLUMNS " WHERE id = ?1")                                                        \
    X(ADD, "INSERT INTO scope (id, kind) VALUES (?1, 1)")                                          \
    X(TAKE_SEQ, "UPDATE scope SET next_seq = next_seq + 1 WHERE scope_id = ?1 AND next_seq = ?2")  \
    X(RECEIPTED, "UPDATE scope SET receipted_seq = ?2 WHERE scope_id = ?1 AND receipted_seq < ?2") \
    X(ADOPT_LATER, "UPDATE scope SET adopts = 1 WHERE scope_id = ?1")                              \
    X(ADOPT, "UPDATE scope SET adopts = 0, next_seq = ?2 + 1, receipted_seq = ?2"                  \
             " WHERE scope_id = ?1")                                                               \
    X(HEAD, "UPDATE scope SET next_event = ?2, head = ?3 WHERE scope_id = ?1")                     \
    X(EVENT_ADD, "INSERT INTO event (scope_id, seq, preimage, sig, body, digest, stored)"          \
                 " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")                                           \
    X(EVENTS, "SELECT seq, preimage, sig, body, digest, stored FROM event"                         \
              " WHERE scope_id = ?1 AND seq >= ?2 ORDER BY seq LIMIT ?3")                          \
    X(STORED, "UPDATE event SET stored = 1 WHERE scope_id = ?1 AND seq < ?2 AND stored = 0")       \
    X(UNSTORED, "UPDATE event SET stored = 0 WHERE scope_id = ?1 AND seq >= ?2")                   \
    X(DROP, "DELETE FROM event WHERE scope_id = ?1 AND seq >= ?2")                                 \
    X(WAITING, "SELECT DISTINCT e.scope_id FROM event e JOIN scope s ON s.scope_id = e.scope_id"   \
               " WHERE e.stored = 0 AND e.scope_id > ?1 AND s.kind = 1"                            \
               " ORDER BY e.scope_id LIMIT ?2")                                                    \
    X(CONFIRMED, "SELECT coalesce((SELECT min(seq) FROM event WHERE scope_id = ?1 AND stored = 0),"\
                 " (SELECT next_event FROM scope WHERE scope_id = ?1), 0)")
STATEMENT_TABLE(STATEMENTS)
const struct profile_statements profile_sql_scope = { stmt_sql, STMT_COUNT };

static bool take_scope(struct agent_store *store, sqlite3_stmt *get, struct profile_scope *out)
{
    if (!in_row(store, get))
        return false;
    out->scope_id = column_int(get, 0);
    column_copy(get, 1, out->id, 16);
    out->next_seq = column_u64(get, 2);
    out->receipted_seq = column_u64(get, 3);
    out->next_event = column_u64(get, 4);
    column_copy(get, 5, out->head, 32);
    out->adopts = column_int(get, 6) != 0;
    stmt_end(get);
    return true;
}

bool profile_scope_get(struct agent_store *store, int64_t scope_id, struct profile_scope *out)
{
    sqlite3_stmt *get = in_stmt(store, IN_SCOPES, STMT_GET);

    bind_int(get, 1, scope_id);
    return take_scope(store, get, out);
}

bool profile_scope_find(struct agent_store *store, const uint8_t id[static 16],
                        struct profile_scope *out)
{
    sqlite3_stmt *find = in_stmt(store, IN_SCOPES, STMT_FIND);

    bind_blob(find, 1, id, 16);
    return take_scope(store, find, out);
}

int64_t profile_scope_add(struct agent_store *store, const uint8_t id[static 16])
{
    sqlite3_stmt *add = in_stmt(store, IN_SCOPES, STMT_ADD);

    bind_blob(add, 1, id, 16);
    in_run(store, add);
    return in_last_id(store);
}

void profile_scope_take_seq(struct agent_store *store, int64_t scope_id, uint64_t seq)
{
    sqlite3_stmt *take = in_stmt(store, IN_SCOPES, STMT_TAKE_SEQ);

    bind_int(take, 1, scope_id);
    bind_u64(take, 2, seq);
    if (!in_change(store, take))
        agent_store_fail(store, ERR_SEQ_CONFLICT);
}

void profile_scope_receipted(struct agent_store *store, int64_t scope_id, uint64_t seq)
{
    sqlite3_stmt *set = in_stmt(store, IN_SCOPES, STMT_RECEIPTED);

    bind_int(set, 1, scope_id);
    bind_u64(set, 2, seq);
    in_run(store, set);
}

void profile_scope_adopt_later(struct agent_store *store, int64_t scope_id)
{
    sqlite3_stmt *set = in_stmt(store, IN_SCOPES, STMT_ADOPT_LATER);

    bind_int(set, 1, scope_id);
    in_run(store, set);
}

void profile_scope_adopt(struct agent_store *store, int64_t scope_id, uint64_t stored)
{
    sqlite3_stmt *set = in_stmt(store, IN_SCOPES, STMT_ADOPT);

    bind_int(set, 1, scope_id);
    bind_u64(set, 2, stored);
    in_run(store, set);
}

static void set_head(struct agent_store *store, int64_t scope_id, uint64_t next_event,
                     const uint8_t head[static 32])
{
    sqlite3_stmt *set = in_stmt(store, IN_SCOPES, STMT_HEAD);

    bind_int(set, 1, scope_id);
    bind_u64(set, 2, next_event);
    bind_blob(set, 3, head, 32);
    in_run(store, set);
}

void profile_event_add(struct agent_store *store, int64_t scope_id,
                       const struct profile_event *event)
{
    sqlite3_stmt *add = in_stmt(store, IN_SCOPES, STMT_EVENT_ADD);

    bind_int(add, 1, scope_id);
    bind_u64(add, 2, event->seq);
    bind_blob(add, 3, event->preimage, EVENT_SIZE);
    bind_blob(add, 4, event->sig, 64);
    bind_bytes(add, 5, bytes_of(event->body, event->body_len));
    bind_blob(add, 6, event->digest, 32);
    bind_int(add, 7, event->stored);
    in_run(store, add);
    set_head(store, scope_id, event->seq + 1, event->digest);
}

size_t profile_events(struct agent_store *store, int64_t scope_id, uint64_t seq,
                      struct profile_event *out, size_t max)
{
    sqlite3_stmt *list = in_stmt(store, IN_SCOPES, STMT_EVENTS);
    size_t count = 0;

    bind_int(list, 1, scope_id);
    bind_u64(list, 2, seq);
    bind_int(list, 3, (int64_t)max);
    while (in_row(store, list)) {
        struct profile_event *event = &out[count++];
        struct bytes body = column_bytes(list, 3);
        event->seq = column_u64(list, 0);
        column_copy(list, 1, event->preimage, EVENT_SIZE);
        column_copy(list, 2, event->sig, 64);
        event->body_len = body.len < EVENT_BODY_MAX ? body.len : EVENT_BODY_MAX;
        if (event->body_len)
            memcpy(event->body, body.at, event->body_len);
        column_copy(list, 4, event->digest, 32);
        event->stored = column_int(list, 5) != 0;
    }
    return count;
}

void profile_events_stored(struct agent_store *store, int64_t scope_id, uint64_t seq)
{
    sqlite3_stmt *set = in_stmt(store, IN_SCOPES, STMT_STORED);

    bind_int(set, 1, scope_id);
    bind_u64(set, 2, seq);
    in_run(store, set);
}

void profile_events_unstored(struct agent_store *store, int64_t scope_id, uint64_t seq)
{
    sqlite3_stmt *set = in_stmt(store, IN_SCOPES, STMT_UNSTORED);

    bind_int(set, 1, scope_id);
    bind_u64(set, 2, seq);
    in_run(store, set);
}

void profile_events_drop(struct agent_store *store, int64_t scope_id, uint64_t seq)
{
    sqlite3_stmt *drop = in_stmt(store, IN_SCOPES, STMT_DROP);
    struct profile_event last;
    static const uint8_t none[32];

    bind_int(drop, 1, scope_id);
    bind_u64(drop, 2, seq);
    in_run(store, drop);
    if (seq > 0 && profile_events(store, scope_id, seq - 1, &last, 1) == 1)
        set_head(store, scope_id, seq, last.digest);
    else
        set_head(store, scope_id, 0, none);
}

size_t profile_events_waiting(struct agent_store *store, int64_t after, int64_t *scopes, size_t max)
{
    sqlite3_stmt *list = in_stmt(store, IN_SCOPES, STMT_WAITING);
    size_t count = 0;

    bind_int(list, 1, after);
    bind_int(list, 2, (int64_t)max);
    while (in_row(store, list))
        scopes[count++] = column_int(list, 0);
    return count;
}

uint64_t profile_events_confirmed(struct agent_store *store, int64_t scope_id)
{
    sqlite3_stmt *get = in_stmt(store, IN_SCOPES, STMT_CONFIRMED);

    bind_int(get, 1, scope_id);
    return (uint64_t)in_number(store, get, 0);
}
