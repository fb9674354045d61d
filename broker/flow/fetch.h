/*
 * fetch - FETCH, and those that wait for the first item.
 */
#ifndef BROKER_FETCH_H
#define BROKER_FETCH_H
#include "broker/flow/flow_internal.h"

/* Answers a waiting FETCH if there is something; `now`: in any case. */
enum err fetch_answer_parked(struct flow *flow, struct peer *peer, bool now);

/* Answers those whose time is over. */
enum err fetch_end_overdue(struct flow *flow);

#endif
