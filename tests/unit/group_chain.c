/* layers: base wire trust agent_crypto */
/* What may happen to a group, and by whom (protocol.md 5.2; 9: T25, T69). */
#include <criterion/criterion.h>

#include "tests/lib/group_stage.h"

static void start(void)
{
    cr_assert(sodium_init() >= 0);
}

TestSuite(group_chain, .init = start);

/* Who is who in all these tests. */
enum { OWNER, ADMIN, SECOND, MEMBER, OTHER, GUEST, STRANGER, GHOST, NOBODY = -1 };

/* OWNER; ADMIN and SECOND are admins; MEMBER and OTHER; GUEST is invited. */
static void group_made(struct group_stage *stage, uint8_t flags)
{
    stage_open(stage, 1);
    cr_assert_eq(stage_create(stage, OWNER, flags, 7), ERR_OK);
    for (int i = ADMIN; i <= GUEST; i++) {
        uint8_t role = i == ADMIN || i == SECOND ? ROLE_ADMIN : ROLE_MEMBER;

        cr_assert_eq(stage_invite(stage, OWNER, i, role), ERR_OK);
        if (i != GUEST)
            cr_assert_eq(stage_join(stage, i), ERR_OK);
    }
    cr_assert_eq(stage_epoch(stage, OWNER), ERR_OK);
}

static const struct group_member *member(const struct group_stage *stage, int who)
{
    return group_member_find(&stage->chain, stage->actor[who].aid);
}

/* Offers it; what is refused leaves no trace. */
static enum err offer(struct group_stage *stage, const struct said *said)
{
    struct buf before = chain_bytes(&stage->chain), after;
    struct group_facts facts = stage_facts(stage);
    struct event parsed;
    enum err checked = group_chain_check(&stage->chain, &said->event, &facts, &parsed);
    enum err e = stage_append(stage, said);

    cr_expect(checked == e || (checked == ERR_OK && e == ERR_AUTH), "check and append agree");
    after = chain_bytes(&stage->chain);
    cr_expect_eq(bytes_equal(buf_bytes(&before), buf_bytes(&after)), e != ERR_OK);
    buf_free(&before);
    buf_free(&after);
    return e;
}

/* ---- a life ---------------------------------------------------------------------------------- */

Test(group_chain, a_group_from_its_first_event_to_its_last)
{
    struct group_stage stage;

    group_made(&stage, 0);
    cr_expect_eq(stage.chain.life, GROUP_OPEN);
    cr_expect_eq(stage.chain.epoch, 2);
    cr_expect_eq(stage.chain.joined, 5);
    cr_expect_eq(stage.chain.count, 6);
    cr_expect_eq(stage.chain.max_members, 7);
    cr_expect_eq(group_owner(&stage.chain), member(&stage, OWNER));
    cr_expect(group_is_admin(&stage.chain, stage.actor[ADMIN].aid));
    cr_expect_not(group_is_admin(&stage.chain, stage.actor[MEMBER].aid));
    cr_expect_not(group_is_admin(&stage.chain, stage.actor[STRANGER].aid));
    cr_expect(member(&stage, MEMBER)->reads);
    cr_expect_not(member(&stage, GUEST)->joined);
    cr_expect_null(member(&stage, STRANGER));

    cr_expect_eq(stage_join(&stage, GUEST), ERR_OK);
    cr_expect(member(&stage, GUEST)->joined && !member(&stage, GUEST)->reads,
              "admitted by the next EPOCH only");
    cr_expect_eq(stage_epoch(&stage, ADMIN), ERR_OK);
    cr_expect(member(&stage, GUEST)->reads);
    cr_expect_arr_eq(stage.chain.epoch_actor, stage.actor[ADMIN].aid, 32);

    cr_expect_eq(stage_byte(&stage, EVENT_GROUP_CLOSED, OWNER, NOBODY, 0), ERR_OK);
    cr_expect_eq(stage.chain.life, GROUP_ENDED);
    cr_expect_eq(stage_epoch(&stage, OWNER), ERR_STATE);
    cr_expect_eq(stage_remove(&stage, MEMBER, MEMBER, REMOVED_LEFT), ERR_STATE);
    stage_close(&stage);
}

/* ---- every step, every hand -------------------------------------------------------------------
 */

struct step {
    const char *name;
    uint8_t type;
    int actor, target;
    uint8_t value; /* role or reason */
    enum err expect;
};

