/* layers: testworld */
/*
 * Requests from people who are not who they seem, and bundles that are not what they should be.
 */
#include "tests/liar/scene.h"

#include "agent/crypto/dh.h"
#include "agent/crypto/handshake.h"
#include "agent/crypto/sign.h"
#include "shared/trust/credential.h"
#include "shared/trust/identity.h"
#include "shared/trust/prekey.h"
#include "shared/wire/frame.h"

/* ------------------------------------------------------------------ whose request is it? */

/* Ann's own secrets, as a thief or a test has them. */
struct stolen {
    struct card card;
    struct bytes credential;
    uint8_t dk_secret[32];
};

static void steal(struct scene *s, struct world_agent *from, struct stolen *out)
{
    struct agent *agent = world_agent(from);
    struct buf credential = { 0 }, dk = { 0 };
    struct secret_info newest;

    cr_assert_eq(card_parse(buf_bytes(&agent->me.row.card), &out->card), ERR_OK);
    credential_encode(&credential, buf_bytes(&agent->me.row.card), agent->me.row.card_sig,
                      buf_bytes(&agent->me.row.certificate), agent->me.row.certificate_sig);
    out->credential = liar_recertify(s->liar, NULL, buf_bytes(&credential));
    cr_assert(profile_secret_newest(agent->store, SECRET_DK, UINT32_MAX, &newest));
    cr_assert(profile_secret_get(agent->store, SECRET_DK, newest.number, NULL, &dk));
    memcpy(out->dk_secret, dk.at, 32);
    buf_free(&credential);
    buf_free(&dk);
}

static struct liar_asking as_ann(struct scene *s, const struct stolen *ann, const char *text)
{
    struct liar_asking asking = { .to = s->bob,
                                  .dk_public = ann->card.dk,
                                  .signer = world_agent(s->ann)->me.ik_secret,
                                  .credential = ann->credential,
                                  .text = text };

    memcpy(asking.aid_a, world_aid(s->ann), 32);
    memcpy(asking.card_hash_a, world_agent(s->ann)->me.card_hash, 32);
    return asking;
}

static void deliver(struct scene *s, struct world_agent *to, struct liar_item item)
{
    liar_deliver(s->liar, to, &item, 1);
    world_pass(s->world, 10000);
}

Test(liar, T12_bobs_own_keys_make_no_request_of_anns)
{
    struct liar_person thief;
    struct liar_asking asking;
    struct stolen ann;
    struct scene s;

    scene_open(&s, 1);
    steal(&s, s.ann, &ann);
    liar_person(s.liar, &thief, "thief");
    liar_take_mailbox(s.liar, s.bob);
    asking = as_ann(&s, &ann, "signed by a thief");
    asking.signer = thief.ik_secret;
    deliver(&s, s.bob, liar_ask(s.liar, &asking));
    cr_expect_eq(inbox(s.bob, NULL), 0);
    cr_expect_eq(stage_of(s.bob, s.ann), 0, "there is no session");

    /* The same with ann's signature opens: it is all that stands between. */
    asking = as_ann(&s, &ann, "signed by ann");
    deliver(&s, s.bob, liar_ask(s.liar, &asking));
    cr_expect_eq(inbox(s.bob, "signed by ann"), 1);
    scene_close(&s);
}

/* ------------------------------------------------------------------ T11: unknown key share */

/* Makes OPENED fit another INIT0, as far as that goes without a signature of ann. */
static struct liar_item with_init0(struct scene *s, struct liar_item request,
                                   void (*change)(struct scene *s, struct init0 *init),
                                   const uint8_t *signer)
{
    struct opened_body body;
    struct event event;
    struct init0 init;
    struct buf init0 = { 0 }, packed = { 0 };
    uint8_t preimage[EVENT_SIZE], sig[64];

    cr_assert_eq(event_parse(bytes_of(request.item.opened.preimage, EVENT_SIZE), &event), ERR_OK);
    cr_assert_eq(opened_body_parse(request.item.opened.body, &body), ERR_OK);
    cr_assert_eq(init0_parse(body.init0, &init), ERR_OK);
    change(s, &init);
    init0_encode(&init0, &init);
    opened_body_encode(&packed, buf_bytes(&init0), body.frame_digest);
    init0_sid(event.id, buf_bytes(&init0));
    memcpy(event.actor, init.aid_a, 32);
    memcpy(event.target, init.aid_b, 32);
    event_body_hash(event.body_hash, buf_bytes(&packed));
    event_encode(preimage, &event);
    memcpy(sig, request.item.opened.sig, 64);
    if (signer)
        sign(sig, signer, bytes_of(preimage, EVENT_SIZE));
    request.item.opened.preimage = liar_copy(s->liar, bytes_of(preimage, EVENT_SIZE));
    request.item.opened.sig = liar_copy(s->liar, bytes_of(sig, 64));
    request.item.opened.body = liar_keep(s->liar, buf_bytes(&packed));
    buf_free(&init0);
    buf_free(&packed);
    return request;
}

