/* layers: agent_flow */
#include "agent/flow/outgoing.h"

#include <criterion/criterion.h>

#include "agent/flow/chain.h"
#include "agent/flow/sync.h"
#include "agent/store/alarms.h"
#include "agent/store/scopes.h"
#include "shared/wire/limit.h"
#include "tests/lib/lone_agent.h"
#include "tests/lib/pair.h"

#define FIRST 2 /* the request was frame 1 */

struct line {
    struct lone lone;
    struct pair pair;
    int64_t peer_id, scope_id;
};

/* An agent that is up, with one active session whose frame 1 is settled. */
static void line_open(struct line *line)
{
    struct lone *lone = &line->lone;
    struct profile_session session = { .state = SESSION_ACTIVE,
                                       .mode = MODE_MAILBOX,
                                       .suite = SUITE_CHACHA,
                                       .opened_ms = LONE_NOW,
                                       .due_ms = LONE_NOW + LIMIT_SESSION_LIFE_MS };
    struct agent_store *store;
    uint8_t hash[32] = { 1 };

    lone_open(lone, 7);
    pair_prepare(&line->pair, 7, SUITE_CHACHA);
    cr_assert_eq(pair_initiate(&line->pair), ERR_OK);
    store = lone->agent->store;
    agent_store_begin(store);
    line->peer_id = profile_peer_add(store, line->pair.b.aid, "bob", LONE_NOW);
    profile_peer_learn(store, line->peer_id, line->pair.b.dk, 1, hash, bytes_of("c", 1));
    line->scope_id = profile_scope_add(store, line->pair.sid);
    session.session_id = line->scope_id;
    session.peer_id = line->peer_id;
    profile_session_add(store, &session, &line->pair.a.ratchet);
    profile_scope_take_seq(store, line->scope_id, 1);
    profile_scope_receipted(store, line->scope_id, 1);
    cr_assert_eq(agent_store_commit(store), ERR_OK);
    lone->agent->link.state = STATE_UP;
    lone->agent->synced = true;
    lone->agent->link.open = true;
    lone->agent->link.heard_ms = lone->elapsed_ms;
    lone->agent->me.row.enrolled = true;
    lone->agent->me.certificate_renew_ms = UINT64_MAX;
    lone->agent->log_due_ms = UINT64_MAX;
    agent_sender_synced(lone->agent, line->scope_id, 1);
}

static void line_close(struct line *line)
{
    lone_close(&line->lone);
}

static enum err say(struct line *line)
{
    struct send_request request = { .body = bytes_of_text("hello") };
    uint8_t id[16];

    memcpy(request.to, line->pair.b.aid, 32);
    return agent_send(line->lone.agent, &request, id);
}

static void say_times(struct line *line, unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        cr_assert_eq(say(line), ERR_OK);
}

/* The numbers in the kept SENDs, one after the other; 0 ends them. */
static void numbers_sent(const struct line *line, uint64_t *out, size_t max)
{
    size_t count = 0;

    for (size_t i = 0; i < line->lone.sent_count; i++) {
        const struct lone_sent *sent = &line->lone.sent[i];
        size_t at = 0;
        if (sent->message.verb != VERB_SEND)
            continue;
        for (size_t p = 0; p < sent->part_count && count + 1 < max; p++) {
            struct frame_view view;
            cr_assert_eq(frame_parse(bytes_of(sent->parts.at + at, sent->part_len[p]), &view),
                         ERR_OK);
            out[count++] = view.seq;
            at += sent->part_len[p];
        }
    }
    out[count] = 0;
}

static void expect_sent(const struct line *line, const uint64_t *want, const char *what)
{
    uint64_t got[LONE_MAX];

    numbers_sent(line, got, LONE_MAX);
    for (size_t i = 0;; i++) {
        cr_expect_eq(got[i], want[i], "%s: frame %zu is number %llu, not %llu", what, i,
                     (unsigned long long)got[i], (unsigned long long)want[i]);
        if (got[i] != want[i] || want[i] == 0)
            return;
    }
}

#define SENT(line, what, ...) expect_sent(line, (const uint64_t[]){ __VA_ARGS__ }, what)

