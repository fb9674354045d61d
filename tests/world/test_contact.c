/* layers: testworld */
/* Contact and consent, and sessions with a life: between agents on the world's clock. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/world_internal.h"

#define MINUTES(n) ((uint64_t)(n)*60000)
#define HOURS(n)   MINUTES((n)*60)
#define DAYS(n)    HOURS((n)*24)

struct pair {
    struct world *world;
    struct world_agent *ann, *bob;
};

/* Two that share a circle, or bob knows nothing of ann. */
static struct pair meet(uint64_t seed, bool strangers)
{
    struct pair pair = { .world = world_new(seed) };

    pair.ann = world_join(pair.world, "ann", strangers ? NULL : "home");
    pair.bob = world_join(pair.world, "bob", "home");
    return pair;
}

static void ask(struct world_agent *from, struct world_agent *to, const char *words, bool live,
                uint8_t id[static 16])
{
    struct contact_request request = { .body = bytes_of_text(words), .live = live };

    memcpy(request.to, world_aid(to), 32);
    cr_assert_eq(agent_request(world_agent(from), &request, id), ERR_OK);
}

/* A word of introduction that the world's record knows. */
static void greet(struct world *world, struct world_agent *from, struct world_agent *to)
{
    uint8_t id[16];
    char words[200];

    snprintf(words, sizeof words, "1 from %s to %s ", from->name, to->name);
    ask(from, to, words, false, id);
    record_sent(world, id, from, to, 1);
}

static bool accept(struct world_agent *who, struct world_agent *asker, uint8_t sid[static 16])
{
    bool answered;

    cr_assert_eq(agent_accept(world_agent(who), world_aid(asker), &answered, sid), ERR_OK);
    return answered;
}

static enum err say(struct world_agent *from, struct world_agent *to, const uint8_t *session,
                    const char *words, uint8_t id[static 16])
{
    struct send_request request = { .body = bytes_of_text(words),
                                    .media_type = bytes_of_text("text/plain"),
                                    .session = session };

    memcpy(request.to, world_aid(to), 32);
    return agent_send(world_agent(from), &request, id);
}

static struct outgoing_info fate(struct world_agent *who, const uint8_t id[static 16])
{
    struct outgoing_info info;

    cr_assert_eq(agent_outgoing_get(world_agent(who), id, &info), ERR_OK);
    return info;
}

/* ------------------------------------------------------------------ what is there */

struct counted {
    unsigned in, out, live;
    uint8_t session[16];
    char body[64];
    uint64_t expires_ms;
};

static void count_request(void *ctx, const struct request_info *request)
{
    struct counted *counted = ctx;

    counted->in += request->incoming;
    counted->out += !request->incoming;
    counted->live += request->live;
    counted->expires_ms = request->expires_ms;
    memcpy(counted->session, request->session, 16);
    snprintf(counted->body, sizeof counted->body, "%.*s", (int)request->body.len,
             (const char *)request->body.at);
}

static struct counted requests(struct world_agent *who)
{
    struct counted counted = { 0 };

    cr_assert_eq(agent_requests_each(world_agent(who), count_request, &counted), ERR_OK);
    return counted;
}

struct tally {
    unsigned phase[PHASE_BROKEN + 1];
    unsigned live;
    char reason[32];
};

static void tally_session(void *ctx, const struct session_info *session)
{
    struct tally *tally = ctx;

    tally->phase[session->phase]++;
    tally->live += session->live && session->phase == PHASE_ACTIVE;
    snprintf(tally->reason, sizeof tally->reason, "%s", session->reason ? session->reason : "");
}

static struct tally sessions(struct world_agent *who)
{
    struct tally tally = { 0 };

    cr_assert_eq(agent_sessions_each(world_agent(who), NULL, true, tally_session, &tally), ERR_OK);
    return tally;
}

static void expect_phase(struct world_agent *who, const uint8_t sid[static 16],
                         enum session_phase phase, const char *reason)
{
    struct session_info info;

