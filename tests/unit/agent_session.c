/* layers: agent_flow */
/* The chain of a session between me and a peer, and a broker that answers with whatever it likes.
 */
#include "agent/flow/session.h"

#include <criterion/criterion.h>

#include "agent/crypto/sign.h"
#include "agent/flow/chain.h"
#include "agent/flow/sync.h"
#include "agent/store/scopes.h"
#include "shared/trust/init0.h"
#include "shared/wire/limit.h"
#include "tests/lib/lone_agent.h"

struct bench {
    struct lone lone;
    struct agent *agent;
    uint8_t peer_aid[32], peer_sk[SIGN_SECRET_SIZE], stranger_sk[SIGN_SECRET_SIZE];
    struct profile_peer peer;
};

/* An event as the wire has it, with what it points to. */
struct said {
    uint8_t preimage[EVENT_SIZE], sig[64], body[EVENT_BODY_MAX];
    size_t body_len;
    struct event event;
};

static void bench_open(struct bench *bench)
{
    uint8_t seed[SIGN_SEED_SIZE], key[32], hash[32] = { 1 };
    int64_t peer_id;

    memset(bench, 0, sizeof *bench);
    lone_open(&bench->lone, 11);
    bench->agent = bench->lone.agent;
    lone_random(&bench->lone, seed, sizeof seed);
    sign_key_of_seed(key, bench->stranger_sk, seed);
    lone_random(&bench->lone, seed, sizeof seed);
    sign_key_of_seed(key, bench->peer_sk, seed);
    lone_random(&bench->lone, bench->peer_aid, 32);
    agent_store_begin(bench->agent->store);
    peer_id = profile_peer_add(bench->agent->store, bench->peer_aid, "bob", LONE_NOW);
    profile_peer_learn(bench->agent->store, peer_id, key, 1, hash, bytes_of("c", 1));
    cr_assert(profile_peer_get(bench->agent->store, peer_id, &bench->peer));
    cr_assert_eq(agent_store_commit(bench->agent->store), ERR_OK);
    bench->agent->link.state = STATE_UP;
    bench->agent->synced = true;
    bench->agent->link.open = true;
    bench->agent->link.heard_ms = bench->lone.elapsed_ms;
    bench->agent->me.row.enrolled = true;
    bench->agent->me.certificate_renew_ms = UINT64_MAX;
    bench->agent->log_due_ms = UINT64_MAX;
}

static void bench_close(struct bench *bench)
{
    lone_close(&bench->lone);
}

static void begin(struct bench *bench)
{
    agent_store_begin(bench->agent->store);
}

static void commit(struct bench *bench)
{
    cr_assert_eq(agent_store_commit(bench->agent->store), ERR_OK);
}

/* The body of OPENED, and the name that the session has from it. */
static void opened_by(const struct bench *bench, bool peer, uint8_t sid[static 16],
                      struct said *out)
{
    const uint8_t *me = bench->agent->me.row.id, none[32] = { 0 };
    struct init0 init = { .suite = SUITE_CHACHA, .mode = MODE_MAILBOX, .idle_s = 600 };
    struct buf init0 = { 0 }, body = { 0 };

    memcpy(init.aid_a, peer ? bench->peer_aid : me, 32);
    memcpy(init.aid_b, peer ? me : bench->peer_aid, 32);
    init.ts_ms = LONE_NOW;
    init.req_exp_ms = LONE_NOW + 1000;
    init0_encode(&init0, &init);
    init0_sid(sid, buf_bytes(&init0));
    opened_body_encode(&body, buf_bytes(&init0), none);
    cr_assert_leq(body.len, sizeof out->body);
    memcpy(out->body, body.at, body.len);
    out->body_len = body.len;
    buf_free(&init0);
    buf_free(&body);
}

/* Signed with `sk` as an event of the peer's towards me. */
static void peer_says(const struct bench *bench, const uint8_t sk[static SIGN_SECRET_SIZE],
                      enum event_type type, const uint8_t sid[static 16], uint64_t seq,
                      const uint8_t prev[static 32], struct said *out)
{
    out->event = (struct event){ .scope = SCOPE_SESSION, .type = type, .seq = seq };
    out->event.ts_ms = LONE_NOW;
    memcpy(out->event.id, sid, 16);
    memcpy(out->event.prev, prev, 32);
    memcpy(out->event.actor, bench->peer_aid, 32);
    memcpy(out->event.target, bench->agent->me.row.id, 32);
    event_body_hash(out->event.body_hash, bytes_of(out->body, out->body_len));
    event_encode(out->preimage, &out->event);
    sign(out->sig, sk, bytes_of(out->preimage, EVENT_SIZE));
}

