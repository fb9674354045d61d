/*
 * wrap - the profile key under a passphrase (docs/storage.md 7):
 *
 *     "sealkey1" ‖ u64 passes ‖ u64 bytes of memory ‖ salt 16
 *     ‖ N 24 ‖ XChaCha20-Poly1305(KEK, N, ad = L("state") ‖ "agent.key" ‖ 0 ‖ u64 0 ‖ u64 0, DBK)
 *
 * KEK = Argon2id(passphrase, salt, passes, memory).  The cost stands in the file, so that a later
 * version can ask for more without losing what is there.
 */
#ifndef CRYPTO_WRAP_H
#define CRYPTO_WRAP_H
#include "shared/base/bytes.h"
#include "shared/base/err.h"

#define WRAP_KEY_SIZE   32
#define WRAP_SALT_SIZE  16
#define WRAP_NONCE_SIZE 24
#define WRAP_SIZE       112

/* Is it of this form?  A raw key is shorter. */
bool wrap_is(struct bytes file);

/* Appends WRAP_SIZE bytes.  `salt` and `nonce`: fresh random bytes.  Takes half a second and 256
 * MiB. ERR_NOMEM. */
enum err wrap(struct buf *out, const uint8_t key[static WRAP_KEY_SIZE], struct bytes passphrase,
              const uint8_t salt[static WRAP_SALT_SIZE],
              const uint8_t nonce[static WRAP_NONCE_SIZE]);

/* ERR_PASSPHRASE: another passphrase, or damage, which looks the same.  ERR_CORRUPT: not of this
 * form, or of a cost that nobody asks for.  ERR_NOMEM. */
enum err unwrap(uint8_t key[static WRAP_KEY_SIZE], struct bytes file, struct bytes passphrase);

#endif
