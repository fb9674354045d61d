/* The signed events of a group: mine made, the broker's judged and taken. */
#include <stdlib.h>

#include "agent/crypto/sign.h"
#include "agent/flow/contact.h"
#include "agent/flow/group_inner.h"
#include "agent/flow/group_mail.h"
#include "agent/flow/incoming.h"
#include "agent/flow/link.h"
#include "agent/flow/watch.h"
#include "agent/store/dead.h"
#include "agent/store/log.h"
#include "agent/store/scopes.h"
#include "shared/base/log.h"
#include "shared/wire/lists.h"

#define GAP_ASKS 3

/* ------------------------------------------------------------------ mine */

static void keep_event(struct agent *agent, const struct agent_group *group,
                       const struct signed_event *said, uint64_t seq, bool stored)
{
    struct profile_event row = { .seq = seq, .body_len = said->body.len, .stored = stored };

    memcpy(row.preimage, said->preimage.at, EVENT_SIZE);
    memcpy(row.sig, said->sig, 64);
    if (said->body.len)
        memcpy(row.body, said->body.at, said->body.len);
    event_digest(row.digest, said->preimage);
    profile_event_add(agent->store, group->group_id, &row);
}

enum err agent_group_wish(struct agent *agent, struct agent_group *group, enum event_type type,
                          const uint8_t *target, struct bytes body)
{
    struct event event = { .scope = SCOPE_GROUP,
                           .type = (uint8_t)type,
                           .seq = group->chain.next_seq,
                           .ts_ms = agent_now(agent) };
    struct group_facts facts = agent_group_facts(agent);
    uint8_t preimage[EVENT_SIZE], sig[64];
    struct signed_event made = { bytes_of(preimage, EVENT_SIZE), sig, body };
    enum err e;

    memcpy(event.id, group->row.id, 16);
    memcpy(event.prev, group->chain.head, 32);
    memcpy(event.actor, agent->me.row.id, 32);
    if (target)
        memcpy(event.target, target, 32);
    event_body_hash(event.body_hash, body);
    event_encode(preimage, &event);
    sign(sig, agent->me.ik_secret, made.preimage);
    e = group_chain_append(&group->chain, &made, &facts, agent->me.ik_public, &event);
    if (e != ERR_OK)
        return e;
    if (type == EVENT_GROUP_EPOCH)
        agent_group_note_epoch(group, event.seq);
    keep_event(agent, group, &made, event.seq, false);
    group->last_event_ms = event.ts_ms;
    agent->changed = true;
    return ERR_OK;
}

size_t agent_group_pending(const struct agent_group *group)
{
    return (size_t)(group->chain.next_seq - group->stored_seq);
}

bool agent_group_wishes(struct agent *agent, const struct agent_group *group, enum event_type type)
{
    struct profile_event row;
    struct event event;

    for (uint64_t seq = group->stored_seq; seq < group->chain.next_seq; seq++)
        if (profile_events(agent->store, group->group_id, seq, &row, 1) == 1
            && event_parse(bytes_of(row.preimage, EVENT_SIZE), &event) == ERR_OK
            && event.type == type)
            return true;
    return false;
}

/* ------------------------------------------------------------------ the broker's */

static enum err verified(struct agent *agent, const struct signed_event *said,
                         const struct event *event)
{
    struct profile_peer peer;
    const uint8_t *key = agent_group_key_of(agent, event->actor, &peer);

    return key && event_body_check(event, said->body) == ERR_OK
               ? event_verify(said->preimage, said->sig, key)
               : ERR_AUTH;
}

/* The broker has all of my own tail below `next`. */
static void confirm(struct agent *agent, struct agent_group *group, uint64_t next)
{
    struct profile_event row;
    struct event event;

    while (group->stored_seq < next
           && profile_events(agent->store, group->group_id, group->stored_seq, &row, 1) == 1
           && event_parse(bytes_of(row.preimage, EVENT_SIZE), &event) == ERR_OK) {
        group->stored_seq = row.seq + 1;
        memcpy(group->stored_head, row.digest, 32);
        profile_events_stored(agent->store, group->group_id, group->stored_seq);
        agent_group_settled(agent, group, &event, bytes_of(row.body, row.body_len));
    }
}

/* An event of a number that I have from the broker: the same one? */
static enum err known_again(struct agent *agent, const struct agent_group *group,
                            const struct signed_event *said, const struct event *event)
{
    struct profile_event row;
    uint8_t digest[32];

    event_digest(digest, said->preimage);
    if (profile_events(agent->store, group->group_id, event->seq, &row, 1) != 1
        || memcmp(row.digest, digest, 32) == 0)
        return ERR_DUPLICATE;
    return verified(agent, said, event) == ERR_OK ? ERR_GROUP_FORK : ERR_AUTH;
}

