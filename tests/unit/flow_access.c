/* layers: testlib */
/*
 * Who may ask what and when (T61): every verb from every kind of requester, greeted or not; leases
 * (T20, T60); turns that fail.
 */
#include <criterion/criterion.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/store/directory.h"
#include "broker/store/scopes.h"
#include "broker/store/senders.h"
#include "shared/wire/limit.h"
#include "tests/lib/fake_broker.h"

#define DAY_MS UINT64_C(86400000)

static struct fake_broker broker;
static struct fake_party ann, bob;
static struct fake_session session;
static const uint8_t zeroes[64];

static void open_all(void)
{
    fake_broker_open(&broker, false);
    fake_join(&broker, &ann, "ann");
    fake_join(&broker, &bob, "bob");
    fake_session_open(&broker, &session, &ann, &bob, 1);
}

static void open_on_disk(void)
{
    fake_broker_open(&broker, true);
    fake_join(&broker, &ann, "ann");
    fake_join(&broker, &bob, "bob");
    fake_session_open(&broker, &session, &ann, &bob, 1);
}

static void close_all(void)
{
    fake_broker_close(&broker);
}

TestSuite(access, .init = open_all, .fini = close_all);

/* A well-formed request of this verb, with nothing good in it. */
static struct message request_of(enum verb verb)
{
    static const uint8_t byte[1] = { 0 };
    const struct verb_rule *rule = verb_rule((unsigned)verb);
    struct message message = { .verb = verb, .has = rule->need };

    message.instance = message.stream = message.id = zeroes;
    message.sig = zeroes;
    message.version = message.min = 1;
    message.ts = broker.now_ms;
    message.card = (struct wire_signed){ bytes_of(byte, 1), zeroes };
    return message;
}

static const struct {
    enum verb verb;
    enum verb_who who;
} verbs[] = {
    { VERB_HELLO, WHO_ENROLLED },  { VERB_ENROL, WHO_INVITED },   { VERB_CARD, WHO_GREETED },
    { VERB_LOOKUP, WHO_GREETED },  { VERB_PREKEYS, WHO_GREETED }, { VERB_LOG, WHO_GREETED },
    { VERB_REQUEST, WHO_GREETED }, { VERB_EVENT, WHO_GREETED },   { VERB_EVENTS, WHO_GREETED },
    { VERB_SEND, WHO_GREETED },    { VERB_FETCH, WHO_GREETED },   { VERB_CREDIT, WHO_GREETED },
    { VERB_ACK, WHO_GREETED },     { VERB_SYNC, WHO_GREETED },    { VERB_PING, WHO_ANYONE },
    { VERB_BYE, WHO_ENROLLED },    { VERB_LEAVE, WHO_GREETED },
};

enum { VERBS = sizeof verbs / sizeof verbs[0] };

static enum err say(const struct requester *by, enum verb verb)
{
    struct message message = request_of(verb);

    return fake_say(&broker, by, &message, NULL, 0).e;
}

/* T61: before HELLO nothing but HELLO, PING and BYE. */
Test(access, T61_before_hello)
{
    fake_connect(&broker, &ann);
    for (size_t i = 0; i < VERBS; i++)
        if (verbs[i].who == WHO_GREETED)
            cr_expect_eq(say(&ann.by, verbs[i].verb), ERR_HELLO, "%s", verb_name(verbs[i].verb));
    cr_expect_eq(say(&ann.by, VERB_PING), ERR_OK);
    cr_expect_eq(say(&ann.by, VERB_ENROL), ERR_AUTH);
    cr_expect_eq(say(&ann.by, VERB_BYE), ERR_OK);
}

Test(access, T61_with_an_invite_only)
{
    struct requester by = { .kind = BY_INVITE, .conn = 999, .id = 1 };

    for (size_t i = 0; i < VERBS; i++)
        if (verbs[i].who == WHO_GREETED || verbs[i].who == WHO_ENROLLED)
            cr_expect_eq(say(&by, verbs[i].verb), ERR_AUTH, "%s", verb_name(verbs[i].verb));
    cr_expect_eq(say(&by, VERB_ENROL), ERR_TOKEN);
}

