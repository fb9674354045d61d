/*
 * kdf - the one key derivation of a2a/1: keyed BLAKE2b-512 over L(label) ‖ input ‖ counter.
 */
#ifndef CRYPTO_KDF_H
#define CRYPTO_KDF_H
#include "shared/base/bytes.h"
#include "shared/trust/label.h"

#define KDF_MAX 192

/* First `len` ≤ KDF_MAX bytes of B(0) ‖ B(1) ‖ … */
void kdf(uint8_t *out, size_t len, const uint8_t key[static 32], enum label label,
         struct bytes input);

/* KDF_RK: root ‖ chain ‖ next header key, of a root key and a DH output.  root may be in place. */
void kdf_root(uint8_t root[static 32], uint8_t chain[static 32], uint8_t next_header[static 32],
              const uint8_t old_root[static 32], const uint8_t dh[static 32]);

/* KDF_CK: the message key, and the chain key moves on in place. */
void kdf_chain(uint8_t chain[static 32], uint8_t message_key[static 32]);

struct message_keys {
    uint8_t key[32], commit[32], nonce[12];
};

/* KDF_MK (LABEL_MK) and KDF_GMK (LABEL_GMK). */
void kdf_message(struct message_keys *out, enum label label, const uint8_t message_key[static 32],
                 uint8_t suite, const uint8_t n[static 24]);

/* N of a message: BLAKE2b-192 keyed with the message key over rand 32 ‖ fh 100 ‖ message. */
void kdf_hedge(uint8_t n[static 24], const uint8_t message_key[static 32],
               const uint8_t rand[static 32], const uint8_t fh[static 100], struct bytes message);

#endif
