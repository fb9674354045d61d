/*
 * sync - between HELLO and the first SEND: the log, what the broker has of each session, and after
 * a restore of the broker the chains of events (docs/protocol.md 6.3).
 */
#ifndef FLOW_SYNC_H
#define FLOW_SYNC_H
#include "agent/flow/core.h"
#include "agent/flow/group.h"

/* The broker has another history than last time: positions mean nothing, what has no receipt goes
 * out again, one-time prekeys are void. */
void agent_sync_new_incarnation(struct agent *agent);

/* Chains are still to be compared since then, over lost connections and restarts. */
bool agent_sync_compares(struct agent *agent);

void agent_sync_begin(struct agent *agent);
/* The log is read: SYNC. */
void agent_sync_scopes(struct agent *agent);
/* A full socket may have taken what SYNCING waits for. */
void agent_sync_resume(struct agent *agent);
void agent_sync_answer(struct agent *agent, const struct agent_asked *asked, enum err code,
                       const struct message *message);
/* The same for one group that I came into since; nothing while it is asked for already. */
void agent_sync_group(struct agent *agent, const struct agent_group *group);
/* A chain has been compared; the last one ends SYNCING. */
void agent_sync_compared(struct agent *agent);
void agent_sync_end(struct agent *agent);

/* Tells the broker that my numbers from … to are settled and gone. */
void agent_sync_advance(struct agent *agent, struct agent_sender *sender, uint64_t from,
                        uint64_t to);

#endif
