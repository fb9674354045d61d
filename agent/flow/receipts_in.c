/* What others signed for, and what the broker says of frames that ended otherwise. */
#include "agent/flow/channel.h"
#include "agent/flow/contact.h"
#include "agent/flow/envelope.h"
#include "agent/flow/group_mail.h"
#include "agent/flow/outgoing.h"
#include "agent/flow/receipts.h"
#include "agent/flow/session.h"
#include "agent/store/alarms.h"
#include "agent/store/dead.h"
#include "agent/store/scopes.h"
#include "shared/base/crash.h"
#include "shared/base/log.h"
#include "shared/trust/notice.h"

#define DAMAGED_MAX 3

/* ------------------------------------------------------------------ receipts */

static bool frame_digest_of(struct agent *agent, int64_t scope_id, uint64_t seq,
                            uint8_t digest[static 32])
{
    struct profile_out row;
    struct profile_dead dead;

    if (profile_out_at(agent->store, scope_id, seq, &row)) {
        memcpy(digest, row.digest, 32);
        return true;
    }
    if (profile_dead_at(agent->store, scope_id, seq, &dead) && dead.has_digest) {
        memcpy(digest, dead.digest, 32);
        return true;
    }
    return false;
}

/* ERR_NOT_FOUND: a frame of the range is forgotten here, so the receipt is old. */
static enum err check_range(struct agent *agent, int64_t scope_id, const struct receipt *receipt)
{
    struct range_digest range;
    uint8_t digest[32];

    range_begin(&range);
    for (uint64_t seq = receipt->from; seq <= receipt->to; seq++) {
        if (!frame_digest_of(agent, scope_id, seq, digest))
            return ERR_NOT_FOUND;
        range_add(&range, digest);
    }
    range_end(&range, digest);
    return memcmp(digest, receipt->range_digest, 32) == 0 ? ERR_OK : ERR_RECEIPT;
}

/* The recipient has it after all: the dead letter is withdrawn. */
static void withdraw(struct agent *agent, const struct profile_dead *dead)
{
    struct agent_group *group = dead->group_id ? agent_group_of(agent, dead->group_id) : NULL;
    struct profile_out row = { .peer_id = dead->peer_id,
                               .group_id = dead->group_id,
                               .recipients = group ? group->chain.joined - 1 : 1,
                               .scope_id = dead->scope_id,
                               .seq = dead->seq,
                               .created_ms = dead->created_ms,
                               .accepted_ms = dead->accepted_ms ? dead->accepted_ms : dead->at_ms,
                               .delivered_ms = agent_now(agent) };
    struct buf plain = { 0 };
    struct envelope envelope;

    if (profile_dead_message(agent->store, dead->dead_id, &plain)
        && envelope_decode(buf_bytes(&plain), &envelope) == ERR_OK) {
        memcpy(row.msg_id, dead->msg_id, 16);
        memcpy(row.digest, dead->digest, 32);
        memcpy(row.thread, envelope.reply_to ? envelope.reply_to : dead->msg_id, 16);
        row.bytes = envelope.body.len;
        profile_dead_remove(agent->store, dead->dead_id);
        profile_out_add_delivered(agent->store, &row, buf_bytes(&plain));
    }
    buf_wipe(&plain);
    buf_free(&plain);
}

static void settle(struct agent *agent, const struct profile_session *session, uint64_t seq,
                   uint8_t status)
{
    static const enum dead_reason reasons[] = { [RECEIPT_UNDECRYPTABLE] = DEAD_UNDECRYPTABLE,
                                                [RECEIPT_REFUSED] = DEAD_REFUSED,
                                                [RECEIPT_TOMBSTONE] = DEAD_EXPIRED };
    struct profile_out row;
    struct profile_dead dead;
    uint64_t now = agent_now(agent);

    if (!profile_out_at(agent->store, session->session_id, seq, &row)) {
        if (status == RECEIPT_DELIVERED
            && profile_dead_at(agent->store, session->session_id, seq, &dead))
            withdraw(agent, &dead);
        return;
    }
    if (row.state == OUTBOX_DELIVERED)
        return;
    if (status == RECEIPT_DELIVERED)
        profile_out_delivered(agent->store, row.outbox_id, now);
    else if (row.kind > ENVELOPE_INTRO
             && (agent_outgoing_is_bound(row.kind) || status != RECEIPT_REFUSED
                 || session->state != SESSION_ROTATED))
        profile_out_remove(agent->store, row.outbox_id);
    else if (status == RECEIPT_REFUSED && session->state == SESSION_ROTATED)
        profile_out_queue_again(agent->store, row.outbox_id, false);
    else
        profile_dead_letter(agent->store, &row, reasons[status], "", now);
}

static void take_receipt(struct agent *agent, const struct profile_session *session,
                         const struct receipt *receipt)
{
    struct profile_scope scope;
    enum err e;

    if (!profile_scope_get(agent->store, session->session_id, &scope))
        return;
    if (receipt->to >= scope.next_seq) {
        agent_session_rolled_back(agent, session);
        return;
    }
    e = check_range(agent, session->session_id, receipt);
    if (e == ERR_RECEIPT)
        profile_alarm_add(agent->store, "undecryptable", session->peer_id, session->session_id,
                          "A2A_RECEIPT: signed for other frames than ours", agent_now(agent));
    if (e != ERR_OK)
        return;
    for (uint64_t seq = receipt->from; seq <= receipt->to; seq++)
        settle(agent, session, seq, receipt->status);
    CRASH_POINT("send.receipt");
    agent_outgoing_settled(agent, session->session_id);
    agent->changed = true;
}

