/* layers: testworld */
/* Groups: who is asked whether he wants to be in one, who must not be in it any more, and what
 * happens when keys, admins, the broker's or an agent's memory are lost. */
#include "tests/lib/group_world.h"

#include "agent/store/chains.h"

static void consent_is(struct stage *stage, size_t i, enum agent_consent consent)
{
    struct agent_settings settings;

    agent_settings_default(&settings);
    settings.consent = consent;
    agent_configure(agent_at(stage, i), &settings);
}

struct requests {
    size_t groups, sessions;
    char title[65];
};

static void note_request(void *ctx, const struct request_info *request)
{
    struct requests *requests = ctx;

    if (!request->incoming)
        return;
    requests->groups += request->group;
    requests->sessions += !request->group;
    if (request->group)
        snprintf(requests->title, sizeof requests->title, "%.*s", (int)request->title.len,
                 (const char *)request->title.at);
}

static struct requests requests_of(struct stage *stage, size_t i)
{
    struct requests requests = { 0 };

    cr_assert_eq(agent_requests_each(agent_at(stage, i), note_request, &requests), ERR_OK);
    return requests;
}

/* ------------------------------------------------------------------ consent */

Test(group_consent, an_invitation_is_held_until_a_person_says_yes)
{
    struct stage stage;
    struct requests requests;
    uint8_t id[16], gid[16];

    stage_open(&stage, 20, 3);
    consent_is(&stage, 1, CONSENT_ASK);
    create_with(&stage, 3, false);
    world_pass(stage.world, MINUTES(5));
    requests = requests_of(&stage, 1);
    cr_expect_eq(requests.groups, 1);
    cr_expect_eq(info_of(&stage, 1).stage, IN_GROUP_INVITED);
    cr_expect_eq(info_of(&stage, 0).members, 2, "the other one has joined");
    /* Nobody whom it talks to has told the name, so it is known by its number. */
    cr_assert_eq(agent_group_find(agent_at(&stage, 1), requests.title, gid), ERR_OK);
    cr_expect_arr_eq(gid, stage.gid, 16);
    cr_assert_eq(agent_group_join(agent_at(&stage, 1), stage.gid, NULL), ERR_OK);
    come_together(&stage, 3, "joined by hand");
    world_pass(stage.world, MINUTES(5));
    cr_assert_eq(agent_group_find(agent_at(&stage, 1), "team", gid), ERR_OK, "told by now");
    cr_expect_eq(requests_of(&stage, 1).sessions, 0, "its owner may talk to it");
    cr_assert_eq(say(&stage, 0, "welcome", id), ERR_OK);
    READ_BY(&stage, "welcome", 1, 2);
    stage_close(&stage);
}

Test(group_consent, who_accepts_the_inviter_joins)
{
    struct stage stage;
    uint8_t sid[16];
    bool answered;

    stage_open(&stage, 21, 2);
    consent_is(&stage, 1, CONSENT_ASK);
    create_with(&stage, 2, false);
    world_pass(stage.world, MINUTES(5));
    cr_expect_eq(info_of(&stage, 1).stage, IN_GROUP_INVITED);
    cr_assert_eq(agent_accept(agent_at(&stage, 1), world_aid(stage.who[0]), &answered, sid),
                 ERR_OK);
    come_together(&stage, 2, "joined");
    stage_close(&stage);
}

