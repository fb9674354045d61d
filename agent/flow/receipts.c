#include "agent/flow/receipts.h"

#include <stdlib.h>

#include "agent/crypto/sign.h"
#include "agent/flow/channel.h"
#include "agent/flow/group_mail.h"
#include "agent/flow/link.h"
#include "agent/store/alarms.h"
#include "agent/store/peers.h"
#include "agent/store/scopes.h"
#include "shared/base/crash.h"
#include "shared/base/log.h"
#include "shared/wire/limit.h"

#define ACK_AT_ITEMS 64

void agent_cursor_told(struct agent *agent, uint64_t cursor)
{
    struct profile_ack last[1];
    uint64_t after = cursor;

    profile_cursor_set(agent->store, cursor);
    profile_acks_remove(agent->store, 0, cursor);
    agent->known_to = 0;
    if (profile_acks(agent->store, after, INT64_MAX, last, 1) == 1)
        agent->known_to = INT64_MAX;
    agent->delivered_to = cursor;
}

void agent_ack_due(struct agent *agent, bool control)
{
    uint64_t now = agent_elapsed(agent);
    uint64_t due = now + (control ? LIMIT_ACK_CONTROL_MS : LIMIT_ACK_DELAY_MS);

    agent->unacked++;
    if (agent->unacked >= ACK_AT_ITEMS)
        due = now;
    if (due < agent->ack_due_ms)
        agent->ack_due_ms = due;
}

/* ------------------------------------------------------------------ planning */

static struct planned_receipt *begin_receipt(struct ack_plan *plan, const struct profile_ack *row)
{
    struct planned_receipt *receipt = &plan->receipt[plan->count++];

    *receipt = (struct planned_receipt){ .status = row->status };
    if (row->status) {
        receipt->scope_id = row->scope_id;
        receipt->peer_id = row->peer_id;
        receipt->from = row->seq;
    } else {
        receipt->status = RECEIPT_DELIVERED;
        receipt->from = row->position;
    }
    range_begin(&receipt->range);
    return receipt;
}

/* The receipt that this row continues: the newest of its session, if the number is the next and the
 * status the same; the one cursor receipt for what is settled silently. */
static struct planned_receipt *find_receipt(struct ack_plan *plan, const struct profile_ack *row)
{
    for (size_t i = plan->count; i-- > 0;) {
        struct planned_receipt *receipt = &plan->receipt[i];
        if (row->status == 0 && receipt->scope_id == 0)
            return receipt;
        if (row->status != 0 && receipt->scope_id == row->scope_id)
            return receipt->status == row->status && receipt->to + 1 == row->seq
                           && receipt->range.count < RECEIPT_RANGE_MAX
                       ? receipt
                       : NULL;
    }
    return NULL;
}

void agent_ack_plan(struct ack_plan *plan, const struct profile_ack *rows, size_t count)
{
    bool cursor = false;

    plan->count = 0;
    plan->position = 0;
    for (size_t i = 0; i < count; i++) {
        struct planned_receipt *receipt = find_receipt(plan, &rows[i]);
        if (!receipt) {
            /* One place is kept for the cursor receipt. */
            if (rows[i].status ? plan->count - cursor >= PLAN_RECEIPTS : cursor)
                return;
            receipt = begin_receipt(plan, &rows[i]);
            cursor = cursor || rows[i].status == 0;
        }
        receipt->to = rows[i].status ? rows[i].seq : rows[i].position;
        range_add(&receipt->range, rows[i].digest);
        plan->position = rows[i].position;
    }
}

/* ------------------------------------------------------------------ ACK */

bool agent_receipt_sign(struct agent *agent, struct planned_receipt *planned,
                        struct list_maker *list)
{
    struct receipt receipt = { .status = planned->status,
                               .from = planned->from,
                               .to = planned->to,
                               .ts_ms = agent_now(agent) };
    uint8_t preimage[RECEIPT_SIZE], sig[64];
    struct profile_scope scope;
    struct profile_peer peer;

    if (planned->scope_id) {
        if (!profile_scope_get(agent->store, planned->scope_id, &scope)
            || !profile_peer_get(agent->store, planned->peer_id, &peer))
            return false;
        memcpy(receipt.scope, scope.id, 16);
        memcpy(receipt.sender, peer.id, 32);
    }
    memcpy(receipt.recipient, agent->me.row.id, 32);
    range_end(&planned->range, receipt.range_digest);
    receipt_encode(preimage, &receipt);
    sign(sig, agent->me.ik_secret, bytes_of(preimage, sizeof preimage));
    list_add_receipt(list, &(struct wire_receipt){ preimage, sig });
    return true;
}

