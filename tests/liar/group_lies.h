/*
 * group_lies - a group between whose members and their broker sits a liar: events that nobody
 *              signed, events and words that are hidden, histories that differ.
 */
#ifndef TESTS_LIAR_GROUP_LIES_H
#define TESTS_LIAR_GROUP_LIES_H
#include "tests/lib/group_world.h"

#include "agent/crypto/sign.h"
#include "tests/lib/liar.h"

enum { ANN, BOB, CYD, DAN, LIES_MAX = 4 };

struct lies {
    struct stage stage;
    struct liar *liar;
    struct group_chain chain; /* as it would be with what was forged */
    struct wire_event events[LIES_MAX];
    size_t event_count;
    uint64_t from;      /* number of the first of them; of the first event that is hidden */
    uint8_t head[32];   /* digest of the event before that */
    uint8_t over[32];   /* digest of the last that was forged */
    bool fooled[MOST];  /* who is lied to */
    size_t words[MOST]; /* frames of the group that left them since */
};

/* The first `count` are together in a group, the rest is enrolled and knows nothing of it. */
static inline void lies_open(struct lies *lies, uint64_t seed, size_t count, size_t people,
                             bool strict)
{
    *lies = (struct lies){ 0 };
    stage_open(&lies->stage, seed, people);
    lies->liar = liar_new(lies->stage.world);
    create_with(&lies->stage, count, strict);
    come_together(&lies->stage, count, "before anybody lies");
    world_pass(lies->stage.world, MINUTES(2));
}

static inline void lies_close(struct lies *lies)
{
    group_chain_free(&lies->chain);
    liar_free(&lies->liar);
    world_free(&lies->stage.world);
}

static inline struct agent_group *group_at(struct lies *lies, size_t i)
{
    return agent_group_named(agent_at(&lies->stage, i), lies->stage.gid);
}

static inline size_t index_of(const struct lies *lies, const struct world_agent *who)
{
    size_t i = 0;

    while (i < lies->stage.count && lies->stage.who[i] != who)
        i++;
    return i;
}

/* From here on, as ann knows it. */
static inline void lies_begin(struct lies *lies)
{
    struct agent_group *group = group_at(lies, ANN);

    group_chain_free(&lies->chain);
    lies->chain = (struct group_chain){ 0 };
    group_chain_copy(&lies->chain, &group->chain);
    lies->event_count = 0;
    lies->from = group->chain.next_seq;
    memcpy(lies->head, group->chain.head, 32);
    memcpy(lies->over, group->chain.head, 32);
}

/* The next event, by whom and signed by whom one likes. */
static inline void forge(struct lies *lies, enum event_type type, const uint8_t actor[static 32],
                         const uint8_t signer[static 64], const uint8_t *target, struct bytes body)
{
    struct event event = { .scope = SCOPE_GROUP,
                           .type = (uint8_t)type,
                           .seq = lies->chain.next_seq,
                           .ts_ms = world_now_ms(lies->stage.world) };
    uint8_t preimage[EVENT_SIZE], sig[64];
    struct wire_event made;

    memcpy(event.id, lies->stage.gid, 16);
    memcpy(event.prev, lies->chain.head, 32);
    memcpy(event.actor, actor, 32);
    if (target)
        memcpy(event.target, target, 32);
    event_body_hash(event.body_hash, body);
    event_encode(preimage, &event);
    sign(sig, signer, bytes_of(preimage, EVENT_SIZE));
    made.preimage = liar_copy(lies->liar, bytes_of(preimage, EVENT_SIZE));
    made.sig = liar_copy(lies->liar, bytes_of(sig, 64));
    made.body = liar_keep(lies->liar, body);
    lies->events[lies->event_count++] = made;
    event_digest(lies->over, bytes_of(made.preimage, EVENT_SIZE));
    group_chain_replay(&lies->chain, &(struct signed_event){ bytes_of(made.preimage, EVENT_SIZE),
                                                             made.sig, made.body });
}

static inline void forge_invited(struct lies *lies, const uint8_t *actor, const uint8_t *signer,
                                 const uint8_t *target)
{
    struct invited_body invited
        = { .role = ROLE_MEMBER, .expires_ms = world_now_ms(lies->stage.world) + DAYS(7) };
    uint8_t body[INVITED_BODY_SIZE];

    invited_body_encode(body, &invited);
    forge(lies, EVENT_GROUP_INVITED, actor, signer, target, bytes_of(body, sizeof body));
}

static inline void forge_joined(struct lies *lies, const uint8_t *actor, const uint8_t *signer)
{
    uint8_t digest[32];

    memcpy(digest, lies->over, 32);
    forge(lies, EVENT_GROUP_JOINED, actor, signer, actor, bytes_of(digest, 32));
}