/* Mine at this number, not confirmed: is it that?  ERR_NOT_FOUND: it is another's, mine is void.
 * What the broker had confirmed and lost can only be what it was. */
static enum err mine_there(struct agent *agent, struct agent_group *group,
                           const struct signed_event *said, const struct event *event)
{
    struct profile_event row;
    struct event mine;
    uint8_t digest[32];

    event_digest(digest, said->preimage);
    if (profile_events(agent->store, group->group_id, event->seq, &row, 1) != 1
        || event_parse(bytes_of(row.preimage, EVENT_SIZE), &mine) != ERR_OK)
        return ERR_CORRUPT;
    if (memcmp(row.digest, digest, 32) == 0) {
        confirm(agent, group, event->seq + 1);
        return ERR_OK;
    }
    if (!agent_group_is_lost(group, event->actor) && verified(agent, said, event) != ERR_OK)
        return ERR_AUTH;
    if (memcmp(event->prev, group->stored_head, 32) != 0 || !agent_group_is_me(agent, mine.actor)
        || event->seq < group->given_to)
        return ERR_GROUP_FORK;
    return ERR_NOT_FOUND;
}

/* Who removes somebody for being revoked says what the log must say too; mine may be behind.  True:
 * it is read up to a point after the event came, and the event waits for that. */
static bool waits_for_log(struct agent *agent, struct agent_group *group,
                          const struct signed_event *said, const struct event *event)
{
    if (event->type != EVENT_GROUP_REMOVED || said->body.len != 1
        || said->body.at[0] != REMOVED_REVOKED || event->seq < group->stored_seq
        || profile_log_revoked(agent->store, event->target))
        return false;
    if (event->seq >= group->doubt_seq) {
        group->doubt_seq = event->seq + 1;
        group->doubt_until = agent->log_answers + (agent->log_asked ? 2 : 1);
    }
    if (agent->log_answers >= group->doubt_until && agent_log_read(agent))
        return false;
    agent->log_wanted = true;
    return true;
}

/* Behind what the broker has, by an actor whose key is known, or is lost for ever: then only what
 * others sign behind it says that it is true. */
static enum err append(struct agent *agent, struct agent_group *group,
                       const struct signed_event *said, struct event *event)
{
    struct group_facts facts = agent_group_facts(agent);
    struct profile_peer peer;
    const uint8_t *key = agent_group_key_of(agent, event->actor, &peer);
    uint32_t before = group->chain.epoch;
    enum err e;

    if (event->type == EVENT_GROUP_EPOCH)
        agent_group_job_finish(agent, group);
    if (key) {
        e = group_chain_append(&group->chain, said, &facts, key, event);
    } else {
        e = group_chain_check(&group->chain, said, &facts, event);
        if (e == ERR_OK)
            e = group_chain_replay(&group->chain, said);
    }
    if (e != ERR_OK)
        return e == ERR_AUTH || e == ERR_SCHEMA || verified(agent, said, event) != ERR_OK
                   ? ERR_AUTH
                   : ERR_GROUP_FORK;
    group->unproven = key ? 0 : event->seq + 1;
    if (group->chain.epoch != before)
        agent_group_note_epoch(group, event->seq);
    keep_event(agent, group, said, event->seq, true);
    group->stored_seq = group->chain.next_seq;
    memcpy(group->stored_head, group->chain.head, 32);
    group->last_event_ms = event->ts_ms;
    log_event(LOG_INFO, "group.event", "me=%s group=%s seq=%llu type=%s", agent->me.row.name,
              log_id(group->row.id), (unsigned long long)event->seq, event_type_name(event->type));
    agent_group_settled(agent, group, event, said->body);
    return ERR_OK;
}

/*
 * One event of the broker's chain.  ERR_OK, ERR_DUPLICATE; ERR_GAP: others come before it;
 * ERR_BUSY: its actor's key is not here, or the log may tell more; ERR_AUTH: nobody signed it;
 * ERR_GROUP_FORK: signed, and not part of the chain that I know.
 */
