/* layers: base wire trust agent_crypto */
#include "agent/crypto/kdf.h"

#include <criterion/criterion.h>

#include "agent/crypto/pad.h"
#include "agent/crypto/seal.h"
#include "shared/base/text.h"

static void expect_hex(const uint8_t *got, size_t len, const char *want)
{
    char hex[2 * KDF_MAX + 1];

    hex_encode(hex, got, len);
    cr_expect_str_eq(hex, want);
}

/* k of docs/protocol.md, appendix A: bytes 00 01 … 1f. */
static const uint8_t k[32] = { 0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                               16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31 };

Test(kdf, appendix_a)
{
    uint8_t root[32], chain[32], header[32], dh[32] = { 0 }, mk[32], n[24] = { 0 }, out[32];
    uint8_t input[16 + 4 + 64] = { 0 };
    struct message_keys keys;

    kdf_root(root, chain, header, k, dh);
    expect_hex(root, 32, "2f4f10a6e0e60d9a6021b9b4e1ed9547bf79e7d7f564df06055ec29e68daf8a3");
    expect_hex(chain, 32, "ab3d5ea9b8694f88972e05ca3c39344892b424519b22f3f878167242834e78e8");
    expect_hex(header, 32, "44ae99bb32b7158d340fdbb0f7d6f2e1e4a7dd6bdf180b4dc7fbe6233bf9a584");

    memcpy(chain, k, 32);
    kdf_chain(chain, mk);
    expect_hex(mk, 32, "c94fbe3bb3272a3a1fef88ba308e0aeb2df80adce92c3f6b73188bf66cadee38");
    expect_hex(chain, 32, "6e481f49cb6969ccb4b1bc36bcb5df1ad7d711c49d192f9fe3907f9de33162c1");

    kdf_message(&keys, LABEL_MK, k, 1, n);
    expect_hex(keys.key, 32, "d8e4d8cb7345bf0a4413715135b6da1ef90bc3d7347871e54f41bf927687bd6b");
    expect_hex(keys.commit, 32, "8c10c284fe08aec294f8ed3bc05684f7c729259a3511d5fc874c7a6856c3b922");
    expect_hex(keys.nonce, 12, "33512f07dac04f45de9ff8b3");

    put_u32(input + 16, 1);
    kdf(out, sizeof out, k, LABEL_GCK, bytes_of(input, sizeof input));
    expect_hex(out, 32, "b2331bd6c9e7eff998ce5ffa10611d4147322e3db8e292b6bb25e7ca515fcc76");
}

/* A longer output begins with the shorter one; another label, key or input gives another one. */
Test(kdf, separation)
{
    uint8_t one[KDF_MAX], two[KDF_MAX], other[32];

    kdf(one, 32, k, LABEL_RK, bytes_of(k, 32));
    kdf(two, KDF_MAX, k, LABEL_RK, bytes_of(k, 32));
    cr_expect_arr_eq(one, two, 32);
    cr_expect_arr_neq(two, two + 64, 64);
    kdf(two, 32, k, LABEL_MK, bytes_of(k, 32));
    cr_expect_arr_neq(one, two, 32);
    kdf(two, 32, k, LABEL_RK, bytes_of(k, 31));
    cr_expect_arr_neq(one, two, 32);
    memcpy(other, k, 32);
    other[31] ^= 1;
    kdf(two, 32, other, LABEL_RK, bytes_of(k, 32));
    cr_expect_arr_neq(one, two, 32);
}

/* N depends on the message key, the random bytes, the header and the message. */
Test(kdf, hedge)
{
    uint8_t rand[32] = { 0 }, fh[100] = { 0 }, message[256] = { 0 }, n[5][24];

    kdf_hedge(n[0], k, rand, fh, bytes_of(message, sizeof message));
    rand[31] ^= 1;
    kdf_hedge(n[1], k, rand, fh, bytes_of(message, sizeof message));
    rand[31] ^= 1;
    fh[99] ^= 1;
    kdf_hedge(n[2], k, rand, fh, bytes_of(message, sizeof message));
    fh[99] ^= 1;
    message[255] ^= 1;
    kdf_hedge(n[3], k, rand, fh, bytes_of(message, sizeof message));
    message[255] ^= 1;
    kdf_hedge(n[4], rand, rand, fh, bytes_of(message, sizeof message));
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < i; j++)
            cr_expect_arr_neq(n[i], n[j], 24, "%d and %d", i, j);
}

