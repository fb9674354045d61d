/* Mail in, as programs see it: list, take, settle, find; and threads of both ways. */
#include "agent/flow/group.h"
#include "agent/flow/link.h"
#include "agent/flow/views.h"
#include "agent/store/acks.h"
#include "agent/store/dead.h"
#include "agent/store/sessions.h"
#include "shared/base/crash.h"
#include "shared/trust/init0.h"

/* ------------------------------------------------------------------ one message */

static void describe_in(struct agent *agent, const struct profile_in *row, char name[static 65],
                        char group[static 65], struct buf *plain, struct incoming_info *out)
{
    static const enum incoming_state states[] = { IN_HELD, IN_NEW, IN_HANDED, IN_DONE, IN_FAILED };
    struct profile_peer peer = { 0 };
    struct profile_session session;
    struct envelope envelope;

    *out = (struct incoming_info){ .first_contact = row->first_contact,
                                   .stored_ms = row->stored_ms,
                                   .received_ms = row->received_ms,
                                   .expires_ms = row->expires_ms,
                                   .state = states[row->state],
                                   .again = row->state == INBOX_HANDED,
                                   .seq = row->seq,
                                   .tries = row->tries,
                                   .wake = true };
    memcpy(out->id, row->msg_id, 16);
    memcpy(out->thread, row->thread, 16);
    memcpy(out->digest, row->digest, 32);
    if (profile_peer_get(agent->store, row->peer_id, &peer)) {
        memcpy(out->from_aid, peer.id, 32);
        out->trust = agent_trust_of(&peer);
    }
    memcpy(name, peer.name, sizeof peer.name);
    out->from = bytes_of_text(name);
    if (profile_session_get(agent->store, row->scope_id, &session)) {
        memcpy(out->session, session.id, 16);
    } else if (agent_group_label(agent, row->scope_id, out->group, group)) {
        out->has_group = true;
        out->group_name = bytes_of_text(group);
        memcpy(out->session, out->group, 16);
    }
    out->media_type = out->body = bytes_of("", 0);
    if (!profile_in_message(agent->store, row->inbox_id, plain)
        || envelope_decode(buf_bytes(plain), &envelope) != ERR_OK)
        return;
    out->sent_ms = envelope.ts_ms;
    out->media_type = envelope.content_type;
    out->body = envelope.body;
    out->schema = envelope.schema_version;
    out->wake = !envelope.has_wake || envelope.wake;
    if (envelope.reply_to) {
        out->has_reply_to = true;
        memcpy(out->reply_to, envelope.reply_to, 16);
    }
}

enum err agent_incoming_get(struct agent *agent, const uint8_t id[static 16],
                            struct incoming_info *out)
{
    struct agent_views *views = agent_views_of(agent);
    struct profile_in row;

    buf_wipe(&views->in);
    if (!profile_in_find(agent->store, id, &row))
        return ERR_NOT_FOUND;
    describe_in(agent, &row, views->from, views->from_group, &views->in, out);
    out->position = profile_ack_position(agent->store, row.scope_id, row.peer_id, row.seq);
    return agent_store_failure(agent->store);
}

/* ------------------------------------------------------------------ lists */

static bool is_skipped(const uint8_t (*skip)[16], size_t skip_count, const uint8_t id[static 16])
{
    for (size_t i = 0; i < skip_count; i++)
        if (memcmp(skip[i], id, 16) == 0)
            return true;
    return false;
}

/* In the session that is asked for; else not in a live one that goes on. */
static bool of_session(struct agent *agent, const struct incoming_filter *filter,
                       const struct profile_in *row)
{
    struct profile_session session;

    if (!profile_session_get(agent->store, row->scope_id, &session))
        return !filter->session;
    if (filter->session)
        return memcmp(session.id, filter->session, 16) == 0;
    return (session.mode != MODE_LIVE || session.state > SESSION_ACTIVE)
           && !is_skipped(filter->but, filter->but_count, session.id);
}

