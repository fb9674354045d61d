/* layers: wire */
#include <criterion/criterion.h>

#include "shared/wire/limit.h"
#include "shared/wire/lists.h"
#include "shared/wire/message.h"
#include "shared/wire/pack.h"

static const uint8_t zeros[256];

/* Every key of the dictionary set to something legal; borrowed from `made`. */
static void fill(struct message *m, uint64_t keys, struct list_maker *made)
{
    struct wire_list none = { { NULL, 0 }, 0 };

    (void)made;
#define SET_NUM(name, most)    m->name = (most);
#define SET_BIN(name, most)    m->name = zeros;
#define SET_DATA(name, most)   m->name = bytes_of(zeros, 40);
#define SET_TEXT(name, most)   m->name = bytes_of_text("ann");
#define SET_LIST(name, most)   m->name = none;
#define SET_MAP(name, most)    m->name = none;
#define SET_SIGNED(name, most) m->name = (struct wire_signed){ bytes_of(zeros, 40), zeros };
#define KEY(number, kind, name, least, most)                                                       \
    if (keys >> (number)&1) {                                                                      \
        SET_##kind(name, most) m->has |= (uint64_t)1 << (number);                                  \
    }
#include "schema/keys.def"
}

static const unsigned numbers[] = {
#define VERB(number, name, who, req, opt, most, parts, rreq, ropt, rmost) number,
#include "schema/verbs.def"
};

Test(message, every_verb_comes_back_as_it_went)
{
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        const struct verb_rule *rule = verb_rule(numbers[i]);

        for (int reply = 0; reply < 2; reply++) {
            bool of_broker = reply || rule->who == WHO_BROKER;
            struct message in = { .verb = rule->verb,
                                  .reply = reply,
                                  .rid = reply || rule->who != WHO_BROKER ? 7 : 0 };
            uint64_t keys = reply ? rule->reply_need | rule->reply_may : rule->need | rule->may;
            struct buf bytes = { 0 };
            struct message out;

            if ((rule->verb == VERB_ERROR || (reply && rule->who == WHO_BROKER))
                && !(reply && rule->verb == VERB_ERROR))
                continue;
            fill(&in, keys, NULL);
            message_encode(&in, &bytes);
            cr_assert_eq(
                message_decode(&out, buf_bytes(&bytes), 0, of_broker ? FROM_BROKER : FROM_AGENT),
                ERR_OK, "%s reply %d", rule->name, reply);
            cr_expect_eq(out.has, keys, "%s", rule->name);
            cr_expect_eq(out.rid, in.rid);
            cr_expect_eq(out.reply, in.reply);
            cr_expect_eq(out.ts, in.ts);
            cr_expect_eq(out.index, in.index);
            buf_free(&bytes);
        }
    }
}

/* Part 0 from its pieces; `body` is appended as it is. */
static void compose(struct buf *out, uint64_t version, uint64_t type, uint64_t rid,
                    struct bytes body)
{
    pack_array(out, 4);
    pack_uint(out, version);
    pack_uint(out, type);
    pack_uint(out, rid);
    buf_append(out, body.at, body.len);
}

