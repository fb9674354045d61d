/* What programs want of groups: checked against the chain, signed, kept; the broker is told when it
 * is there. */
#include "agent/flow/contact.h"
#include "agent/flow/group_inner.h"
#include "agent/flow/verify.h"
#include "agent/store/log.h"
#include "shared/base/log.h"

#define REMOVED_AT_ONCE (LIMIT_EVENTS_APPENDED - 1)

/* ------------------------------------------------------------------ in and out of a call */

static enum err leave(struct agent *agent, enum err e)
{
    if (e != ERR_OK) {
        agent_store_rollback(agent->store);
        return e;
    }
    agent->changed = true;
    return agent_leave(agent);
}

/* The group, if I may say something in it. */
static enum err enter(struct agent *agent, const uint8_t gid[static 16], struct agent_group **out)
{
    struct agent_group *group;

    agent_enter(agent);
    group = agent_group_named(agent, gid);
    if (agent->frozen)
        return ERR_ROLLBACK;
    if (!group)
        return ERR_NOT_FOUND;
    *out = group;
    switch (group->row.state) {
    case PROFILE_GROUP_JOINED:
        if (group->chain.life != GROUP_OPEN)
            return ERR_STATE;
        return agent_group_me(agent, group) ? ERR_OK : ERR_NOT_MEMBER;
    case PROFILE_GROUP_FORKED:
    case PROFILE_GROUP_CLOSED:
        return ERR_STATE;
    case PROFILE_GROUP_INVITED:
    case PROFILE_GROUP_LEFT:
        break;
    }
    return ERR_NOT_MEMBER;
}

static enum err enter_as(struct agent *agent, const uint8_t gid[static 16], uint8_t role,
                         struct agent_group **out)
{
    enum err e = enter(agent, gid, out);

    if (e == ERR_OK && agent_group_me(agent, *out)->role < role)
        e = ERR_FORBIDDEN;
    if (e == ERR_OK)
        (*out)->refusal = ERR_OK;
    return e;
}

/* ------------------------------------------------------------------ create, invite */

static enum err may_invite(struct agent *agent, const uint8_t aid[static 32])
{
    struct profile_peer peer;

    if (agent_group_is_me(agent, aid))
        return ERR_EXISTS;
    if (!agent_contact_row(agent, aid, &peer))
        return ERR_UNKNOWN_AGENT;
    return agent_may_write(agent, &peer);
}

static enum err invite(struct agent *agent, struct agent_group *group, const uint8_t aid[static 32],
                       uint8_t role)
{
    struct invited_body invited = { role, agent_now(agent) + LIMIT_GROUP_INVITE_MS };
    uint8_t body[INVITED_BODY_SIZE];

    invited_body_encode(body, &invited);
    return agent_group_wish(agent, group, EVENT_GROUP_INVITED, aid, bytes_of(body, sizeof body));
}

static bool is_twice(const uint8_t (*list)[32], size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (memcmp(list[i], list[at], 32) == 0)
            return true;
    return false;
}

/* What the broker said, or says by itself if it was never there. */
static uint32_t most_members(const struct agent *agent)
{
    uint64_t most = agent->link.most_members;

    return most >= 1 && most <= GROUP_MEMBERS_MAX ? (uint32_t)most : (uint32_t)LIMIT_GROUP_MEMBERS;
}

static enum err may_create(struct agent *agent, const struct group_create *create,
                           char name[static NAME_MAX_LEN + 1])
{
    size_t open = 0;

    if (agent->frozen)
        return ERR_ROLLBACK;
    if (!name_valid(create->name) || create->purpose.len > GROUP_PURPOSE_MAX)
        return ERR_MALFORMED;
    memcpy(name, create->name.at, create->name.len);
    name[create->name.len] = '\0';
    if (agent_group_name_taken(agent, NULL, name))
        return ERR_EXISTS;
    for (const struct agent_group *group = agent->groups; group; group = group->next)
        open += agent_group_is_open(group);
    if (open >= LIMIT_GROUPS_MAX || create->invite_count >= most_members(agent))
        return ERR_QUOTA;
    for (size_t i = 0; i < create->invite_count; i++) {
        enum err e
            = is_twice(create->invite, i) ? ERR_EXISTS : may_invite(agent, create->invite[i]);
        if (e != ERR_OK)
            return e;
    }
    return ERR_OK;
}

static enum err found(struct agent *agent, struct agent_group *group,
                      const struct group_create *create)
{
    struct created_body created = { .max_members = most_members(agent) };
    uint8_t body[CREATED_BODY_SIZE];
    enum err e;

    created.flags = (uint8_t)((create->all_invite ? GROUP_FLAG_ALL_INVITE : 0)
                              | (create->strict ? GROUP_FLAG_STRICT : 0));
    created_body_encode(body, &created);
    e = agent_group_wish(agent, group, EVENT_GROUP_CREATED, NULL, bytes_of(body, sizeof body));
    if (e == ERR_OK)
        e = agent_group_epoch_wish(agent, group);
    for (size_t i = 0; e == ERR_OK && i < create->invite_count; i++)
        e = invite(agent, group, create->invite[i], ROLE_MEMBER);
    return e;
}

