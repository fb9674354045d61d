/* layers: testlib */
/*
 * Groups at the broker: every event and everybody who may say it (docs/protocol.md 5.2), what it
 * does to members, cursors and mailboxes (5.4), EVENTS, HELLO and SYNC, tails brought back after a
 * restore, floods and a full disk, revoked members.
 */
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

static void configure(void)
{
    flow_configure(broker.flow, &broker.settings);
}

static void open_with(bool on_disk)
{
    fake_broker_open(&broker, on_disk);
    broker.settings.send_burst = 100000;
    configure();
    for (int i = 0; i < PEOPLE; i++)
        fake_join(&broker, &people[i], names[i]);
    group = (struct fake_group){ 0 };
}

static void open_all(void)
{
    open_with(false);
}

static void open_on_disk(void)
{
    open_with(true);
}

static void close_all(void)
{
    cr_expect_eq(store_recount(broker.store), ERR_OK);
    fake_group_free(&group);
    fake_broker_close(&broker);
}

TestSuite(group, .init = open_all, .fini = close_all);
TestSuite(group_disk, .init = open_on_disk, .fini = close_all);

/* ---- looking ------------------------------------------------------------------------------------
 */

static struct group_row row_now(void)
{
    struct group_row row;

    cr_assert_eq(store_group_find(broker.store, group.chain.gid, &row), ERR_OK);
    return row;
}

static bool has_cursor(int who, uint64_t *position)
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

static bool see_row(void *ctx, const struct frame_row *row)
{
    struct channel *channel = ctx;

    channel->rows[channel->count++] = *row;
    return channel->count < 64;
}

static struct channel channel_now(void)
{
    struct channel channel = { 0 };

    cr_assert_eq(
        store_frame_list(broker.store, row_now().stream_id, 0, INT64_MAX, 64, see_row, &channel),
        ERR_OK);
    return channel;
}

static uint64_t last_position(void)
{
    struct stream_row stream;

    cr_assert_eq(store_stream_get(broker.store, row_now().stream_id, &stream), ERR_OK);
    return stream.last_position;
}

/* The newest item of a mailbox is this event. */
static bool was_told(int who, const struct fake_event *event)
{
    struct fake_item items[256];
    size_t count = fake_fetch(&broker, &people[who], items);

    return count && items[count - 1].kind == ITEM_EVENT
           && memcmp(items[count - 1].bytes.at, event->preimage, EVENT_SIZE) == 0
           && memcmp(items[count - 1].bytes.at + EVENT_SIZE + 64, event->body, event->body_len)
                  == 0;
}

/* The broker's chain stands where the test's does. */
static bool in_step(void)
{
    struct group_row row = row_now();

    return row.next_event == group.chain.next_seq
           && memcmp(row.head, group.chain.head, sizeof row.head) == 0;
}

/* ---- saying -------------------------------------------------------------------------------------
 */

static struct fake_agent *agent(int who)
{
    return &people[who].agent;
}

static enum err say(int who, const struct fake_event *events, size_t count)
{
    return fake_group_say(&broker, &people[who], events, count).e;
}

static struct fake_event invited(int by, int whom)
{
    struct fake_event event;

    fake_invited(&group, agent(by), agent(whom), ROLE_MEMBER, broker.now_ms, broker.now_ms + DAY_MS,
                 &event);
    return event;
}

static struct fake_event joined(int who)
{
    struct fake_event event;

    fake_joined(&group, agent(who), broker.now_ms, &event);
    return event;
}

static struct fake_event removed(int by, int whom, uint8_t reason)
{
    struct fake_event event;

    fake_removed(&group, agent(by), agent(whom), reason, broker.now_ms, &event);
    return event;
}

static struct fake_event epoch(int by)
{
    struct fake_event event;

    fake_epoch(&group, agent(by), broker.now_ms, &event);
    return event;
}

static struct fake_event role(int by, int whom, uint8_t to)
{
    struct fake_event event;

    fake_role(&group, agent(by), agent(whom), to, broker.now_ms, &event);
    return event;
}

static struct fake_event closed(int by)
{
    struct fake_event event;

    fake_group_closed(&group, agent(by), broker.now_ms, &event);
    return event;
}

/* It must be taken, and the chain goes on. */
static void good(int who, struct fake_event event)
{
    cr_assert_eq(say(who, &event, 1), ERR_OK, "event %d", event.event.type);
    fake_group_take(&group, &event);
    cr_assert(in_step());
}

/* Two that belong together. */
static void made(struct fake_event events[2], struct fake_event first, int by)
{
    events[0] = first;
    fake_group_take(&group, &first);
    events[1] = epoch(by);
    fake_group_take(&group, &events[1]);
}

/* Everybody in the place that the name says; epoch 3. */
static void populate(uint8_t flags)
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

static void revoke(int who)
{
    char text[128];
    struct request request = { .by = { .kind = BY_OPERATOR, .conn = OPERATOR } },
                   *requests[] = { &request };

    snprintf(text, sizeof text, "{\"verb\":\"revoke\",\"args\":[\"%s\"]}", names[who]);
    request.command = bytes_of_text(text);
    cr_assert_eq(flow_turn(broker.flow, requests, 1), ERR_OK);
    cr_assert_eq(store_agent(broker.store, people[who].by.id)->state, AGENT_REVOKED);
}

/* ---- what each event does (5.4) -----------------------------------------------------------------
 */

Test(group, created_makes_channel_and_cursor)
{
    struct channel channel;
    struct group_row row;
    uint64_t cursor, groups;

    fake_group_open(&broker, &group, &people[OWNER], GROUP_FLAG_STRICT, 1);
    row = row_now();
    cr_expect(in_step());
    cr_expect_eq(row.epoch, 1);
    cr_expect_eq(row.owner_id, people[OWNER].by.id);
    cr_expect(!row.closed && !row.stale);
    channel = channel_now();
    cr_assert_geq(channel.count, 1);
    cr_expect_eq(channel.rows[channel.count - 1].kind, ITEM_EVENT);
    cr_assert(has_cursor(OWNER, &cursor));
    cr_expect_eq(cursor, last_position() - 1, "EPOCH 1 is the first that it reads");
    cr_assert_eq(store_groups_count(broker.store, people[OWNER].by.id, &groups), ERR_OK);
    cr_expect_eq(groups, 1);
    cr_expect_eq(fake_fetch(&broker, &people[OWNER], (struct fake_item[256]){ 0 }), 0,
                 "nothing in its mailbox");
    cr_expect_eq(fake_channel_ack_all(&broker, &people[OWNER], &group), 1);
}

