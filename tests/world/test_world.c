/* layers: testworld */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/world.h"

/* SEED and SEEDS choose the runs; what failed is run again with its number. */
static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text ? strtoull(text, NULL, 10) : otherwise;
}

#define MINUTES(n) ((uint64_t)(n)*60000)
#define HOURS(n)   MINUTES((n)*60)
#define DAYS(n)    HOURS((n)*24)

static enum outgoing_state state_of(struct world_agent *who, const uint8_t id[static 16])
{
    struct outgoing_info info;

    cr_assert_eq(agent_outgoing_get(world_agent(who), id, &info), ERR_OK);
    return info.state;
}

/* P1, P2, P3: one writes while the other is away. */
Test(world, a_message_waits_for_one_who_is_away)
{
    struct world *world = world_new(1);
    struct world_agent *ann = world_join(world, "ann", "home");
    struct world_agent *bob = world_join(world, "bob", "home");
    struct send_request request
        = { .body = bytes_of_text("hello"), .media_type = bytes_of_text("text/plain") };
    struct incoming_filter unread = { .unread = true };
    struct incoming_info info;
    uint8_t id[16];

    world_stop(world, bob);
    memcpy(request.to, world_aid(bob), 32);
    cr_assert_eq(agent_send(world_agent(ann), &request, id), ERR_OK);
    cr_expect_eq(state_of(ann, id), OUT_QUEUED);
    world_pass(world, 1000);
    cr_expect_eq(state_of(ann, id), OUT_STORED);
    world_stop(world, ann);
    world_pass(world, DAYS(2));

    world_start(world, bob);
    world_pass(world, 1000);
    cr_assert_eq(agent_take(world_agent(bob), &unread, NULL, 0, &info), ERR_OK);
    cr_expect(bytes_equal(info.body, bytes_of_text("hello")));
    cr_expect(bytes_equal(info.from, bytes_of_text("ann")));
    cr_expect_arr_eq(info.id, id, 16);
    cr_expect(info.first_contact);
    cr_expect_eq(info.trust, TRUST_PINNED);
    world_stop(world, bob);

    world_start(world, ann);
    world_pass(world, 1000);
    cr_expect_eq(state_of(ann, id), OUT_DELIVERED);
    world_free(&world);
}

Test(world, a_conversation_both_ways)
{
    struct world *world = world_new(2);
    struct world_agent *ann = world_join(world, "ann", "home");
    struct world_agent *bob = world_join(world, "bob", "home");

    for (int i = 0; i < 50; i++) {
        cr_assert(world_send(world, ann, bob, 40));
        cr_assert(world_send(world, bob, ann, 4000));
        world_pass(world, 100);
    }
    cr_expect(world_run(world, MINUTES(5), world_all_delivered, NULL));
    world_check(world);
    world_free(&world);
}

/* Two that never met write to each other at the same moment (protocol 3.4). */
Test(world, both_begin_at_once)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct world *world = world_new(seed);
        struct world_agent *ann = world_join(world, "ann", "home");
        struct world_agent *bob = world_join(world, "bob", "home");

        world_weather(world, world_storm);
        cr_assert(world_send(world, ann, bob, 40));
        cr_assert(world_send(world, bob, ann, 40));
        cr_expect(world_run(world, HOURS(1), world_all_delivered, NULL), "seed %" PRIu64, seed);
        cr_assert(world_send(world, ann, bob, 40));
        cr_assert(world_send(world, bob, ann, 40));
        world_weather(world, world_calm);
        cr_expect(world_run(world, HOURS(1), world_all_delivered, NULL), "seed %" PRIu64, seed);
        world_check(world);
        world_free(&world);
    }
}

/* Everybody to everybody at the same moment: 210 pairs begin from both sides. */
Test(world, all_begin_at_once)
{
    struct world *world = world_new(12);
    struct world_agent *who[21];
    char name[8];

    for (int i = 0; i < 21; i++) {
        snprintf(name, sizeof name, "a%d", i);
        who[i] = world_join(world, name, "home");
    }
    world_weather(world, (struct world_weather){ .delay_max_ms = 300, .cut = 3 });
    for (int i = 0; i < 21; i++)
        for (int j = 0; j < 21; j++)
            if (i != j)
                cr_assert(world_send(world, who[i], who[j], 40));
    if (!world_run(world, HOURS(12), world_all_delivered, NULL)) {
        world_explain(world);
        cr_expect_fail();
    }
    world_check(world);
    world_free(&world);
}

