/*
 * hints - NOTIFY: what an agent may want to know before it asks.  Never needed, may be lost.
 */
#ifndef BROKER_HINTS_H
#define BROKER_HINTS_H
#include "broker/flow/flow_internal.h"
#include "broker/store/directory.h"

/* The log has grown: to everybody who is connected, at once or with the next tick that is due, so
 * at most once a second. */
void say_log_moved(struct flow *flow, struct reply *reply);
/* What say_log_moved() has put off. */
void hints_tick(struct flow *flow);
uint64_t hints_due_ms(const struct flow *flow); /* elapsed; UINT64_MAX: nothing */

/* At HELLO: few one-time prekeys, a signed one that is missing or ends within 7 days. */
enum err say_prekeys(struct flow *flow, const struct request *request, struct reply *reply);
/* A REQUEST has taken one of this agent's. */
enum err say_prekey_taken(struct flow *flow, int64_t agent_id, struct reply *reply);
/* Every hour, inside a turn: signed prekeys of those who stay connected. */
enum err say_ending_prekeys(struct flow *flow);

/* A frame was stored: once, when a mailbox becomes fuller than four fifths. */
void say_nearly_full(struct flow *flow, const struct agent_row *owner);

#endif
