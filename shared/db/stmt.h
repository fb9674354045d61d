/*
 * stmt - a module's SQL as a table of statements, prepared once; and the few words to run them.
 *
 *     #define STATEMENTS(X)                                                    \
 *         X(ADD, "INSERT INTO thing (id, name) VALUES (?1, ?2)")               \
 *         X(GET, "SELECT name FROM thing WHERE id = ?1")
 *     STATEMENT_TABLE(STATEMENTS)
 *
 * makes enum { STMT_ADD, STMT_GET, STMT_COUNT } and stmt_sql[STMT_COUNT].
 *
 * Memory   bound bytes and texts are borrowed until the statement has run; columns until its next
 *          step or end.
 */
#ifndef DB_STMT_H
#define DB_STMT_H
#include "shared/db/db.h"

#define STATEMENT_ENUM_(name, sql) STMT_##name,
#define STATEMENT_TEXT_(name, sql) [STMT_##name] = (sql),
#define STATEMENT_TABLE(list)                                                                      \
    enum { list(STATEMENT_ENUM_) STMT_COUNT };                                                     \
    static const char *const stmt_sql[STMT_COUNT] = { list(STATEMENT_TEXT_) };

/* Prepares all or none. */
enum err stmts_prepare(struct db *db, const char *const *sql, size_t count, sqlite3_stmt **out);
/* Sets them to NULL. */
void stmts_finalize(sqlite3_stmt **stmts, size_t count);

void bind_int(sqlite3_stmt *stmt, int at, int64_t v);
void bind_u64(sqlite3_stmt *stmt, int at, uint64_t v); /* at most INT64_MAX: a bug beyond */
void bind_blob(sqlite3_stmt *stmt, int at, const void *v, size_t len);
void bind_bytes(sqlite3_stmt *stmt, int at, struct bytes v); /* at == NULL: an empty blob */
void bind_text(sqlite3_stmt *stmt, int at, const char *v);   /* NULL: NULL */
void bind_null(sqlite3_stmt *stmt, int at);
/* NULL where v is 0. */
void bind_int_or_null(sqlite3_stmt *stmt, int at, int64_t v);

/* Runs a statement that gives no rows. */
enum err stmt_run(struct db *db, sqlite3_stmt *stmt);
/* As stmt_run(); ERR_NOT_FOUND if no row was changed. */
enum err stmt_run_change(struct db *db, sqlite3_stmt *stmt);

/* One row: ERR_OK.  No more: ERR_NOT_FOUND, and the statement is ready for its next use.  Leave a
 * loop early with stmt_end(). */
enum err stmt_step(struct db *db, sqlite3_stmt *stmt);
void stmt_end(sqlite3_stmt *stmt);

int64_t column_int(sqlite3_stmt *stmt, int at);
uint64_t column_u64(sqlite3_stmt *stmt, int at); /* negative: 0 */
struct bytes column_bytes(sqlite3_stmt *stmt, int at);
bool column_is_null(sqlite3_stmt *stmt, int at);
/* Copies a blob of exactly `len` bytes; zeroes and false if it is another. */
bool column_copy(sqlite3_stmt *stmt, int at, void *out, size_t len);
/* Copies a text, cut to fit, NUL-ended; NULL gives "". */
void column_text(sqlite3_stmt *stmt, int at, char *out, size_t size);

#endif
