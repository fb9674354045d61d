#include "agent/flow/outgoing.h"

#include <sodium.h>

#include "agent/flow/incoming.h"
#include "agent/flow/verify.h"
#include "agent/store/dead.h"
#include "agent/store/inbox.h"
#include "agent/store/log.h"
#include "agent/store/scopes.h"
#include "shared/base/crash.h"
#include "shared/base/log.h"
#include "shared/trust/init0.h"
#include "shared/wire/frame.h"
#include "shared/wire/limit.h"
#include "shared/wire/pack.h"

#define HEARTBEAT_FRAMES 50
#define HEARTBEAT_MS     3600000
#define HEARTBEAT_TTL_MS (7ull * 86400000)

/* What is only known when the frame is made: how far I have the peer's frames, and in greetings and
 * heartbeats the head of the log that I see. */
static void complete_envelope(struct agent *agent, const struct profile_session *session,
                              uint8_t frame_kind, struct envelope *envelope, struct log_head *log)
{
    envelope->has_peer_ack = true;
    envelope->peer_ack = agent_received_up_to(agent, session->session_id, session->peer_id);
    if (frame_kind == FRAME_REQUEST || frame_kind == FRAME_ACCEPT) {
        envelope->has_schema_range = true;
        envelope->schema_min = envelope->schema_max = ENVELOPE_SCHEMA_VERSION;
    } else if (envelope->kind != ENVELOPE_HEARTBEAT) {
        return;
    }
    profile_log_head(agent->store, log);
    if (log->next > 0) {
        envelope->has_log = true;
        envelope->log_index = log->next - 1;
        envelope->log_head = log->digest;
    }
}

static enum err plain_of(struct agent *agent, const struct profile_session *session,
                         const struct profile_out *row, uint8_t frame_kind, struct buf *plain)
{
    struct buf stored = { 0 };
    struct envelope envelope;
    struct log_head log;
    enum err e = ERR_CORRUPT;

    if (profile_out_message(agent->store, row->outbox_id, &stored))
        e = envelope_decode(buf_bytes(&stored), &envelope);
    if (e == ERR_OK) {
        complete_envelope(agent, session, frame_kind, &envelope, &log);
        envelope_encode(plain, &envelope);
    }
    buf_wipe(&stored);
    buf_free(&stored);
    return e;
}

/* One number, one ciphertext.  The caller saves the ratchet in the same transaction. */
static enum err seal_row(struct agent *agent, const struct profile_session *session,
                         struct ratchet *ratchet, const struct profile_peer *peer,
                         const struct profile_out *row, uint8_t frame_kind,
                         uint8_t digest[static 32])
{
    struct frame_header header = { .kind = frame_kind, .suite = session->suite };
    struct profile_scope scope;
    struct buf plain = { 0 }, frame = { 0 };
    uint8_t hedge[32];
    size_t size;
    enum err e;

    if (!profile_scope_get(agent->store, session->session_id, &scope))
        return ERR_STORE;
    e = plain_of(agent, session, row, frame_kind, &plain);
    size = e == ERR_OK ? frame_size_for(plain.len) : 0;
    if (e == ERR_OK && size == 0)
        e = ERR_TOO_LARGE;
    if (e == ERR_OK) {
        memcpy(header.scope, scope.id, 16);
        memcpy(header.sender, agent->me.row.id, 32);
        memcpy(header.recipient, peer->id, 32);
        header.seq = scope.next_seq;
        header.expires_ms = frame_kind == FRAME_REQUEST ? session->due_ms : row->expires_ms;
        agent_random(agent, hedge, sizeof hedge);
        e = ratchet_encrypt(ratchet, &header, buf_bytes(&plain), hedge, buf_extend(&frame, size),
                            digest);
    }
    CRASH_POINT("send.sealed");
    if (e == ERR_OK) {
        profile_scope_take_seq(agent->store, scope.scope_id, scope.next_seq);
        profile_out_seal(agent->store, row->outbox_id, scope.scope_id, scope.next_seq,
                         buf_bytes(&frame), digest, agent_now(agent));
        CRASH_POINT("send.rows");
    }
    buf_wipe(&plain);
    buf_free(&plain);
    buf_free(&frame);
    return e;
}

enum err agent_outgoing_seal(struct agent *agent, struct profile_session *session,
                             struct ratchet *ratchet, const struct profile_peer *peer,
                             const struct profile_out *row, uint8_t frame_kind,
                             uint8_t digest[static 32])
{
    enum err e = seal_row(agent, session, ratchet, peer, row, frame_kind, digest);

    if (e == ERR_OK)
        profile_session_save(agent->store, session, ratchet, NULL);
    return e;
}

/* With a second session beside it, a message must not be faster than an older one that waits in the
 * other. */
