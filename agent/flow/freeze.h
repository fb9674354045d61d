/*
 * freeze - a profile that is older than what it already said, for it was copied or put back.
 *
 * Whoever goes on from there would give numbers and keys out a second time, and take the mail of
 * the one that is up to date.  So nothing is said and nothing is taken until a person has decided
 * (agent_rotate_all(): there is no other one).
 */
#ifndef FLOW_FREEZE_H
#define FLOW_FREEZE_H
#include "agent/flow/core.h"

/* Notices it: the alarm profile_restored, and the link ends with this turn.  `peer_id`, `scope_id`:
 * 0 for none. */
void agent_freeze(struct agent *agent, int64_t peer_id, int64_t scope_id, const char *detail);
/* From the store: is the alarm open? */
void agent_freeze_load(struct agent *agent);
/* A person has decided: the alarm ends, the link begins anew. */
void agent_thaw(struct agent *agent);
/* Has one decided so within the life of a session?  Then what is found of the time in between is no
 * news. */
bool agent_was_restored(struct agent *agent);

#endif
