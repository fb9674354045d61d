#include "agent/flow/delivery.h"

#include <stdlib.h>

void agent_delivery_keep(struct agent_delivery **first, struct bytes head,
                         const struct bytes *parts, size_t count, size_t done)
{
    struct agent_delivery *delivery = mem_zeroed(1, sizeof *delivery);

    buf_append(&delivery->head, head.at, head.len);
    delivery->done = done;
    delivery->part_count = count < WIRE_PARTS_MAX ? count : WIRE_PARTS_MAX;
    for (size_t i = 0; i < delivery->part_count; i++) {
        buf_append(&delivery->body, parts[i].at, parts[i].len);
        delivery->part_len[i] = parts[i].len;
    }
    while (*first)
        first = &(*first)->next;
    *first = delivery;
}

bool agent_delivery_read(const struct agent_delivery *delivery, struct message *message,
                         struct bytes parts[static WIRE_PARTS_MAX])
{
    size_t at = 0;

    for (size_t i = 0; i < delivery->part_count; i++) {
        parts[i] = bytes_of(delivery->body.at + at, delivery->part_len[i]);
        at += delivery->part_len[i];
    }
    return message_decode(message, buf_bytes(&delivery->head), delivery->part_count, FROM_BROKER)
           == ERR_OK;
}

void agent_delivery_drop(struct agent_delivery **first)
{
    struct agent_delivery *gone = *first;

    *first = gone->next;
    buf_free(&gone->head);
    buf_free(&gone->body);
    free(gone);
}

void agent_deliveries_drop(struct agent_delivery **first)
{
    while (*first)
        agent_delivery_drop(first);
}
