#include "broker/ctl/ctl.h"

#define PATIENCE_MS 70000 /* shutdown/grace is at most 60 s */

/* Comes back when the broker has given its lock back. */
int cmd_stop(struct cli *cli)
{
    struct control *control = NULL;
    json_t *rows = NULL;
    int code = ask_open(cli, &control);

    if (code == 0)
        code = ask_with(cli, control, ask_begin(cli), true, &rows);
    if (code == 0 && control_wait_end(control, PATIENCE_MS) != ERR_OK)
        code = out_fail(cli, 5, "timeout", "sealpostctl status", "the broker still runs");
    if (code == 0 && !cli_json(cli))
        out_print(cli, "stopped\n");
    json_decref(rows);
    control_close(&control);
    return code;
}
