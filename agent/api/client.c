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
#include "agent/api/passphrase.h"
#include "agent/api/worker.h"
#include "shared/base/clock.h"
#include "shared/base/local.h"

#define BUSY_MS      5000 /* an owner that does not answer for so long is told to the user */
#define GIVES_WAY_MS 1000 /* so long at least: whoever owns it only to end takes less */
#define TRY_MS       10

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

struct client {
    struct profile *profile; /* borrowed */
    const char *command;     /* borrowed */
    bool stays;
    struct line line;      /* fd -1: not connected */
    struct worker *worker; /* owned; NULL: another process is the owner */
    json_t *unsettled;     /* printed, and not yet confirmed by an owner */

    /* Of the call that runs. */
    const struct client_call *call;
    struct failure *failure;
    json_t *said; /* items and notes that wait for the end, in order */
    uint64_t started_ms;
    bool streams; /* items are confirmed one by one: print at once */
    bool finished, again;
    int exit, signal;
};

static void fail(struct client *c, int exit)
{
    c->exit = exit;
    c->finished = true;
}

static void say(struct client *c, json_t *line)
{
    const char *note = json_string_value(json_object_get(line, "note"));
    json_t *item = json_object_get(line, "item");
    json_t *error = json_object_get(line, "error");

    if (c->signal || c->failure->exit)
        return;
    if (error)
        failure_from_json(c->failure, error);
    if (note)
        c->call->note(c->call->ctx, note);
    if (item && !c->call->item(c->call->ctx, item)) {
        failure_set(c->failure, 1, "output_closed", NULL, "nobody reads the output");
        fail(c, 1);
    }
}

static void say_all(struct client *c)
{
    size_t i;
    json_t *line;

    json_array_foreach(c->said, i, line) say(c, line);
    json_array_clear(c->said);
}

/* A message for the command: print it, then say so; only then it may be marked done. */
static void take_item(struct client *c, json_t *line, const char *id)
{
    json_t *given = json_object_get(c->call->params, "given"), *reply;

    c->streams = true;
    say_all(c);
    say(c, line);
    if (c->finished)
        return;
    json_object_set_new(c->call->params, "given", json_integer(json_integer_value(given) + 1));
    if (json_is_true(json_object_get(c->call->params, "no_ack")))
        json_array_append_new(json_object_get(c->call->params, "skip"), json_string(id));
    else
        json_array_append_new(c->unsettled, json_string(id));
    reply = json_object();
    json_object_set_new(reply, "took", json_string(id));
    line_put(&c->line, reply);
}

static void settled(struct client *c, const char *id)
{
    for (size_t i = json_array_size(c->unsettled); i-- > 0;)
        if (strcmp(json_string_value(json_array_get(c->unsettled, i)), id) == 0)
            json_array_remove(c->unsettled, i);
}

static void hear(struct client *c, json_t *line)
{
    const char *take = json_string_value(json_object_get(line, "take"));
    const char *taken = json_string_value(json_object_get(line, "taken"));
    const char *detail = json_string_value(json_object_get(line, "detail"));
    json_t *end = json_object_get(line, "end");
    bool talk = json_object_get(line, "item") || json_object_get(line, "note");

    if (take)
        take_item(c, line, take);
    else if (taken)
        settled(c, taken);
    else if (detail)
        c->call->detail(c->call->ctx, detail);
    else if (talk && c->streams)
        say(c, line);
    else if (talk || json_object_get(line, "error"))
        json_array_append(c->said, line);
    else if (json_object_get(line, "moved"))
        c->again = true;
    if (!end)
        return;
    say_all(c);
    if (!c->finished)
        fail(c, (int)json_integer_value(end));
}

static void hear_signal(struct client *c)
{
    char number;
    json_t *line;

    if (read(signal_pipe[0], &number, 1) != 1)
        return;
    if (number == SIGHUP) {
        line = json_object();
        json_object_set_new(line, "reload", json_true());
        line_put(&c->line, line);
        return;
    }
    line = c->call->on_signal && c->line.fd >= 0 ? c->call->on_signal(c->call->ctx, number) : NULL;
    if (line) {
        line_put(&c->line, json_pack("{s:o}", "input", line));
        return;
    }
    c->signal = number;
    fail(c, c->call->orderly ? 0 : 128 + number);
}

