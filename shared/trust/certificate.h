/*
 * certificate - the controller's dated word that an aid has a card and is not revoked (2.2).
 */
#ifndef TRUST_CERTIFICATE_H
#define TRUST_CERTIFICATE_H
#include "shared/base/bytes.h"
#include "shared/base/err.h"

#define CERTIFICATE_MAX     256
#define CERTIFICATE_SKEW_MS 120000 /* tolerated around nbf and exp */

struct certificate {
    uint64_t serial;
    uint8_t aid[32], card_hash[32];
    uint64_t nbf_ms, exp_ms;
    uint64_t log_index; /* newest log entry when it was signed */
    uint8_t log_head[32];
};

void certificate_encode(struct buf *out, const struct certificate *cert);

/* ERR_SCHEMA. */
enum err certificate_parse(struct bytes packed, struct certificate *out);

/* Parses, and checks the signature under the root key.  ERR_SCHEMA, ERR_AUTH. */
enum err certificate_verify(struct bytes packed, const uint8_t sig[static 64],
                            const uint8_t ck[static 32], struct certificate *out);

/* Tolerance included.  ERR_CERT_EXPIRED, also when it is not yet valid. */
enum err certificate_current(const struct certificate *cert, uint64_t now_ms);

#endif
