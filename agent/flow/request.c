/* The A side of a request: opening a session, and REQUEST until the broker has it. */
#include <sodium.h>

#include "agent/crypto/aead.h"
#include "agent/crypto/handshake.h"
#include "agent/crypto/dh.h"
#include "agent/crypto/sign.h"
#include "agent/flow/chain.h"
#include "agent/flow/contact.h"
#include "agent/flow/link.h"
#include "agent/flow/outgoing.h"
#include "agent/flow/rotate.h"
#include "agent/flow/session.h"
#include "agent/flow/verify.h"
#include "agent/store/dead.h"
#include "agent/store/scopes.h"
#include "agent/store/secrets.h"
#include "shared/base/crash.h"
#include "shared/base/log.h"
#include "shared/trust/init0.h"
#include "shared/trust/prekey.h"
#include "shared/wire/limit.h"

/* However long the broker wants to be left alone, and wherever this clock has been put since. */
#define PAUSE_MAX_MS 3600000

/* The first, as the setting prefers them, that both signed cards list; 0: none.  With cipher =
 * chacha20 our own card lists no other. */
static uint8_t choose_suite(const struct agent *agent, const struct card *card)
{
    static const uint8_t chacha_first[] = { SUITE_CHACHA, SUITE_AES },
                         aes_first[] = { SUITE_AES, SUITE_CHACHA };
    const uint8_t *preferred = agent->settings.cipher == CIPHER_AES256 ? aes_first : chacha_first;

    for (size_t i = 0; i < sizeof chacha_first; i++) {
        uint32_t bit = suite_bit(preferred[i]);
        if ((agent->me.card_suites & bit) && (card->suites & bit) && aead_available(preferred[i]))
            return preferred[i];
    }
    return 0;
}

/* The oldest queued message that is still alive, or request for a live session. */
static bool first_queued(struct agent *agent, int64_t peer_id, bool live, struct profile_out *row)
{
    while (live ? profile_out_next_live(agent->store, peer_id, 0, row)
                : profile_out_next_queued(agent->store, peer_id, 0, row)) {
        if (row->expires_ms > agent_now(agent))
            return true;
        profile_dead_letter(agent->store, row, DEAD_EXPIRED, "", agent_now(agent));
    }
    return false;
}

struct bundle {
    struct spk_statement spk;
    struct bytes statement;
    const uint8_t *opk; /* NULL: none */
    uint32_t opk_id;
};

static enum err read_bundle(struct agent *agent, const struct credential *cred,
                            const struct agent_opening *opening, struct bundle *out)
{
    if (opening->spk.len <= 64)
        return ERR_NO_PREKEYS;
    out->statement = bytes_of(opening->spk.at, opening->spk.len - 64);
    out->opk = opening->opk.len == 36 ? opening->opk.at + 4 : NULL;
    out->opk_id = out->opk ? get_u32(opening->opk.at) : 0;
    return spk_verify(out->statement, opening->spk.at + opening->spk.len - 64, cred->aid,
                      cred->card.ik, agent_now(agent), &out->spk);
}

static void write_init0(struct agent *agent, const struct credential *cred,
                        const struct bundle *bundle, const struct profile_session *session,
                        const uint8_t *prev, const uint8_t ek_public[static 32], struct buf *out)
{
    struct init0 init = { .suite = session->suite, .mode = session->mode };
    uint64_t now = agent_now(agent);

    init.flags = (bundle->opk ? INIT0_OPK_USED : 0) | (prev ? INIT0_ROTATE : 0);
    if (prev)
        memcpy(init.prev_sid, prev, 16);
    memcpy(init.aid_a, agent->me.row.id, 32);
    memcpy(init.aid_b, cred->aid, 32);
    memcpy(init.card_hash_a, agent->me.card_hash, 32);
    memcpy(init.card_hash_b, cred->card_hash, 32);
    memcpy(init.ek_a, ek_public, 32);
    init.spk_id = bundle->spk.id;
    init.opk_id = bundle->opk_id;
    init.ts_ms = now;
    init.req_exp_ms = session->due_ms;
    init.idle_s = (uint32_t)(agent_session_idle_ms(session->mode) / 1000);
    init0_encode(out, &init);
}

