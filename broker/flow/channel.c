#include "broker/flow/channel.h"

#include "broker/flow/shelf.h"
#include "shared/wire/limit.h"

void group_wake(struct flow *flow, struct group *group)
{
    if (group->is_woken)
        return;
    group->is_woken = true;
    group->next_woken = flow->woken_groups;
    flow->woken_groups = group;
}

void channel_moved(struct flow *flow, struct group *group)
{
    if (group->trims)
        return;
    group->trims = true;
    group->next_trim = flow->trim_groups;
    flow->trim_groups = group;
}

void channel_reader_left(struct flow *flow, struct group *group, int64_t agent_id)
{
    struct peer *peer = peer_find(flow, agent_id);

    if (peer)
        turn_note_left(flow, peer, group->row.stream_id);
    channel_moved(flow, group);
}

/* ---- waking ---------------------------------------------------------------------------------- */

/* Its cursor is looked up where it was added since the agent's HELLO. */
static enum err reading_of(struct flow *flow, const struct group *group, struct peer *peer,
                           struct reading **out)
{
    int64_t stream_id = group->row.stream_id;
    struct cursor_row cursor;
    enum err e;

    *out = peer_reading(peer, stream_id);
    if (*out)
        return ERR_OK;
    e = store_cursor_get(flow->store, stream_id, peer->agent_id, &cursor);
    if (e == ERR_OK)
        *out = peer_reading_add(peer, stream_id, group->row.group_id, cursor.position);
    return e == ERR_NOT_FOUND ? ERR_NOT_MEMBER : e;
}

enum err channel_reading(struct flow *flow, struct peer *peer, const uint8_t gid[static 16],
                         struct group **group, struct reading **reading)
{
    enum err e = group_find(flow, gid, group);

    if (e == ERR_OK)
        e = group_has_reader(*group, peer->agent_id) ? reading_of(flow, *group, peer, reading)
                                                     : ERR_NOT_MEMBER;
    return e == ERR_NOT_FOUND ? ERR_NOT_MEMBER : e;
}

static enum err wake_reader(struct flow *flow, const struct group *group, struct peer *peer)
{
    struct reading *reading;
    enum err e = reading_of(flow, group, peer, &reading);

    if (e != ERR_OK)
        return e == ERR_NOT_MEMBER ? ERR_OK : e;
    reading->more = true;
    wake_peer(flow, peer);
    return ERR_OK;
}

static enum err wake_readers(struct flow *flow, const struct group *group)
{
    enum err e = ERR_OK;

    for (size_t i = 0; e == ERR_OK && i < group->reader_count; i++) {
        struct peer *peer = peer_find(flow, group->readers[i]);

        if (peer && peer->conn)
            e = wake_reader(flow, group, peer);
    }
    return e;
}

enum err channels_wake(struct flow *flow)
{
    enum err e = ERR_OK;

    while (flow->woken_groups) {
        struct group *group = flow->woken_groups;

        flow->woken_groups = group->next_woken;
        group->is_woken = false;
        /* The turn that made it may have failed. */
        if (e == ERR_OK)
            e = group_get(flow, group->row.group_id, &group);
        if (e == ERR_OK)
            e = wake_readers(flow, group);
        if (e == ERR_NOT_FOUND)
            e = ERR_OK;
    }
    return e;
}

/* ---- trimming -------------------------------------------------------------------------------- */

bool groups_trim_due(const struct flow *flow)
{
    return flow->trim_groups;
}

/* Rows that all readers are past; where nobody reads, all of them. */
static enum err trim(struct flow *flow, int64_t stream_id, uint64_t *lowest, bool *more)
{
    uint64_t low;
    enum err e = store_channel_low(flow->store, stream_id, &low);

    *more = false;
    if (e == ERR_OK && low > INT64_MAX)
        low = INT64_MAX;
    if (e == ERR_OK)
        e = store_channel_trim(flow->store, stream_id, low, LIMIT_SWEEP_ROWS, more);
    if (e != ERR_OK)
        return e;
    shelf_trimmed(flow, stream_id, low);
    *lowest = low;
    return ERR_OK;
}

/* One channel.  What a turn that fails has done to the list is no harm: the next ACK puts it there
 * again. */
enum err groups_trim(struct flow *flow)
{
    struct group *group = flow->trim_groups;
    bool more;
    enum err e;

    if (!group)
        return ERR_OK;
    flow->trim_groups = group->next_trim;
    group->trims = false;
    e = group_get(flow, group->row.group_id, &group);
    if (e == ERR_NOT_FOUND)
        return ERR_OK;
    if (e == ERR_OK)
        e = trim(flow, group->row.stream_id, &group->low, &more);
    if (e == ERR_OK && more)
        channel_moved(flow, group);
    return e;
}

enum err groups_trim_resume(struct flow *flow)
{
    int64_t stream_id = 0;
    bool more = false;
    enum err e = ERR_OK;

    while (e == ERR_OK && (more || (e = store_channel_next(flow->store, &stream_id)) == ERR_OK)) {
        uint64_t low;

        e = turn_begin(flow);
        if (e == ERR_OK)
            e = turn_end(flow, trim(flow, stream_id, &low, &more));
    }
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

/* ---- tombstones ------------------------------------------------------------------------------ */

struct looking {
    struct flow *flow;
    const struct group *group;
    int64_t sender_id;
    bool found;
    struct frame_row row;
};

/* Somebody was given it and has not acknowledged it. */
static bool in_flight(struct flow *flow, const struct group *group, uint64_t position)
{
    for (size_t i = 0; i < group->reader_count; i++) {
        struct peer *peer = peer_find(flow, group->readers[i]);
        const struct reading *reading = peer ? peer_reading(peer, group->row.stream_id) : NULL;

        if (reading && reading->cursor < position && position <= reading->delivered)
            return true;
    }
    return false;
}

static bool look_at(void *ctx, const struct frame_row *row)
{
    struct looking *looking = ctx;

    if (row->kind != ITEM_GROUP || !row->reason || row->sender_id != looking->sender_id
        || in_flight(looking->flow, looking->group, row->position))
        return true;
    looking->found = true;
    looking->row = *row;
    return false;
}

enum err channel_cap_tombstones(struct flow *flow, const struct group *group, int64_t sender_id)
{
    struct looking looking = { .flow = flow, .group = group, .sender_id = sender_id };
    int64_t stream_id = group->row.stream_id;
    uint64_t count, oldest;
    enum err e = store_channel_tombstones(flow->store, stream_id, sender_id, &count, &oldest);

    if (e != ERR_OK || count <= LIMIT_CHANNEL_TOMBSTONES)
        return e;
    e = store_frame_list(flow->store, stream_id, oldest - 1, INT64_MAX, INT64_MAX, look_at,
                         &looking);
    if (e == ERR_OK && looking.found) {
        shelf_forget(flow, stream_id);
        e = store_frame_remove(flow->store, &looking.row);
    }
    return e;
}
