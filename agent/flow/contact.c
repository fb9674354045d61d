#include "agent/flow/contact.h"

#include <stdlib.h>

#include "agent/flow/chain.h"
#include "agent/flow/group.h"
#include "agent/flow/link.h"
#include "agent/flow/outgoing.h"
#include "agent/flow/rotate.h"
#include "agent/flow/session.h"
#include "agent/flow/watch.h"
#include "agent/store/alarms.h"
#include "agent/store/dead.h"
#include "agent/store/log.h"
#include "agent/store/sessions.h"
#include "shared/base/log.h"
#include "shared/trust/event.h"

#define RESERVE         1 /* flags of LOOKUP */
#define CREDENTIAL_ONLY 2
#define ONLINE          1 /* flags of its answer */

/* ------------------------------------------------------------------ credentials and trust */

static void facts_about(struct agent *agent, const struct credential *cred,
                        struct credential_facts *facts)
{
    struct profile_peer peer, pinned;

    *facts = (struct credential_facts){ 0 };
    facts->revoked = profile_log_revoked(agent->store, cred->aid);
    facts->bound = profile_log_bound(agent->store, cred->aid, cred->card.name, cred->card_hash);
    if (profile_peer_find(agent->store, cred->aid, &peer) && peer.known) {
        facts->seen = true;
        facts->seen_gen = peer.card_gen;
        memcpy(facts->seen_card_hash, peer.card_hash, 32);
    }
    if (profile_peer_pinned(agent->store, cred->card.name, cred->aid, &pinned)) {
        facts->pinned = true;
        memcpy(facts->pinned_aid, pinned.id, 32);
    }
}

bool agent_contact_row(struct agent *agent, const uint8_t aid[static 32], struct profile_peer *peer)
{
    struct directory_entry entry;
    int64_t id;

    if (profile_peer_find(agent->store, aid, peer))
        return true;
    if (!profile_directory_get(agent->store, aid, &entry))
        return false;
    id = profile_peer_add(agent->store, aid, entry.name, agent_now(agent));
    return profile_peer_get(agent->store, id, peer);
}

enum err agent_contact_verify(struct agent *agent, struct bytes packed, struct credential *cred,
                              struct profile_peer *peer)
{
    struct credential_facts facts;
    struct profile_peer pinned;
    enum err e = credential_parse(packed, cred);

    if (e != ERR_OK)
        return e;
    if ((e = credential_authentic(cred, agent->me.row.root_key)) != ERR_OK)
        return e;
    if (!agent_log_has(agent, cred->cert.log_index))
        return ERR_BUSY;
    agent_log_compare(agent, cred->cert.log_index, cred->cert.log_head, 0);
    facts_about(agent, cred, &facts);
    e = credential_verify(cred, agent->me.row.root_key, agent_now(agent), &facts);
    if (e == ERR_KEY_CHANGED
        && profile_peer_pinned(agent->store, cred->card.name, cred->aid, &pinned))
        agent_contact_changed(agent, &pinned, "the controller presents another agent");
    if (e != ERR_OK)
        return e;
    if (!agent_contact_row(agent, cred->aid, peer))
        return ERR_UNKNOWN_AGENT;
    profile_peer_learn(agent->store, peer->peer_id, cred->card.ik, cred->card.gen, cred->card_hash,
                       packed);
    return profile_peer_get(agent->store, peer->peer_id, peer) ? ERR_OK : ERR_STORE;
}

static void drop_queued(struct agent *agent, int64_t peer_id, enum dead_reason reason)
{
    struct profile_out row;

    while (profile_out_next_queued(agent->store, peer_id, 0, &row)
           || profile_out_next_live(agent->store, peer_id, 0, &row))
        profile_dead_letter(agent->store, &row, reason, "", agent_now(agent));
}

