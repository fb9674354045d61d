#include "agent/crypto/ratchet.h"

#include <assert.h>
#include <sodium.h>

#include "agent/crypto/aead.h"
#include "agent/crypto/dh.h"
#include "agent/crypto/kdf.h"
#include "agent/crypto/pad.h"
#include "shared/trust/label.h"

/* Places in a session frame. */
enum {
    AT_HLEN = FRAME_FH_SIZE,
    AT_N = AT_HLEN + 2,
    AT_EHDR = AT_N + 24,
    AT_COMMIT = AT_EHDR + 56,
    AT_CT = AT_COMMIT + 32
};

#define HEADER_SIZE 40 /* DH public key, PN, Ns */
#define HDR_AD_MAX  (LABEL_MAX_SIZE + 32 + FRAME_FH_SIZE)
#define MSG_AD_MAX  (HDR_AD_MAX + FRAME_HDR_SESSION + 32)

/* ad of the header: L("hdr") ‖ th ‖ FH. */
static struct bytes header_ad(uint8_t out[static HDR_AD_MAX], const struct ratchet *ratchet,
                              const uint8_t *fh)
{
    uint8_t *at = put_label(out, LABEL_HDR);

    at = put_raw(at, ratchet->th, 32);
    at = put_raw(at, fh, FRAME_FH_SIZE);
    return bytes_of(out, (size_t)(at - out));
}

/* ad of the body: L("msg") ‖ th ‖ FH ‖ N ‖ ehdr ‖ commit; N, ehdr and commit lie side by side. */
static struct bytes message_ad(uint8_t out[static MSG_AD_MAX], const struct ratchet *ratchet,
                               const uint8_t *fh)
{
    uint8_t *at = put_label(out, LABEL_MSG);

    at = put_raw(at, ratchet->th, 32);
    at = put_raw(at, fh, FRAME_FH_SIZE);
    at = put_raw(at, fh + AT_N, AT_CT - AT_N);
    return bytes_of(out, (size_t)(at - out));
}

enum err ratchet_init_a(struct ratchet *out, const struct handshake *handshake, uint8_t suite,
                        const uint8_t spk_b[static 32], const uint8_t first_secret[static 32])
{
    uint8_t secret[32];
    enum err e;

    memset(out, 0, sizeof *out);
    e = dh(secret, first_secret, spk_b);
    if (e != ERR_OK)
        return e;
    kdf_root(out->root, out->send_chain, out->next_send_header, handshake->sk, secret);
    sodium_memzero(secret, sizeof secret);
    memcpy(out->send_header, handshake->hka, 32);
    memcpy(out->next_receive_header, handshake->nhkb, 32);
    memcpy(out->own_secret, first_secret, 32);
    dh_public(out->own_public, first_secret);
    memcpy(out->peer_public, spk_b, 32);
    memcpy(out->th, handshake->th, 32);
    out->suite = suite;
    out->can_send = out->has_peer = true;
    return ERR_OK;
}

void ratchet_init_b(struct ratchet *out, const struct handshake *handshake, uint8_t suite,
                    const uint8_t spk_secret[static 32], const uint8_t spk_public[static 32])
{
    memset(out, 0, sizeof *out);
    memcpy(out->root, handshake->sk, 32);
    memcpy(out->next_send_header, handshake->nhkb, 32);
    memcpy(out->next_receive_header, handshake->hka, 32);
    memcpy(out->own_secret, spk_secret, 32);
    memcpy(out->own_public, spk_public, 32);
    memcpy(out->th, handshake->th, 32);
    out->suite = suite;
}

/* ---- sealing ---- */

static void header_seal(const struct ratchet *ratchet, uint8_t *frame)
{
    uint8_t ad[HDR_AD_MAX], header[HEADER_SIZE];
    uint8_t *at = put_raw(header, ratchet->own_public, 32);

    at = put_u32(at, ratchet->previous);
    put_u32(at, ratchet->sent);
    xaead_seal(frame + AT_EHDR, ratchet->send_header, frame + AT_N, header_ad(ad, ratchet, frame),
               bytes_of(header, sizeof header));
}

