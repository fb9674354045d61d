#include "agent/flow/consent.h"

enum consent_verdict agent_consent_judge(enum agent_consent setting,
                                         const struct consent_facts *facts)
{
    if (facts->pin == PIN_BLOCKED)
        return CONSENT_SILENT;
    if (facts->pin == PIN_CHANGED)
        return CONSENT_HOLD;
    if (facts->policy == POLICY_ACCEPTED)
        return CONSENT_GIVE;
    if (setting == CONSENT_ANY)
        return CONSENT_GIVE;
    if (setting == CONSENT_CIRCLE && facts->shares_circle)
        return CONSENT_GIVE;
    return CONSENT_HOLD;
}
