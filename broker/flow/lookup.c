/*
 * lookup - who is this, and with which keys do I begin?  One one-time prekey at most is promised.
 */
#include "broker/controller/controller.h"
#include "broker/flow/directory.h"
#include "broker/store/directory.h"
#include "broker/store/prekeys.h"
#include "broker/store/scopes.h"
#include "shared/wire/limit.h"

#define LOOKUP_RESERVE         1 /* flags */
#define LOOKUP_CREDENTIAL_ONLY 2
#define LOOKUP_ONLINE          1 /* flags of the answer */
#define HOUR_MS                UINT64_C(3600000)

static enum err find_target(struct flow *flow, const struct message *m,
                            const struct agent_row **out)
{
    if (MESSAGE_HAS(m, aid) == MESSAGE_HAS(m, name))
        return ERR_SCHEMA;
    *out = MESSAGE_HAS(m, aid) ? store_agent_by_aid(flow->store, m->aid)
                               : store_agent_by_name(flow->store, m->name);
    if (!*out)
        return ERR_UNKNOWN_AGENT;
    return (*out)->state == AGENT_REVOKED ? ERR_CERT_REVOKED : ERR_OK;
}

/* Presence is for those who have something to do with each other. */
static enum err add_presence(struct flow *flow, const struct agent_row *asker,
                             const struct agent_row *target, struct reply *reply)
{
    struct pair_facts pair = { 0 };
    bool online = peer_online(flow, target->agent_id);

    if (!store_agents_share_circle(asker, target)) {
        enum err e = store_pair_facts(flow->store, asker->agent_id, target->agent_id, &pair);

        if (e != ERR_OK || pair.active == 0)
            return e;
    }
    MESSAGE_SET(reply_message(reply), seen, online ? flow->now_ms : target->seen_ms);
    MESSAGE_SET(reply_message(reply), flags, online ? LOOKUP_ONLINE : 0);
    return ERR_OK;
}

static enum err add_spk(struct flow *flow, const struct spk_row *spk, struct reply *reply)
{
    struct wire_signed out;

    if (spk->expires_ms <= flow->now_ms)
        return ERR_NO_PREKEYS;
    out.bytes = reply_keep(reply, bytes_of(spk->statement, spk->len));
    out.sig = reply_keep(reply, bytes_of(spk->sig, 64)).at;
    MESSAGE_SET(reply_message(reply), spk, out);
    return ERR_OK;
}

/* A key that is promised to the asker already costs nothing; a fresh one counts twice: for the pair
 * and for the asker.  ERR_NOT_FOUND: there is none, or no more for this asker now. */
static enum err promise(struct flow *flow, int64_t asker, int64_t target, uint32_t *id,
                        uint8_t key[static 32], struct reply *reply)
{
    const struct rate_limit of_pair = { LIMIT_OPK_PAIR_PER_HOUR, LIMIT_OPK_PAIR_PER_HOUR, HOUR_MS };
    const struct rate_limit of_asker
        = { flow->settings.prekeys_per_h, flow->settings.prekeys_per_h, HOUR_MS };
    bool fresh;
    enum err e = store_opk_reserved(flow->store, target, asker, flow->now_ms, id, key);

    if (e != ERR_NOT_FOUND)
        return e;
    if (rate_check(reply, RATE_OPK_PAIR, asker, target, &of_pair) != ERR_OK
        || rate_check(reply, RATE_OPK, asker, 0, &of_asker) != ERR_OK)
        return ERR_NOT_FOUND;
    return store_opk_reserve(flow->store, target, asker, flow->now_ms,
                             flow->now_ms + LIMIT_OPK_RESERVED_MS, id, key, &fresh);
}

static enum err add_opk(struct flow *flow, int64_t asker, int64_t target, struct reply *reply)
{
    struct list_maker *list;
    struct wire_opk opk;
    uint8_t key[32];
    enum err e = promise(flow, asker, target, &opk.id, key, reply);

    if (e == ERR_NOT_FOUND)
        return ERR_OK; /* a bundle without */
    if (e != ERR_OK)
        return e;
    list = reply_list(reply);
    opk.key = key;
    list_add_opk(list, &opk);
    MESSAGE_SET(reply_message(reply), opks, list_of(list));
    return ERR_OK;
}

enum err lookup_handle(struct flow *flow, const struct request *request, struct reply *reply)
{
    const struct message *m = &request->message;
    const struct agent_row *asker = store_agent(flow->store, request->by.id), *target;
    uint64_t flags = MESSAGE_HAS(m, flags) ? m->flags : 0;
    struct spk_row spk;
    enum err e = find_target(flow, m, &target);

    if (e != ERR_OK)
        return e;
    if (!(flags & LOOKUP_CREDENTIAL_ONLY)) {
        e = store_spk_get(flow->store, target->agent_id, &spk);
        if (e == ERR_OK)
            e = add_spk(flow, &spk, reply);
        else if (e == ERR_NOT_FOUND)
            e = ERR_NO_PREKEYS;
        if (e == ERR_OK && (flags & LOOKUP_RESERVE) && target != asker)
            e = add_opk(flow, asker->agent_id, target->agent_id, reply);
    }
    if (e == ERR_OK)
        e = add_credential(flow, target->agent_id, LIMIT_CERT_REISSUE_MS, reply);
    if (e == ERR_OK)
        e = add_presence(flow, asker, target, reply);
    return e;
}
