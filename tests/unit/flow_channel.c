/* layers: testlib */
/*
 * A group's channel, written to: who may, which epoch, quotas, expiry, tombstones, damaged rows,
 * and when rows leave.  What its readers see is in flow_channel_read.c.
 */
#include <criterion/criterion.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/store/audit.h"
#include "broker/store/groups.h"
#include "broker/store/senders.h"
#include "shared/trust/notice.h"
#include "shared/wire/limit.h"
#include "tests/lib/fake_group.h"

#define HOUR_MS UINT64_C(3600000)
#define DAY_MS  (24 * HOUR_MS)

static struct fake_broker broker;
static struct fake_party ann, members[2], eve;
static struct fake_party *const bob = &members[0], *const cat = &members[1];
static struct fake_group group;
static struct fake_item items[2048];

static void prepare(bool on_disk)
{
    fake_broker_open(&broker, on_disk);
    broker.settings.send_burst = 100000;
    flow_configure(broker.flow, &broker.settings);
    fake_join(&broker, &ann, "ann");
    fake_join(&broker, bob, "bob");
    fake_join(&broker, cat, "cat");
    fake_join(&broker, &eve, "eve");
}

static void open_all(void)
{
    prepare(false);
    fake_group_open(&broker, &group, &ann, 0, 1);
    fake_group_admit(&broker, &group, &ann, members, 2);
    fake_ack_all(&broker, &ann);
    fake_ack_all(&broker, bob);
    fake_ack_all(&broker, cat);
    fake_channel_ack_all(&broker, &ann, &group);
    fake_channel_ack_all(&broker, bob, &group);
    fake_channel_ack_all(&broker, cat, &group);
    fake_forget(&broker);
}

static void close_all(void)
{
    cr_expect_eq(store_recount(broker.store), ERR_OK);
    fake_group_free(&group);
    fake_broker_close(&broker);
}

TestSuite(channel, .init = open_all, .fini = close_all);

static struct stream_row channel(void)
{
    struct group_row row;
    struct stream_row stream;

    cr_assert_eq(store_group_find(broker.store, group.chain.gid, &row), ERR_OK);
    cr_assert_eq(store_stream_get(broker.store, row.stream_id, &stream), ERR_OK);
    return stream;
}

static struct sender_row numbers_of(const struct fake_party *party)
{
    struct group_row row;
    struct sender_row sender;

    cr_assert_eq(store_group_find(broker.store, group.chain.gid, &row), ERR_OK);
    cr_assert_eq(store_sender_get(broker.store, row.group_id, party->by.id, &sender), ERR_OK);
    return sender;
}

struct sent {
    uint32_t epoch;
    uint64_t seq, expires_ms;
    size_t size;
    bool as_stub;
};

static enum err send_it(const struct fake_party *by, struct sent sent)
{
    struct buf frame = { 0 }, stub = { 0 };
    struct bytes part;
    struct answer answer;

    fake_group_frame(&frame, &group, &by->agent, sent.epoch ? sent.epoch : group.chain.epoch,
                     sent.seq, 0, sent.expires_ms ? sent.expires_ms : broker.now_ms + DAY_MS,
                     sent.size ? sent.size : BUCKET_MIN);
    fake_stub(&stub, buf_bytes(&frame));
    part = sent.as_stub ? buf_bytes(&stub) : buf_bytes(&frame);
    answer = fake_send(&broker, by, &part, 1);
    buf_free(&frame);
    buf_free(&stub);
    return fake_status(&answer, 0);
}

/* Agents that stay connected all that time. */
static void pass(uint64_t ms)
{
    fake_broker_pass(&broker, ms);
    fake_hello(&broker, &ann);
    fake_hello(&broker, bob);
    fake_hello(&broker, cat);
}

/* ---- who may, and when ----------------------------------------------------------------------- */

Test(channel, one_row_whatever_the_number_of_readers)
{
    cr_expect_eq(fake_group_send(&broker, &group, &ann, 1), ERR_OK);
    cr_expect_eq(channel().frames, 1);
    cr_expect_eq(numbers_of(&ann).stored_seq, 1);
    cr_expect_eq(fake_group_send(&broker, &group, bob, 1), ERR_OK,
                 "every member numbers for itself");
    cr_expect_eq(channel().frames, 2);
}