static bool would_overtake(struct agent *agent, const struct profile_session *session,
                           int64_t outbox_id)
{
    struct profile_session other;
    int64_t after = 0;

    while (profile_session_next_of(agent->store, session->peer_id, after, &other)) {
        after = other.session_id;
        if (after != session->session_id && other.state <= SESSION_ACTIVE
            && other.mode == MODE_MAILBOX)
            return profile_out_overtakes(agent->store, session->peer_id, session->session_id,
                                         outbox_id);
    }
    return false;
}

/* How many more frames may be sealed beyond the last receipt. */
static uint64_t room(struct agent *agent, int64_t scope_id)
{
    struct profile_scope scope;
    uint64_t ahead;

    if (!profile_scope_get(agent->store, scope_id, &scope))
        return 0;
    ahead = scope.next_seq - 1 - scope.receipted_seq;
    return ahead < LIMIT_SEALED_AHEAD ? LIMIT_SEALED_AHEAD - ahead : 0;
}

/* What goes here or nowhere comes first; then the peer's queue, if this is its session. */
static bool next_row(struct agent *agent, const struct profile_session *session, bool queue,
                     struct profile_out *row)
{
    return profile_out_next_bound(agent->store, session->session_id, 0, row)
           || (queue && profile_out_next_queued(agent->store, session->peer_id, 0, row));
}

/* Seals rows in order; true if the ratchet has moved. */
static bool seal_rows(struct agent *agent, const struct profile_session *session,
                      struct ratchet *ratchet, const struct profile_peer *peer, bool queue,
                      uint64_t most)
{
    struct profile_out row;
    uint8_t digest[32];
    bool moved = false;

    while (most > 0 && next_row(agent, session, queue, &row)) {
        enum err e;
        if (row.expires_ms <= agent_now(agent)) {
            profile_dead_letter(agent->store, &row, DEAD_EXPIRED, "", agent_now(agent));
            continue;
        }
        if (row.scope_id == 0 && would_overtake(agent, session, row.outbox_id))
            break;
        e = seal_row(agent, session, ratchet, peer, &row, FRAME_DATA, digest);
        if (e != ERR_OK) {
            log_event(LOG_ERROR, "seal", "error=%s", err_name(e));
            if (e != ERR_TOO_LARGE && e != ERR_SCHEMA)
                break;
            profile_dead_letter(agent->store, &row, DEAD_GAVE_UP, err_name(e), agent_now(agent));
            continue;
        }
        moved = true;
        most--;
    }
    return moved;
}

/* Not before SYNC has told that the broker knows no more of it than we do: a profile that was put
 * back would say other words under the same numbers. */
static void seal_into(struct agent *agent, struct profile_session *session, bool queue)
{
    struct profile_peer peer;
    struct profile_out row;
    struct agent_sender *sender;
    struct ratchet ratchet;
    struct skipped skipped;
    uint64_t most;

    if (!agent->synced || agent->frozen || !next_row(agent, session, queue, &row)
        || (most = room(agent, session->session_id)) == 0
        || !profile_peer_get(agent->store, session->peer_id, &peer)
        || !agent_is_trusted(agent, &peer)
        || !profile_session_load(agent->store, session, &ratchet, &skipped))
        return;
    if (seal_rows(agent, session, &ratchet, &peer, queue, most)) {
        profile_session_save(agent->store, session, &ratchet, NULL);
        sender = agent_sender_of(agent, session->session_id);
        if (sender)
            sender->idle = false;
    }
    sodium_memzero(&ratchet, sizeof ratchet);
    skipped_wipe(&skipped);
}

void agent_outgoing_seal_queue(struct agent *agent, int64_t peer_id)
{
    struct profile_session session;

    if (profile_session_active(agent->store, peer_id, &session))
        seal_into(agent, &session, true);
}

void agent_outgoing_seal_session(struct agent *agent, const struct profile_session *session)
{
    struct profile_session now;

    if (profile_session_get(agent->store, session->session_id, &now) && now.state == SESSION_ACTIVE)
        seal_into(agent, &now, false);
    if (session->mode == MODE_MAILBOX)
        agent_outgoing_seal_queue(agent, session->peer_id);
}

static bool queue_control(struct agent *agent, const struct profile_session *session,
                          const struct profile_peer *peer, const struct envelope *envelope,
                          uint64_t expires_ms, struct profile_out *row)
{
    struct buf plain = { 0 };
    int64_t id;

    *row = (struct profile_out){ .peer_id = peer->peer_id,
                                 .scope_id = session->session_id,
                                 .live = session->mode == MODE_LIVE,
                                 .kind = envelope->kind,
                                 .created_ms = agent_now(agent),
                                 .expires_ms = expires_ms };
    memcpy(row->msg_id, envelope->msg_id, sizeof row->msg_id);
    memcpy(row->thread, envelope->msg_id, sizeof row->thread);
    envelope_encode(&plain, envelope);
    id = profile_out_add(agent->store, row, buf_bytes(&plain));
    buf_free(&plain);
    return profile_out_get(agent->store, id, row);
}

