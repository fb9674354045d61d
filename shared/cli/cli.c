#include "shared/cli/cli.h"

#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/text.h"
#include "shared/cli/internal.h"

const struct cli_flag cli_common_flags[] = {
    { "help", 'h', NULL, NULL, true, "this help" },
    { "version", 'V', NULL, NULL, true, "version of program and protocol" },
    { "json", 'j', NULL, NULL, true, "one JSON object a line" },
    { "quiet", 'q', NULL, NULL, true, "no notes on stderr" },
    { "verbose", 'v', NULL, NULL, true, "more on stderr; repeatable" },
    { "color", 0, "WHEN", "auto", false, "auto, always or never" },
    { "no-input", 0, NULL, NULL, true, "never ask" },
    { "yes", 'y', NULL, NULL, true, "answer yes to the one question" },
    { 0 },
};

size_t flag_list_count(const struct cli_flag *flags)
{
    size_t n = 0;

    while (flags && flags[n].name)
        n++;
    return n;
}

const struct cli_flag *cli_known_flag(const struct cli_program *program,
                                      const struct cli_verb *verb, size_t i)
{
    const struct cli_flag *lists[]
        = { cli_common_flags, program->flags, verb ? verb->flags : NULL };

    for (size_t list = 0; list < 3; list++) {
        size_t n = flag_list_count(lists[list]);

        if (i < n)
            return &lists[list][i];
        i -= n;
    }
    return NULL;
}

const struct cli_verb *cli_known_verb(const struct cli_program *program, size_t i)
{
    size_t n = 0;

    while (program->verbs[n].name)
        n++;
    if (i < n)
        return &program->verbs[i];
    for (size_t k = 0; cli_common_verbs[k].name; k++)
        if (k == i - n)
            return &cli_common_verbs[k];
    return NULL;
}

const struct cli_verb *cli_find_verb(const struct cli_program *program, const char *name)
{
    const struct cli_verb *verb;

    for (size_t i = 0; (verb = cli_known_verb(program, i)); i++)
        if (strcmp(verb->name, name) == 0)
            return verb;
    return NULL;
}

/* Does the token before the verb take the next one as its value?  Any verb's flag may stand there.
 */
static bool takes_next(const struct cli_program *program, const char *token)
{
    const struct cli_verb *verb = NULL;
    size_t v = 0;

    do {
        const struct cli_flag *flag;

        for (size_t i = 0; (flag = cli_known_flag(program, verb, i)); i++) {
            if (!flag->value)
                continue;
            if (token[1] == '-' ? strcmp(token + 2, flag->name) == 0
                                : flag->letter && token[strlen(token) - 1] == flag->letter)
                return true;
        }
    } while ((verb = cli_known_verb(program, v++)));
    return false;
}

static const char *first_word(const struct cli_program *program, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0)
            return i + 1 < argc ? argv[i + 1] : NULL;
        if (argv[i][0] != '-' || !argv[i][1])
            return argv[i];
        if (takes_next(program, argv[i]))
            i++;
    }
    return NULL;
}

/* -j or --json anywhere before "--": then wrong use is told as JSON, too. */
static bool wants_json(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--json") == 0
            || (argv[i][0] == '-' && argv[i][1] != '-'
                && argv[i][1 + strspn(argv[i] + 1, "hVqvy")] == 'j'))
            return true;
    return false;
}

struct getopt_table {
    struct option option[CLI_FLAGS_MAX + 1];
    const struct cli_flag *flag[CLI_FLAGS_MAX];
    char letters[2 * CLI_FLAGS_MAX + 2];
};

static void table_fill(struct getopt_table *table, const struct cli *cli)
{
    const struct cli_flag *flag;
    char *to = table->letters;

    memset(table, 0, sizeof *table);
    *to++ = ':';
    for (size_t i = 0; i < CLI_FLAGS_MAX && (flag = cli_known_flag(cli->program, cli->verb, i));
         i++) {
        table->flag[i] = flag;
        table->option[i]
            = (struct option){ flag->name, flag->value ? required_argument : no_argument, NULL,
                               CHAR_MAX + 1 + (int)i };
        if (flag->letter) {
            *to++ = flag->letter;
            if (flag->value)
                *to++ = ':';
        }
    }
    *to = 0;
}

static const struct cli_flag *flag_of(const struct getopt_table *table, int got)
{
    if (got > CHAR_MAX)
        return table->flag[got - CHAR_MAX - 1];
    for (size_t i = 0; i < CLI_FLAGS_MAX && table->flag[i]; i++)
        if (table->flag[i]->letter == got)
            return table->flag[i];
    return NULL;
}

