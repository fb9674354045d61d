/* layers: testworld */
/*
 * Deliveries that did not happen, ends that nobody declared, frames that died on the way.
 */
#include "tests/liar/scene.h"

#include "agent/crypto/sign.h"
#include "shared/trust/event.h"
#include "shared/wire/frame.h"

static const uint8_t *ik_of(struct world_agent *who)
{
    return world_agent(who)->me.ik_secret;
}

static void deliver(struct scene *s, struct world_agent *to, struct liar_item item)
{
    liar_deliver(s->liar, to, &item, 1);
    world_pass(s->world, 10000);
}

/* ------------------------------------------------------------------ T7: receipts */

struct forgery {
    struct receipt receipt;
    const uint8_t *signer; /* NULL: the signature stays */
    uint8_t sig[64];
    size_t cut;
};

static void true_one(struct scene *s, struct forgery *f)
{
    (void)s, (void)f;
}

static void one_bit(struct scene *s, struct forgery *f)
{
    (void)s;
    f->sig[5] ^= 1;
}

static void by_the_broker(struct scene *s, struct forgery *f)
{
    f->signer = liar_ck_secret(s->liar);
}

static void by_the_sender(struct scene *s, struct forgery *f)
{
    f->signer = ik_of(s->ann);
}

static void as_the_sender(struct scene *s, struct forgery *f)
{
    memcpy(f->receipt.recipient, world_aid(s->ann), 32);
    f->signer = ik_of(s->ann);
}

static void wider(struct scene *s, struct forgery *f)
{
    (void)s;
    f->receipt.from--;
}

static void refused(struct scene *s, struct forgery *f)
{
    (void)s;
    f->receipt.status = RECEIPT_REFUSED;
}

static void of_other_frames(struct scene *s, struct forgery *f)
{
    f->receipt.range_digest[0] ^= 1;
    f->signer = ik_of(s->bob); /* even so */
}

static void cut_short(struct scene *s, struct forgery *f)
{
    (void)s;
    f->cut = 1;
}

static void advance(struct scene *s, struct forgery *f)
{
    f->receipt.status = RECEIPT_ADVANCE;
    f->signer = ik_of(s->bob);
}

static const struct {
    const char *name;
    void (*how)(struct scene *s, struct forgery *f);
    bool delivered;
} forgeries[] = {
    { "one bit of the signature", one_bit, false },
    { "signed by the broker", by_the_broker, false },
    { "signed by the sender", by_the_sender, false },
    { "the sender's own", as_the_sender, false },
    { "a wider range", wider, false },
    { "refused, says the broker", refused, false },
    { "for other frames", of_other_frames, false },
    { "cut short", cut_short, false },
    { "an advance", advance, false },
    { "the true one", true_one, true },
};

static struct liar_item receipt_item(struct scene *s, const struct forgery *f)
{
    uint8_t item[RECEIPT_SIZE + 64];

    receipt_encode(item, &f->receipt);
    memcpy(item + RECEIPT_SIZE, f->sig, 64);
    if (f->signer)
        sign(item + RECEIPT_SIZE, f->signer, bytes_of(item, RECEIPT_SIZE));
    return liar_item(s->liar, ITEM_RECEIPT, bytes_of(item, sizeof item - f->cut));
}

/* Bob has taken three messages in, and signed; the receipt is in the liar's hands. */
static struct forgery signed_by_bob(struct scene *s, uint8_t (*ids)[16])
{
    const struct liar_receipt *receipts;
    struct liar_item items[3];
    struct forgery f = { 0 };

    talk(s);
    liar_take_mailbox(s->liar, s->ann);
    liar_take_mailbox(s->liar, s->bob);
    say_many(s->ann, s->bob, 3, ids);
    world_pass(s->world, 10000);
    for (size_t i = 0; i < 3; i++)
        items[i] = liar_item_at(s->liar, s->bob, i);
    liar_deliver(s->liar, s->bob, items, 3);
    world_pass(s->world, 10000);
    cr_assert_eq(liar_receipts(s->liar, s->bob, &receipts), 1);
    f.receipt = receipts[0].receipt;
    memcpy(f.sig, receipts[0].bytes + RECEIPT_SIZE, 64);
    return f;
}

