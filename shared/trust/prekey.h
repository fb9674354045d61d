/*
 * prekey - the signed statement about an agent's signed prekey (3.1).
 */
#ifndef TRUST_PREKEY_H
#define TRUST_PREKEY_H
#include "shared/base/bytes.h"
#include "shared/base/err.h"

#define SPK_SIZE      96 /* without ML-KEM key */
#define SPK_MAX       1280
#define MLKEM_EK      1184
#define MLKEM_CT      1088
#define OPK_MAX       100
#define SPK_LIFE_MS   (30ull * 86400000)
#define SPK_PERIOD_MS (7ull * 86400000)

struct spk_statement {
    uint8_t aid[32];
    uint32_t id;
    uint64_t created_ms, expires_ms;
    uint8_t spk[32];
    struct bytes pq_ek; /* empty or MLKEM_EK bytes; borrowed */
};

void spk_encode(struct buf *out, const struct spk_statement *spk);

/* ERR_SCHEMA. */
enum err spk_parse(struct bytes statement, struct spk_statement *out);

/* Parses; the statement is by `ik` about `aid` and has not ended.  ERR_SCHEMA, ERR_AUTH,
 * ERR_EXPIRED. */
enum err spk_verify(struct bytes statement, const uint8_t sig[static 64],
                    const uint8_t aid[static 32], const uint8_t ik[static 32], uint64_t now_ms,
                    struct spk_statement *out);

#endif
