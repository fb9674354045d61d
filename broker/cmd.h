/*
 * cmd - the verbs of sealpostd.
 */
#ifndef BROKER_CMD_H
#define BROKER_CMD_H
#include "shared/cli/out.h"

int cmd_init(struct cli *cli);
int cmd_run(struct cli *cli);
int cmd_check(struct cli *cli);

#endif