Test(message, T32_decode_refuses)
{
    static const struct {
        const char *name;
        uint64_t version, type, rid;
        const char *body;
        size_t len, parts;
        enum wire_side from;
        enum err want;
    } cases[] = {
        { "good PING", 1, 50, 1, "\x81\x05\x01", 3, 0, FROM_AGENT, ERR_OK },
        { "other version", 2, 50, 1, "\x81\x05\x01", 3, 0, FROM_AGENT, ERR_SCHEMA },
        { "no such type", 1, 9, 1, "\x80", 1, 0, FROM_AGENT, ERR_SCHEMA },
        { "type of the broker", 1, 17, 1, "\x80", 1, 0, FROM_AGENT, ERR_SCHEMA },
        { "reply from an agent", 1, 50 + 128, 1, "\x81\x05\x01", 3, 0, FROM_AGENT, ERR_SCHEMA },
        { "request without a number", 1, 50, 0, "\x81\x05\x01", 3, 0, FROM_AGENT, ERR_SCHEMA },
        { "request from the broker", 1, 50, 1, "\x81\x05\x01", 3, 0, FROM_BROKER, ERR_SCHEMA },
        { "needed key missing", 1, 50, 1, "\x80", 1, 0, FROM_AGENT, ERR_SCHEMA },
        { "key of another message", 1, 50, 1, "\x82\x05\x01\x06\x01", 5, 0, FROM_AGENT,
          ERR_SCHEMA },
        { "reserved key", 1, 50, 1, "\x82\x05\x01\x30\x01", 5, 0, FROM_AGENT, ERR_SCHEMA },
        { "key from 64 on", 1, 50, 1, "\x82\x05\x01\x40\x01", 5, 0, FROM_AGENT, ERR_OK },
        { "key twice", 1, 50, 1, "\x82\x05\x01\x05\x01", 5, 0, FROM_AGENT, ERR_SCHEMA },
        { "bytes behind", 1, 50, 1, "\x81\x05\x01\x00", 4, 0, FROM_AGENT, ERR_SCHEMA },
        { "body is no map", 1, 50, 1, "\x91\x05", 2, 0, FROM_AGENT, ERR_SCHEMA },
        { "text for a number", 1, 50, 1, "\x81\x05\xa1x", 4, 0, FROM_AGENT, ERR_SCHEMA },
        { "parts where none belong", 1, 50, 1, "\x81\x05\x01", 3, 1, FROM_AGENT, ERR_SCHEMA },
        { "frames of SEND", 1, 14, 1, "\x80", 1, 63, FROM_AGENT, ERR_OK },
        { "one frame too many", 1, 14, 1, "\x80", 1, 64, FROM_AGENT, ERR_SCHEMA },
        { "array bomb", 1, 10, 1, "\x81\x0e\xdd\x7f\xff\xff\xff", 7, 1, FROM_AGENT, ERR_SCHEMA },
        { "credit over 32 bits", 1, 16, 1, "\x82\x1b\xcf\0\0\0\1\0\0\0\0\x1c\1", 13, 0, FROM_AGENT,
          ERR_SCHEMA },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf bytes = { 0 };
        struct message out;

        compose(&bytes, cases[i].version, cases[i].type, cases[i].rid,
                bytes_of(cases[i].body, cases[i].len));
        cr_expect_eq(message_decode(&out, buf_bytes(&bytes), cases[i].parts, cases[i].from),
                     cases[i].want, "%s", cases[i].name);
        buf_free(&bytes);
    }
}

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define COUNTS_MEMORY
/* The size of everything that is asked for, by whomever in this process. */
static _Atomic size_t asked_for;

void *__libc_malloc(size_t size);
void *malloc(size_t size)
{
    asked_for += size;
    return __libc_malloc(size);
}

void *__libc_calloc(size_t count, size_t size);
void *calloc(size_t count, size_t size)
{
    asked_for += count * size;
    return __libc_calloc(count, size);
}

void *__libc_realloc(void *at, size_t size);
void *realloc(void *at, size_t size)
{
    asked_for += size;
    return __libc_realloc(at, size);
}
#endif

/* Five bytes that claim four thousand million elements, wherever a verb takes something. */
Test(message, T32_bombs_allocate_nothing)
{
    static const struct {
        const char *name, *bytes;
        size_t len;
    } bombs[] = {
        { "array", "\xdd\xff\xff\xff\xff", 5 }, { "map", "\xdf\xff\xff\xff\xff", 5 },
        { "text", "\xdb\xff\xff\xff\xff", 5 },  { "bytes", "\xc6\xff\xff\xff\xff", 5 },
        { "short array", "\xdc\xff\xff", 3 },   { "extension", "\xc9\xff\xff\xff\xff\1", 6 },
    };

    for (unsigned type = 0; type < 128; type++)
        for (unsigned key = 0; key < 64; key++)
            for (size_t i = 0; i < sizeof bombs / sizeof bombs[0]; i++)
                for (int nested = 0; nested < 2; nested++) {
                    uint8_t packed[32] = { 0x94, 1, (uint8_t)type, 1, 0x81, (uint8_t)key, 0x91 };
                    size_t at = nested ? 7 : 6;
                    struct message out;
                    size_t before;
                    enum err e;

                    memcpy(packed + at, bombs[i].bytes, bombs[i].len);
#ifdef COUNTS_MEMORY
                    before = asked_for;
#endif
                    e = message_decode(&out, bytes_of(packed, at + bombs[i].len), 0, FROM_AGENT);
#ifdef COUNTS_MEMORY
                    cr_assert_eq(asked_for, before, "%s in key %u of type %u", bombs[i].name, key,
                                 type);
#else
                    (void)before;
#endif
                    cr_assert_eq(e, ERR_SCHEMA, "%s in key %u of type %u", bombs[i].name, key,
                                 type);
                }
}

