/* layers: agent_flow */
/* What a group's channel delivers to a member, and what the member signs for. */
#include <criterion/criterion.h>

#include "agent/flow/receipts.h"
#include "agent/store/alarms.h"
#include "agent/store/dead.h"
#include "agent/store/inbox.h"
#include "agent/store/outbox.h"
#include "shared/trust/notice.h"
#include "tests/lib/lone_group.h"

enum { ANN, BOB, CAROL, DAVE };

static void open_keyed(struct lone_group *g, uint64_t number)
{
    lone_group_open(g, number);
    lone_group_keyed(g);
}

static unsigned alarms_of(struct lone_group *g, const char *code, const char *detail)
{
    struct profile_alarm alarms[16];
    size_t count = profile_alarms(g->lone.agent->store, alarms, 16);
    unsigned found = 0;

    for (size_t i = 0; i < count; i++)
        found += strcmp(alarms[i].code, code) == 0
                 && (!detail || strstr(alarms[i].detail, detail) != NULL);
    return found;
}

/* The newest ACK of the channel; its receipts. */
struct acked {
    uint64_t after, position;
    struct receipt receipt[64];
    size_t count;
    size_t at; /* among what was sent */
};

static bool find_ack(struct lone_group *g, struct acked *out)
{
    for (size_t i = g->lone.sent_count; i-- > 0;) {
        struct message *message = &g->lone.sent[i].message;
        struct list_reader reader = list_read(&message->receipts);
        struct wire_receipt receipt;
        if (message->verb != VERB_ACK || memcmp(message->stream, g->stage.chain.gid, 16) != 0)
            continue;
        *out = (struct acked){ .after = message->after, .position = message->position, .at = i };
        while (list_receipt(&reader, &receipt))
            cr_assert_eq(receipt_parse(bytes_of(receipt.preimage, RECEIPT_SIZE),
                                       &out->receipt[out->count++]),
                         ERR_OK);
        return true;
    }
    return false;
}

static struct acked expect_ack(struct lone_group *g)
{
    struct acked acked = { 0 };

    cr_assert(find_ack(g, &acked), "nothing was acknowledged");
    return acked;
}

static void answer_ack(struct lone_group *g, const struct acked *acked, enum err code,
                       uint64_t position)
{
    struct message reply = code == ERR_OK
                               ? message_reply(&g->lone.sent[acked->at].message)
                               : (struct message){ .verb = VERB_ERROR,
                                                   .reply = true,
                                                   .rid = g->lone.sent[acked->at].message.rid };

    if (code != ERR_OK) {
        MESSAGE_SET(&reply, code, code);
        MESSAGE_SET(&reply, text, bytes_of_text("no"));
    }
    if (position)
        MESSAGE_SET(&reply, position, position);
    lone_hear(&g->lone, &reply, NULL, 0);
}

/* ------------------------------------------------------------------ opened */

static void look_at_first(void *ctx, const struct incoming_info *info)
{
    struct lone_group *g = ctx;

    cr_expect(info->has_group);
    cr_expect_arr_eq(info->group, g->stage.chain.gid, 16);
    cr_expect_arr_eq(info->session, g->stage.chain.gid, 16);
    cr_expect_arr_eq(info->from_aid, g->stage.actor[BOB].aid, 32);
    cr_expect_eq(info->seq, 1);
}

Test(agent_group_mail_in, a_message_comes_with_its_author_and_its_group)
{
    struct lone_group g;
    struct incoming_filter filter = { .unread = true };

    open_keyed(&g, 1);
    SAYS(&g, BOB, "hello");
    HEARD(&g, "hello");
    agent_inbox_each(g.lone.agent, &filter, look_at_first, &g);
    lone_group_close(&g);
}