/* Everything in front of the ciphertext is in its place but the commitment. */
static enum err body_seal(const struct ratchet *ratchet, uint8_t *frame, size_t padded,
                          const uint8_t message_key[static 32])
{
    uint8_t ad[MSG_AD_MAX];
    struct message_keys keys;
    enum err e;

    kdf_message(&keys, LABEL_MK, message_key, ratchet->suite, frame + AT_N);
    memcpy(frame + AT_COMMIT, keys.commit, 32);
    e = aead_seal(ratchet->suite, frame + AT_CT, keys.key, keys.nonce,
                  message_ad(ad, ratchet, frame), bytes_of(frame + AT_CT, padded));
    sodium_memzero(&keys, sizeof keys);
    return e;
}

/* One of `rand` (N is hedged) and `n` (N is given) is not NULL. */
static enum err frame_seal(struct ratchet *ratchet, const struct frame_header *header,
                           struct bytes message, const uint8_t *rand, const uint8_t *n,
                           uint8_t *frame, uint8_t digest[static FRAME_DIGEST_SIZE])
{
    uint8_t chain[32], message_key[32];
    size_t padded;
    enum err e;

    assert(header->suite == ratchet->suite);
    if (frame_size_for(message.len) == 0)
        return ERR_TOO_LARGE;
    if (!ratchet->can_send || ratchet->sent == UINT32_MAX)
        return ERR_STATE;
    memcpy(chain, ratchet->send_chain, 32);
    kdf_chain(chain, message_key);

    frame_header_write(frame, header);
    put_u16(frame + AT_HLEN, FRAME_HDR_SESSION);
    if (message.len)
        memcpy(frame + AT_CT, message.at, message.len);
    padded = pad(frame + AT_CT, message.len);
    if (rand)
        kdf_hedge(frame + AT_N, message_key, rand, frame, bytes_of(frame + AT_CT, padded));
    else
        memcpy(frame + AT_N, n, 24);
    header_seal(ratchet, frame);
    e = body_seal(ratchet, frame, padded, message_key);
    if (e == ERR_OK) {
        struct frame_view view = { .fh = frame, .ct = { frame + AT_CT, padded + FRAME_TAG_SIZE } };

        frame_digest(&view, digest);
        memcpy(ratchet->send_chain, chain, 32);
        ratchet->sent++;
    } else {
        sodium_memzero(frame, AT_CT + padded);
    }
    sodium_memzero(chain, sizeof chain);
    sodium_memzero(message_key, sizeof message_key);
    return e;
}

enum err ratchet_encrypt(struct ratchet *ratchet, const struct frame_header *header,
                         struct bytes message, const uint8_t rand[static 32], uint8_t *frame,
                         uint8_t digest[static FRAME_DIGEST_SIZE])
{
    return frame_seal(ratchet, header, message, rand, NULL, frame, digest);
}

enum err ratchet_encrypt_with_n(struct ratchet *ratchet, const struct frame_header *header,
                                struct bytes message, const uint8_t n[static 24], uint8_t *frame,
                                uint8_t digest[static FRAME_DIGEST_SIZE])
{
    return frame_seal(ratchet, header, message, NULL, n, frame, digest);
}

/* ---- opening ---- */

struct header {
    uint8_t peer_public[32];
    uint32_t previous, n;
};

/* Numbers that a frame leaves out in one chain.  They are walked twice: once to see whether the
 * frame is good, and once more to keep their keys; so a trial needs no memory. */
struct gap {
    uint8_t header_key[32], chain[32];
    uint32_t from, to;
};

struct attempt {
    struct ratchet after;
    struct gap gap[2]; /* the old chain's and the current one's */
    bool turned;
    uint8_t message_key[32];
};