/* A stranger's message is held: not shown, no receipt; the sender sees it stored. */
Test(world, a_stranger_is_held)
{
    struct world *world = world_new(3);
    struct world_agent *ann = world_join(world, "ann", "home");
    struct world_agent *eve = world_join(world, "eve", NULL);
    struct agent_counts counts;

    cr_assert(world_send(world, eve, ann, 40));
    cr_assert(world_send(world, eve, ann, 40));
    world_pass(world, MINUTES(1));
    world_take_all(world, ann);
    cr_expect_eq(world_figures(world).taken, 0);
    cr_assert_eq(agent_counts_get(world_agent(ann), &counts), ERR_OK);
    cr_expect_eq(counts.held, 1);
    cr_assert_eq(agent_counts_get(world_agent(eve), &counts), ERR_OK);
    cr_expect_eq(counts.stored, 1);
    cr_expect_eq(counts.queued, 1, "only the request may leave before the answer");
    world_pass(world, DAYS(8));
    cr_expect(world_all_arrived(world, NULL), "both are dead letters at the sender");
    world_free(&world);
}

Test(world, many_messages_in_a_row)
{
    struct world *world = world_new(4);
    struct world_agent *ann = world_join(world, "ann", "home");
    struct world_agent *bob = world_join(world, "bob", "home");

    world_settings(world)->send_per_s = 100000;
    world_settings(world)->send_burst = 100000;
    flow_configure(world_flow(world), world_settings(world));
    world_stop(world, bob);
    for (int i = 0; i < 900; i++)
        cr_assert(world_send(world, ann, bob, 100));
    world_pass(world, MINUTES(1));
    world_start(world, bob);
    cr_expect(world_run(world, HOURS(1), world_all_delivered, NULL));
    world_check(world);
    world_free(&world);
}

/* Rates and shares slow a sender down, and lose nothing. */
Test(world, T43_quotas_only_delay)
{
    struct world *world = world_new(5);
    struct world_agent *ann = world_join(world, "ann", "home");
    struct world_agent *bob = world_join(world, "bob", "home");

    world_settings(world)->send_per_s = 2;
    world_settings(world)->send_burst = 5;
    world_settings(world)->pair_frames = 10;
    flow_configure(world_flow(world), world_settings(world));
    for (int i = 0; i < 60; i++)
        cr_assert(world_send(world, ann, bob, 100));
    cr_expect(world_run(world, HOURS(2), world_all_delivered, NULL));
    world_check(world);
    world_free(&world);
}

/* Fault 12: what expires while the broker is down is a dead letter, and nothing behind it is stuck.
 */
Test(world, expired_while_the_broker_was_down)
{
    struct world *world = world_new(6);
    struct world_agent *ann = world_join(world, "ann", "home");
    struct world_agent *bob = world_join(world, "bob", "home");

    cr_assert(world_send(world, ann, bob, 40));
    cr_assert(world_run(world, MINUTES(5), world_all_delivered, NULL));
    world_broker_stop(world);
    for (int i = 0; i < 5; i++)
        cr_assert(world_send(world, ann, bob, 40));
    world_pass(world, DAYS(8));
    world_broker_start(world);
    world_pass(world, HOURS(1));
    cr_assert(world_send(world, ann, bob, 40));
    cr_expect(world_run(world, HOURS(1), world_all_delivered, NULL));
    cr_expect_eq(world_figures(world).taken, 2);
    world_check(world);
    world_free(&world);
}

/* Expires at the broker: the recipient was away for too long; both are told. */
Test(world, expired_at_the_broker)
{
    struct world *world = world_new(7);
    struct world_agent *ann = world_join(world, "ann", "home");
    struct world_agent *bob = world_join(world, "bob", "home");

    cr_assert(world_send(world, ann, bob, 40));
    cr_assert(world_run(world, MINUTES(5), world_all_delivered, NULL));
    world_stop(world, bob);
    for (int i = 0; i < 5; i++)
        cr_assert(world_send(world, ann, bob, 40));
    world_pass(world, DAYS(7) + HOURS(2));
    cr_expect(world_all_arrived(world, NULL), "five dead letters at the sender");
    world_start(world, bob);
    cr_assert(world_send(world, ann, bob, 40));
    cr_expect(world_run(world, HOURS(1), world_all_delivered, NULL));
    cr_expect_eq(world_figures(world).taken, 2);
    world_check(world);
    world_free(&world);
}

