/* layers: base wire trust agent_crypto */
#include "agent/crypto/ratchet.h"

#include <criterion/criterion.h>

#include "agent/crypto/aead.h"
#include "tests/lib/pair.h"

static void start(void)
{
    cr_assert(sodium_init() >= 0);
}

TestSuite(ratchet, .init = start);
TestSuite(skipped, .init = start);

#define FRAME_SMALL FRAME_MIN

/* A frame of a text, to be delivered later. */
struct letter {
    uint8_t frame[FRAME_SMALL], digest[32];
    char text[64];
};

static void letter_seal(struct pair *pair, struct side *from, struct letter *letter,
                        const char *text)
{
    snprintf(letter->text, sizeof letter->text, "%s", text);
    cr_assert_eq(pair_seal(pair, from, bytes_of_text(text), letter->frame, letter->digest), ERR_OK);
}

/* What becomes of it; a refusal must leave the state as it was. */
static enum err letter_open(struct pair *pair, struct side *to, const struct letter *letter,
                            struct ratchet_opened *opened)
{
    uint8_t out[BUCKET_MIN];
    struct buf before = side_bytes(to), after;
    enum err e = pair_open(pair, to, bytes_of(letter->frame, sizeof letter->frame), out, opened);

    after = side_bytes(to);
    if (e == ERR_OK)
        cr_expect(bytes_equal(bytes_of(out, opened->len), bytes_of_text(letter->text)), "%s",
                  letter->text);
    else
        cr_expect(bytes_equal(buf_bytes(&before), buf_bytes(&after)), "%s changed the state",
                  letter->text);
    buf_wipe(&before);
    buf_wipe(&after);
    return e;
}

static void letter_good(struct pair *pair, struct side *to, const struct letter *letter)
{
    struct ratchet_opened opened;

    cr_expect_eq(letter_open(pair, to, letter, &opened), ERR_OK, "%s", letter->text);
}

Test(ratchet, first_words)
{
    struct pair pair;
    struct letter one, two, three;
    struct ratchet_opened opened;

    pair_begin(&pair, 1, SUITE_CHACHA);
    letter_seal(&pair, &pair.a, &one, "hello");
    cr_expect_eq(letter_open(&pair, &pair.b, &one, &opened), ERR_OK);
    cr_expect(opened.turned && !opened.late);
    cr_expect_eq(letter_open(&pair, &pair.b, &one, &opened), ERR_DECRYPT, "opens once only");
    letter_seal(&pair, &pair.b, &two, "good day");
    letter_seal(&pair, &pair.b, &three, "come in");
    cr_expect_eq(letter_open(&pair, &pair.a, &three, &opened), ERR_OK);
    cr_expect(opened.turned);
    cr_expect_eq(letter_open(&pair, &pair.a, &two, &opened), ERR_OK);
    cr_expect(!opened.turned && opened.late);
    cr_expect_eq(pair.a.skipped.count, 0);
    pair_end(&pair);
}

Test(ratchet, b_cannot_speak_first)
{
    struct pair pair;
    struct letter letter;

    pair_begin(&pair, 2, SUITE_CHACHA);
    cr_expect_eq(pair_seal(&pair, &pair.b, bytes_of_text("hi"), letter.frame, letter.digest),
                 ERR_STATE);
    pair_end(&pair);
}

Test(ratchet, too_large_a_message_changes_nothing)
{
    static uint8_t message[FRAME_MESSAGE_MAX + 1], frame[FRAME_MAX], out[BUCKET_MAX];
    struct ratchet_opened opened;
    struct pair pair;
    struct buf before, after;
    uint8_t digest[32];

    pair_begin(&pair, 3, SUITE_CHACHA);
    before = side_bytes(&pair.a);
    cr_expect_eq(pair_seal(&pair, &pair.a, bytes_of(message, sizeof message), frame, digest),
                 ERR_TOO_LARGE);
    after = side_bytes(&pair.a);
    cr_expect(bytes_equal(buf_bytes(&before), buf_bytes(&after)));
    cr_expect_eq(pair_seal(&pair, &pair.a, bytes_of(message, FRAME_MESSAGE_MAX), frame, digest),
                 ERR_OK);
    cr_expect_eq(pair_open(&pair, &pair.b, bytes_of(frame, FRAME_MAX), out, &opened), ERR_OK);
    cr_expect_eq(opened.len, FRAME_MESSAGE_MAX);
    buf_wipe(&before);
    buf_wipe(&after);
    pair_end(&pair);
}

