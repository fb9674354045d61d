/* layers: base wire */
#include "shared/wire/bound.h"

#include <criterion/criterion.h>
#include <sodium.h>
#include <string.h>

#include "shared/wire/pack.h"
#include "shared/wire/take.h"

struct bound_case {
    const char *name;
    const char *bytes;
    size_t len;
    enum err want;
};

#define CASE(name, bytes, want)                                                                    \
    {                                                                                              \
        name, bytes, sizeof bytes - 1, want                                                        \
    }

static const struct bound_case cases[] = {
    CASE("nothing", "", ERR_SCHEMA),
    CASE("zero", "\x00", ERR_OK),
    CASE("fixint 127", "\x7f", ERR_OK),
    CASE("uint8 128", "\xcc\x80", ERR_OK),
    CASE("uint8 for 127", "\xcc\x7f", ERR_SCHEMA),
    CASE("uint16 256", "\xcd\x01\x00", ERR_OK),
    CASE("uint16 for 255", "\xcd\x00\xff", ERR_SCHEMA),
    CASE("uint32 65536", "\xce\x00\x01\x00\x00", ERR_OK),
    CASE("uint32 for 65535", "\xce\x00\x00\xff\xff", ERR_SCHEMA),
    CASE("uint64 2^32", "\xcf\x00\x00\x00\x01\x00\x00\x00\x00", ERR_OK),
    CASE("uint64 for 2^32 - 1", "\xcf\x00\x00\x00\x00\xff\xff\xff\xff", ERR_SCHEMA),
    CASE("uint64 cut", "\xcf\x00\x00\x00\x01\x00\x00\x00", ERR_SCHEMA),
    CASE("true, false", "\x92\xc3\xc2", ERR_OK),
    CASE("nil", "\xc0", ERR_SCHEMA),
    CASE("0xc1", "\xc1", ERR_SCHEMA),
    CASE("int8 -1", "\xff", ERR_SCHEMA),
    CASE("int8 as d0", "\xd0\x01", ERR_SCHEMA),
    CASE("int64 as d3", "\xd3\x00\x00\x00\x00\x00\x00\x00\x01", ERR_SCHEMA),
    CASE("float32", "\xca\x00\x00\x00\x00", ERR_SCHEMA),
    CASE("float64", "\xcb\x00\x00\x00\x00\x00\x00\x00\x00", ERR_SCHEMA),
    CASE("fixext1", "\xd4\x01\x00", ERR_SCHEMA),
    CASE("ext8", "\xc7\x01\x01\x00", ERR_SCHEMA),
    CASE("ext32", "\xc9\x00\x00\x00\x01\x01\x00", ERR_SCHEMA),
    CASE("empty str", "\xa0", ERR_OK),
    CASE("str",
         "\xa3"
         "abc",
         ERR_OK),
    CASE("str cut",
         "\xa3"
         "ab",
         ERR_SCHEMA),
    CASE("str not UTF-8", "\xa2\xc3\x28", ERR_SCHEMA),
    CASE("str8 of 1",
         "\xd9\x01"
         "a",
         ERR_SCHEMA),
    CASE("bin8 of 0", "\xc4\x00", ERR_OK),
    CASE("bin8 longer than the rest", "\xc4\x02\x00", ERR_SCHEMA),
    CASE("bin16 of 0", "\xc5\x00\x00", ERR_SCHEMA),
    CASE("bin32 of 4 GiB", "\xc6\xff\xff\xff\xff", ERR_SCHEMA),
    CASE("empty array", "\x90", ERR_OK),
    CASE("array bomb", "\xdd\x7f\xff\xff\xff", ERR_SCHEMA),
    CASE("array16 of 1", "\xdc\x00\x01\x00", ERR_SCHEMA),
    CASE("array, one missing", "\x92\x00", ERR_SCHEMA),
    CASE("array, trailing", "\x91\x00\x00", ERR_SCHEMA),
    CASE("four deep", "\x91\x91\x91\x91\x00", ERR_OK),
    CASE("five deep", "\x91\x91\x91\x91\x91\x00", ERR_SCHEMA),
    CASE("five deep and empty", "\x91\x91\x91\x91\x90", ERR_SCHEMA),
    CASE("empty arrays side by side", "\x92\x90\x90", ERR_OK),
    CASE("map bomb", "\xdf\x7f\xff\xff\xff", ERR_SCHEMA),
    CASE("map", "\x82\x01\xc3\x02\xc2", ERR_OK),
    CASE("map, value missing", "\x81\x01", ERR_SCHEMA),
    CASE("map, keys descending", "\x82\x02\x00\x01\x00", ERR_SCHEMA),
    CASE("map, same key twice", "\x82\x01\x00\x01\x00", ERR_SCHEMA),
    CASE("map, text key",
         "\x81\xa1"
         "a\x00",
         ERR_SCHEMA),
    CASE("map, array key", "\x81\x90\x00", ERR_SCHEMA),
    CASE("map, largest key is the last", "\x82\x01\x00\xcf\xff\xff\xff\xff\xff\xff\xff\xff\x00",
         ERR_OK),
    CASE("map, key after the largest", "\x82\xcf\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00",
         ERR_SCHEMA),
    CASE("map in a map, keys of their own", "\x82\x05\x81\x01\x00\x06\x00", ERR_OK),
};

Test(bound, T32_table)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        cr_expect_eq(bound_check(bytes_of(cases[i].bytes, cases[i].len), BOUND_MESSAGE),
                     cases[i].want, "%s", cases[i].name);
}

