/*
 * join - from an invite's key to an enrolled agent, and a new generation of its card.
 *
 * The rows are those of docs/protocol.md 2.3.  What is checked writes nothing.
 */
#include "broker/controller/inside.h"
#include "broker/store/audit.h"
#include "shared/trust/enrol.h"
#include "shared/trust/identity.h"
#include "shared/wire/limit.h"

#define PROTOCOL   1
#define WAITING_MS (UINT64_C(7) * 86400000)

static uint64_t distance(uint64_t a, uint64_t b)
{
    return a > b ? a - b : b - a;
}

static bool speaks_our_protocol(const struct card *card)
{
    return card->proto_min <= PROTOCOL && PROTOCOL <= card->proto_max;
}

enum err controller_key_taken(struct controller *controller, const uint8_t key[static 32],
                              uint64_t now_ms, bool *taken)
{
    struct invite_row invite;
    enum err e;

    *taken = store_agent_by_transport(controller->store, key) != NULL;
    if (*taken)
        return ERR_OK;
    e = store_invite_by_key(controller->store, key, &invite);
    *taken = e == ERR_OK && store_invite_admits(&invite, now_ms);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

/* ---- rows 7 to 9
 * ---------------------------------------------------------------------------------- */

/* Its transport key must be nobody else's: a key stands for one agent or one invite. */
static enum err key_free(struct controller *controller, const struct card *card,
                         const struct agent_row *own, uint64_t now_ms)
{
    const struct agent_row *other = store_agent_by_transport(controller->store, card->tk);
    bool taken = false;
    enum err e;

    if (other)
        return other == own ? ERR_OK : ERR_FORBIDDEN;
    e = controller_key_taken(controller, card->tk, now_ms, &taken);
    return e == ERR_OK && taken ? ERR_FORBIDDEN : e;
}

enum err join_check(struct controller *controller, const struct card *card,
                    const uint8_t aid[static 32], const uint8_t card_hash[static 32],
                    uint64_t now_ms, enum enrol_outcome *outcome, int64_t *agent_id)
{
    const struct agent_row *own = store_agent_by_aid(controller->store, aid);
    const struct agent_row *namesake
        = store_agent_by_name(controller->store, bytes_of_text(card->name));
    enum err e;

    if (own && own->state == AGENT_REVOKED)
        return ERR_CERT_REVOKED;
    if (namesake && namesake != own)
        return ERR_NAME_TAKEN;
    if ((e = key_free(controller, card, own, now_ms)) != ERR_OK)
        return e;
    *agent_id = own ? own->agent_id : 0;
    if (!own) {
        *outcome = ENROL_NEW;
        return ERR_OK;
    }
    *outcome = ENROL_ADOPT;
    return memcmp(own->card_hash, card_hash, 32) == 0 ? ERR_OK : ERR_FORBIDDEN;
}

enum err join_proceed(struct controller *controller, const struct agent_new *agent,
                      int64_t *agent_id)
{
    struct circles circles;
    struct buf extra = { 0 };
    enum err e = circles_of_text(agent->circles, &circles);

    if (e == ERR_OK && circles.count)
        e = circles_encode(&extra, &circles);
    if (e == ERR_OK)
        e = store_agent_add(controller->store, agent, agent_id);
    if (e == ERR_OK)
        e = log_add(controller, ENTRY_ENROL, store_agent(controller->store, *agent_id),
                    buf_bytes(&extra), agent->packed, agent->sig, agent->now_ms);
    if (e == ERR_OK)
        e = store_audit(controller->store, agent->now_ms, "broker", "agent.enrolled",
                        agent->card.name, agent->circles);
    buf_free(&extra);
    return e;
}

/* ---- ENROL
 * ---------------------------------------------------------------------------------------- */

static bool is_card_of(const struct invite_row *invite, struct bytes card)
{
    return bytes_equal(bytes_of(invite->card, invite->card_len), card);
}

/* Rows 1 to 3.  *again: answer as the first time. */
static enum err invite_check(const struct invite_row *invite, struct bytes card, uint64_t now_ms,
                             bool *again)
{
    *again = false;
    if (!store_invite_admits(invite, now_ms))
        return ERR_TOKEN;
    if (invite->used_ms && !is_card_of(invite, card))
        return ERR_TOKEN;
    if (!invite->used_ms && now_ms >= invite->expires_ms)
        return ERR_TOKEN;
    *again = invite->agent_id != 0;
    return ERR_OK;
}

/* Rows 4 and 5. */
static enum err proof_check(struct controller *controller, struct enrolment *enrolment,
                            const uint8_t *enrol_sig, uint64_t ts_ms, uint64_t now_ms)
{
    enum err e;

    if (distance(ts_ms, now_ms) > LIMIT_FRESH_MS)
        return ERR_STALE_TS;
    e = card_verify(enrolment->packed, enrolment->card_sig, &enrolment->card);
    if (e != ERR_OK)
        return e;
    aid_of(enrolment->aid, enrolment->card.ik);
    card_hash(enrolment->card_hash, enrolment->packed);
    e = enrol_verify(enrol_sig, enrolment->card.ik, controller_root_id(controller),
                     enrolment->invite.key, enrolment->card_hash, ts_ms);
    if (e != ERR_OK)
        return e;
    return speaks_our_protocol(&enrolment->card) ? ERR_OK : ERR_VERSION;
}

enum err controller_enrol_check(struct controller *controller, int64_t invite_id, struct bytes card,
                                const uint8_t card_sig[static 64],
                                const uint8_t enrol_sig[static 64], uint64_t ts_ms, uint64_t now_ms,
                                struct enrolment *out)
{
    const struct invite_row *invite = &out->invite;
    bool again;
    enum err e;

    out->packed = card;
    out->card_sig = card_sig;
    e = store_invite_get(controller->store, invite_id, &out->invite);
    if (e != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_TOKEN : e;
    if ((e = invite_check(invite, card, now_ms, &again)) != ERR_OK)
        return e;
    if (again) {
        out->outcome = ENROL_AGAIN;
        out->agent_id = invite->agent_id;
        return ERR_OK;
    }
    if ((e = proof_check(controller, out, enrol_sig, ts_ms, now_ms)) != ERR_OK)
        return e;
    if (invite->name[0] && strcmp(invite->name, out->card.name) != 0)
        return ERR_FORBIDDEN;
    e = join_check(controller, &out->card, out->aid, out->card_hash, now_ms, &out->outcome,
                   &out->agent_id);
    if (e == ERR_OK && out->outcome == ENROL_NEW && invite->approve)
        out->outcome = ENROL_WAIT;
    return e;
}

/* The card for which the invite is used up. */
static void use_up(struct enrolment *enrolment, uint64_t now_ms)
{
    struct invite_row *invite = &enrolment->invite;

    if (!invite->used_ms)
        invite->used_ms = now_ms;
    invite->card_len = enrolment->packed.len;
    memcpy(invite->card, enrolment->packed.at, enrolment->packed.len);
    memcpy(invite->card_sig, enrolment->card_sig, 64);
}

static enum err wait_for_operator(struct controller *controller, struct enrolment *enrolment,
                                  uint64_t now_ms)
{
    enum err e = ERR_OK;

    if (!enrolment->invite.used_ms) {
        use_up(enrolment, now_ms);
        enrolment->invite.until_ms = now_ms + WAITING_MS;
        e = store_invite_put(controller->store, &enrolment->invite);
        if (e == ERR_OK)
            e = store_audit(controller->store, now_ms, "broker", "enrol.waiting",
                            enrolment->card.name, "");
    }
    return e == ERR_OK ? ERR_PENDING_APPROVAL : e;
}

static enum err enrol_new(struct controller *controller, struct enrolment *enrolment,
                          uint64_t now_ms)
{
    struct agent_new agent = { .card = enrolment->card,
                               .packed = enrolment->packed,
                               .sig = enrolment->card_sig,
                               .circles = enrolment->invite.circles,
                               .now_ms = now_ms };

    memcpy(agent.aid, enrolment->aid, 32);
    memcpy(agent.card_hash, enrolment->card_hash, 32);
    return join_proceed(controller, &agent, &enrolment->agent_id);
}

enum err controller_enrol_proceed(struct controller *controller, struct enrolment *enrolment,
                                  uint64_t now_ms)
{
    enum err e = ERR_OK;

    if (enrolment->outcome == ENROL_AGAIN)
        return ERR_OK;
    if (enrolment->outcome == ENROL_WAIT)
        return wait_for_operator(controller, enrolment, now_ms);
    if (enrolment->outcome == ENROL_NEW)
        e = enrol_new(controller, enrolment, now_ms);
    if (e != ERR_OK)
        return e;
    use_up(enrolment, now_ms);
    enrolment->invite.agent_id = enrolment->agent_id;
    return store_invite_put(controller->store, &enrolment->invite);
}

enum err controller_enrol_done(struct controller *controller, int64_t agent_id, uint64_t now_ms,
                               uint8_t key[static 32])
{
    struct invite_row invite;
    enum err e = store_invite_of_agent(controller->store, agent_id, &invite);

    if (e != ERR_OK)
        return e;
    if (invite.done_ms)
        return ERR_NOT_FOUND;
    invite.done_ms = now_ms;
    if ((e = store_invite_put(controller->store, &invite)) == ERR_OK)
        memcpy(key, invite.key, 32);
    return e;
}

/* ---- CARD
 * ----------------------------------------------------------------------------------------- */

enum err controller_card_check(struct controller *controller, int64_t agent_id, struct bytes card,
                               const uint8_t card_sig[static 64], uint64_t now_ms, bool *same,
                               struct card *out)
{
    const struct agent_row *agent = store_agent(controller->store, agent_id);
    uint8_t hash[32];
    enum err e;

    if (!agent)
        return ERR_AUTH;
    card_hash(hash, card);
    *same = memcmp(hash, agent->card_hash, 32) == 0;
    if ((e = card_verify(card, card_sig, out)) != ERR_OK || *same)
        return e;
    if (!speaks_our_protocol(out))
        return ERR_VERSION;
    if (memcmp(out->ik, agent->identity_key, 32) != 0 || strcmp(out->name, agent->name) != 0)
        return ERR_FORBIDDEN;
    if (out->gen <= agent->card_gen)
        return ERR_CONFLICT;
    return key_free(controller, out, agent, now_ms);
}

enum err controller_card_proceed(struct controller *controller, int64_t agent_id,
                                 struct bytes packed, const uint8_t card_sig[static 64],
                                 const struct card *card, uint64_t now_ms)
{
    struct agent_new next = { .card = *card, .packed = packed, .sig = card_sig, .now_ms = now_ms };
    enum err e;

    card_hash(next.card_hash, packed);
    if ((e = store_card_add(controller->store, agent_id, &next)) != ERR_OK)
        return e;
    return log_add(controller, ENTRY_CARD, store_agent(controller->store, agent_id),
                   bytes_of(NULL, 0), packed, card_sig, now_ms);
}
