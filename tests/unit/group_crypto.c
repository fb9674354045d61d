/* layers: base wire trust agent_crypto */
/* Messages sealed once for all members, and what each of them can do to the others
 * (protocol.md 5.3; 9: T3, T16, T21, T22, T24, T26 to T29, T41, T53, T55). */
#include <criterion/criterion.h>

#include "agent/crypto/aead.h"
#include "agent/crypto/kdf.h"
#include "agent/crypto/pad.h"
#include "tests/lib/group_stage.h"

static void start(void)
{
    cr_assert(sodium_init() >= 0);
}

TestSuite(group_crypto, .init = start);

enum { ANNA, BEN, CLEO, MAX_FRAME = GROUP_MESSAGE_MAX };
enum { AT_N = 110, AT_COMMIT = 134, AT_CT = 166, LETTER = 438 };

/* Three members in an epoch, each with a chain of each. */
struct talk {
    struct group_stage stage;
    struct group_epoch epoch;
    struct group_sending chain[3][3]; /* [whose hands][whose chain] */
    uint64_t seq[3];
};

static void talk_epoch(struct talk *talk)
{
    talk->epoch = stage_group_epoch(&talk->stage.chain);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            group_sending_wipe(&talk->chain[i][j]);
            group_sending_init(&talk->chain[i][j], talk->stage.secret, &talk->epoch,
                               talk->stage.actor[j].aid);
        }
}

static void talk_open(struct talk *talk, uint64_t seed)
{
    memset(talk, 0, sizeof *talk);
    stage_open(&talk->stage, seed);
    cr_assert_eq(stage_create(&talk->stage, ANNA, 0, 8), ERR_OK);
    for (int i = BEN; i <= CLEO; i++) {
        cr_assert_eq(stage_invite(&talk->stage, ANNA, i, 1), ERR_OK);
        cr_assert_eq(stage_join(&talk->stage, i), ERR_OK);
    }
    cr_assert_eq(stage_epoch(&talk->stage, ANNA), ERR_OK);
    talk_epoch(talk);
}

static void talk_close(struct talk *talk)
{
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            group_sending_wipe(&talk->chain[i][j]);
    stage_close(&talk->stage);
}

static struct frame_header header_of(const struct talk *talk, int from)
{
    struct frame_header header = { .kind = FRAME_GROUP,
                                   .suite = talk->epoch.suite,
                                   .seq = talk->seq[from] + 1,
                                   .expires_ms = STAGE_NOW + 1000 };

    memcpy(header.scope, talk->epoch.gid, 16);
    memcpy(header.sender, talk->stage.actor[from].aid, 32);
    return header;
}

/* `signer` writes with the chain of `from`, which every member has. */
static enum err seal_as(struct talk *talk, int from, int signer, struct bytes message,
                        uint8_t *frame)
{
    struct frame_header header = header_of(talk, from);
    uint8_t rand[32], digest[32];

    chance_bytes(&talk->stage.chance, rand, 32);
    talk->seq[from]++;
    return group_encrypt(&talk->chain[signer][from], &talk->epoch, &header,
                         talk->stage.actor[signer].sk, message, rand, frame, digest);
}

static void letter(struct talk *talk, int from, uint8_t frame[static LETTER])
{
    cr_assert_eq(seal_as(talk, from, from, bytes_of_text("words"), frame), ERR_OK);
}

static enum err open_at(struct talk *talk, int reader, struct bytes bytes, uint64_t now_ms,
                        uint8_t *out, struct group_opened *opened)
{
    struct frame_view frame;
    enum err e = frame_parse_whole(bytes, &frame);
    int from = 0;

    if (e != ERR_OK)
        return e;
    while (from < 3 && memcmp(talk->stage.actor[from].aid, frame.sender, 32) != 0)
        from++;
    if (from == 3)
        return ERR_AUTH;
    return group_decrypt(&talk->chain[reader][from], &talk->epoch, &frame,
                         talk->stage.actor[from].pk, now_ms, out, opened);
}

static enum err letter_open(struct talk *talk, int reader, const uint8_t frame[static LETTER])
{
    struct group_opened opened;
    uint8_t out[BUCKET_MIN];
    enum err e = open_at(talk, reader, bytes_of(frame, LETTER), STAGE_NOW, out, &opened);

    if (e == ERR_OK)
        cr_expect(opened.len == 5 && memcmp(out + opened.offset, "words", 5) == 0);
    return e;
}

