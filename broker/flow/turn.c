#include <stdlib.h>

#include "broker/flow/channel.h"
#include "broker/store/store.h"
#include "shared/base/crash.h"
#include "shared/base/log.h"
#include "shared/wire/limit.h"

enum { MUCH_BYTES = 64 * 1024, LOOK_AT_DISK_MS = 1000 };

void flow_look_at_clock(struct flow *flow)
{
    flow->now_ms = flow->ports.now_ms(flow->ports.ctx);
    flow->elapsed_ms = flow->ports.elapsed_ms(flow->ports.ctx);
}

void flow_look_at_disk(struct flow *flow, size_t bytes)
{
    if (bytes <= MUCH_BYTES && flow->elapsed_ms < flow->space_look_ms)
        return;
    flow->space_look_ms = flow->elapsed_ms + LOOK_AT_DISK_MS;
    store_space(flow->store, flow->ports.disk_free(flow->ports.ctx));
}

void turn_hand_out(struct flow *flow)
{
    struct outgoing_queue *queue = &flow->turn.out;

    while (queue->first) {
        struct outgoing *out = queue->first;

        queue->first = out->next;
        out->next = NULL;
        flow->ports.hand_out(flow->ports.ctx, out);
    }
    queue->last = NULL;
}

enum err turn_begin(struct flow *flow)
{
    enum err e = store_begin(flow->store);

    if (e == ERR_OK)
        CRASH_POINT("turn.begun");
    return e;
}

static void turn_clear(struct flow *flow)
{
    arena_clear(&flow->turn.arena);
    flow->turn.acked_count = 0;
    flow->turn.counted = (struct flow_counters){ 0 };
}

void turn_rollback(struct flow *flow)
{
    store_rollback(flow->store);
    outgoing_drop(&flow->turn.out); /* nobody saw ACCEPTED, so everybody sends again */
    rates_refund(&flow->rates);
    turn_clear(flow);
}

static void note(struct flow *flow, const struct acked *acked)
{
    struct turn *turn = &flow->turn;

    if (turn->acked_count == turn->acked_cap) {
        turn->acked_cap = turn->acked_cap ? 2 * turn->acked_cap : 64;
        turn->acked = mem_resize(turn->acked, turn->acked_cap * sizeof *turn->acked);
    }
    turn->acked[turn->acked_count++] = *acked;
}

void turn_note_acked(struct flow *flow, struct peer *peer, int64_t stream_id, uint64_t position)
{
    note(flow, &(struct acked){ .peer = peer, .stream_id = stream_id, .position = position });
}

void turn_note_left(struct flow *flow, struct peer *peer, int64_t stream_id)
{
    note(flow, &(struct acked){ .peer = peer, .stream_id = stream_id, .left = true });
}

static void land(struct flow *flow, const struct acked *acked)
{
    struct reading *reading = peer_reading(acked->peer, acked->stream_id);

    if (acked->left)
        peer_reading_drop(flow, acked->peer, acked->stream_id);
    else if (reading)
        flight_land(flow, acked->peer, reading, acked->position);
    if (peer_has_more(acked->peer))
        wake_peer(flow, acked->peer);
}

/* What memory owes to a committed turn. */
static void turn_apply(struct flow *flow)
{
    const struct flow_counters *counted = &flow->turn.counted;

    for (size_t i = 0; i < flow->turn.acked_count; i++)
        land(flow, &flow->turn.acked[i]);
    flow->counters.frames_in += counted->frames_in;
    flow->counters.bytes_in += counted->bytes_in;
    flow->counters.frames_out += counted->frames_out;
    flow->counters.bytes_out += counted->bytes_out;
    flow->counters.expired += counted->expired;
    flow->counters.refused += counted->refused;
    flow->totals.frames_in += counted->frames_in;
    flow->totals.frames_out += counted->frames_out;
    flow->totals.expired += counted->expired;
    flow->totals.refused += counted->refused;
    rates_keep(&flow->rates);
    turn_clear(flow);
}

enum err turn_commit(struct flow *flow)
{
    enum err e;

    CRASH_POINT("turn.commit.before");
    e = store_commit(flow->store);
    if (e != ERR_OK) {
        turn_rollback(flow);
        return e;
    }
    CRASH_POINT("turn.commit.after");
    flow->counters.commits++;
    turn_apply(flow);
    turn_hand_out(flow);
    CRASH_POINT("turn.released");
    return ERR_OK;
}

enum err turn_end(struct flow *flow, enum err e)
{
    if (e == ERR_OK)
        return turn_commit(flow);
    turn_rollback(flow);
    return e;
}

/* Everybody's requests in one transaction; a refusal is an answer, an error is the store's. */
static enum err turn_try(struct flow *flow, struct request **requests, size_t count)
{
    enum err e = turn_begin(flow);

    if (e != ERR_OK)
        return e;
    for (size_t i = 0; e == ERR_OK && i < count; i++) {
        e = request_run(flow, requests[i]);
        CRASH_POINT("turn.applied");
    }
    if (e == ERR_OK)
        e = groups_trim(flow);
    return turn_end(flow, e);
}

/* What the one who asked hears when the store failed for this request alone. */
static enum err turn_verdict(enum err e)
{
    return e == ERR_STORE_FULL ? ERR_DISK : e == ERR_BUSY ? ERR_BUSY : ERR_INTERNAL;
}

/* One request spoils a turn for all others at most once. */
static enum err turn_one_by_one(struct flow *flow, struct request **requests, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        enum err e = turn_try(flow, &requests[i], 1);

        if (store_broken(flow->store))
            return ERR_STORE;
        if (e != ERR_OK) {
            log_event(LOG_ERROR, "request_failed", "verb=%s error=%s",
                      verb_name(requests[i]->message.verb), err_name(e));
            request_refuse(flow, requests[i], turn_verdict(e));
            turn_hand_out(flow);
        }
    }
    return ERR_OK;
}

/* Somebody else writes to the file: nobody is kept waiting for it. */
static void turn_refuse_all(struct flow *flow, struct request **requests, size_t count)
{
    log_event(LOG_WARN, "store_busy", "requests=%zu", count);
    for (size_t i = 0; i < count; i++)
        request_refuse(flow, requests[i], ERR_BUSY);
    turn_hand_out(flow);
}

enum err flow_turn(struct flow *flow, struct request **requests, size_t count)
{
    size_t bytes = 0;
    bool did;
    enum err e;

    CRASH_POINT("turn.taken");
    flow_look_at_clock(flow);
    flow->busy_ms = flow->elapsed_ms;
    flow->is_tidy = false;
    for (size_t i = 0; i < count; i++) {
        request_precheck(requests[i]);
        bytes += requests[i]->bytes;
    }
    flow_look_at_disk(flow, bytes);

    e = turn_try(flow, requests, count);
    if (e == ERR_BUSY) {
        turn_refuse_all(flow, requests, count);
        e = ERR_OK;
    } else if (e != ERR_OK && !store_broken(flow->store)) {
        e = turn_one_by_one(flow, requests, count);
    }
    for (size_t i = 0; i < count; i++)
        request_free(&requests[i]);
    if (e == ERR_OK)
        e = deliver_woken(flow);
    if (e == ERR_OK)
        e = store_maintain(flow->store, false, &did);
    return e == ERR_OK || !store_broken(flow->store) ? ERR_OK : ERR_STORE;
}
