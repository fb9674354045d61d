#include <stdlib.h>
#include <string.h>

#include "broker/ctl/ctl.h"
#include "shared/cli/places.h"

#define PATIENCE_MS 10000

json_t *ask_begin(const struct cli *cli)
{
    json_t *request = json_object(), *args = json_array();

    json_object_set_new(request, "verb", json_string(cli_verb_name(cli)));
    for (size_t i = 0; i < cli_args(cli); i++)
        json_array_append_new(args, json_string(cli_arg(cli, i)));
    json_object_set_new(request, "args", args);
    return request;
}

int ask_open(struct cli *cli, struct control **control)
{
    char *path = cli_has(cli, "socket") ? strdup(cli_flag(cli, "socket")) : place_control_socket();
    enum err e = control_open(control, path);
    int code = 0;

    if (e == ERR_UNSAFE)
        code = out_fail(cli, 4, "not_permitted", "control/group in sealpostd.conf",
                        "%s: this user may not operate the broker", path);
    else if (e != ERR_OK)
        code = out_fail(cli, 3, "broker_not_running", "sealpostd run", "%s: nobody listens", path);
    free(path);
    return code;
}

static int tell_error(struct cli *cli, const json_t *object)
{
    struct cli_error error = { .code = text_of(object, "code", "internal"),
                               .exit = (int)number_of(object, "exit"),
                               .message = text_of(object, "message", "no reason was given"),
                               .hint = text_of(object, "hint", NULL),
                               .retry_ms = -1 };

    if (error.exit < 1 || error.exit > 125)
        error.exit = 1;
    return out_error(cli, &error);
}

int ask_with(struct cli *cli, struct control *control, json_t *request, bool only_one, json_t **out)
{
    enum err e = control_ask(control, request);
    json_t *object = NULL;
    int code = 0;

    json_decref(request);
    *out = json_array();
    do {
        if (e == ERR_OK)
            e = control_next(control, PATIENCE_MS, &object);
        if (e != ERR_OK)
            return out_fail(cli, e == ERR_UNREACHABLE || e == ERR_IO ? 3 : 1,
                            e == ERR_MALFORMED ? "internal" : "broker_not_running", "sealpostd run",
                            "control socket: %s", err_text(e));
        if (!object)
            break;
        if (strcmp(text_of(object, "type", ""), "error") == 0) {
            code = tell_error(cli, object);
            json_decref(object);
            break;
        }
        if (cli_json(cli))
            out_json(cli, object);
        else
            json_array_append_new(*out, object);
    } while (!only_one);
    return code;
}

int ask(struct cli *cli, json_t *request, json_t **out)
{
    struct control *control = NULL;
    int code = ask_open(cli, &control);

    *out = NULL;
    if (code)
        json_decref(request);
    else
        code = ask_with(cli, control, request, false, out);
    control_close(&control);
    return code;
}
