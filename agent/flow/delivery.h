/*
 * delivery - DELIVERs of one stream whose next item cannot be taken in yet: kept as they came,
 * until what it waits for is there.
 */
#ifndef FLOW_DELIVERY_H
#define FLOW_DELIVERY_H
#include "agent/flow/core.h"

/* Behind those that wait already; `done` items of it are taken in. */
void agent_delivery_keep(struct agent_delivery **first, struct bytes head,
                         const struct bytes *parts, size_t count, size_t done);
/* Its message and parts, borrowed from it.  False: it cannot be read. */
bool agent_delivery_read(const struct agent_delivery *delivery, struct message *message,
                         struct bytes parts[static WIRE_PARTS_MAX]);
/* The first one is done, or all are void. */
void agent_delivery_drop(struct agent_delivery **first);
void agent_deliveries_drop(struct agent_delivery **first);

#endif
