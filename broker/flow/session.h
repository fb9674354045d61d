/*
 * session - what REQUEST, EVENT and the sweep do to a session: events appended, deadlines, usage,
 *           items for the parties.
 */
#ifndef BROKER_SESSION_H
#define BROKER_SESSION_H
#include "broker/flow/flow_internal.h"
#include "broker/store/scopes.h"

/* Deadlines that follow from the mode of INIT0. */
uint64_t session_life_ms(uint8_t mode);

/* After a restore the broker may not know what has happened: it ends nothing for a day. */
bool sessions_may_end(const struct flow *flow);

/* An event as it travels becomes the session's next one; `session` follows. */
enum err session_append(struct flow *flow, struct session_row *session,
                        const struct signed_event *event, const struct event *parsed);

/* The session's state after an event of this type, with all that hangs on it: deadline, usage,
 * an unread request that nobody waits for.  `session` follows. */
enum err session_move(struct flow *flow, struct session_row *session, enum session_state state,
                      int reason);

/* The event as an item for one party. */
enum err session_tell(struct flow *flow, const struct session_row *session, int64_t agent_id,
                      const struct signed_event *event, int64_t actor_id);

#endif