static void step_said(struct said *said, struct group_stage *stage, const struct step *step)
{
    switch (step->type) {
    case EVENT_GROUP_CREATED:
        said_created(said, stage, step->actor, 0, 7);
        break;
    case EVENT_GROUP_INVITED:
        said_invited(said, stage, step->actor, step->target, step->value, stage->now_ms + 1000);
        break;
    case EVENT_GROUP_JOINED:
        said_joined(said, stage, step->actor, step->target);
        break;
    case EVENT_GROUP_EPOCH:
        said_epoch(said, stage, step->actor);
        break;
    default:
        said_byte(said, stage, step->type, step->actor, step->target, step->value);
        break;
    }
}

static void steps_offered(uint8_t flags, const struct step *steps, size_t count)
{
    struct group_stage stage;
    struct said said;

    for (size_t i = 0; i < count; i++) {
        enum err e;

        group_made(&stage, flags);
        step_said(&said, &stage, &steps[i]);
        e = offer(&stage, &said);
        cr_expect_eq(e, steps[i].expect, "%s: %s", steps[i].name, err_name(e));
        stage_close(&stage);
    }
}

#define STEPS(flags, ...)                                                                          \
    do {                                                                                           \
        static const struct step steps[] = { __VA_ARGS__ };                                        \
        steps_offered(flags, steps, sizeof steps / sizeof steps[0]);                               \
    } while (0)

Test(group_chain, who_may_invite_and_join)
{
    enum { INVITED = EVENT_GROUP_INVITED, JOINED = EVENT_GROUP_JOINED };

    STEPS(0, { "owner", INVITED, OWNER, STRANGER, 1, ERR_OK },
          { "owner, an admin to be", INVITED, OWNER, STRANGER, 2, ERR_OK },
          { "admin, an admin to be", INVITED, ADMIN, STRANGER, 2, ERR_OK },
          { "an owner to be", INVITED, OWNER, STRANGER, 3, ERR_SCHEMA },
          { "no role", INVITED, OWNER, STRANGER, 0, ERR_SCHEMA },
          { "member", INVITED, MEMBER, STRANGER, 1, ERR_FORBIDDEN },
          { "guest", INVITED, GUEST, STRANGER, 1, ERR_FORBIDDEN },
          { "stranger himself", INVITED, STRANGER, STRANGER, 1, ERR_FORBIDDEN },
          { "a member", INVITED, OWNER, MEMBER, 1, ERR_STATE },
          { "a guest again", INVITED, OWNER, GUEST, 1, ERR_STATE },
          { "nobody", INVITED, OWNER, NOBODY, 1, ERR_SCHEMA },
          { "guest joins", JOINED, GUEST, GUEST, 0, ERR_OK },
          { "for the guest", JOINED, OWNER, GUEST, 0, ERR_FORBIDDEN },
          { "stranger joins", JOINED, STRANGER, STRANGER, 0, ERR_FORBIDDEN },
          { "member joins again", JOINED, MEMBER, MEMBER, 0, ERR_STATE });
    STEPS(GROUP_FLAG_ALL_INVITE, { "member, where all may", INVITED, MEMBER, STRANGER, 1, ERR_OK },
          { "member, an admin to be", INVITED, MEMBER, STRANGER, 2, ERR_FORBIDDEN },
          { "guest, where all may", INVITED, GUEST, STRANGER, 1, ERR_FORBIDDEN },
          { "stranger, where all may", INVITED, GHOST, STRANGER, 1, ERR_FORBIDDEN });
}

Test(group_chain, who_may_remove)
{
    enum { REMOVED = EVENT_GROUP_REMOVED };

    STEPS(0, { "owner, an admin", REMOVED, OWNER, ADMIN, 1, ERR_OK },
          { "owner, a member", REMOVED, OWNER, MEMBER, 3, ERR_OK },
          { "admin, a member", REMOVED, ADMIN, MEMBER, 1, ERR_OK },
          { "admin, an admin", REMOVED, ADMIN, SECOND, 1, ERR_FORBIDDEN },
          { "admin, the owner", REMOVED, ADMIN, OWNER, 1, ERR_FORBIDDEN },
          { "admin, an invitation", REMOVED, ADMIN, GUEST, 1, ERR_OK },
          { "member, a member", REMOVED, MEMBER, OTHER, 1, ERR_FORBIDDEN },
          { "member, an invitation", REMOVED, MEMBER, GUEST, 1, ERR_FORBIDDEN },
          { "stranger, a member", REMOVED, STRANGER, MEMBER, 1, ERR_FORBIDDEN },
          { "member leaves", REMOVED, MEMBER, MEMBER, 0, ERR_OK },
          { "admin leaves", REMOVED, ADMIN, ADMIN, 0, ERR_OK },
          { "guest declines", REMOVED, GUEST, GUEST, 0, ERR_OK },
          { "owner leaves", REMOVED, OWNER, OWNER, 0, ERR_STATE },
          { "stranger leaves", REMOVED, STRANGER, STRANGER, 0, ERR_STATE },
          { "a stranger", REMOVED, OWNER, STRANGER, 1, ERR_STATE },
          { "left, says another", REMOVED, OWNER, MEMBER, 0, ERR_SCHEMA },
          { "removed by himself", REMOVED, MEMBER, MEMBER, 1, ERR_SCHEMA },
          { "for no reason", REMOVED, OWNER, MEMBER, 4, ERR_SCHEMA },
          { "revoked, but is not", REMOVED, OWNER, MEMBER, 2, ERR_FORBIDDEN },
          { "nobody", REMOVED, OWNER, NOBODY, 1, ERR_SCHEMA });
}

