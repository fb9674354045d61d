/* layers: testworld */
/* New keys: a session in the place of another, my own, and what a profile that was put back does.
 */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/flow/core.h"
#include "agent/store/alarms.h"
#include "agent/store/peers.h"
#include "agent/store/secrets.h"
#include "agent/store/sessions.h"
#include "shared/trust/init0.h"
#include "tests/lib/world_internal.h"

#define MINUTES(n) ((uint64_t)(n)*60000)
#define HOURS(n)   MINUTES((n)*60)
#define DAYS(n)    HOURS((n)*24)

struct pair {
    struct world *world;
    struct world_agent *ann, *bob;
};

/* Two with a session and mail both ways. */
static struct pair meet(uint64_t seed)
{
    struct pair pair = { .world = world_new(seed) };

    pair.ann = world_join(pair.world, "ann", "home");
    pair.bob = world_join(pair.world, "bob", "home");
    cr_assert(world_send(pair.world, pair.ann, pair.bob, 40));
    cr_assert(world_send(pair.world, pair.bob, pair.ann, 40));
    cr_assert(world_run(pair.world, MINUTES(5), world_all_delivered, NULL));
    return pair;
}

static void part(struct pair *pair)
{
    world_check(pair->world);
    world_free(&pair->world);
}

static void all_delivered(struct pair *pair, const char *when)
{
    bool delivered = world_run(pair->world, HOURS(2), world_all_delivered, NULL);

    if (!delivered)
        world_explain(pair->world);
    cr_expect(delivered, "%s", when);
}

struct sessions {
    size_t count;
    struct session_info info[32];
};

static void note_session(void *ctx, const struct session_info *session)
{
    struct sessions *sessions = ctx;

    if (sessions->count < 32)
        sessions->info[sessions->count++] = *session;
}

static struct sessions sessions_of(struct world_agent *who)
{
    struct sessions sessions = { 0 };

    agent_sessions_each(world_agent(who), NULL, true, note_session, &sessions);
    return sessions;
}

static struct session_info newest_of(struct world_agent *who)
{
    struct sessions sessions = sessions_of(who);

    cr_assert_gt(sessions.count, 0);
    return sessions.info[sessions.count - 1];
}

static struct session_info last_used(struct world_agent *who)
{
    struct sessions sessions = sessions_of(who);
    size_t last = 0;

    cr_assert_gt(sessions.count, 0);
    for (size_t i = 1; i < sessions.count; i++)
        if (sessions.info[i].last_ms > sessions.info[last].last_ms)
            last = i;
    return sessions.info[last];
}

static struct session_info session_of(struct world_agent *who, const uint8_t sid[static 16])
{
    struct session_info info = { 0 };

    cr_assert_eq(agent_session_get(world_agent(who), sid, &info), ERR_OK);
    return info;
}

static void rotate(struct world_agent *who, struct world_agent *peer, uint8_t sid[static 16])
{
    cr_assert_eq(agent_rotate(world_agent(who), world_aid(peer), sid), ERR_OK);
}

static enum err refusal_of(struct world_agent *who)
{
    struct agent_link link;

    agent_link_get(world_agent(who), &link);
    return link.state == STATE_REFUSED ? link.refusal : ERR_OK;
}

/* A word that the world's record does not know. */
static enum err say(struct world_agent *from, struct world_agent *to, uint8_t id[static 16])
{
    struct send_request request
        = { .body = bytes_of_text("x"), .media_type = bytes_of_text("text/plain") };

    memcpy(request.to, world_aid(to), 32);
    return agent_send(world_agent(from), &request, id);
}

static enum err send_word(struct world_agent *from, struct world_agent *to)
{
    uint8_t id[16];

    return say(from, to, id);
}

static void delivers(struct pair *pair, struct world_agent *from, struct world_agent *to)
{
    struct outgoing_info info;
    uint8_t id[16];

    cr_assert_eq(say(from, to, id), ERR_OK);
    world_pass(pair->world, HOURS(2)); /* a pair may ask each other five times an hour */
    cr_assert_eq(agent_outgoing_get(world_agent(from), id, &info), ERR_OK);
    cr_expect_eq(info.state, OUT_DELIVERED, "seed %" PRIu64, world_seed(pair->world));
}

/* ------------------------------------------------------------------ a session */