static enum err take(struct agent *agent, struct agent_group *group,
                     const struct signed_event *said, struct group_wants *wants)
{
    struct profile_peer peer;
    struct event event;
    enum err e;

    if (event_parse(said->preimage, &event) != ERR_OK || event.scope != SCOPE_GROUP
        || memcmp(event.id, group->row.id, 16) != 0
        || event_body_check(&event, said->body) != ERR_OK)
        return ERR_AUTH;
    if (event.seq > group->stored_seq)
        return ERR_GAP;
    if (event.seq < group->stored_seq)
        return known_again(agent, group, said, &event);
    if (!agent_group_key_of(agent, event.actor, &peer) && !agent_group_is_lost(group, event.actor))
        return ERR_BUSY;
    if (waits_for_log(agent, group, said, &event))
        return ERR_BUSY;
    if (group->chain.next_seq > group->stored_seq) {
        e = mine_there(agent, group, said, &event);
        if (e != ERR_NOT_FOUND)
            return e;
        agent_group_tail_take(agent, group, 0, wants);
    }
    return append(agent, group, said, &event);
}

/* The broker shows what is not true.  False: it goes on all the same. */
static void judge(struct agent *agent, struct agent_group *group, enum err e)
{
    if (e == ERR_GROUP_FORK) {
        agent_group_forked(agent, group, "two histories");
    } else if (e == ERR_AUTH) {
        agent_group_alarm(agent, group, "the broker shows an event that nobody signed");
        group->wait_ms = agent_elapsed(agent) + agent_backoff(agent, ++group->failures);
    }
}

static void finish_wants(struct agent *agent, struct agent_group *group, struct group_wants *wants)
{
    if (group->row.state == PROFILE_GROUP_FORKED)
        wants->count = 0;
    agent_group_tail_remake(agent, group, wants);
}

/* ------------------------------------------------------------------ many at once */

static void batch_clear(struct agent_group *group)
{
    buf_clear(&group->batch);
    group->batch_count = 0;
}

static bool batch_next(struct list_reader *reader, struct signed_event *out)
{
    struct wire_event event;

    if (!list_event(reader, &event))
        return false;
    *out = (struct signed_event){ bytes_of(event.preimage, EVENT_SIZE), event.sig, event.body };
    return true;
}

/* Whose keys does it take? */
static void find_strangers(struct agent *agent, struct agent_group *group)
{
    struct wire_list list = { buf_bytes(&group->batch), group->batch_count };
    struct list_reader reader = list_read(&list);
    struct signed_event said;

    while (batch_next(&reader, &said)) {
        struct profile_peer peer;
        struct event event;
        if (event_parse(said.preimage, &event) == ERR_OK && event.seq >= group->stored_seq
            && !agent_group_key_of(agent, event.actor, &peer))
            agent_group_stranger_add(group, event.actor);
    }
}

static bool batch_waits_for_log(struct agent *agent, struct agent_group *group)
{
    struct wire_list list = { buf_bytes(&group->batch), group->batch_count };
    struct list_reader reader = list_read(&list);
    struct signed_event said;
    struct event event;
    bool waits = false;

    while (batch_next(&reader, &said))
        waits |= event_parse(said.preimage, &event) == ERR_OK
                 && waits_for_log(agent, group, &said, &event);
    return waits;
}

/* Takes what came, if all keys are here, and the revocations. */
static void batch_take(struct agent *agent, struct agent_group *group)
{
    struct wire_list list = { buf_bytes(&group->batch), group->batch_count };
    struct list_reader reader = list_read(&list);
    struct group_wants wants = { 0 };
    struct signed_event said;
    enum err e = ERR_OK;

    find_strangers(agent, group);
    if (agent_group_has_strangers(group) || batch_waits_for_log(agent, group))
        return;
    while ((e == ERR_OK || e == ERR_DUPLICATE) && batch_next(&reader, &said)
           && group->row.state != PROFILE_GROUP_FORKED)
        e = take(agent, group, &said, &wants);
    judge(agent, group, e);
    batch_clear(group);
    finish_wants(agent, group, &wants);
    group->wants_events = group->stored_seq < group->said_seq;
    if (!group->wants_events && e != ERR_AUTH)
        agent_group_caught_up(agent, group);
    agent->changed = true;
}

static void batch_put(struct agent *agent, struct agent_group *group,
                      const struct wire_list *events)
{
    batch_clear(group);
    buf_append(&group->batch, events->raw.at, events->raw.len);
    group->batch_count = events->count;
    batch_take(agent, group);
    agent_incoming_resume(agent);
}

/* ------------------------------------------------------------------ one by one */

static bool is_of_my_membership(const struct agent *agent, const struct event *event)
{
    return agent_group_is_me(agent, event->target)
           && (event->type == EVENT_GROUP_INVITED || event->type == EVENT_GROUP_REMOVED);
}

