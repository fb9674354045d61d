#include "broker/edge/guard.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "broker/edge/bytes_received.h"
#include "shared/base/bytes.h"
#include "shared/base/log.h"

/* What a connection receives besides messages. */
#define HEARTBEAT_PER_S 16
#define HANDSHAKE_BYTES 1024

struct watched {
    uint64_t life; /* 0: nobody */
    uint64_t since_ms;
    int64_t taken, waiting;
    bool heard, cut;
};

struct guard {
    struct watched *at; /* owned; index = fd */
    size_t size, count;
    uint64_t last_life;
    int64_t (*received)(int fd);
    int (*end)(int fd);
};

static int shut_down(int fd)
{
    return shutdown(fd, SHUT_RDWR);
}

struct guard *guard_new(void)
{
    struct guard *guard = mem_zeroed(1, sizeof *guard);

    guard->received = bytes_received;
    guard->end = shut_down;
    return guard;
}

void guard_free(struct guard **guard)
{
    if (!*guard)
        return;
    free((*guard)->at);
    free(*guard);
    *guard = NULL;
}

void guard_set_source(struct guard *guard, int64_t (*received)(int fd), int (*end)(int fd))
{
    guard->received = received;
    guard->end = end;
}

void guard_accepted(struct guard *guard, int fd, uint64_t now_ms)
{
    if (fd < 0)
        return;
    if ((size_t)fd >= guard->size) {
        size_t size = (size_t)fd + 64;

        guard->at = mem_resize(guard->at, size * sizeof *guard->at);
        memset(guard->at + guard->size, 0, (size - guard->size) * sizeof *guard->at);
        guard->size = size;
    }
    if (!guard->at[fd].life)
        guard->count++;
    guard->at[fd] = (struct watched){ .life = ++guard->last_life, .since_ms = now_ms };
}

static struct watched *watched_of(const struct guard *guard, int fd)
{
    return fd >= 0 && (size_t)fd < guard->size && guard->at[fd].life ? &guard->at[fd] : NULL;
}

uint64_t guard_lost(struct guard *guard, int fd)
{
    struct watched *watched = watched_of(guard, fd);
    uint64_t life = watched ? watched->life : 0;

    if (watched) {
        *watched = (struct watched){ 0 };
        guard->count--;
    }
    return life;
}

uint64_t guard_life(const struct guard *guard, int fd)
{
    const struct watched *watched = watched_of(guard, fd);

    return watched ? watched->life : 0;
}

void guard_took(struct guard *guard, int fd, size_t bytes)
{
    struct watched *watched = watched_of(guard, fd);

    if (!watched)
        return;
    watched->heard = true;
    watched->taken += (int64_t)bytes;
}

bool guard_kick(struct guard *guard, int fd, uint64_t life)
{
    struct watched *watched = watched_of(guard, fd);

    if (!watched || watched->life != life)
        return false;
    watched->cut = true;
    return guard->end(fd) == 0;
}

size_t guard_count(const struct guard *guard)
{
    return guard->count;
}

static void cut(struct guard *guard, size_t fd, const char *reason)
{
    log_event(LOG_WARN, "kicked", "reason=%s size=%lld", reason, (long long)guard->at[fd].waiting);
    guard_kick(guard, (int)fd, guard->at[fd].life);
}

static int64_t waiting_of(const struct guard *guard, size_t fd, uint64_t now_ms)
{
    const struct watched *w = &guard->at[fd];
    int64_t received = guard->received((int)fd);
    int64_t allowed
        = w->taken + HANDSHAKE_BYTES + (int64_t)((now_ms - w->since_ms) / 1000 * HEARTBEAT_PER_S);

    return received > allowed ? received - allowed : 0;
}

size_t guard_look(struct guard *guard, uint64_t now_ms, uint64_t silent_ms, size_t most)
{
    int64_t all = 0;
    size_t cuts = 0, alive = 0;

    for (size_t fd = 0; fd < guard->size; fd++) {
        struct watched *w = &guard->at[fd];

        if (!w->life || w->cut)
            continue;
        w->waiting = waiting_of(guard, fd, now_ms);
        if (w->waiting > GUARD_CONNECTION_MOST)
            cut(guard, fd, "unfinished"), cuts++;
        else if (!w->heard && now_ms >= w->since_ms + silent_ms)
            cut(guard, fd, "silent"), cuts++;
        else
            all += w->waiting, alive++;
    }
    while (all > GUARD_ALL_MOST) {
        size_t largest = 0;

        for (size_t fd = 0; fd < guard->size; fd++)
            if (guard->at[fd].life && !guard->at[fd].cut
                && (guard->at[largest].cut || guard->at[fd].waiting > guard->at[largest].waiting))
                largest = fd;
        if (guard->at[largest].waiting == 0)
            break;
        all -= guard->at[largest].waiting;
        cut(guard, largest, "unfinished_all"), cuts++, alive--;
    }
    while (alive > most) {
        size_t oldest = guard->size;

        for (size_t fd = 0; fd < guard->size; fd++) {
            const struct watched *w = &guard->at[fd];

            if (w->life && !w->cut && !w->heard
                && (oldest == guard->size || w->life < guard->at[oldest].life))
                oldest = fd;
        }
        if (oldest == guard->size)
            break;
        cut(guard, oldest, "crowded"), cuts++, alive--;
    }
    return cuts;
}
