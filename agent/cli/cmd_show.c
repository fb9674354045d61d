/* show - docs: cli 3.2. */
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

int cmd_show(struct cli *cli)
{
    struct cmd cmd;

    if (cli_has(cli, "raw") && (cli_json(cli) || cli_has(cli, "thread")))
        return out_usage(cli, "usage", NULL, "--raw excludes --json and --thread");
    if (!cmd_init(&cmd, cli, "show"))
        return cli_wrong_use(cli);
    cmd_text(&cmd, "id", cli_arg(cli, 0));
    cmd_flag(&cmd, "thread", cli_has(cli, "thread"));
    cmd.raw = cli_has(cli, "raw");
    cmd.text = print_one;
    return cmd_run(&cmd);
}