Test(agent_group_mail_in, filters_tell_groups_from_their_members)
{
    struct lone_group g;
    const uint8_t(*bob)[32];
    const uint8_t(*gid)[16];
    struct incoming_filter of_bob = { .unread = true, .from_count = 1 };
    struct incoming_filter of_group = { .unread = true, .group_count = 1 };
    struct heard heard = { "" };

    open_keyed(&g, 2);
    SAYS(&g, BOB, "hello");
    bob = (const uint8_t(*)[32]) & g.stage.actor[BOB].aid;
    gid = (const uint8_t(*)[16]) & g.stage.chain.gid;
    of_bob.from = bob;
    of_group.groups = gid;
    agent_inbox_each(g.lone.agent, &of_bob, hear_one, &heard);
    cr_expect_str_eq(heard.text, "", "bob said it to all, not to me");
    agent_inbox_each(g.lone.agent, &of_group, hear_one, &heard);
    cr_expect_str_eq(heard.text, "hello");
    lone_group_close(&g);
}

Test(agent_group_mail_in, many_authors_and_epochs_in_one_message)
{
    struct lone_group g;
    struct buf frame = { 0 };
    uint8_t digest[32];
    struct said said;

    open_keyed(&g, 3);
    for (int i = 0; i < 6; i++) {
        lone_group_frame(&g, &(struct words){ .actor = 1 + i % 3, .text = "a" }, &frame, digest);
        lone_group_item(&g, ITEM_GROUP, buf_bytes(&frame));
    }
    said_epoch(&said, &g.stage, BOB);
    lone_group_append(&g, &said);
    lone_group_reload(&g);
    lone_group_keyed(&g);
    lone_group_others_keyed(&g);
    lone_group_event(&g, &said);
    for (int i = 0; i < 3; i++) {
        lone_group_frame(&g, &(struct words){ .actor = 1 + i, .text = "b" }, &frame, digest);
        lone_group_item(&g, ITEM_GROUP, buf_bytes(&frame));
    }
    lone_group_deliver(&g);
    HEARD(&g, "a a a a a a b b b");
    cr_expect_eq(alarms_of(&g, "gap", NULL), 0);
    cr_expect_eq(alarms_of(&g, "undecryptable", NULL), 0);
    cr_expect_not(agent_group_has_key(g.lone.agent, g.group_id, 2),
                  "nothing is missing: the older chains are gone");
    buf_free(&frame);
    lone_group_close(&g);
}

Test(agent_group_mail_in, heartbeats_are_nobodys_mail)
{
    struct lone_group g;

    open_keyed(&g, 4);
    lone_group_says(&g, &(struct words){ .actor = BOB, .text = "", .kind = ENVELOPE_HEARTBEAT });
    HEARD(&g, "");
    lone_group_close(&g);
}

/* ------------------------------------------------------------------ numbers */

Test(agent_group_mail_in, what_comes_again_has_no_effect)
{
    struct lone_group g;
    struct buf frame = { 0 };
    uint8_t digest[32];

    open_keyed(&g, 5);
    lone_group_frame(&g, &(struct words){ .actor = BOB, .text = "once" }, &frame, digest);
    for (int i = 0; i < 3; i++) {
        lone_group_item(&g, ITEM_GROUP, buf_bytes(&frame));
        lone_group_deliver(&g);
    }
    HEARD(&g, "once");
    cr_expect_eq(alarms_of(&g, "undecryptable", NULL), 0);
    buf_free(&frame);
    lone_group_close(&g);
}

/* A lying broker shows what was sealed before the EPOCH and what was sealed anew after it. */
Test(agent_group_mail_in, T55_of_two_frames_with_one_number_the_first_stays)
{
    struct lone_group g;

    open_keyed(&g, 6);
    SAYS(&g, BOB, "first");
    lone_group_says(&g, &(struct words){ .actor = BOB, .text = "second", .seq = 1, .id = 9 });
    HEARD(&g, "first");
    cr_expect_eq(alarms_of(&g, "undecryptable", "SEQ_CONFLICT"), 1);
    SAYS(&g, BOB, "third");
    SAYS(&g, BOB, "fourth");
    lone_group_says(&g, &(struct words){ .actor = BOB, .text = "other", .seq = 2, .id = 8 });
    HEARD(&g, "first third fourth");
    lone_group_close(&g);
}

Test(agent_group_mail_in, a_number_left_out_is_an_alarm_but_not_the_first_one)
{
    struct lone_group g;

    open_keyed(&g, 7);
    g.seq[BOB] = 40; /* said before I came */
    SAYS(&g, BOB, "a");
    cr_expect_eq(alarms_of(&g, "gap", NULL), 0);
    g.seq[BOB]++;
    SAYS(&g, BOB, "b");
    cr_expect_eq(alarms_of(&g, "gap", NULL), 1);
    HEARD(&g, "a b");
    lone_group_close(&g);
}

