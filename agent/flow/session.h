/*
 * session - pairwise sessions: opened with a message inside, asked for by others, accepted, ended.
 */
#ifndef FLOW_SESSION_H
#define FLOW_SESSION_H
#include "agent/flow/core.h"
#include "agent/store/peers.h"
#include "agent/store/sessions.h"
#include "shared/trust/event.h"

/* Opens a session with the oldest queued message inside.  ERR_NOT_FOUND: nothing is queued.
 * ERR_NO_PREKEYS, ERR_EXPIRED, ERR_AUTH … of the bundle. */
enum err agent_session_open(struct agent *agent, const struct profile_peer *peer,
                            const struct credential *cred, const struct agent_opening *opening);
/* REQUEST for what the broker has not answered. */
void agent_requests_send(struct agent *agent);
void agent_request_answer(struct agent *agent, const struct agent_asked *asked, enum err code,
                          const struct message *message);

/* A request item: checked, opened, judged.  ERR_BUSY: the log must be read first, nothing was done.
 * Anything else: settled. */
enum err agent_session_asked(struct agent *agent, const struct wire_item *item, struct bytes frame);
/* The answer yes: from now on it is an ordinary session, its held message ordinary mail. */
void agent_session_accept(struct agent *agent, struct profile_session *session,
                          const struct profile_peer *peer);

/* How long a session of this mode lives at most, and without a word (docs/protocol.md 6.10). */
uint64_t agent_session_life_ms(uint8_t mode);
uint64_t agent_session_idle_ms(uint8_t mode);

/* An event that came, whichever way. */
void agent_session_event(struct agent *agent, const struct profile_session *session,
                         const struct signed_event *event);

/* Ends it from our side: the signed event, the keys, what was not settled. */
void agent_session_close(struct agent *agent, const struct profile_session *session,
                         enum session_stage stage, enum closed_reason reason);
/* The answer no, told to the asker; or without a word to anybody, now or later. */
void agent_session_reject(struct agent *agent, const struct profile_session *session,
                          enum rejected_reason reason);
void agent_session_silence(struct agent *agent, const struct profile_session *session);
/* Its end was kept from the peer, who is no longer blocked: he is told now. */
void agent_session_told(struct agent *agent, const struct profile_session *session);
/* Another one has taken its place: what has no receipt is sealed again there; its keys stay for
 * what is late, a minute at most. */
void agent_session_replaced(struct agent *agent, const struct profile_session *session);
/* The broker does not have it (any more). */
void agent_session_lost(struct agent *agent, const struct profile_session *session);
/* The broker has more from us than we know: this profile has been put back. */
void agent_session_rolled_back(struct agent *agent, const struct profile_session *session);
/* The broker has another history of it than we. */
void agent_session_forked(struct agent *agent, const struct profile_session *session);
/* Its chain was fetched because we did not know it. */
void agent_session_adopted(struct agent *agent, const struct profile_session *session);
/* What is over by our own clock. */
void agent_sessions_overdue(struct agent *agent);

/* Looks at requests and events again later: after `after_ms`, or as the back-off says. */
void agent_look_later(struct agent *agent, unsigned failures, uint64_t after_ms);

#endif