Test(message, larger_than_its_verb_allows)
{
    struct buf bytes = { 0 };
    struct message out;
    uint8_t *fill_at;

    pack_array(&bytes, 4);
    pack_uint(&bytes, 1);
    pack_uint(&bytes, VERB_PING);
    pack_uint(&bytes, 3);
    pack_map(&bytes, 2);
    pack_uint(&bytes, KEY_ts);
    pack_uint(&bytes, 1);
    pack_uint(&bytes, 64);
    fill_at = mem_zeroed(1, 40);
    pack_bin(&bytes, bytes_of(fill_at, 40));
    cr_expect_eq(message_decode(&out, buf_bytes(&bytes), 0, FROM_AGENT), ERR_TOO_LARGE);
    cr_expect_eq(out.rid, 3, "so that the answer finds its question");
    free(fill_at);
    buf_free(&bytes);
}

Test(message, every_prefix_is_refused)
{
    struct message in = { .verb = VERB_HELLO, .rid = 9 };
    struct buf bytes = { 0 };
    struct message out;

    fill(&in, verb_rule(VERB_HELLO)->need, NULL);
    message_encode(&in, &bytes);
    for (size_t len = 0; len < bytes.len; len++)
        cr_expect_eq(message_decode(&out, bytes_of(bytes.at, len), 0, FROM_AGENT), ERR_SCHEMA,
                     "%zu", len);
    buf_free(&bytes);
}

Test(lists, items_of_every_shape)
{
    struct wire_item items[] = {
        { .shape = ITEM_BYTES, .position = 5, .kind = ITEM_DATA, .stored_ms = 6 },
        { .shape = ITEM_BYTES_REQUEST,
          .position = 6,
          .kind = ITEM_REQUEST,
          .stored_ms = 7,
          .opened = { zeros, zeros, { zeros, 242 } },
          .credential = { zeros, 100 },
          .old_card = { zeros, 0 } },
        { .shape = ITEM_TOMBSTONE,
          .position = 7,
          .kind = ITEM_DATA,
          .stored_ms = 8,
          .reason = 1,
          .scope = zeros,
          .sender = zeros,
          .seq = 9,
          .expires_ms = 10,
          .digest = zeros },
    };
    struct message in = { .verb = VERB_DELIVER };
    struct list_maker made = { 0 };
    struct buf bytes = { 0 };
    struct list_reader reader;
    struct wire_item item;
    struct message out;

    for (size_t i = 0; i < 3; i++)
        list_add_item(&made, &items[i]);
    MESSAGE_SET(&in, stream, zeros);
    MESSAGE_SET(&in, items, list_of(&made));
    message_encode(&in, &bytes);
    cr_assert_eq(message_decode(&out, buf_bytes(&bytes), 2, FROM_BROKER), ERR_OK);
    reader = list_read(&out.items);
    for (size_t i = 0; i < 3; i++) {
        cr_assert(list_item(&reader, &item), "%zu", i);
        cr_expect_eq(item.shape, items[i].shape);
        cr_expect_eq(item.position, items[i].position);
        cr_expect_eq(item.credential.len, items[i].credential.len);
        cr_expect_eq(item.seq, items[i].seq);
    }
    cr_expect_not(list_item(&reader, &item));
    cr_expect_eq(reader.err, ERR_OK);
    list_free(&made);
    buf_free(&bytes);
}

Test(lists, a_short_element_stops_the_reading)
{
    struct list_maker made = { 0 };
    struct wire_list list;
    struct list_reader reader;
    struct wire_receipt receipt;

    list_add_status(&made, 7);
    list = list_of(&made);
    reader = list_read(&list);
    cr_expect_not(list_receipt(&reader, &receipt));
    cr_expect_eq(reader.err, ERR_SCHEMA);
    list_free(&made);
}