Test(channel, the_answer_names_the_group)
{
    struct buf frame = { 0 };
    struct bytes part;
    struct answer answer;
    struct list_reader reader;
    struct wire_stored stored;

    fake_group_frame(&frame, &group, &ann.agent, group.chain.epoch, 1, 0, broker.now_ms + DAY_MS,
                     BUCKET_MIN);
    part = buf_bytes(&frame);
    answer = fake_send(&broker, &ann, &part, 1);
    reader = list_read(&answer.message.stored);
    cr_assert(list_stored(&reader, &stored));
    cr_expect_arr_eq(stored.scope, group.chain.gid, 16);
    cr_expect_eq(stored.seq, 1);
    buf_free(&frame);
}

Test(channel, numbers_are_checked_as_in_a_session)
{
    cr_expect_eq(fake_group_send(&broker, &group, &ann, 2), ERR_SEQ_GAP);
    cr_expect_eq(fake_group_send(&broker, &group, &ann, 1), ERR_OK);
    cr_expect_eq(fake_group_send(&broker, &group, &ann, 1), ERR_DUPLICATE);
    cr_expect_eq(send_it(&ann, (struct sent){ .seq = 1, .size = 320 }), ERR_SEQ_CONFLICT);
    cr_expect_eq(fake_group_send(&broker, &group, &ann, 2), ERR_OK);
    cr_expect_eq(send_it(&ann, (struct sent){ .seq = 1, .size = 320 }), ERR_SEQ_CONFLICT,
                 "as long as the row is there");
    cr_expect_eq(channel().frames, 2);
}

Test(channel, only_members_send)
{
    struct fake_group unknown;
    struct fake_event invited;

    fake_group_begin(&unknown, 99);
    unknown.chain.epoch = 1;
    cr_expect_eq(fake_group_send(&broker, &group, &eve, 1), ERR_NOT_MEMBER);
    cr_expect_eq(fake_group_send(&broker, &unknown, &ann, 1), ERR_NOT_MEMBER);
    fake_invited(&group, &ann.agent, &eve.agent, ROLE_MEMBER, broker.now_ms, broker.now_ms + DAY_MS,
                 &invited);
    fake_group_take(&group, &invited);
    cr_assert_eq(fake_group_say(&broker, &ann, &invited, 1).e, ERR_OK);
    cr_expect_eq(fake_group_send(&broker, &group, &eve, 1), ERR_NOT_MEMBER, "invited is not in");
    cr_assert_eq(fake_group_remove(&broker, &group, &ann, bob).e, ERR_OK);
    cr_expect_eq(fake_group_send(&broker, &group, bob, 1), ERR_NOT_MEMBER, "removed");
    fake_group_free(&unknown);
}

Test(channel, a_frame_for_one_agent_is_none_of_the_group)
{
    struct buf frame = { 0 };
    struct bytes part;
    struct answer answer;

    fake_group_frame(&frame, &group, &ann.agent, group.chain.epoch, 1, 0, broker.now_ms + DAY_MS,
                     BUCKET_MIN);
    memcpy(frame.at + 52, bob->agent.aid, 32); /* recipient */
    part = buf_bytes(&frame);
    answer = fake_send(&broker, &ann, &part, 1);
    cr_expect_neq(fake_status(&answer, 0), ERR_OK);
    cr_expect_eq(channel().frames, 0);
    buf_free(&frame);
}

Test(channel, a_session_named_by_a_group_frame_is_no_group)
{
    struct fake_session session;
    struct buf frame = { 0 };
    struct bytes part;
    struct answer answer;

    fake_session_open(&broker, &session, &ann, bob, 5);
    fake_group_frame(&frame, &group, &ann.agent, 1, 2, 0, broker.now_ms + DAY_MS, BUCKET_MIN);
    memcpy(frame.at + 4, session.chain.sid, 16);
    part = buf_bytes(&frame);
    answer = fake_send(&broker, &ann, &part, 1);
    cr_expect_eq(fake_status(&answer, 0), ERR_NOT_MEMBER);
    buf_free(&frame);
}

