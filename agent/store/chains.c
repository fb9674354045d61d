#include "agent/store/chains.h"

#include "agent/store/inner.h"

#define CHAIN_COLUMNS                                                                              \
    "SELECT chain_id, group_id, peer_id, epoch, skipped, version, delete_ms FROM chain"
#define HELD_COLUMNS                                                                               \
    "SELECT held_id, group_id, peer_id, seq, epoch, digest, stored_ms, received_ms FROM held"
#define STATEMENTS(X)                                                                              \
    X(ADD, "INSERT INTO chain (chain_id, group_id, epoch, peer_id, state, skipped, delete_ms)"     \
           " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")                                                 \
    X(FIND, CHAIN_COLUMNS " WHERE group_id = ?1 AND epoch = ?2 AND peer_id = ?3")                  \
    X(STATE, "SELECT state FROM chain WHERE chain_id = ?1 AND version = ?2")                       \
    X(PUT, "UPDATE chain SET state = ?3, skipped = ?4, version = version + 1"                      \
           " WHERE chain_id = ?1 AND version = ?2")                                                \
    X(ANY, "SELECT 1 FROM chain WHERE group_id = ?1 AND epoch = ?2 LIMIT 1")                       \
    X(SKIPPED, "SELECT coalesce(sum(skipped), 0) FROM chain INDEXED BY chain_skipped"              \
               " WHERE group_id = ?1 AND skipped > 0")                                             \
    X(NEXT_SKIPPED, CHAIN_COLUMNS " INDEXED BY chain_skipped WHERE group_id = ?1"                  \
                                  " AND skipped > 0 AND chain_id > ?2 ORDER BY chain_id LIMIT 1")  \
    X(END_WHOLE, "DELETE FROM chain WHERE group_id = ?1 AND epoch < ?2 AND skipped = 0")           \
    X(END, "UPDATE chain SET delete_ms = ?3 WHERE group_id = ?1 AND epoch < ?2"                    \
           " AND delete_ms IS NULL")                                                               \
    X(REMOVE, "DELETE FROM chain WHERE group_id = ?1")                                             \
    X(REMOVE_ONE, "DELETE FROM chain WHERE chain_id = ?1")                                         \
    X(SWEEP, "DELETE FROM chain WHERE delete_ms <= ?1")                                            \
    X(HELD_ADD, "INSERT INTO held (group_id, peer_id, seq, epoch, digest, frame, stored_ms,"       \
                " received_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")                           \
    X(HELD_COUNT, "SELECT count(*) FROM held WHERE group_id = ?1")                                 \
    X(HELD_NEXT, HELD_COLUMNS " WHERE group_id = ?1 AND (?2 = 0 OR epoch = ?2) AND held_id > ?3"   \
                              " ORDER BY held_id LIMIT 1")                                         \
    X(HELD_AT, HELD_COLUMNS " WHERE group_id = ?1 AND peer_id = ?2 AND seq = ?3")                  \
    X(HELD_FRAME, "SELECT frame FROM held WHERE held_id = ?1")                                     \
    X(HELD_REMOVE, "DELETE FROM held WHERE held_id = ?1")                                          \
    X(HELDS_REMOVE, "DELETE FROM held WHERE group_id = ?1")                                        \
    X(HELDS_OLD, "SELECT count(*) FROM held WHERE received_ms < ?1")                               \
    X(HELDS_FORGET, "DELETE FROM held WHERE received_ms < ?1")                                     \
    X(SIGNED_ADD, "INSERT INTO signed (outbox_id, peer_id, at_ms) VALUES (?1, ?2, ?3)"             \
                  " ON CONFLICT DO NOTHING")                                                       \
    X(SIGNED_COUNT, "SELECT count(*) FROM signed WHERE outbox_id = ?1")                            \
    X(SIGNED_AT, "SELECT at_ms FROM signed WHERE outbox_id = ?1 AND peer_id = ?2")                 \
    X(SIGNED_NEXT, "SELECT peer_id FROM signed WHERE outbox_id = ?1 AND peer_id > ?2"              \
                   " ORDER BY peer_id LIMIT 1")
STATEMENT_TABLE(STATEMENTS)
const struct profile_statements profile_sql_chain = { stmt_sql, STMT_COUNT };

static sqlite3_stmt *of(struct agent_store *store, int n)
{
    return in_stmt(store, IN_CHAINS, n);
}

static sqlite3_stmt *of_group(struct agent_store *store, int n, int64_t group_id)
{
    sqlite3_stmt *stmt = of(store, n);

    bind_int(stmt, 1, group_id);
    return stmt;
}

/* Deletes keys: the log that still holds them must go. */
static void shred(struct agent_store *store, sqlite3_stmt *gone)
{
    if (in_change(store, gone))
        agent_store_shred(store);
}

