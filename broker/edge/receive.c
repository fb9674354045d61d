#include <stdatomic.h>
#include <stdlib.h>
#include <zmq.h>

#include "broker/edge/listener_internal.h"
#include "shared/base/log.h"
#include "shared/base/text.h"
#include "shared/wire/limit.h"

#define BATCH_MESSAGES 64
#define BATCH_BYTES    (1u << 20)
#define BAN_MS         60000
#define BUSY_AFTER_MS  1000
#define OPEN_MOST      128 /* requests of one connection; agents keep 16 SENDs open */

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
    refuse(listener, connection, &message,
           connection->revoked     ? ERR_CERT_REVOKED
           : connection->is_invite ? ERR_TOKEN
                                   : ERR_AUTH,
           0, now_ms);
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
        connection = listener_connection(listener, id, key, fd, now_ms);
        return connection->kick_ms ? NULL
                                   : open_parcel(listener, parcel, key, connection, room, now_ms);
    }
    connection = connection_by_routing(&listener->connections, id);
    if (connection && connection->kick_ms && !connection->revoked) {
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
