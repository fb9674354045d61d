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

/* Where an EPOCH stands in the chain. */
struct agent_epoch_place {
    uint64_t seq;
    uint32_t epoch;
    uint8_t suite;
    uint8_t digest[32];
};

/* One group in memory. */
struct agent_group {
    struct agent_group *next;
    int64_t group_id;         /* = scope_id */
    struct group_chain chain; /* as verified, the broker's part and my unconfirmed tail */
    struct profile_group row;
    char name[NAME_MAX_LEN + 1]; /* what I call it; empty: not told yet */
    struct buf purpose;
    uint8_t inviter[32];      /* who told the name … */
    uint8_t told_created[32]; /* … and of which group: digest of CREATED; zeroes: nobody */
    uint64_t last_event_ms;   /* time of the newest event */
    struct agent_epoch_place *epochs; /* ascending, my unconfirmed ones too */
    size_t epoch_count, epoch_cap;

    /* the broker's part of the chain */
    uint64_t stored_seq;     /* it has all below */
    uint8_t stored_head[32]; /* digest of the event before that */
    uint64_t said_seq;       /* it says that it has all below */
    uint64_t given_to;       /* what is below was confirmed once: the broker gets it again */
    bool compared;           /* on this connection: I know what it has */
    bool asked;              /* EVENTS or EVENT is on its way */
    bool wants_events;       /* the broker is said to have more */
    bool one_by_one;         /* EVENT was refused: which event is it? */
    unsigned failures;       /* of EVENT, in a row */
    uint64_t wait_ms;        /* elapsed: nothing is tried before */
    enum err refusal;
    bool held, held_told; /* an invitation that waits for a person; and programs have heard of it */
    struct buf batch;     /* events that came and wait for keys: packed list */
    uint32_t batch_count; /* of them */
    struct buf removal;   /* REMOVED of me, whose actor's key is not here */
    struct buf strangers; /* 33 each: an actor whose key is wanted, enum stranger */
    size_t lookups;       /* LOOKUPs on their way */
    bool gave_all;        /* on this connection: the broker did not know the group, it got it all */
    uint64_t doubt_seq;   /* an event below this takes a revocation that my log does not have … */
    uint64_t doubt_until; /* … and is judged after so many answers of LOG */
    uint64_t unproven; /* an event below this was taken without its signature: its actor is revoked
                        * and nobody tells the key; a later signature must cover it */

    /* keys */
    uint64_t keyless_ms;   /* wall clock: since when the epoch's key is missing; 0: it is here */
    uint64_t key_asked_ms; /* elapsed: next time */
    unsigned key_asks;
    bool keys_due; /* the epoch job has members left */

    /* epochs that I owe as an admin; elapsed, 0: none */
    uint64_t epoch_due_ms;
    uint64_t rekeyed_ms;    /* elapsed: the last one made for a member who asked */
    uint64_t revoke_due_ms; /* elapsed */
    uint64_t judge_ms;      /* elapsed: an invitation is looked at again */
    uint64_t gap_seq;       /* an event came from the channel … */
    unsigned gap_asks;      /* … that the broker's history does not reach, so many times */
    bool look_revoked;      /* is somebody in it revoked? */
    uint64_t age_due_ms;    /* elapsed: next look at age and number of messages */

    /* freshness */
    uint64_t beat_jitter_ms;
    uint64_t beaten_ms;      /* wall clock: my last heartbeat */
    uint64_t fresh_asked_ms; /* elapsed: group_rekey_req not before */
    unsigned fresh_asks;
    uint64_t ahead_seq; /* an admin says that this event is there; 0: nothing */
    uint8_t ahead_digest[32];
    unsigned ahead_asks;     /* … and so many times the broker did not have it */
    unsigned epoch_refusals; /* A2A_EPOCH, though the broker has no other epoch */
};

/* ------------------------------------------------------------------ looking */

/* NULL: no such group.  Borrowed until the transaction ends. */
struct agent_group *agent_group_of(struct agent *agent, int64_t group_id);
struct agent_group *agent_group_named(struct agent *agent, const uint8_t gid[static 16]);

