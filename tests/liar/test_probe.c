/* layers: testworld */
/*
 * What a stranger learns by asking: nothing, unless he is answered.
 */
#include "tests/liar/scene.h"

static unsigned receipts_for(struct scene *s, struct world_agent *who)
{
    unsigned count = 0;

    for (size_t i = 0; i < liar_item_count(s->liar, who); i++)
        count += liar_item_at(s->liar, who, i).item.kind == ITEM_RECEIPT;
    return count;
}

Test(liar, T33_a_stranger_learns_nothing_from_silence)
{
    struct agent_settings settings;
    struct world_agent *sam;
    struct scene s;
    uint8_t id[16], sid[16];
    bool answered;

    /* pending */
    scene_open(&s, 10);
    agent_settings_default(&settings);
    settings.consent = CONSENT_ASK;
    agent_configure(world_agent(s.bob), &settings);
    sam = world_join(s.world, "sam", NULL);
    liar_take_mailbox(s.liar, sam);
    cr_assert_eq(say(sam, s.bob, "is bob there?", id), ERR_OK);
    world_pass(s.world, HOURS(2));
    cr_expect_eq(stage_of(s.bob, sam), SESSION_WAS_ASKED);
    cr_expect_eq(liar_item_count(s.liar, sam), 0, "pending: not a word");

    /* blocked, with the request held */
    cr_assert_eq(agent_reject(world_agent(s.bob), world_aid(sam), true, &answered, sid), ERR_OK);
    world_pass(s.world, HOURS(2));
    cr_expect_eq(liar_item_count(s.liar, sam), 0, "blocked: not a word");
    scene_close(&s);

    /* rejected: a signed event, no receipt */
    scene_open(&s, 11);
    agent_configure(world_agent(s.bob), &settings);
    sam = world_join(s.world, "sam", NULL);
    liar_take_mailbox(s.liar, sam);
    cr_assert_eq(say(sam, s.bob, "is bob there?", id), ERR_OK);
    world_pass(s.world, 10000);
    cr_assert_eq(agent_reject(world_agent(s.bob), world_aid(sam), false, &answered, sid), ERR_OK);
    world_pass(s.world, 10000);
    cr_expect_eq(receipts_for(&s, sam), 0, "rejected: no receipt");
    cr_expect_eq(liar_item_of(s.liar, sam, ITEM_EVENT, 0).item.kind, ITEM_EVENT);
    scene_close(&s);
}