enum err agent_group_create(struct agent *agent, const struct group_create *create,
                            uint8_t gid[static 16])
{
    char name[NAME_MAX_LEN + 1];
    struct agent_group *group;
    enum err e;

    agent_enter(agent);
    e = may_create(agent, create, name);
    if (e != ERR_OK)
        return leave(agent, e);
    agent_random(agent, gid, 16);
    group = agent_group_make(agent, gid, PROFILE_GROUP_JOINED, ROLE_OWNER);
    e = found(agent, group, create);
    if (e != ERR_OK) {
        agent_group_forget(agent, group);
        return leave(agent, e);
    }
    agent_group_name_set(agent, group, name, create->purpose.at ? create->purpose : bytes_of("", 0),
                         create->name, agent->me.row.id, group->chain.created_digest);
    agent_group_save(agent, group, PROFILE_GROUP_JOINED);
    group->compared = true;
    log_event(LOG_INFO, "group.create", "me=%s group=%s", agent->me.row.name, log_id(gid));
    return leave(agent, ERR_OK);
}

static enum err may_invite_into(struct agent *agent, const struct agent_group *group,
                                const uint8_t aid[static 32])
{
    const struct group_member *target = group_member_find(&group->chain, aid);

    if (target && (target->joined || target->expires_ms > agent_now(agent)))
        return ERR_EXISTS;
    return may_invite(agent, aid);
}

enum err agent_group_may_invite(struct agent *agent, const uint8_t *gid,
                                const uint8_t aid[static 32])
{
    struct agent_group *group;
    enum err e = ERR_OK;

    if (gid)
        e = enter_as(agent, gid, ROLE_MEMBER, &group);
    else
        agent_enter(agent);
    if (e == ERR_OK)
        e = gid ? may_invite_into(agent, group, aid) : may_invite(agent, aid);
    return e == ERR_OK ? agent_leave(agent) : leave(agent, e);
}

enum err agent_group_invite(struct agent *agent, const uint8_t gid[static 16],
                            const uint8_t aid[static 32], uint8_t role)
{
    struct agent_group *group;
    enum err e = enter_as(agent, gid, ROLE_MEMBER, &group);

    if (e == ERR_OK)
        e = may_invite_into(agent, group, aid);
    if (e == ERR_OK)
        e = invite(agent, group, aid, role);
    return leave(agent, e);
}

/* ------------------------------------------------------------------ remove */

static enum err may_remove(struct agent *agent, const struct agent_group *group,
                           const uint8_t aid[static 32])
{
    const struct group_member *target = group_member_find(&group->chain, aid);
    const struct group_member *me = agent_group_me(agent, group);

    if (!target)
        return ERR_UNKNOWN_AGENT;
    if (agent_group_is_me(agent, aid))
        return ERR_FORBIDDEN; /* that is leaving */
    return !target->joined || target->role < me->role || profile_log_revoked(agent->store, aid)
               ? ERR_OK
               : ERR_FORBIDDEN;
}

enum err agent_group_may_remove(struct agent *agent, const uint8_t gid[static 16],
                                const uint8_t aid[static 32])
{
    struct agent_group *group;
    enum err e = enter_as(agent, gid, ROLE_ADMIN, &group);

    if (e == ERR_OK)
        e = may_remove(agent, group, aid);
    return e == ERR_OK ? agent_leave(agent) : leave(agent, e);
}

/* Fifteen and an EPOCH are what one EVENT holds; only the last epoch's keys are handed out. */
static enum err remove_all(struct agent *agent, struct agent_group *group,
                           const uint8_t (*aids)[32], size_t count)
{
    enum err e = ERR_OK;

    for (size_t i = 0; e == ERR_OK && i < count; i++) {
        uint8_t reason
            = profile_log_revoked(agent->store, aids[i]) ? REMOVED_REVOKED : REMOVED_BY_ADMIN;
        e = agent_group_wish(agent, group, EVENT_GROUP_REMOVED, aids[i], bytes_of(&reason, 1));
        if (e == ERR_OK && group->chain.epoch_due
            && (i + 1 == count || (i + 1) % REMOVED_AT_ONCE == 0))
            e = agent_group_epoch_wish(agent, group);
    }
    return e;
}

enum err agent_group_remove(struct agent *agent, const uint8_t gid[static 16],
                            const uint8_t (*aids)[32], size_t count)
{
    struct agent_group *group;
    enum err e = enter_as(agent, gid, ROLE_ADMIN, &group);

    for (size_t i = 0; e == ERR_OK && i < count; i++)
        e = is_twice(aids, i) ? ERR_UNKNOWN_AGENT : may_remove(agent, group, aids[i]);
    if (e == ERR_OK)
        e = remove_all(agent, group, aids, count);
    return leave(agent, e);
}

/* ------------------------------------------------------------------ the rest */

