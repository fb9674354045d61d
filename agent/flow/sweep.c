#include "agent/flow/sweep.h"

#include "agent/flow/channel.h"
#include "agent/flow/outgoing.h"
#include "agent/flow/rotate.h"
#include "agent/flow/session.h"
#include "agent/store/dead.h"
#include "agent/store/inbox.h"
#include "agent/store/secrets.h"
#include "shared/wire/limit.h"

static uint64_t before(uint64_t now_ms, uint64_t keep_ms)
{
    return now_ms > keep_ms ? now_ms - keep_ms : 0;
}

static void expire_queue(struct agent *agent, uint64_t now)
{
    struct profile_out row;

    while (profile_out_next_expired(agent->store, now, &row)) {
        profile_dead_letter(agent->store, &row, DEAD_EXPIRED, "", now);
        agent->changed = true;
    }
}

void agent_sweep(struct agent *agent)
{
    const struct agent_settings *settings = &agent->settings;
    uint64_t now = agent_now(agent);

    expire_queue(agent, now);
    agent_sessions_overdue(agent);
    agent_rotations_due(agent);
    agent_heartbeats(agent);
    agent_group_mail_sweep(agent);
    profile_out_forget(agent->store, before(now, settings->sent_keep_ms));
    profile_in_forget(agent->store, before(now, settings->inbox_keep_ms));
    profile_dead_forget(agent->store, before(now, settings->dead_keep_ms));
    profile_known_forget(agent->store, before(now, LIMIT_KEEP_MS));
    profile_secret_expire(agent->store, now);
    profile_sessions_forget(agent->store, before(now, LIMIT_KEEP_MS));
}
