/* What was said, what arrived, and whether the promises were kept. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <sodium.h>

#include "shared/base/log.h"
#include "shared/wire/frame.h"
#include "tests/lib/world_internal.h"

void record_sent(struct world *world, const uint8_t id[static 16], struct world_agent *from,
                 struct world_agent *to, uint64_t number)
{
    struct saying *saying;

    if (world->saying_count == world->saying_cap) {
        world->saying_cap = world->saying_cap ? 2 * world->saying_cap : 256;
        world->sayings = mem_resize(world->sayings, world->saying_cap * sizeof *world->sayings);
    }
    saying = &world->sayings[world->saying_count++];
    *saying = (struct saying){ .from = from, .to = to, .number = number };
    memcpy(saying->id, id, 16);
    world->figures.sent++;
}

/* "12 from ann to bob ....": number and names, then dots up to the size. */
static void text_make(struct buf *out, uint64_t number, const struct world_agent *from,
                      const struct world_agent *to, size_t size)
{
    char head[200];

    snprintf(head, sizeof head, "%" PRIu64 " from %s to %s ", number, from->name, to->name);
    buf_append(out, head, strlen(head));
    while (out->len < size)
        buf_append(out, ".", 1);
}

bool world_send(struct world *world, struct world_agent *from, struct world_agent *to, size_t size)
{
    struct send_request request = { .media_type = bytes_of_text("text/plain") };
    struct buf text = { 0 };
    uint64_t number = 1;
    uint8_t id[16];
    enum err e;

    if (!from->agent)
        return false;
    for (size_t i = 0; i < world->saying_count; i++)
        number += world->sayings[i].from == from && world->sayings[i].to == to;
    text_make(&text, number, from, to, size);
    memcpy(request.to, to->aid, 32);
    request.body = buf_bytes(&text);
    e = agent_send(from->agent, &request, id);
    if (e == ERR_OK)
        record_sent(world, id, from, to, number);
    buf_free(&text);
    return e == ERR_OK;
}

struct numbered {
    uint8_t key[16]; /* hash of scope, sender, number; zeroes: free */
    uint8_t digest[32];
};

static struct numbered *numbered_slot(const struct world *world, const uint8_t key[static 16])
{
    static const uint8_t empty[16];
    size_t at = (size_t)get_u64(key) % world->numbered_cap;

    while (memcmp(world->numbered[at].key, empty, 16) != 0
           && memcmp(world->numbered[at].key, key, 16) != 0)
        at = (at + 1) % world->numbered_cap;
    return &world->numbered[at];
}

static void numbered_grow(struct world *world)
{
    struct numbered *old = world->numbered;
    size_t count = world->numbered_cap;

    world->numbered_cap = count ? 2 * count : 1024;
    world->numbered = mem_zeroed(world->numbered_cap, sizeof *world->numbered);
    for (size_t i = 0; i < count; i++)
        *numbered_slot(world, old[i].key) = old[i];
    free(old);
}

void record_frames(struct world *world, const struct bytes *parts, size_t count)
{
    static const uint8_t empty[16];

    for (size_t i = 0; i < count; i++) {
        struct frame_view frame;
        uint8_t number[60], key[16], digest[FRAME_DIGEST_SIZE];
        struct numbered *slot;

        if (frame_parse(parts[i], &frame) != ERR_OK)
            world_fail(world, "an agent sent a frame that is none");
        frame_digest(&frame, digest);
        put_u64(put_raw(put_raw(number, frame.scope, 16), frame.sender, 32), frame.seq);
        /* A group's frame that came too late for its epoch is sealed again for the next (5.3). */
        put_u32(number + 56, frame.kind == FRAME_GROUP ? get_u32(frame.hdr.at) : 0);
        crypto_generichash(key, sizeof key, number, sizeof number, NULL, 0);
        if (2 * world->numbered_count >= world->numbered_cap)
            numbered_grow(world);
        slot = numbered_slot(world, key);
        if (memcmp(slot->key, empty, 16) == 0) {
            memcpy(slot->key, key, 16);
            memcpy(slot->digest, digest, sizeof digest);
            world->numbered_count++;
        } else if (memcmp(slot->digest, digest, sizeof digest) != 0) {
            world_fail(world, "number %" PRIu64 " was used for two ciphertexts", frame.seq);
        }
    }
}

void record_clear(struct world *world)
{
    free(world->numbered);
    world->numbered = NULL;
    world->numbered_count = world->numbered_cap = 0;
}

static struct saying *saying_find(struct world *world, const uint8_t id[static 16])
{
    for (size_t i = 0; i < world->saying_count; i++)
        if (memcmp(world->sayings[i].id, id, 16) == 0)
            return &world->sayings[i];
    return NULL;
}

