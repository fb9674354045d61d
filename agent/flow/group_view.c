/* Groups, as programs see them. */
#include <stdio.h>
#include <stdlib.h>

#include "agent/flow/consent.h"
#include "agent/flow/group_inner.h"
#include "agent/flow/group_mail.h"
#include "agent/flow/views.h"
#include "agent/store/log.h"

/* ------------------------------------------------------------------ one group */

/* Nobody has told its name yet: a part of its number. */
static struct bytes name_of(const struct agent_group *group, char number[static NAME_MAX_LEN + 1])
{
    if (group->name[0])
        return bytes_of_text(group->name);
    snprintf(number, NAME_MAX_LEN + 1, "group-%02x%02x%02x%02x", group->row.id[0], group->row.id[1],
             group->row.id[2], group->row.id[3]);
    return bytes_of_text(number);
}

static void describe_epoch(struct agent *agent, const struct agent_group *group,
                           struct group_info *out)
{
    const struct group_chain *chain = &group->chain;
    struct profile_job job;

    out->epoch = chain->epoch;
    out->stale = chain->stale;
    out->keyed = group->row.state == PROFILE_GROUP_JOINED && chain->epoch > 0
                 && agent_group_has_key(agent, group->group_id, chain->epoch);
    out->silent = group->row.state == PROFILE_GROUP_JOINED && agent_group_is_silent(agent, group);
    if (group->row.state != PROFILE_GROUP_JOINED)
        return;
    out->keys_waiting = (size_t)profile_group_keys_out(agent->store, group->group_id);
    out->keys_unanswered = (size_t)profile_group_keys_unanswered(agent->store, group->group_id);
    if (!profile_job_of(agent->store, group->group_id, &job))
        return;
    if (job.state == JOB_KEYS)
        out->keys_waiting
            += (size_t)profile_members_above(agent->store, group->group_id, job.next_peer);
    else
        out->keys_waiting += chain->joined > 0 ? chain->joined - 1 : 0;
}

static void describe(struct agent *agent, const struct agent_group *group,
                     char number[static NAME_MAX_LEN + 1], struct group_info *out)
{
    static const enum group_stage stages[] = { [PROFILE_GROUP_INVITED] = IN_GROUP_INVITED,
                                               [PROFILE_GROUP_JOINED] = IN_GROUP_JOINED,
                                               [PROFILE_GROUP_LEFT] = IN_GROUP_LEFT,
                                               [PROFILE_GROUP_CLOSED] = IN_GROUP_CLOSED,
                                               [PROFILE_GROUP_FORKED] = IN_GROUP_FORKED };
    const struct group_chain *chain = &group->chain;
    const struct group_member *me = agent_group_me(agent, group), *owner = group_owner(chain);

    *out = (struct group_info){ .name = name_of(group, number),
                                .purpose
                                = group->purpose.len ? buf_bytes(&group->purpose) : bytes_of("", 0),
                                .stage = stages[group->row.state],
                                .role = me ? me->role : group->row.role,
                                .strict = (chain->flags & GROUP_FLAG_STRICT) != 0,
                                .all_invite = (chain->flags & GROUP_FLAG_ALL_INVITE) != 0,
                                .max_members = chain->max_members,
                                .members = chain->joined,
                                .invited = chain->count - chain->joined,
                                .changed_ms = group->last_event_ms,
                                .pending = agent_group_pending(group),
                                .refusal = group->refusal };
    memcpy(out->id, group->row.id, 16);
    memcpy(out->head, chain->head, 32);
    if (owner)
        memcpy(out->inviter, owner->aid, 32);
    if (group->row.state == PROFILE_GROUP_INVITED) {
        agent_group_inviter(agent, group, out->inviter);
        out->invited_until_ms = me ? me->expires_ms : 0;
    }
    describe_epoch(agent, group, out);
}