Test(ratchet, T3_every_bit_counts)
{
    static const uint8_t suites[] = { SUITE_CHACHA, SUITE_AES };

    for (size_t s = 0; s < 2; s++) {
        struct ratchet_opened opened;
        struct letter letter;
        struct pair pair;

        if (!aead_available(suites[s]))
            continue;
        pair_begin(&pair, 4, suites[s]);
        letter_seal(&pair, &pair.a, &letter, "precious");
        for (size_t bit = 0; bit < 8 * sizeof letter.frame; bit++) {
            letter.frame[bit / 8] ^= (uint8_t)(1 << bit % 8);
            cr_expect_neq(letter_open(&pair, &pair.b, &letter, &opened), ERR_OK, "bit %zu", bit);
            letter.frame[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        letter_good(&pair, &pair.b, &letter);
        pair_end(&pair);
    }
}

/* Refusals have the right names: the caller's next step depends on them. */
Test(ratchet, refusals)
{
    static const struct {
        const char *name;
        size_t at;
        enum err want;
    } rows[] = {
        { "header nonce", 102, ERR_DECRYPT }, { "header", 130, ERR_DECRYPT },
        { "header tag", 181, ERR_DECRYPT },   { "commitment", 182, ERR_COMMIT },
        { "ciphertext", 214, ERR_DECRYPT },   { "tag", FRAME_SMALL - 1, ERR_DECRYPT },
        { "number", 91, ERR_DECRYPT },
    };
    struct ratchet_opened opened;
    struct letter letter;
    struct pair pair;

    pair_begin(&pair, 5, SUITE_CHACHA);
    letter_seal(&pair, &pair.a, &letter, "first");
    letter_good(&pair, &pair.b, &letter);
    letter_seal(&pair, &pair.a, &letter, "second");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        letter.frame[rows[i].at] ^= 4;
        cr_expect_eq(letter_open(&pair, &pair.b, &letter, &opened), rows[i].want, "%s",
                     rows[i].name);
        letter.frame[rows[i].at] ^= 4;
    }
    letter.frame[2] = SUITE_AES;
    cr_expect_eq(letter_open(&pair, &pair.b, &letter, &opened), ERR_SCHEMA, "another suite");
    letter.frame[2] = SUITE_CHACHA;
    letter_good(&pair, &pair.b, &letter);
    pair_end(&pair);
}

static void lose(struct pair *pair, struct side *from, size_t count)
{
    struct letter letter;

    while (count-- > 0)
        letter_seal(pair, from, &letter, "lost");
}

Test(ratchet, T21_thousand_left_out_and_no_more)
{
    struct ratchet_opened opened;
    struct letter inside, outside;
    struct pair pair;

    pair_begin(&pair, 6, SUITE_CHACHA);
    lose(&pair, &pair.a, 1000);
    letter_seal(&pair, &pair.a, &inside, "after a thousand");
    letter_seal(&pair, &pair.a, &outside, "one more");
    cr_expect_eq(letter_open(&pair, &pair.b, &outside, &opened), ERR_SKIP_LIMIT);
    letter_good(&pair, &pair.b, &inside);
    cr_expect_eq(pair.b.skipped.count, 1000);
    letter_good(&pair, &pair.b, &outside);
    pair_end(&pair);
}

/* What the old chain left out counts by itself. */
Test(ratchet, thousand_in_the_chain_before)
{
    static const struct {
        const char *name;
        size_t before;
        enum err want;
    } rows[] = { { "1,000", 1000, ERR_OK }, { "1,001", 1001, ERR_SKIP_LIMIT } };

    for (size_t i = 0; i < 2; i++) {
        struct ratchet_opened opened;
        struct letter letter;
        struct pair pair;

        pair_begin(&pair, 7, SUITE_CHACHA);
        letter_seal(&pair, &pair.a, &letter, "open");
        letter_good(&pair, &pair.b, &letter);
        lose(&pair, &pair.a, rows[i].before);
        letter_seal(&pair, &pair.b, &letter, "turn");
        letter_good(&pair, &pair.a, &letter);
        lose(&pair, &pair.a, 1000);
        letter_seal(&pair, &pair.a, &letter, "after the turn");
        cr_expect_eq(letter_open(&pair, &pair.b, &letter, &opened), rows[i].want, "%s",
                     rows[i].name);
        if (rows[i].want == ERR_OK)
            cr_expect_eq(pair.b.skipped.count, 2000);
        pair_end(&pair);
    }
}

Test(ratchet, skipped_keys_end_after_30_days)
{
    struct ratchet_opened opened;
    struct letter late, kept, newer;
    uint8_t out[BUCKET_MIN];
    struct pair pair;
    struct bytes frame;

    pair_begin(&pair, 8, SUITE_CHACHA);
    letter_seal(&pair, &pair.a, &late, "late");
    letter_seal(&pair, &pair.a, &kept, "kept");
    letter_seal(&pair, &pair.a, &newer, "newer");
    letter_good(&pair, &pair.b, &newer);
    frame = bytes_of(late.frame, sizeof late.frame);
    cr_expect_eq(pair.b.skipped.count, 2);
    cr_expect_eq(pair_open_at(&pair, &pair.b, frame, PAIR_NOW + SKIPPED_LIFE_MS, out, &opened),
                 ERR_DECRYPT, "too late");
    cr_expect_eq(
        pair_open_at(&pair, &pair.b, frame, PAIR_NOW + SKIPPED_LIFE_MS - 1000, out, &opened),
        ERR_OK, "in time");
    letter_seal(&pair, &pair.a, &newer, "cleans up");
    frame = bytes_of(newer.frame, sizeof newer.frame);
    cr_expect_eq(pair_open_at(&pair, &pair.b, frame, PAIR_NOW + SKIPPED_LIFE_MS, out, &opened),
                 ERR_OK);
    cr_expect_eq(pair.b.skipped.count, 0);
    cr_expect_eq(pair.b.skipped.chains, 0);
    pair_end(&pair);
}

/* A copy of the profile that seals another message under the same key gives another key and nonce.
 */
Test(ratchet, T41_the_same_chance_gives_another_nonce)
{
    struct letter one, two;
    struct side before;
    struct pair pair;
    uint64_t chance;

    pair_begin(&pair, 9, SUITE_CHACHA);
    before = pair.a;
    chance = pair.chance.state;
    letter_seal(&pair, &pair.a, &one, "one");
    pair.a = before;
    pair.chance.state = chance; /* even chance repeats itself, as in a machine that was copied */
    letter_seal(&pair, &pair.a, &two, "two");
    cr_expect_arr_eq(one.frame, two.frame, FRAME_FH_SIZE, "all that can be the same is the same");
    cr_expect_arr_neq(one.frame + 102, two.frame + 102, 24, "N");
    cr_expect_arr_neq(one.frame + 182, two.frame + 182, 32, "commitment");
    pair_end(&pair);
}

Test(ratchet, low_order_keys_end_the_handshake)
{
    struct pair pair;

    pair_prepare(&pair, 10, SUITE_CHACHA);
    memset(pair.opk, 0, 32);
    cr_expect_eq(pair_initiate(&pair), ERR_DECRYPT);
    pair_prepare(&pair, 10, SUITE_CHACHA);
    memset(pair.a.dk, 0, 32);
    cr_expect_eq(pair_respond(&pair), ERR_DECRYPT);
}

Test(ratchet, state_as_bytes)
{
    uint8_t bytes[RATCHET_STATE_SIZE];
    struct ratchet again;
    struct letter letter;
    struct pair pair;

    pair_begin(&pair, 11, SUITE_CHACHA);
    ratchet_export(&pair.b.ratchet, bytes);
    cr_expect_eq(ratchet_import(&again, bytes_of(bytes, sizeof bytes)), ERR_OK);
    pair.b.ratchet = again;
    letter_seal(&pair, &pair.a, &letter, "to the copy");
    letter_good(&pair, &pair.b, &letter);
    for (size_t len = 0; len < sizeof bytes; len++)
        cr_expect_eq(ratchet_import(&again, bytes_of(bytes, len)), ERR_CORRUPT, "%zu", len);
    bytes[0] = RATCHET_STATE_VERSION + 1;
    cr_expect_eq(ratchet_import(&again, bytes_of(bytes, sizeof bytes)), ERR_STORE_NEWER);
    bytes[0] = RATCHET_STATE_VERSION;
    bytes[1] = 3;
    cr_expect_eq(ratchet_import(&again, bytes_of(bytes, sizeof bytes)), ERR_CORRUPT, "suite");
    bytes[1] = SUITE_CHACHA;
    bytes[2] = 8;
    cr_expect_eq(ratchet_import(&again, bytes_of(bytes, sizeof bytes)), ERR_CORRUPT, "flags");
    pair_end(&pair);
}

/* ---- skipped keys by themselves ---- */

static void add(struct skipped *skipped, uint8_t chain, uint32_t n)
{
    uint8_t header_key[32] = { chain }, message_key[32] = { 0 };

    put_u32(message_key, n);
    skipped_add(skipped, header_key, n, message_key, PAIR_NOW);
}

static bool kept(const struct skipped *skipped, unsigned chain, uint32_t n)
{
    const uint8_t *key = skipped_find(skipped, chain, n, PAIR_NOW);

    return key && get_u32(key) == n;
}

Test(skipped, oldest_leaves_first)
{
    struct skipped skipped = { 0 };

    for (uint32_t n = 0; n < 3 * SKIPPED_MAX; n++)
        add(&skipped, 1, n);
    cr_expect_eq(skipped.count, SKIPPED_MAX);
    cr_expect_eq(skipped.chains, 1);
    cr_expect_not(kept(&skipped, 0, 2 * SKIPPED_MAX - 1));
    cr_expect(kept(&skipped, 0, 2 * SKIPPED_MAX));
    cr_expect(kept(&skipped, 0, 3 * SKIPPED_MAX - 1));
    skipped_wipe(&skipped);
    cr_expect_null(skipped.key);
}

Test(skipped, chains_come_and_go)
{
    struct skipped skipped = { 0 };

    for (uint8_t chain = 0; chain < SKIPPED_OLD_CHAINS + 1; chain++) {
        add(&skipped, chain, 0);
        add(&skipped, chain, 1);
    }
    cr_expect_eq(skipped.chains, SKIPPED_OLD_CHAINS + 1);
    skipped_turn(&skipped);
    cr_expect_eq(skipped.chains, SKIPPED_OLD_CHAINS);
    cr_expect_eq(skipped.count, 2 * SKIPPED_OLD_CHAINS);
    cr_expect_eq(skipped.chain[0].header_key[0], 1, "the oldest went, with both of its keys");
    skipped_remove(&skipped, 2, 0);
    cr_expect(kept(&skipped, 2, 1) && !kept(&skipped, 2, 0));
    skipped_remove(&skipped, 2, 1);
    cr_expect_eq(skipped.chains, SKIPPED_OLD_CHAINS - 1);
    cr_expect_eq(skipped.chain[2].header_key[0], 4);
    cr_expect(kept(&skipped, 2, 0) && kept(&skipped, 2, 1));
    skipped_wipe(&skipped);
}

Test(skipped, changed_says_when_to_write)
{
    struct skipped skipped = { 0 };

    add(&skipped, 1, 0);
    cr_expect(skipped.changed);
    skipped.changed = false;
    skipped_turn(&skipped);
    skipped_expire(&skipped, PAIR_NOW);
    skipped_remove(&skipped, 0, 5);
    cr_expect_not(skipped.changed);
    skipped_expire(&skipped, PAIR_NOW + SKIPPED_LIFE_MS);
    cr_expect(skipped.changed);
    skipped_wipe(&skipped);
}

Test(skipped, as_bytes)
{
    struct skipped skipped = { 0 }, again;
    struct buf out = { 0 };

    skipped_export(&skipped, &out);
    cr_expect_eq(skipped_import(&again, buf_bytes(&out)), ERR_OK, "empty");
    skipped_wipe(&again);
    for (uint8_t chain = 0; chain < 3; chain++)
        for (uint32_t n = 0; n < 4; n++)
            add(&skipped, chain, n);
    buf_clear(&out);
    skipped_export(&skipped, &out);
    cr_expect_eq(skipped_import(&again, buf_bytes(&out)), ERR_OK);
    cr_expect(kept(&again, 2, 3) && kept(&again, 0, 0));
    cr_expect_eq(again.count, 12);
    add(&again, 2, 4);
    cr_expect(kept(&again, 2, 4));
    skipped_wipe(&again);
    for (size_t len = 0; len < out.len; len++) {
        cr_expect_eq(skipped_import(&again, bytes_of(out.at, len)), ERR_CORRUPT, "%zu", len);
        cr_expect_null(again.key);
    }
    cr_expect_eq(skipped_import(&again, bytes_of("\1\1\0\0\0\0"
                                                 "01234567890123456789012345678901",
                                                 38)),
                 ERR_CORRUPT, "a chain without keys");
    out.at[6 + 3 * 32] = 9;
    cr_expect_eq(skipped_import(&again, buf_bytes(&out)), ERR_CORRUPT, "no such chain");
    buf_wipe(&out);
    skipped_wipe(&skipped);
}