static bool header_open(struct header *out, const uint8_t key[static 32],
                        const struct frame_view *frame, struct bytes ad)
{
    uint8_t plain[HEADER_SIZE];
    struct bytes sealed = bytes_of(frame->hdr.at + 24, frame->hdr.len - 24);

    if (xaead_open(plain, key, frame->hdr.at, ad, sealed) != ERR_OK)
        return false;
    memcpy(out->peer_public, plain, 32);
    out->previous = get_u32(plain + 32);
    out->n = get_u32(plain + 36);
    return true;
}

static enum err body_open(const struct ratchet *ratchet, const struct frame_view *frame,
                          const uint8_t message_key[static 32], uint8_t *out, size_t *out_len)
{
    uint8_t ad[MSG_AD_MAX];
    struct message_keys keys;
    enum err e = ERR_COMMIT;

    kdf_message(&keys, LABEL_MK, message_key, ratchet->suite, frame->hdr.at);
    if (sodium_memcmp(keys.commit, frame->commit, 32) != 0)
        goto done;
    e = aead_open(ratchet->suite, out, keys.key, keys.nonce, message_ad(ad, ratchet, frame->fh),
                  frame->ct);
    if (e == ERR_OK)
        e = unpad(bytes_of(out, frame->ct.len - FRAME_TAG_SIZE), out_len);
    if (e != ERR_OK)
        sodium_memzero(out, frame->ct.len - FRAME_TAG_SIZE);
done:
    sodium_memzero(&keys, sizeof keys);
    return e;
}

/* Moves the receiving chain up to `to` and remembers the gap.  A peer chooses `to`: compared in
 * 64 bits, and bounded, else it makes us derive 2^32 keys. */
static enum err attempt_skip(struct attempt *attempt, struct gap *gap, uint32_t to)
{
    struct ratchet *after = &attempt->after;
    uint8_t unused[32];

    if (!after->can_receive || to <= after->received)
        return ERR_OK;
    if (to > (uint64_t)after->received + SKIPPED_STEP_MAX || to == UINT32_MAX)
        return ERR_SKIP_LIMIT;
    memcpy(gap->header_key, after->receive_header, 32);
    memcpy(gap->chain, after->receive_chain, 32);
    gap->from = after->received;
    gap->to = to;
    while (after->received < to) {
        kdf_chain(after->receive_chain, unused);
        after->received++;
    }
    sodium_memzero(unused, sizeof unused);
    return ERR_OK;
}

/* The DH ratchet turns: the peer has a new key, and so have we. */
static enum err attempt_turn(struct attempt *attempt, const struct header *header,
                             const uint8_t new_secret[static 32])
{
    struct ratchet *after = &attempt->after;
    uint8_t secret[32];
    enum err e = attempt_skip(attempt, &attempt->gap[0], header->previous);

    if (e == ERR_OK)
        e = dh(secret, after->own_secret, header->peer_public);
    if (e != ERR_OK)
        goto done;
    after->previous = after->sent;
    after->sent = after->received = 0;
    memcpy(after->send_header, after->next_send_header, 32);
    memcpy(after->receive_header, after->next_receive_header, 32);
    memcpy(after->peer_public, header->peer_public, 32);
    kdf_root(after->root, after->receive_chain, after->next_receive_header, after->root, secret);
    memcpy(after->own_secret, new_secret, 32);
    dh_public(after->own_public, new_secret);
    e = dh(secret, after->own_secret, after->peer_public);
    if (e != ERR_OK)
        goto done;
    kdf_root(after->root, after->send_chain, after->next_send_header, after->root, secret);
    after->can_send = after->can_receive = after->has_peer = true;
    attempt->turned = true;
done:
    sodium_memzero(secret, sizeof secret);
    return e;
}

/* Finds the chain that the header belongs to and derives the frame's message key. */
static enum err attempt_step(struct attempt *attempt, const struct frame_view *frame,
                             struct bytes ad, const uint8_t new_secret[static 32])
{
    struct ratchet *after = &attempt->after;
    struct header header;
    enum err e = ERR_OK;

