/* New keys under the same identity: dk, tk, prekeys; the card that names them is one generation on.
 */
#include <sodium.h>

#include "agent/crypto/dh.h"
#include "agent/flow/identity.h"
#include "agent/flow/link.h"
#include "agent/flow/replenish.h"
#include "agent/store/secrets.h"
#include "shared/base/log.h"
#include "shared/wire/limit.h"

static void add_key(struct agent *agent, enum secret_kind kind, uint32_t number,
                    uint8_t public_key[static 32])
{
    uint8_t secret[32];

    agent_random(agent, secret, sizeof secret);
    dh_public(public_key, secret);
    profile_secret_add(agent->store, kind, number, bytes_of(public_key, 32),
                       bytes_of(secret, sizeof secret), agent_now(agent));
    sodium_memzero(secret, sizeof secret);
}

/* The old dk is needed for requests that are on their way, the old tk until the new one is known to
 * the broker: agent_transport_key(). */
static enum err renew(struct agent *agent)
{
    uint32_t gen = agent->me.row.card_gen + 1;
    struct card card;

    if (card_parse(buf_bytes(&agent->me.row.card), &card) != ERR_OK)
        return ERR_CORRUPT;
    profile_secret_retire(agent->store, SECRET_DK, gen - 1, agent_now(agent) + LIMIT_KEEP_MS);
    add_key(agent, SECRET_DK, gen, card.dk);
    add_key(agent, SECRET_TK, gen, card.tk);
    agent_card_replace(agent, &card, gen);
    agent_prekeys_renew(agent);
    return ERR_OK;
}

enum err agent_rotate_keys(struct agent *agent)
{
    enum err e;

    if (agent->frozen)
        return ERR_ROLLBACK;
    if (agent->me.revoked || agent->leaving)
        return ERR_FORBIDDEN;
    if (!agent->me.row.enrolled)
        return ERR_STATE;
    agent_enter(agent);
    e = renew(agent);
    if (e != ERR_OK) {
        agent_store_rollback(agent->store);
        return e;
    }
    agent->changed = true;
    return agent_leave(agent);
}

/* ------------------------------------------------------------------ which tk to come with */

bool agent_transport_key(struct agent *agent, struct secret_info *out)
{
    uint32_t gen = agent_card_generation(agent, agent->me.certified_hash);

    /* Until the broker has confirmed a card it knows the key of the one before. */
    if (gen == 0 || agent->link.newest_key)
        gen = agent->me.row.card_gen;
    return profile_secret_newest(agent->store, SECRET_TK, gen, out);
}

bool agent_transport_key_other(struct agent *agent)
{
    struct secret_info now, other;
    bool was = agent->link.newest_key;

    if (!agent_transport_key(agent, &now))
        return false;
    agent->link.newest_key = !was;
    if (agent_transport_key(agent, &other) && other.number != now.number)
        return true;
    agent->link.newest_key = was;
    return false;
}

void agent_transport_key_known(struct agent *agent)
{
    uint64_t now = agent_now(agent);

    agent->link.newest_key = false;
    if (agent->link.transport_key > 1) {
        profile_secret_retire(agent->store, SECRET_TK, agent->link.transport_key - 1, now);
        profile_secret_expire(agent->store, now);
    }
}

bool agent_transport_key_stale(struct agent *agent)
{
    struct secret_info key;

    return agent_transport_key(agent, &key) && key.number != agent->link.transport_key;
}
