/* layers: testworld */
/*
 * Replayed, dropped, delayed, shuffled, turned round: what a post office can do to sealed mail.
 */
#include "tests/liar/scene.h"

#include "shared/wire/frame.h"

#define MANY 300

/* What the broker holds for bob, three times each, in any order. */
static size_t three_times(struct scene *s, struct liar_item *out)
{
    size_t count = liar_item_count(s->liar, s->bob);

    for (size_t i = 0; i < 3 * count; i++)
        out[i] = liar_item_at(s->liar, s->bob, i % count);
    shuffle(s->world, out, 3 * count);
    return 3 * count;
}

Test(liar, T4_every_item_three_times_in_any_order)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct liar_item items[3 * 30];
        struct scene s;
        uint8_t ids[20][16];
        char text[16];
        size_t count;

        scene_open(&s, seed);
        talk(&s);
        liar_take_mailbox(s.liar, s.bob);
        say_many(s.ann, s.bob, 20, ids);
        world_pass(s.world, 10000);
        cr_assert_eq(liar_item_count(s.liar, s.bob), 20);
        count = three_times(&s, items);
        liar_deliver(s.liar, s.bob, items, count);
        world_pass(s.world, 10000);
        world_kill(s.world, s.bob); /* … and what it knows of them is on the disk */
        world_start(s.world, s.bob);
        world_pass(s.world, 10000);
        shuffle(s.world, items, count);
        liar_deliver(s.liar, s.bob, items, count);
        world_pass(s.world, 10000);
        for (int i = 0; i < 20; i++) {
            snprintf(text, sizeof text, "%d", i);
            cr_expect_eq(inbox(s.bob, text), 1, "seed %d: message %d", (int)seed, i);
        }
        cr_expect_eq(inbox(s.bob, NULL), 21, "and nothing else");
        cr_expect_eq(alarms(s.bob, "undecryptable"), 0);
        scene_close(&s);
    }
}

/* With a one-time prekey, and without one: the broker has handed out none. */
static bool without_opk(void *ctx, struct liar *liar, struct passing *p)
{
    (void)liar;
    if (*(bool *)ctx && p->to_agent && p->message.verb == VERB_LOOKUP)
        p->message.has &= ~(UINT64_C(1) << KEY_opks);
    return true;
}

static uint32_t opk_of(struct liar_item request)
{
    struct opened_body body;
    struct init0 init;

    cr_assert_eq(opened_body_parse(request.item.opened.body, &body), ERR_OK);
    cr_assert_eq(init0_parse(body.init0, &init), ERR_OK);
    return init.opk_id;
}

Test(liar, T4_a_request_again_while_it_lives_and_when_it_is_over)
{
    for (int withheld = 0; withheld < 2; withheld++) {
        bool withhold = withheld;
        struct liar_item request, three[3];
        struct profile_session session;
        struct scene s;
        uint8_t id[16];
        uint32_t opk;

        scene_open(&s, 7);
        liar_set_rule(s.liar, without_opk, &withhold);
        liar_take_mailbox(s.liar, s.bob);
        cr_assert_eq(say(s.ann, s.bob, "hello", id), ERR_OK);
        world_pass(s.world, 10000);
        request = liar_item_of(s.liar, s.bob, ITEM_REQUEST, 0);
        three[0] = three[1] = three[2] = request;
        liar_deliver(s.liar, s.bob, three, 3);
        world_pass(s.world, 10000);
        cr_expect_eq(inbox(s.bob, NULL), 1);
        cr_assert(newest_session(s.bob, s.ann, &session));
        cr_expect_eq(session.state, SESSION_ACTIVE);

        opk = opk_of(request);
        cr_expect_eq(opk == 0, withhold);
        if (opk)
            cr_expect_not(profile_secret_get(store_of(s.bob), SECRET_OPK, opk, NULL, NULL),
                          "the one-time key is gone");
        end_session(s.bob, s.ann);
        world_pass(s.world, 10000);
        liar_deliver(s.liar, s.bob, three, 3);
        world_pass(s.world, 10000);
        cr_expect_eq(stage_of(s.bob, s.ann), SESSION_CLOSED, "no second session");
        cr_expect_eq(inbox(s.bob, NULL), 1);
        scene_close(&s);
    }
}

