/*
 * journal - what the log says about requests: who came, who joined, who was refused.
 *
 * Written when a request has been decided; a turn that fails and runs again says it again.
 */
#ifndef FLOW_JOURNAL_H
#define FLOW_JOURNAL_H
#include "broker/flow/flow_internal.h"

/* A request with its verdict. */
void journal_request(struct flow *flow, const struct request *request, enum err e);

/* One frame of a SEND that was not stored. */
void journal_frame(struct flow *flow, const struct request *request, enum err e);

/* A greeted connection has ended. */
void journal_gone(struct flow *flow, const struct peer *peer);

#endif
