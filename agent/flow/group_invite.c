/* Into a group and out of it: invitations told, judged, answered; what is left of it afterwards. */
#include <stdio.h>

#include "agent/flow/consent.h"
#include "agent/flow/contact.h"
#include "agent/flow/group_inner.h"
#include "agent/flow/group_mail.h"
#include "agent/flow/link.h"
#include "agent/flow/session.h"
#include "agent/store/alarms.h"
#include "agent/store/dead.h"
#include "agent/store/log.h"
#include "agent/store/scopes.h"
#include "shared/base/log.h"
#include "shared/trust/init0.h"
#include "shared/wire/pack.h"
#include "shared/wire/take.h"

#define JOIN_MARGIN_MS 1000
#define JUDGE_AGAIN_MS 5000

/* ------------------------------------------------------------------ telling */

void agent_group_invite_tell(struct agent *agent, struct agent_group *group,
                             const uint8_t aid[static 32])
{
    struct buf body = { 0 };

    pack_array(&body, 4);
    pack_bin(&body, bytes_of(group->row.id, 16));
    pack_bin(&body, bytes_of(group->chain.created_digest, 32));
    pack_text(&body, group->name);
    pack_str(&body, buf_bytes(&group->purpose));
    agent_group_tell(agent, aid, ENVELOPE_GROUP_INVITE, buf_bytes(&body));
    buf_wipe(&body);
    buf_free(&body);
}

/* ------------------------------------------------------------------ being told */

/* The agent who signed my INVITED. */
bool agent_group_inviter(struct agent *agent, const struct agent_group *group,
                         uint8_t aid[static 32])
{
    const struct group_member *me = agent_group_me(agent, group);
    struct profile_event row;
    struct event event;

    if (!me)
        return false;
    for (uint64_t seq = group->stored_seq; seq-- > 0;) {
        if (profile_events(agent->store, group->group_id, seq, &row, 1) != 1)
            return false;
        if (memcmp(row.digest, me->invited, 32) == 0
            && event_parse(bytes_of(row.preimage, EVENT_SIZE), &event) == ERR_OK) {
            memcpy(aid, event.actor, 32);
            return true;
        }
    }
    return false;
}

static size_t open_groups(const struct agent *agent)
{
    size_t count = 0;

    for (const struct agent_group *group = agent->groups; group; group = group->next)
        count += agent_group_is_open(group);
    return count;
}

/* Whom nobody answers is not answered here either. */
static bool is_silenced(struct agent *agent, const uint8_t aid[static 32])
{
    struct profile_peer peer;

    return profile_peer_find(agent->store, aid, &peer) && peer.pin == PIN_BLOCKED;
}

static struct agent_group *invitation_of(struct agent *agent, struct agent_group *group,
                                         const uint8_t gid[static 16])
{
    if (!group) {
        if (open_groups(agent) >= LIMIT_GROUPS_MAX)
            return NULL;
        group = agent_group_make(agent, gid, PROFILE_GROUP_INVITED, ROLE_MEMBER);
    }
    if (group->row.state == PROFILE_GROUP_LEFT)
        agent_group_save(agent, group, PROFILE_GROUP_INVITED);
    group->wants_events = true;
    group->compared = false;
    group->wait_ms = 0;
    agent->changed = true;
    return group;
}

void agent_group_invited(struct agent *agent, struct agent_group *group, const struct event *event)
{
    if (is_silenced(agent, event->actor) || (group && group->row.state == PROFILE_GROUP_FORKED)
        || (group && group->row.state == PROFILE_GROUP_CLOSED))
        return;
    group = invitation_of(agent, group, event->id);
    if (group && group->said_seq <= event->seq)
        group->said_seq = event->seq + 1;
}

/* Has somebody told what it is? */
static bool is_named(const struct agent_group *group)
{
    static const uint8_t nothing[32];

    return memcmp(group->told_created, nothing, 32) != 0;
}

static bool may_name(struct agent *agent, const struct agent_group *group,
                     const uint8_t aid[static 32])
{
    uint8_t inviter[32];

    return group_is_admin(&group->chain, aid)
           || (agent_group_inviter(agent, group, inviter) && memcmp(inviter, aid, 32) == 0);
}

void agent_group_invite_came(struct agent *agent, const struct profile_session *session,
                             struct bytes body)
{
    struct take take = take_of(body);
    struct agent_group *group;
    struct profile_peer peer;
    struct bytes told, purpose;
    char want[NAME_MAX_LEN + 1], name[NAME_MAX_LEN + 1];
    const uint8_t *gid, *created;
    bool joined;

    take_array_of(&take, 4);
    gid = take_fixed(&take, 16);
    created = take_fixed(&take, 32);
    told = take_str(&take, GROUP_TITLE_MAX);
    purpose = take_str(&take, GROUP_PURPOSE_MAX);
    if (take_end(&take) != ERR_OK || !profile_peer_get(agent->store, session->peer_id, &peer))
        return;
    group = agent_group_named(agent, gid);
    joined = group && group->row.state == PROFILE_GROUP_JOINED;
    if (joined && (is_named(group) || !may_name(agent, group, peer.id)))
        return;
    if (!joined)
        group = invitation_of(agent, group, gid);
    if (!group || group->row.state > PROFILE_GROUP_JOINED)
        return;
    if (joined && group->name[0])
        memcpy(want, group->name, sizeof want); /* as it was joined */
    else if (name_valid(told))
        snprintf(want, sizeof want, "%.*s", (int)told.len, (const char *)told.at);
    else
        snprintf(want, sizeof want, "group-%s", log_id(gid));
    agent_group_name_free(agent, group, want, name);
    agent_group_name_set(agent, group, name, purpose, told, peer.id, created);
}

