#include "agent/store/check.h"

#include <stdio.h>

#include "agent/crypto/seal.h"
#include "agent/store/inner.h"
#include "shared/db/db.h"

/* Every sealed column: its row's number, its version, the value. */
static const struct {
    const char *column, *sql;
} sealed_columns[] = {
    { "profile.key_check", "SELECT 1, 0, key_check FROM profile" },
    { "secret.private", "SELECT secret_id, 0, private FROM secret" },
    { "session.ratchet",
      "SELECT session_id, version, ratchet FROM session WHERE ratchet NOT NULL" },
    { "skipped.keys", "SELECT session_id, version, keys FROM skipped" },
    { "grp.title", "SELECT group_id, version, title FROM grp WHERE title NOT NULL" },
    { "epoch_job.secret", "SELECT job_id, 0, secret FROM epoch_job" },
    { "chain.state", "SELECT chain_id, version, state FROM chain" },
    { "outbox.message", "SELECT outbox_id, 0, message FROM outbox WHERE message NOT NULL" },
    { "inbox.message", "SELECT inbox_id, 0, message FROM inbox" },
    { "dead.message", "SELECT dead_id, 0, message FROM dead WHERE message NOT NULL" },
};

/* What SQLite itself finds: "ok", or nothing for foreign keys. */
static enum err ask_sqlite(struct agent_store *store, const char *sql, const char *good,
                           struct agent_store_checked *out)
{
    sqlite3_stmt *stmt;
    int rc = sqlite3_prepare_v2(db_handle(store->db), sql, -1, &stmt, NULL);

    if (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(stmt, 0);

        if (!good || !text || strcmp(text, good) != 0)
            snprintf(out->why, sizeof out->why, "%s: %.120s", sql, text ? text : "?");
        rc = SQLITE_DONE;
    }
    sqlite3_finalize(stmt);
    if (rc != SQLITE_DONE)
        return db_error(store->db, rc);
    return out->why[0] ? ERR_CORRUPT : ERR_OK;
}

static enum err open_all(struct agent_store *store, const char *column, const char *sql,
                         struct agent_store_checked *out)
{
    struct buf plain = { 0 };
    sqlite3_stmt *stmt;
    int rc = sqlite3_prepare_v2(db_handle(store->db), sql, -1, &stmt, NULL);

    while (rc == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW && !out->why[0]) {
        struct seal_place place
            = { column, (uint64_t)column_int(stmt, 0), (uint64_t)column_int(stmt, 1) };

        if (unseal(&plain, store->key, place, column_bytes(stmt, 2)) != ERR_OK)
            snprintf(out->why, sizeof out->why, "%s of row %llu does not open", column,
                     (unsigned long long)place.key);
        else
            out->values++;
        buf_wipe(&plain);
    }
    if (rc == SQLITE_OK)
        rc = sqlite3_finalize(stmt);
    if (rc != SQLITE_OK)
        return db_error(store->db, rc);
    return out->why[0] ? ERR_CORRUPT : ERR_OK;
}

enum err agent_store_check(struct agent_store *store, struct agent_store_checked *out)
{
    enum err e;

    *out = (struct agent_store_checked){ 0 };
    e = ask_sqlite(store, "PRAGMA integrity_check", "ok", out);
    if (e == ERR_OK)
        e = ask_sqlite(store, "PRAGMA foreign_key_check", NULL, out);
    for (size_t i = 0; e == ERR_OK && i < sizeof sealed_columns / sizeof sealed_columns[0]; i++)
        e = open_all(store, sealed_columns[i].column, sealed_columns[i].sql, out);
    return e;
}