static void end_sessions(struct agent *agent, int64_t peer_id, enum closed_reason reason)
{
    struct profile_session session;
    int64_t after = 0;

    while (profile_session_next_of(agent->store, peer_id, after, &session)) {
        after = session.session_id;
        if (session.state <= SESSION_ACTIVE)
            agent_session_close(agent, &session, SESSION_CLOSED, reason);
    }
}

void agent_contact_let_go(struct agent *agent, const struct profile_peer *peer)
{
    end_sessions(agent, peer->peer_id, CLOSED_KEY_CHANGED);
    drop_queued(agent, peer->peer_id, DEAD_KEY_CHANGED);
    agent->changed = true;
}

void agent_contact_revoked(struct agent *agent, const struct profile_peer *peer)
{
    profile_peer_revoked(agent->store, peer->peer_id, agent_now(agent));
    end_sessions(agent, peer->peer_id, CLOSED_PEER_REVOKED);
    drop_queued(agent, peer->peer_id, DEAD_REVOKED);
    agent->changed = true;
}

void agent_contact_changed(struct agent *agent, const struct profile_peer *peer, const char *why)
{
    if (peer->pin == PIN_CHANGED)
        return;
    profile_peer_pin(agent->store, peer, PIN_CHANGED, why, agent_now(agent));
    profile_alarm_add(agent->store, "key_changed", peer->peer_id, 0, why, agent_now(agent));
    agent_contact_let_go(agent, peer);
}

/* ------------------------------------------------------------------ openings */

static struct agent_opening *opening_find(struct agent *agent, int64_t peer_id, bool live,
                                          int64_t rotates)
{
    struct agent_opening *opening = agent->openings;

    while (opening
           && (opening->peer_id != peer_id || opening->live != live || opening->rotates != rotates))
        opening = opening->next;
    return opening;
}

struct agent_opening *agent_opening_of(struct agent *agent, int64_t peer_id, bool live)
{
    return opening_find(agent, peer_id, live, 0);
}

static struct agent_opening *opening_make(struct agent *agent, int64_t peer_id, bool live,
                                          int64_t rotates)
{
    struct agent_opening *opening = opening_find(agent, peer_id, live, rotates);

    if (!opening) {
        opening = mem_zeroed(1, sizeof *opening);
        opening->peer_id = peer_id;
        opening->live = live;
        opening->rotates = rotates;
        opening->next = agent->openings;
        agent->openings = opening;
    }
    return opening;
}

void agent_opening_rotate(struct agent *agent, const struct profile_session *session)
{
    opening_make(agent, session->peer_id, false, session->session_id);
}

static void opening_remove(struct agent *agent, struct agent_opening *gone)
{
    struct agent_opening **at = &agent->openings;

    while (*at && *at != gone)
        at = &(*at)->next;
    if (*at)
        *at = gone->next;
    buf_free(&gone->credential);
    buf_free(&gone->spk);
    buf_free(&gone->opk);
    free(gone);
}

void agent_openings_free(struct agent *agent)
{
    while (agent->openings)
        opening_remove(agent, agent->openings);
    while (agent->presences) {
        struct agent_presence *gone = agent->presences;
        agent->presences = gone->next;
        free(gone);
    }
}

static void opening_wait(struct agent *agent, struct agent_opening *opening, enum err why,
                         uint64_t after_ms)
{
    uint64_t wait = agent_backoff(agent, ++opening->failures);

    opening->answered = false;
    opening->refusal = why;
    opening->retry_after_ms = after_ms;
    opening->wait_ms
        = agent_elapsed(agent) + (after_ms ? after_ms + agent_jitter(agent, 1000) : wait);
    agent->changed = true;
}

void agent_opening_wait(struct agent *agent, int64_t peer_id, bool live, int64_t rotates,
                        enum err why, uint64_t after_ms)
{
    opening_wait(agent, opening_make(agent, peer_id, live, rotates), why, after_ms);
}

