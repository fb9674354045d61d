#include "shared/cli/out.h"

#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "shared/base/text.h"
#include "shared/cli/internal.h"

#define SECRET_MAX 1024 /* of what is typed without echo; the rest is lost */

void out_raw(struct cli *cli, struct bytes bytes)
{
    if (!cli->closed && bytes.len && fwrite(bytes.at, 1, bytes.len, stdout) != bytes.len)
        cli->closed = true;
}

void out_flush(struct cli *cli)
{
    if (!cli->closed && fflush(stdout) != 0)
        cli->closed = true;
}

bool out_closed(const struct cli *cli)
{
    return cli->closed;
}

void out_json(struct cli *cli, json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT);

    if (text) {
        out_raw(cli, bytes_of_text(text));
        out_raw(cli, bytes_of("\n", 1));
        out_flush(cli);
    }
    free(text);
    json_decref(object);
}

void out_print(struct cli *cli, const char *format, ...)
{
    va_list args;

    if (cli->closed)
        return;
    va_start(args, format);
    if (vprintf(format, args) < 0)
        cli->closed = true;
    va_end(args);
}

static bool may_talk(const struct cli *cli)
{
    return !cli_quiet(cli) && (!cli->json || cli_verbose(cli) > 0);
}

/* Words of ours with arguments, names and paths in them: of those nothing reaches a terminal as it
 * is. */
static char *clean_text(const char *text)
{
    struct buf clean = { 0 };
    char *copy;

    text_escape(&clean, bytes_of_text(text), true);
    buf_append(&clean, "", 1);
    copy = (char *)mem_copy(buf_bytes(&clean));
    buf_free(&clean);
    return copy;
}

