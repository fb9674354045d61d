/* layers: testlib */
/*
 * SEND: the acceptance table of docs/protocol.md 6.3, row by row; batches, quotas, rate, expiry.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "broker/store/directory.h"
#include "broker/store/scopes.h"
#include "broker/store/senders.h"
#include "broker/store/streams.h"
#include "shared/trust/notice.h"
#include "tests/lib/fake_broker.h"

#define DAY_MS UINT64_C(86400000)

static struct fake_broker broker;
static struct fake_party ann, bob, cat;
static struct fake_session session;

static void open_all(void)
{
    fake_broker_open(&broker, false);
    fake_join(&broker, &ann, "ann");
    fake_join(&broker, &bob, "bob");
    fake_join(&broker, &cat, "cat");
    fake_session_open(&broker, &session, &ann, &bob, 1);
}

static void close_all(void)
{
    cr_expect_eq(store_recount(broker.store), ERR_OK);
    fake_broker_close(&broker);
}

TestSuite(send, .init = open_all, .fini = close_all);

static void data_frame(struct buf *out, uint64_t seq, uint64_t expires_ms)
{
    buf_clear(out);
    fake_frame(out, FRAME_DATA, session.chain.sid, &ann.agent, &bob.agent, seq, expires_ms,
               BUCKET_MIN);
}

static enum err send_bytes(const struct fake_party *by, struct bytes frame)
{
    struct answer answer = fake_send(&broker, by, &frame, 1);

    return fake_status(&answer, 0);
}

static uint64_t stored_of(const struct answer *answer)
{
    struct list_reader reader = list_read(&answer->message.stored);
    struct wire_stored stored = { .seq = UINT64_MAX };

    list_stored(&reader, &stored);
    return stored.seq;
}

/* Rows 1 to 3 and 6: one byte or field of a good frame changed. */
Test(send, refuses_what_is_not_a_frame_of_this_session)
{
    static const struct {
        const char *name;
        size_t at;
        uint8_t xor ;
        enum err want;
    } cases[] = {
        { "version", 0, 3, ERR_SCHEMA },
        { "kind request", 1, FRAME_DATA ^ FRAME_REQUEST, ERR_SCHEMA },
        { "kind group, in a session's layout", 1, FRAME_DATA ^ FRAME_GROUP, ERR_SCHEMA },
        { "kind unknown", 1, FRAME_DATA ^ 5, ERR_SCHEMA },
        { "suite unknown", 2, 0x40, ERR_SCHEMA },
        { "flags", 3, 2, ERR_SCHEMA },
        { "scope", 4, 1, ERR_SESSION_NOT_FOUND },
        { "sender", 20, 1, ERR_AUTH },
        { "recipient", 52, 1, ERR_SESSION_NOT_FOUND },
        { "number far ahead", 84, 1, ERR_SEQ_GAP },
        { "number 0", 91, 2, ERR_SCHEMA },
        { "hlen", 101, 1, ERR_SCHEMA },
    };
    struct buf frame = { 0 };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        data_frame(&frame, 2, broker.now_ms + DAY_MS);
        frame.at[cases[i].at] ^= cases[i].xor ;
        cr_expect_eq(send_bytes(&ann, buf_bytes(&frame)), cases[i].want, "%s", cases[i].name);
    }
    data_frame(&frame, 2, broker.now_ms + DAY_MS);
    cr_expect_eq(send_bytes(&ann, bytes_of(frame.at, frame.len - 1)), ERR_SCHEMA, "cut");
    buf_extend(&frame, FRAME_MAX);
    cr_expect_eq(send_bytes(&ann, buf_bytes(&frame)), ERR_TOO_LARGE, "too large");
    cr_expect_eq(fake_send_next(&broker, &session, &ann), ERR_OK, "still number 2");
    buf_free(&frame);
}

Test(send, kind_2_has_its_place_in_event_only)
{
    struct buf frame = { 0 };

    fake_frame(&frame, FRAME_ACCEPT, session.chain.sid, &bob.agent, &ann.agent, 1,
               broker.now_ms + DAY_MS, BUCKET_MIN);
    cr_expect_eq(send_bytes(&bob, buf_bytes(&frame)), ERR_SCHEMA);
    buf_free(&frame);
}

