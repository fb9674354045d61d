/* Mailboxes in the liar's hands. */
#include <sodium.h>
#include <stdlib.h>

#include "shared/wire/frame.h"
#include "tests/lib/liar_internal.h"

#define PARTS_AT_ONCE 50

/* ------------------------------------------------------------------ what the broker delivers */

static void *grown(void *list, size_t count, size_t *cap, size_t size)
{
    if (count < *cap)
        return list;
    *cap = *cap ? 2 * *cap : 64;
    return mem_resize(list, *cap * size);
}

/* A copy whose bytes stay. */
static struct wire_item keep_item(struct liar *liar, const struct wire_item *item)
{
    struct wire_item kept = *item;

    if (item->shape == ITEM_BYTES_REQUEST) {
        kept.opened.preimage = liar_copy(liar, bytes_of(item->opened.preimage, EVENT_SIZE));
        kept.opened.sig = liar_copy(liar, bytes_of(item->opened.sig, 64));
        kept.opened.body = liar_keep(liar, item->opened.body);
        kept.credential = liar_keep(liar, item->credential);
        kept.old_card = liar_keep(liar, item->old_card);
    } else if (item->shape == ITEM_TOMBSTONE) {
        kept.scope = liar_copy(liar, bytes_of(item->scope, 16));
        kept.sender = liar_copy(liar, bytes_of(item->sender, 32));
        kept.digest = liar_copy(liar, bytes_of(item->digest, 32));
    }
    return kept;
}

static void keep_delivery(struct liar *liar, struct mark *mark, const struct passing *passing)
{
    struct list_reader reader = list_read(&passing->message.items);
    struct wire_item item;
    size_t part = 0;

    while (list_item(&reader, &item)) {
        struct bytes bytes = bytes_of("", 0);

        if (item.shape != ITEM_TOMBSTONE)
            bytes = passing->parts[part++];
        if (item.position <= mark->newest)
            continue; /* comes again after a HELLO */
        mark->newest = item.position;
        mark->items = grown(mark->items, mark->item_count, &mark->item_cap, sizeof *mark->items);
        mark->items[mark->item_count++]
            = (struct liar_item){ keep_item(liar, &item), liar_keep(liar, bytes) };
    }
}

/* Where the agent stands is said by whoever has its mailbox. */
static void tell_streams(struct liar *liar, struct mark *mark, struct message *message)
{
    static const uint8_t mailbox[16];
    struct list_reader reader = list_read(&message->streams);
    struct list_maker made = { 0 };
    struct wire_stream stream;

    while (list_stream(&reader, &stream)) {
        if (memcmp(stream.stream, mailbox, 16) == 0 && mark->cursor) {
            stream.cursor = mark->cursor;
            stream.last = mark->position;
            stream.waiting = 0;
        }
        list_add_stream(&made, &stream);
    }
    message->streams = (struct wire_list){ liar_keep(liar, buf_bytes(&made.raw)), made.count };
    list_free(&made);
}

bool liar_mail_change(struct liar *liar, struct mark *mark, struct passing *passing)
{
    static const uint8_t mailbox[16];

    if (!mark->mailbox)
        return true;
    if (passing->message.verb == VERB_DELIVER
        && memcmp(passing->message.stream, mailbox, 16) == 0) { /* channels pass */
        keep_delivery(liar, mark, passing);
        return false;
    }
    if (passing->message.verb == VERB_HELLO && passing->message.reply)
        tell_streams(liar, mark, &passing->message);
    return true;
}

/* ------------------------------------------------------------------ what the agent says */

static void keep_receipts(struct mark *mark, const struct message *message)
{
    struct list_reader reader = list_read(&message->receipts);
    struct wire_receipt wire;

    while (list_receipt(&reader, &wire)) {
        struct liar_receipt kept;

        memcpy(kept.bytes, wire.preimage, RECEIPT_SIZE);
        memcpy(kept.bytes + RECEIPT_SIZE, wire.sig, 64);
        if (receipt_parse(bytes_of(wire.preimage, RECEIPT_SIZE), &kept.receipt) != ERR_OK
            || receipt_is_cursor(&kept.receipt))
            continue;
        mark->receipts = grown(mark->receipts, mark->receipt_count, &mark->receipt_cap,
                               sizeof *mark->receipts);
        mark->receipts[mark->receipt_count++] = kept;
    }
}

