/*
 * group_inner - what the files group*.c share; nobody else includes it.
 */
#ifndef FLOW_GROUP_INNER_H
#define FLOW_GROUP_INNER_H
#include "agent/flow/group.h"
#include "agent/store/peers.h"

/* ------------------------------------------------------------------ memory (group.c) */

/* A group that was not known; in the list. */
struct agent_group *agent_group_make(struct agent *agent, const uint8_t gid[static 16],
                                     enum profile_group_state state, uint8_t role);
/* Takes it out of the list. */
void agent_group_forget(struct agent *agent, struct agent_group *group);
/* Chain and epochs anew from the store. */
void agent_group_reload(struct agent *agent, struct agent_group *group);
void agent_group_note_epoch(struct agent_group *group, uint64_t seq);
/* The chain as it was behind the EPOCH of this number; the caller frees.  False: no such EPOCH. */
bool agent_group_chain_at(struct agent *agent, const struct agent_group *group, uint32_t epoch,
                          struct group_chain *out);

/* Writes down what the chain says: role, epoch, stale; and the state. */
void agent_group_save(struct agent *agent, struct agent_group *group,
                      enum profile_group_state state);
void agent_group_name_set(struct agent *agent, struct agent_group *group, const char *name,
                          struct bytes purpose, struct bytes told, const uint8_t inviter[static 32],
                          const uint8_t created[static 32]);
/* `want` if no other group that goes on is called so, else want-2 …; `but` does not count. */
void agent_group_name_free(const struct agent *agent, const struct agent_group *but,
                           const char *want, char out[static NAME_MAX_LEN + 1]);
bool agent_group_name_taken(const struct agent *agent, const struct agent_group *but,
                            const char *name);
/* Invited, joined, forked: it goes on. */
bool agent_group_is_open(const struct agent_group *group);

static inline bool agent_group_is_me(const struct agent *agent, const uint8_t aid[static 32])
{
    return memcmp(aid, agent->me.row.id, 32) == 0;
}

/* NULL: I am neither member nor invited. */
static inline const struct group_member *agent_group_me(const struct agent *agent,
                                                        const struct agent_group *group)
{
    return group_member_find(&group->chain, agent->me.row.id);
}
/* Joined, open, and owner or admin. */
bool agent_group_is_mine_to_keep(const struct agent *agent, const struct agent_group *group);
struct group_facts agent_group_facts(struct agent *agent);
/* The alarm group_fork, and no more. */
void agent_group_alarm(struct agent *agent, const struct agent_group *group, const char *why);

/* ------------------------------------------------------------------ events (group_log.c) */

/* Signs the next event of the chain and keeps it until the broker has it.  Errors as
 * group_chain_check(); then nothing has changed.  `target` NULL: nobody. */
enum err agent_group_wish(struct agent *agent, struct agent_group *group, enum event_type type,
                          const uint8_t *target, struct bytes body);
/* How many of my events the broker has not confirmed. */
size_t agent_group_pending(const struct agent_group *group);
/* Is one of this type among them? */
bool agent_group_wishes(struct agent *agent, const struct agent_group *group, enum event_type type);

/* An event of the broker's chain, from others or confirmed of mine: what it means for me
 * (group_settle.c). */
void agent_group_settled(struct agent *agent, struct agent_group *group, const struct event *event,
                         struct bytes body);
/* Actors whose keys are wanted (group_actor.c).  NULL: not known. */
const uint8_t *agent_group_key_of(struct agent *agent, const uint8_t aid[static 32],
                                  struct profile_peer *peer);
void agent_group_stranger_add(struct agent_group *group, const uint8_t aid[static 32]);
/* It is revoked, and nobody tells its key. */
bool agent_group_is_lost(struct agent_group *group, const uint8_t aid[static 32]);
bool agent_group_has_strangers(const struct agent_group *group);
void agent_group_strangers_forget(struct agent_group *group);
/* The answer is in: what waited for it. */
void agent_group_actor_known(struct agent *agent, struct agent_group *group);
/* LOOKUP for actors whose keys are not here. */
void agent_group_strangers_ask(struct agent *agent, struct agent_group *group);
bool agent_group_wants_lookup(const struct agent_group *group);
/* Answers of EVENT: somebody was faster; the broker has all below `next`. */
void agent_group_conflict(struct agent *agent, struct agent_group *group,
                          const struct message *message);
