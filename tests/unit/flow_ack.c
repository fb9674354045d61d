/* layers: testlib */
/*
 * ACK: what receipts must cover (T50, T51), what becomes of them, and that nobody but the reader
 * can settle mail (T40).
 */
#include <criterion/criterion.h>
#include <sodium.h>
#include <stdlib.h>

#include "broker/store/directory.h"
#include "broker/store/scopes.h"
#include "broker/store/senders.h"
#include "broker/store/streams.h"
#include "shared/trust/notice.h"
#include "shared/wire/limit.h"
#include "tests/lib/fake_broker.h"

#define DAY_MS UINT64_C(86400000)

static struct fake_broker broker;
static struct fake_party ann, bob, cat;
static struct fake_session with_ann, with_cat;
static struct fake_item items[256];
static size_t count;

/* In bob's mailbox: three of ann, two of cat, an event of cat's session, one more of ann. */
static void open_all(void)
{
    struct closed_body closed = { CLOSED_DONE, 3 };
    uint8_t body[CLOSED_BODY_SIZE];
    struct fake_event event;

    fake_broker_open(&broker, false);
    fake_join(&broker, &ann, "ann");
    fake_join(&broker, &bob, "bob");
    fake_join(&broker, &cat, "cat");
    fake_session_open(&broker, &with_ann, &ann, &bob, 1);
    fake_session_open(&broker, &with_cat, &cat, &bob, 2);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(fake_send_next(&broker, &with_ann, &ann), ERR_OK);
    for (int i = 0; i < 2; i++)
        cr_assert_eq(fake_send_next(&broker, &with_cat, &cat), ERR_OK);
    closed_body_encode(body, &closed);
    fake_event_make(&with_cat, &cat.agent, EVENT_CLOSED, bytes_of(body, sizeof body), broker.now_ms,
                    &event);
    cr_assert_eq(fake_event_say(&broker, &cat, &event, 1, bytes_of(NULL, 0)).e, ERR_OK);
    cr_assert_eq(fake_send_next(&broker, &with_ann, &ann), ERR_OK);
    count = fake_fetch(&broker, &bob, items);
    cr_assert_eq(count, 7);
}

static void close_all(void)
{
    cr_expect_eq(store_recount(broker.store), ERR_OK);
    fake_broker_close(&broker);
}

TestSuite(ack, .init = open_all, .fini = close_all);

/* ---- receipts made by hand ------------------------------------------------------------------- */

enum { COVERS_MOST = 8 };

/* An ACK under construction: receipts over sets of items. */
static struct making {
    struct receipt receipts[COVERS_MOST];
    struct fake_receipt made[COVERS_MOST];
    size_t count;
    uint64_t position;
} making;

static void digest_range(struct receipt *receipt, const size_t *which, size_t which_count)
{
    struct range_digest range;

    range_begin(&range);
    for (size_t i = 0; i < which_count; i++)
        range_add(&range, items[which[i]].digest);
    range_end(&range, receipt->range_digest);
}

/* A session receipt over these items. */
static struct receipt *session_receipt(uint8_t status, const size_t *which, size_t which_count)
{
    struct receipt *receipt = &making.receipts[making.count++];

    *receipt = (struct receipt){ .status = status,
                                 .from = items[which[0]].seq,
                                 .to = items[which[which_count - 1]].seq,
                                 .ts_ms = broker.now_ms };
    memcpy(receipt->scope, items[which[0]].scope, 16);
    memcpy(receipt->sender, items[which[0]].sender, 32);
    digest_range(receipt, which, which_count);
    return receipt;
}

static struct receipt *cursor_receipt(const size_t *which, size_t which_count)
{
    struct receipt *receipt = &making.receipts[making.count++];

    *receipt = (struct receipt){ .status = RECEIPT_DELIVERED,
                                 .from = items[which[0]].position,
                                 .to = items[which[which_count - 1]].position,
                                 .ts_ms = broker.now_ms };
    digest_range(receipt, which, which_count);
    return receipt;
}

static struct answer say_signed_by(const struct fake_agent *signer, uint64_t after)
{
    struct list_maker list = { 0 };
    struct answer answer;

