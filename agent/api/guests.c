#include "agent/api/guests.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/api/verbs.h"
#include "shared/base/clock.h"
#include "shared/base/local.h"
#include "shared/base/text.h"

/* ------------------------------------------------------------------ calls */

static void say_line(struct call *call, json_t *line)
{
    struct guest *guest = call->say_ctx;

    line_put(&guest->line, line);
}

static const uint8_t (*all_hands(const struct call_host *host, size_t *count))[16]
{
    struct guests *guests = host->guests;
    size_t n = 0;

    for (size_t g = 0; g < guests->count; g++) {
        const struct call *call = guests->guest[g]->call;

        if (!call || call->hand_count == 0)
            continue;
        guests->hands = mem_resize(guests->hands, (n + call->hand_count) * sizeof *guests->hands);
        memcpy(guests->hands[n], call->hands, call->hand_count * sizeof *call->hands);
        n += call->hand_count;
    }
    *count = n;
    return (const uint8_t(*)[16])guests->hands;
}

static const uint8_t (*all_served(const struct call_host *host, size_t *count))[16]
{
    struct guests *guests = host->guests;

    *count = 0;
    for (size_t g = 0; g < guests->count; g++) {
        const struct call *call = guests->guest[g]->call;
        const uint8_t *session = call && call->verb->serves ? call->verb->serves(call) : NULL;

        if (session)
            memcpy(guests->served[(*count)++], session, 16);
    }
    return (const uint8_t(*)[16])guests->served;
}

static void call_free(struct call **call)
{
    struct call *c = *call;

    if (!c)
        return;
    if (c->verb->stop)
        c->verb->stop(c);
    json_decref(c->params);
    free(c->state);
    free(c->hands);
    free(c);
    *call = NULL;
}

/* What an earlier owner gave out and its reader printed is done, before anything else happens. */
static void settle_earlier(struct guests *guests, struct guest *guest, json_t *ids)
{
    size_t i;
    json_t *id;

    json_array_foreach(ids, i, id)
    {
        const char *hex = json_string_value(id);
        uint8_t raw[16];

        if (!hex || hex_decode(raw, sizeof raw, hex, strlen(hex)) != ERR_OK)
            continue;
        agent_settle(guests->agent, raw, IN_DONE);
        line_put(&guest->line, json_pack("{s:s}", "taken", hex));
    }
}

/* What only a person can settle is said with every command, but for those that list it. */
static void warn_of_alarms(struct call *call)
{
    const struct call_verb *verb = call->verb;
    struct failure newest;

    call->alarms = call_alarms(call, &newest);
    if (call->alarms && verb != &call_status && verb != &call_log && verb != &call_complete
        && verb != &call_reload)
        call_note(call, "alarm %s: %s; next: sealpost status", newest.code, newest.message);
}

static void call_start(struct guests *guests, struct guest *guest, json_t *line)
{
    const char *name = json_string_value(json_object_get(line, "call"));
    const json_t *timeout = json_object_get(line, "timeout_ms");
    json_t *params = json_object_get(line, "params");
    const struct call_verb *verb = name ? call_verb_find(name) : NULL;
    struct call *call;

    if (!verb || guest->call) {
        guest->gone = true; /* another version, or not one of ours */
        return;
    }
    settle_earlier(guests, guest, json_object_get(line, "settle"));
    call = mem_zeroed(1, sizeof *call);
    *call = (struct call){
        .verb = verb,
        .agent = guests->agent,
        .host = &guests->host,
        .params = json_is_object(params) ? json_incref(params) : json_object(),
        .state = mem_zeroed(1, verb->state_len ? verb->state_len : 1),
        .started_ms = (uint64_t)json_integer_value(json_object_get(line, "started_ms")),
        .timeout_ms = json_is_integer(timeout) ? (uint64_t)json_integer_value(timeout) : UINT64_MAX,
        .now_ms = clock_elapsed_ms(),
        .wake_ms = UINT64_MAX,
        .offline = !verb->online || json_is_true(json_object_get(line, "offline")),
        .number = guests->calls++,
        .say = say_line,
        .say_ctx = guest,
    };
    guest->call = call;
    warn_of_alarms(call);
    if (!call->offline) {
        agent_go_online(guests->agent);
        agent_link_hurry(guests->agent);
    }
    if (agent_condition(guests->agent) != ERR_OK)
        call_fail_err(call, agent_condition(guests->agent), "agent.db");
    else if (verb->start)
        verb->start(call);
}

static void call_took(struct guest *guest, const char *hex)
{
    uint8_t id[16];
    json_t *line;

    if (!guest->call || !guest->call->awaits_took
        || hex_decode(id, sizeof id, hex, strlen(hex)) != ERR_OK)
        return;
    guest->call->awaits_took = false;
    if (guest->call->verb->took)
        guest->call->verb->took(guest->call, id);
    line = json_object();
    json_object_set_new(line, "taken", json_string(hex));
    line_put(&guest->line, line);
}

