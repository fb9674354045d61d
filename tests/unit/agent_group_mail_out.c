/* layers: agent_flow */
/* What a member says in a group: sealed once, numbered, sealed anew, signed for. */
#include <criterion/criterion.h>

#include "agent/flow/receipts.h"
#include "agent/flow/sweep.h"
#include "agent/flow/sync.h"
#include "agent/store/dead.h"
#include "agent/store/outbox.h"
#include "shared/trust/notice.h"
#include "tests/lib/lone_group.h"

enum { ANN, BOB, CAROL, DAVE };

#define DAY_MS 86400000ull

/* The broker has said what it has of ann's frames: `stored`. */
static void synced(struct lone_group *g, uint64_t stored)
{
    agent_enter(g->lone.agent);
    agent_sender_synced(g->lone.agent, g->group_id, stored);
    agent_group_synced(g->lone.agent, lone_group_of(g));
    cr_assert_eq(agent_leave(g->lone.agent), ERR_OK);
}

static void open_ready(struct lone_group *g, uint64_t number)
{
    lone_group_open(g, number);
    lone_group_keyed(g);
    synced(g, 0);
    lone_forget(&g->lone);
}

static enum err say_id(struct lone_group *g, const char *text, uint8_t id[static 16])
{
    struct send_request request = { .body = bytes_of_text(text), .group = g->stage.chain.gid };

    return agent_send(g->lone.agent, &request, id);
}

static void say(struct lone_group *g, const char *text)
{
    uint8_t id[16];

    cr_assert_eq(say_id(g, text, id), ERR_OK);
}

static struct outgoing_info info_of(struct lone_group *g, const uint8_t id[static 16])
{
    struct outgoing_info info = { 0 };

    cr_expect_eq(agent_outgoing_get(g->lone.agent, id, &info), ERR_OK);
    return info;
}

static struct profile_out row_at(struct lone_group *g, uint64_t seq)
{
    struct profile_out row = { 0 };

    profile_out_at(g->lone.agent->store, g->group_id, seq, &row);
    return row;
}

/* The frames in the kept SENDs, one after the other. */
struct frames {
    struct frame_view view[LONE_MAX];
    size_t send[LONE_MAX]; /* in which of what was sent */
    size_t count;
};

static struct frames frames_sent(const struct lone_group *g)
{
    struct frames frames = { .count = 0 };

    for (size_t i = 0; i < g->lone.sent_count; i++) {
        const struct lone_sent *sent = &g->lone.sent[i];
        size_t at = 0;
        if (sent->message.verb != VERB_SEND)
            continue;
        for (size_t p = 0; p < sent->part_count; p++) {
            cr_assert_eq(frame_parse(bytes_of(sent->parts.at + at, sent->part_len[p]),
                                     &frames.view[frames.count]),
                         ERR_OK);
            frames.send[frames.count++] = i;
            at += sent->part_len[p];
        }
    }
    return frames;
}

/* Answers what was sent at place `i`: `status` for its first frame, gaps for the others of an
 * error.
 */
static void answer(struct lone_group *g, size_t i, uint64_t status, uint64_t stored)
{
    const struct lone_sent *sent = &g->lone.sent[i];
    struct message reply = message_reply(&sent->message);
    struct list_maker statuses = { 0 }, list = { 0 };
    bool good = status == ERR_OK || status == ERR_DUPLICATE || status == ERR_TOMBSTONE;

    for (size_t p = 0; p < sent->part_count; p++)
        list_add_status(&statuses, p == 0 || good ? status : ERR_SEQ_GAP);
    list_add_stored(&list, &(struct wire_stored){ g->stage.chain.gid, stored });
    MESSAGE_SET(&reply, status, list_of(&statuses));
    MESSAGE_SET(&reply, stored, list_of(&list));
    lone_hear(&g->lone, &reply, NULL, 0);
    list_free(&statuses);
    list_free(&list);
}

/* Opens what ann has sent with the key that the others have; the body. */
static struct buf opened(struct lone_group *g, const struct frame_view *view)
{
    struct group_sending chain = { 0 };
    struct group_epoch epoch = stage_group_epoch(&g->stage.chain);
    struct group_opened place;
    struct buf out = { 0 }, body = { 0 };
    struct envelope envelope;

