/* recv - docs: cli 3.2. */
#include "agent/cli/cmd.h"
#include "agent/cli/print.h"
#include "agent/cli/verbs.h"

static void print_one(struct cmd *cmd, json_t *object)
{
    if (cmd->raw)
        print_body_raw(cmd->cli, object);
    else
        print_message(cmd->cli, object);
}

static int flags_check(struct cli *cli, uint64_t count)
{
    if (cli_has(cli, "wait") && cli_has(cli, "follow"))
        return out_usage(cli, "usage", NULL, "--wait and --follow exclude each other");
    if (cli_has(cli, "raw") && count != 1)
        return out_usage(cli, "usage", NULL, "--raw needs -n 1");
    if (cli_has(cli, "raw") && cli_json(cli))
        return out_usage(cli, "usage", NULL, "--raw and --json exclude each other");
    if (cli_has(cli, "events") && !cli_json(cli))
        return out_usage(cli, "usage", NULL, "--events needs --json");
    return 0;
}

int cmd_recv(struct cli *cli)
{
    struct cmd cmd;
    uint64_t count;
    int exit;

    if (cli_count(cli, "count", 1, INT64_MAX, 0, &count) != ERR_OK)
        return cli_wrong_use(cli);
    exit = flags_check(cli, count);
    if (exit)
        return exit;
    if (!cmd_init(&cmd, cli, "recv"))
        return cli_wrong_use(cli);
    exit = cmd_take_from(&cmd);
    if (exit) {
        cmd_free(&cmd);
        return exit;
    }
    if (count)
        cmd_number(&cmd, "count", count);
    cmd_flag(&cmd, "wait", cli_has(cli, "wait"));
    cmd_flag(&cmd, "follow", cli_has(cli, "follow"));
    cmd_flag(&cmd, "no_ack", cli_has(cli, "no-ack"));
    cmd_flag(&cmd, "events", cli_has(cli, "events"));
    cmd.call.streams = cli_has(cli, "events");
    cmd.raw = cli_has(cli, "raw");
    cmd.text = print_one;
    cmd.stays = cli_has(cli, "wait") || cli_has(cli, "follow");
    cmd.call.orderly = cli_has(cli, "follow");
    return cmd_run(&cmd);
}
