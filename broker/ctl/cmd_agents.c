#include <stdio.h>

#include "broker/ctl/ctl.h"

static void table_text(struct cli *cli, const json_t *rows, const char *nothing)
{
    static const char *const headers[]
        = { "NAME", "STATE", "CIRCLES", "SEEN", ">QUEUED", ">BYTES", "FINGERPRINT", NULL };
    struct out_table *table = table_new(headers);
    const json_t *row;
    size_t i;

    json_array_foreach(rows, i, row)
    {
        table_cell(table, "%s", text_of(row, "name", "-"));
        table_cell(table, "%s", text_of(row, "state", "-"));
        table_cell(table, "%s", words_of(row, "circles"));
        table_cell(table, "%s", true_of(row, "online") ? "online" : time_of(row, "seen_at"));
        table_cell(table, "%llu", (unsigned long long)number_of(row, "frames"));
        table_cell(table, "%s", size_of(row, "bytes"));
        table_cell(table, "%s", text_of(row, "fingerprint", "-"));
    }
    table_print(cli, &table, nothing);
}

/* Who waits under that name: the fingerprint is what the operator says yes to. */
static int find_waiting(struct cli *cli, const char *name, char *fingerprint, size_t size)
{
    struct control *control = NULL;
    json_t *request = json_pack("{s:s, s:b, s:[s]}", "verb", "agents", "pending", 1, "args", name);
    json_t *object = NULL;
    int code = ask_open(cli, &control);

    if (code == 0
        && (control_ask(control, request) != ERR_OK
            || control_next(control, 10000, &object) != ERR_OK))
        code = out_fail(cli, 3, "broker_not_running", "sealpostd run", "the broker hung up");
    if (code == 0 && !known_of(object, "fingerprint"))
        code = out_fail(cli, 6, "unknown_agent", "sealpostctl agents --pending",
                        "agent \"%s\": nobody of that name waits", name);
    if (code == 0)
        snprintf(fingerprint, size, "%s", text_of(object, "fingerprint", ""));
    json_decref(object);
    json_decref(request);
    control_close(&control);
    return code;
}

static int decide(struct cli *cli, const char *what, const char *name)
{
    char fingerprint[64], question[256];
    json_t *request, *rows = NULL;
    enum out_answer answer;
    int code = find_waiting(cli, name, fingerprint, sizeof fingerprint);

    if (code)
        return code;
    snprintf(question, sizeof question, "%s %s, fingerprint %s?", what, name, fingerprint);
    answer = out_ask(cli, question);
    if (answer == OUT_NEEDS_YES)
        return cli_wrong_use(cli);
    if (answer == OUT_NO) {
        out_note(cli, "nothing was done");
        return 0;
    }
    request = ask_begin(cli);
    json_object_set_new(request, what, json_string(name));
    code = ask(cli, request, &rows);
    if (code == 0 && !cli_json(cli))
        table_text(cli, rows, NULL);
    json_decref(rows);
    return code;
}

int cmd_agents(struct cli *cli)
{
    json_t *request, *rows = NULL;
    int code;

    if (cli_has(cli, "approve") && cli_has(cli, "deny"))
        return out_usage(cli, "usage", NULL, "--approve and --deny exclude each other");
    if (cli_has(cli, "approve"))
        return decide(cli, "approve", cli_flag(cli, "approve"));
    if (cli_has(cli, "deny"))
        return decide(cli, "deny", cli_flag(cli, "deny"));
    request = ask_begin(cli);
    json_object_set_new(request, "pending", json_boolean(cli_has(cli, "pending")));
    code = ask(cli, request, &rows);
    if (code == 0 && !cli_json(cli))
        table_text(cli, rows, cli_has(cli, "pending") ? "nobody waits" : "no agents");
    json_decref(rows);
    return code;
}
