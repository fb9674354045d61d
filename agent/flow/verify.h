/*
 * verify - what a person has said about whom to trust, and what follows from it.
 */
#ifndef FLOW_VERIFY_H
#define FLOW_VERIFY_H
#include "agent/flow/core.h"
#include "agent/store/peers.h"

/* May a message go to this peer, as far as trust and my own rules go?  ERR_CERT_REVOKED,
 * ERR_BLOCKED, ERR_KEY_CHANGED, ERR_NOT_VERIFIED, ERR_NOT_IN_SEND_TO. */
enum err agent_may_write(struct agent *agent, const struct profile_peer *peer);
/* The same for what was queued before the rules were changed. */
bool agent_is_trusted(const struct agent *agent, const struct profile_peer *peer);

#endif
