/* The link: connections that keep order, take their time and break. */
#include <assert.h>
#include <stdlib.h>

#include "tests/lib/world_internal.h"

static void trip_free(struct trip *trip)
{
    buf_free(&trip->head);
    buf_free(&trip->body);
    free(trip);
}

static void trip_start(struct world *world, struct trip *trip)
{
    struct trip **at = &world->trips;

    trip->order = ++world->trip_order;
    while (*at && (*at)->at_ms <= trip->at_ms)
        at = &(*at)->next;
    trip->next = *at;
    *at = trip;
}

static uint64_t delay(struct world *world)
{
    return world->weather.delay_max_ms ? world_random(world, world->weather.delay_max_ms + 1) : 0;
}

static struct trip *trip_new(struct world_agent *who, enum trip_kind kind)
{
    struct trip *trip = mem_zeroed(1, sizeof *trip);

    trip->kind = kind;
    trip->who = who;
    trip->conn = who->conn;
    memcpy(trip->key, who->key, 32);
    return trip;
}

static bool happens(struct world *world, unsigned in_1000)
{
    return in_1000 && world_random(world, 1000) < in_1000;
}

static struct trip *trip_copy(const struct trip *trip)
{
    struct trip *copy = mem_alloc(sizeof *copy);

    *copy = *trip;
    copy->head = copy->body = (struct buf){ 0 };
    buf_append(&copy->head, trip->head.at, trip->head.len);
    buf_append(&copy->body, trip->body.at, trip->body.len);
    return copy;
}

/* What the broker delivers is a stream: a part of it cannot be lost or late while the connection
 * stays (a broker that does so is the business of tests about lying brokers). */
static bool is_delivery(const struct trip *trip)
{
    struct message message;

    return trip->kind == TRIP_TO_AGENT
           && message_decode(&message, buf_bytes(&trip->head), trip->part_count, FROM_BROKER)
                  == ERR_OK
           && message.verb == VERB_DELIVER;
}

/* A message sets out: behind those before it, unless the weather has it otherwise. */
static void trip_depart(struct world_agent *who, struct trip *trip, uint64_t *newest_ms)
{
    struct world *world = who->world;
    bool in_order = is_delivery(trip);

    trip->at_ms = world->now_ms + delay(world);
    if (!in_order && happens(world, world->weather.drop)) {
        trip_free(trip);
        return;
    }
    if (in_order || !happens(world, world->weather.overtake)) {
        if (trip->at_ms < *newest_ms)
            trip->at_ms = *newest_ms;
        *newest_ms = trip->at_ms;
    }
    if (happens(world, world->weather.repeat)) {
        struct trip *again = trip_copy(trip);

        again->at_ms += delay(world);
        trip_start(world, again);
    }
    trip_start(world, trip);
}

/* What is on the way over `conn` never arrives. */
static void trips_forget(struct world *world, uint64_t conn)
{
    struct trip **at = &world->trips;

    while (*at) {
        struct trip *trip = *at;

        if (trip->conn != conn) {
            at = &trip->next;
            continue;
        }
        *at = trip->next;
        trip_free(trip);
    }
}

/* The connection breaks; both ends hear of it. */
static void cut(struct world_agent *who)
{
    struct world *world = who->world;
    uint64_t conn = who->conn;
    struct trip *trip;

    if (!conn)
        return;
    trips_forget(world, conn);
    world->figures.cuts++;
    if (who->connected && world->flow)
        flow_disconnected(world->flow, conn);
    who->connected = false;
    trip = trip_new(who, TRIP_LOST);
    trip->why = LINK_LOST;
    trip->at_ms = world->now_ms + delay(world);
    trip_start(world, trip);
}

void link_cut(struct world *world, struct world_agent *who)
{
    (void)world;
    cut(who);
}

void link_clear(struct world *world)
{
    while (world->trips) {
        struct trip *trip = world->trips;

        world->trips = trip->next;
        trip_free(trip);
    }
}

static bool breaks(struct world_agent *who)
{
    if (!happens(who->world, who->world->weather.cut))
        return false;
    cut(who);
    return true;
}

