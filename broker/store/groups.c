/*
 * groups - rows of groups and members, read when a group is first looked at and written with every
 *          event; and the part of a channel that everybody has read.
 */
#include "broker/store/groups.h"

#include <stdlib.h>

#include "broker/store/inside.h"
#include "broker/store/senders.h"

#define COLUMNS                                                                                    \
    "c.scope_id, c.id, s.stream_id, c.next_event, c.head, g.state, g.epoch, g.stale, g.owner_id,"  \
    " g.max_members, g.created_ms, g.closed_ms"
#define JOINED_ROWS                                                                                \
    " FROM scope c JOIN grp g ON g.group_id = c.scope_id JOIN stream s ON s.group_id = c.scope_id"
#define STATEMENTS(X)                                                                              \
    X(FIND, "SELECT " COLUMNS JOINED_ROWS " WHERE c.id = ?1")                                      \
    X(LIST, "SELECT " COLUMNS JOINED_ROWS " WHERE c.scope_id > ?1 ORDER BY c.scope_id LIMIT ?2")   \
    X(OLD, "SELECT g.group_id FROM grp g WHERE g.state = 2 AND g.closed_ms < ?1"                   \
           " AND NOT EXISTS (SELECT 1 FROM frame f WHERE f.session_id = g.group_id) LIMIT 1")      \
    X(SENDERS, "SELECT sender_id FROM sender WHERE session_id = ?1")                               \
    X(DROP_CURSORS, "DELETE FROM cursor WHERE stream_id ="                                         \
                    " (SELECT stream_id FROM stream WHERE group_id = ?1)")                         \
    X(DROP_STREAM, "DELETE FROM stream WHERE group_id = ?1")                                       \
    X(DROP_MEMBERS, "DELETE FROM member WHERE group_id = ?1")                                      \
    X(DROP_EVENTS, "DELETE FROM event WHERE scope_id = ?1")                                        \
    X(DROP_SENDERS, "DELETE FROM sender WHERE session_id = ?1")                                    \
    X(DROP, "DELETE FROM grp WHERE group_id = ?1")                                                 \
    X(DROP_SCOPE, "DELETE FROM scope WHERE scope_id = ?1")                                         \
    X(GET, "SELECT " COLUMNS JOINED_ROWS " WHERE c.scope_id = ?1")                                 \
    X(ADD_SCOPE, "INSERT INTO scope (scope_id, id, kind) VALUES (?1, ?2, 2)")                      \
    X(ADD, "INSERT INTO grp (group_id, state, epoch, stale, owner_id, max_members, created_ms)"    \
           " VALUES (?1, 1, ?2, ?3, ?4, ?5, ?6)")                                                  \
    X(SET, "UPDATE grp SET state = ?2, epoch = ?3, stale = ?4, owner_id = ?5, closed_ms = ?6"      \
           " WHERE group_id = ?1")                                                                 \
    X(JOINED, "SELECT count(*) FROM member m JOIN grp g ON g.group_id = m.group_id"                \
              " WHERE m.agent_id = ?1 AND m.state = 2 AND g.state = 1")                            \
    X(INVITED, "SELECT count(*) FROM member m JOIN grp g ON g.group_id = m.group_id"               \
               " WHERE m.agent_id = ?1 AND m.state = 1 AND m.expires_ms > ?2 AND g.state = 1")     \
    X(MEMBER, "INSERT INTO member (group_id, agent_id, role, state, since_ms, expires_ms)"         \
              " VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (group_id, agent_id) DO UPDATE"        \
              " SET role = ?3, state = ?4, since_ms = ?5, expires_ms = ?6")                        \
    X(LEAVES, "DELETE FROM member WHERE group_id = ?1 AND agent_id = ?2")                          \
    X(GROUPS, "SELECT group_id, role, state, since_ms, expires_ms FROM member"                     \
              " WHERE agent_id = ?1 AND group_id > ?2 ORDER BY group_id LIMIT ?3")                 \
    X(REMOVED, "SELECT 1 FROM event WHERE scope_id = ?1 AND seq >= ?2 AND type = ?4"               \
               " AND target_id = ?3 LIMIT 1")                                                      \
    X(TOMBSTONES, "SELECT count(*), coalesce(min(position), 0) FROM frame"                         \
                  " WHERE session_id = ?1 AND sender_id = ?2 AND reason IS NOT NULL")
