/*
 * group_append - EVENT for a group: who may bring what, and what each event does to members,
 *                cursors and mailboxes.  The order of checks is that of docs/protocol.md 6.8.
 */
#include "broker/controller/controller.h"
#include "broker/flow/accept.h"
#include "broker/flow/channel.h"
#include "broker/flow/event_list.h"
#include "broker/store/directory.h"
#include "broker/store/usage.h"
#include "shared/base/log.h"
#include "shared/wire/limit.h"

#include <sodium.h>

enum { ITEM_MOST = EVENT_SIZE + 64 + EVENT_BODY_MAX };

/* An EVENT, as far as it has been understood. */
struct appending {
    struct flow *flow;
    const struct request *request;
    struct reply *reply;
    const struct signed_event *said;
    const struct event *parsed;
    size_t count, first_new; /* those before it are stored already */
    struct group *group;     /* NULL: these events make it */
    bool differs;            /* another event is stored under one of the numbers */
    bool tried;
    enum err verdict;         /* of the rules, once tried */
    struct group_chain trial; /* after these events, when the verdict is good */
};

static uint64_t next_seq(const struct appending *ap)
{
    return ap->group ? ap->group->chain.next_seq : 0;
}

/* ---- what is stored already ---------------------------------------------------------------------
 */

/* Skips it, and says where it is another. */
static enum err compare(struct appending *ap)
{
    static const uint8_t nothing[32];
    const uint8_t *head = ap->group ? ap->group->chain.head : nothing;
    struct event_row row;

    for (; ap->first_new < ap->count; ap->first_new++) {
        const struct event *event = &ap->parsed[ap->first_new];
        enum err e;

        if (event->seq >= next_seq(ap))
            break;
        e = store_event_get(ap->flow->store, ap->group->row.group_id, event->seq, &row);
        if (e != ERR_OK)
            return e == ERR_NOT_FOUND ? ERR_STORE : e;
        if (memcmp(row.preimage, ap->said[ap->first_new].preimage.at, EVENT_SIZE) != 0) {
            ap->differs = true;
            return ERR_OK;
        }
    }
    if (ap->first_new < ap->count) {
        const struct event *event = &ap->parsed[ap->first_new];

        ap->differs = event->seq != next_seq(ap) || memcmp(event->prev, head, 32) != 0;
    }
    return ERR_OK;
}

/* What is there from that number on, so that the one who was slower can take it over. */
static enum err refuse_conflict(struct appending *ap)
{
    struct message *refusal = refuse_message(ap->reply);
    struct list_maker *list = reply_list(ap->reply);
    enum err e = ERR_OK;

    if (ap->group)
        e = event_list_add(ap->flow, ap->group->row.group_id, ap->parsed[ap->first_new].seq,
                           UINT64_MAX, list);
    if (e != ERR_OK)
        return e;
    if (ap->group)
        MESSAGE_SET(refusal, head, reply_keep(ap->reply, bytes_of(ap->group->chain.head, 32)).at);
    MESSAGE_SET(refusal, seq, next_seq(ap));
    MESSAGE_SET(refusal, events, list_of(list));
    return ERR_CONFLICT;
}

/* ---- the rules ----------------------------------------------------------------------------------
 */

static bool revoked_fact(void *ctx, const uint8_t aid[static 32])
{
    const struct agent_row *agent = store_agent_by_aid(((struct flow *)ctx)->store, aid);

    return agent && agent->state == AGENT_REVOKED;
}

