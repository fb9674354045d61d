#include "agent/crypto/prekey_make.h"

#include "agent/crypto/dh.h"
#include "agent/crypto/sign.h"

void prekey_make(struct buf *statement, uint8_t sig[static 64], const uint8_t aid[static 32],
                 const uint8_t ik_secret[static 64], uint32_t id, uint64_t created_ms,
                 const uint8_t secret[static 32])
{
    struct spk_statement spk = {
        .id = id,
        .created_ms = created_ms,
        .expires_ms = created_ms + SPK_LIFE_MS,
    };
    size_t start = statement->len;

    memcpy(spk.aid, aid, 32);
    dh_public(spk.spk, secret);
    spk_encode(statement, &spk);
    sign(sig, ik_secret, bytes_of(statement->at + start, statement->len - start));
}

void prekey_make_one_time(uint8_t public_key[static 32], const uint8_t secret[static 32])
{
    dh_public(public_key, secret);
}
