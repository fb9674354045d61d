/* Time: words of admins that must not be too old, epochs that are due, keys that do not come. */
#include <stdio.h>
#include <stdlib.h>

#include "agent/flow/group_inner.h"
#include "agent/flow/group_mail.h"
#include "agent/flow/link.h"
#include "agent/store/alarms.h"
#include "agent/store/inbox.h"
#include "agent/store/log.h"
#include "agent/store/scopes.h"
#include "shared/base/log.h"
#include "shared/wire/pack.h"
#include "shared/wire/take.h"

#define NEVER           UINT64_MAX
#define HOUR_MS         3600000
#define LOOK_AGAIN_MS   600000 /* at the age of an epoch */
#define WORD_STEP_MS    10000  /* newer words than this are written down */
#define ASK_MAX_MS      3600000
#define AHEAD_ASK_MS    3000
#define AHEAD_ASKS      3  /* the broker does not have what an admin has seen there */
#define AHEAD_RESTORED  40 /* … and was put back: somebody else has it */
#define REFUSALS_MAX    8
#define REMOVED_AT_ONCE (LIMIT_EVENTS_APPENDED - 1)

/* ------------------------------------------------------------------ words of admins */

static bool is_strict(const struct agent_group *group)
{
    return (group->chain.flags & GROUP_FLAG_STRICT) != 0;
}

/* An admin knows what it has done itself. */
bool agent_group_is_silent(const struct agent *agent, const struct agent_group *group)
{
    uint64_t most = is_strict(group) ? LIMIT_ADMIN_WORD_STRICT_MS : LIMIT_ADMIN_WORD_MS;

    return !group_is_admin(&group->chain, agent->me.row.id)
           && agent_now(agent) > group->row.heard_ms + most;
}

/* The alarm ends when there is no silent group left. */
static void no_more_silent(struct agent *agent)
{
    for (const struct agent_group *group = agent->groups; group; group = group->next)
        if (group->row.state == PROFILE_GROUP_JOINED && agent_group_is_silent(agent, group))
            return;
    profile_alarm_clear(agent->store, "group_silent", 0, agent_now(agent));
}

void agent_group_word(struct agent *agent, struct agent_group *group, uint64_t at_ms)
{
    uint64_t now = agent_now(agent);
    bool was_silent;

    if (at_ms > now)
        at_ms = now;
    if (at_ms < group->row.heard_ms + WORD_STEP_MS)
        return;
    was_silent = agent_group_is_silent(agent, group);
    group->row.heard_ms = at_ms;
    group->fresh_asks = 0;
    profile_group_set(agent->store, &group->row);
    if (was_silent && !agent_group_is_silent(agent, group)) {
        agent->changed = true;
        no_more_silent(agent);
        if (group->compared)
            agent_group_seal_queue(agent, group);
    }
}

static bool digest_at(struct agent *agent, const struct agent_group *group, uint64_t seq,
                      uint8_t digest[static 32])
{
    struct profile_event row;

    if (profile_events(agent->store, group->group_id, seq, &row, 1) != 1 || row.seq != seq)
        return false;
    memcpy(digest, row.digest, 32);
    return true;
}

/* What the sender has seen as the group's newest event.  False: it is not of this history. */
static bool same_history(struct agent *agent, struct agent_group *group, uint64_t seq,
                         const uint8_t said[static 32])
{
    uint8_t mine[32];

    if (seq + 1 == group->stored_seq)
        return memcmp(group->stored_head, said, 32) == 0; /* nearly always */
    if (seq < group->stored_seq)
        return !digest_at(agent, group, seq, mine) || memcmp(mine, said, 32) == 0;
    if (seq + 1 > group->ahead_seq) {
        group->ahead_seq = seq + 1;
        memcpy(group->ahead_digest, said, 32);
        group->ahead_asks = 0;
    }
    group->wants_events = true;
    return true;
}

void agent_group_heard(struct agent *agent, struct agent_group *group,
                       const uint8_t sender[static 32], const struct envelope *envelope)
{
    struct take take = take_of(envelope->group_heads);
    const uint8_t *gid, *digest;
    uint64_t seq;

    if (!envelope->group_heads.at)
        return;
    take_array_of(&take, 1);
    take_array_of(&take, 3);
    gid = take_fixed(&take, 16);
    seq = take_uint(&take, INT64_MAX - 1);
    digest = take_fixed(&take, 32);
    if (take_end(&take) != ERR_OK || memcmp(gid, group->row.id, 16) != 0)
        return;
    if (!same_history(agent, group, seq, digest))
        agent_group_forked(agent, group, "a member has seen another history");
    else if (group_is_admin(&group->chain, sender))
        agent_group_word(agent, group, envelope->ts_ms);
}