    group_sending_init(&chain, g->stage.secret, &epoch, g->stage.actor[ANN].aid);
    cr_assert_eq(group_decrypt(&chain, &epoch, view, g->stage.actor[ANN].pk, LONE_NOW,
                               buf_extend(&out, view->ct.len), &place),
                 ERR_OK);
    cr_assert_eq(envelope_decode(bytes_of(out.at + place.offset, place.len), &envelope), ERR_OK);
    cr_expect(envelope.group_heads.at, "who reads it learns what its author has seen");
    buf_append(&body, envelope.body.at, envelope.body.len);
    buf_append(&body, "", 1);
    buf_free(&out);
    group_sending_wipe(&chain);
    return body;
}

static void next_epoch(struct lone_group *g)
{
    struct said said;

    said_epoch(&said, &g->stage, BOB);
    lone_group_append(g, &said);
    agent_enter(g->lone.agent);
    agent_groups_load(g->lone.agent);
    lone_group_of(g)->compared = true;
    cr_assert_eq(agent_leave(g->lone.agent), ERR_OK);
    lone_group_others_keyed(g);
}

/* ------------------------------------------------------------------ sealing */

Test(agent_group_mail_out, one_frame_goes_out_for_all)
{
    struct lone_group g;
    struct frames frames;
    struct buf body;
    uint8_t id[16];

    open_ready(&g, 31);
    cr_assert_eq(say_id(&g, "hello", id), ERR_OK);
    frames = frames_sent(&g);
    cr_assert_eq(frames.count, 1);
    cr_expect_eq(frames.view[0].kind, FRAME_GROUP);
    cr_expect_eq(frames.view[0].flags, FRAME_WANTS_RECEIPT, "a small group counts");
    cr_expect_eq(frames.view[0].seq, 1);
    cr_expect_arr_eq(frames.view[0].scope, g.stage.chain.gid, 16);
    body = opened(&g, &frames.view[0]);
    cr_expect_str_eq((char *)body.at, "hello");
    cr_expect_eq(info_of(&g, id).state, OUT_QUEUED);
    cr_expect(info_of(&g, id).has_group);
    cr_expect_eq(info_of(&g, id).recipients, LONE_MEMBERS - 1);
    answer(&g, frames.send[0], ERR_OK, 1);
    cr_expect_eq(info_of(&g, id).state, OUT_STORED);
    cr_expect_eq(info_of(&g, id).delivered_to, 0);
    buf_free(&body);
    lone_group_close(&g);
}

Test(agent_group_mail_out, without_the_key_it_waits)
{
    struct lone_group g;
    uint8_t id[16];

    lone_group_open(&g, 32);
    synced(&g, 0);
    cr_assert_eq(say_id(&g, "later", id), ERR_OK);
    cr_expect_eq(info_of(&g, id).waits_for, WAITS_FOR_EPOCH);
    cr_expect_eq(frames_sent(&g).count, 0);
    lone_group_keyed(&g);
    cr_expect_eq(frames_sent(&g).count, 1);
    lone_group_close(&g);
}

Test(agent_group_mail_out, nothing_is_numbered_before_the_broker_has_said_what_it_has)
{
    struct lone_group g;
    struct message reply;
    struct list_maker scopes = { 0 };
    uint8_t none[32] = { 0 };
    size_t at;

    lone_group_open(&g, 33);
    lone_group_keyed(&g);
    say(&g, "x");
    cr_expect_eq(frames_sent(&g).count, 0);
    at = lone_find(&g.lone, VERB_SYNC, 0);
    cr_assert_neq(at, LONE_MAX, "it is asked");
    cr_expect_eq(lone_find(&g.lone, VERB_SYNC, at + 1), LONE_MAX, "once");
    reply = message_reply(&g.lone.sent[at].message);
    list_add_scope_answered(&scopes, &(struct wire_scope){ g.stage.chain.gid, 0, none, 0 });
    MESSAGE_SET(&reply, scopes, list_of(&scopes));
    lone_hear(&g.lone, &reply, NULL, 0);
    cr_expect_eq(frames_sent(&g).count, 1);
    list_free(&scopes);
    lone_group_close(&g);
}

static const struct {
    const char *name;
    enum profile_group_state state;
    enum err want;
} states[] = {
    { "invited", PROFILE_GROUP_INVITED, ERR_NOT_MEMBER },
    { "joined", PROFILE_GROUP_JOINED, ERR_OK },
    { "left", PROFILE_GROUP_LEFT, ERR_NOT_MEMBER },
    { "closed", PROFILE_GROUP_CLOSED, ERR_STATE },
    { "forked", PROFILE_GROUP_FORKED, ERR_GROUP_FORK },
};

