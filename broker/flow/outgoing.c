#include <stdlib.h>

#include "broker/flow/flow_internal.h"

struct outgoing *outgoing_new(enum outgoing_kind kind, uint64_t conn)
{
    struct outgoing *out = mem_zeroed(1, sizeof *out);

    out->kind = kind;
    out->conn = conn;
    return out;
}

void outgoing_free(struct outgoing **out)
{
    if (!*out)
        return;
    buf_free(&(*out)->head);
    buf_free(&(*out)->body);
    free(*out);
    *out = NULL;
}

void outgoing_put(struct outgoing_queue *queue, struct outgoing *out)
{
    out->next = NULL;
    if (queue->last)
        queue->last->next = out;
    else
        queue->first = out;
    queue->last = out;
}

void outgoing_join(struct outgoing_queue *queue, struct outgoing_queue *more)
{
    if (!more->first)
        return;
    if (queue->last)
        queue->last->next = more->first;
    else
        queue->first = more->first;
    queue->last = more->last;
    *more = (struct outgoing_queue){ 0 };
}

void outgoing_drop(struct outgoing_queue *queue)
{
    while (queue->first) {
        struct outgoing *out = queue->first;

        queue->first = out->next;
        outgoing_free(&out);
    }
    queue->last = NULL;
}

struct outgoing *outgoing_message(uint64_t conn, const struct message *message)
{
    struct outgoing *out = outgoing_new(OUT_MESSAGE, conn);

    message_encode(message, &out->head);
    return out;
}
