#include "shared/wire/lists.h"

#include "shared/wire/limit.h"
#include "shared/wire/pack.h"
#include "shared/wire/take.h"

enum { EVENT_SIZE = 174, RECEIPT_SIZE = 148, SIG_SIZE = 64 };

struct list_reader list_read(const struct wire_list *list)
{
    const uint8_t *end = list->raw.len ? list->raw.at + list->raw.len : list->raw.at;

    return (struct list_reader){ list->raw.at, end, list->count, ERR_OK };
}

struct wire_list list_of(const struct list_maker *maker)
{
    return (struct wire_list){ buf_bytes(&maker->raw), maker->count };
}

void list_clear(struct list_maker *maker)
{
    buf_clear(&maker->raw);
    maker->count = 0;
}

void list_free(struct list_maker *maker)
{
    buf_free(&maker->raw);
    maker->count = 0;
}

/* One element: begin, take its values, end. */
static bool element_begin(struct list_reader *r, struct take *take)
{
    if (r->err != ERR_OK || r->left == 0)
        return false;
    *take = (struct take){ r->at, r->end, ERR_OK };
    return true;
}

static bool element_end(struct list_reader *r, const struct take *take)
{
    r->err = take->err;
    r->at = take->at;
    r->left--;
    return r->err == ERR_OK;
}

static struct wire_event take_event(struct take *take)
{
    struct wire_event event;

    event.preimage = take_fixed(take, EVENT_SIZE);
    event.sig = take_fixed(take, SIG_SIZE);
    event.body = take_bin(take, LIMIT_EVENT_BODY_MAX);
    return event;
}

bool list_event(struct list_reader *r, struct wire_event *out)
{
    struct take take;

    if (!element_begin(r, &take))
        return false;
    take_array_of(&take, 3);
    *out = take_event(&take);
    return element_end(r, &take);
}

bool list_receipt(struct list_reader *r, struct wire_receipt *out)
{
    struct take take;

    if (!element_begin(r, &take))
        return false;
    take_array_of(&take, 2);
    out->preimage = take_fixed(&take, RECEIPT_SIZE);
    out->sig = take_fixed(&take, SIG_SIZE);
    return element_end(r, &take);
}

bool list_opk(struct list_reader *r, struct wire_opk *out)
{
    struct take take;

    if (!element_begin(r, &take))
        return false;
    take_array_of(&take, 2);
    out->id = (uint32_t)take_uint(&take, UINT32_MAX);
    out->key = take_fixed(&take, 32);
    return element_end(r, &take);
}

bool list_stream(struct list_reader *r, struct wire_stream *out)
{
    struct take take;

    if (!element_begin(r, &take))
        return false;
    take_array_of(&take, 4);
    out->stream = take_fixed(&take, 16);
    out->cursor = take_uint(&take, INT64_MAX);
    out->last = take_uint(&take, INT64_MAX);
    out->waiting = take_uint(&take, UINT32_MAX);
    return element_end(r, &take);
}

bool list_stored(struct list_reader *r, struct wire_stored *out)
{
    struct take take;

    if (!element_begin(r, &take))
        return false;
    take_array_of(&take, 2);
    out->scope = take_fixed(&take, 16);
    out->seq = take_uint(&take, INT64_MAX);
    return element_end(r, &take);
}

static bool list_scope(struct list_reader *r, struct wire_scope *out, size_t fields)
{
    struct take take;

    if (!element_begin(r, &take))
        return false;
    take_array_of(&take, fields);
    out->scope = take_fixed(&take, 16);
    out->seq = take_uint(&take, INT64_MAX);
    out->digest = take_fixed(&take, 32);
    out->state = fields == 4 ? take_uint(&take, 3) : 0;
    return element_end(r, &take);
}

bool list_scope_asked(struct list_reader *r, struct wire_scope *out)
{
    return list_scope(r, out, 3);
}

bool list_scope_answered(struct list_reader *r, struct wire_scope *out)
{
    return list_scope(r, out, 4);
}

bool list_item(struct list_reader *r, struct wire_item *out)
{
    struct take take;
    size_t fields;

    if (!element_begin(r, &take))
        return false;
    *out = (struct wire_item){ 0 };
    fields = take_array(&take);
    out->position = take_uint(&take, INT64_MAX);
    out->kind = take_uint(&take, UINT8_MAX);
    out->stored_ms = take_uint(&take, INT64_MAX);
    switch (fields) {
    case 3:
        out->shape = ITEM_BYTES;
        break;
    case 8:
        out->shape = ITEM_BYTES_REQUEST;
        out->opened = take_event(&take);
        out->credential = take_bin(&take, LIMIT_CREDENTIAL_MAX);
        out->old_card = take_bin(&take, LIMIT_CARD_MAX + SIG_SIZE);
        if (out->kind != ITEM_REQUEST)
            take_fail(&take, ERR_SCHEMA);
        break;
    case 9:
        out->shape = ITEM_TOMBSTONE;
        out->reason = take_uint(&take, UINT8_MAX);
        out->scope = take_fixed(&take, 16);
        out->sender = take_fixed(&take, 32);
        out->seq = take_uint(&take, INT64_MAX);
        out->expires_ms = take_uint(&take, INT64_MAX);
        out->digest = take_fixed(&take, 32);
        break;
    default:
        take_fail(&take, ERR_SCHEMA);
    }
    return element_end(r, &take);
}

