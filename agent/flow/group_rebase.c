/* Somebody was faster: what I wanted is said again behind his event, as far as it still makes
 * sense; and EVENT, which finds that out. */
#include <stdlib.h>

#include "agent/flow/group_inner.h"
#include "agent/flow/group_mail.h"
#include "agent/flow/link.h"
#include "agent/store/scopes.h"
#include "shared/base/crash.h"
#include "shared/base/log.h"
#include "shared/wire/lists.h"

/* ------------------------------------------------------------------ taking it back */

static void want_add(struct group_wants *wants, const struct event *event, struct bytes body)
{
    struct group_want *want;

    wants->list = mem_resize(wants->list, (wants->count + 1) * sizeof *wants->list);
    want = &wants->list[wants->count++];
    want->type = event->type;
    memcpy(want->target, event->target, 32);
    want->body_len = body.len < sizeof want->body ? body.len : sizeof want->body;
    if (want->body_len)
        memcpy(want->body, body.at, want->body_len);
}

void agent_group_tail_take(struct agent *agent, struct agent_group *group, size_t skip,
                           struct group_wants *out)
{
    struct profile_event row;
    struct event event;

    for (uint64_t seq = group->stored_seq; seq < group->chain.next_seq; seq++) {
        if (profile_events(agent->store, group->group_id, seq, &row, 1) != 1
            || event_parse(bytes_of(row.preimage, EVENT_SIZE), &event) != ERR_OK)
            break;
        if (seq >= group->stored_seq + skip && agent_group_is_me(agent, event.actor))
            want_add(out, &event, bytes_of(row.body, row.body_len));
    }
    profile_events_drop(agent->store, group->group_id, group->stored_seq);
    agent_group_reload(agent, group);
    out->epoch = group->chain.epoch;
}

/* ------------------------------------------------------------------ saying it again */

static bool is_done(const struct agent *agent, const struct agent_group *group,
                    const struct group_want *want, const struct group_wants *wants)
{
    const struct group_member *target = group_member_find(&group->chain, want->target);

    switch ((enum event_type)want->type) {
    case EVENT_GROUP_INVITED:
        return target && (target->joined || target->expires_ms > agent_now(agent));
    case EVENT_GROUP_JOINED:
        return target && target->joined;
    case EVENT_GROUP_REMOVED:
        return !target;
    case EVENT_GROUP_ROLE:
        return target && target->joined && target->role == want->body[0];
    case EVENT_GROUP_EPOCH: /* by somebody else meanwhile; if not of all, it is owed all the same */
        return group->chain.epoch != wants->epoch;
    case EVENT_GROUP_CLOSED:
        return group->chain.life == GROUP_ENDED;
    case EVENT_OPENED:
    case EVENT_ACCEPTED:
    case EVENT_REJECTED:
    case EVENT_ROTATED:
    case EVENT_CLOSED:
    case EVENT_EXPIRED:
    case EVENT_GROUP_CREATED:
        break;
    }
    return false;
}

static enum err say_again(struct agent *agent, struct agent_group *group,
                          const struct group_want *want)
{
    struct bytes body = bytes_of(want->body, want->body_len);
    const struct group_member *me = agent_group_me(agent, group);

    if (want->type == EVENT_GROUP_EPOCH)
        return agent_group_epoch_wish(agent, group);
    if (want->type == EVENT_GROUP_JOINED)
        return me ? agent_group_wish(agent, group, EVENT_GROUP_JOINED, want->target,
                                     bytes_of(me->invited, 32))
                  : ERR_STATE;
    return agent_group_wish(
        agent, group, (enum event_type)want->type,
        want->type == EVENT_GROUP_CLOSED || want->type == EVENT_GROUP_CREATED ? NULL : want->target,
        body);
}

/* What I am, when the word that should have changed it has failed. */
static void state_again(struct agent *agent, struct agent_group *group)
{
    const struct group_member *me = agent_group_me(agent, group);

    if (group->row.state != PROFILE_GROUP_JOINED)
        return;
    if (!me && group->chain.next_seq > 0)
        agent_group_left(agent, group);
    else if (!me)
        agent_group_save(agent, group, PROFILE_GROUP_CLOSED); /* it never came about */
    else if (!me->joined)
        agent_group_save(agent, group, PROFILE_GROUP_INVITED);
}

