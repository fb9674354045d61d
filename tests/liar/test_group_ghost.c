/* layers: testworld */
/*
 * Members whom nobody invited: a broker makes up events of a group, or shows old ones again.
 */
#include "tests/liar/group_lies.h"

#define GHOST DAN

static const uint8_t *key_at(struct lies *lies, size_t i)
{
    return agent_at(&lies->stage, i)->me.ik_secret;
}

static const uint8_t *aid_at(struct lies *lies, size_t i)
{
    return world_aid(lies->stage.who[i]);
}

/* ------------------------------------------------------------------ what can be forged */

/* The ghost helps: it is a real agent with a key of its own.  Nobody else's key is known. */
static void invited_by_ann(struct lies *lies)
{
    forge_invited(lies, aid_at(lies, ANN), key_at(lies, GHOST), aid_at(lies, GHOST));
}

static void invited_by_the_controller(struct lies *lies)
{
    forge_invited(lies, aid_at(lies, ANN), liar_ck_secret(lies->liar), aid_at(lies, GHOST));
}

static void joined_and_admitted(struct lies *lies)
{
    forge_invited(lies, aid_at(lies, ANN), key_at(lies, GHOST), aid_at(lies, GHOST));
    forge_joined(lies, aid_at(lies, GHOST), key_at(lies, GHOST));
    forge_epoch(lies, aid_at(lies, ANN), key_at(lies, GHOST));
}

static void epoch_of_ann(struct lies *lies)
{
    forge_epoch(lies, aid_at(lies, ANN), key_at(lies, GHOST));
}

static void bob_removed_by_ann(struct lies *lies)
{
    forge_removed(lies, aid_at(lies, ANN), key_at(lies, GHOST), aid_at(lies, BOB));
    forge_epoch(lies, aid_at(lies, ANN), key_at(lies, GHOST));
}

/* Truly signed, by one who may not. */
static void joins_uninvited(struct lies *lies)
{
    forge_joined(lies, aid_at(lies, GHOST), key_at(lies, GHOST));
}

static void invites_itself(struct lies *lies)
{
    forge_invited(lies, aid_at(lies, GHOST), key_at(lies, GHOST), aid_at(lies, GHOST));
    forge_joined(lies, aid_at(lies, GHOST), key_at(lies, GHOST));
}

static void makes_an_epoch(struct lies *lies)
{
    forge_epoch(lies, aid_at(lies, GHOST), key_at(lies, GHOST));
}

static void invited_by_a_member(struct lies *lies)
{
    forge_invited(lies, aid_at(lies, CYD), key_at(lies, CYD), aid_at(lies, GHOST));
}

static const struct {
    const char *name;
    void (*make)(struct lies *lies);
    bool is_signed; /* by its actor, who may not: then there are two histories */
} forgeries[] = {
    { "INVITED in the name of the owner", invited_by_ann, false },
    { "INVITED signed by the controller", invited_by_the_controller, false },
    { "INVITED, JOINED, EPOCH", joined_and_admitted, false },
    { "EPOCH in the name of the owner", epoch_of_ann, false },
    { "REMOVED in the name of the owner", bob_removed_by_ann, false },
    { "JOINED without INVITED", joins_uninvited, true },
    { "INVITED by itself", invites_itself, true },
    { "EPOCH of its own", makes_an_epoch, true },
    { "INVITED by a member who may not", invited_by_a_member, true },
};

static void nobody_believes(struct lies *lies, const char *name)
{
    for (size_t i = ANN; i <= CYD; i++) {
        struct agent_group *group = group_at(lies, i);

        cr_expect_eq(group->chain.next_seq, lies->from, "%s: %zu has %llu events", name, i,
                     (unsigned long long)group->chain.next_seq);
        cr_expect_arr_eq(group->chain.head, lies->head, 32, "%s: %zu", name, i);
        cr_expect_null(group_member_find(&group->chain, aid_at(lies, GHOST)), "%s: %zu", name, i);
        cr_expect_eq(group->chain.joined, 3, "%s: %zu", name, i);
        cr_expect_geq(lie_alarms(lies, i, "group_fork").count, 1, "%s: %zu is told", name, i);
    }
}