static int input_fd(const struct client *c)
{
    return c->call->input_fd ? c->call->input_fd(c->call->ctx) : -1;
}

static void pass_input(struct client *c)
{
    json_t *said = json_array(), *one;
    size_t i;

    c->call->input(c->call->ctx, said);
    json_array_foreach(said, i, one)
    {
        line_put(&c->line, json_pack("{s:O}", "input", one));
    }
    json_decref(said);
}

/* Everything that the connection brings, until the call is over or must be made again. */
static void converse(struct client *c)
{
    while (!c->finished && !c->again) {
        struct pollfd fds[3] = { { .fd = c->line.fd, .events = POLLIN },
                                 { .fd = signal_pipe[0], .events = POLLIN },
                                 { .fd = input_fd(c), .events = POLLIN } };
        enum err end = ERR_OK;
        json_t *line;

        if (line_flush(&c->line) != ERR_OK)
            end = ERR_UNREACHABLE;
        if (line_pending(&c->line))
            fds[0].events |= POLLOUT;
        if (end == ERR_OK && poll(fds, 3, -1) < 0 && errno != EINTR)
            end = ERR_UNREACHABLE;
        if (fds[1].revents & POLLIN)
            hear_signal(c);
        if (fds[2].revents & (POLLIN | POLLHUP | POLLERR) && !c->finished)
            pass_input(c);
        if (fds[0].revents & (POLLIN | POLLHUP | POLLERR) || end != ERR_OK)
            end = line_fill(&c->line);
        while (!c->finished && line_next(&c->line, &line) == ERR_OK && line) {
            hear(c, line);
            json_decref(line);
        }
        if (end != ERR_OK && !c->finished)
            c->again = true; /* the owner is gone: find the next */
    }
}

static void ask(struct client *c)
{
    const struct client_call *call = c->call;
    json_t *line = json_object();

    json_object_set_new(line, "call", json_string(call->verb));
    json_object_set(line, "params", call->params);
    json_object_set_new(line, "started_ms", json_integer((json_int_t)c->started_ms));
    json_object_set_new(
        line, "timeout_ms",
        call->timeout_ms == UINT64_MAX ? json_null() : json_integer((json_int_t)call->timeout_ms));
    json_object_set_new(line, "offline", json_boolean(call->offline));
    json_object_set(line, "settle", c->unsettled);
    line_put(&c->line, line);
}

/* ------------------------------------------------------------------ who owns the profile */

static void disconnect(struct client *c)
{
    if (c->line.fd < 0)
        return;
    if (c->worker) {
        line_put(&c->line, json_pack("{s:b}", "finish", 1));
        line_flush(&c->line);
        shutdown(c->line.fd, SHUT_WR);
        worker_end(&c->worker);
        profile_unlock(c->profile);
    } else {
        line_flush(&c->line); /* what was printed last is still to be confirmed */
    }
    line_close(&c->line);
}

static void become_owner(struct client *c)
{
    const struct worker_options options
        = { .profile = c->profile, .stays = c->stays, .command = c->command };
    int fd;

    if (worker_start(&c->worker, &options, &fd, c->failure)) {
        line_open(&c->line, fd);
        return;
    }
    fail(c, c->failure->exit);
    profile_unlock(c->profile);
}

struct patience {
    pid_t owner;
    uint64_t since_ms;
};

static bool time_is_up(const struct client *c)
{
    return clock_elapsed_ms() - c->started_ms >= c->call->timeout_ms;
}

/* An owner that does not serve gives way soon; each one gets its time. */
static bool too_long(struct client *c, struct patience *patience)
{
    char command[80];
    uint64_t waited_ms;
    pid_t pid;

    profile_owner(c->profile, &pid, command);
    if (pid != patience->owner || patience->since_ms == 0)
        *patience = (struct patience){ pid, clock_elapsed_ms() };
    waited_ms = clock_elapsed_ms() - patience->since_ms;
    if (waited_ms < GIVES_WAY_MS || (waited_ms < BUSY_MS && !time_is_up(c)))
        return false;
    failure_set(c->failure, 1, "profile_busy", "wait, or end that process",
                "profile %s: in use by pid %d (%s), and it does not answer", c->profile->name,
                (int)pid, command);
    return true;
}

