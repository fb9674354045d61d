/* layers: base wire trust agent_crypto */
/*
 * Random lives of groups: honest and dishonest actors say whatever comes to their minds, and a
 * second model, as plain as can be, says what must come of it.
 */
#include <criterion/criterion.h>

#include "tests/lib/group_stage.h"

static void start(void)
{
    cr_assert(sodium_init() >= 0);
}

TestSuite(group_random, .init = start);

/* ---- the model: one row for each actor, no list, no order -------------------------------------
 */

struct seat {
    enum { OUT, INVITED, IN } is;
    uint8_t role;
    bool reads;
    uint64_t expires_ms;
    uint8_t invitation[32];
};

struct model {
    struct seat seat[STAGE_ACTORS];
    bool begun, ended, open, stale;
    int due; /* whose EPOCH must come; -1 */
    uint32_t epoch, most;
};

static size_t model_count(const struct model *model, int at_least)
{
    size_t count = 0;

    for (int i = 0; i < STAGE_ACTORS; i++)
        count += model->seat[i].is >= (unsigned)at_least;
    return count;
}

/* members_hash from the rows: smallest aid first, each found by looking at all. */
static void model_hash(uint8_t out[static 32], const struct model *model,
                       const struct group_stage *stage)
{
    bool done[STAGE_ACTORS] = { 0 };
    struct buf list = { 0 };

    for (size_t n = model_count(model, IN); n > 0; n--) {
        int least = -1;

        for (int i = 0; i < STAGE_ACTORS; i++)
            if (model->seat[i].is == IN && !done[i]
                && (least < 0 || memcmp(stage->actor[i].aid, stage->actor[least].aid, 32) < 0))
                least = i;
        done[least] = true;
        buf_append(&list, stage->actor[least].aid, 32);
        buf_append(&list, &model->seat[least].role, 1);
    }
    label_hash(out, LABEL_MEMBERS, buf_bytes(&list));
    buf_free(&list);
}

/* What is said, as the model sees it. */
struct deed {
    uint8_t type, value; /* role or reason */
    int actor, target;   /* target -1: nobody */
    uint64_t expires_ms;
    uint8_t flags;
    uint32_t most, epoch;
    uint8_t invitation[32];
    bool good_hash;
};

static bool is_admin(const struct model *model, int who)
{
    return model->seat[who].is == IN && model->seat[who].role >= 2;
}

static bool may(const struct model *model, const struct group_stage *stage, const struct deed *deed)
{
    const struct seat *actor = &model->seat[deed->actor];
    const struct seat *target = deed->target >= 0 ? &model->seat[deed->target] : NULL;

    if (model->ended || model->begun == (deed->type == EVENT_GROUP_CREATED))
        return false;
    if (model->due >= 0
        && (deed->actor != model->due
            || (deed->type != EVENT_GROUP_EPOCH && deed->type != EVENT_GROUP_REMOVED)))
        return false;
    switch (deed->type) {
    case EVENT_GROUP_CREATED:
        return deed->most >= 1 && deed->most <= 10000;
    case EVENT_GROUP_INVITED:
        if (!target || target->is == IN || deed->value < 1 || deed->value > 2)
            return false;
        if (target->is == INVITED && stage->now_ms < target->expires_ms)
            return false;
        if (target->is == OUT && model_count(model, INVITED) >= model->most)
            return false;
        return is_admin(model, deed->actor) || (actor->is == IN && model->open && deed->value == 1);
    case EVENT_GROUP_JOINED:
        return deed->actor == deed->target && actor->is == INVITED
               && stage->now_ms < actor->expires_ms
               && memcmp(actor->invitation, deed->invitation, 32) == 0;
    case EVENT_GROUP_REMOVED:
        if (!target || target->is == OUT || deed->value > 3
            || (deed->value == 0) != (deed->actor == deed->target))
            return false;
        if (deed->value == 0)
            return target->role != 3 && model->due < 0;
        if (!is_admin(model, deed->actor))
            return false;
        if (deed->value == 2)
            return stage->actor[deed->target].revoked;
        return target->is == INVITED || actor->role == 3 || target->role == 1;
    case EVENT_GROUP_EPOCH:
        return is_admin(model, deed->actor) && deed->epoch == model->epoch + 1 && deed->good_hash;
    case EVENT_GROUP_ROLE:
        return target && deed->actor != deed->target && target->is == IN && actor->is == IN
               && actor->role == 3 && deed->value >= 1 && deed->value <= 3;
    case EVENT_GROUP_CLOSED:
        return actor->is == IN && actor->role == 3;
    }
    return false;
}

