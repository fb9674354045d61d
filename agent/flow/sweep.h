/*
 * sweep - what happens by the clock alone: expiry in the queue, requests that nobody answered, rows
 *         that have been kept long enough, keys that are due.
 */
#ifndef FLOW_SWEEP_H
#define FLOW_SWEEP_H
#include "agent/flow/core.h"

void agent_sweep(struct agent *agent);

#endif
