/*
 * groups - the broker's side of a group: its chain in memory, who reads its channel, what every
 *          event does to members, cursors and mailboxes (docs/protocol.md 5.2, 5.4).
 *
 * A group that was looked at is kept, its chain made from its events once; after a rollback
 * (store_rollbacks()) it is made anew, in its place.  What is delivered from its channel, and what
 * leaves it, is channel.h's.
 */
#ifndef BROKER_GROUPS_H
#define BROKER_GROUPS_H
#include "broker/flow/flow_internal.h"
#include "broker/store/groups.h"
#include "shared/trust/group_chain.h"

struct group {
    struct group_row row;
    struct group_chain chain;
    int64_t *readers; /* agent ids that have a cursor, ascending */
    size_t reader_count, reader_cap;
    struct buf epoch_list; /* members of the newest epoch: aid, role; ascending */
    uint64_t rollbacks;
    /* of channel.c */
    bool is_woken; /* something new is in the channel: its readers are woken at the turn's end */
    struct group *next_woken;
    bool trims; /* its lowest cursor may have moved */
    struct group *next_trim;
    uint64_t low; /* no reader's cursor is lower; 0: not known */
};

/* ERR_NOT_FOUND; ERR_STORE.  Borrowed until the turn ends. */
enum err group_find(struct flow *flow, const uint8_t id[static 16], struct group **out);
enum err group_get(struct flow *flow, int64_t group_id, struct group **out);
void groups_free(struct flow *flow);
/* Between turns, or when nobody holds a group in this one: where there are too many in memory, all
 * go that are in no chain of channel.h. */
void groups_shrink(struct flow *flow);

/* Joined, and not revoked: may send.  Invited ones too: may read and append events. */
bool group_has_member(const struct group *group, const uint8_t aid[static 32]);
bool group_has_party(const struct group *group, const uint8_t aid[static 32]);
bool group_has_reader(const struct group *group, int64_t agent_id);

/* An EVENT whose events are a group's: everything of docs/protocol.md 6.8 from "scope known" on.
 * Called by event_handle() after layout and signatures. */
struct group_append {
    const struct signed_event *said;
    const struct event *parsed;
    size_t count;
};
enum err group_append(struct flow *flow, const struct request *request, struct reply *reply,
                      const struct group_append *append);
/* What waits for an agent's answer: requests, and invitations into groups. */
struct held {
    uint64_t count, bytes;
};
#define INVITATION_BYTES (EVENT_SIZE + 64 + INVITED_BODY_SIZE)
enum err held_count(struct flow *flow, int64_t agent_id, struct held *out);

/* EVENTS of a group.  ERR_NOT_FOUND: unknown, or not the asker's. */
enum err group_events(struct flow *flow, const struct request *request, struct reply *reply);

/* The agent is revoked: its cursors and invitations end, its groups are stale.  One bounded step
 * over the groups above *after, which follows; *more: call again. */
enum err group_agent_revoked(struct flow *flow, int64_t agent_id, int64_t *after, bool *more);

/* One group that was closed before `before_ms` and of which nothing waits goes for good.
 * ERR_NOT_FOUND: there is none. */
enum err groups_forget_step(struct flow *flow, uint64_t before_ms);

/* ---- for group_append.c ------------------------------------------------------------------------
 */

/* A new group with its channel; `row.id` and what store_group_add() wants are given. */
enum err group_begin(struct flow *flow, const struct group_row *row, struct group **out);
/* Who reads from now on, and who no longer does. */
enum err group_reader_add(struct flow *flow, struct group *group, int64_t agent_id,
                          uint64_t position);
enum err group_reader_remove(struct flow *flow, struct group *group, int64_t agent_id);
/* `epoch_list` follows the chain's members. */
void group_epoch_begun(struct group *group);
/* Stale by the chain's word, or because a member is revoked. */
bool group_is_stale(struct flow *flow, const struct group *group);

#endif
