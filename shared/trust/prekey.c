#include "shared/trust/prekey.h"

#include <sodium.h>

#include "shared/trust/label.h"

void spk_encode(struct buf *out, const struct spk_statement *spk)
{
    uint8_t *at = buf_extend(out, SPK_SIZE + spk->pq_ek.len);

    at = put_label(at, LABEL_SPK);
    at = put_raw(at, spk->aid, 32);
    at = put_u32(at, spk->id);
    at = put_u64(at, spk->created_ms);
    at = put_u64(at, spk->expires_ms);
    at = put_raw(at, spk->spk, 32);
    at = put_u16(at, (uint16_t)spk->pq_ek.len);
    if (spk->pq_ek.len)
        put_raw(at, spk->pq_ek.at, spk->pq_ek.len);
}

enum err spk_parse(struct bytes statement, struct spk_statement *out)
{
    struct bytes head = label(LABEL_SPK);
    const uint8_t *at = statement.at;
    size_t pq_len;

    if (statement.len < SPK_SIZE || memcmp(at, head.at, head.len) != 0)
        return ERR_SCHEMA;
    at += head.len;
    memcpy(out->aid, at, 32);
    out->id = get_u32(at + 32);
    out->created_ms = get_u64(at + 36);
    out->expires_ms = get_u64(at + 44);
    memcpy(out->spk, at + 52, 32);
    pq_len = get_u16(at + 84);
    if ((pq_len != 0 && pq_len != MLKEM_EK) || statement.len != SPK_SIZE + pq_len)
        return ERR_SCHEMA;
    out->pq_ek = bytes_of(at + 86, pq_len);
    return ERR_OK;
}

enum err spk_verify(struct bytes statement, const uint8_t sig[static 64],
                    const uint8_t aid[static 32], const uint8_t ik[static 32], uint64_t now_ms,
                    struct spk_statement *out)
{
    enum err e = spk_parse(statement, out);

    if (e != ERR_OK)
        return e;
    if (crypto_sign_verify_detached(sig, statement.at, statement.len, ik) != 0
        || memcmp(out->aid, aid, 32) != 0)
        return ERR_AUTH;
    return now_ms <= out->expires_ms ? ERR_OK : ERR_EXPIRED;
}