Test(access, T61_agent_that_is_not_there)
{
    struct requester by = { .kind = BY_AGENT, .conn = 999, .id = 4711 };

    for (size_t i = 0; i < VERBS; i++)
        cr_expect_eq(say(&by, verbs[i].verb), ERR_AUTH, "%s", verb_name(verbs[i].verb));
}

/* Revoked while it is connected: refused at the next message, and put out. */
Test(access, T61_revoked_agent)
{
    cr_assert_eq(store_begin(broker.store), ERR_OK);
    cr_assert_eq(store_agent_revoke(broker.store, ann.by.id, broker.now_ms), ERR_OK);
    cr_assert_eq(store_commit(broker.store), ERR_OK);
    for (size_t i = 0; i < VERBS; i++) {
        cr_expect_eq(say(&ann.by, verbs[i].verb), ERR_CERT_REVOKED, "%s", verb_name(verbs[i].verb));
        cr_expect(fake_came(&broker, OUT_KICK, ann.by.conn), "%s", verb_name(verbs[i].verb));
    }
}

/* A number of a connection that is somebody else's helps nobody. */
Test(access, T61_greeted_as_another)
{
    struct requester by = ann.by;

    by.conn = bob.by.conn;
    cr_expect_eq(say(&by, VERB_CREDIT), ERR_HELLO);
}

/* After HELLO every verb is heard: whatever it answers, it is not about the greeting. */
Test(access, T61_after_hello)
{
    for (size_t i = 0; i < VERBS; i++) {
        enum err e;

        if (verbs[i].verb == VERB_BYE)
            continue;
        e = say(&ann.by, verbs[i].verb);
        cr_expect_neq(e, ERR_HELLO, "%s", verb_name(verbs[i].verb));
        cr_expect_neq(e, ERR_INTERNAL, "%s", verb_name(verbs[i].verb));
        cr_expect_neq(e, ERR_NOT_FOUND, "%s", verb_name(verbs[i].verb));
        if (verbs[i].who != WHO_INVITED && verbs[i].verb != VERB_CARD
            && verbs[i].verb != VERB_LEAVE)
            cr_expect_neq(e, ERR_AUTH, "%s", verb_name(verbs[i].verb));
        fake_hello(&broker, &ann);
    }
}

Test(access, ping_tells_the_time)
{
    struct message message = { .verb = VERB_PING };

    MESSAGE_SET(&message, ts, 0);
    cr_expect_eq(fake_say(&broker, &ann.by, &message, NULL, 0).message.ts, broker.now_ms);
}

/* T37: five minutes either way are nothing; ten are told with the broker's time. */
Test(access, T37_a_clock_that_is_ten_minutes_off)
{
    static const struct {
        const char *name;
        int64_t off_ms;
        enum err want;
    } rows[] = {
        { "ten minutes behind", -600000, ERR_STALE_TS },
        { "300.001 s behind", -300001, ERR_STALE_TS },
        { "five minutes behind", -300000, ERR_OK },
        { "right", 0, ERR_OK },
        { "five minutes ahead", 300000, ERR_OK },
        { "300.001 s ahead", 300001, ERR_STALE_TS },
        { "ten minutes ahead", 600000, ERR_STALE_TS },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct message message = request_of(VERB_HELLO);
        struct answer answer;

        MESSAGE_SET(&message, instance, ann.instance);
        MESSAGE_SET(&message, ts, broker.now_ms + (uint64_t)rows[i].off_ms);
        answer = fake_say(&broker, &ann.by, &message, NULL, 0);
        cr_expect_eq(answer.e, rows[i].want, "%s", rows[i].name);
        if (rows[i].want != ERR_OK)
            cr_expect_eq(answer.message.ts, broker.now_ms, "%s: the broker's time", rows[i].name);
        fake_forget(&broker);
    }
}