static struct buf chains_bytes(const struct talk *talk, int reader)
{
    struct buf out = { 0 };

    for (int j = 0; j < 3; j++)
        group_sending_export(&talk->chain[reader][j], &out);
    return out;
}

/* Refused for this reason, without a trace. */
static void refused(struct talk *talk, int reader, struct bytes bytes, enum err expect,
                    const char *what)
{
    struct buf before = chains_bytes(talk, reader), after;
    struct group_opened opened;
    uint8_t *out = mem_zeroed(BUCKET_MAX, 1);
    enum err e = open_at(talk, reader, bytes, STAGE_NOW, out, &opened);

    cr_expect_eq(e, expect, "%s: %s", what, e == ERR_OK ? "ok" : err_name(e));
    after = chains_bytes(talk, reader);
    cr_expect(bytes_equal(buf_bytes(&before), buf_bytes(&after)), "%s: a trace", what);
    cr_expect(sodium_is_zero(out, BUCKET_MAX), "%s: words of it", what);
    buf_wipe(&before);
    buf_wipe(&after);
    free(out);
}

/* ---- sizes and orders -------------------------------------------------------------------------
 */

Test(group_crypto, sizes_of_frames)
{
    static const struct {
        size_t message, frame;
    } cases[] = { { 0, 438 },       { 191, 438 },         { 192, 502 },
                  { 61440, 65718 }, { MAX_FRAME, 65718 }, { MAX_FRAME + 1, 0 } };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        cr_expect_eq(group_frame_size(cases[i].message), cases[i].frame, "%zu: %zu",
                     cases[i].message, group_frame_size(cases[i].message));
}

Test(group_crypto, every_size_in_any_order_reaches_all)
{
    enum { COUNT = 40 };
    struct talk talk;
    struct buf frame[COUNT] = { 0 }, text[COUNT] = { 0 };
    uint8_t *out = mem_alloc(BUCKET_MAX);
    size_t order[COUNT];

    talk_open(&talk, chance_seed("every_size"));
    for (size_t i = 0; i < COUNT; i++) {
        size_t most = i % 8 == 0 ? MAX_FRAME + 1u : 400;
        size_t len = i == 0 ? MAX_FRAME : chance_below(&talk.stage.chance, most);

        chance_bytes(&talk.stage.chance, buf_extend(&text[i], len + 8), len + 8);
        text[i].len = len;
        buf_extend(&frame[i], group_frame_size(len));
        cr_assert_eq(seal_as(&talk, (int)(i % 3), (int)(i % 3), buf_bytes(&text[i]), frame[i].at),
                     ERR_OK);
        order[i] = i;
    }
    for (int reader = 0; reader < 3; reader++) {
        for (size_t i = COUNT - 1; i > 0; i--) {
            size_t j = chance_below(&talk.stage.chance, i + 1), kept = order[i];

            order[i] = order[j];
            order[j] = kept;
        }
        for (size_t i = 0; i < COUNT; i++) {
            struct group_opened opened;
            enum err e;

            if ((int)(order[i] % 3) == reader)
                continue; /* one's own chain is ahead already */
            e = open_at(&talk, reader, buf_bytes(&frame[order[i]]), STAGE_NOW, out, &opened);
            cr_expect_eq(e, ERR_OK, "frame %zu: %s", order[i], err_name(e));
            cr_expect(
                bytes_equal(bytes_of(out + opened.offset, opened.len), buf_bytes(&text[order[i]])));
            cr_expect_eq(
                open_at(&talk, reader, buf_bytes(&frame[order[i]]), STAGE_NOW, out, &opened),
                ERR_DECRYPT, "once");
        }
        for (int from = 0; from < 3; from++)
            cr_expect_eq(talk.chain[reader][from].skipped_count, 0);
    }
    for (size_t i = 0; i < COUNT; i++) {
        buf_free(&frame[i]);
        buf_free(&text[i]);
    }
    free(out);
    talk_close(&talk);
}

Test(group_crypto, both_suites)
{
    struct talk talk;
    uint8_t frame[LETTER];

    talk_open(&talk, 3);
    talk.epoch.suite = SUITE_AES;
    if (!aead_available(SUITE_AES)) {
        cr_expect_eq(seal_as(&talk, ANNA, ANNA, bytes_of_text("words"), frame), ERR_UNSUPPORTED);
        cr_expect_eq(talk.chain[ANNA][ANNA].next, 0);
    } else {
        letter(&talk, ANNA, frame);
        cr_expect_eq(letter_open(&talk, BEN, frame), ERR_OK);
        talk.epoch.suite = SUITE_CHACHA;
        refused(&talk, CLEO, bytes_of(frame, LETTER), ERR_SCHEMA, "another suite than the epoch's");
    }
    talk_close(&talk);
}

