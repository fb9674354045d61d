/*
 * scene - ann, bob and whoever else in a world with a liar between them and the broker.
 */
#ifndef TESTS_LIAR_SCENE_H
#define TESTS_LIAR_SCENE_H
#include <criterion/criterion.h>
#include <stdio.h>

#include "agent/flow/session.h"
#include "agent/store/acks.h"
#include "agent/store/alarms.h"
#include "agent/store/dead.h"
#include "agent/store/inbox.h"
#include "agent/store/outbox.h"
#include "agent/store/peers.h"
#include "agent/store/scopes.h"
#include "agent/store/secrets.h"
#include "agent/store/sessions.h"
#include "shared/trust/notice.h"
#include "tests/lib/liar.h"

#define MINUTES(n) ((uint64_t)(n)*60000)
#define HOURS(n)   MINUTES((n)*60)
#define DAYS(n)    HOURS((n)*24)

struct scene {
    struct world *world;
    struct liar *liar;
    struct world_agent *ann, *bob;
};

static inline void scene_open(struct scene *s, uint64_t seed)
{
    s->world = world_new(seed);
    s->liar = liar_new(s->world);
    s->ann = world_join(s->world, "ann", "home");
    s->bob = world_join(s->world, "bob", "home");
}

static inline void scene_close(struct scene *s)
{
    liar_free(&s->liar);
    world_free(&s->world);
}

static inline struct agent_store *store_of(struct world_agent *who)
{
    return world_agent(who)->store;
}

/* ------------------------------------------------------------------ alarms */

struct scene_alarms {
    const char *code;
    unsigned count;
    char detail[256];
};

static inline void scene_note_alarm(void *ctx, const struct alarm_info *alarm)
{
    struct scene_alarms *found = ctx;

    if (!bytes_equal(alarm->code, bytes_of_text(found->code)))
        return;
    found->count++;
    snprintf(found->detail, sizeof found->detail, "%.*s", (int)alarm->detail.len,
             (const char *)alarm->detail.at);
}

static inline unsigned alarms(struct world_agent *who, const char *code)
{
    struct scene_alarms found = { .code = code };

    cr_assert_eq(agent_alarms_each(world_agent(who), scene_note_alarm, &found), ERR_OK);
    return found.count;
}

/* All that are open, as one line for messages. */
static inline unsigned any_alarms(struct world_agent *who)
{
    struct profile_alarm open[16];
    size_t count = profile_alarms(store_of(who), open, 16);

    for (size_t i = 0; i < count; i++)
        printf("alarm %s: %s\n", open[i].code, open[i].detail);
    return (unsigned)count;
}

/* ------------------------------------------------------------------ mail */

static inline enum err say(struct world_agent *from, struct world_agent *to, const char *text,
                           uint8_t id[static 16])
{
    struct send_request request
        = { .body = bytes_of_text(text), .media_type = bytes_of_text("text/plain") };

    memcpy(request.to, world_aid(to), 32);
    return agent_send(world_agent(from), &request, id);
}

static inline struct outgoing_info outgoing(struct world_agent *who, const uint8_t id[static 16])
{
    struct outgoing_info info;

    cr_assert_eq(agent_outgoing_get(world_agent(who), id, &info), ERR_OK);
    return info;
}

static inline enum outgoing_state state_of(struct world_agent *who, const uint8_t id[static 16])
{
    return outgoing(who, id).state;
}

struct scene_inbox {
    unsigned total, like;
    const char *text;
};

static inline void scene_count_message(void *ctx, const struct incoming_info *info)
{
    struct scene_inbox *inbox = ctx;

    inbox->total++;
    inbox->like += inbox->text && bytes_equal(info->body, bytes_of_text(inbox->text));
}

/* How many messages of this text `who` has; NULL: of any. */
static inline unsigned inbox(struct world_agent *who, const char *text)
{
    struct incoming_filter all = { .unread = true, .done = true };
    struct scene_inbox found = { .text = text };

    cr_assert_eq(agent_inbox_each(world_agent(who), &all, scene_count_message, &found), ERR_OK);
    return text ? found.like : found.total;
}

/* A conversation is under way, and the first message has its receipt. */
static inline void talk(struct scene *s)
{
    uint8_t id[16];

    cr_assert_eq(say(s->ann, s->bob, "first", id), ERR_OK);
    world_pass(s->world, 10000);
    cr_assert_eq(state_of(s->ann, id), OUT_DELIVERED);
    cr_assert_eq(inbox(s->bob, "first"), 1);
}

/* Queues messages "0", "1", … */
static inline void say_many(struct world_agent *from, struct world_agent *to, unsigned count,
                            uint8_t (*ids)[16])
{
    for (unsigned i = 0; i < count; i++) {
        char text[16];

        snprintf(text, sizeof text, "%u", i);
        cr_assert_eq(say(from, to, text, ids[i]), ERR_OK);
    }
}

static inline void shuffle(struct world *world, struct liar_item *items, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        size_t other = (size_t)world_random(world, i);
        struct liar_item kept = items[i - 1];

        items[i - 1] = items[other];
        items[other] = kept;
    }
}

/* ------------------------------------------------------------------ sessions */

/* The newest session that `who` has with `other`, in whatever state; false: none. */
static inline bool newest_session(struct world_agent *who, struct world_agent *other,
                                  struct profile_session *out)
{
    struct profile_session session;
    struct profile_peer peer;
    int64_t after = 0;
    bool found = false;

    if (!profile_peer_find(store_of(who), world_aid(other), &peer))
        return false;
    while (profile_session_next_of(store_of(who), peer.peer_id, after, &session)) {
        after = session.session_id;
        *out = session;
        found = true;
    }
    return found;
}

static inline enum session_stage stage_of(struct world_agent *who, struct world_agent *other)
{
    struct profile_session session = { 0 };

    newest_session(who, other, &session);
    return session.state;
}

/* `who` ends it, signed. */
static inline void end_session(struct world_agent *who, struct world_agent *other)
{
    struct profile_session session;

    cr_assert(newest_session(who, other, &session));
    agent_enter(world_agent(who));
    agent_session_close(world_agent(who), &session, SESSION_CLOSED, CLOSED_DONE);
    cr_assert_eq(agent_leave(world_agent(who)), ERR_OK);
}

static inline enum peer_pin pin_of(struct world_agent *who, const uint8_t aid[static 32])
{
    struct profile_peer peer;

    return profile_peer_find(store_of(who), aid, &peer) ? peer.pin : PIN_NONE;
}

#endif
