/*
 * groups - the groups I know of, their members, the epoch that I am handing out.
 *
 * Members are what the chain says; the rows are there for people (views) and for epoch jobs.
 */
#ifndef AGENT_STORE_GROUPS_H
#define AGENT_STORE_GROUPS_H
#include "agent/store/store.h"

enum profile_group_state {
    PROFILE_GROUP_INVITED = 1,
    PROFILE_GROUP_JOINED,
    PROFILE_GROUP_LEFT,
    PROFILE_GROUP_CLOSED,
    PROFILE_GROUP_FORKED
};

#define GROUP_TITLE_MAX   128
#define GROUP_PURPOSE_MAX 1024

struct profile_group {
    int64_t group_id; /* = scope_id */
    uint8_t id[16];
    enum profile_group_state state;
    uint8_t role;
    uint32_t epoch;
    bool stale;
    uint64_t heard_ms; /* newest word of an admin */
    uint64_t version;
};

/* Scope and group; group_id is given. */
void profile_group_add(struct agent_store *store, struct profile_group *group);
bool profile_group_get(struct agent_store *store, int64_t group_id, struct profile_group *out);
/* Above `after`. */
bool profile_group_next(struct agent_store *store, int64_t after, struct profile_group *out);
void profile_group_set(struct agent_store *store, const struct profile_group *group);
/* Name and purpose, sealed: [name, purpose, name by its inviter], as the flow packs them. */
void profile_group_title_set(struct agent_store *store, int64_t group_id, struct bytes title);
bool profile_group_title(struct agent_store *store, int64_t group_id, struct buf *out);

/* All of it goes.  False: something refers to it (mail, alarms), and nothing was done. */
bool profile_group_remove(struct agent_store *store, int64_t group_id);

/* peer_id 0: myself.  state 1 invited, 2 joined. */
void profile_member_put(struct agent_store *store, int64_t group_id, int64_t peer_id, uint8_t role,
                        uint8_t state);
void profile_member_remove(struct agent_store *store, int64_t group_id, int64_t peer_id);
void profile_members_clear(struct agent_store *store, int64_t group_id);
/* Those who have joined, above `after`, at most `max`; how many there are above it. */
size_t profile_members(struct agent_store *store, int64_t group_id, int64_t after, int64_t *peers,
                       size_t max);
uint64_t profile_members_above(struct agent_store *store, int64_t group_id, int64_t after);
/* Members for whom a group key is queued or sealed and not at the broker yet, but for those whose
 * key waits until they have accepted contact. */
uint64_t profile_group_keys_out(struct agent_store *store, int64_t group_id);
/* Those. */
uint64_t profile_group_keys_unanswered(struct agent_store *store, int64_t group_id);
/* My programs' messages that were sealed since. */
uint64_t profile_group_said_since(struct agent_store *store, int64_t group_id, uint64_t since_ms);

/* EARLY: another admin's key that came before its EPOCH; beside a job of my own. */
enum profile_job_state { JOB_EVENT = 1, JOB_KEYS, JOB_EARLY };
struct profile_job {
    int64_t job_id, group_id;
    uint32_t epoch;
    enum profile_job_state state;
    int64_t next_peer; /* members with a smaller number are done */
};
/* In the place of an older one of the group (EARLY: of one of the same epoch). */
void profile_job_put(struct agent_store *store, struct profile_job *job, struct bytes secret);
void profile_job_set(struct agent_store *store, const struct profile_job *job);
/* Not EARLY ones. */
bool profile_job_of(struct agent_store *store, int64_t group_id, struct profile_job *out);
bool profile_job_early(struct agent_store *store, int64_t group_id, uint32_t epoch,
                       struct profile_job *out);
/* All of the group, EARLY ones too. */
void profile_jobs_clear(struct agent_store *store, int64_t group_id);
/* Is a group key for the peer queued or sealed, or with the broker since then? */
bool profile_key_under_way(struct agent_store *store, int64_t peer_id, uint64_t since_ms);
bool profile_job_next(struct agent_store *store, int64_t after, struct profile_job *out);
/* The caller wipes. */
bool profile_job_secret(struct agent_store *store, const struct profile_job *job, struct buf *out);
void profile_job_remove(struct agent_store *store, int64_t job_id);

#endif
