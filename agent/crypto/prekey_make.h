/*
 * prekey_make - prekeys from random bytes that are given.
 */
#ifndef CRYPTO_PREKEY_MAKE_H
#define CRYPTO_PREKEY_MAKE_H
#include "shared/base/bytes.h"
#include "shared/trust/prekey.h"

/* `secret` is the caller's random 32 bytes and stays the private half.  Appends the statement. */
void prekey_make(struct buf *statement, uint8_t sig[static 64], const uint8_t aid[static 32],
                 const uint8_t ik_secret[static 64], uint32_t id, uint64_t created_ms,
                 const uint8_t secret[static 32]);

/* The public half of a one-time prekey. */
void prekey_make_one_time(uint8_t public_key[static 32], const uint8_t secret[static 32]);

#endif