/* In the history that agents ask for. */
static void told_in_the_history(struct lies *lies, size_t f)
{
    lies_begin(lies);
    forgeries[f].make(lies);
    lies->fooled[ANN] = lies->fooled[BOB] = lies->fooled[CYD] = true;
    liar_set_rule(lies->liar, other_history, lies);
    for (size_t i = ANN; i <= CYD; i++)
        restart(lies, i);
    world_pass(lies->stage.world, MINUTES(1));
    nobody_believes(lies, forgeries[f].name);
    cr_expect_not(info_of(&lies->stage, GHOST).keyed);
    liar_set_rule(lies->liar, NULL, NULL);
}

/* Nobody said it: the group goes on when the truth is told again. */
Test(liar_group, T25_a_ghost_in_the_history, .timeout = 120)
{
    struct lies lies;
    uint8_t id[16];

    lies_open(&lies, 1000, 3, 4, false);
    for (size_t f = 0; f < sizeof forgeries / sizeof forgeries[0]; f++)
        if (!forgeries[f].is_signed)
            told_in_the_history(&lies, f);
    cr_expect_eq(say(&lies.stage, BOB, "we three", id), ERR_OK);
    READ_BY(&lies.stage, "we three", ANN, CYD);
    lies_close(&lies);
}

/* Somebody said it: there are two histories, and everybody stops. */
Test(liar_group, T25_a_ghost_that_signs_for_itself, .timeout = 120)
{
    for (size_t f = 0; f < sizeof forgeries / sizeof forgeries[0]; f++) {
        struct lies lies;
        uint8_t id[16];

        if (!forgeries[f].is_signed)
            continue;
        lies_open(&lies, 1000 + f, 3, 4, false);
        told_in_the_history(&lies, f);
        for (size_t i = ANN; i <= CYD; i++) {
            cr_expect_eq(info_of(&lies.stage, i).stage, IN_GROUP_FORKED, "%s: %zu",
                         forgeries[f].name, i);
            cr_expect_eq(say(&lies.stage, i, "to whom?", id), ERR_GROUP_FORK);
        }
        lies_close(&lies);
    }
}

/* In the place of the true event in the channel. */
static bool other_events(void *ctx, struct liar *liar, struct passing *p)
{
    struct lies *lies = ctx;
    struct list_reader reader;
    struct wire_item item;
    size_t part = 0;

    if (!p->to_agent)
        return true;
    if (p->message.verb == VERB_EVENTS && p->message.reply)
        answer_events(lies, liar, p);
    if (!is_channel(lies, p))
        return true;
    reader = list_read(&p->message.items);
    while (list_item(&reader, &item)) {
        const struct wire_event *forged = &lies->events[0];
        struct buf bytes = { 0 };

        if (item.shape == ITEM_TOMBSTONE)
            continue;
        if (item.kind == ITEM_EVENT) {
            buf_append(&bytes, forged->preimage, EVENT_SIZE);
            buf_append(&bytes, forged->sig, 64);
            buf_append(&bytes, forged->body.at, forged->body.len);
            p->parts[part] = liar_keep(liar, buf_bytes(&bytes));
            buf_free(&bytes);
        }
        part++;
    }
    return true;
}

