/*
 * server_card - the controller's signed word which CURVE key and endpoint its broker has (2.2).
 */
#ifndef TRUST_SERVER_CARD_H
#define TRUST_SERVER_CARD_H
#include "shared/base/bytes.h"
#include "shared/base/err.h"

#define SERVER_ENDPOINT_MAX 255
#define SERVER_CARD_MAX     512

struct server_card {
    uint8_t curve_pk[32];
    char endpoint[SERVER_ENDPOINT_MAX + 1]; /* without NUL inside */
    uint64_t nbf_ms, exp_ms;
};

void server_card_encode(struct buf *out, const struct server_card *card);

/* ERR_SCHEMA. */
enum err server_card_parse(struct bytes packed, struct server_card *out);

/* Parses, and checks the signature under the root key.  Time is the caller's.  ERR_SCHEMA,
 * ERR_AUTH. */
enum err server_card_verify(struct bytes packed, const uint8_t sig[static 64],
                            const uint8_t ck[static 32], struct server_card *out);

#endif