void agent_group_ahead_check(struct agent *agent, struct agent_group *group)
{
    unsigned most = agent->link.new_incarnation ? AHEAD_RESTORED : AHEAD_ASKS;
    uint8_t mine[32];

    if (group->ahead_seq == 0)
        return;
    if (group->stored_seq >= group->ahead_seq) {
        if (digest_at(agent, group, group->ahead_seq - 1, mine)
            && memcmp(mine, group->ahead_digest, 32) != 0)
            agent_group_forked(agent, group, "a member has seen another history");
        group->ahead_seq = 0;
    } else if (++group->ahead_asks > most) {
        group->ahead_seq = 0;
        agent_group_forked(agent, group, "the broker hides what a member has seen");
    } else {
        group->wants_events = true;
        group->wait_ms = agent_elapsed(agent) + AHEAD_ASK_MS;
    }
}

void agent_group_epoch_refused(struct agent *agent, struct agent_group *group, uint32_t epoch)
{
    if (epoch < group->chain.epoch)
        return; /* it was late, and is sealed anew */
    group->wants_events = true;
    if (group->chain.stale && is_strict(group))
        return;
    if (++group->epoch_refusals > REFUSALS_MAX)
        agent_group_forked(agent, group, "the broker keeps to an older epoch");
}

/* ------------------------------------------------------------------ what admins owe */

static void revoked_remove(struct agent *agent, struct agent_group *group)
{
    uint8_t reason = REMOVED_REVOKED, (*gone)[32] = NULL;
    size_t count = 0;

    group->look_revoked = false;
    for (size_t i = 0; i < group->chain.count; i++) {
        const uint8_t *aid = group->chain.members[i].aid;
        if (agent_group_is_me(agent, aid) || !profile_log_revoked(agent->store, aid))
            continue;
        gone = mem_resize(gone, (count + 1) * sizeof *gone);
        memcpy(gone[count++], aid, 32);
    }
    for (size_t i = 0; i < count; i++) {
        agent_group_wish(agent, group, EVENT_GROUP_REMOVED, gone[i], bytes_of(&reason, 1));
        if (group->chain.epoch_due && (i + 1 == count || (i + 1) % REMOVED_AT_ONCE == 0))
            agent_group_epoch_wish(agent, group);
    }
    free(gone);
}

void agent_groups_revoked(struct agent *agent, const uint8_t aid[static 32])
{
    for (struct agent_group *group = agent->groups; group; group = group->next) {
        const struct group_member *me = agent_group_me(agent, group);
        if (!group_member_find(&group->chain, aid) || !agent_group_is_mine_to_keep(agent, group))
            continue;
        group->look_revoked = true;
        group->revoke_due_ms
            = agent_elapsed(agent)
              + (me && me->role == ROLE_OWNER ? 0 : 2000 + agent_jitter(agent, 4000));
    }
}

/* An epoch ends after a day in which something was said, or after so many messages. */
static void look_at_age(struct agent *agent, struct agent_group *group)
{
    uint64_t since = group->chain.epoch_ms, now = agent_now(agent), first;
    uint64_t said = profile_group_said_since(agent->store, group->group_id, since)
                    + profile_in_since(agent->store, group->group_id, since, &first);

    group->age_due_ms = agent_elapsed(agent) + LOOK_AGAIN_MS;
    if (said >= LIMIT_EPOCH_MESSAGES || (said > 0 && now > since + LIMIT_EPOCH_AGE_MS))
        agent_group_epoch_owe(agent, group, 0);
}

static void beat(struct agent *agent, struct agent_group *group)
{
    uint64_t now = agent_now(agent);
    uint64_t every = is_strict(group) ? LIMIT_GROUP_BEAT_STRICT_MS
                                      : LIMIT_GROUP_BEAT_MS + group->beat_jitter_ms;
    uint64_t last = group->row.heard_ms > group->beaten_ms ? group->row.heard_ms : group->beaten_ms;

    if (now <= last + every || !agent_group_may_seal(agent, group))
        return;
    group->beaten_ms = now;
    agent_group_say(agent, group, ENVELOPE_HEARTBEAT);
}

