/* layers: base wire trust agent_crypto */
/* What thieves, flooders and forgers get out of a session (protocol.md 9, T16, T17, T21 to T23). */
#include <criterion/criterion.h>

#include "agent/crypto/aead.h"
#include "agent/crypto/kdf.h"
#include "agent/crypto/pad.h"
#include "agent/crypto/ratchet.h"
#include "tests/lib/pair.h"

static void start(void)
{
    cr_assert(sodium_init() >= 0);
}

TestSuite(ratchet_attack, .init = start);

/* Places in a small session frame. */
enum { AT_N = 102, AT_EHDR = 126, AT_COMMIT = 182, AT_CT = 214 };

struct letter {
    uint8_t frame[FRAME_MIN];
};

static void letter_seal(struct pair *pair, struct side *from, struct letter *letter)
{
    uint8_t digest[32];

    cr_assert_eq(pair_seal(pair, from, bytes_of_text("words"), letter->frame, digest), ERR_OK);
}

static enum err letter_open(struct pair *pair, struct side *to, const struct letter *letter)
{
    struct ratchet_opened opened;
    uint8_t out[BUCKET_MIN];

    return pair_open(pair, to, bytes_of(letter->frame, FRAME_MIN), out, &opened);
}

static void side_copy(struct side *out, const struct side *side)
{
    struct buf kept = { 0 };

    *out = *side;
    skipped_export(&side->skipped, &kept);
    cr_assert_eq(skipped_import(&out->skipped, buf_bytes(&kept)), ERR_OK);
    buf_wipe(&kept);
}

/* ---- thieves --------------------------------------------------------------------------------- */

#define WALK 2000

/* Does a key that follows from `chain` open the frame's body?  Needs no header. */
static bool chain_opens(const uint8_t chain[static 32], uint8_t suite, const struct letter *letter)
{
    uint8_t walk[32], message_key[32];
    struct message_keys keys;

    memcpy(walk, chain, 32);
    for (int i = 0; i < WALK; i++) {
        kdf_chain(walk, message_key);
        kdf_message(&keys, LABEL_MK, message_key, suite, letter->frame + AT_N);
        if (memcmp(keys.commit, letter->frame + AT_COMMIT, 32) == 0)
            return true;
    }
    return false;
}

/* All that somebody can do with a stolen state: open as its owner would, and walk its chains. */
static bool thief_opens(struct pair *pair, const struct side *stolen, const struct letter *letter)
{
    struct side thief;
    bool opens;

    side_copy(&thief, stolen);
    opens = letter_open(pair, &thief, letter) == ERR_OK
            || chain_opens(stolen->ratchet.send_chain, pair->suite, letter)
            || chain_opens(stolen->ratchet.receive_chain, pair->suite, letter);
    skipped_wipe(&thief.skipped);
    return opens;
}

Test(ratchet_attack, T16_a_state_opens_nothing_of_before)
{
    enum { ROUNDS = 4, EACH = 3 };
    struct letter from_a[ROUNDS][EACH], from_b[ROUNDS][EACH];
    struct pair pair;

    pair_begin(&pair, 16, SUITE_CHACHA);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < EACH; i++)
            letter_seal(&pair, &pair.a, &from_a[round][i]);
        for (int i = EACH - 1; i >= 0; i--) /* the last first: the others by skipped keys */
            cr_assert_eq(letter_open(&pair, &pair.b, &from_a[round][i]), ERR_OK);
        for (int i = 0; i < EACH; i++)
            letter_seal(&pair, &pair.b, &from_b[round][i]);
        for (int i = EACH - 1; i >= 0; i--)
            cr_assert_eq(letter_open(&pair, &pair.a, &from_b[round][i]), ERR_OK);
    }
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < EACH; i++) {
            cr_expect_not(thief_opens(&pair, &pair.b, &from_a[round][i]), "B's, %d.%d", round, i);
            cr_expect_not(thief_opens(&pair, &pair.a, &from_a[round][i]), "A's, %d.%d", round, i);
            cr_expect_not(thief_opens(&pair, &pair.b, &from_b[round][i]), "B's own, %d.%d", round,
                          i);
            cr_expect_not(thief_opens(&pair, &pair.a, &from_b[round][i]), "A's own, %d.%d", round,
                          i);
        }
    pair_end(&pair);
}