void agent_group_accepted(struct agent *agent, struct agent_group *group, uint64_t next);
/* The broker has no more events than we, and we no fewer. */
void agent_group_caught_up(struct agent *agent, struct agent_group *group);

/* ------------------------------------------------------------------ rebasing (group_rebase.c) */

/* What I wanted with the events that the broker has not confirmed. */
struct group_want {
    uint8_t type; /* enum event_type */
    uint8_t target[32];
    uint8_t body[EPOCH_BODY_SIZE];
    size_t body_len;
};
struct group_wants {
    struct group_want *list; /* owned */
    size_t count;
    uint32_t epoch; /* before them */
};
/* Takes my unconfirmed tail off the chain; `skip` events of it are not wanted any more. */
void agent_group_tail_take(struct agent *agent, struct agent_group *group, size_t skip,
                           struct group_wants *out);
/* Says it again behind what the chain has become, as far as it still makes sense.  Frees. */
void agent_group_tail_remake(struct agent *agent, struct agent_group *group,
                             struct group_wants *wants);

/* ------------------------------------------------------------------ epochs (group_epoch.c) */

/* EPOCH with a new secret, and its job. */
enum err agent_group_epoch_wish(struct agent *agent, struct agent_group *group);
/* An EPOCH is in the broker's chain. */
void agent_group_epoch_begun(struct agent *agent, struct agent_group *group,
                             const struct event *event, const struct epoch_body *body);
/* Members of the present epoch get their keys before it is over. */
void agent_group_job_finish(struct agent *agent, struct agent_group *group);
/* A bounded slice. */
void agent_group_job_step(struct agent *agent, struct agent_group *group);
/* As an admin: an epoch in `after_ms` (elapsed clock, later for those who are not the owner). */
void agent_group_epoch_owe(struct agent *agent, struct agent_group *group, uint64_t after_ms);
void agent_group_key_came(struct agent *agent, const struct profile_session *session,
                          struct bytes body);
void agent_group_key_asked(struct agent *agent, const struct profile_session *session,
                           struct bytes body);
void agent_group_rekey_asked(struct agent *agent, const struct profile_session *session,
                             struct bytes body);
void agent_group_keyless(struct agent *agent, struct agent_group *group);
/* Queues a control message for a member, with or without a session. */
void agent_group_tell(struct agent *agent, const uint8_t aid[static 32], uint8_t kind,
                      struct bytes body);

/* ------------------------------------------------------------------ invitations (group_invite.c)
 */

void agent_group_invite_tell(struct agent *agent, struct agent_group *group,
                             const uint8_t aid[static 32]);
void agent_group_invite_came(struct agent *agent, const struct profile_session *session,
                             struct bytes body);
/* An INVITED of me in my mailbox, of a group that I do not know or am not in. */
void agent_group_invited(struct agent *agent, struct agent_group *group, const struct event *event);
/* The agent who signed my INVITED. */
bool agent_group_inviter(struct agent *agent, const struct agent_group *group,
                         uint8_t aid[static 32]);
/* JOINED.  ERR_NOT_FOUND: not invited; ERR_EXPIRED. */
enum err agent_group_join_wish(struct agent *agent, struct agent_group *group);
/* Joins where consent is given; forgets what is over. */
void agent_group_invitation_judge(struct agent *agent, struct agent_group *group);
/* I have joined: requests of its owner and admins are accepted. */
void agent_group_admins_accept(struct agent *agent, struct agent_group *group);
/* Not, or no longer, in it. */
void agent_group_left(struct agent *agent, struct agent_group *group);

/* ------------------------------------------------------------------ freshness (group_fresh.c) */

bool agent_group_is_silent(const struct agent *agent, const struct agent_group *group);
void agent_group_word(struct agent *agent, struct agent_group *group, uint64_t at_ms);
/* The chain has grown: is what an admin said about it true? */
void agent_group_ahead_check(struct agent *agent, struct agent_group *group);

#endif
