/*
 * group - an agent's groups: their signed events, epochs, invitations, and what members tell each
 *         other about them (docs/protocol.md 5).  The mail of groups is in group_mail.h.
 *
 * The chain of each group that is open is kept in memory (struct agent_group), made anew from the
 * store at start; rows are in agent/store/groups.h.
 */
#ifndef FLOW_GROUP_H
#define FLOW_GROUP_H
#include "agent/crypto/group.h"
#include "agent/flow/core.h"
#include "agent/flow/envelope.h"
#include "agent/store/groups.h"
#include "agent/store/sessions.h"
#include "shared/trust/group_chain.h"

/* One group in memory. */
struct agent_group {
    struct agent_group *next;
    int64_t group_id;         /* = scope_id */
    struct group_chain chain; /* as verified, the broker's part and my unconfirmed tail */
    struct profile_group row;
    bool asked;            /* EVENTS or EVENT is on its way */
    bool wants_events;     /* the broker is said to have more */
    unsigned failures;     /* of EVENT, in a row */
    uint64_t wait_ms;      /* elapsed: nothing is tried before */
    uint64_t keyless_ms;   /* wall clock: since when the epoch's key is missing; 0: it is here */
    uint64_t key_asked_ms; /* elapsed */
    enum err refusal;
};

/* ------------------------------------------------------------------ looking */

/* NULL: no such group.  Borrowed until the transaction ends. */
struct agent_group *agent_group_of(struct agent *agent, int64_t group_id);
struct agent_group *agent_group_named(struct agent *agent, const uint8_t gid[static 16]);

/* The epoch as messages need it; false: there is none yet. */
bool agent_group_epoch(const struct agent_group *group, struct group_epoch *out);
/* Joined, not closed or forked, the epoch's key here, not silent, and (strict) not stale. */
bool agent_group_may_seal(struct agent *agent, const struct agent_group *group);
/* 12: what the frame says about its group: [gid, seq, digest], packed, for envelope key 15. */
void agent_group_heads(const struct agent_group *group, struct buf *out);

/* ------------------------------------------------------------------ what comes */

/* An event of a group, from a mailbox or a channel.  False: what comes before it is missing, it has
 * been asked for, and the item must wait. */
bool agent_group_event_item(struct agent *agent, const struct signed_event *event);
/* group_key, group_invite, group_key_req, group_rekey_req in a session with a peer. */
void agent_group_control(struct agent *agent, const struct profile_session *session,
                         const struct envelope *envelope);
/* A group message was opened: is its view of the group mine, and was it an admin who spoke? */
void agent_group_heard(struct agent *agent, struct agent_group *group,
                       const uint8_t sender[static 32], const struct envelope *envelope);
/* A2A_EPOCH: the broker has another epoch than the frame.  Events are fetched; A2A_GROUP_FORK if
 * the broker's is older and stays so. */
void agent_group_epoch_refused(struct agent *agent, struct agent_group *group, uint32_t epoch);
/* Different histories: stop both ways, alarm group_fork. */
void agent_group_forked(struct agent *agent, struct agent_group *group, const char *why);
/* The log says that somebody is revoked: admins remove him. */
void agent_groups_revoked(struct agent *agent, const uint8_t aid[static 32]);

/* Answers of EVENT and EVENTS that were about groups (asked->scope is the gid). */
void agent_group_events_answer(struct agent *agent, const struct agent_asked *asked, enum err code,
                               const struct message *message, const struct bytes *parts,
                               size_t part_count);
void agent_group_event_answer(struct agent *agent, const struct agent_asked *asked, enum err code,
                              const struct message *message);

/* ------------------------------------------------------------------ time */

/* EVENT for what the broker does not have, EVENTS for what we lack, keys from the epoch jobs. */
void agent_groups_send(struct agent *agent);
/* Rekeys, heartbeats, key requests, what is over; from agent_tick(). */
void agent_groups_tick(struct agent *agent);
/* Elapsed. */
uint64_t agent_groups_next_ms(const struct agent *agent);
/* The link begins anew: nothing is asked any more. */
void agent_groups_forget(struct agent *agent);
/* The broker was put back: chains are compared, and the tail that it lacks is given again. */
void agent_groups_doubt(struct agent *agent);
/* All in memory goes, to be made anew from the store. */
void agent_groups_free(struct agent *agent);

#endif
