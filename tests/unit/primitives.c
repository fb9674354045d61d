/* layers: base wire trust agent_crypto */
/* Known answers of the primitives, through our own calls: RFC 7748, 8032, 7693, 8439, XChaCha. */
#include <criterion/criterion.h>
#include <sodium.h>

#include "agent/crypto/aead.h"
#include "agent/crypto/dh.h"
#include "agent/crypto/sign.h"
#include "shared/base/text.h"

static void start(void)
{
    cr_assert(sodium_init() >= 0);
}

TestSuite(primitives, .init = start);

static size_t from_hex(uint8_t *out, const char *hex)
{
    cr_assert_eq(hex_decode(out, strlen(hex) / 2, hex, strlen(hex)), ERR_OK);
    return strlen(hex) / 2;
}

static void expect_hex(const uint8_t *got, size_t len, const char *want, const char *name)
{
    char *hex = mem_alloc(2 * len + 1);

    hex_encode(hex, got, len);
    cr_expect_str_eq(hex, want, "%s", name);
    free(hex);
}

Test(primitives, rfc7748_section_5_2)
{
    static const struct {
        const char *scalar, *u, *want;
    } rows[] = {
        { "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
          "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
          "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552" },
        { "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
          "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
          "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957" },
    };
    uint8_t sk[32], pk[32], out[32], k[32] = { 9 }, u[32] = { 9 };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        from_hex(sk, rows[i].scalar);
        from_hex(pk, rows[i].u);
        cr_expect_eq(dh(out, sk, pk), ERR_OK);
        expect_hex(out, 32, rows[i].want, "shared secret");
    }
    for (int i = 1; i <= 1000; i++) {
        cr_assert_eq(dh(out, k, u), ERR_OK);
        memcpy(u, k, 32);
        memcpy(k, out, 32);
        if (i == 1)
            expect_hex(k, 32, "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079",
                       "after one");
    }
    expect_hex(k, 32, "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51",
               "after a thousand");
}

Test(primitives, dh_refuses_keys_of_small_order)
{
    static const char *const points[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    };
    uint8_t sk[32] = { 8, 1 }, pk[32], out[32];

    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
        from_hex(pk, points[i]);
        cr_expect_eq(dh(out, sk, pk), ERR_DECRYPT, "%s", points[i]);
    }
}

Test(primitives, rfc8032_section_7_1)
{
    static const struct {
        const char *name, *seed, *pk, *message, *sig;
    } rows[] = {
        { "test 1", "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
          "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
          "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e3970"
          "1c"
          "f9b46bd25bf5f0595bbe24655141438e7a100b" },
        { "test 2", "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
          "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
          "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613"
          "d0"
          "f11d8c387b2eaeb4302aeeb00d291612bb0c00" },
        { "test 3", "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
          "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
          "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760"
          "98"
          "4dc6594a7c15e9716ed28dc027beceea1ec40a" },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t seed[32], pk[32], sk[64], message[8], sig[64];
        size_t len = from_hex(message, rows[i].message);

        from_hex(seed, rows[i].seed);
        sign_key_of_seed(pk, sk, seed);
        expect_hex(pk, 32, rows[i].pk, rows[i].name);
        sign(sig, sk, bytes_of(message, len));
        expect_hex(sig, 64, rows[i].sig, rows[i].name);
    }
}

/* RFC 7693 appendix E: one hash over hashes of many lengths, with and without a key. */
static void blake_sequence(uint8_t *out, size_t len, uint32_t seed)
{
    uint32_t a = 0xdead4badu * seed, b = 1;

    for (size_t i = 0; i < len; i++) {
        uint32_t t = a + b;

        a = b;
        b = t;
        out[i] = (uint8_t)(t >> 24);
    }
}

Test(primitives, rfc7693_self_test)
{
    static const size_t sizes[] = { 20, 32, 48, 64 }, lengths[] = { 0, 3, 128, 129, 255, 1024 };
    crypto_generichash_state all;
    uint8_t in[1024], key[64], out[64];

    crypto_generichash_init(&all, NULL, 0, 32);
    for (size_t i = 0; i < 4; i++) {
        for (size_t j = 0; j < 6; j++) {
            blake_sequence(in, lengths[j], (uint32_t)lengths[j]);
            crypto_generichash(out, sizes[i], in, lengths[j], NULL, 0);
            crypto_generichash_update(&all, out, sizes[i]);
            blake_sequence(key, sizes[i], (uint32_t)sizes[i]);
            crypto_generichash(out, sizes[i], in, lengths[j], key, sizes[i]);
            crypto_generichash_update(&all, out, sizes[i]);
        }
    }
    crypto_generichash_final(&all, out, 32);
    expect_hex(out, 32, "c23a7800d98123bd10f506c61e29da5603d763b8bbad2e737f5e765a7bccd475",
               "grand hash");
}

