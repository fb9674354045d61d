/* sessions, close - docs: cli 3.5. */
#include <stdio.h>
#include <string.h>

#include "agent/cli/cmd.h"
#include "agent/cli/print.h"
#include "agent/cli/verbs.h"

/* ------------------------------------------------------------------ sessions */

static void add_row(struct cmd *cmd, json_t *object)
{
    char age[SHORT_TEXT_SIZE], left[SHORT_TEXT_SIZE];
    struct out_table *table = cmd->table;

    member_age(age, object, "last_at");
    member_left(left, object, "expires_at");
    table_cell(table, "%s", member_text(object, "id"));
    table_cell(table, "%s", member_text(object, "peer"));
    table_cell(table, "%s", member_text(object, "state"));
    table_cell(table, "%s", member_text(object, "mode"));
    table_cell(table, "%llu", (unsigned long long)member_number(object, "sent_seq"));
    table_cell(table, "%llu", (unsigned long long)member_number(object, "received_seq"));
    table_cell(table, "%s", age);
    table_cell(table, "%s", member_null(object, "expires_at") ? "-" : left);
    if (cli_has(cmd->cli, "all"))
        table_cell(table, "%s",
                   member_null(object, "reason") ? "-" : member_text(object, "reason"));
}

int cmd_sessions(struct cli *cli)
{
    static const char *const open[]
        = { "SESSION", "PEER", "STATE", "MODE", ">SENT", ">RECEIVED", ">LAST", ">EXPIRES", NULL };
    static const char *const all[] = { "SESSION",   "PEER",  "STATE",    "MODE",   ">SENT",
                                       ">RECEIVED", ">LAST", ">EXPIRES", "REASON", NULL };
    const char *peer = cli_arg(cli, 0);
    struct cmd cmd;
    int exit = peer ? cmd_check_peer(cli, peer) : 0;

    if (exit)
        return exit;
    if (!cmd_init(&cmd, cli, "sessions"))
        return cli_wrong_use(cli);
    cmd_text(&cmd, "peer", peer);
    cmd_flag(&cmd, "all", cli_has(cli, "all"));
    cmd.table = table_new(cli_has(cli, "all") ? all : open);
    cmd.text = add_row;
    cmd.nothing = "no active sessions";
    return cmd_run(&cmd);
}

/* ------------------------------------------------------------------ close */

static void say_closed(struct cmd *cmd, json_t *object)
{
    (void)object;
    out_print(cmd->cli, "Session closed. Keys cleared.\n");
}

int cmd_close(struct cli *cli)
{
    const char *peer = cli_arg(cli, 0);
    bool all = cli_has(cli, "all");
    struct cmd cmd;
    int exit = peer ? cmd_check_peer(cli, peer) : 0;

    if (!exit && (peer == NULL) != all)
        exit
            = out_usage(cli, "usage", NULL,
                        all ? "--all is everybody: no PEER beside it" : "PEER or --all is missing");
    if (exit)
        return exit;
    if (!cmd_init(&cmd, cli, "close"))
        return cli_wrong_use(cli);
    cmd_text(&cmd, "peer", peer);
    cmd_flag(&cmd, "all", all);
    cmd_flag(&cmd, "yes", cli_has(cli, "yes"));
    cmd.text = say_closed;
    return cmd_run(&cmd);
}