Test(group_consent, a_person_says_no_and_is_invited_again)
{
    struct stage stage;

    stage_open(&stage, 22, 3);
    consent_is(&stage, 1, CONSENT_ASK);
    create_with(&stage, 3, false);
    world_pass(stage.world, MINUTES(5));
    cr_assert_eq(agent_group_decline(agent_at(&stage, 1), stage.gid), ERR_OK);
    world_pass(stage.world, MINUTES(5));
    cr_expect_eq(requests_of(&stage, 1).groups, 0);
    cr_expect_eq(info_of(&stage, 1).stage, IN_GROUP_LEFT);
    cr_expect_eq(info_of(&stage, 0).invited, 0);
    cr_assert_eq(agent_group_join(agent_at(&stage, 1), stage.gid, NULL), ERR_NOT_FOUND);
    cr_assert_eq(agent_group_invite(agent_at(&stage, 0), stage.gid, world_aid(stage.who[1]), 1),
                 ERR_OK);
    world_pass(stage.world, MINUTES(5));
    cr_expect_eq(requests_of(&stage, 1).groups, 1);
    cr_assert_eq(agent_group_join(agent_at(&stage, 1), stage.gid, "mine"), ERR_OK);
    come_together(&stage, 3, "joined after all");
    world_pass(stage.world, MINUTES(5));
    cr_expect_eq(info_of(&stage, 1).name.len, 4, "as it wants to call it");
    stage_close(&stage);
}

Test(group_consent, an_invitation_runs_out)
{
    struct stage stage;

    stage_open(&stage, 23, 2);
    consent_is(&stage, 1, CONSENT_ASK);
    create_with(&stage, 2, false);
    world_pass(stage.world, MINUTES(5));
    cr_expect_eq(requests_of(&stage, 1).groups, 1);
    for (size_t i = 0; i < 2; i++)
        world_stop(stage.world, stage.who[i]);
    world_pass(stage.world, DAYS(8));
    for (size_t i = 0; i < 2; i++)
        world_start(stage.world, stage.who[i]);
    consent_is(&stage, 1, CONSENT_ASK);
    world_pass(stage.world, MINUTES(5));
    cr_expect_eq(requests_of(&stage, 1).groups, 0);
    cr_expect_neq(agent_group_join(agent_at(&stage, 1), stage.gid, NULL), ERR_OK);
    cr_assert_eq(agent_group_invite(agent_at(&stage, 0), stage.gid, world_aid(stage.who[1]), 1),
                 ERR_OK, "it can be renewed");
    world_pass(stage.world, MINUTES(5));
    cr_assert_eq(agent_group_join(agent_at(&stage, 1), stage.gid, NULL), ERR_OK);
    come_together(&stage, 2, "the second time");
    stage_close(&stage);
}

Test(group_consent, two_groups_of_one_name)
{
    struct stage stage;
    uint8_t first[16], found[16];

    stage_open(&stage, 24, 3);
    create_with(&stage, 3, false);
    come_together(&stage, 3, "the first");
    memcpy(first, stage.gid, 16);
    cr_assert_eq(agent_group_leave(agent_at(&stage, 1), first), ERR_OK);
    world_pass(stage.world, MINUTES(1));
    {
        uint8_t invite[1][32];
        struct group_create create = { .name = bytes_of_text("team"),
                                       .invite = (const uint8_t(*)[32])invite,
                                       .invite_count = 1 };
        memcpy(invite[0], world_aid(stage.who[2]), 32);
        cr_assert_eq(agent_group_create(agent_at(&stage, 0), &create, stage.gid), ERR_EXISTS);
        cr_assert_eq(agent_group_create(agent_at(&stage, 1), &create, stage.gid), ERR_OK,
                     "one that was left does not count");
    }
    world_pass(stage.world, MINUTES(5));
    cr_assert_eq(agent_group_find(agent_at(&stage, 2), "team-2", found), ERR_OK);
    cr_expect_arr_eq(found, stage.gid, 16);
    cr_assert_eq(agent_group_find(agent_at(&stage, 2), "team", found), ERR_OK);
    cr_expect_arr_eq(found, first, 16);
    stage_close(&stage);
}

/* ------------------------------------------------------------------ revoked */