/* The frame says for whom it is, too. */
static struct liar_item with_frame(struct scene *s, struct liar_item request, const uint8_t *sender,
                                   const uint8_t *recipient)
{
    struct opened_body body;
    uint8_t *frame = liar_copy(s->liar, request.part), digest[32], sid[16];
    struct frame_view view;
    struct buf packed = { 0 };
    struct event event;

    cr_assert_eq(opened_body_parse(request.item.opened.body, &body), ERR_OK);
    init0_sid(sid, body.init0);
    memcpy(frame + 4, sid, 16);
    memcpy(frame + 20, sender, 32);
    memcpy(frame + 52, recipient, 32);
    request.part.at = frame;
    cr_assert_eq(frame_parse_whole(request.part, &view), ERR_OK);
    frame_digest(&view, digest);
    opened_body_encode(&packed, body.init0, digest);
    cr_assert_eq(event_parse(bytes_of(request.item.opened.preimage, EVENT_SIZE), &event), ERR_OK);
    event_body_hash(event.body_hash, buf_bytes(&packed));
    event_encode((uint8_t *)request.item.opened.preimage, &event);
    request.item.opened.body = liar_keep(s->liar, buf_bytes(&packed));
    buf_free(&packed);
    return request;
}

static struct liar_person ursa; /* enrolled under her own name, and in league with the broker */
static struct world_agent *cyd;

static void for_cyd(struct scene *s, struct init0 *init)
{
    (void)s;
    memcpy(init->aid_b, world_aid(cyd), 32);
    memcpy(init->card_hash_b, world_agent(cyd)->me.card_hash, 32);
}

static void with_another_card(struct scene *s, struct init0 *init)
{
    (void)s;
    init->card_hash_b[0] ^= 1;
}

static void from_ursa(struct scene *s, struct init0 *init)
{
    (void)s;
    memcpy(init->aid_a, ursa.aid, 32);
    memcpy(init->card_hash_a, ursa.hash, 32);
}

Test(liar, T11_a_request_shown_to_another)
{
    struct liar_item request, other;
    struct scene s;
    uint8_t id[16];

    scene_open(&s, 2);
    cyd = world_join(s.world, "cyd", "home");
    liar_take_mailbox(s.liar, s.bob);
    liar_take_mailbox(s.liar, cyd);
    cr_assert_eq(say(s.ann, s.bob, "for bob", id), ERR_OK);
    world_pass(s.world, 10000);
    request = liar_item_of(s.liar, s.bob, ITEM_REQUEST, 0);
    deliver(&s, cyd, request);
    cr_expect_eq(stage_of(cyd, s.ann), 0, "as it is");
    other = with_init0(&s, request, for_cyd, NULL);
    other = with_frame(&s, other, world_aid(s.ann), world_aid(cyd));
    deliver(&s, cyd, other);
    cr_expect_eq(stage_of(cyd, s.ann), 0, "with cyd's name in all places");
    cr_expect_eq(inbox(cyd, NULL), 0);

    other = with_init0(&s, request, with_another_card, NULL);
    deliver(&s, s.bob, with_frame(&s, other, world_aid(s.ann), world_aid(s.bob)));
    cr_expect_eq(stage_of(s.bob, s.ann), 0, "with a card that bob never had");
    deliver(&s, s.bob, request);
    cr_expect_eq(inbox(s.bob, "for bob"), 1, "as ann made it");
    scene_close(&s);
}