/* Whoever asked first is served first. */
void guests_step(struct guests *guests)
{
    uint64_t after = 0, now = clock_elapsed_ms();
    struct agent_link link;
    struct call *next;

    agent_link_get(guests->agent, &link);
    do {
        next = NULL;
        for (size_t g = 0; g < guests->count; g++) {
            struct call *call = guests->guest[g]->call;

            if (call && call->number >= after && (!next || call->number < next->number))
                next = call;
        }
        if (!next)
            return;
        after = next->number + 1;
        next->now_ms = now;
        next->wake_ms = UINT64_MAX;
        if (!next->offline && (link.state == STATE_SYNCING || link.state == STATE_UP))
            next->reached = true;
        if (!next->ended && agent_condition(guests->agent) != ERR_OK)
            call_fail_err(next, agent_condition(guests->agent), "agent.db");
        if (!next->ended)
            next->verb->step(next);
    } while (next);
}

/* ------------------------------------------------------------------ guests */

void guests_add(struct guests *guests, int fd)
{
    struct guest *guest = mem_zeroed(1, sizeof *guest);

    line_open(&guest->line, fd);
    guests->guest[guests->count++] = guest;
}

static void guest_remove(struct guests *guests, size_t g)
{
    struct guest *guest = guests->guest[g];

    call_free(&guest->call);
    line_close(&guest->line);
    free(guest);
    memmove(guests->guest + g, guests->guest + g + 1,
            (guests->count - g - 1) * sizeof(struct guest *));
    guests->count--;
}

void guests_accept(struct guests *guests, int listen_fd)
{
    int fd;

    while ((fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        uid_t uid;

        if (guests->count == GUESTS_MAX || local_peer(fd, NULL, &uid, NULL) != ERR_OK
            || uid != geteuid())
            close(fd);
        else
            guests_add(guests, fd);
    }
}

static void call_hear(struct guest *guest, json_t *input)
{
    struct call *call = guest->call;

    if (call && !call->ended && call->verb->hear)
        call->verb->hear(call, input);
}

static void guest_obey(struct guests *guests, struct guest *guest, json_t *line)
{
    const char *took = json_string_value(json_object_get(line, "took"));
    json_t *input = json_object_get(line, "input");
    struct failure ignored;

    if (json_object_get(line, "call"))
        call_start(guests, guest, line);
    else if (took)
        call_took(guest, took);
    else if (input)
        call_hear(guest, input);
    else if (json_object_get(line, "reload"))
        guests->host.reload(&guests->host, &ignored);
    else if (json_object_get(line, "finish") && guest == guests->guest[0])
        guests->finishing = true;
}

void guests_read(struct guests *guests, size_t g)
{
    struct guest *guest = guests->guest[g];
    enum err end = line_fill(&guest->line);
    json_t *line;

    for (;;) {
        if (line_next(&guest->line, &line) != ERR_OK) {
            guest->gone = true;
            return;
        }
        if (!line)
            break;
        guest_obey(guests, guest, line);
        json_decref(line);
    }
    if (end != ERR_OK)
        guest->gone = true;
}

/* A call whose reader is gone leaves with it. */
void guests_tidy(struct guests *guests)
{
    for (size_t g = guests->count; g-- > 0;) {
        struct guest *guest = guests->guest[g];

        if (line_flush(&guest->line) != ERR_OK)
            guest->gone = true;
        if (guest->call && guest->call->ended)
            call_free(&guest->call);
        if (!guest->gone)
            continue;
        if (g == 0) {
            guests->finishing = true;
            call_free(&guest->call);
        } else {
            guest_remove(guests, g);
        }
    }
}

uint64_t guests_wake_ms(const struct guests *guests)
{
    uint64_t when = UINT64_MAX;

    for (size_t g = 0; g < guests->count; g++)
        if (guests->guest[g]->call && guests->guest[g]->call->wake_ms < when)
            when = guests->guest[g]->call->wake_ms;
    return when;
}

bool guests_print(const struct guests *guests)
{
    for (size_t g = 0; g < guests->count; g++)
        if (guests->guest[g]->call && guests->guest[g]->call->awaits_took)
            return true;
    return false;
}

void guests_send_away(struct guests *guests)
{
    while (guests->count > 1) {
        struct guest *guest = guests->guest[guests->count - 1];

        line_put(&guest->line, json_pack("{s:b}", "moved", 1));
        line_flush(&guest->line);
        guest_remove(guests, guests->count - 1);
    }
}

void guests_init(struct guests *guests, struct agent *agent, const struct call_host *host)
{
    *guests = (struct guests){ .agent = agent, .host = *host };
    guests->host.guests = guests;
    guests->host.hands = all_hands;
    guests->host.served = all_served;
}

void guests_wipe(struct guests *guests)
{
    while (guests->count)
        guest_remove(guests, guests->count - 1);
    free(guests->hands);
    guests->hands = NULL;
}
