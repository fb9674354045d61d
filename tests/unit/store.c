/* layers: broker_store */
/*
 * store - opening, numbering, streams, senders, sums, put-back files, disk full.
 */
#include "broker/store/store.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/store/audit.h"
#include "broker/store/dead.h"
#include "broker/store/directory.h"
#include "broker/store/inside.h"
#include "broker/store/log.h"
#include "broker/store/prekeys.h"
#include "broker/store/scopes.h"
#include "broker/store/senders.h"
#include "broker/store/streams.h"
#include "broker/store/usage.h"
#include "shared/trust/identity.h"
#include "shared/trust/label.h"

#define NOW   UINT64_C(1900000000000)
#define WEEK  UINT64_C(604800000)
#define OK(e) cr_assert_eq((e), ERR_OK, "line %d", __LINE__)

struct world {
    char dir[64];
    struct store_options options;
    struct store *store;
    uint64_t chance;
};

/* The same bytes every time. */
static void chance(void *ctx, uint8_t *out, size_t len)
{
    uint64_t *seed = ctx;

    for (size_t i = 0; i < len; i++) {
        *seed = *seed * 6364136223846793005u + 1442695040888963407u;
        out[i] = (uint8_t)(*seed >> 56);
    }
}

static void prepare(struct world *w, bool on_disk)
{
    *w = (struct world){ .chance = 1 };
    store_options_default(&w->options);
    w->options.random = chance;
    w->options.random_ctx = &w->chance;
    w->options.now_ms = NOW;
    w->options.ballast_bytes = 0;
    if (!on_disk)
        return;
    strcpy(w->dir, "/tmp/sealpost-store-XXXXXX");
    cr_assert_not_null(mkdtemp(w->dir));
    w->options.dir = w->dir;
    OK(store_init(&w->options));
}

static void begin(struct world *w, bool on_disk)
{
    prepare(w, on_disk);
    OK(store_open(&w->store, &w->options));
}

static void again(struct world *w)
{
    store_close(&w->store);
    OK(store_open(&w->store, &w->options));
}

static void end(struct world *w)
{
    char command[128];

    store_close(&w->store);
    if (!w->dir[0])
        return;
    snprintf(command, sizeof command, "rm -rf '%s'", w->dir);
    cr_assert_eq(system(command), 0);
}

/* An agent with keys made of its number; its entry stands in the log. */
static int64_t add_agent(struct world *w, const char *name)
{
    struct agent_new agent = { .circles = "home", .now_ms = NOW };
    struct log_entry entry = { .type = ENTRY_ENROL, .ts_ms = NOW };
    struct log_head head;
    struct circles circles = { .count = 1, .label = { bytes_of_text("home") } };
    struct buf card = { 0 }, preimage = { 0 }, packed = { 0 }, extra = { 0 };
    uint8_t seed[32], sk[64], sig[64];
    int64_t id;

    chance(&w->chance, seed, sizeof seed);
    crypto_sign_seed_keypair(agent.card.ik, sk, seed);
    strcpy(agent.card.name, name);
    chance(&w->chance, agent.card.dk, 32);
    chance(&w->chance, agent.card.tk, 32);
    agent.card.gen = 1;
    agent.card.created_ms = NOW;
    agent.card.suites = 1;
    agent.card.proto_min = agent.card.proto_max = 1;
    card_encode(&card, &agent.card);
    label_preimage(&preimage, LABEL_CARD, buf_bytes(&card));
    crypto_sign_detached(sig, NULL, preimage.at, preimage.len, sk);
    aid_of(agent.aid, agent.card.ik);
    card_hash(agent.card_hash, buf_bytes(&card));
    agent.packed = buf_bytes(&card);
    agent.sig = sig;

    store_log_head(w->store, &head);
    OK(circles_encode(&extra, &circles));
    entry.index = head.next;
    memcpy(entry.aid, agent.aid, 32);
    memcpy(entry.card_hash, agent.card_hash, 32);
    strcpy(entry.name, name);
    entry.extra = buf_bytes(&extra);
    log_entry_encode(&packed, &entry);
    OK(store_agent_add(w->store, &agent, &id));
    OK(store_log_append(w->store, buf_bytes(&packed), id, agent.packed, sig));
    buf_free(&card);
    buf_free(&preimage);
    buf_free(&packed);
    buf_free(&extra);
    return id;
}