/* Nothing can come of it.  A session that was to be replaced goes on; it may be tried again. */
static void opening_failed(struct agent *agent, struct agent_opening *opening,
                           enum dead_reason reason)
{
    if (opening->rotates)
        agent_rotation_forget(agent, opening->rotates);
    else
        drop_queued(agent, opening->peer_id, reason);
    opening_remove(agent, opening);
    agent->changed = true;
}

/* The answer is in: a session, or what stands in its way. */
static void open_answered(struct agent *agent, struct agent_opening *opening)
{
    struct credential cred;
    struct profile_peer peer;
    enum err e = agent_contact_verify(agent, buf_bytes(&opening->credential), &cred, &peer);

    if (e == ERR_BUSY)
        return; /* the log is on its way */
    opening->answered = false;
    if (e == ERR_SCHEMA || (e == ERR_OK && peer.peer_id != opening->peer_id))
        e = ERR_CERT_INVALID; /* no credential at all, or of somebody else */
    if (e == ERR_OK)
        e = agent_session_open(agent, &peer, &cred, opening);
    if (e == ERR_OK || e == ERR_NOT_FOUND) {
        agent->look_queue = agent->look_queue || opening->live; /* another may wait */
        agent->look_requests = true;
        opening_remove(agent, opening);
    } else if (e == ERR_KEY_CHANGED || e == ERR_CERT_REVOKED) {
        opening_failed(agent, opening, e == ERR_KEY_CHANGED ? DEAD_KEY_CHANGED : DEAD_REVOKED);
    } else {
        bool known = profile_peer_get(agent->store, opening->peer_id, &peer);
        log_event(LOG_WARN, "contact.refused", "peer=%s error=%s",
                  log_value(known ? peer.name : ""), err_name(e));
        opening_wait(agent, opening, e, 0);
    }
}

void agent_contact_resume(struct agent *agent)
{
    struct agent_opening *opening = agent->openings, *next;

    for (; opening; opening = next) {
        next = opening->next;
        if (opening->answered)
            open_answered(agent, opening);
    }
}

void agent_contact_prepare(struct agent *agent)
{
    int64_t peers[64], after = 0;
    size_t count;

    if (!agent->look_queue || !agent_is_up(agent))
        return;
    agent->look_queue = false;
    while ((count = profile_out_queued_peers(agent->store, after, peers, 64)) > 0) {
        for (size_t i = 0; i < count; i++) {
            struct profile_session session;
            struct profile_out row;
            after = peers[i];
            if (profile_out_next_live(agent->store, after, 0, &row))
                opening_make(agent, after, true, 0);
            if (!profile_out_next_queued(agent->store, after, 0, &row))
                continue;
            if (profile_session_active(agent->store, peers[i], &session))
                agent_outgoing_seal_queue(agent, peers[i]);
            else if (!profile_session_asked(agent->store, peers[i], &session))
                opening_make(agent, peers[i], false, 0);
        }
    }
}

void agent_contact_ask(struct agent *agent)
{
    uint64_t now = agent_elapsed(agent);

    for (struct agent_opening *opening = agent->openings; opening; opening = opening->next) {
        struct message message = agent_message(VERB_LOOKUP);
        struct profile_peer peer;
        struct agent_asked *asked;
        if (opening->asked || opening->answered || now < opening->wait_ms
            || !profile_peer_get(agent->store, opening->peer_id, &peer))
            continue;
        MESSAGE_SET(&message, aid, peer.id);
        MESSAGE_SET(&message, flags, RESERVE);
        asked = agent_ask(agent, &message, NULL, 0);
        if (!asked)
            return;
        asked->peer_id = opening->peer_id;
        asked->number = opening->live;
        asked->scope_id = opening->rotates;
        opening->asked = true;
    }
}

