/* layers: agent_flow */
/*
 * agent_watch - a controller that lies: in its log, in the head it signs, in the credentials it
 * hands out.
 */
#include "agent/flow/watch.h"

#include <criterion/criterion.h>

#include "agent/crypto/sign.h"
#include "agent/flow/contact.h"
#include "agent/store/alarms.h"
#include "agent/store/dead.h"
#include "agent/store/log.h"
#include "agent/store/peers.h"
#include "shared/trust/credential.h"
#include "shared/trust/identity.h"
#include "shared/trust/log_entry.h"
#include "tests/lib/lone_agent.h"

#define HOUR 3600000u

/* Somebody whose keys and card are ours to make. */
struct person {
    uint8_t ik[32], sk[64], aid[32], hash[32];
    struct card card;
    struct buf packed;
    uint8_t sig[64];
};

struct stage {
    struct lone lone;
    struct log_head head;
    uint8_t ck[32], ck_sk[64];
    struct person bob, mallory; /* both are called bob */
};

static void person_make(struct person *p, const char *name, uint8_t number)
{
    *p = (struct person){
        .card
        = { .gen = 1, .created_ms = LONE_NOW - HOUR, .suites = 1, .proto_min = 1, .proto_max = 1 }
    };
    sign_key_of_seed(p->ik, p->sk, (const uint8_t[32]){ number });
    strcpy(p->card.name, name);
    memcpy(p->card.ik, p->ik, 32);
    memset(p->card.dk, number, 32);
    memset(p->card.tk, number + 1, 32);
    card_encode(&p->packed, &p->card);
    card_hash(p->hash, buf_bytes(&p->packed));
    sign_labelled(p->sig, p->sk, LABEL_CARD, buf_bytes(&p->packed));
    aid_of(p->aid, p->ik);
}

static void entry_pack(struct buf *out, const struct stage *s, enum log_entry_type type,
                       const char *name, const uint8_t aid[static 32],
                       const uint8_t hash[static 32])
{
    struct log_entry entry = { .index = s->head.next, .ts_ms = LONE_NOW, .type = type };

    memcpy(entry.aid, aid, 32);
    memcpy(entry.card_hash, hash, 32);
    strcpy(entry.name, name);
    log_entry_encode(out, &entry);
}

/* Asks for the log and answers with this one entry; the head is what the controller says. */
static void log_says(struct stage *s, struct bytes packed, const uint8_t head[static 32])
{
    struct list_maker items = { 0 };
    struct message reply;
    size_t at;

    lone_forget(&s->lone);
    agent_enter(s->lone.agent);
    agent_log_ask(s->lone.agent);
    agent_leave(s->lone.agent);
    at = lone_find(&s->lone, VERB_LOG, 0);
    cr_assert_neq(at, LONE_MAX);
    reply = message_reply(&s->lone.sent[at].message);
    list_add_entry(&items, packed);
    MESSAGE_SET(&reply, items, list_of(&items));
    MESSAGE_SET(&reply, index, s->head.next - 1);
    MESSAGE_SET(&reply, head, head);
    lone_hear(&s->lone, &reply, NULL, 0);
    list_free(&items);
}

static void log_goes_on(struct stage *s, enum log_entry_type type, const char *name,
                        const uint8_t aid[static 32], const uint8_t hash[static 32])
{
    struct buf packed = { 0 };
    struct log_entry entry;

    entry_pack(&packed, s, type, name, aid, hash);
    cr_assert_eq(log_head_append(&s->head, buf_bytes(&packed), &entry), ERR_OK);
    s->lone.agent->link.broker_log_next = s->head.next; /* as HELLO would have said */
    memcpy(s->lone.agent->link.broker_log_head, s->head.digest, 32);
    log_says(s, buf_bytes(&packed), s->head.digest);
    buf_free(&packed);
}

static void stage_open(struct stage *s)
{
    struct agent *agent;

    memset(s, 0, sizeof *s);
    lone_open(&s->lone, 11);
    agent = s->lone.agent;
    sign_key_of_seed(s->ck, s->ck_sk, (const uint8_t[32]){ 99 });
    memcpy(agent->me.row.root_key, s->ck, 32);
    agent->me.row.enrolled = true;
    agent->me.certificate_renew_ms = UINT64_MAX;
    agent->link.state = STATE_UP;
    agent->link.open = true;
    agent->link.heard_ms = s->lone.elapsed_ms;
    agent->log_due_ms = UINT64_MAX;
    person_make(&s->bob, "bob", 1);
    person_make(&s->mallory, "bob", 2);
    log_goes_on(s, ENTRY_ENROL, "ann", agent->me.row.id, agent->me.card_hash);
    log_goes_on(s, ENTRY_ENROL, "bob", s->bob.aid, s->bob.hash);
}

static void stage_close(struct stage *s)
{
    buf_free(&s->bob.packed);
    buf_free(&s->mallory.packed);
    lone_close(&s->lone);
}

