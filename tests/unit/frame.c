/* layers: base wire */
#include "shared/wire/frame.h"

#include <criterion/criterion.h>
#include <sodium.h>

#define CT_MIN (BUCKET_MIN + FRAME_TAG_SIZE)

/* A frame of zeroes with a good header. */
static struct buf frame_make(uint8_t kind, size_t bucket)
{
    struct frame_header header = { .kind = kind, .suite = SUITE_CHACHA, .seq = 1, .expires_ms = 9 };
    size_t hdr = kind == FRAME_GROUP ? FRAME_HDR_GROUP : FRAME_HDR_SESSION;
    size_t size = FRAME_FH_SIZE + 2 + hdr + FRAME_COMMIT_SIZE + bucket + FRAME_TAG_SIZE;
    struct buf out = { 0 };

    memset(buf_extend(&out, size), 0, size);
    frame_header_write(out.at, &header);
    put_u16(out.at + FRAME_FH_SIZE, (uint16_t)hdr);
    return out;
}

Test(frame, sizes)
{
    static const struct {
        const char *name;
        uint8_t kind;
        size_t bucket, want;
    } rows[] = {
        { "smallest of a session", FRAME_DATA, BUCKET_MIN, FRAME_MIN },
        { "largest of a session", FRAME_DATA, BUCKET_MAX, FRAME_MAX },
        { "smallest of a group", FRAME_GROUP, BUCKET_MIN, 438 },
        { "largest of a group", FRAME_GROUP, BUCKET_MAX, 65718 },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf frame = frame_make(rows[i].kind, rows[i].bucket);
        struct frame_view view;

        cr_expect_eq(frame.len, rows[i].want, "%s", rows[i].name);
        cr_expect_eq(frame_parse(buf_bytes(&frame), &view), ERR_OK, "%s", rows[i].name);
        cr_expect_not(view.is_stub);
        cr_expect_eq(view.ct.len, rows[i].bucket + FRAME_TAG_SIZE, "%s", rows[i].name);
        buf_free(&frame);
    }
    cr_expect_eq(frame_size_for(255), FRAME_MIN);
    cr_expect_eq(frame_size_for(256), FRAME_OVERHEAD + 320);
    cr_expect_eq(frame_size_for(FRAME_MESSAGE_MAX), FRAME_MAX);
    cr_expect_eq(frame_size_for(FRAME_MESSAGE_MAX + 1), 0);
}

/* One byte of a good frame changed, or its length. */
Test(frame, refuses)
{
    static const struct {
        const char *name;
        size_t at;
        uint8_t value;
        int longer;
        enum err want;
    } rows[] = {
        { "untouched", 0, 1, 0, ERR_OK },
        { "version 0", 0, 0, 0, ERR_SCHEMA },
        { "version 2", 0, 2, 0, ERR_SCHEMA },
        { "kind 0", 1, 0, 0, ERR_SCHEMA },
        { "kind 4", 1, 4, 0, ERR_SCHEMA },
        { "kind 8 with a session's header", 1, 8, 0, ERR_SCHEMA },
        { "suite 0", 2, 0, 0, ERR_SCHEMA },
        { "suite 3", 2, 3, 0, ERR_SCHEMA },
        { "suite 0x11", 2, 0x11, 0, ERR_OK },
        { "suite 0x21", 2, 0x21, 0, ERR_SCHEMA },
        { "flag bit 0", 3, 1, 0, ERR_OK },
        { "flag bit 1", 3, 2, 0, ERR_SCHEMA },
        { "seq 0", 91, 0, 0, ERR_SCHEMA },
        { "seq 2", 91, 2, 0, ERR_OK },
        { "seq of 2^63 and more", 84, 0x80, 0, ERR_SCHEMA },
        { "expires after 2^63", 92, 0x80, 0, ERR_SCHEMA },
        { "hlen 81", 101, 81, 0, ERR_SCHEMA },
        { "hlen 32", 101, 32, 0, ERR_SCHEMA },
        { "hlen high byte", 100, 1, 0, ERR_SCHEMA },
        { "a byte less", 0, 1, -1, ERR_SCHEMA },
        { "a byte more", 0, 1, 1, ERR_SCHEMA },
        { "no bucket", 0, 1, 63, ERR_SCHEMA },
        { "next bucket", 0, 1, 64, ERR_OK },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf frame = frame_make(FRAME_DATA, BUCKET_MIN);
        struct frame_view view;

        if (rows[i].longer > 0)
            memset(buf_extend(&frame, (size_t)rows[i].longer), 0, (size_t)rows[i].longer);
        else
            frame.len -= (size_t)-rows[i].longer;
        frame.at[rows[i].at] = rows[i].value;
        cr_expect_eq(frame_parse(buf_bytes(&frame), &view), rows[i].want, "%s", rows[i].name);
        buf_free(&frame);
    }
}