/* A member has opened a message of mine; he may have left since. */
static void take_group_receipt(struct agent *agent, const struct agent_group *group,
                               const struct receipt *receipt)
{
    struct profile_dead dead;
    enum err e = check_range(agent, group->group_id, receipt);

    if (e == ERR_RECEIPT)
        profile_alarm_add(agent->store, "undecryptable", 0, group->group_id,
                          "A2A_RECEIPT: signed for other frames than ours", agent_now(agent));
    if (e != ERR_OK || receipt->status != RECEIPT_DELIVERED)
        return;
    for (uint64_t seq = receipt->from; seq <= receipt->to; seq++)
        if (profile_dead_at(agent->store, group->group_id, seq, &dead))
            withdraw(agent, &dead);
    agent_group_receipt(agent, receipt);
}

/* Whose word is it, if he may have one on this scope? */
static bool find_signer(struct agent *agent, const struct receipt *receipt,
                        const struct profile_session *session, const struct agent_group *group,
                        struct profile_peer *peer)
{
    if (group)
        return profile_peer_find(agent->store, receipt->recipient, peer) && peer->known;
    return profile_peer_get(agent->store, session->peer_id, peer)
           && memcmp(receipt->recipient, peer->id, 32) == 0;
}

void agent_receipt_item(struct agent *agent, struct bytes item)
{
    struct bytes preimage = bytes_of(item.at, RECEIPT_SIZE);
    struct profile_scope scope;
    struct profile_session session;
    struct profile_peer peer;
    struct agent_group *group;
    struct receipt receipt;

    if (item.len != RECEIPT_SIZE + 64 || receipt_parse(preimage, &receipt) != ERR_OK
        || receipt.status < RECEIPT_DELIVERED || receipt.status > RECEIPT_TOMBSTONE
        || memcmp(receipt.sender, agent->me.row.id, 32) != 0
        || !profile_scope_find(agent->store, receipt.scope, &scope))
        return;
    group = agent_group_of(agent, scope.scope_id);
    if ((!group && !profile_session_get(agent->store, scope.scope_id, &session))
        || !find_signer(agent, &receipt, &session, group, &peer))
        return;
    if (receipt_verify(preimage, &receipt, item.at + RECEIPT_SIZE, peer.identity_key) != ERR_OK) {
        profile_alarm_add(agent->store, "undecryptable", peer.peer_id, scope.scope_id,
                          "A2A_RECEIPT: a forged receipt", agent_now(agent));
        return;
    }
    if (group)
        take_group_receipt(agent, group, &receipt);
    else
        take_receipt(agent, &session, &receipt);
}

/* ------------------------------------------------------------------ notices */

/* A request that will not be answered any more: its message tries again in a new one. */
static void request_ended(struct agent *agent, const struct profile_session *session,
                          const struct profile_out *row, uint8_t reason)
{
    if (row->expires_ms > agent_now(agent))
        profile_out_queue_again(agent->store, row->outbox_id, reason == NOTICE_DAMAGED);
    else
        profile_dead_letter(agent->store, row, DEAD_EXPIRED, "", agent_now(agent));
    agent_session_close(agent, session, SESSION_CLOSED, CLOSED_DONE);
}

void agent_notice_item(struct agent *agent, struct bytes item)
{
    struct profile_scope scope;
    struct profile_session session = { 0 };
    struct profile_out row;
    struct notice notice;

    if (notice_parse(item, &notice) != ERR_OK || memcmp(notice.sender, agent->me.row.id, 32) != 0
        || !profile_scope_find(agent->store, notice.scope, &scope)
        || !profile_out_at(agent->store, scope.scope_id, notice.seq, &row)
        || (!row.group_id && !profile_session_get(agent->store, scope.scope_id, &session))
        || memcmp(row.digest, notice.frame_digest, 32) != 0 || row.state == OUTBOX_DELIVERED)
        return;
    log_event(LOG_INFO, "notice", "scope=%s seq=%llu reason=%u", log_id(scope.id),
              (unsigned long long)notice.seq, (unsigned)notice.reason);
    agent->changed = true;
    if (row.group_id && (notice.reason != NOTICE_DAMAGED || row.damaged + 1 >= DAMAGED_MAX)) {
        agent_group_notice(agent, &row, notice.reason);
        return;
    }
    if (row.kind > ENVELOPE_INTRO) {
        profile_out_remove(agent->store, row.outbox_id);
        if (session.state == SESSION_ASKED) {
            agent_session_close(agent, &session, SESSION_CLOSED, CLOSED_DONE);
            return;
        }
    } else if (session.state == SESSION_ASKED && notice.reason != NOTICE_RECIPIENT_REVOKED
               && row.damaged + 1 < DAMAGED_MAX) {
        request_ended(agent, &session, &row, notice.reason);
        return;
    } else if (notice.reason == NOTICE_DAMAGED && row.damaged + 1 < DAMAGED_MAX) {
        profile_out_queue_again(agent->store, row.outbox_id, true);
        agent->look_queue = true;
    } else {
        profile_dead_letter(agent->store, &row, (enum dead_reason)notice.reason, "",
                            agent_now(agent));
    }
    agent_outgoing_settled(agent, scope.scope_id);
}