Test(agent_group_mail_out, who_may_say_something)
{
    struct lone_group g;
    struct send_request request = { .body = bytes_of_text("x") };
    uint8_t id[16], other[16] = { 1 };

    open_ready(&g, 34);
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++) {
        lone_group_of(&g)->row.state = states[i].state;
        cr_expect_eq(say_id(&g, "x", id), states[i].want, "%s", states[i].name);
    }
    request.group = other;
    cr_expect_eq(agent_send(g.lone.agent, &request, id), ERR_NOT_FOUND);
    lone_group_of(&g)->row.state = PROFILE_GROUP_JOINED;
    request.group = g.stage.chain.gid;
    request.body.len = ENVELOPE_BODY_MAX + 1;
    cr_expect_eq(agent_send(g.lone.agent, &request, id), ERR_TOO_LARGE);
    lone_group_close(&g);
}

Test(agent_group_mail_out, no_more_than_500_beyond_the_last_acceptance)
{
    struct lone_group g;
    struct profile_scope scope;

    open_ready(&g, 35);
    g.lone.agent->link.state = STATE_DOWN;
    for (int i = 0; i < 510; i++)
        say(&g, "x");
    cr_assert(profile_scope_get(g.lone.agent->store, g.group_id, &scope));
    cr_expect_eq(scope.next_seq - 1, LIMIT_SEALED_AHEAD);
    g.lone.agent->link.state = STATE_UP;
    agent_enter(g.lone.agent);
    agent_leave(g.lone.agent);
    answer(&g, lone_find(&g.lone, VERB_SEND, 0), ERR_OK, 63);
    cr_assert(profile_scope_get(g.lone.agent->store, g.group_id, &scope));
    cr_expect_eq(scope.next_seq - 1, 510, "what was accepted makes room");
    lone_group_close(&g);
}

Test(agent_group_mail_out, the_largest_message_fits)
{
    struct lone_group g;
    struct send_request request = { 0 };
    uint8_t *body = mem_zeroed(ENVELOPE_BODY_MAX, 1), id[16];

    open_ready(&g, 36);
    request.group = g.stage.chain.gid;
    request.body = bytes_of(body, ENVELOPE_BODY_MAX);
    cr_assert_eq(agent_send(g.lone.agent, &request, id), ERR_OK);
    cr_expect_eq(frames_sent(&g).count, 1);
    free(body);
    lone_group_close(&g);
}

/* ------------------------------------------------------------------ A2A_EPOCH */

Test(agent_group_mail_out, T55_refused_under_an_old_epoch_it_is_sealed_anew_with_its_number)
{
    struct lone_group g;
    struct frames frames;
    struct profile_out before[3], after;
    struct buf body;

    open_ready(&g, 37);
    say(&g, "one");
    say(&g, "two");
    say(&g, "three");
    for (uint64_t i = 0; i < 3; i++)
        before[i] = row_at(&g, i + 1);
    frames = frames_sent(&g);
    next_epoch(&g); /* carol was faster than ann's words */
    answer(&g, frames.send[0], ERR_EPOCH, 0);
    answer(&g, frames.send[1], ERR_SEQ_GAP, 0);
    answer(&g, frames.send[2], ERR_SEQ_GAP, 0);
    cr_expect_arr_eq(row_at(&g, 1).digest, before[0].digest, 32, "not without the new key");
    lone_forget(&g.lone);
    lone_group_keyed(&g);
    frames = frames_sent(&g);
    cr_assert_eq(frames.count, 3);
    for (uint64_t i = 0; i < 3; i++) {
        after = row_at(&g, i + 1);
        cr_expect_eq(after.epoch, g.stage.chain.epoch);
        cr_expect_eq(frames.view[i].seq, i + 1);
        cr_expect_arr_eq(after.msg_id, before[i].msg_id, 16);
        cr_expect_arr_neq(after.digest, before[i].digest, 32);
    }
    body = opened(&g, &frames.view[0]);
    cr_expect_str_eq((char *)body.at, "one");
    for (size_t i = 0; i < frames.count; i++)
        if (i + 1 == frames.count || frames.send[i + 1] != frames.send[i])
            answer(&g, frames.send[i], ERR_OK, i + 1);
    cr_expect_eq(row_at(&g, 3).state, OUTBOX_ACCEPTED);
    buf_free(&body);
    lone_group_close(&g);
}

