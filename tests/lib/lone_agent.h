/*
 * lone_agent - one agent on a virtual clock, and a test in the place of the broker: what the agent
 *              sends is kept, what the test answers is handed to it.
 *
 * Random   from the number the agent is made with.
 */
#ifndef TESTS_LONE_AGENT_H
#define TESTS_LONE_AGENT_H
#include <criterion/criterion.h>
#include <sodium.h>

#include "agent/flow/core.h"
#include "agent/store/store.h"
#include "shared/trust/invite.h"
#include "shared/wire/lists.h"
#include "tests/lib/chance.h"

#define LONE_NOW 1800000000000u
#define LONE_MAX 64

struct lone_sent {
    struct buf head, parts;
    size_t part_len[WIRE_PARTS_MAX], part_count;
    struct message message; /* borrows from head */
};

struct lone {
    struct chance chance;
    uint64_t now_ms, elapsed_ms;
    struct agent *agent;
    struct agent_ports ports;
    bool full; /* the socket */
    unsigned connects, disconnects, changes;
    struct lone_sent sent[LONE_MAX];
    size_t sent_count;
};

static inline uint64_t lone_now(void *ctx)
{
    return ((struct lone *)ctx)->now_ms;
}

static inline uint64_t lone_elapsed(void *ctx)
{
    return ((struct lone *)ctx)->elapsed_ms;
}

static inline void lone_random(void *ctx, uint8_t *out, size_t len)
{
    chance_bytes(&((struct lone *)ctx)->chance, out, len);
}

static inline void lone_connect(void *ctx, const char *endpoint, const uint8_t *broker_key,
                                const uint8_t *public_key, const uint8_t *secret_key)
{
    (void)endpoint, (void)broker_key, (void)public_key, (void)secret_key;
    ((struct lone *)ctx)->connects++;
}

static inline void lone_disconnect(void *ctx)
{
    ((struct lone *)ctx)->disconnects++;
}

static inline enum err lone_send(void *ctx, struct bytes head, const struct bytes *parts,
                                 size_t count)
{
    struct lone *lone = ctx;
    struct lone_sent *sent;

    if (lone->full)
        return ERR_BUSY;
    cr_assert_lt(lone->sent_count, LONE_MAX);
    sent = &lone->sent[lone->sent_count++];
    buf_clear(&sent->head);
    buf_clear(&sent->parts);
    buf_append(&sent->head, head.at, head.len);
    sent->part_count = count;
    for (size_t i = 0; i < count; i++) {
        buf_append(&sent->parts, parts[i].at, parts[i].len);
        sent->part_len[i] = parts[i].len;
    }
    cr_assert_eq(message_decode(&sent->message, buf_bytes(&sent->head), count, FROM_AGENT), ERR_OK);
    return ERR_OK;
}

static inline void lone_changed(void *ctx)
{
    ((struct lone *)ctx)->changes++;
}

static inline void lone_open(struct lone *lone, uint64_t number)
{
    struct invite invite = { .host = "broker.example", .port = 5752 };
    struct agent_settings settings;
    struct agent_store *store;
    uint8_t key[AGENT_KEY_SIZE];

    cr_assert_geq(sodium_init(), 0);
    memset(lone, 0, sizeof *lone);
    lone->chance.state = number;
    lone->now_ms = LONE_NOW;
    lone->elapsed_ms = 5000;
    lone->ports = (struct agent_ports){ lone,         lone_now,        lone_elapsed, lone_random,
                                        lone_connect, lone_disconnect, lone_send,    lone_changed };
    lone_random(lone, key, sizeof key);
    lone_random(lone, invite.invite_curve_sk, 32);
    lone_random(lone, invite.server_curve_pk, 32);
    lone_random(lone, invite.root_id, 32);
    agent_settings_default(&settings);
    cr_assert_eq(agent_store_memory(&store, key), ERR_OK);
    cr_assert_eq(agent_identity_make(store, &lone->ports, &settings, bytes_of_text("ann"), &invite),
                 ERR_OK);
    cr_assert_eq(agent_new(&lone->agent, &store, &lone->ports, &settings), ERR_OK);
}

static inline void lone_close(struct lone *lone)
{
    agent_free(&lone->agent);
    for (size_t i = 0; i < LONE_MAX; i++) {
        buf_free(&lone->sent[i].head);
        buf_free(&lone->sent[i].parts);
    }
}

/* Time passes, and the agent is ticked whenever it asks for it. */
static inline void lone_pass(struct lone *lone, uint64_t ms)
{
    uint64_t end = lone->elapsed_ms + ms;

    for (int turns = 0; turns < 100000; turns++) {
        uint64_t next = agent_next_tick_ms(lone->agent);
        if (next > end)
            break;
        if (next > lone->elapsed_ms) {
            lone->now_ms += next - lone->elapsed_ms;
            lone->elapsed_ms = next;
        }
        agent_tick(lone->agent);
        cr_assert_lt(turns, 99999, "a timer is due for ever");
    }
    lone->now_ms += end - lone->elapsed_ms;
    lone->elapsed_ms = end;
}

static inline void lone_hear(struct lone *lone, const struct message *message,
                             const struct bytes *parts, size_t count)
{
    struct buf head = { 0 };

    message_encode(message, &head);
    agent_received(lone->agent, buf_bytes(&head), parts, count);
    buf_free(&head);
}

/* The number of the first kept request of the verb, from `from` on; LONE_MAX: none. */
static inline size_t lone_find(const struct lone *lone, enum verb verb, size_t from)
{
    for (size_t i = from; i < lone->sent_count; i++)
        if (lone->sent[i].message.verb == verb)
            return i;
    return LONE_MAX;
}

static inline void lone_forget(struct lone *lone)
{
    lone->sent_count = 0;
}

#endif