Test(send, somebody_else_hears_the_same_as_for_no_session)
{
    struct buf frame = { 0 };

    fake_frame(&frame, FRAME_DATA, session.chain.sid, &cat.agent, &bob.agent, 2,
               broker.now_ms + DAY_MS, BUCKET_MIN);
    cr_expect_eq(send_bytes(&cat, buf_bytes(&frame)), ERR_SESSION_NOT_FOUND);
    data_frame(&frame, 2, broker.now_ms + DAY_MS);
    cr_expect_eq(send_bytes(&cat, buf_bytes(&frame)), ERR_AUTH, "with ann's name on it");
    buf_free(&frame);
}

Test(send, numbers_go_up_by_one)
{
    struct buf frame = { 0 };
    struct answer answer;
    struct bytes part;

    cr_expect_eq(fake_send_next(&broker, &session, &ann), ERR_OK);
    cr_expect_eq(fake_send_next(&broker, &session, &ann), ERR_OK);
    data_frame(&frame, 5, broker.now_ms + DAY_MS);
    part = buf_bytes(&frame);
    answer = fake_send(&broker, &ann, &part, 1);
    cr_expect_eq(fake_status(&answer, 0), ERR_SEQ_GAP);
    cr_expect_eq(stored_of(&answer), 3);
    buf_free(&frame);
}

/* Row 5: with the row there, with the row gone, at `stored` and below it. */
Test(send, the_same_again_is_a_duplicate_and_other_bytes_are_a_conflict)
{
    static const struct {
        const char *name;
        uint64_t seq;
        bool acked, other;
        enum err want;
    } cases[] = {
        { "newest, waiting", 3, false, false, ERR_DUPLICATE },
        { "newest, waiting, other", 3, false, true, ERR_SEQ_CONFLICT },
        { "older, waiting", 2, false, false, ERR_DUPLICATE },
        { "older, waiting, other", 2, false, true, ERR_SEQ_CONFLICT },
        { "newest, acked", 3, true, false, ERR_DUPLICATE },
        { "newest, acked, other", 3, true, true, ERR_SEQ_CONFLICT },
        { "older, acked", 2, true, false, ERR_DUPLICATE },
        { "older, acked, other: nobody knows any more", 2, true, true, ERR_DUPLICATE },
        { "the request's number", 1, true, true, ERR_DUPLICATE },
    };
    uint64_t expires_ms = broker.now_ms + DAY_MS;
    struct buf frame = { 0 };
    bool acked = false;

    for (uint64_t seq = 2; seq <= 3; seq++) {
        data_frame(&frame, seq, expires_ms);
        cr_assert_eq(send_bytes(&ann, buf_bytes(&frame)), ERR_OK);
    }
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (cases[i].acked && !acked)
            acked = fake_ack_all(&broker, &bob) > 0;
        data_frame(&frame, cases[i].seq, expires_ms);
        frame.at[frame.len - 1] ^= cases[i].other;
        cr_expect_eq(send_bytes(&ann, buf_bytes(&frame)), cases[i].want, "%s", cases[i].name);
    }
    buf_free(&frame);
}

/* A digest of zeroes is unknown and fits all. */
Test(send, after_an_advance_any_bytes_fit_the_newest_number)
{
    struct session_row row;
    struct buf frame = { 0 };

    cr_assert_eq(store_session_find(broker.store, session.chain.sid, &row), ERR_OK);
    cr_assert_eq(store_begin(broker.store), ERR_OK);
    cr_assert_eq(store_sender_settle_to(broker.store, row.session_id, ann.by.id, 7, NULL), ERR_OK);
    cr_assert_eq(store_commit(broker.store), ERR_OK);
    data_frame(&frame, 7, broker.now_ms + DAY_MS);
    cr_expect_eq(send_bytes(&ann, buf_bytes(&frame)), ERR_DUPLICATE);
    data_frame(&frame, 8, broker.now_ms + DAY_MS);
    cr_expect_eq(send_bytes(&ann, buf_bytes(&frame)), ERR_OK);
    buf_free(&frame);
}

