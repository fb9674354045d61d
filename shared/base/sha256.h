/*
 * sha256 - the hash of everything public: ids, digests of frames, events, ranges and the log.
 *
 * From nettle where the build has it (it uses the CPU's SHA extensions: four times as fast), else
 * from libsodium.  Never for secrets: those go through the keyed BLAKE2b of agent/crypto/kdf.
 */
#ifndef BASE_SHA256_H
#define BASE_SHA256_H
#include "shared/base/bytes.h"

#ifdef SEALPOST_NETTLE
#include <nettle/sha2.h>
struct sha256 {
    struct sha256_ctx state;
};
#else
#include <sodium.h>
struct sha256 {
    crypto_hash_sha256_state state;
};
#endif

#define SHA256_SIZE 32

/* Of one piece; `out` may be where the input is. */
void sha256(uint8_t out[static SHA256_SIZE], struct bytes data);

/* Of several pieces.  After sha256_end() the struct must be begun anew. */
void sha256_begin(struct sha256 *hash);
void sha256_add(struct sha256 *hash, const void *at, size_t len);
void sha256_end(struct sha256 *hash, uint8_t out[static SHA256_SIZE]);

#endif
