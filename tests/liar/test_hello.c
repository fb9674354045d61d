/* layers: testworld */
/*
 * Answers to HELLO that lie, answers that are cut or bent on their way, and one signed thing
 * offered as another.
 */
#include "tests/liar/scene.h"

#include "agent/crypto/sign.h"
#include "shared/trust/credential.h"
#include "shared/trust/enrol.h"
#include "shared/trust/identity.h"
#include "shared/trust/prekey.h"
#include "shared/trust/server_card.h"
#include "tests/lib/world_internal.h"

/* ------------------------------------------------------------------ T13: HELLO */

struct lie {
    struct scene *s;
    void (*tell)(struct scene *s, struct liar *liar, struct message *message);
};

static bool lie_about_hello(void *ctx, struct liar *liar, struct passing *p)
{
    struct lie *lie = ctx;

    if (p->to_agent && p->who == lie->s->ann && p->message.verb == VERB_HELLO && p->message.reply)
        lie->tell(lie->s, liar, &p->message);
    return true;
}

static void the_truth(struct scene *s, struct liar *liar, struct message *message)
{
    (void)s, (void)liar, (void)message;
}

static void another_version(struct scene *s, struct liar *liar, struct message *message)
{
    (void)s, (void)liar;
    message->version = 2;
}

static struct bytes signed_card(struct liar *liar, const struct server_card *card,
                                const uint8_t *secret, const uint8_t **sig)
{
    struct buf packed = { 0 };
    struct bytes kept;
    uint8_t made[64];

    server_card_encode(&packed, card);
    kept = liar_keep(liar, buf_bytes(&packed));
    sign_labelled(made, secret, LABEL_SERVER, kept);
    *sig = liar_copy(liar, bytes_of(made, 64));
    buf_free(&packed);
    return kept;
}

static void server_card_of_another(struct scene *s, struct liar *liar, struct message *message)
{
    struct server_card card;
    uint8_t pk[32], secret[64];

    (void)s;
    cr_assert_eq(server_card_parse(message->server_card.bytes, &card), ERR_OK);
    sign_key_of_seed(pk, secret, (const uint8_t[32]){ 44 });
    memset(card.curve_pk, 9, 32);
    card.nbf_ms++;
    message->server_card.bytes = signed_card(liar, &card, secret, &message->server_card.sig);
}

static void certificate_of_another_root(struct scene *s, struct liar *liar, struct message *message)
{
    struct credential cred;
    struct buf out = { 0 };
    uint8_t pk[32], secret[64], sig[64];

    (void)s;
    cr_assert_eq(credential_parse(message->credential, &cred), ERR_OK);
    sign_key_of_seed(pk, secret, (const uint8_t[32]){ 44 });
    sign_labelled(sig, secret, LABEL_CERT, cred.cert_packed);
    credential_encode(&out, cred.card_packed, cred.card_sig, cred.cert_packed, sig);
    message->credential = liar_keep(liar, buf_bytes(&out));
    buf_free(&out);
}

static void credential_of_another(struct scene *s, struct liar *liar, struct message *message)
{
    struct liar_person eve;

    (void)s;
    liar_person(liar, &eve, "ann");
    message->credential = liar_certify(liar, NULL, &eve);
}

/* Bob's credential is genuine, and not mine. */
static void credential_of_bob(struct scene *s, struct liar *liar, struct message *message)
{
    const struct profile_me *bob = &world_agent(s->bob)->me.row;
    struct buf out = { 0 };

    credential_encode(&out, buf_bytes(&bob->card), bob->card_sig, buf_bytes(&bob->certificate),
                      bob->certificate_sig);
    message->credential = liar_keep(liar, buf_bytes(&out));
    buf_free(&out);
}