    for (size_t i = 0; i < making.count; i++) {
        struct wire_receipt wire = { making.made[i].preimage, making.made[i].sig };

        fake_receipt_sign(&making.made[i], signer, making.receipts[i]);
        list_add_receipt(&list, &wire);
    }
    answer = fake_ack_with(&broker, &bob, after, making.position, &list);
    list_free(&list);
    return answer;
}

static enum err say(void)
{
    return say_signed_by(&bob.agent, fake_cursor(&broker, &bob)).e;
}

static const size_t of_ann[] = { 0, 1, 2, 6 }, of_cat[] = { 3, 4 }, control[] = { 5 };

/* The good one, which every case changes in one place. */
static void make_good(void)
{
    making.count = 0;
    making.position = items[6].position;
    session_receipt(RECEIPT_DELIVERED, of_ann, 4);
    session_receipt(RECEIPT_DELIVERED, of_cat, 2);
    cursor_receipt(control, 1);
}

static bool nothing_changed(uint64_t cursor)
{
    struct fake_item now[256];

    return fake_cursor(&broker, &bob) == cursor && fake_fetch(&broker, &bob, now) == 7
           && fake_fetch(&broker, &ann, now) == 0;
}

/* ---- cover ----------------------------------------------------------------------------------- */

static void hole(void)
{
    static const size_t without_second[] = { 0, 2, 6 };

    making.count = 0;
    session_receipt(RECEIPT_DELIVERED, without_second, 3);
    session_receipt(RECEIPT_DELIVERED, of_cat, 2);
    cursor_receipt(control, 1);
}
static void overlap(void)
{
    static const size_t first_two[] = { 0, 1 };

    session_receipt(RECEIPT_REFUSED, first_two, 2);
}
static void twice(void)
{
    session_receipt(RECEIPT_DELIVERED, of_cat, 2);
}
static void session_item_under_cursor_too(void)
{
    static const size_t both[] = { 4, 5 };

    making.count--;
    cursor_receipt(both, 2);
}
static void too_short(void)
{
    making.receipts[0].to--;
}
static void too_long(void)
{
    making.receipts[0].to++;
}
static void begins_early(void)
{
    making.receipts[0].from--;
}
static void wrong_digest(void)
{
    making.receipts[1].range_digest[0] ^= 1;
}
static void wrong_cursor_digest(void)
{
    making.receipts[2].range_digest[0] ^= 1;
}
static void wrong_order(void)
{
    static const size_t swapped[] = { 1, 0, 2, 6 };

    digest_range(&making.receipts[0], swapped, 4);
}
static void foreign_scope(void)
{
    memcpy(making.receipts[0].scope, with_cat.chain.sid, 16);
}
static void unknown_scope(void)
{
    making.receipts[0].scope[0] ^= 1;
}
static void foreign_sender(void)
{
    memcpy(making.receipts[0].sender, cat.agent.aid, 32);
}
static void unknown_sender(void)
{
    making.receipts[0].sender[0] ^= 1;
}
static void no_cursor_receipt(void)
{
    making.count--;
}
static void two_cursor_receipts(void)
{
    cursor_receipt(control, 1);
}
static void cursor_from(void)
{
    making.receipts[2].from--;
}
static void cursor_to(void)
{
    making.receipts[2].to++;
}
static void cursor_status(void)
{
    making.receipts[2].status = RECEIPT_REFUSED;
}
static void tombstone_status(void)
{
    making.receipts[1].status = RECEIPT_TOMBSTONE;
}
static void advance_status(void)
{
    making.receipts[1].status = RECEIPT_ADVANCE;
}
static void status_0(void)
{
    making.receipts[1].status = 0;
}
static void position_between(void)
{
    making.position++;
}
static void position_before_the_end(void)
{
    making.position = items[5].position;
}
static void empty_receipt(void)
{
    struct receipt *receipt = session_receipt(RECEIPT_DELIVERED, of_cat, 2);

    receipt->from += 100;
    receipt->to += 100;
}
static void none(void)
{
    making.count = 0;
}

