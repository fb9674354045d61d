#include "agent/store/outbox.h"

#include "agent/store/inner.h"

#define OUT_COLUMNS                                                                                \
    "SELECT outbox_id, peer_id, scope_id, seq, msg_id, thread, state, kind, bytes, digest,"        \
    " created_ms, sealed_ms, accepted_ms, delivered_ms, expires_ms, tries, retry_ms, damaged,"     \
    " live, group_id, epoch, recipients FROM outbox"
#define STATEMENTS(X)                                                                              \
    X(ADD, "INSERT INTO outbox (outbox_id, peer_id, msg_id, thread, state, kind, message, bytes,"  \
           " created_ms, expires_ms, scope_id, live, group_id)"                                    \
           " VALUES (?1, ?2, ?3, ?4, 1, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)")                       \
    X(SEAL, "UPDATE outbox SET scope_id = ?2, seq = ?3, frame = ?4, digest = ?5, sealed_ms = ?6,"  \
            " state = 2, retry_ms = 0, tries = 0 WHERE outbox_id = ?1 AND state = 1")              \
    X(SEAL_GROUP, "UPDATE outbox SET scope_id = ?2, seq = ?3, frame = ?4, digest = ?5,"            \
                  " sealed_ms = ?6, epoch = ?7, recipients = ?8, retry_ms = 0,"                    \
                  " tries = iif(state = 2, tries, 0), state = 2"                                   \
                  " WHERE outbox_id = ?1 AND (state = 1 OR (state = 2 AND seq = ?3))")             \
    X(ADD_DELIVERED,                                                                               \
      "INSERT INTO outbox (outbox_id, peer_id, scope_id, seq, msg_id, thread,"                     \
      " state, kind, message, bytes, digest, created_ms, sealed_ms, accepted_ms,"                  \
      " delivered_ms, expires_ms, group_id, recipients)"                                           \
      " VALUES (?1, ?2, ?3, ?4, ?5, ?6, 4, 0, ?7, ?8, ?9, ?10, ?10, ?11, ?12, ?12, ?13, ?14)")     \
    X(GET, OUT_COLUMNS " WHERE outbox_id = ?1")                                                    \
    X(FIND, OUT_COLUMNS " WHERE msg_id = ?1")                                                      \
    X(AT, OUT_COLUMNS " WHERE scope_id = ?1 AND seq = ?2")                                         \
    X(MESSAGE, "SELECT message FROM outbox WHERE outbox_id = ?1 AND message IS NOT NULL")          \
    X(FRAME, "SELECT frame FROM outbox WHERE outbox_id = ?1 AND frame IS NOT NULL")                \
    X(NEXT_SEALED, OUT_COLUMNS " WHERE scope_id = ?1 AND seq >= ?2 AND state = 2"                  \
                               " ORDER BY seq LIMIT 1")                                            \
    X(NEXT_UNSETTLED, OUT_COLUMNS " WHERE scope_id = ?1 AND seq >= ?2 AND state IN (2, 3)"         \
                                  " ORDER BY seq LIMIT 1")                                         \
    X(NEXT_QUEUED, OUT_COLUMNS " WHERE peer_id = ?1 AND group_id IS NULL AND state = 1"            \
                               " AND scope_id IS NULL AND live = 0 AND outbox_id > ?2"             \
                               " ORDER BY outbox_id LIMIT 1")                                      \
    X(NEXT_LIVE, OUT_COLUMNS " WHERE peer_id = ?1 AND group_id IS NULL AND state = 1"              \
                             " AND scope_id IS NULL AND live = 1 AND outbox_id > ?2"               \
                             " ORDER BY outbox_id LIMIT 1")                                        \
    X(NEXT_BOUND, OUT_COLUMNS " WHERE scope_id = ?1 AND seq IS NULL AND state = 1"                 \
                              " AND outbox_id > ?2 ORDER BY outbox_id LIMIT 1")                    \
    X(NEXT_OF_GROUP, OUT_COLUMNS " WHERE peer_id IS NULL AND group_id = ?1 AND state = 1"          \
                                 " AND outbox_id > ?2 ORDER BY outbox_id LIMIT 1")                 \
    X(QUEUED_GROUPS, "SELECT group_id FROM outbox INDEXED BY outbox_queued WHERE state = 1"        \
                     " AND peer_id IS NULL AND group_id > ?1 ORDER BY group_id LIMIT 1")           \
    X(LOWEST_SEALED, "SELECT min(seq) FROM outbox INDEXED BY outbox_retry WHERE state = 2"         \
                     " AND scope_id = ?1")                                                         \
    X(AGED, "UPDATE outbox SET state = 4, delivered_ms = ?2, frame = NULL,"                        \
            " message = iif(kind >= 3, NULL, message)"                                             \
            " WHERE group_id IS NOT NULL AND state = 3 AND accepted_ms < ?1")                      \
    X(LEFT, "UPDATE outbox SET state = 4, delivered_ms = ?2, frame = NULL,"                        \
            " message = iif(kind >= 3, NULL, message) WHERE scope_id = ?1 AND state = 3")          \
    X(DETACH, "UPDATE outbox SET scope_id = NULL WHERE scope_id = ?1 AND seq > ?2")                \
    X(QUEUED_PEERS, "SELECT DISTINCT peer_id FROM outbox WHERE state = 1 AND scope_id IS NULL"     \
                    " AND peer_id > ?1 ORDER BY peer_id LIMIT ?2")                                 \
    X(OVERTAKES, "SELECT 1 FROM outbox INDEXED BY outbox_retry WHERE state = 2 AND peer_id = ?1"   \
                 " AND scope_id <> ?2 AND outbox_id < ?3 AND kind <= 1 AND live = 0 LIMIT 1")      \
    X(NEXT_EXPIRED, OUT_COLUMNS " WHERE state = 1 AND expires_ms <= ?1 LIMIT 1")                   \
    X(NEXT_OPEN, OUT_COLUMNS " WHERE outbox_id > ?1 AND state <= 3 AND kind <= 1"                  \
                             " ORDER BY outbox_id LIMIT 1")                                        \
    X(LAST_SEALED, "SELECT sealed_ms FROM outbox WHERE scope_id = ?1 ORDER BY seq DESC LIMIT 1")   \
    X(ACCEPTED, "UPDATE outbox SET state = 3, accepted_ms = ?2 WHERE outbox_id = ?1 AND state = 2" \
                " AND scope_id = ?3 AND seq = ?4")                                                 \
    X(ACCEPTED_TO, "UPDATE outbox SET state = 3, accepted_ms = coalesce(accepted_ms, ?3)"          \
                   " WHERE scope_id = ?1 AND seq <= ?2 AND state = 2")                             \
    X(UNACCEPTED_FROM, "UPDATE outbox SET state = 2, retry_ms = 0"                                 \
                       " WHERE scope_id = ?1 AND seq >= ?2 AND state = 3")                         \
    X(UNACCEPTED_ALL,                                                                              \
      "UPDATE outbox SET state = 2, retry_ms = 0 WHERE state = 3 AND group_id IS NULL"             \
      " AND NOT (seq = 1 AND EXISTS (SELECT 1 FROM session s WHERE s.session_id = scope_id"        \
      " AND s.state = 1))")                                                                        \
    X(DELIVERED,                                                                                   \
      "UPDATE outbox SET state = 4, delivered_ms = ?2, frame = NULL,"                              \
      " accepted_ms = coalesce(accepted_ms, ?2),"                                                  \
      " message = iif(kind >= 3, NULL, message) WHERE outbox_id = ?1 AND state IN (2, 3)")         \
    X(QUEUE_AGAIN, "UPDATE outbox SET state = 1, seq = NULL, frame = NULL, digest = NULL,"         \
                   " scope_id = iif(live = 1 AND kind <> 1, scope_id, NULL), sealed_ms = NULL,"    \
                   " accepted_ms = NULL, retry_ms = 0, damaged = damaged + ?2"                     \
                   " WHERE outbox_id = ?1 AND state IN (2, 3)")                                    \
    X(TRIED, "UPDATE outbox SET tries = tries + 1, retry_ms = ?2 WHERE outbox_id = ?1")            \
    X(REMOVE, "DELETE FROM outbox WHERE outbox_id = ?1")                                           \
    X(FORGET, "DELETE FROM outbox WHERE state = 4 AND delivered_ms < ?1")                          \
    X(COUNTS, "SELECT sum(state < 3), sum(state = 3), min(created_ms),"                            \
              " sum(state < 3 OR group_id IS NULL) FROM outbox WHERE state <= 3 AND kind <= 1")    \
    X(COUNT_OF, "SELECT count(*) FROM outbox WHERE peer_id = ?1 AND state <= 3 AND kind = 0")      \
    X(NEXT_ID, "SELECT msg_id FROM outbox WHERE msg_id BETWEEN ?1 AND ?2 AND kind <= 1"            \
               " ORDER BY msg_id LIMIT 1")                                                         \
    X(IN_THREAD, OUT_COLUMNS " WHERE thread = ?1 AND outbox_id > ?2 AND kind <= 1"                 \
                             " ORDER BY outbox_id LIMIT 1")
