/*
 * event_list - stored events of a scope for an answer: as many as fit into it.
 */
#ifndef BROKER_EVENT_LIST_H
#define BROKER_EVENT_LIST_H
#include "broker/flow/flow_internal.h"
#include "broker/store/scopes.h"

/* From number `seq` on, at most `max`, and never more than one message holds. */
enum err event_list_add(struct flow *flow, int64_t scope_id, uint64_t seq, uint64_t max,
                        struct list_maker *list);

#endif
