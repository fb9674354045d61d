#include <stdio.h>
#include <string.h>

#include "broker/ctl/ctl.h"

int cmd_reload(struct cli *cli)
{
    json_t *rows = NULL;
    const json_t *row;
    size_t i;
    int code = ask(cli, ask_begin(cli), &rows);

    if (code == 0 && !cli_json(cli))
        out_print(cli, "reloaded\n");
    json_array_foreach(rows, i, row)
    {
        if (strcmp(text_of(row, "type", ""), "problem") == 0)
            fprintf(stderr, "%s:%llu: %s: %s\n", text_of(row, "file", "-"),
                    (unsigned long long)number_of(row, "line"), text_of(row, "key", "-"),
                    text_of(row, "message", "-"));
    }
    json_decref(rows);
    return code;
}
