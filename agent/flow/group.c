/* Groups in memory: made from the store, found, and what they allow. */
#include <stdio.h>
#include <stdlib.h>

#include "agent/flow/group_inner.h"
#include "agent/flow/group_mail.h"
#include "agent/store/alarms.h"
#include "agent/store/dead.h"
#include "agent/store/log.h"
#include "agent/store/scopes.h"
#include "shared/base/log.h"
#include "shared/wire/pack.h"
#include "shared/wire/take.h"

#define ROWS_AT_ONCE 16

/* ------------------------------------------------------------------ the list */

struct agent_group *agent_group_of(struct agent *agent, int64_t group_id)
{
    struct agent_group *group = agent->groups;

    while (group && group->group_id != group_id)
        group = group->next;
    return group;
}

struct agent_group *agent_group_named(struct agent *agent, const uint8_t gid[static 16])
{
    struct agent_group *group = agent->groups;

    while (group && memcmp(group->row.id, gid, 16) != 0)
        group = group->next;
    return group;
}

static void free_group(struct agent_group *group)
{
    group_chain_free(&group->chain);
    free(group->epochs);
    buf_wipe(&group->purpose);
    buf_free(&group->purpose);
    buf_free(&group->batch);
    buf_free(&group->removal);
    buf_free(&group->strangers);
    free(group);
}

/* At the end: groups are asked about in the order in which they came. */
static struct agent_group *add(struct agent *agent, const struct profile_group *row)
{
    struct agent_group *group = mem_zeroed(1, sizeof *group), **at = &agent->groups;

    group->row = *row;
    group->group_id = row->group_id;
    memcpy(group->chain.gid, row->id, 16);
    group->look_revoked = true;
    group->beat_jitter_ms = agent_jitter(agent, 3600000);
    while (*at)
        at = &(*at)->next;
    *at = group;
    return group;
}

struct agent_group *agent_group_make(struct agent *agent, const uint8_t gid[static 16],
                                     enum profile_group_state state, uint8_t role)
{
    struct profile_group row = { .state = state, .role = role, .heard_ms = agent_now(agent) };

    memcpy(row.id, gid, 16);
    profile_group_add(agent->store, &row);
    return add(agent, &row);
}

void agent_group_forget(struct agent *agent, struct agent_group *group)
{
    struct agent_group **at = &agent->groups;

    while (*at && *at != group)
        at = &(*at)->next;
    if (*at)
        *at = group->next;
    free_group(group);
    agent->changed = true;
}

void agent_groups_free(struct agent *agent)
{
    while (agent->groups) {
        struct agent_group *gone = agent->groups;
        agent->groups = gone->next;
        free_group(gone);
    }
}

bool agent_group_is_open(const struct agent_group *group)
{
    return group->row.state == PROFILE_GROUP_INVITED || group->row.state == PROFILE_GROUP_JOINED
           || group->row.state == PROFILE_GROUP_FORKED;
}

/* ------------------------------------------------------------------ from the store */

void agent_group_note_epoch(struct agent_group *group, uint64_t seq)
{
    struct agent_epoch_place *place;

    if (group->epoch_count == group->epoch_cap) {
        group->epoch_cap = group->epoch_cap ? 2 * group->epoch_cap : 8;
        group->epochs = mem_resize(group->epochs, group->epoch_cap * sizeof *group->epochs);
    }
    place = &group->epochs[group->epoch_count++];
    place->seq = seq;
    place->epoch = group->chain.epoch;
    place->suite = group->chain.epoch_body.suite;
    memcpy(place->digest, group->chain.epoch_digest, 32);
}

/* Calls `each` for the events from `seq` on until it says no. */
static void each_event(struct agent *agent, int64_t group_id, uint64_t seq,
                       bool (*each)(void *ctx, const struct profile_event *row,
                                    const struct signed_event *said),
                       void *ctx)
{
    struct profile_event *rows = mem_alloc(ROWS_AT_ONCE * sizeof *rows);
    bool more = true;
    size_t count;

    while (more && (count = profile_events(agent->store, group_id, seq, rows, ROWS_AT_ONCE)) > 0) {
        for (size_t i = 0; more && i < count; i++) {
            struct signed_event said = { bytes_of(rows[i].preimage, EVENT_SIZE), rows[i].sig,
                                         bytes_of(rows[i].body, rows[i].body_len) };
            more = each(ctx, &rows[i], &said);
            seq = rows[i].seq + 1;
        }
    }
    free(rows);
}

struct reading {
    struct agent *agent;
    struct agent_group *group;
};