    cr_assert_eq(agent_session_get(world_agent(who), sid, &info), ERR_OK);
    cr_expect_eq(info.phase, phase, "%d, not %d", (int)info.phase, (int)phase);
    cr_expect_str_eq(info.reason ? info.reason : "", reason ? reason : "");
}

/* Unread mail: of the session, or with NULL of the mailbox. */
static unsigned unread(struct world_agent *who, const uint8_t *session)
{
    struct incoming_filter filter = { .unread = true, .session = session };
    struct incoming_info info;
    uint8_t seen[16][16];
    unsigned count = 0;

    while (count < 16
           && agent_take(world_agent(who), &filter, (const uint8_t(*)[16])seen, count, &info)
                  == ERR_OK)
        memcpy(seen[count++], info.id, 16);
    return count;
}

static void note_alarm(void *ctx, const struct alarm_info *alarm)
{
    (void)alarm;
    ++*(unsigned *)ctx;
}

static unsigned alarms(struct world_agent *who)
{
    unsigned count = 0;

    cr_assert_eq(agent_alarms_each(world_agent(who), note_alarm, &count), ERR_OK);
    return count;
}

/* ------------------------------------------------------------------ both at once */

/* Two that never met open sessions to each other at the same moment, under a bad link, in every
 * way there is to begin: mail flows both ways in the end. */
Test(contact, both_begin_at_once_200_times, .timeout = 600)
{
    const char *seeds = getenv("SEEDS"); /* fewer where a sanitizer makes each dear */
    uint64_t count = seeds ? 10 * strtoull(seeds, NULL, 10) : 200;

    for (uint64_t seed = 1; seed <= count; seed++) {
        struct pair pair = meet(1000 + seed, false);
        uint8_t id[16];

        world_weather(pair.world, world_storm);
        if (seed % 4 == 0)
            greet(pair.world, pair.ann, pair.bob);
        else if (seed % 4 == 1)
            ask(pair.ann, pair.bob, "", false, id);
        else
            cr_assert(world_send(pair.world, pair.ann, pair.bob, 40));
        if (seed % 2)
            ask(pair.bob, pair.ann, "", false, id);
        else
            cr_assert(world_send(pair.world, pair.bob, pair.ann, 40));
        world_pass(pair.world, world_random(pair.world, 5000));
        cr_assert(world_send(pair.world, pair.ann, pair.bob, 40));
        cr_assert(world_send(pair.world, pair.bob, pair.ann, 40));
        if (!world_run(pair.world, HOURS(2), world_all_delivered, NULL)) {
            world_explain(pair.world);
            cr_expect_fail("seed %" PRIu64, seed);
        }
        world_check(pair.world);
        cr_expect_eq(alarms(pair.ann) + alarms(pair.bob), 0, "seed %" PRIu64, seed);
        cr_expect_geq(sessions(pair.ann).phase[PHASE_ACTIVE], 1);
        world_free(&pair.world);
    }
}

/* ------------------------------------------------------------------ held, answered */

