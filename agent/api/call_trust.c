/*
 * verify, log - what a person compares, and what the controller has said (docs: cli 3.5).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/api/object.h"
#include "agent/api/verbs.h"
#include "shared/base/text.h"
#include "shared/json/object.h"

#define NETWORK_MS  5000
#define LOG_DEFAULT 100
#define PRINT_SIZE  20

/* ------------------------------------------------------------------ verify
 * Parameters   peers (list of [PEER, FINGERPRINT or null]), replace?, file? (own name is passed
 *              over).   Items   `peer`, with what stands beside it */

/* base32 without dashes, all 32 characters -> 20 bytes */
static bool print_decode(uint8_t out[static PRINT_SIZE], const char *text)
{
    static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";
    char plain[33];
    uint64_t bits = 0;
    unsigned have = 0;
    size_t n = 0;

    if (fingerprint_parse(plain, text) != ERR_OK || strlen(plain) != 32)
        return false;
    for (const char *at = plain; *at; at++) {
        bits = bits << 5 | (uint64_t)(strchr(digits, *at) - digits);
        have += 5;
        if (have >= 8) {
            have -= 8;
            out[n++] = (uint8_t)(bits >> have);
        }
    }
    return n == PRINT_SIZE;
}

/* The peer, and what to compare it with: oneself, and the key that now stands under its name. */
static json_t *peer_beside(struct call *call, const struct peer_info *peer,
                           const struct peer_names *names)
{
    json_t *object = object_peer(peer);
    struct agent_self self;

    out_fingerprint(object, "new_fingerprint", names->replaced ? names->new_aid : NULL);
    if (agent_self_get(call->agent, &self) == ERR_OK) {
        out_bytes_text(object, "you", self.name);
        out_fingerprint(object, "your_fingerprint", self.aid);
    }
    return object;
}

static void give_peer(struct call *call, const char *name, const uint8_t aid[static 32])
{
    struct peer_names names = { 0 };
    struct peer_info peer;
    enum err e;

    agent_peer_names(call->agent, name, &names);
    e = agent_peer_get(call->agent, aid, &peer);
    if (e == ERR_OK)
        call_item(call, peer_beside(call, &peer, &names));
    else
        call_fail_err(call, e, name);
}

static void differs_failure(struct call *call, const char *peer, const char *print,
                            struct failure *out)
{
    char known[FINGERPRINT_SIZE], hint[128];
    struct peer_names names;

    known[0] = 0;
    if (agent_peer_names(call->agent, peer, &names) == ERR_OK)
        fingerprint_text(known, names.replaced ? names.new_aid : names.aid);
    snprintf(hint, sizeof hint, "compare again with its owner: sealpost verify %.64s", peer);
    failure_set(out, 7, "fingerprint_differs", hint,
                "the key of \"%.64s\" is %s, not %.60s: nothing was changed", peer, known, print);
    snprintf(out->peer, sizeof out->peer, "%.64s", peer);
}

static void needs_replace(struct call *call, const char *peer, const char *print,
                          struct failure *out)
{
    char was[FINGERPRINT_SIZE], now[FINGERPRINT_SIZE], hint[200];
    struct peer_names names;

    was[0] = now[0] = 0;
    if (agent_peer_names(call->agent, peer, &names) == ERR_OK) {
        fingerprint_text(was, names.aid);
        fingerprint_text(now, names.replaced ? names.new_aid : names.aid);
    }
    snprintf(hint, sizeof hint,
             "if its owner says that the new key is right: sealpost verify %.64s %.44s --replace",
             peer, print);
    failure_set(out, 7, "key_changed", hint,
                "agent \"%.64s\" has another key than before (was %s, now %s)", peer, was, now);
    snprintf(out->peer, sizeof out->peer, "%.64s", peer);
}

/* One comparison.  False: `failure`, or the call has ended. */
static bool verify_one(struct call *call, const char *peer, const char *print,
                       struct failure *failure)
{
    uint8_t wanted[PRINT_SIZE], aid[32];
    enum err e;

    if (!print_decode(wanted, print)) {
        failure_set(failure, 2, "bad_value", "sealpost whoami",
                    "\"%.60s\" is no whole fingerprint: 32 characters, as whoami shows it", print);
        return false;
    }
    e = agent_verify(call->agent, peer, wanted, call_flag(call, "replace"), aid);
    if (e == ERR_OK) {
        give_peer(call, peer, aid);
        return !call->ended;
    }
    if (e == ERR_AUTH)
        differs_failure(call, peer, print, failure);
    else if (e == ERR_KEY_CHANGED)
        needs_replace(call, peer, print, failure);
    else
        call_peer_failure(call, e, peer, failure);
    return false;
}

/* Every line is compared; the first failure is the one that counts. */
static void verify_all(struct call *call, json_t *peers)
{
    struct failure first = { 0 }, failure;
    json_t *pair;
    size_t i;

    json_array_foreach(peers, i, pair)
    {
        const char *peer = call_word(json_array_get(pair, 0));
        const char *print = call_word(json_array_get(pair, 1));

        if (call_is_self(call, peer) || verify_one(call, peer, print, &failure))
            continue;
        if (call->ended)
            return;
        if (first.exit == 0)
            first = failure;
        else
            call_note(call, "%s", failure.message);
    }
    if (first.exit)
        call_fail(call, &first);
    call_end(call, 0);
}

