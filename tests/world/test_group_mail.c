/* layers: testworld */
/* Messages of groups between real agents and a real broker: who has them, in which order, after
 * whatever happened in between. */
#include "tests/lib/group_world.h"

#include "agent/store/outbox.h"
#include "shared/wire/limit.h"

struct waiting {
    struct stage *stage;
    size_t sender;
    uint8_t id[16];
    size_t delivered;
    enum outgoing_state state;
};

static struct outgoing_info sent_info(struct stage *stage, size_t i, const uint8_t id[static 16])
{
    struct outgoing_info info = { 0 };

    cr_expect_eq(agent_outgoing_get(agent_at(stage, i), id, &info), ERR_OK);
    return info;
}

static bool has_come_so_far(struct world *world, void *ctx)
{
    struct waiting *waiting = ctx;
    struct outgoing_info info = sent_info(waiting->stage, waiting->sender, waiting->id);

    (void)world;
    return info.delivered_to == waiting->delivered && info.state == waiting->state;
}

static void expect_delivered(struct stage *stage, size_t sender, const uint8_t id[static 16],
                             size_t delivered, enum outgoing_state state)
{
    struct waiting waiting
        = { .stage = stage, .sender = sender, .delivered = delivered, .state = state };
    struct outgoing_info info;

    memcpy(waiting.id, id, 16);
    world_run(stage->world, MINUTES(10), has_come_so_far, &waiting);
    info = sent_info(stage, sender, id);
    cr_expect_eq(info.delivered_to, delivered, "%zu have it", info.delivered_to);
    cr_expect_eq(info.state, state, "state %d", (int)info.state);
}

/* What somebody has heard, in the order of his inbox. */
struct order {
    char text[4096];
};

static void note_order(void *ctx, const struct incoming_info *info)
{
    struct order *order = ctx;
    size_t len = strlen(order->text);

    if (info->has_group)
        snprintf(order->text + len, sizeof order->text - len, "%.*s ", (int)info->body.len,
                 (const char *)info->body.at);
}

static struct order order_of(struct stage *stage, size_t i)
{
    struct incoming_filter filter = { .unread = true, .done = true };
    struct order order = { "" };

    cr_expect_eq(agent_inbox_each(agent_at(stage, i), &filter, note_order, &order), ERR_OK);
    return order;
}

/* ------------------------------------------------------------------ how many have it */

Test(group_mail, how_many_have_it_is_known_of_those_who_sign)
{
    struct stage stage;
    uint8_t id[16];

    stage_open(&stage, 21, 5);
    create_with(&stage, 5, false);
    come_together(&stage, 5, "all have joined");
    world_stop(stage.world, stage.who[4]);
    cr_assert_eq(say(&stage, 1, "four of five", id), ERR_OK);
    cr_expect_eq(sent_info(&stage, 1, id).recipients, 4);
    expect_delivered(&stage, 1, id, 3, OUT_STORED);
    world_start(stage.world, stage.who[4]);
    expect_delivered(&stage, 1, id, 4, OUT_DELIVERED);
    no_alarms(&stage);
    stage_close(&stage);
}

Test(group_mail, all_read_the_same_order)
{
    struct stage stage;
    uint8_t id[16];
    char text[16];
    struct order first;

    stage_open(&stage, 22, 4);
    world_weather(stage.world, world_storm);
    create_with(&stage, 4, false);
    come_together(&stage, 4, "all have joined");
    for (int i = 0; i < 60; i++) {
        snprintf(text, sizeof text, "%d", i);
        cr_assert_eq(say(&stage, (size_t)i % 3, text, id), ERR_OK);
        world_pass(stage.world, world_random(stage.world, 300));
    }
    world_weather(stage.world, world_calm);
    for (int i = 57; i < 60; i++) { /* a sender's last one is behind all the others of his */
        snprintf(text, sizeof text, "%d", i);
        READ_BY(&stage, text, 3);
    }
    first = order_of(&stage, 3);
    for (int sender = 0; sender < 3; sender++) { /* each in his own order */
        const char *at = first.text;
        for (int i = sender; i < 60; i += 3) {
            char want[16];
            snprintf(want, sizeof want, "%d ", i);
            while (at && !(strncmp(at, want, strlen(want)) == 0))
                at = strchr(at, ' ') ? strchr(at, ' ') + 1 : NULL;
            cr_assert(at, "%d of %d is missing or out of order", i, sender);
        }
    }
    no_alarms(&stage);
    stage_close(&stage);
}

/* ------------------------------------------------------------------ epochs that change under it */

