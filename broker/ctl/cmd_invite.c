#include "broker/ctl/ctl.h"

static int list_text(struct cli *cli, const json_t *rows)
{
    static const char *const headers[]
        = { ">NUMBER", "KEY", "NAME", "CIRCLES", "STATE", "EXPIRES", "USED BY", "NOTE", NULL };
    struct out_table *table = table_new(headers);
    const json_t *row;
    size_t i;

    json_array_foreach(rows, i, row)
    {
        table_cell(table, "%llu", (unsigned long long)number_of(row, "number"));
        table_cell(table, "%s", text_of(row, "key8", "-"));
        table_cell(table, "%s", text_of(row, "name", "-"));
        table_cell(table, "%s", words_of(row, "circles"));
        table_cell(table, "%s", text_of(row, "state", "-"));
        table_cell(table, "%s", time_of(row, "expires_at"));
        table_cell(table, "%s", text_of(row, "used_by", "-"));
        table_cell(table, "%s", text_of(row, "note", ""));
    }
    table_print(cli, &table, "no invites");
    return 0;
}

static void note_one(struct cli *cli, const json_t *invite)
{
    out_note(
        cli,
        "for %s, %s%s, once, until %.5sZ%s. Whoever has this line can join: pass it on privately",
        text_of(invite, "name", "a name chosen at join"),
        json_array_size(json_object_get(invite, "circles")) ? "circle " : "no circle",
        json_array_size(json_object_get(invite, "circles")) ? words_of(invite, "circles") : "",
        text_of(invite, "expires_at", "           -----") + 11,
        true_of(invite, "approve") ? ", then waits for your approval" : "");
}

static int made_text(struct cli *cli, const json_t *rows)
{
    const json_t *row;
    size_t i;

    json_array_foreach(rows, i, row)
    {
        if (known_of(row, "url")) {
            out_print(cli, "%s\n", text_of(row, "url", ""));
            out_flush(cli);
            note_one(cli, row);
        } else {
            out_print(cli, "%llu %s\n", (unsigned long long)number_of(row, "number"),
                      text_of(row, "state", ""));
        }
    }
    return 0;
}

static json_t *texts_of(const struct cli *cli, const char *flag)
{
    json_t *array = json_array();

    for (size_t i = 0; i < cli_flag_count(cli, flag); i++)
        json_array_append_new(array, json_string(cli_flag_at(cli, flag, i)));
    return array;
}

int cmd_invite(struct cli *cli)
{
    json_t *request, *rows;
    uint64_t ttl, number;
    int code;

    if (cli_duration(cli, "ttl", 0, &ttl) != ERR_OK
        || cli_count(cli, "withdraw", 1, INT64_MAX, 0, &number) != ERR_OK)
        return cli_wrong_use(cli);
    if (cli_has(cli, "ttl") && ttl == 0)
        return out_usage(cli, "bad_value", NULL, "--ttl is out of bounds, 1m to 30d");
    if ((cli_has(cli, "list") || number) && cli_args(cli))
        return out_usage(cli, "usage", NULL, "--list and --withdraw take no NAME");
    if (cli_has(cli, "guest") && cli_has(cli, "circle"))
        return out_usage(cli, "usage", NULL, "--guest and --circle exclude each other");
    request = ask_begin(cli);
    json_object_set_new(request, "circle", texts_of(cli, "circle"));
    json_object_set_new(request, "guest", json_boolean(cli_has(cli, "guest")));
    json_object_set_new(request, "approve", json_boolean(cli_has(cli, "approve")));
    json_object_set_new(request, "list", json_boolean(cli_has(cli, "list")));
    if (ttl)
        json_object_set_new(request, "ttl", json_integer((json_int_t)ttl));
    if (cli_has(cli, "note"))
        json_object_set_new(request, "note", json_string(cli_flag(cli, "note")));
    if (cli_has(cli, "host"))
        json_object_set_new(request, "host", json_string(cli_flag(cli, "host")));
    if (number)
        json_object_set_new(request, "withdraw", json_integer((json_int_t)number));
    code = ask(cli, request, &rows);
    if (!cli_json(cli) && json_array_size(rows))
        cli_has(cli, "list") ? list_text(cli, rows) : made_text(cli, rows);
    else if (!cli_json(cli) && code == 0 && cli_has(cli, "list"))
        out_note(cli, "no invites");
    json_decref(rows);
    return code;
}