Test(rotate, a_new_session_takes_the_place_of_the_old_one)
{
    struct pair pair = meet(1);
    struct session_info next;
    uint8_t sid[16];

    rotate(pair.ann, pair.bob, sid);
    world_pass(pair.world, MINUTES(1));
    cr_assert_eq(agent_session_successor(world_agent(pair.ann), sid, &next), ERR_OK);
    cr_expect_eq(next.phase, PHASE_ACTIVE);
    cr_expect_neq(memcmp(next.id, sid, 16), 0);
    cr_expect_eq(session_of(pair.ann, sid).phase, PHASE_ROTATED);
    cr_expect_eq(session_of(pair.bob, sid).phase, PHASE_ROTATED);
    cr_expect_str_eq(session_of(pair.bob, sid).reason, "rotated");
    cr_expect_eq(session_of(pair.bob, next.id).phase, PHASE_ACTIVE);
    cr_assert(world_send(pair.world, pair.ann, pair.bob, 40));
    cr_assert(world_send(pair.world, pair.bob, pair.ann, 40));
    all_delivered(&pair, "in the new one");
    part(&pair);
}

/* A wish that is older than the process, and older than the connection. */
Test(rotate, it_is_not_forgotten_while_one_is_away)
{
    struct pair pair = meet(2);
    uint8_t sid[16];

    world_stop(pair.world, pair.bob);
    world_partition(pair.world, pair.ann, true);
    rotate(pair.ann, pair.bob, sid);
    world_kill(pair.world, pair.ann);
    world_start(pair.world, pair.ann);
    world_partition(pair.world, pair.ann, false);
    world_pass(pair.world, HOURS(1));
    cr_expect_eq(session_of(pair.ann, sid).phase, PHASE_ACTIVE, "bob has not agreed");
    cr_assert(world_send(pair.world, pair.ann, pair.bob, 40));
    world_pass(pair.world, HOURS(1));
    world_start(pair.world, pair.bob);
    world_pass(pair.world, MINUTES(1));
    cr_expect_eq(session_of(pair.ann, sid).phase, PHASE_ROTATED);
    cr_expect_eq(session_of(pair.bob, sid).phase, PHASE_ROTATED);
    all_delivered(&pair, "what was said meanwhile");
    part(&pair);
}

Test(rotate, a_peer_who_asks_first_agrees_without_being_asked)
{
    struct pair pair = { .world = world_new(3) };
    struct agent_settings settings;
    struct session_info next;
    struct agent_counts counts;
    uint8_t sid[16];
    bool answered;

    pair.ann = world_join(pair.world, "ann", NULL);
    pair.bob = world_join(pair.world, "bob", "home");
    agent_settings_default(&settings);
    settings.consent = CONSENT_ASK;
    agent_configure(world_agent(pair.bob), &settings);
    cr_assert(world_send(pair.world, pair.ann, pair.bob, 40));
    world_pass(pair.world, MINUTES(1));
    cr_assert_eq(agent_accept(world_agent(pair.bob), world_aid(pair.ann), &answered, sid), ERR_OK);
    all_delivered(&pair, "after yes");

    /* What was said once does not count any more; what is said inside does. */
    agent_enter(world_agent(pair.bob));
    profile_peer_policy(world_agent(pair.bob)->store, 1, POLICY_ASK);
    cr_assert_eq(agent_leave(world_agent(pair.bob)), ERR_OK);
    rotate(pair.ann, pair.bob, sid);
    world_pass(pair.world, MINUTES(1));
    cr_assert_eq(agent_session_successor(world_agent(pair.ann), sid, &next), ERR_OK);
    cr_expect_eq(next.phase, PHASE_ACTIVE);
    cr_assert_eq(agent_counts_get(world_agent(pair.bob), &counts), ERR_OK);
    cr_expect_eq(counts.unread + counts.held, 0, "and no mail comes of it");
    part(&pair);
}

/* Both at the same moment: each agrees with the other, one of them ends the old session. */
Test(rotate, both_want_it_at_once)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct pair pair = meet(seed);
        uint8_t sid[16];

        world_weather(pair.world, world_storm);
        rotate(pair.ann, pair.bob, sid);
        rotate(pair.bob, pair.ann, sid);
        for (int i = 0; i < 5; i++) {
            cr_assert(world_send(pair.world, pair.ann, pair.bob, 40));
            cr_assert(world_send(pair.world, pair.bob, pair.ann, 40));
            world_pass(pair.world, 500);
        }
        all_delivered(&pair, "in the storm");
        world_weather(pair.world, world_calm);
        world_pass(pair.world, HOURS(1));
        cr_expect_eq(session_of(pair.ann, sid).phase, PHASE_ROTATED, "seed %" PRIu64, seed);
        cr_expect_eq(session_of(pair.bob, sid).phase, PHASE_ROTATED, "seed %" PRIu64, seed);
        cr_assert(world_send(pair.world, pair.ann, pair.bob, 40));
        all_delivered(&pair, "after it");
        pair.world->put_back = true; /* two sessions beside each other have no common order */
        part(&pair);
    }
}

