/* Epochs: drawn, handed out member by member, received, asked for. */
#include <sodium.h>

#include "agent/crypto/aead.h"
#include "agent/flow/contact.h"
#include "agent/flow/group_inner.h"
#include "agent/flow/group_mail.h"
#include "agent/flow/outgoing.h"
#include "shared/base/crash.h"
#include "shared/base/log.h"
#include "shared/wire/pack.h"
#include "shared/wire/take.h"

#define KEYS_A_TURN    64
#define EARLY_MAX      64    /* epochs ahead of the chain whose keys are kept */
#define REKEY_PAUSE_MS 60000 /* between epochs that members asked for */
#define KEY_TRAVELS_MS 120000
#define KEY_ASK_MAX_MS 3600000
#define OTHERS_WAIT_MS 4000 /* the owner is first */

/* ------------------------------------------------------------------ telling */

void agent_group_tell(struct agent *agent, const uint8_t aid[static 32], uint8_t kind,
                      struct bytes body)
{
    struct profile_peer peer;

    if (agent_contact_row(agent, aid, &peer) && peer.pin != PIN_BLOCKED && !peer.revoked_ms)
        agent_outgoing_tell(agent, &peer, kind, body, agent_now(agent) + LIMIT_FRAME_LIFE_MS);
}

static void tell_key(struct agent *agent, const struct agent_group *group,
                     const uint8_t aid[static 32], const uint8_t secret[static 32])
{
    struct buf body = { 0 };

    pack_array(&body, 4);
    pack_bin(&body, bytes_of(group->row.id, 16));
    pack_uint(&body, group->chain.epoch);
    pack_bin(&body, bytes_of(group->chain.epoch_digest, 32));
    pack_bin(&body, bytes_of(secret, 32));
    agent_group_tell(agent, aid, ENVELOPE_GROUP_KEY, buf_bytes(&body));
    buf_wipe(&body);
    buf_free(&body);
}

/* ------------------------------------------------------------------ a new one */

void agent_group_epoch_owe(struct agent *agent, struct agent_group *group, uint64_t after_ms)
{
    const struct group_member *me = agent_group_me(agent, group);
    uint64_t due = agent_elapsed(agent) + after_ms;

    if (!agent_group_is_mine_to_keep(agent, group))
        return;
    if (me->role != ROLE_OWNER)
        due += OTHERS_WAIT_MS + agent_jitter(agent, OTHERS_WAIT_MS);
    if (due == 0)
        due = 1;
    if (group->epoch_due_ms == 0 || due < group->epoch_due_ms)
        group->epoch_due_ms = due;
}

enum err agent_group_epoch_wish(struct agent *agent, struct agent_group *group)
{
    struct group_chain *chain = &group->chain;
    struct epoch_body epoch = { .epoch = chain->epoch + 1, .suite = SUITE_CHACHA };
    struct profile_job job
        = { .group_id = group->group_id, .epoch = epoch.epoch, .state = JOB_EVENT };
    uint8_t secret[32], body[EPOCH_BODY_SIZE];
    enum err e;

    agent_group_job_finish(agent, group);
    agent_random(agent, secret, sizeof secret);
    group_members_hash(epoch.members_hash, chain);
    group_confirm(epoch.confirm, secret, chain->gid, epoch.epoch, chain->head, epoch.members_hash);
    epoch_body_encode(body, &epoch);
    e = agent_group_wish(agent, group, EVENT_GROUP_EPOCH, NULL, bytes_of(body, sizeof body));
    if (e == ERR_OK) {
        profile_job_put(agent->store, &job, bytes_of(secret, sizeof secret));
        group->epoch_due_ms = 0;
    }
    sodium_memzero(secret, sizeof secret);
    return e;
}

/* ------------------------------------------------------------------ keys */

static bool confirms(const struct group_chain *at, const uint8_t secret[static 32])
{
    uint8_t confirm[32];

    group_confirm(confirm, secret, at->gid, at->epoch, at->epoch_prev, at->epoch_body.members_hash);
    return sodium_memcmp(confirm, at->epoch_body.confirm, 32) == 0;
}