/* They are never online together. */
Test(contact, held_and_accepted_while_the_other_is_away)
{
    struct pair pair = meet(1, true);
    struct session_info info;
    uint8_t id[16], sid[16], more[16];

    world_stop(pair.world, pair.bob);
    ask(pair.ann, pair.bob, "I am ann", false, id);
    cr_expect_eq(agent_session_of(world_agent(pair.ann), id, &info), ERR_NOT_FOUND);
    world_pass(pair.world, 5000);
    cr_assert_eq(agent_session_of(world_agent(pair.ann), id, &info), ERR_OK);
    cr_expect_eq(info.phase, PHASE_ASKED);
    cr_expect_eq(requests(pair.ann).out, 1);
    cr_expect_eq(fate(pair.ann, id).state, OUT_STORED);
    cr_expect_eq(fate(pair.ann, id).waits_for, WAITS_FOR_CONSENT);
    cr_assert_eq(say(pair.ann, pair.bob, NULL, "and more", more), ERR_OK);
    cr_expect_eq(fate(pair.ann, more).waits_for, WAITS_FOR_CONSENT);
    world_stop(pair.world, pair.ann);

    world_start(pair.world, pair.bob);
    world_pass(pair.world, 5000);
    cr_expect_eq(requests(pair.bob).in, 1);
    cr_expect_str_eq(requests(pair.bob).body, "I am ann");
    cr_expect_eq(unread(pair.bob, NULL), 0, "shown before it was accepted");
    cr_assert(accept(pair.bob, pair.ann, sid));
    cr_expect_arr_eq(sid, info.id, 16);
    cr_expect_eq(requests(pair.bob).in, 0);
    cr_expect_eq(unread(pair.bob, NULL), 1);
    expect_phase(pair.bob, sid, PHASE_ACTIVE, NULL);
    world_pass(pair.world, 5000);
    world_stop(pair.world, pair.bob);

    world_start(pair.world, pair.ann);
    world_pass(pair.world, 5000);
    cr_expect_eq(fate(pair.ann, id).state, OUT_DELIVERED);
    cr_expect_eq(fate(pair.ann, more).state, OUT_STORED);
    expect_phase(pair.ann, sid, PHASE_ACTIVE, NULL);
    world_start(pair.world, pair.bob);
    world_pass(pair.world, 5000);
    cr_expect_eq(fate(pair.ann, more).state, OUT_DELIVERED);
    world_free(&pair.world);
}

/* Asked twice with nothing to say: once. */
Test(contact, asking_again_is_one_request)
{
    struct pair pair = meet(2, true);
    uint8_t first[16], again[16], sid[16];
    struct session_info info;

    ask(pair.ann, pair.bob, "", false, first);
    ask(pair.ann, pair.bob, "", false, again);
    cr_expect_arr_eq(first, again, 16);
    world_pass(pair.world, 5000);
    ask(pair.ann, pair.bob, "", false, again);
    cr_assert_eq(agent_session_of(world_agent(pair.ann), again, &info), ERR_OK);
    cr_expect_eq(info.phase, PHASE_ASKED);
    cr_expect_eq(requests(pair.bob).in, 1);
    accept(pair.bob, pair.ann, sid);
    world_pass(pair.world, 5000);
    ask(pair.ann, pair.bob, "", false, again);
    cr_expect_arr_eq(again, sid, 16);
    world_free(&pair.world);
}

Test(contact, rejected_is_told)
{
    struct pair pair = meet(3, true);
    uint8_t id[16], sid[16];
    bool answered;

    ask(pair.ann, pair.bob, "let me in", false, id);
    world_pass(pair.world, 5000);
    cr_assert_eq(agent_reject(world_agent(pair.bob), world_aid(pair.ann), false, &answered, sid),
                 ERR_OK);
    cr_expect(answered);
    expect_phase(pair.bob, sid, PHASE_REJECTED, "rejected");
    world_pass(pair.world, 5000);
    expect_phase(pair.ann, sid, PHASE_REJECTED, "rejected");
    cr_expect_eq(fate(pair.ann, id).state, OUT_REFUSED);
    cr_expect_str_eq(fate(pair.ann, id).reason, "rejected");
    cr_expect_eq(unread(pair.bob, NULL), 0);
    cr_expect_eq(agent_reject(world_agent(pair.bob), world_aid(pair.ann), false, &answered, sid),
                 ERR_NOT_FOUND);
    world_free(&pair.world);
}

