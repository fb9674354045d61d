/*
 * group - channels of several agents: made, shown, changed (docs: cli 3.6).
 *
 * Parameters   action (list show create invite remove role rekey leave close), name?, peers? (list
 *              of PEER), role?, strict?
 * Items        `group`: for list each, else the one it is about, once the broker has confirmed
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/api/call_group.h"
#include "agent/api/object.h"
#include "agent/api/verbs.h"
#include "shared/base/text.h"
#include "shared/trust/group_chain.h"

#define NETWORK_MS  5000
#define CONFIRM_MS  30000 /* for an answer, and for the next step of a long hand-out */
#define PROGRESS_MS 5000

/* ------------------------------------------------------------------ groups by name */

static void unknown_group(struct call *call, const char *name, struct failure *out)
{
    failure_set(out, 6, "unknown_group", "sealpost group", "there is no group \"+%.64s\"%s", name,
                call->offline ? " here" : "");
}

void call_group_failure(struct call *call, enum err e, const char *name, struct failure *out)
{
    char hint[120];

    snprintf(hint, sizeof hint, "sealpost group show %.64s", name);
    switch ((int)e) {
    case ERR_NOT_FOUND:
        unknown_group(call, name, out);
        return;
    case ERR_NOT_MEMBER:
        failure_set(out, 4, "not_a_member", "sealpost group", "not a member of +%.64s", name);
        break;
    case ERR_FORBIDDEN:
        failure_set(out, 4, "not_an_admin", hint, "your role in +%.64s does not allow this", name);
        break;
    case ERR_QUOTA:
        failure_set(out, 4, "group_full", hint, "+%.64s has all the members it may have", name);
        break;
    case ERR_STATE:
        failure_set(out, 4, "group_state", hint, "not possible in the state that +%.64s is in",
                    name);
        break;
    case ERR_EPOCH:
        failure_set(out, 4, "group_stale", hint,
                    "+%.64s has no current key: an admin must make one", name);
        break;
    case ERR_GROUP_FORK:
        failure_set(out, 7, "group_fork", "compare the group with others over another channel",
                    "+%.64s shows different histories", name);
        break;
    default:
        failure_of_err(out, e, name);
        return;
    }
    if (err_on_wire(e))
        out->wire = err_name(e);
}

void call_fail_group(struct call *call, enum err e, const char *name)
{
    struct failure failure;

    call_group_failure(call, e, name, &failure);
    call_fail(call, &failure);
}

bool call_find_group(struct call *call, const char *name, uint64_t until_ms, uint8_t gid[static 16])
{
    struct failure failure;

    if (agent_group_find(call->agent, name, gid) == ERR_OK)
        return true;
    switch (call_reach(call, until_ms)) {
    case REACH_WAITING:
        break;
    case REACH_THERE:
        call_fail_group(call, ERR_NOT_FOUND, name);
        break;
    case REACH_NOT:
        unknown_group(call, name, &failure);
        if (!call->offline) {
            call_link_failure(call, &failure);
            call_note(call, "no group \"+%.64s\" is known here", name);
        }
        call_fail(call, &failure);
        break;
    }
    return false;
}

/* ------------------------------------------------------------------ objects */

static void add_member(void *ctx, const struct group_member_info *member)
{
    object_group_member(ctx, member);
}

static enum err give_group(struct call *call, const uint8_t gid[static 16])
{
    struct group_info info;
    json_t *object;
    enum err e = agent_group_get(call->agent, gid, &info);

    if (e != ERR_OK)
        return e;
    object = object_group(&info);
    e = agent_group_members_each(call->agent, gid, add_member, object);
    if (e == ERR_OK)
        call_item(call, object);
    else
        json_decref(object);
    return e;
}

/* ------------------------------------------------------------------ the verb */