/* Fault 13, P5: a profile that was put back says nothing with an old number. */
Test(world, a_profile_put_back_is_noticed)
{
    struct world *world = world_new(8);
    struct world_agent *ann = world_join(world, "ann", "home");
    struct world_agent *bob = world_join(world, "bob", "home");
    struct agent_counts counts;

    cr_assert(world_send(world, ann, bob, 40));
    cr_assert(world_run(world, MINUTES(5), world_all_delivered, NULL));
    world_stop(world, ann);
    world_agent_copy(world, ann);
    world_start(world, ann);
    for (int i = 0; i < 5; i++)
        cr_assert(world_send(world, ann, bob, 40));
    cr_assert(world_run(world, MINUTES(5), world_all_delivered, NULL));
    world_stop(world, ann);
    world_agent_put_back(world, ann);
    world_start(world, ann);
    world_pass(world, MINUTES(1));
    cr_assert_eq(agent_counts_get(world_agent(ann), &counts), ERR_OK);
    world_take_all(world, bob);
    cr_expect_eq(world_figures(world).taken, 6);
    world_free(&world);
}

/* State lost (3.4): a recipient that does not know the session any more says so, signed, and what
 * it never signed for comes again in a new one. */
Test(world, a_recipient_put_back_is_reached_again)
{
    struct world *world = world_new(10);
    struct world_agent *ann = world_join(world, "ann", "home");
    struct world_agent *bob = world_join(world, "bob", "home");

    cr_assert(world_send(world, ann, bob, 40)); /* so that the old profile knows who ann is */
    cr_assert(world_run(world, MINUTES(5), world_all_delivered, NULL));
    world_stop(world, bob);
    world_agent_copy(world, bob);
    world_start(world, bob);
    for (int i = 0; i < 3; i++) {
        cr_assert(world_send(world, bob, ann, 40));
        cr_assert(world_send(world, ann, bob, 40));
    }
    cr_assert(world_run(world, MINUTES(5), world_all_delivered, NULL));
    world_stop(world, bob);
    for (int i = 0; i < 3; i++)
        cr_assert(world_send(world, ann, bob, 40));
    world_pass(world, MINUTES(1));
    world_agent_put_back(world, bob);
    world_start(world, bob);
    world_pass(world, MINUTES(1));
    cr_assert_eq(agent_rotate_all(world_agent(bob)), ERR_OK);
    world_pass(world, MINUTES(1));
    for (int i = 0; i < 3; i++)
        cr_assert(world_send(world, ann, bob, 40));
    cr_expect(world_run(world, HOURS(1), world_all_arrived, NULL));
    world_take_all(world, bob);
    cr_expect_eq(world_figures(world).taken, 13);
    world_free(&world);
}

/* The same, and the sender had never written before the copy was made. */
Test(world, a_recipient_put_back_learns_who_writes)
{
    struct world *world = world_new(11);
    struct world_agent *ann = world_join(world, "ann", "home");
    struct world_agent *bob = world_join(world, "bob", "home");

    world_stop(world, bob);
    world_agent_copy(world, bob);
    world_start(world, bob);
    cr_assert(world_send(world, ann, bob, 40));
    cr_assert(world_run(world, MINUTES(5), world_all_delivered, NULL));
    world_stop(world, bob);
    world_agent_put_back(world, bob);
    world_start(world, bob);
    world_pass(world, MINUTES(1));
    cr_assert_eq(agent_rotate_all(world_agent(bob)), ERR_OK);
    world_pass(world, MINUTES(1));
    for (int i = 0; i < 3; i++)
        cr_assert(world_send(world, ann, bob, 40));
    world_pass(world, MINUTES(1));
    cr_assert(world_send(world, ann, bob, 40));
    cr_expect(world_run(world, HOURS(1), world_all_delivered, NULL));
    cr_expect_eq(world_figures(world).taken, 5);
    world_free(&world);
}