/* ------------------------------------------------------------------ kept from the reader */

Test(liar, T5_a_number_that_is_left_out)
{
    for (size_t left_out = 0; left_out < 5; left_out++) {
        struct liar_item items[6];
        size_t count = 0;
        struct scene s;
        uint8_t ids[6][16];

        scene_open(&s, 11);
        talk(&s);
        liar_take_mailbox(s.liar, s.bob);
        say_many(s.ann, s.bob, 6, ids);
        world_pass(s.world, 10000);
        for (size_t i = 0; i < 6; i++)
            if (i != left_out)
                items[count++] = liar_item_at(s.liar, s.bob, i);
        liar_deliver(s.liar, s.bob, items, count);
        world_pass(s.world, 10000);
        cr_expect_eq(inbox(s.bob, NULL), 6, "all but one, and the first");
        cr_expect_eq(alarms(s.bob, "gap"), 1, "left out %zu", left_out);
        cr_expect_eq(state_of(s.ann, ids[left_out]), OUT_STORED, "nobody signed for it");

        items[0] = liar_item_at(s.liar, s.bob, left_out);
        liar_deliver(s.liar, s.bob, items, 1);
        world_pass(s.world, 10000);
        cr_expect_eq(inbox(s.bob, NULL), 7, "late is not lost");
        scene_close(&s);
    }
}

Test(liar, T5_a_tail_that_is_cut_off)
{
    struct liar_item items[2];
    struct scene s;
    uint8_t ids[3][16];

    scene_open(&s, 12);
    talk(&s);
    liar_take_mailbox(s.liar, s.bob);
    say_many(s.ann, s.bob, 3, ids);
    world_pass(s.world, 10000);
    end_session(s.ann, s.bob);
    world_pass(s.world, 10000);
    items[0] = liar_item_at(s.liar, s.bob, 0);
    items[1] = liar_item_of(s.liar, s.bob, ITEM_EVENT, 0);
    liar_deliver(s.liar, s.bob, items, 1);
    world_pass(s.world, 10000);
    cr_expect_eq(any_alarms(s.bob), 0, "so far it could still come");
    liar_deliver(s.liar, s.bob, items + 1, 1);
    world_pass(s.world, 10000);
    cr_expect_eq(stage_of(s.bob, s.ann), SESSION_CLOSED);
    cr_expect_eq(alarms(s.bob, "gap"), 1, "the closer said how far it had come");
    scene_close(&s);
}

Test(liar, T6_any_order_within_the_limit)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        static struct liar_item items[MANY];
        static uint8_t ids[MANY][16];
        struct scene s;
        char text[16];

        scene_open(&s, seed);
        talk(&s);
        liar_take_mailbox(s.liar, s.bob);
        say_many(s.ann, s.bob, MANY, ids);
        world_pass(s.world, MINUTES(2));
        cr_assert_eq(liar_item_count(s.liar, s.bob), MANY);
        for (size_t i = 0; i < MANY; i++)
            items[i] = liar_item_at(s.liar, s.bob, i);
        shuffle(s.world, items, MANY);
        liar_deliver(s.liar, s.bob, items, MANY);
        world_pass(s.world, MINUTES(1));
        for (int i = 0; i < MANY; i++) {
            snprintf(text, sizeof text, "%d", i);
            cr_expect_eq(inbox(s.bob, text), 1, "seed %d: message %d", (int)seed, i);
        }
        cr_expect_eq(stage_of(s.bob, s.ann), SESSION_ACTIVE);
        scene_close(&s);
    }
}

/* ------------------------------------------------------------------ before its time */

