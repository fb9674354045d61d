/* layers: agent_flow */
#include "agent/store/store.h"

#include <criterion/criterion.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/store/acks.h"
#include "agent/store/alarms.h"
#include "agent/store/dead.h"
#include "agent/store/inbox.h"
#include "agent/store/log.h"
#include "agent/store/me.h"
#include "agent/store/outbox.h"
#include "agent/store/peers.h"
#include "agent/store/scopes.h"
#include "agent/store/secrets.h"
#include "agent/store/sessions.h"
#include "tests/lib/chance.h"

#define NOW    1800000000000u
#define MARKER "NOBODY-SHALL-READ-THIS-ON-THE-DISK"

static const uint8_t key[AGENT_KEY_SIZE] = { 1, 2, 3 }, other_key[AGENT_KEY_SIZE] = { 3, 2, 1 };
static struct chance chance = { .state = 1 };

static void noise(void *ctx, uint8_t *out, size_t len)
{
    chance_bytes(ctx, out, len);
}

static struct agent_store *memory(void)
{
    struct agent_store *store;

    cr_assert_geq(sodium_init(), 0);
    cr_assert_eq(agent_store_memory(&store, key), ERR_OK);
    agent_store_random(store, noise, &chance);
    return store;
}

static void make_me(struct agent_store *store)
{
    struct profile_me me = { .name = "ann", .endpoint = "tcp://b:1", .card_gen = 1 };

    buf_append(&me.card, "card", 4);
    profile_me_put(store, &me);
    profile_me_free(&me);
}

/* ------------------------------------------------------------------ files */

struct place {
    char dir[32];
};

static void place_make(struct place *place)
{
    cr_assert_geq(sodium_init(), 0);
    strcpy(place->dir, "/tmp/agent_store.XXXXXX");
    cr_assert(mkdtemp(place->dir));
}

static void path_of(const struct place *place, const char *name, char out[static 96])
{
    snprintf(out, 96, "%s/%s", place->dir, name);
}

static void place_remove(struct place *place)
{
    static const char *const names[]
        = { AGENT_STORE_FILE, AGENT_STORE_FILE "-wal", AGENT_KEY_FILE };
    char path[96];

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        path_of(place, names[i], path);
        unlink(path);
    }
    cr_expect_eq(rmdir(place->dir), 0, "nothing else was left in %s", place->dir);
}

static void write_key(const struct place *place, const uint8_t *bytes, size_t len)
{
    char path[96];
    FILE *file;

    path_of(place, AGENT_KEY_FILE, path);
    file = fopen(path, "wb");
    cr_assert(file);
    cr_assert_eq(fwrite(bytes, 1, len, file), len);
    fclose(file);
}

static mode_t mode_of(const struct place *place, const char *name)
{
    char path[96];
    struct stat st;

    path_of(place, name, path);
    return stat(path, &st) == 0 ? st.st_mode & 07777 : 0;
}

/* A profile with one secret and one message in it. */
static void place_fill(struct place *place)
{
    struct agent_store *store;
    struct profile_out row = { .msg_id = { 1 }, .created_ms = NOW, .expires_ms = NOW + 1 };

    place_make(place);
    cr_assert_eq(agent_store_create(&store, place->dir, key), ERR_OK);
    agent_store_random(store, noise, &chance);
    agent_store_begin(store);
    make_me(store);
    profile_secret_add(store, SECRET_DK, 1, bytes_of("public", 6), bytes_of_text(MARKER), NOW);
    profile_secret_add(store, SECRET_TK, 1, bytes_of("public", 6), bytes_of_text("another"), NOW);
    row.peer_id = profile_peer_add(store, (const uint8_t[32]){ 9 }, "bob", NOW);
    profile_out_add(store, &row, bytes_of_text(MARKER));
    cr_assert_eq(agent_store_commit(store), ERR_OK);
    agent_store_close(&store);
    cr_expect_null(store);
}