/* Ursa says that ann's request is hers: bob must not take ann's words for ursa's. */
Test(liar, T11_a_request_claimed_by_another)
{
    struct liar_item request, claimed;
    struct liar_view *view;
    struct profile_session session;
    struct profile_peer peer;
    struct stolen ann;
    struct scene s;
    uint8_t id[16];

    scene_open(&s, 3);
    view = liar_view(s.liar);
    liar_person(s.liar, &ursa, "ursa");
    steal(&s, s.ann, &ann);
    memcpy(ursa.card.dk, ann.card.dk, 32); /* a public key: nobody can keep her from it */
    liar_person_sign(s.liar, &ursa);
    liar_view_enrol(view, &ursa, "home");
    liar_show(s.liar, s.bob, view);
    liar_log_moved(s.liar, s.bob);
    liar_take_mailbox(s.liar, s.bob);
    cr_assert_eq(say(s.ann, s.bob, "from ann", id), ERR_OK);
    world_pass(s.world, 10000);
    request = liar_item_of(s.liar, s.bob, ITEM_REQUEST, 0);

    claimed = with_init0(&s, request, from_ursa, ursa.ik_secret);
    claimed = with_frame(&s, claimed, ursa.aid, world_aid(s.bob));
    claimed = with_init0(&s, claimed, from_ursa, ursa.ik_secret); /* signs what it is now */
    claimed.item.credential = liar_certify(s.liar, view, &ursa);
    deliver(&s, s.bob, claimed);
    cr_expect_eq(inbox(s.bob, NULL), 0);
    cr_assert(profile_peer_find(store_of(s.bob), ursa.aid, &peer), "ursa herself is genuine");
    cr_assert(profile_session_next_of(store_of(s.bob), peer.peer_id, 0, &session));
    cr_expect_eq(session.state, SESSION_REJECTED, "the keys do not agree");
    scene_close(&s);
}

/* All that both sides must agree on goes into th, which is in every key and in every frame. */
Test(liar, T11_every_byte_of_the_first_word_counts)
{
    uint8_t th[32], other_th[32], sid[16], other_sid[16], opk[32] = { 6 };
    struct init0 init = { .suite = SUITE_CHACHA, .mode = MODE_MAILBOX, .spk_id = 1 };
    struct spk_statement spk = { .id = 1, .created_ms = 1, .expires_ms = 2 };
    struct buf init0 = { 0 }, statement = { 0 };
    struct handshake_words words;

    init0_encode(&init0, &init);
    spk_encode(&statement, &spk);
    words = (struct handshake_words){ buf_bytes(&init0), buf_bytes(&statement), opk };
    handshake_transcript(th, &words);
    init0_sid(sid, words.init0);
    for (size_t i = 0; i < init0.len; i++) {
        init0.at[i] ^= 1;
        handshake_transcript(other_th, &words);
        init0_sid(other_sid, words.init0);
        cr_expect_neq(memcmp(th, other_th, 32), 0, "byte %zu of INIT0", i);
        cr_expect_neq(memcmp(sid, other_sid, 16), 0, "byte %zu of INIT0", i);
        init0.at[i] ^= 1;
    }
    for (size_t i = 0; i < statement.len; i++) {
        statement.at[i] ^= 1;
        handshake_transcript(other_th, &words);
        cr_expect_neq(memcmp(th, other_th, 32), 0, "byte %zu of the prekey", i);
        statement.at[i] ^= 1;
    }
    opk[0] ^= 1;
    handshake_transcript(other_th, &words);
    cr_expect_neq(memcmp(th, other_th, 32), 0, "the one-time prekey");
    words.opk = NULL;
    handshake_transcript(other_th, &words);
    cr_expect_neq(memcmp(th, other_th, 32), 0, "no one-time prekey");
    buf_free(&init0);
    buf_free(&statement);
}

/* ------------------------------------------------------------------ T13: downgrade */

/* Spoils what LOOKUP answers. */
struct spoil {
    void (*how)(struct scene *s, struct liar *liar, struct message *message);
    struct scene *s;
};

