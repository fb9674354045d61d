#include "agent/api/call.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/api/object.h"
#include "agent/api/verbs.h"
#include "shared/base/text.h"

const struct call_verb *call_verb_find(const char *name)
{
    for (size_t i = 0; call_verbs[i]; i++)
        if (strcmp(call_verbs[i]->name, name) == 0)
            return call_verbs[i];
    return NULL;
}

/* ------------------------------------------------------------------ said by verbs */

static void say(struct call *call, const char *key, json_t *value)
{
    json_t *line = json_object();

    json_object_set_new(line, key, value);
    call->say(call, line);
}

void call_item(struct call *call, json_t *object)
{
    if (call->ended)
        json_decref(object);
    else
        say(call, "item", object);
}

void call_item_to_take(struct call *call, json_t *object, const uint8_t id[static 16])
{
    json_t *line = json_object();
    char hex[33];

    hex_encode(hex, id, 16);
    json_object_set_new(line, "item", object);
    json_object_set_new(line, "take", json_string(hex));
    call->hands = mem_resize(call->hands, (call->hand_count + 1) * sizeof *call->hands);
    memcpy(call->hands[call->hand_count++], id, 16);
    call->awaits_took = true;
    call->say(call, line);
}

void call_hand_drop(struct call *call, const uint8_t id[static 16])
{
    for (size_t i = 0; i < call->hand_count; i++)
        if (memcmp(call->hands[i], id, 16) == 0) {
            memmove(call->hands[i], call->hands[--call->hand_count], 16);
            return;
        }
}

static json_t *formatted(const char *format, va_list args)
{
    struct buf clean = { 0 };
    char *text = NULL;
    json_t *string;

    if (vasprintf(&text, format, args) < 0)
        abort();
    text_escape(&clean, bytes_of_text(text), true);
    free(text);
    string = json_stringn((const char *)clean.at, clean.len);
    buf_free(&clean);
    return string ? string : json_string("");
}

void call_note(struct call *call, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(call, "note", formatted(format, args));
    va_end(args);
}

void call_detail(struct call *call, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(call, "detail", formatted(format, args));
    va_end(args);
}

/* ------------------------------------------------------------------ alarms */

#define PEER_WORD "PEER" /* stands for the name in a hint */

static const struct alarm {
    const char *code, *text, *hint;
    bool waits; /* over by itself when others act: no exit code */
} alarms[] = {
    { "key_changed", "another key than before",
      "ask its owner for the fingerprint, then: sealpost verify PEER FINGERPRINT --replace", false },
    { "not_verified", "a request waits until its sender is verified", "sealpost verify PEER", false },
    { "split_view", "the controller shows different logs",
      "compare sealpost log with others over another channel, then: sealpost log --clear "
      "split_view", false },
    { "impersonation", "the controller's log names a key that is not this agent's",
      "sealpost log; ask the operator, then: sealpost log --clear impersonation", false },
    { "root_mismatch", "the controller has another root than the invite said",
      "ask the operator for the root's fingerprint", false },
    { "profile_restored", "this profile is older than what it already said",
      "if there is no newer copy of this profile: sealpost rotate --all", false },
    { "group_fork", "the group has two histories",
      "compare the group with others over another channel", false },
    { "group_silent", "a group waits for its admins",
      "ask an admin to run sealpost once; if one did, its broker hides something", true },
    { "certificate_invalid", "a credential does not verify", "ask the operator", false },
};

static const struct alarm *alarm_find(const char *code)
{
    for (size_t i = 0; i < sizeof alarms / sizeof alarms[0]; i++)
        if (strcmp(code, alarms[i].code) == 0)
            return &alarms[i];
    return NULL;
}

void alarm_hint(char *out, size_t size, const char *code, struct bytes peer)
{
    const struct alarm *alarm = alarm_find(code);
    const char *hint = alarm ? alarm->hint : "sealpost inbox --all";
    const char *place = peer.len ? strstr(hint, PEER_WORD) : NULL;

    if (place)
        snprintf(out, size, "%.*s%.*s%s", (int)(place - hint), hint, (int)peer.len,
                 (const char *)peer.at, place + strlen(PEER_WORD));
    else
        snprintf(out, size, "%s", hint);
}

bool alarm_needs_person(const char *code)
{
    const struct alarm *alarm = alarm_find(code);

    return alarm && !alarm->waits;
}