static struct profile_session session_add(struct bench *bench, const uint8_t sid[static 16],
                                          enum session_stage state, uint8_t mode)
{
    struct profile_session session = { .peer_id = bench->peer.peer_id,
                                       .state = state,
                                       .mode = mode,
                                       .suite = SUITE_CHACHA,
                                       .opened_ms = LONE_NOW,
                                       .due_ms = LONE_NOW + LIMIT_SESSION_LIFE_MS };

    memcpy(session.id, sid, 16);
    session.session_id = profile_scope_add(bench->agent->store, sid);
    profile_session_add(bench->agent->store, &session, NULL);
    return session;
}

/* A request of mine that the broker has, and a CLOSED of mine that it does not. */
static struct profile_session taken_back(struct bench *bench, uint8_t head[static 32])
{
    struct said opened;
    struct profile_session session;
    struct profile_event first;
    uint8_t sid[16];

    opened_by(bench, false, sid, &opened);
    begin(bench);
    session = session_add(bench, sid, SESSION_ASKED, MODE_MAILBOX);
    agent_chain_append(bench->agent, &session, EVENT_OPENED, bench->peer_aid,
                       bytes_of(opened.body, opened.body_len));
    cr_assert_eq(profile_events(bench->agent->store, session.session_id, 0, &first, 1), 1);
    memcpy(head, first.digest, 32);
    agent_session_close(bench->agent, &session, SESSION_CLOSED, CLOSED_DONE);
    commit(bench);
    return session;
}

static uint8_t type_at(const struct bench *bench, int64_t scope_id, uint64_t seq)
{
    struct profile_event row;
    struct event event;

    if (profile_events(bench->agent->store, scope_id, seq, &row, 1) != 1 || row.seq != seq
        || event_parse(bytes_of(row.preimage, EVENT_SIZE), &event) != ERR_OK)
        return 0;
    return event.type;
}

static void conflict(struct bench *bench, size_t n, const struct said *said)
{
    struct message error = message_error(&bench->lone.sent[n].message, ERR_CONFLICT);
    struct list_maker events = { 0 };

    list_add_event(&events, &(struct wire_event){ said->preimage, said->sig,
                                                  bytes_of(said->body, said->body_len) });
    MESSAGE_SET(&error, events, list_of(&events));
    lone_hear(&bench->lone, &error, NULL, 0);
    list_free(&events);
}

/* ------------------------------------------------------------------ somebody was faster */

Test(agent_session, what_i_want_to_say_gives_way_to_what_the_peer_has_signed)
{
    struct bench bench;
    struct said said = { .body = { REJECTED_BY_PERSON }, .body_len = 1 };
    struct profile_session session;
    uint8_t head[32];

    bench_open(&bench);
    session = taken_back(&bench, head);
    cr_assert_eq(type_at(&bench, session.session_id, 1), EVENT_CLOSED);
    agent_tick(bench.agent);
    cr_assert_eq(lone_find(&bench.lone, VERB_EVENT, 0), 0);
    peer_says(&bench, bench.peer_sk, EVENT_REJECTED, session.id, 1, head, &said);
    conflict(&bench, 0, &said);
    cr_expect_eq(type_at(&bench, session.session_id, 1), EVENT_REJECTED);
    cr_expect_not(agent_chain_waits(bench.agent, session.session_id));
    bench_close(&bench);
}

Test(agent_session, what_i_want_to_say_is_not_given_up_for_a_forged_event)
{
    struct bench bench;
    struct said said = { .body = { REJECTED_BY_PERSON }, .body_len = 1 };
    struct profile_session session;
    uint8_t head[32];

    bench_open(&bench);
    session = taken_back(&bench, head);
    agent_tick(bench.agent);
    cr_assert_eq(lone_find(&bench.lone, VERB_EVENT, 0), 0);
    peer_says(&bench, bench.stranger_sk, EVENT_REJECTED, session.id, 1, head, &said);
    conflict(&bench, 0, &said);
    cr_expect_eq(type_at(&bench, session.session_id, 1), EVENT_CLOSED, "mine is still there");
    cr_expect(agent_chain_waits(bench.agent, session.session_id));
    bench_close(&bench);
}

