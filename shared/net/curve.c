#include "shared/net/curve.h"

#include <sodium.h>

#include "shared/base/text.h"

void curve_from_secret(struct curve_keys *out, const uint8_t secret[static CURVE_KEY_LEN])
{
    memcpy(out->secret_key, secret, CURVE_KEY_LEN);
    crypto_scalarmult_base(out->public_key, out->secret_key);
}

void curve_make(struct curve_keys *out)
{
    uint8_t secret[CURVE_KEY_LEN];

    randombytes_buf(secret, sizeof secret);
    curve_from_secret(out, secret);
    sodium_memzero(secret, sizeof secret);
}

void curve_wipe(struct curve_keys *keys)
{
    sodium_memzero(keys, sizeof *keys);
}

void curve_text(char out[static CURVE_TEXT_SIZE], const uint8_t key[static CURVE_KEY_LEN])
{
    hex_encode(out, key, CURVE_KEY_LEN);
}
