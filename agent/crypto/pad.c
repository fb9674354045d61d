#include "agent/crypto/pad.h"

#include <assert.h>

#define PAD_MARK 0x80

size_t pad(uint8_t *at, size_t len)
{
    size_t bucket = bucket_for(len);

    assert(bucket != 0);
    at[len] = PAD_MARK;
    memset(at + len + 1, 0, bucket - len - 1);
    return bucket;
}

enum err unpad(struct bytes padded, size_t *out_len)
{
    size_t len = padded.len;

    if (!bucket_valid(padded.len))
        return ERR_DECRYPT;
    while (len > 0 && padded.at[len - 1] == 0)
        len--;
    if (len == 0 || padded.at[len - 1] != PAD_MARK)
        return ERR_DECRYPT;
    *out_len = len - 1;
    return ERR_OK;
}