Test(liar_group, T25_a_ghost_in_the_channel, .timeout = 120)
{
    for (size_t f = 0; f < sizeof forgeries / sizeof forgeries[0]; f++) {
        struct lies lies;

        if (f % 2 == 1 && f < 8) /* what differs is judged alike */
            continue;
        lies_open(&lies, 1100 + f, 3, 4, false);
        lies_begin(&lies);
        forgeries[f].make(&lies);
        liar_set_rule(lies.liar, other_events, &lies);
        /* Whoever commits knows better; the others see the forged one in the place of his. */
        cr_assert_eq(agent_group_rekey(agent_at(&lies.stage, ANN), lies.stage.gid), ERR_OK);
        world_pass(lies.stage.world, MINUTES(2));
        for (size_t i = BOB; i <= CYD; i++) {
            struct agent_group *group = group_at(&lies, i);

            cr_expect_eq(group->chain.next_seq, lies.from, "%s: %zu", forgeries[f].name, i);
            cr_expect_null(group_member_find(&group->chain, aid_at(&lies, GHOST)), "%s: %zu",
                           forgeries[f].name, i);
            cr_expect_eq(group->chain.joined, 3, "%s: %zu", forgeries[f].name, i);
            cr_expect_geq(lie_alarms(&lies, i, "group_fork").count, 1, "%s: %zu is told",
                          forgeries[f].name, i);
        }
        cr_expect_not(info_of(&lies.stage, GHOST).keyed);
        lies_close(&lies);
    }
}

/* ------------------------------------------------------------------ an old invitation */

Test(liar_group, T25_an_invitation_that_is_over)
{
    struct lies lies;
    struct liar_item invited;
    unsigned said;

    lies_open(&lies, 1200, 3, 4, false);
    liar_take_mailbox(lies.liar, lies.stage.who[DAN]);
    cr_assert_eq(agent_group_invite(agent_at(&lies.stage, ANN), lies.stage.gid,
                                    world_aid(lies.stage.who[DAN]), 1),
                 ERR_OK);
    world_pass(lies.stage.world, MINUTES(2));
    {
        struct liar_item all[16];
        size_t count = liar_item_count(lies.liar, lies.stage.who[DAN]);

        cr_assert_leq(count, 16);
        for (size_t i = 0; i < count; i++)
            all[i] = liar_item_at(lies.liar, lies.stage.who[DAN], i);
        invited = liar_item_of(lies.liar, lies.stage.who[DAN], ITEM_EVENT, 0);
        liar_deliver(lies.liar, lies.stage.who[DAN], all, count);
    }
    world_pass(lies.stage.world, MINUTES(5));
    cr_assert_eq(info_of(&lies.stage, DAN).stage, IN_GROUP_JOINED);
    cr_assert_eq(agent_group_leave(agent_at(&lies.stage, DAN), lies.stage.gid), ERR_OK);
    come_together(&lies.stage, 3, "he has left");
    world_pass(lies.stage.world, MINUTES(2));
    said = liar_count(lies.liar, lies.stage.who[DAN], VERB_EVENT);
    for (int again = 0; again < 3; again++) {
        liar_deliver(lies.liar, lies.stage.who[DAN], &invited, 1);
        world_pass(lies.stage.world, MINUTES(5));
    }
    cr_expect_eq(info_of(&lies.stage, DAN).stage, IN_GROUP_LEFT);
    cr_expect_eq(liar_count(lies.liar, lies.stage.who[DAN], VERB_EVENT), said, "he says nothing");
    for (size_t i = ANN; i <= CYD; i++)
        cr_expect_eq(info_of(&lies.stage, i).members, 3);
    lies_close(&lies);
}

/* ------------------------------------------------------------------ hidden */