static bool spoil_lookup(void *ctx, struct liar *liar, struct passing *p)
{
    struct spoil *spoil = ctx;

    if (p->to_agent && p->message.verb == VERB_LOOKUP && p->message.reply
        && MESSAGE_HAS(&p->message, spk))
        spoil->how(spoil->s, liar, &p->message);
    return true;
}

static void nothing(struct scene *s, struct liar *liar, struct message *message)
{
    (void)s, (void)liar, (void)message;
}

static struct liar_view *forged; /* of this scene */

/* A card of bob's that he never signed, as certified and as logged as any other. */
static void card_unsigned(struct scene *s, struct liar *liar, struct message *message,
                          void (*change)(struct card *card))
{
    struct log_entry entry = { .type = ENTRY_CARD, .name = "bob" };
    struct liar_person bob;
    struct credential cred;

    cr_assert_eq(credential_parse(message->credential, &cred), ERR_OK);
    bob.card = cred.card;
    bob.card.gen++;
    change(&bob.card);
    memcpy(bob.aid, cred.aid, 32);
    memcpy(bob.ik_secret, liar_ck_secret(liar), 64); /* the best signature that it has */
    liar_person_sign(liar, &bob);
    entry.ts_ms = world_now_ms(s->world);
    memcpy(entry.aid, bob.aid, 32);
    memcpy(entry.card_hash, bob.hash, 32);
    if (!forged) {
        forged = liar_view(liar);
        liar_view_append(forged, entry);
        liar_show(liar, s->ann, forged);
    }
    message->credential = liar_certify(liar, forged, &bob);
}

static void fewer_suites(struct card *card)
{
    card->suites &= ~2u;
    card->caps++; /* it differs, even where there is one suite only */
}

static void more_versions(struct card *card)
{
    card->proto_max = 7;
}

static void keys_of_the_liar(struct card *card)
{
    dh_public(card->dk, (const uint8_t[32]){ 8 });
}

static void other_suites(struct scene *s, struct liar *liar, struct message *message)
{
    card_unsigned(s, liar, message, fewer_suites);
}

static void other_protocol(struct scene *s, struct liar *liar, struct message *message)
{
    card_unsigned(s, liar, message, more_versions);
}

static void other_keys(struct scene *s, struct liar *liar, struct message *message)
{
    card_unsigned(s, liar, message, keys_of_the_liar);
}

static void spk_of_the_liar(struct scene *s, struct liar *liar, struct message *message)
{
    struct spk_statement spk;
    struct buf packed = { 0 };
    struct bytes kept;
    uint8_t secret[32] = { 9 }, sig[64];

    (void)s;
    cr_assert_eq(spk_parse(message->spk.bytes, &spk), ERR_OK);
    dh_public(spk.spk, secret);
    spk_encode(&packed, &spk);
    kept = liar_keep(liar, buf_bytes(&packed));
    sign(sig, liar_ck_secret(liar), kept);
    MESSAGE_SET(message, spk, ((struct wire_signed){ kept, liar_copy(liar, bytes_of(sig, 64)) }));
    buf_free(&packed);
}

static void spk_lives_longer(struct scene *s, struct liar *liar, struct message *message)
{
    uint8_t *statement = liar_copy(liar, message->spk.bytes);
    struct spk_statement spk;
    struct buf packed = { 0 };

    (void)s;
    cr_assert_eq(spk_parse(message->spk.bytes, &spk), ERR_OK);
    spk.expires_ms += DAYS(365);
    spk_encode(&packed, &spk);
    memcpy(statement, packed.at, packed.len);
    message->spk.bytes.at = statement;
    buf_free(&packed);
}

/* Ann's own prekey, well signed, for bob's. */
static void spk_of_another(struct scene *s, struct liar *liar, struct message *message)
{
    struct buf spk = { 0 };
    struct secret_info newest;

    cr_assert(profile_secret_newest(store_of(s->ann), SECRET_SPK, UINT32_MAX, &newest));
    cr_assert(profile_secret_get(store_of(s->ann), SECRET_SPK, newest.number, &spk, NULL));
    message->spk.bytes = liar_keep(liar, bytes_of(spk.at, spk.len - 64));
    message->spk.sig = liar_copy(liar, bytes_of(spk.at + spk.len - 64, 64));
    buf_free(&spk);
}

