/* layers: agent_flow */
#include "agent/flow/consent.h"

#include <criterion/criterion.h>

/* Rules of cli 3.4: first match wins. */
static const struct {
    const char *name;
    enum peer_pin pin;
    enum peer_policy policy;
    bool circle;
    enum consent_verdict ask, circle_only, any;
} cases[] = {
    { "stranger", PIN_NONE, POLICY_DEFAULT, false, CONSENT_HOLD, CONSENT_HOLD, CONSENT_GIVE },
    { "of our circle", PIN_NONE, POLICY_DEFAULT, true, CONSENT_HOLD, CONSENT_GIVE, CONSENT_GIVE },
    { "accepted before", PIN_FIRST_USE, POLICY_ACCEPTED, false, CONSENT_GIVE, CONSENT_GIVE,
      CONSENT_GIVE },
    { "closed by us", PIN_FIRST_USE, POLICY_ASK, false, CONSENT_HOLD, CONSENT_HOLD, CONSENT_GIVE },
    { "closed by us, of our circle", PIN_FIRST_USE, POLICY_ASK, true, CONSENT_HOLD, CONSENT_GIVE,
      CONSENT_GIVE },
    { "verified is not accepted", PIN_VERIFIED, POLICY_DEFAULT, false, CONSENT_HOLD, CONSENT_HOLD,
      CONSENT_GIVE },
    { "changed key", PIN_CHANGED, POLICY_ACCEPTED, true, CONSENT_HOLD, CONSENT_HOLD, CONSENT_HOLD },
    { "blocked", PIN_BLOCKED, POLICY_ACCEPTED, true, CONSENT_SILENT, CONSENT_SILENT,
      CONSENT_SILENT },
};

Test(agent_consent, first_match_rules)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct consent_facts facts = { .pin = cases[i].pin,
                                       .policy = cases[i].policy,
                                       .shares_circle = cases[i].circle,
                                       .name = "ann" };
        cr_expect_eq(agent_consent_judge(CONSENT_ASK, &facts), cases[i].ask, "ask: %s",
                     cases[i].name);
        cr_expect_eq(agent_consent_judge(CONSENT_CIRCLE, &facts), cases[i].circle_only,
                     "circle: %s", cases[i].name);
        cr_expect_eq(agent_consent_judge(CONSENT_ANY, &facts), cases[i].any, "any: %s",
                     cases[i].name);
    }
}

/* A live session is a talk: somebody must be there, so no earlier word counts, nor a circle. */
Test(agent_consent, live_is_asked_each_time)
{
    struct consent_facts facts = { .pin = PIN_VERIFIED,
                                   .policy = POLICY_ACCEPTED,
                                   .shares_circle = true,
                                   .live = true,
                                   .name = "ann" };

    cr_expect_eq(agent_consent_judge(CONSENT_ASK, &facts), CONSENT_HOLD);
    cr_expect_eq(agent_consent_judge(CONSENT_CIRCLE, &facts), CONSENT_HOLD);
    cr_expect_eq(agent_consent_judge(CONSENT_ANY, &facts), CONSENT_GIVE);
    facts.pin = PIN_BLOCKED;
    cr_expect_eq(agent_consent_judge(CONSENT_ANY, &facts), CONSENT_SILENT);
}
