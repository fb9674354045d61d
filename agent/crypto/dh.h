/*
 * dh - X25519 with keys that are given.
 */
#ifndef CRYPTO_DH_H
#define CRYPTO_DH_H
#include <stdint.h>

#include "shared/base/err.h"

void dh_public(uint8_t pk[static 32], const uint8_t sk[static 32]);

/* ERR_DECRYPT: the peer's key gives an all-zero secret. */
enum err dh(uint8_t out[static 32], const uint8_t sk[static 32], const uint8_t pk[static 32]);

#endif
