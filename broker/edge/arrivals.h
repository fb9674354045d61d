/*
 * arrivals - what the loop hands to the store actor, in order; and how it is woken.
 *
 * Bounded   when full, arrivals_room() is false and the loop answers ERR_BUSY itself.
 * Thread    push: the loop's.  take: the actor's.
 */
#ifndef EDGE_ARRIVALS_H
#define EDGE_ARRIVALS_H
#include <pthread.h>

#include "broker/flow/flow.h"

#define ARRIVALS_MOST       4096
#define ARRIVALS_MOST_BYTES (64u << 20)

enum arrival_kind {
    ARRIVAL_REQUEST,
    ARRIVAL_GONE,      /* `number`: connection */
    ARRIVAL_CONFIGURE, /* `settings`, owned */
    ARRIVAL_GOODBYE,   /* `number`: ms until the broker is expected back */
    ARRIVAL_ECHO,      /* `number`: to be shown by arrivals_echo() */
    ARRIVAL_END
};

struct arrival {
    struct arrival *next;
    enum arrival_kind kind;
    uint64_t number;
    struct flow_settings *settings;
    struct request *request; /* frees the arrival with itself */
};

struct arrivals {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct arrival *first, **last;
    size_t count, bytes;
    bool sleeping;
    uint64_t echo; /* the actor's last */
};

void arrivals_init(struct arrivals *arrivals);
void arrivals_wipe(struct arrivals *arrivals);

/* Is there room for requests? */
bool arrivals_room(struct arrivals *arrivals);

/* Appends a chain; takes it. */
void arrivals_push(struct arrivals *arrivals, struct arrival *chain);
/* A new arrival that is no request. */
struct arrival *arrival_note(enum arrival_kind kind, uint64_t number);

/* Everything that has arrived; waits for the first at most `wait_ms`. */
struct arrival *arrivals_take(struct arrivals *arrivals, uint64_t wait_ms);

/* The actor has come to an ECHO; the loop asks which was the last. */
void arrivals_echo(struct arrivals *arrivals, uint64_t number);
uint64_t arrivals_echoed(struct arrivals *arrivals);

#endif
