#include "broker/flow/groups.h"

#include <stdlib.h>

#include "broker/flow/channel.h"
#include "broker/flow/event_list.h"
#include "broker/store/directory.h"
#include "broker/store/rows.h"
#include "shared/wire/limit.h"

enum {
    EVENTS_FROM_EPOCH = 1 /* flags of EVENTS */,
    MEMBER_SIZE = 33,
    GROUPS_A_STEP = 64,
    MEMBERS_KEPT = 200000
};

/* ---- those that were looked at ------------------------------------------------------------------
 */

struct known_id {
    struct row row; /* both halves of the id */
    struct group *group;
};

struct known_number {
    struct row row; /* group_id, 0 */
    struct group *group;
};

/* A group stays where it is, also when its creation was rolled back (row.group_id is 0 then):
 * chains of channel.c lead through it.  groups_shrink() lets go of those that nobody holds. */
struct groups {
    struct rows ids, numbers;
};

static struct groups *groups_of(struct flow *flow)
{
    uint64_t seed;

    if (flow->groups)
        return flow->groups;
    flow->groups = mem_zeroed(1, sizeof *flow->groups);
    flow->ports.random(flow->ports.ctx, (uint8_t *)&seed, sizeof seed);
    rows_init(&flow->groups->ids, sizeof(struct known_id), seed);
    rows_init(&flow->groups->numbers, sizeof(struct known_number), 0);
    return flow->groups;
}

static void group_free(struct group *group)
{
    group_chain_free(&group->chain);
    buf_free(&group->epoch_list);
    free(group->readers);
    free(group);
}

void groups_free(struct flow *flow)
{
    struct groups *groups = flow->groups;

    if (!groups)
        return;
    for (size_t i = 0; i < groups->ids.slots; i++)
        for (struct row *row = groups->ids.slot[i]; row; row = row->next)
            group_free(((struct known_id *)row)->group);
    rows_wipe(&groups->ids);
    rows_wipe(&groups->numbers);
    free(groups);
    flow->groups = NULL;
}

static int64_t half(const uint8_t *id)
{
    return (int64_t)get_u64(id);
}

static struct group *known(struct flow *flow, const uint8_t id[static 16])
{
    const struct known_id *by_id = rows_find(&groups_of(flow)->ids, half(id), half(id + 8));

    return by_id ? by_id->group : NULL;
}

/* The struct of a group that the store has now. */
static struct group *remember(struct flow *flow, const struct group_row *row)
{
    struct groups *groups = groups_of(flow);
    struct group *group = known(flow, row->id);
    struct known_number *number;

    if (!group) {
        struct known_id *by_id = rows_add(&groups->ids, half(row->id), half(row->id + 8));

        group = by_id->group = mem_zeroed(1, sizeof *group);
        memcpy(group->row.id, row->id, sizeof group->row.id);
        memcpy(group->chain.gid, row->id, sizeof group->chain.gid);
    }
    if (group->row.group_id != row->group_id) {
        rows_remove(&groups->numbers, group->row.group_id, 0);
        rows_remove(&groups->numbers, row->group_id, 0);
        number = rows_add(&groups->numbers, row->group_id, 0);
        number->group = group;
    }
    return group;
}

/* Its creation has not happened, or it is gone. */
static void forget(struct flow *flow, struct group *group)
{
    rows_remove(&groups_of(flow)->numbers, group->row.group_id, 0);
    group->row.group_id = 0;
    group->reader_count = 0;
}

/* ---- readers ------------------------------------------------------------------------------------
 */

static size_t reader_place(const struct group *group, int64_t agent_id, bool *found)
{
    size_t low = 0, high = group->reader_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (group->readers[middle] < agent_id)
            low = middle + 1;
        else
            high = middle;
    }
    *found = low < group->reader_count && group->readers[low] == agent_id;
    return low;
}

static void reader_insert(struct group *group, int64_t agent_id)
{
    bool found;
    size_t at = reader_place(group, agent_id, &found);

    if (found)
        return;
    if (group->reader_count == group->reader_cap) {
        group->reader_cap = group->reader_cap ? 2 * group->reader_cap : 8;
        group->readers = mem_resize(group->readers, group->reader_cap * sizeof *group->readers);
    }
    memmove(group->readers + at + 1, group->readers + at,
            (group->reader_count - at) * sizeof *group->readers);
    group->readers[at] = agent_id;
    group->reader_count++;
}

enum err group_reader_add(struct flow *flow, struct group *group, int64_t agent_id,
                          uint64_t position)
{
    enum err e
        = store_reader_add(flow->store, group->row.stream_id, agent_id, position, flow->now_ms);

    if (e == ERR_OK)
        reader_insert(group, agent_id);
    return e;
}

enum err group_reader_remove(struct flow *flow, struct group *group, int64_t agent_id)
{
    bool found;
    size_t at = reader_place(group, agent_id, &found);
    enum err e;