/* Blocked: no word reaches the asker, who sees it stored and then over; accepting unblocks. */
Test(contact, blocked_is_silence)
{
    struct pair pair = meet(4, true);
    uint8_t id[16], later[16], sid[16];
    bool answered;

    ask(pair.ann, pair.bob, "let me in", false, id);
    world_pass(pair.world, 5000);
    cr_assert_eq(agent_reject(world_agent(pair.bob), world_aid(pair.ann), true, &answered, sid),
                 ERR_OK);
    cr_expect(answered);
    cr_expect_eq(say(pair.bob, pair.ann, NULL, "no", later), ERR_BLOCKED);
    world_pass(pair.world, DAYS(1));
    cr_expect_eq(fate(pair.ann, id).state, OUT_STORED);
    expect_phase(pair.ann, sid, PHASE_ASKED, NULL);
    world_pass(pair.world, DAYS(7));
    cr_expect_eq(fate(pair.ann, id).state, OUT_EXPIRED);

    cr_assert_eq(say(pair.ann, pair.bob, NULL, "again", later), ERR_OK);
    world_pass(pair.world, MINUTES(1));
    cr_expect_eq(requests(pair.bob).in, 0);
    cr_expect_eq(fate(pair.ann, later).state, OUT_STORED);
    cr_expect_not(accept(pair.bob, pair.ann, sid));
    world_pass(pair.world, MINUTES(1));
    cr_assert_eq(say(pair.ann, pair.bob, NULL, "at last", later), ERR_OK);
    world_pass(pair.world, MINUTES(1));
    cr_expect_eq(fate(pair.ann, later).state, OUT_DELIVERED);
    cr_expect_eq(unread(pair.bob, NULL), 1);
    world_free(&pair.world);
}

/* Of one whom we had accepted: what comes after that is settled without a word. */
Test(contact, an_accepted_peer_is_blocked)
{
    struct pair pair = meet(5, false);
    uint8_t id[16], sid[16];
    bool answered;

    cr_assert_eq(say(pair.ann, pair.bob, NULL, "hello", id), ERR_OK);
    world_pass(pair.world, MINUTES(1));
    cr_expect_eq(fate(pair.ann, id).state, OUT_DELIVERED);
    cr_assert_eq(agent_reject(world_agent(pair.bob), world_aid(pair.ann), true, &answered, sid),
                 ERR_OK);
    cr_expect_not(answered);
    cr_assert_eq(say(pair.ann, pair.bob, NULL, "are you there", id), ERR_OK);
    world_pass(pair.world, HOURS(1));
    cr_expect_eq(fate(pair.ann, id).state, OUT_STORED);
    cr_expect_eq(unread(pair.bob, NULL), 1);
    accept(pair.bob, pair.ann, sid);
    world_pass(pair.world, MINUTES(1));
    cr_assert_eq(say(pair.ann, pair.bob, NULL, "and now", id), ERR_OK);
    world_pass(pair.world, MINUTES(1));
    cr_expect_eq(fate(pair.ann, id).state, OUT_DELIVERED);
    world_free(&pair.world);
}

Test(contact, accepted_before_it_was_asked)
{
    struct pair pair = meet(6, true);
    uint8_t id[16], sid[16];

    cr_expect_not(accept(pair.bob, pair.ann, sid));
    ask(pair.ann, pair.bob, "hello", false, id);
    world_pass(pair.world, 5000);
    cr_expect_eq(fate(pair.ann, id).state, OUT_DELIVERED);
    cr_expect_eq(unread(pair.bob, NULL), 1);
    world_free(&pair.world);
}

Test(contact, a_request_that_nobody_answers_is_over)
{
    struct pair pair = meet(7, true);
    uint8_t id[16], sid[16];

    ask(pair.ann, pair.bob, "hello", false, id);
    world_pass(pair.world, DAYS(6));
    cr_expect_eq(requests(pair.bob).in, 1);
    world_pass(pair.world, DAYS(1) + MINUTES(10));
    cr_expect_eq(requests(pair.bob).in, 0);
    cr_expect_not(accept(pair.bob, pair.ann, sid));
    cr_expect_eq(fate(pair.ann, id).state, OUT_EXPIRED);
    cr_expect_eq(sessions(pair.ann).phase[PHASE_EXPIRED], 1);
    cr_expect_eq(sessions(pair.bob).phase[PHASE_EXPIRED], 1);
    cr_expect_str_eq(sessions(pair.bob).reason, "expired");
    world_free(&pair.world);
}