static bool has_keys(struct world_agent *who, const uint8_t sid[static 16])
{
    struct agent *agent = world_agent(who);
    struct profile_session session;
    int64_t after = 0;

    while (profile_session_next(agent->store, after, &session)) {
        after = session.session_id;
        if (memcmp(session.id, sid, 16) == 0)
            return session.keyed;
    }
    cr_assert_fail("no such session");
    return true;
}

Test(rotate, old_keys_are_gone_after_a_minute)
{
    struct pair pair = meet(4);
    uint8_t sid[16];

    rotate(pair.ann, pair.bob, sid);
    world_pass(pair.world, 5000);
    cr_assert_eq(session_of(pair.ann, sid).phase, PHASE_ROTATED);
    cr_expect(has_keys(pair.ann, sid), "what is late can be opened");
    cr_expect_not(has_keys(pair.bob, sid), "nothing comes behind ROTATED");
    world_pass(pair.world, 60000);
    cr_expect_not(has_keys(pair.ann, sid));
    part(&pair);
}

Test(rotate, and_after_a_minute_that_the_process_did_not_see)
{
    struct pair pair = meet(5);
    uint8_t sid[16];

    rotate(pair.ann, pair.bob, sid);
    world_pass(pair.world, 5000);
    world_kill(pair.world, pair.ann);
    world_pass(pair.world, 60000);
    world_start(pair.world, pair.ann);
    world_pass(pair.world, 1000);
    cr_expect_not(has_keys(pair.ann, sid));
    part(&pair);
}

/* Frames of both on their way, frames that nobody has signed for, receipts that are lost. */
Test(rotate, T68_frames_on_the_way_and_without_receipt)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct pair pair = meet(seed);
        uint8_t sid[16];

        world_weather(pair.world, seed % 2 ? world_storm : world_chaos);
        for (int round = 0; round < 6; round++) {
            for (int i = 0; i < 8; i++) {
                cr_assert(world_send(pair.world, pair.ann, pair.bob, 40));
                cr_assert(world_send(pair.world, pair.bob, pair.ann, 40));
            }
            world_pass(pair.world, world_random(pair.world, 400));
            if (round == 1)
                rotate(pair.ann, pair.bob, sid);
            if (round == 2 && seed % 3 == 0)
                world_kill(pair.world, pair.ann);
            if (round == 3 && seed % 3 == 0)
                world_start(pair.world, pair.ann);
            if (round < 3 && seed % 3 == 0 && !world_agent(pair.ann))
                world_start(pair.world, pair.ann);
        }
        world_start(pair.world, pair.ann);
        all_delivered(&pair, "in the storm");
        world_weather(pair.world, world_calm);
        world_pass(pair.world, MINUTES(5));
        cr_expect_eq(session_of(pair.ann, sid).phase, PHASE_ROTATED, "seed %" PRIu64, seed);
        /* Sealed again behind what was later: once each, and nothing lost, is what is promised. */
        pair.world->put_back = true;
        part(&pair);
    }
}

Test(rotate, by_itself_after_a_week_if_it_is_used)
{
    struct pair pair = meet(6);
    uint8_t sid[16];

    /* both may have begun: the one that their messages take counts */
    cr_assert(world_send(pair.world, pair.bob, pair.ann, 40));
    world_pass(pair.world, MINUTES(1));
    memcpy(sid, last_used(pair.ann).id, 16);
    for (int day = 0; day < 6; day++) {
        world_pass(pair.world, DAYS(1));
        cr_assert(world_send(pair.world, pair.bob, pair.ann, 40));
    }
    world_pass(pair.world, HOURS(23));
    cr_expect_eq(session_of(pair.ann, sid).phase, PHASE_ACTIVE);
    world_pass(pair.world, HOURS(2));
    cr_expect_eq(session_of(pair.ann, sid).phase, PHASE_ROTATED);
    cr_expect_eq(newest_of(pair.bob).phase, PHASE_ACTIVE);
    all_delivered(&pair, "a week of mail");
    part(&pair);
}

Test(rotate, by_itself_after_ten_thousand_frames)
{
    struct pair pair = meet(7);
    uint8_t sid[16];

    memcpy(sid, newest_of(pair.ann).id, 16);
    for (int n = 0; n < 9657; n += 333) {
        for (int i = 0; i < 333; i++)
            cr_assert(world_send(pair.world, pair.ann, pair.bob, 20));
        world_pass(pair.world, MINUTES(1));
    }
    cr_expect_eq(session_of(pair.ann, sid).phase, PHASE_ACTIVE);
    for (int i = 0; i < 400; i++)
        cr_assert(world_send(pair.world, pair.ann, pair.bob, 20));
    world_pass(pair.world, MINUTES(3));
    cr_expect_eq(session_of(pair.ann, sid).phase, PHASE_ROTATED);
    all_delivered(&pair, "ten thousand");
    part(&pair);
}

