/*
 * open - making, opening and closing a store, in an order in which every step may be the last.
 */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "broker/store/audit.h"
#include "broker/store/enrol_log.h"
#include "broker/store/modules.h"
#include "shared/base/files.h"
#include "shared/db/migrate.h"

extern const struct migration broker_migrations[];
extern const char broker_views[];

const struct module *const store_modules[] = {
    &module_meta,
    &module_streams,
    &module_frames,
    &module_cursors,
    &module_senders,
    &module_scopes,
    &module_groups,
    &module_events,
    &module_directory,
    &module_log,
    &module_certificates,
    &module_prekeys,
    &module_invites,
    &module_usage,
    &module_blobs,
    &module_audit,
    NULL,
};

void store_options_default(struct store_options *out)
{
    *out = (struct store_options){
        .max_bytes = UINT64_C(4) << 30,
        .disk_floor_bytes = UINT64_C(256) << 20,
        .ballast_bytes = UINT64_C(64) << 20,
        .wal_alarm_bytes = UINT64_C(64) << 20,
    };
}

static struct db_options db_options_of(const struct store_options *options, bool create)
{
    return (struct db_options){
        .application_id = STORE_APPLICATION_ID,
        .create = create,
        .keep_wal = true,
        .cache_kib = 65536,
        .max_pages = options->max_bytes / DB_PAGE_SIZE,
        .wal_limit = INT64_C(64) << 20,
    };
}

/* The database's real path: SQLite refuses a link anywhere in it.  The caller frees. */
static char *database_path(const struct store_options *options)
{
    char *dir = realpath(options->dir, NULL);
    const char *file = options->file ? options->file : "broker.db";
    size_t size = dir ? strlen(dir) + strlen(file) + 2 : 0;
    char *path = dir ? mem_alloc(size) : NULL;

    if (path)
        snprintf(path, size, "%s/%s", dir, file);
    free(dir);
    return path;
}

/* A new file's ids are drawn by our port, not by SQLite. */
static enum err name_store(struct db *db, const struct store_options *options)
{
    sqlite3_stmt *stmt = NULL;
    uint8_t ids[2][16];
    static const char *const keys[] = { "store_id", "incarnation" };
    static const char *const sql = "UPDATE meta SET value = ?2 WHERE key = ?1";
    enum err e = stmts_prepare(db, &sql, 1, &stmt);

    options->random(options->random_ctx, ids[0], sizeof ids);
    for (size_t i = 0; i < 2 && e == ERR_OK; i++) {
        bind_text(stmt, 1, keys[i]);
        bind_blob(stmt, 2, ids[i], 16);
        e = stmt_run_change(db, stmt);
    }
    if (e == ERR_OK) {
        bind_text(stmt, 1, "created_ms");
        bind_u64(stmt, 2, options->now_ms);
        e = stmt_run_change(db, stmt);
    }
    stmts_finalize(&stmt, 1);
    return e;
}

enum err store_init(const struct store_options *options)
{
    struct db_options wanted = db_options_of(options, false);
    char *path = database_path(options);
    struct db *db = NULL;
    enum err e = ERR_OK;
    int fd;

    if (!path)
        return ERR_NOT_FOUND;
    /* The file's mode is what -wal and -shm get, too. */
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
    if (fd < 0)
        e = errno == EEXIST ? ERR_EXISTS : ERR_IO;
    else
        close(fd);
    if (e == ERR_OK && (e = db_open(&db, path, &wanted)) == ERR_OK
        && (e = migrate(db, broker_migrations, broker_views)) == ERR_OK
        && (e = name_store(db, options)) == ERR_OK)
        e = db_checkpoint(db, DB_TRUNCATE);
    db_close(&db);
    if (e != ERR_OK && e != ERR_EXISTS)
        unlink(path);
    free(path);
    return e;
}

/* ---- opening
 * -------------------------------------------------------------------------------------- */

static enum err open_files(struct store *store)
{
    struct db_options wanted = db_options_of(&store->options, false);
    char *path;
    enum err e = dir_open(store->options.dir, 0750, &store->dir_fd);

