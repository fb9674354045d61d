/* The B side of a request: verified, opened, judged, answered. */
#include <sodium.h>

#include "agent/crypto/handshake.h"
#include "agent/flow/chain.h"
#include "agent/flow/consent.h"
#include "agent/flow/contact.h"
#include "agent/flow/identity.h"
#include "agent/flow/incoming.h"
#include "agent/flow/outgoing.h"
#include "agent/flow/session.h"
#include "agent/flow/watch.h"
#include "agent/store/inbox.h"
#include "agent/store/log.h"
#include "agent/store/scopes.h"
#include "agent/store/secrets.h"
#include "shared/base/crash.h"
#include "shared/base/log.h"
#include "shared/trust/identity.h"
#include "shared/trust/init0.h"
#include "shared/trust/prekey.h"
#include "shared/wire/frame.h"
#include "shared/wire/limit.h"

#define HELD_MAX       100
#define HELD_BYTES_MAX 4194304

/* Everything that is read out of the item before any key is touched. */
struct asking {
    struct signed_event opened;
    struct event event;
    struct opened_body body;
    struct init0 init;
    struct frame_view view;
    uint8_t digest[32];
    struct credential cred;
    struct card card; /* the one that INIT0 names */
    struct profile_peer peer;
    uint64_t stored_ms;
};

/* My private halves for this INIT0; the caller wipes. */
struct own_keys {
    struct buf dk, spk, spk_public, opk, opk_public;
};

static void own_keys_wipe(struct own_keys *keys)
{
    struct buf *const all[]
        = { &keys->dk, &keys->spk, &keys->spk_public, &keys->opk, &keys->opk_public };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        buf_wipe(all[i]);
        buf_free(all[i]);
    }
}

/* ------------------------------------------------------------------ reading */

static enum err read_asking(struct agent *agent, const struct wire_item *item, struct bytes frame,
                            struct asking *out)
{
    uint8_t sid[16];
    enum err e;

    out->stored_ms = item->stored_ms;
    out->opened.preimage = bytes_of(item->opened.preimage, EVENT_SIZE);
    out->opened.sig = item->opened.sig;
    out->opened.body = item->opened.body;
    if ((e = event_parse(out->opened.preimage, &out->event)) != ERR_OK
        || (e = event_body_check(&out->event, out->opened.body)) != ERR_OK
        || (e = opened_body_parse(out->opened.body, &out->body)) != ERR_OK
        || (e = init0_parse(out->body.init0, &out->init)) != ERR_OK
        || (e = frame_parse_whole(frame, &out->view)) != ERR_OK)
        return e;
    init0_sid(sid, out->body.init0);
    frame_digest(&out->view, out->digest);
    if (out->event.type != EVENT_OPENED || memcmp(out->event.id, sid, 16) != 0
        || memcmp(out->event.actor, out->init.aid_a, 32) != 0
        || memcmp(out->event.target, out->init.aid_b, 32) != 0 || out->view.kind != FRAME_REQUEST
        || out->view.suite != out->init.suite)
        return ERR_SCHEMA;
    if (memcmp(out->digest, out->body.frame_digest, 32) != 0)
        return ERR_DIGEST_MISMATCH;
    return frame_expect(&out->view, sid, out->init.aid_a, agent->me.row.id);
}

/* The card that INIT0 names is the current one, or an older one that the log binds. */
static enum err read_card(struct agent *agent, const struct wire_item *item, struct asking *asking)
{
    struct bytes old = item->old_card;
    uint8_t hash[32], aid[32];

    if (memcmp(asking->init.card_hash_a, asking->cred.card_hash, 32) == 0) {
        asking->card = asking->cred.card;
        return ERR_OK;
    }
    if (old.len <= 64)
        return ERR_CERT_INVALID;
    old.len -= 64;
    card_hash(hash, old);
    if (memcmp(hash, asking->init.card_hash_a, 32) != 0
        || card_verify(old, old.at + old.len, &asking->card) != ERR_OK
        || !profile_log_bound(agent->store, asking->cred.aid, asking->card.name, hash))
        return ERR_CERT_INVALID;
    aid_of(aid, asking->card.ik);
    return memcmp(aid, asking->cred.aid, 32) == 0 ? ERR_OK : ERR_CERT_INVALID;
}

static enum err verify_asking(struct agent *agent, const struct wire_item *item,
                              struct asking *asking)
{
    enum err e = agent_contact_verify(agent, item->credential, &asking->cred, &asking->peer);

    if (e != ERR_OK)
        return e;
    if (memcmp(asking->cred.aid, asking->init.aid_a, 32) != 0)
        return ERR_AUTH;
    if ((e = read_card(agent, item, asking)) != ERR_OK)
        return e;
    return event_verify(asking->opened.preimage, asking->opened.sig, asking->cred.card.ik);
}

/* ------------------------------------------------------------------ opening */

