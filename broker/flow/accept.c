#include "broker/flow/accept.h"

#include "broker/flow/hints.h"
#include "broker/store/senders.h"
#include "shared/trust/notice.h"

enum err accept_rate(struct reply *reply, int64_t agent_id)
{
    const struct flow_settings *settings = &reply->flow->settings;
    struct rate_limit limit = { .burst = settings->send_burst ? settings->send_burst : 1,
                                .count = settings->send_per_s ? settings->send_per_s : 1,
                                .per_ms = 1000 };

    return rate_check(reply, RATE_FRAMES, agent_id, 0, &limit);
}

static uint64_t or_else(uint64_t own, uint64_t configured)
{
    return own ? own : configured;
}

/* While the clock cannot be trusted, nothing is over. */
static bool frame_over(struct flow *flow, const struct frame_view *frame)
{
    return frame->expires_ms <= flow->now_ms
           && store_clock_sound(flow->store, flow->now_ms, flow->elapsed_ms);
}

enum err accept_check(struct flow *flow, const struct incoming *incoming)
{
    const struct flow_settings *settings = &flow->settings;
    const struct agent_row *recipient = incoming->recipient;
    uint64_t bytes = incoming->frame->all.len;
    struct stream_row stream;
    struct share share;
    enum err e;

    if (!store_accepting(flow->store))
        return ERR_DISK;
    e = store_stream_get(flow->store, recipient->mailbox, &stream);
    if (e == ERR_OK)
        e = store_share(flow->store, recipient->mailbox, incoming->sender_id, &share);
    if (e != ERR_OK)
        return e;

    /* Numbers first: an expired frame takes a row, too. */
    if (share.frames >= settings->pair_frames)
        return ERR_QUOTA_SENDER;
    if (stream.frames - stream.control >= or_else(recipient->quota_frames, settings->queue_frames))
        return ERR_QUOTA_MAILBOX;
    if (frame_over(flow, incoming->frame))
        return ERR_TOMBSTONE;
    if (incoming->frame->is_stub)
        return ERR_STALE_TS;
    if (share.bytes + bytes > settings->pair_bytes)
        return ERR_QUOTA_SENDER;
    if (stream.bytes + bytes > or_else(recipient->quota_bytes, settings->queue_bytes))
        return ERR_QUOTA_MAILBOX;
    return ERR_OK;
}

enum err accept_store(struct flow *flow, const struct incoming *incoming, enum err verdict)
{
    const struct frame_view *frame = incoming->frame;
    uint64_t longest = flow->now_ms + flow->settings.frame_ttl_max_ms;
    struct frame_row row
        = { .stream_id = incoming->recipient->mailbox,
            .scope_id = incoming->session->session_id,
            .sender_id = incoming->sender_id,
            .seq = frame->seq,
            .kind = (enum item_kind)frame->kind,
            .stored_ms = flow->now_ms,
            .expires_ms = frame->expires_ms < longest ? frame->expires_ms : longest };
    uint64_t position;
    enum err e;

    memcpy(row.digest, incoming->digest, sizeof row.digest);
    if (verdict == ERR_TOMBSTONE)
        row.reason = NOTICE_EXPIRED;
    else
        row.frame = frame->all;
    e = store_frame_append(flow->store, &row, &position);
    if (e == ERR_OK)
        e = store_sender_advance(flow->store, row.scope_id, row.sender_id, row.seq, row.digest,
                                 row.frame.len, flow->now_ms);
    if (e != ERR_OK)
        return e;
    wake_agent(flow, incoming->recipient->agent_id);
    say_nearly_full(flow, incoming->recipient);
    flow->turn.counted.frames_in++;
    flow->turn.counted.bytes_in += row.frame.len;
    return ERR_OK;
}