/* The broker did not say that the number is free: the same bytes, whatever the epoch. */
Test(agent_group_mail_out, without_that_word_of_the_broker_nothing_is_sealed_twice)
{
    struct lone_group g;
    struct frames frames;
    uint8_t digest[32];

    open_ready(&g, 38);
    say(&g, "one");
    memcpy(digest, row_at(&g, 1).digest, 32);
    answer(&g, frames_sent(&g).send[0], ERR_RATE, 0);
    next_epoch(&g);
    lone_group_keyed(&g);
    synced(&g, 0); /* a new connection */
    lone_pass(&g.lone, 5000);
    frames = frames_sent(&g);
    cr_assert_eq(frames.count, 2);
    cr_expect(bytes_equal(frames.view[0].all, frames.view[1].all));
    cr_expect_arr_eq(row_at(&g, 1).digest, digest, 32);
    lone_group_close(&g);
}

Test(agent_group_mail_out, what_is_behind_it_goes_under_the_new_epoch_at_once)
{
    struct lone_group g;
    struct frames frames;

    open_ready(&g, 39);
    say(&g, "one");
    frames = frames_sent(&g);
    next_epoch(&g);
    lone_group_keyed(&g);
    say(&g, "two");
    frames = frames_sent(&g);
    cr_expect_eq(row_at(&g, 2).epoch, g.stage.chain.epoch);
    answer(&g, frames.send[0], ERR_EPOCH, 0);
    cr_expect_neq(row_at(&g, 1).epoch, g.stage.chain.epoch, "number 2 is still on its way");
    answer(&g, frames.send[1], ERR_SEQ_GAP, 0);
    cr_expect_eq(row_at(&g, 1).epoch, g.stage.chain.epoch);
    frames = frames_sent(&g);
    cr_assert_eq(frames.count, 4);
    cr_expect_eq(frames.view[2].seq, 1);
    cr_expect_eq(frames.view[3].seq, 2);
    cr_expect(bytes_equal(frames.view[3].all, frames.view[1].all));
    lone_group_close(&g);
}

/* ------------------------------------------------------------------ who has it */

static void signs(struct lone_group *g, int actor, uint64_t from, uint64_t to)
{
    struct receipt receipt
        = { .status = RECEIPT_DELIVERED, .from = from, .to = to, .ts_ms = LONE_NOW };
    struct range_digest range;
    uint8_t item[RECEIPT_SIZE + 64];

    memcpy(receipt.scope, g->stage.chain.gid, 16);
    memcpy(receipt.sender, g->stage.actor[ANN].aid, 32);
    memcpy(receipt.recipient, g->stage.actor[actor].aid, 32);
    range_begin(&range);
    for (uint64_t seq = from; seq <= to; seq++)
        range_add(&range, row_at(g, seq).digest);
    range_end(&range, receipt.range_digest);
    receipt_encode(item, &receipt);
    sign(item + RECEIPT_SIZE, g->stage.actor[actor].sk, bytes_of(item, RECEIPT_SIZE));
    agent_enter(g->lone.agent);
    agent_receipt_item(g->lone.agent, bytes_of(item, sizeof item));
    cr_assert_eq(agent_leave(g->lone.agent), ERR_OK);
}

struct who {
    char text[256];
};

static void who_signed(void *ctx, const struct signed_info *info)
{
    struct who *who = ctx;
    size_t len = strlen(who->text);

    snprintf(who->text + len, sizeof who->text - len, "%s%.*s%s", len ? " " : "",
             (int)info->name.len, (const char *)info->name.at, info->at_ms ? "+" : "");
}

Test(agent_group_mail_out, it_is_delivered_when_all_members_have_signed)
{
    struct lone_group g;
    struct who who = { "" };
    uint8_t id[16], second[16];

    open_ready(&g, 40);
    cr_assert_eq(say_id(&g, "one", id), ERR_OK);
    cr_assert_eq(say_id(&g, "two", second), ERR_OK);
    answer(&g, frames_sent(&g).send[0], ERR_OK, 2);
    signs(&g, CAROL, 1, 2);
    signs(&g, CAROL, 1, 1);
    cr_expect_eq(info_of(&g, id).delivered_to, 1);
    agent_signed_each(g.lone.agent, id, who_signed, &who);
    cr_expect_str_eq(who.text, "bob carol+ dave");
    signs(&g, BOB, 1, 1);
    cr_expect_eq(info_of(&g, id).state, OUT_STORED);
    signs(&g, DAVE, 1, 1);
    cr_expect_eq(info_of(&g, id).state, OUT_DELIVERED);
    cr_expect_eq(info_of(&g, id).delivered_to, 3);
    cr_expect_eq(info_of(&g, second).delivered_to, 1);
    lone_group_close(&g);
}

