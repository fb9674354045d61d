/* layers: testlib */
/*
 * What the operator sees of groups: sealpostctl's objects, and the views of the database.
 */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/flow/flow_internal.h"
#include "broker/store/groups.h"
#include "tests/lib/fake_group.h"

#define OPERATOR ((UINT64_C(1) << 63) + 1)

static struct fake_broker broker;
static struct fake_party owner, members[2], invited;
static struct fake_group group;
static char name[10]; /* # and 8 digits */

static void open_all(void)
{
    struct fake_event event;

    fake_broker_open(&broker, false);
    broker.settings.send_burst = 10000;
    flow_configure(broker.flow, &broker.settings);
    fake_join(&broker, &owner, "owner");
    fake_join(&broker, &members[0], "quick");
    fake_join(&broker, &members[1], "slow");
    fake_join(&broker, &invited, "invited");
    fake_group_open(&broker, &group, &owner, 0, 1);
    fake_group_admit(&broker, &group, &owner, members, 2);
    fake_invited(&group, &owner.agent, &invited.agent, ROLE_ADMIN, broker.now_ms,
                 broker.now_ms + 3600000, &event);
    fake_group_take(&group, &event);
    cr_assert_eq(fake_group_say(&broker, &owner, &event, 1).e, ERR_OK);
    snprintf(name, sizeof name, "#%02x%02x%02x%02x", group.chain.gid[0], group.chain.gid[1],
             group.chain.gid[2], group.chain.gid[3]);
    for (uint64_t seq = 1; seq <= 3; seq++)
        cr_assert_eq(fake_group_send(&broker, &group, &owner, seq), ERR_OK);
    fake_channel_ack_all(&broker, &owner, &group);
    fake_channel_ack_all(&broker, &members[0], &group);
}

static void close_all(void)
{
    fake_group_free(&group);
    fake_broker_close(&broker);
}

TestSuite(group_operator, .init = open_all, .fini = close_all);

/* Objects of a command, an array; a new reference. */
static json_t *ask(const char *text)
{
    struct request request
        = { .by = { .kind = BY_OPERATOR, .conn = OPERATOR }, .command = bytes_of_text(text) },
        *requests[] = { &request };
    json_t *all = json_array();
    const char *at, *end;

    cr_assert_eq(flow_turn(broker.flow, requests, 1), ERR_OK);
    cr_assert(fake_came(&broker, OUT_OPERATOR, OPERATOR));
    at = (const char *)broker.kept->head.at;
    end = at + broker.kept->head.len;
    while (at < end) {
        const char *next = memchr(at, '\n', (size_t)(end - at));

        cr_assert(next);
        json_array_append_new(all, json_loadb(at, (size_t)(next - at), 0, NULL));
        at = next + 1;
    }
    return all;
}

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));

    return value ? value : "(null)";
}

static json_int_t number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    return json_is_integer(value) ? json_integer_value(value) : -1;
}

Test(group_operator, groups)
{
    json_t *all = ask("{\"verb\":\"groups\",\"args\":[]}"), *one = json_array_get(all, 0);

    cr_assert_eq(json_array_size(all), 1);
    cr_expect_str_eq(text(one, "type"), "channel");
    cr_expect_str_eq(text(one, "group"), name);
    cr_expect_str_eq(text(one, "state"), "open");
    cr_expect_str_eq(text(one, "owner"), "owner");
    cr_expect_str_eq(text(one, "slowest"), "slow");
    cr_expect_eq(number(one, "epoch"), 2);
    cr_expect_eq(number(one, "members"), 3);
    cr_expect_eq(number(one, "invited"), 1);
    cr_expect_eq(number(one, "events"), 8);
    cr_expect_geq(number(one, "frames"), 5, "EPOCH, INVITED, three frames");
    json_decref(all);
}

