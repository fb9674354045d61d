#include "broker/flow/pick.h"

#include "broker/controller/controller.h"
#include "broker/flow/groups.h"
#include "broker/flow/shelf.h"
#include "broker/store/directory.h"
#include "broker/store/scopes.h"
#include "shared/trust/init0.h"
#include "shared/trust/notice.h"
#include "shared/wire/limit.h"

/* Most that an item takes in part 0, and what part 0 holds beside the items. */
enum {
    ITEM_BYTES_MOST = 24,
    ITEM_TOMBSTONE_MOST = 136,
    ITEM_REQUEST_MOST = 5500,
    HEAD_REST = 64,
    MESSAGE_REST = 64 * 1024 /* 4 MiB counts part 0, too */
};

/* What the walk keeps of a row; its bytes are in the outgoing by then. */
struct chosen {
    uint64_t position, kind, stored_ms, expires_ms, seq, len;
    int reason;
    int64_t scope_id, sender_id;
    bool bare; /* a tombstone, or the reader's own */
    uint8_t digest[32];
};

struct walk {
    struct pick *pick;
    struct outgoing *out;
    size_t count, head, bytes;
    bool stopped;  /* something did not fit, or is damaged */
    bool repaired; /* a row became a tombstone: it is worth another look */
    struct frame_row damaged;
    struct chosen chosen[256];
};

enum err pick_stream(struct flow *flow, int64_t reader_id, const struct reading *reading,
                     struct pick *pick)
{
    static const uint8_t own_mailbox[16];
    struct group *group;
    enum err e;

    pick->stream_id = reading->stream_id;
    pick->stream = own_mailbox;
    pick->own_id = 0;
    pick->is_channel = reading->group_id != 0;
    if (!pick->is_channel)
        return ERR_OK;
    e = group_get(flow, reading->group_id, &group);
    if (e != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_NOT_MEMBER : e;
    pick->stream = group->row.id;
    pick->own_id = reader_id;
    return group_has_reader(group, reader_id) ? ERR_OK : ERR_NOT_MEMBER;
}

static void walk_begin(struct walk *walk, struct pick *pick, struct outgoing *out)
{
    walk->pick = pick;
    walk->out = out;
    walk->count = walk->head = walk->bytes = 0;
    walk->stopped = walk->repaired = false;
}

/* The reader's own frame in a channel: its place in the order, without bytes. */
static bool is_own(const struct walk *walk, const struct frame_row *row)
{
    return row->kind == ITEM_GROUP && row->sender_id == walk->pick->own_id;
}

static size_t head_most(const struct walk *walk, const struct frame_row *row)
{
    return row->reason || is_own(walk, row) ? ITEM_TOMBSTONE_MOST
           : row->kind == ITEM_REQUEST      ? ITEM_REQUEST_MOST
                                            : ITEM_BYTES_MOST;
}

static size_t bytes_of_row(const struct walk *walk, const struct frame_row *row)
{
    return is_own(walk, row) ? 0 : row->frame.len;
}

static bool fits(const struct walk *walk, const struct frame_row *row)
{
    size_t len = bytes_of_row(walk, row);
    uint64_t bytes = walk->bytes + len;

    if (walk->head + head_most(walk, row) > LIMIT_HEAD_MAX - HEAD_REST)
        return false;
    if (len && walk->out->part_count == LIMIT_ITEMS_FULL)
        return false;
    if (bytes > LIMIT_MESSAGE_MAX - MESSAGE_REST)
        return false;
    return bytes <= walk->pick->max_bytes || (walk->count == 0 && walk->pick->first_may_exceed);
}

static void choose(struct walk *walk, const struct frame_row *row)
{
    struct chosen *chosen = &walk->chosen[walk->count];
    size_t len = bytes_of_row(walk, row);

    *chosen = (struct chosen){ .position = row->position,
                               .kind = row->kind,
                               .stored_ms = row->stored_ms,
                               .expires_ms = row->expires_ms,
                               .seq = row->seq,
                               .len = row->len,
                               .reason = row->reason,
                               .scope_id = row->scope_id,
                               .sender_id = row->sender_id,
                               .bare = row->reason || is_own(walk, row) };
    memcpy(chosen->digest, row->digest, 32);
    walk->pick->items[walk->count++] = (struct picked){ row->position, len };
    walk->head += head_most(walk, row);
    walk->bytes += len;
    if (chosen->bare)
        return;
    if (walk->pick->is_channel)
        outgoing_share(walk->out, shelf_shared(row));
    else
        outgoing_add(walk->out, row->frame);
}

static bool walk_row(void *ctx, const struct frame_row *row)
{
    struct walk *walk = ctx;

    if (row->damaged) {
        walk->repaired = walk->stopped = true;
        walk->damaged = *row;
        walk->damaged.frame = (struct bytes){ 0 };
        return false;
    }
    if (!fits(walk, row)) {
        walk->stopped = true;
        return false;
    }
    choose(walk, row);
    return walk->count < walk->pick->max;
}

/* ---- items on the wire ----------------------------------------------------------------------- */

struct request_facts {
    struct event_row opened;
    struct card_row old_card;
    struct buf credential, card;
};

/* The card that INIT0 names, where it is not the one in the credential. */
static enum err old_card_of(struct flow *flow, const struct agent_row *sender,
                            struct request_facts *facts)
{
    struct opened_body body;
    struct init0 init;
    int64_t agent_id;
    enum err e;

