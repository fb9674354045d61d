/* Messages to a group: queued, sealed once for all, and sealed anew when the epoch has changed
 * before the broker took them. */
#include <sodium.h>
#include <stdlib.h>

#include "agent/flow/channel.h"
#include "agent/flow/group_mail.h"
#include "agent/flow/link.h"
#include "agent/flow/outgoing.h"
#include "agent/flow/sync.h"
#include "agent/store/dead.h"
#include "agent/store/log.h"
#include "agent/store/outbox.h"
#include "agent/store/scopes.h"
#include "shared/base/crash.h"
#include "shared/base/log.h"
#include "shared/wire/frame.h"
#include "shared/wire/limit.h"
#include "shared/wire/pack.h"

#define SAID_TTL_MS (7ull * 86400000)

/* ------------------------------------------------------------------ queueing */

static enum err may_queue(struct agent *agent, const struct send_request *request,
                          struct agent_group **group)
{
    if (request->body.len > ENVELOPE_BODY_MAX
        || request->media_type.len > ENVELOPE_CONTENT_TYPE_MAX)
        return ERR_TOO_LARGE;
    if (agent->frozen)
        return ERR_ROLLBACK;
    if (agent->leaving)
        return ERR_FORBIDDEN;
    *group = agent_group_named(agent, request->group);
    if (!*group)
        return ERR_NOT_FOUND;
    switch ((*group)->row.state) {
    case PROFILE_GROUP_JOINED:
        return agent_outbox_full(agent) ? ERR_QUOTA : ERR_OK;
    case PROFILE_GROUP_CLOSED:
        return ERR_STATE;
    case PROFILE_GROUP_FORKED:
        return ERR_GROUP_FORK;
    case PROFILE_GROUP_INVITED:
    case PROFILE_GROUP_LEFT:
        break;
    }
    return ERR_NOT_MEMBER;
}

static void queue(struct agent *agent, const struct agent_group *group,
                  const struct envelope *envelope, const uint8_t thread[static 16], uint64_t ttl_ms)
{
    struct profile_out row = { .group_id = group->group_id,
                               .kind = envelope->kind,
                               .bytes = envelope->body.len,
                               .created_ms = agent_now(agent),
                               .expires_ms = agent_now(agent) + ttl_ms };
    struct buf plain = { 0 };

    memcpy(row.msg_id, envelope->msg_id, 16);
    memcpy(row.thread, thread, 16);
    envelope_encode(&plain, envelope);
    profile_out_add(agent->store, &row, buf_bytes(&plain));
    buf_wipe(&plain);
    buf_free(&plain);
}

enum err agent_group_mail_queue(struct agent *agent, const struct send_request *request,
                                uint8_t id[static 16])
{
    uint64_t ttl = agent->settings.ttl_ms < LIMIT_GROUP_LIFE_MS ? agent->settings.ttl_ms
                                                                : LIMIT_GROUP_LIFE_MS;
    struct envelope envelope = { .kind = ENVELOPE_USER,
                                 .msg_id = id,
                                 .ts_ms = agent_now(agent),
                                 .schema_version = ENVELOPE_SCHEMA_VERSION,
                                 .content_type = request->media_type,
                                 .body = request->body };
    struct agent_group *group;
    uint8_t thread[16];
    enum err e = may_queue(agent, request, &group);

    if (e != ERR_OK)
        return e;
    if (request->has_id)
        memcpy(id, request->id, 16);
    else
        agent_random(agent, id, 16);
    if (request->has_reply_to)
        envelope.reply_to = request->reply_to;
    if (!envelope.body.at)
        envelope.body = bytes_of("", 0);
    agent_thread_of(agent, request, id, thread);
    queue(agent, group, &envelope, thread, ttl);
    agent->open_messages++;
    agent->queued = agent->changed = true;
    agent_group_seal_queue(agent, group);
    return ERR_OK;
}