/* ------------------------------------------------------------------ healing */

static void copy_ratchet(struct world_agent *who, struct ratchet *ratchet, struct skipped *skipped)
{
    struct agent *agent = world_agent(who);
    struct profile_session session;

    agent_enter(agent);
    cr_assert(profile_session_active(agent->store, 1, &session));
    cr_assert(profile_session_load(agent->store, &session, ratchet, skipped));
    cr_assert_eq(agent_store_commit(agent->store), ERR_OK);
}

/* Sees every frame to bob with the eyes of a thief. */
struct thief {
    struct world_agent *victim;
    struct ratchet ratchet;
    struct skipped skipped;
    size_t seen, opened;
};

static bool look(void *ctx, struct trip *trip)
{
    struct thief *thief = ctx;
    size_t at = 0;

    if (trip->kind != TRIP_TO_AGENT || trip->who != thief->victim)
        return true;
    for (size_t i = 0; i < trip->part_count; i++) {
        struct bytes part = bytes_of(trip->body.at + at, trip->part_len[i]);
        struct frame_view view;
        at += trip->part_len[i];
        if (frame_parse_whole(part, &view) == ERR_OK && view.kind == FRAME_DATA) {
            struct ratchet ratchet = thief->ratchet;
            struct ratchet_opened opened;
            struct buf plain = { 0 };
            uint8_t secret[32] = { 7 };
            thief->seen++;
            if (ratchet_decrypt(&ratchet, &thief->skipped, &view, secret,
                                thief->victim->world->now_ms, buf_extend(&plain, view.ct.len),
                                &opened)
                == ERR_OK) {
                thief->opened++;
                thief->ratchet = ratchet;
            }
            buf_free(&plain);
        }
    }
    return true;
}

/* What was stolen opens what comes next, and nothing once both have spoken; a new session heals
 * also who only listens. */
Test(rotate, T17_what_was_stolen_opens_nothing_later)
{
    for (int with_rotate = 0; with_rotate < 2; with_rotate++) {
        struct pair pair = meet(8);
        struct thief thief = { .victim = pair.bob };
        uint8_t sid[16];

        copy_ratchet(pair.bob, &thief.ratchet, &thief.skipped);
        pair.world->between = look;
        pair.world->between_ctx = &thief;
        cr_assert(world_send(pair.world, pair.ann, pair.bob, 40));
        all_delivered(&pair, "the first");
        cr_assert_eq(thief.opened, 1, "the theft is a real one");
        if (with_rotate) {
            rotate(pair.ann, pair.bob, sid);
        } else {
            cr_assert(world_send(pair.world, pair.bob, pair.ann, 40));
            all_delivered(&pair, "a word back");
            cr_assert(world_send(pair.world, pair.ann, pair.bob, 40));
            all_delivered(&pair, "and forth");
            cr_assert(world_send(pair.world, pair.bob, pair.ann, 40));
            all_delivered(&pair, "and back");
        }
        world_pass(pair.world, MINUTES(2));
        thief.opened = thief.seen = 0;
        for (int i = 0; i < 10; i++)
            cr_assert(world_send(pair.world, pair.ann, pair.bob, 40));
        all_delivered(&pair, "what follows");
        cr_expect_geq(thief.seen, 10);
        cr_expect_eq(thief.opened, 0, "rotate %d", with_rotate);
        skipped_wipe(&thief.skipped);
        part(&pair);
    }
}

/* ------------------------------------------------------------------ my own keys */

static uint32_t keys_of(struct world_agent *who, enum secret_kind kind, uint32_t most)
{
    struct secret_info info;
    uint32_t found = 0;

    for (uint32_t n = 1; n <= most; n++)
        found += profile_secret_newest(world_agent(who)->store, kind, n, &info) && info.number == n;
    return found;
}

static uint64_t generation(struct world_agent *who)
{
    struct agent_self self;

    cr_assert_eq(agent_self_get(world_agent(who), &self), ERR_OK);
    return self.card.gen;
}