STATEMENT_TABLE(STATEMENTS)
const struct profile_statements profile_sql_outbox = { stmt_sql, STMT_COUNT };

static sqlite3_stmt *of(struct agent_store *store, int n)
{
    return in_stmt(store, IN_OUTBOX, n);
}

static bool take_out(struct agent_store *store, sqlite3_stmt *get, struct profile_out *out)
{
    if (!in_row(store, get))
        return false;
    out->outbox_id = column_int(get, 0);
    out->peer_id = column_int(get, 1);
    out->scope_id = column_int(get, 2);
    out->seq = column_u64(get, 3);
    column_copy(get, 4, out->msg_id, 16);
    column_copy(get, 5, out->thread, 16);
    out->state = (enum out_stage)column_int(get, 6);
    out->kind = (uint8_t)column_int(get, 7);
    out->bytes = column_u64(get, 8);
    column_copy(get, 9, out->digest, 32);
    out->created_ms = column_u64(get, 10);
    out->sealed_ms = column_u64(get, 11);
    out->accepted_ms = column_u64(get, 12);
    out->delivered_ms = column_u64(get, 13);
    out->expires_ms = column_u64(get, 14);
    out->tries = column_u64(get, 15);
    out->retry_ms = column_u64(get, 16);
    out->damaged = column_u64(get, 17);
    out->live = column_int(get, 18) != 0;
    out->group_id = column_int(get, 19);
    out->epoch = (uint32_t)column_int(get, 20);
    out->recipients = column_u64(get, 21);
    stmt_end(get);
    return true;
}

