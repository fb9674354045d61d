/*
 * pad - ISO 7816-4 to the smallest bucket: 0x80, then zeroes.
 */
#ifndef CRYPTO_PAD_H
#define CRYPTO_PAD_H
#include "shared/base/bytes.h"
#include "shared/base/err.h"
#include "shared/wire/bucket.h"

/* Pads in place: `at` holds `len` bytes of message and has room for bucket_for(len), which must
 * not be 0.  Returns that size. */
size_t pad(uint8_t *at, size_t len);

/* Length of the message inside; `padded` must be one whole bucket.  Not in constant time: it runs
 * on what has authenticated only, so there is no oracle to be had.  ERR_DECRYPT. */
enum err unpad(struct bytes padded, size_t *out_len);

#endif
