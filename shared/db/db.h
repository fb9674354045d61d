/*
 * db - one SQLite connection, opened so that it keeps its promises: every setting is read back, and
 *      a wrong answer refuses the start.
 *
 * Owns     the connection.  It is the only one that writes or checkpoints its file.
 * Thread   the one that opened it.
 * Errors   ERR_STORE (log line says what), ERR_STORE_FULL, ERR_STORE_NEWER, ERR_BUSY (somebody else
 *          holds the file for writing), ERR_NOT_FOUND (no such file, and `create` was not asked
 * for). After an I/O error or damage db_broken() is true: end the process, never try again. Durable
 * when db_commit() has returned ERR_OK.
 */
#ifndef DB_H
#define DB_H
#include <sqlite3.h>

#include "shared/base/bytes.h"
#include "shared/base/err.h"

#define DB_PAGE_SIZE 4096

struct db_options {
    uint32_t application_id;
    bool create;        /* make the file if it is missing */
    bool exclusive;     /* locking_mode=EXCLUSIVE before WAL: no -shm, nobody else may look */
    bool keep_wal;      /* -wal and -shm stay after closing, so that readers still can look */
    bool secure_delete; /* ON instead of FAST */
    int cache_kib;      /* page cache */
    uint64_t max_pages; /* INSERT beyond gives ERR_STORE_FULL; 0: no limit */
    int64_t wal_limit;  /* journal_size_limit, bytes */
};

struct db;

/* `path` must be a real path without links, or ":memory:" (then only the settings that make sense
 * there).  Foreign keys are off until migrate() has run. */
enum err db_open(struct db **out, const char *path, const struct db_options *options);

/* Accepts NULL; sets *db to NULL.  All statements must be finalized. */
void db_close(struct db **db);

sqlite3 *db_handle(struct db *db);

/* BEGIN IMMEDIATE. */
enum err db_begin(struct db *db);
enum err db_commit(struct db *db);
/* Does nothing where SQLite has rolled back already. */
void db_rollback(struct db *db);
bool db_in_transaction(struct db *db);

/* What a result code of SQLite means; logs it unless it is harmless. */
enum err db_error(struct db *db, int rc);
/* An I/O error, damage, or not a database: the only way on is a new process. */
bool db_broken(const struct db *db);

/* Since the last db_begin() something found no space. */
bool db_full(const struct db *db);

/* Text without parameters, one statement or many. */
enum err db_run(struct db *db, const char *sql);
/* First column of the first row of a query without parameters.  ERR_NOT_FOUND: no row. */
enum err db_number(struct db *db, const char *sql, int64_t *out);

/* Changes max_page_count; 0: no limit. */
enum err db_limit(struct db *db, uint64_t max_pages);

enum db_checkpoint { DB_PASSIVE, DB_RESTART, DB_TRUNCATE };

/* Copies the log into the file as far as readers allow.  ERR_BUSY: a reader was in the way. */
enum err db_checkpoint(struct db *db, enum db_checkpoint how);
/* Pages in the log after the last commit. */
int db_wal_pages(const struct db *db);

#endif