static int by_name(const void *a, const void *b)
{
    const struct agent_group *const *x = a, *const *y = b;
    char of_x[NAME_MAX_LEN + 1], of_y[NAME_MAX_LEN + 1];
    struct bytes p = name_of(*x, of_x), q = name_of(*y, of_y);
    int order = memcmp(p.at, q.at, p.len < q.len ? p.len : q.len);

    return order ? order : (p.len > q.len) - (p.len < q.len);
}

enum err agent_groups_each(struct agent *agent, bool ended,
                           void (*each)(void *ctx, const struct group_info *group), void *ctx)
{
    struct agent_group **list = NULL;
    size_t count = 0;

    for (struct agent_group *group = agent->groups; group; group = group->next) {
        bool over
            = group->row.state != PROFILE_GROUP_INVITED && group->row.state != PROFILE_GROUP_JOINED;
        if ((over && !ended) || (group->chain.next_seq == 0 && !group->name[0]))
            continue;
        list = mem_resize(list, (count + 1) * sizeof *list);
        list[count++] = group;
    }
    if (count > 1)
        qsort(list, count, sizeof *list, by_name);
    for (size_t i = 0; i < count; i++) {
        char number[NAME_MAX_LEN + 1];
        struct group_info info;
        describe(agent, list[i], number, &info);
        each(ctx, &info);
    }
    free(list);
    return agent_store_failure(agent->store);
}

enum err agent_group_get(struct agent *agent, const uint8_t gid[static 16], struct group_info *out)
{
    const struct agent_group *group = agent_group_named(agent, gid);

    if (!group)
        return ERR_NOT_FOUND;
    describe(agent, group, agent_views_of(agent)->group_name, out);
    return agent_store_failure(agent->store);
}

/* ------------------------------------------------------------------ finding */

static bool starts_with(const uint8_t gid[static 16], const char *hex)
{
    size_t len = strlen(hex);

    if (len < 4 || len > 32)
        return false;
    for (size_t i = 0; i < len; i++) {
        static const char digits[] = "0123456789abcdef";
        uint8_t nibble = (uint8_t)(i % 2 ? gid[i / 2] & 15 : gid[i / 2] >> 4);
        char c = hex[i] >= 'A' && hex[i] <= 'F' ? (char)(hex[i] - 'A' + 'a') : hex[i];
        if (digits[nibble] != c)
            return false;
    }
    return true;
}

/* Of those that go on; if there is none, the newest that does not. */
enum err agent_group_find(struct agent *agent, const char *name, uint8_t gid[static 16])
{
    const struct agent_group *found = NULL;
    size_t matches = 0;

    for (const struct agent_group *group = agent->groups; group; group = group->next) {
        char number[NAME_MAX_LEN + 1];
        struct bytes is = name_of(group, number);
        if (is.len == strlen(name) && memcmp(is.at, name, is.len) == 0
            && (!found || agent_group_is_open(group) || !agent_group_is_open(found))) {
            found = group;
            matches = 1;
        }
    }
    if (!found)
        for (const struct agent_group *group = agent->groups; group; group = group->next)
            if (starts_with(group->row.id, name)) {
                found = group;
                matches++;
            }
    if (matches != 1)
        return ERR_NOT_FOUND;
    memcpy(gid, found->row.id, 16);
    return ERR_OK;
}

/* ------------------------------------------------------------------ members */

struct named_member {
    const struct group_member *member;
    char name[NAME_MAX_LEN + 1];
};

static int by_rank(const void *a, const void *b)
{
    const struct named_member *x = a, *y = b;
    bool owner_x = x->member->joined && x->member->role == ROLE_OWNER;
    bool owner_y = y->member->joined && y->member->role == ROLE_OWNER;

    if (owner_x != owner_y)
        return owner_x ? -1 : 1;
    return strcmp(x->name, y->name);
}