static void no_spk(struct scene *s, struct liar *liar, struct message *message)
{
    (void)s, (void)liar;
    message->has &= ~(UINT64_C(1) << KEY_spk);
}

static const struct {
    const char *name;
    void (*how)(struct scene *s, struct liar *liar, struct message *message);
    bool sealed;
} bundles[] = {
    { "as it is", nothing, true },
    { "suites struck from the card", other_suites, false },
    { "another range of versions", other_protocol, false },
    { "another key in the card", other_keys, false },
    { "a prekey that the liar signed", spk_of_the_liar, false },
    { "a prekey whose life was made longer", spk_lives_longer, false },
    { "a prekey of another agent", spk_of_another, false },
    { "no prekey", no_spk, false },
};

Test(liar, T13_a_bundle_that_was_changed)
{
    for (size_t i = 0; i < sizeof bundles / sizeof bundles[0]; i++) {
        struct spoil spoil = { .how = bundles[i].how };
        struct scene s;
        uint8_t id[16];

        scene_open(&s, 4);
        spoil.s = &s;
        forged = NULL;
        liar_set_rule(s.liar, spoil_lookup, &spoil);
        cr_assert_eq(say(s.ann, s.bob, "hello", id), ERR_OK);
        world_pass(s.world, MINUTES(10));
        cr_expect_eq(liar_count(s.liar, s.ann, VERB_REQUEST) > 0, bundles[i].sealed, "%s",
                     bundles[i].name);
        cr_expect_eq(inbox(s.bob, NULL), bundles[i].sealed, "%s", bundles[i].name);
        scene_close(&s);
    }
}

/* A suite that stands in no card of bob's is refused, whoever asks. */
Test(liar, T13_a_suite_that_is_not_in_my_card)
{
    struct liar_asking asking;
    struct stolen ann;
    struct scene s;

    scene_open(&s, 5);
    steal(&s, s.ann, &ann);
    liar_take_mailbox(s.liar, s.bob);
    asking = as_ann(&s, &ann, "weaker, please");
    world_agent(s.bob)->me.card_suites = 1;
    asking.suite = SUITE_AES;
    deliver(&s, s.bob, liar_ask(s.liar, &asking));
    cr_expect_eq(inbox(s.bob, NULL), 0);
    cr_expect_eq(stage_of(s.bob, s.ann), SESSION_REJECTED);
    scene_close(&s);
}

/* ------------------------------------------------------------------ T14: stale bundle */

/* Keeps bob's first statement, and serves it for ever. */
struct old_bundle {
    bool kept;
    struct wire_signed spk;
};

static bool serve_old(void *ctx, struct liar *liar, struct passing *p)
{
    struct old_bundle *old = ctx;

    if (!p->to_agent || p->message.verb != VERB_LOOKUP || !MESSAGE_HAS(&p->message, spk))
        return true;
    if (!old->kept) {
        old->kept = true;
        old->spk.bytes = liar_keep(liar, p->message.spk.bytes);
        old->spk.sig = liar_copy(liar, bytes_of(p->message.spk.sig, 64));
    }
    p->message.spk = old->spk;
    p->message.has &= ~(UINT64_C(1) << KEY_opks);
    return true;
}

Test(liar, T14_a_prekey_of_last_month)
{
    static const struct {
        unsigned days;
        bool sealed;
    } ages[] = { { 20, true }, { 31, false } };

    for (size_t i = 0; i < sizeof ages / sizeof ages[0]; i++) {
        struct old_bundle old = { 0 };
        struct scene s;
        uint8_t id[16];
        unsigned before;

        scene_open(&s, 6);
        liar_set_rule(s.liar, serve_old, &old);
        talk(&s);
        cr_assert(old.kept);
        end_session(s.ann, s.bob);
        world_pass(s.world, 10000);
        world_stop(s.world, s.ann);
        world_stop(s.world, s.bob);
        world_broker_stop(s.world); /* nobody's clock has to tick all the month */
        world_pass(s.world, DAYS(ages[i].days));
        world_broker_start(s.world);
        world_start(s.world, s.bob);
        world_start(s.world, s.ann);
        world_pass(s.world, MINUTES(1));
        before = liar_count(s.liar, s.ann, VERB_REQUEST);
        cr_assert_eq(say(s.ann, s.bob, "a month later", id), ERR_OK);
        world_pass(s.world, MINUTES(10));
        cr_expect_eq(liar_count(s.liar, s.ann, VERB_REQUEST) > before, ages[i].sealed, "%u days",
                     ages[i].days);
        cr_expect_eq(inbox(s.bob, "a month later"), ages[i].sealed, "%u days", ages[i].days);
        scene_close(&s);
    }
}

