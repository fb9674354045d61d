/*
 * receipts - what I sign for: ACKs made from the rows of table ack (docs/protocol.md 6.4, 6.5); and
 *            what others signed for, and the broker's notices.
 */
#ifndef FLOW_RECEIPTS_H
#define FLOW_RECEIPTS_H
#include "agent/flow/core.h"
#include "agent/store/acks.h"
#include "shared/trust/receipt.h"

/* HELLO said where the broker's cursor is. */
void agent_cursor_told(struct agent *agent, uint64_t cursor);

/* An item has been taken in; control items may wait longer. */
void agent_ack_due(struct agent *agent, bool control);
void agent_acks_send(struct agent *agent);
/* What is due soon goes now: before the word after which nobody waits for it. */
void agent_acks_hurry(struct agent *agent);
void agent_ack_answer(struct agent *agent, const struct agent_asked *asked, enum err code,
                      const struct message *message);

/* The receipts for some rows, as they will be signed. */
#define PLAN_RECEIPTS 63
struct planned_receipt {
    int64_t scope_id, peer_id; /* 0: the cursor receipt */
    uint8_t status;
    uint64_t from, to;
    struct range_digest range;
};
struct ack_plan {
    struct planned_receipt receipt[PLAN_RECEIPTS + 1];
    size_t count;
    uint64_t position; /* of the last row that is covered; 0: none */
};

/* Covers rows (ascending positions) from the first on, each exactly once, as far as 64 receipts
 * reach. */
void agent_ack_plan(struct ack_plan *plan, const struct profile_ack *rows, size_t count);

/* Signs and appends it.  False: its scope or sender is gone. */
bool agent_receipt_sign(struct agent *agent, struct planned_receipt *planned,
                        struct list_maker *list);

void agent_receipt_item(struct agent *agent, struct bytes item);
void agent_notice_item(struct agent *agent, struct bytes item);

#endif