    if (!found)
        return ERR_OK;
    e = store_reader_remove(flow->store, group->row.stream_id, agent_id);
    if (e != ERR_OK)
        return e;
    group->reader_count--;
    memmove(group->readers + at, group->readers + at + 1,
            (group->reader_count - at) * sizeof *group->readers);
    channel_reader_left(flow, group, agent_id);
    return ERR_OK;
}

bool group_has_reader(const struct group *group, int64_t agent_id)
{
    bool found;

    reader_place(group, agent_id, &found);
    return found;
}

/* ---- looking at one -----------------------------------------------------------------------------
 */

void group_epoch_begun(struct group *group)
{
    buf_clear(&group->epoch_list);
    for (size_t i = 0; i < group->chain.count; i++) {
        const struct group_member *member = &group->chain.members[i];

        if (!member->joined)
            continue;
        buf_append(&group->epoch_list, member->aid, sizeof member->aid);
        buf_append(&group->epoch_list, &member->role, 1);
    }
}

struct replaying {
    struct group *group;
    enum err err;
};

static bool replay_one(void *ctx, const struct event_row *row)
{
    struct replaying *replaying = ctx;
    struct group *group = replaying->group;
    const struct signed_event event
        = { bytes_of(row->preimage, EVENT_SIZE), row->sig, bytes_of(row->body, row->body_len) };

    replaying->err = group_chain_replay(&group->chain, &event);
    if (replaying->err == ERR_OK && row->type == EVENT_GROUP_EPOCH
        && group->chain.epoch == group->row.epoch)
        group_epoch_begun(group);
    return replaying->err == ERR_OK;
}

static enum err replay(struct flow *flow, struct group *group)
{
    struct replaying replaying = { group, ERR_OK };
    enum err e;

    group_chain_free(&group->chain);
    buf_clear(&group->epoch_list);
    memcpy(group->chain.gid, group->row.id, sizeof group->chain.gid);
    e = store_event_list(flow->store, group->row.group_id, 0, INT64_MAX, replay_one, &replaying);
    return e == ERR_OK && replaying.err != ERR_OK ? ERR_STORE : e;
}

static bool add_reader(void *ctx, const struct cursor_row *cursor)
{
    reader_insert(ctx, cursor->reader_id);
    return true;
}

/* As the store says it is: the row always, the chain where it is another one. */
static enum err load(struct flow *flow, const struct group_row *row, struct group **out)
{
    struct group *group = remember(flow, row);
    enum err e = ERR_OK;

    group->row = *row;
    if (group->chain.next_seq != row->next_event
        || memcmp(group->chain.head, row->head, sizeof row->head) != 0)
        e = replay(flow, group);
    group->reader_count = 0;
    if (e == ERR_OK)
        e = store_readers(flow->store, row->stream_id, add_reader, group);
    if (e != ERR_OK) {
        forget(flow, group);
        return e;
    }
    group->rollbacks = store_rollbacks(flow->store);
    *out = group;
    return ERR_OK;
}

static bool is_fresh(const struct flow *flow, const struct group *group)
{
    return group && group->row.group_id && group->rollbacks == store_rollbacks(flow->store);
}

enum err group_find(struct flow *flow, const uint8_t id[static 16], struct group **out)
{
    struct group *group = known(flow, id);
    struct group_row row;
    enum err e;

    if (is_fresh(flow, group)) {
        *out = group;
        return ERR_OK;
    }
    e = store_group_find(flow->store, id, &row);
    if (e == ERR_NOT_FOUND && group)
        forget(flow, group);
    return e == ERR_OK ? load(flow, &row, out) : e;
}

enum err group_get(struct flow *flow, int64_t group_id, struct group **out)
{
    const struct known_number *number = rows_find(&groups_of(flow)->numbers, group_id, 0);
    struct group_row row;
    enum err e;

    if (number && is_fresh(flow, number->group)) {
        *out = number->group;
        return ERR_OK;
    }
    e = store_group_get(flow->store, group_id, &row);
    if (e == ERR_NOT_FOUND && number)
        forget(flow, number->group);
    return e == ERR_OK ? load(flow, &row, out) : e;
}

enum err group_begin(struct flow *flow, const struct group_row *row, struct group **out)
{
    struct group_row made = *row;
    enum err e = store_group_add(flow->store, &made);

    return e == ERR_OK ? load(flow, &made, out) : e;
}

/* ---- who is in it -------------------------------------------------------------------------------
 */

bool group_has_member(const struct group *group, const uint8_t aid[static 32])
{
    const struct group_member *member = group_member_find(&group->chain, aid);

    return member && member->joined;
}

bool group_has_party(const struct group *group, const uint8_t aid[static 32])
{
    return group_member_find(&group->chain, aid) != NULL;
}

static bool is_revoked(struct flow *flow, const uint8_t aid[static 32])
{
    const struct agent_row *agent = store_agent_by_aid(flow->store, aid);

    return agent && agent->state == AGENT_REVOKED;
}

