#include <stdlib.h>

#include "broker/flow/control.h"
#include "broker/store/directory.h"
#include "broker/store/scopes.h"
#include "broker/store/streams.h"

#define FRAMES_MOST 10000

struct queue {
    const struct agent_row *agent;
    struct stream_row stream;
    uint64_t oldest_ms, first_position;
};

static void put_queue(struct command *command, const struct queue *queue)
{
    struct flow *flow = command->flow;
    const struct peer *peer = peer_find(flow, queue->agent->agent_id);
    bool any = queue->stream.frames > 0;
    json_t *object = out_object("queue");

    out_text(object, "kind", "mailbox");
    out_text(object, "name", queue->agent->name);
    out_number(object, "frames", queue->stream.frames);
    out_number(object, "bytes", queue->stream.bytes);
    out_number_or_null(object, "oldest_ms", any,
                       flow->now_ms > queue->oldest_ms ? flow->now_ms - queue->oldest_ms : 0);
    out_time(object, "oldest_at", any ? queue->oldest_ms : 0);
    out_number(object, "in_flight", peer ? peer->mailbox.flight.count : 0);
    out_number(object, "readers", 1);
    out_number(object, "online", peer_online(flow, queue->agent->agent_id));
    out_number_or_null(object, "first_position", any, queue->first_position);
    out_number_or_null(object, "last_position", any, queue->stream.last_position);
    out_line(&command->lines, object);
}

static enum err queue_of(struct command *command, const struct agent_row *agent, struct queue *out)
{
    enum err e = store_stream_get(command->flow->store, agent->mailbox, &out->stream);

    out->agent = agent;
    out->oldest_ms = out->first_position = 0;
    if (e == ERR_OK && out->stream.frames)
        e = control_oldest(command->flow, agent->mailbox, &out->oldest_ms, &out->first_position);
    return e;
}

static int oldest_first(const void *a, const void *b)
{
    const struct queue *x = a, *y = b;

    return x->first_position < y->first_position ? -1 : x->first_position > y->first_position;
}

static enum err list(struct command *command)
{
    struct store *store = command->flow->store;
    size_t agents = store_agent_count(store), count = 0;
    struct queue *queue = mem_zeroed(agents + 1, sizeof *queue);
    enum err e = ERR_OK;

    for (size_t i = 0; i < agents && e == ERR_OK; i++) {
        e = queue_of(command, store_agent_at(store, i), &queue[count]);
        if (e == ERR_OK && queue[count].stream.frames)
            count++;
    }
    qsort(queue, count, sizeof *queue, oldest_first);
    for (size_t i = 0; i < count && e == ERR_OK; i++)
        put_queue(command, &queue[i]);
    free(queue);
    return e;
}

static const char *kind_name(enum item_kind kind)
{
    switch (kind) {
    case ITEM_REQUEST:
        return "request";
    case ITEM_ACCEPT:
        return "accept";
    case ITEM_DATA:
        return "data";
    case ITEM_GROUP:
        return "group";
    case ITEM_RECEIPT:
        return "receipt";
    case ITEM_EVENT:
        return "event";
    case ITEM_NOTICE:
        return "notice";
    }
    return "unknown";
}

struct frame_walk {
    struct command *command;
    const struct agent_row *owner;
};

static bool visit_frame(void *ctx, const struct frame_row *frame)
{
    const struct frame_walk *walk = ctx;
    struct store *store = walk->command->flow->store;
    const struct agent_row *sender = frame->sender_id ? store_agent(store, frame->sender_id) : NULL;
    struct session_row session;
    bool known = frame->scope_id && store_session_get(store, frame->scope_id, &session) == ERR_OK;
    json_t *object = out_object("frame");

    out_number(object, "position", frame->position);
    out_text(object, "kind", kind_name(frame->kind));
    out_text(object, "state", frame->reason ? "tombstone" : "waiting");
    out_text(object, "from", sender ? sender->name : NULL);
    out_text(object, "to", walk->owner->name);
    out_hex(object, "session", known ? session.id : NULL, 16);
    out_number_or_null(object, "seq", frame->seq != 0, frame->seq);
    out_number(object, "size", frame->len);
    out_hex(object, "digest", frame->digest, 32);
    out_time(object, "stored_at", frame->stored_ms);
    out_time(object, "expires_at", frame->expires_ms);
    out_number(object, "tries", 0);
    out_line(&walk->command->lines, object);
    return true;
}

enum err control_queues(struct command *command)
{
    const char *name = command_args(command) ? command_arg(command, 0) : NULL;
    struct frame_walk walk = { .command = command };

    if (!name)
        return list(command);
    walk.owner = store_agent_by_name(command->flow->store, bytes_of_text(name));
    if (!walk.owner) {
        command_unknown_agent(command, name);
        return ERR_OK;
    }
    return store_frame_list(command->flow->store, walk.owner->mailbox, 0, INT64_MAX, FRAMES_MOST,
                            visit_frame, &walk);
}
