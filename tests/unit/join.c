/* layers: broker_flow */
/*
 * join - from invite to agent: every row of the table of docs/protocol.md 2.3, races, crashes,
 *        approval, stolen cards; new cards; certificates; the log.
 */
#include "broker/store/audit.h"
#include "broker/store/log.h"
#include "shared/trust/credential.h"
#include "shared/trust/event.h"
#include "tests/lib/broker.h"

static const struct invite_wish anybody = { 0 };

static struct message enrol(struct broker *b, const struct person *p)
{
    return person_enrol(b, p);
}

static enum err enrol_err(struct broker *b, const struct person *p)
{
    struct message answer = enrol(b, p);

    return answer_err(&answer);
}

static uint64_t log_length(struct broker *b)
{
    struct log_head head;

    store_log_head(b->store, &head);
    return head.next;
}

/* Does the answer hold a credential that an agent would take? */
static void check_credential(struct broker *b, const struct message *answer, const struct person *p)
{
    struct credential_facts facts = { .bound = true };
    struct credential cred;
    struct log_head head;

    store_log_head(b->store, &head);
    OK(credential_parse(answer->credential, &cred));
    cr_expect_arr_eq(cred.aid, p->aid, 32);
    OK(credential_verify(&cred, controller_ck(b->controller), b->now_ms, &facts));
    cr_expect_eq(answer->index, head.next - 1);
    cr_expect_arr_eq(answer->head, head.digest, 32);
}

Test(join, a_stranger_becomes_an_agent)
{
    struct broker b;
    struct person p;
    struct message answer;
    struct server_card server;
    const struct agent_row *agent;
    struct invite_row invite;

    broker_begin(&b);
    person_make(&b, &p, "alice");
    invite = person_invite(&b, &p, &anybody);
    answer = enrol(&b, &p);
    OK(answer_err(&answer));
    check_credential(&b, &answer, &p);
    cr_expect_arr_eq(answer.root, controller_ck(b.controller), 32);
    OK(server_card_verify(answer.server_card.bytes, answer.server_card.sig,
                          controller_ck(b.controller), &server));
    cr_expect_eq(server.curve_pk[31], 9);
    cr_expect(broker_said(&b, OUT_KEY_ADD, p.card.tk));
    agent = store_agent_by_aid(b.store, p.aid);
    cr_assert_not_null(agent);
    cr_expect_str_eq(agent->circles, "home");
    cr_expect_gt(agent->mailbox, 0);

    person_is_agent(&b, &p);
    answer = person_hello(&b, &p);
    OK(answer_err(&answer));
    check_credential(&b, &answer, &p);
    cr_expect(broker_said(&b, OUT_KEY_DROP, invite.key));
    answer = person_hello(&b, &p);
    cr_expect_not(broker_said(&b, OUT_KEY_DROP, invite.key), "once is enough");
    person_end(&p);
    broker_close(&b);
}

/* ---- the rows
 * ------------------------------------------------------------------------------------- */

enum twist {
    AS_IS,
    OLD_TS,
    NEW_TS,
    NOT_A_CARD,
    FOREIGN_SIG,
    FOREIGN_ROOT,
    FOREIGN_INVITE,
    BAD_PROTO,
    OTHER_NAME,
    NAME_IS_TAKEN,
    KEY_OF_AGENT,
    KEY_OF_INVITE,
    EXPIRED,
    WITHDRAWN,
    NO_SUCH_INVITE
};

static const struct {
    const char *name;
    enum twist twist;
    enum err want;
} rows[] = {
    { "nothing wrong", AS_IS, ERR_OK },
    { "1 no such invite", NO_SUCH_INVITE, ERR_TOKEN },
    { "1 withdrawn", WITHDRAWN, ERR_TOKEN },
    { "3 expired", EXPIRED, ERR_TOKEN },
    { "4 ten minutes behind", OLD_TS, ERR_STALE_TS },
    { "4 ten minutes ahead", NEW_TS, ERR_STALE_TS },
    { "5 no card", NOT_A_CARD, ERR_SCHEMA },
    { "5 card of somebody else", FOREIGN_SIG, ERR_AUTH },
    { "5 signed for another broker", FOREIGN_ROOT, ERR_AUTH },
    { "5 signed for another invite", FOREIGN_INVITE, ERR_AUTH },
    { "5 speaks another protocol", BAD_PROTO, ERR_VERSION },
    { "6 not the invited name", OTHER_NAME, ERR_FORBIDDEN },
    { "8 name of another agent", NAME_IS_TAKEN, ERR_NAME_TAKEN },
    { "8 transport key of another agent", KEY_OF_AGENT, ERR_FORBIDDEN },
    { "8 transport key of an invite", KEY_OF_INVITE, ERR_FORBIDDEN },
};

