#include "broker/ctl/ctl.h"

int cmd_config(struct cli *cli)
{
    static const char *const headers[] = { "KEY", "VALUE", "SOURCE", NULL };
    struct out_table *table;
    json_t *rows = NULL;
    const json_t *row;
    size_t i;
    int code = ask(cli, ask_begin(cli), &rows);

    if (code == 0 && !cli_json(cli)) {
        table = table_new(headers);
        json_array_foreach(rows, i, row)
        {
            table_cell(table, "%s", text_of(row, "key", "-"));
            table_cell(table, "%s", *text_of(row, "value", "") ? text_of(row, "value", "") : "-");
            table_cell(table, "%s%s", text_of(row, "source", "-"),
                       true_of(row, "needs_restart") ? ", the file has another: restart" : "");
        }
        table_print(cli, &table, NULL);
    }
    json_decref(rows);
    return code;
}