void agent_group_say(struct agent *agent, struct agent_group *group, uint8_t kind)
{
    uint8_t id[16];
    struct envelope envelope = { .kind = kind,
                                 .msg_id = id,
                                 .ts_ms = agent_now(agent),
                                 .schema_version = ENVELOPE_SCHEMA_VERSION,
                                 .body = bytes_of("", 0) };
    struct buf body = { 0 };

    agent_random(agent, id, sizeof id);
    if (kind == ENVELOPE_GROUP_REKEY_REQ) {
        pack_array(&body, 1);
        pack_bin(&body, bytes_of(group->row.id, 16));
        envelope.body = buf_bytes(&body);
    }
    queue(agent, group, &envelope, id, SAID_TTL_MS);
    buf_free(&body);
    agent_group_seal_queue(agent, group);
}

/* ------------------------------------------------------------------ sealing */

/* My chain in the newest epoch, as rows are sealed one after the other. */
struct sealing {
    struct agent *agent;
    const struct agent_group *group;
    struct group_epoch epoch;
    struct profile_chain chain;
    struct group_sending sending;
    size_t readers; /* whom the epoch has admitted, me included */
    bool moved;
};

/* Counted anew when the chain has changed: what is said to many costs no more than to few. */
static size_t readers_of(struct agent *agent, const struct agent_group *group)
{
    struct agent_channel *channel = agent_channel_of(agent, group);

    if (channel->counted_seq != group->chain.next_seq) {
        channel->counted_seq = group->chain.next_seq;
        channel->readers = 0;
        for (size_t i = 0; i < group->chain.count; i++)
            channel->readers += group->chain.members[i].reads;
    }
    return channel->readers;
}

static bool sealing_begin(struct sealing *sealing, struct agent *agent,
                          const struct agent_group *group)
{
    struct buf state = { 0 };
    bool good;

    *sealing
        = (struct sealing){ .agent = agent, .group = group, .readers = readers_of(agent, group) };
    if (!agent_group_epoch(group, &sealing->epoch)
        || !profile_chain_find(agent->store, group->group_id, sealing->epoch.epoch, 0,
                               &sealing->chain))
        return false;
    good = profile_chain_get(agent->store, &sealing->chain, &state)
           && group_sending_import(&sealing->sending, buf_bytes(&state)) == ERR_OK;
    buf_wipe(&state);
    buf_free(&state);
    return good;
}

static void sealing_end(struct sealing *sealing)
{
    struct buf state = { 0 };

    if (sealing->moved) {
        group_sending_export(&sealing->sending, &state);
        profile_chain_put(sealing->agent->store, &sealing->chain, buf_bytes(&state));
        buf_wipe(&state);
        buf_free(&state);
    }
    group_sending_wipe(&sealing->sending);
}

/* What is only known when the frame is made: my view of the group, and in heartbeats of the log. */
static enum err plain_of(const struct sealing *sealing, const struct profile_out *row,
                         struct buf *plain)
{
    struct agent *agent = sealing->agent;
    struct buf stored = { 0 }, heads = { 0 };
    struct envelope envelope;
    struct log_head log;
    enum err e = ERR_CORRUPT;

    if (profile_out_message(agent->store, row->outbox_id, &stored))
        e = envelope_decode(buf_bytes(&stored), &envelope);
    if (e == ERR_OK) {
        agent_group_heads(sealing->group, &heads);
        envelope.group_heads = buf_bytes(&heads);
        if (envelope.kind == ENVELOPE_HEARTBEAT) {
            profile_log_head(agent->store, &log);
            envelope.has_log = log.next > 0;
            envelope.log_index = log.next - envelope.has_log;
            envelope.log_head = log.digest;
        }
        envelope_encode(plain, &envelope);
    }
    buf_wipe(&stored);
    buf_free(&stored);
    buf_free(&heads);
    return e;
}