void alarm_message(char *out, size_t size, const char *code, const struct alarm_info *info)
{
    const struct alarm *alarm = alarm_find(code);
    /* The peer's name in front of what is about this profile would blame the peer. */
    bool named = info->peer.len > 0 && strcmp(code, "profile_restored") != 0;

    snprintf(out, size, "%.*s%s%s%s%.*s", named ? (int)info->peer.len : 0,
             named ? (const char *)info->peer.at : "", named ? ": " : "", alarm ? alarm->text : "",
             alarm && info->detail.len ? ": " : "", (int)info->detail.len,
             (const char *)info->detail.at);
}

struct alarm_count {
    uint64_t count;
    struct failure *newest;
};

static void count_alarm(void *ctx, const struct alarm_info *alarm)
{
    struct alarm_count *counted = ctx;
    char code[32], message[400], hint[256];

    snprintf(code, sizeof code, "%.*s", (int)alarm->code.len, (const char *)alarm->code.at);
    if (!alarm_needs_person(code))
        return;
    counted->count++;
    alarm_message(message, sizeof message, code, alarm);
    alarm_hint(hint, sizeof hint, code, alarm->peer);
    if (counted->newest)
        failure_set(counted->newest, 7, code, hint, "%s", message);
}

uint64_t call_alarms(struct call *call, struct failure *newest)
{
    struct alarm_count counted = { .newest = newest };

    agent_alarms_each(call->agent, count_alarm, &counted);
    return counted.count;
}

static void end(struct call *call, int exit)
{
    call->ended = true;
    say(call, "end", json_integer(exit));
}

/* What came up while the call ran is told at once: nobody should go on as if nothing was. */
void call_end(struct call *call, int exit)
{
    struct failure alarm;

    if (call->ended)
        return;
    if (exit == 0 && call->verb->online && call_alarms(call, &alarm) > call->alarms) {
        say(call, "error", failure_to_json(&alarm));
        exit = alarm.exit;
    }
    end(call, exit);
}

void call_fail(struct call *call, const struct failure *failure)
{
    if (call->ended)
        return;
    say(call, "error", failure_to_json(failure));
    end(call, failure->exit);
}

void call_fail_with(struct call *call, int exit, const char *code, const char *hint,
                    const char *format, ...)
{
    struct failure failure;
    char text[sizeof failure.message];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    failure_set(&failure, exit, code, hint, "%s", text);
    call_fail(call, &failure);
}

void call_fail_err(struct call *call, enum err e, const char *what)
{
    struct failure failure;

    failure_of_err(&failure, e, what);
    call_fail(call, &failure);
}

/* ------------------------------------------------------------------ parameters */

const char *call_text(const struct call *call, const char *key)
{
    return json_string_value(json_object_get(call->params, key));
}

const char *call_word(const json_t *value)
{
    const char *text = json_string_value(value);

    return text ? text : "";
}

bool call_flag(const struct call *call, const char *key)
{
    return json_is_true(json_object_get(call->params, key));
}

uint64_t call_number(const struct call *call, const char *key, uint64_t otherwise)
{
    const json_t *value = json_object_get(call->params, key);

    return json_is_integer(value) ? (uint64_t)json_integer_value(value) : otherwise;
}

uint64_t call_deadline(const struct call *call, uint64_t otherwise_ms)
{
    uint64_t timeout = call->timeout_ms == UINT64_MAX ? otherwise_ms : call->timeout_ms;

    return timeout > UINT64_MAX - call->started_ms ? UINT64_MAX : call->started_ms + timeout;
}

/* ------------------------------------------------------------------ the broker */

static void wake_at(struct call *call, uint64_t when_ms)
{
    if (when_ms < call->wake_ms)
        call->wake_ms = when_ms;
}

enum reach call_reach(struct call *call, uint64_t until_ms)
{
    struct agent_link link;

    if (call->offline)
        return REACH_NOT;
    agent_link_get(call->agent, &link);
    if (link.caught_up)
        return REACH_THERE;
    /* an address that refuses twice will not answer within these seconds */
    if (link.state == STATE_REFUSED || link.pending_approval || link.failures >= 2
        || call->now_ms >= until_ms)
        return REACH_NOT;
    wake_at(call, until_ms);
    return REACH_WAITING;
}

static void address_text(struct call *call, char *out, size_t size)
{
    struct agent_self self;
    struct bytes address = bytes_of_text("the broker");

    if (agent_self_get(call->agent, &self) == ERR_OK && self.endpoint.len)
        address = object_address(self.endpoint);
    snprintf(out, size, "%.*s", (int)address.len, (const char *)address.at);
}