int64_t profile_out_add(struct agent_store *store, const struct profile_out *row,
                        struct bytes message)
{
    sqlite3_stmt *add = of(store, STMT_ADD);
    struct buf sealed = { 0 };
    int64_t id = in_next_id(store, "outbox");

    in_seal(store, &sealed, "outbox.message", id, 0, message);
    bind_int(add, 1, id);
    bind_int_or_null(add, 2, row->peer_id);
    bind_blob(add, 3, row->msg_id, 16);
    bind_blob(add, 4, row->thread, 16);
    bind_int(add, 5, row->kind);
    bind_bytes(add, 6, buf_bytes(&sealed));
    bind_u64(add, 7, row->bytes);
    bind_u64(add, 8, row->created_ms);
    bind_u64(add, 9, row->expires_ms);
    bind_int_or_null(add, 10, row->scope_id);
    bind_int(add, 11, row->live);
    bind_int_or_null(add, 12, row->group_id);
    in_run(store, add);
    buf_free(&sealed);
    return id;
}

void profile_out_seal(struct agent_store *store, int64_t outbox_id, int64_t scope_id, uint64_t seq,
                      struct bytes frame, const uint8_t digest[static 32], uint64_t now_ms)
{
    sqlite3_stmt *set = of(store, STMT_SEAL);

    bind_int(set, 1, outbox_id);
    bind_int(set, 2, scope_id);
    bind_u64(set, 3, seq);
    bind_bytes(set, 4, frame);
    bind_blob(set, 5, digest, 32);
    bind_u64(set, 6, now_ms);
    if (!in_change(store, set))
        agent_store_fail(store, ERR_STORE);
}

