/*
 * directory - what the answers of HELLO, ENROL, CARD and LOOKUP have in common.
 */
#ifndef BROKER_FLOW_DIRECTORY_H
#define BROKER_FLOW_DIRECTORY_H
#include "broker/flow/flow_internal.h"
#include "broker/store/directory.h"

/* The agent's credential, issued anew if less than `least_ms` of it is left. */
enum err add_credential(struct flow *flow, int64_t agent_id, uint64_t least_ms,
                        struct reply *reply);
enum err add_server_card(struct flow *flow, struct reply *reply);
/* index and head of the log. */
void add_log_head(struct flow *flow, struct reply *reply);

/* Transport keys that CARD has replaced so lately that they may still be in the key set. */
typedef void old_key_act(struct reply *reply, const uint8_t key[static 32]);
enum err old_keys_each(struct flow *flow, const struct agent_row *agent, struct reply *reply,
                       old_key_act *act);

#endif
