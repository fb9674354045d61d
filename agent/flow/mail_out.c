/* Mail out, as programs see it: queue a message, and what has become of it. */
#include <stdlib.h>

#include "agent/flow/contact.h"
#include "agent/flow/group_mail.h"
#include "agent/flow/link.h"
#include "agent/flow/outgoing.h"
#include "agent/flow/verify.h"
#include "agent/flow/views.h"
#include "agent/store/chains.h"
#include "agent/store/dead.h"
#include "agent/store/log.h"
#include "agent/store/scopes.h"
#include "agent/store/sessions.h"
#include "shared/base/crash.h"
#include "shared/trust/init0.h"
#include "shared/wire/limit.h"

/* ------------------------------------------------------------------ send */

static enum err may_send(struct agent *agent, const struct send_request *request,
                         struct profile_peer *peer)
{
    if (request->body.len > ENVELOPE_BODY_MAX
        || request->media_type.len > ENVELOPE_CONTENT_TYPE_MAX)
        return ERR_TOO_LARGE;
    if (agent->frozen)
        return ERR_ROLLBACK;
    if (agent->leaving || memcmp(request->to, agent->me.row.id, 32) == 0)
        return ERR_FORBIDDEN;
    if (!agent_contact_row(agent, request->to, peer))
        return ERR_UNKNOWN_AGENT;
    return agent_may_write(agent, peer);
}

bool agent_outbox_full(struct agent *agent)
{
    struct profile_out_counts counts;

    if (agent->open_messages < LIMIT_OUTBOX_MAX)
        return false;
    profile_out_counts(agent->store, &counts);
    agent->open_messages = counts.open;
    return counts.open >= LIMIT_OUTBOX_MAX;
}

static bool exists(struct agent *agent, const uint8_t id[static 16])
{
    struct profile_out row;
    struct profile_dead dead;

    return profile_out_find(agent->store, id, &row) || profile_dead_find(agent->store, id, &dead);
}

void agent_thread_of(struct agent *agent, const struct send_request *request,
                     const uint8_t id[static 16], uint8_t thread[static 16])
{
    struct profile_in in;
    struct profile_out out;

    memcpy(thread, id, 16);
    if (!request->has_reply_to)
        return;
    if (profile_in_find(agent->store, request->reply_to, &in))
        memcpy(thread, in.thread, 16);
    else if (profile_out_find(agent->store, request->reply_to, &out))
        memcpy(thread, out.thread, 16);
    else
        memcpy(thread, request->reply_to, 16);
}

/* The live session that the message goes into, or nowhere. */
static enum err find_live(struct agent *agent, const struct send_request *request,
                          const struct profile_peer *peer, struct profile_session *session)
{
    struct profile_scope scope;

    if (!profile_scope_find(agent->store, request->session, &scope)
        || !profile_session_get(agent->store, scope.scope_id, session)
        || session->peer_id != peer->peer_id || session->mode != MODE_LIVE)
        return ERR_SESSION_NOT_FOUND;
    return session->state == SESSION_ASKED || session->state == SESSION_ACTIVE ? ERR_OK : ERR_STATE;
}

static void queue_message(struct agent *agent, const struct send_request *request,
                          const struct profile_peer *peer, const struct profile_session *live,
                          const uint8_t id[static 16])
{
    uint64_t now = agent_now(agent);
    uint64_t ttl = agent->settings.ttl_ms < LIMIT_FRAME_LIFE_MS ? agent->settings.ttl_ms
                                                                : LIMIT_FRAME_LIFE_MS;
    struct profile_out row = { .peer_id = peer->peer_id,
                               .bytes = request->body.len,
                               .created_ms = now,
                               .expires_ms = now + ttl };
    struct envelope envelope = { .kind = ENVELOPE_USER,
                                 .msg_id = id,
                                 .ts_ms = now,
                                 .schema_version = ENVELOPE_SCHEMA_VERSION,
                                 .content_type = request->media_type,
                                 .body = request->body };
    struct buf plain = { 0 };

    if (live) {
        row.scope_id = live->session_id;
        row.live = true;
    }
    memcpy(row.msg_id, id, 16);
    agent_thread_of(agent, request, id, row.thread);
    if (request->has_reply_to)
        envelope.reply_to = request->reply_to;
    if (!envelope.body.at)
        envelope.body = bytes_of("", 0);
    envelope_encode(&plain, &envelope);
    profile_out_add(agent->store, &row, buf_bytes(&plain));
    buf_wipe(&plain);
    buf_free(&plain);
    agent->open_messages++;
    agent->queued = true;
}