Test(frame, first_frames_have_number_one)
{
    for (uint8_t kind = FRAME_REQUEST; kind <= FRAME_ACCEPT; kind++) {
        struct buf frame = frame_make(kind, BUCKET_MIN);
        struct frame_view view;

        cr_expect_eq(frame_parse(buf_bytes(&frame), &view), ERR_OK);
        frame.at[91] = 2;
        cr_expect_eq(frame_parse(buf_bytes(&frame), &view), ERR_SCHEMA);
        buf_free(&frame);
    }
}

Test(frame, every_shorter_one_is_refused)
{
    struct buf frame = frame_make(FRAME_DATA, BUCKET_MIN);
    struct frame_view view;

    for (size_t len = 0; len < frame.len; len++) {
        uint8_t *exact = mem_copy(bytes_of(frame.at, len)); /* so that a sanitizer sees the end */
        enum err e = frame_parse(bytes_of(exact, len), &view);

        cr_expect_eq(e, len == FRAME_STUB_SESSION ? ERR_OK : ERR_SCHEMA, "%zu bytes", len);
        free(exact);
    }
    buf_free(&frame);
    frame = frame_make(FRAME_DATA, BUCKET_MAX);
    buf_extend(&frame, 1);
    cr_expect_eq(frame_parse(buf_bytes(&frame), &view), ERR_TOO_LARGE);
    buf_free(&frame);
}

Test(frame, stub_has_the_same_name)
{
    static const uint8_t kinds[] = { FRAME_DATA, FRAME_GROUP };

    for (size_t i = 0; i < 2; i++) {
        struct buf frame = frame_make(kinds[i], BUCKET_MIN);
        struct frame_view view, of_stub;
        uint8_t stub[FRAME_STUB_MAX], one[32], two[32];

        randombytes_buf_deterministic(frame.at + frame.len - CT_MIN, CT_MIN,
                                      (const uint8_t[32]){ 1 });
        cr_assert_eq(frame_parse(buf_bytes(&frame), &view), ERR_OK);
        frame_stub_write(&view, stub, one);
        cr_expect_eq(frame_stub_size(&view), i ? FRAME_STUB_GROUP : FRAME_STUB_SESSION);
        cr_assert_eq(frame_parse(bytes_of(stub, frame_stub_size(&view)), &of_stub), ERR_OK);
        cr_expect(of_stub.is_stub);
        cr_expect_eq(frame_parse_whole(of_stub.all, &of_stub), ERR_SCHEMA);
        frame_digest(&of_stub, two);
        cr_expect_arr_eq(one, two, 32);
        frame.at[frame.len - 1] ^= 1;
        cr_assert_eq(frame_parse(buf_bytes(&frame), &view), ERR_OK);
        frame_digest(&view, two);
        cr_expect_arr_neq(one, two, 32, "another ciphertext, another name");
        buf_free(&frame);
    }
}

Test(frame, addressing)
{
    struct buf frame = frame_make(FRAME_DATA, BUCKET_MIN);
    struct frame_view view;
    uint8_t zero[32] = { 0 }, other[32] = { 1 };

    cr_assert_eq(frame_parse(buf_bytes(&frame), &view), ERR_OK);
    cr_expect_eq(frame_expect(&view, zero, zero, zero), ERR_OK);
    cr_expect_eq(frame_expect(&view, other, zero, zero), ERR_SESSION_NOT_FOUND);
    cr_expect_eq(frame_expect(&view, zero, other, zero), ERR_AUTH);
    cr_expect_eq(frame_expect(&view, zero, zero, other), ERR_AUTH);
    buf_free(&frame);
}

Test(bucket, sizes_grow_by_a_quarter_at_most)
{
    cr_expect_eq(bucket_size(0), 256);
    cr_expect_eq(bucket_size(5), 640);
    cr_expect_eq(bucket_size(BUCKET_COUNT - 2), 57344);
    cr_expect_eq(bucket_size(BUCKET_COUNT - 1), 65536);
    for (size_t i = 1; i < BUCKET_COUNT; i++)
        cr_expect(bucket_size(i) > bucket_size(i - 1)
                  && bucket_size(i) * 4 <= bucket_size(i - 1) * 5);
    cr_expect_not(bucket_valid(0));
    cr_expect_not(bucket_valid(257));
    cr_expect(bucket_valid(65536));
    cr_expect_eq(bucket_for(65535), 65536);
    cr_expect_eq(bucket_for(65536), 0);
}
