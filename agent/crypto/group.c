#include "agent/crypto/group.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>

#include "agent/crypto/aead.h"
#include "agent/crypto/kdf.h"
#include "agent/crypto/pad.h"
#include "agent/crypto/sign.h"
#include "shared/trust/label.h"

/* Places in a group frame. */
enum {
    AT_HLEN = FRAME_FH_SIZE,
    AT_HDR = AT_HLEN + 2, /* epoch, gen, N */
    AT_GEN = AT_HDR + 4,
    AT_N = AT_GEN + 4,
    AT_COMMIT = AT_N + 24,
    AT_CT = AT_COMMIT + 32
};

#define SIG_SIZE      64
#define SIGNED_SIZE   (32 + FRAME_FH_SIZE + FRAME_HDR_GROUP + 32) /* behind the label */
#define AD_MAX        (LABEL_MAX_SIZE + 32 + FRAME_FH_SIZE + FRAME_HDR_GROUP + 32)
#define STATE_VERSION 1
#define STATE_HEAD    41 /* version, key, next, how many */
#define STATE_KEY     40

static_assert(GROUP_MESSAGE_MAX == BUCKET_MAX - 1 - SIG_SIZE, "one bucket holds it");

/* What a secret is derived for: gid ‖ epoch ‖ two digests. */
static void derive(uint8_t out[static 32], const uint8_t secret[static 32], enum label label,
                   const uint8_t gid[static 16], uint32_t epoch, const uint8_t a[static 32],
                   const uint8_t b[static 32])
{
    uint8_t input[16 + 4 + 32 + 32];
    uint8_t *at = put_raw(input, gid, 16);

    at = put_u32(at, epoch);
    at = put_raw(at, a, 32);
    put_raw(at, b, 32);
    kdf(out, 32, secret, label, bytes_of(input, sizeof input));
}

void group_confirm(uint8_t out[static 32], const uint8_t secret[static 32],
                   const uint8_t gid[static 16], uint32_t epoch, const uint8_t prev[static 32],
                   const uint8_t members_hash[static 32])
{
    derive(out, secret, LABEL_GCONF, gid, epoch, prev, members_hash);
}

/* ---- a chain ----------------------------------------------------------------------------------
 */

void group_sending_init(struct group_sending *out, const uint8_t secret[static 32],
                        const struct group_epoch *epoch, const uint8_t aid[static 32])
{
    *out = (struct group_sending){ 0 };
    derive(out->key, secret, LABEL_GCK, epoch->gid, epoch->epoch, epoch->digest, aid);
}

void group_sending_wipe(struct group_sending *chain)
{
    if (chain->skipped)
        sodium_memzero(chain->skipped, chain->skipped_cap * sizeof *chain->skipped);
    free(chain->skipped);
    sodium_memzero(chain, sizeof *chain);
}

static bool outlived(const struct group_skipped *key, uint64_t now_ms)
{
    return now_ms / 1000 >= (uint64_t)key->added_s + GROUP_SKIPPED_LIFE_MS / 1000;
}

/* The first `count` of them, zeroed and gone. */
static void oldest_forget(struct group_sending *chain, uint32_t count)
{
    uint32_t left = chain->skipped_count - count;

    if (count == 0)
        return;
    memmove(chain->skipped, chain->skipped + count, left * sizeof *chain->skipped);
    sodium_memzero(chain->skipped + left, count * sizeof *chain->skipped);
    chain->skipped_count = left;
}

void group_sending_trim(struct group_sending *chain, uint64_t now_ms, uint32_t most)
{
    uint32_t count = 0;

    while (count < chain->skipped_count && outlived(&chain->skipped[count], now_ms))
        count++;
    if (chain->skipped_count > most && chain->skipped_count - most > count)
        count = chain->skipped_count - most;
    oldest_forget(chain, count);
}

/* Memory that held keys is not left to realloc(), which would not wipe it. */
static void skipped_room(struct group_sending *chain, uint32_t more)
{
    uint32_t need = chain->skipped_count + more;
    struct group_skipped *to;

    if (need <= chain->skipped_cap)
        return;
    if (need < 2 * chain->skipped_cap)
        need = 2 * chain->skipped_cap;
    to = mem_alloc(need * sizeof *to);
    if (chain->skipped) {
        memcpy(to, chain->skipped, chain->skipped_count * sizeof *to);
        sodium_memzero(chain->skipped, chain->skipped_cap * sizeof *to);
        free(chain->skipped);
    }
    chain->skipped = to;
    chain->skipped_cap = need;
}

