#include <stdio.h>
#include <stdlib.h>

#include "broker/controller/controller.h"
#include "broker/flow/control.h"
#include "broker/flow/hints.h"
#include "broker/store/directory.h"
#include "broker/store/invites.h"
#include "broker/store/prekeys.h"
#include "broker/store/streams.h"
#include "shared/base/log.h"
#include "shared/trust/identity.h"

struct facts {
    struct stream_row mailbox;
    uint64_t oldest_ms, oldest_position, opks, certificate_until_ms;
};

static enum err facts_of(struct command *command, const struct agent_row *agent, struct facts *out)
{
    struct store *store = command->flow->store;
    struct certificate_row certificate = { 0 };
    enum err e;

    *out = (struct facts){ 0 };
    e = store_stream_get(store, agent->mailbox, &out->mailbox);
    if (e == ERR_OK && out->mailbox.frames)
        e = control_oldest(command->flow, agent->mailbox, &out->oldest_ms, &out->oldest_position);
    if (e == ERR_OK)
        e = store_opk_count(store, agent->agent_id, &out->opks);
    if (e == ERR_OK)
        e = store_certificate_get(store, agent->agent_id, &certificate);
    out->certificate_until_ms = e == ERR_OK ? certificate.until_ms : 0;
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err control_agent_put(struct command *command, const struct agent_row *agent)
{
    struct flow *flow = command->flow;
    bool online = peer_online(flow, agent->agent_id);
    json_t *object;
    struct facts facts;
    enum err e = facts_of(command, agent, &facts);

    if (e != ERR_OK)
        return e;
    object = out_object("agent");
    out_text(object, "name", agent->name);
    out_fingerprint(object, "fingerprint", agent->aid);
    out_hex(object, "aid", agent->aid, 32);
    out_text(object, "state", agent->state == AGENT_ACTIVE ? "active" : "revoked");
    out_take(object, "circles", out_words(agent->circles));
    out_bool(object, "online", online);
    out_number(object, "connections", online);
    out_time(object, "seen_at", agent->seen_ms);
    out_time(object, "enrolled_at", agent->enrolled_ms);
    out_number(object, "gen", agent->card_gen);
    out_time(object, "certificate_expires_at", facts.certificate_until_ms);
    out_number(object, "frames", facts.mailbox.frames);
    out_number(object, "bytes", facts.mailbox.bytes);
    out_number_or_null(object, "oldest_ms", facts.mailbox.frames > 0,
                       flow->now_ms > facts.oldest_ms ? flow->now_ms - facts.oldest_ms : 0);
    out_number(object, "quota_frames",
               agent->quota_frames ? agent->quota_frames : flow->settings.queue_frames);
    out_number(object, "quota_bytes",
               agent->quota_bytes ? agent->quota_bytes : flow->settings.queue_bytes);
    out_number(object, "prekeys", facts.opks);
    out_line(&command->lines, object);
    return ERR_OK;
}

/* Somebody whose card waits in an invite for the operator. */
static void put_waiting(struct command *command, const struct invite_row *invite,
                        const struct card *card)
{
    json_t *object = out_object("agent");
    uint8_t aid[32];

    aid_of(aid, card->ik);
    out_text(object, "name", card->name);
    out_fingerprint(object, "fingerprint", aid);
    out_hex(object, "aid", aid, 32);
    out_text(object, "state", "pending");
    out_take(object, "circles", out_words(invite->circles));
    out_bool(object, "online", false);
    out_number(object, "connections", 0);
    out_time(object, "seen_at", invite->used_ms);
    out_null(object, "enrolled_at");
    out_number(object, "gen", card->gen);
    out_null(object, "certificate_expires_at");
    out_number(object, "frames", 0);
    out_number(object, "bytes", 0);
    out_null(object, "oldest_ms");
    out_number(object, "quota_frames", command->flow->settings.queue_frames);
    out_number(object, "quota_bytes", command->flow->settings.queue_bytes);
    out_number(object, "prekeys", 0);
    out_line(&command->lines, object);
}

struct waiting_walk {
    struct command *command;
    const char *name; /* NULL: all */
    size_t found;
};

static bool visit_waiting(void *ctx, const struct invite_row *invite)
{
    struct waiting_walk *walk = ctx;
    struct card card;

    if (store_invite_state(invite, walk->command->flow->now_ms) == INVITE_WAITING
        && card_parse(bytes_of(invite->card, invite->card_len), &card) == ERR_OK
        && (!walk->name || strcmp(walk->name, card.name) == 0)) {
        put_waiting(walk->command, invite, &card);
        walk->found++;
    }
    return true;
}

static enum err put_all_waiting(struct command *command, const char *name, size_t *found)
{
    struct waiting_walk walk = { command, name, 0 };
    enum err e = store_invite_list(command->flow->store, false, command->flow->now_ms,
                                   visit_waiting, &walk);

