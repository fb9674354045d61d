/*
 * watch - the controller's log: read, verified, kept; and what an entry means for me and my peers.
 */
#ifndef FLOW_WATCH_H
#define FLOW_WATCH_H
#include "agent/flow/core.h"

/* Reads on, if there may be more. */
void agent_log_ask(struct agent *agent);
void agent_log_answer(struct agent *agent, enum err code, const struct message *message);
/* Is the copy at least as long as the broker said, and nothing on its way? */
bool agent_log_read(struct agent *agent);
/* Has the copy this entry?  If not, it is asked for. */
bool agent_log_has(struct agent *agent, uint64_t index);
/* Compares somebody's word on the log with the copy; an alarm if they differ.  A peer's word on an
 * entry that the copy does not have yet is kept until it has. */
void agent_log_compare(struct agent *agent, uint64_t index, const uint8_t head[static 32],
                       int64_t peer_id);

#endif