    buf_clear(&facts->card);
    if (opened_body_parse(bytes_of(facts->opened.body, facts->opened.body_len), &body) != ERR_OK
        || init0_parse(body.init0, &init) != ERR_OK
        || memcmp(init.card_hash_a, sender->card_hash, 32) == 0)
        return ERR_OK;
    e = store_card_by_hash(flow->store, init.card_hash_a, &agent_id, &facts->old_card);
    if (e != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    if (agent_id == sender->agent_id) {
        buf_append(&facts->card, facts->old_card.card, facts->old_card.len);
        buf_append(&facts->card, facts->old_card.sig, 64);
    }
    return ERR_OK;
}

static enum err request_facts_get(struct flow *flow, const struct chosen *chosen,
                                  struct request_facts *facts)
{
    const struct agent_row *sender = store_agent(flow->store, chosen->sender_id);
    enum err e = store_event_get(flow->store, chosen->scope_id, 0, &facts->opened);

    if (e != ERR_OK || !sender)
        return e == ERR_OK ? ERR_NOT_FOUND : e;
    buf_clear(&facts->credential);
    e = controller_credential(flow->controller, sender->agent_id, flow->now_ms,
                              LIMIT_CERT_REISSUE_MS, &facts->credential);
    return e == ERR_OK ? old_card_of(flow, sender, facts) : e;
}

static enum err put_request(struct flow *flow, const struct chosen *chosen, struct wire_item *item)
{
    struct request_facts facts = { .credential = { 0 } };
    enum err e = request_facts_get(flow, chosen, &facts);

    if (e == ERR_OK) {
        item->shape = ITEM_BYTES_REQUEST;
        item->opened = (struct wire_event){ facts.opened.preimage, facts.opened.sig,
                                            bytes_of(facts.opened.body, facts.opened.body_len) };
        item->credential = buf_bytes(&facts.credential);
        item->old_card = buf_bytes(&facts.card);
        list_add_item(&flow->items, item);
    }
    buf_free(&facts.credential);
    buf_free(&facts.card);
    return e;
}

static enum err put_bare(struct flow *flow, const struct pick *pick, const struct chosen *chosen,
                         struct wire_item *item)
{
    const struct agent_row *sender = store_agent(flow->store, chosen->sender_id);
    struct session_row session;
    enum err e = ERR_OK;

