/*
 * group_world - agents of a world in one group: made, waited for, listened to.
 */
#ifndef TESTS_GROUP_WORLD_H
#define TESTS_GROUP_WORLD_H
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

static inline void stage_open(struct stage *stage, uint64_t seed, size_t count)
{
    static const char *const names[MOST]
        = { "ann", "bob", "cyd", "dan", "eve", "fay", "gus", "hal" };

    *stage = (struct stage){ .world = world_new(seed), .count = count };
    for (size_t i = 0; i < count; i++)
        stage->who[i] = world_join(stage->world, names[i], "home");
}

static inline void stage_close(struct stage *stage)
{
    world_check(stage->world);
    world_free(&stage->world);
}

static inline struct agent *agent_at(struct stage *stage, size_t i)
{
    return world_agent(stage->who[i]);
}

/* ------------------------------------------------------------------ doing */

/* The first makes it and invites the others up to `count`. */
static inline void create_with(struct stage *stage, size_t count, bool strict)
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

static inline enum err say(struct stage *stage, size_t i, const char *text, uint8_t id[static 16])
{
    struct send_request request = { .group = stage->gid,
                                    .body = bytes_of_text(text),
                                    .media_type = bytes_of_text("text/plain") };

    return agent_send(agent_at(stage, i), &request, id);
}

static inline void removes(struct stage *stage, size_t by, size_t whom)
{
    uint8_t aid[1][32];

    memcpy(aid[0], world_aid(stage->who[whom]), 32);
    cr_assert_eq(agent_group_remove(agent_at(stage, by), stage->gid, (const uint8_t(*)[32])aid, 1),
                 ERR_OK);
}

/* ------------------------------------------------------------------ looking */

static inline struct group_info info_of(struct stage *stage, size_t i)
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

static inline void listen(void *ctx, const struct incoming_info *info)
{
    struct heard *heard = ctx;

    if (info->has_group && info->body.len == strlen(heard->text)
        && memcmp(info->body.at, heard->text, info->body.len) == 0)
        heard->times++;
}

static inline size_t times_heard(struct stage *stage, size_t i, const char *text)
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

static inline bool are_together(struct world *world, void *ctx)
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

static inline void explain(struct stage *stage)
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

static inline void come_together(struct stage *stage, size_t members, const char *when)
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

static inline bool all_have_read(struct world *world, void *ctx)
{
    struct reading *reading = ctx;

    (void)world;
    for (size_t i = 0; i < reading->count; i++)
        if (times_heard(reading->stage, reading->readers[i], reading->text) == 0)
            return false;
    return true;
}

static inline void reads(struct stage *stage, const char *text, const size_t *readers, size_t count)
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

static inline void count_alarm(void *ctx, const struct alarm_info *alarm)
{
    (void)ctx;
    fprintf(stderr, "alarm %.*s %.*s\n", (int)alarm->code.len, (const char *)alarm->code.at,
            (int)alarm->detail.len, (const char *)alarm->detail.at);
    open_alarms++;
}

static inline void no_alarms(struct stage *stage)
{
    open_alarms = 0;
    for (size_t i = 0; i < stage->count; i++)
        if (agent_at(stage, i))
            agent_alarms_each(agent_at(stage, i), count_alarm, NULL);
    cr_expect_eq(open_alarms, 0);
}

#endif
