#include "agent/api/worker.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

#include "agent/api/call.h"
#include "agent/api/line.h"
#include "agent/api/object.h"
#include "agent/api/settings.h"
#include "agent/net/link_zmq.h"
#include "agent/store/store.h"
#include "shared/base/clock.h"
#include "shared/base/local.h"
#include "shared/base/text.h"

#define GUESTS_MAX  64
#define LINGER_MS   1000 /* for prints that are on their way, and for BYE */
#define FIXED_ITEMS (LINK_ZMQ_ITEMS + 1)

/* A command that speaks to us.  Guest 0 is the one that runs this process. */
struct guest {
    struct line line;
    struct call *call; /* owned; NULL: none */
    bool gone;
};

struct worker {
    const struct profile *profile; /* borrowed */
    const char *command;           /* borrowed; NULL: does not stay */
    struct agent_settings settings;
    struct agent_ports ports;
    struct agent *agent;             /* owned */
    struct link_zmq *link;           /* owned */
    struct guest *guest[GUESTS_MAX]; /* owned */
    size_t guests;
    int listen_fd; /* -1: nobody is served */
    uint64_t calls;
    bool finishing; /* the command has what it wanted */
    struct call_host host;
    uint8_t (*hands)[16]; /* owned: all calls' together, made when asked for */
    pthread_t thread;
};

/* ------------------------------------------------------------------ ports */

static uint64_t port_now(void *ctx)
{
    (void)ctx;
    return clock_now_ms();
}

static uint64_t port_elapsed(void *ctx)
{
    (void)ctx;
    return clock_elapsed_ms();
}

static void port_random(void *ctx, uint8_t *out, size_t len)
{
    (void)ctx;
    randombytes_buf(out, len);
}

static void port_connect(void *ctx, const char *endpoint, const uint8_t broker_key[static 32],
                         const uint8_t public_key[static 32], const uint8_t secret_key[static 32])
{
    struct worker *worker = ctx;

    link_zmq_connect(worker->link, endpoint, broker_key, public_key, secret_key);
}

static void port_disconnect(void *ctx)
{
    struct worker *worker = ctx;

    link_zmq_disconnect(worker->link);
}

static enum err port_send(void *ctx, struct bytes head, const struct bytes *parts, size_t count)
{
    struct worker *worker = ctx;

    return link_zmq_send(worker->link, head, parts, count);
}

static void port_changed(void *ctx)
{
    (void)ctx; /* every call is stepped after every wake-up anyway */
}

/* ------------------------------------------------------------------ calls */

static void say_line(struct call *call, json_t *line)
{
    struct guest *guest = call->say_ctx;

    line_put(&guest->line, line);
}

static const uint8_t (*all_hands(const struct call_host *host, size_t *count))[16]
{
    struct worker *worker = host->ctx;
    size_t n = 0;

    for (size_t g = 0; g < worker->guests; g++) {
        const struct call *call = worker->guest[g]->call;

        if (!call || call->hand_count == 0)
            continue;
        worker->hands = mem_resize(worker->hands, (n + call->hand_count) * sizeof *worker->hands);
        memcpy(worker->hands[n], call->hands, call->hand_count * sizeof *call->hands);
        n += call->hand_count;
    }
    *count = n;
    return (const uint8_t(*)[16])worker->hands;
}

