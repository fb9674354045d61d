/*
 * meta - facts about the file, the numbers that are given out, and the file `seen`.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "broker/store/inside.h"
#include "shared/base/files.h"
#include "shared/base/text.h"

#define STATEMENTS(X)                                                                              \
    X(GET, "SELECT value FROM meta WHERE key = ?1")                                                \
    X(PUT, "UPDATE meta SET value = ?2 WHERE key = ?1")                                            \
    X(DROP, "DELETE FROM meta WHERE key = ?1")
STATEMENT_TABLE(STATEMENTS)

struct meta {
    sqlite3_stmt *stmt[STMT_COUNT];
};

static enum err load_numbers(struct store *store)
{
    static const struct {
        const char *sql;
        size_t at;
    } highest[] = {
        { "SELECT coalesce(max(agent_id), 0) FROM agent", offsetof(struct numbers, agent) },
        { "SELECT coalesce(max(scope_id), 0) FROM scope", offsetof(struct numbers, scope) },
        { "SELECT coalesce(max(stream_id), 0) FROM stream", offsetof(struct numbers, stream) },
        { "SELECT coalesce(max(invite_id), 0) FROM invite", offsetof(struct numbers, invite) },
    };

    for (size_t i = 0; i < sizeof highest / sizeof highest[0]; i++) {
        int64_t v = 0;
        enum err e = db_number(store->db, highest[i].sql, &v);

        if (e != ERR_OK)
            return e;
        memcpy((char *)&store->numbers + highest[i].at, &v, sizeof v);
    }
    return ERR_OK;
}

static enum err open_meta(struct store *store)
{
    int64_t boot = 0, since = 0, position = 0, serial = 0;
    enum err e;

    store->meta = mem_zeroed(1, sizeof *store->meta);
    if ((e = stmts_prepare(store->db, stmt_sql, STMT_COUNT, store->meta->stmt)) != ERR_OK
        || (e = meta_get_blob(store, "store_id", store->id, 16)) != ERR_OK
        || (e = meta_get_blob(store, "incarnation", store->incarnation, 16)) != ERR_OK
        || (e = meta_get(store, "incarnation_ms", &since)) != ERR_OK
        || (e = meta_get(store, "boot", &boot)) != ERR_OK
        || (e = meta_get(store, "position_limit", &position)) != ERR_OK
        || (e = meta_get(store, "serial_limit", &serial)) != ERR_OK
        || (e = load_numbers(store)) != ERR_OK)
        return e;
    store->incarnation_ms = (uint64_t)since;
    store->boot = (uint64_t)boot;
    store->numbers.position = store->numbers.position_limit = (uint64_t)position;
    store->numbers.serial = store->numbers.serial_limit = (uint64_t)serial;
    store->numbers_before = store->numbers;
    return ERR_OK;
}

static void close_meta(struct store *store)
{
    if (!store->meta)
        return;
    stmts_finalize(store->meta->stmt, STMT_COUNT);
    free(store->meta);
    store->meta = NULL;
}

/* Numbers given out in a turn that failed are not given out again; ceilings and rows are as before.
 */
static void forget_numbers(struct store *store)
{
    struct numbers *now = &store->numbers, *before = &store->numbers_before;

    now->position_limit = before->position_limit;
    now->serial_limit = before->serial_limit;
    now->agent = before->agent;
    now->scope = before->scope;
    now->stream = before->stream;
    now->invite = before->invite;
}

const struct module module_meta = { open_meta, close_meta, NULL, NULL, forget_numbers };

enum err meta_get(struct store *store, const char *key, int64_t *out)
{
    sqlite3_stmt *stmt = store->meta->stmt[STMT_GET];
    enum err e;

    bind_text(stmt, 1, key);
    e = stmt_step(store->db, stmt);
    if (e == ERR_OK) {
        *out = column_int(stmt, 0);
        stmt_end(stmt);
    }
    return e;
}

enum err meta_get_blob(struct store *store, const char *key, uint8_t *out, size_t len)
{
    sqlite3_stmt *stmt = store->meta->stmt[STMT_GET];
    enum err e;

    bind_text(stmt, 1, key);
    e = stmt_step(store->db, stmt);
    if (e == ERR_OK) {
        if (!column_copy(stmt, 0, out, len))
            e = ERR_STORE;
        stmt_end(stmt);
    }
    return e;
}

enum err meta_put(struct store *store, const char *key, int64_t value)
{
    sqlite3_stmt *stmt = store->meta->stmt[STMT_PUT];

    bind_text(stmt, 1, key);
    bind_int(stmt, 2, value);
    return stmt_run_change(store->db, stmt);
}

enum err meta_put_blob(struct store *store, const char *key, const uint8_t *value, size_t len)
{
    sqlite3_stmt *stmt = store->meta->stmt[STMT_PUT];

    bind_text(stmt, 1, key);
    bind_blob(stmt, 2, value, len);
    return stmt_run_change(store->db, stmt);
}

enum err meta_drop(struct store *store, const char *key)
{
    sqlite3_stmt *stmt = store->meta->stmt[STMT_DROP];

    bind_text(stmt, 1, key);
    return stmt_run(store->db, stmt);
}

static enum err raise_limit(struct store *store, const char *key, uint64_t used, uint64_t *limit)
{
    enum err e;

    if (*limit - used >= NUMBERS_LOW)
        return ERR_OK;
    e = meta_put(store, key, (int64_t)(*limit + NUMBERS_RESERVE));
    if (e == ERR_OK)
        *limit += NUMBERS_RESERVE;
    return e;
}

enum err meta_reserve(struct store *store)
{
    struct numbers *n = &store->numbers;
    enum err e = raise_limit(store, "position_limit", n->position, &n->position_limit);

    return e == ERR_OK ? raise_limit(store, "serial_limit", n->serial, &n->serial_limit) : e;
}

uint64_t position_next(struct store *store)
{
    return ++store->numbers.position;
}

/* ---- seen
 * ----------------------------------------------------------------------------------------- */

#define SEEN_FORMAT "store %32[0-9a-f] boot %" SCNu64 " position %" SCNu64

enum err seen_read(struct store *store, bool *put_back)
{
    struct buf text = { 0 };
    char hex[33] = "";
    uint8_t id[16];
    uint64_t boot = 0, position = 0;
    enum err e;

    *put_back = false;
    if (store->in_memory)
        return ERR_OK;
    e = file_read_secret(store->dir_fd, "seen", 256, &text);
    if (e == ERR_OK) {
        buf_append(&text, "", 1);
        if (sscanf((const char *)text.at, SEEN_FORMAT, hex, &boot, &position) != 3
            || hex_decode(id, sizeof id, hex, strlen(hex)) != ERR_OK) {
            log_event(LOG_WARN, "seen", "error=malformed");
            *put_back = true; /* better one incarnation too many */
        } else {
            *put_back = memcmp(id, store->id, sizeof id) != 0 || store->boot < boot
                        || store->numbers.position_limit < position;
        }
    }
    buf_free(&text);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err seen_write(struct store *store)
{
    char hex[33], text[128];
    int len;

    if (store->in_memory)
        return ERR_OK;
    hex_encode(hex, store->id, sizeof store->id);
    len = snprintf(text, sizeof text, "store %s boot %" PRIu64 " position %" PRIu64 "\n", hex,
                   store->boot, store->numbers.position_limit);
    return file_write(store->dir_fd, "seen", 0600, bytes_of(text, (size_t)len));
}