    if (e != ERR_OK || (e = dir_check_filesystem(store->dir_fd)) != ERR_OK
        || (e = lock_take(store->dir_fd, "lock", &store->lock_fd)) != ERR_OK)
        return e;
    CRASH_POINT("open.locked");
    path = database_path(&store->options);
    e = path ? db_open(&store->db, path, &wanted) : ERR_NOT_FOUND;
    free(path);
    return e;
}

static enum err open_database(struct store *store)
{
    struct db_options wanted = db_options_of(&store->options, true);
    enum err e = store->in_memory ? db_open(&store->db, ":memory:", &wanted) : open_files(store);

    if (e != ERR_OK || (e = migrate(store->db, broker_migrations, broker_views)) != ERR_OK)
        return e;
    CRASH_POINT("open.migrated");
    return store->in_memory ? name_store(store->db, &store->options) : ERR_OK;
}

static enum err open_modules(struct store *store)
{
    for (const struct module *const *m = store_modules; *m; m++) {
        enum err e = (*m)->open(store);

        if (e != ERR_OK)
            return e;
    }
    return ERR_OK;
}

/*
 * This file does not know what came after it: agents must not trust positions and cursors, nobody
 * may use an invite or a one-time prekey again that may have been used, no session may end for want
 * of events that will come back.
 */
static enum err new_incarnation(struct store *store)
{
    sqlite3_stmt *void_invites = NULL;
    static const char *const sql
        = "UPDATE invite SET withdrawn_ms = ?1 WHERE agent_id IS NULL AND withdrawn_ms IS NULL";
    enum err e;

    store->restored = true;
    store->incarnation_ms = store->options.now_ms;
    store->options.random(store->options.random_ctx, store->incarnation, 16);
    store->numbers.position_limit += RESTORE_LEAP;
    store->numbers.position = store->numbers.position_limit;
    store->numbers.serial_limit += RESTORE_LEAP;
    store->numbers.serial = store->numbers.serial_limit;
    log_event(LOG_WARN, "store_restored", "incarnation=%s", log_id(store->incarnation));
    if ((e = meta_put_blob(store, "incarnation", store->incarnation, 16)) != ERR_OK
        || (e = meta_put(store, "incarnation_ms", (int64_t)store->incarnation_ms)) != ERR_OK
        || (e = meta_put(store, "position_limit", (int64_t)store->numbers.position_limit)) != ERR_OK
        || (e = meta_drop(store, "backup_of")) != ERR_OK
        || (e = db_run(store->db, "DELETE FROM opk")) != ERR_OK
        || (e = stmts_prepare(store->db, &sql, 1, &void_invites)) != ERR_OK)
        return e;
    bind_u64(void_invites, 1, store->options.now_ms);
    e = stmt_run(store->db, void_invites);
    stmts_finalize(&void_invites, 1);
    if (e != ERR_OK)
        return e;
    return store_audit(store, store->options.now_ms, "broker", "store.restored", "",
                       "new incarnation; unused invites and one-time prekeys are void");
}

static enum err was_put_back(struct store *store, bool *put_back)
{
    uint8_t of[16];
    enum err e = seen_read(store, put_back);

    if (e == ERR_OK && !*put_back) {
        e = meta_get_blob(store, "backup_of", of, sizeof of);
        *put_back = e == ERR_OK;
        if (e == ERR_NOT_FOUND)
            e = ERR_OK;
    }
    return e;
}

/* Everything that an opening changes, in one transaction; `seen` follows it. */
static enum err settle_in(struct store *store)
{
    bool put_back = false;
    int64_t clock_ms = 0;
    enum err e;