/* The first HELLO with the newest key ends the use of all before it. */
Test(access, hello_with_a_new_key_drops_the_old_ones)
{
    struct message message = { .verb = VERB_CARD };
    uint8_t old[2][32];

    for (int i = 0; i < 2; i++) {
        struct wire_signed card;

        memcpy(old[i], ann.agent.tk, 32);
        fake_agent_rekey(&ann.agent, broker.now_ms);
        card = (struct wire_signed){ bytes_of(ann.agent.card, ann.agent.card_len),
                                     ann.agent.card_sig };
        MESSAGE_SET(&message, card, card);
        cr_assert_eq(fake_say(&broker, &ann.by, &message, NULL, 0).e, ERR_OK);
    }
    fake_forget(&broker);
    fake_hello(&broker, &ann);
    cr_expect_not(fake_came(&broker, OUT_KEY_DROP, 0), "that was the oldest key");
    fake_connect(&broker, &ann);
    cr_expect_eq(fake_hello(&broker, &ann).e, ERR_OK);
    for (int i = 1; i >= 0; i--) {
        cr_assert(fake_came(&broker, OUT_KEY_DROP, 0));
        cr_expect_arr_eq(broker.kept->key, old[i], 32);
        cr_expect_not(broker.kept->revoked, "its connection may finish");
    }
}

/* ---- leases ---------------------------------------------------------------------------------- */

static void clone_of(struct fake_party *out, const struct fake_party *party)
{
    *out = *party;
    fake_connect(&broker, out);
    out->instance[0] ^= 0xff;
}

/* T20: a copy waits while the other lives; the first answer is soon, then the rest of the lease. */
Test(access, T20_a_copy_is_kept_out)
{
    struct fake_party copy;
    struct answer answer;

    fake_hello(&broker, &ann);
    fake_forget(&broker);
    clone_of(&copy, &ann);
    answer = fake_hello(&broker, &copy);
    cr_expect_eq(answer.e, ERR_LOCK_CONTENTION);
    cr_expect_leq(answer.message.after_ms, 250);
    answer = fake_next(&broker, ann.by.conn, VERB_NOTIFY);
    cr_assert_eq(answer.e, ERR_OK, "the holder is asked whether it lives");
    cr_expect_eq(answer.message.kind, 0);
    broker.elapsed_ms += 1000;
    answer = fake_hello(&broker, &copy);
    cr_expect_eq(answer.e, ERR_LOCK_CONTENTION);
    cr_expect_eq(answer.message.after_ms, LIMIT_LEASE_MS - 1000);
    cr_expect_eq(say(&ann.by, VERB_PING), ERR_OK);
    cr_expect_eq(fake_send_next(&broker, &session, &ann), ERR_OK, "it has lost nothing");
}

/* Where nobody is any more, the successor gets in at once. */
Test(access, T20_the_successor_of_a_dead_process)
{
    struct fake_party next;

    fake_hello(&broker, &ann);
    clone_of(&next, &ann);
    cr_expect_eq(fake_hello(&broker, &next).e, ERR_LOCK_CONTENTION);
    flow_disconnected(broker.flow, ann.by.conn); /* the probe could not be sent */
    cr_expect_eq(fake_hello(&broker, &next).e, ERR_OK);
}

Test(access, bye_frees_the_lease)
{
    struct fake_party next;

    fake_hello(&broker, &ann);
    clone_of(&next, &ann);
    cr_expect_eq(say(&ann.by, VERB_BYE), ERR_OK);
    cr_expect_eq(fake_hello(&broker, &next).e, ERR_OK);
    cr_expect_eq(fake_send_next(&broker, &session, &next), ERR_OK);
}