/* ------------------------------------------------------------------ chains */

void profile_chain_add(struct agent_store *store, struct profile_chain *chain, struct bytes state)
{
    sqlite3_stmt *add = of(store, STMT_ADD);
    struct buf sealed = { 0 };

    chain->chain_id = in_next_id(store, "chain");
    chain->version = 0;
    in_seal(store, &sealed, "chain.state", chain->chain_id, 0, state);
    bind_int(add, 1, chain->chain_id);
    bind_int(add, 2, chain->group_id);
    bind_int(add, 3, chain->epoch);
    bind_int(add, 4, chain->peer_id);
    bind_bytes(add, 5, buf_bytes(&sealed));
    bind_int(add, 6, chain->skipped);
    bind_int_or_null(add, 7, (int64_t)chain->delete_ms);
    in_run(store, add);
    buf_free(&sealed);
}

static bool take_chain(struct agent_store *store, sqlite3_stmt *get, struct profile_chain *out)
{
    if (!in_row(store, get))
        return false;
    out->chain_id = column_int(get, 0);
    out->group_id = column_int(get, 1);
    out->peer_id = column_int(get, 2);
    out->epoch = (uint32_t)column_int(get, 3);
    out->skipped = (uint32_t)column_int(get, 4);
    out->version = column_u64(get, 5);
    out->delete_ms = column_u64(get, 6);
    stmt_end(get);
    return true;
}

bool profile_chain_find(struct agent_store *store, int64_t group_id, uint32_t epoch,
                        int64_t peer_id, struct profile_chain *out)
{
    sqlite3_stmt *find = of_group(store, STMT_FIND, group_id);

    bind_int(find, 2, epoch);
    bind_int(find, 3, peer_id);
    return take_chain(store, find, out);
}

bool profile_chain_get(struct agent_store *store, const struct profile_chain *chain,
                       struct buf *state)
{
    sqlite3_stmt *get = of(store, STMT_STATE);
    bool good;

    bind_int(get, 1, chain->chain_id);
    bind_u64(get, 2, chain->version);
    if (!in_row(store, get))
        return false;
    good = in_unseal(store, state, "chain.state", chain->chain_id, (int64_t)chain->version,
                     column_bytes(get, 0));
    stmt_end(get);
    return good;
}

void profile_chain_put(struct agent_store *store, struct profile_chain *chain, struct bytes state)
{
    sqlite3_stmt *put = of(store, STMT_PUT);
    struct buf sealed = { 0 };

    in_seal(store, &sealed, "chain.state", chain->chain_id, (int64_t)chain->version + 1, state);
    bind_int(put, 1, chain->chain_id);
    bind_u64(put, 2, chain->version);
    bind_bytes(put, 3, buf_bytes(&sealed));
    bind_int(put, 4, chain->skipped);
    if (!in_change(store, put))
        agent_store_fail(store, ERR_ROLLBACK);
    chain->version++;
    buf_free(&sealed);
}

bool profile_chain_any(struct agent_store *store, int64_t group_id, uint32_t epoch)
{
    sqlite3_stmt *any = of_group(store, STMT_ANY, group_id);

    bind_int(any, 2, epoch);
    return in_number(store, any, 0) != 0;
}

uint64_t profile_chains_skipped(struct agent_store *store, int64_t group_id)
{
    return (uint64_t)in_number(store, of_group(store, STMT_SKIPPED, group_id), 0);
}

bool profile_chain_next_skipped(struct agent_store *store, int64_t group_id, int64_t after,
                                struct profile_chain *out)
{
    sqlite3_stmt *next = of_group(store, STMT_NEXT_SKIPPED, group_id);

    bind_int(next, 2, after);
    return take_chain(store, next, out);
}

void profile_chain_remove(struct agent_store *store, int64_t chain_id)
{
    sqlite3_stmt *gone = of(store, STMT_REMOVE_ONE);

    bind_int(gone, 1, chain_id);
    shred(store, gone);
}

void profile_chains_end(struct agent_store *store, int64_t group_id, uint32_t before_epoch,
                        bool whole_too, uint64_t at_ms)
{
    sqlite3_stmt *whole = of_group(store, STMT_END_WHOLE, group_id);
    sqlite3_stmt *end = of_group(store, STMT_END, group_id);

    bind_int(whole, 2, before_epoch);
    if (whole_too)
        shred(store, whole);
    bind_int(end, 2, before_epoch);
    bind_u64(end, 3, at_ms);
    in_run(store, end);
}

void profile_chains_remove(struct agent_store *store, int64_t group_id)
{
    shred(store, of_group(store, STMT_REMOVE, group_id));
}

void profile_chains_sweep(struct agent_store *store, uint64_t now_ms)
{
    sqlite3_stmt *sweep = of(store, STMT_SWEEP);

    bind_u64(sweep, 1, now_ms);
    shred(store, sweep);
}

