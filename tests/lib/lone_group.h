/*
 * lone_group - a lone agent as a member of a group that the test makes by hand: its chain, its
 * keys, what the others say in it, and what the broker delivers.
 *
 * Actor 0 is the agent; the others are known to it by name.  The owner is actor 1.
 */
#ifndef TESTS_LONE_GROUP_H
#define TESTS_LONE_GROUP_H
#include "agent/flow/channel.h"
#include "agent/flow/group_mail.h"
#include "agent/flow/outgoing.h"
#include "agent/store/scopes.h"
#include "shared/wire/limit.h"
#include "tests/lib/lone_agent.h"
/* The agent has an enum of that name. */
#define group_stage staged_group
#include "tests/lib/group_stage.h"
#undef group_stage

#define LONE_MEMBERS 4

struct lone_group {
    struct lone lone;
    struct staged_group stage;
    int64_t group_id, peer[STAGE_ACTORS];
    struct group_sending said[STAGE_ACTORS]; /* of the others, in the epoch they have last taken */
    struct group_epoch epoch[STAGE_ACTORS];
    uint64_t seq[STAGE_ACTORS]; /* last number each has used */
    uint64_t position;          /* last one given out */
    struct list_maker items;    /* of the DELIVER that is being made */
    struct buf bytes;
    size_t part_len[WIRE_PARTS_MAX], parts;
};

static inline struct agent_group *lone_group_of(struct lone_group *g)
{
    struct agent_group *group = agent_group_of(g->lone.agent, g->group_id);

    cr_assert_not_null(group);
    return group;
}

/* The newest event of the stage's chain, into the agent's store. */
static inline void lone_group_store(struct lone_group *g, const struct said *said)
{
    struct profile_event row
        = { .seq = said->fields.seq, .body_len = said->body_len, .stored = true };

    memcpy(row.preimage, said->preimage, EVENT_SIZE);
    memcpy(row.sig, said->sig, 64);
    memcpy(row.body, said->body, said->body_len);
    event_digest(row.digest, said->event.preimage);
    profile_event_add(g->lone.agent->store, g->group_id, &row);
}

static inline void lone_group_append(struct lone_group *g, const struct said *said)
{
    cr_assert_eq(stage_append(&g->stage, said), ERR_OK);
    lone_group_store(g, said);
}

/* The others have the key of the stage's newest epoch. */
static inline void lone_group_others_keyed(struct lone_group *g)
{
    for (int i = 1; i < LONE_MEMBERS; i++) {
        g->epoch[i] = stage_group_epoch(&g->stage.chain);
        group_sending_wipe(&g->said[i]);
        group_sending_init(&g->said[i], g->stage.secret, &g->epoch[i], g->stage.actor[i].aid);
    }
}

/* And the agent. */
static inline void lone_group_keyed(struct lone_group *g)
{
    agent_enter(g->lone.agent);
    agent_group_keyed(g->lone.agent, lone_group_of(g), &g->stage.chain, g->stage.secret);
    cr_assert_eq(agent_leave(g->lone.agent), ERR_OK);
}

/* The agent's memory follows the store. */
static inline void lone_group_reload(struct lone_group *g)
{
    agent_enter(g->lone.agent);
    agent_groups_load(g->lone.agent);
    lone_group_of(g)->compared = true;
    cr_assert_eq(agent_leave(g->lone.agent), ERR_OK);
}

static inline void lone_group_up(struct lone_group *g)
{
    struct agent *agent = g->lone.agent;

    agent->link.state = STATE_UP;
    agent->synced = true;
    agent->link.open = true;
    agent->link.heard_ms = g->lone.elapsed_ms;
    agent->me.row.enrolled = true;
    agent->me.certificate_renew_ms = UINT64_MAX;
    agent->log_due_ms = UINT64_MAX;
}

