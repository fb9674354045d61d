#include "shared/db/stmt.h"

#include <assert.h>

enum err stmts_prepare(struct db *db, const char *const *sql, size_t count, sqlite3_stmt **out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = NULL;
    for (size_t i = 0; i < count; i++) {
        int rc = sqlite3_prepare_v3(db_handle(db), sql[i], -1, SQLITE_PREPARE_PERSISTENT, &out[i],
                                    NULL);
        if (rc != SQLITE_OK) {
            enum err e = db_error(db, rc);

            stmts_finalize(out, count);
            return e;
        }
    }
    return ERR_OK;
}

void stmts_finalize(sqlite3_stmt **stmts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        sqlite3_finalize(stmts[i]);
        stmts[i] = NULL;
    }
}

/* Binding fails for a wrong place or a value above the limits: bugs of ours. */
static void bound(int rc)
{
    assert(rc == SQLITE_OK);
    (void)rc;
}

void bind_int(sqlite3_stmt *stmt, int at, int64_t v)
{
    bound(sqlite3_bind_int64(stmt, at, v));
}

void bind_u64(sqlite3_stmt *stmt, int at, uint64_t v)
{
    assert(v <= INT64_MAX);
    bound(sqlite3_bind_int64(stmt, at, (int64_t)v));
}

void bind_blob(sqlite3_stmt *stmt, int at, const void *v, size_t len)
{
    bound(len ? sqlite3_bind_blob64(stmt, at, v, len, SQLITE_STATIC)
              : sqlite3_bind_zeroblob(stmt, at, 0));
}

void bind_bytes(sqlite3_stmt *stmt, int at, struct bytes v)
{
    bind_blob(stmt, at, v.at, v.len);
}

void bind_text(sqlite3_stmt *stmt, int at, const char *v)
{
    bound(v ? sqlite3_bind_text(stmt, at, v, -1, SQLITE_STATIC) : sqlite3_bind_null(stmt, at));
}

void bind_null(sqlite3_stmt *stmt, int at)
{
    bound(sqlite3_bind_null(stmt, at));
}

void bind_int_or_null(sqlite3_stmt *stmt, int at, int64_t v)
{
    bound(v ? sqlite3_bind_int64(stmt, at, v) : sqlite3_bind_null(stmt, at));
}

enum err stmt_run(struct db *db, sqlite3_stmt *stmt)
{
    int rc = sqlite3_step(stmt);
    int end = sqlite3_reset(stmt);

    if (rc == SQLITE_DONE)
        return ERR_OK;
    return end == SQLITE_OK ? ERR_OK : db_error(db, end);
}

enum err stmt_run_change(struct db *db, sqlite3_stmt *stmt)
{
    enum err e = stmt_run(db, stmt);

    return e == ERR_OK && sqlite3_changes(db_handle(db)) == 0 ? ERR_NOT_FOUND : e;
}

enum err stmt_step(struct db *db, sqlite3_stmt *stmt)
{
    int rc = sqlite3_step(stmt);

    if (rc == SQLITE_ROW)
        return ERR_OK;
    sqlite3_reset(stmt);
    return rc == SQLITE_DONE ? ERR_NOT_FOUND : db_error(db, rc);
}

void stmt_end(sqlite3_stmt *stmt)
{
    sqlite3_reset(stmt);
}

int64_t column_int(sqlite3_stmt *stmt, int at)
{
    return sqlite3_column_int64(stmt, at);
}

uint64_t column_u64(sqlite3_stmt *stmt, int at)
{
    int64_t v = sqlite3_column_int64(stmt, at);

    return v > 0 ? (uint64_t)v : 0;
}

struct bytes column_bytes(sqlite3_stmt *stmt, int at)
{
    const void *v = sqlite3_column_blob(stmt, at);

    return bytes_of(v, (size_t)sqlite3_column_bytes(stmt, at));
}

bool column_is_null(sqlite3_stmt *stmt, int at)
{
    return sqlite3_column_type(stmt, at) == SQLITE_NULL;
}

bool column_copy(sqlite3_stmt *stmt, int at, void *out, size_t len)
{
    struct bytes v = column_bytes(stmt, at);

    if (v.len != len) {
        memset(out, 0, len);
        return false;
    }
    memcpy(out, v.at, len);
    return true;
}

void column_text(sqlite3_stmt *stmt, int at, char *out, size_t size)
{
    const unsigned char *v = sqlite3_column_text(stmt, at);
    size_t len = v ? (size_t)sqlite3_column_bytes(stmt, at) : 0;

    if (len >= size)
        len = size - 1;
    if (len)
        memcpy(out, v, len);
    out[len] = 0;
}