/* Answers the n-th kept SEND: `statuses` for its frames, and how far the broker is. */
static void answer(struct line *line, size_t n, const uint64_t *statuses, uint64_t stored,
                   uint64_t after_ms)
{
    struct lone *lone = &line->lone;
    struct list_maker status = { 0 }, stored_list = { 0 };
    struct message reply;
    size_t at = LONE_MAX;

    for (size_t i = 0, seen = 0; i < lone->sent_count && at == LONE_MAX; i++)
        if (lone->sent[i].message.verb == VERB_SEND && seen++ == n)
            at = i;
    cr_assert_neq(at, LONE_MAX);
    reply = message_reply(&lone->sent[at].message);
    for (size_t i = 0; i < lone->sent[at].part_count; i++)
        list_add_status(&status, statuses[i]);
    list_add_stored(&stored_list, &(struct wire_stored){ line->pair.sid, stored });
    MESSAGE_SET(&reply, status, list_of(&status));
    MESSAGE_SET(&reply, stored, list_of(&stored_list));
    if (after_ms)
        MESSAGE_SET(&reply, after_ms, after_ms);
    lone_hear(lone, &reply, NULL, 0);
    list_free(&status);
    list_free(&stored_list);
}

#define STATUSES(...) ((const uint64_t[]){ __VA_ARGS__ })

static struct profile_out row_at(struct line *line, uint64_t seq)
{
    struct profile_out row = { 0 };

    profile_out_at(line->lone.agent->store, line->scope_id, seq, &row);
    return row;
}

/* ------------------------------------------------------------------ the window */

Test(agent_outgoing, each_message_leaves_at_once)
{
    struct line line;

    line_open(&line);
    say_times(&line, 3);
    SENT(&line, "one by one", 2, 3, 4, 0);
    answer(&line, 0, STATUSES(0), 2, 0);
    cr_expect_eq(row_at(&line, 2).state, OUTBOX_ACCEPTED);
    cr_expect_eq(row_at(&line, 3).state, OUTBOX_SEALED);
    line_close(&line);
}

Test(agent_outgoing, sixteen_may_be_unanswered_then_a_batch_follows)
{
    struct line line;
    uint64_t all[LONE_MAX] = { 0 };

    line_open(&line);
    say_times(&line, 40);
    for (unsigned i = 0; i < 16; i++)
        all[i] = FIRST + i;
    expect_sent(&line, all, "the window");
    lone_forget(&line.lone);
    {
        struct message reply = { .verb = VERB_SEND, .reply = true, .rid = 1 };
        struct list_maker status = { 0 }, stored = { 0 };
        list_add_status(&status, 0);
        list_add_stored(&stored, &(struct wire_stored){ line.pair.sid, FIRST });
        MESSAGE_SET(&reply, status, list_of(&status));
        MESSAGE_SET(&reply, stored, list_of(&stored));
        lone_hear(&line.lone, &reply, NULL, 0);
        list_free(&status);
        list_free(&stored);
    }
    cr_expect_eq(lone_find(&line.lone, VERB_SEND, 0), 0);
    cr_expect_eq(line.lone.sent[0].part_count, 24, "all that waited, in one message");
    line_close(&line);
}

Test(agent_outgoing, a_full_socket_takes_nothing_away)
{
    struct line line;

    line_open(&line);
    line.lone.full = true;
    say_times(&line, 3);
    line.lone.full = false;
    SENT(&line, "nothing yet", 0);
    lone_pass(&line.lone, 100);
    SENT(&line, "afterwards in order", 2, 3, 4, 0);
    line_close(&line);
}

Test(agent_outgoing, no_more_than_500_beyond_the_last_receipt)
{
    struct line line;
    struct profile_scope scope;
    struct profile_out row;

    line_open(&line);
    line.lone.agent->link.state = STATE_DOWN;
    say_times(&line, 510);
    cr_assert(profile_scope_get(line.lone.agent->store, line.scope_id, &scope));
    cr_expect_eq(scope.next_seq - 1 - scope.receipted_seq, LIMIT_SEALED_AHEAD);
    cr_expect(profile_out_next_queued(line.lone.agent->store, line.peer_id, 0, &row));
    cr_expect_eq(row.seq, 0, "the rest has no number");
    line_close(&line);
}

/* ------------------------------------------------------------------ refusals: the rewind */

Test(agent_outgoing, a_refused_frame_is_sent_again_with_all_behind_it)
{
    struct line line;

    line_open(&line);
    say_times(&line, 4);
    answer(&line, 0, STATUSES(0), 2, 0);
    answer(&line, 1, STATUSES(ERR_RATE), 2, 3000);
    answer(&line, 2, STATUSES(ERR_SEQ_GAP), 2, 0);
    lone_forget(&line.lone);
    lone_pass(&line.lone, 2999);
    SENT(&line, "one is still on its way", 0);
    line_close(&line);
}

