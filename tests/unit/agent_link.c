/* layers: agent_flow */
#include "agent/flow/link.h"

#include <criterion/criterion.h>

#include "tests/lib/lone_agent.h"

/* ------------------------------------------------------------------ the table */

#define NO 99

/* docs/protocol.md 8.1, every cell; columns in the order of enum link_event. */
static const unsigned want[STATE_REFUSED + 1][LINK_EVENT_COUNT] = {
    /*              START             CONNECTED       FAILED      REFUSE         GREETED ENROLLED
       WAIT        SYNCED    AGAIN           GONE        STOP */
    [STATE_DOWN] = { STATE_CONNECTING, NO, NO, STATE_REFUSED, NO, NO, NO, NO, NO, NO, NO },
    [STATE_CONNECTING]
    = { NO, STATE_GREETING, STATE_DOWN, STATE_REFUSED, NO, NO, NO, NO, NO, STATE_DOWN, STATE_DOWN },
    [STATE_GREETING] = { NO, NO, NO, STATE_REFUSED, STATE_SYNCING, STATE_DOWN, STATE_DOWN, NO,
                         STATE_GREETING, STATE_DOWN, STATE_DOWN },
    [STATE_SYNCING] = { NO, NO, NO, STATE_REFUSED, NO, NO, STATE_DOWN, STATE_UP, STATE_GREETING,
                        STATE_DOWN, STATE_DOWN },
    [STATE_UP]
    = { NO, NO, NO, STATE_REFUSED, NO, NO, STATE_DOWN, NO, STATE_GREETING, STATE_DOWN, STATE_DOWN },
    [STATE_REFUSED] = { STATE_CONNECTING, NO, NO, NO, NO, NO, NO, NO, NO, NO, STATE_DOWN },
};

Test(agent_link, every_cell_of_the_table)
{
    for (unsigned state = 0; state <= STATE_REFUSED; state++) {
        for (unsigned event = 0; event < LINK_EVENT_COUNT; event++) {
            enum link_state next = (enum link_state)NO;
            bool moved = agent_link_next((enum link_state)state, (enum link_event)event, &next);
            cr_expect_eq(moved, want[state][event] != NO, "%s, event %u",
                         agent_link_state_name((enum link_state)state), event);
            cr_expect_eq((unsigned)next, want[state][event], "%s, event %u",
                         agent_link_state_name((enum link_state)state), event);
        }
    }
}

/* ------------------------------------------------------------------ on a clock */

static struct agent_link link_of(struct lone *lone)
{
    struct agent_link link;

    agent_link_get(lone->agent, &link);
    return link;
}

static void lone_begin(struct lone *lone)
{
    lone_open(lone, 1);
    agent_go_online(lone->agent);
    lone_pass(lone, 0);
    cr_assert_eq(link_of(lone).state, STATE_CONNECTING);
    cr_assert_eq(lone->connects, 1);
}

Test(agent_link, nothing_happens_before_it_is_wanted)
{
    struct lone lone;

    lone_open(&lone, 1);
    lone_pass(&lone, 3600000);
    cr_expect_eq(lone.connects, 0);
    cr_expect_eq(link_of(&lone).state, STATE_DOWN);
    lone_close(&lone);
}

Test(agent_link, a_stopped_broker_is_found_out_within_a_second)
{
    struct lone lone;

    lone_begin(&lone);
    agent_disconnected(lone.agent, LINK_REFUSED);
    cr_expect_eq(link_of(&lone).state, STATE_DOWN);
    cr_expect_eq(link_of(&lone).failures, 1);
    lone_pass(&lone, 999);
    cr_expect_eq(lone.connects, 2);
    agent_disconnected(lone.agent, LINK_REFUSED);
    cr_expect_eq(link_of(&lone).failures, 2);
    cr_expect_eq(link_of(&lone).refusal, ERR_UNREACHABLE);
    cr_expect_not(link_of(&lone).reached);
    lone_close(&lone);
}

/* Waits are between nothing and 1, 2, 4 … 60 s. */
Test(agent_link, back_off_doubles_up_to_a_minute)
{
    struct lone lone;
    uint64_t longest = 0;

    lone_begin(&lone);
    for (unsigned attempt = 1; attempt <= 40; attempt++) {
        uint64_t before = lone.elapsed_ms, most = attempt < 7 ? 1000u << (attempt - 1) : 60000;
        agent_disconnected(lone.agent, LINK_REFUSED);
        lone_pass(&lone, agent_link_next_ms(lone.agent) - lone.elapsed_ms);
        cr_assert_eq(link_of(&lone).state, STATE_CONNECTING, "attempt %u", attempt);
        cr_expect_leq(lone.elapsed_ms - before, most + 100, "attempt %u", attempt);
        if (lone.elapsed_ms - before > longest)
            longest = lone.elapsed_ms - before;
    }
    cr_expect_geq(longest, 30000, "the jitter reaches far");
    agent_disconnected(lone.agent, LINK_REFUSED);
    agent_link_hurry(lone.agent);
    lone_pass(&lone, 0);
    cr_expect_eq(link_of(&lone).state, STATE_CONNECTING, "a waiting program ends the wait");
    cr_expect_eq(link_of(&lone).failures, 0);
    lone_close(&lone);
}

