#include "agent/flow/verify.h"

#include "agent/flow/consent.h"
#include "agent/flow/contact.h"
#include "agent/flow/freeze.h"
#include "agent/flow/identity.h"
#include "agent/flow/session.h"
#include "agent/flow/views.h"
#include "agent/store/alarms.h"
#include "agent/store/log.h"
#include "shared/base/log.h"

#define PRINT_SIZE 20

/* ------------------------------------------------------------------ whom trust allows */

bool agent_is_trusted(const struct agent *agent, const struct profile_peer *peer)
{
    return peer->pin == PIN_VERIFIED
           || (!agent->settings.trust_verified && peer->pin < PIN_CHANGED);
}

enum err agent_may_write(struct agent *agent, const struct profile_peer *peer)
{
    const char *send_to = agent->settings.send_to;

    if (peer->revoked_ms || profile_log_revoked(agent->store, peer->id))
        return ERR_CERT_REVOKED;
    if (peer->pin == PIN_BLOCKED)
        return ERR_BLOCKED;
    if (peer->pin == PIN_CHANGED || profile_peer_has_pin(agent->store, peer->name, PIN_CHANGED))
        return ERR_KEY_CHANGED;
    if (send_to[0] && !agent_name_among(send_to, peer->name))
        return ERR_NOT_IN_SEND_TO;
    return agent_is_trusted(agent, peer) ? ERR_OK : ERR_NOT_VERIFIED;
}

/* ------------------------------------------------------------------ names */

/* The aid behind what a person typed, whatever its trust; `name` is what it is called. */
static enum err first_aid(struct agent *agent, const char *peer, uint8_t aid[static 32],
                          char name[static NAME_MAX_LEN + 1])
{
    struct directory_entry entry;
    struct profile_peer row;

    if (strncmp(peer, "id:", 3) == 0) {
        if (agent_find_by_fingerprint(agent, peer, &entry) != ERR_OK)
            return ERR_UNKNOWN_AGENT;
    } else if (profile_peer_named(agent->store, peer, &row)) {
        memcpy(aid, row.id, 32);
        memcpy(name, row.name, sizeof row.name);
        return ERR_OK;
    } else if (!profile_directory_named(agent->store, peer, &entry)) {
        return ERR_UNKNOWN_AGENT;
    }
    memcpy(aid, entry.aid, 32);
    memcpy(name, entry.name, sizeof entry.name);
    return ERR_OK;
}

enum err agent_peer_names(struct agent *agent, const char *peer, struct peer_names *out)
{
    char name[NAME_MAX_LEN + 1] = "";
    struct directory_entry entry;
    struct profile_peer row;
    enum err e;

    *out = (struct peer_names){ 0 };
    if ((e = first_aid(agent, peer, out->aid, name)) != ERR_OK)
        return e;
    /* Named by the fingerprint of the new one: the question is the same. */
    if (profile_peer_named(agent->store, name, &row) && row.pin == PIN_CHANGED)
        memcpy(out->aid, row.id, 32);
    if (profile_peer_find(agent->store, out->aid, &row) && row.pin != PIN_NONE
        && profile_directory_named(agent->store, name, &entry)
        && memcmp(entry.aid, out->aid, 32) != 0) {
        out->replaced = true;
        memcpy(out->new_aid, entry.aid, 32);
    }
    return agent_store_failure(agent->store);
}

/* ------------------------------------------------------------------ verify */

/* What was held only because the peer was not verified may be taken now. */
static void judge_again(struct agent *agent, int64_t peer_id)
{
    struct profile_session session;
    struct profile_peer peer;
    int64_t after = 0;

    while (profile_session_next_of(agent->store, peer_id, after, &session)) {
        after = session.session_id;
        if (session.state == SESSION_WAS_ASKED && session.due_ms > agent_now(agent)
            && profile_peer_get(agent->store, peer_id, &peer)
            && agent_consent(agent, &peer, &session) == CONSENT_GIVE)
            agent_session_accept(agent, &session, &peer);
    }
}

/* What waits for a session with it waits no longer. */
static void hurry(struct agent *agent, int64_t peer_id)
{
    for (struct agent_opening *opening = agent->openings; opening; opening = opening->next)
        if (opening->peer_id == peer_id)
            opening->wait_ms = 0;
    agent->look_queue = true;
}