/* One number, one ciphertext for all.  `row` knows its number. */
static enum err seal_row(struct sealing *sealing, struct profile_out *row)
{
    struct agent *agent = sealing->agent;
    struct frame_header header = { .kind = FRAME_GROUP,
                                   .suite = sealing->epoch.suite,
                                   .seq = row->seq,
                                   .expires_ms = row->expires_ms };
    size_t readers = sealing->readers;
    struct buf plain = { 0 }, frame = { 0 };
    uint8_t hedge[32];
    enum err e = plain_of(sealing, row, &plain);

    if (e == ERR_OK && plain.len > GROUP_MESSAGE_MAX)
        e = ERR_TOO_LARGE;
    if (e == ERR_OK) {
        memcpy(header.scope, sealing->epoch.gid, 16);
        memcpy(header.sender, agent->me.row.id, 32);
        if (row->kind == ENVELOPE_USER && readers > 1 && readers <= LIMIT_GROUP_RECEIPTS)
            header.flags = FRAME_WANTS_RECEIPT;
        agent_random(agent, hedge, sizeof hedge);
        e = group_encrypt(&sealing->sending, &sealing->epoch, &header, agent->me.ik_secret,
                          buf_bytes(&plain), hedge, buf_extend(&frame, group_frame_size(plain.len)),
                          row->digest);
    }
    CRASH_POINT("send.sealed");
    if (e == ERR_OK) {
        sealing->moved = true;
        row->scope_id = sealing->group->group_id;
        row->epoch = sealing->epoch.epoch;
        row->recipients = readers > 0 ? readers - 1 : 0;
        row->sealed_ms = agent_now(agent);
        profile_out_seal_group(agent->store, row, buf_bytes(&frame));
        CRASH_POINT("send.rows");
    }
    buf_wipe(&plain);
    buf_free(&plain);
    buf_free(&frame);
    return e;
}

/* How many more may be sealed beyond the last acceptance. */
static uint64_t room(struct agent *agent, int64_t scope_id, const struct profile_scope *scope)
{
    uint64_t lowest = profile_out_lowest_sealed(agent->store, scope_id);
    uint64_t ahead = lowest ? scope->next_seq - lowest : 0;

    return ahead < LIMIT_SEALED_AHEAD ? LIMIT_SEALED_AHEAD - ahead : 0;
}

static void give_up(struct agent *agent, const struct profile_out *row, enum dead_reason reason,
                    const char *detail)
{
    if (row->kind <= ENVELOPE_INTRO)
        profile_dead_letter(agent->store, row, reason, detail, agent_now(agent));
    else
        profile_out_remove(agent->store, row->outbox_id);
    agent->changed = true;
}

static void seal_rows(struct sealing *sealing, uint64_t number, uint64_t most)
{
    struct agent *agent = sealing->agent;
    struct profile_out row;

    while (most > 0 && profile_out_next_of_group(agent->store, sealing->group->group_id, 0, &row)) {
        enum err e;
        if (row.expires_ms <= agent_now(agent)) {
            give_up(agent, &row, DEAD_EXPIRED, "");
            continue;
        }
        row.seq = number;
        e = seal_row(sealing, &row);
        if (e != ERR_OK) {
            log_event(LOG_ERROR, "seal", "error=%s", err_name(e));
            if (e != ERR_TOO_LARGE && e != ERR_SCHEMA)
                break;
            row.seq = 0;
            give_up(agent, &row, DEAD_GAVE_UP, err_name(e));
            continue;
        }
        profile_scope_take_seq(agent->store, row.scope_id, number++);
        most--;
    }
}

/* ------------------------------------------------------------------ sealing anew */

