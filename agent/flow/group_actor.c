/* Whose signatures can be judged: keys of actors, asked for where they are not known. */
#include "agent/flow/contact.h"
#include "agent/flow/group_inner.h"
#include "agent/flow/link.h"
#include "agent/store/log.h"

#define STRANGER_SIZE   33 /* aid, enum stranger */
#define LOOKUPS_AT_ONCE 32
#define CREDENTIAL_ONLY 2

enum stranger { STRANGER_NEW, STRANGER_ASKED, STRANGER_LOST };

/* ------------------------------------------------------------------ whose keys are known */

/* NULL: not known.  A key proves itself, for the aid is made of it. */
const uint8_t *agent_group_key_of(struct agent *agent, const uint8_t aid[static 32],
                                  struct profile_peer *peer)
{
    if (agent_group_is_me(agent, aid))
        return agent->me.ik_public;
    return profile_peer_find(agent->store, aid, peer) && peer->known ? peer->identity_key : NULL;
}

static uint8_t *stranger_find(struct agent_group *group, const uint8_t aid[static 32])
{
    for (size_t at = 0; at < group->strangers.len; at += STRANGER_SIZE)
        if (memcmp(group->strangers.at + at, aid, 32) == 0)
            return group->strangers.at + at;
    return NULL;
}

void agent_group_stranger_add(struct agent_group *group, const uint8_t aid[static 32])
{
    uint8_t *at;

    if (stranger_find(group, aid))
        return;
    at = buf_extend(&group->strangers, STRANGER_SIZE);
    memcpy(at, aid, 32);
    at[32] = STRANGER_NEW;
}

static void stranger_remove(struct agent_group *group, const uint8_t aid[static 32])
{
    uint8_t *at = stranger_find(group, aid);

    if (!at)
        return;
    memmove(at, at + STRANGER_SIZE,
            (size_t)(group->strangers.at + group->strangers.len - at) - STRANGER_SIZE);
    group->strangers.len -= STRANGER_SIZE;
}

bool agent_group_is_lost(struct agent_group *group, const uint8_t aid[static 32])
{
    const uint8_t *at = stranger_find(group, aid);

    return at && at[32] == STRANGER_LOST;
}

bool agent_group_has_strangers(const struct agent_group *group)
{
    for (size_t at = 0; at < group->strangers.len; at += STRANGER_SIZE)
        if (group->strangers.at[at + 32] != STRANGER_LOST)
            return true;
    return false;
}

/* ------------------------------------------------------------------ LOOKUP */

bool agent_group_wants_lookup(const struct agent_group *group)
{
    if (group->lookups >= LOOKUPS_AT_ONCE)
        return false;
    for (size_t at = 0; at < group->strangers.len; at += STRANGER_SIZE)
        if (group->strangers.at[at + 32] == STRANGER_NEW)
            return true;
    return false;
}

void agent_group_strangers_ask(struct agent *agent, struct agent_group *group)
{
    for (size_t at = 0; at < group->strangers.len && group->lookups < LOOKUPS_AT_ONCE;
         at += STRANGER_SIZE) {
        struct message message = agent_message(VERB_LOOKUP);
        uint8_t *stranger = group->strangers.at + at;
        struct agent_asked *asked;
        if (stranger[32] != STRANGER_NEW)
            continue;
        MESSAGE_SET(&message, aid, stranger);
        MESSAGE_SET(&message, flags, CREDENTIAL_ONLY);
        asked = agent_ask(agent, &message, NULL, 0);
        if (!asked)
            return;
        asked->scope_id = group->group_id;
        memcpy(asked->aid, stranger, 32);
        stranger[32] = STRANGER_ASKED;
        group->lookups++;
    }
}

void agent_group_actor_answer(struct agent *agent, const struct agent_asked *asked, enum err code,
                              const struct message *message)
{
    struct agent_group *group = agent_group_of(agent, asked->scope_id);
    struct credential cred;
    struct profile_peer peer;
    uint8_t *stranger;

    if (!group)
        return;
    if (group->lookups > 0)
        group->lookups--;
    stranger = stranger_find(group, asked->aid);
    if (!stranger)
        return;
    if (code == ERR_OK)
        code = agent_contact_verify(agent, message->credential, &cred, &peer);
    if (code == ERR_OK) {
        stranger_remove(group, asked->aid);
    } else if (code == ERR_CERT_REVOKED && profile_log_revoked(agent->store, asked->aid)) {
        stranger[32] = STRANGER_LOST;
    } else {
        stranger[32] = STRANGER_NEW;
        group->wait_ms = agent_elapsed(agent) + agent_backoff(agent, 2);
    }
    agent_group_actor_known(agent, group);
}

void agent_group_strangers_forget(struct agent_group *group)
{
    group->lookups = 0;
    for (size_t at = 0; at < group->strangers.len; at += STRANGER_SIZE)
        if (group->strangers.at[at + 32] == STRANGER_ASKED)
            group->strangers.at[at + 32] = STRANGER_NEW;
}