static int64_t add_session(struct world *w, int64_t a, int64_t b)
{
    struct session_row s = { .a_id = a,
                             .b_id = b,
                             .mode = 1,
                             .suite = 1,
                             .opened_ms = NOW,
                             .idle_ms = WEEK,
                             .ends_ms = NOW + 4 * WEEK,
                             .due_ms = NOW + WEEK };

    chance(&w->chance, s.id, sizeof s.id);
    OK(store_session_add(w->store, &s));
    OK(store_session_move(w->store, s.session_id, SESSION_ACTIVE, NOW + WEEK, 0, -1));
    return s.session_id;
}

/* Number `seq` of `from` in the session goes into `to`'s mailbox. */
static uint64_t send(struct world *w, int64_t session, int64_t from, int64_t to, uint64_t seq,
                     size_t len)
{
    static uint8_t body[66000];
    struct frame_row frame = { .scope_id = session,
                               .sender_id = from,
                               .seq = seq,
                               .kind = ITEM_DATA,
                               .stored_ms = NOW,
                               .expires_ms = NOW + WEEK,
                               .frame = { body, len } };
    uint64_t position = 0;

    memset(body, (int)seq, len);
    memset(frame.digest, (int)seq, 32);
    frame.stream_id = store_agent(w->store, to)->mailbox;
    OK(store_sender_advance(w->store, session, from, seq, frame.digest, len, NOW));
    OK(store_frame_append(w->store, &frame, &position));
    return position;
}

/* ---- opening
 * -------------------------------------------------------------------------------------- */

Test(store, opening_refuses)
{
    struct world w;
    struct store *second = NULL;
    char path[128];

    prepare(&w, true);
    cr_expect_eq(store_init(&w.options), ERR_EXISTS);
    OK(store_open(&w.store, &w.options));
    cr_expect_eq(store_open(&second, &w.options), ERR_LOCKED);
    cr_expect_null(second);
    store_close(&w.store);

    cr_assert_eq(chmod(w.dir, 0777), 0);
    cr_expect_eq(store_open(&second, &w.options), ERR_UNSAFE);
    cr_assert_eq(chmod(w.dir, 0700), 0);

    snprintf(path, sizeof path, "%s/broker.db", w.dir);
    cr_expect_eq(store_check_file(path), ERR_OK);
    cr_assert_eq(truncate(path, 10), 0);
    cr_expect_neq(store_open(&second, &w.options), ERR_OK);
    cr_assert_eq(unlink(path), 0);
    cr_expect_eq(store_open(&second, &w.options), ERR_NOT_FOUND);
    end(&w);
}