    if (!after->can_receive || !header_open(&header, after->receive_header, frame, ad)) {
        if (!header_open(&header, after->next_receive_header, frame, ad))
            return ERR_DECRYPT;
        e = attempt_turn(attempt, &header, new_secret);
    }
    if (e == ERR_OK && header.n < after->received)
        e = ERR_DECRYPT; /* used already, or its key was evicted */
    if (e == ERR_OK)
        e = attempt_skip(attempt, &attempt->gap[1], header.n);
    if (e == ERR_OK && header.n == UINT32_MAX)
        e = ERR_SKIP_LIMIT;
    if (e != ERR_OK)
        return e;
    kdf_chain(after->receive_chain, attempt->message_key);
    after->received++;
    return ERR_OK;
}

static void gap_keep(struct gap *gap, struct skipped *skipped, uint64_t now_ms)
{
    uint8_t message_key[32];

    for (uint32_t n = gap->from; n < gap->to; n++) {
        kdf_chain(gap->chain, message_key);
        skipped_add(skipped, gap->header_key, n, message_key, now_ms);
    }
    sodium_memzero(message_key, sizeof message_key);
}

/* The frame has authenticated: what was tried becomes true. */
static void attempt_keep(struct attempt *attempt, struct ratchet *ratchet, struct skipped *skipped,
                         uint64_t now_ms)
{
    gap_keep(&attempt->gap[0], skipped, now_ms);
    if (attempt->turned)
        skipped_turn(skipped);
    gap_keep(&attempt->gap[1], skipped, now_ms);
    *ratchet = attempt->after;
}

/* With a skipped key, if one is kept for this frame.  Oldest header key first.  False: there is
 * none. */
static bool late_open(const struct ratchet *ratchet, struct skipped *skipped,
                      const struct frame_view *frame, struct bytes ad, uint64_t now_ms,
                      uint8_t *out, struct ratchet_opened *opened, enum err *e)
{
    for (unsigned chain = 0; chain < skipped->chains; chain++) {
        const uint8_t *message_key;
        struct header header;

        if (!header_open(&header, skipped->chain[chain].header_key, frame, ad))
            continue;
        message_key = skipped_find(skipped, chain, header.n, now_ms);
        if (!message_key)
            continue;
        *e = body_open(ratchet, frame, message_key, out, &opened->len);
        if (*e == ERR_OK)
            skipped_remove(skipped, chain, header.n);
        return true;
    }
    return false;
}

enum err ratchet_decrypt(struct ratchet *ratchet, struct skipped *skipped,
                         const struct frame_view *frame, const uint8_t new_secret[static 32],
                         uint64_t now_ms, uint8_t *out, struct ratchet_opened *opened)
{
    uint8_t buffer[HDR_AD_MAX];
    struct bytes ad = header_ad(buffer, ratchet, frame->fh);
    struct attempt attempt;
    enum err e;

    if (frame->is_stub || frame->kind == FRAME_GROUP || frame->suite != ratchet->suite)
        return ERR_SCHEMA;
    *opened = (struct ratchet_opened){ 0 };
    if (late_open(ratchet, skipped, frame, ad, now_ms, out, opened, &e)) {
        opened->late = e == ERR_OK;
        if (e == ERR_OK)
            skipped_expire(skipped, now_ms);
        return e;
    }
    attempt.after = *ratchet;
    attempt.gap[0].from = attempt.gap[0].to = 0;
    attempt.gap[1].from = attempt.gap[1].to = 0;
    attempt.turned = false;
    e = attempt_step(&attempt, frame, ad, new_secret);
    if (e == ERR_OK)
        e = body_open(ratchet, frame, attempt.message_key, out, &opened->len);
    if (e == ERR_OK) {
        skipped_expire(skipped, now_ms);
        attempt_keep(&attempt, ratchet, skipped, now_ms);
        opened->turned = attempt.turned;
    }
    sodium_memzero(&attempt, sizeof attempt);
    return e;
}