Test(agent_outgoing, T43_the_rewind_waits_for_what_is_on_the_way)
{
    struct line line;

    line_open(&line);
    say_times(&line, 4);
    answer(&line, 0, STATUSES(0), 2, 0);
    answer(&line, 1, STATUSES(ERR_RATE), 2, 3000);
    answer(&line, 2, STATUSES(ERR_SEQ_GAP), 2, 0);
    answer(&line, 3, STATUSES(ERR_SEQ_GAP), 2, 0);
    lone_forget(&line.lone);
    lone_pass(&line.lone, 2900);
    SENT(&line, "not before the broker says", 0);
    lone_pass(&line.lone, 1000);
    SENT(&line, "from the lowest unaccepted on", 3, 4, 5, 0);
    cr_expect_eq(row_at(&line, 3).tries, 1);
    line_close(&line);
}

Test(agent_outgoing, T42_gaps_alone_are_filled_at_once)
{
    struct line line;

    line_open(&line);
    say_times(&line, 3);
    answer(&line, 1, STATUSES(ERR_SEQ_GAP), 1, 0); /* overtaken */
    answer(&line, 2, STATUSES(ERR_SEQ_GAP), 1, 0);
    lone_forget(&line.lone);
    SENT(&line, "number 2 is on its way", 0);
    line_close(&line);

    line_open(&line);
    say_times(&line, 3);
    answer(&line, 1, STATUSES(ERR_SEQ_GAP), 1, 0);
    answer(&line, 0, STATUSES(0), 2, 0);
    answer(&line, 2, STATUSES(ERR_SEQ_GAP), 2, 0);
    {
        uint64_t got[LONE_MAX];
        numbers_sent(&line, got, LONE_MAX);
        cr_expect_eq(got[3], 3, "at once, behind what has grown");
        cr_expect_eq(got[4], 4);
        cr_expect_eq(got[5], 0);
    }
    line_close(&line);
}

Test(agent_outgoing, a_broker_that_is_busy)
{
    struct line line;
    struct message error;

    line_open(&line);
    say_times(&line, 1);
    error = message_error(&line.lone.sent[0].message, ERR_BUSY);
    MESSAGE_SET(&error, after_ms, 1000);
    lone_hear(&line.lone, &error, NULL, 0);
    lone_forget(&line.lone);
    lone_pass(&line.lone, 999);
    SENT(&line, "patience", 0);
    lone_pass(&line.lone, 600);
    SENT(&line, "the same again", 2, 0);
    line_close(&line);
}

Test(agent_outgoing, duplicates_are_accepted)
{
    struct line line;

    line_open(&line);
    say_times(&line, 1);
    answer(&line, 0, STATUSES(ERR_DUPLICATE), 2, 0);
    cr_expect_eq(row_at(&line, 2).state, OUTBOX_ACCEPTED);
    line_close(&line);
}

Test(agent_outgoing, a_tombstone_is_a_dead_letter_and_its_number_is_used)
{
    struct line line;
    struct profile_scope scope;

    line_open(&line);
    say_times(&line, 2);
    answer(&line, 0, STATUSES(ERR_TOMBSTONE), 2, 0);
    cr_expect_eq(row_at(&line, 2).outbox_id, 0);
    cr_assert(profile_scope_get(line.lone.agent->store, line.scope_id, &scope));
    cr_expect_eq(scope.receipted_seq, 2);
    answer(&line, 1, STATUSES(0), 3, 0);
    cr_expect_eq(row_at(&line, 3).state, OUTBOX_ACCEPTED);
    line_close(&line);
}

/* P5: the number is taken by other bytes, so this profile is a copy or an old one. */
Test(agent_outgoing, another_content_under_my_number_freezes_the_session)
{
    struct line line;
    struct profile_session session;
    struct profile_alarm alarm;

    line_open(&line);
    say_times(&line, 2);
    answer(&line, 0, STATUSES(ERR_SEQ_CONFLICT), 2, 0);
    cr_assert(profile_session_get(line.lone.agent->store, line.scope_id, &session));
    cr_expect_eq(session.state, SESSION_BROKEN);
    cr_expect_eq(profile_alarms(line.lone.agent->store, &alarm, 1), 1);
    cr_expect_str_eq(alarm.code, "profile_restored");
    cr_expect_eq(row_at(&line, 2).outbox_id, 0,
                 "nothing of it is left to be sent under that number");
    line_close(&line);
}