Test(group_chain, who_may_make_epochs_and_give_roles_and_close)
{
    enum { EPOCH = EVENT_GROUP_EPOCH, ROLE = EVENT_GROUP_ROLE, CLOSED = EVENT_GROUP_CLOSED };

    STEPS(0, { "owner", EPOCH, OWNER, NOBODY, 0, ERR_OK },
          { "admin", EPOCH, ADMIN, NOBODY, 0, ERR_OK },
          { "member", EPOCH, MEMBER, NOBODY, 0, ERR_FORBIDDEN },
          { "guest", EPOCH, GUEST, NOBODY, 0, ERR_FORBIDDEN },
          { "stranger", EPOCH, STRANGER, NOBODY, 0, ERR_FORBIDDEN },
          { "owner makes an admin", ROLE, OWNER, MEMBER, 2, ERR_OK },
          { "owner makes a member", ROLE, OWNER, ADMIN, 1, ERR_OK },
          { "owner hands over", ROLE, OWNER, MEMBER, 3, ERR_OK },
          { "owner to himself", ROLE, OWNER, OWNER, 2, ERR_STATE },
          { "to a guest", ROLE, OWNER, GUEST, 2, ERR_STATE },
          { "to a stranger", ROLE, OWNER, STRANGER, 2, ERR_STATE },
          { "role 4", ROLE, OWNER, MEMBER, 4, ERR_SCHEMA },
          { "role 0", ROLE, OWNER, MEMBER, 0, ERR_SCHEMA },
          { "admin makes an admin", ROLE, ADMIN, MEMBER, 2, ERR_FORBIDDEN },
          { "admin takes over", ROLE, ADMIN, SECOND, 3, ERR_FORBIDDEN },
          { "member makes himself admin", ROLE, MEMBER, MEMBER, 2, ERR_STATE },
          { "owner closes", CLOSED, OWNER, NOBODY, 0, ERR_OK },
          { "owner closes, with a target", CLOSED, OWNER, MEMBER, 0, ERR_SCHEMA },
          { "admin closes", CLOSED, ADMIN, NOBODY, 0, ERR_FORBIDDEN },
          { "a second beginning", EVENT_GROUP_CREATED, OWNER, NOBODY, 0, ERR_STATE });
}

/* ---- what must follow -------------------------------------------------------------------------
 */

Test(group_chain, after_CREATED_comes_its_EPOCH_and_nothing_else)
{
    struct group_stage stage;
    struct said said;

    stage_open(&stage, 2);
    cr_expect_eq(stage_epoch(&stage, OWNER), ERR_STATE, "no group yet");
    said_created(&said, &stage, OWNER, 0, 7);
    cr_assert_eq(offer(&stage, &said), ERR_OK);
    cr_expect(stage.chain.epoch_due);
    said_invited(&said, &stage, OWNER, MEMBER, 1, stage.now_ms + 1);
    cr_expect_eq(offer(&stage, &said), ERR_STATE);
    said_byte(&said, &stage, EVENT_GROUP_CLOSED, OWNER, NOBODY, 0);
    cr_expect_eq(offer(&stage, &said), ERR_STATE);
    said_epoch(&said, &stage, STRANGER);
    cr_expect_eq(offer(&stage, &said), ERR_FORBIDDEN);
    cr_expect_eq(stage_epoch(&stage, OWNER), ERR_OK);
    cr_expect_not(stage.chain.epoch_due);
    cr_expect_eq(stage.chain.epoch, 1);
    cr_expect_eq(stage.chain.epoch_seq, 1);
    stage_close(&stage);
}