Test(keys, new_ones_under_the_same_identity)
{
    struct pair pair = meet(20);
    struct peer_info peer;
    uint64_t before = generation(pair.bob);

    cr_assert_eq(agent_rotate_keys(world_agent(pair.bob)), ERR_OK);
    world_pass(pair.world, MINUTES(1));
    cr_expect_eq(generation(pair.bob), before + 1);
    cr_expect_eq(refusal_of(pair.bob), ERR_OK);
    cr_expect_eq(keys_of(pair.bob, SECRET_DK, 2), 2, "the old dk stays for requests on their way");
    cr_expect_eq(keys_of(pair.bob, SECRET_TK, 2), 1, "the old tk is gone: HELLO came with the new");
    cr_assert(world_send(pair.world, pair.ann, pair.bob, 40));
    cr_assert(world_send(pair.world, pair.bob, pair.ann, 40));
    all_delivered(&pair, "in the session that was there");

    /* Somebody new meets the new keys. */
    struct world_agent *cyd = world_join(pair.world, "cyd", "home");
    cr_assert(world_send(pair.world, cyd, pair.bob, 40));
    cr_assert(world_send(pair.world, pair.bob, cyd, 40));
    all_delivered(&pair, "with somebody new");
    cr_assert_eq(agent_peer_get(world_agent(cyd), world_aid(pair.bob), &peer), ERR_OK);
    cr_expect_eq(peer.card.gen, before + 1);
    cr_expect_eq(peer.trust, TRUST_PINNED);

    world_broker_stop(pair.world); /* it has no part in that */
    world_pass(pair.world, DAYS(37));
    cr_expect_eq(keys_of(pair.bob, SECRET_DK, 2), 2, "37 days later");
    world_pass(pair.world, DAYS(1) + HOURS(1));
    cr_expect_eq(keys_of(pair.bob, SECRET_DK, 2), 1, "38 days later");
    part(&pair);
}

/* A request that names the old card and the old prekeys, and was on its way meanwhile. */
Test(keys, a_request_to_the_old_keys_is_still_opened)
{
    struct world *world = world_new(21);
    struct pair pair
        = { world, world_join(world, "ann", "home"), world_join(world, "bob", "home") };

    world_pass(world, MINUTES(1));
    world_stop(world, pair.bob);
    cr_assert(world_send(world, pair.ann, pair.bob, 40));
    world_pass(world, MINUTES(1));
    world_start(world, pair.bob);
    cr_assert_eq(agent_rotate_keys(world_agent(pair.bob)), ERR_OK);
    all_delivered(&pair, "the first word");
    part(&pair);
}

/* The process ends, or the line breaks, at every moment from the decision to the first HELLO with
 * the new key: it comes back with one that the broker knows. */
Test(keys, whatever_breaks_while_they_are_changed)
{
    for (uint64_t step = 0; step < 60; step++) {
        struct pair pair = meet(22 + step);

        cr_assert_eq(agent_rotate_keys(world_agent(pair.bob)), ERR_OK);
        if (step % 2)
            world_weather(pair.world, (struct world_weather){ .delay_max_ms = 40, .drop = 100 });
        world_pass(pair.world, step * 3);
        if (step % 3 == 0)
            world_kill(pair.world, pair.bob);
        else if (step % 3 == 1)
            world_partition(pair.world, pair.bob, true);
        else
            world_broker_kill(pair.world);
        /* Longer than the broker keeps an old key, or not. */
        world_pass(pair.world, step % 4 == 0 ? HOURS(1) : 2000);
        world_weather(pair.world, world_calm);
        world_partition(pair.world, pair.bob, false);
        if (step % 3 == 2)
            world_broker_start(pair.world);
        world_start(pair.world, pair.bob);
        cr_assert(world_send(pair.world, pair.ann, pair.bob, 40));
        cr_assert(world_send(pair.world, pair.bob, pair.ann, 40));
        all_delivered(&pair, "after the break");
        world_pass(pair.world, MINUTES(2));
        cr_expect_eq(generation(pair.bob), 2, "step %" PRIu64, step);
        cr_expect_eq(keys_of(pair.bob, SECRET_TK, 2), 1, "step %" PRIu64, step);
        part(&pair);
    }
}

