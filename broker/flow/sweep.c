/*
 * sweep - what time does: frames expire, sessions end, old things go, a line for each minute.
 *
 * Every step is bounded and a turn of its own, so that requests never wait long behind it.
 */
#include <stdlib.h>

#include "broker/flow/blob.h"
#include "broker/flow/channel.h"
#include "broker/flow/fetch.h"
#include "broker/flow/flow_internal.h"
#include "broker/flow/groups.h"
#include "broker/flow/hints.h"
#include "broker/flow/journal.h"
#include "broker/flow/revoke.h"
#include "broker/flow/session.h"
#include "broker/flow/shelf.h"
#include "broker/store/audit.h"
#include "broker/store/directory.h"
#include "broker/store/invites.h"
#include "broker/store/senders.h"
#include "shared/trust/event.h"
#include "shared/trust/notice.h"
#include "shared/wire/limit.h"

enum {
    STREAMS_A_SWEEP = 32,
    SESSIONS_A_STEP = 64,
    FORGOTTEN_A_STEP = 8,
    MINUTE_MS = 60 * 1000,
    HOUR_MS = 60 * MINUTE_MS,
    SEEN_MS = 5 * MINUTE_MS,
    IDLE_MS = 1000
};

struct key_end {
    struct key_end *next;
    uint8_t key[32];
    uint64_t at_ms; /* elapsed */
};

struct sweep {
    /* elapsed: when each is due */
    uint64_t sweep_ms, minute_ms, hour_ms, idle_ms, invites_again_ms;
    uint64_t invites_ms; /* Unix time: invites that ended until then have left the key set */
    bool walking;        /* a sweep is under way: the next step at once */
    int64_t streams[STREAMS_A_SWEEP];
    size_t stream_count, stream_at;
    uint64_t walked;      /* position in that stream */
    uint64_t next_expiry; /* the earliest seen in it */
    bool sessions_left, old_left, forgotten_left;
};

struct sweep *sweep_new(void)
{
    return mem_zeroed(1, sizeof(struct sweep));
}

void sweep_free(struct sweep **sweep)
{
    free(*sweep);
    *sweep = NULL;
}

/* ---- streams: expiry, old tombstones, old control items -------------------------------------- */

struct expiring {
    struct frame_row rows[256]; /* only what must change */
    size_t count;
    uint64_t seen, now_ms, last, next_expiry;
};

static uint64_t ends_at(const struct frame_row *row)
{
    return row->reason ? row->expires_ms + LIMIT_KEEP_MS : row->expires_ms;
}

static bool expiring_row(void *ctx, const struct frame_row *row)
{
    struct expiring *expiring = ctx;

    expiring->seen++;
    expiring->last = row->position;
    if (ends_at(row) <= expiring->now_ms)
        expiring->rows[expiring->count++] = *row;
    else if (ends_at(row) < expiring->next_expiry)
        expiring->next_expiry = ends_at(row);
    return true;
}

/* Frames become tombstones; tombstones and the broker's own items just go. */
static enum err expire_row(struct flow *flow, const struct frame_row *row, uint64_t *next_expiry)
{
    if (row->reason || row->kind >= ITEM_RECEIPT) {
        shelf_forget(flow, row->stream_id);
        return store_frame_remove(flow->store, row);
    }
    if (row->expires_ms + LIMIT_KEEP_MS < *next_expiry)
        *next_expiry = row->expires_ms + LIMIT_KEEP_MS;
    return frame_give_up(flow, row, NOTICE_EXPIRED);
}

/* The next rows of the stream that is being walked. */
static enum err expire_step(struct flow *flow)
{
    struct sweep *sweep = flow->sweep;
    int64_t stream_id = sweep->streams[sweep->stream_at];
    struct expiring *expiring = arena_take(&flow->turn.arena, sizeof *expiring);
    enum err e;

    expiring->count = 0;
    expiring->seen = 0;
    expiring->now_ms = flow->now_ms;
    expiring->last = sweep->walked;
    expiring->next_expiry = sweep->next_expiry;
    e = store_frame_list(flow->store, stream_id, sweep->walked, INT64_MAX, LIMIT_SWEEP_ROWS,
                         expiring_row, expiring);
    for (size_t i = 0; e == ERR_OK && i < expiring->count; i++)
        e = expire_row(flow, &expiring->rows[i], &expiring->next_expiry);
    if (e != ERR_OK)
        return e;
    sweep->walked = expiring->last;
    sweep->next_expiry = expiring->next_expiry;
    if (expiring->seen == LIMIT_SWEEP_ROWS)
        return ERR_OK;
    e = store_expiry_set(flow->store, stream_id, sweep->next_expiry);
    sweep->stream_at++;
    sweep->walked = 0;
    sweep->next_expiry = INT64_MAX;
    return e;
}