/* ---- padding ---- */

Test(pad, there_and_back)
{
    static uint8_t at[BUCKET_MAX];
    static const size_t sizes[] = { 0, 1, 254, 255, 256, 319, 320, 511, 512, 40959, 57344, 65535 };

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t padded, len = 0;

        memset(at, 0xaa, sizeof at);
        padded = pad(at, sizes[i]);
        cr_expect(padded > sizes[i] && bucket_valid(padded), "%zu", sizes[i]);
        cr_expect_eq(unpad(bytes_of(at, padded), &len), ERR_OK, "%zu", sizes[i]);
        cr_expect_eq(len, sizes[i]);
    }
}

Test(pad, refuses)
{
    static const struct {
        const char *name;
        size_t size;
        size_t mark_at;
        uint8_t mark;
        enum err want;
    } rows[] = {
        { "empty message", 256, 0, 0x80, ERR_OK },
        { "full bucket", 256, 255, 0x80, ERR_OK },
        { "larger bucket than needed", 320, 3, 0x80, ERR_OK },
        { "no bucket", 257, 3, 0x80, ERR_DECRYPT },
        { "nothing", 0, 0, 0x80, ERR_DECRYPT },
        { "no marker", 256, 0, 0x00, ERR_DECRYPT },
        { "another marker", 256, 9, 0x81, ERR_DECRYPT },
        { "half a marker", 256, 9, 0x40, ERR_DECRYPT },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t at[512] = { 0 };
        size_t len;

        at[rows[i].mark_at] = rows[i].mark;
        cr_expect_eq(unpad(bytes_of(at, rows[i].size), &len), rows[i].want, "%s", rows[i].name);
    }
}

/* ---- sealing at rest ---- */

static enum err unseals(struct bytes sealed, const uint8_t *dbk, const char *column, uint64_t key,
                        uint64_t version)
{
    struct buf out = { 0 };
    enum err e = unseal(&out, dbk, (struct seal_place){ column, key, version }, sealed);

    cr_expect(e != ERR_OK || bytes_equal(buf_bytes(&out), bytes_of_text("secret")));
    buf_wipe(&out);
    return e;
}

Test(seal, T34_opens_in_its_own_place_only)
{
    struct seal_place place = { "session.ratchet", 7, 3 };
    uint8_t nonce[24] = { 5 }, other[32] = { 1 };
    struct buf sealed = { 0 };

    seal(&sealed, k, place, nonce, bytes_of_text("secret"));
    cr_expect_eq(sealed.len, 6 + SEAL_OVERHEAD);
    cr_expect_eq(unseals(buf_bytes(&sealed), k, "session.ratchet", 7, 3), ERR_OK);
    cr_expect_eq(unseals(buf_bytes(&sealed), k, "skipped.keys", 7, 3), ERR_CORRUPT, "column");
    cr_expect_eq(unseals(buf_bytes(&sealed), k, "session.ratchet", 8, 3), ERR_CORRUPT, "row");
    cr_expect_eq(unseals(buf_bytes(&sealed), k, "session.ratchet", 7, 4), ERR_CORRUPT, "version");
    cr_expect_eq(unseals(buf_bytes(&sealed), other, "session.ratchet", 7, 3), ERR_CORRUPT, "key");
    for (size_t len = 0; len < sealed.len; len++)
        cr_expect_eq(unseals(bytes_of(sealed.at, len), k, "session.ratchet", 7, 3), ERR_CORRUPT);
    for (size_t bit = 0; bit < 8 * sealed.len; bit++) {
        sealed.at[bit / 8] ^= (uint8_t)(1 << bit % 8);
        cr_expect_eq(unseals(buf_bytes(&sealed), k, "session.ratchet", 7, 3), ERR_CORRUPT);
        sealed.at[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    buf_free(&sealed);
}

Test(seal, empty_value)
{
    struct seal_place place = { "a.b", 0, 0 };
    uint8_t nonce[24] = { 0 };
    struct buf sealed = { 0 }, out = { 0 };

    seal(&sealed, k, place, nonce, (struct bytes){ 0 });
    cr_expect_eq(unseal(&out, k, place, buf_bytes(&sealed)), ERR_OK);
    cr_expect_eq(out.len, 0);
    buf_free(&sealed);
    buf_free(&out);
}