Test(group_revoked, T69_a_member_and_the_owner_are_revoked)
{
    struct stage stage;
    uint8_t id[16];
    uint32_t epoch;

    stage_open(&stage, 30, 4);
    create_with(&stage, 4, false);
    come_together(&stage, 4, "all have joined");
    cr_assert_eq(agent_group_role(agent_at(&stage, 0), stage.gid, world_aid(stage.who[1]), 2),
                 ERR_OK);
    world_pass(stage.world, MINUTES(1));
    epoch = info_of(&stage, 0).epoch;
    cr_assert_eq(agent_leave_broker(agent_at(&stage, 3)), ERR_OK);
    world_pass(stage.world, MINUTES(10));
    come_together(&stage, 3, "a revoked member is removed");
    cr_expect_gt(info_of(&stage, 0).epoch, epoch);

    cr_assert_eq(agent_leave_broker(agent_at(&stage, 0)), ERR_OK);
    world_pass(stage.world, MINUTES(10));
    cr_expect_eq(info_of(&stage, 1).role, ROLE_OWNER, "who removes a revoked owner becomes that");
    cr_expect_eq(info_of(&stage, 1).members, 2);
    cr_assert_eq(say(&stage, 2, "we go on", id), ERR_OK);
    READ_BY(&stage, "we go on", 1);

    /* Who joins now has never seen the one who made the group, and nobody tells its key. */
    stage.who[4] = world_join(stage.world, "eve", "home");
    stage.count = 5;
    cr_assert_eq(agent_group_invite(agent_at(&stage, 1), stage.gid, world_aid(stage.who[4]), 1),
                 ERR_OK);
    world_pass(stage.world, MINUTES(5));
    cr_expect_eq(info_of(&stage, 4).stage, IN_GROUP_JOINED);
    cr_expect(info_of(&stage, 4).keyed);
    cr_assert_eq(say(&stage, 4, "hello you two", id), ERR_OK);
    READ_BY(&stage, "hello you two", 1, 2);
    no_alarms(&stage);
    stage_close(&stage);
}

/* ------------------------------------------------------------------ lost */

/* The agent forgets all keys of the group. */
static void lose_keys(struct stage *stage, size_t i)
{
    struct agent *agent = agent_at(stage, i);

    agent_enter(agent);
    profile_chains_remove(agent->store, agent_group_named(agent, stage->gid)->group_id);
    agent_leave(agent);
    world_kill(stage->world, stage->who[i]);
    world_start(stage->world, stage->who[i]);
}

Test(group_lost, T63_a_member_asks_for_the_key)
{
    struct stage stage;
    uint8_t id[16];
    uint32_t epoch;

    stage_open(&stage, 40, 3);
    create_with(&stage, 3, false);
    come_together(&stage, 3, "all have joined");
    epoch = info_of(&stage, 0).epoch;
    lose_keys(&stage, 2);
    cr_expect_not(info_of(&stage, 2).keyed);
    cr_assert_eq(say(&stage, 2, "waits for the key", id), ERR_OK);
    come_together(&stage, 3, "asked and answered");
    cr_expect_gt(info_of(&stage, 0).epoch, epoch, "a new epoch, for nobody has the secret");
    READ_BY(&stage, "waits for the key", 0, 1);
    no_alarms(&stage);
    stage_close(&stage);
}

Test(group_lost, T63_every_holder_of_the_key_has_lost_it)
{
    struct stage stage;
    uint8_t id[16];

    stage_open(&stage, 41, 3);
    create_with(&stage, 3, false);
    come_together(&stage, 3, "all have joined");
    for (size_t i = 0; i < 3; i++)
        lose_keys(&stage, i);
    come_together(&stage, 3, "after ten minutes an admin makes a new epoch");
    cr_assert_eq(say(&stage, 1, "here we are", id), ERR_OK);
    READ_BY(&stage, "here we are", 0, 2);
    no_alarms(&stage);
    stage_close(&stage);
}

Test(group_lost, T39_without_a_word_of_an_admin_nobody_sends)
{
    struct stage stage;
    uint8_t id[16];

    stage_open(&stage, 42, 3);
    create_with(&stage, 3, true);
    come_together(&stage, 3, "all have joined");
    world_stop(stage.world, stage.who[0]);
    world_pass(stage.world, HOURS(2));
    cr_expect(info_of(&stage, 1).silent);
    cr_assert_eq(say(&stage, 1, "is anybody there?", id), ERR_OK);
    world_pass(stage.world, MINUTES(10));
    cr_expect_eq(times_heard(&stage, 2, "is anybody there?"), 0, "it waits");
    world_start(stage.world, stage.who[0]);
    READ_BY(&stage, "is anybody there?", 0, 2);
    cr_expect_not(info_of(&stage, 1).silent);
    no_alarms(&stage);
    stage_close(&stage);
}

