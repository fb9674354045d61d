#include "agent/flow/incoming.h"

#include <sodium.h>

#include "agent/flow/chain.h"
#include "agent/flow/channel.h"
#include "agent/flow/delivery.h"
#include "agent/flow/freeze.h"
#include "agent/flow/group_mail.h"
#include "agent/flow/link.h"
#include "agent/flow/receipts.h"
#include "agent/flow/rotate.h"
#include "agent/flow/session.h"
#include "agent/flow/watch.h"
#include "agent/store/alarms.h"
#include "agent/store/dead.h"
#include "agent/store/inbox.h"
#include "agent/store/scopes.h"
#include "shared/base/crash.h"
#include "shared/base/log.h"
#include "shared/trust/receipt.h"
#include "shared/wire/frame.h"
#include "shared/wire/limit.h"

#define SILENT      0
#define MISSING_MAX 2000
#define HOUR_MS     3600000

/* ------------------------------------------------------------------ numbers received */

static bool is_missing(const struct profile_received *received, uint64_t seq)
{
    for (size_t at = 0; at + 8 <= received->missing.len; at += 8)
        if (get_u64(received->missing.at + at) == seq)
            return true;
    return false;
}

bool agent_received_has(const struct profile_received *received, uint64_t seq)
{
    return seq <= received->seq && !is_missing(received, seq);
}

uint64_t agent_received_up_to(struct agent *agent, int64_t scope_id, int64_t peer_id)
{
    struct profile_received received = { 0 };
    uint64_t up_to;

    profile_received_get(agent->store, scope_id, peer_id, &received);
    up_to = received.missing.len >= 8 ? get_u64(received.missing.at) - 1 : received.seq;
    buf_free(&received.missing);
    return up_to;
}

static void drop_missing(struct profile_received *received, uint64_t seq)
{
    for (size_t at = 0; at + 8 <= received->missing.len; at += 8) {
        if (get_u64(received->missing.at + at) != seq)
            continue;
        memmove(received->missing.at + at, received->missing.at + at + 8,
                received->missing.len - at - 8);
        received->missing.len -= 8;
        return;
    }
}

static void add_missing(struct profile_received *received, uint64_t from, uint64_t to)
{
    if (to - from >= MISSING_MAX)
        from = to - MISSING_MAX + 1;
    for (uint64_t seq = from; seq <= to; seq++) {
        if (received->missing.len >= MISSING_MAX * 8)
            drop_missing(received, get_u64(received->missing.at));
        put_u64(buf_extend(&received->missing, 8), seq);
    }
}

bool agent_received_add(struct profile_received *received, uint64_t seq,
                        const uint8_t digest[static 32])
{
    bool gap = seq > received->seq + 1;

    if (seq <= received->seq) {
        drop_missing(received, seq);
        return false;
    }
    if (gap)
        add_missing(received, received->seq + 1, seq - 1);
    received->seq = seq;
    memcpy(received->digest, digest, 32);
    return gap;
}

void agent_received_note(struct agent *agent, const struct profile_session *session, uint64_t seq,
                         const uint8_t digest[static 32])
{
    struct profile_received received = { 0 };

    profile_received_get(agent->store, session->session_id, session->peer_id, &received);
    if (agent_received_add(&received, seq, digest))
        profile_alarm_add(agent->store, "gap", session->peer_id, session->session_id,
                          "messages are missing", agent_now(agent));
    profile_received_put(agent->store, session->session_id, session->peer_id, &received);
    buf_free(&received.missing);
}

/* ------------------------------------------------------------------ inbox */

/* The first message of the chain that this one answers. */
static void find_thread(struct agent *agent, const struct envelope *envelope,
                        uint8_t thread[static 16])
{
    struct profile_in before;
    struct profile_out sent;

    memcpy(thread, envelope->msg_id, 16);
    if (!envelope->reply_to)
        return;
    if (profile_out_find(agent->store, envelope->reply_to, &sent))
        memcpy(thread, sent.thread, 16);
    else if (profile_in_find(agent->store, envelope->reply_to, &before))
        memcpy(thread, before.thread, 16);
    else
        memcpy(thread, envelope->reply_to, 16);
}

