/* outbox - docs: cli 3.2. */
#include "agent/cli/cmd.h"
#include "agent/cli/print.h"
#include "agent/cli/verbs.h"

static void add_row(struct cmd *cmd, json_t *object)
{
    struct out_table *table = cmd->table;
    char age[SHORT_TEXT_SIZE], left[SHORT_TEXT_SIZE], size[SHORT_TEXT_SIZE];

    member_age(age, object, "queued_at");
    member_left(left, object, "expires_at");
    member_size(size, object, "size");
    table_cell(table, "%s", member_text(object, "id"));
    table_cell(table, "%s", member_text(object, "to"));
    table_cell(table, "%s", member_text(object, "state"));
    table_cell(table, "%s",
               member_null(object, "waits_for") ? "-" : member_text(object, "waits_for"));
    table_cell(table, "%s", age);
    table_cell(table, "%s", left);
    table_cell(table, "%s", size);
}

int cmd_outbox(struct cli *cli)
{
    static const char *const headers[]
        = { "ID", "TO", "STATE", "WAITS FOR", ">AGE", ">EXPIRES", ">SIZE", NULL };
    struct cmd cmd;

    if (!cmd_init(&cmd, cli, "outbox"))
        return cli_wrong_use(cli);
    cmd_flag(&cmd, "flush", cli_has(cli, "flush"));
    cmd.table = table_new(headers);
    cmd.text = add_row;
    cmd.nothing = "nothing waits";
    return cmd_run(&cmd);
}
