/*
 * replenish - my prekeys at the broker: a signed one each week, a hundred one-time ones.
 */
#ifndef FLOW_REPLENISH_H
#define FLOW_REPLENISH_H
#include "agent/flow/core.h"

/* Makes what is due: inside a transaction, and before agent_prekeys_ask(). */
void agent_prekeys_prepare(struct agent *agent);
/* All new, signed and one-time, in the place of those that the broker has. */
void agent_prekeys_renew(struct agent *agent);
/* From the store: what is still to be told. */
void agent_prekeys_load(struct agent *agent);
/* PREKEYS, if something is due or the number at the broker is not known. */
void agent_prekeys_ask(struct agent *agent);
void agent_prekeys_answer(struct agent *agent, const struct agent_asked *asked, enum err code,
                          const struct message *message);
/* The broker says that so many are left. */
void agent_prekeys_low(struct agent *agent, uint64_t count);

#endif
