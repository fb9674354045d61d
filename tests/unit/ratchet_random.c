/* layers: base wire trust agent_crypto */
/*
 * The ratchet against chance: frames are sealed, delivered in any order, repeated, lost and forged.
 * Every frame opens exactly once and to its own message; whatever is refused leaves no trace.
 */
#include <criterion/criterion.h>

#include "agent/crypto/aead.h"
#include "tests/lib/pair.h"

#define FLIGHT_MAX 64

struct flight {
    struct buf frame;
    uint8_t message[600];
    size_t len;
    uint32_t turn; /* how often its sender had turned */
    bool opened;
};

struct road { /* frames on their way to one side */
    struct flight flight[FLIGHT_MAX];
    size_t count;
    uint32_t turns, newest; /* of the sender; newest turn that has arrived */
};

struct world {
    struct pair pair;
    struct road to_a, to_b;
    struct chance chance;
    size_t opened, late, turned, refused;
};

static struct road *road_to(struct world *world, const struct side *side)
{
    return side == &world->pair.a ? &world->to_a : &world->to_b;
}

static void road_drop(struct road *road, size_t i)
{
    buf_free(&road->flight[i].frame);
    road->flight[i] = road->flight[--road->count];
}

static void step_send(struct world *world, struct side *from)
{
    struct road *road = road_to(world, pair_other(&world->pair, from));
    struct flight *flight;
    uint8_t digest[32];

    if (road->count == FLIGHT_MAX)
        road_drop(road, chance_below(&world->chance, FLIGHT_MAX)); /* lost for ever */
    flight = &road->flight[road->count];
    flight->len = chance_below(&world->chance, sizeof flight->message);
    chance_bytes(&world->chance, flight->message, flight->len);
    flight->frame = (struct buf){ 0 };
    flight->turn = road->turns;
    flight->opened = false;
    buf_extend(&flight->frame, frame_size_for(flight->len));
    if (pair_seal(&world->pair, from, bytes_of(flight->message, flight->len), flight->frame.at,
                  digest)
        == ERR_OK)
        road->count++;
    else
        buf_free(&flight->frame);
}

static enum err offer(struct world *world, struct side *to, struct bytes frame,
                      struct ratchet_opened *opened, uint8_t *out)
{
    struct buf before = side_bytes(to), after;
    enum err e = pair_open(&world->pair, to, frame, out, opened);

    if (e != ERR_OK) {
        after = side_bytes(to);
        cr_assert(bytes_equal(buf_bytes(&before), buf_bytes(&after)),
                  "a refused frame left a trace");
        buf_wipe(&after);
        world->refused++;
    }
    buf_wipe(&before);
    return e;
}

static void step_deliver(struct world *world, struct side *to)
{
    struct road *road = road_to(world, to);
    struct ratchet_opened opened;
    uint8_t out[1024];
    size_t i;
    struct flight *flight;
    enum err e;

    if (road->count == 0)
        return;
    i = chance_below(&world->chance, road->count);
    flight = &road->flight[i];
    if (road->newest > flight->turn + SKIPPED_OLD_CHAINS) { /* its header key may be gone */
        road_drop(road, i);
        return;
    }
    e = offer(world, to, buf_bytes(&flight->frame), &opened, out);
    if (flight->opened) {
        cr_assert_neq(e, ERR_OK, "a frame opened twice");
        return;
    }
    cr_assert_eq(e, ERR_OK, "frame of turn %u, newest %u", flight->turn, road->newest);
    cr_assert_eq(opened.len, flight->len);
    cr_assert(memcmp(out, flight->message, flight->len) == 0);
    flight->opened = true;
    if (flight->turn > road->newest)
        road->newest = flight->turn;
    if (opened.turned)
        road_to(world, pair_other(&world->pair, to))->turns++;
    world->opened++;
    world->late += opened.late;
    world->turned += opened.turned;
    if (chance_below(&world->chance, 4)) /* a few stay, to be delivered again */
        road_drop(road, i);
}