/* T50: everything that does not cover exactly is refused, and changes nothing. */
Test(ack, T50_receipts_must_cover_exactly)
{
    static const struct {
        const char *name;
        void (*spoil)(void);
    } cases[] = {
        { "hole", hole },
        { "overlap", overlap },
        { "twice the same", twice },
        { "a session's item under the cursor receipt, too", session_item_under_cursor_too },
        { "too short", too_short },
        { "too long", too_long },
        { "begins with a number that is settled", begins_early },
        { "digest", wrong_digest },
        { "cursor receipt's digest", wrong_cursor_digest },
        { "digests in another order", wrong_order },
        { "another session", foreign_scope },
        { "a session nobody knows", unknown_scope },
        { "another sender", foreign_sender },
        { "a sender nobody knows", unknown_sender },
        { "control item uncovered", no_cursor_receipt },
        { "two cursor receipts", two_cursor_receipts },
        { "cursor receipt begins elsewhere", cursor_from },
        { "cursor receipt ends elsewhere", cursor_to },
        { "cursor receipt with another status", cursor_status },
        { "tombstone said of a frame", tombstone_status },
        { "advance", advance_status },
        { "status 0", status_0 },
        { "position is no item", position_between },
        { "receipts say more than the position", position_before_the_end },
        { "receipt for nothing", empty_receipt },
        { "none at all", none },
    };
    uint64_t cursor = fake_cursor(&broker, &bob);

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        make_good();
        cases[i].spoil();
        cr_expect_eq(say(), ERR_RECEIPT, "%s", cases[i].name);
        cr_expect(nothing_changed(cursor), "%s", cases[i].name);
    }
    make_good();
    cr_expect_eq(say(), ERR_OK, "the good one");
    cr_expect_eq(fake_cursor(&broker, &bob), items[6].position);
}

/* T40: the transport key alone settles nothing. */
Test(ack, T40_only_the_reader_can_sign)
{
    uint64_t cursor = fake_cursor(&broker, &bob);
    struct list_maker list = { 0 };

    make_good();
    cr_expect_eq(say_signed_by(&ann.agent, cursor).e, ERR_RECEIPT, "by the sender");
    cr_expect(nothing_changed(cursor));

    /* Names bob, signed by cat. */
    make_good();
    for (size_t i = 0; i < making.count; i++) {
        struct wire_receipt wire = { making.made[i].preimage, making.made[i].sig };

        memcpy(making.receipts[i].recipient, bob.agent.aid, 32);
        receipt_encode(making.made[i].preimage, &making.receipts[i]);
        fake_agent_sign(&cat.agent, bytes_of(making.made[i].preimage, RECEIPT_SIZE),
                        making.made[i].sig);
        list_add_receipt(&list, &wire);
    }
    cr_expect_eq(fake_ack_with(&broker, &bob, cursor, making.position, &list).e, ERR_RECEIPT);
    cr_expect(nothing_changed(cursor));
    list_free(&list);
}

/* ---- cases of 6.5 ---------------------------------------------------------------------------- */

Test(ack, T50_repeated_is_a_success_and_changes_nothing)
{
    uint64_t cursor = fake_cursor(&broker, &bob);
    struct answer answer;

    make_good();
    cr_expect_eq(say_signed_by(&bob.agent, cursor).e, ERR_OK);
    answer = say_signed_by(&bob.agent, cursor);
    cr_expect_eq(answer.e, ERR_OK);
    cr_expect_eq(answer.message.position, items[6].position);
    cr_expect_eq(fake_fetch(&broker, &ann, items), 1, "one receipt, not two");
}

Test(ack, T50_must_build_on_the_cursor)
{
    uint64_t cursor = fake_cursor(&broker, &bob);
    struct answer answer;

    make_good();
    answer = say_signed_by(&bob.agent, cursor - 1);
    cr_expect_eq(answer.e, ERR_CONFLICT);
    cr_expect_eq(answer.message.position, cursor);
    answer = say_signed_by(&bob.agent, items[0].position);
    cr_expect_eq(answer.e, ERR_CONFLICT);
    cr_expect(nothing_changed(cursor));
}

