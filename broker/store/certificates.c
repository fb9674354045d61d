/*
 * certificates - the controller's newest statement per agent, and its serial numbers.
 */
#include <assert.h>
#include <stdlib.h>

#include "broker/store/directory.h"
#include "broker/store/inside.h"

#define STATEMENTS(X)                                                                              \
    X(GET, "SELECT serial, card_hash, sig, from_ms, until_ms, certificate FROM certificate"        \
           " WHERE agent_id = ?1")                                                                 \
    X(PUT, "INSERT OR REPLACE INTO certificate (agent_id, serial, card_hash, certificate, sig,"    \
           " from_ms, until_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")
STATEMENT_TABLE(STATEMENTS)

struct certificates {
    sqlite3_stmt *stmt[STMT_COUNT];
};

static enum err open_certificates(struct store *store)
{
    store->certificates = mem_zeroed(1, sizeof *store->certificates);
    return stmts_prepare(store->db, stmt_sql, STMT_COUNT, store->certificates->stmt);
}

static void close_certificates(struct store *store)
{
    if (!store->certificates)
        return;
    stmts_finalize(store->certificates->stmt, STMT_COUNT);
    free(store->certificates);
    store->certificates = NULL;
}

const struct module module_certificates
    = { open_certificates, close_certificates, NULL, NULL, NULL };

enum err store_certificate_get(struct store *store, int64_t agent_id, struct certificate_row *out)
{
    sqlite3_stmt *stmt = store->certificates->stmt[STMT_GET];
    struct bytes certificate;
    enum err e;

    bind_int(stmt, 1, agent_id);
    if ((e = stmt_step(store->db, stmt)) != ERR_OK)
        return e;
    certificate = column_bytes(stmt, 5);
    out->serial = column_u64(stmt, 0);
    column_copy(stmt, 1, out->card_hash, sizeof out->card_hash);
    column_copy(stmt, 2, out->sig, sizeof out->sig);
    out->from_ms = column_u64(stmt, 3);
    out->until_ms = column_u64(stmt, 4);
    out->len = certificate.len;
    if (certificate.len > sizeof out->certificate)
        e = ERR_STORE;
    else
        memcpy(out->certificate, certificate.at, certificate.len);
    stmt_end(stmt);
    return e;
}

enum err store_certificate_put(struct store *store, int64_t agent_id,
                               const struct certificate_row *certificate)
{
    sqlite3_stmt *stmt = store->certificates->stmt[STMT_PUT];

    bind_int(stmt, 1, agent_id);
    bind_u64(stmt, 2, certificate->serial);
    bind_blob(stmt, 3, certificate->card_hash, 32);
    bind_blob(stmt, 4, certificate->certificate, certificate->len);
    bind_blob(stmt, 5, certificate->sig, 64);
    bind_u64(stmt, 6, certificate->from_ms);
    bind_u64(stmt, 7, certificate->until_ms);
    return stmt_run(store->db, stmt);
}

enum err store_serial_next(struct store *store, uint64_t *out)
{
    if (store->numbers.serial == store->numbers.serial_limit)
        return ERR_STORE; /* 65,536 in one turn: cannot be */
    *out = ++store->numbers.serial;
    return ERR_OK;
}
