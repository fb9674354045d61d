/*
 * join, whoami, status, reload - this agent and its profile (docs: cli 3.1, 3.7).
 */
#include <stdio.h>
#include <string.h>

#include "agent/api/object.h"
#include "agent/api/verbs.h"
#include "shared/json/object.h"
#include "shared/base/text.h"

#define JOIN_MS    15000
#define NETWORK_MS 5000

/* ------------------------------------------------------------------ join
 * The identity is in the store already.   Parameters   wait?.   Items   `joined` */

static void give_joined(struct call *call, const struct agent_self *self)
{
    call_item(call, object_joined(self, call->host->profile));
    call_end(call, 0);
}

/* What the controller shows does not fit the root that the invite names. */
static void refused_to_join(struct call *call, struct failure *failure)
{
    struct agent_link link;

    agent_link_get(call->agent, &link);
    /* the signature of an enrolment names the root: another controller cannot verify it */
    if (link.refusal == ERR_CERT_INVALID || link.refusal == ERR_AUTH)
        failure_set(failure, 7, "root_mismatch", "ask the operator for the root's fingerprint",
                    "the broker is not the one that the invite names");
    if (link.refusal == ERR_FORBIDDEN)
        failure_set(failure, 4, "invite_refused", "sealpost join INVITE without --name",
                    "the invite is for another name");
    if (link.refusal == ERR_NAME_TAKEN)
        failure_set(failure, 4, "name_taken", "sealpost join --name OTHER INVITE",
                    "the name belongs to another agent");
    if (link.refusal == ERR_TOKEN)
        failure_set(failure, 4, "invite_refused", "operator: sealpostctl invite NAME",
                    "the invite is used, expired or withdrawn");
    if (link.refusal != ERR_OK && err_on_wire(link.refusal))
        failure->wire = err_name(link.refusal);
    call_fail(call, failure);
}

static void join_step(struct call *call)
{
    uint64_t until = call_deadline(call, call_flag(call, "wait") ? UINT64_MAX : JOIN_MS);
    struct failure failure;
    struct agent_link link;
    struct agent_self self;
    enum err e = agent_self_get(call->agent, &self);

    if (e != ERR_OK) {
        call_fail_err(call, e, "profile");
        return;
    }
    agent_link_get(call->agent, &link);
    if (self.state == SELF_ACTIVE && link.caught_up) {
        give_joined(call, &self);
    } else if (link.pending_approval && !call_flag(call, "wait")) {
        call_note(call, "waits for the operator: sealpostctl agents --approve %.*s",
                  (int)self.name.len, (const char *)self.name.at);
        give_joined(call, &self);
    } else if (link.state == STATE_REFUSED && !link.pending_approval) {
        call_link_failure(call, &failure);
        refused_to_join(call, &failure);
    } else if (call->now_ms >= until && link.pending_approval) {
        call_item(call, object_joined(&self, call->host->profile));
        call_fail_with(call, 5, "timeout", "the same join again",
                       "the operator has not approved %.*s yet", (int)self.name.len,
                       (const char *)self.name.at);
    } else if (call->now_ms >= until || (link.failures >= 2 && !call->reached)) {
        call_link_failure(call, &failure);
        call_fail(call, &failure);
    } else {
        call->wake_ms = until;
    }
}

const struct call_verb call_join = { .name = "join", .online = true, .step = join_step };

/* ------------------------------------------------------------------ whoami
 * Items   `agent_self` */

static void whoami_step(struct call *call)
{
    struct agent_self self;
    enum err e = agent_self_get(call->agent, &self);

    if (e != ERR_OK)
        call_fail_err(call, e, "profile");
    else
        call_item(call, object_agent_self(&self, call->host->profile, call->host->dir));
    call_end(call, 0);
}

const struct call_verb call_whoami = { .name = "whoami", .step = whoami_step };

/* ------------------------------------------------------------------ status
 * Items   `status` */

struct problems {
    json_t *list;
    bool person; /* one of them needs a person */
};

/* A profile that was put back shows in each of its sessions: once is enough. */
static void add_problem(struct problems *problems, const char *code, const char *message,
                        const char *hint)
{
    json_t *problem;
    size_t i;

    json_array_foreach(problems->list, i, problem)
    {
        if (strcmp(code, json_string_value(json_object_get(problem, "code"))) == 0
            && strcmp(message, json_string_value(json_object_get(problem, "message"))) == 0)
            return;
    }
    problem = json_object();

    out_text(problem, "code", code);
    out_text(problem, "message", message);
    out_text(problem, "hint", hint);
    json_array_append_new(problems->list, problem);
}

