/* Channels in memory, and what is acknowledged of them: one cursor receipt for all items, and for
 * the authors who ask for it who has read them. */
#include <stdlib.h>

#include "agent/flow/channel.h"
#include "agent/flow/freeze.h"
#include "agent/flow/group_inner.h"
#include "agent/flow/group_mail.h"
#include "agent/flow/link.h"
#include "agent/flow/receipts.h"
#include "agent/store/scopes.h"
#include "shared/base/crash.h"
#include "shared/base/log.h"
#include "shared/wire/limit.h"

#define NEVER        UINT64_MAX
#define ACK_AT_ITEMS 64
#define COLLECT_MS   1000 /* receipts of a channel that is busy */

/* ------------------------------------------------------------------ channels */

struct agent_channel *agent_channel_find(const struct agent *agent, int64_t group_id)
{
    struct agent_channel *channel = agent->channels;

    while (channel && channel->group_id != group_id)
        channel = channel->next;
    return channel;
}

static void begin_anew(struct agent_channel *channel)
{
    agent_deliveries_drop(&channel->deliveries);
    channel->cursor = channel->delivered_to = channel->last = 0;
    channel->cursor_known = false;
    channel->item_count = 0;
    channel->unacked = 0;
    channel->ack_due_ms = NEVER;
    channel->ack_flying = false;
    channel->held_full = channel->asked = false;
}

struct agent_channel *agent_channel_of(struct agent *agent, const struct agent_group *group)
{
    struct agent_channel *channel = agent_channel_find(agent, group->group_id);

    if (!channel) {
        channel = mem_zeroed(1, sizeof *channel);
        channel->group_id = group->group_id;
        memcpy(channel->gid, group->row.id, 16);
        channel->ack_due_ms = NEVER;
        profile_channel_get(agent->store, channel->group_id, &channel->row);
        channel->next = agent->channels;
        agent->channels = channel;
    } else if (channel->over && group->row.state == PROFILE_GROUP_JOINED && !channel->busy) {
        /* In again, from the epoch that admits me. */
        channel->over = channel->synced = false;
        channel->row = (struct profile_channel){ 0 };
        begin_anew(channel);
    }
    return channel;
}

void agent_channels_forget(struct agent *agent)
{
    for (struct agent_channel *channel = agent->channels; channel; channel = channel->next) {
        begin_anew(channel);
        channel->ack_stuck = false;
    }
}

void agent_channels_free(struct agent *agent)
{
    while (agent->channels) {
        struct agent_channel *gone = agent->channels;
        agent->channels = gone->next;
        agent_deliveries_drop(&gone->deliveries);
        agent_channel_drop_authors(gone);
        buf_wipe(&gone->plain);
        buf_free(&gone->plain);
        free(gone->items);
        free(gone);
    }
}

/* I am in a group that this profile does not know: it was put back.  When a person has said that
 * there is no newer copy of it, the group's events tell what it is, and an admin its key. */
static struct agent_group *take_unknown(struct agent *agent, const uint8_t gid[static 16])
{
    struct agent_group *group;

    if (!agent_was_restored(agent)) {
        agent_freeze(agent, 0, 0, "a group that this profile does not know");
        return NULL;
    }
    group = agent_group_make(agent, gid, PROFILE_GROUP_INVITED, ROLE_MEMBER);
    group->wants_events = true;
    profile_scope_adopt_later(agent->store, group->group_id);
    return group;
}

enum err agent_channel_told(struct agent *agent, const struct wire_stream *stream)
{
    struct agent_group *group = agent_group_named(agent, stream->stream);
    struct agent_channel *channel;

    if (!group && !(group = take_unknown(agent, stream->stream)))
        return ERR_ROLLBACK;
    channel = agent_channel_of(agent, group);
    /* What I have confirmed, I know: it is written down before it is said. */
    if (channel->row.settled && stream->cursor > channel->row.settled && !channel->over
        && !agent_was_restored(agent)) {
        agent_freeze(agent, 0, group->group_id,
                     "a group's mail was confirmed that this profile does not know");
        return ERR_ROLLBACK;
    }
    channel->cursor = channel->delivered_to = stream->cursor;
    channel->cursor_known = true;
    channel->last = stream->last > stream->cursor && stream->waiting ? stream->last : 0;
    return ERR_OK;
}