Test(liar, T7_receipts_that_the_recipient_never_signed)
{
    uint8_t ids[3][16];
    struct forgery truth;
    struct scene s;

    scene_open(&s, 1);
    truth = signed_by_bob(&s, ids);
    for (size_t i = 0; i < sizeof forgeries / sizeof forgeries[0]; i++) {
        struct forgery forged = truth;

        forgeries[i].how(&s, &forged);
        deliver(&s, s.ann, receipt_item(&s, &forged));
        for (int n = 0; n < 3; n++) {
            struct buf frame = { 0 };
            struct profile_out row;

            cr_assert(profile_out_find(store_of(s.ann), ids[n], &row), "%s", forgeries[i].name);
            cr_expect_eq(state_of(s.ann, ids[n]),
                         forgeries[i].delivered ? OUT_DELIVERED : OUT_STORED, "%s: message %d",
                         forgeries[i].name, n);
            cr_expect_neq(profile_out_frame(store_of(s.ann), row.outbox_id, &frame),
                          forgeries[i].delivered, "%s: the frame is kept until then",
                          forgeries[i].name);
            buf_free(&frame);
        }
        cr_expect_eq(stage_of(s.ann, s.bob), SESSION_ACTIVE, "%s", forgeries[i].name);
    }
    cr_expect_gt(alarms(s.ann, "undecryptable"), 0, "and ann is told");
    scene_close(&s);
}

/* What bob signed for one message, or for one sender, says nothing of another. */
Test(liar, T7_receipts_of_something_else)
{
    const struct liar_receipt *receipts;
    struct world_agent *cyd;
    struct liar_item item;
    uint8_t ids[3][16], id[16];
    struct forgery old;
    struct scene s;

    scene_open(&s, 2);
    old = signed_by_bob(&s, ids);
    deliver(&s, s.ann, receipt_item(&s, &old));
    cr_assert_eq(say(s.ann, s.bob, "one more", id), ERR_OK);
    world_pass(s.world, 10000);
    deliver(&s, s.ann, receipt_item(&s, &old));
    cr_expect_eq(state_of(s.ann, id), OUT_STORED, "replayed");

    cyd = world_join(s.world, "cyd", "home");
    liar_take_mailbox(s.liar, cyd);
    cr_assert_eq(say(cyd, s.bob, "hello", ids[0]), ERR_OK);
    world_pass(s.world, 10000);
    deliver(&s, s.bob, liar_item_of(s.liar, s.bob, ITEM_REQUEST, 0));
    deliver(&s, cyd, liar_item_of(s.liar, cyd, ITEM_EVENT, 0));
    cr_assert_eq(say(cyd, s.bob, "second", ids[1]), ERR_OK);
    world_pass(s.world, 10000);
    item = liar_item_at(s.liar, s.bob, liar_item_count(s.liar, s.bob) - 1);
    deliver(&s, s.bob, item);
    cr_assert_eq(liar_receipts(s.liar, s.bob, &receipts), 2);
    deliver(&s, s.ann,
            liar_item(s.liar, ITEM_RECEIPT, bytes_of(receipts[1].bytes, sizeof receipts[1].bytes)));
    cr_expect_eq(state_of(s.ann, id), OUT_STORED, "of another session");
    scene_close(&s);
}

