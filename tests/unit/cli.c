/* layers: base cli */
#include "shared/cli/cli.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shared/cli/out.h"

/* A little program: `send` shows what it was given. */
static int run_send(struct cli *cli)
{
    uint64_t ms;

    if (cli_duration(cli, "timeout", 7, &ms) != ERR_OK)
        return cli_wrong_use(cli);
    out_print(cli, "to=%s body=%s wait=%s froms=%zu ms=%d v=%u", cli_arg(cli, 0),
              cli_arg(cli, 1) ? cli_arg(cli, 1) : "-", cli_flag(cli, "wait"),
              cli_flag_count(cli, "from"), (int)ms, cli_verbose(cli));
    return 0;
}

static int run_drop(struct cli *cli)
{
    return out_ask(cli, "really?") == OUT_YES ? 0 : 2;
}

static int run_fail(struct cli *cli)
{
    return out_fail(cli, 6, "unknown_agent", "demo peers", "agent \"%s\": not known", "bob");
}

static const struct cli_flag program_flags[] = { { "agent", 'a', "PROFILE", NULL, false, "which" },
                                                 { "timeout", 't', "DUR", "5s", false, "how long" },
                                                 { 0 } };
static const struct cli_flag send_flags[] = { { "wait", 0, "STATE", NULL, false, "until" },
                                              { "from", 0, "WHO", NULL, true, "whose" },
                                              { "raw", 0, NULL, NULL, false, "as it is" },
                                              { 0 } };
static const struct cli_arg send_args[]
    = { { "TO", true, false }, { "BODY", false, false }, { 0 } };
static const char *const send_examples[] = { "demo send bob hello", NULL };
static const int some_exits[] = { 0, 2, -1 };
static const struct cli_verb verbs[] = {
    { .name = "send",
      .stage = "S1",
      .summary = "says something",
      .args = send_args,
      .flags = send_flags,
      .examples = send_examples,
      .exits = some_exits,
      .impact = CLI_RW,
      .run = run_send },
    { .name = "drop", .stage = "S1", .summary = "asks", .impact = CLI_DANGER, .run = run_drop },
    { .name = "fail", .stage = "S1", .summary = "fails", .run = run_fail },
    { 0 },
};
static const struct cli_program demo = { .name = "demo",
                                         .summary = "a demonstration",
                                         .flags = program_flags,
                                         .verbs = verbs,
                                         .wrong_use = 2 };

/* Words of `line` at single spaces. */
static int run(const char *line, const struct cli_program *program)
{
    static char copy[512];
    char *argv[32] = { NULL };
    int argc = 0;

    snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    return cli_main(program, argc, argv, NULL);
}

static void read_all(FILE *from, char *to, size_t size)
{
    size_t len = 0, n;

    while (len + 1 < size && (n = fread(to + len, 1, size - 1 - len, from)) > 0)
        len += n;
    to[len] = 0;
}

