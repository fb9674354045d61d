#include "broker/store/audit.h"

#include <stdlib.h>

#include "broker/store/inside.h"
#include "shared/wire/limit.h"

#define DAY_MS        UINT64_C(86400000)
#define DEAD_KEPT     (30 * DAY_MS)
#define INVITE_KEPT   (90 * DAY_MS)
#define MINUTES_KEPT  (7 * 1440)
#define AUDIT_KEPT    100000
#define SWEEP_AT_ONCE 256

#define STATEMENTS(X)                                                                              \
    X(ADD, "INSERT INTO audit (at_ms, who, act, about, detail) VALUES (?1, ?2, ?3, ?4, ?5)")       \
    X(MINUTE, "INSERT INTO minute (minute, frames_in, bytes_in, frames_out, bytes_out, expired,"   \
              " refused, commits, commit_us_max, connected)"                                       \
              " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (minute) DO UPDATE"   \
              " SET frames_in = frames_in + ?2, bytes_in = bytes_in + ?3,"                         \
              " frames_out = frames_out + ?4, bytes_out = bytes_out + ?5,"                         \
              " expired = expired + ?6, refused = refused + ?7, commits = commits + ?8,"           \
              " commit_us_max = max(commit_us_max, ?9), connected = ?10")                          \
    X(OLD_MINUTES, "DELETE FROM minute WHERE minute IN"                                            \
                   " (SELECT minute FROM minute WHERE minute < ?1 LIMIT ?2)")                      \
    X(OLD_AUDIT, "DELETE FROM audit WHERE audit_id IN (SELECT audit_id FROM audit"                 \
                 " WHERE audit_id <= (SELECT max(audit_id) FROM audit) - ?1 LIMIT ?2)")            \
    X(OLD_DEAD, "DELETE FROM dead WHERE dead_id IN"                                                \
                " (SELECT dead_id FROM dead WHERE at_ms < ?1 ORDER BY dead_id LIMIT ?2)")          \
    X(OLD_CARDS, "DELETE FROM card WHERE rowid IN (SELECT c.rowid FROM card c"                     \
                 " JOIN card n ON n.agent_id = c.agent_id AND n.gen ="                             \
                 " (SELECT min(gen) FROM card m WHERE m.agent_id = c.agent_id AND m.gen > c.gen)"  \
                 " WHERE n.stored_ms < ?1 LIMIT ?2)")                                              \
    X(OLD_OPKS, "DELETE FROM opk_used WHERE (agent_id, opk_id) IN"                                 \
                " (SELECT agent_id, opk_id FROM opk_used WHERE used_ms < ?1 LIMIT ?2)")            \
    X(OLD_INVITES, "DELETE FROM invite WHERE invite_id IN (SELECT invite_id FROM invite"           \
                   " WHERE max(until_ms, coalesce(used_ms, 0)) < ?1 LIMIT ?2)")
STATEMENT_TABLE(STATEMENTS)

struct audit {
    sqlite3_stmt *stmt[STMT_COUNT];
};

static enum err open_audit(struct store *store)
{
    store->audit = mem_zeroed(1, sizeof *store->audit);
    return stmts_prepare(store->db, stmt_sql, STMT_COUNT, store->audit->stmt);
}

static void close_audit(struct store *store)
{
    if (!store->audit)
        return;
    stmts_finalize(store->audit->stmt, STMT_COUNT);
    free(store->audit);
    store->audit = NULL;
}

const struct module module_audit = { open_audit, close_audit, NULL, NULL, NULL };

enum err store_audit(struct store *store, uint64_t now_ms, const char *who, const char *act,
                     const char *about, const char *detail)
{
    sqlite3_stmt *stmt = store->audit->stmt[STMT_ADD];

    bind_u64(stmt, 1, now_ms);
    bind_text(stmt, 2, who);
    bind_text(stmt, 3, act);
    bind_text(stmt, 4, about ? about : "");
    bind_text(stmt, 5, detail ? detail : "");
    return stmt_run(store->db, stmt);
}

enum err store_minute_add(struct store *store, uint64_t now_ms, const struct minute_counts *counts)
{
    sqlite3_stmt *stmt = store->audit->stmt[STMT_MINUTE];
    const uint64_t values[] = { counts->frames_in, counts->bytes_in,      counts->frames_out,
                                counts->bytes_out, counts->expired,       counts->refused,
                                counts->commits,   counts->commit_us_max, counts->connected };

    bind_u64(stmt, 1, now_ms / 60000);
    for (int i = 0; i < (int)(sizeof values / sizeof values[0]); i++)
        bind_u64(stmt, i + 2, values[i]);
    return stmt_run(store->db, stmt);
}

static uint64_t before(uint64_t now, uint64_t by)
{
    return now > by ? now - by : 0;
}

enum err store_sweep_old(struct store *store, uint64_t now_ms, bool *more)
{
    const struct {
        int stmt;
        uint64_t limit;
    } old[] = {
        { STMT_OLD_MINUTES, before(now_ms / 60000, MINUTES_KEPT) },
        { STMT_OLD_AUDIT, AUDIT_KEPT },
        { STMT_OLD_DEAD, before(now_ms, DEAD_KEPT) },
        { STMT_OLD_CARDS, before(now_ms, LIMIT_KEEP_MS) },
        { STMT_OLD_OPKS, before(now_ms, LIMIT_KEEP_MS) },
        { STMT_OLD_INVITES, before(now_ms, INVITE_KEPT) },
    };

    *more = false;
    for (size_t i = 0; i < sizeof old / sizeof old[0]; i++) {
        sqlite3_stmt *stmt = store->audit->stmt[old[i].stmt];
        enum err e;

        bind_u64(stmt, 1, old[i].limit);
        bind_int(stmt, 2, SWEEP_AT_ONCE);
        if ((e = stmt_run(store->db, stmt)) != ERR_OK)
            return e;
        if (sqlite3_changes(db_handle(store->db)) == SWEEP_AT_ONCE)
            *more = true;
    }
    return ERR_OK;
}