/* The highest number taken so far of one sender at one recipient. */
static uint64_t taken_upto(const struct world *world, const struct saying *like)
{
    uint64_t upto = 0;

    for (size_t i = 0; i < world->saying_count; i++) {
        const struct saying *s = &world->sayings[i];

        if (s->taken && s->from == like->from && s->to == like->to && s->number > upto)
            upto = s->number;
    }
    return upto;
}

void world_take_all(struct world *world, struct world_agent *who)
{
    static const struct incoming_filter unread = { .unread = true };
    struct incoming_info info;
    uint8_t id[16];

    while (who->agent && agent_take(who->agent, &unread, NULL, 0, &info) == ERR_OK) {
        struct saying *saying = saying_find(world, info.id);
        uint64_t number = strtoull((const char *)info.body.at, NULL, 10);

        if (!saying || saying->to != who || saying->number != number
            || memcmp(info.from_aid, saying->from->aid, 32) != 0)
            world_fail(world, "%s got something that nobody said", who->name);
        if (saying->taken)
            world_fail(world, "%s got message %" PRIu64 " of %s twice", who->name, number,
                       saying->from->name);
        if (!world->put_back && taken_upto(world, saying) > number)
            world_fail(world, "%s got message %" PRIu64 " of %s out of order", who->name, number,
                       saying->from->name);
        saying->taken = true;
        world->figures.taken++;
        memcpy(id, info.id, 16);
        if (agent_settle(who->agent, id, IN_DONE) != ERR_OK)
            world_fail(world, "%s cannot settle a message", who->name);
    }
}

/* Final and not delivered: told to the sender, so not lost. */
static bool is_dead(struct saying *saying)
{
    struct outgoing_info info;

    if (!saying->dead && saying->from->agent
        && agent_outgoing_get(saying->from->agent, saying->id, &info) == ERR_OK)
        saying->dead = info.state == OUT_EXPIRED || info.state == OUT_REFUSED;
    return saying->dead;
}

bool world_all_arrived(struct world *world, void *unused)
{
    (void)unused;
    for (size_t i = 0; i < world->agent_count; i++)
        world_take_all(world, world->agents[i]);
    for (size_t i = 0; i < world->saying_count; i++)
        if (!world->sayings[i].taken && !is_dead(&world->sayings[i]))
            return false;
    return true;
}

bool world_all_delivered(struct world *world, void *unused)
{
    if (!world_all_arrived(world, unused))
        return false;
    for (size_t i = 0; i < world->saying_count; i++) {
        struct saying *saying = &world->sayings[i];
        struct outgoing_info info;

        if (is_dead(saying) || !saying->from->agent)
            continue;
        if (agent_outgoing_get(saying->from->agent, saying->id, &info) != ERR_OK)
            world_fail(world, "%s has forgotten what it said", saying->from->name);
        if (info.state != OUT_DELIVERED)
            return false;
    }
    return true;
}

void world_explain(struct world *world)
{
    static const char *const states[]
        = { "queued", "stored", "delivered", "expired", "refused", "dropped" };

    for (size_t i = 0; i < world->saying_count; i++) {
        struct saying *saying = &world->sayings[i];
        struct outgoing_info info;

        if (is_dead(saying) || !saying->from->agent
            || agent_outgoing_get(saying->from->agent, saying->id, &info) != ERR_OK
            || (saying->taken && info.state == OUT_DELIVERED))
            continue;
        fprintf(stderr,
                "world: message %" PRIu64 " from %s to %s: %s, %s, session %s number %" PRIu64
                ", waits for %d, %s\n",
                saying->number, saying->from->name, saying->to->name,
                saying->taken ? "taken" : "not taken", states[info.state],
                info.has_session ? log_id(info.session) : "none", info.seq, (int)info.waits_for,
                err_name(info.wire));
    }
}

_Noreturn static void lost(const struct world *world, const struct saying *saying)
{
    static const char *const states[]
        = { "queued", "stored", "delivered", "expired", "refused", "dropped" };
    struct outgoing_info info;
    const char *state = "forgotten";

    if (saying->from->agent && agent_outgoing_get(saying->from->agent, saying->id, &info) == ERR_OK)
        state = states[info.state];
    world_fail(world, "message %" PRIu64 " from %s to %s is lost; its sender calls it %s",
               saying->number, saying->from->name, saying->to->name, state);
}

void world_check(struct world *world)
{
    for (size_t i = 0; i < world->saying_count; i++) {
        struct saying *saying = &world->sayings[i];

        if (!saying->taken && !is_dead(saying))
            lost(world, saying);
        if (saying->taken && is_dead(saying))
            world_fail(world, "message %" PRIu64 " from %s to %s is read and called dead",
                       saying->number, saying->from->name, saying->to->name);
    }
    if (world->flow && store_recount(world->store) != ERR_OK)
        world_fail(world, "the broker's counters are wrong");
}
