/* envelopes: from fields to bytes, and back */
#include "agent/flow/envelope.h"

#include "shared/wire/pack.h"
#include "tests/vectors/check.h"
#include "tests/vectors/parts.h"

static const struct reason reasons[] = {
    { "key_order", ERR_SCHEMA },    { "duplicate_key", ERR_SCHEMA },
    { "wrong_type", ERR_SCHEMA },   { "wrong_size", ERR_SCHEMA },
    { "out_of_range", ERR_SCHEMA }, { "trailing", ERR_SCHEMA },
    { "truncated", ERR_SCHEMA },    { NULL, ERR_OK },
};

static struct bytes optional_hex(json_t *fields, const char *key)
{
    return json_object_get(fields, key) ? get_hex(fields, key) : (struct bytes){ 0 };
}

static struct bytes optional_text(json_t *fields, const char *key)
{
    return json_object_get(fields, key) ? bytes_of_text(get_text(fields, key))
                                        : (struct bytes){ 0 };
}

/* A list of lists of numbers, bytes and, where `texts` has a bit, text. */
static void pack_rows(struct buf *out, json_t *rows, unsigned texts)
{
    json_t *row, *value;
    size_t i, j;

    pack_array(out, json_array_size(rows));
    json_array_foreach(rows, i, row)
    {
        pack_array(out, json_array_size(row));
        json_array_foreach(row, j, value)
        {
            if (json_is_integer(value))
                pack_uint(out, (uint64_t)json_integer_value(value));
            else if (texts & 1u << j)
                pack_text(out, json_string_value(value));
            else
                pack_bin(out, hex_of(value));
        }
    }
}

#define BLOB_TEXTS (1u << 6 | 1u << 7) /* name and type of a blob */

static void fields_pack(struct buf *out, json_t *fields)
{
    struct envelope e = {
        .kind = (uint8_t)get_number(fields, "kind"),
        .msg_id = get_fixed(fields, "msg_id", 16),
        .ts_ms = get_number(fields, "ts"),
        .schema_version = (uint16_t)get_number(fields, "schema_version"),
        .content_type = optional_text(fields, "content_type"),
        .body = optional_hex(fields, "body"),
        .idempotency_key = optional_text(fields, "idempotency_key"),
        .trace_id = optional_hex(fields, "trace_id").at,
        .reply_to = optional_hex(fields, "reply_to").at,
        .has_peer_ack = json_object_get(fields, "peer_ack") != NULL,
        .has_log = json_object_get(fields, "log") != NULL,
        .has_wake = json_object_get(fields, "wake") != NULL,
        .has_schema_range = json_object_get(fields, "schema_range") != NULL,
    };
    struct buf blobs = { 0 }, heads = { 0 };

    if (e.has_peer_ack)
        e.peer_ack = get_number(fields, "peer_ack");
    if (e.has_wake)
        e.wake = json_is_true(get(fields, "wake"));
    if (e.has_log) {
        json_t *log = get(fields, "log");

        e.log_index = (uint64_t)json_integer_value(json_array_get(log, 0));
        e.log_head = hex_of(json_array_get(log, 1)).at;
    }
    if (e.has_schema_range) {
        json_t *range = get(fields, "schema_range");

        e.schema_min = (uint16_t)json_integer_value(json_array_get(range, 0));
        e.schema_max = (uint16_t)json_integer_value(json_array_get(range, 1));
    }
    if (json_object_get(fields, "blobs")) {
        pack_rows(&blobs, get(fields, "blobs"), BLOB_TEXTS);
        e.blobs = buf_bytes(&blobs);
    }
    if (json_object_get(fields, "group_heads")) {
        pack_rows(&heads, get(fields, "group_heads"), 0);
        e.group_heads = buf_bytes(&heads);
    }
    envelope_encode(out, &e);
    buf_free(&blobs);
    buf_free(&heads);
}

void part_envelopes(json_t *root)
{
    json_t *row;
    size_t i;

    json_array_foreach(get(root, "envelopes"), i, row)
    {
        struct bytes packed = get_hex(row, "packed");
        struct buf out = { 0 };
        struct envelope envelope;

        check_name("envelope: %s", get_text(row, "name"));
        if (check_outcome(row, envelope_decode(packed, &envelope), reasons)
            && json_object_get(row, "fields")) {
            fields_pack(&out, get(row, "fields"));
            same_bytes("packed", buf_bytes(&out), packed);
            buf_clear(&out);
            envelope_encode(&out, &envelope);
            same_bytes("read and written", buf_bytes(&out), packed);
        }
        buf_free(&out);
    }
}