/* ------------------------------------------------------------------ asking */

/* The signer first, then the owner, then any admin. */
static bool whom_to_ask(const struct agent *agent, const struct agent_group *group, unsigned asks,
                        uint8_t aid[static 32])
{
    const struct group_member *owner = group_owner(&group->chain);
    size_t start = asks % (group->chain.count ? group->chain.count : 1);

    if (asks == 0 && group_is_admin(&group->chain, group->chain.epoch_actor)
        && !agent_group_is_me(agent, group->chain.epoch_actor)) {
        memcpy(aid, group->chain.epoch_actor, 32);
        return true;
    }
    if (asks <= 1 && owner && !agent_group_is_me(agent, owner->aid)) {
        memcpy(aid, owner->aid, 32);
        return true;
    }
    for (size_t i = 0; i < group->chain.count; i++) {
        const struct group_member *member = &group->chain.members[(start + i) % group->chain.count];
        if (!member->joined || member->role < ROLE_ADMIN || agent_group_is_me(agent, member->aid))
            continue;
        memcpy(aid, member->aid, 32);
        return true;
    }
    return false;
}

static uint64_t ask_pause_ms(unsigned asks)
{
    uint64_t pause = (uint64_t)LIMIT_KEY_ASK_MS << (asks < 6 ? asks : 6);

    return pause < ASK_MAX_MS ? pause : ASK_MAX_MS;
}

static void ask_for_key(struct agent *agent, struct agent_group *group)
{
    struct buf body = { 0 };
    uint8_t aid[32];

    group->key_asked_ms = agent_elapsed(agent) + ask_pause_ms(group->key_asks);
    if (whom_to_ask(agent, group, group->key_asks++, aid)) {
        pack_array(&body, 2);
        pack_bin(&body, bytes_of(group->row.id, 16));
        pack_uint(&body, group->chain.epoch);
        agent_group_tell(agent, aid, ENVELOPE_GROUP_KEY_REQ, buf_bytes(&body));
    }
    buf_free(&body);
}

/* Somebody may be hiding an epoch, or all admins are away: a person is told, once. */
static void tell_silent(struct agent *agent, const struct agent_group *group)
{
    char detail[200];

    snprintf(detail, sizeof detail, "+%s %s: no admin was heard for %d h, so nothing is sent",
             group->name, log_id(group->row.id),
             (int)((is_strict(group) ? LIMIT_ADMIN_WORD_STRICT_MS : LIMIT_ADMIN_WORD_MS) / HOUR_MS));
    profile_alarm_add(agent->store, "group_silent", 0, group->group_id, detail, agent_now(agent));
}

static void ask_for_word(struct agent *agent, struct agent_group *group)
{
    struct buf body = { 0 };
    uint8_t aid[32];

    tell_silent(agent, group);

    group->fresh_asked_ms = agent_elapsed(agent) + ask_pause_ms(group->fresh_asks);
    if (whom_to_ask(agent, group, group->fresh_asks++, aid)) {
        pack_array(&body, 1);
        pack_bin(&body, bytes_of(group->row.id, 16));
        agent_group_tell(agent, aid, ENVELOPE_GROUP_REKEY_REQ, buf_bytes(&body));
    }
    buf_free(&body);
}

/* ------------------------------------------------------------------ ticking */

/* What waits at the broker comes first; where it gives nothing, that is told as well. */
static void silence_tick(struct agent *agent, struct agent_group *group, uint64_t now)
{
    if (!agent_group_is_silent(agent, group))
        group->fresh_asked_ms = 0;
    else if (group->fresh_asked_ms == 0)
        group->fresh_asked_ms = now + AHEAD_ASK_MS;
    else if (now >= group->fresh_asked_ms && group->compared && agent_is_caught_up(agent))
        ask_for_word(agent, group);
    else if (now >= group->fresh_asked_ms + LOOK_AGAIN_MS)
        tell_silent(agent, group);
}