enum err agent_outgoing_allowed(struct agent *agent, const uint8_t to[static 32], size_t size,
                                struct profile_peer *peer)
{
    struct send_request request = { .body = { .len = size } };
    enum err e;

    memcpy(request.to, to, 32);
    e = may_send(agent, &request, peer);
    return e == ERR_OK && agent_outbox_full(agent) ? ERR_QUOTA : e;
}

void agent_outgoing_introduce(struct agent *agent, const struct profile_peer *peer,
                              struct bytes body, bool live, const uint8_t id[static 16])
{
    uint64_t now = agent_now(agent);
    uint64_t life = live ? LIMIT_REQUEST_LIVE_MS : LIMIT_REQUEST_LIFE_MS;
    struct profile_out row = { .peer_id = peer->peer_id,
                               .live = live,
                               .kind = ENVELOPE_INTRO,
                               .bytes = body.len,
                               .created_ms = now,
                               .expires_ms = now + life };
    struct envelope envelope = { .kind = ENVELOPE_INTRO,
                                 .msg_id = id,
                                 .ts_ms = now,
                                 .schema_version = ENVELOPE_SCHEMA_VERSION,
                                 .content_type = bytes_of_text("text/plain"),
                                 .body = body.at ? body : bytes_of("", 0) };
    struct buf plain = { 0 };

    if (!live && agent->settings.ttl_ms < life)
        row.expires_ms = now + agent->settings.ttl_ms;
    memcpy(row.msg_id, id, 16);
    memcpy(row.thread, id, 16);
    envelope_encode(&plain, &envelope);
    profile_out_add(agent->store, &row, buf_bytes(&plain));
    buf_wipe(&plain);
    buf_free(&plain);
    agent->open_messages++;
    agent->queued = true;
}

enum err agent_send(struct agent *agent, const struct send_request *request, uint8_t id[static 16])
{
    struct profile_peer peer;
    struct profile_session session;
    enum err e;

    agent_enter(agent);
    CRASH_POINT("send.begun");
    if (request->has_id && exists(agent, request->id)) {
        memcpy(id, request->id, 16);
        return agent_leave(agent);
    }
    if (request->group) {
        e = agent_group_mail_queue(agent, request, id);
        if (e == ERR_OK)
            return agent_leave(agent);
        agent_store_rollback(agent->store);
        return e;
    }
    e = may_send(agent, request, &peer);
    if (e == ERR_OK && request->session)
        e = find_live(agent, request, &peer, &session);
    if (e == ERR_OK && agent_outbox_full(agent))
        e = ERR_QUOTA;
    if (e != ERR_OK) {
        agent_store_rollback(agent->store);
        return e;
    }
    if (request->has_id)
        memcpy(id, request->id, 16);
    else
        agent_random(agent, id, 16);
    queue_message(agent, request, &peer, request->session ? &session : NULL, id);
    if (request->session) {
        agent_outgoing_seal_session(agent, &session);
    } else {
        agent_outgoing_seal_queue(agent, peer.peer_id);
        if (!profile_session_active(agent->store, peer.peer_id, &session))
            agent->look_queue = true;
    }
    agent->changed = true;
    return agent_leave(agent);
}

/* ------------------------------------------------------------------ state */