static struct message twisted(struct broker *b, struct person *p, const struct person *other,
                              enum twist twist, uint8_t sig[static 64])
{
    uint8_t foreign[32] = { 3 }, preimage[ENROL_PREIMAGE_SIZE];
    struct message m;

    if (twist == BAD_PROTO)
        p->card.proto_min = p->card.proto_max = 2;
    if (twist == NAME_IS_TAKEN)
        strcpy(p->card.name, other->card.name);
    if (twist == OTHER_NAME)
        strcpy(p->card.name, "mallory");
    if (twist == KEY_OF_AGENT)
        memcpy(p->card.tk, other->card.tk, 32);
    if (twist == KEY_OF_INVITE)
        memcpy(p->card.tk, p->by.key, 32);
    person_sign_card(p);
    if (twist == OLD_TS)
        b->now_ms -= 600000;
    if (twist == NEW_TS)
        b->now_ms += 600000;
    m = person_enrol_message(b, p, twist == FOREIGN_INVITE ? foreign : p->by.key, sig);
    if (twist == OLD_TS)
        b->now_ms += 600000;
    if (twist == NEW_TS)
        b->now_ms -= 600000;
    if (twist == FOREIGN_ROOT) {
        enrol_preimage(preimage, foreign, p->by.key, p->hash, b->now_ms);
        crypto_sign_detached(sig, NULL, preimage, sizeof preimage, p->sk);
    }
    if (twist == NOT_A_CARD)
        m.card.bytes = bytes_of_text("\x90");
    if (twist == FOREIGN_SIG)
        m.card = (struct wire_signed){ buf_bytes(&other->packed), other->sig };
    if (twist == NO_SUCH_INVITE)
        p->by.id = 999;
    return m;
}

Test(join, T47_every_row_refuses_and_consumes_nothing)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct broker b;
        struct person alice, p;
        struct invite_wish wish = { .name = rows[i].twist == OTHER_NAME ? "bob" : NULL };
        struct invite_row invite;
        struct message m, answer;
        uint64_t entries;
        uint8_t sig[64];

        broker_begin(&b);
        person_joins(&b, &alice, "alice", "home");
        entries = log_length(&b);
        person_make(&b, &p, "bob");
        invite = person_invite(&b, &p, &wish);
        if (rows[i].twist == WITHDRAWN) {
            OK(store_begin(b.store));
            OK(controller_invite_withdraw(b.controller, p.by.id, b.now_ms, "kim", &invite));
            OK(store_commit(b.store));
        }
        if (rows[i].twist == EXPIRED)
            broker_pass(&b, 3600000);
        m = twisted(&b, &p, &alice, rows[i].twist, sig);
        answer = broker_ask(&b, &p.by, m);
        cr_expect_eq(answer_err(&answer), rows[i].want, "%s: %s", rows[i].name,
                     err_name(answer_err(&answer)));
        if (rows[i].want == ERR_STALE_TS)
            cr_expect_eq(answer.ts, b.now_ms, "%s", rows[i].name);
        if (rows[i].want == ERR_VERSION)
            cr_expect(MESSAGE_HAS(&answer, min) && MESSAGE_HAS(&answer, version));
        cr_expect_eq(log_length(&b), entries + (rows[i].want == ERR_OK), "%s", rows[i].name);
        OK(store_invite_get(b.store, invite.invite_id, &invite));
        cr_expect_eq(invite.used_ms != 0, rows[i].want == ERR_OK, "%s", rows[i].name);
        person_end(&alice);
        person_end(&p);
        broker_close(&b);
    }
}

/* ---- T38, T45
 * ------------------------------------------------------------------------------------- */

Test(join, T38_one_invite_is_one_card)
{
    struct broker b;
    struct person first, second;

    broker_begin(&b);
    person_make(&b, &first, "first");
    person_make(&b, &second, "second");
    person_invite(&b, &first, &anybody);
    second.by = first.by;
    second.by.conn++;
    OK(enrol_err(&b, &first));
    cr_expect_eq(enrol_err(&b, &second), ERR_TOKEN);
    cr_expect_null(store_agent_by_name(b.store, bytes_of_text("second")));
    person_end(&first);
    person_end(&second);
    broker_close(&b);
}

