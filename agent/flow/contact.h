/*
 * contact - others: credentials verified against pins and log, prekeys asked for, trust.
 */
#ifndef FLOW_CONTACT_H
#define FLOW_CONTACT_H
#include "agent/flow/core.h"
#include "agent/store/peers.h"
#include "agent/store/sessions.h"

/* Verifies as docs/protocol.md 2.2 says and writes the peer down.  ERR_BUSY: the log must be read
 * further first (it is asked for).  ERR_KEY_CHANGED also sets the pin and raises the alarm. */
enum err agent_contact_verify(struct agent *agent, struct bytes packed, struct credential *cred,
                              struct profile_peer *peer);

/* The peer's row, made from the directory if there is none.  False: no such agent. */
bool agent_contact_row(struct agent *agent, const uint8_t aid[static 32],
                       struct profile_peer *peer);

/* The sessions with it end, signed; what is queued for it is dead. */
void agent_contact_let_go(struct agent *agent, const struct profile_peer *peer);
/* The log says so: its sessions end, what is queued for it is dead. */
void agent_contact_revoked(struct agent *agent, const struct profile_peer *peer);
/* Another agent stands under the name: nothing goes there until a person has looked. */
void agent_contact_changed(struct agent *agent, const struct profile_peer *peer, const char *why);

/* Peers with queued messages and no session get an opening; those that are answered, a session. */
void agent_contact_prepare(struct agent *agent);
void agent_contact_ask(struct agent *agent);
void agent_contact_answer(struct agent *agent, const struct agent_asked *asked, enum err code,
                          const struct message *message);
/* The log has grown. */
void agent_contact_resume(struct agent *agent);
struct agent_opening *agent_opening_of(struct agent *agent, int64_t peer_id, bool live);
/* Try again after a refusal; `after_ms` 0: as the back-off says. */
void agent_opening_wait(struct agent *agent, int64_t peer_id, bool live, int64_t rotates,
                        enum err why, uint64_t after_ms);
/* A bundle is wanted, to put another session in the place of this one. */
void agent_opening_rotate(struct agent *agent, const struct profile_session *session);
void agent_openings_free(struct agent *agent);

void agent_presence_answer(struct agent *agent, const struct agent_asked *asked, enum err code,
                           const struct message *message);
struct agent_presence *agent_presence_of(const struct agent *agent, const uint8_t aid[static 32]);

#endif
