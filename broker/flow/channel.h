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

/* Something was stored in the channel. */
void group_wake(struct flow *flow, struct group *group);

/* The reader's cursor was deleted in this turn: once that is committed, what it has in flight from
 * this channel does not count any more, and the channel is trimmed. */
void channel_reader_left(struct flow *flow, struct group *group, int64_t agent_id);

/* The lowest cursor may have moved: groups_trim() looks. */
void channel_moved(struct flow *flow, struct group *group);

/* Trims channels whose readers have moved: a bounded step, inside a turn. */
enum err groups_trim(struct flow *flow);
/* At opening: whatever was to be trimmed when the broker stopped. */
enum err groups_trim_resume(struct flow *flow);
bool groups_trim_due(const struct flow *flow);

#endif
