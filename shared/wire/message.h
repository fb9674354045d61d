/*
 * message - part 0 of everything that crosses the wire: [1, type, rid, {key: value}].
 *
 * Every message is one struct: which keys it may carry, which it must, and how long they may be
 * stand in schema/verbs.def and schema/keys.def; encoder, decoder and docs/protocol.md follow them.
 *
 * Memory   A decoded message borrows from the bytes it was decoded from.  An encoded one borrows
 *          what it points to until message_encode() returns.
 * Errors   ERR_SCHEMA, ERR_TOO_LARGE; on error the output is unspecified.
 */
#ifndef WIRE_MESSAGE_H
#define WIRE_MESSAGE_H
#include "shared/base/bytes.h"
#include "shared/base/err.h"

enum wire_key {
#define KEY(number, kind, name, least, most) KEY_##name = (number),
#include "schema/keys.def"
};

enum verb {
#define VERB(number, name, who, req, opt, most, parts, rreq, ropt, rmost) VERB_##name = (number),
#include "schema/verbs.def"
};

enum verb_who { WHO_INVITED, WHO_ENROLLED, WHO_GREETED, WHO_ANYONE, WHO_BROKER };

struct verb_rule {
    enum verb verb;
    const char *name;
    enum verb_who who;
    uint64_t need, may; /* keys of the request, as bits 1 << KEY_x */
    size_t most, parts;
    uint64_t reply_need, reply_may; /* keys of the reply */
    size_t reply_most;
};

/* Elements packed one behind the other; read and made with lists.h. */
struct wire_list {
    struct bytes raw;
    uint32_t count;
};

struct wire_signed {
    struct bytes bytes;
    const uint8_t *sig; /* 64 bytes */
};

struct message {
    enum verb verb;
    bool reply;
    uint32_t rid;
    uint64_t has; /* bit KEY_x: field x is there */
#define WIRE_NUM                             uint64_t
#define WIRE_BIN                             const uint8_t *
#define WIRE_DATA                            struct bytes
#define WIRE_TEXT                            struct bytes
#define WIRE_LIST                            struct wire_list
#define WIRE_MAP                             struct wire_list
#define WIRE_SIGNED                          struct wire_signed
#define KEY(number, kind, name, least, most) WIRE_##kind name;
#include "schema/keys.def"
};

#define MESSAGE_HAS(m, key)    (((m)->has >> KEY_##key & 1) != 0)
#define MESSAGE_SET(m, key, v) ((m)->key = (v), (m)->has |= (uint64_t)1 << KEY_##key)

/* Who wrote the bytes decides what they may be. */
enum wire_side { FROM_AGENT, FROM_BROKER };

/* NULL for a number that no verb has. */
const struct verb_rule *verb_rule(unsigned number);
const char *verb_name(enum verb verb);

/*
 * Bounds, form, keys and sizes.  `parts` counts what follows part 0.  On ERR_SCHEMA `out->rid` and
 * `out->verb` are set where they could be read, else 0, so that an answer can be addressed.
 */
enum err message_decode(struct message *out, struct bytes head, size_t parts, enum wire_side from);

/* Appends.  Keys that the verb does not know, or a needed one missing, are bugs of ours. */
void message_encode(const struct message *message, struct buf *out);

/* A reply to `to`, or an ERROR with the table's text. */
struct message message_reply(const struct message *to);
struct message message_error(const struct message *to, enum err e);

#endif
