/* layers: agent_flow */
#include "agent/flow/consent.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define GIVE   CONSENT_GIVE
#define HOLD   CONSENT_HOLD
#define SILENT CONSENT_SILENT

/* Rules of cli 3.4: first match wins. */
static const struct {
    const char *name;
    enum peer_pin pin;
    enum peer_policy policy;
    bool circle, live;
    const char *accept_names;
    enum consent_verdict ask, circle_only, any, verified_only; /* the last: consent = any */
} cases[] = {
    { "stranger", PIN_NONE, POLICY_DEFAULT, false, false, "", HOLD, HOLD, GIVE, HOLD },
    { "of our circle", PIN_NONE, POLICY_DEFAULT, true, false, "", HOLD, GIVE, GIVE, HOLD },
    { "named", PIN_NONE, POLICY_DEFAULT, false, false, "al* b?b", GIVE, GIVE, GIVE, HOLD },
    { "others are named", PIN_NONE, POLICY_DEFAULT, false, false, "al* bo", HOLD, HOLD, GIVE,
      HOLD },
    { "accepted before", PIN_FIRST_USE, POLICY_ACCEPTED, false, false, "", GIVE, GIVE, GIVE, HOLD },
    { "closed by us", PIN_FIRST_USE, POLICY_ASK, false, false, "", HOLD, HOLD, GIVE, HOLD },
    { "closed by us, of our circle", PIN_FIRST_USE, POLICY_ASK, true, false, "", HOLD, GIVE, GIVE,
      HOLD },
    { "verified is not accepted", PIN_VERIFIED, POLICY_DEFAULT, false, false, "", HOLD, HOLD, GIVE,
      GIVE },
    { "verified and accepted", PIN_VERIFIED, POLICY_ACCEPTED, false, false, "", GIVE, GIVE, GIVE,
      GIVE },
    { "live, of our circle, accepted before", PIN_VERIFIED, POLICY_ACCEPTED, true, true, "", HOLD,
      HOLD, HOLD, HOLD },
    { "live and named", PIN_VERIFIED, POLICY_DEFAULT, false, true, "bob", GIVE, GIVE, GIVE, GIVE },
    { "changed key", PIN_CHANGED, POLICY_ACCEPTED, true, false, "*", HOLD, HOLD, HOLD, HOLD },
    { "blocked", PIN_BLOCKED, POLICY_ACCEPTED, true, false, "*", SILENT, SILENT, SILENT, SILENT },
};

Test(agent_consent, first_match_rules)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct agent_settings settings;
        struct consent_facts facts = { .pin = cases[i].pin,
                                       .policy = cases[i].policy,
                                       .shares_circle = cases[i].circle,
                                       .live = cases[i].live,
                                       .name = "bob" };
        agent_settings_default(&settings);
        snprintf(settings.accept_names, sizeof settings.accept_names, "%s", cases[i].accept_names);
        settings.consent = CONSENT_ASK;
        cr_expect_eq(agent_consent_judge(&settings, &facts), cases[i].ask, "ask: %s",
                     cases[i].name);
        settings.consent = CONSENT_CIRCLE;
        cr_expect_eq(agent_consent_judge(&settings, &facts), cases[i].circle_only, "circle: %s",
                     cases[i].name);
        settings.consent = CONSENT_ANY;
        cr_expect_eq(agent_consent_judge(&settings, &facts), cases[i].any, "any: %s",
                     cases[i].name);
        settings.trust_verified = true;
        cr_expect_eq(agent_consent_judge(&settings, &facts), cases[i].verified_only, "verified: %s",
                     cases[i].name);
    }
}

/* It was said inside the session that it replaces: nobody is asked, but trust stands before that. */
Test(agent_consent, a_session_that_takes_the_place_of_another)
{
    static const struct {
        enum peer_pin pin;
        bool verified_only;
        enum consent_verdict verdict;
    } agreed[] = { { PIN_FIRST_USE, false, CONSENT_GIVE }, { PIN_VERIFIED, true, CONSENT_GIVE },
                   { PIN_FIRST_USE, true, CONSENT_HOLD },  { PIN_CHANGED, false, CONSENT_HOLD },
                   { PIN_BLOCKED, false, CONSENT_SILENT } };

    for (size_t i = 0; i < sizeof agreed / sizeof agreed[0]; i++) {
        struct agent_settings settings;
        struct consent_facts facts
            = { .pin = agreed[i].pin, .policy = POLICY_ASK, .agreed = true, .name = "bob" };
        agent_settings_default(&settings);
        settings.consent = CONSENT_ASK;
        settings.trust_verified = agreed[i].verified_only;
        cr_expect_eq(agent_consent_judge(&settings, &facts), agreed[i].verdict, "%zu", i);
    }
}

Test(agent_consent, names)
{
    static const struct {
        const char *globs, *name;
        bool among;
    } globs[] = {
        { "", "bob", false },        { "   ", "bob", false },   { "bob", "bob", true },
        { "bob", "bobby", false },   { "bob*", "bobby", true }, { " ann  bob ", "bob", true },
        { "ann,bob", "bob", false }, { "[ab]ob", "bob", true }, { "*", "anybody", true },
        { "b?b", "bb", false },      { "Bob", "bob", false },
    };

    for (size_t i = 0; i < sizeof globs / sizeof globs[0]; i++)
        cr_expect_eq(agent_name_among(globs[i].globs, globs[i].name), globs[i].among,
                     "%s in \"%s\"", globs[i].name, globs[i].globs);
}
