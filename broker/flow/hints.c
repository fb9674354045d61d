#include "broker/flow/hints.h"

#include "broker/store/prekeys.h"
#include "shared/wire/limit.h"

#define LOG_HINT_MS  1000
#define SPK_RENEW_MS UINT64_C(604800000)

static struct message hint_of(enum notify_kind kind)
{
    struct message hint = { .verb = VERB_NOTIFY };

    MESSAGE_SET(&hint, kind, kind);
    return hint;
}

/* ---- the log --------------------------------------------------------------------------------- */

static bool log_hint_due(const struct flow *flow)
{
    return !flow->log_hint_ms || flow->elapsed_ms - flow->log_hint_ms >= LOG_HINT_MS;
}

static void log_hint_said(struct flow *flow)
{
    flow->log_hint_ms = flow->elapsed_ms ? flow->elapsed_ms : 1;
    flow->log_hint_owed = false;
}

void say_log_moved(struct flow *flow, struct reply *reply)
{
    struct message hint = hint_of(NOTIFY_LOG_MOVED);

    flow->log_hint_owed = true;
    if (!log_hint_due(flow))
        return;
    reply_notify_all(reply, &hint);
    log_hint_said(flow);
}

static void tell_log_moved(struct peer *peer, void *ctx)
{
    struct flow *flow = ctx;
    struct message hint = hint_of(NOTIFY_LOG_MOVED);

    outgoing_put(&flow->turn.out, outgoing_message(peer->conn, &hint));
}

void hints_tick(struct flow *flow)
{
    if (!flow->log_hint_owed || !log_hint_due(flow))
        return;
    peers_each(flow, tell_log_moved, flow);
    log_hint_said(flow);
    turn_hand_out(flow);
}

uint64_t hints_due_ms(const struct flow *flow)
{
    return flow->log_hint_owed ? flow->log_hint_ms + LOG_HINT_MS : UINT64_MAX;
}

/* ---- prekeys: others cannot write to an agent whose prekeys are used up or over ---------------
 */

static struct message low_of(uint64_t count)
{
    struct message low = hint_of(NOTIFY_PREKEYS_LOW);

    MESSAGE_SET(&low, count, count);
    return low;
}

static enum err spk_ends(struct flow *flow, int64_t agent_id, bool *ends)
{
    struct spk_row spk;
    enum err e = store_spk_get(flow->store, agent_id, &spk);

    *ends = e == ERR_NOT_FOUND || (e == ERR_OK && spk.expires_ms < flow->now_ms + SPK_RENEW_MS);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err say_prekeys(struct flow *flow, const struct request *request, struct reply *reply)
{
    struct message low, end = hint_of(NOTIFY_SPK_ENDS);
    uint64_t count = 0;
    bool ends = false;
    enum err e = store_opk_count(flow->store, request->by.id, &count);

    if (e == ERR_OK)
        e = spk_ends(flow, request->by.id, &ends);
    if (e != ERR_OK)
        return e;
    low = low_of(count);
    if (count < LIMIT_OPK_LOW)
        reply_notify(reply, request->by.conn, &low);
    if (ends)
        reply_notify(reply, request->by.conn, &end);
    return ERR_OK;
}

enum err say_prekey_taken(struct flow *flow, int64_t agent_id, struct reply *reply)
{
    struct message low;
    uint64_t count = 0;
    enum err e = store_opk_count(flow->store, agent_id, &count);

    if (e != ERR_OK || (count != LIMIT_OPK_LOW - 1 && count != 0))
        return e;
    low = low_of(count);
    reply_notify_agent(reply, agent_id, &low);
    return ERR_OK;
}

struct hourly {
    struct flow *flow;
    enum err err;
};

static void tell_spk_ends(struct peer *peer, void *ctx)
{
    struct hourly *hourly = ctx;
    struct message hint = hint_of(NOTIFY_SPK_ENDS);
    bool ends = false;

    if (hourly->err == ERR_OK)
        hourly->err = spk_ends(hourly->flow, peer->agent_id, &ends);
    if (ends)
        outgoing_put(&hourly->flow->turn.out, outgoing_message(peer->conn, &hint));
}

enum err say_ending_prekeys(struct flow *flow)
{
    struct hourly hourly = { flow, ERR_OK };

    peers_each(flow, tell_spk_ends, &hourly);
    return hourly.err;
}

/* ---- mailboxes ------------------------------------------------------------------------------- */

void say_nearly_full(struct flow *flow, const struct agent_row *owner)
{
    uint64_t most = owner->quota_frames ? owner->quota_frames : flow->settings.queue_frames;
    const struct peer *peer = peer_find(flow, owner->agent_id);
    struct message hint = hint_of(NOTIFY_MAILBOX_FULL);
    struct stream_row stream;
    uint64_t frames;

    if (!peer || !peer->conn || store_stream_get(flow->store, owner->mailbox, &stream) != ERR_OK)
        return;
    frames = stream.frames - stream.control;
    if (frames * 5 > most * 4 && (frames - 1) * 5 <= most * 4)
        outgoing_put(&flow->turn.out, outgoing_message(peer->conn, &hint));
}
