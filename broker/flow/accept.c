#include "broker/flow/accept.h"

#include "broker/flow/channel.h"
#include "broker/flow/hints.h"
#include "broker/store/senders.h"
#include "shared/trust/notice.h"
#include "shared/wire/limit.h"

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

static int64_t stream_of(const struct incoming *incoming)
{
    return incoming->group ? incoming->group->row.stream_id : incoming->recipient->mailbox;
}

static uint64_t most_frames(const struct flow *flow, const struct agent_row *owner)
{
    return or_else(owner ? owner->quota_frames : 0, flow->settings.queue_frames);
}

static uint64_t most_bytes(const struct flow *flow, const struct agent_row *owner)
{
    return or_else(owner ? owner->quota_bytes : 0, flow->settings.queue_bytes);
}

enum err accept_check(struct flow *flow, const struct incoming *incoming)
{
    const struct flow_settings *settings = &flow->settings;
    uint64_t bytes = incoming->frame->all.len;
    struct stream_row stream;
    struct share share;
    enum err e;

    if (!store_accepting(flow->store))
        return ERR_DISK;
    e = store_stream_get(flow->store, stream_of(incoming), &stream);
    if (e == ERR_OK)
        e = store_share(flow->store, stream.stream_id, incoming->sender_id, &share);
    if (e != ERR_OK)
        return e;

    /* Numbers first: an expired frame takes a row, too. */
    if (share.frames >= settings->pair_frames)
        return ERR_QUOTA_SENDER;
    if (stream.frames - stream.control >= most_frames(flow, incoming->recipient))
        return ERR_QUOTA_MAILBOX;
    if (frame_over(flow, incoming->frame))
        return ERR_TOMBSTONE;
    if (incoming->frame->is_stub)
        return ERR_STALE_TS;
    if (share.bytes + bytes > settings->pair_bytes)
        return ERR_QUOTA_SENDER;
    if (stream.bytes + bytes > most_bytes(flow, incoming->recipient))
        return ERR_QUOTA_MAILBOX;
    return ERR_OK;
}

static uint64_t longest_life(const struct flow *flow, const struct incoming *incoming)
{
    uint64_t longest = flow->settings.frame_ttl_max_ms;

    return incoming->group && longest > LIMIT_GROUP_LIFE_MS ? LIMIT_GROUP_LIFE_MS : longest;
}

/* What a channel does with it: readers woken; a tombstone's number is settled at once. */
static enum err stored_in_channel(struct flow *flow, const struct incoming *incoming,
                                  const struct frame_row *row)
{
    enum err e = ERR_OK;

    group_wake(flow, incoming->group);
    if (!row->reason)
        return ERR_OK;
    e = store_sender_settle_to(flow->store, row->scope_id, row->sender_id, row->seq, NULL);
    return e == ERR_OK ? channel_cap_tombstones(flow, incoming->group, row->sender_id) : e;
}

enum err accept_store(struct flow *flow, const struct incoming *incoming, enum err verdict)
{
    const struct frame_view *frame = incoming->frame;
    uint64_t longest = flow->now_ms + longest_life(flow, incoming);
    struct frame_row row
        = { .stream_id = stream_of(incoming),
            .scope_id
            = incoming->group ? incoming->group->row.group_id : incoming->session->session_id,
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
    if (e == ERR_OK && incoming->group)
        e = stored_in_channel(flow, incoming, &row);
    if (e != ERR_OK)
        return e;
    if (!incoming->group) {
        wake_agent(flow, incoming->recipient->agent_id);
        say_nearly_full(flow, incoming->recipient);
    }
    flow->turn.counted.frames_in++;
    flow->turn.counted.bytes_in += row.frame.len;
    return ERR_OK;
}
