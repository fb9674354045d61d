/*
 * seal - secrets at rest, one column at a time (docs/protocol.md 3.7):
 *
 *     N 24 ‖ XChaCha20-Poly1305(DBK, N, ad = L("state") ‖ "table.column" ‖ 0 ‖ u64 key ‖ u64
 * version)
 *
 * so that a value opens in its own row, column and version only.
 */
#ifndef CRYPTO_SEAL_H
#define CRYPTO_SEAL_H
#include "shared/base/bytes.h"
#include "shared/base/err.h"

#define SEAL_KEY_SIZE   32
#define SEAL_NONCE_SIZE 24
#define SEAL_OVERHEAD   40

/* Where a value lives.  column: "table.column", at most 64 characters. */
struct seal_place {
    const char *column;
    uint64_t key, version;
};

/* Appends plain.len + SEAL_OVERHEAD bytes.  `nonce`: fresh random bytes. */
void seal(struct buf *out, const uint8_t dbk[static SEAL_KEY_SIZE], struct seal_place place,
          const uint8_t nonce[static SEAL_NONCE_SIZE], struct bytes plain);

/* Appends the value; the caller wipes it.  ERR_CORRUPT: another place, another key or damage. */
enum err unseal(struct buf *out, const uint8_t dbk[static SEAL_KEY_SIZE], struct seal_place place,
                struct bytes sealed);

#endif