/* The only open alarm, or none for NULL. */
static void expect_alarm(struct stage *s, const char *code, const char *detail, const char *what)
{
    struct profile_alarm alarm[4];
    size_t count = profile_alarms(s->lone.agent->store, alarm, 4);

    cr_assert_eq(count, code ? 1 : 0, "%s: %zu alarms", what, count);
    if (!code)
        return;
    cr_expect_str_eq(alarm[0].code, code, "%s", what);
    cr_expect_neq(strstr(alarm[0].detail, detail), NULL, "%s: %s", what, alarm[0].detail);
}

static void know_bob(struct stage *s)
{
    struct agent_store *store = s->lone.agent->store;
    struct profile_peer peer;

    agent_store_begin(store);
    cr_assert(profile_peer_get(store, profile_peer_add(store, s->bob.aid, "bob", LONE_NOW), &peer));
    profile_peer_pin(store, &peer, PIN_FIRST_USE, "first use", LONE_NOW);
    cr_assert_eq(agent_store_commit(store), ERR_OK);
}

static enum err say_to_bob(struct stage *s, uint8_t id[static 16])
{
    struct send_request request = { .body = bytes_of_text("hello") };

    memcpy(request.to, s->bob.aid, 32);
    return agent_send(s->lone.agent, &request, id);
}

/* ------------------------------------------------------------------ the log */

Test(agent_watch, an_honest_log_alarms_nobody)
{
    static const uint8_t second_card[32] = { 7 };
    struct stage s;

    stage_open(&s);
    know_bob(&s);
    log_goes_on(&s, ENTRY_CARD, "bob", s.bob.aid, second_card);
    expect_alarm(&s, NULL, NULL, "a new card of bob");
    cr_expect_eq(s.lone.agent->link.state, STATE_UP);
    stage_close(&s);
}

Test(agent_watch, my_name_or_my_id_for_keys_that_are_not_mine)
{
    static const uint8_t other[32] = { 66 };
    struct stage s;

    stage_open(&s);
    log_goes_on(&s, ENTRY_ENROL, "ann", s.mallory.aid, s.mallory.hash);
    expect_alarm(&s, "impersonation", "entry 2", "another agent under my name");
    stage_close(&s);

    stage_open(&s);
    log_goes_on(&s, ENTRY_CARD, "ann", s.lone.agent->me.row.id, other);
    expect_alarm(&s, "impersonation", "entry 2", "a card that I never made");
    stage_close(&s);
}

Test(agent_watch, a_known_name_for_another_key_stops_all_traffic)
{
    struct stage s;
    struct outgoing_info info;
    uint8_t id[16], second[16], aid[32];

    stage_open(&s);
    know_bob(&s);
    cr_assert_eq(say_to_bob(&s, id), ERR_OK);
    log_goes_on(&s, ENTRY_ENROL, "bob", s.mallory.aid, s.mallory.hash);
    expect_alarm(&s, "key_changed", "the log names another agent", "log");
    cr_assert_eq(agent_outgoing_get(s.lone.agent, id, &info), ERR_OK);
    cr_expect_eq(info.state, OUT_REFUSED, "what was queued is a dead letter");
    cr_expect_eq(say_to_bob(&s, second), ERR_KEY_CHANGED);
    cr_expect_eq(agent_peer_find(s.lone.agent, "bob", aid), ERR_KEY_CHANGED);
    stage_close(&s);
}

Test(agent_watch, a_log_that_does_not_continue_mine)
{
    struct buf packed = { 0 };
    uint8_t head[32] = { 1 };
    struct stage s;

    stage_open(&s);
    s.head.next = 5; /* entries 2, 3 and 4 are kept from us */
    entry_pack(&packed, &s, ENTRY_CARD, "bob", s.bob.aid, s.bob.hash);
    log_says(&s, buf_bytes(&packed), head);
    expect_alarm(&s, "split_view", "does not continue", "a gap");
    cr_expect_neq(s.lone.agent->link.state, STATE_UP, "nothing more is taken from it");
    buf_free(&packed);
    stage_close(&s);
}

Test(agent_watch, another_digest_for_an_entry_that_i_have)
{
    struct stage s;
    struct log_entry entry;
    struct buf packed = { 0 };
    uint8_t head[32] = { 1 };

    stage_open(&s);
    entry_pack(&packed, &s, ENTRY_CARD, "bob", s.bob.aid, s.bob.hash);
    cr_assert_eq(log_head_append(&s.head, buf_bytes(&packed), &entry), ERR_OK);
    log_says(&s, buf_bytes(&packed), head);
    expect_alarm(&s, "split_view", "entry 2", "the head is not that of these entries");
    buf_free(&packed);
    stage_close(&s);
}

/* ------------------------------------------------------------------ credentials */

struct lie {
    const char *name;
    void (*tell)(struct stage *s, struct person *p, struct certificate *cert);
    enum err refused;  /* what the message that waits shows */
    const char *alarm; /* NULL: none */
};

