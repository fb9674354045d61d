/*
 * group_stage - a few agents with keys and the chain of one group, for tests, benchmarks and
 * fuzzing of groups.  Any of them says any event; the rules are what is tested.
 */
#ifndef TESTS_GROUP_STAGE_H
#define TESTS_GROUP_STAGE_H
#include <sodium.h>

#include "agent/crypto/group.h"
#include "agent/crypto/sign.h"
#include "shared/trust/group_chain.h"
#include "tests/lib/chance.h"

#define STAGE_NOW    1800000000000u
#define STAGE_ACTORS 8

struct stage_actor {
    uint8_t aid[32], pk[32], sk[64];
    bool revoked;
};

struct group_stage {
    struct chance chance;
    struct stage_actor actor[STAGE_ACTORS];
    struct group_chain chain;
    uint64_t now_ms;
    uint8_t secret[32]; /* of the newest epoch that stage_epoch() made */
};

static inline void stage_actor_make(struct chance *chance, struct stage_actor *out)
{
    uint8_t seed[32];

    chance_bytes(chance, seed, 32);
    sign_key_of_seed(out->pk, out->sk, seed);
    label_hash(out->aid, LABEL_AID, bytes_of(out->pk, 32));
    out->revoked = false;
}

static inline void stage_open(struct group_stage *stage, uint64_t seed)
{
    memset(stage, 0, sizeof *stage);
    stage->chance.state = seed;
    stage->now_ms = STAGE_NOW;
    for (int i = 0; i < STAGE_ACTORS; i++)
        stage_actor_make(&stage->chance, &stage->actor[i]);
    chance_bytes(&stage->chance, stage->chain.gid, 16);
}

static inline void stage_close(struct group_stage *stage)
{
    group_chain_free(&stage->chain);
}

static inline bool stage_is_revoked(void *ctx, const uint8_t aid[static 32])
{
    const struct group_stage *stage = ctx;

    for (int i = 0; i < STAGE_ACTORS; i++)
        if (memcmp(stage->actor[i].aid, aid, 32) == 0)
            return stage->actor[i].revoked;
    return false;
}

static inline struct group_facts stage_facts(struct group_stage *stage)
{
    return (struct group_facts){ stage_is_revoked, stage };
}

/* One event with all that belongs to it. */
struct said {
    struct event fields;
    uint8_t body[EPOCH_BODY_SIZE + 1];
    size_t body_len;
    uint8_t preimage[EVENT_SIZE], sig[64];
    struct signed_event event; /* views of the above */
};

/* Writes and signs what `fields` and body say now. */
static inline void said_sign(struct said *said, const uint8_t sk[static 64])
{
    event_body_hash(said->fields.body_hash, bytes_of(said->body, said->body_len));
    event_encode(said->preimage, &said->fields);
    sign(said->sig, sk, bytes_of(said->preimage, EVENT_SIZE));
    said->event = (struct signed_event){ bytes_of(said->preimage, EVENT_SIZE), said->sig,
                                         bytes_of(said->body, said->body_len) };
}

/* `said` comes next in the chain; the body is given already.  target -1: zeroes. */
static inline void said_make(struct said *said, const struct group_stage *stage, uint8_t type,
                             int actor, int target)
{
    said->fields = (struct event){
        .scope = SCOPE_GROUP, .seq = stage->chain.next_seq, .type = type, .ts_ms = stage->now_ms
    };
    memcpy(said->fields.id, stage->chain.gid, 16);
    memcpy(said->fields.prev, stage->chain.head, 32);
    memcpy(said->fields.actor, stage->actor[actor].aid, 32);
    if (target >= 0)
        memcpy(said->fields.target, stage->actor[target].aid, 32);
    said_sign(said, stage->actor[actor].sk);
}

static inline void said_created(struct said *said, const struct group_stage *stage, int actor,
                                uint8_t flags, uint32_t max_members)
{
    created_body_encode(said->body, &(struct created_body){ flags, max_members });
    said->body_len = CREATED_BODY_SIZE;
    said_make(said, stage, EVENT_GROUP_CREATED, actor, -1);
}

static inline void said_invited(struct said *said, const struct group_stage *stage, int actor,
                                int target, uint8_t role, uint64_t expires_ms)
{
    invited_body_encode(said->body, &(struct invited_body){ role, expires_ms });
    said->body_len = INVITED_BODY_SIZE;
    said_make(said, stage, EVENT_GROUP_INVITED, actor, target);
}

/* By the invitation that the chain holds for the target; zeroes if none. */
static inline void said_joined(struct said *said, const struct group_stage *stage, int actor,
                               int target)
{
    const struct group_member *member = group_member_find(&stage->chain, stage->actor[target].aid);

    memset(said->body, 0, 32);
    if (member)
        memcpy(said->body, member->invited, 32);
    said->body_len = 32;
    said_make(said, stage, EVENT_GROUP_JOINED, actor, target);
}