Test(group_mail, T55_words_on_their_way_when_the_epoch_changes)
{
    struct stage stage;
    uint8_t id[16];
    char text[16];
    unsigned anew = 0;

    stage_open(&stage, 23, 4);
    create_with(&stage, 4, false);
    come_together(&stage, 4, "all have joined");
    world_weather(stage.world, (struct world_weather){ .delay_max_ms = 400 });
    for (int i = 0; i < 40; i++) {
        struct profile_out row;
        snprintf(text, sizeof text, "n%d", i);
        cr_assert_eq(say(&stage, 1, text, id), ERR_OK);
        cr_assert(profile_out_find(agent_at(&stage, 1)->store, id, &row));
        anew += row.state == OUTBOX_SEALED;
        if (i % 4 == 0)
            cr_assert_eq(agent_group_rekey(agent_at(&stage, 0), stage.gid), ERR_OK);
        world_pass(stage.world, world_random(stage.world, 700));
    }
    cr_expect_gt(anew, 0);
    READ_BY(&stage, "n39", 0, 2, 3);
    for (int i = 0; i < 40; i++) {
        snprintf(text, sizeof text, "n%d", i);
        for (size_t who = 0; who < 4; who++)
            cr_expect_eq(times_heard(&stage, who, text), who != 1, "%zu: %s", who, text);
    }
    expect_delivered(&stage, 1, id, 3, OUT_DELIVERED);
    no_alarms(&stage);
    stage_close(&stage);
}

Test(group_mail, T55_who_was_offline_seals_anew_what_was_not_taken)
{
    struct stage stage;
    uint8_t id[16];

    stage_open(&stage, 24, 3);
    create_with(&stage, 3, false);
    come_together(&stage, 3, "all have joined");
    world_pass(stage.world, MINUTES(1));
    world_partition(stage.world, stage.who[1], true);
    cr_assert_eq(say(&stage, 1, "from the tunnel", id), ERR_OK);
    cr_assert_eq(agent_group_rekey(agent_at(&stage, 0), stage.gid), ERR_OK);
    world_pass(stage.world, MINUTES(5));
    world_kill(stage.world, stage.who[1]);
    world_partition(stage.world, stage.who[1], false);
    world_start(stage.world, stage.who[1]);
    READ_BY(&stage, "from the tunnel", 0, 2);
    no_alarms(&stage);
    stage_close(&stage);
}

/* ------------------------------------------------------------------ things that end */

Test(group_mail, a_removed_sender_has_dead_letters)
{
    struct stage stage;
    uint8_t id[16];

    stage_open(&stage, 25, 3);
    create_with(&stage, 3, false);
    come_together(&stage, 3, "all have joined");
    world_partition(stage.world, stage.who[2], true);
    cr_assert_eq(say(&stage, 2, "too late", id), ERR_OK);
    removes(&stage, 0, 2);
    come_together(&stage, 2, "removed");
    world_partition(stage.world, stage.who[2], false);
    world_pass(stage.world, MINUTES(5));
    cr_expect_eq(sent_info(&stage, 2, id).state, OUT_REFUSED);
    cr_expect_eq(times_heard(&stage, 0, "too late"), 0);
    stage_close(&stage);
}

Test(group_mail, T54_a_silent_member_finds_tombstones_and_the_others_lose_nothing)
{
    struct stage stage;
    uint8_t id[16];

    stage_open(&stage, 26, 3);
    create_with(&stage, 3, false);
    come_together(&stage, 3, "all have joined");
    cr_assert_eq(say(&stage, 0, "first", id), ERR_OK);
    READ_BY(&stage, "first", 1, 2);
    world_stop(stage.world, stage.who[2]);
    cr_assert_eq(say(&stage, 0, "long ago", id), ERR_OK);
    READ_BY(&stage, "long ago", 1);
    world_pass(stage.world, DAYS(9));
    cr_assert_eq(say(&stage, 0, "today", id), ERR_OK);
    READ_BY(&stage, "today", 1);
    world_start(stage.world, stage.who[2]);
    READ_BY(&stage, "today", 2);
    cr_expect_eq(times_heard(&stage, 2, "long ago"), 0, "its life was over");
    no_alarms(&stage);
    stage_close(&stage);
}

/* ------------------------------------------------------------------ files put back */

Test(group_mail, the_broker_is_put_back_and_gets_the_words_again)
{
    struct stage stage;
    uint8_t id[16];
    char text[16];

    stage_open(&stage, 27, 3);
    create_with(&stage, 3, false);
    come_together(&stage, 3, "all have joined");
    cr_assert_eq(say(&stage, 1, "before", id), ERR_OK);
    READ_BY(&stage, "before", 0, 2);
    world_broker_stop(stage.world);
    world_broker_copy(stage.world);
    world_broker_start(stage.world);
    world_stop(stage.world, stage.who[2]);
    for (int i = 0; i < 5; i++) {
        snprintf(text, sizeof text, "lost %d", i);
        cr_assert_eq(say(&stage, 1, text, id), ERR_OK);
        READ_BY(&stage, text, 0);
    }
    world_broker_stop(stage.world);
    world_broker_put_back(stage.world);
    world_broker_start(stage.world);
    world_start(stage.world, stage.who[2]);
    for (int i = 0; i < 5; i++) {
        snprintf(text, sizeof text, "lost %d", i);
        READ_BY(&stage, text, 0, 2); /* not twice, and not never */
    }
    cr_assert_eq(say(&stage, 1, "after", id), ERR_OK);
    READ_BY(&stage, "after", 0, 2);
    no_alarms(&stage);
    stage_close(&stage);
}

