#include "broker/store/blobs.h"

#include <stdlib.h>

#include "broker/store/inside.h"
#include "shared/base/sha256.h"

#define COLUMNS                                                                                    \
    "blob_id, id, owner_id, bytes, chunks, have, hash, checked, gets_left, created_ms, expires_ms"

#define STATEMENTS(X)                                                                              \
    X(FIND, "SELECT " COLUMNS " FROM blob WHERE id = ?1")                                          \
    X(GET, "SELECT " COLUMNS " FROM blob WHERE blob_id = ?1")                                      \
    X(ADD, "INSERT INTO blob (id, owner_id, bytes, chunks, hash, gets_left, created_ms,"           \
           " expires_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")                                 \
    X(SET, "UPDATE blob SET have = ?2, checked = ?3, gets_left = ?4, expires_ms = ?5"              \
           " WHERE blob_id = ?1")                                                                  \
    X(UNCHECKED, "SELECT " COLUMNS " FROM blob WHERE blob_id > ?1 AND NOT checked"                 \
                 " AND have = chunks AND gets_left IS NOT 0 ORDER BY blob_id LIMIT 1")             \
    X(ENDED, "SELECT " COLUMNS " FROM blob WHERE expires_ms <= ?1"                                 \
             " OR owner_id IN (SELECT agent_id FROM agent WHERE state = 2)"                        \
             " ORDER BY expires_ms LIMIT 1")                                                       \
    X(CLEAR, "DELETE FROM chunk WHERE blob_id = ?1 AND idx IN"                                     \
             " (SELECT idx FROM chunk WHERE blob_id = ?1 ORDER BY idx DESC LIMIT ?2)")             \
    X(REMOVE, "DELETE FROM blob WHERE blob_id = ?1")                                               \
    X(CHARGE,                                                                                      \
      "INSERT INTO usage (agent_id, blobs, blob_bytes) VALUES (?1, max(?2, 0), max(?3, 0))"        \
      " ON CONFLICT (agent_id) DO UPDATE SET blobs = max(blobs + ?2, 0),"                          \
      " blob_bytes = max(blob_bytes + ?3, 0)")                                                     \
    X(ADD_CHUNK, "INSERT INTO chunk (blob_id, idx, digest, bytes) VALUES (?1, ?2, ?3, ?4)")        \
    X(DIGEST, "SELECT digest FROM chunk WHERE blob_id = ?1 AND idx = ?2")                          \
    X(CHUNKS, "SELECT idx, digest, bytes FROM chunk WHERE blob_id = ?1 AND idx >= ?2"              \
              " ORDER BY idx LIMIT ?3")
STATEMENT_TABLE(STATEMENTS)

struct blobs_table {
    sqlite3_stmt *stmt[STMT_COUNT];
};

static enum err open_blobs(struct store *store)
{
    store->blobs = mem_zeroed(1, sizeof *store->blobs);
    return stmts_prepare(store->db, stmt_sql, STMT_COUNT, store->blobs->stmt);
}

static void close_blobs(struct store *store)
{
    if (!store->blobs)
        return;
    stmts_finalize(store->blobs->stmt, STMT_COUNT);
    free(store->blobs);
    store->blobs = NULL;
}

const struct module module_blobs = { open_blobs, close_blobs, NULL, NULL, NULL };

/* ---- blobs ----------------------------------------------------------------------------------- */

static enum err read_row(struct store *store, sqlite3_stmt *stmt, struct blob_row *out)
{
    struct blob_row row = { 0 };
    enum err e = stmt_step(store->db, stmt);

    if (e != ERR_OK)
        return e;
    row.blob_id = column_int(stmt, 0);
    column_copy(stmt, 1, row.id, sizeof row.id);
    row.owner_id = column_int(stmt, 2);
    row.bytes = column_u64(stmt, 3);
    row.chunks = column_u64(stmt, 4);
    row.have = column_u64(stmt, 5);
    column_copy(stmt, 6, row.hash, sizeof row.hash);
    row.checked = column_int(stmt, 7) != 0;
    row.gets_left = column_is_null(stmt, 8) ? BLOB_GETS_ENDLESS : column_int(stmt, 8);
    row.created_ms = column_u64(stmt, 9);
    row.expires_ms = column_u64(stmt, 10);
    stmt_end(stmt);
    *out = row;
    return ERR_OK;
}

enum err store_blob_find(struct store *store, const uint8_t id[static 16], struct blob_row *out)
{
    sqlite3_stmt *stmt = store->blobs->stmt[STMT_FIND];

    bind_blob(stmt, 1, id, 16);
    return read_row(store, stmt, out);
}

static enum err read_by(struct store *store, int which, int64_t number, struct blob_row *out)
{
    sqlite3_stmt *stmt = store->blobs->stmt[which];

    bind_int(stmt, 1, number);
    return read_row(store, stmt, out);
}

enum err store_blob_get(struct store *store, int64_t blob_id, struct blob_row *out)
{
    return read_by(store, STMT_GET, blob_id, out);
}

enum err store_blob_unchecked(struct store *store, int64_t after, struct blob_row *out)
{
    return read_by(store, STMT_UNCHECKED, after, out);
}

enum err store_blob_ended(struct store *store, uint64_t now_ms, struct blob_row *out)
{
    return read_by(store, STMT_ENDED, (int64_t)now_ms, out);
}

