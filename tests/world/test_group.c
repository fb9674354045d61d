/* layers: testworld */
/* Groups: who is in one reads what is said in it, and nobody else. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>

#include "agent/flow/group.h"
#include "tests/lib/world_internal.h"

#define MINUTES(n) ((uint64_t)(n)*60000)
#define HOURS(n)   MINUTES((n)*60)
#define DAYS(n)    HOURS((n)*24)
#define MOST       8

struct stage {
    struct world *world;
    struct world_agent *who[MOST];
    size_t count;
    uint8_t gid[16];
};

static void stage_open(struct stage *stage, uint64_t seed, size_t count)
{
    static const char *const names[MOST]
        = { "ann", "bob", "cyd", "dan", "eve", "fay", "gus", "hal" };

    *stage = (struct stage){ .world = world_new(seed), .count = count };
    for (size_t i = 0; i < count; i++)
        stage->who[i] = world_join(stage->world, names[i], "home");
}

static void stage_close(struct stage *stage)
{
    world_check(stage->world);
    world_free(&stage->world);
}

static struct agent *agent_at(struct stage *stage, size_t i)
{
    return world_agent(stage->who[i]);
}

/* ------------------------------------------------------------------ doing */

/* The first makes it and invites the others up to `count`. */
static void create_with(struct stage *stage, size_t count, bool strict)
{
    uint8_t invite[MOST][32];
    struct group_create create = { .name = bytes_of_text("team"),
                                   .purpose = bytes_of_text("to get things done"),
                                   .strict = strict,
                                   .invite = (const uint8_t(*)[32])invite,
                                   .invite_count = count - 1 };

    for (size_t i = 1; i < count; i++)
        memcpy(invite[i - 1], world_aid(stage->who[i]), 32);
    cr_assert_eq(agent_group_create(agent_at(stage, 0), &create, stage->gid), ERR_OK);
}

static enum err say(struct stage *stage, size_t i, const char *text, uint8_t id[static 16])
{
    struct send_request request = { .group = stage->gid,
                                    .body = bytes_of_text(text),
                                    .media_type = bytes_of_text("text/plain") };

    return agent_send(agent_at(stage, i), &request, id);
}

static void removes(struct stage *stage, size_t by, size_t whom)
{
    uint8_t aid[1][32];

    memcpy(aid[0], world_aid(stage->who[whom]), 32);
    cr_assert_eq(agent_group_remove(agent_at(stage, by), stage->gid, (const uint8_t(*)[32])aid, 1),
                 ERR_OK);
}

/* ------------------------------------------------------------------ looking */

static struct group_info info_of(struct stage *stage, size_t i)
{
    struct group_info info = { 0 };

    agent_group_get(agent_at(stage, i), stage->gid, &info);
    return info;
}

struct heard {
    const char *text;
    size_t times;
    uint8_t id[16];
};

static void listen(void *ctx, const struct incoming_info *info)
{
    struct heard *heard = ctx;

    if (info->has_group && info->body.len == strlen(heard->text)
        && memcmp(info->body.at, heard->text, info->body.len) == 0)
        heard->times++;
}

static size_t times_heard(struct stage *stage, size_t i, const char *text)
{
    struct incoming_filter filter = { .unread = true, .done = true };
    struct heard heard = { .text = text };

    agent_inbox_each(agent_at(stage, i), &filter, listen, &heard);
    return heard.times;
}

/* ------------------------------------------------------------------ waiting */

struct together {
    struct stage *stage;
    size_t members; /* the first so many are in it, and have the key of one epoch */
};

static bool are_together(struct world *world, void *ctx)
{
    struct together *together = ctx;
    uint32_t epoch = 0;

    (void)world;
    for (size_t i = 0; i < together->members; i++) {
        struct group_info info;
        if (!agent_at(together->stage, i))
            continue;
        info = info_of(together->stage, i);
        if (info.stage != IN_GROUP_JOINED || !info.keyed || info.members != together->members
            || info.pending || (epoch && info.epoch != epoch))
            return false;
        epoch = info.epoch;
    }
    return true;
}

static void explain(struct stage *stage)
{
    for (size_t i = 0; i < stage->count; i++) {
        struct group_info info;
        if (!agent_at(stage, i))
            continue;
        info = info_of(stage, i);
        fprintf(stderr,
                "%zu: stage=%d epoch=%u keyed=%d members=%zu invited=%zu pending=%zu keys=%zu"
                " stale=%d silent=%d refusal=%s\n",
                i, (int)info.stage, (unsigned)info.epoch, info.keyed, info.members, info.invited,
                info.pending, info.keys_waiting, info.stale, info.silent, err_name(info.refusal));
    }
}

static void come_together(struct stage *stage, size_t members, const char *when)
{
    struct together together = { stage, members };
    bool are = world_run(stage->world, HOURS(2), are_together, &together);

    if (!are)
        explain(stage);
    cr_assert(are, "%s", when);
}

struct reading {
    struct stage *stage;
    const char *text;
    const size_t *readers;
    size_t count;
};

static bool all_have_read(struct world *world, void *ctx)
{
    struct reading *reading = ctx;

    (void)world;
    for (size_t i = 0; i < reading->count; i++)
        if (times_heard(reading->stage, reading->readers[i], reading->text) == 0)
            return false;
    return true;
}

static void reads(struct stage *stage, const char *text, const size_t *readers, size_t count)
{
    struct reading reading = { stage, text, readers, count };
    bool read = world_run(stage->world, HOURS(2), all_have_read, &reading);

    if (!read)
        explain(stage);
    cr_assert(read, "not everybody has read: %s", text);
    world_pass(stage->world, MINUTES(1));
    for (size_t i = 0; i < count; i++)
        cr_expect_eq(times_heard(stage, readers[i], text), 1, "%zu has read it more than once",
                     readers[i]);
}

#define READ_BY(stage, text, ...)                                                                  \
    reads(stage, text, (const size_t[]){ __VA_ARGS__ },                                            \
          sizeof((const size_t[]){ __VA_ARGS__ }) / sizeof(size_t))

static size_t open_alarms;
static void count_alarm(void *ctx, const struct alarm_info *alarm)
{
    (void)ctx;
    fprintf(stderr, "alarm %.*s %.*s\n", (int)alarm->code.len, (const char *)alarm->code.at,
            (int)alarm->detail.len, (const char *)alarm->detail.at);
    open_alarms++;
}

static void no_alarms(struct stage *stage)
{
    open_alarms = 0;
    for (size_t i = 0; i < stage->count; i++)
        if (agent_at(stage, i))
            agent_alarms_each(agent_at(stage, i), count_alarm, NULL);
    cr_expect_eq(open_alarms, 0);
}

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
        uint8_t key = 0;
        (void)key;
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
