/*
 * leave - the end of this agent at its controller: all sessions end, then LEAVE
 * (docs/protocol.md 2.3).
 */
#ifndef FLOW_LEAVE_H
#define FLOW_LEAVE_H
#include "agent/flow/core.h"

/* From the store: on its way out, or out? */
void agent_leave_load(struct agent *agent);
/* LEAVE, when what was said before is at the broker. */
void agent_leave_ask(struct agent *agent);
void agent_leave_answer(struct agent *agent, enum err code, const struct message *message);

#endif