/* The broker hides that cyd was removed, from cyd or from bob: neither talks on for long. */
Test(liar_group, T39_a_hidden_EPOCH_ends_in_silence, .timeout = 120)
{
    for (size_t strict = 0; strict < 2; strict++)
        for (size_t victim = BOB; victim <= (strict ? CYD : BOB); victim++) {
            uint64_t bound = strict ? HOURS(1) : HOURS(26);
            struct lies lies;
            uint8_t id[16];

            lies_open(&lies, 1300 + 2 * strict + victim, 3, 3, strict);
            lies_begin(&lies);
            lies.fooled[victim] = true;
            liar_set_rule(lies.liar, other_history, &lies);
            liar_take_mailbox(lies.liar, lies.stage.who[victim]); /* no key, no event */
            removes(&lies.stage, ANN, CYD);
            world_pass(lies.stage.world, MINUTES(2));
            cr_expect_eq(info_of(&lies.stage, victim).members, 3, "it does not know");
            cr_assert_eq(say(&lies.stage, victim, "within the bound", id), ERR_OK);
            world_pass(lies.stage.world, MINUTES(2));
            cr_expect_gt(lies.words[victim], 0, "it still talks");
            world_pass(lies.stage.world, bound);
            cr_expect(info_of(&lies.stage, victim).silent);
            restart(&lies, victim); /* nor by beginning anew */
            cr_assert_eq(say(&lies.stage, victim, "beyond it", id), ERR_OK);
            world_pass(lies.stage.world, HOURS(3));
            cr_expect(is_waiting(&lies, victim, id), "nothing is sealed any more");
            cr_expect(info_of(&lies.stage, victim).silent);
            cr_expect_eq(lie_alarms(&lies, victim, "group_silent").count, 1);
            lies_close(&lies);
        }
}

/* It shows what is said in the new epoch, and hides the epoch: that is noticed by name. */
static bool hides_events(void *ctx, struct liar *liar, struct passing *p)
{
    struct lies *lies = ctx;
    struct list_reader reader;
    struct wire_item item;

    if (!p->to_agent || !lies->fooled[index_of(lies, p->who)])
        return true;
    if (p->message.verb == VERB_EVENTS && p->message.reply)
        answer_events(lies, liar, p);
    if (is_channel(lies, p)) {
        reader = list_read(&p->message.items);
        while (list_item(&reader, &item))
            if (item.kind == ITEM_EVENT)
                return false;
    }
    return true;
}

Test(liar_group, T39_words_of_an_epoch_that_is_hidden)
{
    struct lies lies;
    uint8_t id[16];

    lies_open(&lies, 1320, 3, 3, false);
    lies_begin(&lies);
    lies.fooled[BOB] = true;
    liar_set_rule(lies.liar, hides_events, &lies);
    cr_assert_eq(agent_group_rekey(agent_at(&lies.stage, ANN), lies.stage.gid), ERR_OK);
    world_pass(lies.stage.world, MINUTES(2));
    cr_assert_eq(say(&lies.stage, BOB, "in an old epoch", id), ERR_OK);
    world_pass(lies.stage.world, MINUTES(30));
    cr_expect_geq(lie_alarms(&lies, BOB, "group_fork").count, 1,
                  "the broker refuses the epoch that it shows");
    cr_expect_eq(times_heard(&lies.stage, ANN, "in an old epoch"), 0);
    lies_close(&lies);
}

/* ------------------------------------------------------------------ two histories */

/* What bob, an admin, commits is taken from him and shown to nobody else: to him it is the
 * group's history. */
static bool keeps_for_himself(void *ctx, struct liar *liar, struct passing *p)
{
    struct lies *lies = ctx;
    struct wire_event event;
    struct list_reader reader;
    struct message reply;

    if (index_of(lies, p->who) != BOB)
        return true;
    if (p->to_agent) {
        if (p->message.verb == VERB_EVENTS && p->message.reply)
            answer_events(lies, liar, p);
        if (!is_channel(lies, p))
            return true;
        reader = list_read(&p->message.items);
        for (struct wire_item item; list_item(&reader, &item);)
            if (item.kind == ITEM_EVENT)
                return false;
        return true;
    }
    if (p->message.verb != VERB_EVENT)
        return true;
    reader = list_read(&p->message.events);
    while (list_event(&reader, &event) && lies->event_count < LIES_MAX) {
        struct wire_event kept
            = { liar_copy(liar, bytes_of(event.preimage, EVENT_SIZE)),
                liar_copy(liar, bytes_of(event.sig, 64)), liar_keep(liar, event.body) };
        event_digest(lies->over, bytes_of(event.preimage, EVENT_SIZE));
        lies->events[lies->event_count++] = kept;
    }
    reply = message_reply(&p->message);
    MESSAGE_SET(&reply, seq, lies->from + lies->event_count);
    MESSAGE_SET(&reply, head, liar_copy(liar, bytes_of(lies->over, 32)));
    liar_tell(liar, p->who, &reply, NULL, 0);
    return false;
}