Test(ack, of_a_stream_that_is_not_there)
{
    static const uint8_t stream[16] = { 1 };
    struct message message = { .verb = VERB_ACK };
    struct list_maker list = { 0 };

    MESSAGE_SET(&message, stream, stream);
    MESSAGE_SET(&message, after, 0);
    MESSAGE_SET(&message, position, 9);
    MESSAGE_SET(&message, receipts, list_of(&list));
    cr_expect_eq(fake_say(&broker, &bob.by, &message, NULL, 0).e, ERR_NOT_MEMBER);
}

/* In steps: each builds on the one before. */
Test(ack, in_parts)
{
    static const size_t first[] = { 0, 1 }, third[] = { 2 };

    making.count = 0;
    making.position = items[1].position;
    session_receipt(RECEIPT_DELIVERED, first, 2);
    cr_expect_eq(say(), ERR_OK);
    making.count = 0;
    making.position = items[4].position;
    session_receipt(RECEIPT_UNDECRYPTABLE, third, 1);
    session_receipt(RECEIPT_REFUSED, of_cat, 2);
    cr_expect_eq(say(), ERR_OK);
    cr_expect_eq(fake_fetch(&broker, &bob, items), 2);
    cr_expect_eq(fake_ack_all(&broker, &bob), 2);
}

/* Everything silently: a blocked sender hears nothing (T33). */
Test(ack, a_cursor_receipt_may_settle_frames_silently)
{
    static const size_t all[] = { 0, 1, 2, 3, 4, 5, 6 };
    struct session_row row;
    struct sender_row sender;

    making.count = 0;
    making.position = items[6].position;
    cursor_receipt(all, 7);
    cr_expect_eq(say(), ERR_OK);
    cr_expect_eq(fake_fetch(&broker, &ann, items), 0);
    cr_assert_eq(store_session_find(broker.store, with_ann.chain.sid, &row), ERR_OK);
    cr_assert_eq(store_sender_get(broker.store, row.session_id, ann.by.id, &sender), ERR_OK);
    cr_expect_eq(sender.settled_seq, 5);
    cr_expect_eq(sender.waiting_bytes, 0);
}

Test(ack, receipts_go_to_the_senders)
{
    static const struct fake_party *senders[] = { &ann, &cat };

    make_good();
    cr_expect_eq(say(), ERR_OK);
    for (size_t i = 0; i < 2; i++) {
        struct fake_item got[256];
        struct receipt receipt;

        cr_assert_eq(fake_fetch(&broker, senders[i], got), 1);
        cr_expect_eq(got[0].kind, ITEM_RECEIPT);
        cr_assert_eq(got[0].bytes.len, RECEIPT_SIZE + 64);
        cr_expect_arr_eq(got[0].bytes.at, making.made[i].preimage, RECEIPT_SIZE);
        cr_assert_eq(receipt_parse(bytes_of(got[0].bytes.at, RECEIPT_SIZE), &receipt), ERR_OK);
        cr_expect_eq(receipt_verify(bytes_of(got[0].bytes.at, RECEIPT_SIZE), &receipt,
                                    got[0].bytes.at + RECEIPT_SIZE, bob.agent.ik),
                     ERR_OK);
        cr_expect_eq(fake_ack_all(&broker, senders[i]), 1);
    }
}

/* A cursor receipt over the first `number` of all items. */
static enum err ack_first(const struct fake_item *all, size_t number)
{
    struct receipt receipt = { .status = RECEIPT_DELIVERED, .from = all[0].position };
    struct list_maker list = { 0 };
    struct fake_receipt made;
    struct wire_receipt wire = { made.preimage, made.sig };
    struct range_digest range;
    enum err e;

    range_begin(&range);
    for (size_t i = 0; i < number; i++)
        range_add(&range, all[i].digest);
    range_end(&range, receipt.range_digest);
    receipt.to = all[number - 1].position;
    fake_receipt_sign(&made, &bob.agent, receipt);
    list_add_receipt(&list, &wire);
    e = fake_ack_with(&broker, &bob, fake_cursor(&broker, &bob), receipt.to, &list).e;
    list_free(&list);
    return e;
}

