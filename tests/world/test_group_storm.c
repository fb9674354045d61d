/* layers: testworld */
/*
 * Long lives of groups of 3 to 50, from seeds: kills, restarts, a broker that is put back, members
 * that come and go.  Nothing is lost, nothing comes twice, each author's words keep their order,
 * and who is not in it reads nothing.  SEED and SEEDS choose the runs.
 */
#include "agent/flow/group_mail.h"
#include "tests/lib/group_world.h"

#include <stdlib.h>

enum { PEOPLE_MAX = 50, WORDS_MAX = 400 };

struct crowd {
    struct world *world;
    struct world_agent *who[PEOPLE_MAX];
    size_t count; /* the last one comes and goes */
    uint8_t gid[16];
    size_t author[WORDS_MAX];
    bool without_last[WORDS_MAX]; /* said while the last one was out */
    size_t words;
};

/* SEED and SEEDS choose the runs; what failed is run again with its number. */
static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text ? strtoull(text, NULL, 10) : otherwise;
}

/* ------------------------------------------------------------------ who is together */

struct crowd_wait {
    struct crowd *crowd;
    size_t members;
};

static bool crowd_is_together(struct world *world, void *ctx)
{
    struct crowd_wait *wait = ctx;
    uint8_t head[32];

    (void)world;
    for (size_t i = 0; i < wait->members; i++) {
        struct agent *agent = world_agent(wait->crowd->who[i]);
        struct agent_group *group = agent ? agent_group_named(agent, wait->crowd->gid) : NULL;

        if (!group || group->row.state != PROFILE_GROUP_JOINED
            || group->chain.joined != wait->members || group->chain.next_seq != group->stored_seq
            || !agent_group_has_key(agent, group->group_id, group->chain.epoch))
            return false;
        if (i == 0)
            memcpy(head, group->chain.head, 32);
        else if (memcmp(head, group->chain.head, 32) != 0)
            return false; /* one chain, one end */
    }
    return true;
}

static void together_again(struct crowd *crowd, size_t members, const char *when)
{
    struct crowd_wait wait = { crowd, members };

    cr_assert(world_run(crowd->world, HOURS(6), crowd_is_together, &wait), "seed %" PRIu64 ": %s",
              world_seed(crowd->world), when);
}

static void crowd_open(struct crowd *crowd, uint64_t seed, size_t count)
{
    uint8_t invite[PEOPLE_MAX][32];
    struct group_create create = { .name = bytes_of_text("crowd"),
                                   .invite = (const uint8_t(*)[32])invite,
                                   .invite_count = count - 1 };
    char name[24];

    printf("seed %" PRIu64 ", %zu members\n", seed, count);
    *crowd = (struct crowd){ .world = world_new(seed), .count = count };
    for (size_t i = 0; i < count; i++) {
        snprintf(name, sizeof name, "a%zu", i);
        crowd->who[i] = world_join(crowd->world, name, "home");
        if (i > 0)
            memcpy(invite[i - 1], world_aid(crowd->who[i]), 32);
    }
    cr_assert_eq(agent_group_create(world_agent(crowd->who[0]), &create, crowd->gid), ERR_OK);
    together_again(crowd, count, "all have joined");
    cr_assert_eq(agent_group_role(world_agent(crowd->who[0]), crowd->gid, world_aid(crowd->who[1]),
                                  ROLE_ADMIN),
                 ERR_OK);
    world_pass(crowd->world, MINUTES(1));
}

/* ------------------------------------------------------------------ what is said and heard */

static void crowd_say(struct crowd *crowd, size_t author, bool without_last)
{
    char text[16];
    struct send_request request
        = { .group = crowd->gid, .media_type = bytes_of_text("text/plain") };
    uint8_t id[16];

    if (crowd->words == WORDS_MAX || !world_agent(crowd->who[author]))
        return;
    snprintf(text, sizeof text, "%zu", crowd->words);
    request.body = bytes_of_text(text);
    if (agent_send(world_agent(crowd->who[author]), &request, id) != ERR_OK)
        return;
    crowd->author[crowd->words] = author;
    crowd->without_last[crowd->words] = without_last;
    crowd->words++;
}

struct ears {
    const struct crowd *crowd;
    unsigned times[WORDS_MAX];
    size_t next_of[PEOPLE_MAX]; /* behind the newest word of that author */
    size_t disorder;
};

static void hear(void *ctx, const struct incoming_info *info)
{
    struct ears *ears = ctx;
    char text[16];
    size_t word, author;

    snprintf(text, sizeof text, "%.*s", (int)info->body.len, (const char *)info->body.at);
    word = strtoull(text, NULL, 10);
    if (!info->has_group || word >= ears->crowd->words)
        return;
    author = ears->crowd->author[word];
    ears->times[word]++;
    ears->disorder += word < ears->next_of[author];
    ears->next_of[author] = word + 1;
}