static void done(struct model *model, const struct deed *deed, const uint8_t digest[static 32])
{
    struct seat *actor = &model->seat[deed->actor];
    struct seat *target = deed->target >= 0 ? &model->seat[deed->target] : NULL;

    switch (deed->type) {
    case EVENT_GROUP_CREATED:
        *actor = (struct seat){ .is = IN, .role = 3 };
        model->begun = true;
        model->open = deed->flags & 1;
        model->most = deed->most;
        model->due = deed->actor;
        break;
    case EVENT_GROUP_INVITED:
        *target
            = (struct seat){ .is = INVITED, .role = deed->value, .expires_ms = deed->expires_ms };
        memcpy(target->invitation, digest, 32);
        break;
    case EVENT_GROUP_JOINED:
        target->is = IN;
        break;
    case EVENT_GROUP_REMOVED:
        if (target->is == IN && deed->value == 0)
            model->stale = true;
        else if (target->is == IN)
            model->due = deed->actor;
        if (target->is == IN && target->role == 3)
            actor->role = 3;
        target->is = OUT;
        break;
    case EVENT_GROUP_EPOCH:
        model->epoch++;
        model->stale = false;
        model->due = -1;
        for (int i = 0; i < STAGE_ACTORS; i++)
            model->seat[i].reads = model->seat[i].is == IN;
        break;
    case EVENT_GROUP_ROLE:
        target->role = deed->value;
        if (deed->value == 3)
            actor->role = 2;
        break;
    case EVENT_GROUP_CLOSED:
        model->ended = true;
        break;
    }
}

/* ---- what comes to their minds ----------------------------------------------------------------
 */

static int somebody(struct group_stage *stage)
{
    return (int)chance_below(&stage->chance, STAGE_ACTORS);
}

/* One of those who hold a seat of this kind, if there is one. */
static int one_who(struct group_stage *stage, const struct model *model, unsigned is, uint8_t role)
{
    for (int tries = 0; tries < 20; tries++) {
        int who = somebody(stage);

        if (model->seat[who].is == is && (role == 0 || model->seat[who].role >= role))
            return who;
    }
    return somebody(stage);
}

static void deed_think(struct deed *deed, struct group_stage *stage, const struct model *model)
{
    static const uint8_t types[] = { 17, 17, 17, 18, 18, 18, 19, 19, 20, 20, 20, 21, 22 };
    bool honest = chance_below(&stage->chance, 4) != 0;

    *deed = (struct deed){ .actor = somebody(stage), .target = somebody(stage) };
    deed->type = types[chance_below(&stage->chance, sizeof types)];
    if (deed->type == EVENT_GROUP_CLOSED && chance_below(&stage->chance, 8) != 0)
        deed->type = EVENT_GROUP_EPOCH;
    if (!model->begun || chance_below(&stage->chance, 100) == 0)
        deed->type = EVENT_GROUP_CREATED;
    if (honest && model->due >= 0) {
        deed->actor = model->due;
        deed->type = chance_below(&stage->chance, 4) ? EVENT_GROUP_EPOCH : EVENT_GROUP_REMOVED;
    }
    deed->value = (uint8_t)chance_below(&stage->chance, 5);
    deed->flags = (uint8_t)chance_below(&stage->chance, 4);
    deed->most = (uint32_t)chance_below(&stage->chance, 10);
    deed->expires_ms = stage->now_ms + chance_below(&stage->chance, 20000);
    deed->epoch = model->epoch + 1;
    deed->good_hash = true;
    if (honest && deed->type != EVENT_GROUP_CREATED && model->due < 0)
        deed->actor = one_who(stage, model, IN, deed->type == EVENT_GROUP_ROLE ? 3 : 2);
    if (deed->type == EVENT_GROUP_JOINED) {
        deed->target = one_who(stage, model, INVITED, 0);
        if (honest)
            deed->actor = deed->target;
        memcpy(deed->invitation, model->seat[deed->target].invitation, 32);
        deed->invitation[0] ^= chance_below(&stage->chance, 20) == 0;
    } else if (deed->type == EVENT_GROUP_REMOVED && honest && deed->value == 0) {
        deed->target = deed->actor;
    } else if (deed->type == EVENT_GROUP_EPOCH && !honest) {
        deed->epoch += (uint32_t)chance_below(&stage->chance, 3) - 1;
        deed->good_hash = chance_below(&stage->chance, 2);
    }
    if (deed->type == EVENT_GROUP_CREATED || deed->type == EVENT_GROUP_EPOCH
        || deed->type == EVENT_GROUP_CLOSED)
        deed->target = -1;
    if (deed->type == EVENT_GROUP_EPOCH && deed->epoch == 0)
        deed->epoch = 7;
}