/* A broker that lets more through is no reason to hold more. */
Test(contact, a_hundred_requests_are_held)
{
    struct world *world = world_new(8);
    struct world_agent *bob, *asker[40];
    uint8_t id[16];
    unsigned rejected = 0;
    char name[16];

    world_settings(world)->requests = 1000;
    world_broker_stop(world);
    world_broker_start(world);
    bob = world_join(world, "bob", "home");
    for (unsigned i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "a%u", i);
        asker[i] = world_join(world, name, NULL);
    }
    for (unsigned i = 0; i < 40; i++)
        for (unsigned n = 0; n < 3; n++)
            ask(asker[i], bob, "me too", true, id);
    world_pass(world, MINUTES(2));
    cr_expect_eq(requests(bob).in, 100);
    for (unsigned i = 0; i < 40; i++)
        rejected += sessions(asker[i]).phase[PHASE_REJECTED];
    cr_expect_eq(rejected, 20);
    world_free(&world);
}

/* ------------------------------------------------------------------ live */

static void talk(struct pair *pair, uint8_t sid[static 16])
{
    uint8_t id[16];

    ask(pair->ann, pair->bob, "", true, id);
    world_pass(pair->world, 5000);
    cr_assert_eq(requests(pair->bob).live, 1, "held, though they share a circle");
    cr_assert(accept(pair->bob, pair->ann, sid));
    world_pass(pair->world, 5000);
    expect_phase(pair->ann, sid, PHASE_ACTIVE, NULL);
}

/* What is said in a live session stays there. */
Test(contact, live_words_stay_apart_from_mail)
{
    struct pair pair = meet(20, false);
    uint8_t sid[16], mail[16], word[16], other[16] = { 1 };
    struct agent_counts counts;

    cr_assert_eq(say(pair.ann, pair.bob, NULL, "mail", mail), ERR_OK);
    world_pass(pair.world, 5000);
    talk(&pair, sid);
    cr_assert_eq(say(pair.ann, pair.bob, sid, "word", word), ERR_OK);
    cr_assert_eq(say(pair.bob, pair.ann, sid, "word back", mail), ERR_OK);
    world_pass(pair.world, 5000);
    cr_expect_eq(fate(pair.ann, word).state, OUT_DELIVERED);
    cr_expect_arr_eq(fate(pair.ann, word).session, sid, 16);
    cr_expect_eq(unread(pair.bob, sid), 1);
    cr_expect_eq(unread(pair.bob, NULL), 1);
    cr_expect_eq(unread(pair.ann, NULL), 0);
    cr_assert_eq(agent_counts_get(world_agent(pair.bob), &counts), ERR_OK);
    cr_expect_eq(counts.unread, 1);
    cr_expect_eq(unread(pair.ann, sid), 1);
    cr_expect_eq(sessions(pair.ann).phase[PHASE_ACTIVE], 2);

    cr_expect_eq(say(pair.ann, pair.bob, other, "word", word), ERR_SESSION_NOT_FOUND);
    cr_assert_eq(say(pair.ann, pair.bob, NULL, "more mail", mail), ERR_OK);
    world_pass(pair.world, 5000);
    cr_expect_eq(unread(pair.bob, NULL), 2);
    cr_expect_eq(unread(pair.bob, sid), 1);

    cr_assert_eq(agent_close(world_agent(pair.ann), world_aid(pair.bob), sid, true), ERR_OK);
    expect_phase(pair.ann, sid, PHASE_CLOSED, "closed");
    cr_expect_eq(say(pair.ann, pair.bob, sid, "too late", word), ERR_STATE);
    world_pass(pair.world, 5000);
    expect_phase(pair.bob, sid, PHASE_CLOSED, "closed");
    cr_expect_eq(sessions(pair.ann).phase[PHASE_ACTIVE], 1, "the mail's goes on");
    cr_expect_eq(unread(pair.bob, NULL), 3, "what nobody took is mail now");
    cr_assert_eq(say(pair.ann, pair.bob, NULL, "mail still", mail), ERR_OK);
    world_pass(pair.world, 5000);
    cr_expect_eq(fate(pair.ann, mail).state, OUT_DELIVERED);
    cr_expect_eq(alarms(pair.bob), 0);
    world_free(&pair.world);
}

