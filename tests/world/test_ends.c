/* layers: testworld */
/* What a broker that was put back has lost of the chains of sessions. */
#include <criterion/criterion.h>

#include "broker/store/scopes.h"
#include "tests/lib/world_internal.h"

#define MINUTES(n) ((uint64_t)(n)*60000)
#define HOURS(n)   MINUTES((n)*60)

struct pair {
    struct world *world;
    struct world_agent *ann, *bob;
};

static struct pair meet(uint64_t seed)
{
    struct pair pair = { .world = world_new(seed) };

    pair.ann = world_join(pair.world, "ann", "home");
    pair.bob = world_join(pair.world, "bob", "home");
    cr_assert(world_send(pair.world, pair.ann, pair.bob, 40));
    cr_assert(world_send(pair.world, pair.bob, pair.ann, 40));
    cr_assert(world_run(pair.world, MINUTES(5), world_all_delivered, NULL));
    return pair;
}

static void note_session(void *ctx, const struct session_info *session)
{
    memcpy(ctx, session->id, 16);
}

static void session_of(struct world_agent *who, uint8_t sid[static 16])
{
    agent_sessions_each(world_agent(who), NULL, true, note_session, sid);
}

static enum session_state at_broker(struct pair *pair, const uint8_t sid[static 16])
{
    struct session_row row;

    cr_assert_eq(store_session_find(pair->world->store, sid, &row), ERR_OK);
    return row.state;
}

static void restore(struct world *world)
{
    world_broker_kill(world);
    world_broker_put_back(world);
    world_broker_start(world);
}

/* What ended a session is lost: whoever has it signed brings it back. */
Test(put_back, T62_ends_that_the_broker_has_lost)
{
    for (int who = 0; who < 3; who++) {
        struct pair pair = meet(90);
        uint8_t sid[16];

        session_of(pair.ann, sid);
        world_broker_stop(pair.world);
        world_broker_copy(pair.world);
        world_broker_start(pair.world);
        world_pass(pair.world, MINUTES(1));
        if (who == 2)
            cr_assert_eq(agent_rotate(world_agent(pair.ann), world_aid(pair.bob), sid), ERR_OK);
        else
            cr_assert_eq(agent_close(world_agent(pair.ann), world_aid(pair.bob), NULL, false),
                         ERR_OK);
        world_pass(pair.world, MINUTES(2));
        cr_assert_neq(at_broker(&pair, sid), SESSION_ACTIVE);
        /* The one who said it, or the one who heard it. */
        world_stop(pair.world, who == 0 ? pair.bob : pair.ann);
        restore(pair.world);
        cr_assert_eq(at_broker(&pair, sid), SESSION_ACTIVE, "that is lost");
        world_pass(pair.world, MINUTES(5));
        if (who < 2)
            cr_expect_neq(at_broker(&pair, sid), SESSION_ACTIVE, "brought back by %d", who);
        world_start(pair.world, pair.ann);
        world_start(pair.world, pair.bob);
        cr_assert(world_send(pair.world, pair.ann, pair.bob, 40));
        cr_assert(world_send(pair.world, pair.bob, pair.ann, 40));
        cr_expect(world_run(pair.world, HOURS(2), world_all_delivered, NULL), "%d", who);
        world_check(pair.world);
        world_free(&pair.world);
    }
}