bool agent_channels_caught_up(const struct agent *agent)
{
    for (const struct agent_channel *channel = agent->channels; channel; channel = channel->next)
        if (!channel->over && !channel->held_full
            && (channel->deliveries || channel->delivered_to < channel->last))
            return false;
    return true;
}

/* ------------------------------------------------------------------ items */

void agent_channel_item_add(struct agent *agent, struct agent_channel *channel,
                            const struct channel_item *item, bool patient)
{
    uint64_t now = agent_elapsed(agent);
    uint64_t due = now + (patient ? LIMIT_ACK_CONTROL_MS : LIMIT_ACK_DELAY_MS);

    if (channel->item_count == channel->item_cap) {
        channel->item_cap = channel->item_cap ? 2 * channel->item_cap : 64;
        channel->items = mem_resize(channel->items, channel->item_cap * sizeof *channel->items);
    }
    channel->items[channel->item_count++] = *item;
    channel->unacked++;
    if (item->opened && item->wants && due < channel->acked_ms + COLLECT_MS)
        due = channel->acked_ms + COLLECT_MS;
    if (channel->unacked >= ACK_AT_ITEMS)
        due = now;
    if (due < channel->ack_due_ms)
        channel->ack_due_ms = due;
}

void agent_channel_item_opened(struct agent *agent, struct agent_channel *channel, int64_t peer_id,
                               uint64_t seq)
{
    uint64_t due = agent_elapsed(agent) + LIMIT_ACK_DELAY_MS;

    for (size_t i = channel->item_count; i-- > 0;) {
        if (channel->items[i].peer_id != peer_id || channel->items[i].seq != seq)
            continue;
        channel->items[i].opened = true;
        if (due < channel->ack_due_ms && !channel->ack_flying)
            channel->ack_due_ms = due;
        return;
    }
}

static void drop_items(struct agent_channel *channel, uint64_t position)
{
    size_t gone = 0;

    while (gone < channel->item_count && channel->items[gone].position <= position)
        gone++;
    channel->item_count -= gone;
    if (gone > 0 && channel->item_count > 0)
        memmove(channel->items, channel->items + gone,
                channel->item_count * sizeof *channel->items);
}

/* ------------------------------------------------------------------ ACK */

/* Consecutive numbers of an author that were opened and want it; whatever lies between ends them.
 */
static void plan_extra(struct ack_plan *plan, const struct agent_channel *channel,
                       const struct channel_item *item)
{
    struct planned_receipt *receipt = NULL;

    for (size_t i = plan->count; i-- > 1 && !receipt;)
        if (plan->receipt[i].peer_id == item->peer_id)
            receipt = &plan->receipt[i];
    if (!receipt || receipt->to + 1 != item->seq || receipt->range.count >= RECEIPT_RANGE_MAX) {
        if (plan->count > PLAN_RECEIPTS)
            return;
        receipt = &plan->receipt[plan->count++];
        *receipt = (struct planned_receipt){ .scope_id = channel->group_id,
                                             .peer_id = item->peer_id,
                                             .status = RECEIPT_DELIVERED,
                                             .from = item->seq };
        range_begin(&receipt->range);
    }
    receipt->to = item->seq;
    range_add(&receipt->range, item->digest);
}

void agent_channel_plan(struct ack_plan *plan, const struct agent_channel *channel)
{
    struct planned_receipt *cursor = &plan->receipt[0];
    size_t count = channel->item_count < LIMIT_ACK_ITEMS ? channel->item_count : LIMIT_ACK_ITEMS;

    *plan = (struct ack_plan){ 0 };
    if (count == 0)
        return;
    plan->count = 1;
    plan->position = channel->items[count - 1].position;
    *cursor = (struct planned_receipt){ .status = RECEIPT_DELIVERED,
                                        .from = channel->items[0].position,
                                        .to = plan->position };
    range_begin(&cursor->range);
    for (size_t i = 0; i < count; i++) {
        range_add(&cursor->range, channel->items[i].digest);
        if (channel->items[i].wants && channel->items[i].opened)
            plan_extra(plan, channel, &channel->items[i]);
    }
}