static enum err expire_begin(struct flow *flow)
{
    struct sweep *sweep = flow->sweep;

    sweep->stream_at = sweep->stream_count = 0;
    sweep->walked = 0;
    sweep->next_expiry = INT64_MAX;
    return store_expiry_due(flow->store, flow->now_ms, sweep->streams, STREAMS_A_SWEEP,
                            &sweep->stream_count);
}

/* ---- sessions -------------------------------------------------------------------------------- */

static enum err last_word(struct flow *flow, const struct session_row *session, uint64_t *out)
{
    const int64_t parties[] = { session->a_id, session->b_id };

    *out = session->opened_ms;
    for (size_t i = 0; i < 2; i++) {
        struct sender_row sender;
        enum err e = store_sender_get(flow->store, session->session_id, parties[i], &sender);

        if (e != ERR_OK && e != ERR_NOT_FOUND)
            return e;
        if (e == ERR_OK && sender.last_ms > *out)
            *out = sender.last_ms;
    }
    return ERR_OK;
}

static enum err session_look(struct flow *flow, int64_t session_id)
{
    struct session_row session;
    uint64_t last_ms, due_ms;
    enum err e = store_session_get(flow->store, session_id, &session);

    if (e != ERR_OK)
        return e;
    if (session.state == SESSION_REQUESTED)
        return session_expire(flow, session_id, EXPIRED_TIME);
    e = last_word(flow, &session, &last_ms);
    if (e != ERR_OK)
        return e;
    due_ms
        = last_ms + session.idle_ms < session.ends_ms ? last_ms + session.idle_ms : session.ends_ms;
    if (due_ms <= flow->now_ms)
        return session_expire(flow, session_id, EXPIRED_TIME);
    return store_session_due_set(flow->store, session_id, due_ms);
}

static enum err sessions_step(struct flow *flow)
{
    int64_t ids[SESSIONS_A_STEP];
    size_t count = 0;
    enum err e = ERR_OK;

    flow->sweep->sessions_left = false;
    if (sessions_may_end(flow))
        e = store_session_due(flow->store, flow->now_ms, ids, SESSIONS_A_STEP, &count);
    for (size_t i = 0; e == ERR_OK && i < count; i++)
        e = session_look(flow, ids[i]);
    flow->sweep->sessions_left = count == SESSIONS_A_STEP;
    return e;
}

static enum err forget_one(struct flow *flow, uint64_t before_ms)
{
    int64_t id;
    enum err e = store_session_sweep(flow->store, before_ms, &id);

    return e == ERR_NOT_FOUND ? groups_forget_step(flow, before_ms) : e;
}

/* Sessions and groups that ended long ago, with all that remembers them. */
static enum err forget_step(struct flow *flow)
{

    flow->sweep->forgotten_left = false;
    if (flow->now_ms < LIMIT_KEEP_MS)
        return ERR_OK;
    for (int i = 0; i < FORGOTTEN_A_STEP; i++) {
        enum err e = forget_one(flow, flow->now_ms - LIMIT_KEEP_MS);

        if (e != ERR_OK)
            return e == ERR_NOT_FOUND ? ERR_OK : e;
    }
    flow->sweep->forgotten_left = true;
    return ERR_OK;
}

/* ---- one sweep, step by step ----------------------------------------------------------------- */

static enum err sweep_step(struct flow *flow)
{
    struct sweep *sweep = flow->sweep;

    if (sweep->stream_at < sweep->stream_count)
        return expire_step(flow);
    if (sweep->sessions_left)
        return sessions_step(flow);
    if (sweep->forgotten_left)
        return forget_step(flow);
    sweep->walking = false;
    sweep->sweep_ms = flow->elapsed_ms + LIMIT_SWEEP_MS;
    return ERR_OK;
}

static enum err sweep_begin(struct flow *flow)
{
    struct sweep *sweep = flow->sweep;

    /* A clock that has jumped ends nothing. */
    if (!store_clock_sound(flow->store, flow->now_ms, flow->elapsed_ms)) {
        sweep->sweep_ms = flow->elapsed_ms + LIMIT_SWEEP_MS;
        return ERR_OK;
    }
    sweep->walking = sweep->sessions_left = sweep->forgotten_left = true;
    return expire_begin(flow);
}

