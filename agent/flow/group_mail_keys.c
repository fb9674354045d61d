/* The keys of a group's epochs: a chain for each member, until what is late has come. */
#include <sodium.h>

#include "agent/flow/channel.h"
#include "agent/flow/contact.h"
#include "agent/flow/freeze.h"
#include "agent/flow/group_inner.h"
#include "agent/flow/group_mail.h"
#include "agent/flow/outgoing.h"
#include "agent/flow/sync.h"
#include "agent/store/alarms.h"
#include "agent/store/dead.h"
#include "agent/store/outbox.h"
#include "agent/store/scopes.h"
#include "shared/wire/limit.h"
#include "shared/wire/pack.h"

/* ------------------------------------------------------------------ a key comes */

static void add_chain(struct agent *agent, const struct group_epoch *epoch, int64_t group_id,
                      const uint8_t aid[static 32], int64_t peer_id,
                      const uint8_t secret[static 32])
{
    struct profile_chain chain
        = { .group_id = group_id, .peer_id = peer_id, .epoch = epoch->epoch };
    struct group_sending sending;
    struct buf state = { 0 };

    group_sending_init(&sending, secret, epoch, aid);
    group_sending_export(&sending, &state);
    profile_chain_add(agent->store, &chain, buf_bytes(&state));
    group_sending_wipe(&sending);
    buf_wipe(&state);
    buf_free(&state);
}

static void add_chains(struct agent *agent, const struct agent_group *group,
                       const struct group_chain *at, const uint8_t secret[static 32])
{
    struct group_epoch epoch = { .epoch = at->epoch, .suite = at->epoch_body.suite };

    memcpy(epoch.gid, group->row.id, 16);
    memcpy(epoch.digest, at->epoch_digest, 32);
    for (size_t i = 0; i < at->count; i++) {
        const struct group_member *member = &at->members[i];
        struct profile_peer peer;
        if (!member->joined || !member->reads)
            continue;
        if (memcmp(member->aid, agent->me.row.id, 32) == 0)
            add_chain(agent, &epoch, group->group_id, member->aid, 0, secret);
        else if (agent_contact_row(agent, member->aid, &peer))
            add_chain(agent, &epoch, group->group_id, member->aid, peer.peer_id, secret);
    }
}

/* What is still held may need them, and what came late their skipped keys: for a day. */
static void end_chains(struct agent *agent, int64_t group_id, uint32_t before_epoch)
{
    profile_chains_end(agent->store, group_id, before_epoch,
                       profile_held_count(agent->store, group_id) == 0,
                       agent_now(agent) + LIMIT_EPOCH_OLD_MS);
}

void agent_group_keyed(struct agent *agent, struct agent_group *group, const struct group_chain *at,
                       const uint8_t secret[static 32])
{
    struct agent_channel *channel = agent_channel_of(agent, group);
    uint32_t epoch = at->epoch;

    if (agent_group_has_key(agent, group->group_id, epoch))
        return;
    add_chains(agent, group, at, secret);
    agent_group_open_held(agent, group);
    if (epoch < channel->row.epoch) /* late: what it was for has just been opened */
        end_chains(agent, group->group_id, channel->row.epoch);
    agent_group_seal_queue(agent, group);
    agent->changed = true;
}

bool agent_group_has_key(struct agent *agent, int64_t group_id, uint32_t epoch)
{
    return profile_chain_any(agent->store, group_id, epoch);
}

/* ------------------------------------------------------------------ and goes */

void agent_group_epoch_read(struct agent *agent, struct agent_group *group, uint32_t epoch)
{
    struct agent_channel *channel = agent_channel_of(agent, group);

    if (epoch <= channel->row.epoch)
        return;
    channel->row.epoch = epoch;
    channel->row_changed = true;
    end_chains(agent, group->group_id, epoch);
}