static void deed_said(struct said *said, struct group_stage *stage, const struct model *model,
                      const struct deed *deed)
{
    struct epoch_body epoch = { .epoch = deed->epoch, .suite = SUITE_CHACHA };

    switch (deed->type) {
    case EVENT_GROUP_CREATED:
        said_created(said, stage, deed->actor, deed->flags, deed->most);
        return;
    case EVENT_GROUP_INVITED:
        said_invited(said, stage, deed->actor, deed->target, deed->value, deed->expires_ms);
        return;
    case EVENT_GROUP_JOINED:
        memcpy(said->body, deed->invitation, 32);
        said->body_len = 32;
        break;
    case EVENT_GROUP_EPOCH:
        model_hash(epoch.members_hash, model, stage);
        epoch.members_hash[9] ^= !deed->good_hash;
        epoch_body_encode(said->body, &epoch);
        said->body_len = EPOCH_BODY_SIZE;
        break;
    default:
        said->body[0] = deed->value;
        said->body_len = 1;
        break;
    }
    said_make(said, stage, deed->type, deed->actor, deed->target);
}

/* Sometimes the event itself is spoilt: then it must be refused whatever the model says. */
static bool spoil(struct said *said, struct group_stage *stage, int actor)
{
    int other = (actor + 1 + (int)chance_below(&stage->chance, STAGE_ACTORS - 1)) % STAGE_ACTORS;

    switch (chance_below(&stage->chance, 40)) {
    case 0: /* somebody else's hand */
        said_sign(said, stage->actor[other].sk);
        return true;
    case 1:
        said->fields.seq += 1 + chance_below(&stage->chance, 3);
        break;
    case 2:
        chance_bytes(&stage->chance, said->fields.prev, 32);
        break;
    case 3:
        said->fields.id[chance_below(&stage->chance, 16)] ^= 1;
        break;
    case 4:
        said->sig[chance_below(&stage->chance, 64)] ^= 4;
        return true;
    case 5:
        said->preimage[chance_below(&stage->chance, EVENT_SIZE)] ^= 2;
        return true;
    default:
        return false;
    }
    said_sign(said, stage->actor[actor].sk);
    return true;
}

/* ---- do they agree? ---------------------------------------------------------------------------
 */

static void agree(const struct model *model, const struct group_stage *stage)
{
    const struct group_chain *chain = &stage->chain;
    uint8_t ours[32], theirs[32];
    int owners = 0;

    cr_assert_eq(chain->joined, model_count(model, IN));
    cr_assert_eq(chain->count, model_count(model, INVITED));
    cr_assert_eq(chain->epoch, model->epoch);
    cr_assert_eq(chain->stale, model->stale);
    cr_assert_eq(chain->epoch_due, model->due >= 0);
    cr_assert_eq(chain->life, !model->begun ? GROUP_NONE : model->ended ? GROUP_ENDED : GROUP_OPEN);
    for (int i = 0; i < STAGE_ACTORS; i++) {
        const struct seat *seat = &model->seat[i];
        const struct group_member *member = group_member_find(chain, stage->actor[i].aid);

        cr_assert_eq(member != NULL, seat->is != OUT);
        cr_assert_eq(group_is_admin(chain, stage->actor[i].aid), is_admin(model, i));
        if (!member)
            continue;
        cr_assert_eq(member->joined, seat->is == IN);
        cr_assert_eq(member->role, seat->role);
        cr_assert_eq(member->reads, seat->is == IN && seat->reads);
        owners += seat->is == IN && seat->role == 3;
        if (seat->is == IN && seat->role == 3)
            cr_assert_eq(group_owner(chain), member);
    }
    cr_assert_eq(owners, model->begun, "exactly one owner");
    for (size_t i = 1; i < chain->count; i++)
        cr_assert_lt(memcmp(chain->members[i - 1].aid, chain->members[i].aid, 32), 0);
    model_hash(ours, model, stage);
    group_members_hash(theirs, chain);
    cr_assert_arr_eq(ours, theirs, 32);
}