/* LONE_MEMBERS members, the agent among them, in epoch 2; only the others have its key. */
static inline void lone_group_open(struct lone_group *g, uint64_t number)
{
    static const char *const names[]
        = { "ann", "bob", "carol", "dave", "eve", "frank", "gina", "hal" };
    struct agent *agent;
    struct profile_group row = { .state = PROFILE_GROUP_JOINED, .role = ROLE_MEMBER };
    struct said said;

    memset(g, 0, sizeof *g);
    lone_open(&g->lone, number);
    stage_open(&g->stage, number);
    agent = g->lone.agent;
    memcpy(g->stage.actor[0].aid, agent->me.row.id, 32);
    memcpy(g->stage.actor[0].pk, agent->me.ik_public, 32);
    memcpy(g->stage.actor[0].sk, agent->me.ik_secret, 64);
    agent_store_begin(agent->store);
    for (int i = 1; i < STAGE_ACTORS; i++) {
        uint8_t hash[32] = { (uint8_t)i };
        g->peer[i] = profile_peer_add(agent->store, g->stage.actor[i].aid, names[i], LONE_NOW);
        profile_peer_learn(agent->store, g->peer[i], g->stage.actor[i].pk, 1, hash,
                           bytes_of("c", 1));
    }
    row.heard_ms = LONE_NOW;
    memcpy(row.id, g->stage.chain.gid, 16);
    profile_group_add(agent->store, &row);
    g->group_id = row.group_id;
    said_created(&said, &g->stage, 1, 0, 100);
    lone_group_append(g, &said);
    said_epoch(&said, &g->stage, 1);
    lone_group_append(g, &said);
    for (int i = 0; i < LONE_MEMBERS; i++) {
        if (i == 1)
            continue;
        said_invited(&said, &g->stage, 1, i, ROLE_MEMBER, LONE_NOW + 86400000);
        lone_group_append(g, &said);
        said_joined(&said, &g->stage, i, i);
        lone_group_append(g, &said);
    }
    said_epoch(&said, &g->stage, 1);
    lone_group_append(g, &said);
    cr_assert_eq(agent_store_commit(agent->store), ERR_OK);
    lone_group_up(g);
    lone_group_reload(g);
    lone_group_others_keyed(g);
    lone_forget(&g->lone);
}

static inline void lone_group_close(struct lone_group *g)
{
    for (int i = 0; i < STAGE_ACTORS; i++)
        group_sending_wipe(&g->said[i]);
    list_free(&g->items);
    buf_free(&g->bytes);
    stage_close(&g->stage);
    lone_close(&g->lone);
}

/* ------------------------------------------------------------------ what the others say */

struct words {
    int actor;
    const char *text;
    uint8_t kind;      /* of the envelope */
    uint8_t flags;     /* of the frame */
    uint64_t seq;      /* 0: the next */
    const uint8_t *sk; /* NULL: his own */
    uint8_t id;        /* of the message; 0: made of actor and number */
};

/* A whole frame; returns its digest. */
static inline void lone_group_frame(struct lone_group *g, const struct words *words,
                                    struct buf *frame, uint8_t digest[static 32])
{
    struct frame_header header = { .kind = FRAME_GROUP,
                                   .suite = g->epoch[words->actor].suite,
                                   .flags = words->flags,
                                   .seq = words->seq ? words->seq : ++g->seq[words->actor],
                                   .expires_ms = g->lone.now_ms + 86400000 };
    uint8_t id[16] = { words->id ? words->id : (uint8_t)(words->actor + 100) }, rand[32];
    struct envelope envelope = { .kind = words->kind,
                                 .msg_id = id,
                                 .ts_ms = g->lone.now_ms,
                                 .schema_version = 1,
                                 .content_type = bytes_of_text("text/plain"),
                                 .body = bytes_of_text(words->text) };
    struct buf plain = { 0 };