bool list_status(struct list_reader *r, uint64_t *out)
{
    struct take take;

    if (!element_begin(r, &take))
        return false;
    *out = take_uint(&take, UINT16_MAX);
    return element_end(r, &take);
}

bool list_entry(struct list_reader *r, struct bytes *out)
{
    struct take take;

    if (!element_begin(r, &take))
        return false;
    *out = take_bin(&take, LIMIT_HEAD_MAX);
    return element_end(r, &take);
}

bool list_limit(struct list_reader *r, uint64_t *number, uint64_t *value)
{
    struct take take;

    if (!element_begin(r, &take))
        return false;
    *number = take_uint(&take, UINT8_MAX);
    *value = take_uint(&take, UINT64_MAX);
    return element_end(r, &take);
}

static void pack_event(struct buf *out, const struct wire_event *event)
{
    pack_bin(out, bytes_of(event->preimage, EVENT_SIZE));
    pack_bin(out, bytes_of(event->sig, SIG_SIZE));
    pack_bin(out, event->body);
}

void list_add_event(struct list_maker *m, const struct wire_event *event)
{
    m->count++;
    pack_array(&m->raw, 3);
    pack_event(&m->raw, event);
}

void list_add_receipt(struct list_maker *m, const struct wire_receipt *receipt)
{
    m->count++;
    pack_array(&m->raw, 2);
    pack_bin(&m->raw, bytes_of(receipt->preimage, RECEIPT_SIZE));
    pack_bin(&m->raw, bytes_of(receipt->sig, SIG_SIZE));
}

void list_add_opk(struct list_maker *m, const struct wire_opk *opk)
{
    m->count++;
    pack_array(&m->raw, 2);
    pack_uint(&m->raw, opk->id);
    pack_bin(&m->raw, bytes_of(opk->key, 32));
}

void list_add_stream(struct list_maker *m, const struct wire_stream *stream)
{
    m->count++;
    pack_array(&m->raw, 4);
    pack_bin(&m->raw, bytes_of(stream->stream, 16));
    pack_uint(&m->raw, stream->cursor);
    pack_uint(&m->raw, stream->last);
    pack_uint(&m->raw, stream->waiting);
}

void list_add_stored(struct list_maker *m, const struct wire_stored *stored)
{
    m->count++;
    pack_array(&m->raw, 2);
    pack_bin(&m->raw, bytes_of(stored->scope, 16));
    pack_uint(&m->raw, stored->seq);
}

static void pack_scope(struct buf *out, const struct wire_scope *scope)
{
    pack_bin(out, bytes_of(scope->scope, 16));
    pack_uint(out, scope->seq);
    pack_bin(out, bytes_of(scope->digest, 32));
}

void list_add_scope_asked(struct list_maker *m, const struct wire_scope *scope)
{
    m->count++;
    pack_array(&m->raw, 3);
    pack_scope(&m->raw, scope);
}

void list_add_scope_answered(struct list_maker *m, const struct wire_scope *scope)
{
    m->count++;
    pack_array(&m->raw, 4);
    pack_scope(&m->raw, scope);
    pack_uint(&m->raw, scope->state);
}

void list_add_item(struct list_maker *m, const struct wire_item *item)
{
    static const size_t fields[]
        = { [ITEM_BYTES] = 3, [ITEM_BYTES_REQUEST] = 8, [ITEM_TOMBSTONE] = 9 };

    m->count++;
    pack_array(&m->raw, fields[item->shape]);
    pack_uint(&m->raw, item->position);
    pack_uint(&m->raw, item->kind);
    pack_uint(&m->raw, item->stored_ms);
    switch (item->shape) {
    case ITEM_BYTES:
        break;
    case ITEM_BYTES_REQUEST:
        pack_event(&m->raw, &item->opened);
        pack_bin(&m->raw, item->credential);
        pack_bin(&m->raw, item->old_card);
        break;
    case ITEM_TOMBSTONE:
        pack_uint(&m->raw, item->reason);
        pack_bin(&m->raw, bytes_of(item->scope, 16));
        pack_bin(&m->raw, bytes_of(item->sender, 32));
        pack_uint(&m->raw, item->seq);
        pack_uint(&m->raw, item->expires_ms);
        pack_bin(&m->raw, bytes_of(item->digest, 32));
        break;
    }
}

void list_add_status(struct list_maker *m, uint64_t status)
{
    m->count++;
    pack_uint(&m->raw, status);
}

void list_add_entry(struct list_maker *m, struct bytes entry)
{
    m->count++;
    pack_bin(&m->raw, entry);
}

void list_add_limit(struct list_maker *m, uint64_t number, uint64_t value)
{
    m->count++;
    pack_uint(&m->raw, number);
    pack_uint(&m->raw, value);
}
