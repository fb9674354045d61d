/*
 * card - an agent's self-signed keys and description (docs/protocol.md 2.1).
 *
 * Signature and hash are over the bytes as received, never over a re-encoding.
 */
#ifndef TRUST_CARD_H
#define TRUST_CARD_H
#include "shared/base/bytes.h"
#include "shared/base/err.h"
#include "shared/base/text.h"

#define CARD_MAX      1536
#define CARD_INFO_MAX 1024

struct card {
    char name[NAME_MAX_LEN + 1];
    uint8_t ik[32], dk[32], tk[32];
    uint32_t gen; /* from 1 */
    uint64_t created_ms;
    uint32_t suites; /* suite_bit(); bit 0 is always set */
    uint8_t proto_min, proto_max;
    uint32_t caps;
    struct bytes info; /* borrowed from the bytes parsed */
};

void card_encode(struct buf *out, const struct card *card);

/* Strict: canonical, sizes, bounds, name.  No signature.  ERR_SCHEMA. */
enum err card_parse(struct bytes packed, struct card *out);

/* Parses, and checks the signature under the card's own ik.  ERR_SCHEMA, ERR_AUTH. */
enum err card_verify(struct bytes packed, const uint8_t sig[static 64], struct card *out);

void card_hash(uint8_t out[static 32], struct bytes packed);

#endif