/* ---- skipped keys -----------------------------------------------------------------------------
 */

/* As if so many had been sealed and lost. */
static void lose(struct talk *talk, int from, uint32_t count)
{
    uint8_t unused[32];

    for (uint32_t i = 0; i < count; i++)
        kdf_chain(talk->chain[from][from].key, unused);
    talk->chain[from][from].next += count;
}

Test(group_crypto, T21_a_thousand_are_left_out_at_once_and_no_more)
{
    struct talk talk;
    uint8_t frame[LETTER];

    talk_open(&talk, 4);
    lose(&talk, ANNA, GROUP_STEP_MAX);
    letter(&talk, ANNA, frame);
    cr_expect_eq(letter_open(&talk, BEN, frame), ERR_OK);
    cr_expect_eq(talk.chain[BEN][ANNA].skipped_count, GROUP_STEP_MAX);
    lose(&talk, ANNA, GROUP_STEP_MAX + 1);
    letter(&talk, ANNA, frame);
    refused(&talk, BEN, bytes_of(frame, LETTER), ERR_SKIP_LIMIT, "a thousand and one");

    put_u32(frame + 106, UINT32_MAX); /* would take minutes if it were derived */
    refused(&talk, BEN, bytes_of(frame, LETTER), ERR_SKIP_LIMIT, "the highest there is");
    talk.chain[BEN][ANNA].next = UINT32_MAX;
    refused(&talk, BEN, bytes_of(frame, LETTER), ERR_SKIP_LIMIT, "and there is none behind it");
    talk.chain[ANNA][ANNA].next = UINT32_MAX;
    cr_expect_eq(seal_as(&talk, ANNA, ANNA, bytes_of_text("words"), frame), ERR_STATE);
    talk_close(&talk);
}

Test(group_crypto, skipped_keys_grow_old_and_are_trimmed)
{
    enum { LATE = 6 };
    struct talk talk;
    uint8_t frame[LATE + 1][LETTER], out[BUCKET_MIN];
    struct group_opened opened;
    struct group_sending *chain = &talk.chain[BEN][ANNA];
    uint64_t later = STAGE_NOW + GROUP_SKIPPED_LIFE_MS;

    talk_open(&talk, 5);
    for (int i = 0; i <= LATE; i++)
        letter(&talk, ANNA, frame[i]);
    cr_assert_eq(letter_open(&talk, BEN, frame[LATE]), ERR_OK);
    cr_expect_eq(chain->skipped_count, LATE);
    cr_expect_eq(open_at(&talk, BEN, bytes_of(frame[0], LETTER), later - 1000, out, &opened),
                 ERR_OK);
    cr_expect(opened.late);
    cr_expect_eq(open_at(&talk, BEN, bytes_of(frame[1], LETTER), later, out, &opened), ERR_DECRYPT,
                 "thirty days are over");
    group_sending_trim(chain, STAGE_NOW, 3);
    cr_expect_eq(chain->skipped_count, 3, "the oldest are gone");
    cr_expect_eq(chain->skipped[0].gen, 3);
    cr_expect_eq(letter_open(&talk, BEN, frame[2]), ERR_DECRYPT);
    cr_expect_eq(letter_open(&talk, BEN, frame[4]), ERR_OK);
    group_sending_trim(chain, later, 3);
    cr_expect_eq(chain->skipped_count, 0);
    cr_expect(
        sodium_is_zero((uint8_t *)chain->skipped, chain->skipped_cap * sizeof *chain->skipped),
        "nothing of them stays");
    talk_close(&talk);
}

Test(group_crypto, one_member_keeps_no_more_than_a_group_may)
{
    struct talk talk;
    uint8_t frame[LETTER];

    talk_open(&talk, 6);
    for (int i = 0; i < 10; i++) {
        lose(&talk, ANNA, GROUP_STEP_MAX);
        letter(&talk, ANNA, frame);
        cr_assert_eq(letter_open(&talk, BEN, frame), ERR_OK);
    }
    cr_expect_eq(talk.chain[BEN][ANNA].skipped_count, GROUP_SKIPPED_MAX);
    cr_expect_eq(talk.chain[BEN][ANNA].skipped[0].gen, 2 * (GROUP_STEP_MAX + 1));
    talk_close(&talk);
}