Test(agent_group_mail_out, a_receipt_for_other_frames_counts_for_nothing)
{
    struct lone_group g;
    uint8_t id[16];

    open_ready(&g, 41);
    cr_assert_eq(say_id(&g, "one", id), ERR_OK);
    answer(&g, frames_sent(&g).send[0], ERR_OK, 1);
    signs(&g, 5, 1, 1); /* no member, but a known agent: the broker would not let it through */
    cr_expect_leq(info_of(&g, id).delivered_to, 1);
    signs(&g, BOB, 1, 2); /* number 2 does not exist */
    cr_expect_eq(info_of(&g, id).state, OUT_STORED);
    lone_group_close(&g);
}

Test(agent_group_mail_out, a_day_after_its_acceptance_it_is_settled)
{
    struct lone_group g;
    struct profile_scope scope;
    uint8_t id[16];

    open_ready(&g, 42);
    cr_assert_eq(say_id(&g, "one", id), ERR_OK);
    answer(&g, frames_sent(&g).send[0], ERR_OK, 1);
    signs(&g, BOB, 1, 1);
    g.lone.now_ms += DAY_MS + 1;
    agent_enter(g.lone.agent);
    agent_sweep(g.lone.agent);
    agent_leave(g.lone.agent);
    cr_expect_eq(row_at(&g, 1).state, OUTBOX_DELIVERED);
    cr_assert(profile_scope_get(g.lone.agent->store, g.group_id, &scope));
    cr_expect_eq(scope.receipted_seq, 1);
    cr_expect_eq(info_of(&g, id).state, OUT_STORED, "it is not said that all have it");
    signs(&g, CAROL, 1, 1);
    signs(&g, DAVE, 1, 1);
    cr_expect_eq(info_of(&g, id).state, OUT_DELIVERED, "those who come late still count");
    lone_group_close(&g);
}

static void noticed(struct lone_group *g, uint64_t seq, uint8_t reason)
{
    struct notice notice = { .reason = reason, .seq = seq, .position = 9, .at_ms = LONE_NOW };
    uint8_t item[NOTICE_SIZE];

    memcpy(notice.scope, g->stage.chain.gid, 16);
    memcpy(notice.sender, g->stage.actor[ANN].aid, 32);
    memcpy(notice.frame_digest, row_at(g, seq).digest, 32);
    notice_encode(item, &notice);
    agent_enter(g->lone.agent);
    agent_notice_item(g->lone.agent, bytes_of(item, sizeof item));
    cr_assert_eq(agent_leave(g->lone.agent), ERR_OK);
}

Test(agent_group_mail_out, expired_for_some_is_no_dead_letter_if_others_have_it)
{
    struct lone_group g;
    uint8_t one[16], two[16];

    open_ready(&g, 43);
    cr_assert_eq(say_id(&g, "one", one), ERR_OK);
    cr_assert_eq(say_id(&g, "two", two), ERR_OK);
    answer(&g, frames_sent(&g).send[0], ERR_OK, 2);
    signs(&g, BOB, 1, 1);
    noticed(&g, 1, NOTICE_EXPIRED);
    noticed(&g, 2, NOTICE_EXPIRED);
    cr_expect_eq(info_of(&g, one).state, OUT_STORED);
    cr_expect_eq(info_of(&g, one).delivered_to, 1);
    cr_expect_eq(info_of(&g, two).state, OUT_EXPIRED);
    cr_expect(info_of(&g, two).has_group);
    lone_group_close(&g);
}

Test(agent_group_mail_out, a_damaged_frame_is_sealed_again_under_its_next_number)
{
    struct lone_group g;
    uint8_t id[16];

    open_ready(&g, 44);
    cr_assert_eq(say_id(&g, "one", id), ERR_OK);
    answer(&g, frames_sent(&g).send[0], ERR_OK, 1);
    noticed(&g, 1, NOTICE_DAMAGED);
    agent_enter(g.lone.agent);
    agent_sweep(g.lone.agent);
    agent_leave(g.lone.agent);
    cr_expect_eq(info_of(&g, id).seq, 2);
    lone_group_close(&g);
}

/* ------------------------------------------------------------------ out and in again */