/* ------------------------------------------------------------------ judging */

static enum consent_verdict consent_of(struct agent *agent, const struct profile_peer *peer,
                                       const struct agent_group *group)
{
    struct consent_facts facts
        = { .pin = peer->pin,
            .policy = peer->policy,
            .shares_circle = profile_circle_shared(agent->store, agent->me.row.id, peer->id),
            .name = peer->name };
    enum consent_verdict verdict = agent_consent_judge(&agent->settings, &facts);

    if (verdict == CONSENT_HOLD && agent->settings.trust_verified && peer->pin < PIN_VERIFIED)
        profile_alarm_add(agent->store, "not_verified", peer->peer_id, group->group_id,
                          "invites into a group", agent_now(agent));
    return verdict;
}

enum err agent_group_join_wish(struct agent *agent, struct agent_group *group)
{
    const struct group_member *me = agent_group_me(agent, group);
    uint8_t invited[32];
    enum err e;

    if (!me || me->joined)
        return ERR_NOT_FOUND;
    memcpy(invited, me->invited, 32);
    e = agent_group_wish(agent, group, EVENT_GROUP_JOINED, agent->me.row.id, bytes_of(invited, 32));
    if (e != ERR_OK)
        return e;
    log_event(LOG_INFO, "group.join", "me=%s group=%s", agent->me.row.name, log_id(group->row.id));
    group->refusal = ERR_OK;
    group->row.heard_ms = agent_now(agent);
    agent_group_save(agent, group, PROFILE_GROUP_JOINED);
    agent_group_admins_accept(agent, group);
    return ERR_OK;
}

/* Not there any more, or too late. */
static bool is_over(const struct agent *agent, const struct agent_group *group)
{
    const struct group_member *me = agent_group_me(agent, group);

    return !me || group->chain.life != GROUP_OPEN
           || me->expires_ms <= agent_now(agent) + JOIN_MARGIN_MS;
}

/* It may be another group that was told of under this number. */
static bool is_told(const struct agent_group *group)
{
    return group->name[0] && memcmp(group->told_created, group->chain.created_digest, 32) == 0;
}

void agent_group_invitation_judge(struct agent *agent, struct agent_group *group)
{
    struct profile_peer peer;
    uint8_t inviter[32];

    if (group->row.state != PROFILE_GROUP_INVITED || !group->compared
        || agent_group_pending(group) > 0)
        return;
    group->judge_ms = agent_elapsed(agent) + JUDGE_AGAIN_MS;
    if (is_over(agent, group)) {
        agent_group_left(agent, group);
        return;
    }
    if (!agent_group_inviter(agent, group, inviter) || !agent_contact_row(agent, inviter, &peer))
        return;
    switch (consent_of(agent, &peer, group)) {
    case CONSENT_SILENT:
        agent_group_left(agent, group);
        break;
    case CONSENT_GIVE:
        if (!is_named(group) || is_told(group)) /* its name may come later */
            agent_group_join_wish(agent, group);
        break;
    case CONSENT_HOLD:
        group->held = true;
        break;
    }
}

void agent_groups_judge(struct agent *agent)
{
    for (struct agent_group *group = agent->groups; group; group = group->next)
        group->judge_ms = 0;
}

void agent_group_admins_accept(struct agent *agent, struct agent_group *group)
{
    struct profile_session session;
    struct profile_peer peer;
    int64_t after = 0;

    while (profile_session_next_live(agent->store, after, &session)) {
        after = session.session_id;
        if (session.state == SESSION_WAS_ASKED && session.mode == MODE_MAILBOX
            && session.due_ms > agent_now(agent)
            && profile_peer_get(agent->store, session.peer_id, &peer)
            && group_is_admin(&group->chain, peer.id)
            && agent_consent(agent, &peer, &session) == CONSENT_GIVE)
            agent_session_accept(agent, &session, &peer);
    }
}

/* ------------------------------------------------------------------ out of it */

void agent_group_left(struct agent *agent, struct agent_group *group)
{
    bool was_in
        = group->row.state == PROFILE_GROUP_JOINED || group->row.state == PROFILE_GROUP_FORKED;

    if (!agent_group_is_open(group))
        return;
    log_event(LOG_INFO, "group.left", "me=%s group=%s", agent->me.row.name, log_id(group->row.id));
    agent_group_save(agent, group, PROFILE_GROUP_LEFT);
    profile_jobs_clear(agent->store, group->group_id);
    group->keys_due = false;
    group->epoch_due_ms = group->keyless_ms = 0;
    group->wants_events = false;
    buf_clear(&group->removal);
    if (was_in)
        agent_group_wipe(agent, group, DEAD_READER_REMOVED);
}