static const struct {
    const char *name, *line;
    int exit;
    const char *out, *err; /* must be found; NULL: must be empty */
} cases[] = {
    { "plain", "demo send bob hi", 0, "to=bob body=hi wait=(null) froms=0 ms=7 v=0", NULL },
    { "flag before the verb", "demo -a me send bob hi", 0, "to=bob body=hi", NULL },
    { "flag behind the arguments", "demo send bob hi --wait stored", 0, "wait=stored", NULL },
    { "flag between", "demo send --wait stored bob hi", 0, "body=hi wait=stored", NULL },
    { "value behind =", "demo send --wait=stored bob", 0, "body=- wait=stored", NULL },
    { "value that looks like a verb", "demo -a drop send bob", 0, "to=bob", NULL },
    { "value that looks like a flag", "demo send bob --wait --raw", 0, "wait=--raw", NULL },
    { "letters together", "demo -vva me send bob", 0, "v=2", NULL },
    { "repeatable", "demo send bob --from a --from b", 0, "froms=2", NULL },
    { "a dash is an argument", "demo send bob -", 0, "body=-", NULL },
    { "-- ends flags", "demo send bob -- --wait", 0, "body=--wait wait=(null)", NULL },
    { "duration", "demo send bob -t 2m", 0, "ms=120000", NULL },
    { "bad duration", "demo send bob -t 2", 2, NULL, "no duration" },
    { "twice", "demo send bob --wait a --wait b", 2, NULL, "error: --wait is given twice" },
    { "abbreviated", "demo send bob --wai stored", 2, NULL,
      "unknown flag --wai; did you mean --wait?" },
    { "abbreviated with =", "demo send bob --wai=stored", 2, NULL, "did you mean --wait?" },
    { "unknown flag", "demo send bob --colour x", 2, NULL, "did you mean --color?" },
    { "unknown letter", "demo send bob -x", 2, NULL, "unknown flag -x" },
    { "another verb's flag", "demo drop --wait stored", 2, NULL, "unknown flag --wait" },
    { "switch with a value", "demo send bob --raw=1", 2, NULL, "--raw takes no value" },
    { "value missing", "demo send bob --wait", 2, NULL, "--wait needs STATE" },
    { "usage line", "demo send", 2, NULL, "usage: demo send TO [BODY] [flags]" },
    { "missing argument", "demo send", 2, NULL, "error: TO is missing" },
    { "too many", "demo send a b c", 2, NULL, "unexpected argument \"c\"" },
    { "unknown verb", "demo sned bob", 2, NULL, "did you mean send?" },
    { "nothing", "demo", 2, NULL, "usage: demo COMMAND" },
    { "version", "demo -V", 0, "demo 0.1.0 (protocol a2a/1)\n", NULL },
    { "help", "demo help", 0, "says something", NULL },
    { "help of a verb", "demo help send", 0, "examples:\n  $ demo send bob hello", NULL },
    { "-h", "demo send -h", 0, "usage: demo send", NULL },
    { "help of nothing", "demo help nothing", 2, NULL, "unknown command" },
    { "bad colour", "demo drop --color=red", 2, NULL, "none of auto always never" },
    { "error", "demo fail", 6, NULL, "error: agent \"bob\": not known\nnext: demo peers\n" },
    { "error as json", "demo fail --json", 6,
      "{\"v\":1,\"type\":\"error\",\"code\":\"unknown_agent\",\"exit\":6,\"message\":\"agent "
      "\\\"bob\\\": not known\",\"hint\":\"demo peers\",\"peer\":null,\"id\":null,\"wire\":null,"
      "\"retry_ms\":null}\n",
      NULL },
    { "wrong use as json", "demo send --bad -j", 2, "\"code\":\"usage\",\"exit\":2", NULL },
    { "json before a bad verb", "demo --json nothing", 2, "\"code\":\"usage\"", NULL },
    { "json behind --", "demo nothing -- --json", 2, NULL, "unknown command" },
    { "asks without a terminal", "demo drop --no-input", 2, NULL, "nobody can answer" },
    { "needs_yes as json", "demo drop --no-input -j", 2, "\"code\":\"needs_yes\"", NULL },
    { "yes", "demo drop --yes", 0, NULL, NULL },
    { "help as json", "demo help send --json", 0, "\"name\":\"send\",\"stage\":\"S1\"", NULL },
    { "completion", "demo completion bash", 0, "complete -o default -F _demo demo", NULL },
    { "completion of nothing", "demo completion csh", 2, NULL, "none of bash zsh fish" },
};

Test(cli, lines)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char out[16384], err[16384];
        FILE *o = tmpfile(), *e = tmpfile();
        int saved_out, saved_err, code;

        fflush(NULL);
        saved_out = dup(1);
        saved_err = dup(2);
        dup2(fileno(o), 1);
        dup2(fileno(e), 2);
        code = run(cases[i].line, &demo);
        fflush(NULL);
        dup2(saved_out, 1);
        dup2(saved_err, 2);
        close(saved_out);
        close(saved_err);
        rewind(o);
        rewind(e);
        read_all(o, out, sizeof out);
        read_all(e, err, sizeof err);
        fclose(o);
        fclose(e);
        cr_expect_eq(code, cases[i].exit, "%s: exit %d", cases[i].name, code);
        if (cases[i].out)
            cr_expect(strstr(out, cases[i].out), "%s: stdout: %s", cases[i].name, out);
        else
            cr_expect_eq(out[0], 0, "%s: stdout: %s", cases[i].name, out);
        if (cases[i].err)
            cr_expect(strstr(err, cases[i].err), "%s: stderr: %s", cases[i].name, err);
        else
            cr_expect_eq(err[0], 0, "%s: stderr: %s", cases[i].name, err);
    }
}

static int run_table(struct cli *cli)
{
    static const char *const headers[] = { "NAME", ">SIZE", "END", NULL };
    struct out_table *table = table_new(headers);

    table_cell(table, "%s", "a");
    table_cell(table, "%s", "4.2 KiB");
    table_cell(table, "%s", "x");
    table_cell(table, "%s", "lo\x1bng");
    table_cell(table, "%s", "1 B");
    table_cell(table, "%s", "y");
    table_print(cli, &table, NULL);
    return 0;
}

Test(cli, table_aligns_and_escapes, .init = cr_redirect_stdout)
{
    static const struct cli_verb one[]
        = { { .name = "table", .stage = "S1", .summary = "t", .run = run_table }, { 0 } };
    struct cli_program program = demo;

    program.verbs = one;
    cr_assert_eq(run("demo table", &program), 0);
    cr_assert_stdout_eq_str("NAME         SIZE  END\n"
                            "a         4.2 KiB  x\n"
                            "lo\\x1bng      1 B  y\n");
}
