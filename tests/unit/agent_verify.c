/* layers: agent_flow */
/*
 * agent_verify - what a person says about a fingerprint, what he asks of trust, and what of it all
 * is told to programs that watch.
 */
#include <criterion/criterion.h>

#include "agent/flow/consent.h"
#include "agent/flow/verify.h"
#include "agent/store/outbox.h"
#include "tests/lib/log_stage.h"

static enum err verify(struct stage *s, const char *peer, const struct person *whose, bool replace)
{
    uint8_t aid[32] = { 0 };
    enum err e = agent_verify(s->lone.agent, peer, whose->aid, replace, aid);

    if (e == ERR_OK)
        cr_expect_arr_eq(aid, whose->aid, 32);
    return e;
}

static enum peer_pin pin_of(struct stage *s, const struct person *who)
{
    struct profile_peer peer;

    return profile_peer_find(s->lone.agent->store, who->aid, &peer) ? peer.pin : PIN_NONE;
}

static void set_pin(struct stage *s, const struct person *who, enum peer_pin pin)
{
    struct agent_store *store = s->lone.agent->store;
    struct profile_peer peer;

    agent_store_begin(store);
    cr_assert(profile_peer_find(store, who->aid, &peer));
    profile_peer_pin(store, &peer, pin, "a test", LONE_NOW);
    cr_assert_eq(agent_store_commit(store), ERR_OK);
}

static const char *id_of(const struct person *who)
{
    static char text[FINGERPRINT_SIZE + 3];

    memcpy(text, "id:", 3);
    fingerprint_text(text + 3, who->aid);
    return text;
}

/* ------------------------------------------------------------------ fingerprints */

Test(agent_verify, the_right_fingerprint_verifies_and_any_other_changes_nothing)
{
    struct stage s;
    struct person other;

    stage_open(&s);
    cr_expect_eq(verify(&s, "nobody", &s.bob, false), ERR_UNKNOWN_AGENT);
    cr_expect_eq(verify(&s, "bob", &s.mallory, false), ERR_AUTH, "mallory is not even in the log");
    cr_expect_eq(verify(&s, "bob", &s.mallory, true), ERR_AUTH, "nor does replace help");
    cr_expect_eq(pin_of(&s, &s.bob), PIN_NONE);
    cr_expect_eq(verify(&s, "bob", &s.bob, false), ERR_OK, "never met, but in the log");
    cr_expect_eq(pin_of(&s, &s.bob), PIN_VERIFIED);
    other = s.bob;
    other.aid[19] ^= 1; /* the last byte that people compare */
    cr_expect_eq(verify(&s, "bob", &other, false), ERR_AUTH);
    cr_expect_eq(verify(&s, id_of(&s.bob), &s.bob, true), ERR_OK, "again, by id");
    cr_expect_eq(pin_of(&s, &s.bob), PIN_VERIFIED);
    stage_close(&s);
}

Test(agent_verify, a_changed_key_is_taken_only_by_its_own_fingerprint_and_replace)
{
    struct stage s;
    struct peer_names names;
    uint8_t id[16], aid[32];

    stage_open(&s);
    know_bob(&s);
    cr_assert_eq(agent_peer_names(s.lone.agent, "bob", &names), ERR_OK);
    cr_expect_not(names.replaced);
    log_goes_on(&s, ENTRY_ENROL, "bob", s.mallory.aid, s.mallory.hash);
    cr_assert_eq(agent_peer_names(s.lone.agent, "bob", &names), ERR_OK);
    cr_expect(names.replaced);
    cr_expect_arr_eq(names.aid, s.bob.aid, 32);
    cr_expect_arr_eq(names.new_aid, s.mallory.aid, 32);
    cr_assert_eq(agent_peer_names(s.lone.agent, id_of(&s.mallory), &names), ERR_OK);
    cr_expect(names.replaced, "the new one's fingerprint leads to the same question");

    cr_expect_eq(verify(&s, "bob", &s.bob, false), ERR_KEY_CHANGED, "the old one is no way back");
    cr_expect_eq(verify(&s, "bob", &s.bob, true), ERR_KEY_CHANGED);
    cr_expect_eq(verify(&s, "bob", &s.mallory, false), ERR_KEY_CHANGED, "not without replace");
    cr_expect_eq(pin_of(&s, &s.bob), PIN_CHANGED);
    cr_expect_eq(say_to_bob(&s, id), ERR_KEY_CHANGED);

    cr_expect_eq(verify(&s, "bob", &s.mallory, true), ERR_OK);
    cr_expect_eq(pin_of(&s, &s.mallory), PIN_VERIFIED);
    cr_expect_eq(pin_of(&s, &s.bob), PIN_NONE);
    expect_alarm(&s, NULL, NULL, "the alarm has been dealt with");
    cr_assert_eq(agent_peer_find(s.lone.agent, "bob", aid), ERR_OK);
    cr_expect_arr_eq(aid, s.mallory.aid, 32);
    stage_close(&s);
}

