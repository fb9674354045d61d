#include "agent/store/store.h"

#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/crypto/seal.h"
#include "agent/store/inner.h"
#include "agent/store/key.h"
#include "shared/base/files.h"
#include "shared/base/log.h"
#include "shared/db/clean.h"
#include "shared/db/migrate.h"

#define APPLICATION_ID  0x53504131 /* "SPA1" */
#define WAL_PAGES_LIMIT 4096

extern const struct migration agent_migrations[];
extern const char agent_views[];

#define STATEMENTS(X)                                                                              \
    X(GET, "SELECT value FROM meta WHERE key = ?1")                                                \
    X(SET, "INSERT INTO meta (key, value, comment) VALUES (?1, ?2, ?3)"                            \
           " ON CONFLICT (key) DO UPDATE SET value = ?2")                                          \
    X(REMOVE, "DELETE FROM meta WHERE key = ?1")                                                   \
    X(NEXT_ID, "SELECT seq FROM sqlite_sequence WHERE name = ?1")
STATEMENT_TABLE(STATEMENTS)
const struct profile_statements profile_sql_meta = { stmt_sql, STMT_COUNT };

static const struct profile_statements *const modules[MODULE_COUNT] = {
    [IN_META] = &profile_sql_meta,       [IN_ME] = &profile_sql_me,
    [IN_SECRETS] = &profile_sql_secret,  [IN_PEERS] = &profile_sql_peer,
    [IN_ALARMS] = &profile_sql_alarm,    [IN_LOG] = &profile_sql_log,
    [IN_SCOPES] = &profile_sql_scope,    [IN_SESSIONS] = &profile_sql_session,
    [IN_OUTBOX] = &profile_sql_outbox,   [IN_INBOX] = &profile_sql_inbox,
    [IN_ACKS] = &profile_sql_ack,        [IN_DEAD] = &profile_sql_dead,
    [IN_CHANGES] = &profile_sql_changes, [IN_GROUPS] = &profile_sql_group,
    [IN_CHAINS] = &profile_sql_chain,
};

static enum err prepare_all(struct agent_store *store)
{
    for (int i = 0; i < MODULE_COUNT; i++) {
        size_t count = modules[i]->count;
        store->stmt[i] = mem_zeroed(count, sizeof *store->stmt[i]);
        store->stmt_count[i] = count;
        enum err e = stmts_prepare(store->db, modules[i]->sql, count, store->stmt[i]);
        if (e != ERR_OK)
            return e;
    }
    return ERR_OK;
}

/* Is the key the one that the file was sealed with? */
static enum err check_key(struct agent_store *store)
{
    struct buf plain = { 0 };
    sqlite3_stmt *get;
    enum err e = ERR_OK;

    if (sqlite3_prepare_v2(db_handle(store->db), "SELECT key_check FROM profile", -1, &get, NULL)
        != SQLITE_OK)
        return ERR_STORE;
    if (sqlite3_step(get) == SQLITE_ROW)
        e = unseal(&plain, store->key, (struct seal_place){ "profile.key_check", 1, 0 },
                   column_bytes(get, 0));
    sqlite3_finalize(get);
    buf_wipe(&plain);
    buf_free(&plain);
    return e;
}

static enum err open_file(struct agent_store **out, const char *path, bool create,
                          const uint8_t key[static AGENT_KEY_SIZE])
{
    struct agent_store *store = mem_zeroed(1, sizeof *store);
    bool memory = strcmp(path, ":memory:") == 0;
    struct db_options options = { .application_id = APPLICATION_ID,
                                  .create = create,
                                  .exclusive = !memory,
                                  .secure_delete = true,
                                  .cache_kib = 8192,
                                  .wal_limit = 4 << 20 };
    enum err e;

    memcpy(store->key, key, AGENT_KEY_SIZE);
    db_clean_memory();
    e = db_open(&store->db, path, &options);
    if (e == ERR_OK)
        e = migrate(store->db, agent_migrations, agent_views);
    if (e == ERR_OK)
        e = check_key(store);
    if (e == ERR_OK)
        e = prepare_all(store);
    if (e == ERR_OK)
        in_changes_watch(store);
    else
        agent_store_close(&store);
    *out = store;
    return e;
}

static void database_path(char out[static PATH_MAX], const char *dir)
{
    char real[PATH_MAX];
    if (!realpath(dir, real))
        snprintf(real, sizeof real, "%s", dir);
    int len = snprintf(out, PATH_MAX, "%s/" AGENT_STORE_FILE, real);
    if (len >= PATH_MAX)
        out[0] = '\0';
}

