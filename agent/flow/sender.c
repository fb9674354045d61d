/* Transmission: which sealed frames go next, and what the broker's statuses mean. */
#include <stdlib.h>

#include "agent/flow/chain.h"
#include "agent/flow/channel.h"
#include "agent/flow/freeze.h"
#include "agent/flow/link.h"
#include "agent/flow/outgoing.h"
#include "agent/flow/session.h"
#include "agent/flow/sync.h"
#include "agent/store/dead.h"
#include "shared/base/crash.h"
#include "shared/base/log.h"
#include "shared/wire/frame.h"
#include "shared/wire/limit.h"

#define FRAMES_AT_ONCE 63
#define BATCH_BYTES    (4194304 - 131072)
#define STUB_AFTER_MS  600000 /* after its end a frame is sent without its body */

struct agent_sender *agent_sender_of(const struct agent *agent, int64_t scope_id)
{
    struct agent_sender *sender = agent->senders;

    while (sender && sender->scope_id != scope_id)
        sender = sender->next;
    return sender;
}

static struct agent_sender *sender_make(struct agent *agent, int64_t scope_id)
{
    struct agent_sender *sender = agent_sender_of(agent, scope_id);

    if (!sender) {
        struct agent_sender **end = &agent->senders;
        sender = mem_zeroed(1, sizeof *sender);
        sender->scope_id = scope_id;
        sender->ended = sender->only_gaps = true;
        while (*end)
            end = &(*end)->next;
        *end = sender;
    }
    return sender;
}

void agent_sender_synced(struct agent *agent, int64_t scope_id, uint64_t stored)
{
    struct profile_session session = { 0 };
    struct agent_sender *sender = sender_make(agent, scope_id);
    const struct agent_group *group = agent_group_of(agent, scope_id);

    sender->acc = stored;
    sender->transmit = stored + 1;
    sender->stopped = sender->idle = false;
    sender->refused_epoch = 0;
    sender->group = group != NULL;
    if (group) {
        memcpy(sender->sid, group->row.id, 16);
        sender->ended = group->row.state != PROFILE_GROUP_JOINED;
        sender->held = agent_chain_waits(agent, scope_id);
        return;
    }
    profile_session_get(agent->store, scope_id, &session);
    memcpy(sender->sid, session.id, 16);
    sender->held = agent_chain_waits(agent, scope_id);
    sender->ended = session.state != SESSION_ACTIVE;
}

void agent_sender_drop(struct agent *agent, int64_t scope_id)
{
    struct agent_sender **at = &agent->senders;

    while (*at && (*at)->scope_id != scope_id)
        at = &(*at)->next;
    if (*at) {
        struct agent_sender *gone = *at;
        *at = gone->next;
        free(gone);
    }
}

void agent_outgoing_forget(struct agent *agent)
{
    while (agent->senders)
        agent_sender_drop(agent, agent->senders->scope_id);
}

void agent_refusal_note(struct agent *agent, int64_t scope_id, enum err why, uint64_t after_ms)
{
    struct agent_sender *sender = sender_make(agent, scope_id);

    sender->refusal = why;
    sender->retry_after_ms = after_ms;
}

/* ------------------------------------------------------------------ batches */

struct batch {
    struct buf bytes; /* all parts, one behind the other */
    size_t at[FRAMES_AT_ONCE];
    struct sent_frame frames[FRAMES_AT_ONCE];
    size_t count;
};

/* Appends the row's frame, or its stub if it has been over for long. */
static bool add_frame(struct agent *agent, struct batch *batch, const struct profile_out *row)
{
    size_t before = batch->bytes.len;
    struct frame_view view;

    if (!profile_out_frame(agent->store, row->outbox_id, &batch->bytes))
        return false;
    if (row->expires_ms + STUB_AFTER_MS <= agent_now(agent)
        && frame_parse(bytes_of(batch->bytes.at + before, batch->bytes.len - before), &view)
               == ERR_OK
        && !view.is_stub) {
        uint8_t stub[FRAME_STUB_MAX], digest[FRAME_DIGEST_SIZE];
        size_t size = frame_stub_size(&view);
        frame_stub_write(&view, stub, digest);
        batch->bytes.len = before;
        buf_append(&batch->bytes, stub, size);
    }
    batch->at[batch->count] = before;
    batch->frames[batch->count] = (struct sent_frame){ row->scope_id, row->outbox_id, row->seq };
    batch->count++;
    return true;
}