STATEMENT_TABLE(STATEMENTS)

enum { JOINED = 2, INVITED = 1, CLOSED = 2 }; /* as the schema says */

struct groups_table {
    sqlite3_stmt *stmt[STMT_COUNT];
};

static enum err open_groups(struct store *store)
{
    store->groups = mem_zeroed(1, sizeof *store->groups);
    return stmts_prepare(store->db, stmt_sql, STMT_COUNT, store->groups->stmt);
}

static void close_groups(struct store *store)
{
    if (!store->groups)
        return;
    stmts_finalize(store->groups->stmt, STMT_COUNT);
    free(store->groups);
    store->groups = NULL;
}

const struct module module_groups = { open_groups, close_groups, NULL, NULL, NULL };

/* ---- groups -----------------------------------------------------------------------------------
 */

static void copy_group(sqlite3_stmt *stmt, struct group_row *out)
{
    struct group_row g = { 0 };

    g.group_id = column_int(stmt, 0);
    column_copy(stmt, 1, g.id, sizeof g.id);
    g.stream_id = column_int(stmt, 2);
    g.next_event = column_u64(stmt, 3);
    column_copy(stmt, 4, g.head, sizeof g.head);
    g.closed = column_int(stmt, 5) == CLOSED;
    g.epoch = (uint32_t)column_int(stmt, 6);
    g.stale = column_int(stmt, 7) != 0;
    g.owner_id = column_int(stmt, 8);
    g.max_members = (uint32_t)column_int(stmt, 9);
    g.created_ms = column_u64(stmt, 10);
    g.closed_ms = column_u64(stmt, 11);
    *out = g;
}

static enum err read_group(struct store *store, sqlite3_stmt *stmt, struct group_row *out)
{
    enum err e = stmt_step(store->db, stmt);

    if (e != ERR_OK)
        return e;
    copy_group(stmt, out);
    stmt_end(stmt);
    return ERR_OK;
}

enum err store_group_find(struct store *store, const uint8_t id[static 16], struct group_row *out)
{
    sqlite3_stmt *stmt = store->groups->stmt[STMT_FIND];

    bind_blob(stmt, 1, id, 16);
    return read_group(store, stmt, out);
}

enum err store_group_get(struct store *store, int64_t group_id, struct group_row *out)
{
    sqlite3_stmt *stmt = store->groups->stmt[STMT_GET];

    bind_int(stmt, 1, group_id);
    return read_group(store, stmt, out);
}

enum err store_group_list(struct store *store, int64_t after, struct group_row *out, size_t max,
                          size_t *count)
{
    sqlite3_stmt *stmt = store->groups->stmt[STMT_LIST];
    size_t n = 0;
    enum err e = ERR_NOT_FOUND;

    bind_int(stmt, 1, after);
    bind_u64(stmt, 2, max);
    while (n < max && (e = stmt_step(store->db, stmt)) == ERR_OK)
        copy_group(stmt, &out[n++]);
    if (e == ERR_OK)
        stmt_end(stmt);
    else if (e != ERR_NOT_FOUND)
        return e;
    *count = n;
    return ERR_OK;
}

enum err store_group_add(struct store *store, struct group_row *group)
{
    sqlite3_stmt *stmt = store->groups->stmt[STMT_ADD_SCOPE];
    enum err e;

    group->group_id = ++store->numbers.scope;
    group->next_event = 0;
    memset(group->head, 0, sizeof group->head);
    bind_int(stmt, 1, group->group_id);
    bind_blob(stmt, 2, group->id, sizeof group->id);
    if ((e = stmt_run(store->db, stmt)) != ERR_OK)
        return e;
    stmt = store->groups->stmt[STMT_ADD];
    bind_int(stmt, 1, group->group_id);
    bind_int(stmt, 2, group->epoch);
    bind_int(stmt, 3, group->stale);
    bind_int(stmt, 4, group->owner_id);
    bind_int(stmt, 5, group->max_members);
    bind_u64(stmt, 6, group->created_ms);
    if ((e = stmt_run(store->db, stmt)) != ERR_OK)
        return e;
    return stream_add_channel(store, group->group_id, &group->stream_id);
}

