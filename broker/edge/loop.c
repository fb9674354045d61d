#include "broker/edge/loop.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "broker/edge/actor.h"
#include "broker/edge/control.h"
#include "broker/edge/selftest.h"
#include "broker/edge/zloop.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/net/socket.h"

#define ENDPOINTS_MOST    8
#define LOOK_MS           100
#define RETRY_MS          2
#define SILENT_MS         15000
#define LINGER_MS         500
#define ANSWERS_WITHIN_MS 10000
#define BACK_IN_MS        5000 /* what agents are told when we go down */

struct loop {
    zloop_t *zloop; /* owned, as everything but flow */
    struct gate *gate;
    struct guard *guard;
    struct listener listener;
    struct arrivals arrivals;
    struct departures departures;
    struct actor *actor;
    struct control_socket *control;
    struct loop_hooks hooks;
    struct gate_limits limits;
    char endpoint[ENDPOINTS_MOST][280];
    size_t endpoints;
    int signal_fd, retry_timer;
    bool stopping, ended; /* told to stop; the actor's work is done */
    enum err end;
    uint64_t grace_ms, stop_by_ms, echo;
};

/* ---- what the flow hands out ----------------------------------------------------------------- */

void loop_hand_out(struct loop *loop, struct outgoing *out)
{
    departures_hand_out(&loop->departures, out);
}

static void begin_stop(struct loop *loop);

static void key_added(struct loop *loop, const struct outgoing *out)
{
    struct requester who = { .kind = out->is_invite ? BY_INVITE : BY_AGENT, .id = out->id };

    memcpy(who.key, out->key, sizeof who.key);
    memcpy(who.aid, out->aid, sizeof who.aid);
    memcpy(who.identity_key, out->identity_key, sizeof who.identity_key);
    gate_add(loop->gate, &who);
}

static void answer(struct loop *loop, uint64_t conn, struct bytes lines, bool last)
{
    if (conn == 0 && loop->hooks.answer && lines.len)
        loop->hooks.answer(loop->hooks.ctx, lines);
    else if (conn && loop->control)
        control_answer(loop->control, conn, lines, last);
}

void loop_answer(struct loop *loop, uint64_t conn, struct bytes lines, bool last)
{
    answer(loop, conn, lines, last);
}

static void depart(struct loop *loop, struct outgoing *out, uint64_t now_ms)
{
    switch (out->kind) {
    case OUT_MESSAGE:
        listener_send(&loop->listener, out, now_ms);
        return;
    case OUT_KEY_ADD:
        key_added(loop, out);
        break;
    case OUT_KEY_DROP:
        gate_drop(loop->gate, out->key);
        if (out->revoked)
            listener_revoke(&loop->listener, out->key, now_ms);
        break;
    case OUT_KICK:
        listener_kick(&loop->listener, out->conn, "told", now_ms);
        break;
    case OUT_OPERATOR:
        answer(loop, out->conn, buf_bytes(&out->head), out->last);
        break;
    case OUT_STOP:
        begin_stop(loop);
        break;
    case OUT_RELOAD:
        if (loop->hooks.reload)
            loop->hooks.reload(loop->hooks.ctx, out->conn);
        break;
    }
    outgoing_free(&out);
}

static int on_retry(zloop_t *zloop, int timer, void *arg)
{
    struct loop *loop = arg;

    (void)timer;
    listener_retry(&loop->listener, clock_elapsed_ms());
    if (!loop->listener.backlogged) {
        zloop_timer_end(zloop, loop->retry_timer);
        loop->retry_timer = -1;
    }
    return 0;
}

static void retry_if_backlogged(struct loop *loop)
{
    if (loop->listener.backlogged && loop->retry_timer < 0)
        loop->retry_timer = zloop_timer(loop->zloop, RETRY_MS, 0, on_retry, loop);
}

static bool take_departures(struct loop *loop)
{
    bool ended;
    struct outgoing *chain = departures_take(&loop->departures, &ended, &loop->end);
    uint64_t now_ms = clock_elapsed_ms();

    while (chain) {
        struct outgoing *out = chain;

        chain = out->next;
        depart(loop, out, now_ms);
    }
    retry_if_backlogged(loop);
    return ended;
}

