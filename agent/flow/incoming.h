/*
 * incoming - what the mailbox delivers: known ones noted, frames opened, all of a DELIVER in one
 *            transaction with the rows that its receipts will be made of.
 */
#ifndef FLOW_INCOMING_H
#define FLOW_INCOMING_H
#include "agent/flow/core.h"
#include "agent/store/acks.h"
#include "agent/store/peers.h"
#include "agent/store/sessions.h"
#include "agent/flow/envelope.h"

void agent_deliver(struct agent *agent, struct bytes head, const struct message *message,
                   const struct bytes *parts, size_t count);
/* The log has grown, or the broker told a session's events: what waited for it goes on. */
void agent_incoming_resume(struct agent *agent);
/* HELLO: the broker delivers anew. */
void agent_incoming_forget(struct agent *agent);

/* Highest number that I hold without a hole before it. */
uint64_t agent_received_up_to(struct agent *agent, int64_t scope_id, int64_t peer_id);
/* Has the number been dealt with?  `digest` is of that frame if it is the highest. */
bool agent_received_has(const struct profile_received *received, uint64_t seq);
/* The number has been dealt with.  True: numbers before it were left out. */
bool agent_received_add(struct profile_received *received, uint64_t seq,
                        const uint8_t digest[static 32]);
/* Writes the number down; numbers left out are an alarm. */
void agent_received_note(struct agent *agent, const struct profile_session *session, uint64_t seq,
                         const uint8_t digest[static 32]);

/* A message that was opened, into the inbox.  `held`: not shown until its request is accepted. */
void agent_inbox_put(struct agent *agent, int64_t scope_id, int64_t peer_id,
                     const struct envelope *envelope, struct bytes plain,
                     const struct frame_view *view, const uint8_t digest[static 32],
                     uint64_t stored_ms, bool held);

#endif
