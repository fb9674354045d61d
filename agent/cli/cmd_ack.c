/* ack - docs: cli 3.2. */
#include "agent/cli/cmd.h"
#include "agent/cli/print.h"
#include "agent/cli/verbs.h"

static void print_one(struct cmd *cmd, json_t *object)
{
    out_print(cmd->cli, "%s %s\n", member_text(object, "id"), member_text(object, "state"));
}

int cmd_ack(struct cli *cli)
{
    json_t *ids = json_array();
    struct cmd cmd;

    for (size_t i = 0; i < cli_args(cli); i++)
        json_array_append_new(ids, cmd_string(cli_arg(cli, i)));
    if (!cmd_init(&cmd, cli, "ack")) {
        json_decref(ids);
        return cli_wrong_use(cli);
    }
    json_object_set_new(cmd.call.params, "ids", ids);
    cmd_flag(&cmd, "new", cli_has(cli, "new"));
    cmd.text = print_one;
    return cmd_run(&cmd);
}