static void heard_by(const struct crowd *crowd, size_t reader, struct ears *ears)
{
    struct incoming_filter filter = { .unread = true, .done = true };

    *ears = (struct ears){ .crowd = crowd };
    cr_assert_eq(agent_inbox_each(world_agent(crowd->who[reader]), &filter, hear, ears), ERR_OK);
}

static bool all_heard(struct world *world, void *ctx)
{
    struct crowd *crowd = ctx;

    (void)world;
    for (size_t i = 0; i + 1 < crowd->count; i++) {
        struct ears ears;

        heard_by(crowd, i, &ears);
        for (size_t word = 0; word < crowd->words; word++)
            if (ears.times[word] == 0 && crowd->author[word] != i)
                return false;
    }
    return true;
}

static void check_all(struct crowd *crowd)
{
    bool all = world_run(crowd->world, HOURS(6), all_heard, crowd);
    struct ears ears;

    cr_expect(all, "seed %" PRIu64 ": something is lost", world_seed(crowd->world));
    world_pass(crowd->world, MINUTES(2));
    for (size_t i = 0; i < crowd->count; i++) {
        heard_by(crowd, i, &ears);
        cr_expect_eq(ears.disorder, 0, "seed %" PRIu64 ": %zu reads another order",
                     world_seed(crowd->world), i);
        for (size_t word = 0; word < crowd->words; word++) {
            bool last = i + 1 == crowd->count;

            cr_expect_leq(ears.times[word], 1, "seed %" PRIu64 ": %zu twice at %zu",
                          world_seed(crowd->world), word, i);
            if (!last && crowd->author[word] != i)
                cr_expect_eq(ears.times[word], 1, "seed %" PRIu64 ": %zu of %zu not at %zu",
                             world_seed(crowd->world), word, crowd->author[word], i);
            if (last && crowd->without_last[word])
                cr_expect_eq(ears.times[word], 0, "seed %" PRIu64 ": %zu read when it was out",
                             world_seed(crowd->world), word);
        }
    }
}

/* ------------------------------------------------------------------ what happens to them */

static void everybody_up(struct crowd *crowd)
{
    for (size_t i = 0; i < crowd->count; i++) {
        world_partition(crowd->world, crowd->who[i], false);
        world_start(crowd->world, crowd->who[i]);
    }
}

static void something_happens(struct crowd *crowd, bool restores, bool *copied)
{
    struct world_agent *one = crowd->who[world_random(crowd->world, crowd->count)];

    switch (world_random(crowd->world, 12)) {
    case 0:
        world_kill(crowd->world, one);
        break;
    case 1:
        world_stop(crowd->world, one);
        break;
    case 2:
    case 3:
        everybody_up(crowd);
        break;
    case 4:
        world_partition(crowd->world, one, true);
        break;
    case 5:
        for (size_t i = 0; i < 2; i++)
            if (world_agent(crowd->who[i]) && world_random(crowd->world, 2) == 0)
                agent_group_rekey(world_agent(crowd->who[i]), crowd->gid);
        break;
    case 6:
        world_broker_kill(crowd->world);
        if (restores && *copied)
            world_broker_put_back(crowd->world);
        else if (restores)
            world_broker_copy(crowd->world);
        *copied = restores && !*copied;
        world_broker_start(crowd->world);
        break;
    default:
        break;
    }
}

static void rounds(struct crowd *crowd, size_t members, unsigned count, bool restores,
                   struct world_weather weather)
{
    bool copied = false;

    world_weather(crowd->world, weather);
    for (unsigned round = 0; round < count; round++) {
        for (uint64_t n = world_random(crowd->world, 3); n; n--)
            crowd_say(crowd, world_random(crowd->world, members), members < crowd->count);
        something_happens(crowd, restores, &copied);
        world_pass(crowd->world, world_random(crowd->world, 15000));
    }
    world_weather(crowd->world, world_calm);
    everybody_up(crowd);
}

static void remove_last(struct crowd *crowd, size_t by)
{
    uint8_t aid[1][32];

    memcpy(aid[0], world_aid(crowd->who[crowd->count - 1]), 32);
    cr_assert_eq(
        agent_group_remove(world_agent(crowd->who[by]), crowd->gid, (const uint8_t(*)[32])aid, 1),
        ERR_OK);
}

static void life(uint64_t seed, size_t count, unsigned length, bool restores,
                 struct world_weather weather)
{
    struct crowd crowd;

