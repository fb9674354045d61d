/*
 * ports - what the agent's flow needs from outside: time, chance and one connection.
 *
 * Tests pass a virtual clock, seeded bytes and a link that drops, delays, repeats and reorders.
 */
#ifndef AGENT_PORTS_H
#define AGENT_PORTS_H
#include "shared/base/bytes.h"
#include "shared/base/err.h"

/* How a connection came to its end; the link decides what follows. */
enum link_loss {
    LINK_LOST,          /* was there, is gone */
    LINK_REFUSED,       /* nobody listens */
    LINK_KEY_REFUSED,   /* the broker does not know our key */
    LINK_WRONG_BROKER,  /* no handshake: another broker's key, or too busy */
    LINK_TIMEOUT
};

struct agent_ports {
    void *ctx;                                              /* handed back to each call */
    uint64_t (*now_ms)(void *ctx);                          /* Unix time */
    uint64_t (*elapsed_ms)(void *ctx);                      /* monotonic; for timers */
    void (*random)(void *ctx, uint8_t *out, size_t len);    /* never fails */

    /* A new socket with a new routing id; agent_connected() or agent_disconnected() follows, never
     * from inside the call.  `secret` and `public` are the CURVE key pair to use. */
    void (*connect)(void *ctx, const char *endpoint, const uint8_t broker_key[static 32],
                    const uint8_t public_key[static 32], const uint8_t secret_key[static 32]);
    /* Destroys the socket; nothing of it is heard any more. */
    void (*disconnect)(void *ctx);
    /* Borrowed for the call.  ERR_BUSY: the socket is full, try again later. */
    enum err (*send)(void *ctx, struct bytes head, const struct bytes *parts, size_t count);

    /* Something that a waiting program may want to know has changed (mail came, a state moved,
     * the link went up or down).  Look again; never from inside agent_new(). */
    void (*changed)(void *ctx);
};

#endif