enum err store_group_set(struct store *store, const struct group_row *group)
{
    sqlite3_stmt *stmt = store->groups->stmt[STMT_SET];

    bind_int(stmt, 1, group->group_id);
    bind_int(stmt, 2, group->closed ? CLOSED : 1);
    bind_int(stmt, 3, group->epoch);
    bind_int(stmt, 4, group->stale);
    bind_int(stmt, 5, group->owner_id);
    bind_int_or_null(stmt, 6, (int64_t)group->closed_ms);
    return stmt_run_change(store->db, stmt);
}

static enum err read_count(struct store *store, sqlite3_stmt *stmt, uint64_t *out)
{
    enum err e = stmt_step(store->db, stmt);

    if (e != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_STORE : e;
    *out = column_u64(stmt, 0);
    stmt_end(stmt);
    return ERR_OK;
}

enum err store_groups_count(struct store *store, int64_t agent_id, uint64_t *joined)
{
    sqlite3_stmt *stmt = store->groups->stmt[STMT_JOINED];

    bind_int(stmt, 1, agent_id);
    return read_count(store, stmt, joined);
}

enum err store_invitations_count(struct store *store, int64_t agent_id, uint64_t now_ms,
                                 uint64_t *open)
{
    sqlite3_stmt *stmt = store->groups->stmt[STMT_INVITED];

    bind_int(stmt, 1, agent_id);
    bind_u64(stmt, 2, now_ms);
    return read_count(store, stmt, open);
}

/* ---- members -----------------------------------------------------------------------------------
 */

enum err store_member_put(struct store *store, const struct member_row *member)
{
    sqlite3_stmt *stmt = store->groups->stmt[STMT_MEMBER];

    bind_int(stmt, 1, member->group_id);
    bind_int(stmt, 2, member->agent_id);
    bind_int(stmt, 3, member->role);
    bind_int(stmt, 4, member->joined ? JOINED : INVITED);
    bind_u64(stmt, 5, member->since_ms);
    if (member->joined)
        bind_null(stmt, 6);
    else
        bind_u64(stmt, 6, member->expires_ms > INT64_MAX ? INT64_MAX : member->expires_ms);
    return stmt_run(store->db, stmt);
}

enum err store_member_remove(struct store *store, int64_t group_id, int64_t agent_id)
{
    sqlite3_stmt *stmt = store->groups->stmt[STMT_LEAVES];

    bind_int(stmt, 1, group_id);
    bind_int(stmt, 2, agent_id);
    return stmt_run(store->db, stmt);
}

enum err store_member_groups(struct store *store, int64_t agent_id, int64_t after,
                             struct member_row *out, size_t max, size_t *count)
{
    sqlite3_stmt *stmt = store->groups->stmt[STMT_GROUPS];
    size_t n = 0;
    enum err e = ERR_NOT_FOUND;