struct grouping {
    uint8_t gid[16];
    bool found, done;     /* the group is known; what was asked for is signed here */
    uint8_t (*peers)[32]; /* owned; each once */
    const char **words;   /* owned, the words are not; what they were called */
    size_t peer_count, read;
    size_t keys_waiting;  /* at the last progress … */
    uint64_t progress_ms; /* … which was then */
    uint64_t told_ms;
};

static const char *name_of(const struct call *call)
{
    const char *name = call_text(call, "name");

    return name ? name : "";
}

static const char *action_of(const struct call *call)
{
    const char *action = call_text(call, "action");

    return action ? action : "list";
}

static bool is_action(const struct call *call, const char *action)
{
    return strcmp(action_of(call), action) == 0;
}

struct gids {
    uint8_t (*at)[16]; /* owned */
    size_t count;
};

static void collect(void *ctx, const struct group_info *group)
{
    struct gids *gids = ctx;

    gids->at = mem_resize(gids->at, (gids->count + 1) * sizeof *gids->at);
    memcpy(gids->at[gids->count++], group->id, 16);
}

static void list_groups(struct call *call)
{
    struct gids gids = { 0 };
    enum err e = agent_groups_each(call->agent, call_flag(call, "all"), collect, &gids);

    for (size_t i = 0; e == ERR_OK && i < gids.count; i++)
        e = give_group(call, gids.at[i]);
    free(gids.at);
    if (e != ERR_OK)
        call_fail_err(call, e, "groups");
    call_end(call, 0);
}

static bool is_named(const struct grouping *g, const uint8_t aid[static 32])
{
    for (size_t i = 0; i < g->peer_count; i++)
        if (memcmp(g->peers[i], aid, 32) == 0)
            return true;
    return false;
}

/* Everybody who was named, each once. False: not yet, or failed. */
static bool find_peers(struct call *call, struct grouping *g)
{
    json_t *list = json_object_get(call->params, "peers");

    if (!g->peers) {
        g->peers = mem_zeroed(json_array_size(list) + 1, sizeof *g->peers);
        g->words = mem_zeroed(json_array_size(list) + 1, sizeof *g->words);
    }
    for (; g->read < json_array_size(list); g->read++) {
        const char *peer = call_word(json_array_get(list, g->read));
        uint8_t aid[32];

        if (!call_find_peer(call, peer, call_deadline(call, NETWORK_MS), aid))
            return false;
        if (is_named(g, aid))
            continue;
        g->words[g->peer_count] = peer;
        memcpy(g->peers[g->peer_count++], aid, 32);
    }
    return true;
}

static uint8_t role_of(const struct call *call)
{
    const char *role = call_text(call, "role");

    return role && strcmp(role, "owner") == 0   ? ROLE_OWNER
           : role && strcmp(role, "admin") == 0 ? ROLE_ADMIN
                                                : ROLE_MEMBER;
}

/* An error that is about one of those who were named. */
static void fail_member(struct call *call, enum err e, const char *peer)
{
    char hint[120];

    snprintf(hint, sizeof hint, "sealpost group show %.64s", name_of(call));
    switch ((int)e) {
    case ERR_EXISTS:
        call_fail_with(call, 4, "already_member", hint, "%.64s is in +%.64s already, or invited",
                       peer, name_of(call));
        break;
    case ERR_KEY_CHANGED:
    case ERR_NOT_VERIFIED:
    case ERR_BLOCKED:
    case ERR_CERT_REVOKED:
    case ERR_NOT_IN_SEND_TO:
        call_fail_peer(call, e, peer);
        break;
    case ERR_UNKNOWN_AGENT:
        call_fail_with(call, 6, "unknown_agent", hint, "%.64s is not in +%.64s", peer,
                       name_of(call));
        break;
    default:
        call_fail_group(call, e, name_of(call));
    }
}

/* Nothing is done if it cannot be done with all of them.  ERR_OK, or what is wrong with number *i.
 */
static enum err check_all(struct call *call, const struct grouping *g, size_t *i)
{
    enum err e = ERR_OK;