Test(group_chain, after_REMOVED_come_the_same_hands_REMOVEDs_and_EPOCH)
{
    struct group_stage stage;
    struct said said;

    group_made(&stage, GROUP_FLAG_ALL_INVITE);
    cr_assert_eq(stage_remove(&stage, ADMIN, MEMBER, REMOVED_BY_ADMIN), ERR_OK);
    cr_expect(stage.chain.epoch_due);
    cr_expect_not(stage.chain.stale);
    said_invited(&said, &stage, ADMIN, STRANGER, 1, stage.now_ms + 1);
    cr_expect_eq(offer(&stage, &said), ERR_STATE);
    said_joined(&said, &stage, GUEST, GUEST);
    cr_expect_eq(offer(&stage, &said), ERR_STATE);
    said_byte(&said, &stage, EVENT_GROUP_ROLE, OWNER, OTHER, 2);
    cr_expect_eq(offer(&stage, &said), ERR_STATE);
    said_byte(&said, &stage, EVENT_GROUP_REMOVED, ADMIN, ADMIN, 0);
    cr_expect_eq(offer(&stage, &said), ERR_STATE, "then nobody could make the EPOCH");
    said_byte(&said, &stage, EVENT_GROUP_REMOVED, OTHER, OTHER, 0);
    cr_expect_eq(offer(&stage, &said), ERR_STATE, "a leave does not fall in between");
    said_byte(&said, &stage, EVENT_GROUP_REMOVED, OWNER, OTHER, 1);
    cr_expect_eq(offer(&stage, &said), ERR_FORBIDDEN, "another hand's turn comes later");
    said_epoch(&said, &stage, OWNER);
    cr_expect_eq(offer(&stage, &said), ERR_FORBIDDEN);
    cr_expect_eq(stage_remove(&stage, ADMIN, OTHER, REMOVED_UNREACHABLE), ERR_OK);
    cr_expect_eq(stage_remove(&stage, ADMIN, GUEST, REMOVED_BY_ADMIN), ERR_OK);
    cr_expect_eq(stage_epoch(&stage, ADMIN), ERR_OK);
    cr_expect_not(stage.chain.epoch_due);
    cr_expect_eq(stage.chain.joined, 3);
    stage_close(&stage);
}

Test(group_chain, who_leaves_makes_the_group_stale_until_the_next_EPOCH)
{
    struct group_stage stage;

    group_made(&stage, 0);
    cr_assert_eq(stage_remove(&stage, GUEST, GUEST, REMOVED_LEFT), ERR_OK);
    cr_expect_not(stage.chain.stale, "an invitation was declined");
    cr_expect_not(stage.chain.epoch_due);
    cr_assert_eq(stage_remove(&stage, MEMBER, MEMBER, REMOVED_LEFT), ERR_OK);
    cr_expect(stage.chain.stale);
    cr_expect_not(stage.chain.epoch_due, "an admin makes it when it sees it");
    cr_expect_null(member(&stage, MEMBER));
    cr_expect_eq(stage_invite(&stage, OWNER, STRANGER, 1), ERR_OK);
    cr_expect_eq(stage_epoch(&stage, ADMIN), ERR_OK);
    cr_expect_not(stage.chain.stale);

    cr_expect_eq(stage_invite(&stage, OWNER, MEMBER, 2), ERR_OK, "and comes back");
    cr_expect_eq(stage_join(&stage, MEMBER), ERR_OK);
    cr_expect_not(member(&stage, MEMBER)->reads);
    cr_expect_eq(member(&stage, MEMBER)->role, ROLE_ADMIN);
    stage_close(&stage);
}

Test(group_chain, the_ownership_goes_from_hand_to_hand)
{
    struct group_stage stage;

    group_made(&stage, 0);
    cr_assert_eq(stage_byte(&stage, EVENT_GROUP_ROLE, OWNER, MEMBER, ROLE_OWNER), ERR_OK);
    cr_expect_eq(group_owner(&stage.chain), member(&stage, MEMBER));
    cr_expect_eq(member(&stage, OWNER)->role, ROLE_ADMIN);
    cr_expect_eq(stage_byte(&stage, EVENT_GROUP_CLOSED, OWNER, NOBODY, 0), ERR_FORBIDDEN);
    cr_expect_eq(stage_remove(&stage, OWNER, OWNER, REMOVED_LEFT), ERR_OK, "now it may leave");
    cr_expect_eq(stage_epoch(&stage, MEMBER), ERR_OK);
    stage_close(&stage);
}

/* ---- time and room ----------------------------------------------------------------------------
 */