enum err agent_group_role(struct agent *agent, const uint8_t gid[static 16],
                          const uint8_t aid[static 32], uint8_t role)
{
    struct agent_group *group;
    const struct group_member *target;
    enum err e = enter_as(agent, gid, ROLE_OWNER, &group);

    if (e == ERR_OK && (role < ROLE_MEMBER || role > ROLE_OWNER))
        e = ERR_MALFORMED;
    target = e == ERR_OK ? group_member_find(&group->chain, aid) : NULL;
    if (e == ERR_OK && (!target || !target->joined))
        e = ERR_UNKNOWN_AGENT;
    if (e == ERR_OK && !(target->role == role && !agent_group_is_me(agent, aid)))
        e = agent_group_wish(agent, group, EVENT_GROUP_ROLE, aid, bytes_of(&role, 1));
    return leave(agent, e);
}

enum err agent_group_rekey(struct agent *agent, const uint8_t gid[static 16])
{
    struct agent_group *group;
    enum err e = enter_as(agent, gid, ROLE_ADMIN, &group);

    if (e == ERR_OK && !agent_group_wishes(agent, group, EVENT_GROUP_EPOCH))
        e = agent_group_epoch_wish(agent, group);
    return leave(agent, e);
}

/* Out of a group that has forked nobody signs: there is no chain that all would read it in. */
static enum err leave_fork(struct agent *agent, struct agent_group *group)
{
    agent_group_left(agent, group);
    return ERR_OK;
}

enum err agent_group_leave(struct agent *agent, const uint8_t gid[static 16])
{
    struct agent_group *group = NULL;
    uint8_t reason = REMOVED_LEFT;
    enum err e = enter(agent, gid, &group);

    if (e == ERR_STATE && group->row.state == PROFILE_GROUP_FORKED)
        return leave(agent, leave_fork(agent, group));
    if (e == ERR_OK && agent_group_me(agent, group)->role == ROLE_OWNER)
        e = ERR_FORBIDDEN;
    if (e == ERR_OK)
        e = agent_group_wish(agent, group, EVENT_GROUP_REMOVED, agent->me.row.id,
                             bytes_of(&reason, 1));
    if (e == ERR_OK)
        agent_group_left(agent, group);
    e = leave(agent, e);
    if (e == ERR_OK)
        agent_store_tidy(agent->store, true);
    return e;
}

enum err agent_group_end(struct agent *agent, const uint8_t gid[static 16])
{
    struct agent_group *group;
    uint8_t reason = 0;
    enum err e = enter_as(agent, gid, ROLE_OWNER, &group);

    if (e == ERR_OK)
        e = agent_group_wish(agent, group, EVENT_GROUP_CLOSED, NULL, bytes_of(&reason, 1));
    return leave(agent, e);
}

/* ------------------------------------------------------------------ answers to an invitation */

static enum err enter_invited(struct agent *agent, const uint8_t gid[static 16],
                              struct agent_group **out)
{
    const struct group_member *me;

    agent_enter(agent);
    if (agent->frozen)
        return ERR_ROLLBACK;
    *out = agent_group_named(agent, gid);
    if (!*out || (*out)->row.state != PROFILE_GROUP_INVITED)
        return ERR_NOT_FOUND;
    me = agent_group_me(agent, *out);
    if (!me || me->joined)
        return ERR_NOT_FOUND;
    return me->expires_ms > agent_now(agent) ? ERR_OK : ERR_EXPIRED;
}

/* Another name than it had; what else was told stays. */
static void call_it(struct agent *agent, struct agent_group *group, const char *name)
{
    struct buf purpose = { 0 };
    uint8_t inviter[32], created[32];

    buf_append(&purpose, group->purpose.at, group->purpose.len);
    memcpy(inviter, group->inviter, 32);
    memcpy(created, group->told_created, 32);
    agent_group_name_set(agent, group, name, buf_bytes(&purpose), bytes_of_text(group->name),
                         inviter, created);
    buf_free(&purpose);
}

enum err agent_group_join(struct agent *agent, const uint8_t gid[static 16], const char *as)
{
    struct agent_group *group;
    enum err e = enter_invited(agent, gid, &group);

    if (e == ERR_OK && as && !name_valid(bytes_of_text(as)))
        e = ERR_MALFORMED;
    if (e == ERR_OK && as && agent_group_name_taken(agent, group, as))
        e = ERR_EXISTS;
    if (e == ERR_OK)
        e = agent_group_join_wish(agent, group);
    if (e == ERR_OK && as)
        call_it(agent, group, as);
    return leave(agent, e);
}

enum err agent_group_decline(struct agent *agent, const uint8_t gid[static 16])
{
    struct agent_group *group;
    uint8_t reason = REMOVED_LEFT;
    enum err e = enter_invited(agent, gid, &group);

    if (e == ERR_OK)
        e = agent_group_wish(agent, group, EVENT_GROUP_REMOVED, agent->me.row.id,
                             bytes_of(&reason, 1));
    if (e == ERR_OK)
        agent_group_left(agent, group);
    return leave(agent, e);
}