Test(join, T45_the_same_card_again_is_answered_until_hello)
{
    struct broker b;
    struct person p;
    struct requester door;
    struct message answer;

    broker_begin(&b);
    person_make(&b, &p, "alice");
    person_invite(&b, &p, &anybody);
    door = p.by;
    OK(enrol_err(&b, &p));
    cr_assert_eq(log_length(&b), 1);
    broker_pass(&b, 600000); /* also with an old time stamp: nothing new is decided */
    answer = enrol(&b, &p);
    OK(answer_err(&answer));
    check_credential(&b, &answer, &p);
    cr_expect_eq(log_length(&b), 1);
    cr_expect_eq(store_agent_count(b.store), 1);

    person_is_agent(&b, &p);
    answer = person_hello(&b, &p);
    OK(answer_err(&answer));
    p.by = door;
    cr_expect_eq(enrol_err(&b, &p), ERR_TOKEN);
    person_end(&p);
    broker_close(&b);
}

Test(join, an_agent_that_lost_its_invite_adopts_another)
{
    struct broker b;
    struct person p;

    broker_begin(&b);
    person_joins(&b, &p, "alice", "home");
    person_invite(&b, &p, &anybody);
    OK(enrol_err(&b, &p)); /* same card: its credential */
    cr_expect_eq(log_length(&b), 1);
    person_invite(&b, &p, &anybody);
    p.card.gen = 2;
    person_sign_card(&p);
    cr_expect_eq(enrol_err(&b, &p), ERR_FORBIDDEN); /* that is what CARD is for */
    person_end(&p);
    broker_close(&b);
}

/* ---- T46
 * ------------------------------------------------------------------------------------------ */

Test(join, T46_approval_waits_over_a_restart_and_is_given_once)
{
    char dir[] = "/tmp/sealpost-join-XXXXXX", command[64];
    struct broker b = { .now_ms = BROKER_NOW, .elapsed_ms = 1000, .chance = 42 };
    struct store_options options;
    struct invite_wish wish = { .approve = true };
    struct person p, thief;
    struct invite_row invite;
    struct card card;
    struct message answer;
    int64_t agent_id;

    cr_assert_not_null(mkdtemp(dir));
    cr_assert_geq(sodium_init(), 0);
    flow_settings_default(&b.settings);
    b.dir = dir;
    store_options_default(&options);
    options.dir = dir;
    options.random = broker_chance;
    options.random_ctx = &b;
    OK(store_init(&options));
    broker_open(&b);

    person_make(&b, &p, "alice");
    person_make(&b, &thief, "thief");
    person_invite(&b, &p, &wish);
    answer = enrol(&b, &p);
    cr_expect_eq(answer_err(&answer), ERR_PENDING_APPROVAL);
    cr_expect_eq(answer.after_ms, 30000);
    cr_expect_eq(enrol_err(&b, &p), ERR_PENDING_APPROVAL);
    thief.by = p.by;
    cr_expect_eq(enrol_err(&b, &thief), ERR_TOKEN);

    broker_close(&b);
    broker_pass(&b, 86400000);
    broker_open(&b);
    cr_expect_eq(enrol_err(&b, &p), ERR_PENDING_APPROVAL);
    OK(controller_waiting_find(b.controller, "alice", b.now_ms, &invite, &card));
    cr_expect_eq(invite.invite_id, p.by.id);
    OK(store_begin(b.store));
    OK(controller_invite_approve(b.controller, invite.invite_id, b.now_ms, "kim", &agent_id));
    OK(store_commit(b.store));
    OK(store_begin(b.store));
    cr_expect_eq(
        controller_invite_approve(b.controller, invite.invite_id, b.now_ms, "kim", &agent_id),
        ERR_STATE);
    store_rollback(b.store);
    answer = enrol(&b, &p);
    OK(answer_err(&answer));
    check_credential(&b, &answer, &p);
    cr_expect_eq(log_length(&b), 1);
    person_end(&p);
    person_end(&thief);
    broker_close(&b);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    cr_assert_eq(system(command), 0);
}

