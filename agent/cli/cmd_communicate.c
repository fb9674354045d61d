/* communicate - docs: cli 3.5.  The screen: what the call tells, and lines back to it. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cli/cmd.h"
#include "agent/cli/editor.h"
#include "agent/cli/print.h"
#include "agent/cli/verbs.h"

#define UNHEARD_MAX 64 /* lines on their way; more is read when these are heard */

struct screen {
    struct cmd cmd; /* first: callbacks get it */
    struct editor editor;
    json_t *peers;  /* owned: the list, until it is printed */
    bool listening; /* lines are wanted */
    bool ended;     /* the end of the lines was told */
    bool half_line; /* a step waits for its result */
    bool talking;
    char peer[80];
};

static struct screen *screen_of(void *ctx)
{
    return ctx;
}

/* ------------------------------------------------------------------ stderr */

static bool is_silent(const struct screen *s)
{
    return cli_quiet(s->cmd.cli) || (cli_json(s->cmd.cli) && !cli_verbose(s->cmd.cli));
}

static void tell(struct screen *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void tell(struct screen *s, const char *format, ...)
{
    va_list args;

    if (is_silent(s))
        return;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
}

/* A step's result comes into its own line, whatever comes between. */
static void finish_line(struct screen *s)
{
    if (s->half_line)
        tell(s, "\n");
    s->half_line = false;
}

static void print_step(struct screen *s, json_t *object)
{
    finish_line(s);
    tell(s, "[%llu/4] %s", (unsigned long long)member_number(object, "number"),
         member_text(object, "text"));
    if (member_number(object, "number") < 4)
        tell(s, " ... ");
    else
        tell(s, "\n");
    s->half_line = member_number(object, "number") < 4;
}

static void print_done(struct screen *s, json_t *object)
{
    tell(s, "%s\n", member_text(object, "text"));
    s->half_line = false;
}

/* ------------------------------------------------------------------ the list */

static void seen_text(json_t *peer, char out[static SHORT_TEXT_SIZE])
{
    if (member_true(peer, "online"))
        snprintf(out, SHORT_TEXT_SIZE, "online");
    else
        member_age(out, peer, "seen_at");
}

static void print_list(struct screen *s)
{
    int name_width = 0, seen_width = 0;
    char seen[SHORT_TEXT_SIZE];
    json_t *peer;
    size_t i;

    json_array_foreach(s->peers, i, peer)
    {
        int len = (int)strlen(member_text(peer, "name"));

        seen_text(peer, seen);
        name_width = len > name_width ? len : name_width;
        seen_width = (int)strlen(seen) > seen_width ? (int)strlen(seen) : seen_width;
    }
    json_array_foreach(s->peers, i, peer)
    {
        seen_text(peer, seen);
        tell(s, "%3zu  %-*s   %-*s   %s\n", i + 1, name_width, member_text(peer, "name"),
             seen_width, seen, member_text(peer, "trust"));
    }
    if (json_array_size(s->peers) == 0 && !s->listening)
        tell(s, "nobody else is here\n");
    json_array_clear(s->peers);
}

/* ------------------------------------------------------------------ questions */

static void print_prompt(struct screen *s, json_t *object)
{
    const char *what = member_text(object, "for");
    char text[200];

    if (strcmp(what, "peer") == 0) {
        print_list(s);
        snprintf(text, sizeof text, "Talk to (number or name): ");
    } else if (strcmp(what, "accept") == 0) {
        snprintf(text, sizeof text,
                 "[!] Incoming communication request from %.64s (%.4s-…). Accept? (y/n) ",
                 member_text(object, "peer"), member_text(object, "fingerprint"));
    } else {
        snprintf(text, sizeof text, "[YOU] > ");
    }
    s->listening = true;
    editor_ask(&s->editor, text, strcmp(what, "line") != 0);
}

static void print_active(struct screen *s, json_t *object)
{
    tell(s, "Communicating with: %s\nSession ID: %s\n", member_text(object, "peer"),
         member_text(object, "id"));
}

/* ------------------------------------------------------------------ the conversation */

/* Every line of it stands behind the name: nobody else's can be made of them. */
static void print_words(struct screen *s, json_t *object)
{
    struct buf words = { 0 };
    size_t at = 0;

    print_body_to(&words, object);
    while (at < words.len) {
        const uint8_t *line = words.at + at, *end = memchr(line, '\n', words.len - at);
        size_t len = end ? (size_t)(end - line) : words.len - at;

        out_print(s->cmd.cli, "[%s] > ", member_text(object, "from"));
        out_raw(s->cmd.cli, bytes_of(line, len));
        out_print(s->cmd.cli, "\n");
        at += len + 1;
    }
    buf_wipe(&words);
}

static void print_receipt(struct screen *s, json_t *object)
{
    const char *state = member_text(object, "state");

    tell(s, "%s\n",
         strcmp(state, "stored") == 0      ? "Stored"
         : strcmp(state, "delivered") == 0 ? "Delivered"
         : strcmp(state, "expired") == 0   ? "Not delivered: expired"
                                           : "Not delivered: refused");
}

static void print_session(struct screen *s, json_t *object)
{
    const char *state = member_text(object, "state");

    if (strcmp(state, "active") == 0)
        print_active(s, object);
    else if (s->talking)
        tell(s, "Session closed. Keys cleared.\n");
}

/* ------------------------------------------------------------------ what a next owner must know */

static void remember(struct screen *s, json_t *object)
{
    const char *type = member_text(object, "type"), *state = member_text(object, "state");
    json_t *params = s->cmd.call.params, *line;
    size_t i;

    if (strcmp(type, "chosen") == 0) {
        json_object_set(params, "peer", json_object_get(object, "peer"));
        if (!member_null(object, "request"))
            json_object_set(params, "request", json_object_get(object, "request"));
    } else if (strcmp(type, "session") == 0) {
        json_object_set(params, "session", json_object_get(object, "id"));
        s->talking = s->talking || strcmp(state, "active") == 0;
        json_object_set_new(params, "active", json_boolean(s->talking));
    } else if (strcmp(type, "receipt") == 0 && strcmp(state, "stored") == 0) {
        json_object_set_new(json_object_get(params, "sent"), member_text(object, "id"),
                            json_string(state));
    } else if (strcmp(type, "receipt") == 0) {
        json_object_del(json_object_get(params, "sent"), member_text(object, "id"));
    } else if (strcmp(type, "heard") == 0) {
        if (member_true(object, "sent"))
            json_object_set_new(json_object_get(params, "sent"), member_text(object, "id"),
                                json_string("queued"));
        json_array_foreach(json_object_get(params, "lines"), i, line)
        {
            if (strcmp(member_text(line, "id"), member_text(object, "id")) == 0) {
                json_array_remove(json_object_get(params, "lines"), i);
                break;
            }
        }
    }
}

/* ------------------------------------------------------------------ what the call tells */

static bool is_public(const char *type)
{
    return strcmp(type, "session") == 0 || strcmp(type, "message") == 0
           || strcmp(type, "receipt") == 0;
}

static void print_object(struct screen *s, const char *type, json_t *object)
{
    if (strcmp(type, "peer") == 0)
        json_array_append(s->peers, object);
    else if (strcmp(type, "step") == 0)
        print_step(s, object);
    else if (strcmp(type, "done") == 0)
        print_done(s, object);
    else if (strcmp(type, "prompt") == 0)
        print_prompt(s, object);
    else if (strcmp(type, "message") == 0)
        print_words(s, object);
    else if (strcmp(type, "receipt") == 0)
        print_receipt(s, object);
    else if (strcmp(type, "session") == 0)
        print_session(s, object);
}

static bool take_item(void *ctx, json_t *object)
{
    struct screen *s = screen_of(ctx);
    const char *type = member_text(object, "type");

    remember(s, object);
    if (strcmp(type, "chosen") == 0)
        s->listening = false; /* what is typed on now is for the conversation */
    editor_hide(&s->editor);
    if (!cli_json(s->cmd.cli) || !is_public(type))
        print_object(s, type, object);
    else
        out_json(s->cmd.cli, json_incref(object));
    out_flush(s->cmd.cli);
    if (s->listening)
        editor_show(&s->editor);
    return !out_closed(s->cmd.cli);
}

static void take_note(void *ctx, const char *text)
{
    struct screen *s = screen_of(ctx);

    editor_hide(&s->editor);
    finish_line(s);
    out_note(s->cmd.cli, "%s", text);
    if (s->listening)
        editor_show(&s->editor);
}

static void take_detail(void *ctx, const char *text)
{
    if (cli_verbose(screen_of(ctx)->cmd.cli))
        take_note(ctx, text);
}

/* ------------------------------------------------------------------ what it hears */

static json_t *lines_of(struct screen *s)
{
    return json_object_get(s->cmd.call.params, "lines");
}

static json_t *new_line(struct screen *s)
{
    json_t *line = json_object();
    uint8_t id[16];
    char hex[33];

    /* drawn here, so that a next owner that hears it again sends nothing twice */
    randombytes_buf(id, sizeof id);
    hex_encode(hex, id, sizeof id);
    json_object_set_new(line, "id", json_string(hex));
    json_array_append(lines_of(s), line);
    return line;
}

static json_t *end_line(struct screen *s, int signal)
{
    json_t *line = new_line(s);

    json_object_set_new(line, "end", json_true());
    json_object_set_new(line, "signal", json_integer(signal));
    s->ended = true;
    return line;
}

struct reading {
    struct screen *screen;
    json_t *said;
};

static void take_line(void *ctx, struct bytes text)
{
    struct reading *reading = ctx;
    json_t *line = new_line(reading->screen);

    if (text.len && text.at[text.len - 1] == '\r')
        text.len--;
    out_b64(line, "body_b64", text);
    json_array_append_new(reading->said, line);
}

static int input_fd(void *ctx)
{
    struct screen *s = screen_of(ctx);

    return s->listening && !s->ended && json_array_size(lines_of(s)) < UNHEARD_MAX ? 0 : -1;
}

static void read_input(void *ctx, json_t *said)
{
    struct reading reading = { screen_of(ctx), said };

    if (!editor_read(&reading.screen->editor, take_line, &reading))
        json_array_append_new(said, end_line(reading.screen, 0));
}

/* The conversation ends in order; whoever cannot wait sends a second one. */
static json_t *take_signal(void *ctx, int number)
{
    struct screen *s = screen_of(ctx);

    editor_close(&s->editor);
    return end_line(s, number);
}

/* ------------------------------------------------------------------ the command */

static int check_use(struct cli *cli)
{
    const char *peer = cli_arg(cli, 0);

    if (cli_has(cli, "offline"))
        return out_usage(cli, "usage", NULL, "a conversation needs the network");
    if (!peer && cli_json(cli))
        return out_usage(cli, "usage", NULL, "--json needs PEER: the list is for people");
    return peer ? cmd_check_peer(cli, peer) : 0;
}

static int run(struct screen *s)
{
    struct failure failure;
    struct profile profile;
    int exit;

    if (!cmd_profile(s->cmd.cli, &profile, &exit)) {
        cmd_free(&s->cmd);
        return exit;
    }
    exit = cmd_run_on(&s->cmd, &profile, &failure);
    profile_close(&profile);
    editor_close(&s->editor);
    finish_line(s);
    if (failure.exit && strcmp(failure.code, "output_closed") != 0)
        cmd_failure(s->cmd.cli, &failure);
    return exit;
}

int cmd_communicate(struct cli *cli)
{
    struct screen s = { .peers = NULL };
    int exit = check_use(cli);

    if (exit)
        return exit;
    if (!cmd_init(&s.cmd, cli, "communicate"))
        return cli_wrong_use(cli);
    s.peers = json_array();
    s.cmd.stays = true;
    s.cmd.call.streams = true;
    s.cmd.call.item = take_item;
    s.cmd.call.note = take_note;
    s.cmd.call.detail = take_detail;
    s.cmd.call.input_fd = input_fd;
    s.cmd.call.input = read_input;
    s.cmd.call.on_signal = take_signal;
    cmd_text(&s.cmd, "peer", cli_arg(cli, 0));
    json_object_set_new(s.cmd.call.params, "lines", json_array());
    json_object_set_new(s.cmd.call.params, "sent", json_object());
    editor_init(&s.editor, !cli_json(cli) && !cli_has(cli, "no-input"));
    exit = run(&s);
    json_decref(s.peers);
    return exit;
}