Test(group, created_needs_its_epoch)
{
    struct fake_event events[2];

    fake_group_begin(&group, 1);
    fake_created(&group, agent(OWNER), 0, 10, broker.now_ms, &events[0]);
    cr_expect_eq(say(OWNER, events, 1), ERR_STATE);
    made(events, events[0], OWNER);
    cr_expect_eq(say(STRANGER, events, 2), ERR_NOT_MEMBER, "a group of others");
    cr_expect_eq(say(OWNER, &events[1], 1), ERR_NOT_MEMBER, "there is no group");
    cr_expect_eq(say(OWNER, events, 2), ERR_OK);
    cr_expect_eq(say(OWNER, events, 2), ERR_OK, "again");
    cr_expect_eq(say(STRANGER, events, 2), ERR_NOT_MEMBER);
    fake_group_free(&group);
    fake_group_begin(&group, 1);
    fake_created(&group, agent(OWNER), 0, 11, broker.now_ms, &events[0]);
    made(events, events[0], OWNER);
    cr_expect_eq(say(OWNER, events, 2), ERR_CONFLICT, "another group of that number");
}

Test(group, the_number_of_a_session_is_taken)
{
    struct fake_session session;
    struct fake_event events[2];

    fake_session_open(&broker, &session, &people[OWNER], &people[MEMBER], 1);
    fake_group_begin(&group, 1);
    memcpy(group.chain.gid, session.chain.sid, 16);
    fake_created(&group, agent(OWNER), 0, 10, broker.now_ms, &events[0]);
    made(events, events[0], OWNER);
    cr_expect_eq(say(OWNER, events, 2), ERR_CONFLICT);
    events[0] = closed(OWNER);
    memset(events[0].event.id, 0, 16);
    fake_event_sign(&events[0], agent(OWNER));
    cr_expect_eq(say(OWNER, events, 1), ERR_NOT_MEMBER);
}

Test(group, invited_joined_admitted)
{
    struct fake_event event;
    uint64_t cursor, before, count;

    fake_group_open(&broker, &group, &people[OWNER], 0, 1);
    event = invited(OWNER, MEMBER);
    good(OWNER, event);
    cr_expect(was_told(MEMBER, &event));
    cr_expect(!has_cursor(MEMBER, NULL));
    cr_assert_eq(store_invitations_count(broker.store, people[MEMBER].by.id, broker.now_ms, &count),
                 ERR_OK);
    cr_expect_eq(count, 1);
    good(MEMBER, joined(MEMBER));
    cr_expect(!has_cursor(MEMBER, NULL), "not before an EPOCH admits it");
    cr_assert_eq(store_invitations_count(broker.store, people[MEMBER].by.id, broker.now_ms, &count),
                 ERR_OK);
    cr_expect_eq(count, 0);
    before = last_position();
    good(OWNER, epoch(OWNER));
    cr_assert(has_cursor(MEMBER, &cursor));
    cr_expect_eq(cursor, last_position() - 1);
    cr_expect_geq(cursor, before);
    cr_expect_eq(row_now().epoch, 2);
}

/* T52: the cursor goes in the commit that removes. */
Test(group, T52_removed_reads_no_more)
{
    struct fake_event event;

    populate(0);
    cr_expect(!has_cursor(GONE, NULL));
    cr_expect_eq(store_sender_get(broker.store, row_now().group_id, people[GONE].by.id,
                                  &(struct sender_row){ 0 }),
                 ERR_OK, "its numbering outlives it");
    event = removed(OWNER, INVITED, REMOVED_BY_ADMIN);
    good(OWNER, event);
    cr_expect(was_told(INVITED, &event), "withdrawn, without an EPOCH");
    event = removed(MEMBER, MEMBER, REMOVED_LEFT);
    good(MEMBER, event);
    cr_expect(was_told(MEMBER, &event));
    cr_expect(!has_cursor(MEMBER, NULL));
    cr_expect(row_now().stale);
    good(ADMIN, epoch(ADMIN));
    cr_expect(!row_now().stale);
    cr_expect(has_cursor(OWNER, NULL) && has_cursor(ADMIN, NULL));
}

/* T53: who comes back starts at the EPOCH that admits it again, and goes on numbering. */
Test(group, T53_a_member_that_comes_back)
{
    struct sender_row sender;
    uint64_t cursor;

    populate(0);
    cr_assert_eq(store_begin(broker.store), ERR_OK);
    cr_assert_eq(
        store_sender_settle_to(broker.store, row_now().group_id, people[GONE].by.id, 7, NULL),
        ERR_OK);
    cr_assert_eq(store_commit(broker.store), ERR_OK);
    good(OWNER, invited(OWNER, GONE));
    good(GONE, joined(GONE));
    good(OWNER, epoch(OWNER));
    cr_assert(has_cursor(GONE, &cursor));
    cr_expect_eq(cursor, last_position() - 1);
    cr_assert_eq(store_sender_get(broker.store, row_now().group_id, people[GONE].by.id, &sender),
                 ERR_OK);
    cr_expect_eq(sender.stored_seq, 7);
}

Test(group, ownership_is_handed_over)
{
    struct fake_event events[2];

    populate(0);
    cr_expect_eq(say(OWNER, (events[0] = removed(OWNER, OWNER, REMOVED_LEFT), events), 1),
                 ERR_STATE, "the owner does not leave");
    good(OWNER, role(OWNER, MEMBER, ROLE_OWNER));
    cr_expect_eq(row_now().owner_id, people[MEMBER].by.id);
    cr_expect_eq(say(OWNER, (events[0] = closed(OWNER), events), 1), ERR_FORBIDDEN);
    good(OWNER, removed(OWNER, OWNER, REMOVED_LEFT));
    made(events, removed(MEMBER, ADMIN, REMOVED_BY_ADMIN), MEMBER);
    cr_expect_eq(say(MEMBER, events, 2), ERR_OK);
    cr_expect(in_step());
}

Test(group, after_closed_nothing_is_appended)
{
    struct fake_event event;

    populate(0);
    good(OWNER, closed(OWNER));
    cr_expect(row_now().closed);
    cr_expect_eq(row_now().closed_ms, broker.now_ms);
    cr_expect(has_cursor(MEMBER, NULL), "what is there is still read");
    event = epoch(OWNER);
    cr_expect_eq(say(OWNER, &event, 1), ERR_STATE);
    event = removed(MEMBER, MEMBER, REMOVED_LEFT);
    cr_expect_eq(say(MEMBER, &event, 1), ERR_STATE);
}

/* ---- who may what (T61) -------------------------------------------------------------------------
 */

enum { G_OPEN, G_STALE, G_CLOSED, LIVES };

/* NOT_MEMBER for whoever is none; else 0 (taken) or the error, from the page. */
struct cell {
    enum event_type type;
    const char *name;
    struct fake_event (*make)(int by);
    bool with_epoch; /* EPOCH by the same actor follows */
    enum err want[LIVES][PEOPLE];
};

static struct fake_event make_created(int by)
{
    struct fake_event event;

