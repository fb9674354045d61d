/*
 * curve - transport keys: X25519 pairs for CURVE.
 *
 * Secret   `secret_key`; whoever holds a pair wipes it.  libzmq keeps copies of its own on the
 * heap.
 */
#ifndef NET_CURVE_H
#define NET_CURVE_H
#include <stddef.h>
#include <stdint.h>

#define CURVE_KEY_LEN   32
#define CURVE_TEXT_SIZE 65 /* hex and NUL: the User-Id that the gate gives */

struct curve_keys {
    uint8_t public_key[CURVE_KEY_LEN], secret_key[CURVE_KEY_LEN];
};

/* From the system's randomness: one-time keys of tests and self-tests. */
void curve_make(struct curve_keys *out);
void curve_from_secret(struct curve_keys *out, const uint8_t secret[static CURVE_KEY_LEN]);
void curve_wipe(struct curve_keys *keys);

void curve_text(char out[static CURVE_TEXT_SIZE], const uint8_t key[static CURVE_KEY_LEN]);

#endif