static void end_queue(struct agent *agent, int64_t group_id, enum dead_reason reason)
{
    struct profile_out row;
    uint64_t now = agent_now(agent);

    while (profile_out_next_sealed(agent->store, group_id, 0, &row)
           || profile_out_next_of_group(agent->store, group_id, 0, &row)) {
        if (row.kind <= ENVELOPE_INTRO)
            profile_dead_letter(agent->store, &row, reason, "", now);
        else
            profile_out_remove(agent->store, row.outbox_id);
        agent->changed = true;
    }
}

void agent_group_wipe(struct agent *agent, struct agent_group *group, uint8_t reason)
{
    struct agent_channel *channel = agent_channel_find(agent, group->group_id);

    if (channel)
        agent_channel_void(channel);
    end_queue(agent, group->group_id, (enum dead_reason)reason);
    profile_out_left(agent->store, group->group_id, agent_now(agent));
    profile_chains_remove(agent->store, group->group_id);
    profile_helds_remove(agent->store, group->group_id);
    profile_channel_remove(agent->store, group->group_id);
    profile_received_remove(agent->store, group->group_id);
    profile_scope_adopt_later(agent->store, group->group_id);
    agent_sender_drop(agent, group->group_id);
    if (channel)
        channel->synced = false;
}

/* What is held may still get its key. */
void agent_group_read_to_end(struct agent *agent, struct agent_group *group)
{
    if (profile_held_count(agent->store, group->group_id) == 0) {
        agent_group_wipe(agent, group, DEAD_SESSION_ENDED);
        return;
    }
    end_queue(agent, group->group_id, DEAD_SESSION_ENDED);
    agent_group_epoch_read(agent, group, group->chain.epoch + 1);
}

/* A person has said that there is no newer copy of this profile: the broker's count holds, and what
 * I say waits for an epoch whose numbers nobody has used. */
static void begin_behind(struct agent *agent, struct agent_group *group)
{
    const struct group_member *owner = group_owner(&group->chain);
    struct profile_chain chain;
    struct buf body = { 0 };

    if (profile_chain_find(agent->store, group->group_id, group->chain.epoch, 0, &chain))
        profile_chain_remove(agent->store, chain.chain_id);
    profile_scope_adopt_later(agent->store, group->group_id);
    agent_sync_group(agent, group);
    if (agent_group_is_mine_to_keep(agent, group)) {
        agent_group_epoch_owe(agent, group, 0);
    } else if (owner) {
        pack_array(&body, 1);
        pack_bin(&body, bytes_of(group->row.id, 16));
        agent_group_tell(agent, owner->aid, ENVELOPE_GROUP_REKEY_REQ, buf_bytes(&body));
        buf_free(&body);
    }
}

void agent_group_rolled_back(struct agent *agent, struct agent_group *group)
{
    if (agent_was_restored(agent))
        begin_behind(agent, group);
    else
        agent_freeze(agent, 0, group->group_id,
                     "the broker knows more of a group than this profile");
}

/* ------------------------------------------------------------------ time */

void agent_group_mail_sweep(struct agent *agent)
{
    uint64_t now = agent_now(agent);

    if (now > LIMIT_GROUP_KEPT_MS && profile_out_age(agent->store, now - LIMIT_GROUP_KEPT_MS, now))
        for (const struct agent_channel *channel = agent->channels; channel;
             channel = channel->next)
            agent_outgoing_settled(agent, channel->group_id);
    profile_chains_sweep(agent->store, now);
    if (now > LIMIT_GROUP_HELD_MS
        && profile_helds_forget(agent->store, now - LIMIT_GROUP_HELD_MS) > 0)
        profile_alarm_add(agent->store, "undecryptable", 0, 0,
                          "the key of messages to a group did not come for 30 days", now);
    for (struct agent_group *group = agent->groups; group; group = group->next) {
        if (group->row.state != PROFILE_GROUP_JOINED)
            continue;
        if (profile_held_count(agent->store, group->group_id) > 0)
            agent_group_open_held(agent, group);
        agent_group_seal_queue(agent, group);
    }
}