    fake_created(&group, agent(by), 0, 10, broker.now_ms, &event);
    return event;
}

static struct fake_event make_invited(int by)
{
    return invited(by, STRANGER);
}

static struct fake_event make_joined(int by)
{
    return joined(by);
}

static struct fake_event make_removed_member(int by)
{
    return removed(by, MEMBER, by == MEMBER ? REMOVED_LEFT : REMOVED_BY_ADMIN);
}

static struct fake_event make_removed_admin(int by)
{
    return removed(by, ADMIN, by == ADMIN ? REMOVED_LEFT : REMOVED_UNREACHABLE);
}

static struct fake_event make_withdrawn(int by)
{
    return removed(by, INVITED, by == INVITED ? REMOVED_LEFT : REMOVED_BY_ADMIN);
}

static struct fake_event make_revoked(int by)
{
    return removed(by, ADMIN, by == ADMIN ? REMOVED_LEFT : REMOVED_REVOKED); /* it is not */
}

static struct fake_event make_epoch(int by)
{
    return epoch(by);
}

static struct fake_event make_role(int by)
{
    return role(by, by == MEMBER ? ADMIN : MEMBER, ROLE_ADMIN);
}

static struct fake_event make_closed(int by)
{
    return closed(by);
}

#define NOBODY   ERR_NOT_MEMBER, ERR_NOT_MEMBER /* who is gone, a stranger */
#define FORBID   ERR_FORBIDDEN
#define ALL_OVER ERR_STATE, ERR_STATE, ERR_STATE, ERR_STATE, NOBODY

/*                                   owner      admin      member     invited */
static const struct cell cells[] = {
    { EVENT_GROUP_CREATED,
      "CREATED",
      make_created,
      false,
      { { ALL_OVER }, { ALL_OVER }, { ALL_OVER } } },
    { EVENT_GROUP_INVITED,
      "INVITED",
      make_invited,
      false,
      { { ERR_OK, ERR_OK, FORBID, FORBID, NOBODY },
        { ERR_OK, ERR_OK, FORBID, FORBID, NOBODY },
        { ALL_OVER } } },
    { EVENT_GROUP_JOINED,
      "JOINED",
      make_joined,
      false,
      { { ERR_STATE, ERR_STATE, ERR_STATE, ERR_OK, NOBODY },
        { ERR_STATE, ERR_STATE, ERR_STATE, ERR_OK, NOBODY },
        { ALL_OVER } } },
    { EVENT_GROUP_REMOVED,
      "REMOVED without its EPOCH",
      make_removed_member,
      false,
      { { ERR_STATE, ERR_STATE, ERR_OK, FORBID, NOBODY },
        { ERR_STATE, ERR_STATE, ERR_OK, FORBID, NOBODY },
        { ALL_OVER } } },
    { EVENT_GROUP_REMOVED,
      "REMOVED of a member",
      make_removed_member,
      true,
      { { ERR_OK, ERR_OK, FORBID, FORBID, NOBODY },
        { ERR_OK, ERR_OK, FORBID, FORBID, NOBODY },
        { ALL_OVER } } },
    { EVENT_GROUP_REMOVED,
      "REMOVED of an admin",
      make_removed_admin,
      true,
      { { ERR_OK, FORBID, FORBID, FORBID, NOBODY },
        { ERR_OK, FORBID, FORBID, FORBID, NOBODY },
        { ALL_OVER } } },
    { EVENT_GROUP_REMOVED,
      "REMOVED of an invited one",
      make_withdrawn,
      false,
      { { ERR_OK, ERR_OK, FORBID, ERR_OK, NOBODY },
        { ERR_OK, ERR_OK, FORBID, ERR_OK, NOBODY },
        { ALL_OVER } } },
    { EVENT_GROUP_REMOVED,
      "REMOVED as revoked",
      make_revoked,
      true,
      { { FORBID, FORBID, FORBID, FORBID, NOBODY },
        { FORBID, FORBID, FORBID, FORBID, NOBODY },
        { ALL_OVER } } },
    { EVENT_GROUP_EPOCH,
      "EPOCH",
      make_epoch,
      false,
      { { ERR_OK, ERR_OK, FORBID, FORBID, NOBODY },
        { ERR_OK, ERR_OK, FORBID, FORBID, NOBODY },
        { ALL_OVER } } },
    { EVENT_GROUP_ROLE,
      "ROLE",
      make_role,
      false,
      { { ERR_OK, FORBID, FORBID, FORBID, NOBODY },
        { ERR_OK, FORBID, FORBID, FORBID, NOBODY },
        { ALL_OVER } } },
    { EVENT_GROUP_CLOSED,
      "CLOSED",
      make_closed,
      false,
      { { ERR_OK, FORBID, FORBID, FORBID, NOBODY },
        { ERR_OK, FORBID, FORBID, FORBID, NOBODY },
        { ALL_OVER } } },
};

static void bring_to(int life, uint64_t number)
{
    fake_group_open(&broker, &group, &people[OWNER], 0, number);
    for (int who = ADMIN; who <= GONE; who++)
        if (who != INVITED) {
            good(OWNER, invited(OWNER, who));
            good(who, joined(who));
        }
    good(OWNER, epoch(OWNER));
    good(OWNER, role(OWNER, ADMIN, ROLE_ADMIN));
    good(OWNER, invited(OWNER, INVITED));
    good(GONE, removed(GONE, GONE, REMOVED_LEFT));
    if (life == G_STALE)
        return;
    good(OWNER, epoch(OWNER));
    if (life == G_CLOSED)
        good(OWNER, closed(OWNER));
}

Test(group, T61_every_event_in_every_state_by_everybody)
{
    uint64_t number = 1;

    broker.settings.requests = 10000;
    configure();
    for (size_t i = 0; i < sizeof cells / sizeof cells[0]; i++)
        for (int life = 0; life < LIVES; life++)
            for (int who = 0; who < PEOPLE; who++) {
                const struct cell *cell = &cells[i];
                struct fake_event events[2];
                struct group_row before;
                size_t count = 1;
                enum err e, want = cell->want[life][who];

                bring_to(life, number++);
                before = row_now();
                events[0] = cell->make(who);
                if (cell->with_epoch) {
                    struct fake_group copy = { 0 };

                    group_chain_copy(&copy.chain, &group.chain);
                    fake_group_take(&copy, &events[0]);
                    fake_epoch(&copy, agent(who), broker.now_ms, &events[1]);
                    fake_group_free(&copy);
                    count = 2;
                }
                /* Who leaves may not commit an EPOCH. */
                if (cell->with_epoch && memcmp(events[0].event.target, agent(who)->aid, 32) == 0
                    && life != G_CLOSED)
                    want = ERR_FORBIDDEN;
                e = say(who, events, count);
                cr_expect_eq(e, want, "%s, state %d, by %s: %s, not %s", cell->name, life,
                             names[who], err_name(e), err_name(want));
                cr_expect_eq(row_now().next_event, before.next_event + (e == ERR_OK ? count : 0));
                fake_broker_pass(&broker, 1);
                fake_group_free(&group);
            }
}