/* REMOVED, ROLE, CLOSED. */
static inline void said_byte(struct said *said, const struct group_stage *stage, uint8_t type,
                             int actor, int target, uint8_t value)
{
    said->body[0] = value;
    said->body_len = 1;
    said_make(said, stage, type, actor, target);
}

static inline void said_epoch(struct said *said, struct group_stage *stage, int actor)
{
    struct epoch_body body = { .epoch = stage->chain.epoch + 1, .suite = SUITE_CHACHA };

    chance_bytes(&stage->chance, stage->secret, 32);
    group_members_hash(body.members_hash, &stage->chain);
    group_confirm(body.confirm, stage->secret, stage->chain.gid, body.epoch, stage->chain.head,
                  body.members_hash);
    epoch_body_encode(said->body, &body);
    said->body_len = EPOCH_BODY_SIZE;
    said_make(said, stage, EVENT_GROUP_EPOCH, actor, -1);
}

/* Under the key of whoever the event names. */
static inline enum err stage_append(struct group_stage *stage, const struct said *said)
{
    struct group_facts facts = stage_facts(stage);
    static const uint8_t nobody[32];
    const uint8_t *key = nobody;
    struct event parsed;

    for (int i = 0; i < STAGE_ACTORS; i++)
        if (memcmp(stage->actor[i].aid, said->fields.actor, 32) == 0)
            key = stage->actor[i].pk;
    return group_chain_append(&stage->chain, &said->event, &facts, key, &parsed);
}

static inline enum err stage_create(struct group_stage *stage, int actor, uint8_t flags,
                                    uint32_t max_members)
{
    struct said said;
    enum err e;

    said_created(&said, stage, actor, flags, max_members);
    e = stage_append(stage, &said);
    if (e != ERR_OK)
        return e;
    said_epoch(&said, stage, actor);
    return stage_append(stage, &said);
}

static inline enum err stage_invite(struct group_stage *stage, int actor, int target, uint8_t role)
{
    struct said said;

    said_invited(&said, stage, actor, target, role, stage->now_ms + 86400000);
    return stage_append(stage, &said);
}

static inline enum err stage_join(struct group_stage *stage, int actor)
{
    struct said said;

    said_joined(&said, stage, actor, actor);
    return stage_append(stage, &said);
}

static inline enum err stage_epoch(struct group_stage *stage, int actor)
{
    struct said said;

    said_epoch(&said, stage, actor);
    return stage_append(stage, &said);
}

static inline enum err stage_byte(struct group_stage *stage, uint8_t type, int actor, int target,
                                  uint8_t value)
{
    struct said said;

    said_byte(&said, stage, type, actor, target, value);
    return stage_append(stage, &said);
}

static inline enum err stage_remove(struct group_stage *stage, int actor, int target,
                                    uint8_t reason)
{
    return stage_byte(stage, EVENT_GROUP_REMOVED, actor, target, reason);
}

/* The epoch as frames need it. */
static inline struct group_epoch stage_group_epoch(const struct group_chain *chain)
{
    struct group_epoch epoch = { .epoch = chain->epoch, .suite = chain->epoch_body.suite };

    memcpy(epoch.gid, chain->gid, 16);
    memcpy(epoch.digest, chain->epoch_digest, 32);
    return epoch;
}

static inline void put_number(struct buf *out, uint64_t v)
{
    put_u64(buf_extend(out, 8), v);
}

/* Everything that a chain is, field by field, to compare. */
static inline struct buf chain_bytes(const struct group_chain *chain)
{
    uint8_t epoch[EPOCH_BODY_SIZE];
    struct buf out = { 0 };

    buf_append(&out, chain->gid, 16);
    buf_append(&out, chain->head, 32);
    buf_append(&out, chain->created_digest, 32);
    put_number(&out, chain->life);
    put_number(&out, chain->flags);
    put_number(&out, chain->max_members);
    put_number(&out, chain->next_seq);
    put_number(&out, chain->epoch);
    put_number(&out, (uint64_t)chain->stale << 1 | chain->epoch_due);
    buf_append(&out, chain->due_actor, 32);
    put_number(&out, chain->epoch_seq);
    put_number(&out, chain->epoch_ms);
    buf_append(&out, chain->epoch_digest, 32);
    buf_append(&out, chain->epoch_prev, 32);
    buf_append(&out, chain->epoch_actor, 32);
    epoch_body_encode(epoch, &chain->epoch_body);
    buf_append(&out, epoch, sizeof epoch);
    put_number(&out, chain->joined);
    for (size_t i = 0; i < chain->count; i++) {
        const struct group_member *member = &chain->members[i];

        buf_append(&out, member->aid, 32);
        put_number(&out, member->role);
        put_number(&out, (uint64_t)member->joined << 1 | member->reads);
        put_number(&out, member->expires_ms);
        buf_append(&out, member->invited, 32);
    }
    return out;
}

#endif
