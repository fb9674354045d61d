#include "shared/db/db.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "shared/base/log.h"

struct db {
    sqlite3 *sqlite; /* owned */
    sqlite3_stmt *begin, *commit, *rollback;
    int wal_pages;
    bool broken, full;
    bool in_memory;
};

sqlite3 *db_handle(struct db *db)
{
    return db->sqlite;
}

bool db_broken(const struct db *db)
{
    return db->broken;
}

bool db_full(const struct db *db)
{
    return db->full;
}

int db_wal_pages(const struct db *db)
{
    return db->wal_pages;
}

bool db_in_transaction(struct db *db)
{
    return !sqlite3_get_autocommit(db->sqlite);
}

enum err db_error(struct db *db, int rc)
{
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return ERR_OK;
    case SQLITE_FULL:
        db->full = true;
        return ERR_STORE_FULL;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ERR_BUSY;
    case SQLITE_NOMEM:
        log_event(LOG_ERROR, "database", "rc=%d error=\"out of memory\"", rc);
        abort();
    case SQLITE_IOERR:
        /* A full disk may look like this while the log or its index grows: SQLite says so only in
         * the number. */
        if ((rc == SQLITE_IOERR_WRITE || rc == SQLITE_IOERR_SHMSIZE) && sqlite3_system_errno(db->sqlite) == ENOSPC) {
            db->full = true;
            return ERR_STORE_FULL;
        }
        db->broken = true;
        break;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        db->broken = true;
        break;
    default:
        break;
    }
    log_event(LOG_ERROR, "database", "rc=%d error=%s", rc, log_value(sqlite3_errmsg(db->sqlite)));
    return ERR_STORE;
}

enum err db_run(struct db *db, const char *sql)
{
    int rc = sqlite3_exec(db->sqlite, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? ERR_OK : db_error(db, rc);
}

enum err db_number(struct db *db, const char *sql, int64_t *out)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(db->sqlite, sql, -1, &stmt, NULL);
    enum err e;

    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        *out = sqlite3_column_int64(stmt, 0);
    e = rc == SQLITE_ROW ? ERR_OK : rc == SQLITE_DONE ? ERR_NOT_FOUND : db_error(db, rc);
    sqlite3_finalize(stmt);
    return e;
}

/* Says `set`, then asks: several pragmas silently do nothing when they come too late. */
static enum err pragma(struct db *db, const char *name, const char *value, const char *want)
{
    char sql[96];
    sqlite3_stmt *stmt = NULL;
    const char *got;
    bool same;

    snprintf(sql, sizeof sql, "PRAGMA %s=%s", name, value);
    if (sqlite3_exec(db->sqlite, sql, NULL, NULL, NULL) != SQLITE_OK)
        return db_error(db, sqlite3_extended_errcode(db->sqlite));
    snprintf(sql, sizeof sql, "PRAGMA %s", name);
    if (sqlite3_prepare_v2(db->sqlite, sql, -1, &stmt, NULL) != SQLITE_OK
        || sqlite3_step(stmt) != SQLITE_ROW) {
        sqlite3_finalize(stmt);
        return db_error(db, sqlite3_extended_errcode(db->sqlite));
    }
    got = (const char *)sqlite3_column_text(stmt, 0);
    same = got && strcmp(got, want) == 0;
    if (!same)
        log_event(LOG_ERROR, "pragma", "name=%s want=%s got=%s", name, want, got ? got : "nothing");
    sqlite3_finalize(stmt);
    return same ? ERR_OK : ERR_STORE;
}

static enum err pragma_number(struct db *db, const char *name, int64_t value)
{
    char text[24];

    snprintf(text, sizeof text, "%lld", (long long)value);
    return pragma(db, name, text, text);
}

enum err db_limit(struct db *db, uint64_t max_pages)
{
    int64_t pages = 0;
    uint64_t most = max_pages && max_pages < 4294967294u ? max_pages : 4294967294u;
    enum err e = db_number(db, "PRAGMA page_count", &pages);

    /* A file that is larger already stays as large as it is: SQLite answers so. */
    if (e == ERR_OK && (uint64_t)pages > most)
        most = (uint64_t)pages;
    return e == ERR_OK ? pragma_number(db, "max_page_count", (int64_t)most) : e;
}