Test(keys, prekeys_are_kept_as_long_as_they_may_be_needed)
{
    struct pair pair = meet(90);
    struct agent *bob = world_agent(pair.bob);
    struct secret_info first, spk, opk;

    cr_assert(profile_secret_newest(bob->store, SECRET_SPK, UINT32_MAX, &first));
    for (int day = 0; day < 8; day++) {
        world_pass(pair.world, DAYS(1));
        cr_assert(world_send(pair.world, pair.ann, pair.bob, 20));
    }
    cr_assert(profile_secret_newest(bob->store, SECRET_SPK, UINT32_MAX, &spk));
    cr_expect_neq(spk.number, first.number, "a new one each week");
    cr_expect(profile_secret_get(bob->store, SECRET_SPK, first.number, NULL, NULL));
    world_stop(pair.world, pair.ann);
    world_pass(pair.world, DAYS(29));
    cr_expect(profile_secret_get(bob->store, SECRET_SPK, first.number, NULL, NULL), "37 days");
    cr_assert(profile_secret_newest(bob->store, SECRET_OPK, UINT32_MAX, &opk));
    cr_expect_gt(opk.created_ms, first.created_ms + DAYS(29), "one-time ones after a month");
    world_pass(pair.world, DAYS(2));
    cr_expect_not(profile_secret_get(bob->store, SECRET_SPK, first.number, NULL, NULL), "39 days");
    world_free(&pair.world);
}

/* ------------------------------------------------------------------ put back */

static bool is_alarmed(struct world_agent *who)
{
    return profile_alarm_open(world_agent(who)->store, "profile_restored");
}

/* Counts what leaves an agent after HELLO and SYNC. */
struct listener {
    struct world_agent *who;
    size_t words;
};

static bool listen(void *ctx, struct trip *trip)
{
    struct listener *listener = ctx;
    struct message message;

    if (trip->kind == TRIP_TO_BROKER && trip->who == listener->who
        && message_decode(&message, buf_bytes(&trip->head), trip->part_count, FROM_AGENT) == ERR_OK
        && message.verb != VERB_HELLO && message.verb != VERB_SYNC && message.verb != VERB_LOG)
        listener->words++;
    return true;
}

/* Copy a profile, go on with the original, start the copy: it says nothing, takes nothing, and the
 * original goes on in the same sessions. */
static void copied(uint64_t seed, bool sent, bool received, bool met, bool new_card)
{
    struct pair pair = meet(seed);
    struct world_agent *cyd = world_join(pair.world, "cyd", "home");
    struct listener listener = { .who = pair.ann };
    uint8_t sid[16];
    char later[WORLD_PATH + 8], command[4 * WORLD_PATH];

    memcpy(sid, newest_of(pair.ann).id, 16);
    world_stop(pair.world, pair.ann);
    world_agent_copy(pair.world, pair.ann);
    world_start(pair.world, pair.ann);
    if (sent)
        cr_assert(world_send(pair.world, pair.ann, pair.bob, 40));
    if (received)
        cr_assert(world_send(pair.world, pair.bob, pair.ann, 40));
    if (met)
        cr_assert(world_send(pair.world, cyd, pair.ann, 40));
    if (new_card)
        cr_assert_eq(agent_rotate_keys(world_agent(pair.ann)), ERR_OK);
    all_delivered(&pair, "the original");
    world_pass(pair.world, MINUTES(2));
    world_stop(pair.world, pair.ann);
    if (!new_card) /* something waits for the original */
        cr_assert(world_send(pair.world, pair.bob, pair.ann, 40));
    world_pass(pair.world, MINUTES(1));

    snprintf(later, sizeof later, "%s.later", pair.ann->dir);
    snprintf(command, sizeof command, "cp -r '%s' '%s'", pair.ann->dir, later);
    cr_assert_eq(system(command), 0);
    world_agent_put_back(pair.world, pair.ann);
    pair.world->between = listen;
    pair.world->between_ctx = &listener;
    world_start(pair.world, pair.ann);
    world_pass(pair.world, MINUTES(5));
    if (new_card) /* the old key is not let in */
        cr_expect_neq(refusal_of(pair.ann), ERR_OK, "seed %" PRIu64, seed);
    else
        cr_expect_eq(refusal_of(pair.ann), ERR_ROLLBACK, "seed %" PRIu64, seed);
    cr_expect_eq(is_alarmed(pair.ann), !new_card, "seed %" PRIu64, seed);
    cr_expect_eq(listener.words, 0, "seed %" PRIu64, seed);
    if (!new_card) {
        cr_expect_eq(send_word(pair.ann, pair.bob), ERR_ROLLBACK);
        cr_expect_eq(agent_rotate(world_agent(pair.ann), world_aid(pair.bob), sid), ERR_ROLLBACK);
        cr_expect_eq(agent_rotate_keys(world_agent(pair.ann)), ERR_ROLLBACK);
        world_kill(pair.world, pair.ann);
        world_start(pair.world, pair.ann);
        world_pass(pair.world, MINUTES(5));
        cr_expect_eq(refusal_of(pair.ann), ERR_ROLLBACK, "after a start, too");
        cr_expect_eq(listener.words, 0);
    }
    pair.world->between = NULL;

    world_stop(pair.world, pair.ann);
    snprintf(command, sizeof command, "rm -rf '%s' && mv '%s' '%s'", pair.ann->dir, later,
             pair.ann->dir);
    cr_assert_eq(system(command), 0);
    pair.world->put_back = false;
    world_start(pair.world, pair.ann);
    cr_assert(world_send(pair.world, pair.ann, pair.bob, 40));
    cr_assert(world_send(pair.world, pair.bob, pair.ann, 40));
    all_delivered(&pair, "the original again");
    cr_expect_eq(session_of(pair.ann, sid).phase, PHASE_ACTIVE, "in the same session");
    cr_expect_eq(session_of(pair.bob, sid).phase, PHASE_ACTIVE);
    cr_expect_not(is_alarmed(pair.ann));
    part(&pair);
}