/* What only the broker knows: who is enrolled, how large a group may be, in how many one is. */
static enum err broker_rules(struct appending *ap, const struct signed_event *said,
                             const struct event *event)
{
    const uint64_t most = ap->flow->settings.group_members;
    const struct agent_row *actor = store_agent_by_aid(ap->flow->store, event->actor);
    const struct agent_row *target = store_agent_by_aid(ap->flow->store, event->target);
    const struct agent_row *joins = NULL;
    struct created_body created;
    uint64_t groups;
    enum err e;

    if (!actor)
        return ERR_FORBIDDEN;
    /* What it signed while it could stays true, whoever brings it back. */
    if (actor->state == AGENT_REVOKED && event->ts_ms >= actor->revoked_ms)
        return ERR_FORBIDDEN;
    switch (event->type) {
    case EVENT_GROUP_CREATED:
        if (created_body_parse(said->body, &created) == ERR_OK && created.max_members > most)
            return ERR_QUOTA;
        joins = actor;
        break;
    case EVENT_GROUP_INVITED:
        if (!target || target->state == AGENT_REVOKED)
            return ERR_FORBIDDEN;
        if (ap->trial.count >= most && !group_member_find(&ap->trial, event->target))
            return ERR_QUOTA;
        break;
    case EVENT_GROUP_JOINED:
        joins = target;
        break;
    }
    if (!joins)
        return ERR_OK;
    e = store_groups_count(ap->flow->store, joins->agent_id, &groups);
    return e == ERR_OK && groups >= LIMIT_GROUPS_MAX ? ERR_QUOTA : e;
}

static enum err try_one(struct appending *ap, size_t i)
{
    const struct group_facts facts = { revoked_fact, ap->flow };
    struct event event;
    enum err e = group_chain_check(&ap->trial, &ap->said[i], &facts, &event);

    if (e == ERR_OK)
        e = broker_rules(ap, &ap->said[i], &event);
    if (e == ERR_OK && event.ts_ms > ap->flow->now_ms + LIMIT_FRESH_MS)
        e = ERR_STALE_TS;
    return e == ERR_OK ? group_chain_replay(&ap->trial, &ap->said[i]) : e;
}

/* All of them on a copy, before any is appended.  An EPOCH that is due must be among them. */
static enum err try_all(struct appending *ap)
{
    struct session_row session;
    enum err e = ERR_OK;

    if (ap->tried)
        return ap->verdict;
    ap->tried = true;
    memcpy(ap->trial.gid, ap->parsed[0].id, sizeof ap->trial.gid);
    if (ap->group)
        group_chain_copy(&ap->trial, &ap->group->chain);
    else if (store_session_find(ap->flow->store, ap->parsed[0].id, &session) == ERR_OK)
        e = ERR_CONFLICT; /* a session has the number */
    for (size_t i = ap->first_new; e == ERR_OK && i < ap->count; i++)
        e = try_one(ap, i);
    if (e == ERR_OK && ap->trial.epoch_due)
        e = ERR_STATE;
    return ap->verdict = e;
}

/* ---- who brings them ----------------------------------------------------------------------------
 */

/* A party before these events or after them.  "Not yours" and "not there" are the same. */
static enum err party(struct appending *ap)
{
    const uint8_t *aid = ap->request->by.aid;
    bool removed = false;
    enum err e = ERR_OK;

    if (ap->group && group_has_party(ap->group, aid))
        return ERR_OK;
    if (ap->differs || (!ap->group && ap->parsed[0].type != EVENT_GROUP_CREATED))
        return ERR_NOT_MEMBER;
    if (!ap->group && memcmp(ap->parsed[0].actor, aid, 32) == 0)
        return ERR_OK;
    if (ap->first_new == ap->count) { /* it hears once more what it has done, and no more */
        e = store_group_removed(ap->flow->store, ap->group->row.group_id, ap->request->by.id,
                                ap->parsed[0].seq, &removed);
        return e == ERR_OK && !removed ? ERR_NOT_MEMBER : e;
    }
    e = try_all(ap);
    if (e != ERR_OK && !err_on_wire(e))
        return e;
    return e == ERR_OK && group_member_find(&ap->trial, aid) ? ERR_OK : ERR_NOT_MEMBER;
}

/* ---- rate, disk, quota --------------------------------------------------------------------------
 */