static void certificate_that_is_over(struct scene *s, struct liar *liar, struct message *message)
{
    struct credential cred;
    struct buf cert = { 0 }, out = { 0 };
    uint8_t sig[64];

    cr_assert_eq(credential_parse(message->credential, &cred), ERR_OK);
    cred.cert.exp_ms = world_now_ms(s->world) - HOURS(1);
    cred.cert.nbf_ms = cred.cert.exp_ms - HOURS(24);
    certificate_encode(&cert, &cred.cert);
    sign_labelled(sig, liar_ck_secret(liar), LABEL_CERT, buf_bytes(&cert));
    credential_encode(&out, cred.card_packed, cred.card_sig, buf_bytes(&cert), sig);
    message->credential = liar_keep(liar, buf_bytes(&out));
    buf_free(&cert);
    buf_free(&out);
}

static const struct {
    const char *name;
    void (*tell)(struct scene *s, struct liar *liar, struct message *message);
    enum err refusal;
} hellos[] = {
    { "the truth", the_truth, ERR_OK },
    { "another version", another_version, ERR_VERSION },
    { "a server card of another controller", server_card_of_another, ERR_CERT_INVALID },
    { "a certificate of another controller", certificate_of_another_root, ERR_CERT_INVALID },
    { "another agent of my name", credential_of_another, ERR_CERT_INVALID },
    { "a genuine one, of bob", credential_of_bob, ERR_CERT_INVALID },
    { "a certificate that is over", certificate_that_is_over, ERR_CERT_EXPIRED },
};

Test(liar, T13_answers_to_hello_that_lie)
{
    for (size_t i = 0; i < sizeof hellos / sizeof hellos[0]; i++) {
        struct lie lie = { .tell = hellos[i].tell };
        struct agent_link link;
        struct scene s;
        uint8_t id[16];

        scene_open(&s, 1);
        talk(&s);
        lie.s = &s;
        liar_set_rule(s.liar, lie_about_hello, &lie);
        world_stop(s.world, s.ann);
        world_start(s.world, s.ann);
        cr_assert_eq(say(s.ann, s.bob, "after all that", id), ERR_OK);
        world_pass(s.world, MINUTES(3));
        agent_link_get(world_agent(s.ann), &link);
        cr_expect_eq(link.state == STATE_UP, hellos[i].refusal == ERR_OK, "%s", hellos[i].name);
        cr_expect_eq(link.refusal, hellos[i].refusal, "%s: %s", hellos[i].name,
                     err_name(link.refusal));
        cr_expect_eq(inbox(s.bob, "after all that"), hellos[i].refusal == ERR_OK, "%s",
                     hellos[i].name);
        liar_set_rule(s.liar, NULL, NULL);
        world_pass(s.world, MINUTES(10));
        cr_expect_eq(inbox(s.bob, "after all that"), 1, "%s: and when it is over, it goes on",
                     hellos[i].name);
        scene_close(&s);
    }
}

/* An older card of the same controller does not bring an older key back. */
static void older_server_card(struct scene *s, struct liar *liar, struct message *message)
{
    struct server_card card;

    (void)s;
    cr_assert_eq(server_card_parse(message->server_card.bytes, &card), ERR_OK);
    memset(card.curve_pk, 9, 32);
    card.nbf_ms -= DAYS(1);
    message->server_card.bytes
        = signed_card(liar, &card, liar_ck_secret(liar), &message->server_card.sig);
}

Test(liar, T13_an_older_server_card)
{
    struct lie lie = { .tell = older_server_card };
    uint8_t before[32];
    struct scene s;

    scene_open(&s, 2);
    lie.s = &s;
    memcpy(before, world_agent(s.ann)->me.row.broker_key, 32);
    liar_set_rule(s.liar, lie_about_hello, &lie);
    world_stop(s.world, s.ann);
    world_start(s.world, s.ann);
    world_pass(s.world, MINUTES(1));
    cr_expect_arr_eq(world_agent(s.ann)->me.row.broker_key, before, 32);
    scene_close(&s);
}

/* ------------------------------------------------------------------ T47: ENROL */

struct enrol_lie {
    void (*tell)(struct liar *liar, struct message *message);
    bool told;
};

/* Once; the next answer is the truth. */
static bool lie_about_enrol(void *ctx, struct liar *liar, struct passing *p)
{
    struct enrol_lie *lie = ctx;

    if (p->to_agent && p->message.verb == VERB_ENROL && p->message.reply && !lie->told) {
        lie->told = true;
        lie->tell(liar, &p->message);
    }
    return true;
}