/* Row 7, T61: a session that is not active takes no new number and still knows the old ones. */
Test(send, only_an_active_session_takes_frames)
{
    uint8_t closed[CLOSED_BODY_SIZE];
    struct closed_body body = { CLOSED_DONE, 1 };
    struct fake_session asked;
    struct fake_event event;
    struct buf frame = { 0 };

    fake_session_make(&asked, &ann.agent, &cat.agent, 9, broker.now_ms, NULL, &frame, &event);
    cr_assert_eq(fake_request(&broker, &ann, &event, buf_bytes(&frame)).e, ERR_OK);
    buf_clear(&frame);
    fake_frame(&frame, FRAME_DATA, asked.chain.sid, &ann.agent, &cat.agent, 2,
               broker.now_ms + DAY_MS, BUCKET_MIN);
    cr_expect_eq(send_bytes(&ann, buf_bytes(&frame)), ERR_STATE, "before ACCEPTED");

    data_frame(&frame, 2, broker.now_ms + DAY_MS);
    cr_assert_eq(send_bytes(&ann, buf_bytes(&frame)), ERR_OK);
    closed_body_encode(closed, &body);
    fake_event_make(&session, &bob.agent, EVENT_CLOSED, bytes_of(closed, sizeof closed),
                    broker.now_ms, &event);
    cr_assert_eq(fake_event_say(&broker, &bob, &event, 1, bytes_of(NULL, 0)).e, ERR_OK);
    cr_expect_eq(send_bytes(&ann, buf_bytes(&frame)), ERR_DUPLICATE, "old number");
    data_frame(&frame, 3, broker.now_ms + DAY_MS);
    cr_expect_eq(send_bytes(&ann, buf_bytes(&frame)), ERR_STATE, "new number");
    buf_free(&frame);
}

/* T43: one refused frame of a batch stops its scope and no other. */
Test(send, T43_a_gap_in_a_batch_stops_its_scope_only)
{
    struct fake_session other;
    struct buf frames[5] = { { 0 } };
    struct bytes parts[5];
    struct answer answer;
    static const enum err want[] = { ERR_OK, ERR_SCHEMA, ERR_SEQ_GAP, ERR_OK, ERR_SEQ_GAP };

    fake_session_open(&broker, &other, &ann, &cat, 2);
    data_frame(&frames[0], 2, broker.now_ms + DAY_MS);
    data_frame(&frames[1], 3, broker.now_ms + DAY_MS);
    frames[1].at[0] = 9;
    data_frame(&frames[2], 4, broker.now_ms + DAY_MS);
    fake_frame(&frames[3], FRAME_DATA, other.chain.sid, &ann.agent, &cat.agent, 2,
               broker.now_ms + DAY_MS, BUCKET_MIN);
    data_frame(&frames[4], 5, broker.now_ms + DAY_MS);
    for (size_t i = 0; i < 5; i++)
        parts[i] = buf_bytes(&frames[i]);
    answer = fake_send(&broker, &ann, parts, 5);
    for (size_t i = 0; i < 5; i++)
        cr_expect_eq(fake_status(&answer, i), want[i], "frame %zu", i);
    cr_expect_eq(answer.message.stored.count, 2);
    for (size_t i = 0; i < 5; i++)
        buf_free(&frames[i]);
}

/* Row 4, T43: the rate charges every frame, duplicates too, and says when to come again. */
Test(send, too_fast)
{
    struct buf frame = { 0 };
    struct answer answer;
    struct bytes part;

    broker.settings.send_per_s = 10;
    broker.settings.send_burst = 5;
    flow_configure(broker.flow, &broker.settings);
    fake_broker_pass(&broker, 60000);
    fake_hello(&broker, &ann);
    for (int i = 0; i < 3; i++)
        cr_expect_eq(fake_send_next(&broker, &session, &ann), ERR_OK);
    data_frame(&frame, 2, broker.now_ms + DAY_MS);
    part = buf_bytes(&frame);
    for (int i = 0; i < 2; i++)
        fake_send(&broker, &ann, &part, 1);
    answer = fake_send(&broker, &ann, &part, 1);
    cr_expect_eq(fake_status(&answer, 0), ERR_RATE);
    cr_expect(MESSAGE_HAS(&answer.message, after_ms));
    cr_expect_eq(answer.message.after_ms, 100);
    broker.elapsed_ms += 100;
    cr_expect_eq(fake_send_next(&broker, &session, &ann), ERR_OK, "one came back");
    cr_expect_eq(fake_send_next(&broker, &session, &ann), ERR_RATE);
    buf_free(&frame);
}