static int unknown_flag(struct cli *cli, const char *token)
{
    const char *names[CLI_FLAGS_MAX], *near;
    const struct cli_flag *flag;
    char word[64];
    size_t n = 0;

    for (size_t i = 0; n < CLI_FLAGS_MAX && (flag = cli_known_flag(cli->program, cli->verb, i));
         i++)
        names[n++] = flag->name;
    snprintf(word, sizeof word, "%.*s", (int)strcspn(token + 2 * (token[0] == '-'), "="),
             token + 2 * (token[0] == '-'));
    near = token[0] == '-' && token[1] == '-' ? text_nearest(word, names, n) : NULL;
    if (near)
        return out_usage(cli, "usage", NULL, "unknown flag %.60s; did you mean --%s?", token, near);
    return out_usage(cli, "usage", NULL, "unknown flag %.60s", token);
}

/* getopt_long takes unambiguous beginnings of long flags; we do not. */
static bool is_abbreviated(const struct cli_flag *flag, char **argv, int next, const char *value)
{
    const char *token = argv[next - 1];
    size_t len;

    if (flag->value && value == token)
        token = argv[next - 2];
    if (strncmp(token, "--", 2) != 0)
        return false; /* a letter */
    len = strcspn(token + 2, "=");
    return len != strlen(flag->name) || strncmp(token + 2, flag->name, len) != 0;
}

/* 0, or an exit code after the error was told. */
static int parse_flags(struct cli *cli, int argc, char **argv)
{
    struct getopt_table table;
    int got;

    table_fill(&table, cli);
    opterr = 0;
    optind = 0; /* GNU: begin anew */
    while ((got = getopt_long(argc, argv, table.letters, table.option, NULL)) != -1) {
        const struct cli_flag *flag;

        if (got == '?') {
            char letter[3] = { '-', (char)optopt, 0 };

            /* a switch that was given a value sets optopt to its code */
            if (optopt > CHAR_MAX)
                return out_usage(cli, "usage", NULL, "--%s takes no value",
                                 flag_of(&table, optopt)->name);
            return unknown_flag(cli, optopt ? letter : argv[optind - 1]);
        }
        if (got == ':')
            return out_usage(cli, "usage", NULL, "--%s needs %s", flag_of(&table, optopt)->name,
                             flag_of(&table, optopt)->value);
        flag = flag_of(&table, got);
        if (got > CHAR_MAX && is_abbreviated(flag, argv, optind, optarg))
            return unknown_flag(cli, optarg && optarg == argv[optind - 1] ? argv[optind - 2]
                                                                          : argv[optind - 1]);
        if (!flag->repeat && cli_has(cli, flag->name))
            return out_usage(cli, "usage", NULL, "--%s is given twice", flag->name);
        cli->given = mem_resize(cli->given, (cli->given_count + 1) * sizeof *cli->given);
        cli->given[cli->given_count++] = (struct cli_given){ flag, optarg };
    }
    cli->arg = argv + optind;
    cli->arg_count = (size_t)(argc - optind);
    return 0;
}

static int unknown_verb(struct cli *cli, const char *word)
{
    const char *names[64], *near;
    const struct cli_verb *verb;
    size_t n = 0;

    for (size_t i = 0; n < 64 && (verb = cli_known_verb(cli->program, i)); i++)
        if (verb->name[0] != '_')
            names[n++] = verb->name;
    near = text_nearest(word, names, n);
    if (near)
        return out_usage(cli, "usage", NULL, "unknown command \"%.40s\"; did you mean %s?", word,
                         near);
    return out_usage(cli, "usage", NULL, "unknown command \"%.40s\"", word);
}

static int check_args(struct cli *cli)
{
    const struct cli_arg *args = cli->verb->args;
    size_t most = 0;
    bool repeat = false;

    for (; args && args[most].name; most++) {
        repeat |= args[most].repeat;
        if (args[most].required && most >= cli->arg_count)
            return out_usage(cli, "usage", NULL, "%s is missing", args[most].name);
    }
    if (cli->arg_count > most && !repeat)
        return out_usage(cli, "usage", NULL, "unexpected argument \"%.40s\"", cli->arg[most]);
    if (cli_has(cli, "color") && strcmp(cli_flag(cli, "color"), "auto") != 0
        && strcmp(cli_flag(cli, "color"), "always") != 0
        && strcmp(cli_flag(cli, "color"), "never") != 0)
        return out_usage(cli, "usage", NULL, "--color is none of auto always never");
    return 0;
}

