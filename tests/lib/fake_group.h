/*
 * fake_group - a group made by hand: its events, really signed, each the next of its chain whether
 *              or not the rules allow it; and groups that stand at a broker with their members.
 */
#ifndef TESTS_FAKE_GROUP_H
#define TESTS_FAKE_GROUP_H
#include "shared/trust/group_chain.h"
#include "tests/lib/fake_broker.h"

struct fake_group {
    struct group_chain chain; /* as far as events were taken */
};

/* An id that follows from `number`; no event yet. */
void fake_group_begin(struct fake_group *group, uint64_t number);
void fake_group_free(struct fake_group *group);

/* Would be the next event, and changes nothing.  `target` NULL: nobody. */
void fake_group_event(const struct fake_group *group, const struct fake_agent *actor,
                      enum event_type type, const struct fake_agent *target, struct bytes body,
                      uint64_t now_ms, struct fake_event *out);
/* The chain goes on with it. */
void fake_group_take(struct fake_group *group, const struct fake_event *event);

/* Made with the body that is right now. */
void fake_created(const struct fake_group *group, const struct fake_agent *actor, uint8_t flags,
                  uint32_t max_members, uint64_t now_ms, struct fake_event *out);
void fake_invited(const struct fake_group *group, const struct fake_agent *actor,
                  const struct fake_agent *target, uint8_t role, uint64_t now_ms,
                  uint64_t expires_ms, struct fake_event *out);
void fake_joined(const struct fake_group *group, const struct fake_agent *actor, uint64_t now_ms,
                 struct fake_event *out);
void fake_removed(const struct fake_group *group, const struct fake_agent *actor,
                  const struct fake_agent *target, uint8_t reason, uint64_t now_ms,
                  struct fake_event *out);
void fake_epoch(const struct fake_group *group, const struct fake_agent *actor, uint64_t now_ms,
                struct fake_event *out);
void fake_role(const struct fake_group *group, const struct fake_agent *actor,
               const struct fake_agent *target, uint8_t role, uint64_t now_ms,
               struct fake_event *out);
void fake_group_closed(const struct fake_group *group, const struct fake_agent *actor,
                       uint64_t now_ms, struct fake_event *out);

/* ---- at a broker --------------------------------------------------------------------------------
 */

/* Says events that were made one behind the other; the chain has taken them already. */
struct answer fake_group_say(struct fake_broker *broker, const struct fake_party *by,
                             const struct fake_event *events, size_t count);
/* CREATED and EPOCH 1. */
void fake_group_open(struct fake_broker *broker, struct fake_group *group,
                     const struct fake_party *owner, uint8_t flags, uint64_t number);
/* INVITED and JOINED by themselves, then one EPOCH by the owner: all of them read. */
void fake_group_admit(struct fake_broker *broker, struct fake_group *group,
                      const struct fake_party *owner, const struct fake_party *members,
                      size_t count);
/* REMOVED and EPOCH. */
struct answer fake_group_remove(struct fake_broker *broker, struct fake_group *group,
                                const struct fake_party *by, const struct fake_party *target);

/* A frame of the group around `size` bytes of noise (a bucket); appended to `out`. */
void fake_group_frame(struct buf *out, const struct fake_group *group,
                      const struct fake_agent *from, uint32_t epoch, uint64_t seq, uint8_t flags,
                      uint64_t expires_ms, size_t size);

/* ---- its channel --------------------------------------------------------------------------------
 */

/* One frame by a member, in the chain's epoch, of the smallest size, for a day; the status. */
enum err fake_group_send(struct fake_broker *broker, const struct fake_group *group,
                         const struct fake_party *by, uint64_t seq);
/* ERR_NOT_MEMBER, or what is above the cursor; *count in and out. */
enum err fake_channel_fetch(struct fake_broker *broker, const struct fake_party *party,
                            const struct fake_group *group, struct fake_item *items, size_t *count);
struct answer fake_channel_ack_with(struct fake_broker *broker, const struct fake_party *party,
                                    const struct fake_group *group, uint64_t after,
                                    uint64_t position, const struct list_maker *receipts);
/* What the cursor receipt of an ACK of these items, all of them, is. */
void fake_channel_receipt(const struct fake_agent *reader, const struct fake_item *items,
                          size_t count, uint64_t now_ms, struct list_maker *out);
/* 0: no such reader. */
uint64_t fake_channel_cursor(struct fake_broker *broker, const struct fake_party *party,
                             const struct fake_group *group);
/* FETCH and ACK until nothing is left; how many items. */
size_t fake_channel_ack_all(struct fake_broker *broker, const struct fake_party *party,
                            const struct fake_group *group);

#endif