Test(put_back, T18_a_copy_says_nothing_and_the_original_goes_on)
{
    copied(30, true, false, false, false);
    copied(31, false, true, false, false);
    copied(32, false, false, true, false);
    copied(33, true, true, true, false);
    copied(34, false, false, false, true);
}

/* The original is lost: a person says that the copy is the only one. */
Test(put_back, T18_rotate_all_begins_anew)
{
    struct pair pair = meet(40);
    uint8_t sid[16];

    memcpy(sid, newest_of(pair.ann).id, 16);
    world_stop(pair.world, pair.ann);
    world_agent_copy(pair.world, pair.ann);
    world_start(pair.world, pair.ann);
    cr_assert(world_send(pair.world, pair.ann, pair.bob, 40));
    cr_assert(world_send(pair.world, pair.bob, pair.ann, 40));
    all_delivered(&pair, "what the copy does not know");
    cr_assert_eq(agent_rotate_keys(world_agent(pair.ann)), ERR_OK);
    world_stop(pair.world, pair.ann);
    cr_assert(world_send(pair.world, pair.bob, pair.ann, 40));
    world_pass(pair.world, MINUTES(1));
    world_agent_put_back(pair.world, pair.ann);
    world_start(pair.world, pair.ann);
    world_pass(pair.world, MINUTES(1));
    cr_assert_eq(refusal_of(pair.ann), ERR_ROLLBACK);
    cr_assert_eq(agent_rotate_all(world_agent(pair.ann)), ERR_OK);
    world_pass(pair.world, MINUTES(1));
    cr_expect_eq(refusal_of(pair.ann), ERR_OK);
    cr_expect_not(is_alarmed(pair.ann));
    cr_expect_eq(session_of(pair.bob, sid).phase, PHASE_CLOSED);
    cr_expect_str_eq(session_of(pair.bob, sid).reason, "state_lost");
    cr_expect_eq(newest_of(pair.ann).phase, PHASE_ACTIVE, "a new session without a word");
    delivers(&pair, pair.ann, pair.bob);
    delivers(&pair, pair.bob, pair.ann);
    world_kill(pair.world, pair.ann);
    world_start(pair.world, pair.ann);
    world_pass(pair.world, MINUTES(1));
    cr_expect_eq(refusal_of(pair.ann), ERR_OK);
    world_free(&pair.world);
}

/* Put back between the words of others, at any age, under a bad link; a person decides; all flows.
 */
Test(put_back, T18_from_a_seed)
{
    for (uint64_t seed = 50; seed < 62; seed++) {
        struct pair pair = meet(seed);
        struct world *world = pair.world;

        world_weather(world, world_storm);
        world_stop(world, pair.ann);
        world_agent_copy(world, pair.ann);
        world_start(world, pair.ann);
        for (int round = 0; round < 10; round++) {
            if (world_random(world, 2))
                world_send(world, pair.ann, pair.bob, 40);
            if (world_random(world, 2))
                world_send(world, pair.bob, pair.ann, 40);
            if (world_random(world, 6) == 0)
                agent_rotate_all(world_agent(pair.ann));
            world_pass(world, world_random(world, 5000));
        }
        world_kill(world, pair.ann);
        world_agent_put_back(world, pair.ann);
        world_start(world, pair.ann);
        world_pass(world, MINUTES(3));
        if (refusal_of(pair.ann) == ERR_ROLLBACK)
            cr_assert_eq(agent_rotate_all(world_agent(pair.ann)), ERR_OK);
        world_pass(world, MINUTES(3));
        cr_expect_eq(refusal_of(pair.ann), ERR_OK, "seed %" PRIu64, seed);
        delivers(&pair, pair.ann, pair.bob);
        delivers(&pair, pair.bob, pair.ann);
        world_free(&pair.world);
    }
}

/* Nothing was sealed before SYNC: words that were queued with an old state get their numbers in a
 * session that both know. */