static void add_alarm(void *ctx, const struct alarm_info *alarm)
{
    struct problems *problems = ctx;
    char code[32], message[400], hint[256];

    snprintf(code, sizeof code, "%.*s", (int)alarm->code.len, (const char *)alarm->code.at);
    alarm_message(message, sizeof message, code, alarm);
    alarm_hint(hint, sizeof hint, code, alarm->peer);
    problems->person |= alarm_needs_person(code);
    add_problem(problems, code, message, hint);
}

static void add_self_problem(const struct agent_self *self, struct problems *problems)
{
    if (self->state == SELF_REVOKED)
        add_problem(problems, "revoked",
                    "this agent is revoked, or has left: it talks to nobody any more",
                    "a new identity: ask the operator for an invite, then: sealpost join INVITE");
}

/* What an alarm tells already, and better, need not be told as the link's word, too. */
static void add_link_problem(struct call *call, struct problems *problems)
{
    struct failure failure;
    json_t *problem;
    size_t i;

    if (!call_link_refused(call, &failure))
        return;
    json_array_foreach(problems->list, i, problem)
    {
        if (strcmp(failure.code, json_string_value(json_object_get(problem, "code"))) == 0)
            return;
    }
    problems->person |= failure.exit == 7;
    add_problem(problems, failure.code, failure.message, failure.hint);
}

static void put_owner(json_t *object, const struct call_host *host)
{
    json_t *owner = NULL;

    if (host->owner_command) {
        owner = json_object();
        out_number(owner, "pid", (uint64_t)host->owner_pid);
        out_text(owner, "command", host->owner_command);
    }
    out_take(object, "owner", owner);
}

static void put_signed_or_null(json_t *object, const char *key, bool known, int64_t value)
{
    out_take(object, key, known ? json_integer(value) : NULL);
}

/* The object tells every alarm, old and new: no error besides. */
static void give_status(struct call *call, const struct agent_self *self,
                        const struct agent_counts *counts)
{
    struct problems problems = { .list = json_array() };
    uint64_t now = call->host->now_ms();
    struct bytes address = object_address(self->endpoint);
    json_t *object = out_object("status");
    struct agent_link link;
    bool connected;

    agent_link_get(call->agent, &link);
    connected = link.state == STATE_UP || link.state == STATE_SYNCING;
    out_bytes_text(object, "agent", self->name);
    out_fingerprint(object, "fingerprint", self->aid);
    out_bytes_text(object, "broker", address);
    out_bool(object, "connected", connected);
    out_number_or_null(object, "rtt_ms", connected && link.rtt_known, link.rtt_ms);
    put_signed_or_null(object, "clock_skew_ms", link.clock_skew_known, link.clock_skew_ms);
    out_time(object, "certificate_expires_at", self->certificate_expires_ms);
    out_number(object, "unread", counts->unread);
    out_number(object, "held", counts->held);
    out_number(object, "queued", counts->queued);
    out_number(object, "stored", counts->stored);
    out_number_or_null(object, "oldest_ms", counts->oldest_ms > 0,
                       now > counts->oldest_ms ? now - counts->oldest_ms : 0);
    out_number(object, "dead", counts->dead);
    out_number(object, "sessions", counts->sessions);
    out_number_or_null(object, "prekeys", self->prekeys_known, self->prekeys);
    out_number(object, "log_index", self->log_entries);
    put_owner(object, call->host);
    agent_alarms_each(call->agent, add_alarm, &problems);
    add_self_problem(self, &problems);
    add_link_problem(call, &problems);
    out_take(object, "problems", problems.list);
    call_item(call, object);
    call_end(call, problems.person ? 7 : 0);
}

static void status_step(struct call *call)
{
    struct agent_counts counts;
    struct agent_self self;
    enum err e;

    e = agent_self_get(call->agent, &self);
    if (e == ERR_OK && self.state != SELF_REVOKED
        && call_reach(call, call_deadline(call, NETWORK_MS)) == REACH_WAITING)
        return;
    if (e == ERR_OK)
        e = agent_self_get(call->agent, &self); /* what was heard meanwhile */
    if (e == ERR_OK)
        e = agent_counts_get(call->agent, &counts);
    if (e != ERR_OK)
        call_fail_err(call, e, "profile");
    else
        give_status(call, &self, &counts);
}

const struct call_verb call_status = { .name = "status", .online = true, .step = status_step };

/* ------------------------------------------------------------------ reload
 * agent.conf anew. */

static void reload_step(struct call *call)
{
    struct failure failure;

    if (!call->host->reload(call->host, &failure))
        call_fail(call, &failure);
    call_end(call, 0);
}

const struct call_verb call_reload = { .name = "reload", .step = reload_step };
