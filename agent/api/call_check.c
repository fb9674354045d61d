/*
 * check - status --check: looks into everything that an agent stands on, one line each (docs: cli
 *         3.7).
 *
 * Items   `check`
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/api/object.h"
#include "agent/api/profile.h"
#include "agent/api/verbs.h"
#include "shared/base/text.h"
#include "shared/wire/limit.h"

#define NETWORK_MS   5000
#define SKEW_FAIL_MS 120000
#define SKEW_WARN_MS 30000
#define CERT_WARN_MS 3600000

struct checking {
    bool pinged, failed;
    uint64_t pongs;
    enum reach reach;
    struct agent_link link;
};

enum result { OK, WARN, FAIL };

static void give(struct call *call, const char *name, enum result result, const char *hint,
                 const char *format, ...) __attribute__((format(printf, 5, 6)));

static void give(struct call *call, const char *name, enum result result, const char *hint,
                 const char *format, ...)
{
    static const char *const words[] = { "ok", "warn", "fail" };
    struct checking *c = call->state;
    char detail[512];
    va_list args;

    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    c->failed |= result == FAIL;
    call_item(call, object_check(name, words[result], detail, hint));
}

static bool is_connected(const struct checking *c)
{
    return c->link.state == STATE_UP || c->link.state == STATE_SYNCING;
}

/* ------------------------------------------------------------------ the broker */

static void check_reach(struct call *call, const struct agent_self *self)
{
    struct checking *c = call->state;
    struct bytes address = object_address(self->endpoint);
    struct failure failure;

    if (is_connected(c)) {
        give(call, "reach", OK, NULL, "%.*s answers", (int)address.len, (const char *)address.at);
        return;
    }
    if (call->offline || self->state == SELF_REVOKED) {
        give(call, "reach", WARN, NULL, "not tried: %s",
             call->offline ? "--offline" : "this agent is revoked, or has left");
        return;
    }
    call_link_failure(call, &failure);
    give(call, "reach", FAIL, failure.hint, "%s", failure.message);
}

static void check_broker_key(struct call *call, const struct agent_self *self)
{
    struct checking *c = call->state;
    char root[FINGERPRINT_SIZE];

    fingerprint_text(root, self->root_id);
    if (is_connected(c))
        give(call, "broker_key", OK, NULL, "the one of the invite, controller's root %s", root);
    else if (c->link.refusal == ERR_CERT_INVALID)
        give(call, "broker_key", FAIL, "sealpost config broker; ask the operator",
             "whoever answers is not this agent's broker");
    else
        give(call, "broker_key", WARN, NULL, "not checked without a connection");
}

static void check_clock(struct call *call)
{
    struct checking *c = call->state;
    uint64_t off
        = (uint64_t)(c->link.clock_skew_ms < 0 ? -c->link.clock_skew_ms : c->link.clock_skew_ms);
    char text[SHORT_TEXT_SIZE];

    duration_text(text, off);
    if (!c->link.clock_skew_known)
        give(call, "clock", WARN, NULL, "not compared without a connection");
    else
        give(call, "clock",
             off > SKEW_FAIL_MS   ? FAIL
             : off > SKEW_WARN_MS ? WARN
                                  : OK,
             off > SKEW_WARN_MS ? "set the clock" : NULL, "%s %s the broker's", text,
             c->link.clock_skew_ms < 0 ? "ahead of" : "behind");
}

static void check_round_trip(struct call *call)
{
    struct checking *c = call->state;

    if (c->link.pongs > c->pongs)
        give(call, "round_trip", OK, NULL, "%" PRIu64 " ms to the broker and back", c->link.rtt_ms);
    else if (is_connected(c))
        give(call, "round_trip", FAIL, "operator: sealpostctl status",
             "a question was not answered in time");
    else
        give(call, "round_trip", WARN, NULL, "not tried without a connection");
}

/* ------------------------------------------------------------------ this disk */

static void check_permissions(struct call *call)
{
    struct profile profile;
    struct failure failure;

    if (profile_name(&profile, call->host->profile, &failure) && profile_open(&profile, &failure))
        give(call, "permissions", OK, NULL, "%s is this account's alone", call->host->dir);
    else
        give(call, "permissions", FAIL, failure.hint, "%s", failure.message);
    profile_close(&profile);
}

static void check_store(struct call *call)
{
    struct agent_checked checked;
    enum err e = agent_check_store(call->agent, &checked);

    if (e == ERR_OK)
        give(call, "store", OK, NULL, "agent.db is whole, %" PRIu64 " sealed values open",
             checked.values);
    else
        give(call, "store", FAIL, "put a copy of the profile back, or join anew", "agent.db: %s",
             checked.why[0] ? checked.why : err_text(e));
}

/* ------------------------------------------------------------------ keys and trust */

static void check_prekeys(struct call *call, const struct agent_self *self)
{
    if (!self->prekeys_known)
        give(call, "prekeys", WARN, NULL, "the broker has not told how many it has");
    else if (self->prekeys < LIMIT_OPK_LOW)
        give(call, "prekeys", WARN, NULL, "%" PRIu64 " at the broker, new ones are on their way",
             self->prekeys);
    else
        give(call, "prekeys", OK, NULL, "%" PRIu64 " at the broker", self->prekeys);
}