/* Whoever has copied B's state reads until B has turned, and nothing after one round trip: not
 * even with every frame that crossed the wire. */
Test(ratchet_attack, T17_a_copied_state_opens_nothing_after_a_round_trip)
{
    struct letter before, turn, answer, after[3];
    struct side thief;
    struct pair pair;

    pair_begin(&pair, 17, SUITE_CHACHA);
    letter_seal(&pair, &pair.a, &before);
    cr_assert_eq(letter_open(&pair, &pair.b, &before), ERR_OK);
    letter_seal(&pair, &pair.b, &before);
    cr_assert_eq(letter_open(&pair, &pair.a, &before), ERR_OK);
    side_copy(&thief, &pair.b);

    letter_seal(&pair, &pair.a, &turn);
    cr_assert_eq(letter_open(&pair, &pair.b, &turn), ERR_OK);
    cr_expect_eq(letter_open(&pair, &thief, &turn), ERR_OK, "the copy is a whole one");
    letter_seal(&pair, &pair.b, &answer);
    cr_expect_not(thief_opens(&pair, &thief, &answer), "B has turned");
    cr_assert_eq(letter_open(&pair, &pair.a, &answer), ERR_OK);
    for (int i = 0; i < 3; i++) {
        letter_seal(&pair, &pair.a, &after[i]);
        cr_expect_not(thief_opens(&pair, &thief, &after[i]), "%d after the round trip", i);
        cr_expect_eq(letter_open(&pair, &pair.b, &after[i]), ERR_OK);
    }
    skipped_wipe(&thief.skipped);
    pair_end(&pair);
}

/* ---- floods ---------------------------------------------------------------------------------- */

/* A good frame but for the numbers in its header, which only its sender can write. */
static void lie_about_number(struct pair *pair, struct letter *letter, uint32_t previous,
                             uint32_t n)
{
    struct ratchet *a = &pair->a.ratchet;
    uint8_t ad[LABEL_MAX_SIZE + 32 + FRAME_FH_SIZE], header[40], header_key[32];
    uint8_t *at = put_raw(put_raw(put_label(ad, LABEL_HDR), a->th, 32), letter->frame, 100);

    memcpy(header_key, a->send_header, 32);
    put_u32(put_u32(put_raw(header, a->own_public, 32), previous), n);
    xaead_seal(letter->frame + AT_EHDR, header_key, letter->frame + AT_N,
               bytes_of(ad, (size_t)(at - ad)), bytes_of(header, sizeof header));
}

/* Unbounded, each of these costs minutes: the limit is seen before the first key is derived. */
Test(ratchet_attack, T21_no_number_makes_us_derive_keys_without_end)
{
    static const struct {
        const char *name;
        uint32_t previous, n;
        bool turned;
    } rows[] = {
        { "1,001 left out", 0, 1002, false },
        { "2^31", 0, 1u << 31, false },
        { "2^32 - 2", 0, UINT32_MAX - 1, false },
        { "2^32 - 1", 0, UINT32_MAX, false },
        { "2^32 - 1 in a new chain", 1, UINT32_MAX, true },
        { "1,001 in the chain before", 1002, 0, true },
        { "2^32 - 2 in the chain before", UINT32_MAX - 1, 0, true },
        { "2^32 - 1 in the chain before", UINT32_MAX, 0, true },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct letter letter;
        struct buf before, after;
        struct pair pair;

        pair_begin(&pair, 21, SUITE_CHACHA);
        letter_seal(&pair, &pair.a, &letter);
        cr_assert_eq(letter_open(&pair, &pair.b, &letter), ERR_OK);
        if (rows[i].turned) {
            letter_seal(&pair, &pair.b, &letter);
            cr_assert_eq(letter_open(&pair, &pair.a, &letter), ERR_OK);
        }
        letter_seal(&pair, &pair.a, &letter);
        lie_about_number(&pair, &letter, rows[i].previous, rows[i].n);
        before = side_bytes(&pair.b);
        cr_assert_eq(letter_open(&pair, &pair.b, &letter), ERR_SKIP_LIMIT, "%s", rows[i].name);
        after = side_bytes(&pair.b);
        cr_expect(bytes_equal(buf_bytes(&before), buf_bytes(&after)), "%s", rows[i].name);
        buf_wipe(&before);
        buf_wipe(&after);
        pair_end(&pair);
    }
}

