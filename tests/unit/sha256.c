/* layers: base */
#include "shared/base/sha256.h"

#include <criterion/criterion.h>
#include <sodium.h>

#include "shared/base/text.h"

Test(sha256, known_answers)
{
    static const struct {
        const char *message, *want;
    } rows[] = {
        { "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
        { "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
        { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t out[32];
        char hex[65];

        sha256(out, bytes_of_text(rows[i].message));
        hex_encode(hex, out, 32);
        cr_expect_str_eq(hex, rows[i].want, "\"%s\"", rows[i].message);
    }
}

/* Whichever library it comes from, it is the same function, in one piece or in many. */
Test(sha256, agrees_with_libsodium)
{
    static uint8_t data[4096];
    uint8_t ours[32], pieces[32], theirs[32];

    randombytes_buf_deterministic(data, sizeof data, (const uint8_t[32]){ 1 });
    for (size_t len = 0; len <= sizeof data; len = len < 300 ? len + 1 : len * 5 / 4) {
        struct sha256 hash;

        sha256(ours, bytes_of(data, len));
        crypto_hash_sha256(theirs, data, len);
        cr_expect_arr_eq(ours, theirs, 32, "%zu bytes", len);
        sha256_begin(&hash);
        for (size_t at = 0; at < len; at += 7)
            sha256_add(&hash, data + at, len - at < 7 ? len - at : 7);
        sha256_end(&hash, pieces);
        cr_expect_arr_eq(pieces, theirs, 32, "%zu bytes in pieces", len);
    }
}