void agent_inbox_put(struct agent *agent, int64_t scope_id, int64_t peer_id,
                     const struct envelope *envelope, struct bytes plain,
                     const struct frame_view *view, const uint8_t digest[static 32],
                     uint64_t stored_ms, bool held)
{
    struct profile_in row = { .scope_id = scope_id,
                              .peer_id = peer_id,
                              .seq = view->seq,
                              .state = held ? INBOX_HELD : INBOX_NEW,
                              .bytes = envelope->body.len,
                              .stored_ms = stored_ms,
                              .received_ms = agent_now(agent),
                              .expires_ms = view->expires_ms };

    memcpy(row.digest, digest, 32);
    memcpy(row.msg_id, envelope->msg_id, 16);
    row.first_contact = !profile_known_any(agent->store, peer_id);
    /* Sealed anew, it comes a second time under another number: it was taken. */
    if (!held && !profile_known_add(agent->store, peer_id, envelope->msg_id, agent_now(agent)))
        return;
    find_thread(agent, envelope, row.thread);
    profile_in_add(agent->store, &row, plain);
    agent->changed = true;
}

/* ------------------------------------------------------------------ frames */

/* Kinds that are not for programs. */
static void take_envelope(struct agent *agent, const struct profile_session *session,
                          struct bytes plain, const struct frame_view *view,
                          const uint8_t digest[static 32], uint64_t stored_ms,
                          struct profile_ack *ack)
{
    struct envelope envelope;

    if (envelope_decode(plain, &envelope) != ERR_OK) {
        ack->status = RECEIPT_REFUSED;
        return;
    }
    if (envelope.has_log)
        agent_log_compare(agent, envelope.log_index, envelope.log_head, session->peer_id);
    if (envelope.kind == ENVELOPE_USER || envelope.kind == ENVELOPE_INTRO) {
        if (envelope.kind == ENVELOPE_USER || envelope.body.len > 0)
            agent_inbox_put(agent, session->session_id, session->peer_id, &envelope, plain, view,
                            digest, stored_ms, false);
        profile_session_heard(agent->store, session->session_id, agent_now(agent));
    } else if (envelope.kind == ENVELOPE_ROTATE) {
        agent_rotation_said(agent, session, envelope.body);
    } else {
        agent_group_control(agent, session, &envelope);
    }
}

/* Three in an hour are told to the sender, the third is the end of the session. */
static void not_opened(struct agent *agent, const struct profile_session *session,
                       const struct frame_view *view, const uint8_t digest[static 32], enum err e,
                       struct profile_ack *ack)
{
    uint64_t now = agent_now(agent);
    uint64_t before = profile_dead_unopened(agent->store, session->session_id,
                                            now > HOUR_MS ? now - HOUR_MS : 0);

    log_event(LOG_WARN, "frame.unopened", "session=%s seq=%llu error=%s", log_id(session->id),
              (unsigned long long)view->seq, err_name(e));
    profile_dead_incoming(agent->store, session->peer_id, session->session_id, view->seq, digest,
                          view->all, err_name(e), now);
    ack->status = before < LIMIT_UNOPENED_PER_H ? RECEIPT_UNDECRYPTABLE : SILENT;
    agent_received_note(agent, session, view->seq, digest);
    if (session->state == SESSION_ACTIVE
        && (before + 1 >= LIMIT_UNOPENED_PER_H || e == ERR_SKIP_LIMIT)) {
        profile_alarm_add(agent->store, "undecryptable", session->peer_id, session->session_id,
                          err_name(e), now);
        agent_session_close(agent, session, SESSION_BROKEN, CLOSED_BROKEN);
    }
    agent->changed = true;
}