Test(group_chain, an_invitation_runs_out_keeps_its_place_and_is_renewed)
{
    struct group_stage stage;
    struct said said, old;
    size_t count;

    group_made(&stage, 0);
    count = stage.chain.count;
    said_joined(&old, &stage, GUEST, GUEST);
    stage.now_ms = member(&stage, GUEST)->expires_ms;
    said_joined(&said, &stage, GUEST, GUEST);
    cr_expect_eq(offer(&stage, &said), ERR_EXPIRED);
    cr_expect_eq(stage.chain.count, count);
    cr_expect_eq(stage_invite(&stage, ADMIN, GUEST, 2), ERR_OK);
    cr_expect_eq(stage.chain.count, count, "the same place");
    said_joined(&said, &stage, GUEST, GUEST);
    memcpy(said.body, old.body, 32);
    said_sign(&said, stage.actor[GUEST].sk);
    cr_expect_eq(offer(&stage, &said), ERR_DIGEST_MISMATCH, "by the invitation of before");
    cr_expect_eq(stage_join(&stage, GUEST), ERR_OK);
    cr_expect_eq(member(&stage, GUEST)->role, ROLE_ADMIN);
    stage_close(&stage);
}

Test(group_chain, a_withdrawn_invitation_admits_nobody_even_after_another)
{
    struct group_stage stage;
    struct said said, old;

    group_made(&stage, 0);
    said_joined(&old, &stage, GUEST, GUEST);
    cr_assert_eq(stage_remove(&stage, ADMIN, GUEST, REMOVED_BY_ADMIN), ERR_OK);
    cr_expect_not(stage.chain.epoch_due);
    said_joined(&said, &stage, GUEST, GUEST);
    memcpy(said.body, old.body, 32);
    said_sign(&said, stage.actor[GUEST].sk);
    cr_expect_eq(offer(&stage, &said), ERR_FORBIDDEN);
    cr_assert_eq(stage_invite(&stage, ADMIN, GUEST, 1), ERR_OK);
    said_joined(&said, &stage, GUEST, GUEST);
    memcpy(said.body, old.body, 32);
    said_sign(&said, stage.actor[GUEST].sk);
    cr_expect_eq(offer(&stage, &said), ERR_DIGEST_MISMATCH);
    stage_close(&stage);
}

Test(group_chain, members_and_invited_fill_it)
{
    struct group_stage stage;
    struct said said;

    group_made(&stage, 0);
    cr_assert_eq(stage_invite(&stage, OWNER, STRANGER, 1), ERR_OK, "the seventh");
    said_invited(&said, &stage, OWNER, GHOST, 1, stage.now_ms + 1);
    cr_expect_eq(offer(&stage, &said), ERR_QUOTA);
    cr_expect_eq(stage_join(&stage, STRANGER), ERR_OK);
    said_invited(&said, &stage, OWNER, GHOST, 1, stage.now_ms + 1);
    cr_expect_eq(offer(&stage, &said), ERR_QUOTA);
    cr_expect_eq(stage_remove(&stage, OWNER, GUEST, REMOVED_BY_ADMIN), ERR_OK);
    cr_expect_eq(stage_invite(&stage, OWNER, GHOST, 1), ERR_OK);
    stage_close(&stage);
}

/* ---- layout, number, signature ----------------------------------------------------------------
 */

Test(group_chain, an_event_that_is_not_whole_or_not_next)
{
    static const struct {
        const char *name;
        enum err expect;
        enum { SCOPE, ID, SEQ_LATE, SEQ_EARLY, PREV, TYPE, FUTURE, BODY_SHORT, BODY_LONG } what;
    } cases[] = {
        { "scope of a session", ERR_SCHEMA, SCOPE },
        { "another group", ERR_SCHEMA, ID },
        { "the next but one", ERR_CONFLICT, SEQ_LATE },
        { "the one before", ERR_CONFLICT, SEQ_EARLY },
        { "behind another event", ERR_CONFLICT, PREV },
        { "a session's type", ERR_SCHEMA, TYPE },
        { "a time that no clock shows", ERR_SCHEMA, FUTURE },
        { "body too short", ERR_SCHEMA, BODY_SHORT },
        { "body too long", ERR_SCHEMA, BODY_LONG },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct group_stage stage;
        struct said said;
        enum err e;

        group_made(&stage, 0);
        said_epoch(&said, &stage, OWNER);
        switch (cases[i].what) {
        case SCOPE:
            said.fields.scope = SCOPE_SESSION;
            break;
        case ID:
            said.fields.id[3] ^= 1;
            break;
        case SEQ_LATE:
            said.fields.seq++;
            break;
        case SEQ_EARLY:
            said.fields.seq--;
            break;
        case PREV:
            said.fields.prev[31] ^= 1;
            break;
        case TYPE:
            said.fields.type = EVENT_CLOSED;
            break;
        case FUTURE:
            said.fields.ts_ms = (uint64_t)INT64_MAX + 1;
            break;
        case BODY_SHORT:
            said.body_len--;
            break;
        case BODY_LONG:
            said.body[said.body_len++] = 0;
            break;
        }
        said_sign(&said, stage.actor[OWNER].sk);
        e = offer(&stage, &said);
        cr_expect_eq(e, cases[i].expect, "%s: %s", cases[i].name, err_name(e));
        stage_close(&stage);
    }
}

