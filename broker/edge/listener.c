#include "broker/edge/listener.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <zmq.h>

#include "shared/base/crash.h"
#include "shared/base/log.h"
#include "shared/base/text.h"
#include "shared/net/socket.h"
#include "shared/wire/limit.h"

#define BATCH_MESSAGES 64
#define BATCH_BYTES    (1u << 20)
#define BACKLOG_MOST   512
#define BACKLOG_MS     2000
#define BAN_MS         60000
#define KICK_AFTER_MS  200
#define BUSY_AFTER_MS  1000
#define OPEN_MOST      128  /* requests of one connection; agents keep 16 SENDs open */
#define COPY_BELOW     2048 /* a part that small is copied; a larger one shares the buffer */

/* A request with the parts it borrows from. */
struct letter {
    struct arrival arrival;
    struct request request;
    struct open_requests *open;
    size_t count;
    zmq_msg_t part[];
};

static void letter_release(void *memory)
{
    struct letter *letter = memory;

    for (size_t i = 0; i < letter->count; i++)
        zmq_msg_close(&letter->part[i]);
    atomic_fetch_sub(&letter->open->count, 1);
    open_requests_leave(letter->open);
    free(letter);
}

enum err listener_open(struct listener *out, const uint8_t secret_key[static CURVE_KEY_LEN],
                       int handshake_ms, struct gate *gate, struct guard *guard,
                       struct arrivals *arrivals)
{
    enum err e;

    *out = (struct listener){ .gate = gate, .guard = guard, .arrivals = arrivals };
    connections_init(&out->connections, gate);
    e = socket_listener(&out->router, secret_key, handshake_ms);
    if (e == ERR_OK)
        e = monitor_open(&out->monitor, out->router, "listener");
    return e;
}

