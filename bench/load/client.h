/*
 * client - an agent without a ratchet: real keys, real CURVE, right layouts and signed receipts,
 * but frames whose sealed part is noise.  It says nothing that a real agent would not say, so the
 *          broker does all of its work; it leaves out what the broker never sees.
 *
 * Thread   one.
 * Errors   a broker that answers otherwise than expected ends the program with what it said.
 */
#ifndef LOAD_CLIENT_H
#define LOAD_CLIENT_H
#include <zmq.h>

#include "shared/net/socket.h"
#include "shared/trust/invite.h"
#include "shared/trust/receipt.h"
#include "shared/wire/frame.h"
#include "shared/wire/lists.h"

struct client {
    char name[32];
    char endpoint[300];
    uint8_t broker_key[32], root_id[32];
    uint8_t ik[32], ik_secret[64], aid[32], card_hash[32];
    struct curve_keys transport;
    uint8_t instance[16]; /* one for all its connections, as one process has */
    struct buf card;
    uint8_t card_sig[64];
    void *socket;
    uint32_t last_rid;

    /* the one session */
    uint8_t sid[16], peer[32], peer_card_hash[32];
    uint8_t opened_digest[32]; /* of event 0 */

    /* as a reader of its mailbox */
    uint64_t cursor; /* confirmed, or asked for */

    uint64_t channel; /* its cursor in the one group */
};

struct incoming {
    struct message message;
    zmq_msg_t part[64];
    size_t parts; /* part 0 included; 0: nothing came */
};

_Noreturn void load_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Keys and enrolment through an invite. */
void client_join(struct client *client, const char *name, const char *invite);
/* A new socket and HELLO. */
void client_connect(struct client *client);
void client_disconnect(struct client *client);

/* a asks, b accepts; both mailboxes are empty afterwards. */
void client_open_session(struct client *a, struct client *b);

/* Sends without waiting; false: the socket is full. */
bool client_say(struct client *client, struct message *message, const struct bytes *parts,
                size_t count);
/* Asks and waits for the answer; nothing else may come meanwhile (no credit is given yet). */
void client_ask(struct client *client, struct message *message, const struct bytes *parts,
                size_t count, struct incoming *in);
/* Receives; waits at most `wait_ms` (0: not at all). */
bool client_hear(struct client *client, struct incoming *in, int wait_ms);
void incoming_close(struct incoming *in);
static inline struct bytes incoming_part(struct incoming *in, size_t i)
{
    return bytes_of(zmq_msg_data(&in->part[i]), zmq_msg_size(&in->part[i]));
}

/* Frame `seq` of the session, of noise: `message_len` bytes before padding. */
void client_frame(const struct client *client, uint8_t kind, uint64_t seq, size_t message_len,
                  struct buf *out);

/* Signs for a range. */
void client_receipt(const struct client *client, struct receipt *receipt,
                    uint8_t preimage[static RECEIPT_SIZE], uint8_t sig[static 64]);

/* Adds up the items of one DELIVER or FETCH and acknowledges them all; how many frames of the
 * session it held.  `seen` is told each session frame's number. */
size_t client_settle(struct client *client, struct incoming *in,
                     void (*seen)(void *ctx, uint64_t seq), void *ctx);

#endif