/* While the disk is full only what ends something is taken, and the EPOCH that belongs to it. */
static bool adds_something(const struct appending *ap)
{
    bool epoch_belongs = ap->group && ap->group->row.stale;

    for (size_t i = ap->first_new; i < ap->count; i++) {
        uint8_t type = ap->parsed[i].type;

        if (type == EVENT_GROUP_REMOVED)
            epoch_belongs = true;
        else if (type != EVENT_GROUP_CLOSED && !(type == EVENT_GROUP_EPOCH && epoch_belongs))
            return true;
    }
    return false;
}

/* Invitations count among what waits for the target's answer. */
static enum err held_check(struct appending *ap, const struct event *event)
{
    const struct flow_settings *settings = &ap->flow->settings;
    const struct agent_row *target = store_agent_by_aid(ap->flow->store, event->target);
    struct held held;
    enum err e = target ? held_count(ap->flow, target->agent_id, &held) : ERR_OK;

    if (e != ERR_OK || !target)
        return e;
    if (held.count >= settings->requests || held.bytes + INVITATION_BYTES > settings->request_bytes)
        return ERR_QUOTA_MAILBOX;
    return ERR_OK;
}

static enum err room(struct appending *ap)
{
    enum err e = ERR_OK;

    for (size_t i = ap->first_new; e == ERR_OK && i < ap->count; i++)
        e = accept_rate(ap->reply, ap->request->by.id);
    if (e == ERR_OK && adds_something(ap))
        e = space_check(ap->reply);
    for (size_t i = ap->first_new; e == ERR_OK && i < ap->count; i++)
        if (ap->parsed[i].type == EVENT_GROUP_INVITED)
            e = held_check(ap, &ap->parsed[i]);
    return e;
}

enum err held_count(struct flow *flow, int64_t agent_id, struct held *out)
{
    struct usage_row usage;
    uint64_t invitations;
    enum err e = store_usage_get(flow->store, agent_id, &usage);

    if (e == ERR_OK)
        e = store_invitations_count(flow->store, agent_id, flow->now_ms, &invitations);
    if (e != ERR_OK)
        return e;
    out->count = usage.requests_in + invitations;
    out->bytes = usage.request_bytes + invitations * INVITATION_BYTES;
    return ERR_OK;
}

/* ---- writing ------------------------------------------------------------------------------------
 */

/* One event on its way into the store. */
struct step {
    struct flow *flow;
    struct group *group;
    const struct signed_event *said;
    const struct event *event;
    int64_t actor_id, target_id; /* 0: nobody */
    uint8_t bytes[ITEM_MOST];    /* the item */
    size_t len;
    uint64_t position; /* of the item in the channel */
};

static enum err append_event(struct step *step)
{
    struct group_row *row = &step->group->row;
    struct event_row event = { .seq = step->event->seq,
                               .type = step->event->type,
                               .actor_id = step->actor_id,
                               .target_id = step->target_id,
                               .at_ms = step->event->ts_ms,
                               .body_len = step->said->body.len };
    enum err e;

    memcpy(event.preimage, step->said->preimage.at, sizeof event.preimage);
    memcpy(event.sig, step->said->sig, sizeof event.sig);
    memcpy(event.body, step->said->body.at, step->said->body.len);
    event_digest(event.digest, step->said->preimage);
    e = store_event_append(step->flow->store, row->group_id, step->event->prev, &event);
    if (e == ERR_OK)
        e = group_chain_replay(&step->group->chain, step->said);
    if (e == ERR_OK) {
        row->next_event = event.seq + 1;
        memcpy(row->head, event.digest, sizeof row->head);
    }
    return e;
}

static enum err put_item(struct step *step)
{
    struct frame_row row = { .stream_id = step->group->row.stream_id,
                             .scope_id = step->group->row.group_id,
                             .sender_id = step->actor_id,
                             .kind = ITEM_EVENT,
                             .stored_ms = step->flow->now_ms,
                             .expires_ms = step->flow->now_ms + LIMIT_KEEP_MS };
    uint8_t *at = step->bytes;
    enum err e;