bool agent_outgoing_control(struct agent *agent, const struct profile_session *session,
                            const struct profile_peer *peer, uint8_t kind, uint64_t expires_ms,
                            struct profile_out *row)
{
    uint8_t id[16];
    struct envelope envelope = { .kind = kind,
                                 .msg_id = id,
                                 .ts_ms = agent_now(agent),
                                 .schema_version = ENVELOPE_SCHEMA_VERSION,
                                 .body = bytes_of("", 0) };

    agent_random(agent, id, sizeof id);
    return queue_control(agent, session, peer, &envelope, expires_ms, row);
}

bool agent_outgoing_is_bound(uint8_t kind)
{
    return kind == ENVELOPE_ACCEPT || kind == ENVELOPE_ROTATE || kind == ENVELOPE_HEARTBEAT;
}

void agent_outgoing_tell(struct agent *agent, const struct profile_peer *peer, uint8_t kind,
                         struct bytes body, uint64_t expires_ms)
{
    uint8_t id[16];
    struct envelope envelope = { .kind = kind,
                                 .msg_id = id,
                                 .ts_ms = agent_now(agent),
                                 .schema_version = ENVELOPE_SCHEMA_VERSION,
                                 .body = body };
    struct profile_out row = { .peer_id = peer->peer_id,
                               .kind = kind,
                               .created_ms = agent_now(agent),
                               .expires_ms = expires_ms };
    struct profile_session session;
    struct buf plain = { 0 };

    agent_random(agent, id, sizeof id);
    memcpy(row.msg_id, id, sizeof row.msg_id);
    memcpy(row.thread, id, sizeof row.thread);
    envelope_encode(&plain, &envelope);
    profile_out_add(agent->store, &row, buf_bytes(&plain));
    buf_wipe(&plain);
    buf_free(&plain);
    if (profile_session_active(agent->store, peer->peer_id, &session))
        agent_outgoing_seal_queue(agent, peer->peer_id);
    else
        agent->look_queue = true;
}

bool agent_outgoing_rotate(struct agent *agent, const struct profile_session *session,
                           const struct profile_peer *peer, const uint8_t sid[static 16],
                           const uint8_t id[static 16], uint64_t expires_ms,
                           struct profile_out *row)
{
    struct envelope envelope = { .kind = ENVELOPE_ROTATE,
                                 .msg_id = id,
                                 .ts_ms = agent_now(agent),
                                 .schema_version = ENVELOPE_SCHEMA_VERSION };
    struct buf body = { 0 };
    bool queued;

    pack_array(&body, 1);
    pack_bin(&body, bytes_of(sid, 16));
    envelope.body = buf_bytes(&body);
    queued = queue_control(agent, session, peer, &envelope, expires_ms, row);
    buf_free(&body);
    return queued;
}

void agent_outgoing_settled(struct agent *agent, int64_t scope_id)
{
    struct profile_scope scope;
    struct profile_session session;
    struct profile_out row;

    if (!profile_scope_get(agent->store, scope_id, &scope))
        return;
    if (profile_out_next_unsettled(agent->store, scope_id, scope.receipted_seq + 1, &row))
        profile_scope_receipted(agent->store, scope_id, row.seq - 1);
    else
        profile_scope_receipted(agent->store, scope_id, scope.next_seq - 1);
    /* A group's window moves with the acceptance. */
    if (profile_session_get(agent->store, scope_id, &session) && session.state == SESSION_ACTIVE)
        agent_outgoing_seal_session(agent, &session);
}

static bool heartbeat_due(struct agent *agent, const struct profile_session *session)
{
    uint64_t last = profile_out_last_sealed_ms(agent->store, session->session_id), first;
    uint64_t count = profile_in_since(agent->store, session->session_id, last, &first);

    return count >= HEARTBEAT_FRAMES || (count > 0 && agent_now(agent) >= first + HEARTBEAT_MS);
}

void agent_heartbeats(struct agent *agent)
{
    struct profile_session session;
    int64_t after = 0;

    while (profile_session_next_live(agent->store, after, &session)) {
        struct profile_peer peer;
        struct profile_out row;
        after = session.session_id;
        if (session.state != SESSION_ACTIVE || !heartbeat_due(agent, &session)
            || !profile_peer_get(agent->store, session.peer_id, &peer))
            continue;
        if (agent_outgoing_control(agent, &session, &peer, ENVELOPE_HEARTBEAT,
                                   agent_now(agent) + HEARTBEAT_TTL_MS, &row))
            agent_outgoing_seal_session(agent, &session);
    }
}
