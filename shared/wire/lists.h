/*
 * lists - elements of the arrays inside a message, typed.
 *
 * Reading   struct list_reader r = list_read(&message.events); while (list_event(&r, &event)) …
 *           then r.err says whether all of it was well-formed.  Borrowed from the message.
 * Making    struct list_maker m = {0}; list_add_event(&m, …); MESSAGE_SET(&msg, events,
 * list_of(&m)); list_free(&m) after message_encode().
 */
#ifndef WIRE_LISTS_H
#define WIRE_LISTS_H
#include "shared/wire/message.h"

struct list_reader {
    const uint8_t *at, *end;
    uint32_t left;
    enum err err;
};

struct list_maker {
    struct buf raw;
    uint32_t count;
};

struct list_reader list_read(const struct wire_list *list);
struct wire_list list_of(const struct list_maker *maker);
void list_clear(struct list_maker *maker);
void list_free(struct list_maker *maker);

struct wire_event {
    const uint8_t *preimage; /* 174 */
    const uint8_t *sig;      /* 64 */
    struct bytes body;
};

struct wire_receipt {
    const uint8_t *preimage; /* 148 */
    const uint8_t *sig;      /* 64 */
};

struct wire_opk {
    uint32_t id;
    const uint8_t *key; /* 32 */
};

struct wire_stream {
    const uint8_t *stream; /* 16 */
    uint64_t cursor, last, waiting;
};

struct wire_stored {
    const uint8_t *scope; /* 16 */
    uint64_t seq;
};

/* SYNC: the agent says last and digest; the broker stored, digest and state. */
struct wire_scope {
    const uint8_t *scope; /* 16 */
    uint64_t seq;
    const uint8_t *digest; /* 32 */
    uint64_t state;        /* 0 in step, 1 behind, 2 rollback, 3 unknown; requests: unused */
};

/* kinds of items and of frames */
enum item_kind {
    ITEM_REQUEST = 1,
    ITEM_ACCEPT = 2,
    ITEM_DATA = 3,
    ITEM_GROUP = 8,
    ITEM_RECEIPT = 16,
    ITEM_EVENT = 17,
    ITEM_NOTICE = 18
};

enum item_shape { ITEM_BYTES, ITEM_BYTES_REQUEST, ITEM_TOMBSTONE };

/* What a stream delivers.  Shapes BYTES and BYTES_REQUEST have one part of the message each. */
struct wire_item {
    enum item_shape shape;
    uint64_t position, kind, stored_ms;
    /* request */
    struct wire_event opened;
    struct bytes credential, old_card; /* old_card: card, then 64 bytes of signature; or empty */
    /* tombstone, or a reader's own group frame (reason 0) */
    uint64_t reason, seq, expires_ms;
    const uint8_t *scope, *sender, *digest;
};

bool list_event(struct list_reader *r, struct wire_event *out);
bool list_receipt(struct list_reader *r, struct wire_receipt *out);
bool list_opk(struct list_reader *r, struct wire_opk *out);
bool list_stream(struct list_reader *r, struct wire_stream *out);
bool list_stored(struct list_reader *r, struct wire_stored *out);
bool list_scope_asked(struct list_reader *r, struct wire_scope *out);
bool list_scope_answered(struct list_reader *r, struct wire_scope *out);
bool list_item(struct list_reader *r, struct wire_item *out);
bool list_status(struct list_reader *r, uint64_t *out);
bool list_entry(struct list_reader *r, struct bytes *out); /* LOG: one packed entry */
bool list_limit(struct list_reader *r, uint64_t *number, uint64_t *value);

void list_add_event(struct list_maker *m, const struct wire_event *event);
void list_add_receipt(struct list_maker *m, const struct wire_receipt *receipt);
void list_add_opk(struct list_maker *m, const struct wire_opk *opk);
void list_add_stream(struct list_maker *m, const struct wire_stream *stream);
void list_add_stored(struct list_maker *m, const struct wire_stored *stored);
void list_add_scope_asked(struct list_maker *m, const struct wire_scope *scope);
void list_add_scope_answered(struct list_maker *m, const struct wire_scope *scope);
void list_add_item(struct list_maker *m, const struct wire_item *item);
void list_add_status(struct list_maker *m, uint64_t status);
void list_add_entry(struct list_maker *m, struct bytes entry);
void list_add_limit(struct list_maker *m, uint64_t number, uint64_t value); /* ascending numbers */

#endif