Test(group_lost, heartbeats_keep_a_strict_group_talking)
{
    struct stage stage;

    stage_open(&stage, 43, 2);
    create_with(&stage, 2, true);
    come_together(&stage, 2, "both");
    for (int hour = 0; hour < 5; hour++) {
        world_pass(stage.world, HOURS(1));
        cr_expect_not(info_of(&stage, 1).silent);
    }
    stage_close(&stage);
}

/* ------------------------------------------------------------------ put back */

Test(group_lost, the_broker_is_put_back_and_gets_the_events_again)
{
    struct stage stage;
    uint8_t id[16];

    stage_open(&stage, 50, 4);
    create_with(&stage, 3, false);
    come_together(&stage, 3, "all have joined");
    world_broker_stop(stage.world);
    world_broker_copy(stage.world);
    world_broker_start(stage.world);
    world_pass(stage.world, MINUTES(2));
    removes(&stage, 0, 2);
    come_together(&stage, 2, "one is removed");
    cr_assert_eq(say(&stage, 0, "just us", id), ERR_OK);
    READ_BY(&stage, "just us", 1);
    world_broker_stop(stage.world);
    world_broker_put_back(stage.world);
    world_broker_start(stage.world);
    world_pass(stage.world, MINUTES(10));
    come_together(&stage, 2, "still removed");
    cr_assert_eq(say(&stage, 1, "still just us", id), ERR_OK);
    READ_BY(&stage, "still just us", 0);
    cr_expect_eq(times_heard(&stage, 2, "still just us"), 0);
    cr_expect_eq(info_of(&stage, 2).stage, IN_GROUP_LEFT);
    no_alarms(&stage);
    stage_close(&stage);
}

Test(group_lost, the_broker_is_put_back_to_before_the_group)
{
    struct stage stage;
    uint8_t id[16];

    stage_open(&stage, 51, 3);
    world_broker_stop(stage.world);
    world_broker_copy(stage.world);
    world_broker_start(stage.world);
    world_pass(stage.world, MINUTES(2));
    create_with(&stage, 3, false);
    come_together(&stage, 3, "all have joined");
    cr_assert_eq(say(&stage, 0, "before", id), ERR_OK);
    READ_BY(&stage, "before", 1, 2);
    world_broker_stop(stage.world);
    world_broker_put_back(stage.world);
    world_broker_start(stage.world);
    world_pass(stage.world, MINUTES(10));
    come_together(&stage, 3, "made anew out of its events");
    cr_assert_eq(say(&stage, 1, "after", id), ERR_OK);
    READ_BY(&stage, "after", 0, 2);
    no_alarms(&stage);
    stage_close(&stage);
}

/* ------------------------------------------------------------------ weather */

Test(group_storm, joins_and_removals_in_any_weather, .timeout = 200)
{
    for (uint64_t seed = 60; seed < 66; seed++) {
        struct stage stage;
        uint8_t id[16];

        stage_open(&stage, seed, 4);
        world_weather(stage.world, world_storm);
        create_with(&stage, 4, false);
        come_together(&stage, 4, "in a storm");
        for (size_t i = 0; i < 4; i++) {
            world_kill(stage.world, stage.who[i]);
            world_pass(stage.world, 300);
            world_start(stage.world, stage.who[i]);
        }
        removes(&stage, 0, 3);
        world_pass(stage.world, world_random(stage.world, 2000));
        world_kill(stage.world, stage.who[0]);
        world_pass(stage.world, 1000);
        world_start(stage.world, stage.who[0]);
        come_together(&stage, 3, "one less");
        cr_assert_eq(say(&stage, 1, "through it", id), ERR_OK);
        READ_BY(&stage, "through it", 0, 2);
        no_alarms(&stage);
        stage_close(&stage);
    }
}