/* Words of a group wait for events that I have signed before them; and are said no more when I am
 * out of it, or its histories differ. */
static void look_at_group(struct agent *agent, struct agent_sender *sender)
{
    const struct agent_group *group;

    if (!sender->group || sender->idle || sender->ended)
        return;
    group = agent_group_of(agent, sender->scope_id);
    sender->ended = !group || group->row.state != PROFILE_GROUP_JOINED;
    if (sender->held)
        sender->held = agent_chain_waits(agent, sender->scope_id);
}

static bool may_transmit(const struct agent_sender *sender, uint64_t now)
{
    return !sender->ended && !sender->held && !sender->stopped && !sender->advancing
           && !sender->idle && now >= sender->wait_ms;
}

/* What of the sender goes into the batch; false when the batch is full. */
static bool fill_from(struct agent *agent, struct batch *batch, struct agent_sender *sender)
{
    struct profile_out row;

    while (batch->count < FRAMES_AT_ONCE && batch->bytes.len + WIRE_FRAME_MAX <= BATCH_BYTES) {
        if (!profile_out_next_sealed(agent->store, sender->scope_id, sender->transmit, &row)) {
            sender->idle = true;
            return true;
        }
        if (row.seq != sender->transmit) {
            /* Numbers between are settled, and the broker does not have them: it was put back. */
            if (sender->flying == 0 && sender->transmit == sender->acc + 1)
                agent_sync_advance(agent, sender, sender->transmit, row.seq - 1);
            return true;
        }
        if (!add_frame(agent, batch, &row))
            return true;
        sender->transmit++;
    }
    return false;
}

static void count_flying(struct agent *agent, const struct batch *batch)
{
    int64_t last = 0;

    for (size_t i = 0; i < batch->count; i++) {
        struct agent_sender *sender = agent_sender_of(agent, batch->frames[i].scope_id);
        if (batch->frames[i].scope_id != last && sender)
            sender->flying++;
        last = batch->frames[i].scope_id;
    }
}

/* The socket is full: the numbers are not on their way after all. */
static void take_back(struct agent *agent, const struct batch *batch)
{
    for (size_t i = batch->count; i-- > 0;) {
        struct agent_sender *sender = agent_sender_of(agent, batch->frames[i].scope_id);
        if (sender) {
            sender->transmit = batch->frames[i].seq;
            sender->idle = false;
        }
    }
}

static bool send_batch(struct agent *agent, const struct batch *batch)
{
    struct message message = agent_message(VERB_SEND);
    struct bytes parts[FRAMES_AT_ONCE];
    struct agent_asked *asked;

    for (size_t i = 0; i < batch->count; i++) {
        size_t end = i + 1 < batch->count ? batch->at[i + 1] : batch->bytes.len;
        parts[i] = bytes_of(batch->bytes.at + batch->at[i], end - batch->at[i]);
    }
    asked = agent_ask(agent, &message, parts, batch->count);
    if (!asked) {
        take_back(agent, batch);
        return false;
    }
    CRASH_POINT("send.wire");
    asked->frames = mem_alloc(batch->count * sizeof *asked->frames);
    memcpy(asked->frames, batch->frames, batch->count * sizeof *asked->frames);
    asked->frame_count = batch->count;
    asked->bytes = batch->bytes.len;
    agent->link.flying++;
    agent->link.flying_bytes += asked->bytes;
    count_flying(agent, batch);
    return true;
}

