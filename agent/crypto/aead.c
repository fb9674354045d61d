#include "agent/crypto/aead.h"

#include <sodium.h>

#include "shared/wire/frame.h"

/* The low nibble chooses the AEAD. */
enum aead { AEAD_CHACHA = 1, AEAD_AES = 2 };

bool aead_available(uint8_t suite)
{
    if (suite_bit(suite) == 0)
        return false;
    return (suite & 0x0f) == AEAD_CHACHA || crypto_aead_aes256gcm_is_available();
}

enum err aead_seal(uint8_t suite, uint8_t *out, const uint8_t key[static 32],
                   const uint8_t nonce[static 12], struct bytes ad, struct bytes m)
{
    if (!aead_available(suite))
        return ERR_UNSUPPORTED;
    if ((suite & 0x0f) == AEAD_CHACHA)
        crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, m.at, m.len, ad.at, ad.len, NULL,
                                                  nonce, key);
    else
        crypto_aead_aes256gcm_encrypt(out, NULL, m.at, m.len, ad.at, ad.len, NULL, nonce, key);
    return ERR_OK;
}

enum err aead_open(uint8_t suite, uint8_t *out, const uint8_t key[static 32],
                   const uint8_t nonce[static 12], struct bytes ad, struct bytes ct)
{
    int bad;

    if (!aead_available(suite))
        return ERR_UNSUPPORTED;
    if (ct.len < AEAD_TAG_SIZE)
        return ERR_DECRYPT;
    if ((suite & 0x0f) == AEAD_CHACHA)
        bad = crypto_aead_chacha20poly1305_ietf_decrypt(out, NULL, NULL, ct.at, ct.len, ad.at,
                                                        ad.len, nonce, key);
    else
        bad = crypto_aead_aes256gcm_decrypt(out, NULL, NULL, ct.at, ct.len, ad.at, ad.len, nonce,
                                            key);
    return bad ? ERR_DECRYPT : ERR_OK;
}

void xaead_seal(uint8_t *out, const uint8_t key[static 32], const uint8_t nonce[static 24],
                struct bytes ad, struct bytes m)
{
    crypto_aead_xchacha20poly1305_ietf_encrypt(out, NULL, m.at, m.len, ad.at, ad.len, NULL, nonce,
                                               key);
}

enum err xaead_open(uint8_t *out, const uint8_t key[static 32], const uint8_t nonce[static 24],
                    struct bytes ad, struct bytes ct)
{
    if (ct.len < AEAD_TAG_SIZE)
        return ERR_DECRYPT;
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(out, NULL, NULL, ct.at, ct.len, ad.at, ad.len,
                                                   nonce, key)
        != 0)
        return ERR_DECRYPT;
    return ERR_OK;
}
