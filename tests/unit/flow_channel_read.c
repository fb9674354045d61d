/* layers: testlib */
/*
 * A group's channel, read by many: DELIVER and its credit, FETCH, ACK with receipts for authors,
 * who joins and who is removed meanwhile.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "broker/store/groups.h"
#include "shared/wire/limit.h"
#include "tests/lib/fake_group.h"

#define DAY_MS UINT64_C(86400000)
#define MANY   (UINT64_C(4) << 20)

static struct fake_broker broker;
static struct fake_party ann, members[2], eve;
static struct fake_party *const bob = &members[0], *const cat = &members[1];
static struct fake_group group;
static struct fake_session session; /* ann's with bob */
static struct fake_item items[2048];
static uint64_t next_seq;

static void open_all(void)
{
    fake_broker_open(&broker, false);
    broker.settings.send_burst = 100000;
    flow_configure(broker.flow, &broker.settings);
    fake_join(&broker, &ann, "ann");
    fake_join(&broker, bob, "bob");
    fake_join(&broker, cat, "cat");
    fake_join(&broker, &eve, "eve");
    fake_session_open(&broker, &session, &ann, bob, 1);
    fake_group_open(&broker, &group, &ann, 0, 1);
    fake_group_admit(&broker, &group, &ann, members, 2);
    fake_ack_all(&broker, &ann);
    fake_ack_all(&broker, bob);
    fake_ack_all(&broker, cat);
    fake_channel_ack_all(&broker, &ann, &group);
    fake_channel_ack_all(&broker, bob, &group);
    fake_channel_ack_all(&broker, cat, &group);
    fake_forget(&broker);
    next_seq = 1;
}

static void close_all(void)
{
    cr_expect_eq(store_recount(broker.store), ERR_OK);
    fake_group_free(&group);
    fake_broker_close(&broker);
}

TestSuite(read, .init = open_all, .fini = close_all);

static void ann_sends(int number)
{
    for (int i = 0; i < number; i++)
        cr_assert_eq(fake_group_send(&broker, &group, &ann, next_seq++), ERR_OK);
}

/* What came in DELIVERs: of one stream, or of any. */
struct came {
    size_t count, messages, bytes;
};

static struct came delivered(const struct fake_party *party, const uint8_t *stream)
{
    struct came came = { 0 };
    struct answer answer;

    while ((answer = fake_next(&broker, party->by.conn, VERB_DELIVER)).e == ERR_OK) {
        if (stream && memcmp(answer.message.stream, stream, 16) != 0)
            continue;
        cr_assert_leq(answer.part_count, LIMIT_ITEMS_FULL);
        came.bytes += answer.part_count;
        came.count
            += fake_items_of(&answer.message, answer.parts, items + came.count, 2048 - came.count);
        came.messages++;
    }
    return came;
}

static size_t fetch_all(const struct fake_party *party)
{
    size_t count = 2048;

    cr_assert_eq(fake_channel_fetch(&broker, party, &group, items, &count), ERR_OK);
    return count;
}

static enum err ack_items(const struct fake_party *party, size_t count)
{
    struct list_maker list = { 0 };
    enum err e;

    fake_channel_receipt(&party->agent, items, count, broker.now_ms, &list);
    e = fake_channel_ack_with(&broker, party, &group, fake_channel_cursor(&broker, party, &group),
                              items[count - 1].position, &list)
            .e;
    list_free(&list);
    return e;
}

static const uint8_t mailbox[16];

/* ---- DELIVER --------------------------------------------------------------------------------- */

Test(read, everybody_gets_it_in_the_turn_that_stored_it)
{
    fake_credit(&broker, bob, 256, MANY);
    fake_credit(&broker, cat, 256, MANY);
    ann_sends(1);
    for (int i = 0; i < 2; i++) {
        struct came came = delivered(i ? cat : bob, group.chain.gid);

        cr_assert_eq(came.count, 1);
        cr_expect_eq(items[0].kind, ITEM_GROUP);
        cr_expect_eq(items[0].seq, 1);
        cr_expect_eq(came.bytes, 1);
    }
    cr_expect_eq(delivered(&eve, NULL).count, 0);
}

