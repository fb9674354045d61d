#include "agent/crypto/seal.h"

#include <assert.h>
#include <sodium.h>

#include "agent/crypto/aead.h"
#include "shared/trust/label.h"

#define COLUMN_MAX 64
#define AD_MAX     (LABEL_MAX_SIZE + COLUMN_MAX + 1 + 16)

static struct bytes place_ad(uint8_t out[static AD_MAX], struct seal_place place)
{
    size_t len = strlen(place.column);
    uint8_t *at = put_label(out, LABEL_STATE);

    assert(len <= COLUMN_MAX);
    at = put_raw(at, place.column, len + 1);
    at = put_u64(at, place.key);
    at = put_u64(at, place.version);
    return bytes_of(out, (size_t)(at - out));
}

void seal(struct buf *out, const uint8_t dbk[static SEAL_KEY_SIZE], struct seal_place place,
          const uint8_t nonce[static SEAL_NONCE_SIZE], struct bytes plain)
{
    uint8_t ad[AD_MAX];
    uint8_t *at = buf_extend(out, plain.len + SEAL_OVERHEAD);

    memcpy(at, nonce, SEAL_NONCE_SIZE);
    xaead_seal(at + SEAL_NONCE_SIZE, dbk, nonce, place_ad(ad, place), plain);
}

enum err unseal(struct buf *out, const uint8_t dbk[static SEAL_KEY_SIZE], struct seal_place place,
                struct bytes sealed)
{
    uint8_t ad[AD_MAX];
    size_t before = out->len;
    uint8_t *at;

    if (sealed.len < SEAL_OVERHEAD)
        return ERR_CORRUPT;
    at = buf_extend(out, sealed.len - SEAL_OVERHEAD);
    if (xaead_open(at, dbk, sealed.at, place_ad(ad, place),
                   bytes_of(sealed.at + SEAL_NONCE_SIZE, sealed.len - SEAL_NONCE_SIZE))
        != ERR_OK) {
        out->len = before;
        return ERR_CORRUPT;
    }
    return ERR_OK;
}
