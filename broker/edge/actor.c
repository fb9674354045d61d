#include "broker/edge/actor.h"

#include <stdlib.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/wire/limit.h"

#define WAIT_MOST_MS 1000

struct actor {
    pthread_t thread;
    struct flow *flow; /* borrowed, as the others */
    struct arrivals *arrivals;
    struct departures *departures;
    struct request *turn[1024];
    size_t count, frames, bytes; /* of the turn */
    bool ended;
};

static enum err run_turn(struct actor *actor)
{
    enum err e = ERR_OK;

    if (actor->count)
        e = flow_turn(actor->flow, actor->turn, actor->count);
    actor->count = actor->frames = actor->bytes = 0;
    departures_publish(actor->departures);
    return e;
}

/* Chunks of files count four times: so 16 of them fill a turn, and mail does not wait for more. */
static size_t weight_of(const struct request *request)
{
    return request->message.verb == VERB_BLOB_CHUNK ? 4 * request->bytes : request->bytes;
}

static bool turn_full(const struct actor *actor, const struct request *next)
{
    return actor->count == sizeof actor->turn / sizeof actor->turn[0]
           || (actor->count
               && (actor->frames + next->part_count > LIMIT_TURN_FRAMES
                   || actor->bytes + weight_of(next) > LIMIT_TURN_BYTES));
}

static enum err take_request(struct actor *actor, struct request *request)
{
    enum err e = ERR_OK;

    if (turn_full(actor, request))
        e = run_turn(actor);
    if (e != ERR_OK) {
        request_free(&request);
        return e;
    }
    actor->turn[actor->count++] = request;
    actor->frames += request->part_count;
    actor->bytes += weight_of(request);
    return ERR_OK;
}

static void take_note(struct actor *actor, struct arrival *note)
{
    switch (note->kind) {
    case ARRIVAL_GONE:
        flow_disconnected(actor->flow, note->number);
        break;
    case ARRIVAL_CONFIGURE:
        flow_configure(actor->flow, note->settings);
        break;
    case ARRIVAL_GOODBYE:
        flow_say_goodbye(actor->flow, (uint32_t)note->number);
        break;
    case ARRIVAL_ECHO:
        arrivals_echo(actor->arrivals, note->number);
        break;
    case ARRIVAL_END:
        actor->ended = true;
        break;
    case ARRIVAL_REQUEST:
        break;
    }
    free(note->settings);
    free(note);
}

static enum err take_chain(struct actor *actor, struct arrival *chain)
{
    enum err e = ERR_OK;

    while (chain && e == ERR_OK) {
        struct arrival *arrival = chain;

        chain = arrival->next;
        if (arrival->kind == ARRIVAL_REQUEST) {
            e = take_request(actor, arrival->request);
            continue;
        }
        e = run_turn(actor); /* what came before the note is done before it */
        take_note(actor, arrival);
    }
    if (e == ERR_OK)
        e = run_turn(actor);
    while (chain) { /* the store failed: nobody will answer these */
        struct arrival *arrival = chain;

        chain = arrival->next;
        if (arrival->kind == ARRIVAL_REQUEST)
            request_free(&arrival->request);
        else
            free(arrival->settings), free(arrival);
    }
    return e;
}

static enum err tick_if_due(struct actor *actor)
{
    enum err e = ERR_OK;

    if (flow_next_tick_ms(actor->flow) <= clock_elapsed_ms())
        e = flow_tick(actor->flow);
    departures_publish(actor->departures);
    return e;
}

static uint64_t wait_of(const struct actor *actor)
{
    uint64_t now = clock_elapsed_ms(), next = flow_next_tick_ms(actor->flow);

    if (next <= now)
        return 0;
    return next - now < WAIT_MOST_MS ? next - now : WAIT_MOST_MS;
}

static void *actor_main(void *arg)
{
    struct actor *actor = arg;
    enum err e = ERR_OK;

    while (!actor->ended && e == ERR_OK) {
        struct arrival *chain = arrivals_take(actor->arrivals, wait_of(actor));

        e = take_chain(actor, chain);
        if (e == ERR_OK)
            e = tick_if_due(actor);
    }
    if (e != ERR_OK)
        log_event(LOG_ERROR, "store_failed", "reason=%s", log_value(err_text(e)));
    departures_end(actor->departures, e);
    return NULL;
}

enum err actor_start(struct actor **out, struct flow *flow, struct arrivals *arrivals,
                     struct departures *departures)
{
    struct actor *actor = mem_zeroed(1, sizeof *actor);

    actor->flow = flow;
    actor->arrivals = arrivals;
    actor->departures = departures;
    if (pthread_create(&actor->thread, NULL, actor_main, actor) != 0) {
        free(actor);
        return ERR_UNSUPPORTED;
    }
    pthread_setname_np(actor->thread, "store"); /* what top and gdb show */
    *out = actor;
    return ERR_OK;
}

void actor_join(struct actor **actor)
{
    if (!*actor)
        return;
    pthread_join((*actor)->thread, NULL);
    free(*actor);
    *actor = NULL;
}