Test(read, ones_own_frame_is_its_place_in_the_order)
{
    cr_assert_eq(fake_group_send(&broker, &group, bob, 1), ERR_OK);
    ann_sends(1);
    cr_assert_eq(fake_group_send(&broker, &group, bob, 2), ERR_OK);
    fake_credit(&broker, bob, 256, MANY);
    struct came came = delivered(bob, group.chain.gid);

    cr_assert_eq(came.count, 3);
    cr_expect_eq(came.bytes, 1);
    cr_expect_eq(items[0].reason, 0);
    cr_expect_eq(items[0].seq, 1);
    cr_expect_arr_eq(items[0].sender, bob->agent.aid, 32);
    cr_expect_arr_eq(items[0].scope, group.chain.gid, 16);
    cr_expect_eq(items[0].bytes.len, 0);
    cr_expect_gt(items[1].bytes.len, 0);
    cr_expect_eq(items[2].bytes.len, 0);
    cr_expect_eq(ack_items(bob, 3), ERR_OK, "its digest is that of the frame");
}

Test(read, events_stand_among_the_frames)
{
    struct fake_event epoch;

    ann_sends(1);
    fake_epoch(&group, &ann.agent, broker.now_ms, &epoch);
    fake_group_take(&group, &epoch);
    cr_assert_eq(fake_group_say(&broker, &ann, &epoch, 1).e, ERR_OK);
    ann_sends(1);
    cr_assert_eq(fetch_all(bob), 3);
    cr_expect_eq(items[0].kind, ITEM_GROUP);
    cr_expect_eq(items[1].kind, ITEM_EVENT);
    cr_expect_arr_eq(items[1].bytes.at, epoch.preimage, EVENT_SIZE);
    cr_expect_eq(items[2].kind, ITEM_GROUP);
}

Test(read, many_rows_in_full_messages)
{
    ann_sends(300);
    fake_credit(&broker, bob, 1024, UINT64_C(16) << 20);
    struct came came = delivered(bob, group.chain.gid);

    cr_expect_eq(came.count, 300);
    cr_expect_eq(came.messages, 5);
    for (size_t i = 0; i < came.count; i++)
        cr_assert_eq(items[i].seq, i + 1);
}

/* Rows that one reader had are the next one's, too, from wherever it stands. */
Test(read, readers_at_different_places)
{
    ann_sends(100);
    cr_assert_eq(fetch_all(cat), 100);
    cr_assert_eq(ack_items(cat, 37), ERR_OK);
    fake_credit(&broker, bob, 1024, MANY);
    cr_assert_eq(delivered(bob, NULL).count, 100);
    cr_assert_eq(ack_items(bob, 70), ERR_OK);
    fake_credit(&broker, cat, 1024, MANY);
    cr_assert_eq(delivered(cat, NULL).count, 63);
    cr_expect_eq(items[0].seq, 38);
    ann_sends(30);
    cr_assert_eq(delivered(cat, NULL).count, 30);
    cr_expect_eq(items[0].seq, 101);
    cr_assert_eq(delivered(bob, NULL).count, 30);
    cr_expect_eq(items[29].seq, 130);
}

Test(read, only_HELLO_delivers_again)
{
    fake_credit(&broker, bob, 256, MANY);
    ann_sends(3);
    cr_expect_eq(delivered(bob, NULL).count, 3);
    fake_credit(&broker, bob, 256, MANY);
    cr_expect_eq(delivered(bob, NULL).count, 0);
    fake_hello(&broker, bob);
    ann_sends(1);
    cr_expect_eq(delivered(bob, NULL).count, 0, "its credit is 0 again");
    fake_credit(&broker, bob, 256, MANY);
    cr_expect_eq(delivered(bob, NULL).count, 4);
}

