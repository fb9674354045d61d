#include "shared/trust/credential.h"

#include "shared/trust/identity.h"
#include "shared/trust/label.h"
#include "shared/trust/signed_array.h"

#define CREDENTIAL_FIELDS 4

void credential_encode(struct buf *out, struct bytes card, const uint8_t card_sig[static 64],
                       struct bytes cert, const uint8_t cert_sig[static 64])
{
    pack_array(out, CREDENTIAL_FIELDS);
    pack_bin(out, card);
    pack_bin(out, bytes_of(card_sig, 64));
    pack_bin(out, cert);
    pack_bin(out, bytes_of(cert_sig, 64));
}

enum err credential_parse(struct bytes packed, struct credential *out)
{
    struct take take = signed_array(packed, CREDENTIAL_MAX, CREDENTIAL_FIELDS);
    enum err e;

    *out = (struct credential){ .packed = packed };
    out->card_packed = take_bin(&take, CARD_MAX);
    out->card_sig = take_fixed(&take, 64);
    out->cert_packed = take_bin(&take, CERTIFICATE_MAX);
    out->cert_sig = take_fixed(&take, 64);
    e = take_end(&take);
    if (e == ERR_OK)
        e = card_parse(out->card_packed, &out->card);
    if (e == ERR_OK)
        e = certificate_parse(out->cert_packed, &out->cert);
    if (e != ERR_OK)
        return e;
    aid_of(out->aid, out->card.ik);
    card_hash(out->card_hash, out->card_packed);
    return ERR_OK;
}

enum err credential_authentic(const struct credential *cred, const uint8_t ck[static 32])
{
    if (!label_verify(cred->card.ik, cred->card_sig, LABEL_CARD, cred->card_packed)
        || !label_verify(ck, cred->cert_sig, LABEL_CERT, cred->cert_packed)
        || memcmp(cred->cert.aid, cred->aid, 32) != 0
        || memcmp(cred->cert.card_hash, cred->card_hash, 32) != 0)
        return ERR_CERT_INVALID;
    return ERR_OK;
}

/* A generation seen before is the lowest that counts, and the same number means the same card. */
static enum err credential_not_older(const struct credential *cred,
                                     const struct credential_facts *facts)
{
    if (!facts->seen || cred->card.gen > facts->seen_gen)
        return ERR_OK;
    if (cred->card.gen == facts->seen_gen
        && memcmp(cred->card_hash, facts->seen_card_hash, 32) == 0)
        return ERR_OK;
    return ERR_CERT_INVALID;
}

enum err credential_verify(const struct credential *cred, const uint8_t ck[static 32],
                           uint64_t now_ms, const struct credential_facts *facts)
{
    enum err e = credential_authentic(cred, ck);

    if (e == ERR_OK)
        e = certificate_current(&cred->cert, now_ms);
    if (e != ERR_OK)
        return e;
    if (facts->revoked)
        return ERR_CERT_REVOKED;
    if (!facts->bound)
        return ERR_CERT_INVALID;
    if (facts->pinned && memcmp(facts->pinned_aid, cred->aid, 32) != 0)
        return ERR_KEY_CHANGED;
    return credential_not_older(cred, facts);
}