Test(agent_verify, a_name_that_came_back_is_verified_as_before)
{
    struct stage s;

    stage_open(&s);
    know_bob(&s);
    log_goes_on(&s, ENTRY_ENROL, "bob", s.mallory.aid, s.mallory.hash);
    log_goes_on(&s, ENTRY_REVOKE, "bob", s.mallory.aid, s.mallory.hash);
    cr_expect_eq(pin_of(&s, &s.bob), PIN_CHANGED, "a person has not looked yet");
    cr_expect_eq(verify(&s, "bob", &s.mallory, true), ERR_AUTH, "she is gone");
    cr_expect_eq(verify(&s, "bob", &s.bob, false), ERR_OK, "nobody else has the name");
    cr_expect_eq(pin_of(&s, &s.bob), PIN_VERIFIED);
    expect_alarm(&s, NULL, NULL, "dealt with");
    stage_close(&s);
}

Test(agent_verify, the_one_replaced_is_an_alarm_when_he_comes_back)
{
    static const uint8_t second_card[32] = { 7 };
    struct stage s;

    stage_open(&s);
    know_bob(&s);
    log_goes_on(&s, ENTRY_ENROL, "bob", s.mallory.aid, s.mallory.hash);
    cr_assert_eq(verify(&s, "bob", &s.mallory, true), ERR_OK);
    log_goes_on(&s, ENTRY_CARD, "bob", s.bob.aid, second_card);
    expect_alarm(&s, "key_changed", "another agent", "the old key under the name");
    cr_expect_eq(pin_of(&s, &s.mallory), PIN_CHANGED);
    stage_close(&s);
}

Test(agent_verify, to_verify_unblocks_nobody)
{
    struct stage s;

    stage_open(&s);
    know_bob(&s);
    set_pin(&s, &s.bob, PIN_BLOCKED);
    cr_expect_eq(verify(&s, "bob", &s.bob, false), ERR_BLOCKED);
    cr_expect_eq(pin_of(&s, &s.bob), PIN_BLOCKED);
    stage_close(&s);
}

/* ------------------------------------------------------------------ who may be written to */

Test(agent_verify, who_may_be_written_to)
{
    static const struct {
        const char *name, *send_to;
        bool trust_verified;
        enum peer_pin pin;
        enum err expected;
    } cases[] = {
        { "a stranger", "", false, PIN_NONE, ERR_OK },
        { "met before", "", false, PIN_FIRST_USE, ERR_OK },
        { "blocked", "*", false, PIN_BLOCKED, ERR_BLOCKED },
        { "changed", "*", false, PIN_CHANGED, ERR_KEY_CHANGED },
        { "only verified ones: a stranger", "", true, PIN_NONE, ERR_NOT_VERIFIED },
        { "only verified ones: met before", "", true, PIN_FIRST_USE, ERR_NOT_VERIFIED },
        { "only verified ones: verified", "", true, PIN_VERIFIED, ERR_OK },
        { "only verified ones: changed", "", true, PIN_CHANGED, ERR_KEY_CHANGED },
        { "in send_to", "al* bo?", false, PIN_NONE, ERR_OK },
        { "not in send_to", "al* bo", false, PIN_NONE, ERR_NOT_IN_SEND_TO },
        { "anybody", "*", false, PIN_NONE, ERR_OK },
        { "in send_to, not verified", "bob", true, PIN_FIRST_USE, ERR_NOT_VERIFIED },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct agent_settings settings;
        struct agent_counts counts;
        struct stage s;
        uint8_t id[16];

        stage_open(&s);
        know_bob(&s);
        set_pin(&s, &s.bob, cases[i].pin);
        settings = s.lone.agent->settings;
        settings.trust_verified = cases[i].trust_verified;
        snprintf(settings.send_to, sizeof settings.send_to, "%s", cases[i].send_to);
        agent_configure(s.lone.agent, &settings);
        cr_expect_eq(say_to_bob(&s, id), cases[i].expected, "%s", cases[i].name);
        cr_assert_eq(agent_counts_get(s.lone.agent, &counts), ERR_OK);
        cr_expect_eq(counts.queued, cases[i].expected == ERR_OK, "%s", cases[i].name);
        stage_close(&s);
    }
}