static const char *reason_word(enum dead_reason reason)
{
    switch (reason) {
    case DEAD_EXPIRED:
        return "expired";
    case DEAD_REFUSED:
        return "refused";
    case DEAD_UNDECRYPTABLE:
        return "undecryptable";
    case DEAD_REVOKED:
        return "recipient_revoked";
    case DEAD_SESSION_ENDED:
        return "session_ended";
    case DEAD_DAMAGED:
        return "damaged";
    case DEAD_PURGED:
        return "purged";
    case DEAD_READER_REMOVED:
        return "reader_removed";
    case DEAD_KEY_CHANGED:
        return "key_changed";
    case DEAD_STATE_LOST:
        return "state_lost";
    case DEAD_GAVE_UP:
        return "gave_up";
    case DEAD_DROPPED:
        return "dropped";
    case DEAD_REJECTED:
        return "rejected";
    case DEAD_BLOCKED:
        return "blocked";
    case DEAD_UNKNOWN_AGENT:
        return "unknown_agent";
    }
    return "refused";
}

/* A request of ours that the broker has. */
static bool is_asked(struct agent *agent, const struct profile_session *session)
{
    struct profile_out first;

    return session->state == SESSION_ASKED
           && profile_out_at(agent->store, session->session_id, 1, &first)
           && first.state == OUTBOX_ACCEPTED;
}

static enum outgoing_waits group_waits_for(struct agent *agent, const struct profile_out *row)
{
    const struct agent_group *group = agent_group_of(agent, row->group_id);
    const struct agent_sender *sender = agent_sender_of(agent, row->group_id);

    if (row->state == OUTBOX_DELIVERED)
        return WAITS_FOR_NOTHING;
    if (row->state == OUTBOX_ACCEPTED)
        return WAITS_FOR_RECIPIENT;
    if (!agent->me.row.enrolled)
        return WAITS_FOR_APPROVAL;
    if (!agent_is_up(agent) || !group)
        return WAITS_FOR_BROKER;
    if (row->state == OUTBOX_SEALED)
        return sender && sender->refused_epoch ? WAITS_FOR_EPOCH : WAITS_FOR_BROKER;
    return agent_group_may_seal(agent, group) ? WAITS_FOR_BROKER : WAITS_FOR_EPOCH;
}

static enum outgoing_waits waits_for(struct agent *agent, const struct profile_out *row)
{
    struct profile_session session;

    if (row->group_id)
        return group_waits_for(agent, row);
    if (row->state == OUTBOX_DELIVERED)
        return WAITS_FOR_NOTHING;
    if (!agent->me.row.enrolled)
        return WAITS_FOR_APPROVAL;
    if (row->state == OUTBOX_QUEUED) {
        bool has = row->scope_id
                       ? profile_session_get(agent->store, row->scope_id, &session)
                       : !row->live && !profile_session_active(agent->store, row->peer_id, &session)
                             && profile_session_asked(agent->store, row->peer_id, &session);
        return has && is_asked(agent, &session) ? WAITS_FOR_CONSENT : WAITS_FOR_BROKER;
    }
    if (row->state == OUTBOX_SEALED)
        return WAITS_FOR_BROKER;
    return profile_session_get(agent->store, row->scope_id, &session)
                   && session.state == SESSION_ASKED
               ? WAITS_FOR_CONSENT
               : WAITS_FOR_RECIPIENT;
}

static void last_refusal(struct agent *agent, const struct profile_out *row,
                         struct outgoing_info *out)
{
    const struct agent_sender *sender
        = row->scope_id ? agent_sender_of(agent, row->scope_id) : NULL;
    const struct agent_opening *opening
        = row->group_id ? NULL : agent_opening_of(agent, row->peer_id, row->live);

    if (row->state > OUTBOX_SEALED)
        return;
    if (sender) {
        out->wire = sender->refusal;
        out->retry_after_ms = sender->retry_after_ms;
    } else if (opening) {
        out->wire = opening->refusal;
        out->retry_after_ms = opening->retry_after_ms;
    }
}

static void describe_envelope(struct bytes plain, struct outgoing_info *out)
{
    struct envelope envelope;

    out->media_type = out->body = bytes_of("", 0);
    if (envelope_decode(plain, &envelope) != ERR_OK)
        return;
    out->media_type = envelope.content_type;
    out->body = envelope.body;
    if (envelope.reply_to) {
        out->has_reply_to = true;
        memcpy(out->reply_to, envelope.reply_to, 16);
    }
}

