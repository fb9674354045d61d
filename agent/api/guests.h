/*
 * guests - the commands that speak to a worker, and the calls that they make.
 *
 * Guest 0 is the command that runs this process; the others came over agent.sock.  A guest makes
 * one call at a time; calls are stepped in the order in which they came.
 *
 * Owns     connections and calls.
 * Thread   the worker's.
 */
#ifndef API_GUESTS_H
#define API_GUESTS_H
#include "agent/api/call.h"
#include "agent/api/line.h"

#define GUESTS_MAX 64

struct guest {
    struct line line;
    struct call *call; /* owned; NULL: none */
    bool gone;
};

struct guests {
    struct guest *guest[GUESTS_MAX]; /* owned */
    size_t count;
    uint64_t calls;
    bool finishing;        /* the owning command has what it wanted */
    struct agent *agent;   /* borrowed */
    struct call_host host; /* what verbs may know; `ctx` is for its reload() */
    uint8_t (*hands)[16];  /* owned: all calls' together, made when asked for */
    uint8_t served[GUESTS_MAX][16];
};

/* `host` without hands(), which is ours. */
void guests_init(struct guests *guests, struct agent *agent, const struct call_host *host);
void guests_wipe(struct guests *guests);

void guests_add(struct guests *guests, int fd);
/* Takes in whoever knocks; other users and too many are turned away. */
void guests_accept(struct guests *guests, int listen_fd);
/* Obeys what guest `g` has said. */
void guests_read(struct guests *guests, size_t g);
/* Writes what waits; ended calls and guests that are gone leave. */
void guests_tidy(struct guests *guests);
void guests_step(struct guests *guests);
/* When a call wants to be stepped whatever happens. */
uint64_t guests_wake_ms(const struct guests *guests);

/* Is an item on its way to paper? */
bool guests_print(const struct guests *guests);
/* All but guest 0 look for the next owner, or become it. */
void guests_send_away(struct guests *guests);

#endif