Test(agent_group_mail_in, a_tombstone_takes_its_number)
{
    struct lone_group g;
    uint8_t digest[32] = { 5 };

    open_keyed(&g, 8);
    SAYS(&g, BOB, "a");
    lone_group_place(&g, BOB, ++g.seq[BOB], NOTICE_EXPIRED, digest);
    lone_group_deliver(&g);
    SAYS(&g, BOB, "c");
    HEARD(&g, "a c");
    cr_expect_eq(alarms_of(&g, "gap", NULL), 0);
    lone_group_close(&g);
}

/* ------------------------------------------------------------------ attacks */

Test(agent_group_mail_in, T28_whoever_signs_for_another_is_refused_and_burns_nothing)
{
    struct lone_group g;
    struct group_sending before = { 0 };

    open_keyed(&g, 9);
    group_sending_init(&before, g.stage.secret, &g.epoch[BOB], g.stage.actor[BOB].aid);
    lone_group_says(
        &g,
        &(struct words){ .actor = BOB, .text = "forged", .seq = 1, .sk = g.stage.actor[CAROL].sk });
    HEARD(&g, "");
    cr_expect_eq(alarms_of(&g, "undecryptable", "A2A_AUTH"), 1);
    group_sending_wipe(&g.said[BOB]);
    g.said[BOB] = before; /* his own chain knows nothing of it */
    g.seq[BOB] = 1;
    SAYS(&g, BOB, "true");
    HEARD(&g, "true");
    lone_group_close(&g);
}

Test(agent_group_mail_in, a_stranger_to_the_epoch_is_not_heard)
{
    struct lone_group g;
    struct buf frame = { 0 };
    uint8_t digest[32];

    open_keyed(&g, 10);
    g.epoch[4] = g.epoch[BOB];
    group_sending_init(&g.said[4], g.stage.secret, &g.epoch[4], g.stage.actor[4].aid);
    lone_group_frame(&g, &(struct words){ .actor = 4, .text = "ghost" }, &frame, digest);
    lone_group_item(&g, ITEM_GROUP, buf_bytes(&frame));
    lone_group_deliver(&g);
    HEARD(&g, "");
    cr_expect_eq(alarms_of(&g, "undecryptable", "A2A_NOT_MEMBER"), 1);
    buf_free(&frame);
    lone_group_close(&g);
}

Test(agent_group_mail_in, an_admin_with_other_keys_has_another_history)
{
    struct lone_group g;
    uint8_t other[32] = { 1 };

    open_keyed(&g, 11);
    group_sending_wipe(&g.said[CAROL]);
    group_sending_init(&g.said[CAROL], other, &g.epoch[CAROL], g.stage.actor[CAROL].aid);
    SAYS(&g, CAROL, "x");
    cr_expect_eq(lone_group_of(&g)->row.state, PROFILE_GROUP_JOINED,
                 "anybody can send what does "
                 "not open");
    group_sending_wipe(&g.said[BOB]);
    group_sending_init(&g.said[BOB], other, &g.epoch[BOB], g.stage.actor[BOB].aid);
    SAYS(&g, BOB, "x");
    cr_expect_eq(lone_group_of(&g)->row.state, PROFILE_GROUP_FORKED);
    cr_expect_eq(alarms_of(&g, "group_fork", NULL), 1);
    HEARD(&g, "");
    lone_group_close(&g);
}

/* ------------------------------------------------------------------ held */

Test(agent_group_mail_in, without_the_key_frames_are_kept_and_opened_when_it_comes)
{
    struct lone_group g;

    lone_group_open(&g, 12);
    SAYS(&g, BOB, "a");
    SAYS(&g, CAROL, "b");
    SAYS(&g, BOB, "c");
    HEARD(&g, "");
    cr_expect_eq(profile_held_count(g.lone.agent->store, g.group_id), 3);
    lone_group_keyed(&g);
    HEARD(&g, "a b c");
    cr_expect_eq(profile_held_count(g.lone.agent->store, g.group_id), 0);
    cr_expect_eq(alarms_of(&g, "gap", NULL), 0);
    lone_group_close(&g);
}