/* X3DH with the bundle; the ratchet begins. */
static enum err begin_ratchet(struct agent *agent, const struct credential *cred,
                              const struct bundle *bundle, struct bytes init0, uint8_t suite,
                              const uint8_t ek_secret[static 32], struct ratchet *ratchet)
{
    struct handshake handshake;
    struct handshake_words words = { init0, bundle->statement, bundle->opk };
    struct buf dk = { 0 };
    struct secret_info newest;
    uint8_t first[32];
    enum err e = ERR_CORRUPT;

    if (profile_secret_newest(agent->store, SECRET_DK, agent->me.row.card_gen, &newest)
        && profile_secret_get(agent->store, SECRET_DK, newest.number, NULL, &dk) && dk.len == 32) {
        struct handshake_a keys = { .dk_a_sk = dk.at,
                                    .ek_a_sk = ek_secret,
                                    .dk_b = cred->card.dk,
                                    .spk_b = bundle->spk.spk,
                                    .opk_b = bundle->opk };
        e = handshake_initiate(&handshake, &words, &keys);
    }
    agent_random(agent, first, sizeof first);
    if (e == ERR_OK)
        e = ratchet_init_a(ratchet, &handshake, suite, bundle->spk.spk, first);
    sodium_memzero(&handshake, sizeof handshake);
    sodium_memzero(first, sizeof first);
    buf_wipe(&dk);
    buf_free(&dk);
    return e;
}

/* A session that nobody has heard of yet: named, with its ratchet, kept.  `prev`: the one that it
 * shall replace, or NULL. */
static enum err make_session(struct agent *agent, const struct credential *cred,
                             const struct bundle *bundle, const uint8_t *prev,
                             struct profile_session *session, struct ratchet *ratchet,
                             struct buf *init0)
{
    uint8_t ek_secret[32], ek_public[32];
    enum err e;

    agent_random(agent, ek_secret, sizeof ek_secret);
    dh_public(ek_public, ek_secret);
    write_init0(agent, cred, bundle, session, prev, ek_public, init0);
    init0_sid(session->id, buf_bytes(init0));
    e = begin_ratchet(agent, cred, bundle, buf_bytes(init0), session->suite, ek_secret, ratchet);
    if (e == ERR_OK) {
        session->session_id = profile_scope_add(agent->store, session->id);
        profile_session_add(agent->store, session, ratchet);
    }
    sodium_memzero(ek_secret, sizeof ek_secret);
    return e;
}

/* Frame 1, and the signed event that says with what it begins. */
static enum err seal_first(struct agent *agent, struct profile_session *session,
                           struct ratchet *ratchet, const struct profile_peer *peer,
                           const struct profile_out *row, struct bytes init0)
{
    struct buf body = { 0 };
    uint8_t digest[32];
    enum err e = agent_outgoing_seal(agent, session, ratchet, peer, row, FRAME_REQUEST, digest);

    if (e == ERR_OK) {
        opened_body_encode(&body, init0, digest);
        agent_chain_append(agent, session, EVENT_OPENED, peer->id, buf_bytes(&body));
        log_event(LOG_INFO, "session.open", "session=%s peer=%s", log_id(session->id), peer->name);
    }
    buf_free(&body);
    return e;
}

static enum err open_with(struct agent *agent, const struct profile_peer *peer,
                          const struct credential *cred, const struct bundle *bundle,
                          const struct profile_out *row, uint8_t suite)
{
    struct profile_session session = { .peer_id = peer->peer_id,
                                       .state = SESSION_ASKED,
                                       .mode = row->live ? MODE_LIVE : MODE_MAILBOX,
                                       .suite = suite,
                                       .opened_ms = agent_now(agent) };
    struct ratchet ratchet;
    struct buf init0 = { 0 };
    enum err e;

    session.due_ms
        = session.opened_ms + (row->live ? LIMIT_REQUEST_LIVE_MS : LIMIT_REQUEST_LIFE_MS);
    if (row->expires_ms < session.due_ms)
        session.due_ms = row->expires_ms;
    e = make_session(agent, cred, bundle, NULL, &session, &ratchet, &init0);
    if (e == ERR_OK)
        e = seal_first(agent, &session, &ratchet, peer, row, buf_bytes(&init0));
    sodium_memzero(&ratchet, sizeof ratchet);
    buf_free(&init0);
    return e;
}