static void self_name(struct call *call, char out[static NAME_MAX_LEN + 1])
{
    struct agent_self self;

    out[0] = 0;
    if (agent_self_get(call->agent, &self) == ERR_OK)
        snprintf(out, NAME_MAX_LEN + 1, "%.*s", (int)self.name.len, (const char *)self.name.at);
}

static void pending_failure(struct call *call, struct failure *out)
{
    char name[NAME_MAX_LEN + 1], hint[160];

    self_name(call, name);
    snprintf(hint, sizeof hint, "operator: sealpostctl agents --approve %s", name);
    failure_set(out, 4, "pending_approval", hint, "%s is waiting for the operator's approval",
                name);
    out->wire = err_name(ERR_PENDING_APPROVAL);
}

void call_link_failure(struct call *call, struct failure *out)
{
    char address[300], waited[SHORT_TEXT_SIZE];
    struct agent_link link;

    agent_link_get(call->agent, &link);
    address_text(call, address, sizeof address);
    if (link.pending_approval) {
        pending_failure(call, out);
        return;
    }
    if (link.state != STATE_REFUSED && link.refusal == ERR_CERT_INVALID) {
        failure_set(out, 3, "broker_unreachable", "sealpost config broker",
                    "whoever answers at %.280s is not this agent's broker", address);
        return;
    }
    if (link.refusal == ERR_OK || link.refusal == ERR_UNREACHABLE) {
        duration_text(waited, call->now_ms - call->started_ms);
        failure_set(out, 3, "broker_unreachable", "sealpost status",
                    "no answer from %.280s within %s", address, waited);
        return;
    }
    failure_of_err(out, link.refusal, link.refusal == ERR_ROLLBACK ? call->host->profile : address);
    if (failure_is_temporary(link.refusal))
        out->retry_ms = (int64_t)link.retry_after_ms;
}

bool call_link_refused(struct call *call, struct failure *out)
{
    struct agent_link link;

    agent_link_get(call->agent, &link);
    if (link.state != STATE_REFUSED && !link.pending_approval)
        return false;
    call_link_failure(call, out);
    return true;
}

/* ------------------------------------------------------------------ names and ids */

bool call_match_message(struct call *call, const char *prefix, uint8_t id[static 16],
                        bool *incoming, struct failure *failure)
{
    size_t len = prefix ? strlen(prefix) : 0, matches = 0;
    enum err e;

    if (len < 4 || len > 32 || strspn(prefix, "0123456789abcdef") != len) {
        failure_set(failure, 2, "bad_value", "sealpost inbox --all",
                    "\"%.40s\" is no message id: 4 to 32 lower-case hex digits",
                    prefix ? prefix : "");
        return false;
    }
    e = agent_find(call->agent, prefix, id, incoming, &matches);
    if (e == ERR_OK && matches == 1)
        return true;
    if (e == ERR_OK && matches > 1)
        failure_set(failure, 2, "ambiguous_id", "give more digits", "%zu messages begin with %s",
                    matches, prefix);
    else if (e == ERR_OK || e == ERR_NOT_FOUND)
        failure_set(failure, 6, "unknown_message", "sealpost inbox --all",
                    "there is no message %s here", prefix);
    else
        failure_of_err(failure, e, "messages");
    return false;
}

bool call_find_message(struct call *call, const char *prefix, uint8_t id[static 16], bool *incoming)
{
    struct failure failure;

    if (call_match_message(call, prefix, id, incoming, &failure))
        return true;
    call_fail(call, &failure);
    return false;
}

bool call_is_self(struct call *call, const char *peer)
{
    char plain[33];
    struct agent_self self;

    if (agent_self_get(call->agent, &self) != ERR_OK)
        return false;
    if (strncmp(peer, "id:", 3) == 0)
        return fingerprint_parse(plain, peer) == ERR_OK && fingerprint_fits(plain, self.aid);
    return bytes_equal(bytes_of_text(peer), self.name);
}

struct name_list {
    char **name; /* owned */
    size_t count;
};

static void collect_name(void *ctx, const struct peer_info *peer)
{
    struct name_list *list = ctx;
    char *name = mem_zeroed(1, peer->name.len + 1);

    memcpy(name, peer->name.at, peer->name.len);
    list->name = mem_resize(list->name, (list->count + 1) * sizeof *list->name);
    list->name[list->count++] = name;
}