Test(channel, a_session_and_a_group_in_one_message)
{
    struct fake_session session;
    struct buf frames[3] = { 0 };
    struct bytes parts[3];
    struct answer answer;

    fake_session_open(&broker, &session, &ann, bob, 5);
    fake_group_frame(&frames[0], &group, &ann.agent, group.chain.epoch, 1, 0,
                     broker.now_ms + DAY_MS, BUCKET_MIN);
    fake_frame(&frames[1], FRAME_DATA, session.chain.sid, &ann.agent, &bob->agent, 2,
               broker.now_ms + DAY_MS, BUCKET_MIN);
    fake_group_frame(&frames[2], &group, &ann.agent, group.chain.epoch, 2, 0,
                     broker.now_ms + DAY_MS, BUCKET_MIN);
    for (int i = 0; i < 3; i++)
        parts[i] = buf_bytes(&frames[i]);
    answer = fake_send(&broker, &ann, parts, 3);
    for (size_t i = 0; i < 3; i++) {
        cr_expect_eq(fake_status(&answer, i), ERR_OK, "%zu", i);
        buf_free(&frames[i]);
    }
    cr_expect_eq(channel().frames, 2);
}

/* The broker's half of T55: what is refused keeps no number. */
Test(channel, T55_only_the_current_epoch_is_stored)
{
    uint32_t epoch = group.chain.epoch;

    cr_expect_eq(send_it(&ann, (struct sent){ .seq = 1, .epoch = epoch + 1 }), ERR_EPOCH);
    cr_assert_eq(fake_group_remove(&broker, &group, &ann, cat).e, ERR_OK);
    cr_expect_eq(send_it(bob, (struct sent){ .seq = 1, .epoch = epoch }), ERR_EPOCH);
    cr_expect_eq(numbers_of(bob).stored_seq, 0);
    cr_expect_eq(send_it(bob, (struct sent){ .seq = 1, .epoch = epoch + 1 }), ERR_OK);
    cr_expect_eq(send_it(bob, (struct sent){ .seq = 1, .epoch = epoch }), ERR_SEQ_CONFLICT,
                 "numbers are looked at first");
}

static void leave(const struct fake_party *party)
{
    struct fake_event event;

    fake_removed(&group, &party->agent, &party->agent, REMOVED_LEFT, broker.now_ms, &event);
    fake_group_take(&group, &event);
    cr_assert_eq(fake_group_say(&broker, party, &event, 1).e, ERR_OK);
}

static void new_epoch(void)
{
    struct fake_event event;

    fake_epoch(&group, &ann.agent, broker.now_ms, &event);
    fake_group_take(&group, &event);
    cr_assert_eq(fake_group_say(&broker, &ann, &event, 1).e, ERR_OK);
}

Test(channel, a_group_without_a_current_epoch_goes_on)
{
    leave(cat);
    cr_expect_eq(fake_group_send(&broker, &group, bob, 1), ERR_OK);
}

Test(channel, a_strict_one_does_not)
{
    fake_group_free(&group);
    fake_group_open(&broker, &group, &ann, GROUP_FLAG_STRICT, 2);
    fake_group_admit(&broker, &group, &ann, members, 2);
    cr_expect_eq(fake_group_send(&broker, &group, bob, 1), ERR_OK);
    leave(cat);
    cr_expect_eq(fake_group_send(&broker, &group, bob, 2), ERR_EPOCH);
    new_epoch();
    cr_expect_eq(fake_group_send(&broker, &group, bob, 2), ERR_OK);
}

Test(channel, nothing_after_the_end)
{
    struct fake_event closed;

    cr_assert_eq(fake_group_send(&broker, &group, &ann, 1), ERR_OK);
    fake_group_closed(&group, &ann.agent, broker.now_ms, &closed);
    fake_group_take(&group, &closed);
    cr_assert_eq(fake_group_say(&broker, &ann, &closed, 1).e, ERR_OK);
    cr_expect_eq(fake_group_send(&broker, &group, &ann, 2), ERR_STATE);
    cr_expect_eq(fake_group_send(&broker, &group, &ann, 1), ERR_DUPLICATE);
    cr_expect_eq(fake_channel_ack_all(&broker, bob, &group), 2, "what is there is still read");
}

/* ---- quotas ---------------------------------------------------------------------------------- */

Test(channel, an_authors_share_is_bounded)
{
    broker.settings.pair_frames = 3;
    flow_configure(broker.flow, &broker.settings);
    for (uint64_t seq = 1; seq <= 3; seq++)
        cr_assert_eq(fake_group_send(&broker, &group, &ann, seq), ERR_OK);
    cr_expect_eq(fake_group_send(&broker, &group, &ann, 4), ERR_QUOTA_SENDER);
    cr_expect_eq(fake_group_send(&broker, &group, bob, 1), ERR_OK, "another has its own");
    fake_channel_ack_all(&broker, &ann, &group);
    fake_channel_ack_all(&broker, bob, &group);
    cr_expect_eq(fake_group_send(&broker, &group, &ann, 4), ERR_QUOTA_SENDER, "one has not read");
    fake_channel_ack_all(&broker, cat, &group);
    cr_expect_eq(channel().frames, 0);
    cr_expect_eq(fake_group_send(&broker, &group, &ann, 4), ERR_OK);
}