static enum err set_guards(struct db *db)
{
    static const struct {
        int option, want;
    } guards[] = {
        { SQLITE_DBCONFIG_DEFENSIVE, 1 },      { SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0 },
        { SQLITE_DBCONFIG_DQS_DML, 0 },        { SQLITE_DBCONFIG_DQS_DDL, 0 },
        { SQLITE_DBCONFIG_ENABLE_TRIGGER, 0 }, { SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0 },
    };
    static const struct {
        int id, most;
    } limits[] = {
        { SQLITE_LIMIT_LENGTH, 1 << 20 },
        { SQLITE_LIMIT_SQL_LENGTH, 1 << 16 },
        { SQLITE_LIMIT_ATTACHED, 0 },
        { SQLITE_LIMIT_VARIABLE_NUMBER, 64 },
    };

    for (size_t i = 0; i < sizeof guards / sizeof guards[0]; i++) {
        int got = -1;

        if (sqlite3_db_config(db->sqlite, guards[i].option, guards[i].want, &got) != SQLITE_OK
            || got != guards[i].want)
            return ERR_STORE;
    }
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        sqlite3_limit(db->sqlite, limits[i].id, limits[i].most);
        if (sqlite3_limit(db->sqlite, limits[i].id, -1) != limits[i].most)
            return ERR_STORE;
    }
    return ERR_OK;
}

/* A file that is not ours, or is later than we are, is refused before anything writes to it.  One in
 * which nothing stands yet is ours: its making was cut short before the first migration. */
static enum err check_identity(struct db *db, const struct db_options *options)
{
    int64_t pages = 0, id = 0, things = 0;
    enum err e = db_number(db, "PRAGMA page_count", &pages);

    if (e != ERR_OK || pages == 0)
        return e;
    e = db_number(db, "PRAGMA application_id", &id);
    if (e == ERR_OK && id == 0) {
        e = db_number(db, "SELECT count(*) FROM sqlite_schema", &things);
        if (e == ERR_OK && things == 0)
            return ERR_OK;
    }
    if (e == ERR_OK && (uint32_t)id != options->application_id) {
        log_event(LOG_ERROR, "database", "error=\"file of another program\" application_id=%08x",
                  (unsigned)(uint32_t)id);
        return ERR_STORE;
    }
    return e;
}

/* Pages, log and locks, in the order in which SQLite obeys them. */
static enum err set_layout(struct db *db, const struct db_options *options)
{
    enum err e;
    int keep = options->keep_wal;

    if ((e = pragma_number(db, "page_size", DB_PAGE_SIZE)) != ERR_OK
        || (e = pragma(db, "auto_vacuum", "NONE", "0")) != ERR_OK
        || (e = pragma(db, "encoding", "'UTF-8'", "UTF-8")) != ERR_OK)
        return e;
    if (db->in_memory)
        return ERR_OK;
    if ((e = options->exclusive ? pragma(db, "locking_mode", "EXCLUSIVE", "exclusive")
                                : pragma(db, "locking_mode", "NORMAL", "normal"))
            != ERR_OK
        || (e = pragma(db, "journal_mode", "WAL", "wal")) != ERR_OK)
        return e;
    if (sqlite3_file_control(db->sqlite, "main", SQLITE_FCNTL_PERSIST_WAL, &keep) != SQLITE_OK
        || keep != options->keep_wal)
        return ERR_STORE;
    return ERR_OK;
}

static enum err set_behaviour(struct db *db, const struct db_options *options)
{
    enum err e;

    if ((e = pragma(db, "synchronous", "FULL", "2")) != ERR_OK
        || (e = options->secure_delete ? pragma(db, "secure_delete", "ON", "1")
                                       : pragma(db, "secure_delete", "FAST", "2"))
               != ERR_OK
        || (e = pragma(db, "cell_size_check", "ON", "1")) != ERR_OK
        || (e = pragma(db, "temp_store", "MEMORY", "2")) != ERR_OK
        || (e = pragma(db, "trusted_schema", "OFF", "0")) != ERR_OK
        || (e = pragma_number(db, "cache_size", -(int64_t)options->cache_kib)) != ERR_OK
        || (e = pragma(db, "busy_timeout", "2000", "2000")) != ERR_OK
        || (e = pragma(db, "wal_autocheckpoint", "0", "0")) != ERR_OK
        || (e = pragma_number(db, "journal_size_limit", options->wal_limit)) != ERR_OK)
        return e;
    if (!db->in_memory && (e = pragma(db, "mmap_size", "0", "0")) != ERR_OK)
        return e;
    return db_limit(db, options->max_pages);
}