/* Said in one of the groups, or outside of groups by one of the agents. */
static bool is_from(struct agent *agent, const struct incoming_filter *filter,
                    const struct profile_in *row)
{
    const struct agent_group *group;
    struct profile_peer peer;

    if (!filter->from && !filter->groups)
        return true;
    group = agent_group_of(agent, row->scope_id);
    if (group)
        return filter->groups && is_skipped(filter->groups, filter->group_count, group->row.id);
    if (!filter->from || !profile_peer_get(agent->store, row->peer_id, &peer))
        return false;
    for (size_t i = 0; i < filter->from_count; i++)
        if (memcmp(filter->from[i], peer.id, 32) == 0)
            return true;
    return false;
}

/* What a message answers stands inside it. */
static bool answers(struct agent *agent, const uint8_t *message, const struct profile_in *row)
{
    struct buf plain = { 0 };
    struct envelope envelope;
    bool found;

    if (!message)
        return true;
    found = profile_in_message(agent->store, row->inbox_id, &plain)
            && envelope_decode(buf_bytes(&plain), &envelope) == ERR_OK && envelope.reply_to
            && memcmp(envelope.reply_to, message, 16) == 0;
    buf_wipe(&plain);
    return found;
}

static bool fits(struct agent *agent, const struct incoming_filter *filter,
                 const struct profile_in *row)
{
    bool unread = row->state == INBOX_NEW || row->state == INBOX_HANDED;

    return (unread ? filter->unread : filter->done) && of_session(agent, filter, row)
           && is_from(agent, filter, row) && answers(agent, filter->reply_to, row);
}

/* The number before the newest so many that fit. */
static int64_t before_newest(struct agent *agent, const struct incoming_filter *filter)
{
    struct profile_in row;
    int64_t at = INT64_MAX;

    for (uint64_t left = filter->newest; left > 0;) {
        if (!profile_in_previous(agent->store, at, &row))
            return 0;
        at = row.inbox_id;
        left -= fits(agent, filter, &row);
    }
    return at - 1;
}

enum err agent_inbox_each(struct agent *agent, const struct incoming_filter *filter,
                          void (*each)(void *ctx, const struct incoming_info *info), void *ctx)
{
    struct profile_in row;
    struct buf plain = { 0 };
    char name[65], group[65];
    int64_t after = filter->newest ? before_newest(agent, filter) : 0;

    while (filter->done ? profile_in_next(agent->store, after, &row)
                        : profile_in_next_open(agent->store, after, &row)) {
        struct incoming_info info;
        after = row.inbox_id;
        if (!fits(agent, filter, &row))
            continue;
        describe_in(agent, &row, name, group, &plain, &info);
        each(ctx, &info);
        buf_wipe(&plain);
    }
    buf_free(&plain);
    return agent_store_failure(agent->store);
}

/* ------------------------------------------------------------------ taking, settling */

enum err agent_take(struct agent *agent, const struct incoming_filter *filter,
                    const uint8_t (*skip)[16], size_t skip_count, struct incoming_info *out)
{
    struct agent_views *views = agent_views_of(agent);
    struct profile_in row;
    int64_t after = 0;
    enum err e;

    while (profile_in_next_open(agent->store, after, &row)) {
        after = row.inbox_id;
        if (!fits(agent, filter, &row) || is_skipped(skip, skip_count, row.msg_id))
            continue;
        buf_wipe(&views->in);
        describe_in(agent, &row, views->from, views->from_group, &views->in, out);
        agent_enter(agent);
        profile_in_handed(agent->store, row.inbox_id, agent_now(agent));
        e = agent_leave(agent);
        CRASH_POINT("recv.handed");
        out->state = IN_HANDED;
        out->tries = row.tries + 1;
        return e;
    }
    return agent_store_failure(agent->store) == ERR_OK ? ERR_NOT_FOUND : ERR_STORE;
}

enum err agent_settle(struct agent *agent, const uint8_t id[static 16], enum incoming_state state)
{
    static const enum in_stage stages[] = { [IN_HELD] = INBOX_HELD,
                                            [IN_NEW] = INBOX_NEW,
                                            [IN_HANDED] = INBOX_HANDED,
                                            [IN_DONE] = INBOX_DONE,
                                            [IN_FAILED] = INBOX_FAILED };
    struct profile_in row;
    enum err e;