    for (*i = 0; *i < g->peer_count; ++*i) {
        if (is_action(call, "create") || is_action(call, "invite"))
            e = agent_group_may_invite(call->agent, g->found ? g->gid : NULL, g->peers[*i]);
        else if (is_action(call, "remove"))
            e = agent_group_may_remove(call->agent, g->gid, g->peers[*i]);
        if (e != ERR_OK)
            return e;
    }
    *i = 0;
    return ERR_OK;
}

static void create(struct call *call, struct grouping *g)
{
    const struct group_create wanted = { .name = bytes_of_text(name_of(call)),
                                         .strict = call_flag(call, "strict"),
                                         .invite = (const uint8_t(*)[32])g->peers,
                                         .invite_count = g->peer_count };
    size_t i;
    enum err e = check_all(call, g, &i);

    if (e != ERR_OK) {
        fail_member(call, e, g->words[i]);
        return;
    }
    e = agent_group_create(call->agent, &wanted, g->gid);
    g->found = g->done = e == ERR_OK;
    if (e == ERR_EXISTS)
        call_fail_with(call, 4, "group_exists", "sealpost group", "there is a group +%.64s already",
                       name_of(call));
    else if (e == ERR_UNKNOWN_AGENT)
        call_fail_err(call, e, name_of(call));
    else if (e != ERR_OK)
        call_fail_group(call, e, name_of(call));
}

static void act(struct call *call, struct grouping *g)
{
    struct agent *agent = call->agent;
    size_t i;
    enum err e = check_all(call, g, &i);

    if (e != ERR_OK) {
        fail_member(call, e, g->words[i]);
        return;
    }
    if (is_action(call, "invite")) {
        for (; e == ERR_OK && i < g->peer_count; i++)
            e = agent_group_invite(agent, g->gid, g->peers[i], role_of(call));
        i -= i > 0;
    } else if (is_action(call, "remove")) {
        e = agent_group_remove(agent, g->gid, (const uint8_t(*)[32])g->peers, g->peer_count);
    } else if (is_action(call, "role")) {
        e = agent_group_role(agent, g->gid, g->peers[0], role_of(call));
    } else if (is_action(call, "rekey")) {
        e = agent_group_rekey(agent, g->gid);
    } else if (is_action(call, "leave")) {
        e = agent_group_leave(agent, g->gid);
    } else if (is_action(call, "close")) {
        e = agent_group_end(agent, g->gid);
    } else {
        e = ERR_INTERNAL;
    }
    g->done = e == ERR_OK;
    if (e != ERR_OK && g->peer_count > 0)
        fail_member(call, e, g->words[i]);
    else if (e == ERR_FORBIDDEN && is_action(call, "leave"))
        call_fail_with(call, 4, "not_an_admin", "sealpost group role NAME PEER owner",
                       "the owner of +%.64s hands it over first, or closes it", name_of(call));
    else if (e != ERR_OK)
        call_fail_group(call, e, name_of(call));
}

static void say_progress(struct call *call, struct grouping *g, const struct group_info *info)
{
    if (info->keys_waiting != g->keys_waiting) {
        g->keys_waiting = info->keys_waiting;
        g->progress_ms = call->now_ms;
    }
    if (info->keys_waiting && call->now_ms - g->told_ms >= PROGRESS_MS) {
        g->told_ms = call->now_ms;
        call_note(call, "+%.64s: the new key is on its way to %zu of %zu members", name_of(call),
                  info->keys_waiting, info->members > 0 ? info->members - 1 : 0);
    }
}

static void end_waiting(struct call *call, struct grouping *g, const struct group_info *info)
{
    struct failure failure;
    char within[SHORT_TEXT_SIZE];

    give_group(call, g->gid);
    if (!call->reached) {
        call_link_failure(call, &failure);
        call_note(call, "what you asked for is signed here and goes out by itself");
    } else {
        duration_text(within, call->now_ms - call->started_ms);
        failure_set(&failure, 5, "timeout", "sealpost group show NAME",
                    "+%.64s: %zu steps and %zu keys are not with the broker after %s; they go out "
                    "by themselves",
                    name_of(call), info->pending, info->keys_waiting, within);
    }
    call_fail(call, &failure);
}