/* Nobody at the screen for five minutes: over, and nothing tries again by itself. */
Test(contact, a_live_request_lasts_five_minutes)
{
    struct pair pair = meet(21, false);
    uint8_t id[16], sid[16];

    ask(pair.ann, pair.bob, "", true, id);
    world_pass(pair.world, MINUTES(4));
    cr_expect_eq(requests(pair.bob).in, 1);
    world_pass(pair.world, MINUTES(2));
    cr_expect_eq(requests(pair.bob).in, 0);
    cr_expect_not(accept(pair.bob, pair.ann, sid));
    world_pass(pair.world, MINUTES(2));
    cr_expect_eq(fate(pair.ann, id).state, OUT_EXPIRED);
    cr_expect_eq(requests(pair.ann).out, 0);
    world_free(&pair.world);
}

/* Away for longer than that: what he finds is no request any more. */
Test(contact, a_live_request_does_not_wait)
{
    struct pair pair = meet(22, false);
    uint8_t id[16];

    world_stop(pair.world, pair.bob);
    ask(pair.ann, pair.bob, "", true, id);
    world_pass(pair.world, MINUTES(6));
    world_start(pair.world, pair.bob);
    world_pass(pair.world, MINUTES(1));
    cr_expect_eq(requests(pair.bob).in, 0);
    cr_expect_eq(sessions(pair.bob).phase[PHASE_ACTIVE], 0);
    world_pass(pair.world, MINUTES(2));
    cr_expect_eq(fate(pair.ann, id).state, OUT_EXPIRED);
    world_free(&pair.world);
}

/* Given up while it is on its way: it is not asked again. */
Test(contact, a_live_request_is_given_up)
{
    struct pair pair = meet(27, false);
    struct session_info info;
    uint8_t id[16], sid[16];

    world_weather(pair.world, (struct world_weather){ .delay_max_ms = 500 });
    ask(pair.ann, pair.bob, "", true, id);
    for (int i = 0; agent_session_of(world_agent(pair.ann), id, &info) != ERR_OK; i++) {
        cr_assert_lt(i, 10000);
        world_pass(pair.world, 1);
    }
    memcpy(sid, info.id, 16);
    cr_expect_eq(fate(pair.ann, id).state, OUT_QUEUED, "the broker has it already");
    cr_assert_eq(agent_close(world_agent(pair.ann), world_aid(pair.bob), sid, true), ERR_OK);
    cr_expect_eq(fate(pair.ann, id).state, OUT_REFUSED);
    world_pass(pair.world, MINUTES(1));
    cr_expect_eq(requests(pair.bob).in, 0);
    cr_expect_eq(requests(pair.ann).out, 0);
    expect_phase(pair.ann, sid, PHASE_CLOSED, "closed");
    world_free(&pair.world);
}

Test(contact, a_live_session_is_over_after_thirty_idle_minutes)
{
    struct pair pair = meet(23, false);
    uint8_t sid[16], id[16];

    talk(&pair, sid);
    for (int i = 0; i < 3; i++) {
        world_pass(pair.world, MINUTES(25));
        cr_assert_eq(
            say(i % 2 ? pair.ann : pair.bob, i % 2 ? pair.bob : pair.ann, sid, "still here", id),
            ERR_OK);
    }
    world_pass(pair.world, MINUTES(29));
    expect_phase(pair.ann, sid, PHASE_ACTIVE, NULL);
    world_pass(pair.world, MINUTES(3));
    expect_phase(pair.ann, sid, PHASE_EXPIRED, "expired");
    expect_phase(pair.bob, sid, PHASE_EXPIRED, "expired");
    world_free(&pair.world);
}

