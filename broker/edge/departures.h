/*
 * departures - what the flow hands out after a commit, in order, for the loop to send.
 *
 * Thread   hand_out, publish, end: the actor's (before it runs: anybody's).  take: the loop's,
 * woken by the descriptor.
 */
#ifndef EDGE_DEPARTURES_H
#define EDGE_DEPARTURES_H
#include <pthread.h>

#include "broker/flow/ports.h"

struct departures {
    struct outgoing *kept, **kept_end; /* the actor's, not yet published */
    size_t kept_count;
    pthread_mutex_t lock;
    struct outgoing *first, **last;
    int wake_fd; /* owned eventfd */
    bool woken, ended;
    enum err end;
};

/* ERR_UNSUPPORTED: no descriptor. */
enum err departures_init(struct departures *departures);
void departures_wipe(struct departures *departures);

/* Takes it.  Seen by the loop after departures_publish(), or a little earlier. */
void departures_hand_out(struct departures *departures, struct outgoing *out);
void departures_publish(struct departures *departures);

/* Nothing more will come. */
void departures_end(struct departures *departures, enum err e);

/* All that is there, and whether that was the end.  Quiets the descriptor. */
struct outgoing *departures_take(struct departures *departures, bool *ended, enum err *e);

#endif