static void talk(const char *before, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
static void talk(const char *before, const char *format, va_list args)
{
    char *text = NULL, *clean;

    if (vasprintf(&text, format, args) < 0)
        abort();
    clean = clean_text(text);
    fprintf(stderr, "%s%s\n", before, clean);
    free(clean);
    free(text);
}

void out_note(struct cli *cli, const char *format, ...)
{
    va_list args;

    if (!may_talk(cli))
        return;
    out_flush(cli);
    va_start(args, format);
    talk("note: ", format, args);
    va_end(args);
}

void out_detail(struct cli *cli, const char *format, ...)
{
    va_list args;

    if (!may_talk(cli) || cli_verbose(cli) == 0)
        return;
    out_flush(cli);
    va_start(args, format);
    talk("", format, args);
    va_end(args);
}

bool out_colour(const struct cli *cli)
{
    const char *when = cli_flag(cli, "color"), *term = getenv("TERM"), *no = getenv("NO_COLOR");

    if (cli->json)
        return false;
    if (when && strcmp(when, "auto") != 0)
        return strcmp(when, "always") == 0;
    return isatty(1) && term && strcmp(term, "dumb") != 0 && (!no || !*no);
}

static void error_as_json(struct cli *cli, const struct cli_error *error)
{
    json_t *object = out_error_object(error->code, error->exit, error->message, error->hint);

    out_text(object, "peer", error->peer);
    out_text(object, "id", error->id);
    out_text(object, "wire", error->wire);
    out_number_or_null(object, "retry_ms", error->retry_ms >= 0, (uint64_t)error->retry_ms);
    out_json(cli, object);
}

int out_error(struct cli *cli, const struct cli_error *error)
{
    char *message = clean_text(error->message), *hint = error->hint ? clean_text(error->hint) : NULL;
    struct cli_error clean = *error;

    clean.message = message;
    clean.hint = hint;
    out_flush(cli);
    if (cli->json)
        error_as_json(cli, &clean);
    if (!cli->json || cli_verbose(cli) > 0) {
        fprintf(stderr, "error: %s\n", message);
        if (hint)
            fprintf(stderr, "next: %s\n", hint);
    }
    free(message);
    free(hint);
    return error->exit;
}

static char *text_of(const char *format, va_list args) __attribute__((format(printf, 1, 0)));
static char *text_of(const char *format, va_list args)
{
    char *text = NULL;

    if (vasprintf(&text, format, args) < 0)
        abort();
    return text;
}

int out_fail(struct cli *cli, int exit_code, const char *code, const char *hint, const char *format,
             ...)
{
    va_list args;
    char *text;
    int result;

    va_start(args, format);
    text = text_of(format, args);
    va_end(args);
    result = out_error(
        cli, &(struct cli_error){
                 .code = code, .exit = exit_code, .message = text, .hint = hint, .retry_ms = -1 });
    free(text);
    return result;
}

int out_usage(struct cli *cli, const char *code, const char *hint, const char *format, ...)
{
    struct cli_error error
        = { .code = code, .exit = cli->program->wrong_use, .hint = hint, .retry_ms = -1 };
    struct buf line = { 0 };
    char help[96];
    va_list args;
    char *text;

    va_start(args, format);
    text = text_of(format, args);
    va_end(args);
    error.message = text;
    if (!hint && cli->verb)
        snprintf(help, sizeof help, "%s help %s", cli->program->name, cli->verb->name);
    else
        snprintf(help, sizeof help, "%s help", cli->program->name);
    if (cli->json && !hint)
        error.hint = help;
    if (!cli->json && cli->verb) {
        /* the usage line stands where the next command would */
        help_usage_line(&line, cli->program, cli->verb);
        out_error(cli, &error);
        fprintf(stderr, "usage: %.*s\n", (int)line.len, (const char *)line.at);
        buf_free(&line);
    } else {
        if (!hint)
            error.hint = help;
        out_error(cli, &error);
    }
    free(text);
    return cli->program->wrong_use;
}

enum out_answer out_ask(struct cli *cli, const char *question)
{
    char line[16] = "";

    if (cli_has(cli, "yes"))
        return OUT_YES;
    if (cli_has(cli, "no-input") || !isatty(0) || !isatty(2)) {
        out_usage(cli, "needs_yes", "the same with --yes", "%s: this asks, and nobody can answer",
                  cli_verb_name(cli));
        return OUT_NEEDS_YES;
    }
    fprintf(stderr, "%s (y/n) ", question);
    if (!fgets(line, sizeof line, stdin))
        return OUT_NO;
    return line[0] == 'y' || line[0] == 'Y' ? OUT_YES : OUT_NO;
}

static volatile sig_atomic_t interrupted_by;

static void note_signal(int number)
{
    interrupted_by = number;
}

/* What is typed grows within one piece of memory: no copies are left behind. */
static void read_secret(struct buf *out)
{
    size_t most = out->len + SECRET_MAX;
    char c;

    buf_extend(out, SECRET_MAX);
    out->len -= SECRET_MAX;
    while (!interrupted_by && read(0, &c, 1) == 1 && c != '\n')
        if (out->len < most)
            buf_append(out, &c, 1);
    sodium_memzero(&c, 1);
}

enum err out_ask_secret(struct cli *cli, const char *question, struct buf *out)
{
    struct sigaction action = { .sa_handler = note_signal }, on_int, on_term;
    struct termios before, silent;

    if (cli_has(cli, "no-input") || !isatty(0) || !isatty(2) || tcgetattr(0, &before) != 0)
        return ERR_UNSUPPORTED;
    silent = before;
    silent.c_lflag &= ~(tcflag_t)ECHO;
    interrupted_by = 0;
    sigaction(SIGINT, &action, &on_int);
    sigaction(SIGTERM, &action, &on_term);
    tcsetattr(0, TCSAFLUSH, &silent); /* first: an answer may come as soon as the question stands */
    fprintf(stderr, "%s ", question);
    read_secret(out);
    tcsetattr(0, TCSAFLUSH, &before);
    fputc('\n', stderr);
    sigaction(SIGINT, &on_int, NULL);
    sigaction(SIGTERM, &on_term, NULL);
    if (interrupted_by)
        raise(interrupted_by); /* the terminal echoes again: now it may end us */
    return ERR_OK;
}