static void set_verified(struct agent *agent, struct profile_peer *peer)
{
    uint64_t now = agent_now(agent);

    profile_peer_pin(agent->store, peer, PIN_VERIFIED, "fingerprint compared by a person", now);
    profile_alarm_clear(agent->store, "key_changed", peer->peer_id, now);
    profile_alarm_clear(agent->store, "not_verified", peer->peer_id, now);
    log_event(LOG_INFO, "peer.verified", "peer=%s", log_value(peer->name));
    judge_again(agent, peer->peer_id);
    hurry(agent, peer->peer_id);
    agent->changed = true;
}

/* The old key's time is over, here as at the controller. */
static void end_old_pin(struct agent *agent, const uint8_t aid[static 32])
{
    struct profile_peer old;

    if (!profile_peer_find(agent->store, aid, &old))
        return;
    agent_contact_let_go(agent, &old);
    profile_peer_pin(agent->store, &old, PIN_NONE, "replaced by a person", agent_now(agent));
    profile_alarm_clear(agent->store, "key_changed", old.peer_id, agent_now(agent));
}

static enum err verify(struct agent *agent, const struct peer_names *names,
                       const uint8_t print[static PRINT_SIZE], bool replace, uint8_t aid[static 32])
{
    struct profile_peer peer;

    if (memcmp(names->aid, print, PRINT_SIZE) == 0) {
        memcpy(aid, names->aid, 32);
        if (!agent_contact_row(agent, aid, &peer))
            return ERR_UNKNOWN_AGENT;
        if (peer.pin == PIN_CHANGED && names->replaced)
            return ERR_KEY_CHANGED; /* that it was right once is no way back */
        if (peer.pin == PIN_BLOCKED)
            return ERR_BLOCKED;
    } else if (names->replaced && memcmp(names->new_aid, print, PRINT_SIZE) == 0) {
        memcpy(aid, names->new_aid, 32);
        if (!replace)
            return ERR_KEY_CHANGED;
        end_old_pin(agent, names->aid);
        if (!agent_contact_row(agent, aid, &peer))
            return ERR_UNKNOWN_AGENT;
    } else {
        return ERR_AUTH;
    }
    set_verified(agent, &peer);
    return ERR_OK;
}

enum err agent_verify(struct agent *agent, const char *peer, const uint8_t print[static PRINT_SIZE],
                      bool replace, uint8_t aid[static 32])
{
    struct peer_names names;
    enum err e = agent_peer_names(agent, peer, &names);

    if (e != ERR_OK)
        return e;
    agent_enter(agent);
    e = verify(agent, &names, print, replace, aid);
    if (e != ERR_OK) {
        agent_store_rollback(agent->store);
        return e;
    }
    return agent_leave(agent);
}

/* ------------------------------------------------------------------ log, alarms */

/* Entries name the hash of a card; its generation is known of my own and of those I have seen. */
static uint64_t generation_of(struct agent *agent, const struct log_row *row)
{
    struct profile_peer peer;

    if (row->type == ENTRY_REVOKE)
        return 0;
    if (memcmp(row->aid, agent->me.row.id, 32) == 0)
        return agent_card_generation(agent, row->card_hash);
    return profile_peer_find(agent->store, row->aid, &peer) && peer.known
                   && memcmp(peer.card_hash, row->card_hash, 32) == 0
               ? peer.card_gen
               : 0;
}

enum err agent_log_each(struct agent *agent, uint64_t from,
                        void (*each)(void *ctx, const struct log_info *entry), void *ctx)
{
    struct log_row row;

    for (; profile_log_next(agent->store, from, &row); from = row.index + 1) {
        struct log_info info = { .index = row.index,
                                 .at_ms = row.at_ms,
                                 .kind = (enum log_kind)row.type,
                                 .name = bytes_of_text(row.name),
                                 .circles = bytes_of_text(row.circles),
                                 .gen = generation_of(agent, &row) };
        memcpy(info.aid, row.aid, 32);
        memcpy(info.head, row.digest, 32);
        each(ctx, &info);
    }
    return agent_store_failure(agent->store);
}

enum err agent_alarm_clear(struct agent *agent, const char *code)
{
    agent_enter(agent);
    if (!profile_alarm_clear(agent->store, code, 0, agent_now(agent))) {
        agent_store_rollback(agent->store);
        return ERR_NOT_FOUND;
    }
    if (agent->frozen && !profile_alarm_open(agent->store, "profile_restored"))
        agent_thaw(agent);
    agent->changed = true;
    return agent_leave(agent);
}
