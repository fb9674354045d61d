/* layers: base wire agent_flow */
#include "agent/flow/envelope.h"

#include <criterion/criterion.h>

#include "shared/wire/pack.h"

static const uint8_t id[16] = { 1, 2, 3 }, head[32] = { 4, 5 };

static struct envelope full(void)
{
    return (struct envelope){
        .kind = ENVELOPE_INTRO,
        .msg_id = id,
        .ts_ms = 1800000000000,
        .schema_version = 1,
        .content_type = bytes_of_text("text/plain"),
        .body = bytes_of_text("hello"),
        .idempotency_key = bytes_of_text("k"),
        .trace_id = id,
        .reply_to = id,
        .has_peer_ack = true,
        .peer_ack = 0,
        .has_log = true,
        .log_index = 7,
        .log_head = head,
        .has_wake = true,
        .wake = false,
        .has_schema_range = true,
        .schema_min = 1,
        .schema_max = 2,
    };
}

Test(envelope, there_and_back)
{
    struct envelope made = full(), read;
    struct buf one = { 0 }, two = { 0 };

    envelope_encode(&one, &made);
    cr_assert_eq(envelope_decode(buf_bytes(&one), &read), ERR_OK);
    cr_expect_eq(read.kind, ENVELOPE_INTRO);
    cr_expect(bytes_equal(read.body, made.body));
    cr_expect(read.has_wake && !read.wake && read.has_peer_ack && read.peer_ack == 0);
    cr_expect_arr_eq(read.log_head, head, 32);
    envelope_encode(&two, &read);
    cr_expect(bytes_equal(buf_bytes(&one), buf_bytes(&two)));
    buf_free(&one);
    buf_free(&two);
}

Test(envelope, absent_is_not_empty)
{
    struct envelope made = { .msg_id = id }, read;
    struct buf out = { 0 };

    envelope_encode(&out, &made);
    cr_assert_eq(envelope_decode(buf_bytes(&out), &read), ERR_OK);
    cr_expect_null(read.body.at);
    cr_expect_null(read.reply_to);
    cr_expect_not(read.has_peer_ack || read.has_log || read.has_wake || read.has_schema_range);
    made.body = bytes_of("", 0);
    buf_clear(&out);
    envelope_encode(&out, &made);
    cr_assert_eq(envelope_decode(buf_bytes(&out), &read), ERR_OK);
    cr_expect_not_null(read.body.at);
    cr_expect_eq(read.body.len, 0);
    buf_free(&out);
}

/* One field after the four that are always there. */
static enum err with(uint64_t key, void (*put)(struct buf *))
{
    struct envelope read;
    struct buf out = { 0 };
    enum err e;

    pack_map(&out, 5);
    for (uint64_t k = 1; k <= 4; k++) {
        pack_uint(&out, k);
        if (k == 2)
            pack_bin(&out, bytes_of(id, 16));
        else
            pack_uint(&out, 1);
    }
    pack_uint(&out, key);
    put(&out);
    e = envelope_decode(buf_bytes(&out), &read);
    buf_free(&out);
    return e;
}

static const uint8_t zeroes[ENVELOPE_BODY_MAX + 1];

static void put_number(struct buf *out)
{
    pack_uint(out, 5);
}
static void put_large(struct buf *out)
{
    pack_uint(out, 65536);
}
static void put_largest_body(struct buf *out)
{
    pack_bin(out, bytes_of(zeroes, ENVELOPE_BODY_MAX));
}
static void put_body_too_large(struct buf *out)
{
    pack_bin(out, bytes_of(zeroes, ENVELOPE_BODY_MAX + 1));
}
static void put_id(struct buf *out)
{
    pack_bin(out, bytes_of(id, 16));
}
static void put_short_id(struct buf *out)
{
    pack_bin(out, bytes_of(id, 15));
}
static void put_text(struct buf *out)
{
    pack_text(out, "text");
}
static void put_empty_array(struct buf *out)
{
    pack_array(out, 0);
}
static void put_nested(struct buf *out)
{
    pack_array(out, 1);
    pack_array(out, 1);
    pack_uint(out, 1);
}
static void put_pair(struct buf *out)
{
    pack_array(out, 2);
    pack_uint(out, 1);
    pack_uint(out, 1);
}
static void put_beyond(struct buf *out)
{
    pack_uint(out, UINT64_C(1) << 63);
}
static void put_log_beyond(struct buf *out)
{
    pack_array(out, 2);
    pack_uint(out, UINT64_C(1) << 63);
    pack_bin(out, bytes_of(head, 32));
}
static void put_log(struct buf *out)
{
    pack_array(out, 2);
    pack_uint(out, 1);
    pack_bin(out, bytes_of(head, 32));
}

Test(envelope, fields)
{
    static const struct {
        const char *name;
        uint64_t key;
        void (*put)(struct buf *);
        enum err want;
    } rows[] = {
        { "body", 6, put_largest_body, ERR_OK },
        { "body too large", 6, put_body_too_large, ERR_SCHEMA },
        { "body as text", 6, put_text, ERR_SCHEMA },
        { "content type", 5, put_text, ERR_OK },
        { "content type as bytes", 5, put_id, ERR_SCHEMA },
        { "trace id", 8, put_id, ERR_OK },
        { "trace id too short", 8, put_short_id, ERR_SCHEMA },
        { "reply to", 9, put_id, ERR_OK },
        { "reply to a number", 9, put_number, ERR_SCHEMA },
        { "blobs", 10, put_nested, ERR_OK },
        { "blobs no array", 10, put_number, ERR_SCHEMA },
        { "peer ack", 11, put_large, ERR_OK },
        { "peer ack of 2^63", 11, put_beyond, ERR_SCHEMA },
        { "log", 12, put_log, ERR_OK },
        { "entry 2^63 of the log", 12, put_log_beyond, ERR_SCHEMA },
        { "log without head", 12, put_empty_array, ERR_SCHEMA },
        { "log with a number for the head", 12, put_pair, ERR_SCHEMA },
        { "wake as number", 13, put_number, ERR_SCHEMA },
        { "schema range", 14, put_pair, ERR_OK },
        { "group heads", 15, put_empty_array, ERR_OK },
        { "a later version's key", 16, put_nested, ERR_OK },
        { "an application's key", 1000, put_text, ERR_OK },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_expect_eq(with(rows[i].key, rows[i].put), rows[i].want, "%s", rows[i].name);
}

Test(envelope, every_prefix_is_refused)
{
    struct envelope made = full(), read;
    struct buf out = { 0 };

    envelope_encode(&out, &made);
    for (size_t len = 0; len < out.len; len++)
        cr_expect_eq(envelope_decode(bytes_of(out.at, len), &read), ERR_SCHEMA, "%zu", len);
    buf_free(&out);
}