#define SUNSCREEN                                                                                  \
    "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, " \
    "sunscreen would be it."

static void aead_key(uint8_t key[static 32])
{
    for (int i = 0; i < 32; i++)
        key[i] = (uint8_t)(0x80 + i);
}

Test(primitives, rfc8439_section_2_8_2)
{
    static const char want[]
        = "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69"
          "da"
          "92728b1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad6759455"
          "85"
          "808b4831d7bc3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691";
    uint8_t key[32], nonce[12], ad[12], out[256], back[256];
    struct bytes m = bytes_of_text(SUNSCREEN);

    aead_key(key);
    from_hex(nonce, "070000004041424344454647");
    from_hex(ad, "50515253c0c1c2c3c4c5c6c7");
    cr_expect_eq(aead_seal(0x01, out, key, nonce, bytes_of(ad, 12), m), ERR_OK);
    expect_hex(out, m.len + 16, want, "ciphertext and tag");
    cr_expect_eq(aead_open(0x01, back, key, nonce, bytes_of(ad, 12), bytes_of(out, m.len + 16)),
                 ERR_OK);
    cr_expect_arr_eq(back, m.at, m.len);
    out[3] ^= 1;
    cr_expect_eq(aead_open(0x01, back, key, nonce, bytes_of(ad, 12), bytes_of(out, m.len + 16)),
                 ERR_DECRYPT);
    cr_expect_eq(aead_open(0x01, back, key, nonce, bytes_of(ad, 12), bytes_of(out, 15)),
                 ERR_DECRYPT, "shorter than a tag");
}

Test(primitives, xchacha_draft_a_3_1)
{
    static const char want[]
        = "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f"
          "4e"
          "da7e39ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76"
          "b2"
          "383565d3fff921f9664c97637da9768812f615c68b13b52ec0875924c1c7987947deafd8780acf49";
    uint8_t key[32], nonce[24], ad[12], out[256], back[256];
    struct bytes m = bytes_of_text(SUNSCREEN);

    aead_key(key);
    from_hex(nonce, "404142434445464748494a4b4c4d4e4f5051525354555657");
    from_hex(ad, "50515253c0c1c2c3c4c5c6c7");
    xaead_seal(out, key, nonce, bytes_of(ad, 12), m);
    expect_hex(out, m.len + 16, want, "ciphertext and tag");
    cr_expect_eq(xaead_open(back, key, nonce, bytes_of(ad, 12), bytes_of(out, m.len + 16)), ERR_OK);
    cr_expect_arr_eq(back, m.at, m.len);
    ad[0] ^= 1;
    cr_expect_eq(xaead_open(back, key, nonce, bytes_of(ad, 12), bytes_of(out, m.len + 16)),
                 ERR_DECRYPT);
}

/* Frames are sealed and opened where they lie. */
Test(primitives, in_place)
{
    static const uint8_t suites[] = { 0x01, 0x02 };

    for (size_t i = 0; i < 2; i++) {
        for (size_t len = 0; len < 700; len += 13) {
            uint8_t key[32], nonce[12] = { 1 }, apart[800], same[800];
            struct bytes ad = { key, 20 };

            if (!aead_available(suites[i]))
                continue;
            aead_key(key);
            memset(same, 7, len);
            cr_assert_eq(aead_seal(suites[i], apart, key, nonce, ad, bytes_of(same, len)), ERR_OK);
            cr_assert_eq(aead_seal(suites[i], same, key, nonce, ad, bytes_of(same, len)), ERR_OK);
            cr_assert_arr_eq(apart, same, len + 16, "suite %d, %zu bytes", suites[i], len);
            cr_assert_eq(aead_open(suites[i], same, key, nonce, ad, bytes_of(same, len + 16)),
                         ERR_OK);
            for (size_t j = 0; j < len; j++)
                cr_assert_eq(same[j], 7);
        }
    }
}

Test(primitives, suites_that_do_not_exist)
{
    uint8_t key[32] = { 0 }, nonce[12] = { 0 }, out[32];

    cr_expect_not(aead_available(0x00));
    cr_expect_not(aead_available(0x03));
    cr_expect_not(aead_available(0x21));
    cr_expect_eq(aead_seal(0x03, out, key, nonce, (struct bytes){ 0 }, (struct bytes){ 0 }),
                 ERR_UNSUPPORTED);
}
