/* layers: broker_store */
/*
 * db - settings are read back, errors mean what they say, migrations are all or nothing, and the
 *      schema that is checked in is the one that comes out.
 */
#include "shared/db/db.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "shared/base/files.h"
#include "shared/db/migrate.h"
#include "shared/db/stmt.h"

#define OK(e)       cr_assert_eq((e), ERR_OK, "line %d", __LINE__)
#define APPLICATION 0x54455354

extern const struct migration broker_migrations[];
extern const char broker_views[];

static const struct db_options options = { .application_id = APPLICATION,
                                           .create = true,
                                           .keep_wal = true,
                                           .cache_kib = 1024,
                                           .wal_limit = 1 << 20 };

static char dir[32], path[64];

static void make_dir(void)
{
    strcpy(dir, "/tmp/sealpost-db-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/test.db", dir);
}

static void remove_dir(void)
{
    char command[64];

    snprintf(command, sizeof command, "rm -rf %s", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(db, .init = make_dir, .fini = remove_dir);

static const char *const first = "CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY) STRICT;"
                                 "INSERT INTO meta VALUES ('schema', 1);"
                                 "CREATE TABLE thing (id INTEGER PRIMARY KEY, name TEXT) STRICT;"
                                 "PRAGMA application_id = 0x54455354;";

static struct db *open_with(const struct db_options *with)
{
    struct db *db = NULL;

    OK(db_open(&db, path, with));
    return db;
}

static int64_t number(struct db *db, const char *sql)
{
    int64_t v = -1;

    OK(db_number(db, sql, &v));
    return v;
}

Test(db, every_setting_holds)
{
    static const struct {
        const char *pragma;
        int64_t want;
    } cases[] = {
        { "PRAGMA synchronous", 2 },        { "PRAGMA secure_delete", 2 },
        { "PRAGMA cell_size_check", 1 },    { "PRAGMA temp_store", 2 },
        { "PRAGMA trusted_schema", 0 },     { "PRAGMA busy_timeout", 2000 },
        { "PRAGMA wal_autocheckpoint", 0 }, { "PRAGMA journal_size_limit", 1 << 20 },
        { "PRAGMA page_size", 4096 },       { "PRAGMA auto_vacuum", 0 },
        { "PRAGMA mmap_size", 0 },          { "PRAGMA cache_size", -1024 },
    };
    struct db *db = open_with(&options);

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        cr_expect_eq(number(db, cases[i].pragma), cases[i].want, "%s", cases[i].pragma);
    cr_expect_neq(db_run(db, "ATTACH ':memory:' AS other"), ERR_OK);
    cr_expect_neq(db_run(db, "SELECT \"no such column\""), ERR_OK);
    db_close(&db);
}

Test(db, files_that_are_refused)
{
    struct db_options missing = options, foreign = options;
    struct db *db = NULL;
    const struct migration one[] = { { 1, "0001", first }, { 0, 0, 0 } };
    char link_path[80];

    missing.create = false;
    foreign.application_id = 1;
    cr_expect_eq(db_open(&db, path, &missing), ERR_NOT_FOUND);
    db = open_with(&options);
    OK(migrate(db, one, ""));
    db_close(&db);
    cr_expect_eq(db_open(&db, path, &foreign), ERR_STORE);
    snprintf(link_path, sizeof link_path, "%s/link.db", dir);
    cr_assert_eq(symlink(path, link_path), 0);
    cr_expect_neq(db_open(&db, link_path, &options), ERR_OK);
    cr_expect_null(db);
    cr_assert_eq(truncate(path, 100), 0);
    cr_expect_neq(db_open(&db, path, &options), ERR_OK);
}

Test(db, a_second_writer_is_busy_and_a_full_file_is_full)
{
    struct db *a = open_with(&options);
    sqlite3 *b;
    enum err e = ERR_OK;

    OK(db_run(a, "CREATE TABLE t (v BLOB)"));
    cr_assert_eq(sqlite3_open(path, &b), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(b, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_busy_timeout(db_handle(a), 0);
    cr_expect_eq(db_begin(a), ERR_BUSY);
    cr_assert_eq(sqlite3_exec(b, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(b);

    OK(db_limit(a, 20));
    OK(db_begin(a));
    cr_expect_not(db_full(a));
    for (int i = 0; i < 100 && e == ERR_OK; i++)
        e = db_run(a, "INSERT INTO t VALUES (randomblob(4000))");
    cr_expect_eq(e, ERR_STORE_FULL);
    cr_expect(db_full(a));
    cr_expect_not(db_broken(a));
    db_rollback(a);
    cr_expect_not(db_in_transaction(a));
    db_rollback(a); /* harmless */
    db_close(&a);
}

Test(db, checkpoints_empty_the_log_unless_somebody_reads)
{
    struct db *db = open_with(&options);
    sqlite3 *reader;

    OK(db_run(db, "CREATE TABLE t (v BLOB)"));
    cr_expect_gt(db_wal_pages(db), 0);
    OK(db_checkpoint(db, DB_PASSIVE));
    cr_expect_eq(db_wal_pages(db), 0);
    cr_assert_eq(sqlite3_open_v2(path, &reader, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(reader, "BEGIN; SELECT * FROM t", NULL, NULL, NULL), SQLITE_OK);
    OK(db_run(db, "INSERT INTO t VALUES (zeroblob(100))"));
    cr_expect_eq(db_checkpoint(db, DB_RESTART), ERR_BUSY);
    cr_expect_gt(db_wal_pages(db), 0);
    sqlite3_close(reader);
    db_close(&db);
    cr_expect_eq(access(path, F_OK), 0);
    strcat(path, "-wal");
    cr_expect_eq(access(path, F_OK), 0, "kept for readers");
}

Test(db, statements_bind_step_and_give_columns)
{
    struct db *db = open_with(&options);
    static const char *const sql[]
        = { "INSERT INTO t VALUES (?1, ?2, ?3)", "SELECT a, b, c FROM t ORDER BY a",
            "DELETE FROM t WHERE a = ?1" };
    sqlite3_stmt *stmt[3];
    char text[4];
    uint8_t blob[3];

    OK(db_run(db, "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT, c BLOB) STRICT"));
    OK(stmts_prepare(db, sql, 3, stmt));
    for (int i = 1; i <= 2; i++) {
        bind_int(stmt[0], 1, i);
        bind_text(stmt[0], 2, i == 1 ? "long text" : NULL);
        bind_bytes(stmt[0], 3, bytes_of("abc", i == 1 ? 3 : 0));
        OK(stmt_run(db, stmt[0]));
    }
    OK(stmt_step(db, stmt[1]));
    column_text(stmt[1], 1, text, sizeof text);
    cr_expect_str_eq(text, "lon");
    cr_expect(column_copy(stmt[1], 2, blob, 3));
    OK(stmt_step(db, stmt[1]));
    cr_expect(column_is_null(stmt[1], 1));
    cr_expect_not(column_copy(stmt[1], 2, blob, 3));
    cr_expect_eq(blob[0], 0);
    cr_expect_eq(stmt_step(db, stmt[1]), ERR_NOT_FOUND);
    bind_int(stmt[2], 1, 2);
    OK(stmt_run_change(db, stmt[2]));
    cr_expect_eq(stmt_run_change(db, stmt[2]), ERR_NOT_FOUND);
    stmts_finalize(stmt, 3);
    cr_expect_null(stmt[0]);
    cr_expect_eq(stmts_prepare(db, (const char *const[]){ "SELECT 1", "nonsense" }, 2, stmt),
                 ERR_STORE);
    cr_expect_null(stmt[0]);
    db_close(&db);
}

Test(db, migrations_are_all_or_nothing)
{
    const struct migration bad[]
        = { { 1, "0001", first }, { 2, "0002", "CREATE TABLE other (x); nonsense;" }, { 0, 0, 0 } };
    const struct migration good[]
        = { { 1, "0001", first },
            { 2, "0002", "CREATE TABLE other (x INTEGER REFERENCES thing (id)) STRICT;" },
            { 0, 0, 0 } };
    const struct migration broken_keys[]
        = { { 1, "0001", first },
            { 2, "0002", "CREATE TABLE other (x INTEGER REFERENCES thing (id)) STRICT;" },
            { 3, "0003", "INSERT INTO other VALUES (7);" },
            { 0, 0, 0 } };
    struct db *db = open_with(&options);
    int version = -1;

    OK(migrate_version(db, &version));
    cr_expect_eq(version, 0);
    cr_expect_neq(migrate(db, bad, "CREATE VIEW v AS SELECT 1;"), ERR_OK);
    OK(migrate_version(db, &version));
    cr_expect_eq(version, 1);
    cr_expect_eq(number(db, "SELECT count(*) FROM sqlite_schema WHERE name = 'other'"), 0);
    OK(migrate(db, good, "CREATE VIEW v AS SELECT 2 AS n;"));
    cr_expect_eq(number(db, "SELECT n FROM v"), 2);
    cr_expect_eq(number(db, "SELECT value FROM meta WHERE key = 'schema'"), 2);
    cr_expect_eq(number(db, "PRAGMA foreign_keys"), 1);
    cr_expect_eq(migrate(db, broken_keys, ""), ERR_STORE);
    OK(migrate_version(db, &version));
    cr_expect_eq(version, 2);
    OK(migrate(db, good, "")); /* nothing to do */
    cr_expect_eq(migrate(db, good + 2, ""), ERR_STORE_NEWER);
    db_close(&db);
}

Test(db, the_brokers_schema_is_the_one_that_is_checked_in)
{
    struct db_options broker = options;
    struct buf dump = { 0 }, kept = { 0 };
    struct db *db;
    char file[512];

    snprintf(file, sizeof file, "%s", __FILE__);
    strcpy(strstr(file, "tests/unit/db.c"), "schema/broker/schema.sql");
    broker.application_id = 0x53504231;
    db = open_with(&broker);
    OK(migrate(db, broker_migrations, broker_views));
    OK(migrate_dump(db, &dump));
    OK(file_read(file, 1 << 20, &kept));
    cr_expect(bytes_equal(buf_bytes(&dump), buf_bytes(&kept)), "schema/broker/schema.sql is stale");
    cr_expect_eq(number(db, "PRAGMA application_id"), 0x53504231);
    buf_free(&dump);
    buf_free(&kept);
    db_close(&db);
}

/* A broker's file of the first schema, with an agent and its prekeys, goes on under the newest. */
Test(db, the_first_schema_of_a_broker_is_carried_over)
{
    struct migration first_only[] = { broker_migrations[0], { 0, 0, 0 } };
    struct db *db = open_with(&options);
    int version = 0;

    OK(migrate(db, first_only, broker_views));
    OK(db_run(db, "INSERT INTO agent (agent_id, id, name, identity_key, state, card_gen,"
                  " enrolled_ms, seen_ms)"
                  " VALUES (1, zeroblob(32), 'ann', zeroblob(32), 1, 1, 1, 1)"));
    OK(db_run(db, "INSERT INTO opk (agent_id, opk_id, key) VALUES (1, 7, zeroblob(32))"));
    OK(migrate(db, broker_migrations, broker_views));
    OK(migrate_version(db, &version));
    cr_expect_geq(version, 2);
    cr_expect_eq(number(db, "SELECT value FROM meta WHERE key = 'schema'"), version);
    cr_expect_eq(number(db, "SELECT count(*) FROM opk"), 1);
    cr_expect_eq(number(db, "SELECT count(*) FROM opk_used"), 0);
    cr_expect_eq(number(db, "SELECT opks FROM v_agents"), 1);
    db_close(&db);
}