Test(channel, an_authors_share_is_counted_anew_after_a_restart)
{
    close_all();
    prepare(true);
    fake_group_open(&broker, &group, &ann, 0, 1);
    broker.settings.pair_frames = 3;
    flow_configure(broker.flow, &broker.settings);
    for (uint64_t seq = 1; seq <= 3; seq++)
        cr_assert_eq(fake_group_send(&broker, &group, &ann, seq), ERR_OK);
    fake_broker_restart(&broker);
    fake_connect(&broker, &ann);
    fake_hello(&broker, &ann);
    cr_expect_eq(fake_group_send(&broker, &group, &ann, 4), ERR_QUOTA_SENDER);
}

Test(channel, a_channel_is_bounded)
{
    broker.settings.queue_frames = 2;
    flow_configure(broker.flow, &broker.settings);
    cr_assert_eq(fake_group_send(&broker, &group, &ann, 1), ERR_OK);
    cr_assert_eq(fake_group_send(&broker, &group, bob, 1), ERR_OK);
    cr_expect_eq(fake_group_send(&broker, &group, cat, 1), ERR_QUOTA_MAILBOX);
    broker.settings.queue_frames = 100;
    broker.settings.queue_bytes = channel().bytes + 100;
    flow_configure(broker.flow, &broker.settings);
    cr_expect_eq(fake_group_send(&broker, &group, cat, 1), ERR_QUOTA_MAILBOX);
}

Test(channel, T66_disk_full)
{
    broker.disk_free = 1000;
    fake_broker_pass(&broker, 2000);
    cr_expect_eq(fake_group_send(&broker, &group, &ann, 1), ERR_DISK);
    broker.disk_free = UINT64_MAX;
    fake_broker_pass(&broker, 2000);
    cr_expect_eq(fake_group_send(&broker, &group, &ann, 1), ERR_OK);
}

Test(channel, rate)
{
    broker.settings.send_burst = 2;
    broker.settings.send_per_s = 1;
    flow_configure(broker.flow, &broker.settings);
    fake_broker_pass(&broker, 10000);
    fake_hello(&broker, &ann);
    cr_expect_eq(fake_group_send(&broker, &group, &ann, 1), ERR_OK);
    cr_expect_eq(fake_group_send(&broker, &group, &ann, 1), ERR_DUPLICATE);
    cr_expect_eq(fake_group_send(&broker, &group, &ann, 2), ERR_RATE);
}

/* ---- expiry ---------------------------------------------------------------------------------- */

static bool count_row(void *ctx, int columns, const char *const *names, const char *const *values)
{
    (void)columns;
    (void)names;
    (void)values;
    ++*(size_t *)ctx;
    return true;
}

static size_t rows_of(const char *view)
{
    size_t count = 0;

    cr_assert_eq(store_view(broker.store, view, NULL, NULL, NULL, 10000, count_row, &count),
                 ERR_OK);
    return count;
}

Test(channel, lives_7_days_at_most)
{
    size_t count = 8;

    cr_assert_eq(
        send_it(&ann, (struct sent){ .seq = 1, .expires_ms = broker.now_ms + 30 * DAY_MS }),
        ERR_OK);
    pass(7 * DAY_MS - HOUR_MS);
    cr_assert_eq(fake_channel_fetch(&broker, bob, &group, items, &count), ERR_OK);
    cr_assert_eq(count, 1);
    cr_expect_eq(items[0].reason, 0);
    pass(2 * HOUR_MS);
    count = 8;
    cr_assert_eq(fake_channel_fetch(&broker, bob, &group, items, &count), ERR_OK);
    cr_assert_eq(count, 1);
    cr_expect_eq(items[0].reason, NOTICE_EXPIRED);
}

