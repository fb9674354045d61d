/*
 * recv - take new messages, oldest first, one after the other: handed, printed by the command, done
 *        (docs: cli 3.2).
 *
 * Parameters   wait, follow, no_ack, events (switches), count?, from? (list of PEER), and what a
 *              hand-over brings: given (how many were printed), skip (ids printed and left unread)
 * Items        `message`, each to be taken; with events what happens besides (api/events.h)
 */
#include <stdlib.h>
#include <string.h>

#include "agent/api/call_group.h"
#include "agent/api/events.h"
#include "agent/api/object.h"
#include "agent/api/verbs.h"
#include "shared/base/text.h"

#define NETWORK_MS 5000

struct receiving {
    bool wait, follow, no_ack, events;
    uint64_t count, given; /* how many at most; how many were printed */
    bool from_known;       /* names of --from are resolved */
    uint8_t (*from)[32];   /* owned */
    uint8_t (*groups)[16]; /* owned */
    size_t from_count, group_count;
    uint64_t catch_up_ms; /* with --wait: until when the rest of what waits may come */
    bool told_down;
    uint64_t news; /* number of the last one told */
};

static void recv_start(struct call *call)
{
    struct receiving *r = call->state;
    size_t i;
    json_t *id;

    r->wait = call_flag(call, "wait");
    r->follow = call_flag(call, "follow");
    r->no_ack = call_flag(call, "no_ack");
    r->events = call_flag(call, "events");
    r->news = events_newest(call);
    r->count = call_number(call, "count", UINT64_MAX);
    r->given = call_number(call, "given", 0);
    r->catch_up_ms = UINT64_MAX;
    json_array_foreach(json_object_get(call->params, "skip"), i, id)
    {
        const char *hex = json_string_value(id);

        call->hands = mem_resize(call->hands, (call->hand_count + 1) * sizeof *call->hands);
        if (hex && hex_decode(call->hands[call->hand_count], 16, hex, strlen(hex)) == ERR_OK)
            call->hand_count++;
    }
}

static bool stays(const struct receiving *r)
{
    return r->wait || r->follow;
}

/* Until when the network may take; UINT64_MAX: as long as it likes. */
static uint64_t limit_ms(const struct call *call, const struct receiving *r)
{
    return call_deadline(call, stays(r) ? UINT64_MAX : NETWORK_MS);
}

/* Not in the log of this disk; the broker may have told of it since. */
static void unknown_sender(struct call *call, const struct receiving *r, const char *peer)
{
    struct failure failure;

    switch (call_reach(call, call_deadline(call, NETWORK_MS))) {
    case REACH_WAITING:
        return;
    case REACH_THERE:
        call_fail_unknown_agent(call, peer);
        return;
    case REACH_NOT:
        if (call->offline) {
            call_fail_unknown_agent(call, peer);
        } else if (!stays(r) || call->now_ms >= limit_ms(call, r)) {
            call_link_failure(call, &failure);
            call_fail(call, &failure);
        }
        return;
    }
}

/* The senders that are asked for.  Who is not known yet may be in the log that the broker has. */
static bool know_senders(struct call *call, struct receiving *r)
{
    json_t *list = json_object_get(call->params, "from"), *name;
    size_t i;

    if (r->from_known)
        return true;
    r->from_count = r->group_count = 0;
    r->from = mem_resize(r->from, (json_array_size(list) + 1) * sizeof *r->from);
    r->groups = mem_resize(r->groups, (json_array_size(list) + 1) * sizeof *r->groups);
    json_array_foreach(list, i, name)
    {
        const char *peer = call_word(name);
        enum err e;

        if (peer[0] == '+') {
            if (!call_find_group(call, peer + 1, call_deadline(call, NETWORK_MS),
                                 r->groups[r->group_count]))
                return false;
            r->group_count++;
            continue;
        }
        e = agent_peer_find(call->agent, peer, r->from[r->from_count]);
        /* mail of a peer whose key has changed since, or whom we block now, is still mail */
        if (e == ERR_OK || e == ERR_KEY_CHANGED || e == ERR_BLOCKED) {
            r->from_count++;
        } else if (e == ERR_MALFORMED) {
            call_fail_with(call, 2, "bad_value", "sealpost peers",
                           "\"%.64s\" is neither a name nor id:FINGERPRINT", peer);
            return false;
        } else {
            unknown_sender(call, r, peer);
            return false;
        }
    }
    return r->from_known = true;
}

