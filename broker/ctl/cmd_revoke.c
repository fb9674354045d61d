#include <stdio.h>
#include <string.h>

#include "broker/ctl/ctl.h"

/* Whom the name means now: the fingerprint is what the operator says yes to.  0 and an empty text:
 * nobody, the broker says what is wrong. */
static int find_active(struct cli *cli, const char *name, char *fingerprint, size_t size)
{
    struct control *control = NULL;
    json_t *request = json_pack("{s:s, s:[s]}", "verb", "agents", "args", name);
    json_t *object = NULL;
    int code = ask_open(cli, &control);
    enum err e = code == 0 ? control_ask(control, request) : ERR_OK;

    *fingerprint = 0;
    while (code == 0) {
        if (e == ERR_OK)
            e = control_next(control, 10000, &object);
        if (e != ERR_OK)
            code = out_fail(cli, 3, "broker_not_running", "sealpostd run", "the broker hung up");
        if (e != ERR_OK || !object)
            break;
        if (strcmp(text_of(object, "state", ""), "active") == 0)
            snprintf(fingerprint, size, "%s", text_of(object, "fingerprint", ""));
        json_decref(object);
    }
    json_decref(request);
    control_close(&control);
    return code;
}

static int proceed(struct cli *cli, const char *fingerprint)
{
    json_t *request = ask_begin(cli), *rows = NULL;
    int code;

    if (cli_has(cli, "reason"))
        json_object_set_new(request, "reason", json_string(cli_flag(cli, "reason")));
    if (cli_has(cli, "note"))
        json_object_set_new(request, "note", json_string(cli_flag(cli, "note")));
    if (*fingerprint)
        json_object_set_new(request, "fingerprint", json_string(fingerprint));
    code = ask(cli, request, &rows);
    if (code == 0 && !cli_json(cli))
        out_note(cli, "%s is revoked: nobody talks to it any more, and it cannot join again",
                 cli_arg(cli, 0));
    json_decref(rows);
    return code;
}

int cmd_revoke(struct cli *cli)
{
    char fingerprint[64], question[256];
    enum out_answer answer = OUT_YES;
    int code = find_active(cli, cli_arg(cli, 0), fingerprint, sizeof fingerprint);

    if (code)
        return code;
    if (*fingerprint) {
        snprintf(question, sizeof question, "revoke %s, fingerprint %s, for good?", cli_arg(cli, 0),
                 fingerprint);
        answer = out_ask(cli, question);
    }
    if (answer == OUT_NEEDS_YES)
        return cli_wrong_use(cli);
    if (answer == OUT_NO) {
        out_note(cli, "nothing was done");
        return 0;
    }
    return proceed(cli, fingerprint);
}
