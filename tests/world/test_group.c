/* layers: testworld */
/* Groups: who is in one reads what is said in it, and nobody else. */
#include "tests/lib/group_world.h"

/* ------------------------------------------------------------------ the life of a group */

Test(group, three_agents_talk_one_is_removed_and_comes_back)
{
    struct stage stage;
    uint8_t id[16];

    stage_open(&stage, 1, 3);
    create_with(&stage, 3, false);
    come_together(&stage, 3, "all have joined");
    cr_assert_eq(say(&stage, 0, "to both", id), ERR_OK);
    READ_BY(&stage, "to both", 1, 2);
    cr_assert_eq(say(&stage, 1, "from bob", id), ERR_OK);
    READ_BY(&stage, "from bob", 0, 2);

    removes(&stage, 0, 2);
    come_together(&stage, 2, "one is removed");
    cr_assert_eq(say(&stage, 1, "without cyd", id), ERR_OK);
    READ_BY(&stage, "without cyd", 0);
    cr_expect_eq(times_heard(&stage, 2, "without cyd"), 0);
    cr_expect_eq(info_of(&stage, 2).stage, IN_GROUP_LEFT);
    cr_expect_eq(say(&stage, 2, "still here?", id), ERR_NOT_MEMBER);

    cr_assert_eq(agent_group_invite(agent_at(&stage, 0), stage.gid, world_aid(stage.who[2]), 1),
                 ERR_OK);
    come_together(&stage, 3, "one is back");
    cr_assert_eq(say(&stage, 2, "back again", id), ERR_OK);
    READ_BY(&stage, "back again", 0, 1);
    cr_expect_eq(times_heard(&stage, 2, "without cyd"), 0, "nothing of the time between");
    no_alarms(&stage);
    stage_close(&stage);
}

Test(group, a_member_leaves_and_the_others_get_a_new_epoch)
{
    struct stage stage;
    uint8_t id[16];
    uint32_t epoch;

    stage_open(&stage, 2, 3);
    create_with(&stage, 3, false);
    come_together(&stage, 3, "all have joined");
    epoch = info_of(&stage, 0).epoch;
    cr_assert_eq(agent_group_leave(agent_at(&stage, 0), stage.gid), ERR_FORBIDDEN);
    cr_assert_eq(agent_group_leave(agent_at(&stage, 2), stage.gid), ERR_OK);
    cr_expect_eq(info_of(&stage, 2).stage, IN_GROUP_LEFT);
    come_together(&stage, 2, "one has left");
    cr_expect_gt(info_of(&stage, 1).epoch, epoch);
    cr_assert_eq(say(&stage, 0, "we two", id), ERR_OK);
    READ_BY(&stage, "we two", 1);
    cr_expect_eq(times_heard(&stage, 2, "we two"), 0);
    no_alarms(&stage);
    stage_close(&stage);
}

Test(group, the_owner_hands_it_over_and_ends_it)
{
    struct stage stage;

    stage_open(&stage, 3, 3);
    create_with(&stage, 3, false);
    come_together(&stage, 3, "all have joined");
    cr_assert_eq(agent_group_role(agent_at(&stage, 0), stage.gid, world_aid(stage.who[1]), 3),
                 ERR_OK);
    come_together(&stage, 3, "handed over");
    world_pass(stage.world, MINUTES(1));
    cr_expect_eq(info_of(&stage, 1).role, ROLE_OWNER);
    cr_expect_eq(info_of(&stage, 0).role, ROLE_ADMIN);
    cr_assert_eq(agent_group_end(agent_at(&stage, 0), stage.gid), ERR_FORBIDDEN);
    cr_assert_eq(agent_group_end(agent_at(&stage, 1), stage.gid), ERR_OK);
    world_pass(stage.world, MINUTES(1));
    for (size_t i = 0; i < 3; i++)
        cr_expect_eq(info_of(&stage, i).stage, IN_GROUP_CLOSED, "%zu", i);
    no_alarms(&stage);
    stage_close(&stage);
}

/* ------------------------------------------------------------------ two at once */

Test(group, T27_two_admins_race, .timeout = 120)
{
    struct stage stage;
    uint8_t id[16];

    stage_open(&stage, 4, 6);
    create_with(&stage, 4, false);
    come_together(&stage, 4, "all have joined");
    cr_assert_eq(agent_group_role(agent_at(&stage, 0), stage.gid, world_aid(stage.who[1]), 2),
                 ERR_OK);
    world_pass(stage.world, MINUTES(1));
    for (int round = 0; round < 20; round++) {
        cr_assert_eq(agent_group_rekey(agent_at(&stage, 0), stage.gid), ERR_OK);
        cr_assert_eq(agent_group_invite(agent_at(&stage, 1), stage.gid, world_aid(stage.who[4]), 1),
                     ERR_OK);
        come_together(&stage, 5, "a race of rekey and invite");
        removes(&stage, 1, 4);
        cr_assert_eq(agent_group_rekey(agent_at(&stage, 0), stage.gid), ERR_OK);
        come_together(&stage, 4, "a race of rekey and remove");
    }
    cr_assert_eq(say(&stage, 2, "after all that", id), ERR_OK);
    READ_BY(&stage, "after all that", 0, 1, 3);
    no_alarms(&stage);
    stage_close(&stage);
}

/* ------------------------------------------------------------------ away */

Test(group, a_member_is_away_for_three_weeks, .timeout = 120)
{
    struct stage stage;
    uint8_t id[16];

    stage_open(&stage, 5, 3);
    create_with(&stage, 3, false);
    come_together(&stage, 3, "all have joined");
    for (size_t i = 0; i < 3; i++)
        world_stop(stage.world, stage.who[i]);
    for (int day = 0; day < 21; day++) {
        world_pass(stage.world, DAYS(1));
        for (size_t i = 0; i < 2; i++)
            world_start(stage.world, stage.who[i]);
        world_pass(stage.world, MINUTES(3));
        cr_assert_eq(say(&stage, 1, day < 20 ? "every day" : "yesterday", id), ERR_OK);
        world_pass(stage.world, MINUTES(3));
        cr_expect_eq(info_of(&stage, 1).silent, false, "an admin was heard");
        for (size_t i = 0; i < 2 && day < 20; i++)
            world_stop(stage.world, stage.who[i]);
    }
    cr_expect_gt(info_of(&stage, 0).epoch, 10, "an epoch a day");
    world_start(stage.world, stage.who[2]);
    come_together(&stage, 3, "back after three weeks");
    READ_BY(&stage, "yesterday", 0, 2);
    cr_assert_eq(say(&stage, 2, "what have I missed?", id), ERR_OK);
    READ_BY(&stage, "what have I missed?", 0, 1);
    stage_close(&stage);
}
