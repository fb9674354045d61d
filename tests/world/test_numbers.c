/* layers: testworld */
/* Numbers without holes, whatever becomes of the frames (protocol.md 9, T42, T64). */
#include <criterion/criterion.h>
#include <inttypes.h>

#include "shared/wire/limit.h"
#include "tests/lib/world_internal.h"

#define HOURS(n) ((uint64_t)(n)*3600000)
#define DAYS(n)  HOURS((n)*24)

static void no_rates(struct world *world)
{
    world_settings(world)->send_per_s = 100000;
    world_settings(world)->send_burst = 100000;
    flow_configure(world_flow(world), world_settings(world));
}

/* Sixteen SENDs are on their way at any time; some are lost, some overtaken, and now and then the
 * connection ends in the middle of them.  All arrive in order, and no broker ever stored a hole. */
Test(world, T42_cut_in_the_middle_of_a_pipeline)
{
    static const struct world_weather bad = { .delay_max_ms = 200, .drop = 60, .overtake = 60 };

    for (uint64_t seed = 42; seed < 46; seed++) {
        struct world *world = world_new(seed);
        struct world_agent *ann = world_join(world, "ann", "home");
        struct world_agent *bob = world_join(world, "bob", "home");
        struct world_figures figures;

        no_rates(world);
        world_weather(world, bad);
        for (int i = 0; i < 200; i++) {
            cr_assert(world_send(world, ann, bob, 100));
            world_pass(world, 20);
            if (i % 25 == 24)
                link_cut(world, world_random(world, 3) ? ann : bob);
        }
        cr_expect(world_run(world, HOURS(2), world_all_delivered, NULL), "seed %" PRIu64, seed);
        figures = world_figures(world);
        cr_expect_gt(figures.cuts, 3, "seed %" PRIu64, seed);
        world_check(world);
        world_free(&world);
    }
}

static struct outgoing_info info_of(struct world *world, struct world_agent *who, size_t saying)
{
    struct outgoing_info info;

    cr_assert_eq(agent_outgoing_get(world_agent(who), world->sayings[saying].id, &info), ERR_OK);
    return info;
}

/* A recipient that is silent while two thousand messages end: more than 500 never get a number, so
 * what it misses stays within what it can skip, and it reads the next one. */
Test(world, T64_two_thousand_end_and_the_next_one_opens)
{
    struct world *world = world_new(64);
    struct world_agent *ann = world_join(world, "ann", "home");
    struct world_agent *bob = world_join(world, "bob", "home");
    struct agent_settings settings;
    struct outgoing_info info;
    unsigned numbered = 0, ended = 0;

    no_rates(world);
    cr_assert(world_send(world, ann, bob, 40));
    cr_assert(world_run(world, HOURS(1), world_all_delivered, NULL));
    agent_settings_default(&settings);
    settings.ttl_ms = DAYS(1); /* the session outlives them */
    agent_configure(world_agent(ann), &settings);
    world_stop(world, bob);
    for (int i = 0; i < 2000; i++)
        cr_assert(world_send(world, ann, bob, 40));
    world_pass(world, DAYS(1) + HOURS(2));
    for (size_t i = 1; i < world->saying_count; i++) {
        info = info_of(world, ann, i);
        ended += info.state == OUT_EXPIRED;
        numbered += info.seq != 0;
    }
    cr_expect_eq(ended, 2000);
    cr_expect(world_all_arrived(world, NULL), "as dead letters at the sender");
    cr_expect_eq(numbered, LIMIT_SEALED_AHEAD);
    world_start(world, bob);
    cr_assert(world_send(world, ann, bob, 40));
    cr_expect(world_run(world, HOURS(1), world_all_delivered, NULL));
    cr_expect_eq(world_figures(world).taken, 2);
    info = info_of(world, ann, 2001);
    cr_expect_eq(info.seq, LIMIT_SEALED_AHEAD + 2, "in the same session, the next number");
    world_check(world);
    world_free(&world);
}