/* ---- minutes and hours ----------------------------------------------------------------------- */

struct seeing {
    struct flow *flow;
    enum err err;
};

/* Written when it has left, and every five minutes while it is here. */
static void see_peer(struct peer *peer, void *ctx)
{
    struct seeing *seeing = ctx;
    struct flow *flow = seeing->flow;
    uint64_t silent_ms = flow->elapsed_ms - peer->heard_ms;
    uint64_t heard_ms = flow->now_ms > silent_ms ? flow->now_ms - silent_ms : 0;

    if (peer->conn && silent_ms >= LIMIT_SILENCE_MS) {
        journal_gone(flow, peer);
        peer_leave(flow, peer, true);
    } else if (peer->conn) {
        flight_prove(flow, peer);
        wake_peer(flow, peer); /* others may have left it room */
    }
    if (seeing->err != ERR_OK
        || !(peer->has_left || (peer->conn && flow->now_ms >= peer->seen_ms + SEEN_MS)))
        return;
    peer->has_left = false;
    peer->seen_ms = heard_ms;
    seeing->err = store_agent_seen(flow->store, peer->agent_id, heard_ms);
}

static enum err minute_step(struct flow *flow)
{
    const struct flow_counters *counters = &flow->counters;
    struct minute_counts counts = { .frames_in = counters->frames_in,
                                    .bytes_in = counters->bytes_in,
                                    .frames_out = counters->frames_out,
                                    .bytes_out = counters->bytes_out,
                                    .expired = counters->expired,
                                    .refused = counters->refused,
                                    .commits = counters->commits };
    struct seeing seeing = { flow, ERR_OK };
    struct store_facts facts;
    enum err e;

    peers_known_each(flow, see_peer, &seeing);
    if (seeing.err != ERR_OK)
        return seeing.err;
    store_facts(flow->store, &facts);
    counts.commit_us_max = facts.commit_us_max;
    counts.connected = peers_online(flow);
    e = store_minute_add(flow->store, flow->now_ms, &counts);
    if (e == ERR_OK)
        e = store_minute(flow->store, flow->now_ms);
    if (e != ERR_OK)
        return e;
    groups_shrink(flow);
    flow->counters = (struct flow_counters){ 0 };
    flow->sweep->minute_ms = flow->elapsed_ms + MINUTE_MS;
    return ERR_OK;
}

static enum err hour_step(struct flow *flow)
{
    struct sweep *sweep = flow->sweep;
    bool more = sweep->old_left;
    enum err e = store_sweep_old(flow->store, flow->now_ms, &sweep->old_left);

    if (e == ERR_OK && !more) /* else it is the same hour */
        e = say_ending_prekeys(flow);
    sweep->hour_ms = flow->elapsed_ms + (sweep->old_left ? 0 : HOUR_MS);
    return e;
}

/* ---- keys that leave later ------------------------------------------------------------------- */

void key_ends_later(struct flow *flow, const uint8_t key[static 32], uint64_t in_ms)
{
    struct key_end *end = mem_zeroed(1, sizeof *end);

    memcpy(end->key, key, sizeof end->key);
    end->at_ms = flow->elapsed_ms + in_ms;
    end->next = flow->key_ends;
    flow->key_ends = end;
}

void key_ends_free(struct flow *flow)
{
    while (flow->key_ends) {
        struct key_end *end = flow->key_ends;

        flow->key_ends = end->next;
        free(end);
    }
}

/* Unless it is an agent's current key after all: the turn that replaced it has failed, or the agent
 * has gone back to it. */
static void drop_key(struct flow *flow, const uint8_t key[static 32])
{
    struct outgoing *drop;

    if (store_agent_by_transport(flow->store, key))
        return;
    drop = outgoing_new(OUT_KEY_DROP, 0);
    memcpy(drop->key, key, sizeof drop->key);
    outgoing_put(&flow->turn.out, drop);
}

static bool drop_invite(void *ctx, const struct invite_row *invite)
{
    drop_key(ctx, invite->key);
    return true;
}

/* Invites that were not used in time. */
static enum err invites_step(struct flow *flow)
{
    struct sweep *sweep = flow->sweep;
    enum err e;

    if (sweep->invites_ms == 0) /* older ones were not announced */
        sweep->invites_ms = flow->now_ms - MINUTE_MS;
    e = store_invite_ended(flow->store, sweep->invites_ms, flow->now_ms, drop_invite, flow);

