/* layers: broker_flow */
/*
 * lookup - bundles, promised one-time prekeys and their rates (T15), uploads, presence.
 */
#include "broker/store/prekeys.h"
#include "shared/trust/credential.h"
#include "shared/trust/prekey.h"
#include "tests/lib/broker.h"

#define DAY_MS UINT64_C(86400000)

/* An upload of a signed prekey and one-time prekeys first … first + count - 1. */
struct upload {
    struct buf statement;
    uint8_t sig[64];
    struct list_maker opks;
    struct message message;
};

static void upload_make(struct broker *b, const struct person *p, uint32_t spk_id, uint32_t first,
                        uint32_t count, struct upload *out)
{
    struct spk_statement spk
        = { .id = spk_id, .created_ms = b->now_ms, .expires_ms = b->now_ms + SPK_LIFE_MS };

    *out = (struct upload){ .message = { .verb = VERB_PREKEYS } };
    if (spk_id) {
        memcpy(spk.aid, p->aid, 32);
        memset(spk.spk, (int)spk_id, 32);
        spk_encode(&out->statement, &spk);
        crypto_sign_detached(out->sig, NULL, out->statement.at, out->statement.len, p->sk);
        MESSAGE_SET(&out->message, spk,
                    ((struct wire_signed){ buf_bytes(&out->statement), out->sig }));
    }
    for (uint32_t i = 0; i < count; i++) {
        uint8_t key[32];

        memset(key, (int)(first + i), 32);
        list_add_opk(&out->opks, &(struct wire_opk){ first + i, key });
    }
    if (count)
        MESSAGE_SET(&out->message, opks, list_of(&out->opks));
}

static void upload_free(struct upload *u)
{
    buf_free(&u->statement);
    list_free(&u->opks);
}

static enum err upload(struct broker *b, const struct person *p, uint32_t spk_id, uint32_t first,
                       uint32_t count, uint64_t flags, uint64_t *held)
{
    struct upload u;
    struct message answer;

    upload_make(b, p, spk_id, first, count, &u);
    if (flags)
        MESSAGE_SET(&u.message, flags, flags);
    answer = broker_ask(b, &p->by, u.message);
    if (answer_err(&answer) == ERR_OK && held)
        *held = answer.count;
    upload_free(&u);
    return answer_err(&answer);
}

static struct message look(struct broker *b, const struct person *who, const char *name,
                           uint64_t flags)
{
    struct message m = { .verb = VERB_LOOKUP }, answer;

    MESSAGE_SET(&m, name, bytes_of_text(name));
    if (flags)
        MESSAGE_SET(&m, flags, flags);
    answer = broker_ask(b, &who->by, m);
    if (answer_err(&answer) == ERR_HELLO) { /* it was silent for a while */
        answer = person_hello(b, who);
        OK(answer_err(&answer));
        answer = broker_ask(b, &who->by, m);
    }
    return answer;
}

/* The promised key's number; 0: the bundle has none. */
static uint32_t opk_of(const struct message *answer)
{
    struct list_reader reader = list_read(&answer->opks);
    struct wire_opk opk;

    return MESSAGE_HAS(answer, opks) && list_opk(&reader, &opk) ? opk.id : 0;
}

static uint64_t held(struct broker *b, const struct person *p)
{
    uint64_t count = 0;

    OK(store_opk_count(b->store, p->by.id, &count));
    return count;
}

/* Alice asks, bob has prekeys. */
static void begin(struct broker *b, struct person *alice, struct person *bob)
{
    broker_begin(b);
    person_joins(b, alice, "alice", "home");
    person_joins(b, bob, "bob", "home");
    OK(upload(b, bob, 1, 1, 100, 0, NULL));
}

static void end(struct broker *b, struct person *alice, struct person *bob)
{
    person_end(alice);
    person_end(bob);
    broker_close(b);
}

Test(lookup, T15_looking_consumes_nothing)
{
    struct broker b;
    struct person alice, bob;

    begin(&b, &alice, &bob);
    for (int i = 0; i < 1000; i++) {
        struct message answer = look(&b, &alice, "bob", 0);

        OK(answer_err(&answer));
        cr_assert_eq(opk_of(&answer), 0);
    }
    cr_expect_eq(held(&b, &bob), 100);
    end(&b, &alice, &bob);
}

