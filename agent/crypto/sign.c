#include "agent/crypto/sign.h"

#include <sodium.h>

void sign_key_of_seed(uint8_t pk[static 32], uint8_t sk[static SIGN_SECRET_SIZE],
                      const uint8_t seed[static SIGN_SEED_SIZE])
{
    crypto_sign_seed_keypair(pk, sk, seed);
}

void sign(uint8_t sig[static 64], const uint8_t sk[static SIGN_SECRET_SIZE], struct bytes preimage)
{
    crypto_sign_detached(sig, NULL, preimage.at, preimage.len, sk);
}

void sign_labelled(uint8_t sig[static 64], const uint8_t sk[static SIGN_SECRET_SIZE],
                   enum label label, struct bytes object)
{
    struct buf preimage = { 0 };

    label_preimage(&preimage, label, object);
    sign(sig, sk, buf_bytes(&preimage));
    buf_free(&preimage);
}
