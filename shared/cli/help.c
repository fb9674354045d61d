#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/cli/internal.h"

#define WIDTH 80

static void put(struct buf *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct buf *out, const char *format, ...)
{
    char *text = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        abort();
    va_end(args);
    buf_append(out, text, strlen(text));
    free(text);
}

/* Words of `text` in lines of at most 80 columns, every line but the first indented by `indent`;
 * `column` is where the first one stands. */
static void put_wrapped(struct buf *out, const char *text, size_t indent, size_t column)
{
    while (*text) {
        size_t len = strcspn(text, " ");

        if (column > indent && column + 1 + len > WIDTH) {
            put(out, "\n%*s", (int)indent, "");
            column = indent;
        } else if (column > indent) {
            put(out, " ");
            column++;
        }
        buf_append(out, text, len);
        column += len;
        text += len + strspn(text + len, " ");
    }
    put(out, "\n");
}

static void put_synopsis(struct buf *out, const struct cli_verb *verb)
{
    put(out, "%s", verb->name);
    for (const struct cli_arg *arg = verb->args; arg && arg->name; arg++)
        put(out, arg->required ? " %s%s" : " [%s%s]", arg->name, arg->repeat ? "..." : "");
    for (const struct cli_flag *flag = verb->flags; flag && flag->name; flag++)
        put(out, flag->value ? " [--%s %s]%s" : " [--%s]", flag->name,
            flag->value ? flag->value : "", flag->repeat ? "..." : "");
}

void help_usage_line(struct buf *out, const struct cli_program *program,
                     const struct cli_verb *verb)
{
    put(out, "%s ", program->name);
    put(out, "%s", verb->name);
    for (const struct cli_arg *arg = verb->args; arg && arg->name; arg++)
        put(out, arg->required ? " %s%s" : " [%s%s]", arg->name, arg->repeat ? "..." : "");
    if (flag_list_count(verb->flags))
        put(out, " [flags]");
}

static void put_flag(struct buf *out, const struct cli_flag *flag)
{
    char left[64];
    int len = snprintf(left, sizeof left, "  %c%c%c --%s%s%s", flag->letter ? '-' : ' ',
                       flag->letter ? flag->letter : ' ', flag->letter ? ',' : ' ', flag->name,
                       flag->value ? " " : "", flag->value ? flag->value : "");
    size_t indent = 28;

    put(out, "%s%*s", left, len < (int)indent - 1 ? (int)indent - 1 - len : 1, "");
    put(out, " ");
    if (flag->initial) {
        char *text = NULL;

        if (asprintf(&text, "%s (default %s)%s", flag->help, flag->initial,
                     flag->repeat && flag->value ? "; repeatable" : "")
            < 0)
            abort();
        put_wrapped(out, text, indent, indent);
        free(text);
    } else if (flag->repeat && flag->value) {
        char *text = NULL;

        if (asprintf(&text, "%s; repeatable", flag->help) < 0)
            abort();
        put_wrapped(out, text, indent, indent);
        free(text);
    } else {
        put_wrapped(out, flag->help, indent, indent);
    }
}

/* What the numbers mean is the same in every verb. */
static const char *exit_text(const struct cli_program *program, int code)
{
    static const struct {
        int code;
        const char *text;
    } agents[] = { { 0, "done" },          { 1, "other failure" },
                   { 2, "wrong use" },     { 3, "broker not reachable" },
                   { 4, "not allowed" },   { 5, "time is up" },
                   { 6, "no such thing" }, { 7, "a person must act" } },
      daemons[] = { { 0, "done" },
                    { 64, "wrong use" },
                    { 70, "internal error" },
                    { 71, "sockets or descriptors" },
                    { 73, "exists already" },
                    { 74, "input or output failed" },
                    { 75, "another broker runs" },
                    { 77, "permissions" },
                    { 78, "configuration, or not initialised" } };

    if (program->wrong_use == 64) {
        for (size_t i = 0; i < sizeof daemons / sizeof daemons[0]; i++)
            if (daemons[i].code == code)
                return daemons[i].text;
    } else {
        for (size_t i = 0; i < sizeof agents / sizeof agents[0]; i++)
            if (agents[i].code == code)
                return agents[i].text;
    }
    return "see the manual";
}

