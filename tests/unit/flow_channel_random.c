/* layers: testlib */
/*
 * Random lives of a channel against a plain list: members come and go, send, read with any credit,
 * acknowledge any part, lose their connections; frames expire.  Whoever reads sees the list from
 * the EPOCH that admitted it on, in order, every item once for each HELLO, and nothing after its
 * removal; when all have read all of it the channel is empty.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "broker/store/groups.h"
#include "shared/wire/limit.h"
#include "tests/lib/chance.h"
#include "tests/lib/fake_group.h"

#define HOUR_MS UINT64_C(3600000)
#define MANY    (UINT64_C(16) << 20)

enum { PEOPLE = 6, STEPS = 1500, LIST_MOST = 8192 };

/* What the channel has held, in order. */
struct entry {
    int author; /* -1: an event */
    uint64_t seq, expires_ms, position;
};

struct person {
    struct fake_party party;
    bool member, greeted;
    uint64_t seq; /* of its last frame */
    /* of the list */
    size_t from, delivered, acked;
    struct fake_item items[LIST_MOST]; /* those delivered and not acknowledged: from `acked` on */
};

static struct fake_broker broker;
static struct fake_group group;
static struct chance chance;
static struct person people[PEOPLE];
static struct entry list[LIST_MOST];
static size_t list_len;

static uint64_t upto(uint64_t most)
{
    return chance_next(&chance) % (most + 1);
}

static void list_add(int author, uint64_t seq, uint64_t expires_ms)
{
    cr_assert_lt(list_len, (size_t)LIST_MOST);
    list[list_len++] = (struct entry){ author, seq, expires_ms, 0 };
}

/* ---- what comes ------------------------------------------------------------------------------ */

static void check_item(int who, const struct fake_item *item, struct entry *entry)
{
    bool own = entry->author == who;

    if (entry->position == 0)
        entry->position = item->position;
    cr_assert_eq(item->position, entry->position, "one order for all");
    if (entry->author < 0) {
        cr_assert_eq(item->kind, ITEM_EVENT);
        return;
    }
    cr_assert_eq(item->kind, ITEM_GROUP);
    cr_assert_eq(item->seq, entry->seq);
    cr_assert_arr_eq(item->sender, people[entry->author].party.agent.aid, 32);
    if (item->reason)
        cr_assert_leq(entry->expires_ms, broker.now_ms, "a tombstone too early");
    cr_assert_eq(item->bytes.len == 0, own || item->reason != 0);
}

/* Everything that was handed out since the last step. */
static void look(void)
{
    static struct fake_item items[256];

    for (int who = 0; who < PEOPLE; who++) {
        struct person *person = &people[who];
        struct answer answer;

        while ((answer = fake_next(&broker, person->party.by.conn, VERB_DELIVER)).e == ERR_OK) {
            size_t count = fake_items_of(&answer.message, answer.parts, items, 256);

            if (memcmp(answer.message.stream, group.chain.gid, 16) != 0)
                continue;
            cr_assert(person->member, "nobody else gets anything");
            for (size_t i = 0; i < count; i++) {
                cr_assert_lt(person->delivered, list_len);
                check_item(who, &items[i], &list[person->delivered]);
                person->items[person->delivered - person->acked] = items[i];
                person->delivered++;
            }
        }
    }
    fake_forget(&broker);
}

/* ---- what is done ---------------------------------------------------------------------------- */

static void do_hello(int who)
{
    struct person *person = &people[who];

    look();
    cr_assert_eq(fake_hello(&broker, &person->party).e, ERR_OK);
    person->delivered = person->acked;
}

static void do_credit(int who)
{
    static const uint64_t items[] = { 0, 16, 20, 33, 64, 256, 1024 };

    fake_credit(&broker, &people[who].party, items[upto(6)], upto(3) ? MANY : upto(20000));
}

static void do_send(int who)
{
    struct person *person = &people[who];
    uint64_t expires_ms = broker.now_ms + HOUR_MS + upto(72 * HOUR_MS);
    struct buf frame = { 0 };
    struct bytes part;
    struct answer answer;
    enum err status;

    fake_group_frame(&frame, &group, &person->party.agent, group.chain.epoch, person->seq + 1, 0,
                     expires_ms, upto(7) ? BUCKET_MIN : 4096);
    part = buf_bytes(&frame);
    answer = fake_send(&broker, &person->party, &part, 1);
    status = fake_status(&answer, 0);
    buf_free(&frame);
    cr_assert_eq(status, person->member ? ERR_OK : ERR_NOT_MEMBER);
    if (status == ERR_OK)
        list_add(who, ++person->seq, expires_ms);
}

static void do_ack(int who)
{
    struct person *person = &people[who];
    size_t in_flight = person->delivered - person->acked, count;
    struct list_maker receipts = { 0 };
    enum err e;

    if (in_flight == 0)
        return;
    count = 1 + upto(in_flight - 1);
    fake_channel_receipt(&person->party.agent, person->items, count, broker.now_ms, &receipts);
    e = fake_channel_ack_with(&broker, &person->party, &group,
                              fake_channel_cursor(&broker, &person->party, &group),
                              person->items[count - 1].position, &receipts)
            .e;
    cr_assert_eq(e, ERR_OK);
    list_free(&receipts);
    person->acked += count;
    memmove(person->items, person->items + count, (in_flight - count) * sizeof *person->items);
}