    crowd_open(&crowd, seed, count);
    rounds(&crowd, count, length, restores, weather);
    together_again(&crowd, count, "after the first storm");
    check_all(&crowd);
    world_weather(crowd.world, weather);
    remove_last(&crowd, seed % 2);
    together_again(&crowd, count - 1, "one is removed");
    rounds(&crowd, count - 1, length, restores, weather);
    together_again(&crowd, count - 1, "after the second storm");
    check_all(&crowd);
    cr_assert_eq(agent_group_invite(world_agent(crowd.who[0]), crowd.gid,
                                    world_aid(crowd.who[count - 1]), ROLE_MEMBER),
                 ERR_OK);
    together_again(&crowd, count, "it is back");
    rounds(&crowd, count, length / 2, restores, weather);
    together_again(&crowd, count, "after the third storm");
    check_all(&crowd);
    world_check(crowd.world);
    world_free(&crowd.world);
}

static size_t size_of(uint64_t seed)
{
    static const size_t sizes[] = { 3, 5, 8, 4, 13, 6 };

    return sizes[seed % (sizeof sizes / sizeof sizes[0])];
}

static void many(uint64_t first, uint64_t count, struct world_weather weather, bool restores)
{
    count = from_environment("SEEDS", count);
    first = from_environment("SEED", first);
    for (uint64_t seed = first; seed < first + count; seed++)
        life(seed, size_of(seed), 25, restores, weather);
}

Test(group_weather, storms, .timeout = 1800)
{
    many(3000, 2, world_storm, false);
}

Test(group_weather, chaos, .timeout = 1800)
{
    many(3102, 2, world_chaos, false);
}

Test(group_weather, T62_storms_over_a_broker_put_back, .timeout = 1800)
{
    many(3203, 1, world_storm, true);
}

/* MEMBERS chooses another number. */
Test(group_weather, many_members, .timeout = 1800)
{
    life(from_environment("SEED", 3300), from_environment("MEMBERS", 20), 8, false, world_storm);
}

/* ------------------------------------------------------------------ two admins, a hundred times */

static void race(struct crowd *crowd, unsigned round)
{
    uint8_t aid[1][32], *last = aid[0];

    memcpy(last, world_aid(crowd->who[crowd->count - 1]), 32);
    for (size_t i = 0; i < 2; i++) {
        struct agent *admin = world_agent(crowd->who[i]);

        switch (world_random(crowd->world, 4)) {
        case 0:
            agent_group_rekey(admin, crowd->gid);
            break;
        case 1:
            agent_group_invite(admin, crowd->gid, last, ROLE_MEMBER);
            break;
        default: /* refused when it is not in: that is half the race */
            if (round % 2)
                agent_group_remove(admin, crowd->gid, (const uint8_t(*)[32])aid, 1);
            else
                agent_group_rekey(admin, crowd->gid);
            break;
        }
    }
}

struct heads {
    struct crowd *crowd;
};

/* All who are in it have one chain, one end, one epoch and its key; whoever is not in it, none. */
static bool one_chain(struct world *world, void *ctx)
{
    struct crowd *crowd = ((struct heads *)ctx)->crowd;
    struct agent_group *first = agent_group_named(world_agent(crowd->who[0]), crowd->gid);

    (void)world;
    for (size_t i = 0; i < crowd->count; i++) {
        struct agent *agent = world_agent(crowd->who[i]);
        struct agent_group *group = agent_group_named(agent, crowd->gid);
        const struct group_member *member
            = group_member_find(&first->chain, world_aid(crowd->who[i]));

        if (!member || !member->joined) {
            if (group->row.state == PROFILE_GROUP_JOINED)
                return false;
            continue;
        }
        if (!member->reads || group->row.state != PROFILE_GROUP_JOINED
            || group->chain.next_seq != group->stored_seq
            || memcmp(group->chain.head, first->chain.head, 32) != 0
            || !agent_group_has_key(agent, group->group_id, group->chain.epoch))
            return false;
    }
    return true;
}

Test(group_weather, T27_a_hundred_races_make_one_chain, .timeout = 600)
{
    struct crowd crowd;
    struct heads heads = { &crowd };

    crowd_open(&crowd, 3400, 4);
    world_weather(crowd.world, (struct world_weather){ .delay_max_ms = 300 });
    for (unsigned round = 0; round < 100; round++) {
        race(&crowd, round);
        if (round % 4 == 3) { /* the others pile up on each other */
            cr_assert(world_run(crowd.world, HOURS(2), one_chain, &heads), "race %u", round);
            crowd_say(&crowd, round % 3, false);
        } else {
            world_pass(crowd.world, world_random(crowd.world, 1500));
        }
    }
    cr_assert(world_run(crowd.world, HOURS(2), one_chain, &heads));
    cr_expect_gt(agent_group_named(world_agent(crowd.who[0]), crowd.gid)->chain.epoch, 50);
    check_all(&crowd);
    world_check(crowd.world);
    world_free(&crowd.world);
}
