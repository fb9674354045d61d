#include "agent/flow/consent.h"

#include <fnmatch.h>

#include "agent/flow/group.h"
#include "agent/flow/rotate.h"
#include "agent/store/alarms.h"
#include "agent/store/log.h"
#include "shared/trust/init0.h"

bool agent_name_among(const char *globs, const char *name)
{
    char glob[NAME_MAX_LEN + 1];

    while (*(globs += strspn(globs, " "))) {
        size_t len = strcspn(globs, " ");
        if (len < sizeof glob) {
            memcpy(glob, globs, len);
            glob[len] = '\0';
            if (fnmatch(glob, name, 0) == 0)
                return true;
        }
        globs += len;
    }
    return false;
}

enum consent_verdict agent_consent_judge(const struct agent_settings *settings,
                                         const struct consent_facts *facts)
{
    if (facts->pin == PIN_BLOCKED)
        return CONSENT_SILENT;
    if (facts->pin == PIN_CHANGED || (settings->trust_verified && facts->pin != PIN_VERIFIED))
        return CONSENT_HOLD;
    if (facts->agreed || agent_name_among(settings->accept_names, facts->name))
        return CONSENT_GIVE;
    if (facts->live)
        return CONSENT_HOLD;
    if (facts->policy == POLICY_ACCEPTED || facts->leads || settings->consent == CONSENT_ANY)
        return CONSENT_GIVE;
    if (settings->consent == CONSENT_CIRCLE && facts->shares_circle)
        return CONSENT_GIVE;
    return CONSENT_HOLD;
}

enum consent_verdict agent_consent(struct agent *agent, const struct profile_peer *peer,
                                   const struct profile_session *session)
{
    struct consent_facts facts
        = { .pin = peer->pin,
            .policy = peer->policy,
            .shares_circle = profile_circle_shared(agent->store, agent->me.row.id, peer->id),
            .leads = agent_group_admin_of_mine(agent, peer->id),
            .agreed = agent_rotation_agreed(agent, session),
            .live = session->mode == MODE_LIVE,
            .name = peer->name };
    enum consent_verdict verdict = agent_consent_judge(&agent->settings, &facts);

    if (verdict == CONSENT_HOLD && agent->settings.trust_verified && peer->pin < PIN_VERIFIED)
        profile_alarm_add(agent->store, "not_verified", peer->peer_id, session->session_id,
                          "asks for contact", agent_now(agent));
    return verdict;
}