static void name_member(struct agent *agent, const uint8_t aid[static 32],
                        char name[static NAME_MAX_LEN + 1])
{
    struct profile_peer peer;
    struct directory_entry entry;

    name[0] = '\0';
    if (agent_group_is_me(agent, aid))
        memcpy(name, agent->me.row.name, strlen(agent->me.row.name) + 1);
    else if (profile_peer_find(agent->store, aid, &peer) && peer.name[0])
        memcpy(name, peer.name, sizeof peer.name);
    else if (profile_directory_get(agent->store, aid, &entry))
        memcpy(name, entry.name, sizeof entry.name);
}

enum err agent_group_members_each(struct agent *agent, const uint8_t gid[static 16],
                                  void (*each)(void *ctx, const struct group_member_info *member),
                                  void *ctx)
{
    const struct agent_group *group = agent_group_named(agent, gid);
    struct named_member *list;
    size_t count;

    if (!group)
        return ERR_NOT_FOUND;
    count = group->chain.count;
    list = mem_alloc((count + 1) * sizeof *list);
    for (size_t i = 0; i < count; i++) {
        list[i].member = &group->chain.members[i];
        name_member(agent, list[i].member->aid, list[i].name);
    }
    if (count > 1)
        qsort(list, count, sizeof *list, by_rank);
    for (size_t i = 0; i < count; i++) {
        struct group_member_info info = { .name = bytes_of_text(list[i].name),
                                          .role = list[i].member->role,
                                          .joined = list[i].member->joined,
                                          .me = agent_group_is_me(agent, list[i].member->aid) };
        memcpy(info.aid, list[i].member->aid, 32);
        each(ctx, &info);
    }
    free(list);
    return agent_store_failure(agent->store);
}

/* ------------------------------------------------------------------ invitations */

static void describe_request(struct agent *agent, const struct agent_group *group,
                             const struct profile_peer *peer, struct directory_entry *entry,
                             char number[static NAME_MAX_LEN + 1], struct request_info *out)
{
    const struct group_member *me = agent_group_me(agent, group);

    *out = (struct request_info){ .incoming = true,
                                  .group = true,
                                  .title = name_of(group, number),
                                  .peer = bytes_of_text(peer->name),
                                  .media_type = bytes_of("", 0),
                                  .body = group->purpose.len ? buf_bytes(&group->purpose)
                                                             : bytes_of("", 0),
                                  .trust = agent_trust_of(peer),
                                  .made_ms = me->expires_ms > LIMIT_GROUP_INVITE_MS
                                                 ? me->expires_ms - LIMIT_GROUP_INVITE_MS
                                                 : 0,
                                  .expires_ms = me->expires_ms };
    memcpy(out->session, group->row.id, 16);
    memcpy(out->aid, peer->id, 32);
    profile_directory_get(agent->store, peer->id, entry);
    out->circles = bytes_of_text(entry->circles);
}

/* Is there a question that a person can answer?  Then who asks it. */
static bool is_question(struct agent *agent, const struct agent_group *group,
                        uint8_t inviter[static 32])
{
    const struct group_member *me = agent_group_me(agent, group);

    return group->row.state == PROFILE_GROUP_INVITED && me && !me->joined
           && me->expires_ms > agent_now(agent) && agent_group_inviter(agent, group, inviter);
}

bool agent_group_invites_me(struct agent *agent, const uint8_t aid[static 32])
{
    uint8_t inviter[32];

    for (const struct agent_group *group = agent->groups; group; group = group->next)
        if (is_question(agent, group, inviter) && memcmp(inviter, aid, 32) == 0)
            return true;
    return false;
}

void agent_group_requests_each(struct agent *agent,
                               void (*each)(void *ctx, const struct request_info *request),
                               void *ctx)
{
    for (const struct agent_group *group = agent->groups; group; group = group->next) {
        struct directory_entry entry = { 0 };
        char number[NAME_MAX_LEN + 1];
        struct request_info info;
        struct profile_peer peer;
        uint8_t inviter[32];
        if (!is_question(agent, group, inviter) || !profile_peer_find(agent->store, inviter, &peer))
            continue;
        describe_request(agent, group, &peer, &entry, number, &info);
        each(ctx, &info);
    }
}