/* Bob's first words reach ann before his ACCEPTED: they wait for it, and are not lost. */
Test(liar, T6_words_before_the_acceptance)
{
    struct liar_item items[8];
    size_t count;
    struct scene s;
    uint8_t id[16], reply[16];

    scene_open(&s, 21);
    cr_assert_eq(say(s.ann, s.bob, "hello", id), ERR_OK);
    liar_take_mailbox(s.liar, s.ann);
    world_pass(s.world, 10000);
    cr_assert_eq(say(s.bob, s.ann, "welcome", reply), ERR_OK);
    world_pass(s.world, 10000);
    count = liar_item_count(s.liar, s.ann); /* ACCEPTED, frame 1, frame 2 */
    cr_assert_eq(count, 3);
    for (size_t i = 0; i < count; i++)
        items[i] = liar_item_at(s.liar, s.ann, count - 1 - i);
    cr_assert_eq(items[2].item.kind, ITEM_EVENT);
    liar_deliver(s.liar, s.ann, items, count);
    world_pass(s.world, MINUTES(1));
    cr_expect_eq(stage_of(s.ann, s.bob), SESSION_ACTIVE);
    cr_expect_eq(inbox(s.ann, "welcome"), 1);
    scene_close(&s);
}

/* The same, and the acceptance never comes: nothing is believed, and nothing hangs. */
static bool no_events(void *ctx, struct liar *liar, struct passing *p)
{
    struct message empty;

    (void)ctx;
    if (p->to_agent || p->message.verb != VERB_EVENTS)
        return true;
    empty = message_error(&p->message, ERR_SESSION_NOT_FOUND);
    liar_tell(liar, p->who, &empty, NULL, 0);
    return false;
}

Test(liar, T6_words_without_an_acceptance)
{
    struct liar_item items[2];
    struct scene s;
    uint8_t id[16], reply[16];

    scene_open(&s, 22);
    cr_assert_eq(say(s.ann, s.bob, "hello", id), ERR_OK);
    liar_take_mailbox(s.liar, s.ann);
    world_pass(s.world, 10000);
    cr_assert_eq(say(s.bob, s.ann, "welcome", reply), ERR_OK);
    world_pass(s.world, 10000);
    liar_set_rule(s.liar, no_events, NULL);
    items[0] = liar_item_of(s.liar, s.ann, ITEM_DATA, 0);
    liar_deliver(s.liar, s.ann, items, 1);
    world_pass(s.world, MINUTES(10));
    cr_expect_eq(inbox(s.ann, NULL), 0);
    cr_expect_lt(liar_count(s.liar, s.ann, VERB_EVENTS), 5, "asked, and not for ever");
    scene_close(&s);
}

/* ------------------------------------------------------------------ reflection */

Test(liar, T29_own_words_sent_back)
{
    struct liar_item items[64];
    size_t count = 0;
    struct scene s;
    uint8_t ids[3][16];

    scene_open(&s, 31);
    talk(&s);
    liar_take_mailbox(s.liar, s.ann);
    liar_take_mailbox(s.liar, s.bob);
    say_many(s.ann, s.bob, 3, ids);
    world_pass(s.world, 10000);
    for (size_t i = 0; i < liar_item_count(s.liar, s.bob); i++)
        items[count++] = liar_item_at(s.liar, s.bob, i);
    liar_deliver(s.liar, s.ann, items, count); /* ann's own frames to ann */
    world_pass(s.world, 10000);
    cr_expect_eq(inbox(s.ann, NULL), 0);
    cr_expect_eq(stage_of(s.ann, s.bob), SESSION_ACTIVE);
    for (int i = 0; i < 3; i++)
        cr_expect_eq(state_of(s.ann, ids[i]), OUT_STORED);
    liar_deliver(s.liar, s.bob, items, count); /* and they still open where they belong */
    world_pass(s.world, 10000);
    cr_expect_eq(inbox(s.bob, NULL), 4);
    scene_close(&s);
}