/* A notice is the broker's word and counts as such: the recipient's takes it back. */
Test(liar, T7_a_notice_is_only_the_brokers_word)
{
    uint8_t ids[3][16], packed[NOTICE_SIZE];
    struct notice notice = { .reason = NOTICE_EXPIRED };
    struct profile_out row;
    struct profile_session session;
    struct forgery truth;
    struct scene s;

    scene_open(&s, 3);
    truth = signed_by_bob(&s, ids);
    cr_assert(profile_out_find(store_of(s.ann), ids[1], &row));
    cr_assert(newest_session(s.ann, s.bob, &session));
    memcpy(notice.scope, session.id, 16);
    memcpy(notice.sender, world_aid(s.ann), 32);
    memcpy(notice.recipient, world_aid(s.bob), 32);
    notice.seq = row.seq;
    notice.at_ms = world_now_ms(s.world);
    notice_encode(packed, &notice);
    deliver(&s, s.ann, liar_item(s.liar, ITEM_NOTICE, bytes_of(packed, sizeof packed)));
    cr_expect_eq(state_of(s.ann, ids[1]), OUT_STORED, "it names another frame");

    memcpy(notice.frame_digest, row.digest, 32);
    notice_encode(packed, &notice);
    deliver(&s, s.ann, liar_item(s.liar, ITEM_NOTICE, bytes_of(packed, sizeof packed)));
    cr_expect_eq(state_of(s.ann, ids[1]), OUT_EXPIRED);
    deliver(&s, s.ann, receipt_item(&s, &truth));
    for (int i = 0; i < 3; i++)
        cr_expect_eq(state_of(s.ann, ids[i]), OUT_DELIVERED, "bob has it: message %d", i);
    scene_close(&s);
}

/* ------------------------------------------------------------------ T61: events of the wrong party
 */

static struct liar_item event_item(struct scene *s, struct world_agent *at, enum event_type type,
                                   const uint8_t *actor, const uint8_t *target,
                                   const uint8_t *signer)
{
    struct event event
        = { .scope = SCOPE_SESSION, .type = (uint8_t)type, .ts_ms = world_now_ms(s->world) };
    struct closed_body closed = { CLOSED_DONE, 2 };
    uint8_t item[EVENT_SIZE + 64 + 32] = { 0 };
    static const size_t lengths[] = { [EVENT_ACCEPTED] = 32,
                                      [EVENT_REJECTED] = 1,
                                      [EVENT_ROTATED] = 16,
                                      [EVENT_CLOSED] = CLOSED_BODY_SIZE,
                                      [EVENT_EXPIRED] = 1 };
    struct profile_session session;
    struct profile_scope scope;

    cr_assert(newest_session(at, at == s->ann ? s->bob : s->ann, &session));
    cr_assert(profile_scope_get(store_of(at), session.session_id, &scope));
    if (type == EVENT_CLOSED)
        closed_body_encode(item + EVENT_SIZE + 64, &closed);
    else if (type == EVENT_REJECTED)
        item[EVENT_SIZE + 64] = REJECTED_BY_PERSON;
    memcpy(event.id, session.id, 16);
    event.seq = scope.next_event;
    memcpy(event.prev, scope.head, 32);
    memcpy(event.actor, actor, 32);
    if (target)
        memcpy(event.target, target, 32);
    event_body_hash(event.body_hash, bytes_of(item + EVENT_SIZE + 64, lengths[type]));
    event_encode(item, &event);
    sign(item + EVENT_SIZE, signer, bytes_of(item, EVENT_SIZE));
    return liar_item(s->liar, ITEM_EVENT, bytes_of(item, EVENT_SIZE + 64 + lengths[type]));
}

