/*
 * actor - the store's thread: the only one that runs the flow, and so the only one at the database.
 *
 * A turn is what has arrived when the store is free, at most 1,024 frames or 4 MiB; nothing waits
 * for more.  What comes of it goes to the departures.
 */
#ifndef EDGE_ACTOR_H
#define EDGE_ACTOR_H
#include "broker/edge/arrivals.h"
#include "broker/edge/departures.h"

struct actor;

/* Borrows all three until actor_join().  ERR_UNSUPPORTED: no thread. */
enum err actor_start(struct actor **out, struct flow *flow, struct arrivals *arrivals,
                     struct departures *departures);

/* Waits for the thread, which ends after ARRIVAL_END or when the store failed. */
void actor_join(struct actor **actor);

#endif
