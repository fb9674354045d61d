#include "shared/trust/notice.h"

#define NOTICE_TYPE 1

void notice_encode(uint8_t out[static NOTICE_SIZE], const struct notice *notice)
{
    uint8_t *at = out;

    at = put_u8(at, NOTICE_TYPE);
    at = put_u8(at, notice->reason);
    at = put_raw(at, notice->scope, 16);
    at = put_raw(at, notice->sender, 32);
    at = put_raw(at, notice->recipient, 32);
    at = put_u64(at, notice->seq);
    at = put_raw(at, notice->frame_digest, 32);
    at = put_u64(at, notice->position);
    put_u64(at, notice->at_ms);
}

enum err notice_parse(struct bytes bytes, struct notice *out)
{
    const uint8_t *at = bytes.at;

    if (bytes.len != NOTICE_SIZE || at[0] != NOTICE_TYPE || at[1] < NOTICE_EXPIRED
        || at[1] > NOTICE_READER_REMOVED)
        return ERR_SCHEMA;
    out->reason = at[1];
    memcpy(out->scope, at + 2, 16);
    memcpy(out->sender, at + 18, 32);
    memcpy(out->recipient, at + 50, 32);
    out->seq = get_u64(at + 82);
    memcpy(out->frame_digest, at + 90, 32);
    out->position = get_u64(at + 122);
    out->at_ms = get_u64(at + 130);
    return ERR_OK;
}