Test(agent_group_mail_in, a_key_that_comes_late_opens_what_was_held_and_goes)
{
    struct lone_group g;
    struct group_chain old = { 0 };
    uint8_t secret[32];
    struct said said;

    lone_group_open(&g, 13);
    SAYS(&g, BOB, "old");
    group_chain_copy(&old, &g.stage.chain);
    memcpy(secret, g.stage.secret, 32);
    said_epoch(&said, &g.stage, BOB);
    lone_group_append(&g, &said);
    lone_group_reload(&g);
    lone_group_event(&g, &said);
    lone_group_deliver(&g);
    lone_group_others_keyed(&g);
    lone_group_keyed(&g);
    SAYS(&g, BOB, "new");
    HEARD(&g, "new");
    agent_enter(g.lone.agent);
    agent_group_keyed(g.lone.agent, lone_group_of(&g), &old, secret);
    cr_assert_eq(agent_leave(g.lone.agent), ERR_OK);
    HEARD(&g, "new old");
    cr_expect_not(agent_group_has_key(g.lone.agent, g.group_id, old.epoch));
    cr_expect(agent_group_has_key(g.lone.agent, g.group_id, g.stage.chain.epoch));
    group_chain_free(&old);
    lone_group_close(&g);
}

Test(agent_group_mail_in, more_than_1000_are_not_kept_the_channel_waits)
{
    struct lone_group g;
    struct buf frame = { 0 };
    uint8_t digest[32];
    struct agent_channel *channel;

    lone_group_open(&g, 14);
    for (uint64_t i = 0; i < LIMIT_GROUP_HELD + 5; i++) {
        lone_group_frame(&g, &(struct words){ .actor = BOB, .text = "x" }, &frame, digest);
        lone_group_item(&g, ITEM_GROUP, buf_bytes(&frame));
        if (g.parts == 15) {
            lone_group_deliver(&g);
            lone_forget(&g.lone);
        }
    }
    lone_group_deliver(&g);
    channel = agent_channel_find(g.lone.agent, g.group_id);
    cr_expect_eq(profile_held_count(g.lone.agent->store, g.group_id), LIMIT_GROUP_HELD);
    cr_expect_eq(channel->delivered_to, 3 * LIMIT_GROUP_HELD);
    cr_expect(channel->deliveries);
    cr_expect(agent_channels_caught_up(g.lone.agent), "nobody waits for what needs a key");
    lone_group_keyed(&g);
    cr_expect_eq(channel->delivered_to, 3 * (LIMIT_GROUP_HELD + 5));
    cr_expect_not(channel->deliveries);
    cr_expect_eq(profile_in_count(g.lone.agent->store, false), LIMIT_GROUP_HELD + 5);
    buf_free(&frame);
    lone_group_close(&g);
}

/* ------------------------------------------------------------------ my own frames, events */

Test(agent_group_mail_in, my_own_frame_comes_as_its_place)
{
    struct lone_group g;
    struct send_request request = { .body = bytes_of_text("mine") };
    struct profile_out row;
    uint8_t id[16], other[32] = { 7 };

    open_keyed(&g, 15);
    request.group = g.stage.chain.gid;
    agent_enter(g.lone.agent);
    agent_sender_synced(g.lone.agent, g.group_id, 0);
    agent_group_synced(g.lone.agent, lone_group_of(&g));
    agent_leave(g.lone.agent);
    cr_assert_eq(agent_send(g.lone.agent, &request, id), ERR_OK);
    cr_assert(profile_out_find(g.lone.agent->store, id, &row));
    cr_assert_eq(row.state, OUTBOX_SEALED);
    lone_group_place(&g, ANN, row.seq, 0, row.digest);
    lone_group_deliver(&g);
    cr_assert(profile_out_find(g.lone.agent->store, id, &row));
    cr_expect_eq(row.state, OUTBOX_ACCEPTED, "who sees it has it");
    lone_group_place(&g, ANN, row.seq, 0, other);
    lone_group_deliver(&g);
    cr_expect_eq(alarms_of(&g, "undecryptable", "SEQ_CONFLICT"), 1);
    HEARD(&g, "");
    lone_group_close(&g);
}

