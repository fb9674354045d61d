/* layers: base wire net broker_flow broker_edge */
#include <criterion/criterion.h>
#include <poll.h>
#include <stdlib.h>

#include "broker/edge/arrivals.h"
#include "broker/edge/connection.h"
#include "broker/edge/departures.h"
#include "broker/edge/gate.h"
#include "broker/edge/guard.h"
#include "broker/edge/limit.h"
#include "broker/edge/table.h"

struct thing {
    uint64_t key;
    unsigned seen;
};

Test(table, finds_what_is_in_it)
{
    struct thing thing[1000];
    struct table table;

    table_init(&table, offsetof(struct thing, key), sizeof thing[0].key);
    for (size_t i = 0; i < 1000; i++) {
        thing[i] = (struct thing){ i * 7919, 0 };
        table_insert(&table, &thing[i]);
    }
    for (size_t i = 0; i < 1000; i += 2)
        table_remove(&table, &thing[i]);
    cr_expect_eq(table.count, 500);
    for (size_t i = 0; i < 1000; i++)
        cr_expect_eq(table_find(&table, &thing[i].key), i % 2 ? (void *)&thing[i] : NULL, "%zu", i);
    for (size_t i = 0; i < 1000; i++) {
        struct thing *each;

        if (i == 0)
            for (size_t k = 0; (each = table_next(&table, &k));)
                each->seen++;
        cr_expect_eq(thing[i].seen, i % 2, "%zu", i);
    }
    table_wipe(&table);
}

Test(limit, tokens_come_back)
{
    struct bucket bucket;

    bucket_init(&bucket, 10, 3, 1000);
    for (int i = 0; i < 3; i++)
        cr_expect(bucket_take(&bucket, 1000));
    cr_expect(!bucket_take(&bucket, 1000));
    cr_expect(!bucket_take(&bucket, 1099));
    cr_expect(bucket_take(&bucket, 1100));
    cr_expect(!bucket_take(&bucket, 1100));
    cr_expect(bucket_take(&bucket, 99999999), "never more than the burst");
    cr_expect(bucket_take(&bucket, 99999999));
    cr_expect(bucket_take(&bucket, 99999999));
    cr_expect(!bucket_take(&bucket, 99999999));
    cr_expect(!bucket_take(&bucket, 5), "a clock that goes back gives nothing");
}

Test(limit, names_are_bounded)
{
    struct buckets buckets;
    unsigned took = 0;

    buckets_init(&buckets, 1, 1, 10, 0);
    for (unsigned i = 0; i < 10; i++)
        cr_expect(buckets_take(&buckets, &i, sizeof i, 0));
    for (unsigned i = 10; i < 1000; i++)
        took += buckets_take(&buckets, &i, sizeof i, 0);
    cr_expect_eq(took, 1, "those without room share one bucket");
    cr_expect_eq(buckets.table.count, 10);
    for (unsigned i = 2000; i < 2010; i++)
        cr_expect(buckets_take(&buckets, &i, sizeof i, 5000), "full ones were forgotten");
    buckets_wipe(&buckets);
}

static struct requester someone(uint8_t first, enum requester_kind kind)
{
    struct requester who = { .kind = kind, .id = first };

    who.key[0] = first;
    return who;
}

Test(gate, T48_decides)
{
    static const struct gate_limits limits = { 30, 100, 2 };
    struct gate *gate = gate_new(&limits, 0);
    struct requester a = someone(1, BY_AGENT), b = someone(2, BY_AGENT), c = someone(3, BY_AGENT);
    struct requester stranger = someone(9, BY_AGENT);
    unsigned admitted = 0;

    cr_expect_eq(gate_decide(gate, a.key, "10.0.0.1", 8, 0, 0), GATE_UNKNOWN, "an empty set");
    gate_add(gate, &a);
    gate_add(gate, &b);
    gate_add(gate, &c);
    cr_expect_eq(gate_decide(gate, a.key, "10.0.0.1", 8, 0, 0), GATE_ADMIT);
    cr_expect_eq(gate_decide(gate, a.key, "10.0.0.1", 8, 100, 0), GATE_LATER, "all places taken");
    gate_find(gate, a.key)->connections = 2;
    cr_expect_eq(gate_decide(gate, a.key, "10.0.0.1", 8, 2, 0), GATE_LATER, "its places taken");
    gate_find(gate, a.key)->connections = 0;
    gate_ban(gate, a.key, 60000);
    cr_expect_eq(gate_decide(gate, a.key, "10.0.0.1", 8, 2, 59999), GATE_LATER, "banned");
    cr_expect_eq(gate_decide(gate, a.key, "10.0.0.1", 8, 2, 60000), GATE_ADMIT, "no longer");
    for (int i = 0; i < 50; i++)
        admitted += gate_decide(gate, b.key, "10.0.0.1", 8, 0, 70000) == GATE_ADMIT;
    cr_expect_eq(admitted, 20, "of one key: %u", admitted);
    for (int i = 0; i < 50; i++)
        admitted += gate_decide(gate, c.key, "10.0.0.1", 8, 0, 70000) == GATE_ADMIT;
    cr_expect_eq(admitted, 30, "all together: %u", admitted);
    admitted = 0;
    for (int i = 0; i < 50; i++)
        admitted += gate_decide(gate, stranger.key, "6.6.6.6", 7, 0, 80000) == GATE_UNKNOWN;
    cr_expect_eq(admitted, 5, "an address with unknown keys");
    cr_expect_eq(gate_decide(gate, c.key, "6.6.6.6", 7, 0, 80000), GATE_ADMIT,
                 "strangers use up nothing of the members'");
    gate_drop(gate, c.key);
    cr_expect_eq(gate_decide(gate, c.key, "10.0.0.1", 8, 0, 90000), GATE_UNKNOWN, "dropped");
    gate_drop(gate, c.key);
    gate_free(&gate);
}