void profile_out_seal_group(struct agent_store *store, const struct profile_out *row,
                            struct bytes frame)
{
    sqlite3_stmt *set = of(store, STMT_SEAL_GROUP);

    bind_int(set, 1, row->outbox_id);
    bind_int(set, 2, row->scope_id);
    bind_u64(set, 3, row->seq);
    bind_bytes(set, 4, frame);
    bind_blob(set, 5, row->digest, 32);
    bind_u64(set, 6, row->sealed_ms);
    bind_int(set, 7, row->epoch);
    bind_u64(set, 8, row->recipients);
    if (!in_change(store, set))
        agent_store_fail(store, ERR_STORE);
}

int64_t profile_out_add_delivered(struct agent_store *store, const struct profile_out *row,
                                  struct bytes message)
{
    sqlite3_stmt *add = of(store, STMT_ADD_DELIVERED);
    struct buf sealed = { 0 };
    int64_t id = in_next_id(store, "outbox");

    in_seal(store, &sealed, "outbox.message", id, 0, message);
    bind_int(add, 1, id);
    bind_int_or_null(add, 2, row->peer_id);
    bind_int(add, 3, row->scope_id);
    bind_u64(add, 4, row->seq);
    bind_blob(add, 5, row->msg_id, 16);
    bind_blob(add, 6, row->thread, 16);
    bind_bytes(add, 7, buf_bytes(&sealed));
    bind_u64(add, 8, row->bytes);
    bind_blob(add, 9, row->digest, 32);
    bind_u64(add, 10, row->created_ms);
    bind_u64(add, 11, row->accepted_ms);
    bind_u64(add, 12, row->delivered_ms);
    bind_int_or_null(add, 13, row->group_id);
    bind_u64(add, 14, row->group_id ? row->recipients : 1);
    in_run(store, add);
    buf_free(&sealed);
    return id;
}

bool profile_out_get(struct agent_store *store, int64_t outbox_id, struct profile_out *out)
{
    sqlite3_stmt *get = of(store, STMT_GET);

    bind_int(get, 1, outbox_id);
    return take_out(store, get, out);
}

bool profile_out_find(struct agent_store *store, const uint8_t msg_id[static 16],
                      struct profile_out *out)
{
    sqlite3_stmt *find = of(store, STMT_FIND);

    bind_blob(find, 1, msg_id, 16);
    return take_out(store, find, out);
}

bool profile_out_at(struct agent_store *store, int64_t scope_id, uint64_t seq,
                    struct profile_out *out)
{
    sqlite3_stmt *at = of(store, STMT_AT);

    bind_int(at, 1, scope_id);
    bind_u64(at, 2, seq);
    return take_out(store, at, out);
}

bool profile_out_message(struct agent_store *store, int64_t outbox_id, struct buf *out)
{
    sqlite3_stmt *get = of(store, STMT_MESSAGE);
    bool good;

    bind_int(get, 1, outbox_id);
    if (!in_row(store, get))
        return false;
    buf_clear(out);
    good = in_unseal(store, out, "outbox.message", outbox_id, 0, column_bytes(get, 0));
    stmt_end(get);
    return good;
}

bool profile_out_frame(struct agent_store *store, int64_t outbox_id, struct buf *out)
{
    sqlite3_stmt *get = of(store, STMT_FRAME);

    bind_int(get, 1, outbox_id);
    if (!in_row(store, get))
        return false;
    buf_append(out, column_bytes(get, 0).at, column_bytes(get, 0).len);
    stmt_end(get);
    return true;
}

static bool next_in_scope(struct agent_store *store, int stmt, int64_t scope_id, uint64_t seq,
                          struct profile_out *out)
{
    sqlite3_stmt *next = of(store, stmt);

    bind_int(next, 1, scope_id);
    bind_u64(next, 2, seq);
    return take_out(store, next, out);
}

bool profile_out_next_sealed(struct agent_store *store, int64_t scope_id, uint64_t seq,
                             struct profile_out *out)
{
    return next_in_scope(store, STMT_NEXT_SEALED, scope_id, seq, out);
}

