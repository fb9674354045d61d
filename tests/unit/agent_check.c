/* layers: agent_flow */
/* What a person who asks for a check is told of a profile that is not whole. */
#include "agent/store/check.h"

#include <criterion/criterion.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/store/me.h"
#include "agent/store/outbox.h"
#include "agent/store/peers.h"
#include "agent/store/secrets.h"
#include "tests/lib/chance.h"

#define NOW 1800000000000u

static const uint8_t key[AGENT_KEY_SIZE] = { 5 };
static struct chance chance = { .state = 1 };
static char dir[32];

static void noise(void *ctx, uint8_t *out, size_t len)
{
    chance_bytes(ctx, out, len);
}

static void begin(void)
{
    struct profile_me me = { .name = "ann", .endpoint = "tcp://b:1", .card_gen = 1 };
    struct profile_out row = { .msg_id = { 1 }, .created_ms = NOW, .expires_ms = NOW + 1 };
    struct agent_store *store;

    cr_assert_geq(sodium_init(), 0);
    strcpy(dir, "/tmp/agent_check.XXXXXX");
    cr_assert(mkdtemp(dir));
    cr_assert_eq(agent_store_create(&store, dir, key), ERR_OK);
    agent_store_random(store, noise, &chance);
    agent_store_begin(store);
    buf_append(&me.card, "card", 4);
    profile_me_put(store, &me);
    profile_secret_add(store, SECRET_DK, 1, bytes_of("public", 6), bytes_of_text("private"), NOW);
    profile_secret_add(store, SECRET_TK, 1, bytes_of("public", 6), bytes_of_text("another"), NOW);
    row.peer_id = profile_peer_add(store, (const uint8_t[32]){ 9 }, "bob", NOW);
    profile_out_add(store, &row, bytes_of_text("hello"));
    cr_assert_eq(agent_store_commit(store), ERR_OK);
    agent_store_close(&store);
    buf_free(&me.card);
}

static void finish(void)
{
    char command[64];

    snprintf(command, sizeof command, "rm -rf %s", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(check, .init = begin, .fini = finish);

static void spoil(const char *sql)
{
    char path[64], *why = NULL;
    sqlite3 *sqlite;

    snprintf(path, sizeof path, "%s/" AGENT_STORE_FILE, dir);
    cr_assert_eq(sqlite3_open(path, &sqlite), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(sqlite, sql, NULL, NULL, &why), SQLITE_OK, "%s", why);
    sqlite3_close(sqlite);
}

static enum err check(struct agent_store_checked *out)
{
    struct agent_store *store;
    enum err e;

    cr_assert_eq(agent_store_open(&store, dir), ERR_OK);
    e = agent_store_check(store, out);
    agent_store_close(&store);
    return e;
}

Test(check, a_whole_profile)
{
    struct agent_store_checked checked;

    cr_expect_eq(check(&checked), ERR_OK);
    cr_expect_str_eq(checked.why, "");
    cr_expect_eq(checked.values, 4, "the key's own, two secrets, a message: %llu",
                 (unsigned long long)checked.values);
}

Test(check, T34_what_was_moved_or_changed_is_named)
{
    static const struct {
        const char *name, *sql, *why;
    } cases[] = {
        { "two secrets change places",
          "CREATE TEMP TABLE t AS SELECT secret_id AS id, private AS p FROM secret;"
          "UPDATE secret SET private = (SELECT p FROM t WHERE id <> secret_id)",
          "secret.private of row 1 does not open" },
        { "a message becomes shorter",
          "UPDATE outbox SET message = substr(message, 1, length(message) - 1)",
          "outbox.message of row 1 does not open" },
        { "a message is no longer sealed", "UPDATE outbox SET message = x'68656c6c6f'",
          "outbox.message of row 1 does not open" },
        { "a row that others need is gone", "PRAGMA foreign_keys = OFF; DELETE FROM peer",
          "PRAGMA foreign_key_check: outbox" },
    };
    struct agent_store_checked checked;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (i > 0) {
            finish();
            begin();
        }
        spoil(cases[i].sql);
        cr_expect_eq(check(&checked), ERR_CORRUPT, "%s", cases[i].name);
        cr_expect_str_eq(checked.why, cases[i].why, "%s", cases[i].name);
    }
}