void help_verb(struct buf *out, const struct cli_program *program, const struct cli_verb *verb)
{
    struct buf usage = { 0 };

    put(out, "%s %s -", program->name, verb->name);
    put_wrapped(out, verb->summary, 4, strlen(program->name) + strlen(verb->name) + 3);
    put(&usage, "%s ", program->name);
    put_synopsis(&usage, verb);
    buf_append(&usage, "", 1);
    put(out, "\nusage: ");
    put_wrapped(out, (const char *)usage.at, 7, 7);
    buf_free(&usage);
    if (verb->examples && *verb->examples) {
        put(out, "\nexamples:\n");
        for (const char *const *example = verb->examples; *example; example++)
            put(out, "  $ %s\n", *example);
    }
    if (flag_list_count(verb->flags)) {
        put(out, "\nflags:\n");
        for (const struct cli_flag *flag = verb->flags; flag->name; flag++)
            put_flag(out, flag);
    }
    if (flag_list_count(program->flags)) {
        put(out, "\nflags of every command:\n");
        for (const struct cli_flag *flag = program->flags; flag->name; flag++)
            put_flag(out, flag);
        put(out, "  and -j -q -v -y -h -V --color --no-input: %s help\n", program->name);
    }
    if (verb->exits) {
        put(out, "\nexit codes:\n");
        for (const int *code = verb->exits; *code >= 0; code++)
            put(out, "  %3d  %s\n", *code, exit_text(program, *code));
    }
    if (verb->files) {
        put(out, "\nfiles: ");
        put_wrapped(out, verb->files, 7, 7);
    }
    if (verb->see_also)
        put(out, "\nsee also: %s\n", verb->see_also);
}

void help_program(struct buf *out, const struct cli_program *program)
{
    const struct cli_verb *verb;
    const char *group = NULL;

    put(out, "%s - %s\n\nusage: %s COMMAND [arguments] [flags]\n", program->name, program->summary,
        program->name);
    for (size_t i = 0; (verb = cli_known_verb(program, i)); i++) {
        if (verb->name[0] == '_')
            continue;
        if (i == 0 || (verb->group && (!group || strcmp(group, verb->group) != 0)))
            put(out, "\n%s:\n", verb->group ? verb->group : "commands");
        group = verb->group ? verb->group : group;
        put(out, "  %-12s ", verb->name);
        put_wrapped(out, verb->summary, 15, 15);
    }
    put(out, "\nflags of every command:\n");
    for (const struct cli_flag *flag = program->flags; flag && flag->name; flag++)
        put_flag(out, flag);
    for (const struct cli_flag *flag = cli_common_flags; flag->name; flag++)
        put_flag(out, flag);
    put(out, "\n%s help COMMAND says more.\n", program->name);
}

static json_t *flag_object(const struct cli_flag *flag)
{
    char letter[2] = { flag->letter, 0 };
    json_t *object = json_object();

    out_text(object, "long", flag->name);
    out_text(object, "short", flag->letter ? letter : NULL);
    out_text(object, "arg", flag->value);
    out_text(object, "default", flag->initial);
    out_bool(object, "repeat", flag->repeat);
    out_text(object, "help", flag->help);
    return object;
}

static json_t *words(const char *const *list)
{
    json_t *array = json_array();

    for (; list && *list; list++)
        json_array_append_new(array, json_string(*list));
    return array;
}

