/*
 * channel - what this agent knows in memory of one group's channel: how far it is read on this
 *           connection, what of it is to be acknowledged, and whose chains are open just now.
 *
 * Only agent/flow/group_mail*.c and link.c look inside.
 */
#ifndef FLOW_CHANNEL_H
#define FLOW_CHANNEL_H
#include "agent/crypto/group.h"
#include "agent/flow/delivery.h"
#include "agent/flow/group.h"
#include "agent/store/acks.h"
#include "agent/store/chains.h"
#include "agent/store/outbox.h"
#include "agent/store/peers.h"
#include "agent/store/sessions.h"

/* An item taken in since the cursor. */
struct channel_item {
    uint64_t position;
    uint8_t digest[32];
    int64_t peer_id; /* of a frame: who said it; else 0 */
    uint64_t seq;
    bool wants, opened; /* a receipt; and may have one */
};

/* An author whose frames come now: read once, written once a transaction. */
struct channel_author {
    struct channel_author *next;
    struct profile_peer peer;
    struct profile_received received;
    bool received_changed;
    /* its chain in one epoch; chain_id 0: none is loaded */
    struct profile_chain chain;
    struct group_epoch epoch;
    struct group_sending sending;
    bool moved;
};

struct agent_channel {
    struct agent_channel *next;
    int64_t group_id;
    uint8_t gid[16];
    uint64_t cursor; /* the broker's */
    bool cursor_known;
    uint64_t delivered_to; /* highest position taken in since HELLO */
    uint64_t last;         /* what HELLO said is there; 0: nothing waits */
    struct profile_channel row;
    bool row_changed;
    bool over; /* left or closed: nothing is written down any more */

    struct channel_item *items; /* above the cursor, ascending */
    size_t item_count, item_cap;
    uint64_t unacked;
    uint64_t ack_due_ms; /* elapsed; UINT64_MAX: nothing to acknowledge */
    uint64_t acked_ms;   /* elapsed, of the last ACK */
    bool ack_flying;
    bool ack_stuck; /* refused for good: HELLO starts anew, at ack_due_ms if ever */
    unsigned ack_refusals;

    struct agent_delivery *deliveries; /* that wait */
    bool held_full;                    /* … for keys */
    bool busy;                         /* an item is being taken in */
    struct channel_author *authors;
    bool opening;     /* one of them is in use */
    struct buf plain; /* of the message that is being opened */

    uint64_t counted_seq; /* the chain's next number when `readers` were counted; 0: never */
    size_t readers;       /* members whom the newest epoch has admitted, me included */

    bool synced; /* the broker's count of my frames was heard since the process began */
    bool asked;  /* it is asked for it */
};

/* Made if need be. */
struct agent_channel *agent_channel_of(struct agent *agent, const struct agent_group *group);
/* NULL: nothing is known of it. */
struct agent_channel *agent_channel_find(const struct agent *agent, int64_t group_id);

/* What was read of authors and their chains is written, and wiped from memory. */
void agent_channel_flush(struct agent *agent, struct agent_channel *channel);
void agent_channel_drop_authors(struct agent_channel *channel);
/* I am out of the group: nothing is opened or written down any more. */
void agent_channel_void(struct agent_channel *channel);

/* An item more; `peer_id` 0: no frame. */
void agent_channel_item_add(struct agent *agent, struct agent_channel *channel,
                            const struct channel_item *item, bool patient);
/* A frame that was held is open now: if it is not acknowledged yet, it may have a receipt. */
void agent_channel_item_opened(struct agent *agent, struct agent_channel *channel, int64_t peer_id,
                               uint64_t seq);
/* The receipts of the next ACK. */
struct ack_plan;
void agent_channel_plan(struct ack_plan *plan, const struct agent_channel *channel);
/* What waits is tried again. */
void agent_channels_resume(struct agent *agent);
/* The broker delivers anew. */
void agent_channels_forget(struct agent *agent);
void agent_channels_free(struct agent *agent);
bool agent_channels_caught_up(const struct agent *agent);
/* What is due soon goes now. */
void agent_channels_hurry(struct agent *agent);
uint64_t agent_channels_next_ms(const struct agent *agent);
void agent_channels_tick(struct agent *agent);

/* SYNC has told what the broker has of mine; a SEND was answered; a frame ended undelivered. */
void agent_group_synced(struct agent *agent, struct agent_group *group);
void agent_group_sent(struct agent *agent, struct agent_sender *sender);
void agent_group_notice(struct agent *agent, const struct profile_out *row, uint8_t reason);
/* The broker knows more of my words in it than I do: this profile has been put back. */
void agent_group_rolled_back(struct agent *agent, struct agent_group *group);
/* Its CLOSED was read: nothing comes behind it. */
void agent_group_read_to_end(struct agent *agent, struct agent_group *group);
/* Frames whose key is here by now are opened. */
void agent_group_open_held(struct agent *agent, struct agent_group *group);
/* What time does to group mail: every minute. */
void agent_group_mail_sweep(struct agent *agent);

#endif