Test(group_chain, every_bit_of_an_event_counts)
{
    struct group_stage stage;
    struct said said;

    group_made(&stage, 0);
    said_epoch(&said, &stage, ADMIN);
    for (size_t bit = 0; bit < 8 * EVENT_SIZE; bit++) {
        said.preimage[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_expect_neq(offer(&stage, &said), ERR_OK, "bit %zu", bit);
        said.preimage[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t bit = 0; bit < 8 * said.body_len; bit++) {
        said.body[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_expect_eq(offer(&stage, &said), ERR_SCHEMA, "bit %zu of the body", bit);
        said.body[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t bit = 0; bit < 8 * 64; bit++) {
        said.sig[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_expect_eq(offer(&stage, &said), ERR_AUTH, "bit %zu of the signature", bit);
        said.sig[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    cr_expect_eq(offer(&stage, &said), ERR_OK);
    stage_close(&stage);
}

Test(group_chain, an_EPOCH_has_the_next_number_and_these_members)
{
    struct group_stage stage;
    struct said said;
    uint8_t good[EPOCH_BODY_SIZE];

    group_made(&stage, 0);
    said_epoch(&said, &stage, OWNER);
    memcpy(good, said.body, sizeof good);
    for (uint32_t number = 0; number < 5; number++) {
        put_u32(said.body, number);
        said_sign(&said, stage.actor[OWNER].sk);
        if (number != 3)
            cr_expect_eq(offer(&stage, &said), number ? ERR_STATE : ERR_SCHEMA);
    }
    memcpy(said.body, good, sizeof good);
    said.body[4] ^= 1;
    said_sign(&said, stage.actor[OWNER].sk);
    cr_expect_eq(offer(&stage, &said), ERR_DIGEST_MISMATCH);
    memcpy(said.body, good, sizeof good);
    said.body[68] = 3;
    said_sign(&said, stage.actor[OWNER].sk);
    cr_expect_eq(offer(&stage, &said), ERR_SCHEMA, "a suite that does not exist");
    memcpy(said.body, good, sizeof good);
    said_sign(&said, stage.actor[OWNER].sk);
    cr_expect_eq(offer(&stage, &said), ERR_OK);
    stage_close(&stage);
}

Test(group_chain, bodies_have_bounds)
{
    uint8_t body[EPOCH_BODY_SIZE];
    struct created_body created;
    struct invited_body invited;

    created_body_encode(body, &(struct created_body){ 3, GROUP_MEMBERS_MAX });
    cr_expect_eq(created_body_parse(bytes_of(body, 5), &created), ERR_OK);
    cr_expect_eq(created.max_members, GROUP_MEMBERS_MAX);
    created_body_encode(body, &(struct created_body){ 0, GROUP_MEMBERS_MAX + 1 });
    cr_expect_eq(created_body_parse(bytes_of(body, 5), &created), ERR_SCHEMA);
    created_body_encode(body, &(struct created_body){ 0, 0 });
    cr_expect_eq(created_body_parse(bytes_of(body, 5), &created), ERR_SCHEMA);
    created_body_encode(body, &(struct created_body){ 4, 10 });
    cr_expect_eq(created_body_parse(bytes_of(body, 5), &created), ERR_SCHEMA);
    invited_body_encode(body, &(struct invited_body){ 1, INT64_MAX });
    cr_expect_eq(invited_body_parse(bytes_of(body, 9), &invited), ERR_OK);
    invited_body_encode(body, &(struct invited_body){ 1, (uint64_t)INT64_MAX + 1 });
    cr_expect_eq(invited_body_parse(bytes_of(body, 9), &invited), ERR_SCHEMA);
}

/* ---- copies and replay ------------------------------------------------------------------------
 */

Test(group_chain, a_copy_goes_its_own_way)
{
    struct group_stage stage;
    struct group_chain copy = { 0 };
    struct buf before, after;

    group_made(&stage, 0);
    group_chain_copy(&copy, &stage.chain);
    before = chain_bytes(&copy);
    cr_assert_eq(stage_remove(&stage, OWNER, ADMIN, REMOVED_BY_ADMIN), ERR_OK);
    cr_assert_eq(stage_epoch(&stage, OWNER), ERR_OK);
    after = chain_bytes(&copy);
    cr_expect(bytes_equal(buf_bytes(&before), buf_bytes(&after)));
    group_chain_copy(&copy, &stage.chain);
    cr_expect_null(group_member_find(&copy, stage.actor[ADMIN].aid));
    group_chain_free(&copy);
    cr_expect_null(copy.members);
    buf_free(&before);
    buf_free(&after);
    stage_close(&stage);
}

/* A database that was damaged: events that do not follow are taken as they are, and break nothing.
 */
Test(group_chain, a_replay_of_what_cannot_be_is_harmless)
{
    struct group_stage stage;
    struct said said[5];

    group_made(&stage, 0);
    said_byte(&said[0], &stage, EVENT_GROUP_REMOVED, ADMIN, STRANGER, 1);
    said_byte(&said[1], &stage, EVENT_GROUP_ROLE, GHOST, STRANGER, 3);
    said_joined(&said[2], &stage, STRANGER, STRANGER);
    said_invited(&said[3], &stage, GHOST, OWNER, 1, 7);
    said_byte(&said[4], &stage, EVENT_GROUP_REMOVED, GHOST, ADMIN, 1);
    for (size_t i = 0; i < 5; i++)
        cr_expect_eq(group_chain_replay(&stage.chain, &said[i].event), ERR_OK);
    cr_expect_leq(stage.chain.joined, stage.chain.count);
    cr_expect_null(group_owner(&stage.chain), "there is none, and that is said");
    said[0].event.body.len = 0;
    cr_expect_eq(group_chain_replay(&stage.chain, &said[0].event), ERR_SCHEMA);
    stage_close(&stage);
}

/* ---- lies of brokers, thieves and admins ------------------------------------------------------
 */

/* The broker has no agent's key.  It enrols a ghost of its own and wants it in: whatever it writes
 * under others' names has no signature, and what the ghost signs is not the ghost's to say. */
Test(group_chain, T25_a_ghost_gets_no_seat)
{
    struct group_stage stage;
    struct said said, epoch;
    struct epoch_body body;

    group_made(&stage, 0);
    said_invited(&said, &stage, OWNER, GHOST, 1, stage.now_ms + 1000);
    said_sign(&said, stage.actor[GHOST].sk);
    cr_expect_eq(offer(&stage, &said), ERR_AUTH, "INVITED in the owner's name");
    said_invited(&said, &stage, GHOST, GHOST, 1, stage.now_ms + 1000);
    cr_expect_eq(offer(&stage, &said), ERR_FORBIDDEN, "INVITED in its own");
    said_joined(&said, &stage, GHOST, GHOST);
    cr_expect_eq(offer(&stage, &said), ERR_FORBIDDEN, "JOINED by no invitation");
    said_joined(&said, &stage, GHOST, GHOST);
    memcpy(said.body, member(&stage, GUEST)->invited, 32);
    said_sign(&said, stage.actor[GHOST].sk);
    cr_expect_eq(offer(&stage, &said), ERR_FORBIDDEN, "JOINED by another's invitation");
    said_joined(&said, &stage, GUEST, GUEST);
    said_sign(&said, stage.actor[GHOST].sk);
    cr_expect_eq(offer(&stage, &said), ERR_AUTH, "JOINED in the guest's name");

    said_epoch(&epoch, &stage, OWNER);
    said_sign(&epoch, stage.actor[GHOST].sk);
    cr_expect_eq(offer(&stage, &epoch), ERR_AUTH, "EPOCH in the owner's name");
    said_epoch(&epoch, &stage, GHOST);
    cr_expect_eq(offer(&stage, &epoch), ERR_FORBIDDEN, "EPOCH in its own");

    /* An admin who works for the broker counts the ghost among the members without having it
     * invited: the list would show it, and the hash is compared. */
    said_epoch(&epoch, &stage, ADMIN);
    cr_assert_eq(epoch_body_parse(epoch.event.body, &body), ERR_OK);
    struct sha256 hash;
    label_hash_begin(&hash, LABEL_MEMBERS);
    for (size_t i = 0; i < stage.chain.count; i++)
        if (stage.chain.members[i].joined) {
            sha256_add(&hash, stage.chain.members[i].aid, 32);
            sha256_add(&hash, &stage.chain.members[i].role, 1);
        }
    sha256_add(&hash, stage.actor[GHOST].aid, 32);
    sha256_add(&hash, (uint8_t[]){ 1 }, 1);
    sha256_end(&hash, body.members_hash);
    epoch_body_encode(epoch.body, &body);
    said_sign(&epoch, stage.actor[ADMIN].sk);
    cr_expect_eq(offer(&stage, &epoch), ERR_DIGEST_MISMATCH, "EPOCH with the ghost counted");
    cr_expect_null(member(&stage, GHOST));
    stage_close(&stage);
}

/* Whoever stole a member's key does nothing an admin does, nor does a member that has left. */
Test(group_chain, T25_nor_does_one_who_has_left)
{
    struct group_stage stage;
    struct said said, kept;

    group_made(&stage, GROUP_FLAG_ALL_INVITE);
    said_joined(&kept, &stage, MEMBER, MEMBER);
    cr_assert_eq(stage_remove(&stage, OWNER, MEMBER, REMOVED_BY_ADMIN), ERR_OK);
    cr_assert_eq(stage_epoch(&stage, OWNER), ERR_OK);
    said_invited(&said, &stage, MEMBER, GHOST, 1, stage.now_ms + 1000);
    cr_expect_eq(offer(&stage, &said), ERR_FORBIDDEN);
    said_joined(&said, &stage, MEMBER, MEMBER);
    memcpy(said.body, kept.body, 32);
    said_sign(&said, stage.actor[MEMBER].sk);
    cr_expect_eq(offer(&stage, &said), ERR_FORBIDDEN, "by the invitation that brought it in once");
    said_epoch(&said, &stage, MEMBER);
    cr_expect_eq(offer(&stage, &said), ERR_FORBIDDEN);
    stage_close(&stage);
}

/* The owner's key is revoked: any admin removes it and stands in its place; before that, none. */
Test(group_chain, T69_an_admin_takes_the_place_of_a_revoked_owner)
{
    struct group_stage stage;
    struct said said;

    group_made(&stage, 0);
    said_byte(&said, &stage, EVENT_GROUP_REMOVED, ADMIN, OWNER, REMOVED_REVOKED);
    cr_expect_eq(offer(&stage, &said), ERR_FORBIDDEN, "the log says nothing of it");
    stage.actor[OWNER].revoked = true;
    said_byte(&said, &stage, EVENT_GROUP_REMOVED, ADMIN, OWNER, REMOVED_BY_ADMIN);
    cr_expect_eq(offer(&stage, &said), ERR_FORBIDDEN, "not for another reason");
    said_byte(&said, &stage, EVENT_GROUP_REMOVED, MEMBER, OWNER, REMOVED_REVOKED);
    cr_expect_eq(offer(&stage, &said), ERR_FORBIDDEN, "not by a member");
    said_byte(&said, &stage, EVENT_GROUP_REMOVED, GHOST, OWNER, REMOVED_REVOKED);
    cr_expect_eq(offer(&stage, &said), ERR_FORBIDDEN, "not by a stranger");

    cr_assert_eq(stage_remove(&stage, SECOND, OWNER, REMOVED_REVOKED), ERR_OK);
    cr_expect_eq(group_owner(&stage.chain), member(&stage, SECOND));
    said_epoch(&said, &stage, ADMIN);
    cr_expect_eq(offer(&stage, &said), ERR_FORBIDDEN, "the signer's EPOCH is due");
    cr_expect_eq(stage_epoch(&stage, SECOND), ERR_OK);
    cr_expect_eq(stage_remove(&stage, ADMIN, OWNER, REMOVED_REVOKED), ERR_STATE,
                 "the race is over");
    cr_expect_eq(stage_byte(&stage, EVENT_GROUP_CLOSED, ADMIN, NOBODY, 0), ERR_FORBIDDEN);
    cr_expect_eq(stage_byte(&stage, EVENT_GROUP_CLOSED, OWNER, NOBODY, 0), ERR_FORBIDDEN);
    cr_expect_eq(stage_byte(&stage, EVENT_GROUP_CLOSED, SECOND, NOBODY, 0), ERR_OK);
    stage_close(&stage);
}

Test(group_chain, T69_an_admin_removes_a_revoked_admin_and_no_other)
{
    struct group_stage stage;
    struct said said;

    group_made(&stage, 0);
    said_byte(&said, &stage, EVENT_GROUP_REMOVED, ADMIN, SECOND, REMOVED_REVOKED);
    cr_expect_eq(offer(&stage, &said), ERR_FORBIDDEN);
    stage.actor[SECOND].revoked = true;
    cr_assert_eq(stage_remove(&stage, ADMIN, SECOND, REMOVED_REVOKED), ERR_OK);
    cr_assert_eq(stage_epoch(&stage, ADMIN), ERR_OK);
    cr_expect_eq(group_owner(&stage.chain), member(&stage, OWNER));
    cr_expect_eq(member(&stage, ADMIN)->role, ROLE_ADMIN);
    stage_close(&stage);
}
