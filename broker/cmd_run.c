#include <stdlib.h>

#include "broker/broker.h"
#include "broker/cmd.h"

int cmd_run(struct cli *cli)
{
    char *file = broker_config_file(cli);
    struct broker_start start = { .config_file = file,
                                  .log_level = cli_flag(cli, "log-level"),
                                  .log_format = cli_flag(cli, "log-format"),
                                  .ready_fd = -1 };
    uint64_t fd;
    int code;

    if (cli_count(cli, "ready-fd", 0, 1023, 0, &fd) != ERR_OK) {
        free(file);
        return cli_wrong_use(cli);
    }
    if (cli_has(cli, "ready-fd"))
        start.ready_fd = (int)fd;
    code = broker_run(cli, &start);
    free(file);
    return code;
}