Test(read, credit_counts_all_streams)
{
    fake_credit(&broker, bob, 40, MANY);
    for (int i = 0; i < 15; i++)
        cr_assert_eq(fake_send_next(&broker, &session, &ann), ERR_OK);
    ann_sends(40);
    cr_expect_eq(delivered(bob, mailbox).count, 15);
    fake_forget(&broker);
    fake_hello(&broker, bob);
    fake_credit(&broker, bob, 40, MANY);
    struct came came = delivered(bob, NULL);

    cr_expect_eq(came.count, 15 + 24, "16 are the mailbox's");
}

/* The channel is full of what bob cannot open; the key comes through the mailbox behind it. */
Test(read, T67_a_quarter_of_the_credit_is_the_mailboxs)
{
    static const struct {
        uint64_t credit, channel;
    } cases[] = { { 256, 192 }, { 64, 48 }, { 32, 16 }, { 40, 24 }, { 16, 0 }, { 17, 1 } };

    ann_sends(300);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fake_hello(&broker, bob);
        fake_forget(&broker);
        fake_credit(&broker, bob, cases[i].credit, MANY);
        cr_expect_eq(delivered(bob, group.chain.gid).count, cases[i].channel, "credit %llu",
                     (unsigned long long)cases[i].credit);
    }
    fake_hello(&broker, bob);
    fake_credit(&broker, bob, 64, MANY);
    fake_forget(&broker);
    cr_assert_eq(fake_send_next(&broker, &session, &ann), ERR_OK);
    cr_expect_eq(delivered(bob, mailbox).count, 1, "the key arrives");
}

Test(read, T67_bytes_too)
{
    const size_t frame = 438;

    ann_sends(20);
    fake_credit(&broker, bob, 256, 8 * frame);
    cr_expect_eq(delivered(bob, group.chain.gid).count, 6);
    cr_assert_eq(fake_send_next(&broker, &session, &ann), ERR_OK);
    cr_expect_eq(delivered(bob, mailbox).count, 1);
}

Test(read, a_frame_larger_than_the_credit_comes_alone)
{
    ann_sends(2);
    fake_credit(&broker, bob, 256, 10);
    cr_assert_eq(delivered(bob, NULL).count, 1);
    cr_assert_eq(ack_items(bob, 1), ERR_OK);
    cr_expect_eq(delivered(bob, NULL).count, 1);
}

Test(read, the_mailbox_comes_first)
{
    struct answer answer;

    ann_sends(3);
    cr_assert_eq(fake_send_next(&broker, &session, &ann), ERR_OK);
    fake_credit(&broker, bob, 256, MANY);
    answer = fake_next(&broker, bob->by.conn, VERB_DELIVER);
    cr_assert_eq(answer.e, ERR_OK);
    cr_expect_arr_eq(answer.message.stream, mailbox, 16);
    answer = fake_next(&broker, bob->by.conn, VERB_DELIVER);
    cr_assert_eq(answer.e, ERR_OK);
    cr_expect_arr_eq(answer.message.stream, group.chain.gid, 16);
}

/* 63 of one, 63 of the other, and so on. */
Test(read, channels_in_turn)
{
    struct fake_group second;
    struct answer answer;
    const uint8_t *last = NULL;
    size_t changes = 0;

    fake_group_open(&broker, &second, bob, 0, 2);
    fake_group_admit(&broker, &second, bob, cat, 1);
    fake_ack_all(&broker, cat);
    fake_channel_ack_all(&broker, cat, &second);
    ann_sends(150);
    for (uint64_t seq = 1; seq <= 150; seq++)
        cr_assert_eq(fake_group_send(&broker, &second, bob, seq), ERR_OK);
    fake_credit(&broker, cat, 1024, UINT64_C(16) << 20);
    while ((answer = fake_next(&broker, cat->by.conn, VERB_DELIVER)).e == ERR_OK) {
        changes += last && memcmp(last, answer.message.stream, 16) != 0;
        last = answer.message.stream;
    }
    cr_expect_eq(changes, 5);
    fake_group_free(&second);
}