Test(agent_store, files_are_private_and_open_again)
{
    struct place place;
    struct agent_store *store;
    struct buf secret = { 0 };

    place_fill(&place);
    cr_expect_eq(mode_of(&place, AGENT_STORE_FILE), 0600);
    cr_expect_eq(mode_of(&place, AGENT_KEY_FILE), 0600);
    cr_assert_eq(agent_store_open(&store, place.dir), ERR_OK);
    cr_expect(profile_secret_get(store, SECRET_DK, 1, NULL, &secret));
    cr_expect(bytes_equal(buf_bytes(&secret), bytes_of_text(MARKER)));
    buf_free(&secret);
    agent_store_close(&store);
    cr_expect_eq(agent_store_create(&store, place.dir, key), ERR_EXISTS);
    place_remove(&place);
}

/* T34: what is on the disk says nothing without the key. */
Test(agent_store, T34_nothing_readable_on_the_disk)
{
    struct place place;
    char path[96], *content;
    FILE *file;
    size_t len;

    place_fill(&place);
    path_of(&place, AGENT_STORE_FILE, path);
    file = fopen(path, "rb");
    cr_assert(file);
    content = malloc(1 << 20);
    len = fread(content, 1, 1 << 20, file);
    fclose(file);
    cr_assert_gt(len, 4096);
    cr_expect_null(memmem(content, len, MARKER, strlen(MARKER)));
    cr_expect_not_null(memmem(content, len, "bob", 3), "the search finds what is there");
    free(content);
    place_remove(&place);
}

Test(agent_store, refused_when_opened)
{
    struct place place;
    struct agent_store *store;
    char path[96];
    FILE *file;

    place_make(&place);
    cr_expect_eq(agent_store_open(&store, place.dir), ERR_NOT_FOUND, "no profile");
    cr_expect_null(store);
    place_remove(&place);

    place_fill(&place);
    path_of(&place, AGENT_KEY_FILE, path);
    chmod(path, 0640);
    cr_expect_eq(agent_store_open(&store, place.dir), ERR_UNSAFE, "key readable by the group");
    chmod(path, 0600);
    write_key(&place, other_key, sizeof other_key);
    cr_expect_eq(agent_store_open(&store, place.dir), ERR_CORRUPT, "another key");
    write_key(&place, key, 31);
    cr_expect_eq(agent_store_open(&store, place.dir), ERR_CORRUPT, "a short key");
    write_key(&place, key, sizeof key);
    chmod(place.dir, 0750);
    cr_expect_eq(agent_store_open(&store, place.dir), ERR_UNSAFE, "directory open to the group");
    chmod(place.dir, 0700);
    path_of(&place, AGENT_STORE_FILE, path);
    file = fopen(path, "r+b");
    cr_assert(file);
    fwrite("garbage in the place of a database", 1, 34, file);
    fclose(file);
    cr_expect_eq(agent_store_open(&store, place.dir), ERR_STORE, "no database");
    cr_expect_null(store);
    place_remove(&place);
}

/* A sealed value opens in its own row only. */
Test(agent_store, T34_values_cannot_be_moved)
{
    struct place place;
    struct agent_store *store;
    struct buf secret = { 0 };
    sqlite3 *sqlite;
    char path[96];

    place_fill(&place);
    path_of(&place, AGENT_STORE_FILE, path);
    cr_assert_eq(sqlite3_open(path, &sqlite), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(sqlite,
                              "UPDATE secret SET private = (SELECT private FROM secret WHERE kind"
                              " = 2) WHERE kind = 3",
                              NULL, NULL, NULL),
                 SQLITE_OK);
    sqlite3_close(sqlite);
    cr_assert_eq(agent_store_open(&store, place.dir), ERR_OK);
    agent_store_begin(store);
    cr_expect(profile_secret_get(store, SECRET_DK, 1, NULL, &secret));
    cr_expect_not(profile_secret_get(store, SECRET_TK, 1, NULL, &secret));
    cr_expect_eq(agent_store_commit(store), ERR_CORRUPT);
    buf_free(&secret);
    agent_store_close(&store);
    path_of(&place, AGENT_STORE_FILE "-shm", path);
    unlink(path);
    place_remove(&place);
}

/* ------------------------------------------------------------------ transactions */

