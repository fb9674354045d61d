/* inbox - docs: cli 3.2. */
#include "agent/cli/cmd.h"
#include "agent/cli/print.h"
#include "agent/cli/verbs.h"

static void add_row(struct cmd *cmd, json_t *object)
{
    struct out_table *table = cmd->table;
    char age[SHORT_TEXT_SIZE], size[SHORT_TEXT_SIZE];

    member_age(age, object, "received_at");
    member_size(size, object, "size");
    table_cell(table, "%s", member_text(object, "id"));
    table_cell(table, member_null(object, "group") ? "%s" : "%s in %s", member_text(object, "from"),
               member_text(object, "group"));
    table_cell(table, "%s", age);
    table_cell(table, "%s", size);
    table_cell(table, "%s", member_text(object, "media_type"));
    table_cell(table, "%s", member_text(object, "trust"));
    if (cli_has(cmd->cli, "all"))
        table_cell(table, "%s", member_text(object, "state"));
}

int cmd_inbox(struct cli *cli)
{
    static const char *const unread[] = { "ID", "FROM", ">AGE", ">SIZE", "TYPE", "TRUST", NULL };
    static const char *const all[]
        = { "ID", "FROM", ">AGE", ">SIZE", "TYPE", "TRUST", "STATE", NULL };
    struct cmd cmd;
    uint64_t count;
    int exit;

    if (cli_count(cli, "count", 1, INT64_MAX, 0, &count) != ERR_OK || !cmd_init(&cmd, cli, "inbox"))
        return cli_wrong_use(cli);
    exit = cmd_take_from(&cmd);
    if (exit) {
        cmd_free(&cmd);
        return exit;
    }
    if (count)
        cmd_number(&cmd, "count", count);
    cmd_flag(&cmd, "all", cli_has(cli, "all"));
    cmd.table = table_new(cli_has(cli, "all") ? all : unread);
    cmd.text = add_row;
    cmd.nothing = "no mail";
    return cmd_run(&cmd);
}