static void verify_step(struct call *call)
{
    json_t *peers = json_object_get(call->params, "peers"), *pair = json_array_get(peers, 0);
    const char *peer = call_word(json_array_get(pair, 0));
    uint64_t until = call_deadline(call, NETWORK_MS);
    struct failure failure;
    uint8_t aid[32];

    if (call_reach(call, until) == REACH_WAITING)
        return;
    if (call_flag(call, "file")) {
        verify_all(call, peers);
        return;
    }
    if (!call_find_peer(call, peer, until, aid))
        return;
    if (json_is_null(json_array_get(pair, 1)))
        give_peer(call, peer, aid);
    else if (!verify_one(call, peer, call_word(json_array_get(pair, 1)), &failure) && !call->ended)
        call_fail(call, &failure);
    call_end(call, 0);
}

const struct call_verb call_verify = { .name = "verify", .online = true, .step = verify_step };

/* ------------------------------------------------------------------ log
 * Parameters   count?, follow?, clear?; from? (an index) and told? (alarms): what an earlier owner
 * has given.   Items   `alarm` (open ones about the log), `log_entry` */

struct logging {
    struct call *call;
    uint64_t next;    /* index of the next entry to give */
    uint64_t entries; /* that there are */
    uint64_t alarms;  /* told */
    bool started;
};

static bool is_about_log(const char *code)
{
    return strcmp(code, "split_view") == 0 || strcmp(code, "impersonation") == 0;
}

/* Alarms have no number: as many as were told are passed over. */
struct telling {
    struct call *call;
    uint64_t told, seen;
};

static void tell_alarm(void *ctx, const struct alarm_info *alarm)
{
    struct telling *telling = ctx;
    char code[32], message[400], hint[256];

    snprintf(code, sizeof code, "%.*s", (int)alarm->code.len, (const char *)alarm->code.at);
    if (!is_about_log(code) || telling->seen++ < telling->told)
        return;
    alarm_message(message, sizeof message, code, alarm);
    alarm_hint(hint, sizeof hint, code, alarm->peer);
    call_item(telling->call, object_alarm(alarm, message, hint));
}

/* How many are open. */
static uint64_t tell_alarms(struct call *call, struct logging *log)
{
    struct telling telling = { call, log->alarms, 0 };

    agent_alarms_each(call->agent, tell_alarm, &telling);
    log->alarms = telling.seen;
    return telling.seen;
}

static void count_entry(void *ctx, const struct log_info *entry)
{
    struct logging *log = ctx;

    log->entries = entry->index + 1;
}

static void give_entry(void *ctx, const struct log_info *entry)
{
    struct logging *log = ctx;

    call_item(log->call, object_log_entry(entry));
    log->next = entry->index + 1;
}

static void give_entries(struct call *call, struct logging *log)
{
    uint64_t count = call_number(call, "count", LOG_DEFAULT);
    enum err e = ERR_OK;

    if (!log->started) {
        log->started = true;
        e = agent_log_each(call->agent, 0, count_entry, log);
        log->next = log->entries > count ? log->entries - count : 0;
        log->next = call_number(call, "from", log->next);
    }
    if (e == ERR_OK)
        e = agent_log_each(call->agent, log->next, give_entry, log);
    if (e != ERR_OK)
        call_fail_err(call, e, "log");
}

/* What a person has dealt with.  A changed key and a restored profile have ways out of their own.
 */
static void clear_alarm(struct call *call, const char *code)
{
    enum err e;

    if (strcmp(code, "key_changed") == 0 || strcmp(code, "not_verified") == 0) {
        call_fail_with(call, 2, "bad_value", "sealpost verify PEER",
                       "%.40s ends when the fingerprint has been compared", code);
        return;
    }
    if (strcmp(code, "profile_restored") == 0) {
        call_fail_with(call, 2, "bad_value", "sealpost rotate --all",
                       "profile_restored ends with new sessions");
        return;
    }
    e = agent_alarm_clear(call->agent, code);
    if (e == ERR_NOT_FOUND)
        call_fail_with(call, 6, "unknown_alarm", "sealpost status", "no alarm \"%.40s\" is open",
                       code);
    else if (e != ERR_OK)
        call_fail_err(call, e, "alarms");
    else
        call_note(call, "alarm %s is cleared", code);
    call_end(call, 0);
}

static void log_start(struct call *call)
{
    struct logging *log = call->state;

    log->call = call;
    log->alarms = call_number(call, "told", 0);
    if (call_text(call, "clear"))
        clear_alarm(call, call_text(call, "clear"));
}

/* Stays; what comes is told as it comes. */
static void follow_log(struct call *call, struct logging *log)
{
    struct failure failure;

    tell_alarms(call, log);
    give_entries(call, log);
    if (call->ended)
        return;
    if (call_link_refused(call, &failure) && failure.exit != 3
        && strcmp(failure.code, "pending_approval") != 0)
        call_fail(call, &failure);
    if (call->timeout_ms != UINT64_MAX && call->now_ms >= call_deadline(call, 0))
        call_end(call, log->alarms ? 7 : 0);
    if (call->timeout_ms != UINT64_MAX)
        call->wake_ms = call_deadline(call, 0);
}

static void log_step(struct call *call)
{
    struct logging *log = call->state;
    struct failure failure;
    enum reach reach = call_reach(call, call_deadline(call, NETWORK_MS));

    if (log->started && call_flag(call, "follow")) {
        follow_log(call, log);
        return;
    }
    if (reach == REACH_WAITING)
        return;
    if (reach == REACH_NOT && !call->offline) {
        call_link_failure(call, &failure);
        call_note(call, "%s", failure.message);
    }
    tell_alarms(call, log);
    give_entries(call, log);
    if (!call_flag(call, "follow"))
        call_end(call, log->alarms ? 7 : 0);
    else if (!call->ended && call->timeout_ms != UINT64_MAX)
        call->wake_ms = call_deadline(call, 0);
}

const struct call_verb call_log = { .name = "log",
                                    .online = true,
                                    .state_len = sizeof(struct logging),
                                    .start = log_start,
                                    .step = log_step };
