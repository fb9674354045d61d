/* status - docs: cli 3.7. */
#include <stdio.h>
#include <string.h>

#include "agent/api/object.h"
#include "agent/cli/cmd.h"
#include "agent/cli/print.h"
#include "agent/cli/verbs.h"

static void print_me(struct cli *cli, json_t *object)
{
    out_print(cli, "%s  %s  at %s: ", member_text(object, "agent"),
              member_text(object, "fingerprint"), member_text(object, "broker"));
    if (!member_true(object, "connected"))
        out_print(cli, "not connected\n");
    else if (member_null(object, "rtt_ms"))
        out_print(cli, "connected\n");
    else
        out_print(cli, "connected, %llu ms\n", (unsigned long long)member_number(object, "rtt_ms"));
}

static void print_mail(struct cli *cli, json_t *object)
{
    uint64_t held = member_number(object, "held");
    char oldest[SHORT_TEXT_SIZE];

    out_print(cli, "mail     %llu unread   %llu held request%s   %llu queued   %llu stored",
              (unsigned long long)member_number(object, "unread"), (unsigned long long)held,
              held == 1 ? "" : "s", (unsigned long long)member_number(object, "queued"),
              (unsigned long long)member_number(object, "stored"));
    if (!member_null(object, "oldest_ms")) {
        duration_text(oldest, member_number(object, "oldest_ms"));
        out_print(cli, ", oldest %s", oldest);
    }
    out_print(cli, "   %llu dead\n", (unsigned long long)member_number(object, "dead"));
}

static void print_trust(struct cli *cli, json_t *object)
{
    char left[SHORT_TEXT_SIZE];
    bool quiet = json_array_size(json_object_get(object, "problems")) == 0;

    member_left(left, object, "certificate_expires_at");
    out_print(cli, "trust    certificate %s%s   log %llu entries%s\n", left,
              member_null(object, "certificate_expires_at") ? "" : " left",
              (unsigned long long)member_number(object, "log_index"), quiet ? ", ok" : "");
}

static void print_problems(struct cli *cli, json_t *object)
{
    json_t *problem;
    size_t i;

    json_array_foreach(json_object_get(object, "problems"), i, problem)
    {
        out_print(cli, "problem  %s: ", member_text(problem, "code"));
        print_escaped(cli, member_text(problem, "message"));
        out_print(cli, "\n");
        if (!member_null(problem, "hint")) {
            out_print(cli, "         next: ");
            print_escaped(cli, member_text(problem, "hint"));
            out_print(cli, "\n");
        }
    }
}

static void print_status(struct cmd *cmd, json_t *object)
{
    json_t *owner = json_object_get(object, "owner");

    print_me(cmd->cli, object);
    print_mail(cmd->cli, object);
    print_trust(cmd->cli, object);
    if (!json_is_null(owner))
        out_print(cmd->cli, "owner    pid %llu %s\n",
                  (unsigned long long)member_number(owner, "pid"), member_text(owner, "command"));
    print_problems(cmd->cli, object);
}

/* ------------------------------------------------------------------ --check */

static void print_check(struct cmd *cmd, json_t *object)
{
    out_print(cmd->cli, "%-4s  %-11s  ", member_text(object, "result"),
              member_text(object, "name"));
    print_escaped(cmd->cli, member_text(object, "detail"));
    if (!member_null(object, "hint")) {
        out_print(cmd->cli, "; next: ");
        print_escaped(cmd->cli, member_text(object, "hint"));
    }
    out_print(cmd->cli, "\n");
}

/* What kept the other checks from being made is the one that failed. */
static int failed_early(struct cmd *cmd, const struct failure *failure)
{
    const char *name = strcmp(failure->code, "unsafe_permissions") == 0 ? "permissions"
                       : strcmp(failure->code, "store_error") == 0      ? "store"
                                                                        : NULL;
    json_t *object;

    if (!name)
        return cmd_failure(cmd->cli, failure);
    object = object_check(name, "fail", failure->message, failure->hint);
    if (cli_json(cmd->cli)) {
        out_json(cmd->cli, object);
    } else {
        print_check(cmd, object);
        json_decref(object);
    }
    return 1;
}

static int check(struct cli *cli)
{
    struct failure failure = { 0 };
    struct profile profile;
    char note[256];
    struct cmd cmd;
    int exit = 0;

    if (!cmd_init(&cmd, cli, "check"))
        return cli_wrong_use(cli);
    cmd.text = print_check;
    if (profile_choose(&profile, cli_flag(cli, "agent"), note, &failure))
        exit = cmd_run_on(&cmd, &profile, &failure);
    else
        cmd_free(&cmd);
    profile_close(&profile);
    if (note[0])
        out_note(cli, "%s", note);
    if (failure.exit && strcmp(failure.code, "output_closed") != 0)
        exit = failed_early(&cmd, &failure);
    return exit;
}

int cmd_status(struct cli *cli)
{
    struct cmd cmd;

    if (cli_has(cli, "check"))
        return check(cli);
    if (!cmd_init(&cmd, cli, "status"))
        return cli_wrong_use(cli);
    cmd.text = print_status;
    return cmd_run(&cmd);
}