void agent_sends(struct agent *agent)
{
    struct agent_conn *link = &agent->link;
    struct batch batch = { 0 };
    bool sent = true;

    while (sent && link->flying < link->most_flying
           && link->flying_bytes < link->most_flying_bytes) {
        uint64_t now = agent_elapsed(agent);
        buf_clear(&batch.bytes);
        batch.count = 0;
        for (struct agent_sender *sender = agent->senders; sender; sender = sender->next) {
            look_at_group(agent, sender);
            if (may_transmit(sender, now) && !fill_from(agent, &batch, sender))
                break;
        }
        sent = batch.count > 0 && send_batch(agent, &batch);
    }
    buf_free(&batch.bytes);
}

uint64_t agent_senders_next_ms(const struct agent *agent)
{
    uint64_t next = UINT64_MAX;

    for (const struct agent_sender *sender = agent->senders; sender; sender = sender->next)
        if (!sender->ended && !sender->held && !sender->idle && sender->wait_ms
            && sender->flying == 0 && sender->wait_ms < next)
            next = sender->wait_ms;
    return next;
}

/* ------------------------------------------------------------------ answers */

static void take_stored(struct agent *agent, const struct wire_list *stored)
{
    struct list_reader reader = list_read(stored);
    struct wire_stored said;

    while (list_stored(&reader, &said)) {
        struct agent_sender *sender;
        for (sender = agent->senders; sender; sender = sender->next)
            if (memcmp(sender->sid, said.scope, 16) == 0)
                break;
        if (!sender)
            continue;
        if (said.seq > sender->acc) {
            sender->acc = said.seq;
            sender->grown = true;
            sender->failures = 0;
            sender->refused_epoch = 0;
        } else if (said.seq < sender->acc) {
            /* It had more before: what else has it lost?  HELLO and SYNC tell. */
            agent->hello_wanted = true;
        }
    }
}

static void stop(struct agent *agent, struct agent_sender *sender, enum err code, uint64_t after_ms)
{
    uint64_t wait;

    sender->stopped = true;
    if (code == ERR_SEQ_GAP || !sender->only_gaps)
        return;
    sender->only_gaps = false;
    sender->refusal = code;
    sender->retry_after_ms = after_ms;
    wait
        = after_ms ? after_ms + agent_jitter(agent, 500) : agent_backoff(agent, ++sender->failures);
    sender->wait_ms = agent_elapsed(agent) + wait;
    agent->changed = true;
}

/* In a group: its epoch is another one, or I am not in it any more. */
static void refused_in_group(struct agent *agent, struct agent_sender *sender,
                             const struct sent_frame *frame, enum err code, uint64_t after_ms)
{
    struct agent_group *group = agent_group_of(agent, frame->scope_id);
    struct profile_out row;

    if (!group)
        return;
    if (code == ERR_EPOCH && profile_out_get(agent->store, frame->outbox_id, &row)) {
        sender->refused_epoch = row.epoch;
        stop(agent, sender, code, after_ms);
        agent_group_epoch_refused(agent, group, row.epoch);
    } else if (err_retry(code) == RETRY_STOP) {
        agent_freeze(agent, 0, frame->scope_id, "the broker has other words of mine in a group");
        sender->ended = true;
    } else {
        sender->ended = true;
        sender->refusal = code;
    }
}