static bool send_plan(struct agent *agent, struct agent_channel *channel, struct ack_plan *plan)
{
    struct message message = agent_message(VERB_ACK);
    struct list_maker receipts = { 0 };
    struct agent_asked *asked = NULL;
    bool good = true;

    for (size_t i = 0; i < plan->count && good; i++)
        good = agent_receipt_sign(agent, &plan->receipt[i], &receipts);
    if (good) {
        MESSAGE_SET(&message, stream, channel->gid);
        MESSAGE_SET(&message, after, channel->cursor);
        MESSAGE_SET(&message, position, plan->position);
        MESSAGE_SET(&message, receipts, list_of(&receipts));
        asked = agent_ask(agent, &message, NULL, 0);
    }
    list_free(&receipts);
    if (asked) {
        asked->scope_id = channel->group_id;
        asked->number = plan->position;
    }
    CRASH_POINT("recv.ack_wire");
    return asked != NULL;
}

void agent_channels_acks_send(struct agent *agent)
{
    uint64_t now = agent_elapsed(agent);
    struct ack_plan *plan = NULL;

    if (!agent_is_up(agent))
        return;
    for (struct agent_channel *channel = agent->channels; channel; channel = channel->next) {
        if (channel->ack_flying || channel->ack_stuck || now < channel->ack_due_ms)
            continue;
        if (channel->item_count == 0) {
            channel->ack_due_ms = NEVER;
            continue;
        }
        if (!plan)
            plan = mem_alloc(sizeof *plan);
        agent_channel_plan(plan, channel);
        if (!send_plan(agent, channel, plan))
            continue;
        channel->ack_flying = true;
        channel->unacked = 0;
        channel->acked_ms = now;
        channel->ack_due_ms = plan->position < channel->delivered_to ? now : NEVER;
    }
    free(plan);
}

void agent_channels_hurry(struct agent *agent)
{
    for (struct agent_channel *channel = agent->channels; channel; channel = channel->next)
        if (channel->ack_due_ms != NEVER && !channel->ack_flying && !channel->ack_stuck)
            channel->ack_due_ms = agent_elapsed(agent);
    agent_channels_acks_send(agent);
}

/* Somebody errs or lies: begun anew, at leisure the second time. */
static void receipts_refused(struct agent *agent, struct agent_channel *channel)
{
    if (channel->ack_refusals++ == 0) {
        agent->hello_wanted = true;
        return;
    }
    log_event(LOG_ERROR, "ack.refused_again", "group=%s", log_id(channel->gid));
    channel->ack_stuck = true;
    channel->ack_due_ms = agent_elapsed(agent) + agent_backoff(agent, channel->ack_refusals);
}

static void acked(struct agent *agent, struct agent_channel *channel, uint64_t position)
{
    channel->cursor = position;
    drop_items(channel, position);
    if (channel->unacked > 0 && channel->ack_due_ms == NEVER)
        channel->ack_due_ms = agent_elapsed(agent) + LIMIT_ACK_DELAY_MS;
}

void agent_channel_ack_answer(struct agent *agent, const struct agent_asked *asked, enum err code,
                              const struct message *message)
{
    struct agent_channel *channel = agent_channel_find(agent, asked->scope_id);

    if (!channel)
        return;
    channel->ack_flying = false;
    if (code == ERR_OK) {
        channel->ack_refusals = 0;
        acked(agent, channel, message->position);
        CRASH_POINT("recv.ack_noted");
    } else if (code == ERR_CONFLICT && MESSAGE_HAS(message, position)) {
        acked(agent, channel, message->position);
        channel->ack_due_ms = channel->item_count ? agent_elapsed(agent) : NEVER;
    } else if (code == ERR_RECEIPT) {
        receipts_refused(agent, channel);
    } else if (err_retry(code) == RETRY_SAME) {
        channel->ack_due_ms = agent_elapsed(agent) + agent_backoff(agent, 1);
    } else {
        /* Not a reader any more: whoever removed me says so in my mailbox. */
        log_event(LOG_INFO, "ack.refused", "group=%s error=%s", log_id(channel->gid),
                  err_name(code));
        begin_anew(channel);
    }
}

uint64_t agent_channels_next_ms(const struct agent *agent)
{
    uint64_t next = NEVER;

    for (const struct agent_channel *channel = agent->channels; channel; channel = channel->next)
        if (!channel->ack_flying && channel->ack_due_ms < next)
            next = channel->ack_due_ms;
    return next;
}

void agent_channels_tick(struct agent *agent)
{
    for (struct agent_channel *channel = agent->channels; channel; channel = channel->next)
        if (channel->ack_stuck && agent_elapsed(agent) >= channel->ack_due_ms) {
            channel->ack_due_ms = NEVER;
            agent->hello_wanted = true;
        }
}