Test(read, an_ack_makes_room)
{
    fake_credit(&broker, bob, 32, MANY);
    ann_sends(40);
    cr_assert_eq(delivered(bob, NULL).count, 16);
    cr_assert_eq(ack_items(bob, 10), ERR_OK);
    cr_expect_eq(delivered(bob, NULL).count, 10);
}

/* ---- FETCH ----------------------------------------------------------------------------------- */

static struct message fetch_message(const uint8_t *stream, uint64_t wait_ms)
{
    struct message message = { .verb = VERB_FETCH };

    if (stream)
        MESSAGE_SET(&message, stream, stream);
    MESSAGE_SET(&message, max, 256);
    MESSAGE_SET(&message, max_bytes, MANY);
    if (wait_ms)
        MESSAGE_SET(&message, wait_ms, wait_ms);
    return message;
}

Test(read, fetch_takes_the_first_stream_with_something)
{
    struct message message = fetch_message(NULL, 0);
    struct answer answer;

    answer = fake_say(&broker, &bob->by, &message, NULL, 0);
    cr_expect_arr_eq(answer.message.stream, mailbox, 16, "nothing anywhere");
    cr_expect_eq(answer.message.items.count, 0);
    ann_sends(1);
    answer = fake_say(&broker, &bob->by, &message, NULL, 0);
    cr_expect_arr_eq(answer.message.stream, group.chain.gid, 16);
    cr_expect_eq(answer.message.items.count, 1);
    cr_assert_eq(fake_send_next(&broker, &session, &ann), ERR_OK);
    answer = fake_say(&broker, &bob->by, &message, NULL, 0);
    cr_expect_arr_eq(answer.message.stream, mailbox, 16);
    cr_expect_eq(answer.message.items.count, 1);
}

Test(read, fetch_of_a_channel_is_its_readers)
{
    struct message message = fetch_message(group.chain.gid, 0);
    static const uint8_t unknown[16] = { 1, 2, 3 };

    ann_sends(1);
    cr_expect_eq(fake_say(&broker, &eve.by, &message, NULL, 0).e, ERR_NOT_MEMBER);
    message = fetch_message(unknown, 0);
    cr_expect_eq(fake_say(&broker, &bob->by, &message, NULL, 0).e, ERR_NOT_MEMBER);
}

Test(read, fetch_waits_for_a_channel)
{
    struct message message = fetch_message(group.chain.gid, 5000);
    uint32_t rid = fake_queue(&broker, &bob->by, &message, NULL, 0);
    struct answer answer;

    cr_assert_eq(fake_run(&broker), ERR_OK);
    cr_expect_eq(fake_answer(&broker, bob->by.conn, rid).e, ERR_NOT_FOUND);
    cr_assert_eq(fake_send_next(&broker, &session, &ann), ERR_OK);
    cr_expect_eq(fake_answer(&broker, bob->by.conn, rid).e, ERR_NOT_FOUND, "another stream");
    ann_sends(1);
    answer = fake_answer(&broker, bob->by.conn, rid);
    cr_assert_eq(answer.e, ERR_OK);
    cr_expect_arr_eq(answer.message.stream, group.chain.gid, 16);
    cr_expect_eq(answer.message.items.count, 1);
}

Test(read, fetch_of_a_removed_reader_ends_empty)
{
    struct message message = fetch_message(group.chain.gid, 5000);
    uint32_t rid = fake_queue(&broker, &bob->by, &message, NULL, 0);
    struct answer answer;

    cr_assert_eq(fake_run(&broker), ERR_OK);
    cr_assert_eq(fake_group_remove(&broker, &group, &ann, bob).e, ERR_OK);
    ann_sends(1);
    fake_broker_pass(&broker, 5001);
    answer = fake_answer(&broker, bob->by.conn, rid);
    cr_assert_eq(answer.e, ERR_OK);
    cr_expect_eq(answer.message.items.count, 0);
}