static bool send_plan(struct agent *agent, struct ack_plan *plan, uint64_t cursor)
{
    static const uint8_t mailbox[16];
    struct message message = agent_message(VERB_ACK);
    struct list_maker receipts = { 0 };
    struct agent_asked *asked = NULL;
    bool good = true;

    for (size_t i = 0; i < plan->count && good; i++)
        good = agent_receipt_sign(agent, &plan->receipt[i], &receipts);
    if (good) {
        MESSAGE_SET(&message, stream, mailbox);
        MESSAGE_SET(&message, after, cursor);
        MESSAGE_SET(&message, position, plan->position);
        MESSAGE_SET(&message, receipts, list_of(&receipts));
        asked = agent_ask(agent, &message, NULL, 0);
    }
    list_free(&receipts);
    if (asked)
        asked->number = plan->position;
    CRASH_POINT("recv.ack_wire");
    return asked != NULL;
}

void agent_acks_send(struct agent *agent)
{
    struct profile_ack *rows;
    struct ack_plan *plan;
    uint64_t cursor;
    size_t count;

    if (agent->ack_flying || agent->ack_stuck || !agent_is_up(agent)
        || agent_elapsed(agent) < agent->ack_due_ms)
        return;
    rows = mem_alloc(LIMIT_ACK_ITEMS * sizeof *rows);
    plan = mem_alloc(sizeof *plan);
    cursor = profile_cursor(agent->store);
    count = profile_acks(agent->store, cursor, agent->delivered_to, rows, LIMIT_ACK_ITEMS);
    agent_ack_plan(plan, rows, count);
    if (plan->position == 0) {
        agent->ack_due_ms = UINT64_MAX;
    } else if (send_plan(agent, plan, cursor)) {
        agent->ack_flying = true;
        agent->unacked = 0;
        agent->ack_due_ms
            = plan->position < agent->delivered_to ? agent_elapsed(agent) : UINT64_MAX;
    }
    free(rows);
    free(plan);
}

void agent_acks_hurry(struct agent *agent)
{
    agent_channels_hurry(agent);
    if (agent->ack_due_ms == UINT64_MAX || agent->ack_flying || agent->ack_stuck)
        return;
    agent->ack_due_ms = agent_elapsed(agent);
    agent_acks_send(agent);
}

void agent_ack_answer(struct agent *agent, const struct agent_asked *asked, enum err code,
                      const struct message *message)
{
    if (asked->scope_id) {
        agent_channel_ack_answer(agent, asked, code, message);
        return;
    }
    agent->ack_flying = false;
    switch (err_retry(code)) {
    case RETRY_FIX:
        if (code == ERR_CONFLICT && MESSAGE_HAS(message, position)) {
            uint64_t delivered = agent->delivered_to;
            agent_cursor_told(agent, message->position);
            agent->delivered_to = delivered > message->position ? delivered : message->position;
            agent->ack_due_ms = agent_elapsed(agent);
        } else if (code == ERR_RECEIPT && agent->ack_refusals++ == 0) {
            agent->hello_wanted = true; /* what was delivered and what the broker counts differ */
        } else if (code == ERR_RECEIPT) {
            /* Somebody errs or lies: told, and begun anew at leisure; no mail is taken meanwhile.
             */
            log_event(LOG_ERROR, "ack.refused_again", "error=%s", err_name(code));
            agent->ack_stuck = true;
            agent->ack_due_ms = agent_elapsed(agent) + agent_backoff(agent, agent->ack_refusals);
        }
        return;
    case RETRY_SAME:
        agent->ack_due_ms = agent_elapsed(agent) + agent_backoff(agent, 1);
        return;
    case RETRY_ASK:
    case RETRY_STOP:
    case RETRY_NO:
        break;
    }
    if (code != ERR_OK) {
        log_event(LOG_WARN, "ack.refused", "error=%s", err_name(code));
        agent->ack_stuck = true;
        return;
    }
    agent->ack_refusals = 0;
    profile_cursor_set(agent->store, message->position);
    profile_acks_remove(agent->store, 0, message->position);
    CRASH_POINT("recv.ack_noted");
    if (agent->unacked > 0 && agent->ack_due_ms == UINT64_MAX)
        agent->ack_due_ms = agent_elapsed(agent) + LIMIT_ACK_DELAY_MS;
}