/* The newest epoch as messages need it; false: there is none yet. */
bool agent_group_epoch(const struct agent_group *group, struct group_epoch *out);
/* The same for any epoch that the broker has confirmed. */
bool agent_group_epoch_at(const struct agent_group *group, uint32_t epoch, struct group_epoch *out);
/* Joined, not closed or forked, the epoch's key here, what the broker has known since the link came
 * up, not silent, and (strict) not stale. */
bool agent_group_may_seal(struct agent *agent, const struct agent_group *group);
/* What a frame says about its group: [[gid, seq, digest]], packed, for envelope key 15. */
void agent_group_heads(const struct agent_group *group, struct buf *out);
/* Is it owner or admin of a group that I am in? */
bool agent_group_admin_of_mine(struct agent *agent, const uint8_t aid[static 32]);

/* ------------------------------------------------------------------ what comes */

/* An event of a group, from a mailbox or a channel.  False (channels only): it cannot be judged
 * yet, what it takes has been asked for, and the item must wait; agent_incoming_resume() is called
 * when it has come.  A channel that waits must not hold up the mailbox. */
bool agent_group_event_item(struct agent *agent, const struct signed_event *event);
/* group_key, group_invite, group_key_req, group_rekey_req in a session with a peer. */
void agent_group_control(struct agent *agent, const struct profile_session *session,
                         const struct envelope *envelope);
/* A group message was opened: is its view of the group mine, and was it an admin who spoke? */
void agent_group_heard(struct agent *agent, struct agent_group *group,
                       const uint8_t sender[static 32], const struct envelope *envelope);
/* A2A_EPOCH: the broker has another epoch than the frame's, which is `epoch`.  Events are fetched;
 * A2A_GROUP_FORK if the broker's is older and stays so. */
void agent_group_epoch_refused(struct agent *agent, struct agent_group *group, uint32_t epoch);
/* Different histories: stop both ways, alarm group_fork. */
void agent_group_forked(struct agent *agent, struct agent_group *group, const char *why);
/* The log says that somebody is revoked: admins remove him. */
void agent_groups_revoked(struct agent *agent, const uint8_t aid[static 32]);
/* A person has said whom to trust: invitations that are held. */
void agent_groups_judge(struct agent *agent);
/* The log has grown: keys that waited for it. */
void agent_groups_resume(struct agent *agent);

/* Answers that were about groups: of EVENT and EVENTS (asked->scope_id is a group's), of LOOKUP for
 * the key of an actor (asked->peer_id 0, scope_id the group's). */
void agent_group_events_answer(struct agent *agent, const struct agent_asked *asked, enum err code,
                               const struct message *message);
void agent_group_event_answer(struct agent *agent, const struct agent_asked *asked, enum err code,
                              const struct message *message);
void agent_group_actor_answer(struct agent *agent, const struct agent_asked *asked, enum err code,
                              const struct message *message);

/* ------------------------------------------------------------------ time */

/* In memory, from the store. */
void agent_groups_load(struct agent *agent);
/* The link is up: every group's chain is compared before anything is sealed for it. */
void agent_groups_up(struct agent *agent);
/* Before the turn is committed: invitations judged, epochs that are due made, keys from the epoch
 * jobs queued, a bounded slice. */
void agent_groups_prepare(struct agent *agent);
/* EVENT for what the broker does not have, EVENTS for what we lack. */
void agent_groups_send(struct agent *agent);
/* Rekeys, heartbeats, key requests, what is over; from agent_tick(). */
void agent_groups_tick(struct agent *agent);
/* Elapsed. */
uint64_t agent_groups_next_ms(const struct agent *agent);
/* The link begins anew: nothing is asked any more. */
void agent_groups_forget(struct agent *agent);
/* All in memory goes, to be made anew from the store. */
void agent_groups_free(struct agent *agent);

/* Does an invitation of this agent wait for an answer? */
bool agent_group_invites_me(struct agent *agent, const uint8_t aid[static 32]);
/* Invitations that are held, for agent_requests_each(). */
void agent_group_requests_each(struct agent *agent,
                               void (*each)(void *ctx, const struct request_info *request),
                               void *ctx);

#endif