static bool read_event(void *ctx, const struct profile_event *row, const struct signed_event *said)
{
    struct reading *reading = ctx;
    struct agent_group *group = reading->group;
    uint32_t before = group->chain.epoch;
    struct event event;

    if (row->seq != group->chain.next_seq || group_chain_replay(&group->chain, said) != ERR_OK) {
        agent_store_fail(reading->agent->store, ERR_CORRUPT);
        return false;
    }
    if (group->chain.epoch != before)
        agent_group_note_epoch(group, row->seq);
    if (row->seq < group->stored_seq)
        memcpy(group->stored_head, row->digest, 32);
    if (event_parse(said->preimage, &event) == ERR_OK)
        group->last_event_ms = event.ts_ms;
    return true;
}

void agent_group_reload(struct agent *agent, struct agent_group *group)
{
    struct reading reading = { agent, group };
    struct profile_job job;

    group_chain_free(&group->chain);
    group->chain = (struct group_chain){ 0 };
    memcpy(group->chain.gid, group->row.id, 16);
    group->epoch_count = 0;
    group->last_event_ms = 0;
    memset(group->stored_head, 0, 32);
    group->stored_seq = profile_events_confirmed(agent->store, group->group_id);
    each_event(agent, group->group_id, 0, read_event, &reading);
    /* An epoch that is not there any more has no keys to hand out. */
    if (profile_job_of(agent->store, group->group_id, &job)) {
        group->keys_due = job.state == JOB_KEYS;
        if (job.state == JOB_EVENT && job.epoch > group->chain.epoch)
            profile_job_remove(agent->store, job.job_id);
    }
}

struct rewinding {
    struct group_chain *chain;
    uint64_t end; /* the event behind which it ends */
};

static bool rewind_event(void *ctx, const struct profile_event *row,
                         const struct signed_event *said)
{
    struct rewinding *rewinding = ctx;

    return group_chain_replay(rewinding->chain, said) == ERR_OK && row->seq < rewinding->end;
}

bool agent_group_chain_at(struct agent *agent, const struct agent_group *group, uint32_t epoch,
                          struct group_chain *out)
{
    struct rewinding rewinding = { out, 0 };
    const struct agent_epoch_place *place = NULL;

    for (size_t i = 0; i < group->epoch_count; i++)
        if (group->epochs[i].epoch == epoch && group->epochs[i].seq < group->stored_seq)
            place = &group->epochs[i];
    if (!place)
        return false;
    *out = (struct group_chain){ 0 };
    memcpy(out->gid, group->row.id, 16);
    rewinding.end = place->seq;
    each_event(agent, group->group_id, 0, rewind_event, &rewinding);
    if (out->epoch == epoch)
        return true;
    group_chain_free(out);
    return false;
}

/* ------------------------------------------------------------------ names */

static void read_title(struct agent *agent, struct agent_group *group)
{
    struct buf title = { 0 };
    struct take take;
    struct bytes name, purpose;

    if (profile_group_title(agent->store, group->group_id, &title)) {
        take = take_of(buf_bytes(&title));
        take_array_of(&take, 5);
        name = take_str(&take, NAME_MAX_LEN);
        purpose = take_str(&take, GROUP_PURPOSE_MAX);
        take_str(&take, GROUP_TITLE_MAX);
        take_copy(&take, group->inviter, 32);
        take_copy(&take, group->told_created, 32);
        if (take_end(&take) == ERR_OK) {
            memcpy(group->name, name.at, name.len);
            group->name[name.len] = '\0';
            buf_clear(&group->purpose);
            buf_append(&group->purpose, purpose.at, purpose.len);
        } else {
            agent_store_fail(agent->store, ERR_CORRUPT);
        }
    }
    buf_wipe(&title);
    buf_free(&title);
}

void agent_group_name_set(struct agent *agent, struct agent_group *group, const char *name,
                          struct bytes purpose, struct bytes told, const uint8_t inviter[static 32],
                          const uint8_t created[static 32])
{
    struct buf title = { 0 };

    pack_array(&title, 5);
    pack_text(&title, name);
    pack_str(&title, purpose);
    pack_str(&title, told);
    pack_bin(&title, bytes_of(inviter, 32));
    pack_bin(&title, bytes_of(created, 32));
    profile_group_title_set(agent->store, group->group_id, buf_bytes(&title));
    buf_wipe(&title);
    buf_free(&title);
    read_title(agent, group);
    agent->changed = true;
}

bool agent_group_name_taken(const struct agent *agent, const struct agent_group *but,
                            const char *name)
{
    for (const struct agent_group *group = agent->groups; group; group = group->next)
        if (group != but && agent_group_is_open(group) && strcmp(group->name, name) == 0)
            return true;
    return false;
}

void agent_group_name_free(const struct agent *agent, const struct agent_group *but,
                           const char *want, char out[static NAME_MAX_LEN + 1])
{
    snprintf(out, NAME_MAX_LEN + 1, "%s", want);
    for (unsigned n = 2; agent_group_name_taken(agent, but, out); n++) {
        char end[16];
        int len = snprintf(end, sizeof end, "-%u", n);
        snprintf(out, NAME_MAX_LEN + 1, "%.*s%s", NAME_MAX_LEN - len, want, end);
    }
}

