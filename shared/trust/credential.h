/*
 * credential - card and certificate together: who somebody is (2.2).
 *
 * Three steps, so that nothing here has to look anything up:
 *
 *     credential_parse(packed, &cred)            lengths and layouts; gives aid, name, card_hash
 *     ... the caller asks its log copy and its peers table and fills struct credential_facts ...
 *     credential_verify(&cred, ck, now, &facts)  everything else
 *
 * Memory   borrowed from `packed`.
 */
#ifndef TRUST_CREDENTIAL_H
#define TRUST_CREDENTIAL_H
#include "shared/trust/card.h"
#include "shared/trust/certificate.h"

#define CREDENTIAL_MAX 2048

struct credential {
    struct bytes packed;
    struct bytes card_packed, cert_packed;
    const uint8_t *card_sig, *cert_sig; /* 64 bytes each */
    struct card card;
    struct certificate cert;
    uint8_t aid[32];       /* of card.ik */
    uint8_t card_hash[32]; /* of card_packed */
};

/* What the one who checks knows already. */
struct credential_facts {
    bool revoked;           /* the log copy has a REVOKE of cred.aid */
    bool bound;             /* the log copy binds (cred.aid, cred.card.name, cred.card_hash) */
    bool pinned;            /* the name is known … */
    uint8_t pinned_aid[32]; /* … as this agent */
    bool seen;              /* a card of cred.aid is known: */
    uint32_t seen_gen;
    uint8_t seen_card_hash[32];
};

void credential_encode(struct buf *out, struct bytes card, const uint8_t card_sig[static 64],
                       struct bytes cert, const uint8_t cert_sig[static 64]);

/* ERR_SCHEMA.  Nothing is verified yet. */
enum err credential_parse(struct bytes packed, struct credential *out);

/* Signatures and agreement of the parts, without time, log or pins: what ENROL's answer and an old
 * card's check need, too.  ERR_CERT_INVALID. */
enum err credential_authentic(const struct credential *cred, const uint8_t ck[static 32]);

/* credential_authentic(), then time, revocation, log, pin, generation, in the order of 2.2.
 * ERR_CERT_INVALID, ERR_CERT_EXPIRED, ERR_CERT_REVOKED, ERR_KEY_CHANGED. */
enum err credential_verify(const struct credential *cred, const uint8_t ck[static 32],
                           uint64_t now_ms, const struct credential_facts *facts);

#endif