static json_t *command_object(const struct cli_program *program, const struct cli_verb *verb)
{
    static const char *const impacts[] = { "ro", "rw", "danger" };
    json_t *object = out_object("command"), *args = json_array(), *flags = json_array(),
           *exits = json_array();
    const struct cli_flag *flag;
    struct buf synopsis = { 0 };

    put(&synopsis, "%s ", program->name);
    put_synopsis(&synopsis, verb);
    for (const struct cli_arg *arg = verb->args; arg && arg->name; arg++) {
        json_t *one = json_object();

        out_text(one, "name", arg->name);
        out_bool(one, "required", arg->required);
        out_bool(one, "repeat", arg->repeat);
        json_array_append_new(args, one);
    }
    for (size_t i = 0; (flag = cli_known_flag(program, verb, i)); i++)
        json_array_append_new(flags, flag_object(flag));
    for (const int *code = verb->exits; code && *code >= 0; code++)
        json_array_append_new(exits, json_integer(*code));
    out_text(object, "program", program->name);
    out_text(object, "name", verb->name);
    out_text(object, "stage", verb->stage);
    out_text(object, "summary", verb->summary);
    out_bytes_text(object, "synopsis", buf_bytes(&synopsis));
    out_text(object, "impact", impacts[verb->impact]);
    out_bool(object, "blocks", verb->blocks);
    out_take(object, "args", args);
    out_take(object, "flags", flags);
    out_take(object, "emits", words(verb->emits));
    out_take(object, "exits", exits);
    out_take(object, "examples", words(verb->examples));
    buf_free(&synopsis);
    return object;
}

int verb_help(struct cli *cli)
{
    const char *name = cli_arg(cli, 0);
    const struct cli_verb *verb = name ? cli_find_verb(cli->program, name) : NULL;
    struct buf text = { 0 };

    if (name && !verb)
        return out_usage(cli, "usage", NULL, "unknown command \"%.40s\"", name);
    if (cli_json(cli)) {
        const struct cli_verb *each;

        for (size_t i = 0; (each = cli_known_verb(cli->program, i)); i++)
            if ((!verb && each->name[0] != '_') || each == verb)
                out_json(cli, command_object(cli->program, each));
        return 0;
    }
    if (verb)
        help_verb(&text, cli->program, verb);
    else
        help_program(&text, cli->program);
    out_raw(cli, buf_bytes(&text));
    buf_free(&text);
    return 0;
}

void print_version_line(struct cli *cli)
{
    if (!cli_json(cli)) {
        out_print(cli, "%s %s (protocol a2a/1)\n", cli->program->name, SEALPOST_VERSION);
        return;
    }
    json_t *object = out_object("version");

    out_text(object, "program", cli->program->name);
    out_text(object, "version", SEALPOST_VERSION);
    out_text(object, "protocol", "a2a/1");
    out_take(object, "libraries",
             cli->program->libraries ? cli->program->libraries() : json_object());
    out_json(cli, object);
}

int verb_version(struct cli *cli)
{
    print_version_line(cli);
    return 0;
}

static const int exits_ok[] = { 0, -1 };
static const int exits_help[] = { 0, 2, -1 };
static const char *const emits_command[] = { "command", NULL };
static const char *const emits_version[] = { "version", NULL };
static const struct cli_arg args_help[] = { { "COMMAND", false, false }, { 0 } };
static const struct cli_arg args_completion[] = { { "bash|zsh|fish", true, false }, { 0 } };

const struct cli_verb cli_common_verbs[] = {
    { .name = "help",
      .stage = "S1",
      .group = "about",
      .summary = "what a command does, with examples",
      .args = args_help,
      .exits = exits_help,
      .emits = emits_command,
      .impact = CLI_RO,
      .run = verb_help },
    { .name = "version",
      .stage = "S1",
      .group = "about",
      .summary = "versions of the program, the protocol and its libraries",
      .exits = exits_ok,
      .emits = emits_version,
      .impact = CLI_RO,
      .run = verb_version },
    { .name = "completion",
      .stage = "S1",
      .group = "about",
      .summary = "a completion file for the shell",
      .args = args_completion,
      .exits = exits_help,
      .impact = CLI_RO,
      .run = verb_completion },
    { 0 },
};