Test(group, members_may_invite_where_the_group_says_so)
{
    struct fake_event event;

    populate(GROUP_FLAG_ALL_INVITE);
    fake_invited(&group, agent(MEMBER), agent(STRANGER), ROLE_ADMIN, broker.now_ms,
                 broker.now_ms + DAY_MS, &event);
    cr_expect_eq(say(MEMBER, &event, 1), ERR_FORBIDDEN, "as a member only");
    good(MEMBER, invited(MEMBER, STRANGER));
}

Test(group, layouts_and_signatures)
{
    struct fake_event event, events[2];

    populate(0);
    event = epoch(OWNER);
    event.sig[3] ^= 1;
    cr_expect_eq(say(OWNER, &event, 1), ERR_AUTH);
    event = epoch(OWNER);
    fake_event_sign(&event, agent(ADMIN));
    cr_expect_eq(say(ADMIN, &event, 1), ERR_AUTH, "signed by another than its actor");
    event = epoch(OWNER);
    event.body[0] ^= 1;
    memcpy(event.event.body_hash, (uint8_t[32]){ 0 }, 32);
    cr_expect_eq(say(OWNER, &event, 1), ERR_SCHEMA, "another body than was signed");
    event = epoch(OWNER);
    event.body[5] ^= 1; /* members_hash */
    fake_event_sign(&event, agent(OWNER));
    cr_expect_eq(say(OWNER, &event, 1), ERR_DIGEST_MISMATCH);
    event = epoch(OWNER);
    event.event.ts_ms = broker.now_ms + LIMIT_FRESH_MS + 1;
    fake_event_sign(&event, agent(OWNER));
    cr_expect_eq(say(OWNER, &event, 1), ERR_STALE_TS);
    event.event.ts_ms = broker.now_ms - 40 * DAY_MS;
    fake_event_sign(&event, agent(OWNER));
    good(OWNER, event); /* it has waited in an outbox */
    events[0] = epoch(OWNER);
    events[1] = epoch(OWNER);
    cr_expect_eq(say(OWNER, events, 2), ERR_SCHEMA, "a number twice");
    fake_invited(&group, agent(OWNER), agent(STRANGER), ROLE_MEMBER, broker.now_ms,
                 broker.now_ms + 1, &event);
    good(OWNER, event);
    fake_broker_pass(&broker, 1000);
    cr_expect_eq(say(STRANGER, (events[0] = joined(STRANGER), events), 1), ERR_EXPIRED);
    cr_expect(in_step());
}

Test(group, whoever_is_revoked_or_unknown_is_not_invited)
{
    struct fake_agent nobody;
    struct fake_event event;

    populate(0);
    fake_agent_make(&nobody, "nobody", 99, broker.now_ms);
    fake_invited(&group, agent(OWNER), &nobody, ROLE_MEMBER, broker.now_ms, broker.now_ms + DAY_MS,
                 &event);
    cr_expect_eq(say(OWNER, &event, 1), ERR_FORBIDDEN);
    revoke(STRANGER);
    event = invited(OWNER, STRANGER);
    cr_expect_eq(say(OWNER, &event, 1), ERR_FORBIDDEN);
}

/* ---- compare and swap ---------------------------------------------------------------------------
 */

Test(group, whoever_is_slower_gets_what_is_there)
{
    struct fake_event fast, slow;
    struct answer answer;
    struct list_reader reader;
    struct wire_event event;

    populate(0);
    fast = invited(OWNER, STRANGER);
    slow = epoch(ADMIN);
    good(OWNER, fast);
    answer = fake_group_say(&broker, &people[ADMIN], &slow, 1);
    cr_assert_eq(answer.e, ERR_CONFLICT);
    cr_expect_eq(answer.message.seq, group.chain.next_seq);
    cr_expect_arr_eq(answer.message.head, group.chain.head, 32);
    reader = list_read(&answer.message.events);
    cr_assert(list_event(&reader, &event));
    cr_expect_arr_eq(event.preimage, fast.preimage, EVENT_SIZE);
    cr_expect_not(list_event(&reader, &event));
    cr_expect_eq(say(OWNER, &fast, 1), ERR_OK, "the very same");
    good(ADMIN, epoch(ADMIN));
    cr_expect_eq(say(OWNER, &fast, 1), ERR_OK, "the very same, long ago");
    slow = epoch(ADMIN);
    slow.event.seq++;
    fake_event_sign(&slow, agent(ADMIN));
    answer = fake_group_say(&broker, &people[ADMIN], &slow, 1);
    cr_expect_eq(answer.e, ERR_CONFLICT, "a number in front");
    cr_expect_eq(answer.message.seq, group.chain.next_seq);
}

/* T27: two admins of one turn. */
Test(group, T27_two_admins_at_once_make_one_chain)
{
    for (int round = 0; round < 100; round++) {
        struct fake_event events[2];
        struct message messages[2] = { { .verb = VERB_EVENT }, { .verb = VERB_EVENT } };
        struct list_maker lists[2] = { 0 };
        uint32_t rid[2];
        enum err got[2];

        if (round == 0)
            populate(0);
        events[0] = epoch(OWNER);
        events[1] = epoch(ADMIN);
        for (int i = 0; i < 2; i++) {
            struct wire_event wire = fake_event_wire(&events[i]);

            list_add_event(&lists[i], &wire);
            MESSAGE_SET(&messages[i], events, list_of(&lists[i]));
            rid[i] = fake_queue(&broker, &people[i == round % 2].by, &messages[i], NULL, 0);
        }
        cr_assert_eq(fake_run(&broker), ERR_OK);
        got[0] = fake_answer(&broker, people[round % 2 == 0].by.conn, rid[0]).e;
        got[1] = fake_answer(&broker, people[round % 2 != 0].by.conn, rid[1]).e;
        cr_assert(got[0] == ERR_OK && got[1] == ERR_CONFLICT);
        fake_group_take(&group, &events[0]);
        cr_assert(in_step());
        list_free(&lists[0]);
        list_free(&lists[1]);
        fake_forget(&broker);
        fake_broker_pass(&broker, 1000);
    }
}