bool profile_out_next_unsettled(struct agent_store *store, int64_t scope_id, uint64_t seq,
                                struct profile_out *out)
{
    return next_in_scope(store, STMT_NEXT_UNSETTLED, scope_id, seq, out);
}

bool profile_out_next_queued(struct agent_store *store, int64_t peer_id, int64_t after,
                             struct profile_out *out)
{
    sqlite3_stmt *next = of(store, STMT_NEXT_QUEUED);

    bind_int(next, 1, peer_id);
    bind_int(next, 2, after);
    return take_out(store, next, out);
}

bool profile_out_next_live(struct agent_store *store, int64_t peer_id, int64_t after,
                           struct profile_out *out)
{
    sqlite3_stmt *next = of(store, STMT_NEXT_LIVE);

    bind_int(next, 1, peer_id);
    bind_int(next, 2, after);
    return take_out(store, next, out);
}

bool profile_out_next_bound(struct agent_store *store, int64_t scope_id, int64_t after,
                            struct profile_out *out)
{
    sqlite3_stmt *next = of(store, STMT_NEXT_BOUND);

    bind_int(next, 1, scope_id);
    bind_int(next, 2, after);
    return take_out(store, next, out);
}

bool profile_out_next_of_group(struct agent_store *store, int64_t group_id, int64_t after,
                               struct profile_out *out)
{
    sqlite3_stmt *next = of(store, STMT_NEXT_OF_GROUP);

    bind_int(next, 1, group_id);
    bind_int(next, 2, after);
    return take_out(store, next, out);
}

int64_t profile_out_queued_group(struct agent_store *store, int64_t after)
{
    sqlite3_stmt *next = of(store, STMT_QUEUED_GROUPS);

    bind_int(next, 1, after);
    return in_number(store, next, 0);
}

uint64_t profile_out_lowest_sealed(struct agent_store *store, int64_t scope_id)
{
    sqlite3_stmt *lowest = of(store, STMT_LOWEST_SEALED);

    bind_int(lowest, 1, scope_id);
    return (uint64_t)in_number(store, lowest, 0);
}

bool profile_out_age(struct agent_store *store, uint64_t before_ms, uint64_t now_ms)
{
    sqlite3_stmt *set = of(store, STMT_AGED);

    bind_u64(set, 1, before_ms);
    bind_u64(set, 2, now_ms);
    return in_change(store, set);
}

void profile_out_left(struct agent_store *store, int64_t scope_id, uint64_t now_ms)
{
    sqlite3_stmt *set = of(store, STMT_LEFT);

    bind_int(set, 1, scope_id);
    bind_u64(set, 2, now_ms);
    in_run(store, set);
}

void profile_out_detach(struct agent_store *store, int64_t scope_id, uint64_t seq)
{
    sqlite3_stmt *set = of(store, STMT_DETACH);

    bind_int(set, 1, scope_id);
    bind_u64(set, 2, seq);
    in_run(store, set);
}

size_t profile_out_queued_peers(struct agent_store *store, int64_t after, int64_t *peers,
                                size_t max)
{
    sqlite3_stmt *list = of(store, STMT_QUEUED_PEERS);
    size_t count = 0;

    bind_int(list, 1, after);
    bind_int(list, 2, (int64_t)max);
    while (in_row(store, list))
        peers[count++] = column_int(list, 0);
    return count;
}

bool profile_out_overtakes(struct agent_store *store, int64_t peer_id, int64_t scope_id,
                           int64_t outbox_id)
{
    sqlite3_stmt *ask = of(store, STMT_OVERTAKES);

    bind_int(ask, 1, peer_id);
    bind_int(ask, 2, scope_id);
    bind_int(ask, 3, outbox_id);
    return in_number(store, ask, 0) != 0;
}

bool profile_out_next_expired(struct agent_store *store, uint64_t now_ms, struct profile_out *out)
{
    sqlite3_stmt *next = of(store, STMT_NEXT_EXPIRED);

    bind_u64(next, 1, now_ms);
    return take_out(store, next, out);
}

bool profile_out_next_open(struct agent_store *store, int64_t after, struct profile_out *out)
{
    sqlite3_stmt *next = of(store, STMT_NEXT_OPEN);

    bind_int(next, 1, after);
    return take_out(store, next, out);
}