Test(put_back, what_is_queued_before_sync_has_no_number)
{
    struct pair pair = meet(70);
    struct outgoing_info info;
    uint8_t id[16];

    world_kill(pair.world, pair.ann);
    world_partition(pair.world, pair.ann, true);
    world_start(pair.world, pair.ann);
    cr_assert_eq(say(pair.ann, pair.bob, id), ERR_OK);
    world_pass(pair.world, MINUTES(1));
    cr_assert_eq(agent_outgoing_get(world_agent(pair.ann), id, &info), ERR_OK);
    cr_expect_eq(info.seq, 0);
    world_partition(pair.world, pair.ann, false);
    world_pass(pair.world, MINUTES(2));
    cr_assert_eq(agent_outgoing_get(world_agent(pair.ann), id, &info), ERR_OK);
    cr_expect_gt(info.seq, 0);
    cr_expect_eq(info.state, OUT_DELIVERED);
    world_free(&pair.world);
}

/* ------------------------------------------------------------------ the broker put back */

/* The end of the chain is lost at the broker, and with it who replaced whom. */
Test(put_back, T62_a_rotation_that_the_broker_has_lost)
{
    for (uint64_t seed = 80; seed < 86; seed++) {
        struct pair pair = meet(seed);
        uint8_t sid[16];

        world_broker_stop(pair.world);
        world_broker_copy(pair.world);
        world_broker_start(pair.world);
        world_pass(pair.world, MINUTES(1));
        rotate(pair.ann, pair.bob, sid);
        world_pass(pair.world, seed % 2 ? MINUTES(1) : 200);
        cr_assert(world_send(pair.world, pair.ann, pair.bob, 40));
        cr_assert(world_send(pair.world, pair.bob, pair.ann, 40));
        world_pass(pair.world, 300);
        world_broker_kill(pair.world);
        world_broker_put_back(pair.world);
        world_broker_start(pair.world);
        all_delivered(&pair, "after the restore");
        cr_assert(world_send(pair.world, pair.ann, pair.bob, 40));
        cr_assert(world_send(pair.world, pair.bob, pair.ann, 40));
        all_delivered(&pair, "and later");
        pair.world->put_back = true;
        part(&pair);
    }
}

/* ------------------------------------------------------------------ leaving */

static bool is_revoked(struct world_agent *who)
{
    struct agent_self self;

    cr_assert_eq(agent_self_get(world_agent(who), &self), ERR_OK);
    return self.state == SELF_REVOKED;
}

Test(leave, T40_an_agent_ends_itself)
{
    struct pair pair = meet(100);
    struct peer_info peer;

    cr_assert_eq(agent_leave_broker(world_agent(pair.ann)), ERR_OK);
    cr_expect_eq(send_word(pair.ann, pair.bob), ERR_FORBIDDEN);
    world_pass(pair.world, MINUTES(1));
    cr_expect(is_revoked(pair.ann));
    cr_expect_eq(refusal_of(pair.ann), ERR_CERT_REVOKED);
    cr_expect_eq(newest_of(pair.ann).phase, PHASE_CLOSED);
    cr_expect_eq(newest_of(pair.bob).phase, PHASE_CLOSED, "told before the end");
    cr_expect_str_eq(newest_of(pair.bob).reason, "closed");
    cr_assert_eq(agent_peer_get(world_agent(pair.bob), world_aid(pair.ann), &peer), ERR_OK);
    cr_expect_eq(peer.trust, TRUST_REVOKED);
    world_kill(pair.world, pair.ann);
    world_start(pair.world, pair.ann);
    world_pass(pair.world, MINUTES(1));
    cr_expect(is_revoked(pair.ann), "for good");
    part(&pair);
}

Test(leave, is_not_forgotten)
{
    for (uint64_t seed = 101; seed < 113; seed++) {
        struct pair pair = meet(seed);

        world_partition(pair.world, pair.ann, seed % 2);
        if (seed % 3 == 0)
            world_weather(pair.world, world_storm);
        cr_assert_eq(agent_leave_broker(world_agent(pair.ann)), ERR_OK);
        world_pass(pair.world, seed % 5 * 20);
        world_kill(pair.world, pair.ann);
        world_pass(pair.world, MINUTES(2));
        world_start(pair.world, pair.ann);
        world_partition(pair.world, pair.ann, false);
        world_pass(pair.world, MINUTES(10));
        cr_expect(is_revoked(pair.ann), "seed %" PRIu64, seed);
        cr_expect_eq(newest_of(pair.bob).phase, PHASE_CLOSED, "seed %" PRIu64, seed);
        part(&pair);
    }
}