/* Rows 10 and 12: by frames and by bytes, the sender's share and the mailbox. */
Test(send, quotas)
{
    static const struct {
        const char *name;
        uint64_t pair_frames, pair_bytes, queue_frames, queue_bytes;
        enum err want;
    } cases[] = {
        { "sender's frames", 3, 1 << 20, 100, 1 << 20, ERR_QUOTA_SENDER },
        { "sender's bytes", 100, 3 * FRAME_MIN, 100, 1 << 20, ERR_QUOTA_SENDER },
        { "mailbox's frames", 100, 1 << 20, 3, 1 << 20, ERR_QUOTA_MAILBOX },
        { "mailbox's bytes", 100, 1 << 20, 100, 3 * FRAME_MIN, ERR_QUOTA_MAILBOX },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        broker.settings.pair_frames = cases[i].pair_frames;
        broker.settings.pair_bytes = cases[i].pair_bytes;
        broker.settings.queue_frames = cases[i].queue_frames;
        broker.settings.queue_bytes = cases[i].queue_bytes;
        flow_configure(broker.flow, &broker.settings);
        for (int k = 0; k < 3; k++)
            cr_expect_eq(fake_send_next(&broker, &session, &ann), ERR_OK, "%s: %d", cases[i].name,
                         k);
        cr_expect_eq(fake_send_next(&broker, &session, &ann), cases[i].want, "%s", cases[i].name);
        fake_ack_all(&broker, &bob);
        fake_ack_all(&broker, &ann);
        cr_expect_eq(fake_send_next(&broker, &session, &ann), ERR_OK, "%s: after the ACK",
                     cases[i].name);
        fake_ack_all(&broker, &bob);
        fake_ack_all(&broker, &ann);
    }
}

/* A hint to the owner, once, when four fifths are passed. */
Test(send, nearly_full)
{
    broker.settings.queue_frames = 10;
    flow_configure(broker.flow, &broker.settings);
    fake_forget(&broker);
    for (int i = 1; i <= 10; i++) {
        struct answer hint;

        cr_assert_eq(fake_send_next(&broker, &session, &ann), ERR_OK);
        hint = fake_next(&broker, bob.by.conn, VERB_NOTIFY);
        cr_expect_eq(hint.e, i == 9 ? ERR_OK : ERR_NOT_FOUND, "frame %d", i);
        cr_expect(i != 9 || hint.message.kind == 6);
    }
}

/* The share counts all sessions of the pair together. */
Test(send, a_second_session_gives_no_second_share)
{
    struct fake_session second;

    fake_session_open(&broker, &second, &ann, &bob, 2);
    broker.settings.pair_frames = 3;
    flow_configure(broker.flow, &broker.settings);
    cr_expect_eq(fake_send_next(&broker, &session, &ann), ERR_OK);
    cr_expect_eq(fake_send_next(&broker, &second, &ann), ERR_OK);
    cr_expect_eq(fake_send_next(&broker, &session, &ann), ERR_OK);
    cr_expect_eq(fake_send_next(&broker, &second, &ann), ERR_QUOTA_SENDER);
}

/* Row 11: what is over takes its number and nothing else; a stub that is not over must wait. */
Test(send, T44_an_expired_frame_becomes_a_tombstone)
{
    struct buf frame = { 0 }, stub = { 0 };
    struct fake_item items[256];
    uint8_t digest[32];

    data_frame(&frame, 2, broker.now_ms);
    fake_digest(buf_bytes(&frame), digest);
    cr_expect_eq(send_bytes(&ann, buf_bytes(&frame)), ERR_TOMBSTONE, "frame");
    data_frame(&frame, 3, broker.now_ms - 1000);
    fake_stub(&stub, buf_bytes(&frame));
    cr_expect_eq(send_bytes(&ann, buf_bytes(&stub)), ERR_TOMBSTONE, "stub");
    cr_expect_eq(send_bytes(&ann, buf_bytes(&frame)), ERR_DUPLICATE, "the frame of that stub");
    data_frame(&frame, 4, broker.now_ms + 1000);
    buf_clear(&stub);
    fake_stub(&stub, buf_bytes(&frame));
    cr_expect_eq(send_bytes(&ann, buf_bytes(&stub)), ERR_STALE_TS, "stub too early");
    cr_expect_eq(send_bytes(&ann, buf_bytes(&frame)), ERR_OK);

    cr_assert_eq(fake_fetch(&broker, &bob, items), 3);
    cr_expect_eq(items[0].reason, NOTICE_EXPIRED);
    cr_expect_eq(items[0].seq, 2);
    cr_expect_arr_eq(items[0].digest, digest, 32);
    cr_expect_eq(items[1].reason, NOTICE_EXPIRED);
    cr_expect_eq(items[2].reason, 0);
    cr_expect_eq(fake_ack_all(&broker, &bob), 3);
    buf_free(&frame);
    buf_free(&stub);
}

/* T65: expired ones count as frames before they become tombstones. */
Test(send, T65_a_flood_of_expired_frames_ends_at_the_quota)
{
    struct buf frame = { 0 };

    broker.settings.pair_frames = 4;
    flow_configure(broker.flow, &broker.settings);
    for (uint64_t seq = 2; seq <= 5; seq++) {
        data_frame(&frame, seq, 1000);
        cr_expect_eq(send_bytes(&ann, buf_bytes(&frame)), ERR_TOMBSTONE);
    }
    data_frame(&frame, 6, 1000);
    cr_expect_eq(send_bytes(&ann, buf_bytes(&frame)), ERR_QUOTA_SENDER);
    buf_free(&frame);
}