/* T60: after 45 s of silence another may have it; the older one is told to say HELLO, and waits. */
Test(access, T60_silence_loses_the_lease)
{
    struct fake_party next;

    fake_hello(&broker, &ann);
    clone_of(&next, &ann);
    broker.elapsed_ms += LIMIT_LEASE_MS;
    cr_expect_eq(fake_hello(&broker, &next).e, ERR_OK);
    cr_expect_eq(say(&ann.by, VERB_CREDIT), ERR_HELLO);
    cr_expect_eq(fake_hello(&broker, &ann).e, ERR_LOCK_CONTENTION);
}

Test(access, the_same_instance_may_come_on_a_new_connection)
{
    fake_hello(&broker, &ann);
    fake_connect(&broker, &ann);
    cr_expect_eq(fake_hello(&broker, &ann).e, ERR_OK);
}

Test(access, any_word_renews_the_lease)
{
    struct fake_party copy;

    fake_hello(&broker, &ann);
    clone_of(&copy, &ann);
    for (int i = 0; i < 5; i++) {
        broker.elapsed_ms += LIMIT_LEASE_MS - 1;
        cr_expect_eq(say(&ann.by, VERB_PING), ERR_OK);
        cr_expect_eq(fake_hello(&broker, &copy).e, ERR_LOCK_CONTENTION);
    }
}

Test(access, goodbye_reaches_everybody)
{
    fake_hello(&broker, &ann);
    fake_hello(&broker, &bob);
    fake_forget(&broker);
    flow_say_goodbye(broker.flow, 1500);
    cr_expect_eq(fake_next(&broker, ann.by.conn, VERB_NOTIFY).message.after_ms, 1500);
    cr_expect_eq(fake_next(&broker, bob.by.conn, VERB_NOTIFY).message.kind, 5);
}

/* ---- turns that fail ------------------------------------------------------------------------- */

static void spoil(const char *sql)
{
    char path[128];
    sqlite3 *db;

    snprintf(path, sizeof path, "%s/broker.db", broker.dir);
    cr_assert_eq(sqlite3_open(path, &db), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK, "%s", sqlite3_errmsg(db));
    sqlite3_close(db);
}

static uint32_t queue_frame(const struct fake_party *by, uint64_t seq, size_t size)
{
    const struct fake_agent *other = by == &ann ? &bob.agent : &ann.agent;
    struct message message = { .verb = VERB_SEND };
    struct buf frame = { 0 };
    struct bytes part;
    uint32_t rid;

    fake_frame(&frame, FRAME_DATA, session.chain.sid, &by->agent, other, seq,
               broker.now_ms + DAY_MS, size);
    part = buf_bytes(&frame);
    rid = fake_queue(&broker, &by->by, &message, &part, 1);
    buf_free(&frame);
    return rid;
}

/* One request that the store cannot do: the others of its turn are done, it alone is refused. */
Test(turns, one_request_fails, .init = open_on_disk, .fini = close_all)
{
    struct fake_item items[256];
    struct answer answer;
    uint32_t rids[4];

    /* No room for number 3 beside number 2. */
    spoil("CREATE UNIQUE INDEX narrow ON frame (stream_id) WHERE sender_id = 1"
          " AND sender_seq IN (2, 3)");
    rids[0] = queue_frame(&ann, 2, BUCKET_MIN);
    rids[1] = queue_frame(&ann, 3, BUCKET_MIN);
    rids[2] = queue_frame(&ann, 4, BUCKET_MIN);
    rids[3] = queue_frame(&bob, 2, BUCKET_MIN);
    cr_assert_eq(fake_run(&broker), ERR_OK);
    answer = fake_answer(&broker, ann.by.conn, rids[0]);
    cr_expect_eq(fake_status(&answer, 0), ERR_OK);
    cr_expect_eq(fake_answer(&broker, ann.by.conn, rids[1]).e, ERR_INTERNAL);
    answer = fake_answer(&broker, ann.by.conn, rids[2]);
    cr_expect_eq(fake_status(&answer, 0), ERR_SEQ_GAP);
    answer = fake_answer(&broker, bob.by.conn, rids[3]);
    cr_expect_eq(fake_status(&answer, 0), ERR_OK);
    cr_expect_eq(fake_fetch(&broker, &bob, items), 1);
    cr_expect_eq(fake_fetch(&broker, &ann, items), 1);
}

