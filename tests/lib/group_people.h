/*
 * group_people - a broker with one group and somebody in each place of it: owner, admin, member,
 *                invited, gone, stranger.  For the tests of flow_group*.c.
 */
#ifndef TESTS_GROUP_PEOPLE_H
#define TESTS_GROUP_PEOPLE_H
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/flow/flow_internal.h"
#include "broker/store/directory.h"
#include "broker/store/groups.h"
#include "broker/store/senders.h"
#include "shared/wire/limit.h"
#include "tests/lib/fake_group.h"

#define DAY_MS   UINT64_C(86400000)
#define OPERATOR ((UINT64_C(1) << 63) + 1)

enum { OWNER, ADMIN, MEMBER, INVITED, GONE, STRANGER, PEOPLE };
static const char *const names[PEOPLE]
    = { "owner", "admin", "member", "invited", "gone", "stranger" };

static struct fake_broker broker;
static struct fake_party people[PEOPLE];
static struct fake_group group;

static inline void configure(void)
{
    flow_configure(broker.flow, &broker.settings);
}

static inline void open_with(bool on_disk)
{
    fake_broker_open(&broker, on_disk);
    broker.settings.send_burst = 100000;
    configure();
    for (int i = 0; i < PEOPLE; i++)
        fake_join(&broker, &people[i], names[i]);
    group = (struct fake_group){ 0 };
}

static inline void open_all(void)
{
    open_with(false);
}

static inline void open_on_disk(void)
{
    open_with(true);
}

static inline void close_all(void)
{
    cr_expect_eq(store_recount(broker.store), ERR_OK);
    fake_group_free(&group);
    fake_broker_close(&broker);
}

/* ---- looking ------------------------------------------------------------------------------------
 */

static inline struct group_row row_now(void)
{
    struct group_row row;

    cr_assert_eq(store_group_find(broker.store, group.chain.gid, &row), ERR_OK);
    return row;
}

static inline bool has_cursor(int who, uint64_t *position)
{
    struct cursor_row cursor = { 0 };
    enum err e = store_cursor_get(broker.store, row_now().stream_id, people[who].by.id, &cursor);

    if (position)
        *position = cursor.position;
    return e == ERR_OK;
}

struct channel {
    size_t count;
    struct frame_row rows[64];
};

static inline bool see_row(void *ctx, const struct frame_row *row)
{
    struct channel *channel = ctx;

    channel->rows[channel->count++] = *row;
    return channel->count < 64;
}

static inline struct channel channel_now(void)
{
    struct channel channel = { 0 };

    cr_assert_eq(
        store_frame_list(broker.store, row_now().stream_id, 0, INT64_MAX, 64, see_row, &channel),
        ERR_OK);
    return channel;
}

static inline uint64_t last_position(void)
{
    struct stream_row stream;

    cr_assert_eq(store_stream_get(broker.store, row_now().stream_id, &stream), ERR_OK);
    return stream.last_position;
}

/* The newest item of a mailbox is this event. */
static inline bool was_told(int who, const struct fake_event *event)
{
    struct fake_item items[256];
    size_t count = fake_fetch(&broker, &people[who], items);

    return count && items[count - 1].kind == ITEM_EVENT
           && memcmp(items[count - 1].bytes.at, event->preimage, EVENT_SIZE) == 0
           && memcmp(items[count - 1].bytes.at + EVENT_SIZE + 64, event->body, event->body_len)
                  == 0;
}

/* The broker's chain stands where the test's does. */
static inline bool in_step(void)
{
    struct group_row row = row_now();

    return row.next_event == group.chain.next_seq
           && memcmp(row.head, group.chain.head, sizeof row.head) == 0;
}

/* ---- saying -------------------------------------------------------------------------------------
 */

static inline struct fake_agent *agent(int who)
{
    return &people[who].agent;
}

static inline enum err say(int who, const struct fake_event *events, size_t count)
{
    return fake_group_say(&broker, &people[who], events, count).e;
}

static inline struct fake_event invited(int by, int whom)
{
    struct fake_event event;

    fake_invited(&group, agent(by), agent(whom), ROLE_MEMBER, broker.now_ms, broker.now_ms + DAY_MS,
                 &event);
    return event;
}

static inline struct fake_event joined(int who)
{
    struct fake_event event;

    fake_joined(&group, agent(who), broker.now_ms, &event);
    return event;
}

static inline struct fake_event removed(int by, int whom, uint8_t reason)
{
    struct fake_event event;

    fake_removed(&group, agent(by), agent(whom), reason, broker.now_ms, &event);
    return event;
}

static inline struct fake_event epoch(int by)
{
    struct fake_event event;

    fake_epoch(&group, agent(by), broker.now_ms, &event);
    return event;
}

static inline struct fake_event role(int by, int whom, uint8_t to)
{
    struct fake_event event;

    fake_role(&group, agent(by), agent(whom), to, broker.now_ms, &event);
    return event;
}

static inline struct fake_event closed(int by)
{
    struct fake_event event;

    fake_group_closed(&group, agent(by), broker.now_ms, &event);
    return event;
}

/* It must be taken, and the chain goes on. */
static inline void good(int who, struct fake_event event)
{
    cr_assert_eq(say(who, &event, 1), ERR_OK, "event %d", event.event.type);
    fake_group_take(&group, &event);
    cr_assert(in_step());
}

/* Two that belong together. */
static inline void made(struct fake_event events[2], struct fake_event first, int by)
{
    events[0] = first;
    fake_group_take(&group, &first);
    events[1] = epoch(by);
    fake_group_take(&group, &events[1]);
}

/* Everybody in the place that the name says; epoch 3. */
static inline void populate(uint8_t flags)
{
    fake_group_open(&broker, &group, &people[OWNER], flags, 1);
    for (int who = ADMIN; who <= GONE; who++) {
        if (who == INVITED)
            continue;
        good(OWNER, invited(OWNER, who));
        good(who, joined(who));
    }
    good(OWNER, epoch(OWNER));
    good(OWNER, role(OWNER, ADMIN, ROLE_ADMIN));
    good(OWNER, invited(OWNER, INVITED));
    cr_assert_eq(fake_group_remove(&broker, &group, &people[ADMIN], &people[GONE]).e, ERR_OK);
    cr_assert(in_step());
}

static inline void revoke(int who)
{
    char text[128];
    struct request request = { .by = { .kind = BY_OPERATOR, .conn = OPERATOR } },
                   *requests[] = { &request };

    snprintf(text, sizeof text, "{\"verb\":\"revoke\",\"args\":[\"%s\"]}", names[who]);
    request.command = bytes_of_text(text);
    cr_assert_eq(flow_turn(broker.flow, requests, 1), ERR_OK);
    cr_assert_eq(store_agent(broker.store, people[who].by.id)->state, AGENT_REVOKED);
}

static inline struct answer events_of(int who, uint64_t seq, uint32_t max, bool from_epoch)
{
    struct message message = { .verb = VERB_EVENTS };

    MESSAGE_SET(&message, id, group.chain.gid);
    MESSAGE_SET(&message, seq, seq);
    MESSAGE_SET(&message, max, max);
    if (from_epoch)
        MESSAGE_SET(&message, flags, 1);
    return fake_say(&broker, &people[who].by, &message, NULL, 0);
}

#endif