Test(agent_verify, only_verified_ones_are_heard_at_once_and_the_reason_is_an_alarm)
{
    struct profile_session session = { .mode = 1 };
    struct agent_settings settings;
    struct profile_peer peer;
    struct stage s;

    stage_open(&s);
    know_bob(&s);
    settings = s.lone.agent->settings;
    settings.trust_verified = true;
    settings.consent = CONSENT_ANY;
    agent_configure(s.lone.agent, &settings);
    cr_assert(profile_peer_find(s.lone.agent->store, s.bob.aid, &peer));
    agent_enter(s.lone.agent);
    cr_expect_eq(agent_consent(s.lone.agent, &peer, &session), CONSENT_HOLD);
    cr_assert_eq(agent_leave(s.lone.agent), ERR_OK);
    expect_alarm(&s, "not_verified", "asks for contact", "held");
    cr_assert_eq(verify(&s, "bob", &s.bob, false), ERR_OK);
    expect_alarm(&s, NULL, NULL, "verified");
    cr_assert(profile_peer_find(s.lone.agent->store, s.bob.aid, &peer));
    cr_expect_eq(agent_consent(s.lone.agent, &peer, &session), CONSENT_GIVE);
    stage_close(&s);
}

/* ------------------------------------------------------------------ log, alarms */

struct seen {
    struct stage *stage;
    size_t count;
};

static void see_entry(void *ctx, const struct log_info *entry)
{
    struct seen *seen = ctx;

    cr_expect_eq(entry->index, seen->count);
    if (entry->index == 0) {
        cr_expect(bytes_equal(entry->name, bytes_of_text("ann")));
        cr_expect_eq(entry->gen, 1, "my own card");
    } else {
        cr_expect(bytes_equal(entry->name, bytes_of_text("bob")));
        cr_expect_arr_eq(entry->aid, seen->stage->bob.aid, 32);
        cr_expect_eq(entry->kind, entry->index == 2 ? LOG_REVOKED : LOG_ENROLLED);
        cr_expect_eq(entry->gen, 0, "never seen");
    }
    if (entry->index + 1 == seen->stage->head.next)
        cr_expect_arr_eq(entry->head, seen->stage->head.digest, 32);
    seen->count++;
}

Test(agent_verify, the_log_as_it_was_verified)
{
    struct stage s;
    struct seen seen = { .stage = &s };

    stage_open(&s);
    log_goes_on(&s, ENTRY_REVOKE, "bob", s.bob.aid, s.bob.hash);
    cr_assert_eq(agent_log_each(s.lone.agent, 0, see_entry, &seen), ERR_OK);
    cr_expect_eq(seen.count, 3);
    seen.count = 2;
    cr_assert_eq(agent_log_each(s.lone.agent, 2, see_entry, &seen), ERR_OK);
    cr_expect_eq(seen.count, 3);
    cr_assert_eq(agent_log_each(s.lone.agent, 3, see_entry, &seen), ERR_OK);
    cr_expect_eq(seen.count, 3, "nothing behind the end");
    stage_close(&s);
}

Test(agent_verify, an_alarm_is_cleared_and_raised_again)
{
    struct stage s;

    stage_open(&s);
    cr_expect_eq(agent_alarm_clear(s.lone.agent, "impersonation"), ERR_NOT_FOUND);
    log_goes_on(&s, ENTRY_ENROL, "ann", s.mallory.aid, s.mallory.hash);
    expect_alarm(&s, "impersonation", "entry 2", "raised");
    cr_expect_eq(agent_alarm_clear(s.lone.agent, "split_view"), ERR_NOT_FOUND, "of another kind");
    expect_alarm(&s, "impersonation", "entry 2", "still open");
    cr_expect_eq(agent_alarm_clear(s.lone.agent, "impersonation"), ERR_OK);
    expect_alarm(&s, NULL, NULL, "cleared");
    log_goes_on(&s, ENTRY_ENROL, "ann", s.bob.aid, s.bob.hash);
    expect_alarm(&s, "impersonation", "entry 3", "the next one");
    stage_close(&s);
}

/* ------------------------------------------------------------------ news */

/* The next news of the kind after `*number`. */
static bool next_news(struct stage *s, enum news_kind kind, uint64_t *number,
                      struct agent_news *out)
{
    while (agent_news_next(s->lone.agent, *number, out)) {
        *number = out->number;
        if (out->kind == kind)
            return true;
    }
    return false;
}