/* The broker does not say so: the agent ends it all the same, and says so when it can. */
Test(contact, an_idle_live_session_is_over_without_a_broker)
{
    struct pair pair = meet(24, false);
    uint8_t sid[16];

    talk(&pair, sid);
    world_partition(pair.world, pair.ann, true);
    world_pass(pair.world, MINUTES(40));
    expect_phase(pair.ann, sid, PHASE_CLOSED, "idle");
    world_partition(pair.world, pair.ann, false);
    world_pass(pair.world, MINUTES(5));
    expect_phase(pair.bob, sid, PHASE_EXPIRED, "expired");
    world_free(&pair.world);
}

Test(contact, no_session_outlives_its_hard_end)
{
    struct pair pair = meet(25, false);
    uint8_t sid[16], id[16];

    cr_assert_eq(say(pair.ann, pair.bob, NULL, "mail", id), ERR_OK);
    talk(&pair, sid);
    for (int i = 0; i < 24 * 3; i++) {
        say(pair.ann, pair.bob, sid, "still here", id);
        world_pass(pair.world, MINUTES(20));
    }
    world_pass(pair.world, MINUTES(2));
    expect_phase(pair.ann, sid, PHASE_EXPIRED, "expired");
    expect_phase(pair.bob, sid, PHASE_EXPIRED, "expired");
    cr_expect_eq(sessions(pair.ann).phase[PHASE_ACTIVE], 1);
    cr_expect_eq(sessions(pair.bob).phase[PHASE_ACTIVE], 1);
    world_broker_stop(pair.world);
    world_pass(pair.world, DAYS(28));
    cr_expect_eq(sessions(pair.ann).phase[PHASE_ACTIVE], 1);
    cr_expect_eq(sessions(pair.bob).phase[PHASE_ACTIVE], 1);
    world_pass(pair.world, DAYS(2));
    cr_expect_eq(sessions(pair.ann).phase[PHASE_ACTIVE], 0, "the mail's, without the broker");
    cr_expect_eq(sessions(pair.bob).phase[PHASE_ACTIVE], 0);
    world_free(&pair.world);
}

/* A wall clock that jumps is no time that has passed. */
Test(contact, a_clock_that_jumps_ends_nothing)
{
    struct pair pair = meet(26, false);
    uint8_t sid[16];

    talk(&pair, sid);
    world_partition(pair.world, pair.ann, true);
    pair.world->now_ms += DAYS(40);
    world_pass(pair.world, MINUTES(5));
    expect_phase(pair.ann, sid, PHASE_ACTIVE, NULL);
    world_free(&pair.world);
}

/* ------------------------------------------------------------------ closing */

Test(contact, closed_with_everything_said)
{
    struct pair pair = meet(30, false);
    struct session_info info;
    uint8_t id[16];

    for (int i = 0; i < 3; i++)
        cr_assert_eq(say(pair.ann, pair.bob, NULL, "words", id), ERR_OK);
    world_pass(pair.world, MINUTES(1));
    cr_assert_eq(agent_session_of(world_agent(pair.ann), id, &info), ERR_OK);
    cr_expect_eq(info.sent_seq, 3);
    cr_assert_eq(agent_close(world_agent(pair.ann), world_aid(pair.bob), NULL, false), ERR_OK);
    world_pass(pair.world, MINUTES(1));
    expect_phase(pair.bob, info.id, PHASE_CLOSED, "closed");
    cr_expect_eq(alarms(pair.bob), 0);
    cr_expect_eq(agent_close(world_agent(pair.ann), world_aid(pair.bob), NULL, false),
                 ERR_NOT_FOUND);

    /* The closer asks again before he hears of him; of one circle, nobody else does. */
    cr_assert_eq(say(pair.ann, pair.bob, NULL, "once more", id), ERR_OK);
    world_pass(pair.world, MINUTES(1));
    cr_expect_eq(fate(pair.ann, id).state, OUT_DELIVERED);
    world_free(&pair.world);
}