static enum err find_own_keys(struct agent *agent, const struct init0 *init, struct own_keys *keys)
{
    struct init0_own own = { .aid = agent->me.row.id,
                             .card_hashes = (const uint8_t(*)[32])init->card_hash_b,
                             .suites = (uint32_t)agent->me.card_suites };
    uint32_t gen = agent_card_generation(agent, init->card_hash_b);
    struct secret_info dk;

    own.card_hash_count = gen > 0;
    own.have_spk
        = profile_secret_get(agent->store, SECRET_SPK, init->spk_id, &keys->spk_public, &keys->spk);
    own.have_opk = init->opk_id
                   && profile_secret_get(agent->store, SECRET_OPK, init->opk_id, &keys->opk_public,
                                         &keys->opk);
    if (gen > 0 && profile_secret_newest(agent->store, SECRET_DK, gen, &dk))
        profile_secret_get(agent->store, SECRET_DK, dk.number, NULL, &keys->dk);
    if (keys->spk_public.len <= 64 || keys->dk.len != 32)
        own.have_spk = false;
    return init0_check(init, &own, agent_now(agent));
}

/* X3DH and frame 1.  `plain` is filled; the ratchet is ready. */
static enum err open_first(struct agent *agent, const struct asking *asking, struct own_keys *keys,
                           struct ratchet *ratchet, struct skipped *skipped, struct buf *plain)
{
    struct handshake_words words
        = { asking->body.init0, bytes_of(keys->spk_public.at, keys->spk_public.len - 64),
            asking->init.opk_id ? keys->opk_public.at : NULL };
    struct handshake_b secrets = { .dk_b_sk = keys->dk.at,
                                   .spk_b_sk = keys->spk.at,
                                   .opk_b_sk = asking->init.opk_id ? keys->opk.at : NULL,
                                   .dk_a = asking->card.dk,
                                   .ek_a = asking->init.ek_a };
    struct handshake handshake;
    struct spk_statement spk;
    struct ratchet_opened opened;
    uint8_t fresh[32];
    enum err e = spk_parse(words.spk_statement, &spk);

    if (e == ERR_OK)
        e = handshake_respond(&handshake, &words, &secrets);
    if (e == ERR_OK) {
        ratchet_init_b(ratchet, &handshake, asking->init.suite, keys->spk.at, spk.spk);
        agent_random(agent, fresh, sizeof fresh);
        e = ratchet_decrypt(ratchet, skipped, &asking->view, fresh, agent_now(agent),
                            buf_extend(plain, asking->view.ct.len), &opened);
        plain->len = e == ERR_OK ? opened.len : 0;
    }
    CRASH_POINT("recv.opened");
    sodium_memzero(&handshake, sizeof handshake);
    sodium_memzero(fresh, sizeof fresh);
    return e;
}

/* ------------------------------------------------------------------ judging, answering */

/* A mere wish to be let in is answered with that, and no mail. */
static bool says_nothing(struct agent *agent, const struct profile_in *held)
{
    struct buf plain = { 0 };
    struct envelope envelope;
    bool nothing = profile_in_message(agent->store, held->inbox_id, &plain)
                   && envelope_decode(buf_bytes(&plain), &envelope) == ERR_OK
                   && envelope.kind == ENVELOPE_INTRO && envelope.body.len == 0;

    buf_wipe(&plain);
    buf_free(&plain);
    return nothing;
}

void agent_session_accept(struct agent *agent, struct profile_session *session,
                          const struct profile_peer *peer)
{
    struct profile_in held;
    struct profile_out row;
    struct ratchet ratchet;
    struct skipped skipped;
    uint8_t digest[32];
    uint64_t now = agent_now(agent),
             due = session->opened_ms + agent_session_life_ms(session->mode);

    if (!profile_session_load(agent->store, session, &ratchet, &skipped))
        return;
    if (agent_outgoing_control(agent, session, peer, ENVELOPE_ACCEPT, due, &row)
        && agent_outgoing_seal(agent, session, &ratchet, peer, &row, FRAME_ACCEPT, digest)
               == ERR_OK) {
        agent_chain_append(agent, session, EVENT_ACCEPTED, peer->id, bytes_of(digest, 32));
        profile_session_move(agent->store, session->session_id, SESSION_ACTIVE, due);
        if (peer->pin == PIN_NONE)
            profile_peer_pin(agent->store, peer, PIN_FIRST_USE, "accepted by us", now);
        profile_peer_policy(agent->store, peer->peer_id, POLICY_ACCEPTED);
        while (profile_in_held(agent->store, session->session_id, &held)) {
            if (profile_known_add(agent->store, peer->peer_id, held.msg_id, now)
                && !says_nothing(agent, &held))
                profile_in_release(agent->store, held.inbox_id);
            else
                profile_in_remove(agent->store, held.inbox_id);
        }
        agent->changed = true;
    }
    sodium_memzero(&ratchet, sizeof ratchet);
    skipped_wipe(&skipped);
}

/* Somebody authentic asked with something that cannot work: he is told, and the row remembers it.
 */
static void reject(struct agent *agent, const struct asking *asking,
                   struct profile_session *session)
{
    uint8_t reason = REJECTED_CANNOT;