Test(join, T46_denied_withdrawn_too_late_and_name_taken_meanwhile)
{
    struct broker b;
    struct invite_wish wish = { .approve = true };
    struct person denied, late, slow, quick;
    struct invite_row invite;
    int64_t agent_id;

    broker_begin(&b);
    person_make(&b, &denied, "denied");
    person_invite(&b, &denied, &wish);
    cr_expect_eq(enrol_err(&b, &denied), ERR_PENDING_APPROVAL);
    OK(store_begin(b.store));
    OK(controller_invite_deny(b.controller, denied.by.id, b.now_ms, "kim", &invite));
    OK(store_commit(b.store));
    cr_expect_eq(enrol_err(&b, &denied), ERR_TOKEN);

    person_make(&b, &slow, "bob");
    person_invite(&b, &slow, &wish);
    cr_expect_eq(enrol_err(&b, &slow), ERR_PENDING_APPROVAL);
    person_joins(&b, &quick, "bob", NULL);
    OK(store_begin(b.store));
    cr_expect_eq(controller_invite_approve(b.controller, slow.by.id, b.now_ms, "kim", &agent_id),
                 ERR_NAME_TAKEN);
    store_rollback(b.store);
    cr_expect_eq(enrol_err(&b, &slow), ERR_NAME_TAKEN);

    person_make(&b, &late, "late");
    person_invite(&b, &late, &wish);
    cr_expect_eq(enrol_err(&b, &late), ERR_PENDING_APPROVAL);
    broker_pass(&b, UINT64_C(7) * 86400000);
    cr_expect_eq(enrol_err(&b, &late), ERR_TOKEN);
    person_end(&denied);
    person_end(&late);
    person_end(&slow);
    person_end(&quick);
    broker_close(&b);
}

/* ---- invites
 * -------------------------------------------------------------------------------------- */

Test(join, what_an_operator_may_wish)
{
    static const char *const twice[] = { "b", "a", "b" };
    static const char *const bad[] = { "Home" };
    static const char *const many[] = { "1", "2", "3", "4", "5", "6", "7", "8", "9" };
    const struct {
        const char *name;
        struct invite_wish wish;
        enum err want;
        const char *circles;
    } cases[] = {
        { "nothing said", { 0 }, ERR_OK, "home" },
        { "guest", { .guest = true }, ERR_OK, "" },
        { "sorted, each once", { .circles = twice, .circle_count = 3 }, ERR_OK, "a b" },
        { "no circle's name", { .circles = bad, .circle_count = 1 }, ERR_MALFORMED, "" },
        { "nine circles", { .circles = many, .circle_count = 9 }, ERR_MALFORMED, "" },
        { "no name", { .name = "-x" }, ERR_MALFORMED, "" },
        { "name taken", { .name = "alice" }, ERR_NAME_TAKEN, "" },
        { "a second", { .ttl_ms = 1000 }, ERR_MALFORMED, "" },
        { "31 days", { .ttl_ms = UINT64_C(31) * 86400000 }, ERR_MALFORMED, "" },
    };
    struct broker b;
    struct person alice;

    broker_begin(&b);
    person_joins(&b, &alice, "alice", "home");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct invite_row invite;
        uint8_t key[32];

        broker_chance(&b, key, sizeof key);
        OK(store_begin(b.store));
        cr_expect_eq(
            controller_invite_make(b.controller, &cases[i].wish, key, b.now_ms, "kim", &invite),
            cases[i].want, "%s", cases[i].name);
        if (cases[i].want == ERR_OK)
            cr_expect_str_eq(invite.circles, cases[i].circles, "%s", cases[i].name);
        OK(store_commit(b.store));
    }
    person_end(&alice);
    broker_close(&b);
}

Test(join, T38_an_invite_that_is_over_leaves_the_key_set)
{
    struct broker b;
    struct person p;
    struct invite_row invite;

    broker_begin(&b);
    person_make(&b, &p, "alice");
    OK(flow_tick(b.flow));
    invite = person_invite(&b, &p, &anybody);
    broker_pass(&b, 3500000);
    OK(flow_tick(b.flow));
    cr_expect_not(broker_said(&b, OUT_KEY_DROP, invite.key));
    broker_pass(&b, 100000);
    OK(flow_tick(b.flow));
    cr_expect(broker_said(&b, OUT_KEY_DROP, invite.key));
    broker_forget_out(&b);
    broker_pass(&b, 100000);
    OK(flow_tick(b.flow));
    cr_expect_not(broker_said(&b, OUT_KEY_DROP, invite.key), "once is enough");
    person_end(&p);
    broker_close(&b);
}

/* ---- cards, certificates, log
 * --------------------------------------------------------------------- */

static struct message publish(struct broker *b, const struct person *p)
{
    struct message m = { .verb = VERB_CARD };

