/* labels, MessagePack, padding */
#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>

#include "agent/crypto/pad.h"
#include "shared/trust/card.h"
#include "shared/trust/label.h"
#include "shared/wire/bound.h"
#include "shared/wire/pack.h"
#include "shared/wire/take.h"
#include "tests/vectors/check.h"
#include "tests/vectors/parts.h"

void part_labels(json_t *root)
{
    json_t *labels = get(root, "labels");

    same_number("how many", LABEL_COUNT, json_object_size(labels));
    for (int i = 0; i < LABEL_COUNT; i++) {
        const char *text = label_text((enum label)i);

        same_bytes(text, label((enum label)i), get_hex(labels, text));
    }
}

/* Everything in a msgpack section is refused with this. */
static const struct reason schema[] = {
    { "truncated", ERR_SCHEMA },    { "trailing", ERR_SCHEMA },
    { "non_shortest", ERR_SCHEMA }, { "too_deep", ERR_SCHEMA },
    { "too_many", ERR_SCHEMA },     { "forbidden", ERR_SCHEMA },
    { "key_order", ERR_SCHEMA },    { "duplicate_key", ERR_SCHEMA },
    { "wrong_type", ERR_SCHEMA },   { "wrong_size", ERR_SCHEMA },
    { "wrong_tag", ERR_SCHEMA },    { "out_of_range", ERR_SCHEMA },
    { "bad_name", ERR_SCHEMA },     { NULL, ERR_OK },
};

static void msgpack_int(json_t *row)
{
    uint64_t value = strtoull(get_text(row, "value"), NULL, 10);
    struct bytes packed = get_hex(row, "packed");
    struct take take = take_of(packed);
    struct buf out = { 0 };

    pack_uint(&out, value);
    same_bytes("packed", buf_bytes(&out), packed);
    is_true("bounded", bound_check(packed, BOUND_SIGNED) == ERR_OK);
    same_number("read again", take_uint(&take, UINT64_MAX), value);
    is_true("nothing left", take_end(&take) == ERR_OK);
    buf_free(&out);
}

/* A value of `size` bytes, elements or pairs, as the file's README makes them. */
static void sample_pack(struct buf *out, const char *type, size_t size)
{
    uint8_t *content = mem_zeroed(size, 1);

    if (strcmp(type, "str") == 0) {
        memset(content, 'x', size);
        pack_str(out, bytes_of(content, size));
    } else if (strcmp(type, "bin") == 0) {
        pack_bin(out, bytes_of(content, size));
    } else {
        bool map = strcmp(type, "map") == 0;

        if (map)
            pack_map(out, size);
        else
            pack_array(out, size);
        for (size_t i = 0; i < size; i++) {
            if (map)
                pack_uint(out, i);
            pack_uint(out, 0);
        }
    }
    free(content);
}

static void msgpack_head(json_t *row)
{
    struct bytes head = get_hex(row, "head");
    struct buf out = { 0 };
    uint8_t hash[32];

    sample_pack(&out, get_text(row, "type"), get_number(row, "size"));
    same_bytes("head", bytes_of(out.at, head.len), head);
    crypto_hash_sha256(hash, out.at, out.len);
    same_field("sha256", hash, 32, row, "sha256");
    is_true("bounded", bound_check(buf_bytes(&out), BOUND_MESSAGE) == ERR_OK);
    buf_free(&out);
}

void part_msgpack(json_t *root)
{
    json_t *section = get(root, "msgpack");
    json_t *row;
    size_t i;

    json_array_foreach(get(section, "int"), i, row)
    {
        check_name("msgpack int %s", get_text(row, "value"));
        msgpack_int(row);
    }
    json_array_foreach(get(section, "heads"), i, row)
    {
        check_name("msgpack %s of %" PRIu64, get_text(row, "type"), get_number(row, "size"));
        msgpack_head(row);
    }
    json_array_foreach(get(section, "accept"), i, row)
    {
        check_name("msgpack accept: %s", get_text(row, "name"));
        is_true("accepted", bound_check(get_hex(row, "input"), BOUND_MESSAGE) == ERR_OK);
    }
    json_array_foreach(get(section, "refuse"), i, row)
    {
        struct bytes input = get_hex(row, "input");
        struct card card;

        check_name("msgpack refuse: %s", get_text(row, "name"));
        if (strcmp(get_text(row, "as"), "card") == 0)
            check_outcome(row, card_parse(input, &card), schema);
        else
            check_outcome(row, bound_check(input, BOUND_MESSAGE), schema);
    }
}

static void padding_row(json_t *row)
{
    static uint8_t message[BUCKET_MAX], at[BUCKET_MAX];
    size_t size = get_number(row, "size"), start = get_number(row, "start"), padded, len;
    uint8_t hash[32];

    for (size_t i = 0; i < size; i++)
        message[i] = at[i] = (uint8_t)((start + i) % 256);
    padded = pad(at, size);
    same_number("padded size", padded, get_number(row, "padded_size"));
    crypto_hash_sha256(hash, at, padded);
    same_field("sha256", hash, 32, row, "sha256");
    is_true("unpads", unpad(bytes_of(at, padded), &len) == ERR_OK);
    same_bytes("unpadded", bytes_of(at, len), bytes_of(message, size));
}

void part_padding(json_t *root)
{
    static const struct reason reasons[]
        = { { "too_large", ERR_TOO_LARGE }, { "padding", ERR_DECRYPT }, { NULL, ERR_OK } };
    json_t *section = get(root, "padding");
    json_t *row;
    size_t i, len;

    json_array_foreach(get(section, "buckets"), i, row)
        same_number("bucket", bucket_size(i), (uint64_t)json_integer_value(row));
    same_number("buckets", BUCKET_COUNT, i);
    json_array_foreach(get(section, "table"), i, row)
    {
        check_name("padding of %" PRIu64, get_number(row, "size"));
        padding_row(row);
    }
    json_array_foreach(get(section, "refuse"), i, row)
    {
        check_name("padding refuse: %s", get_text(row, "name"));
        if (strcmp(get_text(row, "op"), "pad") == 0)
            check_outcome(row, bucket_for(get_number(row, "size")) ? ERR_OK : ERR_TOO_LARGE,
                          reasons);
        else
            check_outcome(row, unpad(get_hex(row, "input"), &len), reasons);
    }
}