static const struct known_key *key_find(const struct world *world, const uint8_t key[static 32])
{
    for (size_t i = 0; i < world->key_count; i++)
        if (memcmp(world->keys[i].key, key, 32) == 0)
            return &world->keys[i];
    return NULL;
}

static void port_connect(void *ctx, const char *endpoint, const uint8_t broker_key[static 32],
                         const uint8_t public_key[static 32], const uint8_t secret_key[static 32])
{
    struct world_agent *who = ctx;
    struct world *world = who->world;
    struct trip *trip;

    (void)endpoint, (void)broker_key, (void)secret_key;
    assert(!who->conn);
    who->conn = ++world->last_conn;
    memcpy(who->key, public_key, 32);
    who->to_broker_ms = who->to_agent_ms = world->now_ms;
    world->figures.connections++;
    trip = trip_new(who, TRIP_CONNECTED);
    trip->at_ms = world->now_ms + delay(world);
    if (!world->flow || who->apart || world_random(world, 1000) < world->weather.refuse) {
        trip->kind = TRIP_LOST;
        trip->why = who->apart ? LINK_TIMEOUT : LINK_REFUSED;
        trip->at_ms += who->apart ? 5000 : 0;
    } else if (!key_find(world, public_key)) {
        trip->kind = TRIP_LOST;
        trip->why = LINK_KEY_REFUSED;
    }
    trip_start(world, trip);
}

static void port_disconnect(void *ctx)
{
    struct world_agent *who = ctx;

    if (!who->conn)
        return;
    /* What was said last still arrives, as it would from a closing socket; the end comes after it.
     */
    if (who->connected && who->world->flow) {
        struct trip *trip = trip_new(who, TRIP_LOST);

        trip->who = NULL;
        trip->at_ms = who->to_broker_ms;
        trip_start(who->world, trip);
    } else {
        trips_forget(who->world, who->conn);
    }
    who->conn = 0;
    who->connected = false;
}

static enum err port_send(void *ctx, struct bytes head, const struct bytes *parts, size_t count)
{
    struct world_agent *who = ctx;
    struct world *world = who->world;
    struct trip *trip;
    uint64_t begun;

    if (!who->conn || !who->connected)
        return ERR_BUSY;
    if (breaks(who))
        return ERR_OK; /* it looked well */
    begun = world_cpu_ns(world);
    trip = trip_new(who, TRIP_TO_BROKER);
    buf_append(&trip->head, head.at, head.len);
    trip->part_count = count;
    for (size_t i = 0; i < count; i++) {
        buf_append(&trip->body, parts[i].at, parts[i].len);
        trip->part_len[i] = (uint32_t)parts[i].len;
    }
    who->spent.messages_out++;
    who->spent.bytes_out += trip->head.len + trip->body.len;
    record_frames(world, parts, count);
    trip_depart(who, trip, &who->to_broker_ms);
    who->spent.cpu_ns
        -= world_cpu_ns(world) - begun; /* it is the agent who calls, and not its work */
    return ERR_OK;
}

static uint64_t port_now(void *ctx)
{
    return ((struct world_agent *)ctx)->world->now_ms;
}

static uint64_t port_elapsed(void *ctx)
{
    return ((struct world_agent *)ctx)->world->elapsed_ms;
}

static void port_random(void *ctx, uint8_t *out, size_t len)
{
    world_fill(((struct world_agent *)ctx)->world, out, len);
}

static void port_changed(void *ctx)
{
    (void)ctx;
}

void link_ports(struct world_agent *who)
{
    who->ports = (struct agent_ports){ who,          port_now,        port_elapsed, port_random,
                                       port_connect, port_disconnect, port_send,    port_changed };
}

void link_make_up(struct world_agent *who, enum trip_kind kind, struct bytes head,
                  const struct bytes *parts, size_t count)
{
    struct trip *trip = trip_new(who, kind);

    buf_append(&trip->head, head.at, head.len);
    trip->part_count = count;
    for (size_t i = 0; i < count; i++) {
        buf_append(&trip->body, parts[i].at, parts[i].len);
        trip->part_len[i] = (uint32_t)parts[i].len;
    }
    trip->at_ms = who->world->now_ms;
    trip->made_up = true;
    trip_start(who->world, trip);
}

