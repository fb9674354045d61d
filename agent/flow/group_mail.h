/*
 * group_mail - messages of groups: sealed once for all members, sealed anew when the epoch changed
 *              under them, opened, held until their key comes, acknowledged per channel
 *              (docs/protocol.md 5.3, 5.4, 6.5).
 */
#ifndef FLOW_GROUP_MAIL_H
#define FLOW_GROUP_MAIL_H
#include "agent/flow/group.h"
#include "shared/trust/receipt.h"

/* ------------------------------------------------------------------ out */

/* Queues what a program says to a group; errors as agent_send(). */
enum err agent_group_mail_queue(struct agent *agent, const struct send_request *request,
                                uint8_t id[static 16]);
/* Queues a word of my own to all (heartbeat, …): no program sees it. */
void agent_group_say(struct agent *agent, struct agent_group *group, uint8_t kind);
/* Seals what is queued, as far as there is room and agent_group_may_seal() says so. */
void agent_group_seal_queue(struct agent *agent, struct agent_group *group);

/* ------------------------------------------------------------------ in */

/* A DELIVER of a channel. */
void agent_channel_deliver(struct agent *agent, struct bytes head, const struct message *message,
                           const struct bytes *parts, size_t count);
/* HELLO named my streams; a channel's cursor is the broker's.  ERR_ROLLBACK: it was confirmed
 * further than this profile knows. */
enum err agent_channel_told(struct agent *agent, const struct wire_stream *stream);
void agent_channels_acks_send(struct agent *agent);
void agent_channel_ack_answer(struct agent *agent, const struct agent_asked *asked, enum err code,
                              const struct message *message);
/* A receipt whose scope is a group: that member has my message. */
void agent_group_receipt(struct agent *agent, const struct receipt *receipt);

/* ------------------------------------------------------------------ keys */

/* The secret of `at`'s newest epoch is here, confirmed: every member's chain is made, what was held
 * is opened, what is queued is sealed.  `at` is &group->chain, or the chain as it was behind an
 * older EPOCH whose key came late.  The caller wipes the secret. */
void agent_group_keyed(struct agent *agent, struct agent_group *group,
                       const struct group_chain *at, const uint8_t secret[static 32]);
/* The EPOCH was read from the channel (group_mail_in.c says so itself): older chains end in a day,
 * or when nothing is missing. */
void agent_group_epoch_read(struct agent *agent, struct agent_group *group, uint32_t epoch);
/* Removed, left, closed, forked: chains are wiped, what is queued ends as dead letters for `reason`
 * (enum dead_reason).  If I join again, the broker's count of my frames is taken over, once. */
void agent_group_wipe(struct agent *agent, struct agent_group *group, uint8_t reason);

/* Which epochs' chains I have. */
bool agent_group_has_key(struct agent *agent, int64_t group_id, uint32_t epoch);

#endif
