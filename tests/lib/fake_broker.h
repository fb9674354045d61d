/*
 * fake_broker - the broker's flow over a store in memory or on disk, with a virtual clock and
 *               without sockets: says requests, keeps what comes out.
 *
 * Requests are encoded and decoded as on the wire.  A broken step of the set-up aborts.
 */
#ifndef TESTS_FAKE_BROKER_H
#define TESTS_FAKE_BROKER_H
#include "broker/controller/controller.h"
#include "broker/flow/flow.h"
#include "broker/store/store.h"
#include "tests/lib/fake_agent.h"

struct fake_broker {
    char dir[64]; /* empty: in memory */
    uint64_t now_ms, elapsed_ms, disk_free, random;
    struct flow_settings settings;
    struct controller_settings controller_settings;
    struct store *store;
    struct signer *signer;
    struct controller *controller;
    struct flow *flow;
    struct outgoing *first, *last; /* came out and was not looked at */
    struct outgoing *kept;         /* was looked at; freed at the end */
    uint64_t last_conn;
    uint32_t last_rid;
    struct request *queued[1024];
    size_t queued_count;
};

/* An agent with its place at the broker. */
struct fake_party {
    struct fake_agent agent;
    struct requester by; /* of its newest connection */
    uint8_t instance[16];
};

struct answer {
    enum err e; /* of an ERROR; ERR_OK: a reply; ERR_NOT_FOUND: nothing came */
    struct message message;
    struct bytes parts[63];
    size_t part_count;
};

void fake_broker_open(struct fake_broker *broker, bool on_disk);
void fake_broker_close(struct fake_broker *broker);
/* Closes and opens the store; connections are gone.  `keep`: settings and clock stay. */
void fake_broker_restart(struct fake_broker *broker);
/* Time goes on; timers run as often as they want to. */
void fake_broker_pass(struct fake_broker *broker, uint64_t ms);

/* One request in a turn of its own; the answer borrows until the broker is closed. */
struct answer fake_say(struct fake_broker *broker, const struct requester *by,
                       const struct message *message, const struct bytes *parts, size_t count);
/* Many in one turn: queue them, then run; fake_answer() fetches by rid. */
uint32_t fake_queue(struct fake_broker *broker, const struct requester *by,
                    const struct message *message, const struct bytes *parts, size_t count);
enum err fake_run(struct fake_broker *broker);
struct answer fake_answer(struct fake_broker *broker, uint64_t conn, uint32_t rid);
/* The next message with rid 0 of this verb for a connection. */
struct answer fake_next(struct fake_broker *broker, uint64_t conn, enum verb verb);
/* Did something of this kind come out?  Takes it. */
bool fake_came(struct fake_broker *broker, enum outgoing_kind kind, uint64_t conn);
void fake_forget(struct fake_broker *broker);

/* ---- what every test needs ------------------------------------------------------------------- */

/* Invited, enrolled, greeted, with a signed prekey and ten one-time prekeys. */
void fake_join(struct fake_broker *broker, struct fake_party *party, const char *name);
/* A new connection, not greeted. */
void fake_connect(struct fake_broker *broker, struct fake_party *party);
struct answer fake_hello(struct fake_broker *broker, const struct fake_party *party);
struct answer fake_credit(struct fake_broker *broker, const struct fake_party *party,
                          uint64_t items, uint64_t bytes);

/* REQUEST of frame and OPENED; EVENT with one event and a frame or none. */
struct answer fake_request(struct fake_broker *broker, const struct fake_party *by,
                           const struct fake_event *opened, struct bytes frame);
struct answer fake_event_say(struct fake_broker *broker, const struct fake_party *by,
                             const struct fake_event *events, size_t count, struct bytes frame);
/* Opened and accepted, and everything about it acknowledged by both. */
void fake_session_open(struct fake_broker *broker, struct fake_session *session,
                       const struct fake_party *a, const struct fake_party *b, uint64_t number);

struct answer fake_send(struct fake_broker *broker, const struct fake_party *by,
                        const struct bytes *frames, size_t count);
/* The i-th status of a SEND's answer. */
enum err fake_status(const struct answer *answer, size_t i);
/* Makes the sender's next frame and sends it; the status. */
enum err fake_send_next(struct fake_broker *broker, struct fake_session *session,
                        const struct fake_party *by);

/* Everything in its mailbox above the cursor, without credit.  At most 256. */
size_t fake_fetch(struct fake_broker *broker, const struct fake_party *party,
                  struct fake_item *items);
struct answer fake_ack_with(struct fake_broker *broker, const struct fake_party *party,
                            uint64_t after, uint64_t position, const struct list_maker *receipts);
/* FETCH and ACK until nothing is left; how many items. */
size_t fake_ack_all(struct fake_broker *broker, const struct fake_party *party);
uint64_t fake_cursor(struct fake_broker *broker, const struct fake_party *party);

#endif
