/*
 * log - entries of the controller's list, from a number on.
 */
#include "broker/store/log.h"

#include "broker/flow/directory.h"

#define ENTRIES_MAX 256
#define BYTES_MAX   61440 /* of all entries: part 0 holds 64 KiB */

static bool add_entry(void *ctx, uint64_t index, struct bytes packed,
                      const uint8_t digest[static 32])
{
    struct list_maker *list = ctx;

    (void)index;
    (void)digest;
    if (list->raw.len + packed.len > BYTES_MAX)
        return false;
    list_add_entry(list, packed);
    return true;
}

enum err log_handle(struct flow *flow, const struct request *request, struct reply *reply)
{
    const struct message *m = &request->message;
    struct list_maker *list = reply_list(reply);
    uint64_t max = m->max < ENTRIES_MAX ? m->max : ENTRIES_MAX;
    enum err e = store_log_list(flow->store, m->index, max, add_entry, list);

    MESSAGE_SET(reply_message(reply), items, list_of(list));
    add_log_head(flow, reply);
    return e;
}