/* Ratchet, inbox, number: with the acknowledgement they are one transaction. */
static void open_frame(struct agent *agent, struct profile_session *session,
                       const struct frame_view *view, const uint8_t digest[static 32],
                       uint64_t stored_ms, struct profile_ack *ack)
{
    struct ratchet ratchet;
    struct skipped skipped;
    struct ratchet_opened opened;
    uint8_t secret[32];
    enum err e;

    if (!profile_session_load(agent->store, session, &ratchet, &skipped)) {
        ack->status = SILENT;
        return;
    }
    buf_clear(&agent->scratch);
    agent_random(agent, secret, sizeof secret);
    e = ratchet_decrypt(&ratchet, &skipped, view, secret, agent_now(agent),
                        buf_extend(&agent->scratch, view->ct.len), &opened);
    CRASH_POINT("recv.opened");
    if (e == ERR_OK) {
        profile_session_save(agent->store, session, &ratchet, &skipped);
        agent_received_note(agent, session, view->seq, digest);
        ack->status = RECEIPT_DELIVERED;
        take_envelope(agent, session, bytes_of(agent->scratch.at, opened.len), view, digest,
                      stored_ms, ack);
        CRASH_POINT("recv.rows");
    } else {
        not_opened(agent, session, view, digest, e, ack);
    }
    buf_wipe(&agent->scratch);
    sodium_memzero(&ratchet, sizeof ratchet);
    sodium_memzero(secret, sizeof secret);
    skipped_wipe(&skipped);
}

/* A number that was dealt with: is it the same frame? */
static uint8_t known_again(struct agent *agent, const struct profile_session *session,
                           const struct profile_received *received, uint64_t seq,
                           const uint8_t digest[static 32])
{
    struct profile_in row;
    const uint8_t *was = NULL;

    if (seq == received->seq)
        was = received->digest;
    else if (profile_in_at(agent->store, session->session_id, session->peer_id, seq, &row))
        was = row.digest;
    if (!was || memcmp(was, digest, 32) == 0)
        return RECEIPT_DELIVERED;
    profile_alarm_add(agent->store, "undecryptable", session->peer_id, session->session_id,
                      "A2A_SEQ_CONFLICT: a number came twice with different content",
                      agent_now(agent));
    return RECEIPT_REFUSED;
}

static bool was_accepted(struct agent *agent, const struct profile_session *session)
{
    struct profile_event events[2];
    struct event event;

    return profile_events(agent->store, session->session_id, 0, events, 2) == 2
           && event_parse(bytes_of(events[1].preimage, EVENT_SIZE), &event) == ERR_OK
           && event.type == EVENT_ACCEPTED;
}

static bool is_blocked(struct agent *agent, int64_t peer_id)
{
    struct profile_peer peer;

    return profile_peer_get(agent->store, peer_id, &peer) && peer.pin == PIN_BLOCKED;
}

/* The session that a frame or tombstone of the mailbox belongs to, if it comes from its peer. */
static bool find_session(struct agent *agent, const uint8_t *scope_id, const uint8_t *sender,
                         struct profile_session *session)
{
    struct profile_scope scope;
    struct profile_peer peer;

    return profile_scope_find(agent->store, scope_id, &scope)
           && profile_session_get(agent->store, scope.scope_id, session)
           && profile_peer_get(agent->store, session->peer_id, &peer)
           && memcmp(peer.id, sender, 32) == 0;
}

static void name_frame(struct profile_ack *ack, const struct profile_session *session, uint64_t seq)
{
    ack->scope_id = session->session_id;
    ack->peer_id = session->peer_id;
    ack->seq = seq;
}

/* A frame in a session that I asked for, and the acceptance did not come before it as it should:
 * the broker is asked for it, once.  False: the answer is awaited. */
static bool acceptance_is_known(struct agent *agent, const struct profile_session *session,
                                uint64_t position)
{
    if (session->state != SESSION_ASKED || agent->early_position == position)
        return true;
    agent->early_position = position;
    if (!agent_chain_ask(agent, session))
        agent->hello_wanted = true; /* unasked: begin again */
    return false;
}

/* Nobody can write in a session that I have not said yes to: this profile was put back since.  The
 * mail is left for whoever knows the session, until a person says that nobody else does. */