/* The next message, if there is one for this call. */
static bool give_next(struct call *call, struct receiving *r)
{
    struct incoming_filter filter = {
        .unread = true,
        .from = r->from_count ? (const uint8_t(*)[32])r->from : NULL,
        .from_count = r->from_count,
        .groups = r->group_count ? (const uint8_t(*)[16])r->groups : NULL,
        .group_count = r->group_count,
    };
    struct incoming_info info;
    size_t skip_count;
    const uint8_t(*skip)[16] = call->host->hands(call->host, &skip_count);
    enum err e;

    filter.but = call->host->served(call->host, &filter.but_count);
    e = agent_take(call->agent, &filter, skip, skip_count, &info);

    if (e == ERR_NOT_FOUND)
        return false;
    if (e != ERR_OK) {
        call_fail_err(call, e, "inbox");
        return true;
    }
    call_item_to_take(call, object_incoming(&info, OBJECT_BODY), info.id);
    return true;
}

static void end_nothing(struct call *call, struct receiving *r)
{
    struct failure failure;

    if (stays(r) && call->reached)
        failure_set(&failure, 5, "nothing_received", NULL, "no message within the time given");
    else
        call_link_failure(call, &failure);
    call_fail(call, &failure);
}

/* There was something; was it all there is? */
static void note_down(struct call *call)
{
    struct failure failure;

    if (call->offline)
        return;
    call_link_failure(call, &failure);
    call_note(call, "%s", failure.message);
}

/* With `-v`, one note a loss. */
static void tell_link(struct call *call, struct receiving *r)
{
    struct agent_link link;
    bool down;

    agent_link_get(call->agent, &link);
    down = link.state == STATE_DOWN || link.state == STATE_REFUSED;
    if (down && !r->told_down && call->reached)
        call_detail(call, "note: connection lost; trying again");
    r->told_down = down;
}

static void without_mail(struct call *call, struct receiving *r)
{
    struct failure failure;
    enum reach reach;

    if (r->given && r->wait && !r->follow && r->catch_up_ms == UINT64_MAX)
        r->catch_up_ms = call->now_ms + NETWORK_MS;
    if (call->now_ms >= limit_ms(call, r) && stays(r)) {
        if (r->given)
            call_end(call, 0);
        else
            end_nothing(call, r);
        return;
    }
    if (r->follow || (r->wait && r->given == 0)) {
        tell_link(call, r);
        if (!call->offline && call_link_refused(call, &failure) && failure.exit != 3
            && strcmp(failure.code, "pending_approval") != 0)
            call_fail(call, &failure);
        if (limit_ms(call, r) < call->wake_ms)
            call->wake_ms = limit_ms(call, r);
        return;
    }
    reach
        = call_reach(call, r->catch_up_ms < limit_ms(call, r) ? r->catch_up_ms : limit_ms(call, r));
    if (reach == REACH_WAITING)
        return;
    if (reach == REACH_THERE || call->offline) {
        call_end(call, 0);
    } else if (r->given) {
        note_down(call);
        call_end(call, 0);
    } else {
        end_nothing(call, r);
    }
}

static void recv_step(struct call *call)
{
    struct receiving *r = call->state;

    if (r->events)
        r->news = events_tell(call, r->news);
    if (call->awaits_took || !know_senders(call, r))
        return;
    if (r->given >= r->count) {
        call_end(call, 0);
        return;
    }
    if (!give_next(call, r))
        without_mail(call, r);
}

static void recv_took(struct call *call, const uint8_t id[static 16])
{
    struct receiving *r = call->state;
    enum err e;

    r->given++;
    if (r->no_ack)
        return;
    e = agent_settle(call->agent, id, IN_DONE);
    if (e != ERR_OK && e != ERR_NOT_FOUND)
        call_fail_err(call, e, "inbox");
    call_hand_drop(call, id);
}

static void recv_stop(struct call *call)
{
    struct receiving *r = call->state;

    free(r->from);
    free(r->groups);
}

const struct call_verb call_recv = {
    .name = "recv",
    .online = true,
    .state_len = sizeof(struct receiving),
    .start = recv_start,
    .step = recv_step,
    .took = recv_took,
    .stop = recv_stop,
};
