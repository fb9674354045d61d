#include "broker/ctl/ctl.h"

static void groups_text(struct cli *cli, const json_t *rows)
{
    static const char *const headers[]
        = { "GROUP",   "STATE",  "OWNER",   ">EPOCH",  ">MEMBERS", ">INVITED",
            ">FRAMES", ">BYTES", ">OLDEST", "SLOWEST", NULL };
    struct out_table *table = table_new(headers);
    const json_t *row;
    size_t i;

    json_array_foreach(rows, i, row)
    {
        table_cell(table, "%s", text_of(row, "group", "-"));
        table_cell(table, "%s", text_of(row, "state", "-"));
        table_cell(table, "%s", text_of(row, "owner", "-"));
        table_cell(table, "%llu", (unsigned long long)number_of(row, "epoch"));
        table_cell(table, "%llu", (unsigned long long)number_of(row, "members"));
        table_cell(table, "%llu", (unsigned long long)number_of(row, "invited"));
        table_cell(table, "%llu", (unsigned long long)number_of(row, "frames"));
        table_cell(table, "%s", size_of(row, "bytes"));
        table_cell(table, "%s", age_of(row, "oldest_ms"));
        table_cell(table, "%s", text_of(row, "slowest", "-"));
    }
    table_print(cli, &table, "no groups");
}

static void members_text(struct cli *cli, const json_t *rows)
{
    static const char *const headers[]
        = { "NAME", "ROLE", "STATE", ">BEHIND", ">ACKED", "READER", NULL };
    struct out_table *table = table_new(headers);
    const json_t *row;
    size_t i;

    json_array_foreach(rows, i, row)
    {
        table_cell(table, "%s", text_of(row, "name", "-"));
        table_cell(table, "%s", text_of(row, "role", "-"));
        table_cell(table, "%s", text_of(row, "state", "-"));
        table_cell(table, known_of(row, "behind") ? "%llu" : "-",
                   (unsigned long long)number_of(row, "behind"));
        table_cell(table, "%s", age_of(row, "acked_ms"));
        table_cell(table, "%s", true_of(row, "online") ? "online" : "away");
    }
    table_print(cli, &table, "no members");
}

int cmd_groups(struct cli *cli)
{
    json_t *rows = NULL;
    int code = ask(cli, ask_begin(cli), &rows);

    if (code == 0 && !cli_json(cli)) {
        if (cli_args(cli))
            members_text(cli, rows);
        else
            groups_text(cli, rows);
    }
    json_decref(rows);
    return code;
}