uint64_t profile_out_last_sealed_ms(struct agent_store *store, int64_t scope_id)
{
    sqlite3_stmt *last = of(store, STMT_LAST_SEALED);

    bind_int(last, 1, scope_id);
    return (uint64_t)in_number(store, last, 0);
}

void profile_out_accepted(struct agent_store *store, int64_t scope_id, uint64_t seq,
                          int64_t outbox_id, uint64_t now_ms)
{
    sqlite3_stmt *set = of(store, STMT_ACCEPTED);

    bind_int(set, 3, scope_id);
    bind_u64(set, 4, seq);
    bind_int(set, 1, outbox_id);
    bind_u64(set, 2, now_ms);
    in_run(store, set);
}

void profile_out_accepted_to(struct agent_store *store, int64_t scope_id, uint64_t seq,
                             uint64_t now_ms)
{
    sqlite3_stmt *set = of(store, STMT_ACCEPTED_TO);

    bind_int(set, 1, scope_id);
    bind_u64(set, 2, seq);
    bind_u64(set, 3, now_ms);
    in_run(store, set);
}

void profile_out_unaccepted_from(struct agent_store *store, int64_t scope_id, uint64_t seq)
{
    sqlite3_stmt *set = of(store, STMT_UNACCEPTED_FROM);

    bind_int(set, 1, scope_id);
    bind_u64(set, 2, seq);
    in_run(store, set);
}

void profile_out_unaccepted_all(struct agent_store *store)
{
    in_run(store, of(store, STMT_UNACCEPTED_ALL));
}

void profile_out_delivered(struct agent_store *store, int64_t outbox_id, uint64_t now_ms)
{
    sqlite3_stmt *set = of(store, STMT_DELIVERED);

    bind_int(set, 1, outbox_id);
    bind_u64(set, 2, now_ms);
    in_run(store, set);
}

void profile_out_queue_again(struct agent_store *store, int64_t outbox_id, bool damaged)
{
    sqlite3_stmt *set = of(store, STMT_QUEUE_AGAIN);

    bind_int(set, 1, outbox_id);
    bind_int(set, 2, damaged);
    in_run(store, set);
}

void profile_out_tried(struct agent_store *store, int64_t outbox_id, uint64_t retry_ms)
{
    sqlite3_stmt *set = of(store, STMT_TRIED);

    bind_int(set, 1, outbox_id);
    bind_u64(set, 2, retry_ms);
    in_run(store, set);
}

void profile_out_remove(struct agent_store *store, int64_t outbox_id)
{
    sqlite3_stmt *gone = of(store, STMT_REMOVE);

    bind_int(gone, 1, outbox_id);
    in_run(store, gone);
}

void profile_out_forget(struct agent_store *store, uint64_t before_ms)
{
    sqlite3_stmt *forget = of(store, STMT_FORGET);

    bind_u64(forget, 1, before_ms);
    in_run(store, forget);
}

void profile_out_counts(struct agent_store *store, struct profile_out_counts *out)
{
    sqlite3_stmt *counts = of(store, STMT_COUNTS);

    *out = (struct profile_out_counts){ 0 };
    if (!in_row(store, counts))
        return;
    out->queued = column_u64(counts, 0);
    out->stored = column_u64(counts, 1);
    out->oldest_ms = column_u64(counts, 2);
    out->open = column_u64(counts, 3);
    stmt_end(counts);
}

uint64_t profile_out_count_of(struct agent_store *store, int64_t peer_id)
{
    sqlite3_stmt *count = of(store, STMT_COUNT_OF);

    bind_int(count, 1, peer_id);
    return (uint64_t)in_number(store, count, 0);
}

bool profile_out_next_id(struct agent_store *store, const uint8_t low[static 16],
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

bool profile_out_next_in_thread(struct agent_store *store, const uint8_t thread[static 16],
                                int64_t after, struct profile_out *out)
{
    sqlite3_stmt *next = of(store, STMT_IN_THREAD);

    bind_blob(next, 1, thread, 16);
    bind_int(next, 2, after);
    return take_out(store, next, out);
}
