/*
 * aead - the bodies' AEAD by suite, and XChaCha20-Poly1305 for headers and sealed columns.
 *
 * In place works: `out` may be where the input is.  Opening writes nothing useful on failure.
 */
#ifndef CRYPTO_AEAD_H
#define CRYPTO_AEAD_H
#include "shared/base/bytes.h"
#include "shared/base/err.h"

#define AEAD_TAG_SIZE 16

/* Does this CPU have the suite's AEAD?  False also for a suite that does not exist. */
bool aead_available(uint8_t suite);

/* Writes m.len + 16 bytes.  ERR_UNSUPPORTED. */
enum err aead_seal(uint8_t suite, uint8_t *out, const uint8_t key[static 32],
                   const uint8_t nonce[static 12], struct bytes ad, struct bytes m);

/* Writes ct.len - 16 bytes.  ERR_DECRYPT, ERR_UNSUPPORTED. */
enum err aead_open(uint8_t suite, uint8_t *out, const uint8_t key[static 32],
                   const uint8_t nonce[static 12], struct bytes ad, struct bytes ct);

void xaead_seal(uint8_t *out, const uint8_t key[static 32], const uint8_t nonce[static 24],
                struct bytes ad, struct bytes m);
/* ERR_DECRYPT. */
enum err xaead_open(uint8_t *out, const uint8_t key[static 32], const uint8_t nonce[static 24],
                    struct bytes ad, struct bytes ct);

#endif