/* Everything well-formed and signed, by a controller that the invite does not name. */
static void another_controller(struct liar *liar, struct message *message)
{
    struct server_card card;
    struct credential cred;
    struct buf out = { 0 };
    uint8_t pk[32], secret[64], sig[64];

    sign_key_of_seed(pk, secret, (const uint8_t[32]){ 44 });
    cr_assert_eq(server_card_parse(message->server_card.bytes, &card), ERR_OK);
    message->server_card.bytes = signed_card(liar, &card, secret, &message->server_card.sig);
    cr_assert_eq(credential_parse(message->credential, &cred), ERR_OK);
    sign_labelled(sig, secret, LABEL_CERT, cred.cert_packed);
    credential_encode(&out, cred.card_packed, cred.card_sig, cred.cert_packed, sig);
    message->credential = liar_keep(liar, buf_bytes(&out));
    message->root = liar_copy(liar, bytes_of(pk, 32));
    buf_free(&out);
}

static void another_curve_key(struct liar *liar, struct message *message)
{
    struct server_card card;

    cr_assert_eq(server_card_parse(message->server_card.bytes, &card), ERR_OK);
    memset(card.curve_pk, 9, 32);
    message->server_card.bytes
        = signed_card(liar, &card, liar_ck_secret(liar), &message->server_card.sig);
}

static void somebody_elses_card(struct liar *liar, struct message *message)
{
    struct liar_person eve;

    liar_person(liar, &eve, "cyd");
    message->credential = liar_certify(liar, NULL, &eve);
}

static void unsigned_server_card(struct liar *liar, struct message *message)
{
    uint8_t *sig = liar_copy(liar, bytes_of(message->server_card.sig, 64));

    sig[3] ^= 1;
    message->server_card.sig = sig;
}

static const struct {
    const char *name;
    void (*tell)(struct liar *liar, struct message *message);
} enrol_lies[] = {
    { "another controller", another_controller },
    { "another CURVE key", another_curve_key },
    { "somebody else's card", somebody_elses_card },
    { "a server card that is not signed", unsigned_server_card },
};

Test(liar, T47_answers_to_enrol_that_lie)
{
    for (size_t i = 0; i < sizeof enrol_lies / sizeof enrol_lies[0]; i++) {
        struct enrol_lie lie = { .tell = enrol_lies[i].tell };
        struct world_agent *cyd;
        struct scene s;

        scene_open(&s, 4);
        liar_set_rule(s.liar, lie_about_enrol, &lie);
        cyd = world_join(s.world, "cyd", "home");
        cr_expect(lie.told);
        cr_expect_geq(liar_count(s.liar, cyd, VERB_ENROL), 2, "%s: it is not believed",
                      enrol_lies[i].name);
        cr_expect_arr_eq(world_agent(cyd)->me.row.root_key, liar_ck(s.liar), 32, "%s",
                         enrol_lies[i].name);
        scene_close(&s);
    }
}

/* ------------------------------------------------------------------ T32: bent on the way */

/* One message in ten is cut short, has a byte changed, or lacks what it may lack. */
static bool bend(void *ctx, struct trip *trip)
{
    struct world *world = ctx;
    uint64_t how = world_random(world, 30);

    if (trip->kind != TRIP_TO_AGENT || trip->head.len < 2)
        return true;
    if (how == 0)
        trip->head.len = (size_t)world_random(world, trip->head.len);
    else if (how == 1)
        trip->head.at[world_random(world, trip->head.len)]
            ^= (uint8_t)(1 + world_random(world, 255));
    else if (how == 2 && trip->body.len)
        trip->body.at[world_random(world, trip->body.len)]
            ^= (uint8_t)(1 + world_random(world, 255));
    return true;
}

/* An answer that is bent so that it says more than was said stops a profile, until a person comes:
 * where none was stopped, most of what was said arrives. */
