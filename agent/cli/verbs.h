/*
 * verbs - every verb of `sealpost`; each is in its cmd_*.c.
 */
#ifndef CLI_VERBS_H
#define CLI_VERBS_H
#include "shared/cli/cli.h"

int cmd_join(struct cli *cli);
int cmd_whoami(struct cli *cli);
int cmd_config(struct cli *cli);
int cmd_send(struct cli *cli);
int cmd_reply(struct cli *cli);
int cmd_recv(struct cli *cli);
int cmd_inbox(struct cli *cli);
int cmd_show(struct cli *cli);
int cmd_ack(struct cli *cli);
int cmd_trace(struct cli *cli);
int cmd_outbox(struct cli *cli);
int cmd_peers(struct cli *cli);
int cmd_status(struct cli *cli);
int cmd_verify(struct cli *cli);
int cmd_request(struct cli *cli);
int cmd_requests(struct cli *cli);
int cmd_accept(struct cli *cli);
int cmd_reject(struct cli *cli);
int cmd_sessions(struct cli *cli);
int cmd_close(struct cli *cli);
int cmd_rotate(struct cli *cli);
int cmd_leave(struct cli *cli);
int cmd_log(struct cli *cli);
int cmd_group(struct cli *cli);
int cmd_communicate(struct cli *cli);
int cmd_complete(struct cli *cli);

/* The table that parses, helps and completes. */
extern const struct cli_program sealpost_program;

#endif