/* Generations ascend, so the list is sorted. */
static struct group_skipped *skipped_find(const struct group_sending *chain, uint32_t gen)
{
    uint32_t low = 0, high = chain->skipped_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (chain->skipped[middle].gen == gen)
            return &chain->skipped[middle];
        if (chain->skipped[middle].gen < gen)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static void skipped_remove(struct group_sending *chain, struct group_skipped *key)
{
    size_t behind = (size_t)(chain->skipped + chain->skipped_count - (key + 1));

    memmove(key, key + 1, behind * sizeof *key);
    chain->skipped_count--;
    sodium_memzero(chain->skipped + chain->skipped_count, sizeof *key);
}

void group_sending_export(const struct group_sending *chain, struct buf *out)
{
    uint8_t *at = buf_extend(out, STATE_HEAD + (size_t)STATE_KEY * chain->skipped_count);

    at = put_u8(at, STATE_VERSION);
    at = put_raw(at, chain->key, 32);
    at = put_u32(at, chain->next);
    at = put_u32(at, chain->skipped_count);
    for (uint32_t i = 0; i < chain->skipped_count; i++) {
        at = put_u32(at, chain->skipped[i].gen);
        at = put_u32(at, chain->skipped[i].added_s);
        at = put_raw(at, chain->skipped[i].key, 32);
    }
}

/* Generations ascend and have been passed; else we did not write it. */
static enum err skipped_read(struct group_sending *out, const uint8_t *at)
{
    for (uint32_t i = 0; i < out->skipped_count; i++, at += STATE_KEY) {
        struct group_skipped *key = &out->skipped[i];

        key->gen = get_u32(at);
        key->added_s = get_u32(at + 4);
        memcpy(key->key, at + 8, 32);
        if (key->gen >= out->next || (i > 0 && key->gen <= key[-1].gen))
            return ERR_CORRUPT;
    }
    return ERR_OK;
}

enum err group_sending_import(struct group_sending *out, struct bytes bytes)
{
    uint32_t count;
    enum err e;