/* Nobody else may look, whatever the umask was. */
static enum err restrict_file(int dir_fd)
{
    int fd = openat(dir_fd, AGENT_STORE_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    enum err e = fd >= 0 && fchmod(fd, 0600) == 0 ? ERR_OK : ERR_IO;
    if (fd >= 0)
        close(fd);
    return e;
}

static bool has_database(int dir_fd)
{
    return faccessat(dir_fd, AGENT_STORE_FILE, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static enum err create_file(struct agent_store **out, int dir_fd, const char *dir,
                            const uint8_t key[static AGENT_KEY_SIZE])
{
    char path[PATH_MAX];
    enum err e;

    database_path(path, dir);
    e = open_file(out, path, true, key);
    if (e == ERR_OK && (e = restrict_file(dir_fd)) != ERR_OK)
        agent_store_close(out);
    return e;
}

enum err agent_store_create(struct agent_store **out, const char *dir,
                            const uint8_t key[static AGENT_KEY_SIZE])
{
    uint8_t kept[AGENT_KEY_SIZE];
    int dir_fd = -1;
    enum err e = dir_open(dir, 0700, &dir_fd);

    *out = NULL;
    if (e != ERR_OK)
        return e;
    if (has_database(dir_fd)) {
        close(dir_fd);
        return ERR_EXISTS;
    }
    /* The key first: a database without its key could never be opened again. */
    e = agent_key_make(dir_fd, key, bytes_of(NULL, 0));
    if (e == ERR_OK || e == ERR_EXISTS)
        e = agent_key_read(dir_fd, bytes_of(NULL, 0), kept);
    if (e == ERR_OK)
        e = create_file(out, dir_fd, dir, kept);
    sodium_memzero(kept, sizeof kept);
    close(dir_fd);
    return e;
}

enum err agent_store_create_with(struct agent_store **out, const char *dir,
                                 const uint8_t key[static AGENT_KEY_SIZE])
{
    int dir_fd = -1;
    enum err e = dir_open(dir, 0700, &dir_fd);

    *out = NULL;
    if (e != ERR_OK)
        return e;
    if (has_database(dir_fd))
        e = ERR_EXISTS;
    else
        e = create_file(out, dir_fd, dir, key);
    close(dir_fd);
    return e;
}

enum err agent_store_open_with(struct agent_store **out, const char *dir,
                               const uint8_t key[static AGENT_KEY_SIZE])
{
    char path[PATH_MAX];
    int dir_fd = -1;
    enum err e = dir_open(dir, 0700, &dir_fd);

    *out = NULL;
    if (e != ERR_OK)
        return e;
    if (!has_database(dir_fd))
        e = ERR_NOT_FOUND;
    database_path(path, dir);
    if (e == ERR_OK)
        e = open_file(out, path, false, key);
    close(dir_fd);
    return e;
}

enum err agent_store_open(struct agent_store **out, const char *dir)
{
    uint8_t key[AGENT_KEY_SIZE];
    int dir_fd = -1;
    enum err e = dir_open(dir, 0700, &dir_fd);

    *out = NULL;
    if (e != ERR_OK)
        return e;
    e = has_database(dir_fd) ? agent_key_read(dir_fd, bytes_of(NULL, 0), key) : ERR_NOT_FOUND;
    if (e == ERR_OK)
        e = agent_store_open_with(out, dir, key);
    sodium_memzero(key, sizeof key);
    close(dir_fd);
    return e;
}

enum err agent_store_memory(struct agent_store **out, const uint8_t key[static AGENT_KEY_SIZE])
{
    return open_file(out, ":memory:", true, key);
}

void agent_store_close(struct agent_store **store)
{
    struct agent_store *s = *store;

    if (!s)
        return;
    if (s->db && db_in_transaction(s->db))
        db_rollback(s->db);
    for (int i = 0; i < MODULE_COUNT; i++) {
        if (s->stmt[i])
            stmts_finalize(s->stmt[i], s->stmt_count[i]);
        free(s->stmt[i]);
    }
    if (s->db && !db_broken(s->db))
        db_checkpoint(s->db, DB_TRUNCATE);
    db_close(&s->db);
    sodium_memzero(s->key, sizeof s->key);
    free(s);
    *store = NULL;
}

void agent_store_random(struct agent_store *store, void (*random)(void *, uint8_t *, size_t),
                        void *ctx)
{
    store->random = random;
    store->random_ctx = ctx;
}

/* ------------------------------------------------------------------ transactions */

void agent_store_begin(struct agent_store *store)
{
    store->shred = false;
    store->failure = db_begin(store->db);
}

enum err agent_store_commit(struct agent_store *store)
{
    enum err e = store->failure;

    if (e == ERR_OK)
        e = db_commit(store->db);
    if (e != ERR_OK) {
        agent_store_rollback(store);
        return e;
    }
    store->untidy = store->untidy || store->shred;
    if (db_wal_pages(store->db) > WAL_PAGES_LIMIT)
        db_checkpoint(store->db, DB_TRUNCATE);
    return ERR_OK;
}

void agent_store_rollback(struct agent_store *store)
{
    db_rollback(store->db);
    store->failure = ERR_OK;
    store->shred = false;
}

enum err agent_store_failure(const struct agent_store *store)
{
    return store->failure;
}

void agent_store_fail(struct agent_store *store, enum err e)
{
    if (store->failure == ERR_OK)
        store->failure = e;
}

void agent_store_shred(struct agent_store *store)
{
    store->shred = true;
}

void agent_store_tidy(struct agent_store *store, bool now)
{
    if (store->untidy || now) {
        db_checkpoint(store->db, DB_TRUNCATE);
        store->untidy = false;
    }
}

bool agent_store_untidy(const struct agent_store *store)
{
    return store->untidy;
}

enum err agent_store_dump(struct agent_store *store, struct buf *out)
{
    return migrate_dump(store->db, out);
}

/* ------------------------------------------------------------------ statements */

void in_run(struct agent_store *store, sqlite3_stmt *stmt)
{
    if (store->failure == ERR_OK)
        store->failure = stmt_run(store->db, stmt);
    else
        stmt_end(stmt);
}

bool in_change(struct agent_store *store, sqlite3_stmt *stmt)
{
    if (store->failure != ERR_OK) {
        stmt_end(stmt);
        return false;
    }
    enum err e = stmt_run_change(store->db, stmt);
    if (e != ERR_OK && e != ERR_NOT_FOUND)
        store->failure = e;
    return e == ERR_OK;
}

bool in_row(struct agent_store *store, sqlite3_stmt *stmt)
{
    if (store->failure != ERR_OK) {
        stmt_end(stmt);
        return false;
    }
    enum err e = stmt_step(store->db, stmt);
    if (e != ERR_OK && e != ERR_NOT_FOUND)
        store->failure = e;
    return e == ERR_OK;
}

int64_t in_number(struct agent_store *store, sqlite3_stmt *stmt, int64_t otherwise)
{
    if (!in_row(store, stmt))
        return otherwise;
    int64_t v = column_is_null(stmt, 0) ? otherwise : column_int(stmt, 0);
    stmt_end(stmt);
    return v;
}

int64_t in_last_id(struct agent_store *store)
{
    return sqlite3_last_insert_rowid(db_handle(store->db));
}

int64_t in_next_id(struct agent_store *store, const char *table)
{
    sqlite3_stmt *next = in_stmt(store, IN_META, STMT_NEXT_ID);
    bind_text(next, 1, table);
    return in_number(store, next, 0) + 1;
}

/* ------------------------------------------------------------------ sealed columns */

void in_seal(struct agent_store *store, struct buf *out, const char *column, int64_t key,
             int64_t version, struct bytes plain)
{
    uint8_t nonce[SEAL_NONCE_SIZE];

    store->random(store->random_ctx, nonce, sizeof nonce);
    seal(out, store->key, (struct seal_place){ column, (uint64_t)key, (uint64_t)version }, nonce,
         plain);
}

bool in_unseal(struct agent_store *store, struct buf *out, const char *column, int64_t key,
               int64_t version, struct bytes sealed)
{
    struct seal_place place = { column, (uint64_t)key, (uint64_t)version };
    enum err e = unseal(out, store->key, place, sealed);

    if (e != ERR_OK) {
        log_event(LOG_ERROR, "store.unseal", "column=%s row=%lld", column, (long long)key);
        agent_store_fail(store, e);
    }
    return e == ERR_OK;
}

/* ------------------------------------------------------------------ meta */

bool profile_number_get(struct agent_store *store, const char *key, uint64_t *out)
{
    sqlite3_stmt *get = in_stmt(store, IN_META, STMT_GET);

    bind_text(get, 1, key);
    if (!in_row(store, get))
        return false;
    *out = column_u64(get, 0);
    stmt_end(get);
    return true;
}

void profile_number_set(struct agent_store *store, const char *key, uint64_t value,
                        const char *comment)
{
    sqlite3_stmt *set = in_stmt(store, IN_META, STMT_SET);

    bind_text(set, 1, key);
    bind_u64(set, 2, value);
    bind_text(set, 3, comment);
    in_run(store, set);
}

bool profile_blob_get(struct agent_store *store, const char *key, struct buf *out)
{
    sqlite3_stmt *get = in_stmt(store, IN_META, STMT_GET);

    bind_text(get, 1, key);
    if (!in_row(store, get))
        return false;
    buf_set(out, column_bytes(get, 0));
    stmt_end(get);
    return true;
}

void profile_blob_set(struct agent_store *store, const char *key, struct bytes value,
                      const char *comment)
{
    sqlite3_stmt *set = in_stmt(store, IN_META, STMT_SET);

    bind_text(set, 1, key);
    bind_bytes(set, 2, value);
    bind_text(set, 3, comment);
    in_run(store, set);
}

void profile_fact_remove(struct agent_store *store, const char *key)
{
    sqlite3_stmt *remove_fact = in_stmt(store, IN_META, STMT_REMOVE);

    bind_text(remove_fact, 1, key);
    in_run(store, remove_fact);
}