Test(group, all_or_nothing)
{
    struct fake_event events[3];
    struct group_chain before = { 0 };

    populate(0);
    group_chain_copy(&before, &group.chain);
    events[0] = invited(OWNER, STRANGER);
    fake_group_take(&group, &events[0]);
    events[1] = epoch(OWNER);
    fake_group_take(&group, &events[1]);
    events[2] = role(ADMIN, MEMBER, ROLE_ADMIN);
    cr_expect_eq(say(OWNER, events, 3), ERR_FORBIDDEN);
    group_chain_copy(&group.chain, &before);
    cr_expect(in_step());
    cr_expect_eq(fake_fetch(&broker, &people[STRANGER], (struct fake_item[256]){ 0 }), 0);
    group_chain_free(&before);
}

/* ---- a turn that fails, a broker that starts again ----------------------------------------------
 */

Test(group, a_rollback_leaves_the_chain_as_it_was)
{
    struct fake_event event;

    populate(0);
    cr_assert_eq(store_begin(broker.store), ERR_OK);
    cr_assert_eq(store_reader_remove(broker.store, row_now().stream_id, people[OWNER].by.id),
                 ERR_OK);
    store_rollback(broker.store);
    good(OWNER, epoch(OWNER));
    cr_expect(has_cursor(OWNER, NULL));
    event = removed(MEMBER, MEMBER, REMOVED_LEFT);
    good(MEMBER, event);
    store_begin(broker.store);
    store_rollback(broker.store);
    good(ADMIN, epoch(ADMIN));
}

Test(group_disk, a_broker_that_starts_makes_the_chains_anew)
{
    populate(0);
    good(MEMBER, removed(MEMBER, MEMBER, REMOVED_LEFT));
    fake_broker_restart(&broker);
    for (int i = 0; i < PEOPLE; i++) {
        fake_connect(&broker, &people[i]);
        cr_assert_eq(fake_hello(&broker, &people[i]).e, ERR_OK);
    }
    cr_expect(row_now().stale);
    good(INVITED, joined(INVITED));
    good(ADMIN, epoch(ADMIN));
    cr_expect(has_cursor(INVITED, NULL));
    cr_expect(!row_now().stale);
}

/* ---- EVENTS -------------------------------------------------------------------------------------
 */

static struct answer events_of(int who, uint64_t seq, uint32_t max, bool from_epoch)
{
    struct message message = { .verb = VERB_EVENTS };

    MESSAGE_SET(&message, id, group.chain.gid);
    MESSAGE_SET(&message, seq, seq);
    MESSAGE_SET(&message, max, max);
    if (from_epoch)
        MESSAGE_SET(&message, flags, 1);
    return fake_say(&broker, &people[who].by, &message, NULL, 0);
}

/* Replays what came; false where it does not follow. */
static bool replays(const struct answer *answer, struct group_chain *chain)
{
    struct list_reader reader = list_read(&answer->message.events);
    struct wire_event wire;

    while (list_event(&reader, &wire)) {
        const struct signed_event event
            = { bytes_of(wire.preimage, EVENT_SIZE), wire.sig, wire.body };

        if (group_chain_replay(chain, &event) != ERR_OK)
            return false;
    }
    return reader.err == ERR_OK;
}

Test(group, events_for_members_and_the_invited)
{
    static const enum err want[PEOPLE]
        = { ERR_OK, ERR_OK, ERR_OK, ERR_OK, ERR_SESSION_NOT_FOUND, ERR_SESSION_NOT_FOUND };

    populate(0);
    for (int who = 0; who < PEOPLE; who++) {
        struct answer answer = events_of(who, 0, 128, false);
        struct group_chain chain = { 0 };

        cr_expect_eq(answer.e, want[who], "%s", names[who]);
        if (answer.e != ERR_OK)
            continue;
        memcpy(chain.gid, group.chain.gid, 16);
        cr_expect(replays(&answer, &chain));
        cr_expect_arr_eq(chain.head, group.chain.head, 32);
        cr_expect_arr_eq(answer.message.head, group.chain.head, 32);
        cr_expect_eq(answer.message.seq, group.chain.next_seq);
        cr_expect_eq(answer.part_count, 0);
        group_chain_free(&chain);
    }
    cr_expect_eq(events_of(OWNER, 3, 2, false).message.events.count, 2);
    cr_expect_eq(events_of(OWNER, INT64_MAX, 2, false).message.events.count, 0);
}

/* The members come as the EPOCH saw them, whatever happened since. */
Test(group, events_from_the_last_epoch_on_with_its_members)
{
    struct group_chain at_epoch = { 0 };
    struct answer answer;
    uint8_t hash[32];
    size_t count;

    populate(0);
    group_chain_copy(&at_epoch, &group.chain);
    good(INVITED, joined(INVITED));
    good(OWNER, role(OWNER, ADMIN, ROLE_MEMBER));
    good(MEMBER, removed(MEMBER, MEMBER, REMOVED_LEFT));
    answer = events_of(OWNER, 0, 128, true);
    cr_assert_eq(answer.e, ERR_OK);
    cr_expect_eq(answer.message.events.count, 4);
    cr_assert_eq(answer.part_count, 1);
    count = answer.parts[0].len / 33;
    cr_expect_eq(answer.parts[0].len % 33, 0);
    at_epoch.count = 0;
    for (size_t i = 0; i < count; i++) {
        struct group_member *member = &at_epoch.members[at_epoch.count++];

        *member = (struct group_member){ .joined = true, .role = answer.parts[0].at[33 * i + 32] };
        memcpy(member->aid, answer.parts[0].at + 33 * i, 32);
    }
    group_members_hash(hash, &at_epoch);
    cr_expect_arr_eq(hash, group.chain.epoch_body.members_hash, 32);
    group_chain_free(&at_epoch);
}

/* ---- HELLO and SYNC -----------------------------------------------------------------------------
 */

Test(group, hello_names_the_channels_that_one_reads)
{
    static const bool reads[PEOPLE] = { true, true, true, false, false, false };

    populate(0);
    for (int who = 0; who < PEOPLE; who++) {
        struct answer answer = fake_hello(&broker, &people[who]);
        struct list_reader reader = list_read(&answer.message.streams);
        struct wire_stream stream;
        static const uint8_t mailbox[16];
        uint64_t cursor;

        cr_assert_eq(answer.e, ERR_OK);
        cr_assert(list_stream(&reader, &stream));
        cr_expect_arr_eq(stream.stream, mailbox, 16, "the mailbox first");
        cr_expect_eq(list_stream(&reader, &stream), reads[who], "%s", names[who]);
        if (!reads[who])
            continue;
        cr_expect_arr_eq(stream.stream, group.chain.gid, 16);
        cr_assert(has_cursor(who, &cursor));
        cr_expect_eq(stream.cursor, cursor);
        cr_expect_eq(stream.last, last_position());
        cr_expect_gt(stream.waiting, 0);
        cr_expect_not(list_stream(&reader, &stream));
    }
}

