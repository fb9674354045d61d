#include "agent/api/client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/api/line.h"
#include "agent/api/worker.h"
#include "shared/base/clock.h"
#include "shared/base/local.h"

#define BUSY_MS 5000 /* an owner that does not answer for so long is told to the user */
#define TRY_MS  10

/* ------------------------------------------------------------------ signals */

static int signal_pipe[2] = { -1, -1 };
static volatile sig_atomic_t signals_to_end;

static void on_signal(int number)
{
    const char byte = (char)number;
    int saved = errno;

    if (number != SIGHUP && ++signals_to_end > 1) {
        /* whoever asks twice means it; nothing on the disk is ever half done */
        signal(number, SIG_DFL);
        raise(number);
    }
    if (write(signal_pipe[1], &byte, 1) != 1)
        (void)0; /* the pipe is full of signals already */
    errno = saved;
}

void client_signals(bool reload)
{
    struct sigaction action = { .sa_handler = on_signal };

    if (signal_pipe[0] >= 0 || pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK) != 0)
        return;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    if (reload)
        sigaction(SIGHUP, &action, NULL);
}

/* ------------------------------------------------------------------ one attempt */

struct session {
    struct profile *profile;
    const struct client_call *call;
    struct failure *failure;
    struct line line;
    struct worker *worker; /* owned; NULL: another process is the owner */
    json_t *said;          /* items and notes that wait for the end, in order */
    json_t *unsettled;     /* printed, and not yet confirmed by an owner */
    uint64_t started_ms;
    bool streams; /* items are confirmed one by one: print at once */
    bool finished, again;
    int exit, signal;
};

static void say(struct session *s, json_t *line)
{
    const char *note = json_string_value(json_object_get(line, "note"));
    json_t *item = json_object_get(line, "item");

    json_t *error = json_object_get(line, "error");

    if (s->signal || s->failure->exit)
        return;
    if (error)
        failure_from_json(s->failure, error);
    if (note)
        s->call->note(s->call->ctx, note);
    if (item && !s->call->item(s->call->ctx, item)) {
        failure_set(s->failure, 1, "output_closed", NULL, "nobody reads the output");
        s->exit = 1;
        s->finished = true;
    }
}

static void say_all(struct session *s)
{
    size_t i;
    json_t *line;

    json_array_foreach(s->said, i, line) say(s, line);
    json_array_clear(s->said);
}

/* A message for the command: print it, then say so; only then it may be marked done. */
static void take_item(struct session *s, json_t *line, const char *id)
{
    json_t *given = json_object_get(s->call->params, "given"), *reply;

    s->streams = true;
    say_all(s);
    say(s, line);
    if (s->finished)
        return;
    json_object_set_new(s->call->params, "given", json_integer(json_integer_value(given) + 1));
    if (json_is_true(json_object_get(s->call->params, "no_ack")))
        json_array_append_new(json_object_get(s->call->params, "skip"), json_string(id));
    else
        json_array_append_new(s->unsettled, json_string(id));
    reply = json_object();
    json_object_set_new(reply, "took", json_string(id));
    line_put(&s->line, reply);
}

static void settled(struct session *s, const char *id)
{
    for (size_t i = json_array_size(s->unsettled); i-- > 0;)
        if (strcmp(json_string_value(json_array_get(s->unsettled, i)), id) == 0)
            json_array_remove(s->unsettled, i);
}

static void hear(struct session *s, json_t *line)
{
    const char *take = json_string_value(json_object_get(line, "take"));
    const char *taken = json_string_value(json_object_get(line, "taken"));
    const char *detail = json_string_value(json_object_get(line, "detail"));
    json_t *error = json_object_get(line, "error"), *end = json_object_get(line, "end");
    bool talk = json_object_get(line, "item") || json_object_get(line, "note");

    if (take)
        take_item(s, line, take);
    else if (taken)
        settled(s, taken);
    else if (detail)
        s->call->detail(s->call->ctx, detail);
    else if (error)
        json_array_append(s->said, line);
    else if (talk && s->streams)
        say(s, line);
    else if (talk)
        json_array_append(s->said, line);
    else if (json_object_get(line, "moved"))
        s->again = true;
    if (!end)
        return;
    say_all(s);
    if (!s->finished)
        s->exit = (int)json_integer_value(end);
    s->finished = true;
}

static void hear_signal(struct session *s)
{
    char number;
    json_t *line;

    if (read(signal_pipe[0], &number, 1) != 1)
        return;
    if (number == SIGHUP) {
        line = json_object();
        json_object_set_new(line, "reload", json_true());
        line_put(&s->line, line);
        return;
    }
    s->signal = number;
    s->exit = s->call->orderly ? 0 : 128 + number;
    s->finished = true;
}