Test(connection, one_for_each_pair)
{
    static const struct gate_limits limits = { 200, 100, 4 };
    struct gate *gate = gate_new(&limits, 0);
    struct requester a = someone(1, BY_AGENT);
    struct connections all;
    struct connection *one, *two, *chain;
    uint8_t id[2][ROUTING_ID_LEN] = { { 1 }, { 2 } };

    gate_add(gate, &a);
    connections_init(&all, gate);
    one = connection_add(&all, id[0], gate_find(gate, a.key), 1000);
    two = connection_add(&all, id[1], gate_find(gate, a.key), 2000);
    one->fd = 7, one->fd_life = 1;
    two->fd = 7, two->fd_life = 2;
    cr_expect_neq(one->number, two->number);
    cr_expect_eq(connection_find(&all, one->number), one);
    cr_expect_eq(connection_by_routing(&all, id[1]), two);
    cr_expect_eq(gate_find(gate, a.key)->connections, 2);
    chain = connections_take_fd(&all, 7, 1);
    cr_expect_eq(chain, one, "a life of an fd, not its number");
    cr_expect_null(chain->next);
    connection_free(&chain);
    cr_expect_null(connections_take_silent(&all, 46999, 45000));
    chain = connections_take_silent(&all, 47000, 45000);
    cr_expect_eq(chain, two);
    connection_free(&chain);
    cr_expect_eq(connections_count(&all), 0);
    cr_expect_eq(gate_find(gate, a.key)->connections, 0);
    connections_wipe(&all);
    gate_free(&gate);
}

static const struct {
    const char *name;
    uint64_t at[4];
    bool out[4];
} strikes[] = {
    { "three at once", { 0, 0, 0, 0 }, { false, false, true, true } },
    { "three in a minute", { 0, 30000, 59998, 59999 }, { false, false, true, true } },
    { "slower", { 0, 30000, 60000, 90000 }, { false, false, false, false } },
};

Test(connection, three_strikes)
{
    for (size_t i = 0; i < sizeof strikes / sizeof strikes[0]; i++) {
        struct connection connection = { .number = 1 };

        for (size_t k = 0; k < 4; k++)
            cr_expect_eq(connection_strike(&connection, strikes[i].at[k]), strikes[i].out[k],
                         "%s, %zu", strikes[i].name, k);
    }
}

static int64_t received[16];
static int ended[16];

static int64_t fake_received(int fd)
{
    return received[fd];
}

static int fake_end(int fd)
{
    ended[fd]++;
    return 0;
}

Test(guard, bounds_what_is_unfinished)
{
    struct guard *guard = guard_new();

    guard_set_source(guard, fake_received, fake_end);
    for (int fd = 3; fd < 12; fd++) {
        guard_accepted(guard, fd, 0);
        guard_took(guard, fd, 100);
    }
    received[3] = 24 << 20;
    cr_expect_eq(guard_look(guard, 0, 15000, 100), 0);
    received[3] += 4096;
    cr_expect_eq(guard_look(guard, 0, 15000, 100), 1);
    cr_expect_eq(ended[3], 1);
    cr_expect_eq(guard_look(guard, 0, 15000, 100), 0, "once");
    guard_took(guard, 4, 30 << 20);
    received[4] = 31 << 20;
    cr_expect_eq(guard_look(guard, 0, 15000, 100), 0, "what was taken does not count");
    for (int fd = 5; fd < 12; fd++)
        received[fd] = (20 << 20) + fd;
    cr_expect_eq(guard_look(guard, 0, 15000, 100), 1, "all together");
    cr_expect_eq(ended[11], 1, "the largest first");
    cr_expect_eq(guard_lost(guard, 3) != 0, true);
    cr_expect_eq(guard_lost(guard, 3), 0);
    guard_free(&guard);
}

