/*
 * outgoing - my messages: sealed into a session when there is room, transmitted in order, and sent
 *            again until the broker has them (docs/protocol.md 6.3).
 */
#ifndef FLOW_OUTGOING_H
#define FLOW_OUTGOING_H
#include "agent/flow/core.h"
#include "agent/flow/envelope.h"
#include "agent/store/outbox.h"
#include "agent/store/peers.h"
#include "agent/store/sessions.h"

/* ------------------------------------------------------------------ sealing */

/* Gives a queued row the next number of the session and seals it; saves the ratchet.  `frame_kind`
 * as in wire/frame.h. */
enum err agent_outgoing_seal(struct agent *agent, struct profile_session *session,
                             struct ratchet *ratchet, const struct profile_peer *peer,
                             const struct profile_out *row, uint8_t frame_kind,
                             uint8_t digest[static 32]);
/* Seals what is queued for the peer, as far as its active session has room. */
void agent_outgoing_seal_queue(struct agent *agent, int64_t peer_id);
/* Seals what goes into this active session or nowhere; for a mailbox session the queue, too. */
void agent_outgoing_seal_session(struct agent *agent, const struct profile_session *session);
/* Queues a control message of the kind, for this session alone; returns its row. */
bool agent_outgoing_control(struct agent *agent, const struct profile_session *session,
                            const struct profile_peer *peer, uint8_t kind, uint64_t expires_ms,
                            struct profile_out *row);
/* Queues a control message for the peer: into the session that there is, or after a request for one.
 * If a session ends before it is signed for, it goes into the next. */
void agent_outgoing_tell(struct agent *agent, const struct profile_peer *peer, uint8_t kind,
                         struct bytes body, uint64_t expires_ms);
/* Does this kind of control message belong to one session alone? */
bool agent_outgoing_is_bound(uint8_t kind);
/* Queues rotate{sid} under the id, likewise: first word of the new session, and last of the old. */
bool agent_outgoing_rotate(struct agent *agent, const struct profile_session *session,
                           const struct profile_peer *peer, const uint8_t sid[static 16],
                           const uint8_t id[static 16], uint64_t expires_ms,
                           struct profile_out *row);
/* May something of this size be queued for that agent?  Errors as agent_send(). */
enum err agent_outgoing_allowed(struct agent *agent, const uint8_t to[static 32], size_t size,
                                struct profile_peer *peer);
/* Are there as many unfinished messages as may be? */
bool agent_outbox_full(struct agent *agent);
/* msg_id of the first message of the chain that this one will belong to. */
void agent_thread_of(struct agent *agent, const struct send_request *request,
                     const uint8_t id[static 16], uint8_t thread[static 16]);
/* Queues an introduction under the id. */
void agent_outgoing_introduce(struct agent *agent, const struct profile_peer *peer,
                              struct bytes body, bool live, const uint8_t id[static 16]);
/* Numbers of the session (or group) have been settled: the window moves. */
void agent_outgoing_settled(struct agent *agent, int64_t scope_id);
/* A side that only listens answers with a heartbeat, so that the ratchet turns. */
void agent_heartbeats(struct agent *agent);

/* ------------------------------------------------------------------ transmitting: sender.c */

struct agent_sender *agent_sender_of(const struct agent *agent, int64_t scope_id);
/* The broker has my frames up to `stored`; transmission goes on behind that. */
void agent_sender_synced(struct agent *agent, int64_t scope_id, uint64_t stored);
void agent_sender_drop(struct agent *agent, int64_t scope_id);
/* For people: why the scope waits. */
void agent_refusal_note(struct agent *agent, int64_t scope_id, enum err why, uint64_t after_ms);

void agent_sends(struct agent *agent);
void agent_send_answer(struct agent *agent, const struct agent_asked *asked, enum err code,
                       const struct message *message);
uint64_t agent_senders_next_ms(const struct agent *agent);
/* The connection is gone: nothing is known about what was on the way. */
void agent_outgoing_forget(struct agent *agent);

#endif