/* Notes how long the log is; a checkpoint here would keep finished answers waiting. */
static int wal_grew(void *ctx, sqlite3 *sqlite, const char *name, int pages)
{
    struct db *db = ctx;

    (void)sqlite;
    (void)name;
    db->wal_pages = pages;
    return SQLITE_OK;
}

static enum err connect_file(struct db *db, const char *path, const struct db_options *options)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW
                | SQLITE_OPEN_EXRESCODE | (options->create ? SQLITE_OPEN_CREATE : 0);
    int rc = sqlite3_open_v2(path, &db->sqlite, flags, NULL);

    if (rc == SQLITE_OK)
        return ERR_OK;
    return (rc & 0xff) == SQLITE_CANTOPEN ? ERR_NOT_FOUND : db_error(db, rc);
}

static enum err prepare_turns(struct db *db)
{
    static const char *const sql[] = { "BEGIN IMMEDIATE", "COMMIT", "ROLLBACK" };
    sqlite3_stmt **stmts[] = { &db->begin, &db->commit, &db->rollback };

    for (size_t i = 0; i < 3; i++) {
        int rc
            = sqlite3_prepare_v3(db->sqlite, sql[i], -1, SQLITE_PREPARE_PERSISTENT, stmts[i], NULL);
        if (rc != SQLITE_OK)
            return db_error(db, rc);
    }
    return ERR_OK;
}

enum err db_open(struct db **out, const char *path, const struct db_options *options)
{
    struct db *db;
    enum err e;

    if (sqlite3_libversion_number() < 3040001) {
        log_event(LOG_ERROR, "database", "error=\"SQLite is too old\" version=%s",
                  sqlite3_libversion());
        return ERR_UNSUPPORTED;
    }
    db = mem_zeroed(1, sizeof *db);
    db->in_memory = strcmp(path, ":memory:") == 0;
    if ((e = connect_file(db, path, options)) == ERR_OK && (e = set_guards(db)) == ERR_OK
        && (e = check_identity(db, options)) == ERR_OK && (e = set_layout(db, options)) == ERR_OK
        && (e = set_behaviour(db, options)) == ERR_OK && (e = prepare_turns(db)) == ERR_OK) {
        sqlite3_wal_hook(db->sqlite, wal_grew, db);
        *out = db;
        return ERR_OK;
    }
    db_close(&db);
    return e;
}

void db_close(struct db **db)
{
    int rc;

    if (!*db)
        return;
    sqlite3_finalize((*db)->begin);
    sqlite3_finalize((*db)->commit);
    sqlite3_finalize((*db)->rollback);
    rc = sqlite3_close((*db)->sqlite);
    assert(rc == SQLITE_OK); /* a statement was not finalized */
    (void)rc;
    free(*db);
    *db = NULL;
}

static int run_once(sqlite3_stmt *stmt)
{
    sqlite3_step(stmt);
    return sqlite3_reset(stmt);
}

enum err db_begin(struct db *db)
{
    int rc;

    if (db->broken)
        return ERR_STORE;
    db->full = false;
    rc = run_once(db->begin);
    return rc == SQLITE_OK ? ERR_OK : db_error(db, rc);
}

enum err db_commit(struct db *db)
{
    int rc = run_once(db->commit);

    return rc == SQLITE_OK ? ERR_OK : db_error(db, rc);
}

void db_rollback(struct db *db)
{
    int rc;

    if (!db_in_transaction(db))
        return;
    rc = run_once(db->rollback);
    if (rc != SQLITE_OK)
        db_error(db, rc);
}

enum err db_checkpoint(struct db *db, enum db_checkpoint how)
{
    static const int modes[]
        = { SQLITE_CHECKPOINT_PASSIVE, SQLITE_CHECKPOINT_RESTART, SQLITE_CHECKPOINT_TRUNCATE };
    int log = 0, copied = 0, rc;

    if (db->in_memory)
        return ERR_OK;
    if (how != DB_PASSIVE)
        sqlite3_busy_timeout(db->sqlite, 100);
    rc = sqlite3_wal_checkpoint_v2(db->sqlite, "main", modes[how], &log, &copied);
    if (how != DB_PASSIVE)
        sqlite3_busy_timeout(db->sqlite, 2000);
    if (rc != SQLITE_OK)
        return db_error(db, rc);
    if (copied == log)
        db->wal_pages = 0; /* the next writer starts over at the front */
    return ERR_OK;
}
