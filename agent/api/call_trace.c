/*
 * trace, outbox - what became of messages (docs: cli 3.2).
 */
#include <stdio.h>
#include <string.h>

#include "agent/api/object.h"
#include "agent/api/verbs.h"
#include "shared/base/text.h"

#define NEWS_MS  2000
#define FLUSH_MS 30000

/* ------------------------------------------------------------------ trace
 * Parameters   id.   Items   one `trace` */

static uint64_t seen_ms(struct call *call, const uint8_t aid[static 32])
{
    struct peer_info peer;

    return agent_peer_get(call->agent, aid, &peer) == ERR_OK ? peer.seen_ms : 0;
}

struct tracing {
    uint8_t id[16], peer[32];
    bool incoming, found, asked; /* asked: there is nobody to ask about a group's message */
};

/* The message must be known before the broker is bothered. */
static bool trace_find(struct call *call, struct tracing *t)
{
    struct incoming_info in;
    struct outgoing_info out;

    if (t->found)
        return true;
    if (!call_find_message(call, call_text(call, "id"), t->id, &t->incoming))
        return false;
    if (t->incoming && agent_incoming_get(call->agent, t->id, &in) == ERR_OK)
        memcpy(t->peer, in.from_aid, sizeof t->peer);
    else if (!t->incoming && agent_outgoing_get(call->agent, t->id, &out) == ERR_OK) {
        memcpy(t->peer, out.to_aid, sizeof t->peer);
        t->asked = out.has_group;
    }
    return t->found = true;
}

static void add_member(void *ctx, const struct signed_info *info)
{
    object_trace_member(ctx, info);
}

static void give_out(struct call *call, const struct outgoing_info *out, uint64_t seen)
{
    json_t *object = object_trace_out(out, seen);
    uint8_t id[16];

    memcpy(id, out->id, sizeof id);
    if (out->has_group)
        agent_signed_each(call->agent, id, add_member, object);
    call_item(call, object);
}

static void trace_give(struct call *call, const struct tracing *t)
{
    uint64_t seen = seen_ms(call, t->peer);
    struct incoming_info in;
    struct outgoing_info out;
    enum err e;

    if (t->incoming) {
        e = agent_incoming_get(call->agent, t->id, &in);
        if (e == ERR_OK)
            call_item(call, object_trace_in(&in, seen));
    } else {
        e = agent_outgoing_get(call->agent, t->id, &out);
        if (e == ERR_OK)
            give_out(call, &out, seen);
    }
    if (e != ERR_OK)
        call_fail_err(call, e, "messages");
    call_end(call, 0);
}

static void trace_step(struct call *call)
{
    struct tracing *t = call->state;
    uint64_t until = call_deadline(call, NEWS_MS);
    enum reach reach;

    if (!trace_find(call, t))
        return;
    reach = call_reach(call, until);
    if (reach == REACH_WAITING)
        return;
    if (reach == REACH_THERE && !t->asked) {
        t->asked = true;
        agent_presence_ask(call->agent, t->peer);
    }
    if (reach == REACH_THERE && agent_presence_pending(call->agent) > 0 && call->now_ms < until) {
        call->wake_ms = until;
        return;
    }
    trace_give(call, t);
}

const struct call_verb call_trace
    = { .name = "trace", .online = true, .state_len = sizeof(struct tracing), .step = trace_step };

/* ------------------------------------------------------------------ outbox
 * Parameters   flush?.   Items   `outgoing` */

static void give_outgoing(void *ctx, const struct outgoing_info *info)
{
    call_item(ctx, object_outgoing(info, OBJECT_PLAIN));
}

static void list_outbox(struct call *call)
{
    enum err e = agent_outbox_each(call->agent, give_outgoing, call);

    if (e != ERR_OK)
        call_fail_err(call, e, "outbox");
}

struct backlog {
    uint64_t for_broker, for_others;
    enum err wire;
    uint64_t retry_ms;
};

static void count_queued(void *ctx, const struct outgoing_info *info)
{
    struct backlog *backlog = ctx;

    if (info->state != OUT_QUEUED)
        return;
    if (info->waits_for == WAITS_FOR_CONSENT || info->waits_for == WAITS_FOR_APPROVAL) {
        backlog->for_others++;
        return;
    }
    backlog->for_broker++;
    if (failure_is_temporary(info->wire)) {
        backlog->wire = info->wire;
        backlog->retry_ms = info->retry_after_ms;
    }
}

static void flush_failed(struct call *call, const struct backlog *backlog)
{
    struct failure failure;
    char within[SHORT_TEXT_SIZE];

    if (!call->reached || call_link_refused(call, &failure)) {
        call_link_failure(call, &failure);
    } else {
        duration_text(within, call->now_ms - call->started_ms);
        failure_set(&failure, 5, "timeout", "sealpost outbox",
                    "%llu messages are not stored within %s; they stay queued",
                    (unsigned long long)backlog->for_broker, within);
        if (backlog->wire != ERR_OK) {
            failure.wire = err_name(backlog->wire);
            failure.retry_ms = (int64_t)backlog->retry_ms;
        }
    }
    call_fail(call, &failure);
}

static void outbox_step(struct call *call)
{
    struct backlog backlog = { 0 };
    struct failure ignored;
    uint64_t until = call_deadline(call, FLUSH_MS);
    enum err e;

    if (!call_flag(call, "flush")) {
        list_outbox(call);
        call_end(call, 0);
        return;
    }
    e = agent_outbox_each(call->agent, count_queued, &backlog);
    if (e != ERR_OK) {
        call_fail_err(call, e, "outbox");
        return;
    }
    /* first what the broker has for us: an answer there may let messages go that waited for it */
    if (call_reach(call, until) == REACH_WAITING)
        return;
    if (backlog.for_broker && call->now_ms < until && !call->offline
        && !call_link_refused(call, &ignored)) {
        call->wake_ms = until;
        return;
    }
    list_outbox(call);
    if (backlog.for_broker)
        flush_failed(call, &backlog);
    else if (backlog.for_others)
        call_note(call, "%llu wait for the other side's consent; they go out by themselves",
                  (unsigned long long)backlog.for_others);
    call_end(call, 0);
}

/* Without --flush nothing is asked of the broker. */
static void outbox_start(struct call *call)
{
    if (!call_flag(call, "flush"))
        call->offline = true;
}

const struct call_verb call_outbox
    = { .name = "outbox", .online = true, .start = outbox_start, .step = outbox_step };