/* Bob never reads. */
Test(channel, T54_a_silent_member_keeps_frames_for_their_life_only)
{
    struct notice notice;
    size_t count = 8;

    for (uint64_t seq = 1; seq <= 3; seq++)
        cr_assert_eq(fake_group_send(&broker, &group, &ann, seq), ERR_OK);
    cr_expect_eq(fake_channel_ack_all(&broker, cat, &group), 3, "others lose nothing");
    fake_channel_ack_all(&broker, &ann, &group);
    cr_expect_eq(channel().frames, 3);
    cr_expect_eq(channel().control, 0);
    pass(DAY_MS + HOUR_MS);
    cr_expect_eq(channel().frames, 3);
    cr_expect_eq(channel().control, 3, "tombstones are in no quota");
    cr_expect_eq(channel().bytes, 0);
    cr_expect_eq(numbers_of(&ann).settled_seq, 3);
    cr_expect_eq(numbers_of(&ann).waiting_bytes, 0);
    cr_expect_eq(rows_of("v_dead"), 3);

    cr_assert_eq(fake_fetch(&broker, &ann, items), 3);
    for (size_t i = 0; i < 3; i++) {
        static const uint8_t nobody[32];

        cr_assert_eq(items[i].kind, ITEM_NOTICE);
        cr_assert_eq(notice_parse(items[i].bytes, &notice), ERR_OK);
        cr_expect_eq(notice.reason, NOTICE_EXPIRED);
        cr_expect_eq(notice.seq, i + 1);
        cr_expect_arr_eq(notice.scope, group.chain.gid, 16);
        cr_expect_arr_eq(notice.recipient, nobody, 32);
    }
    cr_assert_eq(fake_channel_fetch(&broker, bob, &group, items, &count), ERR_OK);
    cr_assert_eq(count, 3);
    for (size_t i = 0; i < 3; i++) {
        cr_expect_eq(items[i].reason, NOTICE_EXPIRED);
        cr_expect_arr_eq(items[i].scope, group.chain.gid, 16);
        cr_expect_arr_eq(items[i].sender, ann.agent.aid, 32);
    }
    fake_channel_ack_all(&broker, bob, &group);
    cr_expect_eq(channel().frames, 0);
    cr_expect_eq(channel().control, 0);
    cr_expect_eq(numbers_of(&ann).settled_seq, 3);
}

Test(channel, expired_rows_free_their_authors_share)
{
    broker.settings.pair_frames = 2;
    flow_configure(broker.flow, &broker.settings);
    cr_assert_eq(fake_group_send(&broker, &group, &ann, 1), ERR_OK);
    cr_assert_eq(fake_group_send(&broker, &group, &ann, 2), ERR_OK);
    cr_assert_eq(fake_group_send(&broker, &group, &ann, 3), ERR_QUOTA_SENDER);
    pass(DAY_MS + HOUR_MS);
    cr_expect_eq(fake_group_send(&broker, &group, &ann, 3), ERR_OK);
}

/* The later one ends first. */
Test(channel, lives_of_different_length)
{
    cr_assert_eq(send_it(&ann, (struct sent){ .seq = 1, .expires_ms = broker.now_ms + 2 * DAY_MS }),
                 ERR_OK);
    cr_assert_eq(send_it(&ann, (struct sent){ .seq = 2, .expires_ms = broker.now_ms + HOUR_MS }),
                 ERR_OK);
    pass(2 * HOUR_MS);
    cr_expect_eq(store_recount(broker.store), ERR_OK);
    cr_expect_eq(channel().control, 1);
    pass(2 * DAY_MS);
    cr_expect_eq(channel().control, 2);
    cr_expect_eq(numbers_of(&ann).settled_seq, 2);
    fake_channel_ack_all(&broker, bob, &group);
    fake_channel_ack_all(&broker, &ann, &group);
    fake_channel_ack_all(&broker, cat, &group);
    cr_expect_eq(channel().frames, 0);
}

Test(channel, tombstones_go_38_days_later)
{
    cr_assert_eq(fake_group_send(&broker, &group, &ann, 1), ERR_OK);
    pass(DAY_MS + HOUR_MS);
    cr_expect_eq(channel().frames, 1);
    for (int day = 0; day < 38; day++)
        pass(DAY_MS);
    cr_expect_eq(channel().frames, 0);
}

