#include "agent/crypto/dh.h"

#include <sodium.h>

void dh_public(uint8_t pk[static 32], const uint8_t sk[static 32])
{
    crypto_scalarmult_base(pk, sk);
}

enum err dh(uint8_t out[static 32], const uint8_t sk[static 32], const uint8_t pk[static 32])
{
    return crypto_scalarmult(out, sk, pk) == 0 ? ERR_OK : ERR_DECRYPT;
}