    if ((e = was_put_back(store, &put_back)) != ERR_OK
        || (e = meta_get(store, "clock_ms", &clock_ms)) != ERR_OK
        || (e = db_begin(store->db)) != ERR_OK)
        return e;
    store->in_turn = true;
    store->numbers_before = store->numbers;
    if (put_back)
        e = new_incarnation(store);
    if (e == ERR_OK)
        e = enrol_log_replay(store);
    if (e == ERR_OK)
        e = meta_put(store, "boot", (int64_t)++store->boot);
    if (e == ERR_OK)
        e = meta_reserve(store);
    if (e == ERR_OK)
        e = store_commit(store);
    else
        store_rollback(store);
    if (e != ERR_OK)
        return e;
    CRASH_POINT("open.reserved");
    if ((e = seen_write(store)) != ERR_OK)
        return e;
    CRASH_POINT("open.seen");
    clock_open(store, (uint64_t)clock_ms);
    return space_open(store);
}

static char *copy_text(const char *text)
{
    size_t size = text ? strlen(text) + 1 : 0;
    char *copy = size ? mem_alloc(size) : NULL;

    if (copy)
        memcpy(copy, text, size);
    return copy;
}

enum err store_open(struct store **out, const struct store_options *options)
{
    struct store *store = mem_zeroed(1, sizeof *store);
    enum err e;

    store->options = *options;
    store->options.dir = copy_text(options->dir);
    store->options.file = copy_text(options->file);
    store->in_memory = options->dir == NULL;
    store->dir_fd = store->lock_fd = -1;
    store->now_ms = options->now_ms;
    store->accepting = store->accepting_written = true;
    options->random(options->random_ctx, (uint8_t *)&store->seed, sizeof store->seed);
    if ((e = open_database(store)) == ERR_OK && (e = open_modules(store)) == ERR_OK
        && (e = settle_in(store)) == ERR_OK) {
        CRASH_POINT("open.ready");
        store->open = true;
        *out = store;
        return ERR_OK;
    }
    store_close(&store);
    return e;
}

void store_configure(struct store *store, const struct store_options *options)
{
    store->options.max_bytes = options->max_bytes;
    store->options.disk_floor_bytes = options->disk_floor_bytes;
    store->options.wal_alarm_bytes = options->wal_alarm_bytes;
    if (db_limit(store->db, options->max_bytes / DB_PAGE_SIZE) != ERR_OK)
        log_event(LOG_ERROR, "store_limit", "max_bytes=%llu",
                  (unsigned long long)options->max_bytes);
}

void store_close(struct store **store)
{
    struct store *s = *store;
    size_t count = 0;

    if (!s)
        return;
    while (store_modules[count])
        count++;
    while (count-- > 0)
        store_modules[count]->close(s);
    space_close(s);
    recount_close(s);
    if (s->db && !db_broken(s->db)) {
        db_rollback(s->db);
        db_checkpoint(s->db, DB_TRUNCATE);
    }
    db_close(&s->db);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    if (s->dir_fd >= 0)
        close(s->dir_fd);
    free((char *)s->options.dir);
    free((char *)s->options.file);
    buf_free(&s->sum);
    free(s);
    *store = NULL;
}

/* ---- check
 * ---------------------------------------------------------------------------------------- */

enum err store_check_file(const char *path)
{
    sqlite3 *sqlite = NULL;
    sqlite3_stmt *stmt = NULL;
    char *real = realpath(path, NULL);
    int newest = 0, rc;
    enum err e = ERR_STORE;

    if (!real)
        return ERR_NOT_FOUND;
    for (const struct migration *m = broker_migrations; m->version; m++)
        newest = m->version;
    rc = sqlite3_open_v2(real, &sqlite, SQLITE_OPEN_READONLY | SQLITE_OPEN_EXRESCODE, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(sqlite,
                                "SELECT (SELECT * FROM pragma_application_id),"
                                " (SELECT * FROM pragma_user_version)",
                                -1, &stmt, NULL);
    if (rc == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW
        && (uint32_t)sqlite3_column_int64(stmt, 0) == STORE_APPLICATION_ID)
        e = sqlite3_column_int(stmt, 1) > newest ? ERR_STORE_NEWER : ERR_OK;
    sqlite3_finalize(stmt);
    sqlite3_close(sqlite);
    free(real);
    return e;
}