Test(channel, expired_on_the_way)
{
    cr_expect_eq(send_it(&ann, (struct sent){ .seq = 1, .expires_ms = broker.now_ms - 1 }),
                 ERR_TOMBSTONE);
    cr_expect_eq(
        send_it(&ann, (struct sent){ .seq = 2, .expires_ms = broker.now_ms - 1, .as_stub = true }),
        ERR_TOMBSTONE);
    cr_expect_eq(
        send_it(&ann,
                (struct sent){ .seq = 3, .expires_ms = broker.now_ms + DAY_MS, .as_stub = true }),
        ERR_STALE_TS);
    cr_expect_eq(channel().frames, 2);
    cr_expect_eq(channel().control, 2);
    cr_expect_eq(numbers_of(&ann).stored_seq, 2);
    cr_expect_eq(numbers_of(&ann).settled_seq, 2);
    cr_expect_eq(fake_fetch(&broker, &ann, items), 0, "the answer was the notice");
    cr_expect_eq(fake_channel_ack_all(&broker, bob, &group), 2);
}

static void flood(uint64_t from, uint64_t to)
{
    for (uint64_t seq = from; seq <= to; seq++)
        cr_assert_eq(
            send_it(&ann,
                    (struct sent){ .seq = seq, .expires_ms = broker.now_ms - 1, .as_stub = true }),
            ERR_TOMBSTONE);
}

/* Tombstones count in no quota; 1,000 of an author stay. */
Test(channel, T65_a_flood_of_tombstones_has_an_end)
{
    size_t count = 2048;

    broker.settings.pair_frames = 10;
    broker.settings.queue_frames = 20;
    flow_configure(broker.flow, &broker.settings);
    flood(1, LIMIT_CHANNEL_TOMBSTONES + 7);
    cr_expect_eq(channel().frames, LIMIT_CHANNEL_TOMBSTONES);
    cr_expect_eq(fake_group_send(&broker, &group, bob, 1), ERR_OK, "nobody else notices");
    cr_assert_eq(fake_channel_fetch(&broker, bob, &group, items, &count), ERR_OK);
    cr_assert_eq(count, LIMIT_CHANNEL_TOMBSTONES + 1);
    cr_expect_eq(items[0].seq, 8, "the oldest went");
}

Test(channel, T65_frames_fill_the_quota_before_they_expire)
{
    broker.settings.pair_frames = 3;
    flow_configure(broker.flow, &broker.settings);
    for (uint64_t seq = 1; seq <= 3; seq++)
        cr_assert_eq(fake_group_send(&broker, &group, &ann, seq), ERR_OK);
    cr_expect_eq(
        send_it(&ann, (struct sent){ .seq = 4, .expires_ms = broker.now_ms - 1, .as_stub = true }),
        ERR_QUOTA_SENDER);
    cr_expect_eq(channel().frames, 3);
}

/* Bob has the first ten and has not said so. */
Test(channel, T65_a_tombstone_in_flight_stays)
{
    size_t count = 2048;

    flood(1, 10);
    fake_credit(&broker, bob, 10 + LIMIT_CREDIT_MAILBOX, 1 << 20);
    flood(11, LIMIT_CHANNEL_TOMBSTONES + 3);
    cr_expect_eq(channel().frames, LIMIT_CHANNEL_TOMBSTONES);
    cr_assert_eq(fake_channel_fetch(&broker, bob, &group, items, &count), ERR_OK);
    cr_expect_eq(items[0].seq, 1);
    cr_expect_eq(items[9].seq, 10);
    cr_expect_eq(items[10].seq, 14);
}

/* ---- damage ---------------------------------------------------------------------------------- */

static void change(const char *sql)
{
    char path[128];
    sqlite3 *db;

    snprintf(path, sizeof path, "%s/broker.db", broker.dir);
    cr_assert_eq(sqlite3_open(path, &db), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK, "%s", sqlite3_errmsg(db));
    sqlite3_close(db);
}

static void on_disk(void)
{
    prepare(true);
    fake_group_open(&broker, &group, &ann, 0, 1);
    fake_group_admit(&broker, &group, &ann, members, 2);
    fake_ack_all(&broker, &ann);
    fake_channel_ack_all(&broker, &ann, &group);
    fake_channel_ack_all(&broker, bob, &group);
    fake_channel_ack_all(&broker, cat, &group);
}

TestSuite(channel_on_disk, .init = on_disk, .fini = close_all);