#define FLOOD 1000000

/* A million frames that somebody made up: noise behind a right address, and good frames changed
 * in one place.  None opens, and the state is what it was, to the last byte. */
Test(ratchet_attack, T22_a_flood_of_forged_frames_leaves_no_trace, .timeout = 280)
{
    struct letter good, late, forged;
    struct buf before, after;
    struct pair pair;

    pair_begin(&pair, 22, SUITE_CHACHA);
    letter_seal(&pair, &pair.a, &late);
    letter_seal(&pair, &pair.a, &good);
    cr_assert_eq(letter_open(&pair, &pair.b, &good), ERR_OK);
    letter_seal(&pair, &pair.b, &good);
    cr_assert_eq(letter_open(&pair, &pair.a, &good), ERR_OK);
    letter_seal(&pair, &pair.a, &good); /* a turn is due, and one key is kept */
    before = side_bytes(&pair.b);
    chance_bytes(&pair.chance, forged.frame, FRAME_MIN);
    for (unsigned i = 0; i < FLOOD; i++) {
        uint64_t word = chance_next(&pair.chance);

        if (i % 4 == 0) {
            memcpy(forged.frame, (i & 4 ? &late : &good)->frame, FRAME_MIN);
            forged.frame[word % FRAME_MIN] ^= (uint8_t)(1 + (word >> 32) % 255);
        } else {
            memcpy(forged.frame, good.frame, AT_N);
            for (size_t at = AT_N; at + 8 <= FRAME_MIN; at += 8) {
                word ^= chance_next(&pair.chance);
                memcpy(forged.frame + at, &word, 8);
            }
        }
        cr_assert_neq(letter_open(&pair, &pair.b, &forged), ERR_OK, "frame %u", i);
        if (i % 1000 == 0) {
            after = side_bytes(&pair.b);
            cr_assert(bytes_equal(buf_bytes(&before), buf_bytes(&after)), "up to frame %u", i);
            buf_wipe(&after);
        }
    }
    after = side_bytes(&pair.b);
    cr_expect(bytes_equal(buf_bytes(&before), buf_bytes(&after)));
    cr_expect_eq(letter_open(&pair, &pair.b, &good), ERR_OK);
    cr_expect_eq(letter_open(&pair, &pair.b, &late), ERR_OK);
    buf_wipe(&before);
    buf_wipe(&after);
    pair_end(&pair);
}

/* ---- one ciphertext, two texts --------------------------------------------------------------- */

/* An element of GCM's field, first bit highest. */
struct gf {
    uint64_t high, low;
};

static struct gf gf_of(const uint8_t *at)
{
    return (struct gf){ get_u64(at), get_u64(at + 8) };
}

static struct gf gf_add(struct gf a, struct gf b)
{
    return (struct gf){ a.high ^ b.high, a.low ^ b.low };
}

static struct gf gf_times(struct gf a, struct gf b)
{
    struct gf sum = { 0 };

    for (int i = 0; i < 128; i++) {
        uint64_t carry = b.low & 1;

        if ((i < 64 ? a.high >> (63 - i) : a.low >> (127 - i)) & 1)
            sum = gf_add(sum, b);
        b.low = b.low >> 1 | b.high << 63;
        b.high = b.high >> 1 ^ (carry ? 0xe100000000000000u : 0);
    }
    return sum;
}

/* To the power of 2^128 - 2. */
static struct gf gf_inverse(struct gf a)
{
    struct gf out = { 1ull << 63, 0 };

    for (int i = 1; i < 128; i++) {
        a = gf_times(a, a);
        out = gf_times(out, a);
    }
    return out;
}

/* The tag that makes `ct` good under these keys: its text, sealed. */
static struct gf tag_for(const struct message_keys *keys, struct bytes ad, const uint8_t *ct)
{
    static const uint8_t zeroes[BUCKET_MIN];
    uint8_t text[BUCKET_MIN + AEAD_TAG_SIZE];