bool liar_mail_ask(struct liar *liar, struct mark *mark, struct passing *passing)
{
    struct message *message = &passing->message;
    struct message reply;

    if (!mark->mailbox)
        return true;
    if (message->verb == VERB_CREDIT) { /* so that the broker shows all it has */
        MESSAGE_SET(message, credit, 1000000);
        MESSAGE_SET(message, credit_bytes, 1000000000);
        return true;
    }
    if (message->verb != VERB_ACK || message->position < UINT64_C(1) << 40)
        return true;
    keep_receipts(mark, message);
    mark->cursor = message->position;
    reply = message_reply(message);
    MESSAGE_SET(&reply, position, message->position);
    liar_tell(liar, passing->who, &reply, NULL, 0);
    return false;
}

/* ------------------------------------------------------------------ for tests */

void liar_take_mailbox(struct liar *liar, struct world_agent *who)
{
    struct message credit = { .verb = VERB_CREDIT };

    liar_mark(liar, who)->mailbox = true;
    if (!who->connected)
        return;
    MESSAGE_SET(&credit, credit, 1000000);
    MESSAGE_SET(&credit, credit_bytes, 1000000000);
    liar_ask_broker(liar, who, &credit, NULL, 0);
}

size_t liar_item_count(const struct liar *liar, const struct world_agent *who)
{
    return liar_mark((struct liar *)liar, (struct world_agent *)who)->item_count;
}

struct liar_item liar_item_at(const struct liar *liar, const struct world_agent *who, size_t n)
{
    const struct mark *mark = liar_mark((struct liar *)liar, (struct world_agent *)who);

    if (n >= mark->item_count)
        world_fail(liar->world, "the broker delivered %zu items to %s", mark->item_count,
                   who->name);
    return mark->items[n];
}

struct liar_item liar_item_of(const struct liar *liar, const struct world_agent *who,
                              enum item_kind kind, size_t from)
{
    const struct mark *mark = liar_mark((struct liar *)liar, (struct world_agent *)who);

    for (size_t i = from; i < mark->item_count; i++)
        if (mark->items[i].item.kind == (uint64_t)kind)
            return mark->items[i];
    world_fail(liar->world, "the broker delivered nothing of kind %d to %s", (int)kind, who->name);
}

static void deliver_some(struct liar *liar, struct mark *mark, const struct liar_item *items,
                         size_t count)
{
    static const uint8_t mailbox[16];
    struct message deliver = { .verb = VERB_DELIVER };
    struct list_maker list = { 0 };
    struct bytes parts[PARTS_AT_ONCE];
    size_t part_count = 0;

    for (size_t i = 0; i < count; i++) {
        struct wire_item item = items[i].item;

        item.position = ++mark->position;
        list_add_item(&list, &item);
        if (item.shape != ITEM_TOMBSTONE)
            parts[part_count++] = items[i].part;
    }
    MESSAGE_SET(&deliver, stream, mailbox);
    MESSAGE_SET(&deliver, items, list_of(&list));
    liar_tell(liar, mark->who, &deliver, parts, part_count);
    list_free(&list);
}

void liar_deliver(struct liar *liar, struct world_agent *who, const struct liar_item *items,
                  size_t count)
{
    struct mark *mark = liar_mark(liar, who);

    for (size_t at = 0; at < count; at += PARTS_AT_ONCE)
        deliver_some(liar, mark, items + at,
                     count - at < PARTS_AT_ONCE ? count - at : PARTS_AT_ONCE);
}

size_t liar_receipts(const struct liar *liar, const struct world_agent *who,
                     const struct liar_receipt **out)
{
    const struct mark *mark = liar_mark((struct liar *)liar, (struct world_agent *)who);

    *out = mark->receipts;
    return mark->receipt_count;
}

struct liar_item liar_item(struct liar *liar, enum item_kind kind, struct bytes part)
{
    return (
        struct liar_item){ { .shape = ITEM_BYTES, .kind = kind, .stored_ms = liar->world->now_ms },
                           liar_keep(liar, part) };
}

struct liar_item liar_tombstone(struct liar *liar, struct bytes frame, uint8_t reason)
{
    struct liar_item made = { .item = { .shape = ITEM_TOMBSTONE } };
    struct frame_view view;
    uint8_t digest[FRAME_DIGEST_SIZE];

    if (frame_parse(frame, &view) != ERR_OK)
        world_fail(liar->world, "a tombstone of no frame");
    frame_digest(&view, digest);
    made.item.kind = view.kind;
    made.item.stored_ms = liar->world->now_ms;
    made.item.reason = reason;
    made.item.seq = view.seq;
    made.item.expires_ms = view.expires_ms;
    made.item.scope = liar_copy(liar, bytes_of(view.scope, 16));
    made.item.sender = liar_copy(liar, bytes_of(view.sender, 32));
    made.item.digest = liar_copy(liar, bytes_of(digest, 32));
    return made;
}