Test(channel_on_disk, T59_a_damaged_row_is_never_delivered)
{
    struct notice notice;
    size_t count = 8;

    for (uint64_t seq = 1; seq <= 3; seq++)
        cr_assert_eq(fake_group_send(&broker, &group, &ann, seq), ERR_OK);
    change("UPDATE frame SET frame = zeroblob(length(frame)) WHERE kind = 8 AND sender_seq = 2");
    for (int i = 0; i < 2; i++) {
        count = 8;
        cr_assert_eq(fake_channel_fetch(&broker, i ? cat : bob, &group, items, &count), ERR_OK);
        cr_assert_eq(count, 3);
        cr_expect_eq(items[0].reason, 0);
        cr_expect_eq(items[1].reason, NOTICE_DAMAGED);
        cr_expect_eq(items[1].seq, 2);
        cr_expect_eq(items[2].reason, 0);
    }
    cr_assert_eq(fake_fetch(&broker, &ann, items), 1);
    cr_assert_eq(notice_parse(items[0].bytes, &notice), ERR_OK);
    cr_expect_eq(notice.reason, NOTICE_DAMAGED);
    cr_expect_eq(notice.seq, 2);
    cr_expect_eq(fake_channel_ack_all(&broker, bob, &group), 3);
}

/* A row of which nothing fits together goes; numbers go on behind it. */
Test(channel_on_disk, a_row_that_is_nobodys)
{
    cr_assert_eq(fake_group_send(&broker, &group, &ann, 1), ERR_OK);
    cr_assert_eq(fake_group_send(&broker, &group, &ann, 2), ERR_OK);
    change("UPDATE frame SET kind = 3 WHERE kind = 8 AND sender_seq = 1");
    cr_expect_eq(fake_channel_ack_all(&broker, bob, &group), 1);
    fake_channel_ack_all(&broker, cat, &group);
    fake_channel_ack_all(&broker, &ann, &group);
    cr_expect_eq(channel().frames, 0);
    cr_expect_eq(fake_group_send(&broker, &group, &ann, 3), ERR_OK);
}

static uint32_t queue_frame(uint64_t seq)
{
    struct message message = { .verb = VERB_SEND };
    struct buf frame = { 0 };
    struct bytes part;
    uint32_t rid;

    fake_group_frame(&frame, &group, &ann.agent, group.chain.epoch, seq, 0, broker.now_ms + DAY_MS,
                     BUCKET_MIN);
    part = buf_bytes(&frame);
    rid = fake_queue(&broker, &ann.by, &message, &part, 1);
    buf_free(&frame);
    return rid;
}

static uint32_t queue_fetch(const struct fake_party *by)
{
    struct message message = { .verb = VERB_FETCH };

    MESSAGE_SET(&message, stream, group.chain.gid);
    MESSAGE_SET(&message, max, 16);
    MESSAGE_SET(&message, max_bytes, 1 << 20);
    return fake_queue(&broker, &by->by, &message, NULL, 0);
}

/* Bob looks while frames 1 and 2 come; 2 spoils the turn, which runs again one by one, and what
 * takes its position later is another frame. */
Test(channel_on_disk, a_turn_that_fails_leaves_nothing_behind)
{
    struct answer answer;
    uint32_t rids[3];
    size_t count;

    fake_credit(&broker, cat, 256, 1 << 20);
    change(
        "CREATE UNIQUE INDEX narrow ON frame (stream_id) WHERE kind = 8 AND sender_seq IN (1, 2)");
    rids[0] = queue_frame(1);
    rids[1] = queue_fetch(bob);
    rids[2] = queue_frame(2);
    cr_assert_eq(fake_run(&broker), ERR_OK);
    answer = fake_answer(&broker, ann.by.conn, rids[0]);
    cr_expect_eq(fake_status(&answer, 0), ERR_OK);
    answer = fake_answer(&broker, bob->by.conn, rids[1]);
    cr_expect_eq(fake_items_of(&answer.message, answer.parts, items, 16), 1);
    cr_expect_eq(fake_answer(&broker, ann.by.conn, rids[2]).e, ERR_INTERNAL);
    change("DROP INDEX narrow");
    cr_assert_eq(fake_group_send(&broker, &group, bob, 1), ERR_OK);
    count = 8;
    cr_assert_eq(fake_channel_fetch(&broker, &ann, &group, items, &count), ERR_OK);
    cr_assert_eq(count, 2);
    cr_expect_arr_eq(items[1].sender, bob->agent.aid, 32);
    count = 0;
    while ((answer = fake_next(&broker, cat->by.conn, VERB_DELIVER)).e == ERR_OK)
        if (memcmp(answer.message.stream, group.chain.gid, 16) == 0)
            count += fake_items_of(&answer.message, answer.parts, items, 16);
    cr_expect_eq(count, 2, "each of them once");
    fake_hello(&broker, cat);
    fake_channel_ack_all(&broker, bob, &group);
    fake_channel_ack_all(&broker, cat, &group);
    fake_channel_ack_all(&broker, &ann, &group);
    cr_expect_eq(channel().frames, 0);
}