static void nothing(struct stage *s, struct person *p, struct certificate *cert)
{
    (void)s, (void)p, (void)cert;
}

static void expired(struct stage *s, struct person *p, struct certificate *cert)
{
    (void)s, (void)p;
    cert->exp_ms = LONE_NOW - HOUR;
}

static void card_signature(struct stage *s, struct person *p, struct certificate *cert)
{
    (void)s, (void)cert;
    p->sig[0] ^= 1;
}

static void no_root_signature(struct stage *s, struct person *p, struct certificate *cert)
{
    (void)p, (void)cert;
    sign_key_of_seed(s->ck, s->ck_sk, (const uint8_t[32]){ 98 });
}

static void card_not_in_log(struct stage *s, struct person *p, struct certificate *cert)
{
    (void)s;
    memset(p->card.dk, 77, 32);
    buf_clear(&p->packed);
    card_encode(&p->packed, &p->card);
    card_hash(p->hash, buf_bytes(&p->packed));
    sign_labelled(p->sig, p->sk, LABEL_CARD, buf_bytes(&p->packed));
    memcpy(cert->card_hash, p->hash, 32);
}

static void somebody_else(struct stage *s, struct person *p, struct certificate *cert)
{
    struct agent *agent = s->lone.agent;
    uint8_t sig[64];

    (void)p;
    memcpy(sig, agent->me.row.card_sig, 64); /* our own: it verifies */
    buf_clear(&p->packed);
    buf_append(&p->packed, agent->me.row.card.at, agent->me.row.card.len);
    memcpy(p->sig, sig, 64);
    memcpy(cert->aid, agent->me.row.id, 32);
    memcpy(cert->card_hash, agent->me.card_hash, 32);
}

static void other_head(struct stage *s, struct person *p, struct certificate *cert)
{
    (void)s, (void)p;
    cert->log_head[0] ^= 1;
}

static const struct lie lies[] = {
    { "the truth, but no prekeys", nothing, ERR_NO_PREKEYS, NULL },
    { "certificate is over", expired, ERR_CERT_EXPIRED, NULL },
    { "card signed by nobody", card_signature, ERR_CERT_INVALID, NULL },
    { "certificate of another root", no_root_signature, ERR_CERT_INVALID, NULL },
    { "card is not in the log", card_not_in_log, ERR_CERT_INVALID, NULL },
    { "credential of another agent", somebody_else, ERR_CERT_INVALID, NULL },
    { "another head of the log is signed", other_head, ERR_NO_PREKEYS, "split_view" },
};

static void hand_out(struct stage *s, const struct lie *lie)
{
    struct certificate cert = { .serial = 3,
                                .nbf_ms = LONE_NOW - 2 * HOUR,
                                .exp_ms = LONE_NOW + HOUR,
                                .log_index = s->head.next - 1 };
    struct buf packed_cert = { 0 }, packed = { 0 };
    uint8_t cert_sig[64];
    struct message reply;
    size_t at = lone_find(&s->lone, VERB_LOOKUP, 0);

    cr_assert_neq(at, LONE_MAX, "%s: bob is looked up", lie->name);
    memcpy(cert.aid, s->bob.aid, 32);
    memcpy(cert.card_hash, s->bob.hash, 32);
    memcpy(cert.log_head, s->head.digest, 32);
    lie->tell(s, &s->bob, &cert);
    certificate_encode(&packed_cert, &cert);
    sign_labelled(cert_sig, s->ck_sk, LABEL_CERT, buf_bytes(&packed_cert));
    credential_encode(&packed, buf_bytes(&s->bob.packed), s->bob.sig, buf_bytes(&packed_cert),
                      cert_sig);
    reply = message_reply(&s->lone.sent[at].message);
    MESSAGE_SET(&reply, credential, buf_bytes(&packed));
    MESSAGE_SET(&reply, flags, 0);
    lone_hear(&s->lone, &reply, NULL, 0);
    buf_free(&packed_cert);
    buf_free(&packed);
}

Test(agent_watch, a_credential_that_is_not_as_it_should_be_opens_no_session)
{
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        struct outgoing_info info;
        struct stage s;
        uint8_t id[16];

        stage_open(&s);
        lone_forget(&s.lone);
        cr_assert_eq(say_to_bob(&s, id), ERR_OK);
        hand_out(&s, &lies[i]);
        cr_expect_eq(lone_find(&s.lone, VERB_REQUEST, 0), LONE_MAX, "%s: nothing is sealed",
                     lies[i].name);
        cr_assert_eq(agent_outgoing_get(s.lone.agent, id, &info), ERR_OK);
        cr_expect_eq(info.state, OUT_QUEUED, "%s", lies[i].name);
        cr_expect_eq(info.wire, lies[i].refused, "%s: %s", lies[i].name, err_name(info.wire));
        expect_alarm(&s, lies[i].alarm, "entry 1", lies[i].name);
        stage_close(&s);
    }
}