Test(group_mail, a_profile_is_put_back_and_goes_on_when_a_person_has_decided)
{
    struct stage stage;
    uint8_t id[16];

    stage_open(&stage, 28, 3);
    create_with(&stage, 3, false);
    come_together(&stage, 3, "all have joined");
    cr_assert_eq(say(&stage, 1, "one", id), ERR_OK);
    READ_BY(&stage, "one", 0, 2);
    world_stop(stage.world, stage.who[1]);
    world_agent_copy(stage.world, stage.who[1]);
    world_start(stage.world, stage.who[1]);
    cr_assert_eq(say(&stage, 1, "two", id), ERR_OK);
    cr_assert_eq(say(&stage, 1, "three", id), ERR_OK);
    READ_BY(&stage, "three", 0, 2);
    world_stop(stage.world, stage.who[1]);
    world_agent_put_back(stage.world, stage.who[1]);
    world_start(stage.world, stage.who[1]);
    world_pass(stage.world, MINUTES(2));
    cr_expect_eq(say(&stage, 1, "again?", id), ERR_ROLLBACK);
    cr_assert_eq(agent_rotate_all(agent_at(&stage, 1)), ERR_OK);
    world_pass(stage.world, MINUTES(5));
    cr_assert_eq(say(&stage, 1, "four", id), ERR_OK);
    READ_BY(&stage, "four", 0, 2);
    cr_assert_eq(say(&stage, 0, "welcome", id), ERR_OK);
    READ_BY(&stage, "welcome", 1, 2);
    stage_close(&stage);
}

Test(group_mail, a_profile_of_before_the_group_finds_it_again)
{
    struct stage stage;
    uint8_t id[16];

    stage_open(&stage, 29, 3);
    world_stop(stage.world, stage.who[1]);
    world_agent_copy(stage.world, stage.who[1]);
    world_start(stage.world, stage.who[1]);
    create_with(&stage, 3, false);
    come_together(&stage, 3, "all have joined");
    cr_assert_eq(say(&stage, 1, "one", id), ERR_OK);
    READ_BY(&stage, "one", 0, 2);
    world_stop(stage.world, stage.who[1]);
    world_agent_put_back(stage.world, stage.who[1]);
    world_start(stage.world, stage.who[1]);
    world_pass(stage.world, MINUTES(2));
    cr_assert_eq(agent_rotate_all(agent_at(&stage, 1)), ERR_OK);
    come_together(&stage, 3, "it is found again");
    cr_assert_eq(say(&stage, 1, "two", id), ERR_OK);
    READ_BY(&stage, "two", 0, 2);
    stage_close(&stage);
}

/* ------------------------------------------------------------------ any weather */

Test(group_mail, nothing_is_lost_nothing_comes_twice_in_any_weather, .timeout = 200)
{
    static const uint64_t seeds[] = { 2101, 2102, 2103 };
    char text[24];
    uint8_t id[16];

    for (size_t s = 0; s < sizeof seeds / sizeof seeds[0]; s++) {
        struct stage stage;
        bool said[80] = { false };
        size_t author[80] = { 0 };
        printf("seed %" PRIu64 "\n", seeds[s]);
        stage_open(&stage, seeds[s], 5);
        create_with(&stage, 5, false);
        come_together(&stage, 5, "all have joined");
        world_weather(stage.world, world_storm);
        for (int i = 0; i < 80; i++) {
            size_t who = world_random(stage.world, 5);
            snprintf(text, sizeof text, "m%d", i);
            author[i] = who;
            if (agent_at(&stage, who))
                said[i] = say(&stage, who, text, id) == ERR_OK;
            if (world_random(stage.world, 8) == 0 && agent_at(&stage, who))
                world_kill(stage.world, stage.who[who]);
            else if (!agent_at(&stage, who))
                world_start(stage.world, stage.who[who]);
            if (world_random(stage.world, 12) == 0 && agent_at(&stage, 0))
                agent_group_rekey(agent_at(&stage, 0), stage.gid);
            if (world_random(stage.world, 20) == 0) {
                world_broker_kill(stage.world);
                world_pass(stage.world, 500);
                world_broker_start(stage.world);
            }
            world_pass(stage.world, world_random(stage.world, 3000));
        }
        world_weather(stage.world, world_calm);
        for (size_t i = 0; i < 5; i++)
            if (!agent_at(&stage, i))
                world_start(stage.world, stage.who[i]);
        world_pass(stage.world, MINUTES(10));
        for (int i = 0; i < 80; i++) {
            snprintf(text, sizeof text, "m%d", i);
            for (size_t who = 0; who < 5; who++)
                cr_expect_eq(times_heard(&stage, who, text), said[i] && who != author[i],
                             "seed %" PRIu64 ": %s of %zu at %zu", seeds[s], text, author[i], who);
        }
        no_alarms(&stage);
        stage_close(&stage);
    }
}