static inline void forge_epoch(struct lies *lies, const uint8_t *actor, const uint8_t *signer)
{
    struct epoch_body epoch = { .epoch = lies->chain.epoch + 1, .suite = 1 };
    uint8_t body[EPOCH_BODY_SIZE], secret[32] = "the liar would know this secret";

    epoch.suite = lies->chain.epoch_body.suite;
    group_members_hash(epoch.members_hash, &lies->chain);
    group_confirm(epoch.confirm, secret, lies->chain.gid, epoch.epoch, lies->chain.head,
                  epoch.members_hash);
    epoch_body_encode(body, &epoch);
    forge(lies, EVENT_GROUP_EPOCH, actor, signer, NULL, bytes_of(body, sizeof body));
}

static inline void forge_removed(struct lies *lies, const uint8_t *actor, const uint8_t *signer,
                                 const uint8_t *target)
{
    uint8_t reason = REMOVED_BY_ADMIN;

    forge(lies, EVENT_GROUP_REMOVED, actor, signer, target, bytes_of(&reason, 1));
}

/* ------------------------------------------------------------------ what passes */

static inline bool is_channel(const struct lies *lies, const struct passing *p)
{
    return p->message.verb == VERB_DELIVER && memcmp(p->message.stream, lies->stage.gid, 16) == 0;
}

/* Words of the group in a SEND. */
static inline size_t words_in(const struct passing *p)
{
    size_t words = 0;
    struct frame_view view;

    for (size_t i = 0; p->message.verb == VERB_SEND && i < p->part_count; i++)
        words += frame_parse_whole(p->parts[i], &view) == ERR_OK && view.kind == FRAME_GROUP;
    return words;
}

/* What the history is said to be: the true one, then what was forged. */
static inline void answer_events(struct lies *lies, struct liar *liar, struct passing *p)
{
    struct list_reader reader = list_read(&p->message.events);
    struct list_maker list = { 0 };
    struct wire_event event;
    struct event read;

    while (list_event(&reader, &event))
        if (event_parse(bytes_of(event.preimage, EVENT_SIZE), &read) == ERR_OK
            && read.seq < lies->from)
            list_add_event(&list, &event);
    for (size_t i = 0; i < lies->event_count; i++)
        list_add_event(&list, &lies->events[i]);
    p->message.events = (struct wire_list){ liar_keep(liar, buf_bytes(&list.raw)), list.count };
    MESSAGE_SET(&p->message, seq, lies->from + lies->event_count);
    MESSAGE_SET(&p->message, head, liar_copy(liar, bytes_of(lies->over, 32)));
    list_free(&list);
}

/* Those who are fooled get another history, nothing new of the channel, and their words lead
 * nowhere. */
static inline bool other_history(void *ctx, struct liar *liar, struct passing *p)
{
    struct lies *lies = ctx;
    size_t i = index_of(lies, p->who);

    if (i == lies->stage.count)
        return true;
    if (!p->to_agent)
        lies->words[i] += words_in(p);
    if (!lies->fooled[i])
        return true;
    if (p->to_agent && p->message.verb == VERB_EVENTS && p->message.reply)
        answer_events(lies, liar, p);
    return !(p->to_agent && is_channel(lies, p)) && !(!p->to_agent && words_in(p) > 0);
}

/* ------------------------------------------------------------------ looking */

struct lie_alarms {
    const char *code;
    size_t count;
    char detail[256];
};

static inline void note_lie_alarm(void *ctx, const struct alarm_info *alarm)
{
    struct lie_alarms *found = ctx;

    if (!bytes_equal(alarm->code, bytes_of_text(found->code)))
        return;
    found->count++;
    snprintf(found->detail, sizeof found->detail, "%.*s", (int)alarm->detail.len,
             (const char *)alarm->detail.at);
}

static inline struct lie_alarms lie_alarms(struct lies *lies, size_t i, const char *code)
{
    struct lie_alarms found = { .code = code };

    cr_assert_eq(agent_alarms_each(agent_at(&lies->stage, i), note_lie_alarm, &found), ERR_OK);
    return found;
}

static inline void restart(struct lies *lies, size_t i)
{
    world_kill(lies->stage.world, lies->stage.who[i]);
    world_start(lies->stage.world, lies->stage.who[i]);
}

static inline bool is_waiting(struct lies *lies, size_t i, const uint8_t id[static 16])
{
    struct outgoing_info info;

    cr_assert_eq(agent_outgoing_get(agent_at(&lies->stage, i), id, &info), ERR_OK);
    return info.state == OUT_QUEUED;
}

#endif
