/*
 * control - operators' commands inside the flow: what they share.
 *
 * A command is {"verb":"invite","args":[…], …} with the long flags of sealpostctl as keys ('-'
 * becomes
 * '_', durations are ms); answers are the objects of docs: cli 5.1, an error being the last line.
 */
#ifndef FLOW_CONTROL_H
#define FLOW_CONTROL_H
#include "broker/flow/flow_internal.h"
#include "broker/store/directory.h"
#include "shared/json/object.h"

struct command {
    struct flow *flow;
    struct reply *reply;
    const json_t *in; /* borrowed */
    char who[64];     /* for the audit: the operator's user name */
    struct buf lines; /* the answer so far */
};

/* Each appends its answers to `lines`.  Anything but ERR_OK is the store's: the turn fails. */
enum err control_invite(struct command *command);
enum err control_agents(struct command *command);
enum err control_revoke(struct command *command);
enum err control_queues(struct command *command);
enum err control_groups(struct command *command);
enum err control_status(struct command *command, const char *state);

/* What was given. */
const char *command_text(const struct command *command, const char *key); /* NULL: not given */
bool command_flag(const struct command *command, const char *key);
uint64_t command_number(const struct command *command, const char *key, uint64_t otherwise);
size_t command_args(const struct command *command);
const char *command_arg(const struct command *command, size_t i); /* "" if it is no text */

/* The object `agent` of docs: cli 5.1. */
enum err control_agent_put(struct command *command, const struct agent_row *agent);

/* The error that ends the answer. */
void command_fail(struct command *command, int exit, const char *code, const char *hint,
                  const char *format, ...) __attribute__((format(printf, 5, 6)));

/* "no agent NAME", with the nearest names. */
void command_unknown_agent(struct command *command, const char *name);

/* "no group NAME". */
void command_unknown_group(struct command *command, const char *name);

/* A stream's first frame: when it was stored, or 0. */
enum err control_oldest(struct flow *flow, int64_t stream_id, uint64_t *stored_ms,
                        uint64_t *position);

#endif