/* What is said first in the new session is what is said last in the old one. */
static enum err rotate_with(struct agent *agent, const struct profile_peer *peer,
                            const struct credential *cred, const struct bundle *bundle,
                            const struct profile_session *old, uint8_t suite)
{
    struct profile_session session = { .peer_id = peer->peer_id,
                                       .state = SESSION_ASKED,
                                       .mode = MODE_MAILBOX,
                                       .suite = suite,
                                       .opened_ms = agent_now(agent) };
    struct profile_out row;
    struct ratchet ratchet;
    struct buf init0 = { 0 };
    uint8_t id[16];
    enum err e;

    session.due_ms = session.opened_ms + LIMIT_REQUEST_LIFE_MS;
    agent_random(agent, id, sizeof id);
    e = make_session(agent, cred, bundle, old->id, &session, &ratchet, &init0);
    if (e == ERR_OK
        && !agent_outgoing_rotate(agent, &session, peer, session.id, id, session.due_ms, &row))
        e = ERR_STORE;
    if (e == ERR_OK)
        e = seal_first(agent, &session, &ratchet, peer, &row, buf_bytes(&init0));
    if (e == ERR_OK && !agent_rotation_say(agent, old, peer, &session))
        e = ERR_STORE;
    sodium_memzero(&ratchet, sizeof ratchet);
    buf_free(&init0);
    return e;
}

static bool is_needed(struct agent *agent, const struct profile_peer *peer, bool live,
                      struct profile_out *row)
{
    struct profile_session session;

    return (live
            || (!profile_session_active(agent->store, peer->peer_id, &session)
                && !profile_session_asked(agent->store, peer->peer_id, &session)))
           && first_queued(agent, peer->peer_id, live, row);
}

/* Agents' own words are not for strangers: the first is that somebody wants to be let in. */
static bool introduce(struct agent *agent, const struct profile_peer *peer, struct profile_out *row)
{
    uint8_t id[16];

    agent_random(agent, id, sizeof id);
    agent_outgoing_introduce(agent, peer, bytes_of("", 0), false, id);
    return profile_out_find(agent->store, id, row);
}

enum err agent_session_open(struct agent *agent, const struct profile_peer *peer,
                            const struct credential *cred, const struct agent_opening *opening)
{
    struct profile_session old;
    struct profile_out row;
    struct bundle bundle;
    uint8_t suite;
    enum err e;

    if (opening->rotates ? !agent_rotation_wanted(agent, opening->rotates, &old)
                         : !is_needed(agent, peer, opening->live, &row))
        return ERR_NOT_FOUND;
    if (peer->pin == PIN_CHANGED)
        return ERR_KEY_CHANGED;
    if (!agent_is_trusted(agent, peer))
        return ERR_NOT_VERIFIED;
    if ((e = read_bundle(agent, cred, opening, &bundle)) != ERR_OK)
        return e;
    if ((suite = choose_suite(agent, &cred->card)) == 0)
        return ERR_UNSUPPORTED;
    if (!opening->rotates && row.kind > ENVELOPE_INTRO && !introduce(agent, peer, &row))
        return ERR_STORE;
    return opening->rotates ? rotate_with(agent, peer, cred, &bundle, &old, suite)
                            : open_with(agent, peer, cred, &bundle, &row, suite);
}

/* ------------------------------------------------------------------ REQUEST */

static bool send_request(struct agent *agent, const struct profile_session *session,
                         const struct profile_out *row)
{
    struct message message = agent_message(VERB_REQUEST);
    struct list_maker events = { 0 };
    struct profile_event opened;
    struct buf frame = { 0 };
    struct agent_asked *asked = NULL;

    if (profile_events(agent->store, session->session_id, 0, &opened, 1) == 1
        && profile_out_frame(agent->store, row->outbox_id, &frame)) {
        struct bytes part = buf_bytes(&frame);
        list_add_event(&events, &(struct wire_event){ opened.preimage, opened.sig,
                                                      bytes_of(opened.body, opened.body_len) });
        MESSAGE_SET(&message, events, list_of(&events));
        asked = agent_ask(agent, &message, &part, 1);
        if (asked) {
            asked->scope_id = session->session_id;
            asked->peer_id = session->peer_id;
        }
    }
    list_free(&events);
    buf_free(&frame);
    return asked != NULL;
}

