/* layers: agent_flow */
/*
 * agent_watch - a controller that lies: in its log, in the head it signs, in the credentials it
 * hands out.
 */
#include "agent/flow/watch.h"

#include <criterion/criterion.h>

#include "agent/flow/contact.h"
#include "agent/store/dead.h"
#include "tests/lib/log_stage.h"

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