/* ---- ACK ------------------------------------------------------------------------------------- */

Test(read, ack_moves_the_readers_cursor_only)
{
    ann_sends(3);
    cr_assert_eq(fetch_all(bob), 3);
    cr_expect_eq(ack_items(bob, 2), ERR_OK);
    cr_expect_eq(fake_channel_cursor(&broker, bob, &group), items[1].position);
    cr_expect_eq(fetch_all(cat), 3);
    cr_expect_eq(fetch_all(bob), 1);
}

static struct answer ack_raw(uint64_t after, uint64_t position, const struct list_maker *list)
{
    return fake_channel_ack_with(&broker, bob, &group, after, position, list);
}

Test(read, cases_of_ack)
{
    struct list_maker right = { 0 }, none = { 0 };
    uint64_t cursor = fake_channel_cursor(&broker, bob, &group), position;
    struct answer answer;

    ann_sends(3);
    cr_assert_eq(fetch_all(bob), 3);
    position = items[2].position;
    fake_channel_receipt(&bob->agent, items, 3, broker.now_ms, &right);
    cr_expect_eq(fake_channel_ack_with(&broker, &eve, &group, 0, position, &right).e,
                 ERR_NOT_MEMBER);
    cr_expect_eq(ack_raw(cursor, position, &none).e, ERR_RECEIPT, "nothing covers them");
    cr_expect_eq(ack_raw(cursor, position + 1, &right).e, ERR_RECEIPT, "no item there");
    cr_expect_eq(ack_raw(cursor, items[1].position, &right).e, ERR_RECEIPT);
    answer = ack_raw(cursor + 1, position, &right);
    cr_expect_eq(answer.e, ERR_CONFLICT);
    cr_expect_eq(answer.message.position, cursor);
    cr_expect_eq(fake_channel_ack_with(&broker, cat, &group, cursor, position, &right).e,
                 ERR_RECEIPT, "signed by another");
    cr_expect_eq(fake_channel_cursor(&broker, bob, &group), cursor);
    cr_expect_eq(ack_raw(cursor, position, &right).e, ERR_OK);
    answer = ack_raw(cursor, position, &right);
    cr_expect_eq(answer.e, ERR_OK, "said again");
    cr_expect_eq(answer.message.position, position);
    list_free(&right);
    list_free(&none);
}

Test(read, at_most_1024_items)
{
    broker.settings.pair_frames = 5000;
    flow_configure(broker.flow, &broker.settings);
    ann_sends((int)LIMIT_ACK_ITEMS + 1);
    cr_assert_eq(fetch_all(bob), LIMIT_ACK_ITEMS + 1);
    cr_expect_eq(ack_items(bob, LIMIT_ACK_ITEMS + 1), ERR_RECEIPT);
    cr_expect_eq(ack_items(bob, LIMIT_ACK_ITEMS), ERR_OK);
}

/* ---- receipts for the authors ---------------------------------------------------------------- */

struct extra {
    const struct fake_party *author;
    size_t first, count; /* among the author's items */
    enum receipt_status status;
    bool wrong_digest, wrong_scope;
};

static void add_extra(struct list_maker *list, size_t count, const struct extra *extra)
{
    struct receipt receipt
        = { .status = (uint8_t)(extra->status ? extra->status : RECEIPT_DELIVERED),
            .ts_ms = broker.now_ms };
    struct range_digest range;
    struct fake_receipt made;
    struct wire_receipt wire = { made.preimage, made.sig };
    size_t nth = 0;

    range_begin(&range);
    for (size_t i = 0; i < count; i++) {
        if (items[i].kind != ITEM_GROUP
            || memcmp(items[i].sender, extra->author->agent.aid, 32) != 0)
            continue;
        if (nth >= extra->first && nth < extra->first + extra->count) {
            if (receipt.from == 0)
                receipt.from = items[i].seq;
            receipt.to = items[i].seq;
            range_add(&range, items[i].digest);
        }
        nth++;
    }
    range_end(&range, receipt.range_digest);
    if (extra->wrong_digest)
        receipt.range_digest[0] ^= 1;
    memcpy(receipt.scope, group.chain.gid, 16);
    if (extra->wrong_scope)
        receipt.scope[0] ^= 1;
    memcpy(receipt.sender, extra->author->agent.aid, 32);
    fake_receipt_sign(&made, &bob->agent, receipt);
    list_add_receipt(list, &wire);
}