Test(group, hello_tells_the_largest_group)
{
    struct answer answer;
    struct list_reader reader;
    uint64_t number, value, members = 0;

    broker.settings.group_members = 77;
    configure();
    answer = fake_hello(&broker, &people[OWNER]);
    reader = list_read(&answer.message.limits);
    while (list_limit(&reader, &number, &value))
        if (number == WIRE_LIMIT_MEMBERS)
            members = value;
    cr_expect_eq(members, 77);
}

static uint64_t sync_state(int who, uint64_t last, const uint8_t digest[32], uint64_t *stored)
{
    struct message message = { .verb = VERB_SYNC };
    struct list_maker list = { 0 };
    struct wire_scope scope = { .scope = group.chain.gid, .seq = last, .digest = digest };
    struct list_reader reader;
    struct answer answer;

    list_add_scope_asked(&list, &scope);
    MESSAGE_SET(&message, scopes, list_of(&list));
    answer = fake_say(&broker, &people[who].by, &message, NULL, 0);
    cr_assert_eq(answer.e, ERR_OK);
    reader = list_read(&answer.message.scopes);
    cr_assert(list_scope_answered(&reader, &scope));
    *stored = scope.seq;
    list_free(&list);
    return scope.state;
}

Test(group, sync)
{
    static const uint64_t want[PEOPLE] = { 0, 0, 0, 3, 3, 3 };
    static const uint8_t unknown[32];
    uint8_t digest[32] = { 7 }, other[32] = { 8 };
    uint64_t stored;

    populate(0);
    for (int who = 0; who < PEOPLE; who++)
        cr_expect_eq(sync_state(who, 0, unknown, &stored), want[who], "%s", names[who]);
    cr_assert_eq(store_begin(broker.store), ERR_OK);
    cr_assert_eq(
        store_sender_settle_to(broker.store, row_now().group_id, people[MEMBER].by.id, 5, digest),
        ERR_OK);
    cr_assert_eq(store_commit(broker.store), ERR_OK);
    cr_expect_eq(sync_state(MEMBER, 5, digest, &stored), 0);
    cr_expect_eq(sync_state(MEMBER, 5, other, &stored), 2);
    cr_expect_eq(sync_state(MEMBER, 4, unknown, &stored), 2);
    cr_expect_eq(sync_state(MEMBER, 6, unknown, &stored), 1);
    cr_expect_eq(stored, 5);
}

/* A broker that was put back is moved on by the author's word. */
Test(group, sync_advances)
{
    struct message message = { .verb = VERB_SYNC };
    struct list_maker scopes = { 0 }, receipts = { 0 };
    struct receipt receipt = { .status = RECEIPT_ADVANCE, .from = 1, .to = 9, .ts_ms = 1 };
    struct fake_receipt signed_receipt;
    uint64_t stored;

    populate(0);
    for (int who = MEMBER; who <= INVITED; who++) {
        struct wire_receipt wire;

        memcpy(receipt.scope, group.chain.gid, 16);
        memcpy(receipt.sender, agent(who)->aid, 32);
        memcpy(receipt.recipient, agent(who)->aid, 32);
        fake_receipt_sign(&signed_receipt, agent(who), receipt);
        /* signing fills the recipient, the range stays zeroes */
        wire = (struct wire_receipt){ signed_receipt.preimage, signed_receipt.sig };
        list_clear(&receipts);
        list_add_receipt(&receipts, &wire);
        MESSAGE_SET(&message, receipts, list_of(&receipts));
        MESSAGE_SET(&message, scopes, list_of(&scopes));
        cr_expect_eq(fake_say(&broker, &people[who].by, &message, NULL, 0).e,
                     who == MEMBER ? ERR_OK : ERR_RECEIPT, "%s", names[who]);
    }
    cr_expect_eq(sync_state(MEMBER, 9, (uint8_t[32]){ 0 }, &stored), 0);
    list_free(&receipts);
    list_free(&scopes);
}

/* ---- tails that a restored broker has lost (T62) ------------------------------------------------
 */

/* The events are made as if the broker had had them, and lost. */
Test(group, T62_anybody_brings_back_what_others_signed)
{
    struct fake_event events[4];

    populate(0);
    made(events, removed(ADMIN, MEMBER, REMOVED_BY_ADMIN), ADMIN);
    events[2] = invited(OWNER, STRANGER);
    fake_group_take(&group, &events[2]);
    events[3] = joined(STRANGER);
    fake_group_take(&group, &events[3]);
    cr_expect_eq(say(GONE, events, 4), ERR_NOT_MEMBER, "who left before is none");
    cr_expect_eq(say(INVITED, events, 1), ERR_STATE, "REMOVED without its EPOCH");
    cr_expect_eq(say(INVITED, events, 2), ERR_OK, "an invited one");
    cr_expect(!has_cursor(MEMBER, NULL));
    cr_expect(was_told(MEMBER, &events[0]));
    cr_expect_eq(say(MEMBER, events, 2), ERR_OK, "the removed one says it once more");
    cr_expect_eq(say(MEMBER, events, 4), ERR_NOT_MEMBER, "and nothing beyond");
    cr_expect_eq(say(STRANGER, &events[2], 2), ERR_OK, "whom they make a member");
    cr_expect(in_step());
}

Test(group, T62_the_group_itself_was_lost)
{
    struct fake_event events[3];

    fake_group_begin(&group, 1);
    fake_created(&group, agent(OWNER), 0, 10, broker.now_ms, &events[0]);
    made(events, events[0], OWNER);
    events[2] = invited(OWNER, MEMBER);
    fake_group_take(&group, &events[2]);
    cr_expect_eq(say(MEMBER, events, 2), ERR_NOT_MEMBER, "not yet of it");
    cr_expect_eq(say(MEMBER, events, 3), ERR_OK);
    cr_expect(in_step());
    cr_expect(has_cursor(OWNER, NULL) && !has_cursor(MEMBER, NULL));
}

Test(group, T62_a_forged_changed_or_foreign_tail_is_refused)
{
    struct fake_event events[2], forged[2];

    populate(0);
    made(events, removed(ADMIN, MEMBER, REMOVED_BY_ADMIN), ADMIN);
    memcpy(forged, events, sizeof forged);
    forged[1].sig[9] ^= 1;
    cr_expect_eq(say(OWNER, forged, 2), ERR_AUTH, "forged");
    memcpy(forged, events, sizeof forged);
    forged[0].event.ts_ms++;
    fake_event_sign(&forged[0], agent(ADMIN));
    memcpy(forged[0].sig, events[0].sig, 64);
    cr_expect_eq(say(OWNER, forged, 2), ERR_AUTH, "changed");
    fake_event_sign(&forged[0], agent(OWNER));
    cr_expect_eq(say(OWNER, forged, 2), ERR_AUTH, "signed by who brings it");
    fake_event_sign(&forged[0], agent(ADMIN));
    cr_expect_eq(say(OWNER, forged, 2), ERR_CONFLICT, "its EPOCH follows another one");
    cr_expect_eq(say(STRANGER, events, 2), ERR_NOT_MEMBER, "a stranger");
    cr_expect_eq(say(OWNER, &events[1], 1), ERR_CONFLICT, "does not extend the head");
    cr_expect_eq(say(OWNER, events, 2), ERR_OK, "as the admin signed it");
    cr_expect(in_step());
}