/* To whom, by name; of a group how many have it. */
static void describe_to(struct agent *agent, int64_t peer_id, int64_t group_id,
                        char name[static 65], struct outgoing_info *out)
{
    struct profile_peer peer = { 0 };

    name[0] = '\0';
    if (group_id) {
        out->has_group = agent_group_label(agent, group_id, out->group, name);
    } else if (profile_peer_get(agent->store, peer_id, &peer)) {
        memcpy(out->to_aid, peer.id, 32);
        memcpy(name, peer.name, sizeof peer.name);
    }
    out->to = bytes_of_text(name);
}

/* Nobody can tell of a large group that all have it, and of a small one not before they say so. */
static void describe_delivery(struct agent *agent, const struct profile_out *row,
                              struct outgoing_info *out)
{
    out->recipients = row->recipients;
    if (!row->group_id) {
        out->delivered_to = row->state == OUTBOX_DELIVERED;
        return;
    }
    out->delivered_to = profile_signed_count(agent->store, row->outbox_id);
    if (row->state == OUTBOX_DELIVERED && out->delivered_to < out->recipients) {
        out->state = OUT_STORED;
        out->delivered_ms = 0;
    }
}

static void describe_out(struct agent *agent, const struct profile_out *row, char name[static 65],
                         struct buf *plain, struct outgoing_info *out)
{
    static const enum outgoing_state states[] = { [OUTBOX_QUEUED] = OUT_QUEUED,
                                                  [OUTBOX_SEALED] = OUT_QUEUED,
                                                  [OUTBOX_ACCEPTED] = OUT_STORED,
                                                  [OUTBOX_DELIVERED] = OUT_DELIVERED };
    struct profile_session session;

    *out = (struct outgoing_info){ .state = states[row->state],
                                   .waits_for = waits_for(agent, row),
                                   .attempts = row->tries + (row->state >= OUTBOX_ACCEPTED),
                                   .next_try_ms = row->state == OUTBOX_SEALED ? row->retry_ms : 0,
                                   .queued_ms = row->created_ms,
                                   .stored_ms = row->accepted_ms,
                                   .delivered_ms = row->delivered_ms,
                                   .expires_ms = row->expires_ms,
                                   .seq = row->seq };
    memcpy(out->id, row->msg_id, 16);
    memcpy(out->thread, row->thread, 16);
    memcpy(out->digest, row->digest, 32);
    describe_to(agent, row->peer_id, row->group_id, name, out);
    describe_delivery(agent, row, out);
    if (!row->group_id && row->scope_id
        && profile_session_get(agent->store, row->scope_id, &session)) {
        out->has_session = true;
        memcpy(out->session, session.id, 16);
    }
    last_refusal(agent, row, out);
    buf_clear(plain);
    profile_out_message(agent->store, row->outbox_id, plain);
    describe_envelope(buf_bytes(plain), out);
}

static void describe_dead(struct agent *agent, const struct profile_dead *dead,
                          char name[static 65], struct buf *plain, struct outgoing_info *out)
{
    struct profile_session session;

    *out = (struct outgoing_info){ .recipients = 1,
                                   .state = dead->reason == DEAD_EXPIRED   ? OUT_EXPIRED
                                            : dead->reason == DEAD_DROPPED ? OUT_DROPPED
                                                                           : OUT_REFUSED,
                                   .reason = reason_word(dead->reason),
                                   .attempts = dead->seq > 0,
                                   .queued_ms = dead->created_ms,
                                   .stored_ms = dead->accepted_ms,
                                   .expires_ms = dead->at_ms,
                                   .ended_ms = dead->at_ms,
                                   .seq = dead->seq };
    memcpy(out->id, dead->msg_id, 16);
    memcpy(out->digest, dead->digest, 32);
    describe_to(agent, dead->peer_id, dead->group_id, name, out);
    if (!dead->group_id && dead->scope_id
        && profile_session_get(agent->store, dead->scope_id, &session)) {
        out->has_session = true;
        memcpy(out->session, session.id, 16);
    }
    buf_clear(plain);
    profile_dead_message(agent->store, dead->dead_id, plain);
    describe_envelope(buf_bytes(plain), out);
    memcpy(out->thread, out->has_reply_to ? out->reply_to : out->id, 16);
}