    cr_assert_eq(
        aead_seal(SUITE_AES, text, keys->key, keys->nonce, ad, bytes_of(zeroes, BUCKET_MIN)),
        ERR_OK);
    for (size_t i = 0; i < BUCKET_MIN; i++)
        text[i] ^= ct[i];
    cr_assert_eq(aead_seal(SUITE_AES, text, keys->key, keys->nonce, ad, bytes_of(text, BUCKET_MIN)),
                 ERR_OK);
    return gf_of(text + BUCKET_MIN);
}

/* What the first block of the ciphertext is multiplied with in the tag. */
static struct gf weight_of_first(const struct message_keys *keys, struct bytes ad, uint8_t *ct)
{
    struct gf without, with;

    memset(ct, 0, 16);
    without = tag_for(keys, ad, ct);
    ct[0] = 0x80;
    with = tag_for(keys, ad, ct);
    ct[0] = 0;
    return gf_add(without, with);
}

/*
 * AES-GCM does not bind a ciphertext to its key: who knows two keys makes one that both open.  Here
 * its sender makes one that is good for the key that B will derive and for another, and commits to
 * the other; GCM says yes to both, the commitment says no.
 */
Test(ratchet_attack, T23_a_ciphertext_for_two_keys_is_refused)
{
    uint8_t ad[LABEL_MAX_SIZE + 32 + FRAME_FH_SIZE + AT_CT - AT_N], *at, *ct;
    uint8_t chain[32], key[32], n[24], digest[32], out[BUCKET_MIN];
    struct message_keys his, another;
    struct letter letter;
    struct frame_header header;
    struct pair pair;
    struct bytes whole_ad;
    struct gf first, tag;
    size_t len;

    if (!aead_available(SUITE_AES))
        cr_skip_test("this CPU has no AES");
    pair_begin(&pair, 23, SUITE_AES);
    header = pair_header(&pair, &pair.a);
    memcpy(chain, pair.a.ratchet.send_chain, 32);
    chance_bytes(&pair.chance, n, 24);
    cr_assert_eq(ratchet_encrypt_with_n(&pair.a.ratchet, &header,
                                        bytes_of_text("harmless, and longer than a block"), n,
                                        letter.frame, digest),
                 ERR_OK);
    kdf_chain(chain, key);
    kdf_message(&his, LABEL_MK, key, SUITE_AES, n);
    chance_bytes(&pair.chance, key, 32);
    kdf_message(&another, LABEL_MK, key, SUITE_AES, n);
    memcpy(letter.frame + AT_COMMIT, another.commit, 32);
    at = put_raw(put_raw(put_label(ad, LABEL_MSG), pair.a.ratchet.th, 32), letter.frame, 100);
    at = put_raw(at, letter.frame + AT_N, AT_CT - AT_N);
    whole_ad = bytes_of(ad, (size_t)(at - ad));

    ct = letter.frame + AT_CT;
    first = gf_inverse(
        gf_add(weight_of_first(&his, whole_ad, ct), weight_of_first(&another, whole_ad, ct)));
    first = gf_times(first, gf_add(tag_for(&his, whole_ad, ct), tag_for(&another, whole_ad, ct)));
    put_u64(put_u64(ct, first.high), first.low);
    tag = tag_for(&his, whole_ad, ct);
    put_u64(put_u64(ct + BUCKET_MIN, tag.high), tag.low);

    cr_expect_eq(aead_open(SUITE_AES, out, another.key, another.nonce, whole_ad,
                           bytes_of(ct, BUCKET_MIN + AEAD_TAG_SIZE)),
                 ERR_OK, "GCM takes it under one key");
    cr_expect_eq(aead_open(SUITE_AES, out, his.key, his.nonce, whole_ad,
                           bytes_of(ct, BUCKET_MIN + AEAD_TAG_SIZE)),
                 ERR_OK, "and under the other");
    cr_expect_eq(unpad(bytes_of(out, BUCKET_MIN), &len), ERR_OK, "and it looks like a message");
    cr_expect_eq(letter_open(&pair, &pair.b, &letter), ERR_COMMIT);
    pair_end(&pair);
}