Test(agent_outgoing, a_statement_of_settled_numbers_that_is_refused_stops_nothing)
{
    struct line line;
    struct agent *agent;
    struct message error;
    size_t at;

    line_open(&line);
    agent = line.lone.agent;
    agent_store_begin(agent->store);
    agent_sync_advance(agent, agent_sender_of(agent, line.scope_id), 1, 1);
    cr_assert_eq(agent_store_commit(agent->store), ERR_OK);
    at = lone_find(&line.lone, VERB_SYNC, 0);
    cr_assert_lt(at, LONE_MAX);
    error = message_error(&line.lone.sent[at].message, ERR_BUSY);
    lone_hear(&line.lone, &error, NULL, 0);
    cr_assert_eq(agent->link.state, STATE_GREETING, "it begins again");
    agent->link.state = STATE_UP;
    agent_sender_synced(agent, line.scope_id, 1);
    say_times(&line, 1);
    SENT(&line, "and goes on", 2, 0);
    line_close(&line);
}

/* ------------------------------------------------------------------ time */

Test(agent_outgoing, T44_ten_minutes_after_its_end_a_frame_goes_as_a_stub)
{
    struct line line;

    line_open(&line);
    line.lone.agent->settings.ttl_ms = 60000;
    line.lone.agent->link.state = STATE_DOWN;
    say_times(&line, 1);
    line.lone.now_ms += 60000 + 600001;
    line.lone.elapsed_ms += 60000 + 600001;
    line.lone.agent->link.state = STATE_UP;
    line.lone.agent->link.heard_ms = line.lone.elapsed_ms;
    agent_tick(line.lone.agent);
    cr_assert_neq(lone_find(&line.lone, VERB_SEND, 0), LONE_MAX);
    cr_expect_eq(line.lone.sent[lone_find(&line.lone, VERB_SEND, 0)].part_len[0],
                 FRAME_STUB_SESSION);
    line_close(&line);
}

Test(agent_outgoing, what_expires_in_the_queue_never_had_a_number)
{
    struct line line;
    struct agent_counts counts;
    struct profile_scope scope;

    line_open(&line);
    line.lone.agent->settings.ttl_ms = 60000;
    line.lone.agent->link.state = STATE_DOWN;
    agent_store_begin(line.lone.agent->store);
    profile_session_move(line.lone.agent->store, line.scope_id, SESSION_ASKED,
                         UINT32_MAX * 1000ull);
    cr_assert_eq(agent_store_commit(line.lone.agent->store), ERR_OK);
    say_times(&line, 2);
    lone_pass(&line.lone, 200000);
    cr_assert_eq(agent_counts_get(line.lone.agent, &counts), ERR_OK);
    cr_expect_eq(counts.dead, 2);
    cr_assert(profile_scope_get(line.lone.agent->store, line.scope_id, &scope));
    cr_expect_eq(scope.next_seq, FIRST);
    line_close(&line);
}

/* ------------------------------------------------------------------ what may be sent */

Test(agent_outgoing, refused_before_anything_is_queued)
{
    struct line line;
    struct send_request request = { .body = bytes_of_text("x") };
    struct profile_peer peer;
    uint8_t id[16], large[61441] = { 0 };

    line_open(&line);
    memset(request.to, 9, 32);
    cr_expect_eq(agent_send(line.lone.agent, &request, id), ERR_UNKNOWN_AGENT);
    memcpy(request.to, line.lone.agent->me.row.id, 32);
    cr_expect_eq(agent_send(line.lone.agent, &request, id), ERR_FORBIDDEN);
    memcpy(request.to, line.pair.b.aid, 32);
    request.body = bytes_of(large, sizeof large);
    cr_expect_eq(agent_send(line.lone.agent, &request, id), ERR_TOO_LARGE);
    request.body.len--;
    cr_expect_eq(agent_send(line.lone.agent, &request, id), ERR_OK);
    agent_store_begin(line.lone.agent->store);
    profile_peer_get(line.lone.agent->store, line.peer_id, &peer);
    profile_peer_pin(line.lone.agent->store, &peer, PIN_BLOCKED, "test", LONE_NOW);
    cr_assert_eq(agent_store_commit(line.lone.agent->store), ERR_OK);
    cr_expect_eq(agent_send(line.lone.agent, &request, id), ERR_BLOCKED);
    line_close(&line);
}

Test(agent_outgoing, an_id_of_the_callers_own_is_used_once)
{
    struct line line;
    struct send_request request = { .body = bytes_of_text("x"), .has_id = true, .id = { 5 } };
    struct agent_counts counts;
    uint8_t id[16];

    line_open(&line);
    memcpy(request.to, line.pair.b.aid, 32);
    cr_expect_eq(agent_send(line.lone.agent, &request, id), ERR_OK);
    cr_expect_eq(agent_send(line.lone.agent, &request, id), ERR_OK);
    cr_expect_arr_eq(id, request.id, 16);
    cr_assert_eq(agent_counts_get(line.lone.agent, &counts), ERR_OK);
    cr_expect_eq(counts.queued, 1);
    line_close(&line);
}

