#include "shared/base/sha256.h"

void sha256(uint8_t out[static SHA256_SIZE], struct bytes data)
{
    struct sha256 hash;

    sha256_begin(&hash);
    sha256_add(&hash, data.at, data.len);
    sha256_end(&hash, out);
}

#ifdef SEALPOST_NETTLE

void sha256_begin(struct sha256 *hash)
{
    sha256_init(&hash->state);
}

void sha256_add(struct sha256 *hash, const void *at, size_t len)
{
    if (len)
        sha256_update(&hash->state, len, at);
}

void sha256_end(struct sha256 *hash, uint8_t out[static SHA256_SIZE])
{
    sha256_digest(&hash->state, SHA256_SIZE, out);
}

#else

void sha256_begin(struct sha256 *hash)
{
    crypto_hash_sha256_init(&hash->state);
}

void sha256_add(struct sha256 *hash, const void *at, size_t len)
{
    crypto_hash_sha256_update(&hash->state, at, len);
}

void sha256_end(struct sha256 *hash, uint8_t out[static SHA256_SIZE])
{
    crypto_hash_sha256_final(&hash->state, out);
}

#endif