/* Keeps bob's first credential; when told to, serves it under a fresh certificate. */
struct old_card {
    struct bytes credential;
    bool serve;
};

static bool serve_old_card(void *ctx, struct liar *liar, struct passing *p)
{
    struct old_card *old = ctx;

    if (!p->to_agent || p->message.verb != VERB_LOOKUP || !p->message.reply)
        return true;
    if (!old->credential.len)
        old->credential = liar_keep(liar, p->message.credential);
    if (old->serve)
        p->message.credential = liar_recertify(liar, NULL, old->credential);
    return true;
}

Test(liar, T14_a_card_that_was_replaced)
{
    struct old_card old = { 0 };
    struct agent_settings settings;
    struct scene s;
    uint8_t id[16];
    unsigned before;

    scene_open(&s, 15);
    liar_set_rule(s.liar, serve_old_card, &old);
    talk(&s);
    agent_settings_default(&settings);
    strcpy(settings.description, "with another card");
    agent_configure(world_agent(s.bob), &settings);
    world_pass(s.world, MINUTES(1));
    end_session(s.ann, s.bob);
    cr_assert_eq(say(s.ann, s.bob, "to the new card", id), ERR_OK);
    world_pass(s.world, MINUTES(1));
    cr_assert_eq(inbox(s.bob, "to the new card"), 1, "ann has seen it");
    end_session(s.ann, s.bob);
    world_pass(s.world, MINUTES(1));

    old.serve = true;
    before = liar_count(s.liar, s.ann, VERB_REQUEST);
    cr_assert_eq(say(s.ann, s.bob, "to the old card?", id), ERR_OK);
    world_pass(s.world, MINUTES(30));
    cr_expect_eq(liar_count(s.liar, s.ann, VERB_REQUEST), before);
    old.serve = false;
    world_pass(s.world, MINUTES(30));
    cr_expect_eq(inbox(s.bob, "to the old card?"), 1, "and with the true one it goes out");
    scene_close(&s);
}

/* ------------------------------------------------------------------ T15: one-time prekeys */

static void opk_withheld(struct scene *s, struct liar *liar, struct message *message)
{
    (void)s, (void)liar;
    message->has &= ~(UINT64_C(1) << KEY_opks);
}

static void opk_swapped(struct scene *s, struct liar *liar, struct message *message)
{
    struct list_reader reader = list_read(&message->opks);
    struct list_maker made = { 0 };
    uint8_t secret[32] = { 5 }, key[32];
    struct wire_opk opk;

    (void)s;
    dh_public(key, secret);
    while (list_opk(&reader, &opk)) {
        opk.key = key;
        list_add_opk(&made, &opk);
    }
    message->opks = (struct wire_list){ liar_keep(liar, buf_bytes(&made.raw)), made.count };
    list_free(&made);
}

Test(liar, T15_one_time_prekeys_withheld_or_swapped)
{
    static const struct {
        const char *name;
        void (*how)(struct scene *s, struct liar *liar, struct message *message);
        bool heard;
    } lies[] = { { "withheld", opk_withheld, true }, { "swapped", opk_swapped, false } };

    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        struct spoil spoil = { .how = lies[i].how };
        struct scene s;
        uint8_t id[16];

        scene_open(&s, 7);
        spoil.s = &s;
        liar_set_rule(s.liar, spoil_lookup, &spoil);
        cr_assert_eq(say(s.ann, s.bob, "hello", id), ERR_OK);
        world_pass(s.world, HOURS(1));
        cr_expect_eq(inbox(s.bob, "hello"), lies[i].heard, "%s", lies[i].name);
        cr_expect_eq(state_of(s.ann, id) == OUT_DELIVERED, lies[i].heard, "%s", lies[i].name);
        scene_close(&s);
    }
}