void agent_requests_send(struct agent *agent)
{
    struct profile_session session;
    struct profile_out row;
    int64_t after = 0;
    uint64_t now = agent_now(agent);

    if (!agent->look_requests)
        return;
    agent->look_requests = false;
    while (profile_session_next_live(agent->store, after, &session)) {
        after = session.session_id;
        if (session.state != SESSION_ASKED || agent_is_asked(agent, VERB_REQUEST, after)
            || !profile_out_at(agent->store, after, 1, &row) || row.state != OUTBOX_SEALED)
            continue;
        if (row.retry_ms > now && row.retry_ms - now <= PAUSE_MAX_MS) {
            /* There is one timer for all of them, and it has run down. */
            agent_look_later(agent, 0, row.retry_ms - now);
            continue;
        }
        if (row.kind == ENVELOPE_ROTATE && agent_rotation_unsaid(agent, &session)) {
            agent->request_waits = true;
            continue;
        }
        if (!send_request(agent, &session, &row)) {
            agent->look_requests = agent->link.busy;
            return;
        }
    }
}

/* Nothing is at the broker: the message tries again in another session, or it is the end of it. */
static void request_failed(struct agent *agent, const struct profile_session *session,
                           const struct profile_out *row, enum err code)
{
    bool again = code == ERR_NO_PREKEYS || code == ERR_EXPIRED || code == ERR_STATE
                 || code == ERR_STALE_TS;
    enum dead_reason reason = DEAD_REFUSED;

    agent_sender_drop(agent, session->session_id);
    profile_session_end(agent->store, session->session_id, SESSION_CLOSED);
    if (row->kind == ENVELOPE_ROTATE) {
        profile_out_remove(agent->store, row->outbox_id);
        agent_rotation_failed(agent, session, code, again);
        return;
    }
    if (again) {
        profile_out_queue_again(agent->store, row->outbox_id, false);
        agent_opening_wait(agent, session->peer_id, session->mode == MODE_LIVE, 0, code, 0);
        return;
    }
    if (code == ERR_UNKNOWN_AGENT)
        reason = DEAD_UNKNOWN_AGENT;
    else if (code == ERR_CERT_REVOKED)
        reason = DEAD_REVOKED;
    profile_dead_letter(agent->store, row, reason, err_name(code), agent_now(agent));
    agent->look_queue = true;
}

void agent_request_answer(struct agent *agent, const struct agent_asked *asked, enum err code,
                          const struct message *message)
{
    struct profile_session session;
    struct profile_out row;
    uint64_t now = agent_now(agent);

    if (!profile_session_get(agent->store, asked->scope_id, &session)
        || session.state != SESSION_ASKED || !profile_out_at(agent->store, asked->scope_id, 1, &row)
        || row.state != OUTBOX_SEALED)
        return;
    agent->changed = true;
    if (code == ERR_OK) {
        profile_out_accepted(agent->store, row.scope_id, row.seq, row.outbox_id, now);
        CRASH_POINT("send.accepted");
        return;
    }
    log_event(LOG_INFO, "request.refused", "session=%s error=%s", log_id(session.id),
              err_name(code));
    if (err_retry(code) == RETRY_SAME || code == ERR_HELLO) {
        uint64_t after = message && MESSAGE_HAS(message, after_ms) ? message->after_ms : 0;
        uint64_t wait = after ? after + agent_jitter(agent, 1000)
                              : agent_backoff(agent, (unsigned)row.tries + 1);
        if (wait > PAUSE_MAX_MS)
            wait = PAUSE_MAX_MS;
        profile_out_tried(agent->store, row.outbox_id, now + wait);
        agent_refusal_note(agent, asked->scope_id, code, after);
        agent_look_later(agent, 0, wait);
    } else {
        request_failed(agent, &session, &row, code);
    }
}