Test(bound, signed_objects_hold_no_maps)
{
    cr_expect_eq(bound_check(bytes_of("\x80", 1), BOUND_SIGNED), ERR_SCHEMA);
    cr_expect_eq(bound_check(bytes_of("\x91\x80", 2), BOUND_SIGNED), ERR_SCHEMA);
    cr_expect_eq(bound_check(bytes_of("\x91\x90", 2), BOUND_SIGNED), ERR_OK);
}

Test(bound, nothing_at_all)
{
    cr_expect_eq(bound_check((struct bytes){ 0 }, BOUND_MESSAGE), ERR_SCHEMA);
}

/* Every prefix of a good value is refused: the end is always noticed. */
Test(bound, prefixes_are_refused)
{
    struct buf out = { 0 };

    pack_map(&out, 3);
    pack_uint(&out, 1);
    pack_array(&out, 3);
    pack_text(&out, "text");
    pack_uint(&out, 1ull << 40);
    pack_bool(&out, true);
    pack_uint(&out, 200);
    pack_bin(&out, bytes_of("0123456789", 10));
    pack_uint(&out, 70000);
    pack_array(&out, 0);
    cr_expect_eq(bound_check(buf_bytes(&out), BOUND_MESSAGE), ERR_OK);
    for (size_t len = 0; len < out.len; len++)
        cr_expect_eq(bound_check(bytes_of(out.at, len), BOUND_MESSAGE), ERR_SCHEMA, "%zu", len);
    buf_free(&out);
}

/* ---- take ---- */

Test(take, reads_what_pack_wrote)
{
    struct buf out = { 0 };
    uint8_t copied[4];

    pack_array(&out, 8);
    pack_uint(&out, 300);
    pack_bool(&out, true);
    pack_text(&out, "name");
    pack_bin(&out, bytes_of("\x01\x02\x03\x04", 4));
    pack_bin(&out, bytes_of("\x05\x06\x07\x08", 4));
    pack_map(&out, 1);
    pack_uint(&out, 9);
    pack_uint(&out, 10);
    pack_array(&out, 2);
    pack_text(&out, "a");
    pack_array(&out, 0);
    pack_uint(&out, UINT64_MAX);

    struct take take = take_of(buf_bytes(&out));

    cr_expect_eq(take_array(&take), 8);
    cr_expect_eq(take_peek(&take), TAKE_UINT);
    cr_expect_eq(take_uint(&take, 300), 300);
    cr_expect(take_bool(&take));
    cr_expect(bytes_equal(take_str(&take, 4), bytes_of_text("name")));
    cr_expect_arr_eq(take_fixed(&take, 4), "\x01\x02\x03\x04", 4);
    take_copy(&take, copied, 4);
    cr_expect_arr_eq(copied, "\x05\x06\x07\x08", 4);
    cr_expect_eq(take_map(&take), 1);
    cr_expect_eq(take_uint(&take, 9), 9);
    cr_expect_eq(take_uint(&take, 10), 10);
    cr_expect_eq(take_value(&take).len, 4);
    take_skip(&take);
    cr_expect_eq(take_peek(&take), TAKE_NOTHING);
    cr_expect_eq(take_end(&take), ERR_OK);
    buf_free(&out);
}

Test(take, bounds_are_kept)
{
    struct take take;

    take = take_of(bytes_of("\xcd\x01\x00", 3));
    cr_expect_eq(take_uint(&take, 255), 0, "number above max");
    cr_expect_eq(take_end(&take), ERR_SCHEMA);
    take = take_of(bytes_of("\xa3"
                            "abc",
                            4));
    cr_expect_null(take_str(&take, 2).at, "text longer than max");
    cr_expect_eq(take_end(&take), ERR_SCHEMA);
    take = take_of(bytes_of("\xc4\x02\x01\x02", 4));
    cr_expect_null(take_fixed(&take, 3), "bin too short");
    cr_expect_eq(take_end(&take), ERR_SCHEMA);
    take = take_of(bytes_of("\xc4\x02\x01\x02", 4));
    cr_expect_null(take_fixed(&take, 1), "bin too long");
    take = take_of(bytes_of("\x01\x02", 2));
    take_skip(&take);
    cr_expect_eq(take_end(&take), ERR_SCHEMA, "something is left");
    take = take_of(bytes_of("\xdd\x7f\xff\xff\xff", 5));
    cr_expect_eq(take_array(&take), 0, "array bomb");
}

/* After the first failure nothing is given out any more, whatever is asked. */
Test(take, failure_sticks)
{
    struct take take = take_of(bytes_of("\xc3\x01\xa1z", 4));
    uint8_t out[2] = { 7, 7 };

    cr_expect_eq(take_uint(&take, 9), 0);
    cr_expect_eq(take_uint(&take, 9), 0);
    cr_expect_null(take_str(&take, 9).at);
    cr_expect_null(take_value(&take).at);
    cr_expect_eq(take_peek(&take), TAKE_NOTHING);
    take_copy(&take, out, 2);
    cr_expect_arr_eq(out, "\0\0", 2);
    take_fail(&take, ERR_INTERNAL);
    cr_expect_eq(take_end(&take), ERR_SCHEMA);
}

/* Bytes that no bound_check() has seen: every short string is survived. */
Test(take, T32_survives_unbounded_bytes)
{
    for (unsigned v = 0; v < 1u << 16; v++) {
        uint8_t bytes[4] = { (uint8_t)(v >> 8), (uint8_t)v, (uint8_t)v, (uint8_t)(v >> 8) };

        for (size_t len = 0; len <= sizeof bytes; len++) {
            struct take take = take_of(bytes_of(bytes, len));
            struct bytes value = take_value(&take);

            cr_assert(value.len <= len);
            if (bound_check(bytes_of(bytes, len), BOUND_MESSAGE) == ERR_OK)
                cr_assert_eq(take_end(&take), ERR_OK, "%04x, %zu bytes", v, len);
        }
    }
}