/* ---- floods, a full disk (T66), how many --------------------------------------------------------
 */

Test(group, T66_events_cost_what_frames_cost)
{
    struct fake_event events[2];

    populate(0);
    broker.settings.send_burst = 2;
    broker.settings.send_per_s = 1;
    configure();
    fake_broker_pass(&broker, 3000);
    made(events, removed(ADMIN, MEMBER, REMOVED_BY_ADMIN), ADMIN);
    cr_expect_eq(say(ADMIN, events, 2), ERR_OK);
    events[0] = epoch(ADMIN);
    cr_expect_eq(say(ADMIN, events, 1), ERR_RATE);
    cr_expect_eq(say(OWNER, (events[1] = epoch(OWNER), &events[1]), 1), ERR_OK, "others can");
    fake_group_take(&group, &events[1]);
    broker.elapsed_ms += 1000;
    good(ADMIN, epoch(ADMIN));
}

Test(group, T66_invitations_count_among_held_requests)
{
    struct fake_group second = { 0 };
    struct fake_event event, other;
    struct fake_session session;
    struct buf frame = { 0 };

    broker.settings.requests = 2;
    configure();
    fake_group_open(&broker, &group, &people[OWNER], 0, 1);
    fake_group_open(&broker, &second, &people[ADMIN], 0, 2);
    good(OWNER, invited(OWNER, STRANGER));
    fake_invited(&second, agent(ADMIN), agent(STRANGER), ROLE_MEMBER, broker.now_ms,
                 broker.now_ms + 2 * DAY_MS, &event);
    fake_session_make(&session, agent(MEMBER), agent(STRANGER), 1, broker.now_ms, NULL, &frame,
                      &other);
    cr_expect_eq(fake_request(&broker, &people[MEMBER], &other, buf_bytes(&frame)).e, ERR_OK);
    cr_expect_eq(fake_group_say(&broker, &people[ADMIN], &event, 1).e, ERR_QUOTA_MAILBOX);
    buf_clear(&frame);
    fake_session_make(&session, agent(GONE), agent(STRANGER), 2, broker.now_ms, NULL, &frame,
                      &other);
    cr_expect_eq(fake_request(&broker, &people[GONE], &other, buf_bytes(&frame)).e,
                 ERR_QUOTA_MAILBOX, "requests, too");
    good(OWNER, removed(OWNER, STRANGER, REMOVED_BY_ADMIN)); /* withdrawn */
    cr_expect_eq(fake_group_say(&broker, &people[ADMIN], &event, 1).e, ERR_OK);
    cr_expect_eq(say(OWNER, (other = invited(OWNER, STRANGER), &other), 1), ERR_QUOTA_MAILBOX);
    fake_group_take(&second, &event);
    fake_joined(&second, agent(STRANGER), broker.now_ms, &event);
    cr_expect_eq(fake_group_say(&broker, &people[STRANGER], &event, 1).e, ERR_OK, "answered");
    fake_invited(&group, agent(OWNER), agent(STRANGER), ROLE_MEMBER, broker.now_ms,
                 broker.now_ms + 1000, &event);
    good(OWNER, event);
    buf_clear(&frame);
    fake_broker_pass(&broker, 2000); /* over */
    fake_session_make(&session, agent(GONE), agent(STRANGER), 3, broker.now_ms, NULL, &frame,
                      &other);
    cr_expect_eq(fake_request(&broker, &people[GONE], &other, buf_bytes(&frame)).e, ERR_OK);
    buf_free(&frame);
    fake_group_free(&second);
}

Test(group, T66_bytes_of_invitations_count_too)
{
    struct fake_group second = { 0 };
    struct fake_event event;

    broker.settings.request_bytes = 300;
    configure();
    fake_group_open(&broker, &group, &people[OWNER], 0, 1);
    fake_group_open(&broker, &second, &people[ADMIN], 0, 2);
    good(OWNER, invited(OWNER, STRANGER));
    fake_invited(&second, agent(ADMIN), agent(STRANGER), ROLE_MEMBER, broker.now_ms,
                 broker.now_ms + DAY_MS, &event);
    cr_expect_eq(fake_group_say(&broker, &people[ADMIN], &event, 1).e, ERR_QUOTA_MAILBOX);
    fake_group_free(&second);
}

static void fill_disk(void)
{
    broker.disk_free = 1000;
    broker.elapsed_ms += 1000;
}

Test(group, T66_under_a_full_disk_only_what_ends_something_passes)
{
    struct fake_event events[2];

    populate(0);
    fill_disk();
    cr_expect_eq(say(OWNER, (events[0] = epoch(OWNER), events), 1), ERR_DISK, "EPOCH");
    cr_expect_eq(say(OWNER, (events[0] = invited(OWNER, STRANGER), events), 1), ERR_DISK);
    cr_expect_eq(say(INVITED, (events[0] = joined(INVITED), events), 1), ERR_DISK);
    cr_expect_eq(say(OWNER, (events[0] = role(OWNER, MEMBER, ROLE_ADMIN), events), 1), ERR_DISK);
    good(MEMBER, removed(MEMBER, MEMBER, REMOVED_LEFT));
    good(ADMIN, epoch(ADMIN)); /* that belongs to it */
    cr_expect_eq(say(ADMIN, (events[0] = epoch(ADMIN), events), 1), ERR_DISK, "one more");
    made(events, removed(OWNER, ADMIN, REMOVED_BY_ADMIN), OWNER);
    cr_expect_eq(say(OWNER, events, 2), ERR_OK, "REMOVED and its EPOCH");
    good(OWNER, removed(OWNER, INVITED, REMOVED_BY_ADMIN));
    good(OWNER, closed(OWNER));
}

Test(group, T66_no_group_is_made_on_a_full_disk)
{
    struct fake_event events[2];

    fake_group_begin(&group, 1);
    fake_created(&group, agent(OWNER), 0, 10, broker.now_ms, &events[0]);
    made(events, events[0], OWNER);
    fill_disk();
    cr_expect_eq(say(OWNER, events, 2), ERR_DISK);
    broker.disk_free = UINT64_MAX;
    broker.elapsed_ms += 1000;
    cr_expect_eq(say(OWNER, events, 2), ERR_OK);
}