    at = put_raw(at, step->said->preimage.at, EVENT_SIZE);
    at = put_raw(at, step->said->sig, 64);
    at = put_raw(at, step->said->body.at, step->said->body.len);
    step->len = (size_t)(at - step->bytes);
    row.frame = bytes_of(step->bytes, step->len);
    crypto_hash_sha256(row.digest, row.frame.at, row.frame.len);
    e = store_frame_append(step->flow->store, &row, &step->position);
    if (e == ERR_OK)
        group_wake(step->flow, step->group);
    return e;
}

static enum err tell_target(struct step *step)
{
    return mailbox_put_control(step->flow, step->target_id, ITEM_EVENT, step->group->row.group_id,
                               step->actor_id, bytes_of(step->bytes, step->len));
}

/* A member's row says what the chain says. */
static enum err member_written(struct step *step, const uint8_t aid[static 32], int64_t agent_id)
{
    const struct group_member *member = group_member_find(&step->group->chain, aid);
    struct member_row row = { .group_id = step->group->row.group_id,
                              .agent_id = agent_id,
                              .since_ms = step->flow->now_ms };

    if (!member)
        return store_member_remove(step->flow->store, row.group_id, agent_id);
    row.role = member->role;
    row.joined = member->joined;
    row.expires_ms = member->expires_ms;
    return store_member_put(step->flow->store, &row);
}

static enum err take_in(struct step *step, const uint8_t aid[static 32], int64_t agent_id)
{
    enum err e = member_written(step, aid, agent_id);

    return e == ERR_OK ? store_group_sender(step->flow->store, step->group->row.group_id, agent_id)
                       : e;
}

static enum err removed(struct step *step)
{
    enum err e = member_written(step, step->event->target, step->target_id);

    if (e == ERR_OK)
        e = group_reader_remove(step->flow, step->group, step->target_id);
    if (e == ERR_OK)
        e = tell_target(step);
    /* Whoever removes a revoked owner takes its place. */
    if (e == ERR_OK && step->actor_id != step->target_id)
        e = member_written(step, step->event->actor, step->actor_id);
    return e;
}

/* Everybody whom it admits reads from here on. */
static enum err epoch_begun(struct step *step)
{
    const struct group_chain *chain = &step->group->chain;
    enum err e = ERR_OK;

    group_epoch_begun(step->group);
    step->group->row.epoch = chain->epoch;
    for (size_t i = 0; e == ERR_OK && i < chain->count; i++) {
        const struct agent_row *agent;

        if (!chain->members[i].reads)
            continue;
        agent = store_agent_by_aid(step->flow->store, chain->members[i].aid);
        if (agent && agent->state == AGENT_ACTIVE
            && !group_has_reader(step->group, agent->agent_id))
            e = group_reader_add(step->flow, step->group, agent->agent_id, step->position - 1);
    }
    return e;
}

static enum err follow(struct step *step)
{
    enum err e;

    switch (step->event->type) {
    case EVENT_GROUP_CREATED:
        return take_in(step, step->event->actor, step->actor_id);
    case EVENT_GROUP_INVITED:
        e = member_written(step, step->event->target, step->target_id);
        return e == ERR_OK ? tell_target(step) : e;
    case EVENT_GROUP_JOINED:
        return take_in(step, step->event->target, step->target_id);
    case EVENT_GROUP_REMOVED:
        return removed(step);
    case EVENT_GROUP_EPOCH:
        return epoch_begun(step);
    case EVENT_GROUP_ROLE:
        e = member_written(step, step->event->target, step->target_id);
        return e == ERR_OK ? member_written(step, step->event->actor, step->actor_id) : e;
    }
    return ERR_OK;
}

static int64_t agent_of(struct flow *flow, const uint8_t aid[static 32])
{
    const struct agent_row *agent = store_agent_by_aid(flow->store, aid);

    return agent ? agent->agent_id : 0;
}