static int on_departures(zloop_t *zloop, zmq_pollitem_t *item, void *arg)
{
    struct loop *loop = arg;

    (void)zloop;
    (void)item;
    if (take_departures(loop))
        loop->ended = true;
    /* -1 ends zloop: the store is gone, or all is said and sent */
    return loop->ended && (!loop->listener.backlogged || loop->end != ERR_OK) ? -1 : 0;
}

/* ---- sockets --------------------------------------------------------------------------------- */

static int on_messages(zloop_t *zloop, zmq_pollitem_t *item, void *arg)
{
    struct loop *loop = arg;

    (void)zloop;
    (void)item;
    listener_read(&loop->listener, clock_elapsed_ms());
    retry_if_backlogged(loop);
    return 0;
}

static int on_gate(zloop_t *zloop, zmq_pollitem_t *item, void *arg)
{
    struct loop *loop = arg;

    (void)zloop;
    (void)item;
    gate_serve(loop->gate, connections_count(&loop->listener.connections), clock_elapsed_ms());
    return 0;
}

static int on_monitor(zloop_t *zloop, zmq_pollitem_t *item, void *arg)
{
    struct loop *loop = arg;

    (void)zloop;
    (void)item;
    listener_monitor(&loop->listener, clock_elapsed_ms());
    return 0;
}

/* ---- time and signals ------------------------------------------------------------------------ */

static int on_look(zloop_t *zloop, int timer, void *arg)
{
    struct loop *loop = arg;
    uint64_t now_ms = clock_elapsed_ms();

    (void)zloop;
    (void)timer;
    listener_end_kicked(&loop->listener, now_ms);
    guard_look(loop->guard, now_ms, SILENT_MS, (size_t)loop->limits.connections);
    if (loop->stopping && (loop->ended || now_ms >= loop->stop_by_ms))
        return loop->ended && loop->listener.backlogged && now_ms < loop->stop_by_ms ? 0 : -1;
    return 0;
}

static int on_second(zloop_t *zloop, int timer, void *arg)
{
    struct loop *loop = arg;

    (void)zloop;
    (void)timer;
    listener_forget_silent(&loop->listener, clock_elapsed_ms());
    if (loop->hooks.second)
        loop->hooks.second(loop->hooks.ctx);
    if (loop_store_answers(loop))
        arrivals_push(&loop->arrivals, arrival_note(ARRIVAL_ECHO, ++loop->echo));
    return 0;
}

bool loop_store_answers(const struct loop *loop)
{
    /* the lock inside does not change what anybody sees */
    return arrivals_echoed((struct arrivals *)(uintptr_t)&loop->arrivals) == loop->echo;
}

static zmq_pollitem_t router_item(const struct loop *loop)
{
    return (zmq_pollitem_t){ .socket = loop->listener.router, .events = ZMQ_POLLIN };
}

/* No more requests; what has arrived is done and answered, then the actor ends. */
static void begin_stop(struct loop *loop)
{
    zmq_pollitem_t item = router_item(loop);
    struct arrival *goodbye = arrival_note(ARRIVAL_GOODBYE, BACK_IN_MS);

    if (loop->stopping)
        return;
    loop->stopping = true;
    loop->stop_by_ms = clock_elapsed_ms() + loop->grace_ms;
    log_event(LOG_INFO, "stopping", "count=%zu", connections_count(&loop->listener.connections));
    if (loop->hooks.stopping)
        loop->hooks.stopping(loop->hooks.ctx);
    zloop_poller_end(loop->zloop, &item);
    goodbye->next = arrival_note(ARRIVAL_END, 0);
    arrivals_push(&loop->arrivals, goodbye);
}

