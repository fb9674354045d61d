/*
 * chain - the signed events of a session: mine made, others' verified, both kept, the broker told.
 */
#ifndef FLOW_CHAIN_H
#define FLOW_CHAIN_H
#include "agent/flow/core.h"
#include "agent/store/peers.h"
#include "agent/store/sessions.h"
#include "shared/trust/event.h"

/* The chain as it is kept; trusted, for it was verified when it came. */
bool agent_chain_load(struct agent *agent, int64_t scope_id, struct session_chain *chain);

/* Signs the next event and keeps it until the broker has it; OPENED travels with its REQUEST. */
void agent_chain_append(struct agent *agent, const struct profile_session *session,
                        enum event_type type, const uint8_t target[static 32], struct bytes body);

/* Verifies an event that came and appends it.  ERR_DUPLICATE: known.  ERR_GAP: others come before
 * it.  ERR_CONFLICT, ERR_AUTH, ERR_STATE …: not part of this chain. */
enum err agent_chain_take(struct agent *agent, const struct profile_session *session,
                          const struct profile_peer *peer, const struct signed_event *event,
                          struct event *out);

/* The broker was put back: the ends of sessions that are over, whoever signed them, are given to it
 * again. */
void agent_chain_doubt_ends(struct agent *agent);
/* Has it events that the broker has not confirmed? */
bool agent_chain_waits(struct agent *agent, int64_t scope_id);
/* EVENT for what the broker does not have. */
void agent_events_send(struct agent *agent);
void agent_event_answer(struct agent *agent, const struct agent_asked *asked, enum err code,
                        const struct message *message);

/* EVENTS: what has the broker?  NULL: could not be asked.  number 1: SYNCING waits for it. */
struct agent_asked *agent_chain_ask(struct agent *agent, const struct profile_session *session);
/* A session that this profile does not know, though its frames come: it has been put back.  The
 * chain is fetched, and the session closed. */
void agent_chain_adopt(struct agent *agent, const uint8_t sid[static 16],
                       const uint8_t peer[static 32]);
void agent_events_answer(struct agent *agent, const struct agent_asked *asked, enum err code,
                         const struct message *message);

#endif