Test(agent_group_mail_in, words_of_mine_that_i_do_not_know_freeze_the_profile)
{
    struct lone_group g;
    uint8_t digest[32] = { 7 };

    open_keyed(&g, 16);
    lone_group_place(&g, ANN, 3, 0, digest);
    lone_group_deliver(&g);
    cr_expect(g.lone.agent->frozen);
    cr_expect_eq(alarms_of(&g, "profile_restored", NULL), 1);
    lone_group_close(&g);
}

/* ------------------------------------------------------------------ ACK */

Test(agent_group_mail_in, one_receipt_covers_all_and_extra_ones_tell_the_authors)
{
    struct lone_group g;
    struct acked acked;
    struct range_digest range;
    struct buf frame = { 0 };
    uint8_t digest[4][32], want[32];

    open_keyed(&g, 17);
    for (int i = 0; i < 4; i++) { /* bob 1, carol 1, bob 2, dave 1, who does not ask for it */
        int actor = i == 1 ? CAROL : i == 3 ? DAVE : BOB;
        lone_group_frame(&g,
                         &(struct words){ .actor = actor,
                                          .text = "x",
                                          .flags = i < 3 ? FRAME_WANTS_RECEIPT : 0 },
                         &frame, digest[i]);
        lone_group_item(&g, ITEM_GROUP, buf_bytes(&frame));
    }
    lone_group_deliver(&g);
    cr_expect_not(find_ack(&g, &acked), "not before 100 ms");
    lone_pass(&g.lone, LIMIT_ACK_DELAY_MS);
    acked = expect_ack(&g);
    cr_expect_eq(acked.after, 2, "a new reader's cursor is just before the first item");
    cr_expect_eq(acked.position, 12);
    cr_assert_eq(acked.count, 3);
    cr_expect(receipt_is_cursor(&acked.receipt[0]));
    cr_expect_eq(acked.receipt[0].from, 3);
    cr_expect_eq(acked.receipt[0].to, 12);
    range_begin(&range);
    for (int i = 0; i < 4; i++)
        range_add(&range, digest[i]);
    range_end(&range, want);
    cr_expect_arr_eq(acked.receipt[0].range_digest, want, 32);
    cr_expect_arr_eq(acked.receipt[1].sender, g.stage.actor[BOB].aid, 32);
    cr_expect_arr_eq(acked.receipt[1].scope, g.stage.chain.gid, 16);
    cr_expect_eq(acked.receipt[1].from, 1);
    cr_expect_eq(acked.receipt[1].to, 2);
    range_begin(&range);
    range_add(&range, digest[0]);
    range_add(&range, digest[2]);
    range_end(&range, want);
    cr_expect_arr_eq(acked.receipt[1].range_digest, want, 32);
    cr_expect_arr_eq(acked.receipt[2].sender, g.stage.actor[CAROL].aid, 32);
    answer_ack(&g, &acked, ERR_OK, 12);
    lone_forget(&g.lone);
    SAYS(&g, BOB, "y");
    lone_pass(&g.lone, LIMIT_ACK_DELAY_MS);
    acked = expect_ack(&g);
    cr_expect_eq(acked.after, 12);
    cr_expect_eq(acked.count, 1);
    buf_free(&frame);
    lone_group_close(&g);
}

Test(agent_group_mail_in, a_frame_that_is_held_gets_its_receipt_if_the_key_comes_soon)
{
    struct lone_group g;
    struct acked acked;

    lone_group_open(&g, 18);
    lone_group_says(&g, &(struct words){ .actor = BOB, .text = "x", .flags = FRAME_WANTS_RECEIPT });
    lone_pass(&g.lone, 1000);
    cr_expect_not(find_ack(&g, &acked), "it may still be opened");
    lone_group_keyed(&g);
    lone_pass(&g.lone, LIMIT_ACK_DELAY_MS);
    acked = expect_ack(&g);
    cr_expect_eq(acked.count, 2);
    lone_group_close(&g);
}

