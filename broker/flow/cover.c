#include "broker/flow/cover.h"

#include "broker/flow/groups.h"
#include "broker/store/directory.h"
#include "broker/store/scopes.h"

/* Which session, whose frames.  One that does not exist covers nothing. */
static enum err cover_resolve(struct flow *flow, struct cover *cover)
{
    const struct agent_row *sender = store_agent_by_aid(flow->store, cover->receipt.sender);
    struct session_row session;
    enum err e = store_session_find(flow->store, cover->receipt.scope, &session);

    if (e != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_RECEIPT : e;
    if (!sender)
        return ERR_RECEIPT;
    cover->scope_id = session.session_id;
    cover->sender_id = sender->agent_id;
    cover->next = cover->receipt.from;
    return ERR_OK;
}

/* Extra receipts are for the group's frames, from another member. */
static enum err cover_resolve_extra(const struct covers *covers, struct flow *flow,
                                    const struct requester *reader, struct cover *cover)
{
    const struct agent_row *sender = store_agent_by_aid(flow->store, cover->receipt.sender);

    if (!sender || sender->agent_id == reader->id
        || memcmp(cover->receipt.scope, covers->group->row.id, 16) != 0)
        return ERR_RECEIPT;
    cover->is_extra = true;
    cover->scope_id = covers->group->row.group_id;
    cover->sender_id = sender->agent_id;
    return ERR_OK;
}

static enum err cover_begin(struct covers *covers, struct flow *flow,
                            const struct requester *reader, struct cover *cover)
{
    enum err e = receipt_parse(bytes_of(cover->preimage, RECEIPT_SIZE), &cover->receipt);

    if (e != ERR_OK || memcmp(cover->receipt.recipient, reader->aid, 32) != 0
        || cover->receipt.status == RECEIPT_ADVANCE)
        return ERR_RECEIPT;
    cover->scope_id = cover->sender_id = 0;
    cover->is_extra = false;
    cover->next = 0;
    cover->only_tombstones = true;
    range_begin(&cover->range);
    if (!receipt_is_cursor(&cover->receipt))
        return covers->group ? cover_resolve_extra(covers, flow, reader, cover)
                             : cover_resolve(flow, cover);
    if (covers->cursor || cover->receipt.status != RECEIPT_DELIVERED)
        return ERR_RECEIPT;
    covers->cursor = cover;
    return ERR_OK;
}

enum err covers_open(struct covers *covers, struct flow *flow, const struct requester *reader,
                     const struct group *group, const struct wire_list *receipts)
{
    struct list_reader list = list_read(receipts);
    struct wire_receipt wire;

    covers->count = 0;
    covers->cursor = covers->recent = NULL;
    covers->group = group;
    while (list_receipt(&list, &wire)) {
        struct cover *cover = &covers->at[covers->count];
        enum err e;

        if (covers->count == COVERS_MOST)
            return ERR_RECEIPT;
        cover->preimage = wire.preimage;
        cover->sig = wire.sig;
        e = cover_begin(covers, flow, reader, cover);
        if (e != ERR_OK)
            return e;
        covers->count++;
    }
    return list.err;
}

static bool covers_row(const struct cover *cover, const struct frame_row *row)
{
    return cover->scope_id == row->scope_id && cover->sender_id == row->sender_id
           && cover->receipt.from <= row->seq && row->seq <= cover->receipt.to;
}

/* The receipt of numbers that says something about this frame.  Of two that overlap the second is
 * left short, and refused for that at the end. */
static struct cover *cover_of_numbers(struct covers *covers, const struct frame_row *row)
{
    if (covers->recent && covers_row(covers->recent, row))
        return covers->recent;
    for (size_t i = 0; i < covers->count; i++)
        if (covers_row(&covers->at[i], row))
            return covers->recent = &covers->at[i];
    return NULL;
}

static void cover_add(struct cover *cover, const struct frame_row *row)
{
    cover->only_tombstones = cover->only_tombstones && row->reason != 0;
    range_add(&cover->range, row->digest);
}

static enum err add_to_cursor(struct cover *cover, const struct frame_row *row)
{
    if (!cover || (cover->next == 0 && row->position != cover->receipt.from))
        return ERR_RECEIPT;
    cover->next = row->position;
    cover_add(cover, row);
    return ERR_OK;
}

/* Numbers of an author may be missing in a channel: old tombstones leave it. */
static enum err add_to_extra(struct cover *cover, const struct frame_row *row)
{
    if (cover->next == 0 && row->seq != cover->receipt.from)
        return ERR_RECEIPT;
    cover->next = row->seq;
    cover_add(cover, row);
    return ERR_OK;
}

/* In a channel the cursor receipt covers everything, whatever else is said about it. */
static enum err add_of_channel(struct covers *covers, const struct frame_row *row)
{
    struct cover *extra = row->kind == ITEM_GROUP ? cover_of_numbers(covers, row) : NULL;
    enum err e = extra ? add_to_extra(extra, row) : ERR_OK;

    return e == ERR_OK ? add_to_cursor(covers->cursor, row) : e;
}

enum err covers_add(struct covers *covers, const struct frame_row *row)
{
    struct cover *cover = NULL;

    if (covers->group)
        return add_of_channel(covers, row);
    if (row->kind == ITEM_ACCEPT || row->kind == ITEM_DATA)
        cover = cover_of_numbers(covers, row);
    if (!cover)
        return add_to_cursor(covers->cursor, row);
    if (row->seq != cover->next)
        return ERR_RECEIPT;
    cover->next++;
    cover_add(cover, row);
    return ERR_OK;
}

enum err covers_close(struct covers *covers)
{
    for (size_t i = 0; i < covers->count; i++) {
        struct cover *cover = &covers->at[i];
        uint64_t end = cover == covers->cursor || cover->is_extra ? cover->receipt.to
                                                                  : cover->receipt.to + 1;
        uint8_t digest[32];

        if (cover->next != end)
            return ERR_RECEIPT;
        if (cover->receipt.status == RECEIPT_TOMBSTONE && !cover->only_tombstones)
            return ERR_RECEIPT;
        range_end(&cover->range, digest);
        if (memcmp(digest, cover->receipt.range_digest, 32) != 0)
            return ERR_RECEIPT;
    }
    return ERR_OK;
}