Test(group, how_large_a_group_may_be)
{
    struct fake_event events[2];

    broker.settings.group_members = 4;
    configure();
    fake_group_begin(&group, 1);
    fake_created(&group, agent(OWNER), 0, 5, broker.now_ms, &events[0]);
    made(events, events[0], OWNER);
    cr_expect_eq(say(OWNER, events, 2), ERR_QUOTA, "larger than the broker wants");
    fake_group_free(&group);
    fake_group_open(&broker, &group, &people[OWNER], 0, 2);
    good(OWNER, invited(OWNER, ADMIN));
    good(OWNER, invited(OWNER, MEMBER));
    broker.settings.group_members = 3; /* by reload */
    configure();
    cr_expect_eq(say(OWNER, (events[0] = invited(OWNER, GONE), events), 1), ERR_QUOTA);
    broker.settings.group_members = 4;
    configure();
    good(OWNER, invited(OWNER, GONE));
    cr_expect_eq(say(OWNER, (events[0] = invited(OWNER, STRANGER), events), 1), ERR_QUOTA,
                 "its own bound");
}

Test(group, how_many_groups_an_agent_may_be_in)
{
    struct fake_event events[2];

    for (uint64_t i = 1; i <= LIMIT_GROUPS_MAX; i++) {
        fake_group_free(&group);
        fake_group_open(&broker, &group, &people[OWNER], 0, i);
    }
    fake_group_free(&group);
    fake_group_begin(&group, 1000);
    fake_created(&group, agent(OWNER), 0, 10, broker.now_ms, &events[0]);
    made(events, events[0], OWNER);
    cr_expect_eq(say(OWNER, events, 2), ERR_QUOTA);
    fake_group_free(&group);
    fake_group_open(&broker, &group, &people[ADMIN], 0, 1001);
    good(ADMIN, invited(ADMIN, OWNER));
    cr_expect_eq(say(OWNER, (events[0] = joined(OWNER), events), 1), ERR_QUOTA);
}

/* ---- closed long ago ----------------------------------------------------------------------------
 */

Test(group, a_group_closed_38_days_ago_is_forgotten)
{
    struct group_row row;
    struct fake_event events[2];
    uint8_t id[16];

    populate(0);
    good(OWNER, closed(OWNER));
    memcpy(id, group.chain.gid, sizeof id);
    fake_broker_pass(&broker, 37 * DAY_MS);
    cr_expect_eq(store_group_find(broker.store, id, &row), ERR_OK);
    fake_broker_pass(&broker, 2 * DAY_MS);
    cr_expect_eq(store_group_find(broker.store, id, &row), ERR_NOT_FOUND);
    cr_assert_eq(fake_hello(&broker, &people[OWNER]).e, ERR_OK);
    cr_expect_eq(events_of(OWNER, 0, 10, false).e, ERR_SESSION_NOT_FOUND);
    fake_group_free(&group); /* and its number is free */
    fake_group_begin(&group, 1);
    fake_created(&group, agent(OWNER), 0, 10, broker.now_ms, &events[0]);
    made(events, events[0], OWNER);
    cr_expect_eq(say(OWNER, events, 2), ERR_OK);
    cr_expect(in_step());
}

/* ---- members that are revoked -------------------------------------------------------------------
 */

Test(group, T52_a_revoked_member_reads_no_more)
{
    populate(GROUP_FLAG_STRICT);
    revoke(MEMBER);
    cr_expect(!has_cursor(MEMBER, NULL));
    cr_expect(row_now().stale);
    good(OWNER, epoch(OWNER));
    cr_expect(!has_cursor(MEMBER, NULL), "no EPOCH admits it");
    cr_expect(row_now().stale, "as long as it is a member");
    cr_assert_eq(fake_group_remove(&broker, &group, &people[ADMIN], &people[MEMBER]).e, ERR_OK);
    cr_expect(!row_now().stale);
}

Test(group, an_invitation_of_a_revoked_agent_ends)
{
    uint64_t count;

    populate(0);
    revoke(INVITED);
    cr_expect(!row_now().stale);
    cr_assert_eq(
        store_invitations_count(broker.store, people[INVITED].by.id, broker.now_ms, &count),
        ERR_OK);
    cr_expect_eq(count, 0);
    good(ADMIN, removed(ADMIN, INVITED, REMOVED_REVOKED));
}

/* T69: an admin removes the revoked owner, and is the owner. */
Test(group, T69_the_last_owner_is_revoked)
{
    struct fake_event events[2];

    populate(0);
    made(events, removed(ADMIN, OWNER, REMOVED_REVOKED), ADMIN);
    cr_expect_eq(say(ADMIN, events, 2), ERR_FORBIDDEN, "not before its REVOKE");
    revoke(OWNER);
    cr_expect_eq(say(ADMIN, events, 2), ERR_OK);
    cr_expect(in_step());
    cr_expect_eq(row_now().owner_id, people[ADMIN].by.id);
    good(ADMIN, closed(ADMIN));
}

Test(group, T69_two_admins_race_for_the_place)
{
    struct fake_event first[2], second[2];
    struct fake_group copy = { 0 };

    populate(0);
    good(OWNER, role(OWNER, MEMBER, ROLE_ADMIN));
    revoke(OWNER);
    group_chain_copy(&copy.chain, &group.chain);
    fake_removed(&copy, agent(MEMBER), agent(OWNER), REMOVED_REVOKED, broker.now_ms, &second[0]);
    fake_group_take(&copy, &second[0]);
    fake_epoch(&copy, agent(MEMBER), broker.now_ms, &second[1]);
    made(first, removed(ADMIN, OWNER, REMOVED_REVOKED), ADMIN);
    cr_expect_eq(say(ADMIN, first, 2), ERR_OK);
    cr_expect_eq(say(MEMBER, second, 2), ERR_CONFLICT);
    cr_expect(in_step());
    cr_expect_eq(row_now().owner_id, people[ADMIN].by.id);
    second[0] = role(MEMBER, ADMIN, ROLE_MEMBER);
    cr_expect_eq(say(MEMBER, second, 1), ERR_FORBIDDEN, "exactly one owner");
    fake_group_free(&copy);
}

Test(group, T69_an_admin_is_revoked)
{
    struct fake_event events[2];

    populate(0);
    revoke(ADMIN);
    events[0] = epoch(ADMIN); /* what a revoked one signs later nobody may bring */
    events[0].event.ts_ms = broker.now_ms + 1;
    fake_event_sign(&events[0], agent(ADMIN));
    cr_expect_eq(say(OWNER, events, 1), ERR_FORBIDDEN);
    events[0].event.ts_ms = broker.now_ms - 1;
    fake_event_sign(&events[0], agent(ADMIN));
    good(OWNER, events[0]); /* what it signed before stays true (T62) */
    cr_assert_eq(fake_group_remove(&broker, &group, &people[OWNER], &people[ADMIN]).e, ERR_OK);
    cr_expect(!row_now().stale);
}