static void step_forge(struct world *world, struct side *to)
{
    struct road *road = road_to(world, to);
    struct ratchet_opened opened;
    uint8_t out[1024];
    struct flight *flight;
    size_t bit;

    if (road->count == 0)
        return;
    flight = &road->flight[chance_below(&world->chance, road->count)];
    bit = chance_below(&world->chance, 8 * flight->frame.len);
    flight->frame.at[bit / 8] ^= (uint8_t)(1 << bit % 8);
    cr_assert_neq(offer(world, to, buf_bytes(&flight->frame), &opened, out), ERR_OK, "bit %zu",
                  bit);
    flight->frame.at[bit / 8] ^= (uint8_t)(1 << bit % 8);
}

/* The profile is closed and opened again. */
static void step_reopen(struct side *side)
{
    uint8_t state[RATCHET_STATE_SIZE];
    struct buf keys = { 0 };

    ratchet_export(&side->ratchet, state);
    skipped_export(&side->skipped, &keys);
    skipped_wipe(&side->skipped);
    cr_assert_eq(ratchet_import(&side->ratchet, bytes_of(state, sizeof state)), ERR_OK);
    cr_assert_eq(skipped_import(&side->skipped, buf_bytes(&keys)), ERR_OK);
    buf_wipe(&keys);
}

static void play(uint64_t seed, uint8_t suite, size_t steps)
{
    struct world *world = mem_zeroed(1, sizeof *world);

    if (!aead_available(suite)) {
        free(world);
        cr_skip_test("this CPU has no AES");
    }
    pair_begin(&world->pair, seed, suite);
    world->chance.state = ~seed;
    for (size_t i = 0; i < steps; i++) {
        struct side *side = chance_below(&world->chance, 2) ? &world->pair.a : &world->pair.b;
        size_t what = chance_below(&world->chance, 100);

        if (what < 40)
            step_send(world, side);
        else if (what < 85)
            step_deliver(world, side);
        else if (what < 97)
            step_forge(world, side);
        else
            step_reopen(side);
    }
    cr_expect(world->opened > steps / 5 && world->late > 0 && world->turned > 0
                  && world->refused > 0,
              "the schedule was dull: %zu opened, %zu late, %zu turns, %zu refused", world->opened,
              world->late, world->turned, world->refused);
    while (world->to_a.count)
        road_drop(&world->to_a, 0);
    while (world->to_b.count)
        road_drop(&world->to_b, 0);
    pair_end(&world->pair);
    free(world);
}

Test(ratchet_random, chacha)
{
    cr_assert(sodium_init() >= 0);
    play(chance_seed("ratchet_random chacha"), SUITE_CHACHA, 60000);
}

Test(ratchet_random, aes)
{
    cr_assert(sodium_init() >= 0);
    play(chance_seed("ratchet_random aes"), SUITE_AES, 40000);
}

Test(ratchet_random, fixed_seeds)
{
    cr_assert(sodium_init() >= 0);
    for (uint64_t seed = 1; seed <= 10; seed++)
        play(seed, SUITE_CHACHA, 1500);
}

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, 24);
}

/* A sender that is thrown back again and again, with random bytes that repeat, never repeats N. */
Test(ratchet_random, no_nonce_twice)
{
    enum { COUNT = 100000 };
    uint8_t(*n)[24] = mem_alloc(COUNT * sizeof *n);
    uint8_t frame[FRAME_MIN], digest[32];
    struct ratchet before;
    struct pair pair;

    cr_assert(sodium_init() >= 0);
    pair_begin(&pair, 77, SUITE_CHACHA);
    before = pair.a.ratchet;
    for (uint32_t i = 0; i < COUNT; i++) {
        uint8_t message[4];

        if (i % 100 == 99) {
            pair.a.ratchet = before;
            pair.a.seq = 0;
            pair.chance.state = 5;
        }
        put_u32(message, i);
        cr_assert_eq(pair_seal(&pair, &pair.a, bytes_of(message, 4), frame, digest), ERR_OK);
        memcpy(n[i], frame + 102, 24);
    }
    qsort(n, COUNT, sizeof *n, by_bytes);
    for (size_t i = 1; i < COUNT; i++)
        cr_assert(memcmp(n[i - 1], n[i], 24) != 0);
    free(n);
    pair_end(&pair);
}
