/*
 * guard - bounds what a peer makes us hold before a message is whole, and ends connections.
 *
 * libzmq counts whole messages only: an endless multipart message would fill the memory.  So the
 * guard compares what TCP has received on each fd with what has been taken in finished messages.
 * It is also the only one that ends connections: fd numbers are used again, and only the guard
 * knows which life of a number is meant.
 *
 * Thread   the loop's.
 */
#ifndef EDGE_GUARD_H
#define EDGE_GUARD_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GUARD_CONNECTION_MOST (24ll << 20)
#define GUARD_ALL_MOST        (128ll << 20)

struct guard;

struct guard *guard_new(void);
void guard_free(struct guard **guard);

/* Told by the monitor.  A life number is never given twice; 0: the fd is not known. */
void guard_accepted(struct guard *guard, int fd, uint64_t now_ms);
/* The life that ended, or 0. */
uint64_t guard_lost(struct guard *guard, int fd);
uint64_t guard_life(const struct guard *guard, int fd);

/* What a part of `len` bytes is on the wire: ZMTP's header, CURVE's envelope. */
static inline size_t guard_wire_size(size_t len)
{
    return len + 33 + (len + 33 > 255 ? 9 : 2);
}

/* A finished message, `bytes` on the wire, was taken from `fd`. */
void guard_took(struct guard *guard, int fd, size_t bytes);

/* Shuts it down, if that life still is. */
bool guard_kick(struct guard *guard, int fd, uint64_t life);

/*
 * Every 100 ms.  Cuts whoever is over the bound, the largest first while all are over theirs; those
 * that never said anything for `silent_ms`; and while there are more than `most` connections, the
 * oldest of those that never said anything.  Gives how many were cut.
 */
size_t guard_look(struct guard *guard, uint64_t now_ms, uint64_t silent_ms, size_t most);

size_t guard_count(const struct guard *guard);

/* For tests: where the bytes come from. */
void guard_set_source(struct guard *guard, int64_t (*received)(int fd), int (*end)(int fd));

#endif