    if (!pick->is_channel)
        e = store_session_get(flow->store, chosen->scope_id, &session);
    if (e != ERR_OK || !sender)
        return e == ERR_OK ? ERR_NOT_FOUND : e;
    item->shape = ITEM_TOMBSTONE;
    item->reason = (uint64_t)chosen->reason;
    item->scope = pick->is_channel ? pick->stream : session.id;
    item->sender = sender->aid;
    item->seq = chosen->seq;
    item->expires_ms = chosen->expires_ms;
    item->digest = chosen->digest;
    list_add_item(&flow->items, item);
    return ERR_OK;
}

static enum err put_item(struct flow *flow, const struct pick *pick, const struct chosen *chosen)
{
    struct wire_item item = { .shape = ITEM_BYTES,
                              .position = chosen->position,
                              .kind = chosen->kind,
                              .stored_ms = chosen->stored_ms };

    if (chosen->bare)
        return put_bare(flow, pick, chosen, &item);
    if (chosen->kind == ITEM_REQUEST)
        return put_request(flow, chosen, &item);
    list_add_item(&flow->items, &item);
    return ERR_OK;
}

/* A revoked sender's request is not shown to anybody: it ends as a frame that was given up. */
static enum err revoked_sender(struct flow *flow, const struct walk *walk,
                               const struct chosen *chosen)
{
    struct frame_row row = { .position = chosen->position,
                             .stream_id = walk->pick->stream_id,
                             .scope_id = chosen->scope_id,
                             .sender_id = chosen->sender_id,
                             .seq = chosen->seq,
                             .kind = (enum item_kind)chosen->kind,
                             .stored_ms = chosen->stored_ms,
                             .expires_ms = chosen->expires_ms,
                             .len = chosen->len };

    memcpy(row.digest, chosen->digest, 32);
    return frame_give_up(flow, &row, NOTICE_SESSION_ENDED);
}

static enum err walk_once(struct flow *flow, struct walk *walk)
{
    const struct pick *pick = walk->pick;
    enum err e = pick->is_channel
                     ? shelf_fetch(flow, pick->stream_id, pick->after, pick->max, walk_row, walk)
                     : store_frame_fetch(flow->store, pick->stream_id, pick->after, pick->max,
                                         walk_row, walk);

    if (e != ERR_OK)
        return e;
    if (walk->repaired)
        return frame_give_up(flow, &walk->damaged, NOTICE_DAMAGED);
    return ERR_OK;
}

/* Cuts the choice before item `i`. */
static void cut(struct walk *walk, size_t i)
{
    while (walk->count > i) {
        if (!walk->chosen[--walk->count].bare)
            outgoing_cut(walk->out);
    }
}

static enum err put_items(struct flow *flow, struct walk *walk)
{
    for (size_t i = 0; i < walk->count; i++) {
        enum err e = put_item(flow, walk->pick, &walk->chosen[i]);

        if (e == ERR_CERT_REVOKED) { /* comes back as a tombstone */
            e = revoked_sender(flow, walk, &walk->chosen[i]);
            cut(walk, i);
            walk->stopped = walk->repaired = true;
        }
        if (e != ERR_OK)
            return e;
    }
    return ERR_OK;
}

enum err pick_items(struct flow *flow, struct pick *pick, struct outgoing *out)
{
    struct walk walk;
    enum err e;

    if (pick->max > LIMIT_ITEMS_MAX)
        pick->max = LIMIT_ITEMS_MAX;
    do {
        list_clear(&flow->items);
        walk_begin(&walk, pick, out);
        e = pick->max ? walk_once(flow, &walk) : ERR_OK;
        if (e == ERR_OK)
            e = put_items(flow, &walk);
        /* Once more, if nothing stood before it. */
    } while (e == ERR_OK && walk.repaired && walk.count == 0);
    pick->count = walk.count;
    pick->exhausted = !walk.stopped && walk.count < pick->max;
    return e;
}