/* What the broker has is all that can be waited for. */
static void end_confirmed(struct call *call, struct grouping *g, const struct group_info *info)
{
    give_group(call, g->gid);
    if (info->keys_unanswered)
        call_note(call, "+%.64s: %zu of the new keys %s until %s accepted contact", name_of(call),
                  info->keys_unanswered, info->keys_unanswered == 1 ? "waits" : "wait",
                  info->keys_unanswered == 1 ? "its member has" : "their members have");
    call_end(call, 0);
}

/* Until the broker has it all. */
static void wait_confirmed(struct call *call, struct grouping *g)
{
    uint64_t until = call_deadline(call, CONFIRM_MS);
    struct group_info info;
    struct failure failure;
    enum err e = agent_group_get(call->agent, g->gid, &info);

    if (e != ERR_OK) {
        call_fail_group(call, e, name_of(call));
        return;
    }
    say_progress(call, g, &info);
    if (call->timeout_ms == UINT64_MAX && g->progress_ms + CONFIRM_MS > until)
        until = g->progress_ms + CONFIRM_MS;
    if (info.refusal != ERR_OK && info.pending == 0) {
        give_group(call, g->gid);
        call_fail_group(call, info.refusal, name_of(call));
    } else if (info.pending == 0 && info.keys_waiting == 0) {
        end_confirmed(call, g, &info);
    } else if (call->offline) {
        give_group(call, g->gid);
        call_note(call, "goes out with the next sealpost command that reaches the broker");
        call_end(call, 0);
    } else if (call_link_refused(call, &failure)) {
        give_group(call, g->gid);
        call_fail(call, &failure);
    } else if (call_reach(call, until) == REACH_NOT || call->now_ms >= until) {
        end_waiting(call, g, &info);
    } else {
        call->wake_ms = info.keys_waiting && g->told_ms + PROGRESS_MS < until
                            ? g->told_ms + PROGRESS_MS
                            : until;
        if (call->wake_ms <= call->now_ms)
            call->wake_ms = call->now_ms + PROGRESS_MS;
    }
}

static void note_unreached(struct call *call)
{
    struct failure failure;

    if (call->offline)
        return;
    call_link_failure(call, &failure);
    call_note(call, "%s", failure.message);
}

static void group_step(struct call *call)
{
    struct grouping *g = call->state;
    uint64_t until = call_deadline(call, NETWORK_MS);
    enum reach reach;

    if (g->done) {
        wait_confirmed(call, g);
        return;
    }
    reach = call_reach(call, until);
    if (reach == REACH_WAITING)
        return;
    if (is_action(call, "list")) {
        if (reach == REACH_NOT)
            note_unreached(call);
        list_groups(call);
        return;
    }
    if (!find_peers(call, g))
        return;
    if (is_action(call, "create")) {
        create(call, g);
    } else {
        g->found = g->found || call_find_group(call, name_of(call), until, g->gid);
        if (!g->found)
            return;
        if (is_action(call, "show")) {
            enum err e;

            if (reach == REACH_NOT)
                note_unreached(call);
            e = give_group(call, g->gid);
            if (e != ERR_OK)
                call_fail_group(call, e, name_of(call));
            call_end(call, 0);
            return;
        }
        act(call, g);
    }
    g->progress_ms = g->told_ms = call->now_ms;
    if (g->done && !call->ended)
        wait_confirmed(call, g);
}

static void group_stop(struct call *call)
{
    struct grouping *g = call->state;

    free(g->peers);
    free(g->words);
}

const struct call_verb call_group = { .name = "group",
                                      .online = true,
                                      .state_len = sizeof(struct grouping),
                                      .step = group_step,
                                      .stop = group_stop };