    session->state = SESSION_REJECTED;
    profile_session_add(agent->store, session, NULL);
    agent_session_event(agent, session, &asking->opened);
    agent_chain_append(agent, session, EVENT_REJECTED, asking->peer.id, bytes_of(&reason, 1));
}

/* The broker lets nobody ask too much; one that lies is no reason to hold more. */
static bool held_full(struct agent *agent, size_t more)
{
    return profile_in_count(agent->store, true) >= HELD_MAX
           || profile_in_held_bytes(agent->store) + more > HELD_BYTES_MAX;
}

static void take_first(struct agent *agent, const struct asking *asking,
                       struct profile_session *session, struct bytes plain)
{
    enum consent_verdict verdict = agent_consent(agent, &asking->peer, session);
    struct envelope envelope;

    agent_received_note(agent, session, 1, asking->digest);
    if (verdict == CONSENT_SILENT) {
        agent_session_silence(agent, session);
        return;
    }
    if (envelope_decode(plain, &envelope) != ERR_OK) {
        agent_session_reject(agent, session, REJECTED_CANNOT);
        return;
    }
    if (envelope.has_log)
        agent_log_compare(agent, envelope.log_index, envelope.log_head, session->peer_id);
    if (verdict == CONSENT_HOLD && held_full(agent, plain.len)) {
        agent_session_reject(agent, session, REJECTED_BY_POLICY);
        return;
    }
    if (envelope.kind == ENVELOPE_USER || envelope.kind == ENVELOPE_INTRO)
        agent_inbox_put(agent, session->session_id, session->peer_id, &envelope, plain,
                        &asking->view, asking->digest, asking->stored_ms, true);
    CRASH_POINT("recv.rows");
    if (verdict == CONSENT_GIVE)
        agent_session_accept(agent, session, &asking->peer);
    agent->changed = true;
}

static enum err open_asking(struct agent *agent, const struct asking *asking)
{
    struct profile_session session = { .peer_id = asking->peer.peer_id,
                                       .state = SESSION_WAS_ASKED,
                                       .mode = asking->init.mode,
                                       .suite = asking->init.suite,
                                       .opened_ms = agent_now(agent),
                                       .due_ms = asking->init.req_exp_ms };
    struct own_keys keys = { 0 };
    struct ratchet ratchet;
    struct skipped skipped = { 0 };
    struct buf plain = { 0 };
    enum err e = find_own_keys(agent, &asking->init, &keys);

    if (e == ERR_OK)
        e = open_first(agent, asking, &keys, &ratchet, &skipped, &plain);
    session.session_id = profile_scope_add(agent->store, asking->event.id);
    memcpy(session.id, asking->event.id, 16);
    if (e == ERR_OK) {
        if (asking->init.opk_id)
            profile_secret_remove(agent->store, SECRET_OPK, asking->init.opk_id);
        profile_session_add(agent->store, &session, &ratchet);
        agent_session_event(agent, &session, &asking->opened);
        take_first(agent, asking, &session, buf_bytes(&plain));
    } else {
        reject(agent, asking, &session);
    }
    sodium_memzero(&ratchet, sizeof ratchet);
    skipped_wipe(&skipped);
    own_keys_wipe(&keys);
    buf_wipe(&plain);
    buf_free(&plain);
    return e;
}

/* The broker was put back and lost the session, so we ended it; its asker had no answer and asks
 * with the same bytes.  Its keys are gone here: it must ask anew. */
static void asked_again(struct agent *agent, const struct profile_scope *scope)
{
    uint8_t reason = REJECTED_CANNOT;
    struct profile_session session;
    struct profile_peer peer;
    struct session_chain chain;

    if (!profile_session_get(agent->store, scope->scope_id, &session)
        || session.state != SESSION_CLOSED
        || !profile_peer_get(agent->store, session.peer_id, &peer)
        || !agent_chain_load(agent, scope->scope_id, &chain)
        || (chain.state != CHAIN_ACTIVE && chain.state != CHAIN_REQUESTED))
        return;
    profile_events_drop(agent->store, scope->scope_id, 1);
    agent_chain_append(agent, &session, EVENT_REJECTED, peer.id, bytes_of(&reason, 1));
}

enum err agent_session_asked(struct agent *agent, const struct wire_item *item, struct bytes frame)
{
    struct asking asking;
    struct profile_scope known;
    enum err e = read_asking(agent, item, frame, &asking);

    if (e == ERR_OK && profile_scope_find(agent->store, asking.event.id, &known)) {
        asked_again(agent, &known);
        return ERR_DUPLICATE;
    }
    CRASH_POINT("recv.known");
    if (e == ERR_OK)
        e = verify_asking(agent, item, &asking);
    if (e == ERR_OK)
        e = open_asking(agent, &asking);
    if (e != ERR_OK && e != ERR_BUSY)
        log_event(LOG_WARN, "request.not_taken", "error=%s", err_name(e));
    return e;
}
