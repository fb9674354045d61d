#include "shared/wire/message.h"

#include <assert.h>

#include "shared/wire/bound.h"
#include "shared/wire/limit.h"
#include "shared/wire/pack.h"
#include "shared/wire/take.h"

enum { MESSAGE_VERSION = 1, REPLY_BIT = 0x80, KEYS_OURS = 64, SIG_SIZE = 64 };

#define K(name) ((uint64_t)1 << KEY_##name)

static const struct verb_rule rules[] = {
#define VERB(number, name, who, req, opt, most, parts, rreq, ropt, rmost)                          \
    { VERB_##name, #name, WHO_##who, (req), (opt), (most), (parts), (rreq), (ropt), (rmost) },
#include "schema/verbs.def"
};

enum field_kind {
    FIELD_NUM,
    FIELD_BIN,
    FIELD_DATA,
    FIELD_TEXT,
    FIELD_LIST,
    FIELD_MAP,
    FIELD_SIGNED
};

static const struct field {
    enum wire_key key;
    enum field_kind kind;
    size_t at;
    uint64_t least, most;
} fields[] = {
#define KEY(number, kind, name, least, most)                                                       \
    { KEY_##name, FIELD_##kind, offsetof(struct message, name), (least), (most) },
#include "schema/keys.def"
};

enum { FIELDS = sizeof fields / sizeof fields[0] };

const struct verb_rule *verb_rule(unsigned number)
{
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        if (rules[i].verb == number)
            return &rules[i];
    return NULL;
}

const char *verb_name(enum verb verb)
{
    const struct verb_rule *rule = verb_rule(verb);

    return rule ? rule->name : "UNKNOWN";
}

static const struct field *field_find(uint64_t key)
{
    for (size_t i = 0; i < FIELDS; i++)
        if (fields[i].key == key)
            return &fields[i];
    return NULL;
}

/* `count` values of a list or 2 * count of a map, as they are packed. */
static struct wire_list take_elements(struct take *take, size_t count, size_t values)
{
    struct wire_list list = { { take->at, 0 }, (uint32_t)count };

    for (size_t i = 0; i < values; i++)
        take_skip(take);
    if (take->err == ERR_OK)
        list.raw.len = (size_t)(take->at - list.raw.at);
    return list;
}

static void take_field(struct take *take, const struct field *field, struct message *out)
{
    void *to = (uint8_t *)out + field->at;
    struct bytes view = { NULL, 0 };
    size_t count;

    switch (field->kind) {
    case FIELD_NUM:
        *(uint64_t *)to = take_uint(take, field->most);
        break;
    case FIELD_BIN:
        *(const uint8_t **)to = take_fixed(take, field->most);
        break;
    case FIELD_DATA:
    case FIELD_TEXT:
        view
            = field->kind == FIELD_DATA ? take_bin(take, field->most) : take_str(take, field->most);
        if (view.len < field->least)
            take_fail(take, ERR_SCHEMA);
        *(struct bytes *)to = view;
        break;
    case FIELD_LIST:
        count = take_array(take);
        if (count > field->most)
            take_fail(take, ERR_SCHEMA);
        *(struct wire_list *)to = take_elements(take, count, count);
        break;
    case FIELD_MAP:
        count = take_map(take);
        if (count > field->most)
            take_fail(take, ERR_SCHEMA);
        *(struct wire_list *)to = take_elements(take, count, 2 * count);
        break;
    case FIELD_SIGNED:
        take_array_of(take, 2);
        ((struct wire_signed *)to)->bytes = take_bin(take, field->most);
        ((struct wire_signed *)to)->sig = take_fixed(take, SIG_SIZE);
        break;
    }
    out->has |= (uint64_t)1 << field->key;
}

/* Every key of the body is one that the message may carry, and none that it needs is missing. */
static enum err take_body(struct take *take, uint64_t need, uint64_t may, struct message *out)
{
    size_t pairs = take_map(take);

    while (pairs-- && take->err == ERR_OK) {
        uint64_t key = take_uint(take, UINT64_MAX);
        const struct field *field;

        if (key >= KEYS_OURS) { /* a newer peer's; not for us */
            take_skip(take);
            continue;
        }
        field = field_find(key);
        if (!field || !((need | may) >> key & 1))
            return ERR_SCHEMA;
        take_field(take, field, out);
    }
    if (take_end(take) != ERR_OK)
        return take_end(take);
    return (out->has & need) == need ? ERR_OK : ERR_SCHEMA;
}

enum err message_decode(struct message *out, struct bytes head, size_t parts, enum wire_side from)
{
    const struct verb_rule *rule;
    struct take take;
    uint64_t type;
    bool request;

    *out = (struct message){ 0 };
    if (head.len > (from == FROM_AGENT ? LIMIT_HEAD_AGENT_MAX : LIMIT_HEAD_MAX))
        return ERR_TOO_LARGE;
    if (bound_check(head, BOUND_MESSAGE) != ERR_OK)
        return ERR_SCHEMA;
    take = take_of(head);
    take_array_of(&take, 4);
    if (take_uint(&take, UINT8_MAX) != MESSAGE_VERSION)
        take_fail(&take, ERR_SCHEMA);
    type = take_uint(&take, UINT8_MAX);
    out->rid = (uint32_t)take_uint(&take, UINT32_MAX);
    if (take.err != ERR_OK)
        return ERR_SCHEMA;

    rule = verb_rule(type & (REPLY_BIT - 1));
    if (!rule)
        return ERR_SCHEMA;
    out->verb = rule->verb;
    out->reply = (type & REPLY_BIT) != 0;
    request = !out->reply;
    /* What only the other side may send, a request that expects no answer, an answer to nothing. */
    if (from == FROM_AGENT ? out->reply || rule->who == WHO_BROKER || out->rid == 0
                           : request && (rule->who != WHO_BROKER || out->rid != 0))
        return ERR_SCHEMA;
    if (rule->verb == VERB_ERROR && request)
        return ERR_SCHEMA;
    if (head.len > (request ? rule->most : rule->reply_most))
        return ERR_TOO_LARGE;
    if (request && parts > rule->parts)
        return ERR_SCHEMA;
    return take_body(&take, request ? rule->need : rule->reply_need,
                     request ? rule->may : rule->reply_may, out);
}

static void pack_field(struct buf *out, const struct field *field, const struct message *message)
{
    const void *from = (const uint8_t *)message + field->at;
    const struct wire_list *list = from;
    const struct wire_signed *pair = from;

    pack_uint(out, field->key);
    switch (field->kind) {
    case FIELD_NUM:
        assert(*(const uint64_t *)from <= field->most);
        pack_uint(out, *(const uint64_t *)from);
        break;
    case FIELD_BIN:
        pack_bin(out, bytes_of(*(const uint8_t *const *)from, field->most));
        break;
    case FIELD_DATA:
        pack_bin(out, *(const struct bytes *)from);
        break;
    case FIELD_TEXT:
        pack_str(out, *(const struct bytes *)from);
        break;
    case FIELD_LIST:
        assert(list->count <= field->most);
        pack_array(out, list->count);
        buf_append(out, list->raw.at, list->raw.len);
        break;
    case FIELD_MAP:
        pack_map(out, list->count);
        buf_append(out, list->raw.at, list->raw.len);
        break;
    case FIELD_SIGNED:
        pack_array(out, 2);
        pack_bin(out, pair->bytes);
        pack_bin(out, bytes_of(pair->sig, SIG_SIZE));
        break;
    }
}

void message_encode(const struct message *message, struct buf *out)
{
    const struct verb_rule *rule = verb_rule(message->verb);
    size_t pairs = 0;

    assert(rule);
    assert((message->has & (message->reply ? rule->reply_need : rule->need))
           == (message->reply ? rule->reply_need : rule->need));
    assert((message->has
            & ~(message->reply ? rule->reply_need | rule->reply_may : rule->need | rule->may))
           == 0);
    for (size_t i = 0; i < FIELDS; i++)
        pairs += message->has >> fields[i].key & 1;
    pack_array(out, 4);
    pack_uint(out, MESSAGE_VERSION);
    pack_uint(out, (uint64_t)rule->verb | (message->reply ? REPLY_BIT : 0));
    pack_uint(out, message->rid);
    pack_map(out, pairs);
    for (size_t i = 0; i < FIELDS; i++)
        if (message->has >> fields[i].key & 1)
            pack_field(out, &fields[i], message);
}

struct message message_reply(const struct message *to)
{
    return (struct message){ .verb = to->verb, .reply = true, .rid = to->rid };
}

struct message message_error(const struct message *to, enum err e)
{
    struct message error = { .verb = VERB_ERROR, .reply = true, .rid = to->rid };

    assert(err_on_wire(e));
    MESSAGE_SET(&error, code, (uint64_t)e);
    MESSAGE_SET(&error, text, bytes_of_text(err_text(e)));
    return error;
}
