/*
 * notice - the broker's word to a sender that a frame ended undelivered (6.5).  Unsigned.
 */
#ifndef TRUST_NOTICE_H
#define TRUST_NOTICE_H
#include "shared/base/bytes.h"
#include "shared/base/err.h"

#define NOTICE_SIZE 138

enum notice_reason {
    NOTICE_EXPIRED = 1,
    NOTICE_REFUSED,
    NOTICE_UNDECRYPTABLE,
    NOTICE_RECIPIENT_REVOKED,
    NOTICE_SESSION_ENDED,
    NOTICE_DAMAGED,
    NOTICE_PURGED,
    NOTICE_READER_REMOVED
};

struct notice {
    uint8_t reason;                               /* enum notice_reason */
    uint8_t scope[16], sender[32], recipient[32]; /* recipient: zeroes for a channel */
    uint64_t seq;
    uint8_t frame_digest[32];
    uint64_t position, at_ms;
};

void notice_encode(uint8_t out[static NOTICE_SIZE], const struct notice *notice);

/* ERR_SCHEMA. */
enum err notice_parse(struct bytes bytes, struct notice *out);

#endif
