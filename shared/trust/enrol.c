#include "shared/trust/enrol.h"

#include <sodium.h>

#include "shared/trust/label.h"

void enrol_preimage(uint8_t out[static ENROL_PREIMAGE_SIZE], const uint8_t root_id[static 32],
                    const uint8_t invite_curve_pk[static 32], const uint8_t card_hash[static 32],
                    uint64_t ts_ms)
{
    uint8_t *at = put_label(out, LABEL_ENROL);

    at = put_raw(at, root_id, 32);
    at = put_raw(at, invite_curve_pk, 32);
    at = put_raw(at, card_hash, 32);
    put_u64(at, ts_ms);
}

void leave_preimage(uint8_t out[static LEAVE_PREIMAGE_SIZE], const uint8_t root_id[static 32],
                    const uint8_t card_hash[static 32], uint64_t ts_ms)
{
    uint8_t *at = put_label(out, LABEL_LEAVE);

    at = put_raw(at, root_id, 32);
    at = put_raw(at, card_hash, 32);
    put_u64(at, ts_ms);
}

enum err enrol_verify(const uint8_t sig[static 64], const uint8_t ik[static 32],
                      const uint8_t root_id[static 32], const uint8_t invite_curve_pk[static 32],
                      const uint8_t card_hash[static 32], uint64_t ts_ms)
{
    uint8_t preimage[ENROL_PREIMAGE_SIZE];

    enrol_preimage(preimage, root_id, invite_curve_pk, card_hash, ts_ms);
    if (crypto_sign_verify_detached(sig, preimage, sizeof preimage, ik) != 0)
        return ERR_AUTH;
    return ERR_OK;
}

enum err leave_verify(const uint8_t sig[static 64], const uint8_t ik[static 32],
                      const uint8_t root_id[static 32], const uint8_t card_hash[static 32],
                      uint64_t ts_ms)
{
    uint8_t preimage[LEAVE_PREIMAGE_SIZE];

    leave_preimage(preimage, root_id, card_hash, ts_ms);
    if (crypto_sign_verify_detached(sig, preimage, sizeof preimage, ik) != 0)
        return ERR_AUTH;
    return ERR_OK;
}
