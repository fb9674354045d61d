/*
 * directory - what the answers of HELLO, ENROL, CARD and LOOKUP have in common, and whom else to
 * tell.
 */
#ifndef BROKER_FLOW_DIRECTORY_H
#define BROKER_FLOW_DIRECTORY_H
#include "broker/flow/flow_internal.h"

/* The agent's credential, issued anew if less than `least_ms` of it is left. */
enum err add_credential(struct flow *flow, int64_t agent_id, uint64_t least_ms,
                        struct reply *reply);
enum err add_server_card(struct flow *flow, struct reply *reply);
/* index and head of the log. */
void add_log_head(struct flow *flow, struct reply *reply);

/* The log has grown: a hint to everybody who is connected, at most one a second. */
void say_log_moved(struct flow *flow, struct reply *reply);

#endif