void agent_group_tail_remake(struct agent *agent, struct agent_group *group,
                             struct group_wants *wants)
{
    for (size_t i = 0; i < wants->count; i++) {
        const struct group_want *want = &wants->list[i];
        enum err e;
        /* What must have an epoch behind it gets that before anything else is said. */
        if (group->chain.epoch_due && want->type != EVENT_GROUP_REMOVED
            && want->type != EVENT_GROUP_EPOCH)
            agent_group_epoch_wish(agent, group);
        if (!group->chain.epoch_due && is_done(agent, group, want, wants))
            continue;
        e = say_again(agent, group, want);
        if (e != ERR_OK) {
            log_event(LOG_INFO, "group.given_up", "group=%s type=%s error=%s",
                      log_id(group->row.id), event_type_name(want->type), err_name(e));
            group->refusal = e;
        }
    }
    if (group->chain.epoch_due && memcmp(group->chain.due_actor, agent->me.row.id, 32) == 0)
        agent_group_epoch_wish(agent, group);
    if (wants->count > 0)
        state_again(agent, group);
    free(wants->list);
    *wants = (struct group_wants){ 0 };
}

/* ------------------------------------------------------------------ EVENT */

static uint8_t type_at(const struct profile_event *row)
{
    struct event event;

    return event_parse(bytes_of(row->preimage, EVENT_SIZE), &event) == ERR_OK ? event.type : 0;
}

/* May an EVENT end between these two?  REMOVED must not lose its EPOCH, nor CREATED. */
static bool can_cut(const struct profile_event *a, const struct profile_event *b)
{
    uint8_t before = type_at(a), behind = type_at(b);

    return !((before == EVENT_GROUP_CREATED || before == EVENT_GROUP_REMOVED)
             && (behind == EVENT_GROUP_REMOVED || behind == EVENT_GROUP_EPOCH));
}

/* How many of these go together: as many as possible, or as few. */
static size_t cut(const struct profile_event *rows, size_t count, bool few)
{
    size_t end = count <= LIMIT_EVENTS_APPENDED ? count : 0;

    for (size_t i = 1; i < count && i <= LIMIT_EVENTS_APPENDED; i++) {
        if (!can_cut(&rows[i - 1], &rows[i]))
            continue;
        if (few)
            return i;
        end = count <= LIMIT_EVENTS_APPENDED ? count : i;
    }
    return end ? end : LIMIT_EVENTS_APPENDED;
}

static size_t first_unit(struct agent *agent, const struct agent_group *group, bool few,
                         struct profile_event *rows)
{
    size_t count = profile_events(agent->store, group->group_id, group->stored_seq, rows,
                                  LIMIT_EVENTS_APPENDED + 1);

    return count ? cut(rows, count, few) : 0;
}

static void send_event(struct agent *agent, struct agent_group *group)
{
    struct profile_event *rows = mem_alloc((LIMIT_EVENTS_APPENDED + 1) * sizeof *rows);
    size_t count = first_unit(agent, group, group->one_by_one, rows);
    struct message message = agent_message(VERB_EVENT);
    struct list_maker list = { 0 };
    struct agent_asked *asked;

    for (size_t i = 0; i < count; i++)
        list_add_event(&list, &(struct wire_event){ rows[i].preimage, rows[i].sig,
                                                    bytes_of(rows[i].body, rows[i].body_len) });
    if (count > 0) {
        MESSAGE_SET(&message, events, list_of(&list));
        asked = agent_ask(agent, &message, NULL, 0);
        if (asked) {
            asked->scope_id = group->group_id;
            memcpy(asked->scope, group->row.id, 16);
            group->asked = true;
        }
    }
    list_free(&list);
    free(rows);
}

