#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/flow/control.h"
#include "broker/store/directory.h"
#include "broker/store/groups.h"
#include "broker/store/streams.h"
#include "shared/base/text.h"

enum { FRAMES_MOST = 10000, GROUPS_A_READ = 64 };

struct queue {
    char name[NAME_MAX_LEN + 1];
    struct stream_row stream;
    uint64_t oldest_ms, first_position;
    uint64_t readers, online, in_flight;
};

static void put_queue(struct command *command, const struct queue *queue)
{
    struct flow *flow = command->flow;
    bool any = queue->stream.frames > 0;
    json_t *object = out_object("queue");

    out_text(object, "kind", queue->stream.kind == STREAM_CHANNEL ? "channel" : "mailbox");
    out_text(object, "name", queue->name);
    out_number(object, "frames", queue->stream.frames);
    out_number(object, "bytes", queue->stream.bytes);
    out_number_or_null(object, "oldest_ms", any,
                       flow->now_ms > queue->oldest_ms ? flow->now_ms - queue->oldest_ms : 0);
    out_time(object, "oldest_at", any ? queue->oldest_ms : 0);
    out_number(object, "in_flight", queue->in_flight);
    out_number(object, "readers", queue->readers);
    out_number(object, "online", queue->online);
    out_number_or_null(object, "first_position", any, queue->first_position);
    out_number_or_null(object, "last_position", any, queue->stream.last_position);
    out_line(&command->lines, object);
}

struct reader_walk {
    struct flow *flow;
    struct queue *queue;
};

static bool visit_reader(void *ctx, const struct cursor_row *cursor)
{
    const struct reader_walk *walk = ctx;
    struct peer *peer = peer_find(walk->flow, cursor->reader_id);
    const struct reading *reading = peer ? peer_reading(peer, cursor->stream_id) : NULL;

    walk->queue->readers++;
    walk->queue->online += peer_online(walk->flow, cursor->reader_id);
    walk->queue->in_flight += reading ? reading->flight.count : 0;
    return true;
}

static enum err queue_of(struct command *command, int64_t stream_id, struct queue *out)
{
    struct reader_walk walk = { command->flow, out };
    enum err e = store_stream_get(command->flow->store, stream_id, &out->stream);

    out->oldest_ms = out->first_position = 0;
    out->readers = out->online = out->in_flight = 0;
    if (e == ERR_OK && out->stream.frames)
        e = control_oldest(command->flow, stream_id, &out->oldest_ms, &out->first_position);
    if (e == ERR_OK && out->stream.frames)
        e = store_readers(command->flow->store, stream_id, visit_reader, &walk);
    return e;
}

/* Those that hold something, as they are found. */
struct queues {
    struct queue *at;
    size_t count, cap;
};

static enum err queues_add(struct command *command, struct queues *queues, int64_t stream_id,
                           const char *name)
{
    struct queue *queue;
    enum err e;

    if (queues->count == queues->cap) {
        queues->cap = queues->cap ? 2 * queues->cap : 64;
        queues->at = mem_resize(queues->at, queues->cap * sizeof *queues->at);
    }
    queue = &queues->at[queues->count];
    snprintf(queue->name, sizeof queue->name, "%s", name);
    e = queue_of(command, stream_id, queue);
    if (e == ERR_OK && queue->stream.frames)
        queues->count++;
    return e;
}

/* A group is known by the first digits of its id. */
static const char *group_name(const uint8_t id[static 16], char out[static 10])
{
    out[0] = '#';
    hex_encode(out + 1, id, 4);
    return out;
}

static enum err queues_of_groups(struct command *command, struct queues *queues)
{
    struct group_row groups[GROUPS_A_READ];
    int64_t after = 0;
    size_t count = GROUPS_A_READ;
    enum err e = ERR_OK;

    while (e == ERR_OK && count == GROUPS_A_READ) {
        e = store_group_list(command->flow->store, after, groups, GROUPS_A_READ, &count);
        for (size_t i = 0; e == ERR_OK && i < count; i++) {
            char name[10];

            e = queues_add(command, queues, groups[i].stream_id, group_name(groups[i].id, name));
            after = groups[i].group_id;
        }
    }
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
    struct queues queues = { 0 };
    enum err e = ERR_OK;

    for (size_t i = 0; i < store_agent_count(store) && e == ERR_OK; i++) {
        const struct agent_row *agent = store_agent_at(store, i);

        e = queues_add(command, &queues, agent->mailbox, agent->name);
    }
    if (e == ERR_OK)
        e = queues_of_groups(command, &queues);
    if (queues.count)
        qsort(queues.at, queues.count, sizeof *queues.at, oldest_first);
    for (size_t i = 0; i < queues.count && e == ERR_OK; i++)
        put_queue(command, &queues.at[i]);
    free(queues.at);
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
    const char *to;
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
    out_text(object, "to", walk->to);
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

/* The stream of `#` and the first digits of a group's id.  ERR_NOT_FOUND. */
static enum err find_channel(struct command *command, const char *name, int64_t *stream_id)
{
    struct group_row groups[GROUPS_A_READ];
    int64_t after = 0;
    size_t count = GROUPS_A_READ;
    enum err e = ERR_OK;

    while (e == ERR_OK && count == GROUPS_A_READ) {
        e = store_group_list(command->flow->store, after, groups, GROUPS_A_READ, &count);
        for (size_t i = 0; e == ERR_OK && i < count; i++) {
            char of[10];

            after = groups[i].group_id;
            *stream_id = groups[i].stream_id;
            if (strcmp(group_name(groups[i].id, of), name) == 0)
                return ERR_OK;
        }
    }
    return e == ERR_OK ? ERR_NOT_FOUND : e;
}

static enum err find_stream(struct command *command, const char *name, int64_t *stream_id)
{
    const struct agent_row *agent;

    if (*name == '#')
        return find_channel(command, name, stream_id);
    agent = store_agent_by_name(command->flow->store, bytes_of_text(name));
    if (!agent)
        return ERR_NOT_FOUND;
    *stream_id = agent->mailbox;
    return ERR_OK;
}

enum err control_queues(struct command *command)
{
    const char *name = command_args(command) ? command_arg(command, 0) : NULL;
    struct frame_walk walk = { command, name };
    int64_t stream_id;
    enum err e;

    if (!name)
        return list(command);
    e = find_stream(command, name, &stream_id);
    if (e == ERR_NOT_FOUND && *name == '#')
        command_unknown_group(command, name);
    else if (e == ERR_NOT_FOUND)
        command_unknown_agent(command, name);
    if (e != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    return store_frame_list(command->flow->store, stream_id, 0, INT64_MAX, FRAMES_MOST, visit_frame,
                            &walk);
}