static void journal(const struct step *step)
{
    const struct agent_row *actor = store_agent(step->flow->store, step->actor_id);
    const struct agent_row *target = store_agent(step->flow->store, step->target_id);

    log_event(LOG_INFO, "group_event", "group=%s type=%s by=%s about=%s number=%llu",
              log_id(step->group->row.id), event_type_name(step->event->type),
              actor ? actor->name : "-", target ? target->name : "-",
              (unsigned long long)step->event->seq);
}

static enum err append_one(struct appending *ap, size_t i)
{
    struct step step = { .flow = ap->flow,
                         .group = ap->group,
                         .said = &ap->said[i],
                         .event = &ap->parsed[i],
                         .actor_id = agent_of(ap->flow, ap->parsed[i].actor),
                         .target_id = agent_of(ap->flow, ap->parsed[i].target) };
    enum err e = append_event(&step);

    if (e == ERR_OK)
        e = put_item(&step);
    if (e == ERR_OK)
        e = follow(&step);
    if (e == ERR_OK)
        journal(&step);
    return e;
}

static enum err begin(struct appending *ap)
{
    struct created_body body;
    struct group_row row
        = { .owner_id = agent_of(ap->flow, ap->parsed[0].actor), .created_ms = ap->flow->now_ms };
    enum err e = created_body_parse(ap->said[0].body, &body);

    if (e != ERR_OK)
        return e;
    memcpy(row.id, ap->parsed[0].id, sizeof row.id);
    row.max_members = body.max_members;
    return group_begin(ap->flow, &row, &ap->group);
}

static bool may_change_stale(const struct appending *ap)
{
    for (size_t i = ap->first_new; i < ap->count; i++)
        if (ap->parsed[i].type == EVENT_GROUP_EPOCH || ap->parsed[i].type == EVENT_GROUP_REMOVED)
            return true;
    return false;
}

/* What the chain says now becomes the group's row. */
static enum err settle(struct appending *ap)
{
    struct group *group = ap->group;
    const struct group_member *owner = group_owner(&group->chain);

    if (owner)
        group->row.owner_id = agent_of(ap->flow, owner->aid);
    if (may_change_stale(ap))
        group->row.stale = group_is_stale(ap->flow, group);
    if (group->chain.life == GROUP_ENDED && !group->row.closed) {
        group->row.closed = true;
        group->row.closed_ms = ap->flow->now_ms;
    }
    return store_group_set(ap->flow->store, &group->row);
}

static enum err append_all(struct appending *ap)
{
    enum err e = ap->group ? ERR_OK : begin(ap);

    for (size_t i = ap->first_new; e == ERR_OK && i < ap->count; i++)
        e = append_one(ap, i);
    return e == ERR_OK ? settle(ap) : e;
}

static enum err handle(struct appending *ap)
{
    enum err e = group_find(ap->flow, ap->parsed[0].id, &ap->group);

    if (e != ERR_OK && e != ERR_NOT_FOUND)
        return e;
    if ((e = compare(ap)) != ERR_OK || (e = party(ap)) != ERR_OK)
        return e;
    if (ap->differs)
        return refuse_conflict(ap);
    if (ap->first_new == ap->count)
        return ERR_OK;
    if ((e = room(ap)) != ERR_OK || (e = try_all(ap)) != ERR_OK)
        return e;
    return append_all(ap);
}

enum err group_append(struct flow *flow, const struct request *request, struct reply *reply,
                      const struct group_append *append)
{
    struct message *message = reply_message(reply);
    struct appending ap = { .flow = flow,
                            .request = request,
                            .reply = reply,
                            .said = append->said,
                            .parsed = append->parsed,
                            .count = append->count };
    enum err e = handle(&ap);

    group_chain_free(&ap.trial);
    if (e != ERR_OK)
        return e;
    MESSAGE_SET(message, seq, ap.group->chain.next_seq);
    MESSAGE_SET(message, head, reply_keep(reply, bytes_of(ap.group->chain.head, 32)).at);
    return ERR_OK;
}