Test(liar, T61_events_that_the_actor_never_signed)
{
    static const enum event_type ends[] = { EVENT_CLOSED, EVENT_ROTATED, EVENT_EXPIRED };
    const uint8_t *root;
    struct scene s;
    uint8_t id[16];

    scene_open(&s, 4);
    talk(&s);
    root = world_agent(s.ann)->me.row.root_id;
    liar_take_mailbox(s.liar, s.ann);
    for (size_t i = 0; i < 3; i++) {
        deliver(&s, s.ann,
                event_item(&s, s.ann, ends[i], world_aid(s.bob), world_aid(s.ann),
                           liar_ck_secret(s.liar)));
        cr_expect_eq(stage_of(s.ann, s.bob), SESSION_ACTIVE, "%s in bob's name",
                     event_type_name((uint8_t)ends[i]));
        deliver(&s, s.ann, event_item(&s, s.ann, ends[i], root, NULL, ik_of(s.bob)));
        cr_expect_eq(stage_of(s.ann, s.bob), SESSION_ACTIVE, "%s in the controller's name",
                     event_type_name((uint8_t)ends[i]));
    }
    deliver(&s, s.ann,
            event_item(&s, s.ann, EVENT_CLOSED, root, world_aid(s.ann), liar_ck_secret(s.liar)));
    cr_expect_eq(stage_of(s.ann, s.bob), SESSION_ACTIVE, "the controller is no party");
    deliver(&s, s.ann,
            event_item(&s, s.ann, EVENT_CLOSED, world_aid(s.bob), world_aid(s.ann), ik_of(s.bob)));
    cr_expect_eq(stage_of(s.ann, s.bob), SESSION_CLOSED, "bob is");
    scene_close(&s);

    /* Consent cannot be made up. */
    scene_open(&s, 5);
    liar_take_mailbox(s.liar, s.bob);
    liar_take_mailbox(s.liar, s.ann);
    cr_assert_eq(say(s.ann, s.bob, "hello", id), ERR_OK);
    world_pass(s.world, 10000);
    deliver(&s, s.ann,
            event_item(&s, s.ann, EVENT_ACCEPTED, world_aid(s.bob), world_aid(s.ann),
                       liar_ck_secret(s.liar)));
    cr_expect_eq(stage_of(s.ann, s.bob), SESSION_ASKED);
    deliver(&s, s.ann,
            event_item(&s, s.ann, EVENT_REJECTED, world_aid(s.bob), world_aid(s.ann),
                       liar_ck_secret(s.liar)));
    cr_expect_eq(stage_of(s.ann, s.bob), SESSION_ASKED);
    cr_expect_eq(state_of(s.ann, id), OUT_STORED);
    scene_close(&s);
}

/* ------------------------------------------------------------------ T29: one thing for another */

Test(liar, T29_items_under_another_kind)
{
    static const enum item_kind kinds[]
        = { ITEM_ACCEPT, ITEM_DATA, ITEM_GROUP, ITEM_RECEIPT, ITEM_EVENT, ITEM_NOTICE };
    struct liar_item all[64];
    uint8_t ids[3][16], id[16];
    size_t count = 0;
    struct forgery truth;
    struct scene s;

    scene_open(&s, 6);
    truth = signed_by_bob(&s, ids);
    cr_assert_eq(say(s.bob, s.ann, "an answer", id), ERR_OK);
    world_pass(s.world, 10000);
    all[count++] = receipt_item(&s, &truth);
    all[count++]
        = event_item(&s, s.ann, EVENT_CLOSED, world_aid(s.bob), world_aid(s.ann), ik_of(s.bob));
    all[count++] = liar_item_of(s.liar, s.ann, ITEM_DATA, 0);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
            struct liar_item as = all[i];

            if (kinds[k] == (enum item_kind)as.item.kind)
                continue;
            as.item.kind = kinds[k];
            deliver(&s, s.ann, as);
            cr_expect_eq(stage_of(s.ann, s.bob), SESSION_ACTIVE, "item %zu as %d", i,
                         (int)kinds[k]);
            cr_expect_eq(inbox(s.ann, NULL), 0, "item %zu as %d", i, (int)kinds[k]);
            for (int n = 0; n < 3; n++)
                cr_expect_eq(state_of(s.ann, ids[n]), OUT_STORED, "item %zu as %d", i,
                             (int)kinds[k]);
        }
    deliver(&s, s.ann, all[2]);
    cr_expect_eq(inbox(s.ann, "an answer"), 1, "and as it is, it opens");
    scene_close(&s);
}

/* ------------------------------------------------------------------ T44, T51: frames that die */

static void live_an_hour(struct world_agent *who)
{
    struct agent_settings settings;

    agent_settings_default(&settings);
    settings.ttl_ms = HOURS(1);
    settings.sent_keep_ms = DAYS(60);
    agent_configure(world_agent(who), &settings);
}

