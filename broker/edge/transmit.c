#include <stdatomic.h>
#include <stdlib.h>
#include <zmq.h>

#include "broker/edge/listener_internal.h"
#include "shared/base/crash.h"

#define BACKLOG_MOST 512
#define BACKLOG_MS   2000
#define COPY_BELOW   2048 /* a part that small is copied; a larger one shares the buffer */

/* Parts of one message share the memory of its body. */
struct shared_body {
    atomic_size_t users;
    struct buf body; /* owned */
};

static void body_done(void *data, void *hint)
{
    struct shared_body *shared = hint;

    (void)data;
    if (atomic_fetch_sub(&shared->users, 1) == 1) {
        buf_free(&shared->body);
        free(shared);
    }
}

static void shared_done(void *data, void *hint)
{
    (void)data;
    shared_drop(hint);
}

static void part_fill(zmq_msg_t *part, struct bytes from, struct shared_body *shared)
{
    if (shared && from.len >= COPY_BELOW) {
        atomic_fetch_add(&shared->users, 1);
        zmq_msg_init_data(part, (void *)(uintptr_t)from.at, from.len, body_done, shared);
        return;
    }
    zmq_msg_init_size(part, from.len);
    memcpy(zmq_msg_data(part), from.at, from.len);
}

static bool send_filled(void *router, zmq_msg_t *part, bool more)
{
    if (zmq_msg_send(part, router, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)) >= 0)
        return true;
    zmq_msg_close(part);
    return false;
}

static bool send_part(void *router, struct bytes from, struct shared_body *shared, bool more)
{
    zmq_msg_t part;

    part_fill(&part, from, shared);
    return send_filled(router, &part, more);
}

/* What others send, too: libzmq reads it where it is. */
static void send_shared(void *router, struct shared_bytes *shared, bool more)
{
    zmq_msg_t part;

    zmq_msg_init_data(&part, shared->at, shared->len, shared_done, shared_hold(shared));
    send_filled(router, &part, more);
}

static bool has_large_part(const struct outgoing *out)
{
    for (size_t i = 0; i < out->part_count; i++)
        if (out->part_len[i] >= COPY_BELOW && !(out->shared && out->shared[i]))
            return true;
    return false;
}

/* 0, or EAGAIN or EHOSTUNREACH: then nothing of it has left.  Frees it when it has left. */
static int transmit(void *router, const struct connection *connection, struct outgoing **message)
{
    struct outgoing *out = *message;
    struct shared_body *shared = NULL;
    const uint8_t *at;

    if (!send_part(router, bytes_of(connection->routing_id, ROUTING_ID_LEN), NULL, true))
        return zmq_errno() == EAGAIN ? EAGAIN : EHOSTUNREACH;
    if (has_large_part(out)) {
        shared = mem_alloc(sizeof *shared);
        atomic_init(&shared->users, 1);
        shared->body = out->body;
        out->body = (struct buf){ 0 };
    }
    at = shared ? shared->body.at : out->body.at;
    /* the first part decided: from here on ROUTER takes everything */
    send_part(router, buf_bytes(&out->head), NULL, out->part_count > 0);
    for (size_t i = 0; i < out->part_count; i++) {
        bool more = i + 1 < out->part_count;

        if (out->shared && out->shared[i]) {
            send_shared(router, out->shared[i], more);
            continue;
        }
        send_part(router, bytes_of(at, out->part_len[i]), shared, more);
        at += out->part_len[i];
    }
    if (shared)
        body_done(NULL, shared);
    CRASH_POINT("edge.sent");
    outgoing_free(message);
    return 0;
}

static void keep(struct listener *listener, struct connection *connection, struct outgoing *out,
                 uint64_t now_ms)
{
    if (!connection->backlog) {
        connection->backlog_ms = now_ms;
        listener->backlogged++;
    }
    out->next = NULL;
    *connection->backlog_end = out;
    connection->backlog_end = &out->next;
    connection->backlog_count++;
}

/* It is not to be had: what was in flight will be asked for again. */
static void give_up(struct listener *listener, struct connection *connection, const char *reason)
{
    listener->counts.refused_sends++;
    guard_kick(listener->guard, connection->fd, connection->fd_life);
    listener_forget(listener, connection, reason);
}

void listener_send(struct listener *listener, struct outgoing *out, uint64_t now_ms)
{
    struct connection *connection = connection_find(&listener->connections, out->conn);
    int failed = EAGAIN;

    if (!connection) {
        outgoing_free(&out);
        return;
    }
    if (!connection->backlog)
        failed = transmit(listener->router, connection, &out);
    if (failed == 0) {
        listener->counts.sent++;
    } else if (failed == EAGAIN && connection->backlog_count < BACKLOG_MOST) {
        keep(listener, connection, out, now_ms);
    } else {
        outgoing_free(&out);
        give_up(listener, connection, failed == EAGAIN ? "full" : "unreachable");
    }
}

static void retry_one(struct listener *listener, struct connection *connection, uint64_t now_ms)
{
    int failed = 0;

    while (connection->backlog) {
        struct outgoing *out = connection->backlog, *next = out->next;

        failed = transmit(listener->router, connection, &out);
        if (failed)
            break;
        listener->counts.sent++;
        connection->backlog = next;
        connection->backlog_count--;
        connection->backlog_ms = now_ms;
    }
    if (!connection->backlog) {
        connection->backlog_end = &connection->backlog;
        listener->backlogged--;
    } else if (failed != EAGAIN || now_ms >= connection->backlog_ms + BACKLOG_MS) {
        give_up(listener, connection, failed == EAGAIN ? "stuck" : "unreachable");
    }
}

void listener_retry(struct listener *listener, uint64_t now_ms)
{
    struct connection *list = NULL, *each;

    if (!listener->backlogged)
        return;
    for (size_t i = 0; (each = table_next(&listener->connections.by_number, &i));) {
        if (!each->backlog)
            continue;
        each->next = list;
        list = each;
    }
    while (list) {
        each = list;
        list = each->next;
        retry_one(listener, each, now_ms);
    }
}