/* Whatever was to be trimmed when the broker stopped. */
Test(channel_on_disk, trimming_goes_on_after_a_restart)
{
    for (uint64_t seq = 1; seq <= 3; seq++)
        cr_assert_eq(fake_group_send(&broker, &group, &ann, seq), ERR_OK);
    fake_channel_ack_all(&broker, bob, &group);
    fake_channel_ack_all(&broker, &ann, &group);
    cr_assert_eq(channel().frames, 3);
    change("DELETE FROM cursor WHERE reader_id = (SELECT agent_id FROM agent WHERE name = 'cat')"
           " AND stream_id = (SELECT stream_id FROM stream WHERE kind = 2)");
    fake_broker_restart(&broker);
    cr_expect_eq(channel().frames, 0);
}

/* ---- when rows leave ------------------------------------------------------------------------- */

Test(channel, rows_leave_when_the_slowest_is_past_them)
{
    for (uint64_t seq = 1; seq <= 5; seq++)
        cr_assert_eq(fake_group_send(&broker, &group, &ann, seq), ERR_OK);
    fake_channel_ack_all(&broker, bob, &group);
    fake_channel_ack_all(&broker, &ann, &group);
    cr_expect_eq(channel().frames, 5);
    cr_expect_eq(numbers_of(&ann).settled_seq, 0);
    fake_channel_ack_all(&broker, cat, &group);
    cr_expect_eq(channel().frames, 0);
    cr_expect_eq(channel().bytes, 0);
    cr_expect_eq(numbers_of(&ann).settled_seq, 5);
}

Test(channel, at_most_256_rows_a_step)
{
    size_t count = 2048;
    struct list_maker receipts = { 0 };
    struct message ping = { .verb = VERB_PING };

    MESSAGE_SET(&ping, ts, 1);
    for (uint64_t seq = 1; seq <= 600; seq++)
        cr_assert_eq(fake_group_send(&broker, &group, &ann, seq), ERR_OK);
    fake_channel_ack_all(&broker, bob, &group);
    fake_channel_ack_all(&broker, &ann, &group);
    cr_assert_eq(fake_channel_fetch(&broker, cat, &group, items, &count), ERR_OK);
    cr_assert_eq(count, 600);
    fake_channel_receipt(&cat->agent, items, count, broker.now_ms, &receipts);
    cr_assert_eq(fake_channel_ack_with(&broker, cat, &group,
                                       fake_channel_cursor(&broker, cat, &group),
                                       items[599].position, &receipts)
                     .e,
                 ERR_OK);
    cr_expect_eq(channel().frames, 600 - LIMIT_SWEEP_ROWS);
    fake_say(&broker, &eve.by, &ping, NULL, 0);
    cr_expect_eq(channel().frames, 600 - 2 * LIMIT_SWEEP_ROWS, "the next turn goes on");
    cr_expect_eq(flow_next_tick_ms(broker.flow), 0, "or the next tick");
    cr_assert_eq(flow_tick(broker.flow), ERR_OK);
    cr_expect_eq(channel().frames, 0);
    list_free(&receipts);
}

Test(channel, a_removed_member_keeps_nothing)
{
    for (uint64_t seq = 1; seq <= 5; seq++)
        cr_assert_eq(fake_group_send(&broker, &group, &ann, seq), ERR_OK);
    fake_channel_ack_all(&broker, bob, &group);
    fake_channel_ack_all(&broker, &ann, &group);
    cr_assert_eq(fake_group_remove(&broker, &group, &ann, cat).e, ERR_OK);
    cr_expect_eq(channel().frames, 2, "REMOVED and EPOCH");
}

Test(channel, after_the_last_reader_everything_goes)
{
    struct fake_event closed;

    cr_assert_eq(fake_group_send(&broker, &group, &ann, 1), ERR_OK);
    fake_group_closed(&group, &ann.agent, broker.now_ms, &closed);
    fake_group_take(&group, &closed);
    cr_assert_eq(fake_group_say(&broker, &ann, &closed, 1).e, ERR_OK);
    fake_channel_ack_all(&broker, &ann, &group);
    fake_channel_ack_all(&broker, bob, &group);
    fake_channel_ack_all(&broker, cat, &group);
    cr_expect_eq(channel().frames, 0);
}