void agent_group_keyless(struct agent *agent, struct agent_group *group)
{
    const struct group_member *me = agent_group_me(agent, group);
    bool lacks = me && me->reads && group->row.state == PROFILE_GROUP_JOINED
                 && group->chain.epoch_seq < group->stored_seq
                 && !agent_group_has_key(agent, group->group_id, group->chain.epoch);

    if (!lacks) {
        group->keyless_ms = 0;
        group->key_asks = 0;
    } else if (group->keyless_ms == 0) {
        group->keyless_ms = agent_now(agent);
        group->key_asked_ms = agent_elapsed(agent) + LIMIT_KEY_ASK_MS;
    }
    /* My own, drawn by a newer copy of this profile: nobody else has it to give. */
    if (lacks && group->epoch_due_ms == 0 && agent_group_is_me(agent, group->chain.epoch_actor)
        && !agent_group_wishes(agent, group, EVENT_GROUP_EPOCH))
        agent_group_epoch_owe(agent, group, 0);
}

/* The chain behind the EPOCH of this number: the present one, or made for this. */
static struct group_chain *chain_of(struct agent *agent, struct agent_group *group, uint32_t epoch,
                                    struct group_chain *made)
{
    if (group->chain.epoch == epoch && group->chain.epoch_seq < group->stored_seq)
        return &group->chain;
    return agent_group_chain_at(agent, group, epoch, made) ? made : NULL;
}

/* False: the secret is another. */
static bool use_secret(struct agent *agent, struct agent_group *group, uint32_t epoch,
                       const uint8_t secret[static 32])
{
    struct group_chain made = { 0 };
    const struct group_chain *at = chain_of(agent, group, epoch, &made);
    const struct group_member *me = at ? group_member_find(at, agent->me.row.id) : NULL;
    bool good = at && confirms(at, secret);

    if (good && me && me->reads) {
        log_event(LOG_INFO, "group.keyed", "me=%s group=%s epoch=%u", agent->me.row.name,
                  log_id(group->row.id), (unsigned)epoch);
        agent_group_keyed(agent, group, at, secret);
        agent_group_keyless(agent, group);
        agent->changed = true;
    }
    if (at == &made)
        group_chain_free(&made);
    return good;
}

/* My own is confirmed: the keys go out. */
static bool hand_out(struct agent *agent, struct agent_group *group, uint32_t epoch)
{
    struct profile_job job;
    struct buf secret = { 0 };
    bool mine = profile_job_of(agent->store, group->group_id, &job) && job.state == JOB_EVENT
                && job.epoch == epoch && profile_job_secret(agent->store, &job, &secret)
                && secret.len == 32;

    if (mine) {
        CRASH_POINT("epoch.appended");
        mine = use_secret(agent, group, epoch, secret.at);
        job.state = JOB_KEYS;
        profile_job_set(agent->store, &job);
        group->keys_due = true;
        CRASH_POINT("epoch.job");
    }
    buf_wipe(&secret);
    buf_free(&secret);
    return mine;
}

static bool came_early(struct agent *agent, struct agent_group *group, uint32_t epoch)
{
    struct profile_job job;
    struct buf secret = { 0 };
    bool good;

    if (!profile_job_early(agent->store, group->group_id, epoch, &job))
        return false;
    good = profile_job_secret(agent->store, &job, &secret) && secret.len == 32
           && use_secret(agent, group, epoch, secret.at);
    if (!good)
        agent_group_alarm(agent, group, "a key that does not fit the signed epoch");
    profile_job_remove(agent->store, job.job_id);
    buf_wipe(&secret);
    buf_free(&secret);
    return good;
}

void agent_group_epoch_begun(struct agent *agent, struct agent_group *group,
                             const struct event *event, const struct epoch_body *body)
{
    bool mine = agent_group_is_me(agent, event->actor);

    log_event(LOG_INFO, "group.epoch", "me=%s group=%s epoch=%u", agent->me.row.name,
              log_id(group->row.id), (unsigned)body->epoch);
    group->epoch_due_ms = 0;
    group->epoch_refusals = 0;
    if (!(mine && hand_out(agent, group, body->epoch)))
        came_early(agent, group, body->epoch);
    agent_group_keyless(agent, group);
}