static void goes_on_without_a_hole(struct scene *s, const uint8_t (*dead)[16], unsigned count)
{
    struct profile_session session;
    struct profile_scope scope;
    struct profile_peer peer;
    struct profile_received received = { 0 };
    uint8_t id[16];

    for (unsigned i = 0; i < count; i++)
        cr_expect_eq(state_of(s->ann, dead[i]), OUT_EXPIRED, "message %u", i);
    cr_assert_eq(say(s->ann, s->bob, "still here", id), ERR_OK);
    world_pass(s->world, MINUTES(1));
    cr_expect_eq(state_of(s->ann, id), OUT_DELIVERED);
    cr_expect_eq(inbox(s->bob, "still here"), 1);
    cr_expect_eq(any_alarms(s->bob), 0, "no number is missing");
    cr_assert(newest_session(s->ann, s->bob, &session));
    cr_assert(profile_scope_get(store_of(s->ann), session.session_id, &scope));
    cr_assert(newest_session(s->bob, s->ann, &session));
    cr_assert(profile_peer_find(store_of(s->bob), world_aid(s->ann), &peer));
    profile_received_get(store_of(s->bob), session.session_id, peer.peer_id, &received);
    cr_expect_eq(received.seq, scope.next_seq - 1);
    cr_expect_eq(received.missing.len, 0);
    buf_free(&received.missing);
}

Test(liar, T44_frames_that_expire_in_the_outbox)
{
    static const uint64_t waits[] = { HOURS(1) + 60000, HOURS(2) }; /* as frames, as stubs */

    for (size_t i = 0; i < 2; i++) {
        uint8_t ids[3][16];
        struct scene s;

        scene_open(&s, 7);
        talk(&s);
        live_an_hour(s.ann);
        world_partition(s.world, s.ann, true);
        say_many(s.ann, s.bob, 3, ids);
        world_pass(s.world, waits[i]);
        world_partition(s.world, s.ann, false);
        world_pass(s.world, MINUTES(5));
        goes_on_without_a_hole(&s, (const uint8_t(*)[16])ids, 3);
        cr_expect_eq(inbox(s.bob, NULL), 2);
        scene_close(&s);
    }
}

Test(liar, T44_frames_that_expire_at_the_broker)
{
    uint8_t ids[3][16];
    struct scene s;

    scene_open(&s, 8);
    talk(&s);
    live_an_hour(s.ann);
    world_stop(s.world, s.bob);
    say_many(s.ann, s.bob, 3, ids);
    world_pass(s.world, HOURS(3));
    world_start(s.world, s.bob);
    world_pass(s.world, MINUTES(5));
    goes_on_without_a_hole(&s, (const uint8_t(*)[16])ids, 3);
    cr_expect_eq(inbox(s.bob, NULL), 2);
    scene_close(&s);
}

/* The broker buries a frame that bob has read, before his signature arrives. */
static bool hold_acks(void *ctx, struct liar *liar, struct passing *p)
{
    (void)liar;
    return p->to_agent || p->who != ctx || p->message.verb != VERB_ACK;
}

Test(liar, T51_a_tombstone_between_delivery_and_receipt)
{
    struct scene s;
    uint8_t id[16];

    scene_open(&s, 9);
    talk(&s);
    live_an_hour(s.ann);
    liar_set_rule(s.liar, hold_acks, s.bob);
    cr_assert_eq(say(s.ann, s.bob, "read in time", id), ERR_OK);
    world_pass(s.world, MINUTES(1));
    cr_assert_eq(inbox(s.bob, "read in time"), 1);
    cr_expect_eq(state_of(s.ann, id), OUT_STORED);
    world_pass(s.world, HOURS(2));
    cr_expect_eq(state_of(s.ann, id), OUT_EXPIRED, "so the broker says");
    liar_set_rule(s.liar, NULL, NULL);
    world_pass(s.world, MINUTES(10));
    cr_expect_eq(state_of(s.ann, id), OUT_DELIVERED, "the dead letter is withdrawn");
    cr_expect_eq(inbox(s.bob, "read in time"), 1);
    scene_close(&s);
}
