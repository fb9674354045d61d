/*
 * channel - a group's stream while it is read: whom something new wakes, what a removed reader had
 *           in flight, and the rows that nobody needs any more.
 *
 * Whoever changes a channel says so here: group_wake() after a row was stored in it,
 * channel_reader_left() after a cursor was deleted.  A reader that was added needs no word: its
 * cursor is looked up when the channel wakes it.
 */
#ifndef BROKER_CHANNEL_H
#define BROKER_CHANNEL_H
#include "broker/flow/groups.h"

/* The group's channel among what the peer reads; looked up where it was added since its HELLO.
 * ERR_NOT_MEMBER: no such group, or not read by this one. */
enum err channel_reading(struct flow *flow, struct peer *peer, const uint8_t gid[static 16],
                         struct group **group, struct reading **reading);

/* Something was stored in the channel. */
void group_wake(struct flow *flow, struct group *group);

/* The reader's cursor was deleted in this turn: once that is committed, what it has in flight from
 * this channel does not count any more, and the channel is trimmed. */
void channel_reader_left(struct flow *flow, struct group *group, int64_t agent_id);

/* The lowest cursor may have moved: groups_trim() looks. */
void channel_moved(struct flow *flow, struct group *group);

/* A tombstone of this author was put into the channel: of more than 1,000 the oldest that nobody
 * has in flight goes. */
enum err channel_cap_tombstones(struct flow *flow, const struct group *group, int64_t sender_id);

/* Readers of the channels that were woken are woken themselves. */
enum err channels_wake(struct flow *flow);

/* Trims channels whose readers have moved: a bounded step, inside a turn. */
enum err groups_trim(struct flow *flow);
/* At opening: whatever was to be trimmed when the broker stopped. */
enum err groups_trim_resume(struct flow *flow);
bool groups_trim_due(const struct flow *flow);

#endif