    agent_enter(agent);
    if (!profile_in_find(agent->store, id, &row)) {
        e = agent_store_failure(agent->store);
        agent_store_rollback(agent->store);
        return e == ERR_OK ? ERR_NOT_FOUND : e;
    }
    if (row.state != stages[state]) {
        profile_in_settle(agent->store, row.inbox_id, stages[state], agent_now(agent));
        agent->changed = true;
    }
    e = agent_leave(agent);
    CRASH_POINT("recv.done");
    return e;
}

/* ------------------------------------------------------------------ finding */

static bool hex_range(const char *prefix, uint8_t low[static 16], uint8_t high[static 16])
{
    size_t len = strlen(prefix);
    char text[33];

    if (len < 4 || len > 32)
        return false;
    memset(text, '0', 32);
    memcpy(text, prefix, len);
    if (hex_decode(low, 16, text, 32) != ERR_OK)
        return false;
    memset(text, 'f', 32);
    memcpy(text, prefix, len);
    return hex_decode(high, 16, text, 32) == ERR_OK;
}

/* Steps to the next number; false after the last one. */
static bool step(uint8_t id[static 16])
{
    for (int i = 15; i >= 0; i--)
        if (++id[i] != 0)
            return true;
    return false;
}

typedef bool (*next_id)(struct agent_store *store, const uint8_t low[static 16],
                        const uint8_t high[static 16], uint8_t id[static 16]);

static size_t count_ids(struct agent *agent, next_id next, const uint8_t low[static 16],
                        const uint8_t high[static 16], uint8_t first[static 16])
{
    uint8_t from[16], found[16];
    size_t count = 0;

    memcpy(from, low, 16);
    while (count < 16 && next(agent->store, from, high, found)) {
        if (count++ == 0)
            memcpy(first, found, 16);
        memcpy(from, found, 16);
        if (!step(from))
            break;
    }
    return count;
}

enum err agent_find(struct agent *agent, const char *prefix, uint8_t id[static 16], bool *incoming,
                    size_t *matches)
{
    uint8_t low[16], high[16], in_id[16], out_id[16], dead_id[16];
    size_t in, out, dead;

    *matches = 0;
    if (!hex_range(prefix, low, high))
        return ERR_MALFORMED;
    in = count_ids(agent, profile_in_next_id, low, high, in_id);
    out = count_ids(agent, profile_out_next_id, low, high, out_id);
    dead = count_ids(agent, profile_dead_next_id, low, high, dead_id);
    *matches = in + out + dead;
    *incoming = in > 0;
    if (*matches == 0)
        return ERR_NOT_FOUND;
    memcpy(id, in ? in_id : out ? out_id : dead_id, 16);
    return agent_store_failure(agent->store);
}

enum err agent_thread_each(struct agent *agent, const uint8_t thread[static 16],
                           void (*each)(void *ctx, const struct outgoing_info *out,
                                        const struct incoming_info *in),
                           void *ctx)
{
    struct profile_out out;
    struct profile_in in;
    bool has_out = profile_out_next_in_thread(agent->store, thread, 0, &out);
    bool has_in = profile_in_next_in_thread(agent->store, thread, 0, &in);

    while (has_out || has_in) {
        if (has_out && (!has_in || out.created_ms <= in.received_ms)) {
            struct outgoing_info info;
            if (agent_outgoing_get(agent, out.msg_id, &info) == ERR_OK)
                each(ctx, &info, NULL);
            has_out = profile_out_next_in_thread(agent->store, thread, out.outbox_id, &out);
        } else {
            struct incoming_info info;
            if (agent_incoming_get(agent, in.msg_id, &info) == ERR_OK)
                each(ctx, NULL, &info);
            has_in = profile_in_next_in_thread(agent->store, thread, in.inbox_id, &in);
        }
    }
    return agent_store_failure(agent->store);
}
