/*
 * peers, and the words of completion (docs: cli 3.5, 8).
 */
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/api/object.h"
#include "agent/api/verbs.h"
#include "shared/base/text.h"

#define NETWORK_MS   5000
#define PRESENCE_MAX 256 /* asked for one list */

/* ------------------------------------------------------------------ peers
 * Parameters   peer? (PEER or GLOB), pinned?.   Items   `peer` */

struct directory {
    uint8_t (*aid)[32]; /* owned */
    size_t count;
    bool asked;
    struct call *call;
};

static bool is_glob(const char *text)
{
    return strpbrk(text, "*?[") != NULL;
}

static bool peer_fits(const struct call *call, const struct peer_info *peer)
{
    const char *wanted = call_text(call, "peer");
    char name[NAME_MAX_LEN + 1];

    if (call_flag(call, "pinned") && peer->trust != TRUST_PINNED && peer->trust != TRUST_VERIFIED)
        return false;
    if (!wanted || !is_glob(wanted))
        return true;
    snprintf(name, sizeof name, "%.*s", (int)peer->name.len, (const char *)peer->name.at);
    return fnmatch(wanted, name, 0) == 0;
}

static void collect(void *ctx, const struct peer_info *peer)
{
    struct directory *d = ctx;

    if (!peer_fits(d->call, peer))
        return;
    d->aid = mem_resize(d->aid, (d->count + 1) * sizeof *d->aid);
    memcpy(d->aid[d->count++], peer->aid, sizeof *d->aid);
}

/* Which agents the list will have; false: the call has failed. */
static bool choose(struct call *call, struct directory *d, enum reach reach)
{
    const char *wanted = call_text(call, "peer");
    struct peer_names names;
    struct failure failure;
    enum err e;

    d->count = 0;
    d->call = call;
    if (!wanted || is_glob(wanted)) {
        e = agent_peers_each(call->agent, collect, d);
        if (e != ERR_OK)
            call_fail_err(call, e, "peers");
        return e == ERR_OK;
    }
    if (call_is_self(call, wanted)) {
        call_fail_with(call, 2, "self", "sealpost whoami --full", "\"%.64s\" is this agent itself",
                       wanted);
        return false;
    }
    e = agent_peer_names(call->agent, wanted, &names);
    if (e == ERR_UNKNOWN_AGENT && reach == REACH_NOT && !call->offline) {
        call_link_failure(call, &failure);
        call_fail(call, &failure);
        return false;
    }
    if (e != ERR_OK) {
        call_fail_peer(call, e, wanted);
        return false;
    }
    d->aid = mem_resize(d->aid, sizeof *d->aid);
    memcpy(d->aid[0], names.replaced ? names.new_aid : names.aid, sizeof *d->aid);
    d->count = 1;
    return true;
}

static void give_peers(struct call *call, struct directory *d)
{
    struct peer_info peer;

    for (size_t i = 0; i < d->count && !call->ended; i++) {
        enum err e = agent_peer_get(call->agent, d->aid[i], &peer);

        if (e == ERR_OK)
            call_item(call, object_peer(&peer));
        else
            call_fail_err(call, e, "peers");
    }
    call_end(call, 0);
}

static void peers_step(struct call *call)
{
    struct directory *d = call->state;
    uint64_t until = call_deadline(call, NETWORK_MS);
    struct failure failure;
    enum reach reach = call_reach(call, until);

    if (reach == REACH_WAITING)
        return;
    if (!d->asked) {
        d->asked = true;
        if (!choose(call, d, reach))
            return;
        for (size_t i = 0; reach == REACH_THERE && i < d->count && i < PRESENCE_MAX; i++)
            agent_presence_ask(call->agent, d->aid[i]);
        if (reach == REACH_NOT && !call->offline) {
            call_link_failure(call, &failure);
            call_note(call, "%s", failure.message);
        }
    }
    if (reach == REACH_THERE && agent_presence_pending(call->agent) > 0 && call->now_ms < until) {
        call->wake_ms = until;
        return;
    }
    give_peers(call, d);
}

static void peers_stop(struct call *call)
{
    struct directory *d = call->state;

    free(d->aid);
}

const struct call_verb call_peers = { .name = "peers",
                                      .online = true,
                                      .state_len = sizeof(struct directory),
                                      .step = peers_step,
                                      .stop = peers_stop };

/* ------------------------------------------------------------------ complete
 * Parameters   what (peers, groups, ids).   Items   {"word":S} */

static void give_word(struct call *call, const char *word)
{
    call_item(call, json_pack("{s:s}", "word", word));
}

static void word_of_peer(void *ctx, const struct peer_info *peer)
{
    char name[NAME_MAX_LEN + 1];

    snprintf(name, sizeof name, "%.*s", (int)peer->name.len, (const char *)peer->name.at);
    give_word(ctx, name);
}

static void word_of_group(void *ctx, const struct group_info *group)
{
    char name[NAME_MAX_LEN + 2];

    snprintf(name, sizeof name, "+%.*s", (int)group->name.len, (const char *)group->name.at);
    give_word(ctx, name);
}

static void plain_word_of_group(void *ctx, const struct group_info *group)
{
    char name[NAME_MAX_LEN + 1];

    snprintf(name, sizeof name, "%.*s", (int)group->name.len, (const char *)group->name.at);
    give_word(ctx, name);
}

static void word_of_id(struct call *call, const uint8_t id[static 16])
{
    char hex[33];

    hex_encode(hex, id, 16);
    give_word(call, hex);
}

static void word_of_incoming(void *ctx, const struct incoming_info *info)
{
    word_of_id(ctx, info->id);
}

static void word_of_outgoing(void *ctx, const struct outgoing_info *info)
{
    word_of_id(ctx, info->id);
}

static void complete_step(struct call *call)
{
    const char *what = call_text(call, "what");
    const struct incoming_filter recent = { .unread = true, .done = true, .newest = 100 };

    if (what && strcmp(what, "peers") == 0) {
        agent_peers_each(call->agent, word_of_peer, call);
        agent_groups_each(call->agent, false, word_of_group, call);
    }
    if (what && strcmp(what, "groups") == 0)
        agent_groups_each(call->agent, false, plain_word_of_group, call);
    if (what && strcmp(what, "ids") == 0) {
        agent_inbox_each(call->agent, &recent, word_of_incoming, call);
        agent_outbox_each(call->agent, word_of_outgoing, call);
    }
    call_end(call, 0);
}

const struct call_verb call_complete = { .name = "complete", .step = complete_step };