/* ---- the database -----------------------------------------------------------------------------
 */

Test(group_crypto, a_chain_from_the_database_is_what_it_was_or_nothing)
{
    struct talk talk;
    uint8_t frame[4][LETTER];
    struct group_sending *chain = &talk.chain[BEN][ANNA], read;
    struct buf kept = { 0 };

    talk_open(&talk, 7);
    for (int i = 0; i < 4; i++)
        letter(&talk, ANNA, frame[i]);
    cr_assert_eq(letter_open(&talk, BEN, frame[2]), ERR_OK);
    group_sending_export(chain, &kept);
    cr_assert_eq(kept.len, 41 + 2 * 40);
    group_sending_wipe(chain);
    cr_expect_eq(group_sending_import(chain, buf_bytes(&kept)), ERR_OK);
    cr_expect_eq(letter_open(&talk, BEN, frame[2]), ERR_DECRYPT);
    cr_expect_eq(letter_open(&talk, BEN, frame[1]), ERR_OK);
    cr_expect_eq(letter_open(&talk, BEN, frame[3]), ERR_OK);

    for (size_t len = 0; len < kept.len; len++)
        cr_expect_eq(group_sending_import(&read, bytes_of(kept.at, len)), ERR_CORRUPT, "%zu", len);
    kept.at[0] = 2;
    cr_expect_eq(group_sending_import(&read, buf_bytes(&kept)), ERR_STORE_NEWER);
    kept.at[0] = 0;
    cr_expect_eq(group_sending_import(&read, buf_bytes(&kept)), ERR_CORRUPT);
    kept.at[0] = 1;
    put_u32(kept.at + 41, 1); /* both keys of generation 1 */
    cr_expect_eq(group_sending_import(&read, buf_bytes(&kept)), ERR_CORRUPT);
    put_u32(kept.at + 41, 0);
    put_u32(kept.at + 81, 3); /* a generation that is still to come */
    cr_expect_eq(group_sending_import(&read, buf_bytes(&kept)), ERR_CORRUPT);
    put_u32(kept.at + 37, UINT32_MAX);
    cr_expect_eq(group_sending_import(&read, buf_bytes(&kept)), ERR_CORRUPT);
    cr_expect_null(read.skipped);
    buf_wipe(&kept);
    talk_close(&talk);
}

/* ---- whoever handles the frames ----------------------------------------------------------------
 */

Test(group_crypto, T3_every_byte_of_a_group_frame_counts)
{
    struct talk talk;
    uint8_t frame[LETTER];
    struct group_opened opened;
    uint8_t out[BUCKET_MIN];

    talk_open(&talk, 8);
    letter(&talk, ANNA, frame);
    for (size_t i = 0; i < LETTER; i++) {
        struct buf before = chains_bytes(&talk, BEN), after;

        frame[i] ^= 0x10;
        cr_expect_neq(open_at(&talk, BEN, bytes_of(frame, LETTER), STAGE_NOW, out, &opened), ERR_OK,
                      "byte %zu", i);
        after = chains_bytes(&talk, BEN);
        cr_expect(bytes_equal(buf_bytes(&before), buf_bytes(&after)), "byte %zu: a trace", i);
        buf_wipe(&before);
        buf_wipe(&after);
        frame[i] ^= 0x10;
    }
    cr_expect_eq(letter_open(&talk, BEN, frame), ERR_OK, "unharmed by all that");
    talk_close(&talk);
}

Test(group_crypto, T22_random_frames_leave_no_trace)
{
    struct talk talk;
    struct buf before, after;
    uint8_t frame[LETTER], good[LETTER], out[BUCKET_MIN];
    struct group_opened opened;

    talk_open(&talk, chance_seed("T22_random_frames"));
    letter(&talk, ANNA, good);
    before = chains_bytes(&talk, BEN);
    for (int i = 0; i < 20000; i++) {
        memcpy(frame, good, AT_N);
        put_u32(frame + 106, (uint32_t)chance_below(&talk.stage.chance, 8));
        chance_bytes(&talk.stage.chance, frame + AT_N, LETTER - AT_N);
        cr_expect_eq(open_at(&talk, BEN, bytes_of(frame, LETTER), STAGE_NOW, out, &opened),
                     ERR_COMMIT);
    }
    after = chains_bytes(&talk, BEN);
    cr_expect(bytes_equal(buf_bytes(&before), buf_bytes(&after)));
    buf_wipe(&before);
    buf_wipe(&after);
    talk_close(&talk);
}

