#include "agent/store/acks.h"

#include "agent/store/inner.h"

#define ACK_COLUMNS "SELECT position, scope_id, peer_id, seq, digest, status FROM ack"
#define STATEMENTS(X)                                                                              \
    X(ADD, "INSERT INTO ack (position, scope_id, peer_id, seq, digest, status)"                    \
           " VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (position) DO UPDATE"                     \
           " SET scope_id = ?2, peer_id = ?3, seq = ?4, digest = ?5, status = ?6")                 \
    X(GET, ACK_COLUMNS " WHERE position = ?1")                                                     \
    X(POSITION, "SELECT position FROM ack WHERE scope_id = ?1 AND peer_id = ?2 AND seq = ?3")      \
    X(LIST, ACK_COLUMNS " WHERE position > ?1 AND position <= ?2 ORDER BY position LIMIT ?3")      \
    X(REMOVE, "DELETE FROM ack WHERE position BETWEEN ?1 AND ?2")                                  \
    X(LAST, "SELECT max(position) FROM ack")                                                       \
    X(KNOWN, "SELECT 1 FROM cursor WHERE stream = 0")                                              \
    X(CURSOR, "SELECT position FROM cursor WHERE stream = 0")                                      \
    X(CURSOR_SET, "INSERT INTO cursor (stream, position) VALUES (0, ?1)"                           \
                  " ON CONFLICT (stream) DO UPDATE SET position = ?1")                             \
    X(CURSOR_CLEAR, "DELETE FROM cursor")                                                          \
    X(CHANNEL, "SELECT position, epoch FROM cursor WHERE stream = ?1")                             \
    X(CHANNEL_PUT, "INSERT INTO cursor (stream, position, epoch) VALUES (?1, ?2, ?3)"              \
                   " ON CONFLICT (stream) DO UPDATE SET position = ?2, epoch = ?3")                \
    X(CHANNEL_REMOVE, "DELETE FROM cursor WHERE stream = ?1")
STATEMENT_TABLE(STATEMENTS)
const struct profile_statements profile_sql_ack = { stmt_sql, STMT_COUNT };

static void take_row(sqlite3_stmt *get, struct profile_ack *out)
{
    out->position = column_u64(get, 0);
    out->scope_id = column_int(get, 1);
    out->peer_id = column_int(get, 2);
    out->seq = column_u64(get, 3);
    column_copy(get, 4, out->digest, 32);
    out->status = (uint8_t)column_int(get, 5);
}

void profile_ack_add(struct agent_store *store, const struct profile_ack *ack)
{
    sqlite3_stmt *add = in_stmt(store, IN_ACKS, STMT_ADD);

    bind_u64(add, 1, ack->position);
    bind_int_or_null(add, 2, ack->scope_id);
    bind_int_or_null(add, 3, ack->peer_id);
    bind_int_or_null(add, 4, (int64_t)ack->seq);
    bind_blob(add, 5, ack->digest, 32);
    bind_int(add, 6, ack->status);
    in_run(store, add);
}

bool profile_ack_get(struct agent_store *store, uint64_t position, struct profile_ack *out)
{
    sqlite3_stmt *get = in_stmt(store, IN_ACKS, STMT_GET);

    bind_u64(get, 1, position);
    if (!in_row(store, get))
        return false;
    take_row(get, out);
    stmt_end(get);
    return true;
}

uint64_t profile_ack_position(struct agent_store *store, int64_t scope_id, int64_t peer_id,
                              uint64_t seq)
{
    sqlite3_stmt *position = in_stmt(store, IN_ACKS, STMT_POSITION);

    bind_int(position, 1, scope_id);
    bind_int(position, 2, peer_id);
    bind_u64(position, 3, seq);
    return (uint64_t)in_number(store, position, 0);
}

size_t profile_acks(struct agent_store *store, uint64_t after, uint64_t most,
                    struct profile_ack *out, size_t max)
{
    sqlite3_stmt *list = in_stmt(store, IN_ACKS, STMT_LIST);
    size_t count = 0;

    bind_u64(list, 1, after);
    bind_u64(list, 2, most);
    bind_int(list, 3, (int64_t)max);
    while (in_row(store, list))
        take_row(list, &out[count++]);
    return count;
}

void profile_acks_remove(struct agent_store *store, uint64_t from, uint64_t to)
{
    sqlite3_stmt *gone = in_stmt(store, IN_ACKS, STMT_REMOVE);

    bind_u64(gone, 1, from);
    bind_u64(gone, 2, to);
    in_run(store, gone);
}

void profile_acks_clear(struct agent_store *store)
{
    profile_acks_remove(store, 0, INT64_MAX);
    in_run(store, in_stmt(store, IN_ACKS, STMT_CURSOR_CLEAR));
}

uint64_t profile_ack_last(struct agent_store *store)
{
    return (uint64_t)in_number(store, in_stmt(store, IN_ACKS, STMT_LAST), 0);
}

bool profile_cursor_known(struct agent_store *store)
{
    return in_number(store, in_stmt(store, IN_ACKS, STMT_KNOWN), 0) != 0;
}

uint64_t profile_cursor(struct agent_store *store)
{
    return (uint64_t)in_number(store, in_stmt(store, IN_ACKS, STMT_CURSOR), 0);
}

void profile_cursor_set(struct agent_store *store, uint64_t position)
{
    sqlite3_stmt *set = in_stmt(store, IN_ACKS, STMT_CURSOR_SET);

    bind_u64(set, 1, position);
    in_run(store, set);
}

bool profile_channel_get(struct agent_store *store, int64_t group_id, struct profile_channel *out)
{
    sqlite3_stmt *get = in_stmt(store, IN_ACKS, STMT_CHANNEL);

    bind_int(get, 1, group_id);
    if (!in_row(store, get))
        return false;
    out->settled = column_u64(get, 0);
    out->epoch = (uint32_t)column_int(get, 1);
    stmt_end(get);
    return true;
}

void profile_channel_put(struct agent_store *store, int64_t group_id,
                         const struct profile_channel *channel)
{
    sqlite3_stmt *put = in_stmt(store, IN_ACKS, STMT_CHANNEL_PUT);

    bind_int(put, 1, group_id);
    bind_u64(put, 2, channel->settled);
    bind_int(put, 3, channel->epoch);
    in_run(store, put);
}

void profile_channel_remove(struct agent_store *store, int64_t group_id)
{
    sqlite3_stmt *gone = in_stmt(store, IN_ACKS, STMT_CHANNEL_REMOVE);

    bind_int(gone, 1, group_id);
    in_run(store, gone);
}