/* ------------------------------------------------------------------ T30: revoked */

/* The broker keeps ann's request, delivers it after her end, with the credential of before. */
Test(liar, T30_a_request_of_one_who_was_revoked)
{
    struct revocation revocation = { REVOKED_KEY_STOLEN, 0 };
    struct log_entry entry = { .type = ENTRY_REVOKE, .name = "ann" };
    uint8_t extra[REVOCATION_SIZE], id[16];
    struct liar_item request;
    struct liar_view *view;
    struct scene s;

    scene_open(&s, 8);
    liar_take_mailbox(s.liar, s.bob);
    cr_assert_eq(say(s.ann, s.bob, "hello", id), ERR_OK);
    world_pass(s.world, 10000);
    request = liar_item_of(s.liar, s.bob, ITEM_REQUEST, 0);
    view = liar_view(s.liar);
    entry.ts_ms = revocation.invalid_since_ms = world_now_ms(s.world);
    memcpy(entry.aid, world_aid(s.ann), 32);
    memcpy(entry.card_hash, world_agent(s.ann)->me.card_hash, 32);
    revocation_encode(extra, &revocation);
    entry.extra = bytes_of(extra, sizeof extra);
    liar_view_append(view, entry);
    liar_show(s.liar, s.bob, view);
    request.item.credential = liar_recertify(s.liar, view, request.item.credential);
    deliver(&s, s.bob, request);
    cr_expect_eq(inbox(s.bob, NULL), 0);
    cr_expect_eq(stage_of(s.bob, s.ann), 0);
    cr_expect_eq(say(s.bob, s.ann, "are you there?", id), ERR_CERT_REVOKED);
    scene_close(&s);
}

/* The revocation is hidden: what is left of the certificate's life is all that gives. */
Test(liar, T30_a_certificate_that_is_over)
{
    struct liar_item request;
    struct scene s;
    uint8_t id[16];

    scene_open(&s, 9);
    liar_take_mailbox(s.liar, s.bob);
    cr_assert_eq(say(s.ann, s.bob, "hello", id), ERR_OK);
    world_pass(s.world, 10000);
    request = liar_item_of(s.liar, s.bob, ITEM_REQUEST, 0);
    world_pass(s.world, HOURS(25));
    deliver(&s, s.bob, request);
    cr_expect_eq(inbox(s.bob, NULL), 0, "nobody vouches for ann any more");
    cr_expect_eq(stage_of(s.bob, s.ann), 0);
    scene_close(&s);
}

/* ------------------------------------------------------------------ T49: circles */

/* Consent by circle is judged from the log alone: no word of the asker's or of a credential counts.
 */
Test(liar, T49_a_circle_that_only_the_asker_claims)
{
    static const uint8_t info[]
        = { 0x81, 0xa7, 'c', 'i', 'r', 'c', 'l', 'e', 's', 0x91, 0xa4, 'h', 'o', 'm', 'e' };
    struct liar_person sam;
    struct liar_view *view;
    struct profile_session session;
    struct profile_peer peer;
    struct scene s;

    for (int in_log = 0; in_log < 2; in_log++) {
        scene_open(&s, 12);
        liar_take_mailbox(s.liar, s.bob);
        liar_person(s.liar, &sam, "sam");
        sam.card.info = bytes_of(info, sizeof info);
        liar_person_sign(s.liar, &sam);
        view = liar_view(s.liar);
        liar_view_enrol(view, &sam, in_log ? "home" : "elsewhere");
        liar_show(s.liar, s.bob, view);
        liar_log_moved(s.liar, s.bob);
        deliver(&s, s.bob,
                liar_ask_as(s.liar, &sam, liar_certify(s.liar, view, &sam), s.bob, "let me in"));
        cr_assert(profile_peer_find(store_of(s.bob), sam.aid, &peer));
        cr_assert(profile_session_next_of(store_of(s.bob), peer.peer_id, 0, &session));
        if (!in_log)
            cr_expect_eq(session.state, SESSION_WAS_ASKED, "held until somebody says yes");
        cr_expect_eq(inbox(s.bob, "let me in"), in_log);
        scene_close(&s);
    }
}