    if (e == ERR_OK) {
        sweep->invites_ms = flow->now_ms;
        sweep->invites_again_ms = flow->elapsed_ms + LIMIT_SWEEP_MS;
    }
    return e;
}

static void keys_step(struct flow *flow)
{
    struct key_end **at = &flow->key_ends;

    while (*at) {
        struct key_end *end = *at;

        if (end->at_ms > flow->elapsed_ms) {
            at = &end->next;
            continue;
        }
        drop_key(flow, end->key);
        *at = end->next;
        free(end);
    }
    turn_hand_out(flow);
}

/* ---- the timer ------------------------------------------------------------------------------- */

/* Runs a step in a turn of its own, if it is due.  A step that fails is tried again later: it has
 * changed nothing in the store. */
static enum err step_if(struct flow *flow, bool due, enum err (*step)(struct flow *flow),
                        uint64_t *again_ms)
{
    enum err e;

    if (!due)
        return ERR_OK;
    e = turn_begin(flow);
    if (e == ERR_OK)
        e = turn_end(flow, step(flow));
    flow->is_tidy = false;
    if (e == ERR_OK)
        return ERR_OK;
    *again_ms = flow->elapsed_ms + IDLE_MS;
    flow->sweep->walking = false;
    return store_broken(flow->store) ? ERR_STORE : ERR_OK;
}

/* Time to tidy up that nobody needs; once it is tidy, not again before the next turn. */
static enum err idle_step(struct flow *flow)
{
    bool did = false;
    enum err e = store_maintain(flow->store, true, &did);

    flow->is_tidy = !did;
    flow->busy_ms = flow->elapsed_ms;
    return e == ERR_OK || !store_broken(flow->store) ? ERR_OK : ERR_STORE;
}

static uint64_t idle_at(const struct flow *flow)
{
    return flow->is_tidy ? UINT64_MAX : flow->busy_ms + IDLE_MS;
}

enum err flow_tick(struct flow *flow)
{
    struct sweep *sweep = flow->sweep;
    uint64_t now, unused;
    enum err e;

    flow_look_at_clock(flow);
    flow_look_at_disk(flow, 0);
    now = flow->elapsed_ms;
    keys_step(flow);
    hints_tick(flow);
    e = step_if(flow, flow->parked_until_ms <= now, fetch_end_overdue, &unused);
    if (e == ERR_OK)
        e = step_if(flow, groups_trim_due(flow), groups_trim, &unused);
    if (e == ERR_OK)
        e = step_if(flow, !sweep->walking && sweep->sweep_ms <= now, sweep_begin, &sweep->sweep_ms);
    if (e == ERR_OK)
        e = step_if(flow, sweep->walking, sweep_step, &sweep->sweep_ms);
    if (e == ERR_OK)
        e = step_if(flow, sweep->minute_ms <= now, minute_step, &sweep->minute_ms);
    if (e == ERR_OK)
        e = step_if(flow, sweep->hour_ms <= now, hour_step, &sweep->hour_ms);
    if (e == ERR_OK)
        e = step_if(flow, sweep->invites_again_ms <= now, invites_step, &sweep->invites_again_ms);
    if (e == ERR_OK)
        e = step_if(flow, revoke_due_ms(flow) <= now, revoke_step, &flow->endings_ms);
    if (e == ERR_OK)
        e = step_if(flow, blobs_due_ms(flow) <= now, blobs_step, &unused);
    if (e == ERR_OK)
        e = deliver_woken(flow);
    if (e == ERR_OK && idle_at(flow) <= now)
        e = idle_step(flow);
    return e == ERR_OK || !store_broken(flow->store) ? ERR_OK : ERR_STORE;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t flow_next_tick_ms(const struct flow *flow)
{
    const struct sweep *sweep = flow->sweep;
    uint64_t next = sooner(sooner(sweep->minute_ms, sweep->hour_ms),
                           sooner(idle_at(flow), flow->parked_until_ms));

    next = sooner(next, sweep->invites_again_ms);
    next = sooner(next, sooner(revoke_due_ms(flow), hints_due_ms(flow)));
    next = sooner(next, blobs_due_ms(flow));
    next = sooner(next, sweep->walking || groups_trim_due(flow) ? 0 : sweep->sweep_ms);
    for (const struct key_end *end = flow->key_ends; end; end = end->next)
        next = sooner(next, end->at_ms);
    return next;
}