static bool reload_settings(const struct call_host *host, struct failure *failure)
{
    struct worker *worker = host->ctx;

    if (!settings_load(worker->profile, &worker->settings, failure))
        return false;
    agent_configure(worker->agent, &worker->settings);
    return true;
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
static void settle_earlier(struct worker *worker, struct guest *guest, json_t *ids)
{
    size_t i;
    json_t *id;

    json_array_foreach(ids, i, id)
    {
        const char *hex = json_string_value(id);
        uint8_t raw[16];

        if (!hex || hex_decode(raw, sizeof raw, hex, strlen(hex)) != ERR_OK)
            continue;
        agent_settle(worker->agent, raw, IN_DONE);
        line_put(&guest->line, json_pack("{s:s}", "taken", hex));
    }
}

static void call_start(struct worker *worker, struct guest *guest, json_t *line)
{
    const char *name = json_string_value(json_object_get(line, "call"));
    const json_t *timeout = json_object_get(line, "timeout_ms");
    const struct call_verb *verb = name ? call_verb_find(name) : NULL;
    struct call *call;

    if (!verb || guest->call) {
        guest->gone = true; /* another version, or not one of ours */
        return;
    }
    settle_earlier(worker, guest, json_object_get(line, "settle"));
    call = mem_zeroed(1, sizeof *call);
    *call = (struct call){
        .verb = verb,
        .agent = worker->agent,
        .host = &worker->host,
        .params = json_incref(json_object_get(line, "params")),
        .state = mem_zeroed(1, verb->state_len ? verb->state_len : 1),
        .started_ms = (uint64_t)json_integer_value(json_object_get(line, "started_ms")),
        .timeout_ms = json_is_integer(timeout) ? (uint64_t)json_integer_value(timeout) : UINT64_MAX,
        .now_ms = clock_elapsed_ms(),
        .wake_ms = UINT64_MAX,
        .offline = !verb->online || json_is_true(json_object_get(line, "offline")),
        .number = worker->calls++,
        .say = say_line,
        .say_ctx = guest,
    };
    guest->call = call;
    if (!call->offline) {
        agent_go_online(worker->agent);
        agent_link_hurry(worker->agent);
    }
    if (verb->start)
        verb->start(call);
}

static void call_took(struct worker *worker, struct guest *guest, const char *hex)
{
    uint8_t id[16];
    json_t *line;

    (void)worker;
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

/* Calls in the order in which they came: whoever asked first is served first. */
static void step_calls(struct worker *worker)
{
    uint64_t after = 0, now = clock_elapsed_ms();
    struct agent_link link;
    struct call *next;

    agent_link_get(worker->agent, &link);
    do {
        next = NULL;
        for (size_t g = 0; g < worker->guests; g++) {
            struct call *call = worker->guest[g]->call;

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
        if (!next->ended)
            next->verb->step(next);
    } while (next);
}

/* ------------------------------------------------------------------ guests */

static void guest_add(struct worker *worker, int fd)
{
    struct guest *guest = mem_zeroed(1, sizeof *guest);

    line_open(&guest->line, fd);
    worker->guest[worker->guests++] = guest;
}

static void guest_remove(struct worker *worker, size_t g)
{
    struct guest *guest = worker->guest[g];

    call_free(&guest->call);
    line_close(&guest->line);
    free(guest);
    memmove(worker->guest + g, worker->guest + g + 1,
            (worker->guests - g - 1) * sizeof(struct guest *));
    worker->guests--;
}

static void guests_accept(struct worker *worker)
{
    while (worker->listen_fd >= 0) {
        int fd = accept4(worker->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        uid_t uid;

        if (fd < 0)
            return;
        if (worker->guests == GUESTS_MAX || local_peer(fd, NULL, &uid, NULL) != ERR_OK
            || uid != geteuid())
            close(fd);
        else
            guest_add(worker, fd);
    }
}

static void guest_obey(struct worker *worker, struct guest *guest, json_t *line)
{
    const char *took = json_string_value(json_object_get(line, "took"));
    struct failure ignored;

    if (json_object_get(line, "call"))
        call_start(worker, guest, line);
    else if (took)
        call_took(worker, guest, took);
    else if (json_object_get(line, "reload"))
        reload_settings(&worker->host, &ignored);
    else if (json_object_get(line, "finish") && guest == worker->guest[0])
        worker->finishing = true;
}

static void guest_read(struct worker *worker, struct guest *guest)
{
    enum err end = line_fill(&guest->line);
    json_t *line;

    for (;;) {
        if (line_next(&guest->line, &line) != ERR_OK) {
            guest->gone = true;
            return;
        }
        if (!line)
            break;
        guest_obey(worker, guest, line);
        json_decref(line);
    }
    if (end != ERR_OK)
        guest->gone = true;
}

/* A call that has ended leaves when its words are out; one whose reader is gone leaves at once. */
static void guests_tidy(struct worker *worker)
{
    for (size_t g = worker->guests; g-- > 0;) {
        struct guest *guest = worker->guest[g];

        if (line_flush(&guest->line) != ERR_OK)
            guest->gone = true;
        if (guest->call && guest->call->ended)
            call_free(&guest->call);
        if (!guest->gone)
            continue;
        if (g == 0) {
            worker->finishing = true;
            call_free(&guest->call);
        } else {
            guest_remove(worker, g);
        }
    }
}

/* ------------------------------------------------------------------ the loop */

static uint64_t next_wake(const struct worker *worker)
{
    uint64_t when = agent_next_tick_ms(worker->agent);
    uint64_t link = link_zmq_deadline_ms(worker->link);

    if (link < when)
        when = link;
    for (size_t g = 0; g < worker->guests; g++)
        if (worker->guest[g]->call && worker->guest[g]->call->wake_ms < when)
            when = worker->guest[g]->call->wake_ms;
    return when;
}

/* Waits until something can be read or written, or `until_ms`. */
static void wait_for_work(struct worker *worker, uint64_t until_ms)
{
    zmq_pollitem_t items[FIXED_ITEMS + GUESTS_MAX];
    size_t n = link_zmq_items(worker->link, items), first;
    uint64_t now = clock_elapsed_ms();
    long wait = until_ms <= now ? 0 : until_ms - now > 3600000 ? 3600000 : (long)(until_ms - now);

    if (worker->listen_fd >= 0)
        items[n++] = (zmq_pollitem_t){ .fd = worker->listen_fd, .events = ZMQ_POLLIN };
    first = n;
    for (size_t g = 0; g < worker->guests; g++) {
        struct line *line = &worker->guest[g]->line;
        short events = ZMQ_POLLIN;

        if (line_pending(line))
            events |= ZMQ_POLLOUT;
        if (g == 0 && worker->guest[g]->gone)
            events = 0; /* its end is known, and would be told again and again */
        items[n++] = (zmq_pollitem_t){ .fd = line->fd, .events = events };
    }
    if (zmq_poll(items, (int)n, wait) <= 0)
        return;
    for (size_t g = 0; g < n - first; g++)
        if (items[first + g].revents & (ZMQ_POLLIN | ZMQ_POLLERR))
            guest_read(worker, worker->guest[g]);
    guests_accept(worker);
}

static bool drive_agent(struct worker *worker)
{
    bool more = link_zmq_dispatch(worker->link, worker->agent);

    if (agent_next_tick_ms(worker->agent) <= clock_elapsed_ms())
        agent_tick(worker->agent);
    return more;
}

static void run_until_finished(struct worker *worker)
{
    while (!worker->finishing) {
        bool more = drive_agent(worker);

        step_calls(worker);
        guests_tidy(worker);
        if (!worker->finishing)
            wait_for_work(worker, more ? 0 : next_wake(worker));
    }
}

static bool anybody_prints(const struct worker *worker)
{
    for (size_t g = 0; g < worker->guests; g++)
        if (worker->guest[g]->call && worker->guest[g]->call->awaits_took)
            return true;
    return false;
}

static bool link_is_down(const struct worker *worker)
{
    struct agent_link link;

    agent_link_get(worker->agent, &link);
    return link.state == STATE_DOWN || link.state == STATE_REFUSED;
}

/* Goes on working, without new calls and new items, until `done` or a second has passed. */
static void linger(struct worker *worker, bool (*done)(const struct worker *worker))
{
    uint64_t until = clock_elapsed_ms() + LINGER_MS;

    while (!done(worker) && clock_elapsed_ms() < until) {
        bool more = drive_agent(worker);
        uint64_t wake = next_wake(worker);

        guests_tidy(worker);
        if (done(worker))
            break;
        wait_for_work(worker, more ? 0 : wake < until ? wake : until);
    }
}

/* Who still waits for something finds the next owner by itself, or becomes it. */
static void send_guests_away(struct worker *worker)
{
    while (worker->guests > 1) {
        struct guest *guest = worker->guest[worker->guests - 1];

        line_put(&guest->line, json_pack("{s:b}", "moved", 1));
        line_flush(&guest->line);
        guest_remove(worker, worker->guests - 1);
    }
}

/* The part that others may read without our lock follows what the core knows. */
static void note_identity(struct worker *worker)
{
    json_t *before = profile_identity_read(worker->profile), *now, *key;
    struct agent_self self;

    if (agent_self_get(worker->agent, &self) == ERR_OK) {
        now = object_identity(&self, NULL);
        key = json_object_get(before, "invite_key");
        if (key)
            json_object_set(now, "invite_key", key);
        if (!json_equal(before, now))
            profile_identity_write(worker->profile, now);
        json_decref(now);
    }
    json_decref(before);
}

static void stop_listening(struct worker *worker)
{
    if (worker->listen_fd < 0)
        return;
    unlinkat(worker->profile->dir_fd, PROFILE_SOCKET, 0);
    close(worker->listen_fd);
    worker->listen_fd = -1;
}

static bool nobody_prints(const struct worker *worker)
{
    return !anybody_prints(worker);
}

static void *worker_main(void *arg)
{
    struct worker *worker = arg;

    run_until_finished(worker);
    stop_listening(worker);
    linger(worker, nobody_prints);
    send_guests_away(worker);
    if (!link_is_down(worker)) {
        agent_go_offline(worker->agent);
        linger(worker, link_is_down);
    }
    note_identity(worker);
    link_zmq_disconnect(worker->link);
    guest_remove(worker, 0);
    agent_free(&worker->agent);
    link_zmq_free(&worker->link);
    return NULL;
}

/* ------------------------------------------------------------------ life */

static enum err agent_open(struct worker *worker)
{
    struct agent_store *store = NULL;
    enum err e;

    e = agent_store_open(&store, worker->profile->dir);
    if (e == ERR_OK)
        e = agent_new(&worker->agent, &store, &worker->ports, &worker->settings);
    agent_store_close(&store);
    return e;
}

static void open_failure(const struct worker *worker, enum err e, struct failure *failure)
{
    if (e == ERR_NOT_FOUND)
        failure_set(failure, 6, "no_profile", "sealpost join INVITE", "there is no agent in %.300s",
                    worker->profile->dir);
    else
        failure_of_err(failure, e, worker->profile->dir);
}

static void worker_free(struct worker **worker)
{
    struct worker *w = *worker;

    while (w->guests)
        guest_remove(w, w->guests - 1);
    stop_listening(w);
    agent_free(&w->agent);
    link_zmq_free(&w->link);
    free(w->hands);
    sodium_memzero(&w->settings, sizeof w->settings);
    free(w);
    *worker = NULL;
}

/* The program's thread alone hears signals. */
static int thread_start(struct worker *worker)
{
    sigset_t all, before;
    int failed;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    /* libzmq's own thread is made with the first socket, by ours: it inherits the mask */
    failed = pthread_create(&worker->thread, NULL, worker_main, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed;
}

bool worker_start(struct worker **out, const struct worker_options *options, int *fd,
                  struct failure *failure)
{
    struct worker *worker = mem_zeroed(1, sizeof *worker);
    int pair[2] = { -1, -1 };
    enum err e;

    worker->profile = options->profile;
    worker->command = options->stays ? options->command : NULL;
    worker->listen_fd = -1;
    worker->link = link_zmq_new();
    worker->ports = (struct agent_ports){
        .ctx = worker,
        .now_ms = port_now,
        .elapsed_ms = port_elapsed,
        .random = port_random,
        .connect = port_connect,
        .disconnect = port_disconnect,
        .send = port_send,
        .changed = port_changed,
    };
    worker->host = (struct call_host){
        .profile = options->profile->name,
        .dir = options->profile->dir,
        .owner_command = worker->command,
        .owner_pid = getpid(),
        .hands = all_hands,
        .reload = reload_settings,
        .now_ms = clock_now_ms,
        .ctx = worker,
    };
    if (!settings_load(worker->profile, &worker->settings, failure)) {
        worker_free(&worker);
        return false;
    }
    e = agent_open(worker);
    if (e == ERR_OK && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        e = ERR_IO;
    if (e == ERR_OK) {
        guest_add(worker, pair[0]);
        /* without a socket the profile still works; others then wait for the lock */
        if (options->stays)
            local_listen(worker->profile->dir_fd, PROFILE_SOCKET, &worker->listen_fd);
        if (thread_start(worker) != 0)
            e = ERR_IO;
    }
    if (e != ERR_OK) {
        open_failure(worker, e, failure);
        if (pair[1] >= 0)
            close(pair[1]);
        worker_free(&worker);
        return false;
    }
    *fd = pair[1];
    *out = worker;
    return true;
}

void worker_end(struct worker **worker)
{
    if (!*worker)
        return;
    pthread_join((*worker)->thread, NULL);
    worker_free(worker);
}