    MESSAGE_SET(&m, card, ((struct wire_signed){ buf_bytes(&p->packed), p->sig }));
    return broker_ask(b, &p->by, m);
}

Test(join, a_new_card_replaces_the_old_one)
{
    struct broker b;
    struct person p, other;
    struct message answer;
    uint8_t old_tk[32];

    broker_begin(&b);
    person_joins(&b, &p, "alice", "home");
    person_joins(&b, &other, "bob", "home");
    answer = publish(&b, &p); /* same bytes */
    OK(answer_err(&answer));
    cr_expect_eq(log_length(&b), 2);

    memcpy(old_tk, p.card.tk, 32);
    memset(p.card.tk, 0x55, 32);
    p.card.gen = 2;
    person_sign_card(&p);
    answer = publish(&b, &p);
    OK(answer_err(&answer));
    check_credential(&b, &answer, &p);
    cr_expect_eq(log_length(&b), 3);
    cr_expect(broker_said(&b, OUT_KEY_ADD, p.card.tk));
    cr_expect_not(broker_said(&b, OUT_KEY_DROP, old_tk));

    person_is_agent(&b, &p);
    answer = person_hello(&b, &p);
    OK(answer_err(&answer));
    cr_expect(broker_said(&b, OUT_KEY_DROP, old_tk));

    memset(p.card.dk, 1, 32); /* same number, other bytes */
    person_sign_card(&p);
    answer = publish(&b, &p);
    cr_expect_eq(answer_err(&answer), ERR_CONFLICT);
    p.card.gen = 3;
    memcpy(p.card.tk, other.card.tk, 32);
    person_sign_card(&p);
    answer = publish(&b, &p);
    cr_expect_eq(answer_err(&answer), ERR_FORBIDDEN);
    memset(p.card.tk, 0x56, 32);
    strcpy(p.card.name, "carol");
    person_sign_card(&p);
    answer = publish(&b, &p);
    cr_expect_eq(answer_err(&answer), ERR_FORBIDDEN);
    cr_expect_eq(log_length(&b), 3);
    person_end(&p);
    person_end(&other);
    broker_close(&b);
}

Test(join, old_cards_and_invites_go)
{
    struct broker b;
    struct person p;
    struct message answer;
    struct card_row card;
    struct invite_row invite;
    bool more;

    broker_begin(&b);
    person_joins(&b, &p, "alice", "home");
    p.card.gen = 2;
    person_sign_card(&p);
    answer = publish(&b, &p);
    OK(answer_err(&answer));
    for (int days = 37; days <= 91; days += 27) { /* 37, 64, 91 */
        OK(store_begin(b.store));
        OK(store_sweep_old(b.store, b.now_ms + (uint64_t)days * 86400000, &more));
        OK(store_commit(b.store));
        cr_expect_eq(store_card_get(b.store, p.by.id, 1, &card), days < 38 ? ERR_OK : ERR_NOT_FOUND,
                     "%d", days);
        OK(store_card_get(b.store, p.by.id, 2, &card));
        cr_expect_eq(store_invite_get(b.store, 1, &invite), days < 90 ? ERR_OK : ERR_NOT_FOUND,
                     "%d", days);
    }
    person_end(&p);
    broker_close(&b);
}

static uint64_t serial_of(const struct message *answer)
{
    struct credential cred;

    OK(credential_parse(answer->credential, &cred));
    return cred.cert.serial;
}

Test(join, certificates_are_renewed_when_twelve_hours_are_left)
{
    struct broker b;
    struct person p;
    struct message answer;
    uint64_t serial;

    broker_begin(&b);
    person_joins(&b, &p, "alice", "home");
    answer = person_hello(&b, &p);
    serial = serial_of(&answer);
    broker_pass(&b, UINT64_C(11) * 3600000);
    answer = person_hello(&b, &p);
    cr_expect_eq(serial_of(&answer), serial);
    broker_pass(&b, UINT64_C(1) * 3600000);
    answer = person_hello(&b, &p);
    cr_expect_gt(serial_of(&answer), serial);
    check_credential(&b, &answer, &p);
    person_end(&p);
    broker_close(&b);
}

