/*
 * rotate - a new session in the place of one that is used, agreed inside the old one
 * (docs/protocol.md 3.4): rotate{new sid} there, a REQUEST with prev_sid, and ROTATED when it is
 * accepted.
 */
#ifndef FLOW_ROTATE_H
#define FLOW_ROTATE_H
#include "agent/flow/core.h"
#include "agent/store/peers.h"
#include "agent/store/sessions.h"

/* The session that this one shall replace, as its first word says.  False: none. */
bool agent_session_prev(struct agent *agent, int64_t session_id, uint8_t prev[static 16]);

/* Wishes become openings. */
void agent_rotations_prepare(struct agent *agent);
/* By age and number of frames; the one who opened a session is first. */
void agent_rotations_due(struct agent *agent);
/* Is this session still to be replaced?  Fills it. */
bool agent_rotation_wanted(struct agent *agent, int64_t session_id, struct profile_session *out);
/* The new session is made: says it in the old one. */
bool agent_rotation_say(struct agent *agent, const struct profile_session *old,
                        const struct profile_peer *peer, const struct profile_session *made);
/* The word in the old session is not at the broker yet: the request must wait for it. */
bool agent_rotation_unsaid(struct agent *agent, const struct profile_session *made);
/* The peer has accepted `made`: what it replaces ends. */
void agent_rotation_done(struct agent *agent, const struct profile_session *made,
                         const struct profile_peer *peer);
/* The request was refused; the old session goes on, and later tries again if `again`. */
void agent_rotation_failed(struct agent *agent, const struct profile_session *made, enum err why,
                           bool again);

/* The peer said so inside `session`. */
void agent_rotation_said(struct agent *agent, const struct profile_session *session,
                         struct bytes body);
/* Was this request said inside the session that it replaces? */
bool agent_rotation_agreed(struct agent *agent, const struct profile_session *asked);

void agent_rotation_forget(struct agent *agent, int64_t session_id);

#endif