static bool take_stranger(struct agent *agent, const struct frame_view *view)
{
    struct profile_scope scope;

    if (profile_scope_find(agent->store, view->scope, &scope))
        return true; /* the scope is known, and not this sender's */
    if (!agent_was_restored(agent)) {
        agent_freeze(agent, 0, 0, "mail in a session that this profile does not know");
        return false;
    }
    agent_chain_adopt(agent, view->scope, view->sender);
    return true;
}

/* False: it must wait. */
static bool take_frame(struct agent *agent, const struct wire_item *item, struct bytes part,
                       struct profile_ack *ack)
{
    struct profile_received received = { 0 };
    struct profile_session session;
    struct frame_view view;

    if (frame_parse_whole(part, &view) != ERR_OK || view.kind != item->kind)
        return true;
    frame_digest(&view, ack->digest);
    if (memcmp(view.recipient, agent->me.row.id, 32) != 0)
        return true;
    if (!find_session(agent, view.scope, view.sender, &session))
        return take_stranger(agent, &view);
    if (!acceptance_is_known(agent, &session, item->position))
        return false;
    if (session.state == SESSION_ASKED || session.state == SESSION_WAS_ASKED)
        return true;
    name_frame(ack, &session, view.seq);
    profile_received_get(agent->store, session.session_id, session.peer_id, &received);
    CRASH_POINT("recv.known");
    if (agent_received_has(&received, view.seq))
        ack->status = known_again(agent, &session, &received, view.seq, ack->digest);
    else if (session.state == SESSION_ACTIVE || (session.state == SESSION_ROTATED && session.keyed))
        open_frame(agent, &session, &view, ack->digest, item->stored_ms, ack);
    else if (was_accepted(agent, &session) && !is_blocked(agent, session.peer_id))
        ack->status = RECEIPT_REFUSED;
    buf_free(&received.missing);
    return true;
}

static void take_tombstone(struct agent *agent, const struct wire_item *item,
                           struct profile_ack *ack)
{
    struct profile_received received = { 0 };
    struct profile_session session;

    memcpy(ack->digest, item->digest, 32);
    if (item->kind == ITEM_REQUEST || item->kind == ITEM_GROUP
        || !find_session(agent, item->scope, item->sender, &session)
        || session.state == SESSION_ASKED || session.state == SESSION_WAS_ASKED)
        return;
    name_frame(ack, &session, item->seq);
    profile_received_get(agent->store, session.session_id, session.peer_id, &received);
    if (agent_received_has(&received, item->seq)) {
        ack->status = RECEIPT_DELIVERED;
    } else if (session.state == SESSION_ACTIVE || was_accepted(agent, &session)) {
        agent_received_note(agent, &session, item->seq, item->digest);
        ack->status = RECEIPT_TOMBSTONE;
    }
    buf_free(&received.missing);
}

static void take_event(struct agent *agent, struct bytes part)
{
    struct profile_scope scope;
    struct profile_session session;
    struct event event;
    struct signed_event taken;

    if (part.len < EVENT_SIZE + 64)
        return;
    taken.preimage = bytes_of(part.at, EVENT_SIZE);
    taken.sig = part.at + EVENT_SIZE;
    taken.body = bytes_of(part.at + EVENT_SIZE + 64, part.len - EVENT_SIZE - 64);
    if (event_parse(taken.preimage, &event) != ERR_OK)
        return;
    if (event.scope == SCOPE_GROUP)
        agent_group_event_item(agent, &taken);
    else if (profile_scope_find(agent->store, event.id, &scope)
             && profile_session_get(agent->store, scope.scope_id, &session))
        agent_session_event(agent, &session, &taken);
}

/* ------------------------------------------------------------------ items */

/* What became of the item; false: it must wait for the log, or for an acceptance. */
static bool settle_item(struct agent *agent, const struct wire_item *item, struct bytes part,
                        struct profile_ack *ack)
{
    struct frame_view view;