/* A clock that has jumped ends nothing. */
Test(send, nothing_is_over_while_the_clock_is_unsound)
{
    broker.now_ms += 400 * DAY_MS;
    cr_expect_eq(fake_send_next(&broker, &session, &ann), ERR_OK);
    broker.now_ms -= 400 * DAY_MS;
    {
        struct buf frame = { 0 };

        broker.now_ms += 2 * 3600000;
        data_frame(&frame, 3, broker.now_ms - 1000);
        cr_expect_eq(send_bytes(&ann, buf_bytes(&frame)), ERR_OK);
        broker.now_ms -= 2 * 3600000;
        buf_free(&frame);
    }
}

/* Row 13: a lowered limit shortens the life that is kept, and makes no hole. */
Test(send, the_life_of_a_row_is_limited)
{
    struct stream_row stream;
    const struct agent_row *agent = store_agent(broker.store, bob.by.id);

    broker.settings.frame_ttl_max_ms = 5000;
    flow_configure(broker.flow, &broker.settings);
    cr_expect_eq(fake_send_next(&broker, &session, &ann), ERR_OK);
    cr_assert_eq(store_stream_get(broker.store, agent->mailbox, &stream), ERR_OK);
    cr_expect_leq(stream.next_expiry_ms, broker.now_ms + 5000);
}

/* Row 9, T66: the disk is nearly full: frames wait, ACKs go on. */
Test(send, disk_full)
{
    cr_expect_eq(fake_send_next(&broker, &session, &ann), ERR_OK);
    broker.disk_free = 1000;
    broker.elapsed_ms += 1000;
    cr_expect_eq(fake_send_next(&broker, &session, &ann), ERR_DISK);
    cr_expect_eq(fake_ack_all(&broker, &bob), 1);
    broker.disk_free = UINT64_MAX;
    broker.elapsed_ms += 1000;
    cr_expect_eq(fake_send_next(&broker, &session, &ann), ERR_OK);
}

Test(send, no_frame_at_all)
{
    cr_expect_eq(fake_send(&broker, &ann, NULL, 0).e, ERR_SCHEMA);
}

/* Many requests of one turn: each sees what those before it did. */
Test(send, one_turn_holds_many)
{
    struct message message = { .verb = VERB_SEND };
    struct buf frame = { 0 };
    uint32_t rids[50];

    for (uint64_t i = 0; i < 50; i++) {
        struct bytes part;

        data_frame(&frame, 2 + i, broker.now_ms + DAY_MS);
        part = buf_bytes(&frame);
        rids[i] = fake_queue(&broker, &ann.by, &message, &part, 1);
    }
    cr_assert_eq(fake_run(&broker), ERR_OK);
    for (size_t i = 0; i < 50; i++) {
        struct answer answer = fake_answer(&broker, ann.by.conn, rids[i]);

        cr_expect_eq(fake_status(&answer, 0), ERR_OK);
        cr_expect_eq(stored_of(&answer), 2 + i);
    }
    cr_expect_eq(fake_ack_all(&broker, &bob), 50);
    buf_free(&frame);
}

/* T31: whoever floods meets its own bounds; others get through as before. */
Test(send, T31_a_flooder_is_alone_with_its_bounds)
{
    struct fake_session other;
    struct fake_item items[256];
    size_t refused = 0, count;

    broker.settings.pair_frames = 100;
    broker.settings.queue_frames = 200;
    flow_configure(broker.flow, &broker.settings);
    fake_session_open(&broker, &other, &cat, &bob, 9);
    for (int i = 0; i < 1000; i++) {
        enum err e = fake_send_next(&broker, &session, &ann);

        cr_expect(e == ERR_OK || e == ERR_RATE || e == ERR_QUOTA_SENDER, "%s", err_name(e));
        refused += e != ERR_OK;
    }
    cr_expect_eq(refused, 900);
    for (int i = 0; i < 20; i++)
        cr_expect_eq(fake_send_next(&broker, &other, &cat), ERR_OK);
    count = fake_fetch(&broker, &bob, items);
    cr_expect_eq(count, 120, "everything that was taken, and no more");
    cr_expect_arr_eq(items[119].sender, cat.agent.aid, 32);
}