static void member_tick(struct agent *agent, struct agent_group *group, uint64_t now)
{
    bool admin = agent_group_is_mine_to_keep(agent, group);

    if (group->keyless_ms && now >= group->key_asked_ms)
        ask_for_key(agent, group);
    if (group->keyless_ms && admin && agent_now(agent) >= group->keyless_ms + LIMIT_KEYLESS_MS
        && group->epoch_due_ms == 0)
        agent_group_epoch_owe(agent, group, 0);
    if (!admin)
        return;
    if (now >= group->age_due_ms)
        look_at_age(agent, group);
    beat(agent, group);
}

void agent_groups_tick(struct agent *agent)
{
    uint64_t now = agent_elapsed(agent);

    if (!agent_is_up(agent) || agent->frozen)
        return;
    for (struct agent_group *group = agent->groups; group; group = group->next) {
        if (group->row.state == PROFILE_GROUP_JOINED && group->chain.life == GROUP_OPEN)
            silence_tick(agent, group, now);
        if (group->row.state == PROFILE_GROUP_JOINED && group->compared
            && group->chain.life == GROUP_OPEN && !group->batch_count)
            member_tick(agent, group, now);
        else if (group->row.state == PROFILE_GROUP_INVITED)
            agent_group_invitation_judge(agent, group);
    }
}

/* Nothing of the broker's chain is on its way, so a word of mine can follow it. */
static bool can_speak(const struct agent_group *group)
{
    return group->compared && !group->wants_events && !group->batch_count
           && group->stored_seq >= group->said_seq;
}

static void prepare(struct agent *agent, struct agent_group *group, uint64_t now)
{
    if (group->row.state == PROFILE_GROUP_INVITED && now >= group->judge_ms)
        agent_group_invitation_judge(agent, group);
    if (agent_group_is_mine_to_keep(agent, group) && can_speak(group)) {
        if (group->look_revoked && now >= group->revoke_due_ms)
            revoked_remove(agent, group);
        if (group->epoch_due_ms && agent_group_wishes(agent, group, EVENT_GROUP_EPOCH))
            group->epoch_due_ms = 0; /* that one will do */
        else if (group->epoch_due_ms && (now >= group->epoch_due_ms || agent->link.leaving))
            agent_group_epoch_wish(agent, group);
    }
    if (group->keys_due)
        agent_group_job_step(agent, group);
}

void agent_groups_prepare(struct agent *agent)
{
    uint64_t now = agent_elapsed(agent);

    if (!agent_is_up(agent) || agent->frozen)
        return;
    for (struct agent_group *group = agent->groups; group; group = group->next)
        prepare(agent, group, now);
}

void agent_groups_up(struct agent *agent)
{
    for (struct agent_group *group = agent->groups; group; group = group->next) {
        bool goes_on
            = group->row.state == PROFILE_GROUP_JOINED || group->row.state == PROFILE_GROUP_INVITED;
        bool owes = group->row.state == PROFILE_GROUP_LEFT && agent_group_pending(group) > 0;
        group->compared = group->stored_seq == 0 && group->row.state == PROFILE_GROUP_JOINED;
        group->wait_ms = 0;
        group->wants_events = (goes_on || owes) && !group->compared;
    }
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t group_next_ms(const struct agent *agent, const struct agent_group *group)
{
    bool asks = group->wants_events || (agent_group_pending(group) > 0 && group->compared);
    uint64_t next = NEVER;

    if (group->keys_due)
        return 0;
    if (agent_group_wants_lookup(group) || (asks && !group->asked && !group->batch_count))
        next = sooner(next, group->wait_ms);
    if (group->row.state != PROFILE_GROUP_JOINED || !group->compared || group->batch_count)
        return next;
    if (group->keyless_ms)
        next = sooner(next, group->key_asked_ms);
    if (group->fresh_asked_ms && group->compared && agent_is_caught_up(agent))
        next = sooner(next, group->fresh_asked_ms);
    if (agent_group_is_mine_to_keep(agent, group) && can_speak(group)) {
        if (group->epoch_due_ms)
            next = sooner(next, group->epoch_due_ms);
        if (group->look_revoked)
            next = sooner(next, group->revoke_due_ms);
    }
    return next;
}

/* Heartbeats and the age of epochs come with the sweep, which is every minute. */
uint64_t agent_groups_next_ms(const struct agent *agent)
{
    uint64_t next = NEVER;

    if (agent->frozen)
        return NEVER;
    for (const struct agent_group *group = agent->groups; group; group = group->next)
        next = sooner(next, group_next_ms(agent, group));
    return next;
}
