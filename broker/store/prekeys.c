#include "broker/store/prekeys.h"

#include <stdlib.h>

#include "broker/store/inside.h"

#define STATEMENTS(X)                                                                              \
    X(SPK, "SELECT spk_id, statement, sig, stored_ms, expires_ms FROM spk WHERE agent_id = ?1")    \
    X(PUT_SPK, "INSERT OR REPLACE INTO spk (agent_id, spk_id, statement, sig, stored_ms,"          \
               " expires_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")                                     \
    X(HELD, "SELECT count(*) FROM opk WHERE agent_id = ?1")                                        \
    X(GET, "SELECT key, reserved_for, reserved_ms FROM opk WHERE agent_id = ?1 AND opk_id = ?2")   \
    X(ADD, "INSERT INTO opk (agent_id, opk_id, key) VALUES (?1, ?2, ?3)")                          \
    X(DROP_ALL, "DELETE FROM opk WHERE agent_id = ?1")                                             \
    X(PROMISED, "SELECT opk_id, key FROM opk"                                                      \
                " WHERE agent_id = ?1 AND reserved_for = ?2 AND reserved_ms > ?3"                  \
                " ORDER BY opk_id LIMIT 1")                                                        \
    X(FREE, "SELECT opk_id, key FROM opk"                                                          \
            " WHERE agent_id = ?1 AND (reserved_for IS NULL OR reserved_ms <= ?2)"                 \
            " ORDER BY opk_id LIMIT 1")                                                            \
    X(PROMISE, "UPDATE opk SET reserved_for = ?3, reserved_ms = ?4"                                \
               " WHERE agent_id = ?1 AND opk_id = ?2")                                             \
    X(REMEMBER, "INSERT OR REPLACE INTO opk_used (agent_id, opk_id, key, used_ms)"                 \
                " SELECT agent_id, opk_id, key, ?3 FROM opk WHERE agent_id = ?1 AND opk_id = ?2")  \
    X(USED, "SELECT key FROM opk_used WHERE agent_id = ?1 AND opk_id = ?2")                        \
    X(DELETE, "DELETE FROM opk WHERE agent_id = ?1 AND opk_id = ?2")
STATEMENT_TABLE(STATEMENTS)

struct prekeys {
    sqlite3_stmt *stmt[STMT_COUNT];
};

static enum err open_prekeys(struct store *store)
{
    store->prekeys = mem_zeroed(1, sizeof *store->prekeys);
    return stmts_prepare(store->db, stmt_sql, STMT_COUNT, store->prekeys->stmt);
}

static void close_prekeys(struct store *store)
{
    if (!store->prekeys)
        return;
    stmts_finalize(store->prekeys->stmt, STMT_COUNT);
    free(store->prekeys);
    store->prekeys = NULL;
}

const struct module module_prekeys = { open_prekeys, close_prekeys, NULL, NULL, NULL };

/* The statement with its first parameter bound. */
static sqlite3_stmt *about(struct store *store, int which, int64_t agent_id)
{
    bind_int(store->prekeys->stmt[which], 1, agent_id);
    return store->prekeys->stmt[which];
}

enum err store_spk_get(struct store *store, int64_t agent_id, struct spk_row *out)
{
    sqlite3_stmt *stmt = about(store, STMT_SPK, agent_id);
    struct bytes statement;
    enum err e = stmt_step(store->db, stmt);

    if (e != ERR_OK)
        return e;
    statement = column_bytes(stmt, 1);
    out->spk_id = (uint32_t)column_u64(stmt, 0);
    column_copy(stmt, 2, out->sig, sizeof out->sig);
    out->stored_ms = column_u64(stmt, 3);
    out->expires_ms = column_u64(stmt, 4);
    out->len = statement.len;
    if (statement.len > sizeof out->statement)
        e = ERR_STORE;
    else
        memcpy(out->statement, statement.at, statement.len);
    stmt_end(stmt);
    return e;
}

enum err store_spk_put(struct store *store, int64_t agent_id, const struct spk_row *spk)
{
    sqlite3_stmt *stmt = about(store, STMT_PUT_SPK, agent_id);

    bind_int(stmt, 2, spk->spk_id);
    bind_blob(stmt, 3, spk->statement, spk->len);
    bind_blob(stmt, 4, spk->sig, sizeof spk->sig);
    bind_u64(stmt, 5, spk->stored_ms);
    bind_u64(stmt, 6, spk->expires_ms);
    return stmt_run(store->db, stmt);
}