static void ask_events(struct agent *agent, struct agent_group *group)
{
    struct message message = agent_message(VERB_EVENTS);
    struct agent_asked *asked;

    MESSAGE_SET(&message, id, group->row.id);
    MESSAGE_SET(&message, seq, group->stored_seq);
    MESSAGE_SET(&message, max, 128);
    asked = agent_ask(agent, &message, NULL, 0);
    if (asked) {
        asked->scope_id = group->group_id;
        memcpy(asked->scope, group->row.id, 16);
        group->asked = true;
    }
}

/* One question at a time for each group: what has the broker, then what it lacks. */
static void ask_about(struct agent *agent, struct agent_group *group)
{
    if (group->strangers.len)
        agent_group_strangers_ask(agent, group);
    if (group->asked || group->batch_count)
        return;
    if (group->wants_events)
        ask_events(agent, group);
    else if (agent_group_pending(group) > 0 && (group->compared || group->stored_seq == 0))
        send_event(agent, group);
}

void agent_groups_send(struct agent *agent)
{
    uint64_t now = agent_elapsed(agent);

    for (struct agent_group *group = agent->groups; group && !agent->link.busy; group = group->next)
        if (now >= group->wait_ms)
            ask_about(agent, group);
}

/* The broker will not have the first of what I want: without it, then. */
static void give_up(struct agent *agent, struct agent_group *group, enum err why)
{
    struct profile_event *rows = mem_alloc((LIMIT_EVENTS_APPENDED + 1) * sizeof *rows);
    size_t count = first_unit(agent, group, true, rows), all = agent_group_pending(group);
    struct group_wants wants = { 0 };

    free(rows);
    if (!group->one_by_one && count < all) {
        group->one_by_one = true; /* which one is it? */
        return;
    }
    log_event(LOG_INFO, "group.refused", "group=%s error=%s", log_id(group->row.id), err_name(why));
    agent_group_tail_take(agent, group, count, &wants);
    group->failures = 0;
    group->refusal = why;
    agent_group_tail_remake(agent, group, &wants);
    state_again(agent, group);
    agent->changed = true;
}

static void lose_race(struct agent *agent, struct agent_group *group, const struct message *message)
{
    if (++group->failures > LIMIT_EPOCH_TRIES) {
        struct group_wants none = { 0 };
        agent_group_tail_take(agent, group, agent_group_pending(group), &none);
        group->refusal = ERR_CONFLICT;
        group->failures = 0;
        state_again(agent, group);
        free(none.list);
    }
    group->wait_ms = agent_elapsed(agent) + agent_jitter(agent, 100ull << group->failures);
    agent_group_conflict(agent, group, message);
}

void agent_group_event_answer(struct agent *agent, const struct agent_asked *asked, enum err code,
                              const struct message *message)
{
    struct agent_group *group = agent_group_of(agent, asked->scope_id);
    uint64_t after = message && MESSAGE_HAS(message, after_ms) ? message->after_ms : 0;

    if (!group)
        return;
    group->asked = false;
    if (code == ERR_OK) {
        group->failures = 0;
        agent_group_accepted(agent, group, message->seq);
        return;
    }
    log_event(LOG_INFO, "group.event_refused", "me=%s group=%s error=%s", agent->me.row.name,
              log_id(group->row.id), err_name(code));
    if (code == ERR_CONFLICT) {
        lose_race(agent, group, message);
    } else if (code == ERR_SESSION_NOT_FOUND || code == ERR_NOT_MEMBER) {
        group->compared = false; /* EVENTS tells what it does not have, and why */
        group->wants_events = group->stored_seq > 0;
        group->wait_ms = agent_elapsed(agent) + agent_backoff(agent, ++group->failures);
        if (group->stored_seq == 0 && group->failures > LIMIT_EPOCH_TRIES)
            give_up(agent, group, code);
    } else if ((err_retry(code) == RETRY_SAME && code != ERR_QUOTA) || code == ERR_HELLO
               || code == ERR_STALE_TS) {
        group->wait_ms = agent_elapsed(agent)
                         + (after ? after + agent_jitter(agent, 1000)
                                  : agent_backoff(agent, ++group->failures));
        if (code == ERR_QUOTA_MAILBOX && ++group->failures > LIMIT_EPOCH_TRIES)
            give_up(agent, group, code);
    } else {
        give_up(agent, group, code);
    }
}