static bool signal_waits(void)
{
    struct pollfd fd = { .fd = signal_pipe[0], .events = POLLIN };

    return poll(&fd, 1, 0) > 0 && (fd.revents & POLLIN);
}

static void nap(struct client *c)
{
    struct pollfd fd = { .fd = signal_pipe[0], .events = POLLIN };

    poll(&fd, 1, TRY_MS);
    if (fd.revents & POLLIN)
        hear_signal(c);
}

/* A person may take long: meanwhile the profile is anybody's, and the call has not begun. */
static void unwrap_key(struct client *c)
{
    uint64_t asked_ms = clock_elapsed_ms();
    struct buf passphrase;
    bool given;

    profile_unlock(c->profile);
    passphrase_begin(&passphrase);
    given = c->call->passphrase && c->call->passphrase(c->call->ctx, &passphrase, c->failure);
    while (signal_waits())
        hear_signal(c);
    if (!c->finished && given) {
        enum err e = profile_unwrap(c->profile, buf_bytes(&passphrase));

        given = e == ERR_OK;
        if (!given)
            failure_of_err(c->failure, e, c->profile->name);
    }
    passphrase_end(&passphrase);
    c->started_ms += clock_elapsed_ms() - asked_ms;
    if (!c->finished && !given)
        fail(c, c->failure->exit);
}

/* Until there is a connection, or the call is over. */
static void find_owner(struct client *c)
{
    struct patience patience = { 0 };

    while (c->line.fd < 0 && !c->finished) {
        enum err e = profile_lock(c->profile, c->command);
        int fd;

        if (e == ERR_OK && profile_wants_passphrase(c->profile)) {
            unwrap_key(c);
        } else if (e == ERR_OK) {
            become_owner(c);
        } else if (e != ERR_LOCKED) {
            failure_of_err(c->failure, e, c->profile->dir);
            fail(c, c->failure->exit);
        } else if (local_connect_at(c->profile->dir_fd, PROFILE_SOCKET, &fd) == ERR_OK) {
            line_open(&c->line, fd);
        } else if (c->call->no_wait || too_long(c, &patience)) {
            fail(c, c->failure->exit);
        } else {
            nap(c);
        }
    }
}

struct client *client_new(struct profile *profile, const char *command, bool stays)
{
    struct client *c = mem_zeroed(1, sizeof *c);

    *c = (struct client){ .profile = profile,
                          .command = command,
                          .stays = stays,
                          .line = { .fd = -1 },
                          .unsettled = json_array() };
    return c;
}

void client_free(struct client **client)
{
    if (!*client)
        return;
    disconnect(*client);
    json_decref((*client)->unsettled);
    free(*client);
    *client = NULL;
}

int client_run(struct client *c, const struct client_call *call, struct failure *failure)
{
    *failure = (struct failure){ 0 };
    c->call = call;
    c->failure = failure;
    c->said = json_array();
    c->started_ms = clock_elapsed_ms();
    c->streams = call->streams;
    c->finished = false;
    c->exit = c->signal = 0;
    json_object_set_new(call->params, "skip", json_array());
    find_owner(c);
    c->started_ms = clock_elapsed_ms(); /* the broker is not to blame for whoever had the profile */
    while (!c->finished) {
        find_owner(c);
        if (c->finished)
            break;
        c->again = false;
        json_array_clear(c->said); /* an answer cut short is asked for anew, whole */
        ask(c);
        converse(c);
        if (!c->again)
            continue;
        disconnect(c);
        nap(c);
    }
    /* a call that was left in the middle must not speak into the next one */
    if (c->signal || strcmp(failure->code, "output_closed") == 0)
        disconnect(c);
    json_decref(c->said);
    c->said = NULL;
    return c->exit;
}