Test(agent_store, the_first_failure_sticks_and_nothing_stays)
{
    struct agent_store *store = memory();
    struct profile_out row = { .msg_id = { 1 }, .created_ms = NOW, .expires_ms = NOW + 1 }, found;
    struct profile_peer peer;

    agent_store_begin(store);
    row.peer_id = profile_peer_add(store, (const uint8_t[32]){ 9 }, "bob", NOW);
    profile_out_add(store, &row, bytes_of_text("m"));
    cr_assert_eq(agent_store_failure(store), ERR_OK);
    profile_out_add(store, &row, bytes_of_text("m")); /* the same id twice */
    cr_expect_neq(agent_store_failure(store), ERR_OK);
    cr_expect_not(profile_out_find(store, row.msg_id, &found), "finds nothing any more");
    cr_expect_neq(agent_store_commit(store), ERR_OK);

    agent_store_begin(store);
    cr_expect_not(profile_out_find(store, row.msg_id, &found));
    cr_expect_not(profile_peer_find(store, (const uint8_t[32]){ 9 }, &peer));
    cr_expect_eq(agent_store_commit(store), ERR_OK, "and is well again");
    agent_store_close(&store);
}

/* ------------------------------------------------------------------ outbox */

struct talk {
    struct agent_store *store;
    int64_t peer_id, scope_id;
};

static void talk_begin(struct talk *talk)
{
    struct profile_session session
        = { .state = SESSION_ACTIVE, .mode = 1, .suite = 1, .opened_ms = NOW, .due_ms = NOW };

    talk->store = memory();
    agent_store_begin(talk->store);
    talk->peer_id = profile_peer_add(talk->store, (const uint8_t[32]){ 9 }, "bob", NOW);
    talk->scope_id = profile_scope_add(talk->store, (const uint8_t[16]){ 7 });
    session.session_id = talk->scope_id;
    session.peer_id = talk->peer_id;
    profile_session_add(talk->store, &session, NULL);
}

static void talk_end(struct talk *talk)
{
    cr_expect_eq(agent_store_commit(talk->store), ERR_OK);
    agent_store_close(&talk->store);
}

static int64_t queue(struct talk *talk, uint8_t id, uint8_t kind)
{
    struct profile_out row = { .peer_id = talk->peer_id,
                               .msg_id = { id },
                               .kind = kind,
                               .bytes = 1,
                               .created_ms = NOW,
                               .expires_ms = NOW + 1000 };

    return profile_out_add(talk->store, &row, bytes_of(&id, 1));
}

static void seal_as(struct talk *talk, int64_t id, uint64_t seq)
{
    uint8_t digest[32] = { (uint8_t)seq };

    profile_scope_take_seq(talk->store, talk->scope_id, seq);
    profile_out_seal(talk->store, id, talk->scope_id, seq, bytes_of("frame", 5), digest, NOW);
}

Test(agent_store, a_number_is_given_once)
{
    struct talk talk;

    talk_begin(&talk);
    seal_as(&talk, queue(&talk, 1, 0), 1);
    cr_assert_eq(agent_store_failure(talk.store), ERR_OK);
    profile_scope_take_seq(talk.store, talk.scope_id, 1);
    cr_expect_eq(agent_store_commit(talk.store), ERR_SEQ_CONFLICT);
    agent_store_close(&talk.store);
}

Test(agent_store, the_life_of_a_message)
{
    struct talk talk;
    struct profile_out row;
    struct buf buf = { 0 };
    int64_t id;

    talk_begin(&talk);
    id = queue(&talk, 1, 0);
    cr_assert(profile_out_get(talk.store, id, &row));
    cr_expect_eq(row.state, OUTBOX_QUEUED);
    cr_expect_not(profile_out_frame(talk.store, id, &buf));
    seal_as(&talk, id, 1);
    cr_expect(profile_out_frame(talk.store, id, &buf));
    profile_out_accepted(talk.store, talk.scope_id, 2, id, NOW);
    cr_assert(profile_out_get(talk.store, id, &row));
    cr_expect_eq(row.state, OUTBOX_SEALED, "another number of it was accepted");
    profile_out_accepted(talk.store, talk.scope_id, 1, id, NOW);
    cr_assert(profile_out_get(talk.store, id, &row));
    cr_expect_eq(row.state, OUTBOX_ACCEPTED);
    profile_out_queue_again(talk.store, id, true);
    cr_assert(profile_out_get(talk.store, id, &row));
    cr_expect_eq(row.state, OUTBOX_QUEUED);
    cr_expect_eq(row.damaged, 1);
    seal_as(&talk, id, 2);
    profile_out_delivered(talk.store, id, NOW);
    cr_assert(profile_out_get(talk.store, id, &row));
    cr_expect_eq(row.state, OUTBOX_DELIVERED);
    buf_clear(&buf);
    cr_expect_not(profile_out_frame(talk.store, id, &buf), "the frame is gone");
    cr_expect(profile_out_message(talk.store, id, &buf), "the message stays");
    buf_free(&buf);
    talk_end(&talk);
}

