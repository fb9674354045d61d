/* layers: testworld */
/*
 * A stolen transport key: who has it may speak to the broker in the agent's name, and no more.
 */
#include "tests/liar/scene.h"

#include "agent/crypto/dh.h"
#include "agent/crypto/sign.h"
#include "shared/trust/enrol.h"
#include "shared/trust/prekey.h"
#include "shared/wire/frame.h"

#define SECRET "nobody but bob reads this"

static enum err code_of(const struct passing *answer)
{
    return answer->message.verb == VERB_ERROR ? (enum err)answer->message.code : ERR_OK;
}

/* Three messages for bob lie at the broker; bob has not read them. */
static void three_for_bob(struct scene *s, uint8_t (*ids)[16])
{
    talk(s);
    liar_take_mailbox(s->liar, s->bob);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(say(s->ann, s->bob, SECRET, ids[i]), ERR_OK);
    world_pass(s->world, 10000);
    cr_assert_eq(liar_item_count(s->liar, s->bob), 3);
}

static const struct passing *fetch(struct scene *s, struct world_agent *who)
{
    struct message message = { .verb = VERB_FETCH };

    MESSAGE_SET(&message, max, 50);
    MESSAGE_SET(&message, max_bytes, 1000000);
    return liar_ask_broker(s->liar, who, &message, NULL, 0);
}

static bool holds(struct bytes where, const char *what)
{
    size_t len = strlen(what);

    for (size_t i = 0; i + len <= where.len; i++)
        if (memcmp(where.at + i, what, len) == 0)
            return true;
    return false;
}

Test(liar, T40_fetching_gives_sealed_frames_and_takes_none)
{
    uint8_t ids[3][16];
    struct scene s;

    scene_open(&s, 1);
    three_for_bob(&s, ids);
    for (int again = 0; again < 2; again++) {
        const struct passing *answer = fetch(&s, s.bob);

        cr_assert_eq(code_of(answer), ERR_OK);
        cr_assert_eq(answer->part_count, 3, "they are still there");
        for (size_t i = 0; i < 3; i++) {
            struct frame_view view;

            cr_expect_eq(frame_parse_whole(answer->parts[i], &view), ERR_OK);
            cr_expect_not(holds(answer->parts[i], SECRET));
        }
    }
    scene_close(&s);
}

/* ------------------------------------------------------------------ destroying */

/* What an ACK of everything would be, signed with whatever the thief has. */
static enum err acknowledge(struct scene *s, const uint8_t *signer, bool cursor_only)
{
    static const uint8_t zeroes[32];
    struct message message = { .verb = VERB_ACK };
    struct list_maker receipts = { 0 };
    struct receipt receipt = { .status = RECEIPT_DELIVERED, .ts_ms = world_now_ms(s->world) };
    struct range_digest range;
    uint8_t preimage[RECEIPT_SIZE], sig[64];
    uint64_t after = profile_cursor(store_of(s->bob));
    struct frame_view view;
    enum err code;

    range_begin(&range);
    for (size_t i = 0; i < 3; i++) {
        struct liar_item item = liar_item_at(s->liar, s->bob, i);
        uint8_t digest[32];

        cr_assert_eq(frame_parse_whole(item.part, &view), ERR_OK);
        frame_digest(&view, digest);
        range_add(&range, digest);
        receipt.from = i ? receipt.from : cursor_only ? item.item.position : view.seq;
        receipt.to = cursor_only ? item.item.position : view.seq;
    }
    range_end(&range, receipt.range_digest);
    memcpy(receipt.recipient, world_aid(s->bob), 32);
    if (!cursor_only) {
        memcpy(receipt.scope, view.scope, 16);
        memcpy(receipt.sender, view.sender, 32);
    }
    receipt_encode(preimage, &receipt);
    sign(sig, signer, bytes_of(preimage, sizeof preimage));
    list_add_receipt(&receipts, &(struct wire_receipt){ preimage, sig });
    MESSAGE_SET(&message, stream, zeroes);
    MESSAGE_SET(&message, after, after);
    MESSAGE_SET(&message, position, liar_item_at(s->liar, s->bob, 2).item.position);
    MESSAGE_SET(&message, receipts, list_of(&receipts));
    code = code_of(liar_ask_broker(s->liar, s->bob, &message, NULL, 0));
    list_free(&receipts);
    return code;
}

Test(liar, T40_mail_is_destroyed_by_the_identity_key_alone)
{
    struct liar_person thief;
    uint8_t ids[3][16];
    struct scene s;

    scene_open(&s, 2);
    three_for_bob(&s, ids);
    liar_person(s.liar, &thief, "thief");
    cr_expect_eq(acknowledge(&s, thief.ik_secret, false), ERR_RECEIPT);
    cr_expect_eq(acknowledge(&s, thief.ik_secret, true), ERR_RECEIPT);
    cr_expect_eq(acknowledge(&s, liar_ck_secret(s.liar), false), ERR_RECEIPT);
    cr_expect_eq(fetch(&s, s.bob)->part_count, 3, "the rows stay");
    for (int i = 0; i < 3; i++)
        cr_expect_eq(state_of(s.ann, ids[i]), OUT_STORED);
    cr_expect_eq(acknowledge(&s, world_agent(s.bob)->me.ik_secret, false), ERR_OK,
                 "with bob's own key it would have gone through");
    scene_close(&s);
}