static void unknown_failure(struct call *call, const char *peer, struct failure *out)
{
    struct name_list list = { 0 };
    const char *near;
    char hint[96];

    agent_peers_each(call->agent, collect_name, &list);
    near = text_nearest(peer, (const char *const *)list.name, list.count);
    snprintf(hint, sizeof hint, "sealpost peers %.64s", peer);
    if (call->offline)
        failure_set(
            out, 6, "unknown_agent", hint,
            "\"%.64s\" is not in this disk's copy of the directory, and the broker was not asked",
            peer);
    else if (near)
        failure_set(out, 6, "unknown_agent", "sealpost peers",
                    "there is no agent \"%.64s\"; did you mean %.64s?", peer, near);
    else
        failure_set(out, 6, "unknown_agent", "sealpost peers", "there is no agent \"%.64s\"", peer);
    snprintf(out->peer, sizeof out->peer, "%.64s", peer);
    out->wire = err_name(ERR_UNKNOWN_AGENT);
    for (size_t i = 0; i < list.count; i++)
        free(list.name[i]);
    free(list.name);
}

void call_fail_unknown_agent(struct call *call, const char *peer)
{
    struct failure failure;

    unknown_failure(call, peer, &failure);
    call_fail(call, &failure);
}

bool call_find_peer(struct call *call, const char *peer, uint64_t until_ms, uint8_t aid[static 32])
{
    struct failure failure;
    struct peer_names names;

    if (call_is_self(call, peer)) {
        call_fail_with(call, 2, "self", "sealpost whoami", "\"%.64s\" is this agent itself", peer);
        return false;
    }
    if (agent_peer_names(call->agent, peer, &names) == ERR_OK) {
        memcpy(aid, names.aid, 32);
        return true;
    }
    switch (call_reach(call, until_ms)) {
    case REACH_WAITING:
        break;
    case REACH_THERE:
        call_fail_unknown_agent(call, peer);
        break;
    case REACH_NOT:
        if (call->offline) {
            call_fail_unknown_agent(call, peer);
            break;
        }
        call_link_failure(call, &failure);
        snprintf(failure.peer, sizeof failure.peer, "%.64s", peer);
        call_fail(call, &failure);
        break;
    }
    return false;
}

/* "was ekhm-…, now gihx-…", as far as it is known. */
static void key_changed_failure(struct call *call, const char *peer, struct failure *out)
{
    char was[FINGERPRINT_SIZE], now[FINGERPRINT_SIZE], hint[200];
    struct peer_names names;

    snprintf(hint, sizeof hint,
             "ask its owner for the fingerprint, then: sealpost verify %.64s FINGERPRINT --replace",
             peer);
    if (agent_peer_names(call->agent, peer, &names) == ERR_OK && names.replaced) {
        fingerprint_text(was, names.aid);
        fingerprint_text(now, names.new_aid);
        failure_set(out, 7, "key_changed", hint,
                    "agent \"%.64s\" has another key than before (was %s, now %s)", peer, was, now);
    } else {
        failure_set(out, 7, "key_changed", hint, "agent \"%.64s\" has another key than before",
                    peer);
    }
}

void call_peer_failure(struct call *call, enum err e, const char *peer, struct failure *out)
{
    char hint[96];

    if (e == ERR_UNKNOWN_AGENT) {
        unknown_failure(call, peer, out);
        return;
    }
    failure_of_err(out, e, peer);
    if (e == ERR_KEY_CHANGED)
        key_changed_failure(call, peer, out);
    if (e == ERR_NOT_VERIFIED) {
        snprintf(hint, sizeof hint, "sealpost verify %.64s", peer);
        failure_set(out, 7, "not_verified", hint,
                    "agent \"%.64s\" is not verified, and trust = verified is set", peer);
    }
    if (e == ERR_NOT_IN_SEND_TO)
        failure_set(out, 4, "not_in_send_to", "sealpost config send_to",
                    "agent \"%.64s\" fits nothing in the setting send_to", peer);
    if (e == ERR_BLOCKED) {
        snprintf(hint, sizeof hint, "sealpost accept %.64s", peer);
        failure_set(out, 4, "blocked_by_you", hint, "you have blocked \"%.64s\"", peer);
    }
    if (e == ERR_CERT_REVOKED)
        failure_set(out, 4, "refused", "sealpost peers", "agent \"%.64s\" is revoked", peer);
    if (e == ERR_QUOTA)
        failure_set(out, 4, "outbox_full", "sealpost outbox --flush",
                    "10000 messages wait in the outbox");
    if (err_on_wire(e) && e != ERR_QUOTA)
        out->wire = err_name(e);
    snprintf(out->peer, sizeof out->peer, "%.64s", peer);
}

void call_fail_peer(struct call *call, enum err e, const char *peer)
{
    struct failure failure;

    call_peer_failure(call, e, peer, &failure);
    call_fail(call, &failure);
}
