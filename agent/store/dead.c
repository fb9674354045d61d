#include "agent/store/dead.h"

#include "agent/store/inner.h"

#define FRAMES_KEPT 100

#define DEAD_COLUMNS                                                                               \
    "SELECT dead_id, peer_id, scope_id, at_ms, seq, created_ms, accepted_ms, reason, msg_id,"      \
    " digest, group_id FROM dead WHERE incoming = 0"
#define STATEMENTS(X)                                                                              \
    X(ADD, "INSERT INTO dead (dead_id, at_ms, incoming, reason, peer_id, scope_id, seq, msg_id,"   \
           " digest, message, created_ms, accepted_ms, frame, detail, group_id)"                   \
           " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)")           \
    X(TRIM, "UPDATE dead SET frame = NULL WHERE frame IS NOT NULL AND dead_id <= (SELECT dead_id"  \
            " FROM dead WHERE frame IS NOT NULL ORDER BY dead_id DESC LIMIT 1 OFFSET ?1)")         \
    X(UNOPENED, "SELECT count(*) FROM dead WHERE incoming = 1 AND scope_id = ?1 AND at_ms > ?2")   \
    X(FIND, DEAD_COLUMNS " AND msg_id = ?1 ORDER BY dead_id DESC LIMIT 1")                         \
    X(AT, DEAD_COLUMNS " AND scope_id = ?1 AND seq = ?2 LIMIT 1")                                  \
    X(MESSAGE, "SELECT message FROM dead WHERE dead_id = ?1 AND message IS NOT NULL")              \
    X(REMOVE, "DELETE FROM dead WHERE dead_id = ?1")                                               \
    X(TOTAL, "SELECT count(*) FROM dead WHERE incoming = 0 AND message IS NOT NULL")               \
    X(NEXT_ID, "SELECT msg_id FROM dead WHERE incoming = 0 AND message IS NOT NULL"                \
               " AND msg_id BETWEEN ?1 AND ?2 ORDER BY msg_id LIMIT 1")                            \
    X(FORGET, "DELETE FROM dead WHERE at_ms < ?1")
STATEMENT_TABLE(STATEMENTS)
const struct profile_statements profile_sql_dead = { stmt_sql, STMT_COUNT };

static sqlite3_stmt *of(struct agent_store *store, int n)
{
    return in_stmt(store, IN_DEAD, n);
}

void profile_dead_letter(struct agent_store *store, const struct profile_out *row,
                         enum dead_reason reason, const char *detail, uint64_t now_ms)
{
    sqlite3_stmt *add = of(store, STMT_ADD);
    struct buf plain = { 0 }, sealed = { 0 };
    int64_t id = in_next_id(store, "dead");

    bind_int(add, 1, id);
    bind_u64(add, 2, now_ms);
    bind_int(add, 3, 0);
    bind_int(add, 4, reason);
    bind_int_or_null(add, 5, row->peer_id);
    bind_int_or_null(add, 6, row->scope_id);
    bind_int_or_null(add, 7, (int64_t)row->seq);
    bind_blob(add, 8, row->msg_id, 16);
    if (row->seq)
        bind_blob(add, 9, row->digest, 32);
    else
        bind_null(add, 9);
    if (row->kind <= 1 && profile_out_message(store, row->outbox_id, &plain)) {
        in_seal(store, &sealed, "dead.message", id, 0, buf_bytes(&plain));
        bind_bytes(add, 10, buf_bytes(&sealed));
    } else {
        bind_null(add, 10);
    }
    bind_u64(add, 11, row->created_ms);
    bind_int_or_null(add, 12, (int64_t)row->accepted_ms);
    bind_null(add, 13);
    bind_text(add, 14, detail);
    bind_int_or_null(add, 15, row->group_id);
    in_run(store, add);
    profile_out_remove(store, row->outbox_id);
    buf_wipe(&plain);
    buf_free(&plain);
    buf_free(&sealed);
}