void link_agent_gone(struct world_agent *who)
{
    struct world *world = who->world;

    if (who->conn) {
        trips_forget(world, who->conn);
        if (who->connected && world->flow)
            flow_disconnected(world->flow, who->conn);
    }
    who->conn = 0;
    who->connected = false;
}

void link_broker_gone(struct world *world)
{
    for (size_t i = 0; i < world->agent_count; i++)
        if (world->agents[i]->conn) {
            world->agents[i]->connected = false; /* nobody is left to be told */
            cut(world->agents[i]);
        }
    world->key_count = 0;
}

static struct world_agent *agent_of(struct world *world, uint64_t conn)
{
    for (size_t i = 0; i < world->agent_count; i++)
        if (world->agents[i]->conn == conn)
            return world->agents[i];
    return NULL;
}

static void key_add(struct world *world, const struct outgoing *out)
{
    struct known_key *key = (struct known_key *)key_find(world, out->key);

    if (!key) {
        if (world->key_count == world->key_cap) {
            world->key_cap = world->key_cap ? 2 * world->key_cap : 64;
            world->keys = mem_resize(world->keys, world->key_cap * sizeof *world->keys);
        }
        key = &world->keys[world->key_count++];
    }
    *key = (struct known_key){ 0 };
    memcpy(key->key, out->key, 32);
    key->by.kind = out->is_invite ? BY_INVITE : BY_AGENT;
    key->by.id = out->id;
    memcpy(key->by.key, out->key, 32);
    memcpy(key->by.aid, out->aid, 32);
    memcpy(key->by.identity_key, out->identity_key, 32);
}

void link_invite_key(struct world *world, const uint8_t key[static 32], int64_t invite_id)
{
    struct outgoing out = { .kind = OUT_KEY_ADD, .is_invite = true, .id = invite_id };

    memcpy(out.key, key, 32);
    key_add(world, &out);
}

static void key_drop(struct world *world, const uint8_t key[static 32])
{
    for (size_t i = 0; i < world->key_count; i++)
        if (memcmp(world->keys[i].key, key, 32) == 0) {
            world->keys[i] = world->keys[--world->key_count];
            return;
        }
}

/* Port of the broker's flow. */
void link_hand_out(void *ctx, struct outgoing *out)
{
    struct world *world = ctx;
    struct world_agent *who = out->conn ? agent_of(world, out->conn) : NULL;
    uint64_t begun = world_cpu_ns(world);
    struct trip *trip;

    outgoing_gather(out);
    switch (out->kind) {
    case OUT_MESSAGE:
        if (!who || !who->connected || breaks(who))
            break;
        trip = trip_new(who, TRIP_TO_AGENT);
        trip->head = out->head;
        trip->body = out->body;
        trip->part_count = out->part_count;
        memcpy(trip->part_len, out->part_len, sizeof trip->part_len);
        out->head = out->body = (struct buf){ 0 };
        world->spent.messages_out++;
        world->spent.bytes_out += trip->head.len + trip->body.len;
        trip_depart(who, trip, &who->to_agent_ms);
        break;
    case OUT_KEY_ADD:
        key_add(world, out);
        break;
    case OUT_KEY_DROP:
        key_drop(world, out->key);
        break;
    case OUT_KICK:
        if (who)
            cut(who);
        break;
    case OUT_OPERATOR:
        buf_append(&world->answers, out->head.at, out->head.len);
        break;
    case OUT_STOP:
    case OUT_RELOAD:
        break;
    }
    outgoing_free(&out);
    world->spent.cpu_ns -= world_cpu_ns(world) - begun; /* the link's, not the broker's */
}

uint64_t link_next_ms(const struct world *world)
{
    return world->trips ? world->trips->at_ms : UINT64_MAX;
}

/* What a request borrows from, and itself. */
struct letter {
    struct request request;
    struct trip *trip;
};

static void release_letter(void *memory)
{
    struct letter *letter = memory;

    trip_free(letter->trip);
    free(letter);
}

