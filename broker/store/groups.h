/*
 * groups - groups, their members, and their channels' readers.  What they say follows from the
 *          events of the group's chain alone (flow/groups.h keeps that chain in memory); the rows
 * are there for cursors, for HELLO and for people.
 */
#ifndef STORE_GROUPS_H
#define STORE_GROUPS_H
#include "broker/store/scopes.h"
#include "broker/store/streams.h"

struct group_row {
    int64_t group_id; /* = scope_id */
    uint8_t id[16];
    int64_t stream_id; /* its channel */
    uint64_t next_event;
    uint8_t head[32];
    bool closed;
    uint32_t epoch;
    bool stale;
    int64_t owner_id;
    uint32_t max_members;
    uint64_t created_ms, closed_ms; /* closed_ms 0: not yet */
};

/* ERR_NOT_FOUND: no such scope, or it is no group. */
enum err store_group_find(struct store *store, const uint8_t id[static 16], struct group_row *out);
enum err store_group_get(struct store *store, int64_t group_id, struct group_row *out);
/* Those above `after`, ascending, at most `max`. */
enum err store_group_list(struct store *store, int64_t after, struct group_row *out, size_t max,
                          size_t *count);
/* A new group without events, and its channel; group_id, stream_id, next_event and head are given.
 */
enum err store_group_add(struct store *store, struct group_row *group);
/* closed, epoch, stale, owner_id, closed_ms become what `group` says. */
enum err store_group_set(struct store *store, const struct group_row *group);
/* Open groups that an agent has joined; invitations of open groups that wait for its answer. */
enum err store_groups_count(struct store *store, int64_t agent_id, uint64_t *joined);
enum err store_invitations_count(struct store *store, int64_t agent_id, uint64_t now_ms,
                                 uint64_t *open);

/* Closed before `before_ms`, and no frame or item of it is left: everything of it goes.  *id is the
 * removed one.  ERR_NOT_FOUND: nothing to do. */
enum err store_group_sweep(struct store *store, uint64_t before_ms, int64_t *id);

struct member_row {
    int64_t group_id, agent_id;
    uint8_t role; /* enum group_role */
    bool joined;  /* else invited */
    uint64_t since_ms;
    uint64_t expires_ms; /* of an invitation */
};
enum err store_member_put(struct store *store, const struct member_row *member);
enum err store_member_remove(struct store *store, int64_t group_id, int64_t agent_id);
/* Groups that an agent is in or invited to, ascending, above `after`, at most `max`. */
enum err store_member_groups(struct store *store, int64_t agent_id, int64_t after,
                             struct member_row *out, size_t max, size_t *count);

/* Does the chain remove the agent with event `seq` or a later one? */
enum err store_group_removed(struct store *store, int64_t group_id, int64_t agent_id, uint64_t seq,
                             bool *removed);

/* A sender row of the group (numbering), made where it is missing; it outlives the membership. */
enum err store_group_sender(struct store *store, int64_t group_id, int64_t agent_id);

/* ---- readers of a channel ---------------------------------------------------------------------
 */

/* A cursor at `position`; ERR_EXISTS: there is one. */
enum err store_reader_add(struct store *store, int64_t stream_id, int64_t agent_id,
                          uint64_t position, uint64_t now_ms);
/* Its cursor goes; ERR_OK where there was none. */
enum err store_reader_remove(struct store *store, int64_t stream_id, int64_t agent_id);
/* Readers of a channel, any order.  May not write. */
typedef bool store_reader_of_visit(void *ctx, const struct cursor_row *cursor);
enum err store_readers(struct store *store, int64_t stream_id, store_reader_of_visit *row,
                       void *ctx);
/* The lowest cursor; UINT64_MAX: nobody reads it. */
enum err store_channel_low(struct store *store, int64_t stream_id, uint64_t *low);

/*
 * Removes rows of a channel up to `upto`, at most `max` of them, lowest first; counters, shares and
 * settled numbers follow.  *more: call again.
 */
enum err store_channel_trim(struct store *store, int64_t stream_id, uint64_t upto, uint64_t max,
                            bool *more);
/* Tombstones of one author in a channel, and the oldest of them. */
enum err store_channel_tombstones(struct store *store, int64_t stream_id, int64_t sender_id,
                                  uint64_t *count, uint64_t *oldest_position);

#endif