Test(liar, T32_answers_cut_and_bent)
{
    unsigned went_on = 0;

    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct world *world = world_new(seed);
        struct world_agent *ann = world_join(world, "ann", "home");
        struct world_agent *bob = world_join(world, "bob", "home");

        world->between = bend;
        world->between_ctx = world;
        world->put_back = true; /* sessions break: what goes into another comes behind the rest */
        for (int i = 0; i < 60; i++) {
            world_send(world, ann, bob, 40);
            world_send(world, bob, ann, 900);
            world_pass(world, MINUTES(1));
            world_take_all(world, ann); /* fails on anything that nobody said, or said twice */
            world_take_all(world, bob);
        }
        world->between = NULL;
        world_pass(world, HOURS(3));
        world_take_all(world, ann);
        world_take_all(world, bob);
        if (!world_agent(ann)->frozen && !world_agent(bob)->frozen) {
            went_on++;
            cr_expect_gt(world_figures(world).taken, 20, "seed %d, and most of it arrives: %d",
                         (int)seed, (int)world_figures(world).taken);
        }
        world_free(&world);
    }
    cr_expect_gt(went_on, 0);
}

/* Whatever a message may lack, it lacks now and then. */
static bool strip(void *ctx, struct liar *liar, struct passing *p)
{
    struct world *world = ctx;
    const struct verb_rule *rule = verb_rule(p->message.verb);

    (void)liar;
    for (unsigned key = 0; p->to_agent && key < 64; key++)
        if ((rule->reply_may | rule->may) >> key & 1 && world_random(world, 3) == 0
            && !((rule->reply_need | rule->need) >> key & 1))
            p->message.has &= ~(UINT64_C(1) << key);
    return true;
}

Test(liar, T32_answers_that_lack_what_they_may_lack)
{
    struct scene s;

    scene_open(&s, 3);
    liar_set_rule(s.liar, strip, s.world);
    for (int i = 0; i < 60; i++) {
        world_send(s.world, s.ann, s.bob, 40);
        world_send(s.world, s.bob, s.ann, 40);
        if (i % 10 == 0) {
            world_kill(s.world, s.ann);
            world_start(s.world, s.ann);
        }
        world_pass(s.world, MINUTES(1));
    }
    liar_set_rule(s.liar, NULL, NULL);
    cr_expect(world_run(s.world, HOURS(3), world_all_delivered, NULL));
    world_check(s.world);
    scene_close(&s);
}

/* ------------------------------------------------------------------ T29: labels */

#define NOW 1800000000000u

/* The same key signs everything, so that only the labels tell one from another. */
struct signed_things {
    uint8_t pk[32], secret[64], aid[32];
    struct buf card, cert, server, spk;
    uint8_t event[EVENT_SIZE], receipt[RECEIPT_SIZE], enrol[ENROL_PREIMAGE_SIZE],
        leave[LEAVE_PREIMAGE_SIZE];
    struct receipt receipt_fields;
};

enum thing { CARD, CERT, SERVER, SPK, EVENT, RECEIPT, ENROL, LEAVE, THINGS };

static void make_things(struct signed_things *t)
{
    struct card card = { .name = "ann", .gen = 1, .suites = 1, .proto_min = 1, .proto_max = 1 };
    struct certificate cert = { .serial = 1, .nbf_ms = NOW - 1, .exp_ms = NOW + 1000 };
    struct server_card server = { .endpoint = "tcp://a:1", .nbf_ms = NOW - 1, .exp_ms = NOW + 1 };
    struct spk_statement spk = { .id = 1, .created_ms = NOW - 1, .expires_ms = NOW + 1000 };
    struct event event = { .scope = SCOPE_SESSION, .type = EVENT_CLOSED, .seq = 2 };

    *t = (struct signed_things){ .receipt_fields = { .status = 1, .from = 1, .to = 1 } };
    sign_key_of_seed(t->pk, t->secret, (const uint8_t[32]){ 1 });
    aid_of(t->aid, t->pk);
    memcpy(card.ik, t->pk, 32);
    memcpy(cert.aid, t->aid, 32);
    memcpy(spk.aid, t->aid, 32);
    memcpy(event.actor, t->aid, 32);
    memcpy(t->receipt_fields.recipient, t->aid, 32);
    memset(t->receipt_fields.sender, 7, 32);
    memset(t->receipt_fields.scope, 7, 16);
    card_encode(&t->card, &card);
    certificate_encode(&t->cert, &cert);
    server_card_encode(&t->server, &server);
    spk_encode(&t->spk, &spk);
    event_encode(t->event, &event);
    receipt_encode(t->receipt, &t->receipt_fields);
    enrol_preimage(t->enrol, t->aid, t->aid, t->aid, NOW);
    leave_preimage(t->leave, t->aid, t->aid, NOW);
}