    *found += walk.found;
    return e;
}

static int by_name(const void *a, const void *b)
{
    const struct agent_row *const *x = a, *const *y = b;

    return strcmp((*x)->name, (*y)->name);
}

static enum err list(struct command *command, const char *name)
{
    struct store *store = command->flow->store;
    size_t count = store_agent_count(store), found = 0;
    const struct agent_row **rows = mem_alloc((count + 1) * sizeof *rows);
    bool pending = command_flag(command, "pending");
    enum err e = ERR_OK;

    for (size_t i = 0; i < count; i++)
        rows[i] = store_agent_at(store, i);
    qsort(rows, count, sizeof *rows, by_name);
    for (size_t i = 0; i < count && e == ERR_OK && !pending; i++)
        if (!name || strcmp(rows[i]->name, name) == 0) {
            e = control_agent_put(command, rows[i]);
            found++;
        }
    free(rows);
    if (e == ERR_OK)
        e = put_all_waiting(command, name, &found);
    if (e == ERR_OK && name && !found)
        command_unknown_agent(command, name);
    return e;
}

/* A refusal is told; only the store's failure is left. */
static enum err tell_refusal(struct command *command, const char *name, enum err e)
{
    if (e == ERR_NOT_FOUND)
        command_fail(command, 6, "unknown_agent", "sealpostctl agents --pending",
                     "agent \"%.64s\": nobody of that name waits", name);
    else if (e == ERR_NAME_TAKEN)
        command_fail(command, 4, "name_taken", NULL, "name \"%.64s\" belongs to another agent",
                     name);
    else if (e == ERR_STATE || e == ERR_FORBIDDEN || e == ERR_CERT_REVOKED)
        command_fail(command, 4, "refused", NULL, "agent \"%.64s\": %s", name, err_text(e));
    else
        return e;
    return ERR_OK;
}

static enum err approve(struct command *command, const char *name)
{
    struct flow *flow = command->flow;
    const struct agent_row *agent;
    struct invite_row invite;
    struct card card;
    int64_t agent_id = 0;
    enum err e = controller_waiting_find(flow->controller, name, flow->now_ms, &invite, &card);

    if (e == ERR_OK)
        e = controller_invite_approve(flow->controller, invite.invite_id, flow->now_ms,
                                      command->who, &agent_id);
    if (e != ERR_OK)
        return tell_refusal(command, name, e);
    agent = store_agent(flow->store, agent_id);
    if (!agent)
        return ERR_STORE;
    reply_key_add(command->reply, agent->transport_key, false, agent_id, agent->aid,
                  agent->identity_key);
    say_log_moved(flow, command->reply);
    log_event(LOG_INFO, "approved", "agent=%s", agent->name);
    return control_agent_put(command, agent);
}

static enum err deny(struct command *command, const char *name)
{
    struct flow *flow = command->flow;
    struct invite_row invite;
    struct card card;
    enum err e = controller_waiting_find(flow->controller, name, flow->now_ms, &invite, &card);

    if (e == ERR_OK) {
        put_waiting(command, &invite, &card);
        e = controller_invite_deny(flow->controller, invite.invite_id, flow->now_ms, command->who,
                                   &invite);
    }
    if (e != ERR_OK) {
        buf_clear(&command->lines);
        return tell_refusal(command, name, e);
    }
    reply_key_drop(command->reply, invite.key);
    return ERR_OK;
}

enum err control_agents(struct command *command)
{
    if (command_text(command, "approve"))
        return approve(command, command_text(command, "approve"));
    if (command_text(command, "deny"))
        return deny(command, command_text(command, "deny"));
    return list(command, command_args(command) ? command_arg(command, 0) : NULL);
}
