/*
 * certificates - issued, kept, and issued anew before they run out; for offline agents, too,
 * because they only say that this agent has this card and is not revoked today.
 */
#include "broker/controller/inside.h"
#include "shared/base/crash.h"
#include "shared/trust/credential.h"

#define BACKDATED_MS UINT64_C(300000)

static enum err issue(struct controller *controller, const struct agent_row *agent, uint64_t now_ms,
                      struct certificate_row *out)
{
    uint64_t life_ms = controller->settings.certificate_ttl_ms;
    uint64_t back_ms = life_ms / 2 < BACKDATED_MS ? life_ms / 2 : BACKDATED_MS;
    struct certificate cert = { .nbf_ms = now_ms - back_ms };
    struct buf packed = { 0 };
    struct log_head head;
    enum err e = signer_agree(controller);

    if (e != ERR_OK || (e = store_serial_next(controller->store, &cert.serial)) != ERR_OK)
        return e;
    store_log_head(controller->store, &head);
    cert.exp_ms = cert.nbf_ms + life_ms;
    cert.log_index = head.next - 1;
    memcpy(cert.log_head, head.digest, 32);
    memcpy(cert.aid, agent->aid, 32);
    memcpy(cert.card_hash, agent->card_hash, 32);
    e = signer_certificate(controller->signer, &cert, &packed, out->sig);
    if (e == ERR_OK) {
        CRASH_POINT("cert.signed");
        out->serial = cert.serial;
        memcpy(out->card_hash, cert.card_hash, 32);
        out->from_ms = cert.nbf_ms;
        out->until_ms = cert.exp_ms;
        out->len = packed.len;
        memcpy(out->certificate, packed.at, packed.len);
        e = store_certificate_put(controller->store, agent->agent_id, out);
    }
    buf_free(&packed);
    return e == ERR_FORBIDDEN ? ERR_INTERNAL : e; /* our own record disagrees */
}

/* Of the current card, valid now and for so long. */
static bool good(const struct certificate_row *row, const struct agent_row *agent, uint64_t now_ms,
                 uint64_t least_ms)
{
    return memcmp(row->card_hash, agent->card_hash, 32) == 0 && row->from_ms <= now_ms
           && row->until_ms > now_ms + least_ms;
}

enum err controller_credential(struct controller *controller, int64_t agent_id, uint64_t now_ms,
                               uint64_t least_ms, struct buf *out)
{
    const struct agent_row *agent = store_agent(controller->store, agent_id);
    struct certificate_row certificate;
    struct card_row card;
    enum err e;

    if (!agent)
        return ERR_NOT_FOUND;
    if (agent->state == AGENT_REVOKED)
        return ERR_CERT_REVOKED;
    if (least_ms > controller->settings.certificate_ttl_ms / 2) /* else short lives never satisfy */
        least_ms = controller->settings.certificate_ttl_ms / 2;
    e = store_certificate_get(controller->store, agent_id, &certificate);
    if (e == ERR_NOT_FOUND || (e == ERR_OK && !good(&certificate, agent, now_ms, least_ms)))
        e = issue(controller, agent, now_ms, &certificate);
    if (e == ERR_OK)
        e = store_card_get(controller->store, agent_id, 0, &card);
    if (e != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_STORE : e;
    credential_encode(out, bytes_of(card.card, card.len), card.sig,
                      bytes_of(certificate.certificate, certificate.len), certificate.sig);
    return ERR_OK;
}