/* On the side that closed the peer's word of old does not count any more. */
Test(contact, after_closing_he_is_asked_again)
{
    struct pair pair = meet(31, true);
    uint8_t id[16], sid[16];

    ask(pair.ann, pair.bob, "hello", false, id);
    world_pass(pair.world, 5000);
    cr_assert(accept(pair.bob, pair.ann, sid));
    world_pass(pair.world, 5000);
    cr_assert_eq(agent_close(world_agent(pair.bob), world_aid(pair.ann), NULL, false), ERR_OK);
    world_pass(pair.world, 5000);
    expect_phase(pair.ann, sid, PHASE_CLOSED, "closed");
    cr_assert_eq(say(pair.ann, pair.bob, NULL, "why", id), ERR_OK);
    world_pass(pair.world, 5000);
    cr_expect_eq(requests(pair.bob).in, 1);
    cr_expect_eq(fate(pair.ann, id).state, OUT_STORED);
    world_free(&pair.world);
}

/* With something unsaid only on purpose; frames that never left are no gap to the peer. */
Test(contact, closed_with_words_unsaid)
{
    struct pair pair = meet(32, false);
    struct session_info info;
    uint8_t first[16], id[16];

    cr_assert_eq(say(pair.ann, pair.bob, NULL, "hello", first), ERR_OK);
    world_pass(pair.world, MINUTES(1));
    cr_assert_eq(agent_session_of(world_agent(pair.ann), first, &info), ERR_OK);
    world_partition(pair.world, pair.ann, true);
    world_pass(pair.world, MINUTES(2));
    cr_assert_eq(say(pair.ann, pair.bob, NULL, "unsaid", id), ERR_OK);
    cr_expect_eq(agent_close(world_agent(pair.ann), world_aid(pair.bob), NULL, false), ERR_STATE);
    expect_phase(pair.ann, info.id, PHASE_ACTIVE, NULL);
    cr_assert_eq(agent_close(world_agent(pair.ann), world_aid(pair.bob), NULL, true), ERR_OK);
    cr_expect_eq(fate(pair.ann, id).state, OUT_REFUSED);
    cr_expect_str_eq(fate(pair.ann, id).reason, "session_ended");
    world_partition(pair.world, pair.ann, false);
    world_pass(pair.world, MINUTES(5));
    expect_phase(pair.bob, info.id, PHASE_CLOSED, "closed");
    cr_expect_eq(alarms(pair.bob), 0);
    world_free(&pair.world);
}

/* Both close at the same moment: one event is the end, and both know it. */
Test(contact, both_close_at_once)
{
    for (uint64_t seed = 40; seed < 60; seed++) {
        struct pair pair = meet(seed, false);
        struct session_info info;
        uint8_t id[16];

        cr_assert(world_send(pair.world, pair.ann, pair.bob, 40));
        cr_expect(world_run(pair.world, HOURS(1), world_all_delivered, NULL));
        cr_assert_eq(agent_session_of(world_agent(pair.ann), pair.world->sayings[0].id, &info),
                     ERR_OK);
        memcpy(id, info.id, 16);
        world_weather(pair.world, world_storm);
        cr_assert_eq(agent_close(world_agent(pair.ann), world_aid(pair.bob), NULL, true), ERR_OK);
        cr_assert_eq(agent_close(world_agent(pair.bob), world_aid(pair.ann), NULL, true), ERR_OK);
        world_pass(pair.world, MINUTES(10));
        expect_phase(pair.ann, id, PHASE_CLOSED, "closed");
        expect_phase(pair.bob, id, PHASE_CLOSED, "closed");
        world_weather(pair.world, world_calm);
        cr_assert(world_send(pair.world, pair.ann, pair.bob, 40));
        cr_assert(world_send(pair.world, pair.bob, pair.ann, 40));
        cr_expect(world_run(pair.world, HOURS(1), world_all_delivered, NULL), "seed %" PRIu64,
                  seed);
        world_free(&pair.world);
    }
}