Test(store, a_newer_file_is_refused_without_a_write)
{
    struct world w;
    struct store *store = NULL;
    sqlite3 *db;
    char path[128];

    prepare(&w, true);
    snprintf(path, sizeof path, "%s/broker.db", w.dir);
    cr_assert_eq(sqlite3_open(path, &db), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(db, "PRAGMA user_version = 99", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    cr_expect_eq(store_open(&store, &w.options), ERR_STORE_NEWER);
    cr_expect_eq(store_check_file(path), ERR_STORE_NEWER);
    end(&w);
}

/* ---- numbers
 * -------------------------------------------------------------------------------------- */

Test(store, a_position_never_comes_again)
{
    struct world w;
    int64_t a, b, session;
    uint64_t highest, next;
    struct settlement settlement = { 0 };
    struct frame_row row;

    begin(&w, true);
    OK(store_begin(w.store));
    a = add_agent(&w, "alice");
    b = add_agent(&w, "bob");
    session = add_session(&w, a, b);
    send(&w, session, a, b, 1, 300);
    highest = send(&w, session, a, b, 2, 300);
    OK(store_commit(w.store));

    OK(store_begin(w.store));
    for (uint64_t seq = 1; seq <= 2; seq++) {
        OK(store_frame_find(w.store, session, a, seq, &row));
        settlement_add(&settlement, &row);
    }
    OK(store_settle(w.store, row.stream_id, highest, &settlement));
    OK(store_commit(w.store));
    settlement_free(&settlement);

    again(&w);
    OK(store_begin(w.store));
    next = send(&w, session, a, b, 3, 300);
    cr_expect_gt(next, highest);
    store_rollback(w.store);
    OK(store_begin(w.store));
    cr_expect_gt(send(&w, session, a, b, 3, 300), next);
    OK(store_commit(w.store));
    OK(store_recount(w.store));
    end(&w);
}

/* ---- streams
 * -------------------------------------------------------------------------------------- */

struct seen {
    size_t count, damaged;
    uint64_t seq[16], len[16];
    bool sound;
};

static bool see(void *ctx, const struct frame_row *frame)
{
    struct seen *seen = ctx;

    seen->damaged += frame->damaged;
    if (seen->count < 16) {
        seen->seq[seen->count] = frame->seq;
        seen->len[seen->count] = frame->len;
    }
    seen->count++;
    return true;
}

Test(store, a_mailbox_is_filled_read_and_settled)
{
    struct world w;
    int64_t a, b, session, mailbox;
    uint64_t position[4];
    struct settlement settlement = { 0 };
    struct seen seen = { 0 };
    struct stream_row stream;
    struct sender_row sender;
    struct cursor_row cursor;
    struct share share;
    uint8_t digest[32];

    begin(&w, false);
    OK(store_begin(w.store));
    a = add_agent(&w, "alice");
    b = add_agent(&w, "bob");
    session = add_session(&w, a, b);
    mailbox = store_agent(w.store, b)->mailbox;
    OK(store_share(w.store, mailbox, a, &share));
    cr_expect_eq(share.frames, 0);
    for (uint64_t seq = 1; seq <= 3; seq++)
        position[seq] = send(&w, session, a, b, seq, 1000 * seq);
    OK(store_commit(w.store));

    OK(store_begin(w.store));
    cr_expect_eq(store_sender_advance(w.store, session, a, 5, digest, 1, NOW), ERR_CONFLICT);
    OK(store_share(w.store, mailbox, a, &share));
    cr_expect_eq(share.frames, 3);
    cr_expect_eq(share.bytes, 6000);
    OK(store_frame_digest(w.store, session, a, 2, digest));
    cr_expect_eq(digest[7], 2);
    cr_expect_eq(store_frame_digest(w.store, session, a, 4, digest), ERR_NOT_FOUND);
    OK(store_frame_fetch(w.store, mailbox, position[1], 10, see, &seen));
    cr_expect_eq(seen.count, 2);
    cr_expect_eq(seen.seq[0], 2);
    cr_expect_eq(seen.len[1], 3000);

    OK(store_frame_list(w.store, mailbox, 0, position[2], 1024, see, &(struct seen){ 0 }));
    for (uint64_t seq = 1; seq <= 2; seq++) {
        struct frame_row row;

        OK(store_frame_find(w.store, session, a, seq, &row));
        settlement_add(&settlement, &row);
    }
    OK(store_settle(w.store, mailbox, position[2], &settlement));
    OK(store_cursor_move(w.store, mailbox, b, position[2], NOW, bytes_of("proof", 5)));
    OK(store_cursor_move(w.store, mailbox, b, position[1], NOW, bytes_of(NULL, 0)));
    OK(store_commit(w.store));

    OK(store_recount(w.store));
    OK(store_stream_get(w.store, mailbox, &stream));
    cr_expect_eq(stream.frames, 1);
    cr_expect_eq(stream.bytes, 3000);
    OK(store_sender_get(w.store, session, a, &sender));
    cr_expect_eq(sender.stored_seq, 3);
    cr_expect_eq(sender.settled_seq, 2);
    cr_expect_eq(sender.waiting_bytes, 3000);
    cr_expect_eq(sender.total_bytes, 6000);
    OK(store_share(w.store, mailbox, a, &share));
    cr_expect_eq(share.frames, 1);
    OK(store_cursor_get(w.store, mailbox, b, &cursor));
    cr_expect_eq(cursor.position, position[2]);
    cr_expect_eq(store_cursor_get(w.store, mailbox, a, &cursor), ERR_NOT_FOUND);
    settlement_free(&settlement);
    end(&w);
}

Test(store, settling_other_rows_than_were_checked_fails)
{
    struct world w;
    int64_t a, b, session;
    uint64_t position;
    struct settlement none = { 0 };

    begin(&w, false);
    OK(store_begin(w.store));
    a = add_agent(&w, "alice");
    b = add_agent(&w, "bob");
    session = add_session(&w, a, b);
    position = send(&w, session, a, b, 1, 300);
    OK(store_commit(w.store));
    OK(store_begin(w.store));
    cr_expect_eq(store_settle(w.store, store_agent(w.store, b)->mailbox, position, &none),
                 ERR_STORE);
    store_rollback(w.store);
    OK(store_recount(w.store));
    end(&w);
}

Test(store, a_rollback_leaves_nothing)
{
    struct world w;
    int64_t a, b, session;
    struct sender_row sender;
    struct stream_row stream;
    struct log_head before, after;

    begin(&w, true);
    OK(store_begin(w.store));
    a = add_agent(&w, "alice");
    b = add_agent(&w, "bob");
    session = add_session(&w, a, b);
    send(&w, session, a, b, 1, 300);
    OK(store_commit(w.store));
    store_log_head(w.store, &before);

    OK(store_begin(w.store));
    add_agent(&w, "carol");
    send(&w, session, a, b, 2, 300);
    store_rollback(w.store);
    cr_expect_eq(store_rollbacks(w.store), 1);
    cr_expect_null(store_agent_by_name(w.store, bytes_of_text("carol")));
    cr_expect_eq(store_agent_count(w.store), 2);
    OK(store_sender_get(w.store, session, a, &sender));
    cr_expect_eq(sender.stored_seq, 1);
    OK(store_mailbox(w.store, b, &stream));
    cr_expect_eq(stream.frames, 1);
    store_log_head(w.store, &after);
    cr_expect_eq(after.next, before.next);

    again(&w); /* enrol.log was cut back: nothing is put in */
    cr_expect_eq(store_agent_count(w.store), 2);
    OK(store_begin(w.store));
    cr_expect_eq(add_agent(&w, "carol"), 3);
    OK(store_commit(w.store));
    end(&w);
}

Test(store, expiry_leaves_tombstones_and_counts)
{
    struct world w;
    int64_t a, b, session, mailbox, due[4];
    size_t count;
    struct frame_row row;
    struct stream_row stream;
    struct sender_row sender;

    begin(&w, false);
    OK(store_begin(w.store));
    a = add_agent(&w, "alice");
    b = add_agent(&w, "bob");
    session = add_session(&w, a, b);
    mailbox = store_agent(w.store, b)->mailbox;
    send(&w, session, a, b, 1, 300);
    send(&w, session, a, b, 2, 300);
    OK(store_expiry_due(w.store, NOW, due, 4, &count));
    cr_expect_eq(count, 0);
    OK(store_expiry_due(w.store, NOW + WEEK, due, 4, &count));
    cr_expect_eq(count, 1);
    cr_expect_eq(due[0], mailbox);
    OK(store_frame_find(w.store, session, a, 1, &row));
    OK(store_frame_tombstone(w.store, &row, 1));
    OK(store_dead_add(w.store, &row, b, 1, NOW + WEEK, NULL));
    OK(store_commit(w.store));

    OK(store_stream_get(w.store, mailbox, &stream));
    cr_expect_eq(stream.frames, 2);
    cr_expect_eq(stream.bytes, 300);
    OK(store_sender_get(w.store, session, a, &sender));
    cr_expect_eq(sender.settled_seq, 0);
    cr_expect_eq(sender.waiting_bytes, 300);

    OK(store_begin(w.store));
    OK(store_frame_find(w.store, session, a, 1, &row));
    cr_expect_eq(row.reason, 1);
    cr_expect_eq(row.len, 0);
    OK(store_frame_remove(w.store, &row));
    OK(store_expiry_set(w.store, mailbox, NOW + WEEK));
    OK(store_commit(w.store));
    OK(store_sender_get(w.store, session, a, &sender));
    cr_expect_eq(sender.settled_seq, 1);
    OK(store_recount(w.store));
    end(&w);
}

/* ---- damage
 * --------------------------------------------------------------------------------------- */

static void damage(struct world *w, const char *sql)
{
    sqlite3 *db;
    char path[128];

    store_close(&w->store);
    snprintf(path, sizeof path, "%s/broker.db", w->dir);
    cr_assert_eq(sqlite3_open(path, &db), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK, "%s", sqlite3_errmsg(db));
    sqlite3_close(db);
    OK(store_open(&w->store, &w->options));
}

static const struct {
    const char *name, *sql;
} flips[] = {
    { "body",
      "UPDATE frame SET frame = CAST(x'00' || substr(frame, 2) AS BLOB) WHERE sender_seq = 2" },
    { "digest", "UPDATE frame SET digest = zeroblob(32) WHERE sender_seq = 2" },
    { "expiry", "UPDATE frame SET expires_ms = expires_ms + 1 WHERE sender_seq = 2" },
    { "stored", "UPDATE frame SET stored_ms = stored_ms - 1 WHERE sender_seq = 2" },
    { "kind", "UPDATE frame SET kind = 2 WHERE sender_seq = 2" },
    { "sender", "UPDATE frame SET sender_id = 2 WHERE sender_seq = 2" },
    { "session", "UPDATE frame SET session_id = 7 WHERE sender_seq = 2" },
    { "number", "UPDATE frame SET sender_seq = 9 WHERE sender_seq = 2" },
    { "tombstone", "UPDATE frame SET reason = 1, frame = NULL WHERE sender_seq = 2" },
    { "sum", "UPDATE frame SET sum = sum + 1 WHERE sender_seq = 2" },
};

Test(store, every_flipped_column_of_a_frame_is_found)
{
    struct world w;
    int64_t a, b, session;

    begin(&w, true);
    OK(store_begin(w.store));
    a = add_agent(&w, "alice");
    b = add_agent(&w, "bob");
    session = add_session(&w, a, b);
    for (uint64_t seq = 1; seq <= 3; seq++)
        send(&w, session, a, b, seq, 5000);
    OK(store_commit(w.store));
    for (size_t i = 0; i < sizeof flips / sizeof flips[0]; i++) {
        struct seen seen = { 0 };
        char all[256];

        snprintf(all, sizeof all, "CREATE TABLE kept AS SELECT * FROM frame; %s", flips[i].sql);
        damage(&w, all);
        OK(store_frame_fetch(w.store, store_agent(w.store, b)->mailbox, 0, 10, see, &seen));
        cr_expect_eq(seen.count, 3, "%s", flips[i].name);
        cr_expect_eq(seen.damaged, 1, "%s", flips[i].name);
        damage(&w, "DELETE FROM frame; INSERT INTO frame SELECT * FROM kept; DROP TABLE kept");
    }
    end(&w);
}

Test(store, damaged_sender_and_cursor_are_mended)
{
    struct world w;
    int64_t a, b, session, mailbox;
    uint64_t position;
    struct sender_row sender;
    struct cursor_row cursor;
    uint8_t zeroes[32] = { 0 };

    begin(&w, true);
    OK(store_begin(w.store));
    a = add_agent(&w, "alice");
    b = add_agent(&w, "bob");
    session = add_session(&w, a, b);
    mailbox = store_agent(w.store, b)->mailbox;
    position = send(&w, session, a, b, 1, 300);
    send(&w, session, a, b, 2, 300);
    OK(store_cursor_move(w.store, mailbox, b, position - 1, NOW, bytes_of(NULL, 0)));
    OK(store_commit(w.store));

    damage(&w, "UPDATE sender SET stored_seq = 77 WHERE sender_id = 1; UPDATE cursor SET position "
               "= position + 1024");
    OK(store_begin(w.store));
    OK(store_sender_get(w.store, session, a, &sender));
    cr_expect_eq(sender.stored_seq, 2);
    cr_expect_eq(sender.settled_seq, 0);
    cr_expect_arr_eq(sender.digest, zeroes, 32);
    OK(store_cursor_get(w.store, mailbox, b, &cursor));
    cr_expect_eq(cursor.position, 0);
    OK(store_commit(w.store));
    end(&w);
}

/* ---- put back
 * --------------------------------------------------------------------------------------- */

/* broker.db aside, and back in the place of what came after it. */
static void keep_file(const struct world *w)
{
    char command[256];

    snprintf(command, sizeof command, "mkdir %s.kept && cp %s/broker.db %s.kept/", w->dir, w->dir,
             w->dir);
    cr_assert_eq(system(command), 0);
}

static void put_file_back(const struct world *w)
{
    char command[320];

    snprintf(command, sizeof command,
             "rm %s/broker.db-* && mv %s.kept/broker.db %s/ && rmdir %s.kept", w->dir, w->dir,
             w->dir, w->dir);
    cr_assert_eq(system(command), 0);
}

Test(store, a_file_that_was_put_back_gets_a_new_incarnation_and_its_log_back)
{
    struct world w;
    uint8_t before[16], opk[32] = { 1 };
    int64_t a, b, session;
    uint64_t highest, count;
    struct log_head head, after;

    begin(&w, true);
    memcpy(before, store_incarnation(w.store), 16);
    OK(store_begin(w.store));
    a = add_agent(&w, "alice");
    b = add_agent(&w, "bob");
    OK(store_opk_add(w.store, b, 1, opk));
    OK(store_commit(w.store));
    store_close(&w.store);
    keep_file(&w);

    OK(store_open(&w.store, &w.options));
    cr_expect_arr_eq(store_incarnation(w.store), before, 16);
    OK(store_begin(w.store));
    session = add_session(&w, a, b);
    highest = send(&w, session, a, b, 1, 300);
    add_agent(&w, "carol");
    OK(store_commit(w.store));
    store_log_head(w.store, &head);
    store_close(&w.store);

    put_file_back(&w);
    w.options.now_ms = NOW + 1000;
    OK(store_open(&w.store, &w.options));
    cr_expect(store_was_restored(w.store));
    cr_expect_arr_neq(store_incarnation(w.store), before, 16);
    cr_expect_eq(store_incarnation_ms(w.store), NOW + 1000);
    store_log_head(w.store, &after);
    cr_expect_eq(after.next, head.next);
    cr_expect_arr_eq(after.digest, head.digest, 32);
    cr_expect_not_null(store_agent_by_name(w.store, bytes_of_text("carol")));
    OK(store_opk_count(w.store, b, &count));
    cr_expect_eq(count, 0);
    OK(store_begin(w.store));
    session = add_session(&w, a, b);
    cr_expect_gt(send(&w, session, a, b, 1, 300), highest);
    OK(store_commit(w.store));
    again(&w);
    cr_expect_not(store_was_restored(w.store));
    end(&w);
}

Test(store, a_lost_or_torn_enrol_log_is_mended)
{
    struct world w;
    struct stat st;
    char path[128];
    off_t size;

    begin(&w, true);
    OK(store_begin(w.store));
    add_agent(&w, "alice");
    OK(store_commit(w.store));
    OK(store_begin(w.store));
    add_agent(&w, "bob");
    OK(store_commit(w.store));
    store_close(&w.store);
    snprintf(path, sizeof path, "%s/enrol.log", w.dir);
    cr_assert_eq(stat(path, &st), 0);
    size = st.st_size;
    cr_expect_gt(size, 500);

    cr_assert_eq(truncate(path, size - 3), 0);
    OK(store_open(&w.store, &w.options));
    store_close(&w.store);
    cr_assert_eq(stat(path, &st), 0);
    cr_expect_eq(st.st_size, size);

    cr_assert_eq(unlink(path), 0);
    OK(store_open(&w.store, &w.options));
    cr_assert_eq(stat(path, &st), 0);
    cr_expect_eq(st.st_size, size);
    end(&w);
}

/* ---- space
 * ---------------------------------------------------------------------------------------- */

Test(store, a_full_file_refuses_to_grow_and_drains_to_empty)
{
    struct world w;
    int64_t a, b, session;
    uint64_t stored = 0, position = 0;
    struct frame_row row;
    struct settlement settlement = { 0 };

    prepare(&w, true);
    w.options.max_bytes = 200 * 4096;
    OK(store_open(&w.store, &w.options));
    OK(store_begin(w.store));
    a = add_agent(&w, "alice");
    b = add_agent(&w, "bob");
    session = add_session(&w, a, b);
    OK(store_commit(w.store));
    store_space(w.store, UINT64_MAX);
    cr_expect(store_accepting(w.store));
    for (;;) {
        static const uint8_t body[8000];
        struct frame_row frame = { .scope_id = session,
                                   .sender_id = a,
                                   .seq = stored + 1,
                                   .kind = ITEM_DATA,
                                   .stored_ms = NOW,
                                   .expires_ms = NOW + WEEK,
                                   .frame = { body, sizeof body } };
        enum err e;

        OK(store_begin(w.store));
        frame.stream_id = store_agent(w.store, b)->mailbox;
        OK(store_sender_advance(w.store, session, a, stored + 1, frame.digest, 8000, NOW));
        if ((e = store_frame_append(w.store, &frame, &position)) != ERR_OK) {
            cr_expect_eq(e, ERR_STORE_FULL);
            store_rollback(w.store);
            break;
        }
        if ((e = store_commit(w.store)) != ERR_OK) {
            cr_expect_eq(e, ERR_STORE_FULL);
            break;
        }
        stored++;
    }
    cr_expect_gt(stored, 10);
    cr_expect_not(store_broken(w.store));
    cr_expect_not(store_accepting(w.store));
    store_space(w.store, UINT64_MAX);
    cr_expect_not(store_accepting(w.store));
    OK(store_begin(w.store));
    for (uint64_t seq = 1; seq <= stored; seq++) {
        OK(store_frame_find(w.store, session, a, seq, &row));
        settlement_add(&settlement, &row);
    }
    OK(store_settle(w.store, row.stream_id, row.position, &settlement));
    OK(store_commit(w.store));
    store_space(w.store, UINT64_MAX);
    cr_expect(store_accepting(w.store));
    store_space(w.store, w.options.disk_floor_bytes - 1);
    cr_expect_not(store_accepting(w.store));
    store_space(w.store, w.options.disk_floor_bytes + 1);
    cr_expect_not(store_accepting(w.store));
    store_space(w.store, w.options.disk_floor_bytes + (UINT64_C(128) << 20));
    cr_expect(store_accepting(w.store));
    OK(store_recount(w.store));
    settlement_free(&settlement);
    end(&w);
}

/* ---- the rest
 * ------------------------------------------------------------------------------------- */

Test(store, T37_the_clock_is_believed_within_an_hour)
{
    struct world w;
    const uint64_t hour = 3600000;

    begin(&w, false);
    cr_expect(store_clock_sound(w.store, NOW + 1000, 1000));
    cr_expect(store_clock_sound(w.store, NOW + 1000 + hour, 1000));
    cr_expect_not(store_clock_sound(w.store, NOW + 3 * hour, 1000));
    cr_expect_not(store_clock_sound(w.store, NOW - hour, 2000));
    cr_expect(store_clock_sound(w.store, NOW + hour + 3000, 3000));
    cr_expect_not(store_clock_sound(w.store, NOW + 9 * hour, 4000));
    store_clock_accept(w.store, NOW + 9 * hour, 4000);
    cr_expect(store_clock_sound(w.store, NOW + 9 * hour, 4000));
    end(&w);
}

Test(store, one_time_prekeys_are_promised_to_one)
{
    struct world w;
    int64_t a, b, c;
    uint32_t id = 0;
    uint8_t key[32] = { 1 }, got[32];
    bool fresh;

    begin(&w, false);
    OK(store_begin(w.store));
    a = add_agent(&w, "alice");
    b = add_agent(&w, "bob");
    c = add_agent(&w, "carol");
    OK(store_opk_add(w.store, b, 7, key));
    OK(store_opk_add(w.store, b, 9, key));
    OK(store_opk_reserve(w.store, b, a, NOW, NOW + 10, &id, got, &fresh));
    cr_expect_eq(id, 7);
    cr_expect(fresh);
    OK(store_opk_reserve(w.store, b, a, NOW + 5, NOW + 15, &id, got, &fresh));
    cr_expect_eq(id, 7);
    cr_expect_not(fresh);
    OK(store_opk_reserve(w.store, b, c, NOW + 5, NOW + 15, &id, got, &fresh));
    cr_expect_eq(id, 9);
    cr_expect_eq(store_opk_reserve(w.store, b, b, NOW + 5, NOW + 15, &id, got, &fresh),
                 ERR_NOT_FOUND);
    cr_expect_eq(store_opk_usable(w.store, b, 7, c, NOW + 5), ERR_NOT_FOUND);
    OK(store_opk_usable(w.store, b, 7, a, NOW + 5));
    OK(store_opk_usable(w.store, b, 7, c, NOW + 10));
    OK(store_opk_use(w.store, b, 7, 1));
    cr_expect_eq(store_opk_use(w.store, b, 7, 1), ERR_NOT_FOUND);
    OK(store_commit(w.store));
    end(&w);
}

Test(store, events_are_compared_and_swapped)
{
    struct world w;
    int64_t a, b, session;
    uint8_t zeroes[32] = { 0 };
    struct event_row event = { .type = EVENT_OPENED, .at_ms = NOW, .body_len = 3 }, got;
    struct session_row row;

    begin(&w, false);
    OK(store_begin(w.store));
    a = add_agent(&w, "alice");
    b = add_agent(&w, "bob");
    session = add_session(&w, a, b);
    event.actor_id = a;
    event.target_id = b;
    memset(event.digest, 5, 32);
    memcpy(event.body, "abc", 3);
    OK(store_event_append(w.store, session, zeroes, &event));
    cr_expect_eq(store_event_append(w.store, session, zeroes, &event), ERR_CONFLICT);
    event.seq = 1;
    cr_expect_eq(store_event_append(w.store, session, zeroes, &event), ERR_CONFLICT);
    OK(store_event_append(w.store, session, event.digest, &event));
    OK(store_session_get(w.store, session, &row));
    cr_expect_eq(row.next_event, 2);
    OK(store_event_get(w.store, session, 1, &got));
    cr_expect_eq(got.body_len, 3);
    cr_expect_eq(store_event_get(w.store, session, 2, &got), ERR_NOT_FOUND);
    OK(store_commit(w.store));
    end(&w);
}

Test(store, an_ended_session_goes_when_nothing_of_it_waits)
{
    struct world w;
    int64_t a, b, session, gone = 0, due[2];
    struct frame_row row;
    struct session_row found;
    struct pair_facts pair;
    uint8_t id[16];
    size_t count;

    begin(&w, false);
    OK(store_begin(w.store));
    a = add_agent(&w, "alice");
    b = add_agent(&w, "bob");
    session = add_session(&w, a, b);
    OK(store_session_get(w.store, session, &found));
    memcpy(id, found.id, 16);
    OK(store_pair_facts(w.store, b, a, &pair));
    cr_expect_eq(pair.active, 1);
    cr_expect_eq(pair.unanswered, 0);
    OK(store_session_due(w.store, NOW + WEEK, due, 2, &count));
    cr_expect_eq(count, 1);
    send(&w, session, a, b, 1, 300);
    OK(store_session_move(w.store, session, SESSION_CLOSED, 0, NOW, 0));
    OK(store_session_due(w.store, NOW + WEEK, due, 2, &count));
    cr_expect_eq(count, 0);
    cr_expect_eq(store_session_sweep(w.store, NOW + 1, &gone), ERR_NOT_FOUND);
    OK(store_frame_find(w.store, session, a, 1, &row));
    OK(store_frame_remove(w.store, &row));
    OK(store_commit(w.store));
    OK(store_begin(w.store));
    cr_expect_eq(store_session_sweep(w.store, NOW, &gone), ERR_NOT_FOUND);
    OK(store_session_sweep(w.store, NOW + 1, &gone));
    cr_expect_eq(gone, session);
    cr_expect_eq(store_session_find(w.store, id, &found), ERR_NOT_FOUND);
    OK(store_commit(w.store));
    end(&w);
}

Test(store, usage_counts_requests)
{
    struct world w;
    int64_t a, b;
    struct usage_row usage;

    begin(&w, false);
    OK(store_begin(w.store));
    a = add_agent(&w, "alice");
    b = add_agent(&w, "bob");
    OK(store_request_opened(w.store, a, b, 700));
    OK(store_usage_get(w.store, b, &usage));
    cr_expect_eq(usage.requests_in, 1);
    cr_expect_eq(usage.request_bytes, 700);
    OK(store_request_ended(w.store, a, b, 700));
    OK(store_usage_get(w.store, a, &usage));
    cr_expect_eq(usage.requests_out, 0);
    OK(store_commit(w.store));
    end(&w);
}

static bool count_row(void *ctx, int count, const char *const *names, const char *const *values)
{
    (void)count;
    (void)names;
    cr_expect_str_eq(values[1], "mailbox");
    ++*(int *)ctx;
    return true;
}

Test(store, views_come_row_by_row)
{
    struct world w;
    int rows = 0;
    struct minute_counts counts = { .frames_in = 2 };
    bool more;

    begin(&w, false);
    OK(store_begin(w.store));
    add_agent(&w, "alice");
    add_agent(&w, "bob");
    OK(store_view(w.store, "v_queues", "queue", "bob", NULL, 10, count_row, &rows));
    cr_expect_eq(rows, 1);
    OK(store_minute(w.store, NOW));
    OK(store_minute_add(w.store, NOW, &counts));
    OK(store_minute_add(w.store, NOW, &counts));
    OK(store_sweep_old(w.store, NOW, &more));
    cr_expect_not(more);
    OK(store_commit(w.store));
    end(&w);
}

/* Does a line of the plan walk one of the large tables from end to end? */
static bool walks(const char *detail)
{
    static const char *const large[]
        = { "SCAN frame", "SCAN sender", "SCAN cursor", "SCAN f ", "SCAN n ", "SCAN event" };

    for (size_t i = 0; i < sizeof large / sizeof large[0]; i++)
        if (strstr(detail, large[i]))
            return true;
    return false;
}

Test(store, no_statement_walks_a_large_table)
{
    struct world w;
    size_t count = 0;

    begin(&w, false);
    for (sqlite3_stmt *s = NULL; (s = sqlite3_next_stmt(db_handle(w.store->db), s));) {
        char sql[4096];
        sqlite3_stmt *plan = NULL;

        snprintf(sql, sizeof sql, "EXPLAIN QUERY PLAN %s", sqlite3_sql(s));
        if (sqlite3_prepare_v2(db_handle(w.store->db), sql, -1, &plan, NULL) != SQLITE_OK)
            continue; /* BEGIN, COMMIT */
        while (sqlite3_step(plan) == SQLITE_ROW) {
            const char *detail = (const char *)sqlite3_column_text(plan, 3);

            cr_expect_not(walks(detail), "%s: %s", sqlite3_sql(s), detail);
        }
        sqlite3_finalize(plan);
        if (++count == 1000)
            break; /* the plan itself is a statement, too */
    }
    cr_expect_gt(count, 60);
    end(&w);
}