/* Nothing of a turn that failed was counted: not the rate, not what is in flight. */
Test(turns, a_failed_turn_costs_nothing, .init = open_on_disk, .fini = close_all)
{
    uint32_t rids[3];
    struct answer answer;

    broker.settings.send_burst = 3;
    broker.settings.send_per_s = 1;
    flow_configure(broker.flow, &broker.settings);
    fake_broker_pass(&broker, 10000);
    spoil("CREATE UNIQUE INDEX narrow ON frame (stream_id) WHERE sender_id = 1"
          " AND sender_seq IN (3, 4)");
    for (uint64_t i = 0; i < 3; i++)
        rids[i] = queue_frame(&ann, 2 + i, BUCKET_MIN);
    cr_assert_eq(fake_run(&broker), ERR_OK);
    answer = fake_answer(&broker, ann.by.conn, rids[1]);
    cr_expect_eq(fake_status(&answer, 0), ERR_OK);
    cr_expect_eq(fake_answer(&broker, ann.by.conn, rids[2]).e, ERR_INTERNAL);
    spoil("DROP INDEX narrow");
    rids[0] = queue_frame(&ann, 4, BUCKET_MIN);
    cr_assert_eq(fake_run(&broker), ERR_OK);
    answer = fake_answer(&broker, ann.by.conn, rids[0]);
    cr_expect_eq(fake_status(&answer, 0), ERR_OK, "the third of the burst was given back");
}

/* Somebody else writes to the file: refused after the wait, nothing lost. */
Test(turns, a_stray_writer, .init = open_on_disk, .fini = close_all)
{
    char path[128];
    sqlite3 *db;

    snprintf(path, sizeof path, "%s/broker.db", broker.dir);
    cr_assert_eq(sqlite3_open(path, &db), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    {
        uint32_t rid = queue_frame(&ann, 2, BUCKET_MIN);
        struct answer answer;

        cr_assert_eq(fake_run(&broker), ERR_OK);
        answer = fake_answer(&broker, ann.by.conn, rid);
        cr_expect_eq(answer.e, ERR_BUSY);
        cr_expect_eq(answer.message.after_ms, 1000);
    }
    sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    sqlite3_close(db);
    cr_expect_eq(fake_send_next(&broker, &session, &ann), ERR_OK);
}

/* The file has reached its limit: frames are refused, ACKs pass, and room comes back (fault 5). */
Test(turns, the_file_is_full, .init = open_on_disk, .fini = close_all)
{
    struct store_facts facts;
    enum err e = ERR_OK;
    int sent = 0;

    fake_broker_pass(&broker, 60000);
    fake_hello(&broker, &ann);
    fake_hello(&broker, &bob);
    store_facts(broker.store, &facts);
    broker.settings.store_max_bytes = (facts.pages + 200) * 4096;
    flow_configure(broker.flow, &broker.settings);
    for (; sent < 200 && e == ERR_OK; sent++) {
        struct answer answer;
        uint32_t rid = queue_frame(&ann, session.next_a, 16384);

        cr_assert_eq(fake_run(&broker), ERR_OK);
        answer = fake_answer(&broker, ann.by.conn, rid);
        e = answer.e == ERR_OK ? fake_status(&answer, 0) : answer.e;
        session.next_a += e == ERR_OK;
    }
    cr_expect_eq(e, ERR_DISK);
    cr_expect_gt(sent, 5);
    cr_expect_eq(fake_ack_all(&broker, &bob), (size_t)(session.next_a - 2));
    fake_broker_pass(&broker, 2000);
    cr_expect_eq(fake_send_next(&broker, &session, &ann), ERR_OK);
}