    if (!words->id)
        put_u64(id + 8, header.seq);
    memcpy(header.scope, g->stage.chain.gid, 16);
    memcpy(header.sender, g->stage.actor[words->actor].aid, 32);
    chance_bytes(&g->stage.chance, rand, 32);
    envelope_encode(&plain, &envelope);
    buf_clear(frame);
    cr_assert_eq(group_encrypt(&g->said[words->actor], &g->epoch[words->actor], &header,
                               words->sk ? words->sk : g->stage.actor[words->actor].sk,
                               buf_bytes(&plain), rand,
                               buf_extend(frame, group_frame_size(plain.len)), digest),
                 ERR_OK);
    buf_free(&plain);
}

/* ------------------------------------------------------------------ what the broker delivers */

static inline void lone_group_item(struct lone_group *g, uint8_t kind, struct bytes part)
{
    struct wire_item item = {
        .shape = ITEM_BYTES, .position = g->position += 3, .kind = kind, .stored_ms = g->lone.now_ms
    };

    list_add_item(&g->items, &item);
    buf_append(&g->bytes, part.at, part.len);
    g->part_len[g->parts++] = part.len;
}

static inline void lone_group_place(struct lone_group *g, int actor, uint64_t seq, uint8_t reason,
                                    const uint8_t digest[static 32])
{
    list_add_item(&g->items, &(struct wire_item){ .shape = ITEM_TOMBSTONE,
                                                  .position = g->position += 3,
                                                  .kind = ITEM_GROUP,
                                                  .stored_ms = g->lone.now_ms,
                                                  .reason = reason,
                                                  .scope = g->stage.chain.gid,
                                                  .sender = g->stage.actor[actor].aid,
                                                  .seq = seq,
                                                  .expires_ms = g->lone.now_ms,
                                                  .digest = digest });
}

static inline void lone_group_event(struct lone_group *g, const struct said *said)
{
    struct buf part = { 0 };

    buf_append(&part, said->preimage, EVENT_SIZE);
    buf_append(&part, said->sig, 64);
    buf_append(&part, said->body, said->body_len);
    lone_group_item(g, ITEM_EVENT, buf_bytes(&part));
    buf_free(&part);
}

/* All that was made so far, in one message. */
static inline void lone_group_deliver(struct lone_group *g)
{
    struct message message = { .verb = VERB_DELIVER };
    struct bytes parts[WIRE_PARTS_MAX];
    size_t at = 0;

    for (size_t i = 0; i < g->parts; i++) {
        parts[i] = bytes_of(g->bytes.at + at, g->part_len[i]);
        at += g->part_len[i];
    }
    MESSAGE_SET(&message, stream, g->stage.chain.gid);
    MESSAGE_SET(&message, items, list_of(&g->items));
    lone_hear(&g->lone, &message, parts, g->parts);
    list_clear(&g->items);
    buf_clear(&g->bytes);
    g->parts = 0;
}

/* Somebody says something, and it is delivered. */
static inline void lone_group_says(struct lone_group *g, const struct words *words)
{
    struct buf frame = { 0 };
    uint8_t digest[32];

    lone_group_frame(g, words, &frame, digest);
    lone_group_item(g, ITEM_GROUP, buf_bytes(&frame));
    lone_group_deliver(g);
    buf_free(&frame);
}

#define SAYS(g, who, what) lone_group_says((g), &(struct words){ .actor = (who), .text = (what) })

/* What of the group is in the inbox: the bodies, oldest first, with one space between. */
struct heard {
    char text[512];
};

static inline void hear_one(void *ctx, const struct incoming_info *info)
{
    struct heard *heard = ctx;
    size_t len = strlen(heard->text);

    if (info->has_group)
        snprintf(heard->text + len, sizeof heard->text - len, "%s%.*s", len ? " " : "",
                 (int)info->body.len, (const char *)info->body.at);
}

static inline struct heard lone_group_heard(struct lone_group *g)
{
    struct incoming_filter filter = { .unread = true };
    struct heard heard = { "" };

    cr_assert_eq(agent_inbox_each(g->lone.agent, &filter, hear_one, &heard), ERR_OK);
    return heard;
}

#define HEARD(g, want) cr_expect_str_eq(lone_group_heard(g).text, want)

#endif
