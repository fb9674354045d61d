/* layers: testworld */
/* A member is revoked and removed for it, and the other members' logs do not tell them in time. */
#include "tests/liar/group_lies.h"

#include "agent/store/log.h"

static bool loses_hints(void *ctx, struct liar *liar, struct passing *p)
{
    struct lies *lies = ctx;

    (void)liar;
    return !(p->to_agent && p->message.verb == VERB_NOTIFY && lies->fooled[index_of(lies, p->who)]);
}

static void revoke_dan(struct lies *lies)
{
    cr_assert_eq(agent_leave_broker(agent_at(&lies->stage, DAN)), ERR_OK);
    world_pass(lies->stage.world, MINUTES(3));
}

/* The removal comes before the log's entry that allows it: nobody is to blame. */
Test(liar_group, T69_a_removal_comes_before_its_revocation, .timeout = 120)
{
    struct lies lies;
    uint8_t id[16];

    lies_open(&lies, 70, 4, 4, false);
    lies.fooled[BOB] = lies.fooled[CYD] = true;
    liar_set_rule(lies.liar, loses_hints, &lies);
    revoke_dan(&lies);
    come_together(&lies.stage, 3, "the log is asked when an event depends on it");
    cr_expect_eq(info_of(&lies.stage, BOB).members, 3);
    cr_expect_eq(lie_alarms(&lies, BOB, "group_fork").count, 0);
    cr_expect_eq(lie_alarms(&lies, CYD, "group_fork").count, 0);
    cr_assert_eq(say(&lies.stage, BOB, "without dan", id), ERR_OK);
    READ_BY(&lies.stage, "without dan", ANN, CYD);
    lies_close(&lies);
}

/* A log that does not tell it, however often it is read: then nobody may remove for it. */
Test(liar_group, T69_a_removal_that_the_log_does_not_allow, .timeout = 120)
{
    struct lies lies;
    struct liar_view *view;
    struct log_head head;

    lies_open(&lies, 71, 4, 4, false);
    profile_log_head(agent_at(&lies.stage, ANN)->store, &head);
    view = liar_view(lies.liar);
    liar_view_hide(view, head.next);
    liar_show(lies.liar, lies.stage.who[BOB], view);
    revoke_dan(&lies);
    cr_expect_eq(info_of(&lies.stage, BOB).stage, IN_GROUP_FORKED);
    cr_expect_gt(lie_alarms(&lies, BOB, "group_fork").count, 0);
    cr_expect_eq(info_of(&lies.stage, CYD).stage, IN_GROUP_JOINED);
    cr_expect_eq(info_of(&lies.stage, CYD).members, 3);
    lies_close(&lies);
}
