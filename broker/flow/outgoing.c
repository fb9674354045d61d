#include <stdlib.h>

#include "broker/flow/flow_internal.h"

struct shared_bytes *shared_new(struct bytes bytes)
{
    struct shared_bytes *shared = mem_alloc(sizeof *shared + bytes.len);

    atomic_init(&shared->users, 1);
    shared->len = bytes.len;
    if (bytes.len)
        memcpy(shared->at, bytes.at, bytes.len);
    return shared;
}

struct shared_bytes *shared_hold(struct shared_bytes *shared)
{
    atomic_fetch_add_explicit(&shared->users, 1, memory_order_relaxed);
    return shared;
}

void shared_drop(struct shared_bytes *shared)
{
    if (shared && atomic_fetch_sub(&shared->users, 1) == 1)
        free(shared);
}

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
    for (size_t i = 0; (*out)->shared && i < (*out)->part_count; i++)
        shared_drop((*out)->shared[i]);
    free((*out)->shared);
    free(*out);
    *out = NULL;
}

void outgoing_add(struct outgoing *out, struct bytes part)
{
    buf_append(&out->body, part.at, part.len);
    out->part_len[out->part_count++] = (uint32_t)part.len;
}

void outgoing_share(struct outgoing *out, struct shared_bytes *shared)
{
    if (!out->shared)
        out->shared = mem_zeroed(sizeof out->part_len / sizeof out->part_len[0],
                                 sizeof(struct shared_bytes *));
    out->shared[out->part_count] = shared_hold(shared);
    out->part_len[out->part_count++] = (uint32_t)shared->len;
}

void outgoing_cut(struct outgoing *out)
{
    size_t last = --out->part_count;

    if (out->shared && out->shared[last]) {
        shared_drop(out->shared[last]);
        out->shared[last] = NULL;
    } else {
        out->body.len -= out->part_len[last];
    }
}

void outgoing_gather(struct outgoing *out)
{
    struct buf all = { 0 };
    const uint8_t *at = out->body.at;

    if (!out->shared)
        return;
    for (size_t i = 0; i < out->part_count; i++) {
        struct shared_bytes *shared = out->shared[i];

        buf_append(&all, shared ? shared->at : at, out->part_len[i]);
        if (!shared)
            at += out->part_len[i];
        shared_drop(shared);
    }
    buf_free(&out->body);
    free(out->shared);
    out->shared = NULL;
    out->body = all;
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