Test(lookup, T15_the_same_key_for_ten_minutes_and_five_an_hour)
{
    struct broker b;
    struct person alice, bob;
    struct message answer;
    uint32_t id[6];

    begin(&b, &alice, &bob);
    for (int i = 0; i < 5; i++) {
        answer = look(&b, &alice, "bob", 1);
        OK(answer_err(&answer));
        id[i] = opk_of(&answer);
        cr_expect_gt(id[i], 0);
        broker_pass(&b, 300000);
        answer = look(&b, &alice, "bob", 1);
        cr_expect_eq(opk_of(&answer), id[i], "same within ten minutes");
        /* as REQUEST does */
        OK(store_begin(b.store));
        OK(store_opk_use(b.store, bob.by.id, id[i], b.now_ms));
        OK(store_commit(b.store));
    }
    cr_expect_eq(held(&b, &bob), 95);
    for (int tries = 0; tries < 100; tries++) {
        answer = look(&b, &alice, "bob", 1);
        OK(answer_err(&answer));
        if (opk_of(&answer) == 0)
            break;
        OK(store_begin(b.store));
        OK(store_opk_use(b.store, bob.by.id, opk_of(&answer), b.now_ms));
        OK(store_commit(b.store));
        cr_assert_lt(tries, 6, "no rate");
    }
    cr_expect_eq(opk_of(&answer), 0);
    cr_expect(MESSAGE_HAS(&answer, spk), "whoever has had his share gets the bundle without");
    broker_pass(&b, 3600000);
    answer = look(&b, &alice, "bob", 1);
    cr_expect_gt(opk_of(&answer), 0, "an hour later there are more");
    end(&b, &alice, &bob);
}

Test(lookup, T15_thirty_an_hour_over_all_targets)
{
    struct broker b;
    struct person alice, bob, people[10];
    struct message answer = { 0 };
    char name[8];
    int promised = 0;

    begin(&b, &alice, &bob);
    for (int i = 0; i < 10; i++) {
        snprintf(name, sizeof name, "p%d", i);
        person_joins(&b, &people[i], name, "home");
        OK(upload(&b, &people[i], 1, 1, 100, 0, NULL));
    }
    for (int i = 0; i < 50; i++) {
        snprintf(name, sizeof name, "p%d", i % 10);
        answer = look(&b, &alice, name, 1);
        OK(answer_err(&answer));
        cr_expect(MESSAGE_HAS(&answer, spk));
        if (opk_of(&answer) == 0)
            break;
        promised++;
        OK(store_begin(b.store));
        OK(store_opk_use(b.store, people[i % 10].by.id, opk_of(&answer), b.now_ms));
        OK(store_commit(b.store));
    }
    cr_expect_eq(promised, 30, "%d", promised);
    for (int i = 0; i < 10; i++)
        person_end(&people[i]);
    end(&b, &alice, &bob);
}

Test(lookup, a_promise_is_for_one_and_ends)
{
    struct broker b;
    struct person alice, bob, carol;
    struct message answer;

    begin(&b, &alice, &bob);
    person_joins(&b, &carol, "carol", "home");
    OK(upload(&b, &bob, 0, 7, 1, 1, NULL)); /* replace: one key */
    cr_expect_eq(held(&b, &bob), 1);
    answer = look(&b, &alice, "bob", 1);
    cr_expect_eq(opk_of(&answer), 7);
    answer = look(&b, &carol, "bob", 1);
    OK(answer_err(&answer));
    cr_expect_eq(opk_of(&answer), 0, "none left: a bundle without");
    broker_pass(&b, 600000);
    answer = look(&b, &carol, "bob", 1);
    cr_expect_eq(opk_of(&answer), 7, "the promise is over");
    answer = look(&b, &alice, "bob", 1);
    cr_expect_eq(opk_of(&answer), 0);
    person_end(&carol);
    end(&b, &alice, &bob);
}

Test(lookup, what_it_answers_and_refuses)
{
    struct broker b;
    struct person alice, bob, guest;
    struct message answer, m = { .verb = VERB_LOOKUP };
    struct credential cred;
    struct spk_statement spk;

    begin(&b, &alice, &bob);
    person_joins(&b, &guest, "guest", NULL);
    answer = look(&b, &alice, "bob", 0);
    OK(credential_parse(answer.credential, &cred));
    cr_expect_arr_eq(cred.aid, bob.aid, 32);
    OK(spk_verify(answer.spk.bytes, answer.spk.sig, bob.aid, bob.card.ik, b.now_ms, &spk));
    cr_expect(MESSAGE_HAS(&answer, seen), "they share a circle");
    cr_expect_eq(answer.flags, 1, "online");
    broker_pass(&b, 60000);
    answer = look(&b, &alice, "bob", 0);
    cr_expect_eq(answer.flags, 0, "silent for a minute");

    answer = look(&b, &guest, "bob", 0);
    OK(answer_err(&answer));
    cr_expect_not(MESSAGE_HAS(&answer, seen), "a guest shares no circle");
    answer = look(&b, &alice, "guest", 0);
    cr_expect_eq(answer_err(&answer), ERR_NO_PREKEYS);
    answer = look(&b, &alice, "guest", 2);
    OK(answer_err(&answer));
    cr_expect_not(MESSAGE_HAS(&answer, spk));
    answer = look(&b, &alice, "nobody", 0);
    cr_expect_eq(answer_err(&answer), ERR_UNKNOWN_AGENT);
    answer = broker_ask(&b, &alice.by, m);
    cr_expect_eq(answer_err(&answer), ERR_SCHEMA, "nobody named");
    MESSAGE_SET(&m, aid, bob.aid);
    answer = broker_ask(&b, &alice.by, m);
    OK(answer_err(&answer));
    MESSAGE_SET(&m, name, bytes_of_text("bob"));
    answer = broker_ask(&b, &alice.by, m);
    cr_expect_eq(answer_err(&answer), ERR_SCHEMA, "named twice");

    OK(store_begin(b.store));
    OK(store_agent_revoke(b.store, bob.by.id, b.now_ms));
    OK(store_commit(b.store));
    m.has &= ~(UINT64_C(1) << KEY_name);
    answer = broker_ask(&b, &alice.by, m);
    cr_expect_eq(answer_err(&answer), ERR_CERT_REVOKED);
    answer = look(&b, &alice, "bob", 0);
    cr_expect_eq(answer_err(&answer), ERR_UNKNOWN_AGENT);
    person_end(&guest);
    end(&b, &alice, &bob);
}

