/* What an event means that is in the broker's chain: rows, states, keys. */
#include "agent/flow/contact.h"
#include "agent/flow/group_inner.h"
#include "agent/flow/group_mail.h"
#include "agent/flow/incoming.h"
#include "agent/store/dead.h"
#include "shared/base/log.h"

/* The row's number; 0: me; below 0: nobody that the log knows. */
static int64_t peer_of(struct agent *agent, const uint8_t aid[static 32])
{
    struct profile_peer peer;

    if (agent_group_is_me(agent, aid))
        return 0;
    return agent_contact_row(agent, aid, &peer) ? peer.peer_id : -1;
}

static void put_member(struct agent *agent, const struct agent_group *group,
                       const uint8_t aid[static 32])
{
    const struct group_member *member = group_member_find(&group->chain, aid);
    int64_t peer_id = member ? peer_of(agent, aid) : -1;

    if (peer_id >= 0)
        profile_member_put(agent->store, group->group_id, peer_id, member->role,
                           member->joined ? 2 : 1);
}

static void drop_member(struct agent *agent, const struct agent_group *group,
                        const uint8_t aid[static 32])
{
    int64_t peer_id = peer_of(agent, aid);

    if (peer_id >= 0)
        profile_member_remove(agent->store, group->group_id, peer_id);
}

static void invited(struct agent *agent, struct agent_group *group, const struct event *event)
{
    put_member(agent, group, event->target);
    if (agent_group_is_me(agent, event->target)) {
        if (group->row.state != PROFILE_GROUP_JOINED && group->row.state != PROFILE_GROUP_FORKED)
            agent_group_save(agent, group, PROFILE_GROUP_INVITED);
    } else if (agent_group_is_me(agent, event->actor)) {
        agent_group_invite_tell(agent, group, event->target);
    }
}

/* An epoch lets the joiner in; it may wait for others who come at the same time, the longer the
 * more members it has to be told to. */
static uint64_t patience_ms(const struct agent_group *group)
{
    uint64_t wait = 1000 + 60 * (uint64_t)group->chain.joined;

    return wait < LIMIT_EPOCH_BATCH_MS ? wait : LIMIT_EPOCH_BATCH_MS;
}

static void joined(struct agent *agent, struct agent_group *group, const struct event *event)
{
    put_member(agent, group, event->target);
    if (!agent_group_is_me(agent, event->target)) {
        agent_group_epoch_owe(agent, group, patience_ms(group));
        return;
    }
    if (group->row.state == PROFILE_GROUP_INVITED || group->row.state == PROFILE_GROUP_LEFT)
        agent_group_save(agent, group, PROFILE_GROUP_JOINED);
    agent_group_admins_accept(agent, group);
}

static void removed(struct agent *agent, struct agent_group *group, const struct event *event)
{
    drop_member(agent, group, event->target);
    put_member(agent, group, event->actor); /* who removes a revoked owner becomes that */
    if (agent_group_is_me(agent, event->target))
        agent_group_left(agent, group);
    else if (group->chain.stale)
        agent_group_epoch_owe(agent, group, 0);
}

void agent_group_settled(struct agent *agent, struct agent_group *group, const struct event *event,
                         struct bytes body)
{
    struct epoch_body epoch;

    switch ((enum event_type)event->type) {
    case EVENT_GROUP_CREATED:
        put_member(agent, group, event->actor);
        break;
    case EVENT_GROUP_INVITED:
        invited(agent, group, event);
        break;
    case EVENT_GROUP_JOINED:
        joined(agent, group, event);
        break;
    case EVENT_GROUP_REMOVED:
        removed(agent, group, event);
        break;
    case EVENT_GROUP_EPOCH:
        if (epoch_body_parse(body, &epoch) == ERR_OK)
            agent_group_epoch_begun(agent, group, event, &epoch);
        break;
    case EVENT_GROUP_ROLE:
        put_member(agent, group, event->target);
        put_member(agent, group, event->actor);
        if (group->row.state == PROFILE_GROUP_JOINED)
            agent_group_admins_accept(agent, group);
        break;
    case EVENT_GROUP_CLOSED:
        if (agent_group_is_open(group))
            agent_group_save(agent, group, PROFILE_GROUP_CLOSED);
        break;
    case EVENT_OPENED:
    case EVENT_ACCEPTED:
    case EVENT_REJECTED:
    case EVENT_ROTATED:
    case EVENT_CLOSED:
    case EVENT_EXPIRED:
        break;
    }
    if (group_is_admin(&group->chain, event->actor))
        agent_group_word(agent, group, event->ts_ms);
    agent_group_save(agent, group, group->row.state);
}

/* Somebody has joined whom no epoch has admitted yet? */
static bool has_joiners(const struct agent_group *group)
{
    for (size_t i = 0; i < group->chain.count; i++)
        if (group->chain.members[i].joined && !group->chain.members[i].reads)
            return true;
    return false;
}

void agent_group_caught_up(struct agent *agent, struct agent_group *group)
{
    bool first = !group->compared;

    if (group->wants_events || group->stored_seq < group->said_seq)
        return;
    group->compared = true;
    agent_group_ahead_check(agent, group);
    if (group->row.state == PROFILE_GROUP_INVITED)
        agent_group_invitation_judge(agent, group);
    if (!agent_group_is_mine_to_keep(agent, group)) {
        if (group->row.state == PROFILE_GROUP_JOINED)
            agent_group_seal_queue(agent, group);
        return;
    }
    /* Whoever joined while I was away is let in before I say anything. */
    if (group->chain.stale || (first && has_joiners(group)))
        agent_group_epoch_owe(agent, group, 0);
    agent_group_seal_queue(agent, group);
}
