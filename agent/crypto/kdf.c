#include "agent/crypto/kdf.h"

#include <assert.h>
#include <sodium.h>

#define KDF_BLOCK     64
#define KDF_INPUT_MAX 320 /* the handshake's: th, 32 bytes of 0xff, five secrets */

void kdf(uint8_t *out, size_t len, const uint8_t key[static 32], enum label label,
         struct bytes input)
{
    uint8_t words[LABEL_MAX_SIZE + KDF_INPUT_MAX + 1];
    uint8_t block[KDF_BLOCK];
    uint8_t *counter;

    assert(len <= KDF_MAX && input.len <= KDF_INPUT_MAX);
    counter = put_raw(put_label(words, label), input.at, input.len);
    *counter = 0;
    while (len > 0) {
        size_t n = len < KDF_BLOCK ? len : KDF_BLOCK;

        crypto_generichash(block, KDF_BLOCK, words, (size_t)(counter + 1 - words), key, 32);
        memcpy(out, block, n);
        out += n;
        len -= n;
        ++*counter;
    }
    sodium_memzero(block, sizeof block);
    sodium_memzero(words, (size_t)(counter + 1 - words));
}

void kdf_root(uint8_t root[static 32], uint8_t chain[static 32], uint8_t next_header[static 32],
              const uint8_t old_root[static 32], const uint8_t dh[static 32])
{
    uint8_t out[96];

    kdf(out, sizeof out, old_root, LABEL_RK, bytes_of(dh, 32));
    memcpy(root, out, 32);
    memcpy(chain, out + 32, 32);
    memcpy(next_header, out + 64, 32);
    sodium_memzero(out, sizeof out);
}

void kdf_chain(uint8_t chain[static 32], uint8_t message_key[static 32])
{
    static const uint8_t step[1] = { 1 };
    uint8_t out[64];

    crypto_generichash(out, sizeof out, step, sizeof step, chain, 32);
    memcpy(message_key, out, 32);
    memcpy(chain, out + 32, 32);
    sodium_memzero(out, sizeof out);
}

void kdf_message(struct message_keys *out, enum label label, const uint8_t message_key[static 32],
                 uint8_t suite, const uint8_t n[static 24])
{
    uint8_t input[25], keys[76];

    put_raw(put_u8(input, suite), n, 24);
    kdf(keys, sizeof keys, message_key, label, bytes_of(input, sizeof input));
    memcpy(out->key, keys, 32);
    memcpy(out->commit, keys + 32, 32);
    memcpy(out->nonce, keys + 64, 12);
    sodium_memzero(keys, sizeof keys);
}

void kdf_hedge(uint8_t n[static 24], const uint8_t message_key[static 32],
               const uint8_t rand[static 32], const uint8_t fh[static 100], struct bytes message)
{
    crypto_generichash_state state;

    crypto_generichash_init(&state, message_key, 32, 24);
    crypto_generichash_update(&state, rand, 32);
    crypto_generichash_update(&state, fh, 100);
    crypto_generichash_update(&state, message.at, message.len);
    crypto_generichash_final(&state, n, 24);
    sodium_memzero(&state, sizeof state);
}