/* The broker has just said that it has none of my numbers above acc, and wants another epoch's. */
static void reseal(struct agent *agent, struct agent_group *group, struct agent_sender *sender)
{
    struct sealing sealing;
    struct profile_out row;
    uint64_t seq = sender->acc + 1;
    enum err e = ERR_OK;

    if (!agent_group_may_seal(agent, group))
        return;
    if (sealing_begin(&sealing, agent, group) && sealing.epoch.epoch > sender->refused_epoch) {
        while (e == ERR_OK && profile_out_next_sealed(agent->store, group->group_id, seq, &row)) {
            seq = row.seq + 1;
            if (row.epoch != sealing.epoch.epoch)
                e = seal_row(&sealing, &row);
        }
        if (e == ERR_OK) {
            log_event(LOG_INFO, "group.sealed_anew", "group=%s epoch=%u", log_id(group->row.id),
                      (unsigned)sealing.epoch.epoch);
            sender->refused_epoch = 0;
            sender->wait_ms = 0;
            sender->idle = false;
        } else {
            log_event(LOG_ERROR, "seal", "error=%s", err_name(e));
        }
    }
    sealing_end(&sealing);
}

/* ------------------------------------------------------------------ the queue */

void agent_group_seal_queue(struct agent *agent, struct agent_group *group)
{
    struct agent_channel *channel = agent_channel_of(agent, group);
    struct agent_sender *sender = agent_sender_of(agent, group->group_id);
    struct profile_scope scope;
    struct profile_out row;
    struct sealing sealing;
    uint64_t most;

    if (!sender || !sender->group)
        agent_sync_group(agent, group);
    else if (sender->refused_epoch && sender->flying == 0)
        reseal(agent, group, sender);
    /* A profile that was put back would say other words under the same numbers. */
    if (agent->frozen || !channel->synced
        || !profile_out_next_of_group(agent->store, group->group_id, 0, &row)
        || !agent_group_may_seal(agent, group)
        || !profile_scope_get(agent->store, group->group_id, &scope)
        || (most = room(agent, group->group_id, &scope)) == 0)
        return;
    if (sealing_begin(&sealing, agent, group)) {
        seal_rows(&sealing, scope.next_seq, most);
        if (sender && sealing.moved)
            sender->idle = false;
    }
    sealing_end(&sealing);
}

void agent_group_sent(struct agent *agent, struct agent_sender *sender)
{
    struct agent_group *group = agent_group_of(agent, sender->scope_id);

    if (group)
        agent_group_seal_queue(agent, group);
}

/* ------------------------------------------------------------------ what becomes of it */

void agent_group_synced(struct agent *agent, struct agent_group *group)
{
    agent_channel_of(agent, group)->synced = true;
    agent_group_seal_queue(agent, group);
}

void agent_group_receipt(struct agent *agent, const struct receipt *receipt)
{
    struct profile_scope scope;
    struct profile_peer peer;

    if (receipt->status != RECEIPT_DELIVERED
        || !profile_scope_find(agent->store, receipt->scope, &scope)
        || !profile_peer_find(agent->store, receipt->recipient, &peer))
        return;
    for (uint64_t seq = receipt->from; seq <= receipt->to; seq++) {
        struct profile_out row;
        if (!profile_out_at(agent->store, scope.scope_id, seq, &row))
            continue;
        profile_signed_add(agent->store, row.outbox_id, peer.peer_id, agent_now(agent));
        if (row.state < OUTBOX_DELIVERED
            && profile_signed_count(agent->store, row.outbox_id) >= row.recipients)
            profile_out_delivered(agent->store, row.outbox_id, agent_now(agent));
    }
    agent_outgoing_settled(agent, scope.scope_id);
    agent->changed = true;
}

/* The broker's word on one of mine.  Where somebody has signed for it, its end is no failure. */
void agent_group_notice(struct agent *agent, const struct profile_out *row, uint8_t reason)
{
    uint64_t now = agent_now(agent);

    if (row->kind > ENVELOPE_INTRO)
        profile_out_remove(agent->store, row->outbox_id);
    else if (profile_signed_count(agent->store, row->outbox_id) > 0
             || (row->recipients >= LIMIT_GROUP_RECEIPTS && reason == DEAD_EXPIRED))
        profile_out_delivered(agent->store, row->outbox_id, now);
    else
        profile_dead_letter(agent->store, row, (enum dead_reason)reason, "", now);
    agent_outgoing_settled(agent, row->scope_id);
}
