/*
 * dispatch - which module hears an answer, and what the broker says unasked.
 */
#ifndef FLOW_DISPATCH_H
#define FLOW_DISPATCH_H
#include "agent/flow/core.h"

/* One message from the broker, inside a transaction. */
void agent_dispatch(struct agent *agent, struct bytes head, const struct bytes *parts,
                    size_t count);

#endif
