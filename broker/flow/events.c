#include "broker/flow/event_list.h"
#include "broker/flow/groups.h"
#include "shared/wire/limit.h"

enum {
    EVENTS_MOST = 128,
    EVENT_ROOM = 1600, /* one event, packed, with the longest body */
    LIST_BYTES_MOST = 65536 - 256 - EVENT_ROOM
};

static bool list_one(void *ctx, const struct event_row *row)
{
    struct list_maker *list = ctx;
    struct wire_event event = { row->preimage, row->sig, bytes_of(row->body, row->body_len) };

    list_add_event(list, &event);
    return list->raw.len <= LIST_BYTES_MOST;
}

enum err event_list_add(struct flow *flow, int64_t scope_id, uint64_t seq, uint64_t max,
                        struct list_maker *list)
{
    if (seq > INT64_MAX || max == 0)
        return ERR_OK;
    return store_event_list(flow->store, scope_id, seq, max < EVENTS_MOST ? max : EVENTS_MOST,
                            list_one, list);
}

enum err events_handle(struct flow *flow, const struct request *request, struct reply *reply)
{
    const struct message *asked = &request->message;
    struct message *message = reply_message(reply);
    struct list_maker *list = reply_list(reply);
    struct session_row session;
    enum err e = store_session_find(flow->store, asked->id, &session);

    if (e == ERR_OK && session.a_id != request->by.id && session.b_id != request->by.id)
        e = ERR_NOT_FOUND;
    if (e == ERR_NOT_FOUND && (e = group_events(flow, request, reply)) != ERR_NOT_FOUND)
        return e;
    if (e != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_SESSION_NOT_FOUND : e;
    e = event_list_add(flow, session.session_id, asked->seq, asked->max, list);
    if (e != ERR_OK)
        return e;
    MESSAGE_SET(message, events, list_of(list));
    MESSAGE_SET(message, seq, session.next_event);
    MESSAGE_SET(message, head, reply_keep(reply, bytes_of(session.head, 32)).at);
    return ERR_OK;
}