Test(agent_link, a_handshake_that_does_not_come_about)
{
    struct lone lone;

    lone_begin(&lone);
    lone_pass(&lone, 4999);
    cr_expect_eq(link_of(&lone).state, STATE_CONNECTING);
    lone_pass(&lone, 1);
    cr_expect_eq(link_of(&lone).state, STATE_DOWN);
    cr_expect_eq(lone.disconnects, 1, "the socket is destroyed");
    lone_close(&lone);
}

Test(agent_link, an_invite_that_is_over)
{
    struct lone lone;

    lone_begin(&lone);
    agent_disconnected(lone.agent, LINK_KEY_REFUSED);
    cr_expect_eq(link_of(&lone).state, STATE_REFUSED);
    cr_expect_eq(link_of(&lone).refusal, ERR_TOKEN);
    lone_pass(&lone, 59999);
    cr_expect_eq(lone.connects, 1);
    lone_pass(&lone, 1);
    cr_expect_eq(lone.connects, 2, "again every minute");
    lone_close(&lone);
}

static void answer_error(struct lone *lone, size_t to, enum err e, uint64_t after_ms)
{
    struct message message = message_error(&lone->sent[to].message, e);

    if (after_ms)
        MESSAGE_SET(&message, after_ms, after_ms);
    lone_hear(lone, &message, NULL, 0);
}

Test(agent_link, approval_is_asked_for_again)
{
    struct lone lone;

    lone_begin(&lone);
    agent_connected(lone.agent);
    cr_assert_eq(lone_find(&lone, VERB_ENROL, 0), 0);
    answer_error(&lone, 0, ERR_PENDING_APPROVAL, 30000);
    cr_expect(link_of(&lone).pending_approval);
    cr_expect(link_of(&lone).reached);
    cr_expect_eq(link_of(&lone).state, STATE_GREETING);
    lone_forget(&lone);
    for (int second = 0; second < 29; second++) { /* PINGs are answered */
        size_t ping;
        lone_pass(&lone, 1000);
        if ((ping = lone_find(&lone, VERB_PING, 0)) != LONE_MAX) {
            struct message pong = message_reply(&lone.sent[ping].message);
            MESSAGE_SET(&pong, ts, lone.now_ms);
            lone_hear(&lone, &pong, NULL, 0);
            lone_forget(&lone);
        }
    }
    cr_expect_eq(lone_find(&lone, VERB_ENROL, 0), LONE_MAX);
    lone_pass(&lone, 1500);
    cr_expect_neq(lone_find(&lone, VERB_ENROL, 0), LONE_MAX, "the same card again after 30 s");
    lone_close(&lone);
}

Test(agent_link, enrolment_refused)
{
    static const enum err refusals[]
        = { ERR_TOKEN, ERR_NAME_TAKEN, ERR_FORBIDDEN, ERR_STALE_TS, ERR_CERT_REVOKED, ERR_VERSION };

    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        struct lone lone;
        lone_begin(&lone);
        agent_connected(lone.agent);
        answer_error(&lone, 0, refusals[i], 0);
        cr_expect_eq(link_of(&lone).state, STATE_REFUSED, "%s", err_name(refusals[i]));
        cr_expect_eq(link_of(&lone).refusal, refusals[i], "%s", err_name(refusals[i]));
        lone_close(&lone);
    }
}

Test(agent_link, silence_is_asked_and_then_believed)
{
    struct lone lone;

    lone_begin(&lone);
    agent_connected(lone.agent);
    answer_error(&lone, 0, ERR_PENDING_APPROVAL, 3600000);
    lone_forget(&lone);
    lone_pass(&lone, 14999);
    cr_expect_eq(lone.sent_count, 0);
    lone_pass(&lone, 1);
    cr_expect_neq(lone_find(&lone, VERB_PING, 0), LONE_MAX, "after 15 s");
    lone_pass(&lone, 29999);
    cr_expect_eq(link_of(&lone).state, STATE_GREETING);
    lone_pass(&lone, 1);
    cr_expect_eq(link_of(&lone).state, STATE_DOWN, "after 45 s");
    lone_close(&lone);
}

/* A full socket: whoever wanted to say something tries again. */
Test(agent_link, a_full_socket)
{
    struct lone lone;

    lone_begin(&lone);
    lone.full = true;
    agent_connected(lone.agent);
    cr_expect_eq(lone.sent_count, 0);
    lone.full = false;
    lone_pass(&lone, 60000);
    cr_expect_neq(lone_find(&lone, VERB_ENROL, 0), LONE_MAX);
    lone_close(&lone);
}