Test(group_operator, how_far_each_member_is_behind)
{
    static const struct {
        const char *name, *role, *state;
        json_int_t behind;
    } want[] = { { "slow", "member", "joined", 5 },
                 { "owner", "owner", "joined", 0 },
                 { "quick", "member", "joined", 0 },
                 { "invited", "admin", "invited", -1 } };
    char command[64];
    json_t *all;
    size_t found = 0;

    snprintf(command, sizeof command, "{\"verb\":\"groups\",\"args\":[\"%s\"]}", name);
    all = ask(command);
    cr_assert_eq(json_array_size(all), 4);
    cr_expect_str_eq(text(json_array_get(all, 0), "name"), "slow", "farthest behind first");
    for (size_t i = 0; i < 4; i++)
        for (size_t k = 0; k < 4; k++) {
            const json_t *one = json_array_get(all, i);

            if (strcmp(text(one, "name"), want[k].name) != 0)
                continue;
            found++;
            cr_expect_str_eq(text(one, "type"), "reader");
            cr_expect_str_eq(text(one, "role"), want[k].role, "%s", want[k].name);
            cr_expect_str_eq(text(one, "state"), want[k].state, "%s", want[k].name);
            cr_expect_eq(number(one, "behind"), want[k].behind, "%s", want[k].name);
            cr_expect(json_is_true(json_object_get(one, "online")));
        }
    cr_expect_eq(found, 4);
    json_decref(all);
    all = ask("{\"verb\":\"groups\",\"args\":[\"#00000000\"]}");
    cr_expect_str_eq(text(json_array_get(all, 0), "code"), "unknown_group");
    json_decref(all);
    all = ask("{\"verb\":\"groups\",\"args\":[\"'; DROP\"]}");
    cr_expect_str_eq(text(json_array_get(all, 0), "code"), "unknown_group");
    json_decref(all);
}

Test(group_operator, its_channel_is_a_queue)
{
    json_t *all = ask("{\"verb\":\"queues\",\"args\":[]}"), *one;
    char command[64];
    size_t i, channels = 0, frames = 0;

    json_array_foreach(all, i, one)
    {
        if (strcmp(text(one, "kind"), "channel") != 0)
            continue;
        channels++;
        cr_expect_str_eq(text(one, "name"), name);
        cr_expect_eq(number(one, "readers"), 3);
        cr_expect_eq(number(one, "online"), 3);
        frames = (size_t)number(one, "frames");
    }
    cr_expect_eq(channels, 1);
    json_decref(all);
    snprintf(command, sizeof command, "{\"verb\":\"queues\",\"args\":[\"%s\"]}", name);
    all = ask(command);
    cr_expect_eq(json_array_size(all), frames);
    one = json_array_get(all, json_array_size(all) - 1);
    cr_expect_str_eq(text(one, "kind"), "group");
    cr_expect_str_eq(text(one, "from"), "owner");
    cr_expect_str_eq(text(one, "to"), name);
    cr_expect_eq(number(one, "seq"), 3);
    json_decref(all);
    all = ask("{\"verb\":\"queues\",\"args\":[\"#12\"]}");
    cr_expect_str_eq(text(json_array_get(all, 0), "code"), "unknown_group");
    json_decref(all);
}

/* ---- a thousand ---------------------------------------------------------------------------------
 */

enum { MANY = 1000, MESSAGES = 500 };

static bool count_row(void *ctx, int count, const char *const *names, const char *const *values)
{
    (void)count;
    (void)names;
    (void)values;
    ++*(size_t *)ctx;
    return true;
}

static size_t rows_of(const char *view, const char *where, const char *value)
{
    size_t count = 0;

    cr_assert_eq(store_view(broker.store, view, where, value, NULL, INT64_MAX, count_row, &count),
                 ERR_OK);
    return count;
}

/* One stored row per message, however many read it; none is left when all but the removed have. */
Test(group_operator, a_thousand_members_and_500_messages_are_500_rows)
{
    struct fake_party *many = calloc(MANY, sizeof *many);
    struct stream_row stream;
    struct group_row row;
    char party[16];

    cr_assert(many);
    broker.settings.send_burst = 100000;
    flow_configure(broker.flow, &broker.settings);
    for (size_t i = 0; i < MANY; i++) {
        snprintf(party, sizeof party, "m%zu", i);
        fake_join(&broker, &many[i], party);
    }
    fake_group_free(&group);
    fake_group_open(&broker, &group, &owner, 0, 2);
    fake_group_admit(&broker, &group, &owner, many, MANY);
    for (uint64_t seq = 1; seq <= MESSAGES; seq++)
        cr_assert_eq(fake_group_send(&broker, &group, &owner, seq), ERR_OK);
    cr_expect_eq(rows_of("v_frames", "kind", "group"), MESSAGES + 3,
                 "and three of the other group");
    cr_expect_eq(rows_of("v_members", "role", "member"), MANY + 2);
    cr_assert_eq(fake_group_remove(&broker, &group, &owner, &many[0]).e, ERR_OK);
    for (size_t i = 1; i < MANY; i++)
        fake_channel_ack_all(&broker, &many[i], &group);
    fake_channel_ack_all(&broker, &owner, &group);
    fake_broker_pass(&broker, 1000);
    cr_assert_eq(store_group_find(broker.store, group.chain.gid, &row), ERR_OK);
    cr_assert_eq(store_stream_get(broker.store, row.stream_id, &stream), ERR_OK);
    cr_expect_eq(stream.frames, 0, "%llu", (unsigned long long)stream.frames);
    free(many);
}
