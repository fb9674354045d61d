/*
 * sign - Ed25519 with keys that are given; verification: shared/trust.
 */
#ifndef CRYPTO_SIGN_H
#define CRYPTO_SIGN_H
#include "shared/base/bytes.h"
#include "shared/base/err.h"
#include "shared/trust/label.h"

#define SIGN_SEED_SIZE   32
#define SIGN_SECRET_SIZE 64 /* seed ‖ public key, as libsodium has it */

void sign_key_of_seed(uint8_t pk[static 32], uint8_t sk[static SIGN_SECRET_SIZE],
                      const uint8_t seed[static SIGN_SEED_SIZE]);

void sign(uint8_t sig[static 64], const uint8_t sk[static SIGN_SECRET_SIZE], struct bytes preimage);

/* Over L(label) ‖ object: cards, certificates. */
void sign_labelled(uint8_t sig[static 64], const uint8_t sk[static SIGN_SECRET_SIZE],
                   enum label label, struct bytes object);

#endif