    *out = (struct group_sending){ 0 };
    if (bytes.len == 0)
        return ERR_CORRUPT;
    if (bytes.at[0] > STATE_VERSION)
        return ERR_STORE_NEWER;
    if (bytes.len < STATE_HEAD || bytes.at[0] != STATE_VERSION)
        return ERR_CORRUPT;
    count = get_u32(bytes.at + 37);
    if (count > GROUP_SKIPPED_MAX || bytes.len != STATE_HEAD + (size_t)STATE_KEY * count)
        return ERR_CORRUPT;
    memcpy(out->key, bytes.at + 1, 32);
    out->next = get_u32(bytes.at + 33);
    skipped_room(out, count);
    out->skipped_count = count;
    e = skipped_read(out, bytes.at + STATE_HEAD);
    if (e != ERR_OK)
        group_sending_wipe(out);
    return e;
}

/* ---- sealing ----------------------------------------------------------------------------------
 */

size_t group_frame_size(size_t message_len)
{
    size_t bucket = bucket_for(SIG_SIZE + message_len);

    return bucket ? AT_CT + bucket + FRAME_TAG_SIZE : 0;
}

/* evd ‖ FH ‖ hdr, the beginning of what is signed and of what is authenticated. */
static uint8_t *put_context(uint8_t *at, const struct group_epoch *epoch, const uint8_t *frame)
{
    at = put_raw(at, epoch->digest, 32);
    at = put_raw(at, frame, FRAME_FH_SIZE);
    return put_raw(at, frame + AT_HDR, FRAME_HDR_GROUP);
}

/* What the member signs, without the label: evd ‖ FH ‖ hdr ‖ H(m). */
static struct bytes signed_words(uint8_t out[static SIGNED_SIZE], const struct group_epoch *epoch,
                                 const uint8_t *frame, struct bytes message)
{
    sha256(put_context(out, epoch, frame), message);
    return bytes_of(out, SIGNED_SIZE);
}

/* ad: L("gmsg") ‖ evd ‖ FH ‖ hdr ‖ commit. */
static struct bytes message_ad(uint8_t out[static AD_MAX], const struct group_epoch *epoch,
                               const uint8_t *frame)
{
    uint8_t *at = put_context(put_label(out, LABEL_GMSG), epoch, frame);

    at = put_raw(at, frame + AT_COMMIT, 32);
    return bytes_of(out, (size_t)(at - out));
}

/* Signature and message lie padded where the ciphertext will be; all before it is in its place but
 * the commitment. */
static enum err body_seal(const struct group_epoch *epoch, uint8_t *frame, size_t padded,
                          const uint8_t message_key[static 32])
{
    uint8_t ad[AD_MAX];
    struct message_keys keys;
    enum err e;

    kdf_message(&keys, LABEL_GMK, message_key, epoch->suite, frame + AT_N);
    memcpy(frame + AT_COMMIT, keys.commit, 32);
    e = aead_seal(epoch->suite, frame + AT_CT, keys.key, keys.nonce, message_ad(ad, epoch, frame),
                  bytes_of(frame + AT_CT, padded));
    sodium_memzero(&keys, sizeof keys);
    return e;
}

/* One of `rand` (N is hedged) and `n` (N is given) is not NULL. */
static enum err frame_seal(struct group_sending *chain, const struct group_epoch *epoch,
                           const struct frame_header *header, const uint8_t ik_secret[static 64],
                           struct bytes message, const uint8_t *rand, const uint8_t *n,
                           uint8_t *frame, uint8_t digest[static FRAME_DIGEST_SIZE])
{
    uint8_t next_key[32], message_key[32], words[SIGNED_SIZE];
    size_t padded;
    enum err e;

    assert(header->kind == FRAME_GROUP && header->suite == epoch->suite);
    if (message.len > GROUP_MESSAGE_MAX)
        return ERR_TOO_LARGE;
    if (chain->next == UINT32_MAX)
        return ERR_STATE;
    memcpy(next_key, chain->key, 32);
    kdf_chain(next_key, message_key);

    frame_header_write(frame, header);
    put_u16(frame + AT_HLEN, FRAME_HDR_GROUP);
    put_u32(frame + AT_HDR, epoch->epoch);
    put_u32(frame + AT_GEN, chain->next);
    if (rand)
        kdf_hedge(frame + AT_N, message_key, rand, frame, message);
    else
        memcpy(frame + AT_N, n, 24);
    if (message.len)
        memmove(frame + AT_CT + SIG_SIZE, message.at, message.len);
    sign_labelled(
        frame + AT_CT, ik_secret, LABEL_GSIG,
        signed_words(words, epoch, frame, bytes_of(frame + AT_CT + SIG_SIZE, message.len)));
    padded = pad(frame + AT_CT, SIG_SIZE + message.len);
    e = body_seal(epoch, frame, padded, message_key);
    if (e == ERR_OK) {
        struct frame_view view = { .fh = frame, .ct = { frame + AT_CT, padded + FRAME_TAG_SIZE } };

        frame_digest(&view, digest);
        memcpy(chain->key, next_key, 32);
        chain->next++;
    } else {
        sodium_memzero(frame, AT_CT + padded);
    }
    sodium_memzero(next_key, sizeof next_key);
    sodium_memzero(message_key, sizeof message_key);
    return e;
}

enum err group_encrypt(struct group_sending *chain, const struct group_epoch *epoch,
                       const struct frame_header *header, const uint8_t ik_secret[static 64],
                       struct bytes message, const uint8_t rand[static 32], uint8_t *frame,
                       uint8_t digest[static FRAME_DIGEST_SIZE])
{
    return frame_seal(chain, epoch, header, ik_secret, message, rand, NULL, frame, digest);
}

enum err group_encrypt_with_n(struct group_sending *chain, const struct group_epoch *epoch,
                              const struct frame_header *header, const uint8_t ik_secret[static 64],
                              struct bytes message, const uint8_t n[static 24], uint8_t *frame,
                              uint8_t digest[static FRAME_DIGEST_SIZE])
{
    return frame_seal(chain, epoch, header, ik_secret, message, NULL, n, frame, digest);
}

/* ---- opening ----------------------------------------------------------------------------------
 */

bool group_frame_place(const struct frame_view *frame, uint32_t *epoch, uint32_t *gen)
{
    if (frame->kind != FRAME_GROUP || frame->hdr.len != FRAME_HDR_GROUP)
        return false;
    *epoch = get_u32(frame->hdr.at);
    *gen = get_u32(frame->hdr.at + 4);
    return true;
}

/* Is it a whole frame of this group and this epoch?  Its sender is the caller's to know. */
static bool frame_fits(const struct frame_view *frame, const struct group_epoch *epoch,
                       uint32_t *gen)
{
    static const uint8_t nobody[32];
    uint32_t of;

    return !frame->is_stub && group_frame_place(frame, &of, gen) && of == epoch->epoch
           && frame->suite == epoch->suite && memcmp(frame->scope, epoch->gid, 16) == 0
           && memcmp(frame->recipient, nobody, 32) == 0;
}

/* Commitment, AEAD, padding, signature: only then are the words the member's. */
static enum err body_open(const struct group_epoch *epoch, const struct frame_view *frame,
                          const uint8_t message_key[static 32], const uint8_t ik_public[static 32],
                          uint8_t *out, struct group_opened *opened)
{
    uint8_t ad[AD_MAX], words[SIGNED_SIZE];
    size_t padded = frame->ct.len - FRAME_TAG_SIZE, len;
    struct message_keys keys;
    enum err e = ERR_COMMIT;

    kdf_message(&keys, LABEL_GMK, message_key, epoch->suite, frame->fh + AT_N);
    if (sodium_memcmp(keys.commit, frame->commit, 32) != 0)
        goto done;
    e = aead_open(epoch->suite, out, keys.key, keys.nonce, message_ad(ad, epoch, frame->fh),
                  frame->ct);
    if (e == ERR_OK)
        e = unpad(bytes_of(out, padded), &len);
    if (e == ERR_OK
        && (len < SIG_SIZE
            || !label_verify(
                ik_public, out, LABEL_GSIG,
                signed_words(words, epoch, frame->fh, bytes_of(out + SIG_SIZE, len - SIG_SIZE)))))
        e = ERR_AUTH;
    if (e == ERR_OK) {
        opened->offset = SIG_SIZE;
        opened->len = len - SIG_SIZE;
    } else {
        sodium_memzero(out, padded);
    }
done:
    sodium_memzero(&keys, sizeof keys);
    return e;
}

/* Keeps the keys from chain->next to `gen`, and stands behind `gen` then. */
static void chain_advance(struct group_sending *chain, uint32_t gen, uint64_t now_ms)
{
    uint8_t message_key[32];

    skipped_room(chain, gen - chain->next);
    for (; chain->next <= gen; chain->next++) {
        kdf_chain(chain->key, message_key);
        if (chain->next < gen) {
            struct group_skipped *key = &chain->skipped[chain->skipped_count++];

            key->gen = chain->next;
            key->added_s = (uint32_t)(now_ms / 1000);
            memcpy(key->key, message_key, 32);
        }
    }
    sodium_memzero(message_key, sizeof message_key);
    group_sending_trim(chain, now_ms, GROUP_SKIPPED_MAX);
}

/* The key of generation `gen`, which is not behind us; the chain stays where it is. */
static void key_ahead(uint8_t message_key[static 32], const struct group_sending *chain,
                      uint32_t gen)
{
    uint8_t walk[32];

    memcpy(walk, chain->key, 32);
    for (uint32_t at = chain->next; at <= gen; at++)
        kdf_chain(walk, message_key);
    sodium_memzero(walk, sizeof walk);
}

enum err group_decrypt(struct group_sending *chain, const struct group_epoch *epoch,
                       const struct frame_view *frame, const uint8_t ik_public[static 32],
                       uint64_t now_ms, uint8_t *out, struct group_opened *opened)
{
    uint8_t message_key[32];
    uint32_t gen;
    enum err e;

    *opened = (struct group_opened){ 0 };
    if (!frame_fits(frame, epoch, &gen))
        return ERR_SCHEMA;
    if (gen < chain->next) {
        struct group_skipped *key = skipped_find(chain, gen);

        if (!key || outlived(key, now_ms))
            return ERR_DECRYPT; /* used already, or evicted */
        e = body_open(epoch, frame, key->key, ik_public, out, opened);
        if (e == ERR_OK) {
            skipped_remove(chain, key);
            opened->late = true;
        }
        return e;
    }
    if (gen - chain->next > GROUP_STEP_MAX || gen == UINT32_MAX) /* else 2^32 keys are derived */
        return ERR_SKIP_LIMIT;
    key_ahead(message_key, chain, gen);
    e = body_open(epoch, frame, message_key, ik_public, out, opened);
    if (e == ERR_OK)
        chain_advance(chain, gen, now_ms);
    sodium_memzero(message_key, sizeof message_key);
    return e;
}
