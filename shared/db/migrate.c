#include "shared/db/migrate.h"

#include <stdio.h>

#include "shared/base/log.h"

enum err migrate_version(struct db *db, int *out)
{
    int64_t v = 0;
    enum err e = db_number(db, "PRAGMA user_version", &v);

    if (e == ERR_OK)
        *out = (int)v;
    return e;
}

static enum err set_number(struct db *db, const char *pragma, int value)
{
    char sql[64];
    int64_t got = -1;
    enum err e;

    snprintf(sql, sizeof sql, "PRAGMA %s=%d", pragma, value);
    if ((e = db_run(db, sql)) != ERR_OK)
        return e;
    snprintf(sql, sizeof sql, "PRAGMA %s", pragma);
    e = db_number(db, sql, &got);
    return e == ERR_OK && got != value ? ERR_STORE : e;
}

/* Every view of the file goes, whatever an older version called it. */
static enum err drop_views(struct db *db)
{
    struct buf sql = { 0 };
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(db_handle(db), "SELECT name FROM sqlite_schema WHERE type = 'view'",
                                -1, &stmt, NULL);
    enum err e = ERR_OK;

    while (rc == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW) {
        char line[160];
        char *quoted = sqlite3_mprintf("DROP VIEW \"%w\";", sqlite3_column_text(stmt, 0));

        snprintf(line, sizeof line, "%s", quoted);
        sqlite3_free(quoted);
        buf_append(&sql, line, strlen(line));
    }
    sqlite3_finalize(stmt);
    if (rc != SQLITE_OK)
        e = db_error(db, rc);
    buf_append(&sql, "", 1);
    if (e == ERR_OK)
        e = db_run(db, (const char *)sql.at);
    buf_free(&sql);
    return e;
}

static enum err set_meta_schema(struct db *db, int version)
{
    char sql[96];

    snprintf(sql, sizeof sql, "UPDATE meta SET value = %d WHERE key = 'schema'", version);
    return db_run(db, sql);
}

static enum err foreign_keys_hold(struct db *db)
{
    int64_t ignored;
    enum err e = db_number(db, "SELECT 1 FROM pragma_foreign_key_check", &ignored);

    return e == ERR_NOT_FOUND ? ERR_OK : e == ERR_OK ? ERR_STORE : e;
}

static enum err run_one(struct db *db, const struct migration *step, const char *views)
{
    enum err e = db_run(db, "BEGIN EXCLUSIVE");

    if (e == ERR_OK)
        e = db_run(db, step->sql);
    if (e == ERR_OK)
        e = foreign_keys_hold(db);
    if (e == ERR_OK)
        e = drop_views(db);
    if (e == ERR_OK)
        e = db_run(db, views);
    if (e == ERR_OK)
        e = set_number(db, "user_version", step->version);
    if (e == ERR_OK)
        e = set_meta_schema(db, step->version);
    if (e == ERR_OK)
        e = db_commit(db);
    if (e != ERR_OK) {
        db_rollback(db);
        log_event(LOG_ERROR, "migrate", "step=%s error=%s", step->name, err_name(e));
    }
    return e;
}

enum err migrate(struct db *db, const struct migration *migrations, const char *views)
{
    int have = 0, newest = 0;
    enum err e = migrate_version(db, &have);

    if (e != ERR_OK)
        return e;
    for (const struct migration *m = migrations; m->version; m++)
        newest = m->version;
    if (have > newest) {
        log_event(LOG_ERROR, "migrate", "schema=%d known=%d", have, newest);
        return ERR_STORE_NEWER;
    }
    if ((e = set_number(db, "foreign_keys", 0)) != ERR_OK)
        return e;
    for (const struct migration *m = migrations; m->version; m++)
        if (m->version > have && (e = run_one(db, m, views)) != ERR_OK)
            return e;
    return set_number(db, "foreign_keys", 1);
}

enum err migrate_dump(struct db *db, struct buf *out)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(
        db_handle(db),
        "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"
        " ORDER BY rowid",
        -1, &stmt, NULL);

    while (rc == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW) {
        buf_append(out, sqlite3_column_blob(stmt, 0), (size_t)sqlite3_column_bytes(stmt, 0));
        buf_append(out, ";\n", 2);
    }
    sqlite3_finalize(stmt);
    return rc == SQLITE_OK ? ERR_OK : db_error(db, rc);
}