static int show_help(struct cli *cli, bool wrong)
{
    struct buf text = { 0 };

    if (cli->verb)
        help_verb(&text, cli->program, cli->verb);
    else
        help_program(&text, cli->program);
    if (wrong)
        fwrite(text.at, 1, text.len, stderr);
    else
        out_raw(cli, buf_bytes(&text));
    buf_free(&text);
    return wrong ? cli->program->wrong_use : 0;
}

static int parse_and_run(struct cli *cli, int argc, char **argv)
{
    const char *word = first_word(cli->program, argc, argv);
    int code;

    cli->json = wants_json(argc, argv);
    if (word)
        cli->verb = cli_find_verb(cli->program, word);
    code = parse_flags(cli, argc, argv);
    if (code)
        return code;
    if (cli_has(cli, "version")) {
        print_version_line(cli);
        return 0;
    }
    if (word && !cli->verb)
        return unknown_verb(cli, word);
    if (cli_has(cli, "help"))
        return show_help(cli, false);
    if (!word)
        return cli->json ? out_usage(cli, "usage", NULL, "no command") : show_help(cli, true);
    cli->arg++;
    cli->arg_count--;
    code = check_args(cli);
    return code ? code : cli->verb->run(cli);
}

int cli_main(const struct cli_program *program, int argc, char **argv, void *ctx)
{
    struct cli cli = { .program = program, .ctx = ctx };
    int code;

    signal(SIGPIPE, SIG_IGN); /* a closed stdout is an error like others */
    code = parse_and_run(&cli, argc, argv);
    out_flush(&cli);
    if (cli.closed)
        code = 1;
    free(cli.given);
    return code;
}

void *cli_ctx(const struct cli *cli)
{
    return cli->ctx;
}

size_t cli_args(const struct cli *cli)
{
    return cli->arg_count;
}

const char *cli_arg(const struct cli *cli, size_t i)
{
    return i < cli->arg_count ? cli->arg[i] : NULL;
}

char *cli_arg_memory(const struct cli *cli, size_t i)
{
    return i < cli->arg_count ? cli->arg[i] : NULL;
}

size_t cli_flag_count(const struct cli *cli, const char *flag)
{
    size_t n = 0;

    for (size_t i = 0; i < cli->given_count; i++)
        n += strcmp(cli->given[i].flag->name, flag) == 0;
    return n;
}

bool cli_has(const struct cli *cli, const char *flag)
{
    return cli_flag_count(cli, flag) > 0;
}

const char *cli_flag_at(const struct cli *cli, const char *flag, size_t i)
{
    for (size_t k = 0; k < cli->given_count; k++)
        if (strcmp(cli->given[k].flag->name, flag) == 0 && i-- == 0)
            return cli->given[k].value;
    return NULL;
}

const char *cli_flag(const struct cli *cli, const char *flag)
{
    size_t n = cli_flag_count(cli, flag);

    return n ? cli_flag_at(cli, flag, n - 1) : NULL;
}

enum err cli_duration(struct cli *cli, const char *flag, uint64_t otherwise, uint64_t *out_ms)
{
    const char *text = cli_flag(cli, flag);

    *out_ms = otherwise;
    if (!text || duration_parse(out_ms, text) == ERR_OK)
        return ERR_OK;
    out_usage(cli, "bad_value", NULL, "--%s: \"%.40s\" is no duration like 30s, 10m, 7d", flag,
              text);
    return ERR_MALFORMED;
}

enum err cli_count(struct cli *cli, const char *flag, uint64_t least, uint64_t most,
                   uint64_t otherwise, uint64_t *out)
{
    const char *text = cli_flag(cli, flag);

    *out = otherwise;
    if (!text || (count_parse(out, text) == ERR_OK && *out >= least && *out <= most))
        return ERR_OK;
    out_usage(cli, "bad_value", NULL, "--%s: \"%.40s\" is no number from %llu to %llu", flag, text,
              (unsigned long long)least, (unsigned long long)most);
    return ERR_MALFORMED;
}

int cli_wrong_use(const struct cli *cli)
{
    return cli->program->wrong_use;
}

bool cli_json(const struct cli *cli)
{
    return cli->json;
}

bool cli_quiet(const struct cli *cli)
{
    return cli_has(cli, "quiet");
}

unsigned cli_verbose(const struct cli *cli)
{
    return (unsigned)cli_flag_count(cli, "verbose");
}

const char *cli_verb_name(const struct cli *cli)
{
    return cli->verb ? cli->verb->name : "";
}

const char *cli_program_name(const struct cli *cli)
{
    return cli->program->name;
}