/* Only the first refused frame of a scope says why; those behind it are gaps. */
static void refused(struct agent *agent, const struct sent_frame *frame, enum err code,
                    uint64_t after_ms)
{
    struct agent_sender *sender = agent_sender_of(agent, frame->scope_id);
    struct profile_session session;

    if (!sender || sender->ended
        || (!sender->group && !profile_session_get(agent->store, frame->scope_id, &session)))
        return;
    if (code != ERR_SEQ_GAP)
        log_event(LOG_INFO, "send.refused", "scope=%s seq=%llu error=%s", log_id(sender->sid),
                  (unsigned long long)frame->seq, err_name(code));
    if (sender->group
        && (code == ERR_EPOCH || (err_retry(code) != RETRY_SAME && err_retry(code) != RETRY_FIX))) {
        refused_in_group(agent, sender, frame, code, after_ms);
        return;
    }
    switch (err_retry(code)) {
    case RETRY_SAME:
        profile_out_tried(agent->store, frame->outbox_id,
                          agent_now(agent) + (after_ms ? after_ms : 1000));
        stop(agent, sender, code, after_ms);
        return;
    case RETRY_FIX:
        stop(agent, sender, code, after_ms);
        return;
    case RETRY_STOP:
        agent_session_rolled_back(agent, &session);
        return;
    case RETRY_NO:
    case RETRY_ASK:
        sender->ended = true;
        sender->refusal = code;
        if (code == ERR_SESSION_NOT_FOUND)
            agent_session_lost(agent, &session);
        else
            agent_chain_ask(agent, &session); /* its end may be on the way to us */
        return;
    }
}

static void frame_answered(struct agent *agent, const struct sent_frame *frame, uint64_t status,
                           uint64_t after_ms)
{
    struct profile_out row;

    switch (status) {
    case ERR_OK:
    case ERR_DUPLICATE:
        profile_out_accepted(agent->store, frame->scope_id, frame->seq, frame->outbox_id,
                             agent_now(agent));
        break;
    case ERR_TOMBSTONE:
        if (profile_out_at(agent->store, frame->scope_id, frame->seq, &row)
            && row.outbox_id == frame->outbox_id) {
            /* nobody has it */
            if (row.kind <= ENVELOPE_INTRO)
                profile_dead_letter(agent->store, &row, DEAD_EXPIRED, "", agent_now(agent));
            else
                profile_out_remove(agent->store, row.outbox_id);
            agent_outgoing_settled(agent, frame->scope_id);
        }
        break;
    default:
        refused(agent, frame, (enum err)status, after_ms);
        break;
    }
}

/* All of the scope that was on the way is answered: from the lowest unaccepted on again. */
static void landed(struct agent *agent, const struct agent_asked *asked)
{
    int64_t last = 0;

    for (size_t i = 0; i < asked->frame_count; i++) {
        struct agent_sender *sender = agent_sender_of(agent, asked->frames[i].scope_id);
        if (asked->frames[i].scope_id == last || !sender)
            continue;
        last = asked->frames[i].scope_id;
        if (sender->flying > 0)
            sender->flying--;
        if (sender->flying == 0 && sender->stopped) {
            if (sender->only_gaps && !sender->grown)
                sender->wait_ms = agent_elapsed(agent) + agent_backoff(agent, ++sender->failures);
            sender->transmit = sender->acc + 1;
            sender->stopped = sender->grown = sender->idle = false;
            sender->only_gaps = true;
        }
        if (sender->group)
            agent_group_sent(agent, sender);
    }
}

void agent_send_answer(struct agent *agent, const struct agent_asked *asked, enum err code,
                       const struct message *message)
{
    uint64_t after_ms = message && MESSAGE_HAS(message, after_ms) ? message->after_ms : 0;

    agent->link.flying -= agent->link.flying > 0;
    agent->link.flying_bytes
        -= asked->bytes < agent->link.flying_bytes ? asked->bytes : agent->link.flying_bytes;
    if (code == ERR_OK) {
        struct list_reader statuses = list_read(&message->status);
        uint64_t status;
        take_stored(agent, &message->stored);
        for (size_t i = 0; i < asked->frame_count && list_status(&statuses, &status); i++)
            frame_answered(agent, &asked->frames[i], status, after_ms);
        CRASH_POINT("send.accepted");
    } else {
        for (size_t i = 0; i < asked->frame_count; i++)
            refused(agent, &asked->frames[i], code, after_ms);
    }
    landed(agent, asked);
    agent->look_requests = agent->look_requests || agent->request_waits;
    agent->request_waits = false;
    agent->changed = true;
}