enum err agent_outgoing_get(struct agent *agent, const uint8_t id[static 16],
                            struct outgoing_info *out)
{
    struct agent_views *views = agent_views_of(agent);
    struct profile_out row;
    struct profile_dead dead;

    buf_wipe(&views->out);
    if (profile_out_find(agent->store, id, &row))
        describe_out(agent, &row, views->name, &views->out, out);
    else if (profile_dead_find(agent->store, id, &dead))
        describe_dead(agent, &dead, views->name, &views->out, out);
    else
        return ERR_NOT_FOUND;
    return agent_store_failure(agent->store);
}

/* ------------------------------------------------------------------ who has signed */

struct signers {
    struct agent *agent;
    const struct agent_group *group;
    const struct profile_out *row;
    struct signed_info *list;
    char (*names)[NAME_MAX_LEN + 1];
    size_t count, cap;
};

static void add_signer(struct signers *signers, const struct profile_peer *peer)
{
    struct signed_info *info;

    for (size_t i = 0; i < signers->count; i++)
        if (memcmp(signers->list[i].aid, peer->id, 32) == 0)
            return;
    if (signers->count == signers->cap) {
        signers->cap = signers->cap ? 2 * signers->cap : 16;
        signers->list = mem_resize(signers->list, signers->cap * sizeof *signers->list);
        signers->names = mem_resize(signers->names, signers->cap * sizeof *signers->names);
    }
    info = &signers->list[signers->count];
    *info = (struct signed_info){
        .at_ms = profile_signed_at(signers->agent->store, signers->row->outbox_id, peer->peer_id)
    };
    memcpy(info->aid, peer->id, 32);
    memcpy(signers->names[signers->count++], peer->name, sizeof peer->name);
}

static int by_name(const void *a, const void *b)
{
    const struct signed_info *one = a, *other = b;

    return strcmp((const char *)one->name.at, (const char *)other->name.at);
}

/* Those who have signed, whether they are members still or not; and members who could have. */
static void gather_signers(struct signers *signers)
{
    struct agent *agent = signers->agent;
    int64_t outbox_id = signers->row->outbox_id, after = 0;
    struct profile_peer peer;

    while ((after = profile_signed_next(agent->store, outbox_id, after)) != 0)
        if (profile_peer_get(agent->store, after, &peer))
            add_signer(signers, &peer);
    for (size_t i = 0; signers->group && i < signers->group->chain.count
                       && signers->count < signers->row->recipients;
         i++) {
        const struct group_member *member = &signers->group->chain.members[i];
        if (member->joined && memcmp(member->aid, agent->me.row.id, 32) != 0
            && profile_peer_find(agent->store, member->aid, &peer))
            add_signer(signers, &peer);
    }
    for (size_t i = 0; i < signers->count; i++)
        signers->list[i].name = bytes_of_text(signers->names[i]);
    if (signers->count > 1)
        qsort(signers->list, signers->count, sizeof *signers->list, by_name);
}

enum err agent_signed_each(struct agent *agent, const uint8_t id[static 16],
                           void (*each)(void *ctx, const struct signed_info *info), void *ctx)
{
    struct signers signers = { .agent = agent };
    struct profile_out row;

    if (!profile_out_find(agent->store, id, &row) || !row.group_id)
        return ERR_NOT_FOUND;
    signers.row = &row;
    signers.group = agent_group_of(agent, row.group_id);
    gather_signers(&signers);
    for (size_t i = 0; i < signers.count; i++)
        each(ctx, &signers.list[i]);
    free(signers.list);
    free(signers.names);
    return agent_store_failure(agent->store);
}

enum err agent_outbox_each(struct agent *agent,
                           void (*each)(void *ctx, const struct outgoing_info *info), void *ctx)
{
    struct profile_out row;
    struct buf plain = { 0 };
    char name[65];
    int64_t after = 0;

    while (profile_out_next_open(agent->store, after, &row)) {
        struct outgoing_info info;
        after = row.outbox_id;
        describe_out(agent, &row, name, &plain, &info);
        each(ctx, &info);
    }
    buf_wipe(&plain);
    buf_free(&plain);
    return agent_store_failure(agent->store);
}