Test(agent_session, a_conflict_that_nothing_follows_from_is_not_asked_for_at_once_again)
{
    struct bench bench;
    struct said said = { .body = { REJECTED_BY_PERSON }, .body_len = 1 };
    struct profile_session session;
    uint8_t head[32];

    bench_open(&bench);
    session = taken_back(&bench, head);
    agent_tick(bench.agent);
    peer_says(&bench, bench.stranger_sk, EVENT_REJECTED, session.id, 1, head, &said);
    for (size_t n = 1, at = 0; n <= 3; n++) {
        at = lone_find(&bench.lone, VERB_EVENT, at);
        cr_assert_lt(at, LONE_MAX, "said %zu times", n - 1);
        conflict(&bench, at++, &said);
        cr_expect_eq(lone_find(&bench.lone, VERB_EVENT, at), LONE_MAX, "at once again");
        lone_pass(&bench.lone, 5000);
    }
    bench_close(&bench);
}

/* ------------------------------------------------------------------ a broker that was put back */

Test(agent_session, a_chain_that_could_not_be_compared_is_not_taken_as_compared)
{
    static const enum err busy[] = { ERR_BUSY, ERR_RATE, ERR_HELLO };
    static const uint8_t sid[16] = { 5 };

    for (size_t i = 0; i < sizeof busy / sizeof busy[0]; i++) {
        struct agent_asked asked = { .verb = VERB_EVENTS, .number = 1 };
        struct message error = { .verb = VERB_ERROR };
        struct bench bench;

        bench_open(&bench);
        begin(&bench);
        asked.scope_id = session_add(&bench, sid, SESSION_ACTIVE, MODE_MAILBOX).session_id;
        agent_sync_new_incarnation(bench.agent);
        bench.agent->link.new_incarnation = true;
        bench.agent->link.state = STATE_SYNCING;
        bench.agent->synced = false;
        bench.agent->sync_after = INT64_MAX;
        bench.agent->sync_groups = true;
        bench.agent->comparing = 1;
        agent_events_answer(bench.agent, &asked, busy[i], &error);
        commit(&bench);
        cr_expect(agent_sync_compares(bench.agent), "%s: it is to be compared", err_name(busy[i]));
        cr_expect_not(bench.agent->synced, "%s: and nothing is sealed before", err_name(busy[i]));
        bench_close(&bench);
    }
}

/* ------------------------------------------------------------------ a session that is not known */

static void adopt(struct bench *bench, const uint8_t sid[static 16], const struct said *said)
{
    struct agent_asked asked = { .verb = VERB_EVENTS };
    struct message answer = { .verb = VERB_EVENTS, .reply = true };
    struct list_maker events = { 0 };

    memcpy(asked.scope, sid, 16);
    memcpy(asked.aid, bench->peer_aid, 32);
    list_add_event(&events, &(struct wire_event){ said->preimage, said->sig,
                                                  bytes_of(said->body, said->body_len) });
    MESSAGE_SET(&answer, events, list_of(&events));
    begin(bench);
    agent_events_answer(bench->agent, &asked, ERR_OK, &answer);
    commit(bench);
    list_free(&events);
}

Test(agent_session, a_session_is_adopted_when_the_peer_has_signed_its_beginning)
{
    static const uint8_t none[32];
    struct bench bench;
    struct profile_scope scope;
    struct said opened;
    uint8_t sid[16], other[16] = { 7 };

    bench_open(&bench);
    opened_by(&bench, true, sid, &opened);
    peer_says(&bench, bench.stranger_sk, EVENT_OPENED, sid, 0, none, &opened);
    adopt(&bench, sid, &opened);
    cr_expect_not(profile_scope_find(bench.agent->store, sid, &scope), "not signed by the peer");
    peer_says(&bench, bench.peer_sk, EVENT_OPENED, other, 0, none, &opened);
    adopt(&bench, other, &opened);
    cr_expect_not(profile_scope_find(bench.agent->store, other, &scope), "not that session's");
    peer_says(&bench, bench.peer_sk, EVENT_OPENED, sid, 0, none, &opened);
    adopt(&bench, sid, &opened);
    cr_assert(profile_scope_find(bench.agent->store, sid, &scope));
    cr_expect_eq(type_at(&bench, scope.scope_id, 0), EVENT_OPENED);
    bench_close(&bench);
}
