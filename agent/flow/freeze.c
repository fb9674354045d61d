#include "agent/flow/freeze.h"

#include "agent/flow/link.h"
#include "agent/store/acks.h"
#include "agent/store/alarms.h"
#include "shared/base/log.h"
#include "shared/wire/limit.h"

static const char code[] = "profile_restored", decided_ms[] = "restored_ms";

void agent_freeze(struct agent *agent, int64_t peer_id, int64_t scope_id, const char *detail)
{
    profile_alarm_add(agent->store, code, peer_id, scope_id, detail, agent_now(agent));
    if (!agent->frozen)
        log_event(LOG_WARN, "profile.restored", "why=\"%s\"", detail);
    agent->frozen = true;
    agent->changed = true;
}

void agent_freeze_load(struct agent *agent)
{
    agent->frozen = profile_alarm_open(agent->store, code);
}

void agent_thaw(struct agent *agent)
{
    uint64_t now = agent_now(agent);

    profile_alarm_clear(agent->store, code, 0, now);
    profile_number_set(agent->store, decided_ms, now,
                       "when a person said that this profile, which was put back, is the only one");
    /* Its cursor and what it had not confirmed are as old as it is: HELLO tells. */
    profile_acks_clear(agent->store);
    agent->frozen = false;
    agent->changed = true;
    if (agent->link.state == STATE_REFUSED && agent->link.wanted)
        agent_link_event(agent, LINK_START);
}

bool agent_was_restored(struct agent *agent)
{
    uint64_t at_ms = 0;

    return profile_number_get(agent->store, decided_ms, &at_ms) && at_ms
           && agent_now(agent) < at_ms + LIMIT_KEEP_MS;
}
