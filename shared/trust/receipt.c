#include "shared/trust/receipt.h"

#include <sodium.h>

#include "shared/trust/identity.h"
#include "shared/trust/label.h"

static const uint8_t zeroes[32];

void receipt_encode(uint8_t out[static RECEIPT_SIZE], const struct receipt *receipt)
{
    uint8_t *at = put_label(out, LABEL_RCPT);

    at = put_u8(at, receipt->status);
    at = put_raw(at, receipt->scope, 16);
    at = put_raw(at, receipt->sender, 32);
    at = put_raw(at, receipt->recipient, 32);
    at = put_u64(at, receipt->from);
    at = put_u64(at, receipt->to);
    at = put_raw(at, receipt->range_digest, 32);
    put_u64(at, receipt->ts_ms);
}

bool receipt_is_cursor(const struct receipt *receipt)
{
    return memcmp(receipt->scope, zeroes, 16) == 0 && memcmp(receipt->sender, zeroes, 32) == 0;
}

/* The fields among themselves.  Positions of a cursor receipt may have holes, so that their range
 * says nothing about how many items there are. */
static bool receipt_consistent(const struct receipt *receipt)
{
    if (receipt->status < RECEIPT_DELIVERED || receipt->status > RECEIPT_ADVANCE
        || receipt->from < 1 || receipt->from > receipt->to)
        return false;
    if (receipt->status == RECEIPT_ADVANCE)
        return memcmp(receipt->sender, receipt->recipient, 32) == 0
               && memcmp(receipt->range_digest, zeroes, 32) == 0;
    return receipt_is_cursor(receipt) || receipt->to - receipt->from < RECEIPT_RANGE_MAX;
}

enum err receipt_parse(struct bytes preimage, struct receipt *out)
{
    struct bytes head = label(LABEL_RCPT);
    const uint8_t *at = preimage.at;

    if (preimage.len != RECEIPT_SIZE || memcmp(at, head.at, head.len) != 0)
        return ERR_RECEIPT;
    at += head.len;
    out->status = at[0];
    memcpy(out->scope, at + 1, 16);
    memcpy(out->sender, at + 17, 32);
    memcpy(out->recipient, at + 49, 32);
    out->from = get_u64(at + 81);
    out->to = get_u64(at + 89);
    memcpy(out->range_digest, at + 97, 32);
    out->ts_ms = get_u64(at + 129);
    return receipt_consistent(out) ? ERR_OK : ERR_RECEIPT;
}

enum err receipt_verify(struct bytes preimage, const struct receipt *receipt,
                        const uint8_t sig[static 64], const uint8_t ik[static 32])
{
    uint8_t aid[32];

    aid_of(aid, ik);
    if (memcmp(aid, receipt->recipient, 32) != 0
        || crypto_sign_verify_detached(sig, preimage.at, preimage.len, ik) != 0)
        return ERR_RECEIPT;
    return ERR_OK;
}

void range_begin(struct range_digest *range)
{
    label_hash_begin(&range->hash, LABEL_RANGE);
    range->count = 0;
}

void range_add(struct range_digest *range, const uint8_t frame_digest[static 32])
{
    sha256_add(&range->hash, frame_digest, 32);
    range->count++;
}

void range_end(struct range_digest *range, uint8_t out[static 32])
{
    sha256_end(&range->hash, out);
}
