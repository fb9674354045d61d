/* layers: testworld */
/* What a person decides about trust, and which cipher he wants: between agents on the world's
 * clock.
 */
#include <criterion/criterion.h>
#include <sodium.h>
#include <stdio.h>

#include "agent/crypto/aead.h"
#include "agent/flow/core.h"
#include "shared/wire/frame.h"
#include "tests/lib/world_internal.h"

#define MINUTES(n) ((uint64_t)(n)*60000)

struct pair {
    struct world *world;
    struct world_agent *ann, *bob;
};

static struct pair meet(uint64_t seed)
{
    struct pair pair = { .world = world_new(seed) };

    pair.ann = world_join(pair.world, "ann", "home");
    pair.bob = world_join(pair.world, "bob", "home");
    world_pass(pair.world, MINUTES(1));
    return pair;
}

static enum err say(struct world_agent *from, struct world_agent *to, uint8_t id[static 16])
{
    struct send_request request
        = { .body = bytes_of_text("hello"), .media_type = bytes_of_text("text/plain") };

    memcpy(request.to, world_aid(to), 32);
    return agent_send(world_agent(from), &request, id);
}

static void want(struct world_agent *who, bool verified, enum agent_cipher cipher)
{
    struct agent_settings settings = world_agent(who)->settings;

    settings.trust_verified = verified;
    settings.cipher = cipher;
    agent_configure(world_agent(who), &settings);
}

static enum outgoing_state fate(struct world_agent *who, const uint8_t id[static 16])
{
    struct outgoing_info info;

    cr_assert_eq(agent_outgoing_get(world_agent(who), id, &info), ERR_OK);
    return info.state;
}

static void verify(struct world_agent *who, struct world_agent *whom, const char *name)
{
    uint8_t aid[32];

    cr_assert_eq(agent_verify(world_agent(who), name, world_aid(whom), false, aid), ERR_OK);
}

static uint64_t count(struct world_agent *who, bool held)
{
    struct agent_counts counts;

    cr_assert_eq(agent_counts_get(world_agent(who), &counts), ERR_OK);
    return held ? counts.held : counts.unread;
}

struct news_count {
    unsigned requests, sessions;
};

static struct news_count news_of(struct world_agent *who)
{
    struct news_count counted = { 0 };
    struct agent_news news = { 0 };

    while (agent_news_next(world_agent(who), news.number, &news)) {
        counted.requests += news.kind == NEWS_REQUEST;
        counted.sessions += news.kind == NEWS_SESSION;
    }
    return counted;
}

/* A circle opens the door of those who did not ask for more; the fingerprint opens this one. */
Test(world_trust, a_request_is_held_until_its_sender_is_verified)
{
    struct pair p = meet(31);
    uint8_t id[16];

    want(p.bob, true, CIPHER_AUTO);
    cr_assert_eq(say(p.ann, p.bob, id), ERR_OK);
    world_pass(p.world, MINUTES(2));
    cr_expect_eq(fate(p.ann, id), OUT_STORED);
    cr_expect_eq(count(p.bob, true), 1);
    cr_expect_eq(count(p.bob, false), 0, "nothing of it is shown");
    cr_expect_eq(news_of(p.bob).requests, 1);
    verify(p.bob, p.ann, "ann");
    world_pass(p.world, MINUTES(2));
    cr_expect_eq(fate(p.ann, id), OUT_DELIVERED);
    cr_expect_eq(count(p.bob, true), 0);
    cr_expect_eq(count(p.bob, false), 1);
    cr_expect_eq(news_of(p.bob).sessions, 1);
    world_free(&p.world);
}

/* What was queued before the setting waits, though there is a session. */
Test(world_trust, queued_mail_waits_until_its_recipient_is_verified)
{
    struct pair p = meet(32);
    uint8_t first[16], second[16], third[16];

    world_partition(p.world, p.bob, true);
    cr_assert_eq(say(p.ann, p.bob, first), ERR_OK);
    cr_assert_eq(say(p.ann, p.bob, second), ERR_OK);
    world_pass(p.world, MINUTES(2));
    want(p.ann, true, CIPHER_AUTO);
    cr_expect_eq(say(p.ann, p.bob, third), ERR_NOT_VERIFIED);
    world_partition(p.world, p.bob, false);
    world_pass(p.world, MINUTES(10));
    cr_expect_eq(fate(p.ann, first), OUT_DELIVERED, "it was under way");
    cr_expect_eq(fate(p.ann, second), OUT_QUEUED);
    verify(p.ann, p.bob, "bob");
    world_pass(p.world, MINUTES(2));
    cr_expect_eq(fate(p.ann, second), OUT_DELIVERED);
    world_free(&p.world);
}

/* Before the first session, too: no request goes out to whom the setting does not allow. */
Test(world_trust, a_first_message_waits_until_its_recipient_is_verified)
{
    struct pair p = meet(33);
    uint8_t id[16];

    world_partition(p.world, p.ann, true);
    cr_assert_eq(say(p.ann, p.bob, id), ERR_OK);
    want(p.ann, true, CIPHER_AUTO);
    world_partition(p.world, p.ann, false);
    world_pass(p.world, MINUTES(30));
    cr_expect_eq(fate(p.ann, id), OUT_QUEUED);
    cr_expect_eq(count(p.bob, false), 0);
    verify(p.ann, p.bob, "bob");
    world_pass(p.world, 2000); /* not after the back-off of half an hour */
    cr_expect_eq(fate(p.ann, id), OUT_DELIVERED);
    world_free(&p.world);
}

Test(world_trust, the_cipher_that_both_allow_and_the_asker_prefers)
{
    static const struct {
        const char *name;
        enum agent_cipher ann, bob;
        bool aes;
    } cases[] = {
        { "nobody cares", CIPHER_AUTO, CIPHER_AUTO, false },
        { "the asker wants AES", CIPHER_AES256, CIPHER_AUTO, true },
        { "the asker does not care", CIPHER_AUTO, CIPHER_AES256, false },
        { "the asked one has no AES", CIPHER_AES256, CIPHER_CHACHA20, false },
        { "the asker has no AES", CIPHER_CHACHA20, CIPHER_AES256, false },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pair p = meet(40 + i);
        struct session_info session;
        uint8_t id[16];

        want(p.ann, false, cases[i].ann);
        want(p.bob, false, cases[i].bob);
        world_pass(p.world, MINUTES(2));
        cr_assert_eq(say(p.ann, p.bob, id), ERR_OK);
        world_pass(p.world, MINUTES(2));
        cr_expect_eq(fate(p.ann, id), OUT_DELIVERED, "%s", cases[i].name);
        cr_assert_eq(agent_session_of(world_agent(p.ann), id, &session), ERR_OK, "%s",
                     cases[i].name);
        cr_expect_eq(session.suite,
                     cases[i].aes && aead_available(SUITE_AES) ? SUITE_AES : SUITE_CHACHA, "%s",
                     cases[i].name);
        world_free(&p.world);
    }
}
