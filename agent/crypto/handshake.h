/*
 * handshake - X3DH, both sides: from an INIT0 and the keys it names to the first keys of a session
 * (docs/protocol.md 3.2).
 *
 * The caller has verified everything: credential, statement, INIT0.
 * Errors   ERR_DECRYPT: a key of the peer's gives an all-zero secret.
 * Secret   struct handshake: wipe it (sodium_memzero) when the ratchet has begun.
 */
#ifndef CRYPTO_HANDSHAKE_H
#define CRYPTO_HANDSHAKE_H
#include "shared/base/bytes.h"
#include "shared/base/err.h"

struct handshake {
    uint8_t sid[16], th[32];
    uint8_t sk[32], hka[32], nhkb[32];
};

/* What both sides hash into the transcript. */
struct handshake_words {
    struct bytes init0;         /* as sent */
    struct bytes spk_statement; /* B's, as signed */
    const uint8_t *opk;         /* B's one-time prekey, 32 bytes; NULL if none is used */
};

/* A's secrets and B's public keys.  mlkem: 32 bytes shared by the KEM, or NULL. */
struct handshake_a {
    const uint8_t *dk_a_sk, *ek_a_sk;
    const uint8_t *dk_b, *spk_b, *opk_b; /* opk_b: NULL if none */
    const uint8_t *mlkem;
};

/* B's secrets and A's public keys. */
struct handshake_b {
    const uint8_t *dk_b_sk, *spk_b_sk, *opk_b_sk; /* opk_b_sk: NULL if none */
    const uint8_t *dk_a, *ek_a;
    const uint8_t *mlkem;
};

enum err handshake_initiate(struct handshake *out, const struct handshake_words *words,
                            const struct handshake_a *keys);
enum err handshake_respond(struct handshake *out, const struct handshake_words *words,
                           const struct handshake_b *keys);

/* th alone. */
void handshake_transcript(uint8_t th[static 32], const struct handshake_words *words);

#endif