Test(agent_group_mail_in, a_frame_that_stays_held_is_acknowledged_without)
{
    struct lone_group g;
    struct acked acked;

    lone_group_open(&g, 19);
    lone_group_says(&g, &(struct words){ .actor = BOB, .text = "x", .flags = FRAME_WANTS_RECEIPT });
    lone_pass(&g.lone, LIMIT_ACK_CONTROL_MS);
    acked = expect_ack(&g);
    cr_expect_eq(acked.count, 1);
    lone_group_close(&g);
}

Test(agent_group_mail_in, the_broker_s_cursor_is_taken_over)
{
    struct lone_group g;
    struct acked acked;

    open_keyed(&g, 20);
    SAYS(&g, BOB, "a");
    SAYS(&g, BOB, "b");
    lone_pass(&g.lone, LIMIT_ACK_DELAY_MS);
    acked = expect_ack(&g);
    answer_ack(&g, &acked, ERR_CONFLICT, 1); /* it is a little before what I guessed */
    lone_pass(&g.lone, 1);
    acked = expect_ack(&g);
    cr_expect_eq(acked.after, 1);
    cr_expect_eq(acked.position, 6);
    answer_ack(&g, &acked, ERR_RECEIPT, 0);
    cr_expect_eq(g.lone.agent->link.state, STATE_GREETING, "HELLO, and all is delivered again");
    lone_group_close(&g);
}

Test(agent_group_mail_in, whoever_was_removed_acknowledges_no_more)
{
    struct lone_group g;
    struct acked acked;

    open_keyed(&g, 21);
    SAYS(&g, BOB, "a");
    lone_pass(&g.lone, LIMIT_ACK_DELAY_MS);
    acked = expect_ack(&g);
    answer_ack(&g, &acked, ERR_NOT_MEMBER, 0);
    lone_forget(&g.lone);
    lone_pass(&g.lone, 10000);
    cr_expect_not(find_ack(&g, &acked));
    cr_expect_eq(g.lone.agent->link.state, STATE_UP);
    lone_group_close(&g);
}

/* What the broker checks of a channel: all items by the cursor receipt, extra ones in order. */
Test(agent_group_mail_in, plans_of_random_mixtures)
{
    struct chance chance = { .state = 20261124 };
    struct ack_plan *plan = mem_alloc(sizeof *plan);

    printf("seed %llu\n", (unsigned long long)chance.state);
    for (int run = 0; run < 200; run++) {
        size_t count = 1 + chance_below(&chance, 300), authors = 1 + chance_below(&chance, 100);
        struct agent_channel channel = { .group_id = 1, .item_count = count };
        uint64_t next[101] = { 0 };
        channel.items = mem_zeroed(count, sizeof *channel.items);
        for (size_t i = 0; i < count; i++) {
            struct channel_item *item = &channel.items[i];
            uint64_t who = chance_below(&chance, authors + 1);
            item->position = 10 + 2 * i;
            put_u64(item->digest, i);
            if (who == 0)
                continue;
            item->peer_id = (int64_t)who;
            item->seq = ++next[who];
            item->wants = chance_below(&chance, 5) > 0;
            item->opened = chance_below(&chance, 9) > 0;
        }
        agent_channel_plan(plan, &channel);
        cr_assert_leq(plan->count, LIMIT_ACK_RECEIPTS);
        cr_assert_eq(plan->receipt[0].range.count, count);
        cr_assert_eq(plan->position, channel.items[count - 1].position);
        for (size_t r = 1; r < plan->count; r++) {
            struct planned_receipt *receipt = &plan->receipt[r];
            struct range_digest range;
            uint8_t want[32], got[32];
            range_begin(&range);
            for (size_t i = 0; i < count; i++) {
                const struct channel_item *item = &channel.items[i];
                if (item->peer_id != receipt->peer_id || item->seq < receipt->from
                    || item->seq > receipt->to)
                    continue;
                cr_assert(item->wants && item->opened);
                range_add(&range, item->digest);
            }
            range_end(&range, want);
            cr_assert_eq(receipt->range.count, receipt->to - receipt->from + 1);
            range_end(&receipt->range, got);
            cr_assert_arr_eq(got, want, 32);
        }
        free(channel.items);
    }
    free(plan);
}
