/*
 * frame - what is stored and crosses the wire sealed: fixed header, ratchet header, commitment,
 * ciphertext (docs/protocol.md 6.2).  Nothing here decrypts.
 *
 *     FH 100 ‖ hlen u16 ‖ hdr 80 or 32 ‖ commit 32 ‖ ct
 *
 * A stub is the same with SHA-256(ct) in the place of ct; every frame is longer than any stub.
 * Memory   views are borrowed from the bytes parsed.
 */
#ifndef WIRE_FRAME_H
#define WIRE_FRAME_H
#include "shared/base/bytes.h"
#include "shared/base/err.h"
#include "shared/wire/bucket.h"

#define FRAME_VERSION      1
#define FRAME_FH_SIZE      100
#define FRAME_HDR_SESSION  80
#define FRAME_HDR_GROUP    32
#define FRAME_COMMIT_SIZE  32
#define FRAME_TAG_SIZE     16
#define FRAME_DIGEST_SIZE  32
#define FRAME_OVERHEAD     230 /* of a session frame, without the padded message */
#define FRAME_MIN          486 /* of a session frame; a group frame has 438 at least */
#define FRAME_MAX          65766
#define FRAME_STUB_SESSION 246
#define FRAME_STUB_GROUP   198
#define FRAME_STUB_MAX     FRAME_STUB_SESSION
#define FRAME_MESSAGE_MAX  65535 /* plaintext of a session frame */

enum frame_kind { FRAME_REQUEST = 1, FRAME_ACCEPT = 2, FRAME_DATA = 3, FRAME_GROUP = 8 };

/* Low nibble: AEAD; high nibble: KEM.  Bit of a suite in a card's mask: suite_bit(). */
enum suite {
    SUITE_CHACHA = 0x01,
    SUITE_AES = 0x02,
    SUITE_CHACHA_MLKEM = 0x11,
    SUITE_AES_MLKEM = 0x12
};

/* 1, 2, 4, 8; 0 for a suite that does not exist. */
uint32_t suite_bit(uint8_t suite);

#define FRAME_WANTS_RECEIPT 1 /* flags; has a meaning in groups only */

/* FH as fields.  Ids are copies. */
struct frame_header {
    uint8_t kind, suite, flags;
    uint8_t scope[16], sender[32], recipient[32]; /* recipient: zeroes in groups */
    uint64_t seq, expires_ms;
};

struct frame_view {
    uint8_t kind, suite, flags;
    bool is_stub;
    const uint8_t *scope, *sender, *recipient; /* 16, 32, 32 bytes */
    uint64_t seq, expires_ms;
    const uint8_t *fh;     /* 100 bytes */
    struct bytes hdr;      /* 80 or 32 bytes */
    const uint8_t *commit; /* 32 bytes */
    struct bytes ct;       /* of a stub: the 32 bytes of its hash */
    struct bytes all;      /* the whole frame or stub */
};

void frame_header_write(uint8_t out[static FRAME_FH_SIZE], const struct frame_header *header);

/* A frame or a stub.  Checks size, version, kind, suite (one of the four that exist), flags, hlen,
 * bucket, seq ≥ 1, and seq = 1 in kinds 1 and 2.  ERR_TOO_LARGE, ERR_SCHEMA. */
enum err frame_parse(struct bytes bytes, struct frame_view *out);

/* As frame_parse(), and a stub is ERR_SCHEMA. */
enum err frame_parse_whole(struct bytes bytes, struct frame_view *out);

/* Does it go from `sender` to `recipient` in this session?  ERR_SESSION_NOT_FOUND (scope),
 * ERR_AUTH. */
enum err frame_expect(const struct frame_view *frame, const uint8_t scope[static 16],
                      const uint8_t sender[static 32], const uint8_t recipient[static 32]);

/* Names the frame: hash of L("frame") and its stub.  One pass over ct. */
void frame_digest(const struct frame_view *frame, uint8_t out[static FRAME_DIGEST_SIZE]);

/* As frame_digest(), and writes the stub, frame_stub_size() bytes, which costs nothing more. */
void frame_stub_write(const struct frame_view *frame, uint8_t *stub,
                      uint8_t digest[static FRAME_DIGEST_SIZE]);
size_t frame_stub_size(const struct frame_view *frame);

/* Size of the session frame for a message of `len` bytes; 0 if it is too large for one. */
size_t frame_size_for(size_t len);

#endif