/* Returns how many events were good. */
static size_t live(uint64_t seed, size_t steps)
{
    struct group_stage stage;
    struct group_chain replayed = { 0 };
    struct model model = { .due = -1 };
    struct buf before, after;
    size_t good = 0;

    stage_open(&stage, seed);
    memcpy(replayed.gid, stage.chain.gid, 16);
    for (size_t i = 0; i < steps && !model.ended; i++) {
        struct said said;
        struct deed deed;
        uint8_t digest[32];
        bool expect;
        enum err e;

        deed_think(&deed, &stage, &model);
        deed_said(&said, &stage, &model, &deed);
        event_digest(digest, said.event.preimage);
        expect = may(&model, &stage, &deed);
        if (spoil(&said, &stage, deed.actor))
            expect = false;
        before = chain_bytes(&stage.chain);
        e = stage_append(&stage, &said);
        cr_assert_eq(e == ERR_OK, expect, "seed %" PRIu64 ", step %zu: %s by %d of %d (%u): %s",
                     seed, i, event_type_name(deed.type), deed.actor, deed.target, deed.value,
                     e == ERR_OK ? "ok" : err_name(e));
        if (e == ERR_OK) {
            good++;
            done(&model, &deed, digest);
            cr_assert_eq(group_chain_replay(&replayed, &said.event), ERR_OK);
            after = chain_bytes(&replayed);
            buf_free(&before);
            before = chain_bytes(&stage.chain);
        } else {
            after = chain_bytes(&stage.chain);
        }
        cr_assert(bytes_equal(buf_bytes(&before), buf_bytes(&after)));
        buf_free(&before);
        buf_free(&after);
        agree(&model, &stage);
        stage.now_ms += chance_below(&stage.chance, 3000);
        if (chance_below(&stage.chance, 30) == 0)
            stage.actor[somebody(&stage)].revoked ^= true;
    }
    group_chain_free(&replayed);
    stage_close(&stage);
    return good;
}

Test(group_random, chains_do_what_the_plain_model_does)
{
    struct chance chance = { chance_seed("chains_do_what") };
    size_t good = 0;

    for (int i = 0; i < 200; i++)
        good += live(chance_next(&chance), 200);
    printf("%zu good events\n", good);
    cr_expect_gt(good, 2000, "they do live");
}

/* ---- orders of members ------------------------------------------------------------------------
 */

static const char *join_one(struct group_chain *chain, const uint8_t *owner, struct chance *chance,
                            uint8_t aid[static 32])
{
    struct event event = { .scope = SCOPE_GROUP, .type = EVENT_GROUP_INVITED };
    uint8_t preimage[EVENT_SIZE] = { 0 }, body[32], sig[64] = { 0 };
    struct signed_event said = { bytes_of(preimage, EVENT_SIZE), sig, bytes_of(body, 9) };

    chance_bytes(chance, aid, 32);
    memcpy(event.id, chain->gid, 16);
    memcpy(event.actor, owner, 32);
    memcpy(event.target, aid, 32);
    invited_body_encode(body, &(struct invited_body){ ROLE_MEMBER, INT64_MAX });
    for (int joins = 0; joins < 2; joins++) {
        event.seq = chain->next_seq;
        memcpy(event.prev, chain->head, 32);
        event_body_hash(event.body_hash, said.body);
        event_encode(preimage, &event);
        if (group_chain_check(chain, &said, NULL, &event) != ERR_OK)
            return "is not allowed";
        if (group_chain_replay(chain, &said) != ERR_OK)
            return "cannot be read";
        event.type = EVENT_GROUP_JOINED;
        memcpy(event.actor, aid, 32);
        memcpy(body, chain->head, 32);
        said.body.len = 32;
    }
    return NULL;
}

Test(group_random, a_group_of_ten_thousand)
{
    struct group_stage stage;
    uint8_t(*aid)[32] = mem_alloc(32 * GROUP_MEMBERS_MAX);
    struct said said;

    stage_open(&stage, 20);
    cr_assert_eq(stage_create(&stage, 0, 0, GROUP_MEMBERS_MAX), ERR_OK);
    for (size_t i = 1; i < GROUP_MEMBERS_MAX; i++) {
        const char *failed = join_one(&stage.chain, stage.actor[0].aid, &stage.chance, aid[i]);

        cr_assert_null(failed, "member %zu %s", i, failed);
    }
    cr_expect_eq(stage.chain.joined, GROUP_MEMBERS_MAX);
    for (size_t i = 1; i < GROUP_MEMBERS_MAX; i++)
        cr_assert(group_member_find(&stage.chain, aid[i]));
    for (size_t i = 1; i < stage.chain.count; i++)
        cr_assert_lt(memcmp(stage.chain.members[i - 1].aid, stage.chain.members[i].aid, 32), 0);
    cr_expect_eq(stage_epoch(&stage, 0), ERR_OK);
    said_invited(&said, &stage, 0, 1, ROLE_MEMBER, stage.now_ms + 1);
    cr_expect_eq(stage_append(&stage, &said), ERR_QUOTA);
    free(aid);
    stage_close(&stage);
}
