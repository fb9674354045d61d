/*
 * receipt - the recipient's signed word on a range of frames (6.4), and the digest of a range.
 */
#ifndef TRUST_RECEIPT_H
#define TRUST_RECEIPT_H
#include "shared/base/bytes.h"
#include "shared/base/err.h"
#include "shared/base/sha256.h"

#define RECEIPT_SIZE      148
#define RECEIPT_RANGE_MAX 1024

enum receipt_status {
    RECEIPT_DELIVERED = 1,
    RECEIPT_UNDECRYPTABLE,
    RECEIPT_REFUSED,
    RECEIPT_TOMBSTONE,
    RECEIPT_ADVANCE /* a sender about its own settled numbers, after a restore of the broker */
};

struct receipt {
    uint8_t status;                               /* enum receipt_status */
    uint8_t scope[16], sender[32], recipient[32]; /* cursor receipt: scope and sender are zeroes */
    uint64_t from, to;
    uint8_t range_digest[32]; /* ADVANCE: zeroes */
    uint64_t ts_ms;
};

void receipt_encode(uint8_t out[static RECEIPT_SIZE], const struct receipt *receipt);

/* Layout, status, 1 ≤ from ≤ to, and where the numbers are those of frames at most 1024 of them.
 * ERR_RECEIPT. */
enum err receipt_parse(struct bytes preimage, struct receipt *out);

/* Signed by the recipient named in it?  `ik` is a key, its aid must be receipt.recipient.
 * ERR_RECEIPT. */
enum err receipt_verify(struct bytes preimage, const struct receipt *receipt,
                        const uint8_t sig[static 64], const uint8_t ik[static 32]);

/* Scope and sender zero: covers positions, not numbers of a session or group. */
bool receipt_is_cursor(const struct receipt *receipt);

/* range_digest, one frame at a time. */
struct range_digest {
    struct sha256 hash;
    uint64_t count;
};
void range_begin(struct range_digest *range);
void range_add(struct range_digest *range, const uint8_t frame_digest[static 32]);
void range_end(struct range_digest *range, uint8_t out[static 32]);

#endif