Test(lookup, a_prekey_that_is_over_is_none)
{
    struct broker b;
    struct person alice, bob;
    struct message answer;

    begin(&b, &alice, &bob);
    broker_pass(&b, 30 * DAY_MS);
    person_is_agent(&b, &alice);
    answer = person_hello(&b, &alice);
    OK(answer_err(&answer));
    answer = look(&b, &alice, "bob", 0);
    cr_expect_eq(answer_err(&answer), ERR_NO_PREKEYS);
    end(&b, &alice, &bob);
}

Test(lookup, uploads)
{
    struct broker b;
    struct person alice, bob;
    uint64_t count = 0;
    struct upload u;
    struct message answer;

    begin(&b, &alice, &bob);
    OK(upload(&b, &bob, 1, 1, 100, 0, &count)); /* same bytes */
    cr_expect_eq(count, 100);
    cr_expect_eq(upload(&b, &bob, 0, 101, 1, 0, NULL), ERR_QUOTA);
    OK(upload(&b, &bob, 2, 201, 60, 1, &count));
    cr_expect_eq(count, 60);
    broker_pass(&b, 1000);
    cr_expect_eq(upload(&b, &bob, 2, 0, 0, 0, NULL), ERR_CONFLICT, "same number, other bytes");
    cr_expect_eq(upload(&b, &bob, 1, 0, 0, 0, NULL), ERR_CONFLICT, "older number");

    upload_make(&b, &bob, 0, 201, 1, &u);
    list_clear(&u.opks);
    list_add_opk(&u.opks, &(struct wire_opk){ 201, (const uint8_t[32]){ 1 } });
    MESSAGE_SET(&u.message, opks, list_of(&u.opks));
    answer = broker_ask(&b, &bob.by, u.message);
    cr_expect_eq(answer_err(&answer), ERR_CONFLICT, "number of another key");
    upload_free(&u);

    upload_make(&b, &alice, 5, 1, 1, &u); /* alice's words from bob's mouth */
    answer = broker_ask(&b, &bob.by, u.message);
    cr_expect_eq(answer_err(&answer), ERR_AUTH);
    upload_free(&u);
    cr_expect_eq(held(&b, &bob), 60);
    end(&b, &alice, &bob);
}

/* The answer to an upload was lost, and a request was faster than the repeat. */
Test(lookup, T15_a_used_key_does_not_come_back)
{
    struct broker b;
    struct person alice, bob;
    uint64_t count = 0;
    struct upload u;
    struct message answer;

    begin(&b, &alice, &bob);
    OK(store_begin(b.store));
    OK(store_opk_use(b.store, bob.by.id, 7, b.now_ms));
    OK(store_commit(b.store));
    OK(upload(&b, &bob, 1, 1, 100, 0, &count));
    cr_expect_eq(count, 99, "word for word");
    OK(upload(&b, &bob, 1, 1, 100, 1, &count));
    cr_expect_eq(count, 99, "with the flag to replace, too");
    OK(upload(&b, &bob, 0, 7, 1, 0, &count));
    cr_expect_eq(count, 99, "alone");

    upload_make(&b, &bob, 0, 7, 1, &u); /* a profile that was put back counts anew */
    list_clear(&u.opks);
    list_add_opk(&u.opks, &(struct wire_opk){ 7, (const uint8_t[32]){ 1 } });
    MESSAGE_SET(&u.message, opks, list_of(&u.opks));
    answer = broker_ask(&b, &bob.by, u.message);
    cr_expect_eq(answer_err(&answer), ERR_CONFLICT, "number of a used key");
    MESSAGE_SET(&u.message, flags, 1);
    for (int i = 0; i < 2; i++) {
        answer = broker_ask(&b, &bob.by, u.message);
        OK(answer_err(&answer));
        cr_expect_eq(answer.count, 1, "a set of its own");
        MESSAGE_SET(&u.message, flags, 0);
    }
    upload_free(&u);
    end(&b, &alice, &bob);
}