/* ------------------------------------------------------------------ the job */

/* False: nobody is left. */
static bool hand_to(struct agent *agent, struct agent_group *group, struct profile_job *job,
                    const uint8_t secret[static 32], size_t most)
{
    int64_t peers[KEYS_A_TURN];
    size_t count = profile_members(agent->store, group->group_id, job->next_peer, peers, most);

    for (size_t i = 0; i < count; i++) {
        const struct group_member *member;
        struct profile_peer peer;
        job->next_peer = peers[i];
        if (!profile_peer_get(agent->store, peers[i], &peer))
            continue;
        member = group_member_find(&group->chain, peer.id);
        if (member && member->reads) {
            tell_key(agent, group, peer.id, secret);
            CRASH_POINT("epoch.queued");
        }
    }
    return count == most;
}

void agent_group_job_step(struct agent *agent, struct agent_group *group)
{
    struct profile_job job;
    struct buf secret = { 0 };

    group->keys_due = false;
    if (!profile_job_of(agent->store, group->group_id, &job) || job.state != JOB_KEYS)
        return;
    if (job.epoch == group->chain.epoch && profile_job_secret(agent->store, &job, &secret)
        && secret.len == 32 && hand_to(agent, group, &job, secret.at, KEYS_A_TURN)) {
        profile_job_set(agent->store, &job);
        group->keys_due = true;
    } else {
        profile_job_remove(agent->store, job.job_id);
    }
    buf_wipe(&secret);
    buf_free(&secret);
    agent->changed = true;
}

void agent_group_job_finish(struct agent *agent, struct agent_group *group)
{
    while (group->keys_due)
        agent_group_job_step(agent, group);
}

/* ------------------------------------------------------------------ keys that come */

/* Before its EPOCH: it is judged when that comes.  Nobody but an admin hands out keys, and the first
 * one stays: whoever else sends something must not put a true one out of its place. */
static void keep_early(struct agent *agent, struct agent_group *group,
                       const struct profile_peer *by, uint32_t epoch, const uint8_t *secret)
{
    struct profile_job job = { .group_id = group->group_id, .epoch = epoch, .state = JOB_EARLY };
    struct profile_job before;

    if (epoch > group->chain.epoch + EARLY_MAX || !group_is_admin(&group->chain, by->id)
        || profile_job_early(agent->store, group->group_id, epoch, &before))
        return;
    profile_job_put(agent->store, &job, bytes_of(secret, 32));
    group->wants_events = true;
}

void agent_group_key_came(struct agent *agent, const struct profile_session *session,
                          struct bytes body)
{
    struct take take = take_of(body);
    struct agent_group *group;
    struct group_epoch known;
    struct profile_peer peer;
    const uint8_t *gid, *digest, *secret;
    uint32_t epoch;

    take_array_of(&take, 4);
    gid = take_fixed(&take, 16);
    epoch = (uint32_t)take_uint(&take, UINT32_MAX);
    digest = take_fixed(&take, 32);
    secret = take_fixed(&take, 32);
    if (take_end(&take) != ERR_OK || !(group = agent_group_named(agent, gid))
        || group->row.state != PROFILE_GROUP_JOINED
        || agent_group_has_key(agent, group->group_id, epoch))
        return;
    if (!profile_peer_get(agent->store, session->peer_id, &peer))
        return;
    if (!agent_group_epoch_at(group, epoch, &known)) {
        if (epoch > group->row.epoch)
            keep_early(agent, group, &peer, epoch, secret);
        return;
    }
    if (memcmp(known.digest, digest, 32) != 0) {
        if (group_member_find(&group->chain, peer.id))
            agent_group_forked(agent, group, "a member has another epoch of this number");
    } else if (!use_secret(agent, group, epoch, secret)) {
        agent_group_alarm(agent, group, "a key that does not fit the signed epoch");
    }
}