Test(guard, ends_those_that_say_nothing)
{
    struct guard *guard = guard_new();

    memset(received, 0, sizeof received);
    memset(ended, 0, sizeof ended);
    guard_set_source(guard, fake_received, fake_end);
    for (int fd = 3; fd < 8; fd++)
        guard_accepted(guard, fd, (uint64_t)fd);
    guard_took(guard, 3, 100);
    cr_expect_eq(guard_look(guard, 100, 15000, 4), 1, "crowded");
    cr_expect_eq(ended[4], 1, "the oldest silent one");
    cr_expect_eq(guard_look(guard, 20000, 15000, 4), 3, "silent");
    cr_expect_eq(ended[3], 0);
    guard_free(&guard);
}

Test(guard, ends_only_the_life_that_is_meant)
{
    struct guard *guard = guard_new();
    uint64_t life;

    memset(ended, 0, sizeof ended);
    guard_set_source(guard, fake_received, fake_end);
    guard_accepted(guard, 5, 0);
    life = guard_life(guard, 5);
    guard_lost(guard, 5);
    guard_accepted(guard, 5, 0);
    cr_expect(!guard_kick(guard, 5, life));
    cr_expect_eq(ended[5], 0);
    cr_expect(guard_kick(guard, 5, guard_life(guard, 5)));
    cr_expect(!guard_kick(guard, 6, 0));
    cr_expect(!guard_kick(guard, -1, 0));
    guard_free(&guard);
}

Test(arrivals, come_in_order_and_are_bounded)
{
    static struct request large = { .bytes = ARRIVALS_MOST_BYTES };
    struct arrival request = { .kind = ARRIVAL_REQUEST, .request = &large };
    struct arrivals arrivals;
    struct arrival *chain;

    arrivals_init(&arrivals);
    cr_expect(arrivals_room(&arrivals));
    cr_expect_null(arrivals_take(&arrivals, 0));
    chain = arrival_note(ARRIVAL_GONE, 1);
    chain->next = arrival_note(ARRIVAL_GONE, 2);
    arrivals_push(&arrivals, chain);
    arrivals_push(&arrivals, NULL);
    arrivals_push(&arrivals, arrival_note(ARRIVAL_ECHO, 3));
    arrivals_push(&arrivals, &request);
    cr_expect(!arrivals_room(&arrivals), "bytes");
    chain = arrivals_take(&arrivals, 1000);
    for (uint64_t n = 1; n <= 3; n++) {
        struct arrival *each = chain;

        cr_assert_not_null(each);
        cr_expect_eq(each->number, n);
        chain = each->next;
        free(each);
    }
    cr_expect_eq(chain, &request);
    cr_expect_null(chain->next);
    cr_expect(arrivals_room(&arrivals));
    for (int i = 0; i < ARRIVALS_MOST; i++)
        arrivals_push(&arrivals, arrival_note(ARRIVAL_GONE, 0));
    cr_expect(!arrivals_room(&arrivals), "number");
    arrivals_echo(&arrivals, 7);
    cr_expect_eq(arrivals_echoed(&arrivals), 7);
    arrivals_wipe(&arrivals);
}

static void *push_one_each(void *arg)
{
    for (uint64_t n = 1; n <= 20000; n++)
        arrivals_push(arg, arrival_note(ARRIVAL_GONE, n));
    return NULL;
}

Test(arrivals, nobody_sleeps_while_something_waits, .timeout = 60)
{
    struct arrivals arrivals;
    pthread_t thread;
    uint64_t seen = 0;

    arrivals_init(&arrivals);
    pthread_create(&thread, NULL, push_one_each, &arrivals);
    while (seen < 20000) {
        struct arrival *chain = arrivals_take(&arrivals, 3600000); /* a lost signal never ends */

        while (chain) {
            struct arrival *each = chain;

            cr_assert_eq(each->number, ++seen);
            chain = each->next;
            free(each);
        }
    }
    pthread_join(thread, NULL);
    arrivals_wipe(&arrivals);
}

static void *hand_out_many(void *arg)
{
    struct departures *departures = arg;

    for (uint64_t n = 1; n <= 20000; n++) {
        departures_hand_out(departures, outgoing_new(OUT_KICK, n));
        if (n % 7 == 0)
            departures_publish(departures);
    }
    departures_end(departures, ERR_STORE);
    return NULL;
}

Test(departures, come_in_order_and_wake, .timeout = 60)
{
    struct departures departures;
    pthread_t thread;
    uint64_t seen = 0;
    bool over = false;
    enum err e = ERR_OK;

    cr_assert_eq(departures_init(&departures), ERR_OK);
    pthread_create(&thread, NULL, hand_out_many, &departures);
    while (!over) {
        struct pollfd one = { departures.wake_fd, POLLIN, 0 };
        struct outgoing *chain;

        cr_assert_eq(poll(&one, 1, -1), 1);
        chain = departures_take(&departures, &over, &e);
        while (chain) {
            struct outgoing *each = chain;

            cr_assert_eq(each->conn, ++seen);
            chain = each->next;
            outgoing_free(&each);
        }
    }
    cr_expect_eq(seen, 20000);
    cr_expect_eq(e, ERR_STORE);
    pthread_join(thread, NULL);
    departures_wipe(&departures);
}
