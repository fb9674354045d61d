/*
 * inbox, show, ack - what lies on this disk (docs: cli 3.2).
 */
#include <stdlib.h>
#include <string.h>

#include "agent/api/call_group.h"
#include "agent/api/object.h"
#include "agent/api/verbs.h"
#include "shared/base/text.h"

#define NETWORK_MS  5000
#define ALL_DEFAULT 100

/* ------------------------------------------------------------------ inbox
 * Parameters   all?, count?, from? (list of PEER).   Items   `header`; at last {"held":N} as
 * `counts` */

struct senders {
    uint8_t (*from)[32], (*groups)[16]; /* owned */
    size_t from_count, group_count;
};

static bool senders_take(struct call *call, struct senders *s)
{
    json_t *list = json_object_get(call->params, "from"), *name;
    size_t i;

    s->from = mem_zeroed(json_array_size(list) + 1, sizeof *s->from);
    s->groups = mem_zeroed(json_array_size(list) + 1, sizeof *s->groups);
    json_array_foreach(list, i, name)
    {
        const char *peer = call_word(name);
        enum err e;

        if (peer[0] == '+') {
            e = agent_group_find(call->agent, peer + 1, s->groups[s->group_count]);
            if (e != ERR_OK) {
                call_fail_group(call, e, peer + 1);
                return false;
            }
            s->group_count++;
            continue;
        }
        e = agent_peer_find(call->agent, peer, s->from[s->from_count]);
        if (e != ERR_OK && e != ERR_KEY_CHANGED && e != ERR_BLOCKED) {
            call_fail_peer(call, e == ERR_MALFORMED ? ERR_UNKNOWN_AGENT : e, peer);
            return false;
        }
        s->from_count++;
    }
    return true;
}

static void give_header(void *ctx, const struct incoming_info *info)
{
    call_item(ctx, object_incoming(info, OBJECT_PLAIN));
}

static void note_held(struct call *call)
{
    struct agent_counts counts;

    if (agent_counts_get(call->agent, &counts) != ERR_OK || counts.held == 0)
        return;
    if (counts.held == 1)
        call_note(call, "1 request waits: sealpost requests");
    else
        call_note(call, "%llu requests wait: sealpost requests", (unsigned long long)counts.held);
}

static void list_inbox(struct call *call)
{
    bool all = call_flag(call, "all");
    struct senders s = { 0 };
    struct incoming_filter filter = { .unread = true, .done = all };
    enum err e = ERR_OK;

    if (senders_take(call, &s)) {
        filter.from = s.from_count ? (const uint8_t(*)[32])s.from : NULL;
        filter.from_count = s.from_count;
        filter.groups = s.group_count ? (const uint8_t(*)[16])s.groups : NULL;
        filter.group_count = s.group_count;
        filter.newest = call_number(call, "count", all ? ALL_DEFAULT : 0);
        e = agent_inbox_each(call->agent, &filter, give_header, call);
        if (e != ERR_OK)
            call_fail_err(call, e, "inbox");
    }
    free(s.from);
    free(s.groups);
    if (call->ended)
        return;
    note_held(call);
    call_end(call, 0);
}

/* What could not be asked is worth a note when the answer comes from this disk alone. */
static void note_unreached(struct call *call, enum reach reach)
{
    struct failure failure;

    if (reach != REACH_NOT || call->offline)
        return;
    call_link_failure(call, &failure);
    call_note(call, "%s", failure.message);
}

static void inbox_step(struct call *call)
{
    enum reach reach = call_reach(call, call_deadline(call, NETWORK_MS));

    if (reach == REACH_WAITING)
        return;
    note_unreached(call, reach);
    list_inbox(call);
}

const struct call_verb call_inbox = { .name = "inbox", .online = true, .step = inbox_step };

/* ------------------------------------------------------------------ show
 * Parameters   id, thread?.   Items   `message`, or `outgoing` with body */

static void give_whole(void *ctx, const struct outgoing_info *out, const struct incoming_info *in)
{
    call_item(ctx, out ? object_outgoing(out, OBJECT_BODY) : object_incoming(in, OBJECT_BODY));
}

static enum err thread_of(struct call *call, const uint8_t id[static 16], bool incoming,
                          uint8_t thread[static 16])
{
    struct incoming_info in;
    struct outgoing_info out;
    enum err e = incoming ? agent_incoming_get(call->agent, id, &in)
                          : agent_outgoing_get(call->agent, id, &out);

    if (e == ERR_OK)
        memcpy(thread, incoming ? in.thread : out.thread, 16);
    return e;
}

static enum err show_one(struct call *call, const uint8_t id[static 16], bool incoming)
{
    struct incoming_info in;
    struct outgoing_info out;
    enum err e = incoming ? agent_incoming_get(call->agent, id, &in)
                          : agent_outgoing_get(call->agent, id, &out);

    if (e == ERR_OK)
        give_whole(call, incoming ? NULL : &out, incoming ? &in : NULL);
    return e;
}

static void show_step(struct call *call)
{
    uint8_t id[16], thread[16];
    bool incoming;
    enum err e;

    if (!call_find_message(call, call_text(call, "id"), id, &incoming))
        return;
    if (call_flag(call, "thread")) {
        e = thread_of(call, id, incoming, thread);
        if (e == ERR_OK)
            e = agent_thread_each(call->agent, thread, give_whole, call);
    } else {
        e = show_one(call, id, incoming);
    }
    if (e != ERR_OK)
        call_fail_err(call, e, "messages");
    call_end(call, 0);
}

const struct call_verb call_show = { .name = "show", .step = show_step };

/* ------------------------------------------------------------------ ack
 * Parameters   ids (list), new?.   Items   `acked` */

static json_t *acked_object(const uint8_t id[static 16], const char *state)
{
    char hex[33];

    hex_encode(hex, id, 16);
    return json_pack("{s:i, s:s, s:s, s:s}", "v", 1, "type", "acked", "id", hex, "state", state);
}

static bool ack_one(struct call *call, const char *prefix, enum incoming_state state,
                    struct failure *failure)
{
    uint8_t id[16];
    bool incoming;
    enum err e;

    if (!call_match_message(call, prefix, id, &incoming, failure))
        return false;
    e = incoming ? agent_settle(call->agent, id, state) : ERR_NOT_FOUND;
    if (e == ERR_OK) {
        call_item(call, acked_object(id, object_in_state(state)));
        return true;
    }
    failure_of_err(failure, e, prefix);
    return false;
}

/* Every id is tried; the first failure is the one that counts. */
static void ack_step(struct call *call)
{
    enum incoming_state state = call_flag(call, "new") ? IN_NEW : IN_DONE;
    json_t *ids = json_object_get(call->params, "ids"), *prefix;
    struct failure first = { 0 }, failure;
    size_t i;

    json_array_foreach(ids, i, prefix)
    {
        if (ack_one(call, call_word(prefix), state, &failure))
            continue;
        if (first.exit == 0)
            first = failure;
        else
            call_note(call, "%s", failure.message);
    }
    if (first.exit)
        call_fail(call, &first);
    call_end(call, 0);
}

const struct call_verb call_ack = { .name = "ack", .step = ack_step };