/* Frames of sessions, of other groups, of other epochs, to somebody, and stubs: no group message.
 */
Test(group_crypto, T29_nothing_else_is_taken_for_a_group_frame)
{
    struct talk talk;
    uint8_t frame[LETTER], other[LETTER], pairwise[FRAME_MIN] = { 0 }, stub[FRAME_STUB_MAX];
    uint8_t digest[32];
    struct frame_header header;
    struct frame_view view;
    struct group_opened opened;
    uint32_t epoch, gen;

    talk_open(&talk, 9);
    letter(&talk, ANNA, frame);
    cr_assert_eq(frame_parse_whole(bytes_of(frame, LETTER), &view), ERR_OK);
    cr_expect(group_frame_place(&view, &epoch, &gen));
    cr_expect(epoch == 2 && gen == 0);

    memcpy(other, frame, LETTER);
    other[4] ^= 1;
    refused(&talk, BEN, bytes_of(other, LETTER), ERR_SCHEMA, "another group");
    memcpy(other, frame, LETTER);
    put_u32(other + 102, 3);
    refused(&talk, BEN, bytes_of(other, LETTER), ERR_SCHEMA, "another epoch");
    memcpy(other, frame, LETTER);
    other[60] = 1;
    refused(&talk, BEN, bytes_of(other, LETTER), ERR_SCHEMA, "to one member");

    header = header_of(&talk, ANNA);
    header.kind = FRAME_DATA;
    frame_header_write(pairwise, &header);
    put_u16(pairwise + FRAME_FH_SIZE, FRAME_HDR_SESSION);
    refused(&talk, BEN, bytes_of(pairwise, FRAME_MIN), ERR_SCHEMA, "a session's");
    cr_assert_eq(frame_parse_whole(bytes_of(pairwise, FRAME_MIN), &view), ERR_OK);
    cr_expect_not(group_frame_place(&view, &epoch, &gen));

    cr_assert_eq(frame_parse(bytes_of(frame, LETTER), &view), ERR_OK);
    frame_stub_write(&view, stub, digest);
    cr_assert_eq(frame_parse(bytes_of(stub, FRAME_STUB_GROUP), &view), ERR_OK);
    cr_expect_eq(group_decrypt(&talk.chain[BEN][ANNA], &talk.epoch, &view,
                               talk.stage.actor[ANNA].pk, STAGE_NOW, stub, &opened),
                 ERR_SCHEMA);
    cr_expect_eq(letter_open(&talk, BEN, frame), ERR_OK);
    cr_expect_eq(letter_open(&talk, ANNA, frame), ERR_DECRYPT, "sent back to its author");
    talk_close(&talk);
}

/* ---- admins -----------------------------------------------------------------------------------
 */

static bool confirms(const struct group_chain *chain, const uint8_t secret[static 32])
{
    uint8_t confirm[32];

    group_confirm(confirm, secret, chain->gid, chain->epoch, chain->epoch_prev,
                  chain->epoch_body.members_hash);
    return memcmp(confirm, chain->epoch_body.confirm, 32) == 0;
}