Test(agent_verify, what_becomes_of_a_message_is_news)
{
    struct agent_news news;
    struct profile_out row;
    struct stage s;
    uint64_t number = 0;
    uint8_t id[16];

    stage_open(&s);
    know_bob(&s);
    while (agent_news_next(s.lone.agent, number, &news))
        number = news.number;
    cr_assert_eq(say_to_bob(&s, id), ERR_OK);
    cr_assert(next_news(&s, NEWS_MESSAGE, &number, &news));
    cr_expect_eq(news.outgoing, OUT_QUEUED);
    cr_expect_arr_eq(news.id, id, 16);
    cr_expect_arr_eq(news.aid, s.bob.aid, 32);
    cr_expect_eq(news.at_ms, s.lone.now_ms);
    cr_assert(profile_out_find(s.lone.agent->store, id, &row));
    agent_enter(s.lone.agent);
    profile_out_tried(s.lone.agent->store, row.outbox_id, LONE_NOW + 1);
    cr_assert_eq(agent_leave(s.lone.agent), ERR_OK);
    cr_expect_not(next_news(&s, NEWS_MESSAGE, &number, &news), "once for each state");

    number = 0;
    log_goes_on(&s, ENTRY_ENROL, "bob", s.mallory.aid, s.mallory.hash);
    cr_assert(next_news(&s, NEWS_ALARM, &number, &news));
    cr_expect_str_eq(news.text, "key_changed");
    cr_expect_arr_eq(news.aid, s.bob.aid, 32);
    number = 0;
    do
        cr_assert(next_news(&s, NEWS_MESSAGE, &number, &news));
    while (news.outgoing == OUT_QUEUED);
    cr_expect_eq(news.outgoing, OUT_REFUSED);
    cr_expect_arr_eq(news.id, id, 16);
    stage_close(&s);
}

Test(agent_verify, what_was_rolled_back_is_no_news)
{
    struct agent_news news;
    struct stage s;
    uint64_t number = 0;

    stage_open(&s);
    while (agent_news_next(s.lone.agent, number, &news))
        number = news.number;
    agent_enter(s.lone.agent);
    profile_alarm_add(s.lone.agent->store, "gap", 0, 0, "never happened", LONE_NOW);
    agent_store_rollback(s.lone.agent->store);
    agent_enter(s.lone.agent);
    profile_alarm_add(s.lone.agent->store, "split_view", 0, 0, "did happen", LONE_NOW);
    cr_assert_eq(agent_leave(s.lone.agent), ERR_OK);
    cr_assert(next_news(&s, NEWS_ALARM, &number, &news));
    cr_expect_str_eq(news.text, "split_view");
    cr_expect_not(next_news(&s, NEWS_ALARM, &number, &news));
    stage_close(&s);
}

Test(agent_verify, the_link_is_news_and_old_news_are_forgotten)
{
    struct agent_news news;
    struct stage s;
    uint64_t number = 0, newest = 0;

    stage_open(&s);
    cr_assert(next_news(&s, NEWS_LINK, &number, &news));
    cr_expect(news.up);
    agent_disconnected(s.lone.agent, LINK_LOST);
    cr_assert(next_news(&s, NEWS_LINK, &number, &news));
    cr_expect_not(news.up);

    for (int i = 0; i < 2000; i++) {
        agent_enter(s.lone.agent);
        profile_alarm_add(s.lone.agent->store, "gap", 0, 0, i & 1 ? "odd" : "even", LONE_NOW);
        profile_alarm_clear(s.lone.agent->store, "gap", 0, LONE_NOW);
        cr_assert_eq(agent_leave(s.lone.agent), ERR_OK);
    }
    cr_assert(agent_news_next(s.lone.agent, 0, &news), "the oldest that is kept");
    cr_expect_gt(news.number, 900);
    for (number = news.number, newest = number; agent_news_next(s.lone.agent, number, &news);
         number = news.number, newest++)
        cr_expect_eq(news.number, number + 1);
    cr_expect_geq(newest, 2000);
    stage_close(&s);
}

/* ------------------------------------------------------------------ cipher */

Test(agent_verify, the_cipher_that_is_wanted_is_what_the_card_lists)
{
    struct agent_settings settings;
    struct stage s;
    uint64_t before;

    stage_open(&s);
    settings = s.lone.agent->settings;
    before = s.lone.agent->me.row.card_gen;
    settings.cipher = CIPHER_CHACHA20;
    agent_configure(s.lone.agent, &settings);
    cr_expect_eq(s.lone.agent->me.card_suites, 1, "nothing else can be agreed on");
    agent_configure(s.lone.agent, &settings);
    cr_expect_leq(s.lone.agent->me.row.card_gen, before + 1, "one card for one change");
    settings.cipher = CIPHER_AUTO;
    agent_configure(s.lone.agent, &settings);
    cr_expect_leq(s.lone.agent->me.row.card_gen, before + 2);
    cr_expect(s.lone.agent->me.card_suites & 1, "ChaCha20 is in every card");
    stage_close(&s);
}