/* Kind 4 holds an epoch secret: with the receipt it goes. */
Test(agent_store, control_messages_end_with_the_receipt)
{
    struct talk talk;
    struct buf buf = { 0 };
    struct profile_out row;
    struct profile_dead dead;
    int64_t id;

    talk_begin(&talk);
    seal_as(&talk, id = queue(&talk, 1, 7), 1);
    profile_out_delivered(talk.store, id, NOW);
    cr_expect_not(profile_out_message(talk.store, id, &buf));
    seal_as(&talk, id = queue(&talk, 2, 7), 2);
    cr_assert(profile_out_get(talk.store, id, &row));
    profile_dead_letter(talk.store, &row, DEAD_EXPIRED, "", NOW);
    cr_assert(profile_dead_at(talk.store, talk.scope_id, 2, &dead));
    cr_expect_not(profile_dead_message(talk.store, dead.dead_id, &buf));
    buf_free(&buf);
    talk_end(&talk);
}

Test(agent_store, a_dead_letter_keeps_what_a_late_receipt_needs)
{
    struct talk talk;
    struct buf buf = { 0 };
    struct profile_out row;
    struct profile_dead dead;
    int64_t id;

    talk_begin(&talk);
    seal_as(&talk, id = queue(&talk, 5, 0), 1);
    cr_assert(profile_out_get(talk.store, id, &row));
    profile_dead_letter(talk.store, &row, DEAD_EXPIRED, "", NOW);
    cr_expect_not(profile_out_get(talk.store, id, &row));
    cr_assert(profile_dead_at(talk.store, talk.scope_id, 1, &dead));
    cr_expect(dead.has_digest);
    cr_expect_eq(dead.digest[0], 1);
    cr_expect(profile_dead_message(talk.store, dead.dead_id, &buf));
    cr_expect_eq(buf.at[0], 5);
    cr_expect_eq(profile_dead_count(talk.store), 1);
    buf_free(&buf);
    talk_end(&talk);
}

/* ------------------------------------------------------------------ the rest */

Test(agent_store, known_ids_are_known_per_sender)
{
    struct talk talk;
    static const uint8_t id[16] = { 1 };
    int64_t other;

    talk_begin(&talk);
    other = profile_peer_add(talk.store, (const uint8_t[32]){ 8 }, "cyd", NOW);
    cr_expect_not(profile_known_any(talk.store, talk.peer_id));
    cr_expect(profile_known_add(talk.store, talk.peer_id, id, NOW));
    cr_expect_not(profile_known_add(talk.store, talk.peer_id, id, NOW), "the second time");
    cr_expect(profile_known_add(talk.store, other, id, NOW), "somebody else may use it");
    profile_known_forget(talk.store, NOW + 1);
    cr_expect(profile_known_add(talk.store, talk.peer_id, id, NOW), "forgotten in time");
    talk_end(&talk);
}

Test(agent_store, acks_in_order_of_position)
{
    struct talk talk;
    struct profile_ack rows[4];

    talk_begin(&talk);
    for (uint64_t position = 50; position > 20; position -= 10)
        profile_ack_add(talk.store, &(struct profile_ack){ .position = position });
    cr_expect_eq(profile_acks(talk.store, 0, INT64_MAX, rows, 4), 3);
    cr_expect_eq(rows[0].position, 30);
    cr_expect_eq(profile_acks(talk.store, 30, 40, rows, 4), 1, "above 30, up to 40");
    profile_acks_remove(talk.store, 0, 30);
    cr_expect_eq(profile_acks(talk.store, 0, INT64_MAX, rows, 4), 2);
    profile_cursor_set(talk.store, 30);
    cr_expect_eq(profile_cursor(talk.store), 30);
    profile_acks_clear(talk.store);
    cr_expect_eq(profile_cursor(talk.store), 0);
    talk_end(&talk);
}