/* What is signed: the label and the thing. */
static struct bytes thing(const struct signed_things *t, enum thing which)
{
    switch (which) {
    case CARD:
        return buf_bytes(&t->card);
    case CERT:
        return buf_bytes(&t->cert);
    case SERVER:
        return buf_bytes(&t->server);
    case SPK:
        return buf_bytes(&t->spk);
    case EVENT:
        return bytes_of(t->event, EVENT_SIZE);
    case RECEIPT:
        return bytes_of(t->receipt, RECEIPT_SIZE);
    case ENROL:
        return bytes_of(t->enrol, ENROL_PREIMAGE_SIZE);
    case LEAVE:
    case THINGS:
        break;
    }
    return bytes_of(t->leave, LEAVE_PREIMAGE_SIZE);
}

static enum err verify(const struct signed_things *t, enum thing which, struct bytes what,
                       const uint8_t sig[static 64])
{
    struct card card;
    struct certificate cert;
    struct server_card server;
    struct spk_statement spk;
    struct receipt receipt;
    struct event event;
    enum err e;

    switch (which) {
    case CARD:
        return card_verify(what, sig, &card);
    case CERT:
        return certificate_verify(what, sig, t->pk, &cert);
    case SERVER:
        return server_card_verify(what, sig, t->pk, &server);
    case SPK:
        return spk_verify(what, sig, t->aid, t->pk, NOW, &spk);
    case EVENT:
        e = event_parse(what, &event);
        return e == ERR_OK ? event_verify(what, sig, t->pk) : e;
    case RECEIPT:
        e = receipt_parse(what, &receipt);
        return e == ERR_OK ? receipt_verify(what, &receipt, sig, t->pk) : e;
    case ENROL:
        return enrol_verify(sig, t->pk, t->aid, t->aid, t->aid, NOW);
    case LEAVE:
    case THINGS:
        break;
    }
    return leave_verify(sig, t->pk, t->aid, t->aid, NOW);
}

static const enum label label_of[THINGS] = { LABEL_CARD,  LABEL_CERT, LABEL_SERVER, LABEL_SPK,
                                             LABEL_EVENT, LABEL_RCPT, LABEL_ENROL,  LABEL_LEAVE };

/* The statements of fixed layout begin with their label; the others get it in front. */
static void sign_thing(const struct signed_things *t, enum thing which, enum label under,
                       uint8_t sig[static 64])
{
    struct bytes what = thing(t, which);

    if (which > SERVER) { /* another label in the place of its own */
        size_t own = label(label_of[which]).len;

        what = bytes_of(what.at + own, what.len - own);
    }
    sign_labelled(sig, t->secret, under, what);
}

Test(liar, T29_one_signed_thing_for_another)
{
    struct signed_things t;
    uint8_t sig[64];

    make_things(&t);
    for (int which = 0; which < THINGS; which++)
        for (int under = 0; under < THINGS; under++) {
            sign_thing(&t, (enum thing)which, label_of[under], sig);
            cr_expect_eq(verify(&t, (enum thing)which, thing(&t, (enum thing)which), sig) == ERR_OK,
                         which == under, "thing %d, signed as %d", which, under);
        }
    for (int as = 0; as < THINGS; as++)
        for (int is = 0; is < THINGS; is++) {
            sign_thing(&t, (enum thing)is, label_of[is], sig);
            if (as != is)
                cr_expect_neq(verify(&t, (enum thing)as, thing(&t, (enum thing)is), sig), ERR_OK,
                              "thing %d taken for %d", is, as);
        }
    buf_free(&t.card);
    buf_free(&t.cert);
    buf_free(&t.server);
    buf_free(&t.spk);
}