/* What the EPOCH event says fits one secret, one member list, one place in the chain. */
Test(group_crypto, T24_different_secrets_are_not_confirmed)
{
    struct group_stage *stage;
    struct talk talk;
    struct group_chain other = { 0 };
    uint8_t secret[32];

    talk_open(&talk, 10);
    stage = &talk.stage;
    cr_expect(confirms(&stage->chain, stage->secret));
    for (size_t bit = 0; bit < 256; bit++) {
        memcpy(secret, stage->secret, 32);
        secret[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_expect_not(confirms(&stage->chain, secret), "bit %zu", bit);
    }
    group_chain_copy(&other, &stage->chain);
    other.epoch_body.members_hash[0] ^= 1;
    cr_expect_not(confirms(&other, stage->secret), "other members");
    group_chain_copy(&other, &stage->chain);
    other.epoch_prev[0] ^= 1;
    cr_expect_not(confirms(&other, stage->secret), "behind another event");
    group_chain_copy(&other, &stage->chain);
    other.epoch++;
    cr_expect_not(confirms(&other, stage->secret), "another epoch");
    group_chain_copy(&other, &stage->chain);
    other.gid[0] ^= 1;
    cr_expect_not(confirms(&other, stage->secret), "another group");
    group_chain_free(&other);
    talk_close(&talk);
}

/* Two EPOCHs with one number, one for each half of the group: nothing crosses. */
Test(group_crypto, T27_two_histories_have_different_keys)
{
    struct talk left, right;
    uint8_t frame[LETTER], secret[32];
    struct said said;

    talk_open(&left, 11);
    talk_open(&right, 11);
    memcpy(secret, left.stage.secret, 32);
    cr_assert_eq(stage_epoch(&left.stage, ANNA), ERR_OK);
    right.stage.now_ms++; /* the same secret, members and number: only the event is another */
    said_epoch(&said, &right.stage, ANNA);
    memcpy(right.stage.secret, left.stage.secret, 32);
    epoch_body_encode(said.body, &left.stage.chain.epoch_body);
    said_sign(&said, right.stage.actor[ANNA].sk);
    cr_assert_eq(stage_append(&right.stage, &said), ERR_OK);
    cr_assert(confirms(&right.stage.chain, left.stage.secret));
    talk_epoch(&left);
    talk_epoch(&right);
    letter(&left, ANNA, frame);
    cr_expect_eq(letter_open(&left, BEN, frame), ERR_OK);
    refused(&right, BEN, bytes_of(frame, LETTER), ERR_COMMIT, "from the other half");
    talk_close(&left);
    talk_close(&right);
}

/* ---- members ----------------------------------------------------------------------------------
 */

/* Every member can derive every chain, and so seal in another's name: the signature says who. */
Test(group_crypto, T28_a_member_cannot_speak_as_another)
{
    struct talk talk;
    uint8_t forged[LETTER], frame[LETTER], late[LETTER];
    struct frame_view view;

    talk_open(&talk, 12);
    cr_assert_eq(seal_as(&talk, ANNA, BEN, bytes_of_text("words"), forged), ERR_OK);
    refused(&talk, CLEO, bytes_of(forged, LETTER), ERR_AUTH, "Ben in Anna's name");
    letter(&talk, ANNA, frame);
    cr_expect_eq(letter_open(&talk, CLEO, frame), ERR_OK,
                 "Anna's own of the same generation opens");

    letter(&talk, ANNA, late);
    letter(&talk, ANNA, frame);
    cr_assert_eq(letter_open(&talk, CLEO, frame), ERR_OK);
    cr_assert_eq(seal_as(&talk, ANNA, BEN, bytes_of_text("words"), forged), ERR_OK);
    cr_assert_eq(frame_parse_whole(bytes_of(forged, LETTER), &view), ERR_OK);
    refused(&talk, CLEO, bytes_of(forged, LETTER), ERR_AUTH, "with a generation that is awaited");
    cr_expect_eq(letter_open(&talk, CLEO, late), ERR_OK, "its key was not burnt");

    /* Far ahead, to burn a thousand of her generations: they stay where they are. */
    for (int i = 0; i < 500; i++)
        cr_assert_eq(seal_as(&talk, ANNA, BEN, bytes_of_text("words"), forged), ERR_OK);
    refused(&talk, CLEO, bytes_of(forged, LETTER), ERR_AUTH, "five hundred ahead");
    cr_expect_eq(talk.chain[CLEO][ANNA].next, 3);
    talk_close(&talk);
}

/* Ben takes Anna's words, signature and all, and seals them again at another place. */
Test(group_crypto, T28_a_signature_counts_for_its_place_only)
{
    struct talk talk;
    uint8_t frame[LETTER], again[LETTER], plain[BUCKET_MIN], ad[256], *at, mk[32], key[32];
    struct group_opened opened;
    struct message_keys keys;

    talk_open(&talk, 13);
    letter(&talk, ANNA, frame);
    cr_assert_eq(open_at(&talk, BEN, bytes_of(frame, LETTER), STAGE_NOW, plain, &opened), ERR_OK);
    /* `plain` is Anna's signature and words, padded.  The same under generation 1. */
    memcpy(again, frame, LETTER);
    put_u64(again + 84, 2);
    put_u32(again + 106, 1);
    memcpy(key, talk.chain[BEN][ANNA].key, 32);
    kdf_chain(key, mk);
    kdf_message(&keys, LABEL_GMK, mk, SUITE_CHACHA, again + AT_N);
    memcpy(again + AT_COMMIT, keys.commit, 32);
    at = put_raw(put_label(ad, LABEL_GMSG), talk.epoch.digest, 32);
    at = put_raw(put_raw(at, again, 100), again + 102, 64);
    cr_assert_eq(aead_seal(SUITE_CHACHA, again + AT_CT, keys.key, keys.nonce,
                           bytes_of(ad, (size_t)(at - ad)), bytes_of(plain, BUCKET_MIN)),
                 ERR_OK);
    refused(&talk, CLEO, bytes_of(again, LETTER), ERR_AUTH, "Anna's words once more");
    cr_expect_eq(letter_open(&talk, CLEO, frame), ERR_OK);
    talk_close(&talk);
}

/* Sealed by somebody who knows the chain and forgot the signature. */
Test(group_crypto, T28_words_without_a_signature_are_nobodys)
{
    struct talk talk;
    uint8_t frame[LETTER], ad[256], *at, mk[32], key[32];
    struct message_keys keys;

    talk_open(&talk, 14);
    letter(&talk, ANNA, frame);
    memcpy(key, talk.chain[BEN][ANNA].key, 32);
    kdf_chain(key, mk);
    kdf_message(&keys, LABEL_GMK, mk, SUITE_CHACHA, frame + AT_N);
    memset(frame + AT_CT, 0, BUCKET_MIN);
    pad(frame + AT_CT, 63); /* one byte short of a signature */
    at = put_raw(put_label(ad, LABEL_GMSG), talk.epoch.digest, 32);
    at = put_raw(put_raw(at, frame, 100), frame + 102, 64);
    cr_assert_eq(aead_seal(SUITE_CHACHA, frame + AT_CT, keys.key, keys.nonce,
                           bytes_of(ad, (size_t)(at - ad)), bytes_of(frame + AT_CT, BUCKET_MIN)),
                 ERR_OK);
    refused(&talk, CLEO, bytes_of(frame, LETTER), ERR_AUTH, "no signature");
    talk_close(&talk);
}

/* ---- secrets of before and after --------------------------------------------------------------
 */

/* Does any chain that the thief holds, walked on, open it? */
static bool walks_to(const struct group_sending *chain, const uint8_t frame[static LETTER])
{
    uint8_t walk[32], mk[32];
    struct message_keys keys;

    memcpy(walk, chain->key, 32);
    for (int i = 0; i < 100; i++) {
        kdf_chain(walk, mk);
        kdf_message(&keys, LABEL_GMK, mk, frame[2], frame + AT_N);
        if (memcmp(keys.commit, frame + AT_COMMIT, 32) == 0)
            return true;
    }
    return false;
}

Test(group_crypto, T16_a_stolen_chain_opens_nothing_of_before)
{
    enum { COUNT = 5 };
    struct talk talk;
    uint8_t frame[COUNT][LETTER];

    talk_open(&talk, 15);
    for (int i = 0; i < COUNT; i++)
        letter(&talk, ANNA, frame[i]);
    for (int i = COUNT - 1; i >= 0; i--)
        cr_assert_eq(letter_open(&talk, BEN, frame[i]), ERR_OK);
    for (int i = 0; i < COUNT; i++)
        for (int from = 0; from < 3; from++) {
            cr_expect_not(walks_to(&talk.chain[BEN][from], frame[i]), "%d", i);
            cr_expect_not(walks_to(&talk.chain[ANNA][from], frame[i]), "%d, the author's", i);
        }
    talk_close(&talk);
}

/* Cleo was removed and keeps everything, and the broker gives her every frame. */
Test(group_crypto, T26_a_removed_member_opens_nothing_after_the_EPOCH)
{
    struct talk talk;
    struct group_sending kept[3];
    struct group_epoch old;
    uint8_t secret[32], before[LETTER], after[3][LETTER], out[BUCKET_MIN];
    struct group_opened opened;
    struct frame_view view;

    talk_open(&talk, 16);
    letter(&talk, ANNA, before);
    memcpy(secret, talk.stage.secret, 32);
    old = talk.epoch;
    cr_assert_eq(stage_remove(&talk.stage, ANNA, CLEO, REMOVED_BY_ADMIN), ERR_OK);
    cr_assert_eq(stage_epoch(&talk.stage, ANNA), ERR_OK);
    talk_epoch(&talk);
    for (int i = 0; i < 3; i++)
        letter(&talk, i % 2, after[i]);
    for (int from = 0; from < 2; from++) {
        struct group_epoch lie = talk.epoch; /* the new event with the old secret */

        group_sending_init(&kept[0], secret, &old, talk.stage.actor[from].aid);
        group_sending_init(&kept[1], secret, &lie, talk.stage.actor[from].aid);
        for (int i = 0; i < 3; i++) {
            cr_expect_not(walks_to(&kept[0], after[i]));
            cr_expect_not(walks_to(&kept[1], after[i]));
            cr_assert_eq(frame_parse_whole(bytes_of(after[i], LETTER), &view), ERR_OK);
            cr_expect_neq(group_decrypt(&kept[0], &old, &view, talk.stage.actor[from].pk, STAGE_NOW,
                                        out, &opened),
                          ERR_OK);
            cr_expect_neq(group_decrypt(&kept[1], &lie, &view, talk.stage.actor[from].pk, STAGE_NOW,
                                        out, &opened),
                          ERR_OK);
        }
        group_sending_wipe(&kept[0]);
        group_sending_wipe(&kept[1]);
    }
    group_sending_init(&kept[2], secret, &old, talk.stage.actor[ANNA].aid);
    cr_assert_eq(frame_parse_whole(bytes_of(before, LETTER), &view), ERR_OK);
    cr_expect_eq(
        group_decrypt(&kept[2], &old, &view, talk.stage.actor[ANNA].pk, STAGE_NOW, out, &opened),
        ERR_OK, "what was said while she was there she may keep");
    group_sending_wipe(&kept[2]);
    talk_close(&talk);
}

/* And whoever comes later reads nothing of before, whatever the broker kept for it. */
Test(group_crypto, T53_a_joiner_opens_nothing_of_before_its_EPOCH)
{
    struct talk talk;
    uint8_t before[LETTER], after[LETTER];

    talk_open(&talk, 17);
    letter(&talk, ANNA, before);
    cr_assert_eq(stage_epoch(&talk.stage, ANNA), ERR_OK); /* with Cleo as the newcomer */
    talk_epoch(&talk);
    letter(&talk, ANNA, after);
    for (int from = 0; from < 3; from++)
        cr_expect_not(walks_to(&talk.chain[CLEO][from], before));
    refused(&talk, CLEO, bytes_of(before, LETTER), ERR_SCHEMA, "a frame of before");
    put_u32(before + 102, talk.epoch.epoch);
    refused(&talk, CLEO, bytes_of(before, LETTER), ERR_COMMIT, "the same, relabelled");
    cr_expect_eq(letter_open(&talk, CLEO, after), ERR_OK);
    talk_close(&talk);
}

/* The only case in which a number is sealed twice. */
Test(group_crypto, T55_the_same_number_under_two_epochs_shares_no_key)
{
    struct talk talk;
    uint8_t first[LETTER], second[LETTER];

    talk_open(&talk, 18);
    letter(&talk, ANNA, first);
    cr_assert_eq(stage_epoch(&talk.stage, ANNA), ERR_OK);
    talk_epoch(&talk);
    talk.seq[ANNA] = 0;
    letter(&talk, ANNA, second);
    cr_expect_eq(get_u64(first + 84), get_u64(second + 84));
    cr_expect_neq(memcmp(first + AT_COMMIT, second + AT_COMMIT, 32), 0);
    refused(&talk, BEN, bytes_of(first, LETTER), ERR_SCHEMA, "the first, in the new epoch");
    cr_expect_eq(letter_open(&talk, BEN, second), ERR_OK);
    talk_close(&talk);
}

/* A snapshot of the machine that brings its randomness back with it. */
Test(group_crypto, T41_the_same_state_and_chance_never_give_the_same_nonce)
{
    struct talk talk;
    struct frame_header header;
    struct group_sending again;
    uint8_t a[LETTER], b[LETTER], digest[32], rand[32] = { 7 };

    talk_open(&talk, 19);
    header = header_of(&talk, ANNA);
    again = talk.chain[ANNA][ANNA];
    cr_assert_eq(group_encrypt(&talk.chain[ANNA][ANNA], &talk.epoch, &header,
                               talk.stage.actor[ANNA].sk, bytes_of_text("yes"), rand, a, digest),
                 ERR_OK);
    cr_assert_eq(group_encrypt(&again, &talk.epoch, &header, talk.stage.actor[ANNA].sk,
                               bytes_of_text("no"), rand, b, digest),
                 ERR_OK);
    cr_expect_neq(memcmp(a + AT_N, b + AT_N, 24), 0);
    cr_expect_neq(memcmp(a + AT_COMMIT, b + AT_COMMIT, 32), 0);
    talk_close(&talk);
}