void listener_close(struct listener *listener, int linger_ms)
{
    if (listener->router) {
        zmq_setsockopt(listener->router, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
        monitor_close(&listener->monitor, listener->router);
    }
    socket_close(&listener->router);
    if (listener->connections.by_number.slot)
        connections_wipe(&listener->connections);
}

enum err listener_bind(struct listener *listener, const char *endpoint, char *bound, size_t size)
{
    int ipv6 = strchr(endpoint, '[') != NULL; /* else addresses of IPv4 look like ::ffff:… */

    if (zmq_setsockopt(listener->router, ZMQ_IPV6, &ipv6, sizeof ipv6) != 0
        || zmq_bind(listener->router, endpoint) != 0
        || zmq_getsockopt(listener->router, ZMQ_LAST_ENDPOINT, bound, &size) != 0)
        return ERR_UNSUPPORTED;
    return ERR_OK;
}

/* ---- connections ----------------------------------------------------------------------------- */

static void tell_gone(struct listener *listener, uint64_t number)
{
    arrivals_push(listener->arrivals, arrival_note(ARRIVAL_GONE, number));
}

static void say_goodbye_to(struct listener *listener, const struct connection *connection,
                           const char *reason)
{
    log_event(LOG_DEBUG, "disconnected", "conn=%llu reason=%s",
              (unsigned long long)connection->number, reason);
    listener->backlogged -= connection->backlog != NULL;
    listener->kicks -= connection->kick_ms != 0;
    tell_gone(listener, connection->number);
}

static void forget_chain(struct listener *listener, struct connection *chain, const char *reason)
{
    while (chain) {
        struct connection *connection = chain;

        chain = connection->next;
        say_goodbye_to(listener, connection, reason);
        connection_free(&connection);
    }
}

static void forget(struct listener *listener, struct connection *connection, const char *reason)
{
    say_goodbye_to(listener, connection, reason);
    connection_remove(&listener->connections, connection);
}

void listener_monitor(struct listener *listener, uint64_t now_ms)
{
    enum net_event event;
    uint64_t life;
    int fd;

    while ((event = monitor_next(listener->monitor, &fd)) != NET_NOTHING) {
        if (event == NET_ACCEPTED) {
            guard_accepted(listener->guard, fd, now_ms);
        } else if (event == NET_LOST) {
            life = guard_lost(listener->guard, fd);
            if (life)
                forget_chain(listener, connections_take_fd(&listener->connections, fd, life),
                             "lost");
        }
    }
}

void listener_forget_silent(struct listener *listener, uint64_t now_ms)
{
    forget_chain(listener,
                 connections_take_silent(&listener->connections, now_ms, LIMIT_SILENCE_MS),
                 "silent");
}

void listener_kick(struct listener *listener, uint64_t number, const char *reason, uint64_t now_ms)
{
    struct connection *connection = connection_find(&listener->connections, number);

    if (!connection || connection->kick_ms)
        return;
    connection->kick_ms = now_ms + KICK_AFTER_MS;
    connection->kick_reason = reason;
    listener->kicks++;
}

void listener_end_kicked(struct listener *listener, uint64_t now_ms)
{
    struct connection *each;

    for (size_t i = 0;
         listener->kicks && (each = table_next(&listener->connections.by_number, &i));) {
        if (!each->kick_ms || now_ms < each->kick_ms)
            continue;
        log_event(LOG_WARN, "kicked", "conn=%llu reason=%s", (unsigned long long)each->number,
                  each->kick_reason);
        guard_kick(listener->guard, each->fd, each->fd_life);
        each->kick_ms = now_ms + 60000; /* the monitor will tell; if it does not, again */
    }
}

/* The pair (routing id, key), on this TCP connection; a new one if anything of it is new. */
static struct connection *connection_of(struct listener *listener, const uint8_t *id,
                                        const struct gate_key *key, int fd, uint64_t now_ms)
{
    struct connection *connection = connection_by_routing(&listener->connections, id);
    uint64_t life = guard_life(listener->guard, fd);

    if (connection && memcmp(connection->key, key->key, CURVE_KEY_LEN) != 0) {
        log_event(LOG_WARN, "strike", "conn=%llu reason=routing_id_of_another",
                  (unsigned long long)connection->number);
        forget(listener, connection, "replaced");
        connection = NULL;
    } else if (connection && (connection->fd != fd || connection->fd_life != life)) {
        forget(listener, connection, "reconnected"); /* what was in flight is lost: HELLO again */
        connection = NULL;
    }
    if (!connection) {
        connection = connection_add(&listener->connections, id, key, now_ms);
        connection->fd = fd;
        connection->fd_life = life;
        log_event(LOG_DEBUG, "connected", "conn=%llu key=%s",
                  (unsigned long long)connection->number, log_id(key->key));
    }
    connection->heard_ms = now_ms;
    return connection;
}

/* ---- in -------------------------------------------------------------------------------------- */

/* Parts of one message as they came.  `count` goes on when there are too many. */
struct parcel {
    zmq_msg_t part[WIRE_PARTS_MAX + 1]; /* routing id first */
    size_t count, kept, bytes, wire_bytes;
};

static void parcel_close(struct parcel *parcel)
{
    for (size_t i = 0; i < parcel->kept; i++)
        zmq_msg_close(&parcel->part[i]);
}

/* Parts that are too many are taken out and thrown away.  False: nothing waits. */
static bool parcel_receive(void *router, struct parcel *parcel)
{
    bool more = true;

    parcel->count = parcel->kept = parcel->bytes = parcel->wire_bytes = 0;
    while (more) {
        zmq_msg_t beyond,
            *to = parcel->kept <= WIRE_PARTS_MAX ? &parcel->part[parcel->kept] : &beyond;

        zmq_msg_init(to);
        if (zmq_msg_recv(to, router, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(to);
            if (parcel->count)
                parcel_close(parcel);
            return false;
        }
        more = zmq_msg_more(to);
        if (parcel->count++) { /* the routing id does not cross the wire */
            parcel->bytes += zmq_msg_size(to);
            parcel->wire_bytes += guard_wire_size(zmq_msg_size(to));
        }
        if (to == &beyond)
            zmq_msg_close(to);
        else
            parcel->kept++;
    }
    return true;
}

static struct letter *letter_of(struct parcel *parcel, const struct gate_key *key,
                                const struct connection *connection)
{
    size_t count = parcel->kept - 1;
    struct letter *letter = mem_alloc(sizeof *letter + count * sizeof letter->part[0]);
    struct request *request = &letter->request;

    letter->arrival = (struct arrival){ .kind = ARRIVAL_REQUEST, .request = request };
    letter->count = count;
    letter->open = connection->open;
    atomic_fetch_add(&letter->open->count, 1);
    atomic_fetch_add(&letter->open->users, 1);
    request->next = NULL;
    request->by = key->who;
    request->by.conn = connection->number;
    request->part_count = count - 1;
    request->bytes = parcel->bytes;
    request->checked = false;
    request->verdict = ERR_OK;
    request->command = (struct bytes){ 0 };
    request->memory = letter;
    request->release = letter_release;
    for (size_t i = 0; i < count; i++) {
        zmq_msg_init(&letter->part[i]);
        zmq_msg_move(&letter->part[i], &parcel->part[i + 1]);
        if (i)
            request->parts[i - 1]
                = bytes_of(zmq_msg_data(&letter->part[i]), zmq_msg_size(&letter->part[i]));
    }
    return letter;
}

/* An ERROR that the loop gives itself. */
static void refuse(struct listener *listener, const struct connection *connection,
                   const struct message *request, enum err e, uint64_t after_ms, uint64_t now_ms)
{
    struct outgoing *out = outgoing_new(OUT_MESSAGE, connection->number);
    struct message answer = message_error(request, e);

    if (after_ms)
        MESSAGE_SET(&answer, after_ms, after_ms);
    message_encode(&answer, &out->head);
    listener_send(listener, out, now_ms);
}

static void strike(struct listener *listener, struct connection *connection, uint64_t now_ms)
{
    listener->counts.malformed++;
    log_event(LOG_WARN, "malformed", "conn=%llu key=%s", (unsigned long long)connection->number,
              log_id(connection->key));
    if (!connection_strike(connection, now_ms))
        return;
    gate_ban(listener->gate, connection->key, now_ms + BAN_MS);
    listener_kick(listener, connection->number, "malformed", now_ms);
}

/* Its key left the set while it was connected. */
static void turn_away(struct listener *listener, struct connection *connection,
                      const struct bytes *head, size_t parts, uint64_t now_ms)
{
    struct message message;

    (void)message_decode(&message, *head, parts, FROM_AGENT); /* for rid and verb */
    refuse(listener, connection, &message, connection->is_invite ? ERR_TOKEN : ERR_AUTH, 0, now_ms);
    listener_kick(listener, connection->number, "key_gone", now_ms);
}

/* Decodes; then it is a request, or has been answered.  NULL: answered. */
static struct arrival *open_parcel(struct listener *listener, struct parcel *parcel,
                                   const struct gate_key *key, struct connection *connection,
                                   bool room, uint64_t now_ms)
{
    struct letter *letter = letter_of(parcel, key, connection);
    struct request *request = &letter->request;
    struct bytes head = bytes_of(zmq_msg_data(&letter->part[0]), zmq_msg_size(&letter->part[0]));
    bool large = parcel->count - 1 > WIRE_PARTS_MAX || parcel->bytes > LIMIT_MESSAGE_MAX;
    enum err e = message_decode(&request->message, head, request->part_count, FROM_AGENT);

    if (large && e == ERR_OK)
        e = ERR_TOO_LARGE;
    if (log_wants(LOG_DEBUG))
        log_event(LOG_DEBUG, "request", "conn=%llu verb=%s size=%zu reason=%s",
                  (unsigned long long)connection->number, verb_name(request->message.verb),
                  parcel->bytes, e == ERR_OK ? "-" : err_name(e));
    if (e == ERR_OK && room && atomic_load(&connection->open->count) <= OPEN_MOST) {
        if (request->message.verb == VERB_ACK)
            request_precheck(request); /* signatures cost: not the store's time */
        return &letter->arrival;
    }
    if (e == ERR_OK) {
        listener->counts.busy++;
        refuse(listener, connection, &request->message, ERR_BUSY, BUSY_AFTER_MS, now_ms);
    } else {
        refuse(listener, connection, &request->message, e, 0, now_ms);
        if (e == ERR_SCHEMA)
            strike(listener, connection, now_ms);
    }
    letter_release(letter);
    return NULL;
}

/* Who sent it: the User-Id that the gate gave.  False: drop it. */
static bool sender_of(struct parcel *parcel, uint8_t key[static CURVE_KEY_LEN], int *fd)
{
    const char *user, *descriptor;

    if (parcel->kept < 2 || zmq_msg_size(&parcel->part[0]) != ROUTING_ID_LEN)
        return false;
    user = zmq_msg_gets(&parcel->part[1], "User-Id");
    descriptor = zmq_msg_gets(&parcel->part[1], "__fd");
    *fd = descriptor ? atoi(descriptor) : -1;
    return user && hex_decode(key, CURVE_KEY_LEN, user, strlen(user)) == ERR_OK;
}

static struct arrival *take_parcel(struct listener *listener, struct parcel *parcel, bool room,
                                   uint64_t now_ms)
{
    uint8_t id[ROUTING_ID_LEN], who[CURVE_KEY_LEN];
    struct connection *connection;
    const struct gate_key *key;
    struct bytes head;
    int fd;

    listener->counts.messages++;
    listener->counts.bytes += parcel->bytes;
    if (!sender_of(parcel, who, &fd)) {
        listener->counts.dropped++;
        return NULL;
    }
    guard_took(listener->guard, fd, parcel->wire_bytes);
    if (listener->test_key && memcmp(who, listener->test_key, sizeof who) == 0) {
        listener->test_seen = true;
        return NULL;
    }
    memcpy(id, zmq_msg_data(&parcel->part[0]), sizeof id);
    key = gate_find(listener->gate, who);
    if (key) {
        connection = connection_of(listener, id, key, fd, now_ms);
        return connection->kick_ms ? NULL
                                   : open_parcel(listener, parcel, key, connection, room, now_ms);
    }
    connection = connection_by_routing(&listener->connections, id);
    if (connection && connection->kick_ms) {
        return NULL;
    } else if (connection && memcmp(connection->key, who, sizeof who) == 0) {
        head = bytes_of(zmq_msg_data(&parcel->part[1]), zmq_msg_size(&parcel->part[1]));
        turn_away(listener, connection, &head, parcel->kept - 2, now_ms);
    } else {
        listener->counts.dropped++;
        guard_kick(listener->guard, fd, guard_life(listener->guard, fd));
    }
    return NULL;
}

bool listener_read(struct listener *listener, uint64_t now_ms)
{
    struct arrival *first = NULL, **last = &first;
    bool room = arrivals_room(listener->arrivals);
    size_t messages = 0, bytes = 0;
    struct parcel parcel;

    listener_monitor(listener, now_ms); /* so that every fd's life is known */
    while (messages < BATCH_MESSAGES && bytes < BATCH_BYTES
           && parcel_receive(listener->router, &parcel)) {
        struct arrival *arrival = take_parcel(listener, &parcel, room, now_ms);

        messages++;
        bytes += parcel.bytes;
        parcel_close(&parcel);
        if (arrival) {
            *last = arrival;
            last = &arrival->next;
        }
    }
    arrivals_push(listener->arrivals, first);
    return messages == BATCH_MESSAGES || bytes >= BATCH_BYTES;
}

/* ---- out ------------------------------------------------------------------------------------- */

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

static bool send_part(void *router, struct bytes from, struct shared_body *shared, bool more)
{
    zmq_msg_t part;

    part_fill(&part, from, shared);
    if (zmq_msg_send(&part, router, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)) >= 0)
        return true;
    zmq_msg_close(&part);
    return false;
}

static bool has_large_part(const struct outgoing *out)
{
    for (size_t i = 0; i < out->part_count; i++)
        if (out->part_len[i] >= COPY_BELOW)
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
        send_part(router, bytes_of(at, out->part_len[i]), shared, i + 1 < out->part_count);
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
    forget(listener, connection, reason);
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
