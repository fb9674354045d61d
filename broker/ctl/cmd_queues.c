#include <stdlib.h>

#include "broker/ctl/ctl.h"

static void queues_text(struct cli *cli, const json_t *rows)
{
    static const char *const headers[]
        = { "NAME", "KIND", ">FRAMES", ">BYTES", ">IN FLIGHT", ">OLDEST", "READER", NULL };
    struct out_table *table = table_new(headers);
    const json_t *row;
    size_t i;

    json_array_foreach(rows, i, row)
    {
        table_cell(table, "%s", text_of(row, "name", "-"));
        table_cell(table, "%s", text_of(row, "kind", "-"));
        table_cell(table, "%llu", (unsigned long long)number_of(row, "frames"));
        table_cell(table, "%s", size_of(row, "bytes"));
        table_cell(table, "%llu", (unsigned long long)number_of(row, "in_flight"));
        table_cell(table, "%s", age_of(row, "oldest_ms"));
        if (number_of(row, "readers") > 1)
            table_cell(table, "%llu of %llu online", (unsigned long long)number_of(row, "online"),
                       (unsigned long long)number_of(row, "readers"));
        else
            table_cell(table, "%s", number_of(row, "online") ? "online" : "away");
    }
    table_print(cli, &table, "no frames wait");
}

static void frames_text(struct cli *cli, const json_t *rows)
{
    static const char *const headers[] = { ">POSITION", "KIND",  "STATE",  "FROM",    "SESSION",
                                           ">SEQ",      ">SIZE", "STORED", "EXPIRES", NULL };
    struct out_table *table = table_new(headers);
    const json_t *row;
    size_t i;

    json_array_foreach(rows, i, row)
    {
        table_cell(table, "%llu", (unsigned long long)number_of(row, "position"));
        table_cell(table, "%s", text_of(row, "kind", "-"));
        table_cell(table, "%s", text_of(row, "state", "-"));
        table_cell(table, "%s", text_of(row, "from", "(broker)"));
        table_cell(table, "%.8s", text_of(row, "session", "-"));
        table_cell(table, known_of(row, "seq") ? "%llu" : "-",
                   (unsigned long long)number_of(row, "seq"));
        table_cell(table, "%s", size_of(row, "size"));
        table_cell(table, "%s", time_of(row, "stored_at"));
        table_cell(table, "%s", time_of(row, "expires_at"));
    }
    table_print(cli, &table, "no frames wait");
}

int cmd_queues(struct cli *cli)
{
    json_t *rows = NULL;
    int code = ask(cli, ask_begin(cli), &rows);

    if (code == 0 && !cli_json(cli)) {
        if (cli_args(cli))
            frames_text(cli, rows);
        else
            queues_text(cli, rows);
    }
    json_decref(rows);
    return code;
}