/* ------------------------------------------------------------------ held frames */

void profile_held_add(struct agent_store *store, const struct profile_held *held,
                      struct bytes frame)
{
    sqlite3_stmt *add = of_group(store, STMT_HELD_ADD, held->group_id);

    bind_int(add, 2, held->peer_id);
    bind_u64(add, 3, held->seq);
    bind_int(add, 4, held->epoch);
    bind_blob(add, 5, held->digest, 32);
    bind_bytes(add, 6, frame);
    bind_u64(add, 7, held->stored_ms);
    bind_u64(add, 8, held->received_ms);
    in_run(store, add);
}

uint64_t profile_held_count(struct agent_store *store, int64_t group_id)
{
    return (uint64_t)in_number(store, of_group(store, STMT_HELD_COUNT, group_id), 0);
}

static bool take_held(struct agent_store *store, sqlite3_stmt *get, struct profile_held *out)
{
    if (!in_row(store, get))
        return false;
    out->held_id = column_int(get, 0);
    out->group_id = column_int(get, 1);
    out->peer_id = column_int(get, 2);
    out->seq = column_u64(get, 3);
    out->epoch = (uint32_t)column_int(get, 4);
    column_copy(get, 5, out->digest, 32);
    out->stored_ms = column_u64(get, 6);
    out->received_ms = column_u64(get, 7);
    stmt_end(get);
    return true;
}

bool profile_held_next(struct agent_store *store, int64_t group_id, uint32_t epoch, int64_t after,
                       struct profile_held *out)
{
    sqlite3_stmt *next = of_group(store, STMT_HELD_NEXT, group_id);

    bind_int(next, 2, epoch);
    bind_int(next, 3, after);
    return take_held(store, next, out);
}

bool profile_held_at(struct agent_store *store, int64_t group_id, int64_t peer_id, uint64_t seq,
                     struct profile_held *out)
{
    sqlite3_stmt *at = of_group(store, STMT_HELD_AT, group_id);

    bind_int(at, 2, peer_id);
    bind_u64(at, 3, seq);
    return take_held(store, at, out);
}

bool profile_held_frame(struct agent_store *store, int64_t held_id, struct buf *out)
{
    sqlite3_stmt *get = of(store, STMT_HELD_FRAME);

    bind_int(get, 1, held_id);
    if (!in_row(store, get))
        return false;
    buf_append(out, column_bytes(get, 0).at, column_bytes(get, 0).len);
    stmt_end(get);
    return true;
}

void profile_held_remove(struct agent_store *store, int64_t held_id)
{
    sqlite3_stmt *gone = of(store, STMT_HELD_REMOVE);

    bind_int(gone, 1, held_id);
    in_run(store, gone);
}

void profile_helds_remove(struct agent_store *store, int64_t group_id)
{
    in_run(store, of_group(store, STMT_HELDS_REMOVE, group_id));
}

uint64_t profile_helds_forget(struct agent_store *store, uint64_t before_ms)
{
    sqlite3_stmt *old = of(store, STMT_HELDS_OLD), *forget = of(store, STMT_HELDS_FORGET);
    uint64_t count;

    bind_u64(old, 1, before_ms);
    count = (uint64_t)in_number(store, old, 0);
    if (count > 0) {
        bind_u64(forget, 1, before_ms);
        in_run(store, forget);
    }
    return count;
}

/* ------------------------------------------------------------------ who has signed */

void profile_signed_add(struct agent_store *store, int64_t outbox_id, int64_t peer_id,
                        uint64_t at_ms)
{
    sqlite3_stmt *add = of(store, STMT_SIGNED_ADD);

    bind_int(add, 1, outbox_id);
    bind_int(add, 2, peer_id);
    bind_u64(add, 3, at_ms);
    in_run(store, add);
}

uint64_t profile_signed_count(struct agent_store *store, int64_t outbox_id)
{
    sqlite3_stmt *count = of(store, STMT_SIGNED_COUNT);

    bind_int(count, 1, outbox_id);
    return (uint64_t)in_number(store, count, 0);
}

uint64_t profile_signed_at(struct agent_store *store, int64_t outbox_id, int64_t peer_id)
{
    sqlite3_stmt *at = of(store, STMT_SIGNED_AT);

    bind_int(at, 1, outbox_id);
    bind_int(at, 2, peer_id);
    return (uint64_t)in_number(store, at, 0);
}

int64_t profile_signed_next(struct agent_store *store, int64_t outbox_id, int64_t after)
{
    sqlite3_stmt *next = of(store, STMT_SIGNED_NEXT);

    bind_int(next, 1, outbox_id);
    bind_int(next, 2, after);
    return in_number(store, next, 0);
}