bool group_is_stale(struct flow *flow, const struct group *group)
{
    bool stale = group->chain.stale;

    for (size_t i = 0; !stale && i < group->chain.count; i++)
        stale = group->chain.members[i].joined && is_revoked(flow, group->chain.members[i].aid);
    return stale;
}

/* ---- EVENTS -------------------------------------------------------------------------------------
 */

static void add_members(struct reply *reply, const struct request *request,
                        const struct group *group)
{
    struct bytes list = buf_bytes(&group->epoch_list);

    reply->out = outgoing_new(OUT_MESSAGE, request->by.conn);
    while (list.len) {
        size_t len = (LIMIT_HEAD_MAX / MEMBER_SIZE) * MEMBER_SIZE;

        if (len > list.len)
            len = list.len;
        reply_part(reply, bytes_of(list.at, len));
        list = bytes_of(list.at + len, list.len - len);
    }
}

enum err group_events(struct flow *flow, const struct request *request, struct reply *reply)
{
    const struct message *asked = &request->message;
    struct message *message = reply_message(reply);
    bool from_epoch = MESSAGE_HAS(asked, flags) && (asked->flags & EVENTS_FROM_EPOCH);
    struct list_maker *list;
    struct group *group;
    enum err e = group_find(flow, asked->id, &group);

    if (e == ERR_OK && !group_has_party(group, request->by.aid))
        e = ERR_NOT_FOUND;
    if (e != ERR_OK)
        return e;
    list = reply_list(reply);
    e = event_list_add(flow, group->row.group_id, from_epoch ? group->chain.epoch_seq : asked->seq,
                       asked->max, list);
    if (e != ERR_OK)
        return e;
    if (from_epoch)
        add_members(reply, request, group);
    MESSAGE_SET(message, events, list_of(list));
    MESSAGE_SET(message, seq, group->chain.next_seq);
    MESSAGE_SET(message, head, reply_keep(reply, bytes_of(group->chain.head, 32)).at);
    return ERR_OK;
}

/* ---- a member is revoked ------------------------------------------------------------------------
 */

static enum err end_in(struct flow *flow, const struct member_row *member)
{
    struct group *group;
    enum err e = group_get(flow, member->group_id, &group);

    if (e == ERR_OK)
        e = group_reader_remove(flow, group, member->agent_id);
    if (e == ERR_OK && !member->joined)
        e = store_member_remove(flow->store, member->group_id, member->agent_id);
    if (e != ERR_OK || !member->joined || group->row.closed || group->row.stale)
        return e == ERR_NOT_FOUND ? ERR_STORE : e;
    group->row.stale = true;
    return store_group_set(flow->store, &group->row);
}

enum err group_agent_revoked(struct flow *flow, int64_t agent_id, int64_t *after, bool *more)
{
    struct member_row members[GROUPS_A_STEP];
    size_t count = 0;
    enum err e = store_member_groups(flow->store, agent_id, *after, members, GROUPS_A_STEP, &count);

    for (size_t i = 0; e == ERR_OK && i < count; i++) {
        e = end_in(flow, &members[i]);
        *after = members[i].group_id;
    }
    *more = count == GROUPS_A_STEP;
    return e;
}

/* ---- closed long ago ----------------------------------------------------------------------------
 */

enum err groups_forget_step(struct flow *flow, uint64_t before_ms)
{
    const struct known_number *number;
    int64_t group_id;
    enum err e = store_group_sweep(flow->store, before_ms, &group_id);

    if (e != ERR_OK)
        return e;
    number = rows_find(&groups_of(flow)->numbers, group_id, 0);
    if (number)
        forget(flow, number->group);
    return ERR_OK;
}

/* ---- not for ever -------------------------------------------------------------------------------
 */

static bool is_held(const struct group *group)
{
    return group->is_woken || group->trims;
}

void groups_shrink(struct flow *flow)
{
    struct groups *groups = groups_of(flow);
    size_t members = 0, count = 0;
    struct group **all;

    for (size_t i = 0; i < groups->ids.slots; i++)
        for (struct row *row = groups->ids.slot[i]; row; row = row->next)
            members += ((struct known_id *)row)->group->chain.count + 1;
    if (members <= MEMBERS_KEPT)
        return;
    all = mem_alloc((groups->ids.count + 1) * sizeof *all);
    for (size_t i = 0; i < groups->ids.slots; i++)
        for (struct row *row = groups->ids.slot[i]; row; row = row->next)
            if (!is_held(((struct known_id *)row)->group))
                all[count++] = ((struct known_id *)row)->group;
    for (size_t i = 0; i < count; i++) {
        rows_remove(&groups->numbers, all[i]->row.group_id, 0);
        rows_remove(&groups->ids, half(all[i]->row.id), half(all[i]->row.id + 8));
        group_free(all[i]);
    }
    free(all);
}