static void keep_bundle(struct agent_opening *opening, const struct message *message)
{
    struct list_reader opks = list_read(&message->opks);
    struct wire_opk opk;

    buf_clear(&opening->credential);
    buf_clear(&opening->spk);
    buf_clear(&opening->opk);
    buf_append(&opening->credential, message->credential.at, message->credential.len);
    if (MESSAGE_HAS(message, spk)) {
        buf_append(&opening->spk, message->spk.bytes.at, message->spk.bytes.len);
        buf_append(&opening->spk, message->spk.sig, 64);
    }
    if (MESSAGE_HAS(message, opks) && list_opk(&opks, &opk)) {
        put_u32(buf_extend(&opening->opk, 4), opk.id);
        buf_append(&opening->opk, opk.key, 32);
    }
}

void agent_contact_answer(struct agent *agent, const struct agent_asked *asked, enum err code,
                          const struct message *message)
{
    struct agent_opening *opening;

    if (asked->peer_id == 0 && asked->scope_id != 0) {
        agent_group_actor_answer(agent, asked, code, message);
        return;
    }
    if (asked->peer_id == 0) {
        agent_presence_answer(agent, asked, code, message);
        return;
    }
    opening = opening_find(agent, asked->peer_id, asked->number != 0, asked->scope_id);
    if (!opening)
        return;
    opening->asked = false;
    if (code == ERR_OK) {
        keep_bundle(opening, message);
        opening->answered = true;
        open_answered(agent, opening);
    } else if (code == ERR_UNKNOWN_AGENT || code == ERR_CERT_REVOKED) {
        opening_failed(agent, opening,
                       code == ERR_UNKNOWN_AGENT ? DEAD_UNKNOWN_AGENT : DEAD_REVOKED);
    } else {
        opening_wait(agent, opening, code,
                     message && MESSAGE_HAS(message, after_ms) ? message->after_ms : 0);
    }
}

/* ------------------------------------------------------------------ presence */

struct agent_presence *agent_presence_of(const struct agent *agent, const uint8_t aid[static 32])
{
    struct agent_presence *presence = agent->presences;

    while (presence && memcmp(presence->aid, aid, 32) != 0)
        presence = presence->next;
    return presence;
}

static void ask_presence(struct agent *agent, struct agent_presence *presence)
{
    struct message message = agent_message(VERB_LOOKUP);
    struct agent_asked *asked;

    MESSAGE_SET(&message, aid, presence->aid);
    MESSAGE_SET(&message, flags, CREDENTIAL_ONLY);
    asked = agent_ask(agent, &message, NULL, 0);
    if (asked) {
        memcpy(asked->aid, presence->aid, 32);
        presence->asked = true;
    }
}

void agent_presence_ask(struct agent *agent, const uint8_t aid[static 32])
{
    struct agent_presence *presence = agent_presence_of(agent, aid);

    if (!presence) {
        presence = mem_zeroed(1, sizeof *presence);
        memcpy(presence->aid, aid, 32);
        presence->next = agent->presences;
        agent->presences = presence;
    }
    if (!presence->asked && agent_is_up(agent))
        ask_presence(agent, presence);
}

unsigned agent_presence_pending(const struct agent *agent)
{
    unsigned count = 0;

    for (const struct agent_presence *presence = agent->presences; presence;
         presence = presence->next)
        count += presence->asked;
    return count;
}

void agent_presence_answer(struct agent *agent, const struct agent_asked *asked, enum err code,
                           const struct message *message)
{
    struct agent_presence *presence = agent_presence_of(agent, asked->aid);
    struct credential cred;
    struct profile_peer peer;

    if (!presence)
        return;
    presence->asked = false;
    agent->changed = true;
    if (code != ERR_OK)
        return;
    presence->known = MESSAGE_HAS(message, seen) || MESSAGE_HAS(message, flags);
    presence->online = MESSAGE_HAS(message, flags) && (message->flags & ONLINE) != 0;
    presence->seen_ms = MESSAGE_HAS(message, seen) ? message->seen : 0;
    /* A card that cannot be verified now is not written down; the question was another one. */
    if (agent_contact_verify(agent, message->credential, &cred, &peer) == ERR_OK
        && presence->adopts) {
        presence->adopts = false;
        agent_chain_adopt(agent, presence->sid, presence->aid);
    }
}