Test(agent_store, an_alarm_is_said_once)
{
    struct talk talk;
    struct profile_alarm alarms[4];

    talk_begin(&talk);
    for (int i = 0; i < 3; i++)
        profile_alarm_add(talk.store, "gap", talk.peer_id, talk.scope_id, "missing", NOW);
    profile_alarm_add(talk.store, "gap", 0, 0, "missing", NOW);
    cr_expect_eq(profile_alarms(talk.store, alarms, 4), 2);
    cr_expect_str_eq(alarms[0].peer, "bob");
    cr_expect_str_eq(alarms[1].peer, "");
    talk_end(&talk);
}

/* A ratchet is saved over its own version only: two states never take turns. */
Test(agent_store, a_ratchet_of_another_version_is_not_saved)
{
    struct talk talk;
    struct profile_session session;
    struct ratchet ratchet = { .suite = 1 };

    talk_begin(&talk);
    cr_assert(profile_session_get(talk.store, talk.scope_id, &session));
    profile_session_save(talk.store, &session, &ratchet, NULL);
    cr_expect_eq(session.version, 1);
    cr_assert_eq(agent_store_failure(talk.store), ERR_OK);
    session.version = 0;
    profile_session_save(talk.store, &session, &ratchet, NULL);
    cr_expect_neq(agent_store_commit(talk.store), ERR_OK);
    agent_store_close(&talk.store);
}

Test(agent_store, prekey_numbers_never_come_back)
{
    struct talk talk;

    talk_begin(&talk);
    profile_secret_add(talk.store, SECRET_OPK, 40, bytes_of("p", 1), bytes_of("s", 1), NOW);
    profile_secret_remove(talk.store, SECRET_OPK, 40);
    cr_expect_eq(profile_secret_last(talk.store, SECRET_OPK), 40);
    cr_expect_not(profile_secret_get(talk.store, SECRET_OPK, 40, NULL, NULL));
    cr_expect_eq(agent_store_commit(talk.store), ERR_OK);
    cr_expect(agent_store_untidy(talk.store), "a key was deleted: the log must go");
    agent_store_tidy(talk.store, false);
    cr_expect_not(agent_store_untidy(talk.store));
    agent_store_close(&talk.store);
}

Test(agent_store, the_directory_is_the_log)
{
    struct talk talk;
    struct log_entry entry = { .type = ENTRY_ENROL, .name = "dan", .aid = { 1 }, .ts_ms = NOW };
    struct directory_entry found;
    static const uint8_t digest[32];
    uint64_t at = 0;

    talk_begin(&talk);
    entry.extra = bytes_of("\1\4home", 6);
    profile_log_add(talk.store, &entry, "home", digest);
    entry.index = 1;
    entry.aid[0] = 2;
    entry.extra = bytes_of("", 0);
    memcpy(entry.name, "eve", 4);
    profile_log_add(talk.store, &entry, "", digest);
    entry.index = 2;
    entry.aid[0] = 1;
    entry.type = ENTRY_REVOKE;
    memcpy(entry.name, "dan", 4);
    cr_expect_not(
        profile_circle_shared(talk.store, (const uint8_t[32]){ 1 }, (const uint8_t[32]){ 2 }));
    cr_expect(
        profile_circle_shared(talk.store, (const uint8_t[32]){ 1 }, (const uint8_t[32]){ 1 }));
    profile_log_add(talk.store, &entry, "", digest);
    cr_expect_not(
        profile_circle_shared(talk.store, (const uint8_t[32]){ 1 }, (const uint8_t[32]){ 1 }),
        "revoked");
    entry.index = 3;
    entry.aid[0] = 3;
    entry.type = ENTRY_ENROL;
    profile_log_add(talk.store, &entry, "", digest);
    cr_assert(profile_directory_named(talk.store, "dan", &found));
    cr_expect_eq(found.aid[0], 3, "the one that is not revoked");
    cr_assert(profile_directory_next(talk.store, "", 0, &found, &at));
    cr_expect(found.revoked);
    cr_expect_str_eq(found.circles, "home");
    cr_assert(profile_directory_next(talk.store, found.name, at, &found, &at));
    cr_assert(profile_directory_next(talk.store, found.name, at, &found, &at));
    cr_expect_str_eq(found.name, "eve");
    cr_expect_not(profile_directory_next(talk.store, found.name, at, &found, &at));
    talk_end(&talk);
}