    bind_int(stmt, 1, agent_id);
    bind_int(stmt, 2, after);
    bind_u64(stmt, 3, max);
    while (n < max && (e = stmt_step(store->db, stmt)) == ERR_OK)
        out[n++] = (struct member_row){ .group_id = column_int(stmt, 0),
                                        .agent_id = agent_id,
                                        .role = (uint8_t)column_int(stmt, 1),
                                        .joined = column_int(stmt, 2) == JOINED,
                                        .since_ms = column_u64(stmt, 3),
                                        .expires_ms = column_u64(stmt, 4) };
    if (e == ERR_OK)
        stmt_end(stmt);
    else if (e != ERR_NOT_FOUND)
        return e;
    *count = n;
    return ERR_OK;
}

enum err store_group_removed(struct store *store, int64_t group_id, int64_t agent_id, uint64_t seq,
                             bool *removed)
{
    sqlite3_stmt *stmt = store->groups->stmt[STMT_REMOVED];
    enum err e;

    bind_int(stmt, 1, group_id);
    bind_u64(stmt, 2, seq > INT64_MAX ? INT64_MAX : seq);
    bind_int(stmt, 3, agent_id);
    bind_int(stmt, 4, EVENT_GROUP_REMOVED);
    e = stmt_step(store->db, stmt);
    if (e == ERR_OK)
        stmt_end(stmt);
    *removed = e == ERR_OK;
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err store_group_sender(struct store *store, int64_t group_id, int64_t agent_id)
{
    struct sender_row sender;
    enum err e = store_sender_get(store, group_id, agent_id, &sender);

    return e == ERR_NOT_FOUND ? sender_add(store, group_id, agent_id) : e;
}

/* ---- channels ----------------------------------------------------------------------------------
 */

static bool lower(void *ctx, const struct cursor_row *cursor)
{
    uint64_t *low = ctx;

    if (cursor->position < *low)
        *low = cursor->position;
    return true;
}

enum err store_channel_low(struct store *store, int64_t stream_id, uint64_t *low)
{
    *low = UINT64_MAX;
    return store_readers(store, stream_id, lower, low);
}

struct trimming {
    struct settlement settlement;
    uint64_t last;
};

static bool trim_row(void *ctx, const struct frame_row *row)
{
    struct trimming *trimming = ctx;

    trimming->last = row->position;
    settlement_add(&trimming->settlement, row);
    return true;
}

enum err store_channel_trim(struct store *store, int64_t stream_id, uint64_t upto, uint64_t max,
                            bool *more)
{
    struct trimming trimming = { 0 };
    enum err e = store_frame_list(store, stream_id, 0, upto, max, trim_row, &trimming);

    *more = trimming.settlement.rows == max;
    if (e == ERR_OK && trimming.settlement.rows)
        e = store_settle(store, stream_id, trimming.last, &trimming.settlement);
    settlement_free(&trimming.settlement);
    return e;
}

enum err store_channel_tombstones(struct store *store, int64_t stream_id, int64_t sender_id,
                                  uint64_t *count, uint64_t *oldest_position)
{
    sqlite3_stmt *stmt = store->groups->stmt[STMT_TOMBSTONES];
    struct stream_row stream;
    enum err e = store_stream_get(store, stream_id, &stream);

    if (e != ERR_OK)
        return e;
    bind_int(stmt, 1, stream.group_id);
    bind_int(stmt, 2, sender_id);
    if ((e = stmt_step(store->db, stmt)) != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_STORE : e;
    *count = column_u64(stmt, 0);
    *oldest_position = column_u64(stmt, 1);
    stmt_end(stmt);
    return ERR_OK;
}

/* ---- the end ------------------------------------------------------------------------------------
 */

/* What is kept in memory of rows that go. */
static enum err forget_rows(struct store *store, const struct group_row *group)
{
    sqlite3_stmt *stmt = store->groups->stmt[STMT_SENDERS];
    enum err e;

    bind_int(stmt, 1, group->group_id);
    while ((e = stmt_step(store->db, stmt)) == ERR_OK)
        sender_forget_scope(store, group->group_id, column_int(stmt, 0));
    if (e != ERR_NOT_FOUND)
        return e;
    cursors_forget(store, group->stream_id);
    stream_forget(store, group->stream_id);
    return ERR_OK;
}

enum err store_group_sweep(struct store *store, uint64_t before_ms, int64_t *id)
{
    static const int drops[]
        = { STMT_DROP_CURSORS, STMT_DROP_STREAM, STMT_DROP_MEMBERS, STMT_DROP_EVENTS,
            STMT_DROP_SENDERS, STMT_DROP,        STMT_DROP_SCOPE };
    sqlite3_stmt *stmt = store->groups->stmt[STMT_OLD];
    struct group_row group;
    enum err e;

    bind_u64(stmt, 1, before_ms);
    if ((e = stmt_step(store->db, stmt)) != ERR_OK)
        return e;
    *id = column_int(stmt, 0);
    stmt_end(stmt);
    if ((e = store_group_get(store, *id, &group)) != ERR_OK
        || (e = forget_rows(store, &group)) != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_STORE : e;
    for (size_t i = 0; i < sizeof drops / sizeof drops[0]; i++) {
        bind_int(store->groups->stmt[drops[i]], 1, *id);
        if ((e = stmt_run(store->db, store->groups->stmt[drops[i]])) != ERR_OK)
            return e;
    }
    return ERR_OK;
}