    if (item->shape == ITEM_TOMBSTONE) {
        take_tombstone(agent, item, ack);
        return true;
    }
    switch ((enum item_kind)item->kind) {
    case ITEM_REQUEST:
        if (agent_session_asked(agent, item, part) == ERR_BUSY)
            return false;
        if (frame_parse_whole(part, &view) == ERR_OK)
            frame_digest(&view, ack->digest);
        return true;
    case ITEM_ACCEPT:
    case ITEM_DATA:
        return take_frame(agent, item, part, ack);
    case ITEM_RECEIPT:
    case ITEM_EVENT:
    case ITEM_NOTICE:
        crypto_hash_sha256(ack->digest, part.at, part.len);
        if (item->kind == ITEM_RECEIPT)
            agent_receipt_item(agent, part);
        else if (item->kind == ITEM_EVENT)
            take_event(agent, part);
        else
            agent_notice_item(agent, part);
        return true;
    case ITEM_GROUP:
        break;
    }
    return true;
}

/* False: not now.  Positions that were settled before HELLO and do not come again are gone at the
 * broker: receipts must not count them. */
static bool take_item(struct agent *agent, const struct wire_item *item, struct bytes part)
{
    struct profile_ack ack = { .position = item->position };
    bool control = item->shape != ITEM_TOMBSTONE && item->kind >= ITEM_RECEIPT;
    bool known = false;

    if (item->position <= agent->delivered_to)
        return true;
    if (agent->delivered_to < agent->known_to) {
        profile_acks_remove(agent->store, agent->delivered_to + 1, item->position - 1);
        known = profile_ack_get(agent->store, item->position, &ack);
    }
    if (!known) {
        if (!settle_item(agent, item, part, &ack))
            return false;
        profile_ack_add(agent->store, &ack);
    }
    agent->delivered_to = item->position;
    agent_ack_due(agent, control);
    return true;
}

/* Takes items in from number `from` on; returns how many are done. */
static size_t take_items(struct agent *agent, const struct message *message,
                         const struct bytes *parts, size_t part_count, size_t from)
{
    struct list_reader reader = list_read(&message->items);
    struct wire_item item;
    size_t part = 0, done = 0;

    while (list_item(&reader, &item)) {
        struct bytes bytes = bytes_of("", 0);
        if (item.shape != ITEM_TOMBSTONE) {
            if (part >= part_count)
                break;
            bytes = parts[part++];
        }
        if (done >= from && !take_item(agent, &item, bytes))
            break;
        done++;
    }
    if (agent->delivered_to >= agent->link.last_position)
        agent->changed = true;
    return done;
}

/* ------------------------------------------------------------------ deliveries that wait */

void agent_deliver(struct agent *agent, struct bytes head, const struct message *message,
                   const struct bytes *parts, size_t count)
{
    static const uint8_t mailbox[16];
    size_t done = 0;

    if (memcmp(message->stream, mailbox, 16) != 0) {
        agent_channel_deliver(agent, head, message, parts, count);
        return;
    }
    if (!agent_is_up(agent))
        return;
    if (!agent->deliveries) {
        done = take_items(agent, message, parts, count, 0);
        if (done >= message->items.count)
            return;
    }
    agent_delivery_keep(&agent->deliveries, head, parts, count, done);
}

static void resume(struct agent *agent)
{
    while (agent->deliveries) {
        struct agent_delivery *delivery = agent->deliveries;
        struct bytes parts[WIRE_PARTS_MAX];
        struct message message;
        if (agent_delivery_read(delivery, &message, parts)) {
            delivery->done
                = take_items(agent, &message, parts, delivery->part_count, delivery->done);
            if (delivery->done < message.items.count)
                return;
        }
        agent_delivery_drop(&agent->deliveries);
    }
}

void agent_incoming_resume(struct agent *agent)
{
    resume(agent);
    agent_channels_resume(agent);
}

void agent_incoming_forget(struct agent *agent)
{
    agent_deliveries_drop(&agent->deliveries);
    agent_channels_forget(agent);
    agent->delivered_to = 0;
    agent->early_position = 0;
    agent->unacked = 0;
    agent->ack_due_ms = UINT64_MAX;
    agent->ack_flying = false;
}