static int on_signal(zloop_t *zloop, zmq_pollitem_t *item, void *arg)
{
    struct loop *loop = arg;
    struct signalfd_siginfo info;

    (void)zloop;
    (void)item;
    while (read(loop->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGHUP && loop->hooks.reload)
            loop->hooks.reload(loop->hooks.ctx, 0);
        else if (info.ssi_signo == SIGUSR1 && loop->hooks.summary)
            loop->hooks.summary(loop->hooks.ctx);
        else if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT) {
            if (loop->stopping)
                _exit(0); /* told twice; committed frames are safe */
            begin_stop(loop);
        }
    }
    return 0;
}

/* ---- opening and closing --------------------------------------------------------------------- */

static int signals_open(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

enum err loop_open(struct loop **out, const struct loop_options *options)
{
    struct loop *loop = mem_zeroed(1, sizeof *loop);
    uint64_t now_ms = clock_elapsed_ms();
    enum err e;

    loop->hooks = options->hooks;
    loop->limits = options->limits;
    loop->grace_ms = BACK_IN_MS;
    loop->retry_timer = -1;
    loop->signal_fd = signals_open();
    loop->zloop = zloop_new();
    loop->gate = gate_new(&options->limits, now_ms);
    loop->guard = guard_new();
    arrivals_init(&loop->arrivals);
    e = departures_init(&loop->departures);
    if (e == ERR_OK && (!loop->zloop || loop->signal_fd < 0))
        e = ERR_UNSUPPORTED;
    if (e == ERR_OK)
        e = listener_open(&loop->listener, options->keys->secret_key, options->handshake_ms,
                          loop->gate, loop->guard, &loop->arrivals);
    if (e != ERR_OK)
        loop_close(&loop);
    else
        zloop_set_nonstop(loop->zloop, true);
    *out = loop;
    return e;
}

/* The actor has come round once, or its store has failed at the first look. */
static enum err await_echo(struct loop *loop)
{
    uint64_t until_ms = clock_elapsed_ms() + ANSWERS_WITHIN_MS;

    arrivals_push(&loop->arrivals, arrival_note(ARRIVAL_ECHO, ++loop->echo));
    while (!loop_store_answers(loop)) {
        if (take_departures(loop) && loop->end != ERR_OK)
            return loop->end;
        if (clock_elapsed_ms() >= until_ms)
            return ERR_UNREACHABLE;
        usleep(1000);
    }
    return ERR_OK;
}

enum err loop_start(struct loop *loop, struct flow *flow)
{
    enum err e;

    departures_publish(&loop->departures); /* what the flow handed out until now */
    e = actor_start(&loop->actor, flow, &loop->arrivals, &loop->departures);
    return e == ERR_OK ? await_echo(loop) : e;
}

static void poll_socket(struct loop *loop, void *socket, zloop_fn *handler)
{
    zmq_pollitem_t item = { .socket = socket, .events = ZMQ_POLLIN };

    zloop_poller(loop->zloop, &item, handler, loop);
    zloop_poller_set_tolerant(loop->zloop, &item);
}

static void poll_fd(struct loop *loop, int fd, zloop_fn *handler)
{
    zmq_pollitem_t item = { .fd = fd, .events = ZMQ_POLLIN };

    zloop_poller(loop->zloop, &item, handler, loop);
    zloop_poller_set_tolerant(loop->zloop, &item);
}

enum err loop_listen(struct loop *loop, const struct curve_keys *keys, const char *const *endpoints,
                     size_t count)
{
    enum err e = gate_bind(loop->gate);

    departures_publish(&loop->departures);
    take_departures(loop); /* the keys that the flow announced; an empty set admits nobody */
    for (size_t i = 0; i < count && i < ENDPOINTS_MOST && e == ERR_OK; i++) {
        e = listener_bind(&loop->listener, endpoints[i], loop->endpoint[i],
                          sizeof loop->endpoint[i]);
        if (e != ERR_OK)
            log_event(LOG_ERROR, "fatal", "reason=cannot_listen addr=%s code=%s",
                      log_value(endpoints[i]), log_value(zmq_strerror(zmq_errno())));
        loop->endpoints += e == ERR_OK;
    }
    if (e == ERR_OK)
        e = selftest_run(&loop->listener, loop->endpoint[0], keys->public_key);
    if (e != ERR_OK) {
        listener_close(&loop->listener, 0);
        return e;
    }
    /* the gate first: a newcomer must not wait behind a flood of messages */
    poll_socket(loop, gate_socket(loop->gate), on_gate);
    poll_socket(loop, loop->listener.monitor, on_monitor);
    poll_fd(loop, loop->departures.wake_fd, on_departures);
    poll_fd(loop, loop->signal_fd, on_signal);
    poll_socket(loop, loop->listener.router, on_messages);
    zloop_timer(loop->zloop, LOOK_MS, 0, on_look, loop);
    zloop_timer(loop->zloop, 1000, 0, on_second, loop);
    return ERR_OK;
}

const char *loop_endpoint(const struct loop *loop, size_t i)
{
    return i < loop->endpoints ? loop->endpoint[i] : NULL;
}

void loop_command(struct loop *loop, uint64_t conn, uid_t uid, struct bytes line)
{
    struct command {
        struct arrival arrival;
        struct request request;
        uint8_t text[];
    } *command = mem_alloc(sizeof *command + line.len);

    command->arrival = (struct arrival){ .kind = ARRIVAL_REQUEST, .request = &command->request };
    command->request = (struct request){ .by = { .kind = BY_OPERATOR, .conn = conn, .id = uid },
                                         .bytes = line.len,
                                         .command = bytes_of(command->text, line.len),
                                         .memory = command,
                                         .release = free };
    memcpy(command->text, line.at, line.len);
    arrivals_push(&loop->arrivals, &command->arrival);
}

static void on_operator(void *ctx, uint64_t number, uid_t uid, struct bytes line)
{
    struct loop *loop = ctx;

    if (!loop->hooks.command || !loop->hooks.command(loop->hooks.ctx, number, line))
        loop_command(loop, number, uid, line);
}

enum err loop_control(struct loop *loop, int dir_fd, const char *name, gid_t group)
{
    return control_listen(&loop->control, loop->zloop, dir_fd, name, group, on_operator, loop);
}

void loop_set_grace(struct loop *loop, uint64_t grace_ms)
{
    loop->grace_ms = grace_ms;
}

enum err loop_run(struct loop *loop, uint64_t grace_ms)
{
    loop->grace_ms = grace_ms;
    zloop_start(loop->zloop);
    if (!loop->stopping)
        arrivals_push(&loop->arrivals, arrival_note(ARRIVAL_END, 0)); /* the store failed */
    actor_join(&loop->actor);
    take_departures(loop);
    listener_close(&loop->listener, LINGER_MS);
    return loop->end;
}

void loop_abandon(struct loop *loop)
{
    if (!loop->actor)
        return;
    arrivals_push(&loop->arrivals, arrival_note(ARRIVAL_END, 0));
    actor_join(&loop->actor);
}

void loop_close(struct loop **loop)
{
    struct loop *l = *loop;

    if (!l)
        return;
    loop_abandon(l);
    control_stop(&l->control);
    listener_close(&l->listener, 0);
    gate_free(&l->gate);
    guard_free(&l->guard);
    arrivals_wipe(&l->arrivals);
    departures_wipe(&l->departures);
    zloop_destroy(&l->zloop);
    if (l->signal_fd >= 0)
        close(l->signal_fd);
    free(l);
    *loop = NULL;
}

void loop_configure(struct loop *loop, const struct gate_limits *limits,
                    const struct flow_settings *settings)
{
    struct arrival *note = arrival_note(ARRIVAL_CONFIGURE, 0);

    loop->limits = *limits;
    gate_configure(loop->gate, limits, clock_elapsed_ms());
    note->settings = mem_alloc(sizeof *note->settings);
    *note->settings = *settings;
    arrivals_push(&loop->arrivals, note);
}

void loop_counts(const struct loop *loop, struct loop_counts *out)
{
    out->listener = loop->listener.counts;
    gate_counts(loop->gate, &out->gate);
    out->connections = connections_count(&loop->listener.connections);
    out->descriptors = guard_count(loop->guard);
}