/* Everything that the connection brings, until the call is over or must be made again. */
static void converse(struct session *s)
{
    while (!s->finished && !s->again) {
        struct pollfd fds[2] = { { .fd = s->line.fd, .events = POLLIN },
                                 { .fd = signal_pipe[0], .events = POLLIN } };
        enum err end = ERR_OK;
        json_t *line;

        if (line_flush(&s->line) != ERR_OK)
            end = ERR_UNREACHABLE;
        if (line_pending(&s->line))
            fds[0].events |= POLLOUT;
        if (end == ERR_OK && poll(fds, 2, -1) < 0 && errno != EINTR)
            end = ERR_UNREACHABLE;
        if (fds[1].revents & POLLIN)
            hear_signal(s);
        if (fds[0].revents & (POLLIN | POLLHUP | POLLERR) || end != ERR_OK)
            end = line_fill(&s->line);
        while (!s->finished && line_next(&s->line, &line) == ERR_OK && line) {
            hear(s, line);
            json_decref(line);
        }
        if (end != ERR_OK && !s->finished)
            s->again = true; /* the owner is gone: find the next */
    }
}

static void ask(struct session *s)
{
    const struct client_call *call = s->call;
    json_t *line = json_object();

    json_object_set_new(line, "call", json_string(call->verb));
    json_object_set(line, "params", call->params);
    json_object_set_new(line, "started_ms", json_integer((json_int_t)s->started_ms));
    json_object_set_new(
        line, "timeout_ms",
        call->timeout_ms == UINT64_MAX ? json_null() : json_integer((json_int_t)call->timeout_ms));
    json_object_set_new(line, "offline", json_boolean(call->offline));
    json_object_set(line, "settle", s->unsettled);
    line_put(&s->line, line);
}

/* The call, over whatever connection there is. */
static void attempt(struct session *s)
{
    s->again = false;
    json_array_clear(s->said); /* an answer cut short is asked for anew, whole */
    ask(s);
    converse(s);
}

static void as_owner(struct session *s)
{
    const struct worker_options options
        = { .profile = s->profile, .stays = s->call->stays, .command = s->call->command };
    int fd;

    if (!worker_start(&s->worker, &options, &fd, s->failure)) {
        s->exit = s->failure->exit;
        s->finished = true;
        profile_unlock(s->profile);
        return;
    }
    line_open(&s->line, fd);
    attempt(s);
    line_put(&s->line, json_pack("{s:b}", "finish", 1));
    line_flush(&s->line);
    shutdown(s->line.fd, SHUT_WR);
    worker_end(&s->worker);
    line_close(&s->line);
    profile_unlock(s->profile);
}

/* ------------------------------------------------------------------ until it is done */

static bool nap(struct session *s)
{
    struct pollfd fd = { .fd = signal_pipe[0], .events = POLLIN };

    poll(&fd, 1, TRY_MS);
    if (fd.revents & POLLIN)
        hear_signal(s);
    return !s->finished;
}

struct patience {
    pid_t owner;
    uint64_t since_ms;
};

/* An owner that does not serve gives way soon; each one gets its time. */
static bool too_long(struct session *s, struct patience *patience)
{
    char command[80];
    pid_t pid;

    profile_owner(s->profile, &pid, command);
    if (pid != patience->owner || patience->since_ms == 0)
        *patience = (struct patience){ pid, clock_elapsed_ms() };
    if (clock_elapsed_ms() - patience->since_ms < BUSY_MS)
        return false;
    failure_set(s->failure, 1, "profile_busy", "wait, or end that process",
                "profile %s: in use by pid %d (%s), and it does not answer", s->profile->name,
                (int)pid, command);
    s->exit = 1;
    return true;
}

static void find_owner_and_ask(struct session *s)
{
    struct patience patience = { 0 };

    while (!s->finished) {
        enum err e = profile_lock(s->profile, s->call->command);
        int fd;

        if (e == ERR_OK) {
            as_owner(s);
            patience.since_ms = 0;
        } else if (e != ERR_LOCKED) {
            failure_of_err(s->failure, e, s->profile->dir);
            s->exit = s->failure->exit;
            return;
        } else if (local_connect_at(s->profile->dir_fd, PROFILE_SOCKET, &fd) == ERR_OK) {
            line_open(&s->line, fd);
            attempt(s);
            line_flush(&s->line); /* what was printed last is still to be confirmed */
            line_close(&s->line);
            patience.since_ms = 0;
        } else if (s->call->no_wait || too_long(s, &patience)) {
            return;
        }
        if (!s->finished && !nap(s))
            return;
    }
}

/* The last error line is the failure; items before it have been printed. */
int client_run(struct profile *profile, const struct client_call *call, struct failure *failure)
{
    struct session s = {
        .profile = profile,
        .call = call,
        .failure = failure,
        .line = { .fd = -1 },
        .said = json_array(),
        .unsettled = json_array(),
        .started_ms = clock_elapsed_ms(),
    };

    *failure = (struct failure){ 0 };
    json_object_set_new(call->params, "skip", json_array());
    find_owner_and_ask(&s);
    json_decref(s.said);
    json_decref(s.unsettled);
    return s.exit;
}