/* ------------------------------------------------------------------ ending, moving, renewing */

static enum err advance_by(struct scene *s, const uint8_t *signer)
{
    struct message message = { .verb = VERB_SYNC };
    struct list_maker scopes = { 0 }, receipts = { 0 };
    struct receipt receipt = { .status = RECEIPT_ADVANCE };
    uint8_t preimage[RECEIPT_SIZE], sig[64], digest[32] = { 0 };
    struct profile_session session;
    struct profile_scope scope;
    enum err code;

    cr_assert(newest_session(s->ann, s->bob, &session));
    cr_assert(profile_scope_get(store_of(s->ann), session.session_id, &scope));
    memcpy(receipt.scope, scope.id, 16);
    memcpy(receipt.sender, world_aid(s->ann), 32);
    memcpy(receipt.recipient, world_aid(s->ann), 32);
    receipt.from = scope.next_seq;
    receipt.to = scope.next_seq + 5;
    receipt_encode(preimage, &receipt);
    sign(sig, signer, bytes_of(preimage, sizeof preimage));
    list_add_scope_asked(
        &scopes, &(struct wire_scope){ .scope = scope.id, .seq = receipt.to, .digest = digest });
    list_add_receipt(&receipts, &(struct wire_receipt){ preimage, sig });
    MESSAGE_SET(&message, scopes, list_of(&scopes));
    MESSAGE_SET(&message, receipts, list_of(&receipts));
    code = code_of(liar_ask_broker(s->liar, s->ann, &message, NULL, 0));
    list_free(&scopes);
    list_free(&receipts);
    return code;
}

static enum err close_by(struct scene *s, const uint8_t *signer)
{
    struct message message = { .verb = VERB_EVENT };
    struct closed_body closed = { CLOSED_DONE, 1 };
    struct event event
        = { .scope = SCOPE_SESSION, .type = EVENT_CLOSED, .ts_ms = world_now_ms(s->world) };
    uint8_t preimage[EVENT_SIZE], sig[64], body[CLOSED_BODY_SIZE];
    struct list_maker events = { 0 };
    struct profile_session session;
    struct profile_scope scope;
    enum err code;

    cr_assert(newest_session(s->ann, s->bob, &session));
    cr_assert(profile_scope_get(store_of(s->ann), session.session_id, &scope));
    closed_body_encode(body, &closed);
    memcpy(event.id, scope.id, 16);
    event.seq = scope.next_event;
    memcpy(event.prev, scope.head, 32);
    memcpy(event.actor, world_aid(s->ann), 32);
    memcpy(event.target, world_aid(s->bob), 32);
    event_body_hash(event.body_hash, bytes_of(body, sizeof body));
    event_encode(preimage, &event);
    sign(sig, signer, bytes_of(preimage, sizeof preimage));
    list_add_event(&events, &(struct wire_event){ preimage, sig, bytes_of(body, sizeof body) });
    MESSAGE_SET(&message, events, list_of(&events));
    code = code_of(liar_ask_broker(s->liar, s->ann, &message, NULL, 0));
    list_free(&events);
    return code;
}

static enum err card_by(struct scene *s, const uint8_t *signer)
{
    struct message message = { .verb = VERB_CARD };
    struct buf packed = { 0 };
    uint8_t sig[64];
    struct card card;
    enum err code;

    cr_assert_eq(card_parse(buf_bytes(&world_agent(s->ann)->me.row.card), &card), ERR_OK);
    card.gen++;
    memset(card.dk, 7, 32);
    card_encode(&packed, &card);
    sign_labelled(sig, signer, LABEL_CARD, buf_bytes(&packed));
    MESSAGE_SET(&message, card, ((struct wire_signed){ buf_bytes(&packed), sig }));
    code = code_of(liar_ask_broker(s->liar, s->ann, &message, NULL, 0));
    buf_free(&packed);
    return code;
}

static enum err prekey_by(struct scene *s, const uint8_t *signer)
{
    struct message message = { .verb = VERB_PREKEYS };
    struct spk_statement spk = { .id = profile_secret_last(store_of(s->ann), SECRET_SPK) + 1,
                                 .created_ms = world_now_ms(s->world),
                                 .expires_ms = world_now_ms(s->world) + SPK_LIFE_MS };
    struct buf packed = { 0 };
    uint8_t sig[64], secret[32] = { 3 };
    enum err code;

    memcpy(spk.aid, world_aid(s->ann), 32);
    dh_public(spk.spk, secret);
    spk_encode(&packed, &spk);
    sign(sig, signer, buf_bytes(&packed));
    MESSAGE_SET(&message, spk, ((struct wire_signed){ buf_bytes(&packed), sig }));
    code = code_of(liar_ask_broker(s->liar, s->ann, &message, NULL, 0));
    buf_free(&packed);
    return code;
}

