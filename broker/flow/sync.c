#include "broker/flow/groups.h"
#include "broker/store/directory.h"
#include "broker/store/scopes.h"
#include "broker/store/senders.h"
#include "shared/trust/receipt.h"

enum sync_state { IN_STEP, BEHIND, ROLLBACK, UNKNOWN };

static const uint8_t zeroes[32];

/* A group that the agent is a member of. */
static enum err own_row_in_group(struct flow *flow, int64_t agent_id,
                                 const uint8_t scope[static 16], struct sender_row *out)
{
    struct group *group;
    enum err e = group_find(flow, scope, &group);

    if (e == ERR_OK && !group_has_member(group, store_agent(flow->store, agent_id)->aid))
        e = ERR_NOT_FOUND;
    return e == ERR_OK ? store_sender_get(flow->store, group->row.group_id, agent_id, out) : e;
}

/* The agent's own row in a session or group that is its.  ERR_NOT_FOUND. */
static enum err own_row(struct flow *flow, int64_t agent_id, const uint8_t scope[static 16],
                        struct sender_row *out)
{
    struct session_row session;
    enum err e = store_session_find(flow->store, scope, &session);

    if (e == ERR_NOT_FOUND)
        return own_row_in_group(flow, agent_id, scope, out);
    if (e != ERR_OK)
        return e;
    if (session.a_id != agent_id && session.b_id != agent_id)
        return ERR_NOT_FOUND;
    return store_sender_get(flow->store, session.session_id, agent_id, out);
}

/* ---- after a restore: settled numbers that the broker has lost ------------------------------- */

struct advance {
    struct receipt receipt;
    struct sender_row row;
};

static enum err advance_check(struct flow *flow, const struct request *request,
                              struct advance *advance)
{
    const struct receipt *receipt = &advance->receipt;
    enum err e;

    if (receipt->status != RECEIPT_ADVANCE || receipt_is_cursor(receipt)
        || memcmp(receipt->sender, request->by.aid, 32) != 0
        || memcmp(receipt->recipient, request->by.aid, 32) != 0
        || memcmp(receipt->range_digest, zeroes, 32) != 0 || receipt->to > INT64_MAX - 1)
        return ERR_RECEIPT;
    e = own_row(flow, request->by.id, receipt->scope, &advance->row);
    if (e != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_RECEIPT : e;
    /* Said again: it has been done. */
    if (receipt->to <= advance->row.stored_seq)
        return ERR_OK;
    return receipt->from == advance->row.stored_seq + 1 ? ERR_OK : ERR_CONFLICT;
}

static enum err advances_check(struct flow *flow, const struct request *request,
                               struct advance *advances, size_t *count)
{
    struct list_reader reader = list_read(&request->message.receipts);
    struct wire_receipt wire;
    enum err e;

    if (request->verdict != ERR_OK)
        return ERR_RECEIPT;
    while (list_receipt(&reader, &wire)) {
        struct advance *advance = &advances[*count];

        e = receipt_parse(bytes_of(wire.preimage, RECEIPT_SIZE), &advance->receipt);
        for (size_t i = 0; e == ERR_OK && i < *count; i++)
            if (memcmp(advances[i].receipt.scope, advance->receipt.scope, 16) == 0)
                e = ERR_RECEIPT;
        if (e == ERR_OK)
            e = advance_check(flow, request, advance);
        if (e != ERR_OK)
            return e;
        ++*count;
    }
    return reader.err;
}

static enum err advances_proceed(struct flow *flow, const struct advance *advances, size_t count)
{
    enum err e = ERR_OK;

    for (size_t i = 0; e == ERR_OK && i < count; i++)
        if (advances[i].receipt.to > advances[i].row.stored_seq)
            e = store_sender_settle_to(flow->store, advances[i].row.session_id,
                                       advances[i].row.sender_id, advances[i].receipt.to, NULL);
    return e;
}

/* ---- comparing ------------------------------------------------------------------------------- */

static bool digests_fit(const uint8_t a[static 32], const uint8_t b[static 32])
{
    return memcmp(a, b, 32) == 0 || memcmp(a, zeroes, 32) == 0 || memcmp(b, zeroes, 32) == 0;
}

static enum sync_state compare(const struct wire_scope *said, const struct sender_row *stored)
{
    if (stored->stored_seq < said->seq)
        return BEHIND;
    if (stored->stored_seq > said->seq)
        return ROLLBACK;
    return digests_fit(said->digest, stored->digest) ? IN_STEP : ROLLBACK;
}

static enum err answer_scope(struct flow *flow, const struct request *request,
                             const struct wire_scope *said, struct list_maker *list)
{
    struct sender_row row;
    struct wire_scope answer = { .scope = said->scope, .digest = zeroes, .state = UNKNOWN };
    enum err e = own_row(flow, request->by.id, said->scope, &row);

    if (e != ERR_OK && e != ERR_NOT_FOUND)
        return e;
    if (e == ERR_OK) {
        answer.seq = row.stored_seq;
        answer.digest = row.digest;
        answer.state = compare(said, &row);
    }
    list_add_scope_answered(list, &answer);
    return ERR_OK;
}

/* Nothing may be written before all of the message is known to be well-formed. */
static enum err scopes_check(const struct wire_list *scopes)
{
    struct list_reader reader = list_read(scopes);
    struct wire_scope said;

    while (list_scope_asked(&reader, &said))
        ;
    return reader.err;
}

static enum err sync_advance(struct flow *flow, const struct request *request, struct reply *reply)
{
    size_t count = 0, most = request->message.receipts.count;
    struct advance *advances = (struct advance *)reply_memory(reply, (most + 1) * sizeof *advances);
    enum err e = advances_check(flow, request, advances, &count);

    return e == ERR_OK ? advances_proceed(flow, advances, count) : e;
}

enum err sync_handle(struct flow *flow, const struct request *request, struct reply *reply)
{
    const struct message *asked = &request->message;
    struct list_reader reader = list_read(&asked->scopes);
    struct list_maker *list = reply_list(reply);
    struct wire_scope said;
    enum err e = scopes_check(&asked->scopes);

    if (e == ERR_OK && MESSAGE_HAS(asked, receipts))
        e = sync_advance(flow, request, reply);
    while (e == ERR_OK && list_scope_asked(&reader, &said))
        e = answer_scope(flow, request, &said, list);
    MESSAGE_SET(reply_message(reply), scopes, list_of(list));
    return e;
}
