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

#include "agent/api/guests.h"
#include "agent/api/object.h"
#include "agent/api/settings.h"
#include "agent/net/link_zmq.h"
#include "agent/store/store.h"
#include "shared/base/clock.h"
#include "shared/base/local.h"
#include "shared/base/real.h"
#include "shared/base/text.h"

#define HOUR_MS     3600000
#define LINGER_MS   1000 /* for prints that are on their way, and for BYE */
#define FIXED_ITEMS (LINK_ZMQ_ITEMS + 1)

struct worker {
    const struct profile *profile; /* borrowed */
    struct agent_settings settings;
    struct agent_ports ports;
    struct agent *agent;   /* owned */
    struct link_zmq *link; /* owned */
    struct guests guests;
    int listen_fd; /* -1: nobody is served */
    pthread_t thread;
};

/* ------------------------------------------------------------------ ports */

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

/* ------------------------------------------------------------------ the loop */

/* agent.conf anew. */
static bool reload_settings(const struct call_host *host, struct failure *failure)
{
    struct worker *worker = host->ctx;

    if (!settings_load(worker->profile, &worker->settings, failure))
        return false;
    agent_configure(worker->agent, &worker->settings);
    return true;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t next_wake(const struct worker *worker)
{
    return sooner(agent_next_tick_ms(worker->agent),
                  sooner(link_zmq_deadline_ms(worker->link), guests_wake_ms(&worker->guests)));
}

/* Waits until something can be read or written, or `until_ms`. */
static void wait_for_work(struct worker *worker, uint64_t until_ms)
{
    zmq_pollitem_t items[FIXED_ITEMS + GUESTS_MAX];
    size_t n = link_zmq_items(worker->link, items), first, guests = worker->guests.count;
    uint64_t now = clock_elapsed_ms(), wait = until_ms <= now ? 0 : until_ms - now;

    if (worker->listen_fd >= 0)
        items[n++] = (zmq_pollitem_t){ .fd = worker->listen_fd, .events = ZMQ_POLLIN };
    first = n;
    for (size_t g = 0; g < guests; g++) {
        struct guest *guest = worker->guests.guest[g];
        short events = ZMQ_POLLIN;

        if (line_pending(&guest->line))
            events |= ZMQ_POLLOUT;
        if (guest->gone)
            events = 0; /* its end is known, and would be told again and again */
        items[n++] = (zmq_pollitem_t){ .fd = guest->line.fd, .events = events };
    }
    if (zmq_poll(items, (int)n, (long)sooner(wait, HOUR_MS)) <= 0)
        return;
    for (size_t g = 0; g < guests; g++)
        if (items[first + g].revents & (ZMQ_POLLIN | ZMQ_POLLERR))
            guests_read(&worker->guests, g);
    if (worker->listen_fd >= 0)
        guests_accept(&worker->guests, worker->listen_fd);
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
    while (!worker->guests.finishing) {
        bool more = drive_agent(worker);

        guests_step(&worker->guests);
        guests_tidy(&worker->guests);
        if (!worker->guests.finishing)
            wait_for_work(worker, more ? 0 : next_wake(worker));
    }
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

        guests_tidy(&worker->guests);
        if (done(worker))
            break;
        wait_for_work(worker, more ? 0 : wake < until ? wake : until);
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
    return !guests_print(&worker->guests);
}

static void *worker_main(void *arg)
{
    struct worker *worker = arg;

    run_until_finished(worker);
    stop_listening(worker);
    linger(worker, nobody_prints);
    guests_send_away(&worker->guests);
    if (!link_is_down(worker)) {
        agent_go_offline(worker->agent);
        linger(worker, link_is_down);
    }
    note_identity(worker);
    link_zmq_disconnect(worker->link);
    guests_wipe(&worker->guests);
    agent_free(&worker->agent);
    link_zmq_free(&worker->link);
    return NULL;
}

/* ------------------------------------------------------------------ life */

static enum err agent_open(struct worker *worker)
{
    struct agent_store *store = NULL;
    enum err e;

    e = worker->profile->key
            ? agent_store_open_with(&store, worker->profile->dir, worker->profile->key)
            : agent_store_open(&store, worker->profile->dir);
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

    guests_wipe(&w->guests);
    stop_listening(w);
    agent_free(&w->agent);
    link_zmq_free(&w->link);
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

static struct worker *worker_new(const struct worker_options *options)
{
    struct worker *worker = mem_zeroed(1, sizeof *worker);

    worker->profile = options->profile;
    worker->listen_fd = -1;
    worker->link = link_zmq_new();
    worker->ports = (struct agent_ports){
        .ctx = worker,
        .now_ms = real_now_ms,
        .elapsed_ms = real_elapsed_ms,
        .random = real_random,
        .connect = port_connect,
        .disconnect = port_disconnect,
        .send = port_send,
        .changed = port_changed,
    };
    return worker;
}

/* Guest 0, the command's own end in `fd`, and the door for others. */
static enum err guests_open(struct worker *worker, const struct worker_options *options, int *fd)
{
    const struct call_host host = {
        .profile = options->profile->name,
        .dir = options->profile->dir,
        .owner_command = options->stays ? options->command : NULL,
        .owner_pid = getpid(),
        .reload = reload_settings,
        .now_ms = clock_now_ms,
        .ctx = worker,
    };
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return ERR_IO;
    guests_init(&worker->guests, worker->agent, &host);
    guests_add(&worker->guests, pair[0]);
    *fd = pair[1];
    /* without a door the profile still works; others then wait for the lock */
    if (options->stays)
        local_listen(worker->profile->dir_fd, PROFILE_SOCKET, &worker->listen_fd);
    return ERR_OK;
}

bool worker_start(struct worker **out, const struct worker_options *options, int *fd,
                  struct failure *failure)
{
    struct worker *worker = worker_new(options);
    enum err e;

    *fd = -1;
    if (!settings_load(worker->profile, &worker->settings, failure)) {
        worker_free(&worker);
        return false;
    }
    e = agent_open(worker);
    if (e == ERR_OK)
        e = guests_open(worker, options, fd);
    if (e == ERR_OK && thread_start(worker) != 0)
        e = ERR_IO;
    if (e == ERR_OK) {
        *out = worker;
        return true;
    }
    open_failure(worker, e, failure);
    if (*fd >= 0)
        close(*fd);
    worker_free(&worker);
    return false;
}

void worker_end(struct worker **worker)
{
    if (!*worker)
        return;
    pthread_join((*worker)->thread, NULL);
    worker_free(worker);
}