static enum err leave_by(struct scene *s, const uint8_t *signer)
{
    struct message message = { .verb = VERB_LEAVE };
    const struct agent_me *me = &world_agent(s->ann)->me;
    uint8_t preimage[LEAVE_PREIMAGE_SIZE], sig[64];

    leave_preimage(preimage, me->row.root_id, me->card_hash, world_now_ms(s->world));
    sign(sig, signer, bytes_of(preimage, sizeof preimage));
    MESSAGE_SET(&message, ts, world_now_ms(s->world));
    MESSAGE_SET(&message, sig, sig);
    return code_of(liar_ask_broker(s->liar, s->ann, &message, NULL, 0));
}

static const struct {
    const char *name;
    enum err (*by)(struct scene *s, const uint8_t *signer);
    enum err refused;
} deeds[] = {
    { "advance", advance_by, ERR_RECEIPT }, { "close", close_by, ERR_AUTH },
    { "a new card", card_by, ERR_AUTH },    { "a new prekey", prekey_by, ERR_AUTH },
    { "leave", leave_by, ERR_AUTH },
};

Test(liar, T40_what_needs_the_identity_key)
{
    for (size_t i = 0; i < sizeof deeds / sizeof deeds[0]; i++) {
        struct liar_person thief;
        struct scene s;
        uint8_t id[16];
        enum err code;

        scene_open(&s, 3);
        talk(&s);
        liar_person(s.liar, &thief, "thief");
        cr_expect_eq(deeds[i].by(&s, thief.ik_secret), deeds[i].refused, "%s", deeds[i].name);
        cr_assert_eq(say(s.ann, s.bob, "as before", id), ERR_OK);
        world_pass(s.world, 10000);
        cr_expect_eq(state_of(s.ann, id), OUT_DELIVERED, "%s", deeds[i].name);
        cr_expect_eq(any_alarms(s.ann) + any_alarms(s.bob), 0, "%s", deeds[i].name);
        code = deeds[i].by == leave_by ? ERR_OK /* the answer dies with the connection */
                                       : deeds[i].by(&s, world_agent(s.ann)->me.ik_secret);
        cr_expect_eq(code, ERR_OK, "%s: ann may do that: %s", deeds[i].name, err_name(code));
        scene_close(&s);
    }
}

/* ------------------------------------------------------------------ garbage */

/* Bob is there, and answers that it opens nowhere; or he is away, and the broker alone can tell. */
static void garbage_while(bool bob_is_away)
{
    struct message message = { .verb = VERB_SEND };
    struct frame_header header = { .kind = FRAME_DATA, .suite = SUITE_CHACHA, .expires_ms = 0 };
    struct profile_session session;
    struct profile_scope scope;
    struct profile_out row;
    struct buf own = { 0 };
    uint8_t ids[2][16], *garbage;
    struct bytes part;
    struct scene s;

    scene_open(&s, 4);
    talk(&s);
    cr_assert_eq(say(s.ann, s.bob, "second", ids[0]), ERR_OK);
    cr_assert(profile_out_find(store_of(s.ann), ids[0], &row));
    cr_assert(profile_out_frame(store_of(s.ann), row.outbox_id, &own));
    world_pass(s.world, 10000);
    if (bob_is_away)
        world_stop(s.world, s.bob);
    cr_assert(newest_session(s.ann, s.bob, &session));
    cr_assert(profile_scope_get(store_of(s.ann), session.session_id, &scope));

    memcpy(header.scope, scope.id, 16);
    memcpy(header.sender, world_aid(s.ann), 32);
    memcpy(header.recipient, world_aid(s.bob), 32);
    header.seq = scope.next_seq;
    header.expires_ms = world_now_ms(s.world) + HOURS(1);
    garbage = liar_copy(s.liar, buf_bytes(&own)); /* looks like one of ann's */
    frame_header_write(garbage, &header);
    part = bytes_of(garbage, own.len);
    cr_assert_eq(code_of(liar_ask_broker(s.liar, s.ann, &message, &part, 1)), ERR_OK,
                 "the broker cannot tell");
    world_pass(s.world, 10000);
    if (!bob_is_away)
        cr_expect_eq(inbox(s.bob, NULL), 2, "it opens nowhere");

    cr_assert_eq(say(s.ann, s.bob, "third", ids[1]), bob_is_away ? ERR_OK : ERR_ROLLBACK);
    world_pass(s.world, MINUTES(10));
    cr_expect_gt(any_alarms(s.ann), 0, "the owner is told that its number was used");
    cr_assert(profile_session_get(store_of(s.ann), scope.scope_id, &session));
    cr_expect_neq(session.state, SESSION_ACTIVE, "and stops there");
    buf_free(&own);
    scene_close(&s);
}

Test(liar, T40_garbage_under_the_owners_number)
{
    garbage_while(false);
    garbage_while(true);
}