static void event_said(int who, const struct fake_event *events, size_t count)
{
    cr_assert_eq(fake_group_say(&broker, &people[who].party, events, count).e, ERR_OK);
    for (size_t i = 0; i < count; i++)
        list_add(-1, 0, UINT64_MAX);
}

static void do_epoch(void)
{
    struct fake_event event;

    fake_epoch(&group, &people[0].party.agent, broker.now_ms, &event);
    fake_group_take(&group, &event);
    event_said(0, &event, 1);
}

static void do_admit(int who)
{
    struct person *person = &people[who];
    struct fake_event event;

    fake_invited(&group, &people[0].party.agent, &person->party.agent, ROLE_MEMBER, broker.now_ms,
                 broker.now_ms + HOUR_MS, &event);
    fake_group_take(&group, &event);
    event_said(0, &event, 1);
    fake_joined(&group, &person->party.agent, broker.now_ms, &event);
    fake_group_take(&group, &event);
    event_said(who, &event, 1);
    look();
    person->member = true;
    person->from = person->delivered = person->acked = list_len; /* the EPOCH comes there */
    do_epoch();
}

/* By the owner, or by itself. */
static void do_remove(int who)
{
    struct person *person = &people[who];
    struct fake_event events[2];
    bool leaves = upto(2) == 0;
    int actor = leaves ? who : 0;

    look();
    fake_removed(&group, &people[actor].party.agent, &person->party.agent,
                 leaves ? REMOVED_LEFT : REMOVED_BY_ADMIN, broker.now_ms, &events[0]);
    fake_group_take(&group, &events[0]);
    if (!leaves) {
        fake_epoch(&group, &people[0].party.agent, broker.now_ms, &events[1]);
        fake_group_take(&group, &events[1]);
    }
    person->member = false;
    person->delivered = person->acked = 0;
    event_said(actor, events, leaves ? 1 : 2);
}

static void do_fetch(int who)
{
    struct person *person = &people[who];
    static struct fake_item items[512];
    size_t count = 1 + upto(300);
    enum err e = fake_channel_fetch(&broker, &person->party, &group, items, &count);

    cr_assert_eq(e, person->member ? ERR_OK : ERR_NOT_MEMBER);
    for (size_t i = 0; e == ERR_OK && i < count; i++)
        check_item(who, &items[i], &list[person->acked + i]);
}

static void do_pass(void)
{
    look();
    fake_broker_pass(&broker, upto(6 * HOUR_MS));
    for (int who = 0; who < PEOPLE; who++)
        do_hello(who);
}

static void step(void)
{
    int who = (int)upto(PEOPLE - 1);
    uint64_t what = upto(99);

    if (what < 40)
        do_send(who);
    else if (what < 70)
        do_ack(who);
    else if (what < 80)
        do_credit(who);
    else if (what < 85)
        do_hello(who);
    else if (what < 90)
        do_fetch(who);
    else if (what < 94)
        do_epoch();
    else if (what < 96)
        do_pass();
    else if (who != 0)
        people[who].member ? do_remove(who) : do_admit(who);
    look();
}

static void read_to_the_end(int who)
{
    struct person *person = &people[who];

    if (!person->member)
        return;
    fake_credit(&broker, &person->party, 1024, MANY);
    look();
    while (person->delivered > person->acked) {
        do_ack(who);
        look();
    }
    cr_assert_eq(person->acked, list_len);
}

static struct stream_row channel(void)
{
    struct group_row row;
    struct stream_row stream;

    cr_assert_eq(store_group_find(broker.store, group.chain.gid, &row), ERR_OK);
    cr_assert_eq(store_stream_get(broker.store, row.stream_id, &stream), ERR_OK);
    return stream;
}

static void begin(void)
{
    fake_broker_open(&broker, false);
    broker.settings.send_burst = 1000000;
    flow_configure(broker.flow, &broker.settings);
    for (int who = 0; who < PEOPLE; who++) {
        char name[8] = { 'p', (char)('0' + who) };

        fake_join(&broker, &people[who].party, name);
    }
    fake_group_open(&broker, &group, &people[0].party, 0, 1);
    list_add(-1, 0, UINT64_MAX); /* CREATED */
    people[0].from = people[0].delivered = people[0].acked = list_len;
    list_add(-1, 0, UINT64_MAX);
    people[0].member = true;
}

Test(channel_random, everybody_sees_one_list)
{
    chance.state = chance_seed("channel_random");
    begin();
    for (int i = 0; i < STEPS; i++) {
        step();
        if (i % 50 == 0)
            cr_assert_eq(store_recount(broker.store), ERR_OK, "step %d", i);
    }
    for (int who = 0; who < PEOPLE; who++)
        read_to_the_end(who);
    cr_assert_eq(flow_tick(broker.flow), ERR_OK);
    cr_expect_eq(channel().frames, 0);
    cr_expect_eq(channel().bytes, 0);
    cr_expect_eq(store_recount(broker.store), ERR_OK);
    fake_group_free(&group);
    fake_broker_close(&broker);
}
