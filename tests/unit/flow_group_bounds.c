/* layers: testlib */
/*
 * Groups and their bounds: EVENTS, HELLO and SYNC, floods and a full disk (T66), how many and how
 * large, the end, members that are revoked (T69).
 */
#include "tests/lib/group_people.h"

TestSuite(group, .init = open_all, .fini = close_all);

/* ---- EVENTS -------------------------------------------------------------------------------------
 */

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
