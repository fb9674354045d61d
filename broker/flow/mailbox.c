#include "broker/flow/channel.h"
#include "broker/flow/shelf.h"
#include "broker/store/audit.h"
#include "broker/store/dead.h"
#include "broker/store/directory.h"
#include "broker/store/scopes.h"
#include "shared/base/crash.h"
#include "shared/base/log.h"
#include "shared/trust/notice.h"
#include "shared/wire/limit.h"

#include <sodium.h>

enum err mailbox_put_control(struct flow *flow, int64_t agent_id, enum item_kind kind,
                             int64_t scope_id, int64_t sender_id, struct bytes bytes)
{
    const struct agent_row *owner = store_agent(flow->store, agent_id);
    struct frame_row row = { .scope_id = scope_id,
                             .sender_id = sender_id,
                             .kind = kind,
                             .stored_ms = flow->now_ms,
                             .expires_ms = flow->now_ms + LIMIT_KEEP_MS,
                             .frame = bytes };
    uint64_t position;
    enum err e;

    if (!owner || owner->state == AGENT_REVOKED)
        return ERR_OK;
    row.stream_id = owner->mailbox;
    crypto_hash_sha256(row.digest, bytes.at, bytes.len);
    e = store_frame_append(flow->store, &row, &position);
    if (e == ERR_OK)
        wake_agent(flow, agent_id);
    return e;
}

/* Whose frame a row says it is, and who was to have it. */
struct lost {
    uint8_t scope[16];
    int64_t recipient_id; /* 0: every reader of a channel */
    struct group *group;  /* whose channel */
};

/* The broker's word to the sender that its frame ended. */
static enum err notice_put(struct flow *flow, const struct frame_row *row, const struct lost *lost,
                           int reason)
{
    const struct agent_row *sender = store_agent(flow->store, row->sender_id);
    const struct agent_row *recipient = store_agent(flow->store, lost->recipient_id);
    struct notice notice = {
        .reason = (uint8_t)reason, .seq = row->seq, .position = row->position, .at_ms = flow->now_ms
    };
    uint8_t bytes[NOTICE_SIZE];

    if (!sender)
        return ERR_OK;
    memcpy(notice.scope, lost->scope, 16);
    memcpy(notice.sender, sender->aid, 32);
    if (recipient)
        memcpy(notice.recipient, recipient->aid, 32);
    memcpy(notice.frame_digest, row->digest, 32);
    notice_encode(bytes, &notice);
    return mailbox_put_control(flow, sender->agent_id, ITEM_NOTICE, row->scope_id, 0,
                               bytes_of(bytes, sizeof bytes));
}

static bool kind_is_frame(enum item_kind kind)
{
    return kind == ITEM_REQUEST || kind == ITEM_ACCEPT || kind == ITEM_DATA;
}

static enum err believe_in_channel(struct flow *flow, const struct frame_row *row,
                                   const struct stream_row *stream, struct lost *lost)
{
    enum err e;

    if (row->kind != ITEM_GROUP || row->seq == 0 || row->scope_id != stream->group_id
        || !store_agent(flow->store, row->sender_id))
        return ERR_NOT_FOUND;
    e = group_get(flow, stream->group_id, &lost->group);
    if (e == ERR_OK)
        memcpy(lost->scope, lost->group->row.id, 16);
    return e;
}

/* A damaged row is believed where everything it says fits together. */
static enum err row_believe(struct flow *flow, const struct frame_row *row,
                            const struct stream_row *stream, struct lost *lost)
{
    struct session_row session;
    enum err e;

    *lost = (struct lost){ .recipient_id = stream->agent_id };
    if (stream->kind == STREAM_CHANNEL)
        return believe_in_channel(flow, row, stream, lost);
    if (!kind_is_frame(row->kind) || row->seq == 0)
        return ERR_NOT_FOUND;
    e = store_session_get(flow->store, row->scope_id, &session);
    if (e != ERR_OK)
        return e;
    memcpy(lost->scope, session.id, 16);
    if ((row->sender_id == session.a_id && stream->agent_id == session.b_id)
        || (row->sender_id == session.b_id && stream->agent_id == session.a_id))
        return ERR_OK;
    return ERR_NOT_FOUND;
}

static enum err say_damaged(struct flow *flow, const struct frame_row *row)
{
    log_event(LOG_ERROR, "frame_damaged", "position=%llu stream=%lld",
              (unsigned long long)row->position, (long long)row->stream_id);
    return store_audit(flow->store, flow->now_ms, "broker", "frame.damaged", "", "");
}

enum err frame_give_up(struct flow *flow, const struct frame_row *row, int reason)
{
    struct stream_row stream;
    struct lost lost;
    enum err e = store_stream_get(flow->store, row->stream_id, &stream);

    if (e == ERR_OK && reason == NOTICE_DAMAGED)
        e = say_damaged(flow, row);
    if (e != ERR_OK)
        return e;
    if (stream.kind == STREAM_CHANNEL)
        shelf_forget(flow, row->stream_id);
    e = row_believe(flow, row, &stream, &lost);
    if (e == ERR_NOT_FOUND)
        return store_frame_remove(flow->store, row);
    if (e == ERR_OK)
        e = store_frame_tombstone(flow->store, row, reason);
    if (e == ERR_OK)
        e = store_dead_add(flow->store, row, lost.recipient_id, reason, flow->now_ms, "");
    if (e == ERR_OK)
        e = notice_put(flow, row, &lost, reason);
    CRASH_POINT("sweep.notice");
    if (e == ERR_OK && lost.group)
        e = channel_cap_tombstones(flow, lost.group, row->sender_id);
    if (e == ERR_OK) {
        log_event(LOG_WARN, "expired", "position=%llu seq=%llu size=%llu reason=%d",
                  (unsigned long long)row->position, (unsigned long long)row->seq,
                  (unsigned long long)row->len, reason);
        flow->turn.counted.expired++;
    }
    return e;
}

/* ---- a whole mailbox ------------------------------------------------------------------------- */

enum { GIVE_UP_MOST = 256 };

struct waiting {
    struct frame_row rows[GIVE_UP_MOST];
    size_t count, max;
};

static bool waiting_frame(void *ctx, const struct frame_row *row)
{
    struct waiting *waiting = ctx;

    if (!kind_is_frame(row->kind) || row->reason)
        return true;
    waiting->rows[waiting->count] = *row;
    waiting->rows[waiting->count++].frame = (struct bytes){ 0 };
    return waiting->count < waiting->max;
}

enum err mailbox_give_up(struct flow *flow, int64_t agent_id, int reason, uint64_t max, bool *more)
{
    const struct agent_row *owner = store_agent(flow->store, agent_id);
    struct waiting *waiting;
    enum err e;

    *more = false;
    if (!owner)
        return ERR_NOT_FOUND;
    waiting = arena_take(&flow->turn.arena, sizeof *waiting);
    waiting->count = 0;
    waiting->max = max < GIVE_UP_MOST ? max : GIVE_UP_MOST;
    e = store_frame_list(flow->store, owner->mailbox, 0, INT64_MAX, INT64_MAX, waiting_frame,
                         waiting);
    for (size_t i = 0; e == ERR_OK && i < waiting->count; i++)
        e = frame_give_up(flow, &waiting->rows[i], reason);
    *more = waiting->count == waiting->max;
    return e;
}
