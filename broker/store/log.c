/*
 * log - the table `log`; enrol_log.c keeps its second copy.
 */
#include "broker/store/log.h"

#include <stdlib.h>

#include "broker/store/enrol_log.h"
#include "broker/store/inside.h"

#define STATEMENTS(X)                                                                              \
    X(LAST, "SELECT idx, at_ms, digest FROM log ORDER BY idx DESC LIMIT 1")                        \
    X(ADD, "INSERT INTO log (idx, type, agent_id, name, at_ms, entry, digest)"                     \
           " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")                                                 \
    X(LIST, "SELECT idx, entry, digest FROM log WHERE idx >= ?1 ORDER BY idx LIMIT ?2")
STATEMENT_TABLE(STATEMENTS)

struct log_table {
    sqlite3_stmt *stmt[STMT_COUNT];
    struct log_head head, committed;
};

static enum err read_head(struct store *store, struct log_head *out)
{
    sqlite3_stmt *stmt = store->log->stmt[STMT_LAST];
    enum err e = stmt_step(store->db, stmt);

    if (e == ERR_OK) {
        out->next = column_u64(stmt, 0) + 1;
        out->ts_ms = column_u64(stmt, 1);
        column_copy(stmt, 2, out->digest, sizeof out->digest);
        stmt_end(stmt);
    }
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static enum err open_log(struct store *store)
{
    enum err e;

    store->log = mem_zeroed(1, sizeof *store->log);
    if ((e = stmts_prepare(store->db, stmt_sql, STMT_COUNT, store->log->stmt)) != ERR_OK
        || (e = read_head(store, &store->log->head)) != ERR_OK)
        return e;
    store->log->committed = store->log->head;
    return ERR_OK;
}

static void close_log(struct store *store)
{
    if (!store->log)
        return;
    stmts_finalize(store->log->stmt, STMT_COUNT);
    free(store->log);
    store->log = NULL;
    enrol_log_close(store);
}

static void committed_log(struct store *store)
{
    if (store->log->committed.next == store->log->head.next)
        return;
    store->log->committed = store->log->head;
    enrol_log_committed(store);
    CRASH_POINT("log.committed");
}

static void forget_log(struct store *store)
{
    store->log->head = store->log->committed;
    enrol_log_forget(store);
}

const struct module module_log = { open_log, close_log, NULL, committed_log, forget_log };

void store_log_head(struct store *store, struct log_head *out)
{
    *out = store->log->head;
}

enum err log_insert(struct store *store, struct bytes packed, int64_t agent_id)
{
    sqlite3_stmt *stmt = store->log->stmt[STMT_ADD];
    struct log_head head = store->log->head;
    struct log_entry entry;
    enum err e = log_head_append(&head, packed, &entry);

    if (e != ERR_OK)
        return e;
    bind_u64(stmt, 1, entry.index);
    bind_int(stmt, 2, entry.type);
    bind_int(stmt, 3, agent_id);
    bind_text(stmt, 4, entry.name);
    bind_u64(stmt, 5, entry.ts_ms);
    bind_bytes(stmt, 6, packed);
    bind_blob(stmt, 7, head.digest, sizeof head.digest);
    if ((e = stmt_run(store->db, stmt)) == ERR_OK)
        store->log->head = head;
    return e;
}

enum err store_log_append(struct store *store, struct bytes packed, int64_t agent_id,
                          struct bytes card, const uint8_t *card_sig)
{
    struct enrol_record record = { packed, card, card_sig };
    struct log_head head = store->log->head;
    struct log_entry entry;
    enum err e = log_head_append(&head, packed, &entry);

    if (e != ERR_OK)
        return e;
    CRASH_POINT("log.checked");
    if ((e = enrol_log_append(store, &record)) != ERR_OK)
        return e;
    CRASH_POINT("log.file_synced");
    e = log_insert(store, packed, agent_id);
    CRASH_POINT("log.row");
    return e;
}

enum err store_log_list(struct store *store, uint64_t index, uint64_t max, store_log_visit *visit,
                        void *ctx)
{
    sqlite3_stmt *stmt = store->log->stmt[STMT_LIST];
    enum err e;

    bind_u64(stmt, 1, index);
    bind_u64(stmt, 2, max);
    while ((e = stmt_step(store->db, stmt)) == ERR_OK) {
        uint8_t digest[32];

        column_copy(stmt, 2, digest, sizeof digest);
        if (!visit(ctx, column_u64(stmt, 0), column_bytes(stmt, 1), digest)) {
            stmt_end(stmt);
            return ERR_OK;
        }
    }
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}