Test(ack, at_most_1024_items)
{
    enum { MORE = 21 * 50 };
    static struct fake_item all[7 + MORE];
    struct buf frames[50] = { { 0 } };
    struct bytes parts[50];
    size_t known = 7;

    broker.settings.pair_frames = 2000;
    broker.settings.send_burst = 5000;
    flow_configure(broker.flow, &broker.settings);
    fake_broker_pass(&broker, 60000);
    fake_hello(&broker, &bob);
    fake_hello(&broker, &ann);
    memcpy(all, items, 7 * sizeof *all);
    for (int round = 0; round < MORE / 50; round++) {
        for (size_t i = 0; i < 50; i++, known++) {
            buf_clear(&frames[i]);
            fake_frame(&frames[i], FRAME_DATA, with_ann.chain.sid, &ann.agent, &bob.agent,
                       with_ann.next_a++, broker.now_ms + DAY_MS, BUCKET_MIN);
            parts[i] = buf_bytes(&frames[i]);
            fake_digest(parts[i], all[known].digest);
            all[known].position = all[known - 1].position + 1;
        }
        cr_assert_eq(fake_send(&broker, &ann, parts, 50).e, ERR_OK);
    }
    cr_expect_eq(ack_first(all, LIMIT_ACK_ITEMS + 1), ERR_RECEIPT);
    cr_expect_eq(ack_first(all, LIMIT_ACK_ITEMS), ERR_OK);
    cr_expect_eq(fake_ack_all(&broker, &bob), known - LIMIT_ACK_ITEMS);
    for (size_t i = 0; i < 50; i++)
        buf_free(&frames[i]);
}

/* T51: expired between delivery and ACK; the reader had it, and says so. */
Test(ack, T51_a_tombstone_since_delivery_may_be_called_delivered)
{
    struct fake_item got[256];

    fake_broker_pass(&broker, 2 * DAY_MS);
    fake_hello(&broker, &bob);
    fake_hello(&broker, &ann);
    cr_assert_eq(fake_fetch(&broker, &bob, got), 7);
    cr_expect_eq(got[0].reason, NOTICE_EXPIRED);
    cr_assert_eq(fake_fetch(&broker, &ann, got), 4, "a notice for each");
    make_good();
    cr_expect_eq(say(), ERR_OK);
    cr_assert_eq(fake_fetch(&broker, &ann, got), 5);
    cr_expect_eq(got[4].kind, ITEM_RECEIPT, "which takes the notices back");
}

/* ---- restart --------------------------------------------------------------------------------- */

Test(ack_restart, numbers_cursors_and_positions_survive, .init = NULL)
{
    struct fake_session session;
    struct fake_item got[256], before[256];
    uint64_t cursor;

    fake_broker_open(&broker, true);
    fake_join(&broker, &ann, "ann");
    fake_join(&broker, &bob, "bob");
    fake_session_open(&broker, &session, &ann, &bob, 1);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(fake_send_next(&broker, &session, &ann), ERR_OK);
    cursor = fake_cursor(&broker, &bob);
    cr_assert_eq(fake_fetch(&broker, &bob, before), 5);
    fake_broker_restart(&broker);

    fake_connect(&broker, &ann);
    fake_connect(&broker, &bob);
    cr_expect_eq(fake_hello(&broker, &ann).e, ERR_OK);
    cr_expect_eq(fake_hello(&broker, &bob).e, ERR_OK);
    cr_expect_eq(fake_cursor(&broker, &bob), cursor);
    cr_assert_eq(fake_fetch(&broker, &bob, got), 5);
    for (int i = 0; i < 5; i++)
        cr_expect_eq(got[i].position, before[i].position);
    cr_expect_eq(fake_ack_all(&broker, &bob), 5);
    fake_broker_restart(&broker);
    fake_connect(&broker, &ann);
    fake_connect(&broker, &bob);
    fake_hello(&broker, &ann);
    fake_hello(&broker, &bob);
    cr_expect_eq(fake_send_next(&broker, &session, &ann), ERR_OK, "number 7");
    cr_assert_eq(fake_fetch(&broker, &bob, got), 1);
    cr_expect_gt(got[0].position, before[4].position, "never used twice");
    close_all();
}