enum err store_opk_count(struct store *store, int64_t agent_id, uint64_t *out)
{
    sqlite3_stmt *stmt = about(store, STMT_HELD, agent_id);
    enum err e = stmt_step(store->db, stmt);

    if (e == ERR_OK) {
        *out = column_u64(stmt, 0);
        stmt_end(stmt);
    }
    return e;
}

static enum err key_of(struct store *store, int which, int64_t agent_id, uint32_t opk_id,
                       uint8_t key[static 32])
{
    sqlite3_stmt *stmt = about(store, which, agent_id);
    enum err e;

    bind_int(stmt, 2, opk_id);
    if ((e = stmt_step(store->db, stmt)) == ERR_OK) {
        column_copy(stmt, 0, key, 32);
        stmt_end(stmt);
    }
    return e;
}

enum err store_opk_get(struct store *store, int64_t agent_id, uint32_t opk_id,
                       uint8_t key[static 32])
{
    return key_of(store, STMT_GET, agent_id, opk_id, key);
}

enum err store_opk_used(struct store *store, int64_t agent_id, uint32_t opk_id,
                        uint8_t key[static 32])
{
    return key_of(store, STMT_USED, agent_id, opk_id, key);
}

enum err store_opk_add(struct store *store, int64_t agent_id, uint32_t opk_id,
                       const uint8_t key[static 32])
{
    sqlite3_stmt *stmt = about(store, STMT_ADD, agent_id);

    bind_int(stmt, 2, opk_id);
    bind_blob(stmt, 3, key, 32);
    return stmt_run(store->db, stmt);
}

enum err store_opk_drop_all(struct store *store, int64_t agent_id)
{
    return stmt_run(store->db, about(store, STMT_DROP_ALL, agent_id));
}

static enum err read_opk(struct store *store, sqlite3_stmt *stmt, uint32_t *opk_id,
                         uint8_t key[static 32])
{
    enum err e = stmt_step(store->db, stmt);

    if (e == ERR_OK) {
        *opk_id = (uint32_t)column_u64(stmt, 0);
        column_copy(stmt, 1, key, 32);
        stmt_end(stmt);
    }
    return e;
}

enum err store_opk_reserved(struct store *store, int64_t agent_id, int64_t requester,
                            uint64_t now_ms, uint32_t *opk_id, uint8_t key[static 32])
{
    sqlite3_stmt *stmt = about(store, STMT_PROMISED, agent_id);

    bind_int(stmt, 2, requester);
    bind_u64(stmt, 3, now_ms);
    return read_opk(store, stmt, opk_id, key);
}

enum err store_opk_reserve(struct store *store, int64_t agent_id, int64_t requester,
                           uint64_t now_ms, uint64_t until_ms, uint32_t *opk_id,
                           uint8_t key[static 32], bool *fresh)
{
    sqlite3_stmt *stmt;
    enum err e = store_opk_reserved(store, agent_id, requester, now_ms, opk_id, key);

    *fresh = false;
    if (e != ERR_NOT_FOUND)
        return e;
    stmt = about(store, STMT_FREE, agent_id);
    bind_u64(stmt, 2, now_ms);
    if ((e = read_opk(store, stmt, opk_id, key)) != ERR_OK)
        return e;
    *fresh = true;
    stmt = about(store, STMT_PROMISE, agent_id);
    bind_int(stmt, 2, *opk_id);
    bind_int(stmt, 3, requester);
    bind_u64(stmt, 4, until_ms);
    return stmt_run_change(store->db, stmt);
}

enum err store_opk_usable(struct store *store, int64_t agent_id, uint32_t opk_id, int64_t requester,
                          uint64_t now_ms)
{
    sqlite3_stmt *stmt = about(store, STMT_GET, agent_id);
    enum err e;

    bind_int(stmt, 2, opk_id);
    if ((e = stmt_step(store->db, stmt)) != ERR_OK)
        return e;
    if (!column_is_null(stmt, 1) && column_int(stmt, 1) != requester
        && column_u64(stmt, 2) > now_ms)
        e = ERR_NOT_FOUND;
    stmt_end(stmt);
    return e;
}

enum err store_opk_use(struct store *store, int64_t agent_id, uint32_t opk_id, uint64_t now_ms)
{
    sqlite3_stmt *stmt = about(store, STMT_REMEMBER, agent_id);
    enum err e;

    bind_int(stmt, 2, opk_id);
    bind_u64(stmt, 3, now_ms);
    if ((e = stmt_run_change(store->db, stmt)) != ERR_OK)
        return e;
    stmt = about(store, STMT_DELETE, agent_id);
    bind_int(stmt, 2, opk_id);
    return stmt_run_change(store->db, stmt);
}