/* I am removed, and what lies between is not shown to me any more.  It is kept until its actor's
 * key is here. */
static void removed_ahead(struct agent *agent, struct agent_group *group,
                          const struct signed_event *said, const struct event *event)
{
    struct profile_peer peer;

    if (event->type != EVENT_GROUP_REMOVED || event->seq < group->stored_seq
        || event_body_check(event, said->body) != ERR_OK)
        return;
    if (agent_group_key_of(agent, event->actor, &peer)) {
        if (verified(agent, said, event) == ERR_OK) {
            struct group_wants none = { 0 };
            agent_group_tail_take(agent, group, agent_group_pending(group), &none);
            agent_group_left(agent, group);
            free(none.list);
        }
        return;
    }
    buf_clear(&group->removal);
    buf_append(&group->removal, said->preimage.at, EVENT_SIZE);
    buf_append(&group->removal, said->sig, 64);
    buf_append(&group->removal, said->body.at, said->body.len);
    agent_group_stranger_add(group, event->actor);
}

static void removed_after_all(struct agent *agent, struct agent_group *group)
{
    struct buf kept = group->removal;
    struct signed_event said;
    struct event event;

    if (kept.len <= EVENT_SIZE + 64)
        return;
    group->removal = (struct buf){ 0 };
    said = (struct signed_event){ bytes_of(kept.at, EVENT_SIZE), kept.at + EVENT_SIZE,
                                  bytes_of(kept.at + EVENT_SIZE + 64, kept.len - EVENT_SIZE - 64) };
    if (event_parse(said.preimage, &event) == ERR_OK)
        removed_ahead(agent, group, &said, &event);
    buf_free(&kept);
}

static void look_for_more(struct agent_group *group, uint64_t seq)
{
    if (group->said_seq < seq + 1)
        group->said_seq = seq + 1;
    group->wants_events = true;
}

/* I am not in it (now): an invitation, or its end. */
static void about_me(struct agent *agent, struct agent_group *group,
                     const struct signed_event *said, const struct event *event)
{
    if (!is_of_my_membership(agent, event))
        return;
    if (event->type == EVENT_GROUP_INVITED && (!group || event->seq >= group->stored_seq))
        agent_group_invited(agent, group, event);
    else if (group && group->row.state == PROFILE_GROUP_INVITED)
        removed_ahead(agent, group, said, event);
}

/* The broker shows an event in the channel, and again and again none such when it is asked. */
static bool is_beyond(struct agent *agent, struct agent_group *group, uint64_t seq)
{
    if (group->asked || group->wants_events || group->batch_count)
        return false;
    if (group->gap_seq != seq) {
        group->gap_seq = seq;
        group->gap_asks = 0;
    }
    if (++group->gap_asks <= GAP_ASKS)
        return false;
    agent_group_alarm(agent, group, "the broker shows an event that its history does not have");
    return true;
}

bool agent_group_event_item(struct agent *agent, const struct signed_event *said)
{
    struct agent_group *group;
    struct group_wants wants = { 0 };
    struct event event;
    enum err e;

    if (event_parse(said->preimage, &event) != ERR_OK || event.scope != SCOPE_GROUP)
        return true;
    group = agent_group_named(agent, event.id);
    if (group && event.type == EVENT_GROUP_CLOSED && group->row.state == PROFILE_GROUP_CLOSED)
        agent_group_wipe(agent, group, DEAD_SESSION_ENDED); /* nothing comes behind it */
    if (!group || group->row.state != PROFILE_GROUP_JOINED) {
        about_me(agent, group, said, &event);
        return true;
    }
    e = group->batch_count && event.seq >= group->stored_seq ? ERR_GAP
                                                             : take(agent, group, said, &wants);
    judge(agent, group, e);
    finish_wants(agent, group, &wants);
    if (e == ERR_GAP && is_beyond(agent, group, event.seq))
        return true;
    if (e == ERR_GAP || e == ERR_BUSY) {
        look_for_more(group, event.seq);
        if (is_of_my_membership(agent, &event))
            removed_ahead(agent, group, said, &event);
        return is_of_my_membership(agent, &event);
    }
    if (e == ERR_OK && group->stored_seq >= group->said_seq)
        agent_group_caught_up(agent, group);
    if (event.type == EVENT_GROUP_CLOSED && group->row.state == PROFILE_GROUP_CLOSED)
        agent_group_wipe(agent, group, DEAD_SESSION_ENDED); /* nothing comes behind it */
    return true;
}

