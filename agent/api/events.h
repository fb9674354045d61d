/*
 * events - what happens besides messages, as the objects of `recv --events`: receipt, request,
 *          session, alarm, link (docs: cli 3.2).
 *
 * Kept     while the process runs, the last 1,024: what happened before is in the lists.
 */
#ifndef API_EVENTS_H
#define API_EVENTS_H
#include "agent/api/call.h"

/* The number of what happened last, 0 if nothing has. */
uint64_t events_newest(const struct call *call);
/* Says everything after that number as items, and gives the number of the last. */
uint64_t events_tell(struct call *call, uint64_t after);

#endif
