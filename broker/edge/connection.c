#include "broker/edge/connection.h"

#include <stdlib.h>
#include <string.h>

#define STRIKE_WINDOW_MS 60000

void connections_init(struct connections *all, struct gate *gate)
{
    *all = (struct connections){ .gate = gate };
    table_init(&all->by_routing, offsetof(struct connection, routing_id), ROUTING_ID_LEN);
    table_init(&all->by_number, offsetof(struct connection, number), sizeof(uint64_t));
}

void open_requests_leave(struct open_requests *open)
{
    if (atomic_fetch_sub(&open->users, 1) == 1)
        free(open);
}

void connection_free(struct connection **connection)
{
    if (!*connection)
        return;
    open_requests_leave((*connection)->open);
    while ((*connection)->backlog) {
        struct outgoing *out = (*connection)->backlog;

        (*connection)->backlog = out->next;
        outgoing_free(&out);
    }
    free(*connection);
    *connection = NULL;
}

void connections_wipe(struct connections *all)
{
    struct connection *each;

    for (size_t i = 0; (each = table_next(&all->by_number, &i));)
        connection_free(&each);
    table_wipe(&all->by_number);
    table_wipe(&all->by_routing);
}

size_t connections_count(const struct connections *all)
{
    return all->by_number.count;
}

struct connection *connection_find(const struct connections *all, uint64_t number)
{
    return table_find(&all->by_number, &number);
}

struct connection *connection_by_routing(const struct connections *all,
                                         const uint8_t id[static ROUTING_ID_LEN])
{
    return table_find(&all->by_routing, id);
}

struct connection *connection_add(struct connections *all, const uint8_t id[static ROUTING_ID_LEN],
                                  const struct gate_key *key, uint64_t now_ms)
{
    struct connection *connection = mem_zeroed(1, sizeof *connection);
    struct gate_key *counted = gate_find(all->gate, key->key);

    memcpy(connection->routing_id, id, ROUTING_ID_LEN);
    memcpy(connection->key, key->key, CURVE_KEY_LEN);
    connection->is_invite = key->who.kind == BY_INVITE;
    connection->number = ++all->last_number;
    connection->open = mem_zeroed(1, sizeof *connection->open);
    atomic_store(&connection->open->users, 1);
    connection->fd = -1;
    connection->heard_ms = now_ms;
    connection->backlog_end = &connection->backlog;
    if (counted)
        counted->connections++;
    table_insert(&all->by_routing, connection);
    table_insert(&all->by_number, connection);
    return connection;
}

static void take_out(struct connections *all, struct connection *connection)
{
    struct gate_key *counted = gate_find(all->gate, connection->key);

    if (counted && counted->connections)
        counted->connections--;
    table_remove(&all->by_routing, connection);
    table_remove(&all->by_number, connection);
}

void connection_remove(struct connections *all, struct connection *connection)
{
    take_out(all, connection);
    connection_free(&connection);
}

bool connection_strike(struct connection *connection, uint64_t now_ms)
{
    uint64_t *at = connection->strike_ms;

    memmove(at, at + 1, 2 * sizeof *at);
    at[2] = now_ms + 1; /* 0 means none */
    return at[0] && now_ms + 1 - at[0] < STRIKE_WINDOW_MS;
}

static struct connection *take_all(struct connections *all, struct connection *list)
{
    for (struct connection *each = list; each; each = each->next)
        take_out(all, each);
    return list;
}

struct connection *connections_take_silent(struct connections *all, uint64_t now_ms,
                                           uint64_t silence_ms)
{
    struct connection *list = NULL, *each;

    for (size_t i = 0; (each = table_next(&all->by_number, &i));) {
        if (now_ms < each->heard_ms + silence_ms)
            continue;
        each->next = list;
        list = each;
    }
    return take_all(all, list);
}

struct connection *connections_take_fd(struct connections *all, int fd, uint64_t fd_life)
{
    struct connection *list = NULL, *each;

    for (size_t i = 0; (each = table_next(&all->by_number, &i));) {
        if (each->fd != fd || each->fd_life != fd_life)
            continue;
        each->next = list;
        list = each;
    }
    return take_all(all, list);
}