void agent_group_actor_known(struct agent *agent, struct agent_group *group)
{
    removed_after_all(agent, group);
    if (group->batch_count && !agent_group_has_strangers(group)) {
        batch_take(agent, group);
        agent_incoming_resume(agent);
    }
}

void agent_groups_resume(struct agent *agent)
{
    for (struct agent_group *group = agent->groups; group; group = group->next) {
        if (agent_group_has_strangers(group))
            group->wait_ms = 0;
        else if (group->batch_count)
            batch_take(agent, group);
    }
}

/* ------------------------------------------------------------------ EVENTS */

/* The broker lacks what it had confirmed: it gets it again, whoever signed it. */
static void give_again(struct agent *agent, struct agent_group *group, uint64_t seq)
{
    struct profile_event last;

    profile_events_unstored(agent->store, group->group_id, seq);
    if (group->given_to < group->stored_seq)
        group->given_to = group->stored_seq;
    group->stored_seq = seq;
    memset(group->stored_head, 0, 32);
    if (seq > 0 && profile_events(agent->store, group->group_id, seq - 1, &last, 1) == 1)
        memcpy(group->stored_head, last.digest, 32);
    group->said_seq = seq;
}

static void compare(struct agent *agent, struct agent_group *group, uint64_t next,
                    const uint8_t *head)
{
    struct profile_event last;

    if (next > group->stored_seq)
        return;
    if (next > 0
        && (profile_events(agent->store, group->group_id, next - 1, &last, 1) != 1
            || memcmp(last.digest, head, 32) != 0))
        agent_group_forked(agent, group, "the broker has another history");
    else if (next < group->stored_seq)
        give_again(agent, group, next);
}

/* Never heard of, or not shown to me (any more). */
static void not_there(struct agent *agent, struct agent_group *group)
{
    if (group->row.state == PROFILE_GROUP_INVITED && group->stored_seq == 0) {
        if (!profile_group_remove(agent->store, group->group_id))
            agent_group_left(agent, group);
        else
            agent_group_forget(agent, group);
        return;
    }
    if (agent->link.new_incarnation && group->stored_seq > 0 && !group->gave_all) {
        group->gave_all = true;
        give_again(agent, group, 0);
        group->compared = true;
        group->wants_events = false;
        return;
    }
    group->wait_ms = agent_elapsed(agent) + agent_backoff(agent, ++group->failures);
    group->wants_events
        = group->row.state == PROFILE_GROUP_INVITED || group->row.state == PROFILE_GROUP_JOINED;
}

void agent_group_events_answer(struct agent *agent, const struct agent_asked *asked, enum err code,
                               const struct message *message)
{
    struct agent_group *group = agent_group_of(agent, asked->scope_id);

    if (!group)
        return;
    group->asked = false;
    if (code == ERR_SESSION_NOT_FOUND || code == ERR_NOT_MEMBER) {
        not_there(agent, group);
    } else if (code != ERR_OK) {
        group->wait_ms = agent_elapsed(agent) + agent_backoff(agent, ++group->failures);
        group->wants_events = true;
    } else if (message->events.count > 0) {
        group->failures = 0;
        group->said_seq = message->seq;
        batch_put(agent, group, &message->events);
    } else {
        group->failures = 0;
        group->wants_events = false;
        group->said_seq = message->seq;
        compare(agent, group, message->seq, message->head);
        if (group->row.state != PROFILE_GROUP_FORKED)
            agent_group_caught_up(agent, group);
        agent_incoming_resume(agent);
    }
}

/* ------------------------------------------------------------------ EVENT */

void agent_group_conflict(struct agent *agent, struct agent_group *group,
                          const struct message *message)
{
    if (MESSAGE_HAS(message, seq))
        group->said_seq = message->seq;
    if (MESSAGE_HAS(message, events) && message->events.count > 0) {
        batch_put(agent, group, &message->events);
    } else {
        group->compared = false; /* what does it have? */
        group->wants_events = true;
    }
}

void agent_group_accepted(struct agent *agent, struct agent_group *group, uint64_t next)
{
    confirm(agent, group, next < group->chain.next_seq ? next : group->chain.next_seq);
    if (group->said_seq < group->stored_seq)
        group->said_seq = group->stored_seq;
    if (group->stored_seq == group->chain.next_seq)
        group->one_by_one = false;
    agent_group_caught_up(agent, group);
}

void agent_groups_forget(struct agent *agent)
{
    for (struct agent_group *group = agent->groups; group; group = group->next) {
        group->asked = group->compared = group->gave_all = false;
        agent_group_strangers_forget(group);
        batch_clear(group); /* asked for again, and what it waits for too */
    }
}
