#include "broker/edge/arrivals.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

void arrivals_init(struct arrivals *arrivals)
{
    pthread_condattr_t attr;

    *arrivals = (struct arrivals){ 0 };
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&arrivals->filled, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&arrivals->lock, NULL);
    arrivals->last = &arrivals->first;
}

static void arrival_free(struct arrival *arrival)
{
    if (arrival->kind == ARRIVAL_REQUEST) {
        struct request *request = arrival->request;

        request_free(&request);
    } else {
        free(arrival->settings);
        free(arrival);
    }
}

void arrivals_wipe(struct arrivals *arrivals)
{
    while (arrivals->first) {
        struct arrival *arrival = arrivals->first;

        arrivals->first = arrival->next;
        arrival_free(arrival);
    }
    arrivals->last = &arrivals->first;
    pthread_cond_destroy(&arrivals->filled);
    pthread_mutex_destroy(&arrivals->lock);
}

bool arrivals_room(struct arrivals *arrivals)
{
    bool room;

    pthread_mutex_lock(&arrivals->lock);
    room = arrivals->count < ARRIVALS_MOST && arrivals->bytes < ARRIVALS_MOST_BYTES;
    pthread_mutex_unlock(&arrivals->lock);
    return room;
}

void arrivals_push(struct arrivals *arrivals, struct arrival *chain)
{
    struct arrival *end = chain;
    size_t count = 0, bytes = 0;
    bool wake;

    for (struct arrival *each = chain; each; each = each->next) {
        count++;
        bytes += each->kind == ARRIVAL_REQUEST ? each->request->bytes : 0;
        end = each;
    }
    if (!chain)
        return;
    pthread_mutex_lock(&arrivals->lock);
    *arrivals->last = chain;
    arrivals->last = &end->next;
    arrivals->count += count;
    arrivals->bytes += bytes;
    wake = arrivals->sleeping;
    arrivals->sleeping = false;
    pthread_mutex_unlock(&arrivals->lock);
    if (wake)
        pthread_cond_signal(&arrivals->filled);
}

struct arrival *arrival_note(enum arrival_kind kind, uint64_t number)
{
    struct arrival *arrival = mem_zeroed(1, sizeof *arrival);

    arrival->kind = kind;
    arrival->number = number;
    return arrival;
}

struct arrival *arrivals_take(struct arrivals *arrivals, uint64_t wait_ms)
{
    struct arrival *chain;
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(wait_ms / 1000);
    until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&arrivals->lock);
    while (!arrivals->first && wait_ms) {
        arrivals->sleeping = true;
        if (pthread_cond_timedwait(&arrivals->filled, &arrivals->lock, &until) == ETIMEDOUT)
            break;
    }
    arrivals->sleeping = false;
    chain = arrivals->first;
    arrivals->first = NULL;
    arrivals->last = &arrivals->first;
    arrivals->count = 0;
    arrivals->bytes = 0;
    pthread_mutex_unlock(&arrivals->lock);
    return chain;
}

void arrivals_echo(struct arrivals *arrivals, uint64_t number)
{
    pthread_mutex_lock(&arrivals->lock);
    arrivals->echo = number;
    pthread_mutex_unlock(&arrivals->lock);
}

uint64_t arrivals_echoed(struct arrivals *arrivals)
{
    uint64_t number;

    pthread_mutex_lock(&arrivals->lock);
    number = arrivals->echo;
    pthread_mutex_unlock(&arrivals->lock);
    return number;
}