/* Fault 14: the broker lost what came after its backup; the senders send it again. */
Test(world, T56_a_broker_put_back_loses_nothing)
{
    struct world *world = world_new(9);
    struct world_agent *ann = world_join(world, "ann", "home");
    struct world_agent *bob = world_join(world, "bob", "home");

    for (int i = 0; i < 10; i++)
        cr_assert(world_send(world, ann, bob, 40));
    cr_assert(world_run(world, MINUTES(5), world_all_delivered, NULL));
    world_broker_stop(world);
    world_broker_copy(world);
    world_broker_start(world);
    world_pass(world, MINUTES(2));
    for (int i = 0; i < 10; i++)
        cr_assert(world_send(world, ann, bob, 40));
    cr_assert(world_run(world, MINUTES(5), world_all_delivered, NULL));
    world_stop(world, bob);
    for (int i = 0; i < 10; i++)
        cr_assert(world_send(world, ann, bob, 40));
    world_pass(world, MINUTES(2));
    world_broker_stop(world);
    world_broker_put_back(world);
    world_broker_start(world);
    world_start(world, bob);
    cr_expect(world_run(world, HOURS(2), world_all_delivered, NULL));
    cr_assert(world_send(world, ann, bob, 40));
    cr_assert(world_send(world, bob, ann, 40));
    cr_expect(world_run(world, HOURS(2), world_all_delivered, NULL));
    world_check(world);
    world_free(&world);
}

/* Everything that can go wrong with links and processes, from a seed; then peace, and all arrives.
 */
/* A copy of the broker's database, and some time later the copy in its place. */
static void copy_or_put_back(struct world *world, bool *copied)
{
    world_broker_kill(world);
    if (*copied)
        world_broker_put_back(world);
    else
        world_broker_copy(world);
    *copied = !*copied;
    world_broker_start(world);
}

static void stormy(uint64_t seed, struct world_weather weather, bool restores)
{
    bool copied = false;
    struct world *world = world_new(seed);
    struct world_agent *who[5];
    static const char *const names[] = { "ann", "bob", "cyd", "dan", "eva" };

    printf("seed %" PRIu64 "\n", seed);
    for (int i = 0; i < 5; i++)
        who[i] = world_join(world, names[i], "home");
    world_weather(world, weather);
    for (int round = 0; round < 120; round++) {
        struct world_agent *one = who[world_random(world, 5)], *other = who[world_random(world, 5)];

        if (one != other)
            for (uint64_t n = world_random(world, 4); n; n--)
                world_send(world, one, other, 20 + world_random(world, 2000));
        switch (world_random(world, 12)) {
        case 0:
            world_kill(world, one);
            break;
        case 1:
            world_stop(world, one);
            break;
        case 2:
        case 3:
        case 4:
            world_start(world, one);
            break;
        case 5:
            world_partition(world, one, true);
            break;
        case 6:
        case 7:
            world_partition(world, one, false);
            break;
        case 8:
            if (world_random(world, 4) == 0) {
                world_broker_kill(world);
                world_pass(world, world_random(world, 60000));
                world_broker_start(world);
            }
            break;
        case 9:
            if (restores && world_random(world, 2) == 0)
                copy_or_put_back(world, &copied);
            break;
        default:
            break;
        }
        world_pass(world, world_random(world, 20000));
        for (int i = 0; i < 5; i++)
            world_take_all(world, who[i]);
    }
    world_weather(world, world_calm);
    for (int i = 0; i < 5; i++) {
        world_partition(world, who[i], false);
        world_start(world, who[i]);
    }
    if (!world_run(world, HOURS(6), world_all_delivered, NULL)) {
        world_explain(world);
        cr_expect_fail("seed %" PRIu64, seed);
    }
    world_check(world);
    world_free(&world);
}

static void many(uint64_t first, struct world_weather weather, bool restores)
{
    uint64_t count = from_environment("SEEDS", 8);

    first = from_environment("SEED", first);
    for (uint64_t seed = first; seed < first + count; seed++)
        stormy(seed, weather, restores);
}

Test(world, T57_storms)
{
    many(100, world_storm, false);
}

/* Messages that are lost, come twice or overtake others, while the connection stays. */
Test(world, chaos)
{
    many(500, world_chaos, false);
}

/* The broker is put back again and again while all that goes on (fault 14, P8). */
Test(world, storms_over_a_broker_put_back)
{
    many(900, world_storm, true);
}
