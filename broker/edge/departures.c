#include "broker/edge/departures.h"

#include <sys/eventfd.h>
#include <unistd.h>

/* So many are published before the turn has handed out all, so that the loop starts sending. */
#define PUBLISH_AT 64

enum err departures_init(struct departures *departures)
{
    *departures = (struct departures){ .wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
    departures->kept_end = &departures->kept;
    departures->last = &departures->first;
    pthread_mutex_init(&departures->lock, NULL);
    return departures->wake_fd < 0 ? ERR_UNSUPPORTED : ERR_OK;
}

static void free_chain(struct outgoing *chain)
{
    while (chain) {
        struct outgoing *out = chain;

        chain = out->next;
        outgoing_free(&out);
    }
}

void departures_wipe(struct departures *departures)
{
    free_chain(departures->kept);
    free_chain(departures->first);
    if (departures->wake_fd >= 0)
        close(departures->wake_fd);
    pthread_mutex_destroy(&departures->lock);
}

void departures_hand_out(struct departures *departures, struct outgoing *out)
{
    out->next = NULL;
    *departures->kept_end = out;
    departures->kept_end = &out->next;
    if (++departures->kept_count >= PUBLISH_AT)
        departures_publish(departures);
}

static void wake(struct departures *departures, bool needed)
{
    const uint64_t one = 1;

    if (needed && write(departures->wake_fd, &one, sizeof one) < 0)
        return; /* full: it is awake */
}

void departures_publish(struct departures *departures)
{
    bool needed;

    if (!departures->kept)
        return;
    pthread_mutex_lock(&departures->lock);
    *departures->last = departures->kept;
    departures->last = departures->kept_end;
    needed = !departures->woken;
    departures->woken = true;
    pthread_mutex_unlock(&departures->lock);
    departures->kept = NULL;
    departures->kept_end = &departures->kept;
    departures->kept_count = 0;
    wake(departures, needed);
}

void departures_end(struct departures *departures, enum err e)
{
    departures_publish(departures);
    pthread_mutex_lock(&departures->lock);
    departures->ended = true;
    departures->end = e;
    pthread_mutex_unlock(&departures->lock);
    wake(departures, true);
}

struct outgoing *departures_take(struct departures *departures, bool *ended, enum err *e)
{
    struct outgoing *chain;
    uint64_t count;

    if (read(departures->wake_fd, &count, sizeof count) < 0)
        count = 0; /* nobody woke us; look all the same */
    pthread_mutex_lock(&departures->lock);
    chain = departures->first;
    departures->first = NULL;
    departures->last = &departures->first;
    departures->woken = false;
    *ended = departures->ended;
    *e = departures->end;
    pthread_mutex_unlock(&departures->lock);
    return chain;
}