Test(join, the_log_is_handed_out_and_its_chain_holds)
{
    struct broker b;
    struct person people[5];
    struct message m = { .verb = VERB_LOG }, answer;
    struct log_head head = { 0 };
    struct list_reader reader;
    struct bytes packed;
    struct log_entry entry;
    char name[8];

    broker_begin(&b);
    for (int i = 0; i < 5; i++) {
        snprintf(name, sizeof name, "p%d", i);
        person_joins(&b, &people[i], name, "home");
    }
    MESSAGE_SET(&m, index, 0);
    MESSAGE_SET(&m, max, 3);
    for (uint64_t want = 3; want <= 5; want += 2) {
        answer = broker_ask(&b, &people[0].by, m);
        OK(answer_err(&answer));
        reader = list_read(&answer.items);
        while (list_entry(&reader, &packed))
            OK(log_head_append(&head, packed, &entry));
        OK(reader.err);
        cr_expect_eq(head.next, want);
        m.index = head.next;
    }
    cr_expect_eq(answer.index, 4);
    cr_expect_arr_eq(answer.head, head.digest, 32);
    answer = broker_ask(&b, &people[0].by, m);
    cr_expect_eq(answer.items.count, 0);
    for (int i = 0; i < 5; i++)
        person_end(&people[i]);
    broker_close(&b);
}

Test(join, a_turn_that_fails_leaves_the_signer_in_step)
{
    struct broker b;
    struct person p;
    struct enrolment enrolment;
    uint8_t sig[64];
    struct message m;

    broker_begin(&b);
    person_make(&b, &p, "alice");
    person_invite(&b, &p, &anybody);
    m = person_enrol_message(&b, &p, p.by.key, sig);
    OK(store_begin(b.store));
    OK(controller_enrol_check(b.controller, p.by.id, m.card.bytes, m.card.sig, sig, m.ts, b.now_ms,
                              &enrolment));
    OK(controller_enrol_proceed(b.controller, &enrolment, b.now_ms));
    store_rollback(b.store);
    cr_expect_eq(log_length(&b), 0);
    OK(enrol_err(&b, &p));
    cr_expect_eq(log_length(&b), 1);
    person_end(&p);
    broker_close(&b);
}

/* ---- the signer alone
 * ----------------------------------------------------------------------------- */

Test(join, the_signer_refuses_what_its_record_does_not_allow)
{
    struct signer *signer;
    uint8_t seed[32] = { 1 }, sig[64], preimage[EVENT_SIZE];
    struct buf packed = { 0 }, out = { 0 };
    struct log_entry entry
        = { .type = ENTRY_ENROL, .ts_ms = 5, .name = "a", .aid = { 1 }, .card_hash = { 2 } };
    struct log_head head = { 0 };
    struct certificate cert
        = { .serial = 1, .aid = { 1 }, .card_hash = { 2 }, .nbf_ms = 1, .exp_ms = 9 };
    struct server_card server
        = { .endpoint = "tcp://h:1", .nbf_ms = 0, .exp_ms = UINT64_C(401) * 86400000 };
    struct event event = { .scope = SCOPE_SESSION, .type = EVENT_CLOSED };

    cr_assert_geq(sodium_init(), 0);
    signer_new(&signer, seed);
    cr_expect_eq(signer_certificate(signer, &cert, &out, sig), ERR_FORBIDDEN, "empty log");
    log_entry_encode(&packed, &entry);
    OK(signer_append_log(signer, buf_bytes(&packed)));
    cr_expect_eq(signer_append_log(signer, buf_bytes(&packed)), ERR_CONFLICT, "index again");
    OK(log_head_append(&head, buf_bytes(&packed), &entry));
    cr_expect_eq(signer_certificate(signer, &cert, &out, sig), ERR_FORBIDDEN, "other head");
    memcpy(cert.log_head, head.digest, 32);
    OK(signer_certificate(signer, &cert, &out, sig));
    cr_expect_eq(signer_certificate(signer, &cert, &out, sig), ERR_FORBIDDEN, "serial again");
    cert.serial = 2;
    cert.card_hash[0] = 3;
    cr_expect_eq(signer_certificate(signer, &cert, &out, sig), ERR_FORBIDDEN, "unbound card");
    cr_expect_eq(signer_server(signer, &server, &out, sig), ERR_FORBIDDEN, "401 days");
    memcpy(event.actor, signer_root_id(signer), 32);
    event_encode(preimage, &event);
    cr_expect_eq(signer_expired(signer, preimage, sig), ERR_FORBIDDEN, "CLOSED");
    event.type = EVENT_EXPIRED;
    event_encode(preimage, &event);
    OK(signer_expired(signer, preimage, sig));
    buf_free(&packed);
    buf_free(&out);
    signer_close(&signer);
}