void profile_dead_incoming(struct agent_store *store, int64_t peer_id, int64_t scope_id,
                           uint64_t seq, const uint8_t digest[static 32], struct bytes frame,
                           const char *detail, uint64_t now_ms)
{
    sqlite3_stmt *add = of(store, STMT_ADD);
    sqlite3_stmt *trim = of(store, STMT_TRIM);

    bind_int(add, 1, in_next_id(store, "dead"));
    bind_u64(add, 2, now_ms);
    bind_int(add, 3, 1);
    bind_int(add, 4, DEAD_UNDECRYPTABLE);
    bind_int(add, 5, peer_id);
    bind_int(add, 6, scope_id);
    bind_u64(add, 7, seq);
    bind_null(add, 8);
    bind_blob(add, 9, digest, 32);
    bind_null(add, 10);
    bind_null(add, 11);
    bind_null(add, 12);
    bind_bytes(add, 13, frame);
    bind_text(add, 14, detail);
    bind_null(add, 15);
    in_run(store, add);
    bind_int(trim, 1, FRAMES_KEPT);
    in_run(store, trim);
}

uint64_t profile_dead_unopened(struct agent_store *store, int64_t scope_id, uint64_t since_ms)
{
    sqlite3_stmt *count = of(store, STMT_UNOPENED);

    bind_int(count, 1, scope_id);
    bind_u64(count, 2, since_ms);
    return (uint64_t)in_number(store, count, 0);
}

static bool take_dead(struct agent_store *store, sqlite3_stmt *get, struct profile_dead *out)
{
    if (!in_row(store, get))
        return false;
    out->dead_id = column_int(get, 0);
    out->peer_id = column_int(get, 1);
    out->scope_id = column_int(get, 2);
    out->at_ms = column_u64(get, 3);
    out->seq = column_u64(get, 4);
    out->created_ms = column_u64(get, 5);
    out->accepted_ms = column_u64(get, 6);
    out->reason = (enum dead_reason)column_int(get, 7);
    column_copy(get, 8, out->msg_id, 16);
    out->has_digest = column_copy(get, 9, out->digest, 32);
    out->group_id = column_int(get, 10);
    stmt_end(get);
    return true;
}

bool profile_dead_find(struct agent_store *store, const uint8_t msg_id[static 16],
                       struct profile_dead *out)
{
    sqlite3_stmt *find = of(store, STMT_FIND);

    bind_blob(find, 1, msg_id, 16);
    return take_dead(store, find, out);
}

bool profile_dead_at(struct agent_store *store, int64_t scope_id, uint64_t seq,
                     struct profile_dead *out)
{
    sqlite3_stmt *at = of(store, STMT_AT);

    bind_int(at, 1, scope_id);
    bind_u64(at, 2, seq);
    return take_dead(store, at, out);
}

bool profile_dead_message(struct agent_store *store, int64_t dead_id, struct buf *out)
{
    sqlite3_stmt *get = of(store, STMT_MESSAGE);
    bool good;

    bind_int(get, 1, dead_id);
    if (!in_row(store, get))
        return false;
    buf_clear(out);
    good = in_unseal(store, out, "dead.message", dead_id, 0, column_bytes(get, 0));
    stmt_end(get);
    return good;
}

void profile_dead_remove(struct agent_store *store, int64_t dead_id)
{
    sqlite3_stmt *gone = of(store, STMT_REMOVE);

    bind_int(gone, 1, dead_id);
    in_run(store, gone);
}

uint64_t profile_dead_count(struct agent_store *store)
{
    return (uint64_t)in_number(store, of(store, STMT_TOTAL), 0);
}

bool profile_dead_next_id(struct agent_store *store, const uint8_t low[static 16],
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

void profile_dead_forget(struct agent_store *store, uint64_t before_ms)
{
    sqlite3_stmt *forget = of(store, STMT_FORGET);

    bind_u64(forget, 1, before_ms);
    in_run(store, forget);
}