/* A request as the broker's edge would build it; NULL: it would have refused it. */
static struct request *request_of(struct world *world, struct trip *trip)
{
    const struct known_key *key;
    struct letter *letter = mem_zeroed(1, sizeof *letter);
    struct request *request = &letter->request;
    const uint8_t *at = trip->body.at;

    letter->trip = trip;
    request->memory = letter;
    request->release = release_letter;
    request->bytes = trip->head.len + trip->body.len;
    request->part_count = trip->part_count;
    for (size_t i = 0; i < trip->part_count; i++) {
        request->parts[i] = bytes_of(at, trip->part_len[i]);
        at += trip->part_len[i];
    }
    key = key_find(world, trip->key);
    if (!key
        || message_decode(&request->message, buf_bytes(&trip->head), trip->part_count, FROM_AGENT)
               != ERR_OK) {
        if (key)
            world_fail(world, "an agent said something malformed");
        request_free(&request);
        return NULL;
    }
    request->by = key->by;
    request->by.conn = trip->conn;
    return request;
}

static void agent_takes(struct trip *trip)
{
    struct world_agent *who = trip->who;
    struct bytes parts[63];
    const uint8_t *at = trip->body.at;

    if (!who || who->conn != trip->conn || !who->agent)
        return;
    switch (trip->kind) {
    case TRIP_CONNECTED:
        who->connected = true;
        agent_connected(who->agent);
        break;
    case TRIP_LOST:
        who->conn = 0;
        who->connected = false;
        agent_disconnected(who->agent, trip->why);
        break;
    case TRIP_TO_AGENT:
        for (size_t i = 0; i < trip->part_count; i++) {
            parts[i] = bytes_of(at, trip->part_len[i]);
            at += trip->part_len[i];
        }
        agent_received(who->agent, buf_bytes(&trip->head), parts, trip->part_count);
        break;
    case TRIP_TO_BROKER:
        break;
    }
}

static void arrive_at_agent(struct trip *trip)
{
    struct world_agent *who = trip->who;
    uint64_t begun;

    if (!who)
        return;
    if (trip->kind == TRIP_TO_AGENT) {
        who->spent.messages_in++;
        who->spent.bytes_in += trip->head.len + trip->body.len;
    }
    begun = world_cpu_ns(who->world);
    agent_takes(trip);
    who->spent.cpu_ns += world_cpu_ns(who->world) - begun;
}

static void broker_takes(struct world *world, struct request **turn, size_t count)
{
    uint64_t begun = world_cpu_ns(world);

    for (size_t i = 0; i < count; i++) {
        world->spent.messages_in++;
        world->spent.bytes_in += turn[i]->bytes;
    }
    if (flow_turn(world->flow, turn, count) != ERR_OK)
        world_fail(world, "the broker's store failed");
    world->spent.cpu_ns += world_cpu_ns(world) - begun;
}

/* What arrives at the broker at one moment is one turn. */
void link_arrive(struct world *world)
{
    struct request *turn[256];
    size_t count = 0;

    while (world->trips && world->trips->at_ms <= world->now_ms && count < 256) {
        struct trip *trip = world->trips;

        world->trips = trip->next;
        if (world->between && !trip->made_up
            && (trip->kind == TRIP_TO_BROKER || trip->kind == TRIP_TO_AGENT)
            && !world->between(world->between_ctx, trip)) {
            trip_free(trip);
            continue;
        }
        if (trip->kind == TRIP_TO_BROKER) {
            struct request *request = world->flow ? request_of(world, trip) : NULL;

            if (!world->flow)
                trip_free(trip);
            if (request)
                turn[count++] = request;
            continue;
        }
        if (trip->kind == TRIP_LOST && !trip->who) {
            /* An orderly end: everything said before it is heard first. */
            if (count)
                broker_takes(world, turn, count);
            count = 0;
            if (world->flow)
                flow_disconnected(world->flow, trip->conn);
        }
        arrive_at_agent(trip);
        trip_free(trip);
    }
    if (count) {
        world->figures.turns++;
        broker_takes(world, turn, count);
    }
}