Test(agent_group_mail_out, whoever_is_out_has_no_keys_and_dead_letters)
{
    struct lone_group g;
    uint8_t id[16], sealed[16];

    open_ready(&g, 45);
    cr_assert_eq(say_id(&g, "sealed", sealed), ERR_OK);
    lone_group_of(&g)->compared = false; /* what follows stays in the queue */
    cr_assert_eq(say_id(&g, "queued", id), ERR_OK);
    agent_enter(g.lone.agent);
    agent_group_wipe(g.lone.agent, lone_group_of(&g), DEAD_READER_REMOVED);
    cr_assert_eq(agent_leave(g.lone.agent), ERR_OK);
    cr_expect_eq(info_of(&g, sealed).state, OUT_REFUSED);
    cr_expect_str_eq(info_of(&g, id).reason, "reader_removed");
    cr_expect_not(agent_group_has_key(g.lone.agent, g.group_id, g.stage.chain.epoch));
    lone_group_close(&g);
}

Test(agent_group_mail_out, in_again_the_broker_s_count_is_taken_over_once)
{
    struct lone_group g;
    struct message reply;
    struct list_maker scopes = { 0 };
    struct profile_scope scope;
    uint8_t digest[32] = { 3 };
    size_t at;

    open_ready(&g, 46);
    say(&g, "one");
    say(&g, "two");
    answer(&g, frames_sent(&g).send[0], ERR_OK, 1);
    agent_enter(g.lone.agent);
    agent_group_wipe(g.lone.agent, lone_group_of(&g), DEAD_READER_REMOVED);
    cr_assert_eq(agent_leave(g.lone.agent), ERR_OK);
    next_epoch(&g); /* which admits her again */
    lone_forget(&g.lone);
    lone_group_keyed(&g);
    say(&g, "three");
    at = lone_find(&g.lone, VERB_SYNC, 0);
    cr_assert_neq(at, LONE_MAX);
    reply = message_reply(&g.lone.sent[at].message);
    list_add_scope_answered(&scopes, &(struct wire_scope){ g.stage.chain.gid, 7, digest, 2 });
    MESSAGE_SET(&reply, scopes, list_of(&scopes));
    lone_hear(&g.lone, &reply, NULL, 0);
    cr_expect_not(g.lone.agent->frozen, "another copy of her has said seven things");
    cr_assert_eq(frames_sent(&g).count, 1);
    cr_expect_eq(frames_sent(&g).view[0].seq, 8);
    cr_assert(profile_scope_get(g.lone.agent->store, g.group_id, &scope));
    cr_expect_not(scope.adopts);
    list_free(&scopes);
    lone_group_close(&g);
}

Test(agent_group_mail_out, a_profile_that_was_put_back_says_nothing)
{
    struct lone_group g;
    struct message reply;
    struct list_maker scopes = { 0 };
    uint8_t digest[32] = { 3 };
    size_t at;

    lone_group_open(&g, 47);
    lone_group_keyed(&g);
    say(&g, "x");
    at = lone_find(&g.lone, VERB_SYNC, 0);
    reply = message_reply(&g.lone.sent[at].message);
    list_add_scope_answered(&scopes, &(struct wire_scope){ g.stage.chain.gid, 4, digest, 2 });
    MESSAGE_SET(&reply, scopes, list_of(&scopes));
    lone_hear(&g.lone, &reply, NULL, 0);
    cr_expect(g.lone.agent->frozen);
    cr_expect_eq(frames_sent(&g).count, 0);
    list_free(&scopes);
    lone_group_close(&g);
}

/* ------------------------------------------------------------------ my own words */

Test(agent_group_mail_out, a_heartbeat_asks_for_no_receipt_and_leaves_nothing)
{
    struct lone_group g;
    struct frames frames;
    struct profile_out_counts counts;

    open_ready(&g, 48);
    agent_enter(g.lone.agent);
    agent_group_say(g.lone.agent, lone_group_of(&g), ENVELOPE_HEARTBEAT);
    cr_assert_eq(agent_leave(g.lone.agent), ERR_OK);
    frames = frames_sent(&g);
    cr_assert_eq(frames.count, 1);
    cr_expect_eq(frames.view[0].flags, 0);
    profile_out_counts(g.lone.agent->store, &counts);
    cr_expect_eq(counts.open, 0);
    answer(&g, frames.send[0], ERR_OK, 1);
    g.lone.now_ms += DAY_MS + 1;
    agent_enter(g.lone.agent);
    agent_sweep(g.lone.agent);
    agent_leave(g.lone.agent);
    cr_expect_eq(row_at(&g, 1).state, OUTBOX_DELIVERED);
    lone_group_close(&g);
}
