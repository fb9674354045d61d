/*
 * revoke - an agent ends: by the operator, or by its own LEAVE.
 *
 * At once, in one transaction: log entry, state, keys out of the key set, connection ended.  Its
 * sessions and mail end behind it in bounded steps, visibly for whoever was at the other end; a
 * broker that starts goes on with them.
 */
#ifndef BROKER_REVOKE_H
#define BROKER_REVOKE_H
#include "broker/flow/flow_internal.h"
#include "shared/trust/log_entry.h"

/* ERR_NOT_FOUND, ERR_CERT_REVOKED: nothing was done. */
enum err revoke_agent(struct flow *flow, struct reply *reply, int64_t agent_id, uint8_t reason,
                      const char *who, const char *note);

/* At opening: whatever the revocations of the log may have left. */
enum err revoke_resume(struct flow *flow);
/* One bounded step, inside a turn. */
enum err revoke_step(struct flow *flow);
/* Elapsed; UINT64_MAX: nothing is left. */
uint64_t revoke_due_ms(const struct flow *flow);
void revoke_free(struct flow *flow);

#endif
