#include "agent/crypto/handshake.h"

#include <sodium.h>

#include "agent/crypto/dh.h"
#include "agent/crypto/kdf.h"
#include "shared/trust/init0.h"
#include "shared/trust/label.h"

/* One Diffie-Hellman of the handshake; sk NULL: this one is not used. */
struct pair {
    const uint8_t *sk, *pk;
};

void handshake_transcript(uint8_t th[static 32], const struct handshake_words *words)
{
    static const uint8_t no_opk[32];
    struct sha256 hash;
    uint8_t part[32];

    label_hash_begin(&hash, LABEL_TH);
    sha256(part, words->init0);
    sha256_add(&hash, part, sizeof part);
    sha256(part, words->spk_statement);
    sha256_add(&hash, part, sizeof part);
    sha256_add(&hash, words->opk ? words->opk : no_opk, 32);
    sha256_end(&hash, th);
}

/* SK ‖ HKA ‖ NHKB = KDF(zeroes, "x3dh", th ‖ 0xff × 32 ‖ DH1 … ‖ mlkem). */
static enum err handshake_derive(struct handshake *out, const struct handshake_words *words,
                                 const struct pair pairs[static 4], const uint8_t *mlkem)
{
    static const uint8_t no_key[32];
    uint8_t input[32 + 32 + 4 * 32 + 32], keys[96];
    uint8_t *at = input + 64;
    enum err e = ERR_OK;

    init0_sid(out->sid, words->init0);
    handshake_transcript(out->th, words);
    memcpy(input, out->th, 32);
    memset(input + 32, 0xff, 32);
    for (int i = 0; i < 4 && e == ERR_OK; i++) {
        if (!pairs[i].sk)
            continue;
        e = dh(at, pairs[i].sk, pairs[i].pk);
        at += 32;
    }
    if (e != ERR_OK)
        goto done;
    if (mlkem)
        at = put_raw(at, mlkem, 32);
    kdf(keys, sizeof keys, no_key, LABEL_X3DH, bytes_of(input, (size_t)(at - input)));
    memcpy(out->sk, keys, 32);
    memcpy(out->hka, keys + 32, 32);
    memcpy(out->nhkb, keys + 64, 32);
done:
    sodium_memzero(input, sizeof input);
    sodium_memzero(keys, sizeof keys);
    if (e != ERR_OK)
        sodium_memzero(out, sizeof *out);
    return e;
}

enum err handshake_initiate(struct handshake *out, const struct handshake_words *words,
                            const struct handshake_a *keys)
{
    const struct pair pairs[4] = {
        { keys->dk_a_sk, keys->spk_b },
        { keys->ek_a_sk, keys->dk_b },
        { keys->ek_a_sk, keys->spk_b },
        { keys->opk_b ? keys->ek_a_sk : NULL, keys->opk_b },
    };

    return handshake_derive(out, words, pairs, keys->mlkem);
}

enum err handshake_respond(struct handshake *out, const struct handshake_words *words,
                           const struct handshake_b *keys)
{
    const struct pair pairs[4] = {
        { keys->spk_b_sk, keys->dk_a },
        { keys->dk_b_sk, keys->ek_a },
        { keys->spk_b_sk, keys->ek_a },
        { keys->opk_b_sk, keys->ek_a },
    };

    return handshake_derive(out, words, pairs, keys->mlkem);
}
