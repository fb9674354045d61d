/*
 * ratchet - Double Ratchet with header encryption (docs/protocol.md 3.5).
 *
 * struct ratchet is plain data: a step works on a copy of it and replaces it only after the frame
 * has authenticated, so a forged frame leaves no trace.  No I/O, no clock, no chance: `rand`, the
 * next DH secret and the time are arguments.
 * Secret   all of it; whoever holds a copy wipes it.
 */
#ifndef CRYPTO_RATCHET_H
#define CRYPTO_RATCHET_H
#include "agent/crypto/handshake.h"
#include "agent/crypto/skipped.h"
#include "shared/wire/frame.h"

struct ratchet {
    uint8_t root[32];                                        /* RK */
    uint8_t send_chain[32], receive_chain[32];               /* CKs, CKr */
    uint8_t send_header[32], receive_header[32];             /* HKs, HKr */
    uint8_t next_send_header[32], next_receive_header[32];   /* NHKs, NHKr */
    uint8_t own_secret[32], own_public[32], peer_public[32]; /* DHs and its cached half, DHr */
    uint8_t th[32];
    uint32_t sent, received, previous; /* Ns, Nr, PN */
    uint8_t suite;
    bool can_send, can_receive; /* send_chain and send_header; receive_chain and receive_header */
    bool has_peer;              /* peer_public */
};

/* A begins with a new secret of its own; B's signed prekey is B's first ratchet key.  ERR_DECRYPT.
 */
enum err ratchet_init_a(struct ratchet *out, const struct handshake *handshake, uint8_t suite,
                        const uint8_t spk_b[static 32], const uint8_t first_secret[static 32]);
void ratchet_init_b(struct ratchet *out, const struct handshake *handshake, uint8_t suite,
                    const uint8_t spk_secret[static 32], const uint8_t spk_public[static 32]);

/*
 * Seals `message` as one whole frame of frame_size_for(message.len) bytes into `frame`, and names
 * it in `digest`.  header->suite must be the session's.  `rand` only hedges: N depends on the
 * message key and the message, too.
 * ERR_TOO_LARGE; ERR_STATE: nothing can be sent before the first frame was received (B).
 * After an error the state is what it was.
 */
enum err ratchet_encrypt(struct ratchet *ratchet, const struct frame_header *header,
                         struct bytes message, const uint8_t rand[static 32], uint8_t *frame,
                         uint8_t digest[static FRAME_DIGEST_SIZE]);

/* As ratchet_encrypt() with an N of the caller's: for known answers only. */
enum err ratchet_encrypt_with_n(struct ratchet *ratchet, const struct frame_header *header,
                                struct bytes message, const uint8_t n[static 24], uint8_t *frame,
                                uint8_t digest[static FRAME_DIGEST_SIZE]);

/* What came out of a frame. */
struct ratchet_opened {
    size_t len;  /* of the message */
    bool turned; /* new_secret is in use now: the caller must not use it again */
    bool late;   /* opened with a skipped key */
};

/*
 * Opens a frame.  `out` has room for frame->ct.len - 16 bytes; the message is its beginning, the
 * rest is padding.  `new_secret`: 32 fresh random bytes, used if the DH ratchet turns.
 * The caller has checked scope, sender and recipient (frame_expect()).
 * ERR_SCHEMA     a stub, a group frame, another suite
 * ERR_DECRYPT    no key opens the header, number used already or evicted, body or padding
 * ERR_COMMIT     commitment differs
 * ERR_SKIP_LIMIT more than 1,000 numbers left out: the session is broken
 * After an error ratchet and skipped are what they were, and `out` holds zeroes or nothing.
 */
enum err ratchet_decrypt(struct ratchet *ratchet, struct skipped *skipped,
                         const struct frame_view *frame, const uint8_t new_secret[static 32],
                         uint64_t now_ms, uint8_t *out, struct ratchet_opened *opened);

#endif
