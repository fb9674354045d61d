/* layers: testlib */
/*
 * EVENT for groups: what each event does to members, cursors and mailboxes (docs/protocol.md 5.4),
 * who may say it when (5.2), compare and swap, turns that fail, tails brought back after a restore.
 */
#include "tests/lib/group_people.h"

TestSuite(group, .init = open_all, .fini = close_all);
TestSuite(group_disk, .init = open_on_disk, .fini = close_all);

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

/* The turn that makes a group fails; its events come again. */
Test(group, a_group_whose_making_was_rolled_back)
{
    struct fake_event events[3], other[2];
    struct message message = { .verb = VERB_EVENT };
    struct list_maker list = { 0 };
    struct request request = { .by = people[OWNER].by };
    struct fake_group second = { 0 };

    fake_group_begin(&group, 1);
    fake_created(&group, agent(OWNER), 0, 10, broker.now_ms, &events[0]);
    made(events, events[0], OWNER);
    for (int i = 0; i < 2; i++) {
        struct wire_event wire = fake_event_wire(&events[i]);

        list_add_event(&list, &wire);
    }
    MESSAGE_SET(&message, events, list_of(&list));
    request.message = message;
    request_precheck(&request);
    cr_assert_eq(turn_begin(broker.flow), ERR_OK);
    cr_assert_eq(request_run(broker.flow, &request), ERR_OK);
    cr_assert_eq(store_group_find(broker.store, group.chain.gid, &(struct group_row){ 0 }), ERR_OK);
    turn_rollback(broker.flow);
    /* another group takes the numbers that the first one had */
    fake_group_open(&broker, &second, &people[ADMIN], 0, 2);
    events[2] = closed(OWNER);
    cr_expect_eq(say(OWNER, &events[2], 1), ERR_NOT_MEMBER);
    cr_expect_eq(say(OWNER, events, 2), ERR_OK);
    cr_expect(in_step());
    cr_expect_neq(row_now().group_id, 0);
    fake_removed(&second, agent(ADMIN), agent(OWNER), REMOVED_BY_ADMIN, broker.now_ms, &other[0]);
    cr_expect_eq(fake_group_say(&broker, &people[ADMIN], other, 1).e, ERR_STATE, "not in that one");
    good(OWNER, events[2]);
    list_free(&list);
    fake_group_free(&second);
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
