/* layers: base */
#include <criterion/criterion.h>
#include <inttypes.h>

#include "shared/base/text.h"

Test(text, names)
{
    static const struct {
        const char *text;
        bool valid;
    } cases[] = {
        { "a", true },
        { "0", true },
        { "ann-2.x_y", true },
        { "", false },
        { "-a", false },
        { ".a", false },
        { "Ann", false },
        { "a b", false },
        { "a/b", false },
        { "\xc3\xa4", false },
        { "a\n", false },
        { "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", true },
        { "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        cr_expect_eq(name_valid(bytes_of_text(cases[i].text)), cases[i].valid, "\"%s\"",
                     cases[i].text);
}

Test(text, fingerprint_of_the_protocols_example)
{
    /* docs/protocol.md: the first 20 bytes of an agent id in base32. */
    uint8_t hash[32] = { 0 };
    char text[FINGERPRINT_SIZE], plain[33];

    cr_assert_eq(hex_decode(hash, 20, "7b5a2a77efdfa3048243fd9b0759f71d4fb34847", 40), ERR_OK);
    fingerprint_text(text, hash);
    cr_expect_str_eq(text, "pnnc-u57p-36rq-jasd-7wnq-owpx-dvh3-gsch");
    cr_expect_eq(fingerprint_parse(plain, "id:pnnc-u57p-36rq-jasd"), ERR_OK);
    cr_expect(fingerprint_fits(plain, hash));
    cr_expect_eq(fingerprint_parse(plain, "pnncu57p36rqjase"), ERR_OK);
    cr_expect_not(fingerprint_fits(plain, hash));
    cr_expect_eq(fingerprint_parse(plain, "pnnc-u57p-36rq"), ERR_MALFORMED, "too short");
    cr_expect_eq(fingerprint_parse(plain, "pnnc-u57p-36rq-jas1"), ERR_MALFORMED,
                 "1 is no digit of base32");
    cr_expect_eq(fingerprint_parse(plain, "pnncu57p36rqjasd7wnqowpxdvh3gscha"), ERR_MALFORMED,
                 "too long");
}

Test(text, durations)
{
    static const struct {
        const char *text;
        uint64_t ms;
        enum err want;
    } cases[] = {
        { "0", 0, ERR_OK },
        { "850ms", 850, ERR_OK },
        { "12s", 12000, ERR_OK },
        { "3m", 180000, ERR_OK },
        { "5h", 18000000, ERR_OK },
        { "30d", 2592000000, ERR_OK },
        { "5", 0, ERR_MALFORMED },
        { "", 0, ERR_MALFORMED },
        { "-1s", 0, ERR_MALFORMED },
        { "1.5s", 0, ERR_MALFORMED },
        { "1 s", 0, ERR_MALFORMED },
        { "1w", 0, ERR_MALFORMED },
        { "1hs", 0, ERR_MALFORMED },
        { "99999999999999999999d", 0, ERR_MALFORMED },
        { "9223372036854775807d", 0, ERR_MALFORMED },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t ms = 0;

        cr_expect_eq(duration_parse(&ms, cases[i].text), cases[i].want, "\"%s\"", cases[i].text);
        if (cases[i].want == ERR_OK)
            cr_expect_eq(ms, cases[i].ms, "\"%s\"", cases[i].text);
    }
}

Test(text, durations_and_sizes_as_shown)
{
    static const struct {
        uint64_t n;
        const char *duration, *size;
    } cases[] = {
        { 0, "0ms", "0 B" },          { 850, "850ms", "850 B" },   { 12999, "12s", "12.7 KiB" },
        { 59999, "59s", "58.6 KiB" }, { 60000, "1m", "58.6 KiB" }, { 90000000, "1d", "85.8 MiB" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[SHORT_TEXT_SIZE];

        duration_text(text, cases[i].n);
        cr_expect_str_eq(text, cases[i].duration);
        size_text(text, cases[i].n);
        cr_expect_str_eq(text, cases[i].size);
    }
}

Test(text, sizes)
{
    uint64_t n;

    cr_expect_eq(size_parse(&n, "4GiB"), ERR_OK);
    cr_expect_eq(n, 4294967296);
    cr_expect_eq(size_parse(&n, "31"), ERR_OK);
    cr_expect_eq(n, 31);
    cr_expect_eq(size_parse(&n, "1MB"), ERR_MALFORMED);
    cr_expect_eq(size_parse(&n, "9223372036854775807GiB"), ERR_MALFORMED);
    cr_expect_eq(count_parse(&n, "9223372036854775807"), ERR_OK);
    cr_expect_eq(n, INT64_MAX);
    cr_expect_eq(count_parse(&n, "9223372036854775808"), ERR_MALFORMED);
}

Test(text, times)
{
    char text[TIME_TEXT_SIZE];

    time_text(text, 1795254002117);
    cr_expect_str_eq(text, "2026-11-21 09:40:02Z");
    time_json(text, 1795254002117);
    cr_expect_str_eq(text, "2026-11-21T09:40:02.117Z");
}

Test(text, escapes_what_a_terminal_would_obey)
{
    static const struct {
        const char *from, *lines, *line;
    } cases[] = {
        { "plain", "plain", "plain" },
        { "a\nb\tc", "a\nb\tc", "a\\x0ab\\x09c" },
        { "\x1b[31m", "\\x1b[31m", "\\x1b[31m" },
        { "\xe2\x80\xae"
          "evil",
          "\\u202eevil", "\\u202eevil" },
        { "\xc2\x9b", "\\u009b", "\\u009b" },
        { "\xff\xc3", "\\xff\\xc3", "\\xff\\xc3" },
        { "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" },
        { "\x7f", "\\x7f", "\\x7f" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf out = { 0 };

        text_escape(&out, bytes_of_text(cases[i].from), true);
        cr_expect(bytes_equal(buf_bytes(&out), bytes_of_text(cases[i].lines)), "%zu: %.*s", i,
                  (int)out.len, (char *)out.at);
        buf_clear(&out);
        text_escape(&out, bytes_of_text(cases[i].from), false);
        cr_expect(bytes_equal(buf_bytes(&out), bytes_of_text(cases[i].line)), "%zu: %.*s", i,
                  (int)out.len, (char *)out.at);
        buf_free(&out);
    }
}

Test(text, utf8)
{
    cr_expect(utf8_valid(bytes_of_text("\xf0\x9f\x93\xae")));
    cr_expect_not(utf8_valid(bytes_of("\xc0\x80", 2)), "longer than needed");
    cr_expect_not(utf8_valid(bytes_of("\xed\xa0\x80", 3)), "half of a surrogate pair");
    cr_expect_not(utf8_valid(bytes_of("\xf4\x90\x80\x80", 4)), "beyond the last");
    cr_expect_not(utf8_valid(bytes_of("\xe2\x82", 2)), "cut");
}

Test(text, nearest_word)
{
    static const char *const words[] = { "queue_frames", "queue_bytes", "send", "show" };

    cr_expect_str_eq(text_nearest("queue_frame", words, 4), "queue_frames");
    cr_expect_str_eq(text_nearest("sned", words, 4), "send");
    cr_expect_null(text_nearest("marmalade", words, 4));
    cr_expect_null(text_nearest("", words, 4));
}