/* An ACK by bob of all that is there, with these extra receipts. */
static enum err ack_with(const struct extra *extras, size_t extra_count)
{
    struct list_maker list = { 0 };
    size_t count = fetch_all(bob);
    enum err e;

    fake_channel_receipt(&bob->agent, items, count, broker.now_ms, &list);
    for (size_t i = 0; i < extra_count; i++)
        add_extra(&list, count, &extras[i]);
    e = fake_channel_ack_with(&broker, bob, &group, fake_channel_cursor(&broker, bob, &group),
                              items[count - 1].position, &list)
            .e;
    list_free(&list);
    return e;
}

Test(read, extra_receipts_reach_the_authors)
{
    const struct extra extras[] = { { .author = &ann, .count = 2 }, { .author = cat, .count = 1 } };
    struct receipt receipt;

    ann_sends(1);
    cr_assert_eq(fake_group_send(&broker, &group, cat, 1), ERR_OK);
    ann_sends(1);
    cr_assert_eq(ack_with(extras, 2), ERR_OK);
    cr_assert_eq(fake_fetch(&broker, &ann, items), 1);
    cr_expect_eq(items[0].kind, ITEM_RECEIPT);
    cr_assert_eq(receipt_parse(bytes_of(items[0].bytes.at, RECEIPT_SIZE), &receipt), ERR_OK);
    cr_expect_arr_eq(receipt.scope, group.chain.gid, 16);
    cr_expect_arr_eq(receipt.recipient, bob->agent.aid, 32);
    cr_expect_eq(receipt.from, 1);
    cr_expect_eq(receipt.to, 2);
    cr_assert_eq(fake_fetch(&broker, cat, items), 1);
    cr_expect_eq(items[0].kind, ITEM_RECEIPT);
}

Test(read, extra_receipts_of_some_of_them_and_of_both_kinds)
{
    const struct extra extras[]
        = { { .author = &ann, .count = 2 },
            { .author = &ann, .first = 3, .count = 1, .status = RECEIPT_UNDECRYPTABLE } };

    ann_sends(5);
    cr_expect_eq(ack_with(extras, 2), ERR_OK);
    cr_expect_eq(fake_fetch(&broker, &ann, items), 2);
}