void agent_groups_load(struct agent *agent)
{
    struct profile_group row;
    int64_t after = 0;

    agent_groups_free(agent);
    while (profile_group_next(agent->store, after, &row)) {
        struct agent_group *group = add(agent, &row);
        after = row.group_id;
        agent_group_reload(agent, group);
        read_title(agent, group);
        group->held_told = group->row.state == PROFILE_GROUP_INVITED
                           && agent_group_me(agent, group) != NULL;
        if (group->row.state == PROFILE_GROUP_JOINED)
            agent_group_keyless(agent, group);
    }
}

/* ------------------------------------------------------------------ what it allows */

static bool log_says_revoked(void *ctx, const uint8_t aid[static 32])
{
    return profile_log_revoked(((struct agent *)ctx)->store, aid);
}

struct group_facts agent_group_facts(struct agent *agent)
{
    return (struct group_facts){ log_says_revoked, agent };
}

bool agent_group_is_mine_to_keep(const struct agent *agent, const struct agent_group *group)
{
    return group->row.state == PROFILE_GROUP_JOINED && group->chain.life == GROUP_OPEN
           && group_is_admin(&group->chain, agent->me.row.id);
}

bool agent_group_epoch(const struct agent_group *group, struct group_epoch *out)
{
    if (group->chain.epoch == 0)
        return false;
    memcpy(out->gid, group->row.id, 16);
    memcpy(out->digest, group->chain.epoch_digest, 32);
    out->epoch = group->chain.epoch;
    out->suite = group->chain.epoch_body.suite;
    return true;
}

bool agent_group_epoch_at(const struct agent_group *group, uint32_t epoch, struct group_epoch *out)
{
    for (size_t i = group->epoch_count; i-- > 0;) {
        const struct agent_epoch_place *place = &group->epochs[i];
        if (place->epoch != epoch || place->seq >= group->stored_seq)
            continue;
        memcpy(out->gid, group->row.id, 16);
        memcpy(out->digest, place->digest, 32);
        out->epoch = epoch;
        out->suite = place->suite;
        return true;
    }
    return false;
}

/* The epoch that I am in has been confirmed, all joiners that I should let in are in, and what the
 * broker has is known: else the message would be for others than those who are there. */
bool agent_group_may_seal(struct agent *agent, const struct agent_group *group)
{
    const struct group_chain *chain = &group->chain;
    const struct group_member *me = agent_group_me(agent, group);

    return group->row.state == PROFILE_GROUP_JOINED && chain->life == GROUP_OPEN && me && me->reads
           && group->compared && !agent->frozen && chain->epoch_seq < group->stored_seq
           && group->unproven == 0 && !(chain->stale && (chain->flags & GROUP_FLAG_STRICT))
           && !agent_group_is_silent(agent, group)
           && agent_group_has_key(agent, group->group_id, chain->epoch);
}

void agent_group_heads(const struct agent_group *group, struct buf *out)
{
    pack_array(out, 1);
    pack_array(out, 3);
    pack_bin(out, bytes_of(group->row.id, 16));
    pack_uint(out, group->stored_seq > 0 ? group->stored_seq - 1 : 0);
    pack_bin(out, bytes_of(group->stored_head, 32));
}

bool agent_group_admin_of_mine(struct agent *agent, const uint8_t aid[static 32])
{
    for (const struct agent_group *group = agent->groups; group; group = group->next)
        if (group->row.state == PROFILE_GROUP_JOINED && group_is_admin(&group->chain, aid))
            return true;
    return false;
}

/* ------------------------------------------------------------------ what becomes of it */

void agent_group_save(struct agent *agent, struct agent_group *group,
                      enum profile_group_state state)
{
    const struct group_member *me = agent_group_me(agent, group);

    group->row.state = state;
    if (me)
        group->row.role = me->role;
    group->row.epoch = group->chain.epoch;
    group->row.stale = group->chain.stale;
    profile_group_set(agent->store, &group->row);
    agent->changed = true;
}

void agent_group_alarm(struct agent *agent, const struct agent_group *group, const char *why)
{
    char detail[200];

    snprintf(detail, sizeof detail, "+%s %s: %s", group->name, log_id(group->row.id), why);
    log_event(LOG_WARN, "group.alarm", "group=%s why=\"%s\"", log_id(group->row.id), why);
    profile_alarm_add(agent->store, "group_fork", 0, group->group_id, detail, agent_now(agent));
    agent->changed = true;
}

void agent_group_forked(struct agent *agent, struct agent_group *group, const char *why)
{
    if (group->row.state == PROFILE_GROUP_FORKED)
        return;
    agent_group_alarm(agent, group, why);
    if (group->row.state == PROFILE_GROUP_JOINED || group->row.state == PROFILE_GROUP_INVITED)
        agent_group_save(agent, group, PROFILE_GROUP_FORKED);
    group->refusal = ERR_GROUP_FORK;
    agent->changed = true;
}