static void check_certificate(struct call *call, const struct agent_self *self)
{
    uint64_t now = call->host->now_ms(), until = self->certificate_expires_ms;
    char left[SHORT_TEXT_SIZE];

    duration_text(left, until > now ? until - now : 0);
    if (self->state == SELF_REVOKED)
        give(call, "certificate", FAIL, "ask the operator", "this agent is revoked, or has left");
    else if (until == 0)
        give(call, "certificate", FAIL, "operator: sealpostctl agents --pending", "none yet");
    else if (until <= now)
        give(call, "certificate", FAIL, "sealpost status", "expired, and no newer one has come");
    else
        give(call, "certificate", until - now < CERT_WARN_MS ? WARN : OK, NULL, "%s left", left);
}

struct log_alarm {
    struct failure failure; /* exit 0: none is open */
};

static void note_log_alarm(void *ctx, const struct alarm_info *alarm)
{
    struct log_alarm *found = ctx;
    char code[32], message[400], hint[256];

    snprintf(code, sizeof code, "%.*s", (int)alarm->code.len, (const char *)alarm->code.at);
    if (strcmp(code, "split_view") != 0 && strcmp(code, "impersonation") != 0
        && strcmp(code, "root_mismatch") != 0)
        return;
    alarm_message(message, sizeof message, code, alarm);
    alarm_hint(hint, sizeof hint, code, alarm->peer);
    failure_set(&found->failure, 7, code, hint, "%s: %s", code, message);
}

static void check_log(struct call *call, const struct agent_self *self)
{
    struct log_alarm found = { 0 };

    agent_alarms_each(call->agent, note_log_alarm, &found);
    if (found.failure.exit)
        give(call, "log", FAIL, found.failure.hint, "%s", found.failure.message);
    else
        give(call, "log", OK, NULL, "%" PRIu64 " entries, one chain", self->log_entries);
}

/* ------------------------------------------------------------------ groups */

struct group_check {
    size_t joined, forked, keyless, silent, stale;
    char name[65]; /* of one that is not well */
};

static void look_at_group(void *ctx, const struct group_info *group)
{
    struct group_check *found = ctx;
    bool is_in = group->stage == IN_GROUP_JOINED, well = true;

    found->joined += is_in;
    if (group->stage == IN_GROUP_FORKED) {
        found->forked++;
        well = false;
    } else if (is_in && (group->silent || group->stale || !group->keyed)) {
        found->silent += group->silent;
        found->stale += group->stale;
        found->keyless += !group->keyed;
        well = false;
    }
    if (!well && (!found->name[0] || group->stage == IN_GROUP_FORKED))
        snprintf(found->name, sizeof found->name, "%.*s", (int)group->name.len,
                 (const char *)group->name.at);
}

static void check_groups(struct call *call)
{
    struct group_check found = { 0 };
    char hint[120];

    agent_groups_each(call->agent, true, look_at_group, &found);
    snprintf(hint, sizeof hint, "sealpost group %s %s", found.forked ? "leave" : "show",
             found.name);
    if (found.forked)
        give(call, "groups", FAIL, hint, "+%s shows different histories: nothing is sent there",
             found.name);
    else if (found.name[0])
        give(call, "groups", WARN, hint,
             "of %zu, %zu without the current key, %zu where no admin was heard, %zu where "
             "somebody left and no new key came (+%s)",
             found.joined, found.keyless, found.silent, found.stale, found.name);
    else
        give(call, "groups", OK, NULL, "in %zu", found.joined);
}

/* ------------------------------------------------------------------ all of it */

static void give_all(struct call *call)
{
    struct checking *c = call->state;
    struct agent_self self;
    enum err e = agent_self_get(call->agent, &self);

    if (e != ERR_OK) {
        call_fail_err(call, e, "profile");
        return;
    }
    agent_link_get(call->agent, &c->link);
    check_reach(call, &self);
    check_broker_key(call, &self);
    check_clock(call);
    check_permissions(call);
    check_store(call);
    check_prekeys(call, &self);
    check_certificate(call, &self);
    check_log(call, &self);
    check_groups(call);
    check_round_trip(call);
    call_end(call, c->failed ? 1 : 0);
}

/* The broker has closed the door for good: nobody needs to wait for it to open. */
static bool is_out(struct call *call)
{
    struct agent_self self;

    return agent_self_get(call->agent, &self) == ERR_OK && self.state == SELF_REVOKED;
}

static void check_step(struct call *call)
{
    struct checking *c = call->state;
    uint64_t until = call_deadline(call, NETWORK_MS);

    agent_link_get(call->agent, &c->link);
    if (!c->pinged) {
        c->reach = is_out(call) ? REACH_NOT : call_reach(call, until);
        if (c->reach == REACH_WAITING)
            return;
        c->pinged = true;
        c->pongs = c->link.pongs;
        agent_ping(call->agent);
    }
    if (c->reach == REACH_THERE && c->link.state == STATE_UP && c->link.pongs == c->pongs
        && call->now_ms < until) {
        call->wake_ms = until;
        return;
    }
    give_all(call);
}

const struct call_verb call_check
    = { .name = "check", .online = true, .state_len = sizeof(struct checking), .step = check_step };