static enum err charge(struct store *store, int64_t owner_id, int64_t blobs, int64_t bytes)
{
    sqlite3_stmt *stmt = store->blobs->stmt[STMT_CHARGE];

    bind_int(stmt, 1, owner_id);
    bind_int(stmt, 2, blobs);
    bind_int(stmt, 3, bytes);
    return stmt_run(store->db, stmt);
}

static void bind_gets(sqlite3_stmt *stmt, int at, int64_t gets_left)
{
    if (gets_left == BLOB_GETS_ENDLESS)
        bind_null(stmt, at);
    else
        bind_int(stmt, at, gets_left);
}

enum err store_blob_add(struct store *store, struct blob_row *blob)
{
    sqlite3_stmt *stmt = store->blobs->stmt[STMT_ADD];
    struct blob_row there;
    enum err e = store_blob_find(store, blob->id, &there);

    if (e != ERR_NOT_FOUND)
        return e == ERR_OK ? ERR_EXISTS : e;
    bind_blob(stmt, 1, blob->id, sizeof blob->id);
    bind_int(stmt, 2, blob->owner_id);
    bind_u64(stmt, 3, blob->bytes);
    bind_u64(stmt, 4, blob->chunks);
    bind_blob(stmt, 5, blob->hash, sizeof blob->hash);
    bind_gets(stmt, 6, blob->gets_left);
    bind_u64(stmt, 7, blob->created_ms);
    bind_u64(stmt, 8, blob->expires_ms);
    if ((e = stmt_run(store->db, stmt)) != ERR_OK)
        return e;
    blob->blob_id = sqlite3_last_insert_rowid(db_handle(store->db));
    return charge(store, blob->owner_id, 1, (int64_t)blob->bytes);
}

enum err store_blob_set(struct store *store, const struct blob_row *blob)
{
    sqlite3_stmt *stmt = store->blobs->stmt[STMT_SET];

    bind_int(stmt, 1, blob->blob_id);
    bind_u64(stmt, 2, blob->have);
    bind_int(stmt, 3, blob->checked);
    bind_gets(stmt, 4, blob->gets_left);
    bind_u64(stmt, 5, blob->expires_ms);
    return stmt_run(store->db, stmt);
}

enum err store_blob_remove(struct store *store, const struct blob_row *blob, uint64_t max,
                           bool *more)
{
    sqlite3_stmt *stmt = store->blobs->stmt[STMT_CLEAR];
    enum err e;

    bind_int(stmt, 1, blob->blob_id);
    bind_u64(stmt, 2, max);
    if ((e = stmt_run(store->db, stmt)) != ERR_OK)
        return e;
    *more = (uint64_t)sqlite3_changes(db_handle(store->db)) == max;
    if (*more)
        return ERR_OK;
    stmt = store->blobs->stmt[STMT_REMOVE];
    bind_int(stmt, 1, blob->blob_id);
    if ((e = stmt_run(store->db, stmt)) != ERR_OK)
        return e;
    return charge(store, blob->owner_id, -1, -(int64_t)blob->bytes);
}

/* ---- chunks ---------------------------------------------------------------------------------- */

enum err store_chunk_add(struct store *store, struct blob_row *blob, struct bytes chunk)
{
    sqlite3_stmt *stmt = store->blobs->stmt[STMT_ADD_CHUNK];
    struct blob_row next = *blob;
    uint8_t digest[32];
    enum err e;

    sha256(digest, chunk);
    bind_int(stmt, 1, blob->blob_id);
    bind_u64(stmt, 2, blob->have);
    bind_blob(stmt, 3, digest, sizeof digest);
    bind_bytes(stmt, 4, chunk);
    e = stmt_run(store->db, stmt);
    next.have++;
    if (e == ERR_OK)
        e = store_blob_set(store, &next);
    if (e == ERR_OK)
        *blob = next;
    return e;
}

enum err store_chunk_digest(struct store *store, int64_t blob_id, uint64_t index,
                            uint8_t digest[static 32])
{
    sqlite3_stmt *stmt = store->blobs->stmt[STMT_DIGEST];
    enum err e;

    bind_int(stmt, 1, blob_id);
    bind_u64(stmt, 2, index);
    if ((e = stmt_step(store->db, stmt)) != ERR_OK)
        return e;
    column_copy(stmt, 0, digest, 32);
    stmt_end(stmt);
    return ERR_OK;
}

enum err store_chunks(struct store *store, int64_t blob_id, uint64_t index, uint64_t max,
                      store_chunk_visit *chunk, void *ctx)
{
    sqlite3_stmt *stmt = store->blobs->stmt[STMT_CHUNKS];
    enum err e;

    bind_int(stmt, 1, blob_id);
    bind_u64(stmt, 2, index);
    bind_u64(stmt, 3, max);
    while ((e = stmt_step(store->db, stmt)) == ERR_OK) {
        struct bytes bytes = column_bytes(stmt, 2);
        uint8_t was[32], is[32];

        column_copy(stmt, 1, was, sizeof was);
        sha256(is, bytes);
        if (memcmp(was, is, sizeof is) != 0) {
            stmt_end(stmt);
            return ERR_CORRUPT;
        }
        if (!chunk(ctx, column_u64(stmt, 0), bytes)) {
            stmt_end(stmt);
            return ERR_OK;
        }
    }
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}