/* ------------------------------------------------------------------ keys that are asked for */

/* An epoch for one who asked: not more often than once a minute. */
static void rekey_for(struct agent *agent, struct agent_group *group)
{
    uint64_t now = agent_elapsed(agent);
    uint64_t next = group->rekeyed_ms ? group->rekeyed_ms + REKEY_PAUSE_MS : 0;

    if (group->epoch_due_ms)
        return;
    group->epoch_due_ms = next > now ? next : now + 1;
    group->rekeyed_ms = group->epoch_due_ms;
}

static struct agent_group *asked_about(struct agent *agent, const struct profile_session *session,
                                       const uint8_t *gid, struct profile_peer *peer)
{
    struct agent_group *group = agent_group_named(agent, gid);

    return group && agent_group_is_mine_to_keep(agent, group)
                   && profile_peer_get(agent->store, session->peer_id, peer)
               ? group
               : NULL;
}

/* Only members of that epoch get an answer, and of older ones nobody: who is in the group needs the
 * newest. */
void agent_group_key_asked(struct agent *agent, const struct profile_session *session,
                           struct bytes body)
{
    struct take take = take_of(body);
    const struct group_member *member;
    struct agent_group *group;
    struct profile_peer peer;
    struct profile_job job;
    struct buf secret = { 0 };
    const uint8_t *gid;
    uint32_t epoch;
    uint64_t now = agent_now(agent);

    take_array_of(&take, 2);
    gid = take_fixed(&take, 16);
    epoch = (uint32_t)take_uint(&take, UINT32_MAX);
    if (take_end(&take) != ERR_OK || !(group = asked_about(agent, session, gid, &peer)))
        return;
    if (epoch > group->chain.epoch)
        group->wants_events = true;
    member = group_member_find(&group->chain, peer.id);
    if (epoch != group->chain.epoch || group->chain.epoch_seq >= group->stored_seq || !member
        || !member->reads
        || profile_key_under_way(agent->store, peer.peer_id,
                                 now > KEY_TRAVELS_MS ? now - KEY_TRAVELS_MS : 0))
        return;
    if (profile_job_of(agent->store, group->group_id, &job) && job.state == JOB_KEYS
        && job.epoch == epoch && profile_job_secret(agent->store, &job, &secret)
        && secret.len == 32)
        tell_key(agent, group, peer.id, secret.at);
    else
        rekey_for(agent, group);
    buf_wipe(&secret);
    buf_free(&secret);
}

/* A member has not heard an admin for too long: now it does. */
void agent_group_rekey_asked(struct agent *agent, const struct profile_session *session,
                             struct bytes body)
{
    struct take take = take_of(body);
    const struct group_member *member;
    struct agent_group *group;
    struct profile_peer peer;
    const uint8_t *gid;

    take_array_of(&take, 1);
    gid = take_fixed(&take, 16);
    if (take_end(&take) != ERR_OK || !(group = asked_about(agent, session, gid, &peer)))
        return;
    member = group_member_find(&group->chain, peer.id);
    if (member && member->reads)
        rekey_for(agent, group);
}

void agent_group_control(struct agent *agent, const struct profile_session *session,
                         const struct envelope *envelope)
{
    switch ((enum envelope_kind)envelope->kind) {
    case ENVELOPE_GROUP_KEY:
        agent_group_key_came(agent, session, envelope->body);
        break;
    case ENVELOPE_GROUP_INVITE:
        agent_group_invite_came(agent, session, envelope->body);
        break;
    case ENVELOPE_GROUP_KEY_REQ:
        agent_group_key_asked(agent, session, envelope->body);
        break;
    case ENVELOPE_GROUP_REKEY_REQ:
        agent_group_rekey_asked(agent, session, envelope->body);
        break;
    case ENVELOPE_USER:
    case ENVELOPE_INTRO:
    case ENVELOPE_ACCEPT:
    case ENVELOPE_ROTATE:
    case ENVELOPE_HEARTBEAT:
        break;
    }
}