/* ------------------------------------------------------------------ requests */

#define REQUESTS 3

/* A session that was asked for and whose REQUEST has not been answered; its number. */
static int64_t ask_for_session(struct line *line, uint8_t number)
{
    struct agent *agent = line->lone.agent;
    struct profile_session session = { .state = SESSION_ASKED,
                                       .mode = MODE_MAILBOX,
                                       .suite = SUITE_CHACHA,
                                       .id = { 0xa0, number },
                                       .opened_ms = LONE_NOW,
                                       .due_ms = LONE_NOW + LIMIT_REQUEST_LIFE_MS };
    struct profile_out row = { .msg_id = { 0xb0, number },
                               .kind = ENVELOPE_INTRO,
                               .created_ms = LONE_NOW,
                               .expires_ms = LONE_NOW + LIMIT_REQUEST_LIFE_MS };
    const char name[] = { 'p', (char)('0' + number), '\0' };
    uint8_t aid[32] = { 0xc0, number }, digest[32] = { number };

    row.peer_id = session.peer_id = profile_peer_add(agent->store, aid, name, LONE_NOW);
    session.session_id = profile_scope_add(agent->store, session.id);
    profile_session_add(agent->store, &session, &line->pair.a.ratchet);
    row.outbox_id = profile_out_add(agent->store, &row, bytes_of_text("message"));
    profile_scope_take_seq(agent->store, session.session_id, 1);
    profile_out_seal(agent->store, row.outbox_id, session.session_id, 1, bytes_of_text("frame"),
                     digest, LONE_NOW);
    agent_chain_append(agent, &session, EVENT_OPENED, aid, bytes_of_text("opened"));
    return session.session_id;
}

static size_t requests_sent(const struct line *line)
{
    size_t count = 0;

    for (size_t i = 0; i < line->lone.sent_count; i++)
        count += line->lone.sent[i].message.verb == VERB_REQUEST;
    return count;
}

static void open_requests(struct line *line, int64_t *ids)
{
    line_open(line);
    agent_store_begin(line->lone.agent->store);
    for (uint8_t i = 0; i < REQUESTS; i++)
        ids[i] = ask_for_session(line, i);
    cr_assert_eq(agent_store_commit(line->lone.agent->store), ERR_OK);
    line->lone.agent->look_requests = true;
    agent_tick(line->lone.agent);
    cr_assert_eq(requests_sent(line), REQUESTS);
}

static void refuse_request(struct line *line, size_t n, uint64_t after_ms)
{
    size_t at = lone_find(&line->lone, VERB_REQUEST, 0);
    struct message error;

    while (n-- > 0)
        at = lone_find(&line->lone, VERB_REQUEST, at + 1);
    cr_assert_lt(at, LONE_MAX);
    error = message_error(&line->lone.sent[at].message, ERR_RATE);
    MESSAGE_SET(&error, after_ms, after_ms);
    lone_hear(&line->lone, &error, NULL, 0);
}

Test(agent_outgoing, every_request_that_was_refused_for_a_while_is_tried_again)
{
    static const uint64_t pauses[REQUESTS] = { 1000, 10000, 20000 };
    struct line line;
    int64_t ids[REQUESTS];
    struct profile_out row;

    open_requests(&line, ids);
    for (size_t i = 0; i < REQUESTS; i++)
        refuse_request(&line, i, pauses[i]);
    lone_forget(&line.lone);
    for (size_t i = 0; i < REQUESTS; i++) {
        lone_pass(&line.lone, pauses[i] - (i ? pauses[i - 1] : 0) + 2500);
        cr_expect_eq(requests_sent(&line), i + 1, "%zu sent after pause %zu", requests_sent(&line),
                     i);
        cr_assert(profile_out_at(line.lone.agent->store, ids[i], 1, &row));
        cr_expect_eq(row.tries, 1);
    }
    line_close(&line);
}

Test(agent_outgoing, a_clock_that_was_put_back_does_not_hold_a_request_up)
{
    struct line line;
    int64_t ids[REQUESTS];

    open_requests(&line, ids);
    for (size_t i = 0; i < REQUESTS; i++)
        refuse_request(&line, i, 1000);
    lone_forget(&line.lone);
    line.lone.now_ms -= 86400000;
    lone_pass(&line.lone, 5000);
    cr_expect_eq(requests_sent(&line), REQUESTS, "only %zu", requests_sent(&line));
    line_close(&line);
}