static void two_admins(struct lies *lies, uint64_t seed)
{
    lies_open(lies, seed, 3, 5, false);
    cr_assert_eq(agent_group_role(agent_at(&lies->stage, ANN), lies->stage.gid,
                                  world_aid(lies->stage.who[BOB]), 2),
                 ERR_OK);
    world_pass(lies->stage.world, MINUTES(2));
    lies_begin(lies);
    liar_set_rule(lies->liar, keeps_for_himself, lies);
}

static bool is_forked(struct lies *lies, size_t i)
{
    return info_of(&lies->stage, i).stage == IN_GROUP_FORKED
           && lie_alarms(lies, i, "group_fork").count >= 1;
}

/* Different epochs of one number: their keys differ. */
Test(liar_group, T27_two_epochs_of_one_number)
{
    struct lies lies;
    uint8_t id[16];

    two_admins(&lies, 1400);
    cr_assert_eq(agent_group_rekey(agent_at(&lies.stage, BOB), lies.stage.gid), ERR_OK);
    cr_assert_eq(agent_group_rekey(agent_at(&lies.stage, ANN), lies.stage.gid), ERR_OK);
    world_pass(lies.stage.world, MINUTES(2));
    cr_assert_eq(info_of(&lies.stage, BOB).epoch, info_of(&lies.stage, ANN).epoch);
    cr_assert_neq(memcmp(group_at(&lies, ANN)->chain.head, group_at(&lies, BOB)->chain.head, 32),
                  0);
    cr_assert_eq(say(&lies.stage, ANN, "in mine", id), ERR_OK);
    world_pass(lies.stage.world, MINUTES(2));
    cr_expect(is_forked(&lies, BOB), "with the next message");
    cr_expect_eq(times_heard(&lies.stage, BOB, "in mine"), 0);
    cr_expect_eq(times_heard(&lies.stage, CYD, "in mine"), 1);
    cr_expect_eq(say(&lies.stage, BOB, "?", id), ERR_GROUP_FORK);
    lies_close(&lies);
}

/* The same keys, another event behind them: heads inside messages tell, whoever speaks. */
Test(liar_group, T27_two_invitations_in_one_place)
{
    for (size_t speaker = ANN; speaker <= CYD; speaker++) {
        struct lies lies;
        uint8_t id[16];

        two_admins(&lies, 1410 + speaker);
        world_stop(lies.stage.world, lies.stage.who[3]); /* neither of them answers */
        world_stop(lies.stage.world, lies.stage.who[4]);
        cr_assert_eq(agent_group_invite(agent_at(&lies.stage, BOB), lies.stage.gid,
                                        world_aid(lies.stage.who[3]), 1),
                     ERR_OK);
        cr_assert_eq(agent_group_invite(agent_at(&lies.stage, ANN), lies.stage.gid,
                                        world_aid(lies.stage.who[4]), 1),
                     ERR_OK);
        world_pass(lies.stage.world, MINUTES(2));
        cr_assert_neq(
            memcmp(group_at(&lies, ANN)->chain.head, group_at(&lies, BOB)->chain.head, 32), 0);
        cr_assert_eq(say(&lies.stage, speaker, "with my head", id), ERR_OK);
        world_pass(lies.stage.world, MINUTES(5));
        if (speaker == BOB)
            cr_expect(is_forked(&lies, ANN) && is_forked(&lies, CYD), "both others notice");
        else
            cr_expect(is_forked(&lies, BOB), "%zu speaks, bob notices", speaker);
        lies_close(&lies);
    }
}