Test(read, extra_receipts_that_are_refused)
{
    static const struct {
        const char *what;
        struct extra extras[2];
        size_t count;
    } cases[] = {
        { "other digest", { { .author = &ann, .count = 2, .wrong_digest = true } }, 1 },
        { "other scope", { { .author = &ann, .count = 2, .wrong_scope = true } }, 1 },
        { "of one's own", { { .author = &members[0], .count = 1 } }, 1 },
        { "of a stranger's",
          { { .author = &ann, .count = 1 }, { .author = &eve, .count = 0 } },
          2 },
        { "twice", { { .author = &ann, .count = 2 }, { .author = &ann, .count = 2 } }, 2 },
        { "overlapping",
          { { .author = &ann, .count = 2 }, { .author = &ann, .first = 1, .count = 2 } },
          2 },
        { "only tombstones, they are not",
          { { .author = &ann, .count = 2, .status = RECEIPT_TOMBSTONE } },
          1 },
    };
    uint64_t cursor = fake_channel_cursor(&broker, bob, &group);

    ann_sends(3);
    cr_assert_eq(fake_group_send(&broker, &group, bob, 1), ERR_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        cr_expect_eq(ack_with(cases[i].extras, cases[i].count), ERR_RECEIPT, "%s", cases[i].what);
    cr_expect_eq(fake_channel_cursor(&broker, bob, &group), cursor);
    cr_expect_eq(fake_fetch(&broker, &ann, items), 0, "nobody heard of any");
}

Test(read, extra_receipts_cover_nothing)
{
    struct list_maker list = { 0 };
    size_t count;

    ann_sends(2);
    count = fetch_all(bob);
    add_extra(&list, count, &(struct extra){ .author = &ann, .count = 2 });
    cr_expect_eq(fake_channel_ack_with(&broker, bob, &group,
                                       fake_channel_cursor(&broker, bob, &group),
                                       items[count - 1].position, &list)
                     .e,
                 ERR_RECEIPT);
    list_free(&list);
}

/* ---- who joins, who is removed --------------------------------------------------------------- */

Test(read, T53_a_joiner_starts_at_the_epoch_that_admits_it)
{
    struct fake_event event;

    fake_credit(&broker, &eve, 256, MANY);
    ann_sends(3);
    fake_group_admit(&broker, &group, &ann, &eve, 1);
    event.event.seq = group.chain.next_seq - 1;
    ann_sends(1);
    struct came came = delivered(&eve, group.chain.gid);

    cr_assert_eq(came.count, 2);
    cr_expect_eq(items[0].kind, ITEM_EVENT);
    struct event parsed;

    cr_assert_eq(event_parse(bytes_of(items[0].bytes.at, EVENT_SIZE), &parsed), ERR_OK);
    cr_expect_eq(parsed.type, EVENT_GROUP_EPOCH);
    cr_expect_eq(parsed.seq, event.event.seq);
    cr_expect_eq(items[1].kind, ITEM_GROUP);
    cr_expect_eq(items[1].seq, 4);
    cr_expect_eq(ack_items(&eve, 2), ERR_OK);
}

Test(read, T53_nothing_before_the_epoch)
{
    struct fake_event event;
    struct message message = fetch_message(group.chain.gid, 0);

    fake_invited(&group, &ann.agent, &eve.agent, ROLE_MEMBER, broker.now_ms, broker.now_ms + DAY_MS,
                 &event);
    fake_group_take(&group, &event);
    cr_assert_eq(fake_group_say(&broker, &ann, &event, 1).e, ERR_OK);
    fake_joined(&group, &eve.agent, broker.now_ms, &event);
    fake_group_take(&group, &event);
    cr_assert_eq(fake_group_say(&broker, &eve, &event, 1).e, ERR_OK);
    fake_credit(&broker, &eve, 256, MANY);
    ann_sends(2);
    cr_expect_eq(delivered(&eve, group.chain.gid).count, 0);
    cr_expect_eq(fake_say(&broker, &eve.by, &message, NULL, 0).e, ERR_NOT_MEMBER);
}

Test(read, T52_a_member_removed_while_frames_are_in_flight)
{
    struct list_maker receipts = { 0 };
    uint64_t cursor = fake_channel_cursor(&broker, bob, &group), position;
    struct stream_row stream;
    struct group_row row;

    fake_credit(&broker, bob, 64, MANY);
    ann_sends(48);
    cr_assert_eq(delivered(bob, group.chain.gid).count, 48);
    position = items[47].position;
    fake_channel_receipt(&bob->agent, items, 48, broker.now_ms, &receipts);
    ann_sends(10); /* waits: no credit */
    fake_channel_ack_all(&broker, cat, &group);
    fake_channel_ack_all(&broker, &ann, &group);

    cr_assert_eq(fake_group_remove(&broker, &group, &ann, bob).e, ERR_OK);
    ann_sends(1);
    cr_expect_eq(delivered(bob, group.chain.gid).count, 0, "nothing after the commit");
    cr_expect_eq(fake_channel_ack_with(&broker, bob, &group, cursor, position, &receipts).e,
                 ERR_NOT_MEMBER);
    cr_assert_eq(store_group_find(broker.store, group.chain.gid, &row), ERR_OK);
    cr_assert_eq(store_stream_get(broker.store, row.stream_id, &stream), ERR_OK);
    cr_expect_eq(stream.frames, 3, "rows that only he had not read are gone");
    cr_expect_eq(fake_fetch(&broker, bob, items), 1, "REMOVED is in his mailbox");
    cr_expect_eq(items[0].kind, ITEM_EVENT);
    list_free(&receipts);
}

/* What was in flight from the channel no longer counts. */
Test(read, T52_the_credit_is_free_again)
{
    fake_credit(&broker, bob, 32, MANY);
    ann_sends(40);
    cr_assert_eq(delivered(bob, group.chain.gid).count, 16);
    cr_assert_eq(fake_group_remove(&broker, &group, &ann, bob).e, ERR_OK);
    fake_forget(&broker);
    fake_hello(&broker, bob);
    fake_credit(&broker, bob, 32, MANY);
    fake_forget(&broker);
    for (int i = 0; i < 40; i++)
        cr_assert_eq(fake_send_next(&broker, &session, &ann), ERR_OK);
    cr_expect_eq(delivered(bob, mailbox).count, 31, "all 32, REMOVED among them");
}

Test(read, T52_without_a_new_HELLO_too)
{
    fake_credit(&broker, bob, 32, MANY);
    ann_sends(40);
    cr_assert_eq(delivered(bob, group.chain.gid).count, 16);
    cr_assert_eq(fake_group_remove(&broker, &group, &ann, bob).e, ERR_OK);
    for (int i = 0; i < 40; i++)
        cr_assert_eq(fake_send_next(&broker, &session, &ann), ERR_OK);
    cr_expect_eq(delivered(bob, mailbox).count, 32);
}

Test(read, one_who_leaves_hears_nothing_more)
{
    struct fake_event event;

    fake_credit(&broker, bob, 256, MANY);
    fake_removed(&group, &bob->agent, &bob->agent, REMOVED_LEFT, broker.now_ms, &event);
    fake_group_take(&group, &event);
    cr_assert_eq(fake_group_say(&broker, bob, &event, 1).e, ERR_OK);
    fake_forget(&broker);
    ann_sends(1);
    cr_expect_eq(delivered(bob, NULL).count, 0);
}

/* In one turn: frames, removal, frames. */
Test(read, T52_within_one_turn)
{
    struct message send = { .verb = VERB_SEND };
    struct buf frame = { 0 };
    struct bytes part;

    fake_credit(&broker, bob, 256, MANY);
    fake_group_frame(&frame, &group, &ann.agent, group.chain.epoch, next_seq++, 0,
                     broker.now_ms + DAY_MS, BUCKET_MIN);
    part = buf_bytes(&frame);
    fake_queue(&broker, &ann.by, &send, &part, 1);
    cr_assert_eq(fake_group_remove(&broker, &group, &ann, bob).e, ERR_OK);
    cr_expect_eq(delivered(bob, group.chain.gid).count, 0);
    cr_expect_eq(fetch_all(cat), 3);
    buf_free(&frame);
}

Test(read, who_comes_back_starts_at_its_new_epoch)
{
    fake_credit(&broker, bob, 256, MANY);
    cr_assert_eq(fake_group_send(&broker, &group, bob, 1), ERR_OK);
    cr_assert_eq(fake_group_remove(&broker, &group, &ann, bob).e, ERR_OK);
    ann_sends(2);
    fake_forget(&broker);
    fake_group_admit(&broker, &group, &ann, bob, 1);
    struct came came = delivered(bob, group.chain.gid);

    cr_assert_eq(came.count, 1);
    cr_expect_eq(items[0].kind, ITEM_EVENT);
    cr_expect_eq(fake_group_send(&broker, &group, bob, 1), ERR_SEQ_CONFLICT, "numbers go on");
    cr_expect_eq(fake_group_send(&broker, &group, bob, 2), ERR_OK);
}
