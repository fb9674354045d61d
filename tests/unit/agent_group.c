/* layers: agent_flow */
/* One agent and what a broker shows it of a group: taken, refused, told; and what it wants, said
 * again behind others' events. */
#include "agent/flow/group.h"

#include <criterion/criterion.h>

#include "agent/crypto/sign.h"
#include "agent/flow/group_inner.h"
#include "agent/store/alarms.h"
#include "agent/store/peers.h"
#include "agent/store/scopes.h"
#include "tests/lib/lone_agent.h"

#define OTHERS 3

struct scene {
    struct lone lone;
    struct agent *agent;
    uint8_t gid[16], secret[OTHERS][64], key[OTHERS][32], aid[OTHERS][32];
    struct group_chain chain; /* the broker's */
    uint8_t preimage[EVENT_SIZE], sig[64], body[EPOCH_BODY_SIZE];
    struct signed_event made;
};

static void scene_open(struct scene *scene)
{
    struct agent_store *store;
    uint8_t hash[32] = { 1 };

    memset(scene, 0, sizeof *scene);
    lone_open(&scene->lone, 11);
    scene->agent = scene->lone.agent;
    store = scene->agent->store;
    agent_store_begin(store);
    for (uint8_t i = 0; i < OTHERS; i++) {
        uint8_t seed[32] = { (uint8_t)(i + 1) };
        char name[] = { 'p', (char)('0' + i), 0 };
        int64_t id;
        sign_key_of_seed(scene->key[i], scene->secret[i], seed);
        memset(scene->aid[i], 0x10 + i, 32);
        id = profile_peer_add(store, scene->aid[i], name, LONE_NOW);
        profile_peer_learn(store, id, scene->key[i], 1, hash, bytes_of("c", 1));
    }
    cr_assert_eq(agent_store_commit(store), ERR_OK);
    scene->agent->link.state = STATE_UP;
    scene->agent->link.open = true;
    scene->agent->link.heard_ms = scene->lone.elapsed_ms;
    scene->agent->synced = true;
    scene->agent->me.row.enrolled = true;
    scene->agent->me.certificate_renew_ms = UINT64_MAX;
    scene->agent->log_due_ms = UINT64_MAX;
}

static void scene_close(struct scene *scene)
{
    group_chain_free(&scene->chain);
    lone_close(&scene->lone);
}

static struct agent_group *group_of(struct scene *scene)
{
    return agent_group_named(scene->agent, scene->gid);
}

/* I make a group, and the broker has it. */
static void create(struct scene *scene)
{
    struct group_create create = { .name = bytes_of_text("team") };
    struct profile_event row;
    struct message reply;
    size_t at;

    cr_assert_eq(agent_group_create(scene->agent, &create, scene->gid), ERR_OK);
    at = lone_find(&scene->lone, VERB_EVENT, 0);
    cr_assert_lt(at, LONE_MAX, "EVENT was not sent");
    reply = message_reply(&scene->lone.sent[at].message);
    MESSAGE_SET(&reply, seq, 2);
    MESSAGE_SET(&reply, head, group_of(scene)->chain.head);
    lone_hear(&scene->lone, &reply, NULL, 0);
    cr_assert_eq(group_of(scene)->stored_seq, 2);
    memcpy(scene->chain.gid, scene->gid, 16);
    for (uint64_t seq = 0; seq < 2; seq++) {
        struct signed_event said;
        cr_assert_eq(profile_events(scene->agent->store, group_of(scene)->group_id, seq, &row, 1),
                     1);
        said = (struct signed_event){ bytes_of(row.preimage, EVENT_SIZE), row.sig,
                                      bytes_of(row.body, row.body_len) };
        cr_assert_eq(group_chain_replay(&scene->chain, &said), ERR_OK);
    }
    lone_forget(&scene->lone);
}

/* The next event of the broker's chain, by one of the others; signed with the key of `signer`. */
static struct signed_event *others(struct scene *scene, size_t actor, size_t signer, uint8_t type,
                                   const uint8_t *target, struct bytes body)
{
    struct event event
        = { .scope = SCOPE_GROUP, .type = type, .seq = scene->chain.next_seq, .ts_ms = LONE_NOW };

    memcpy(event.id, scene->gid, 16);
    memcpy(event.prev, scene->chain.head, 32);
    memcpy(event.actor, scene->aid[actor], 32);
    if (target)
        memcpy(event.target, target, 32);
    memcpy(scene->body, body.at, body.len);
    event_body_hash(event.body_hash, body);
    event_encode(scene->preimage, &event);
    sign(scene->sig, scene->secret[signer], bytes_of(scene->preimage, EVENT_SIZE));
    scene->made = (struct signed_event){ bytes_of(scene->preimage, EVENT_SIZE), scene->sig,
                                         bytes_of(scene->body, body.len) };
    return &scene->made;
}

/* It comes as an item of the channel. */
static bool comes(struct scene *scene, const struct signed_event *said)
{
    bool settled;

    agent_enter(scene->agent);
    settled = agent_group_event_item(scene->agent, said);
    cr_assert_eq(agent_leave(scene->agent), ERR_OK);
    return settled;
}

static void is_the_brokers(struct scene *scene, const struct signed_event *said)
{
    cr_assert_eq(group_chain_replay(&scene->chain, said), ERR_OK);
}

static bool is_alarmed(struct scene *scene)
{
    return profile_alarm_open(scene->agent->store, "group_fork");
}

/* Mine, confirmed as the broker's next. */
static void confirmed(struct scene *scene)
{
    size_t at = lone_find(&scene->lone, VERB_EVENT, 0);
    struct list_reader reader;
    struct wire_event event;
    struct message reply;

    cr_assert_lt(at, LONE_MAX);
    reader = list_read(&scene->lone.sent[at].message.events);
    while (list_event(&reader, &event)) {
        struct signed_event said = { bytes_of(event.preimage, EVENT_SIZE), event.sig, event.body };
        is_the_brokers(scene, &said);
    }
    reply = message_reply(&scene->lone.sent[at].message);
    MESSAGE_SET(&reply, seq, scene->chain.next_seq);
    MESSAGE_SET(&reply, head, scene->chain.head);
    lone_hear(&scene->lone, &reply, NULL, 0);
    lone_forget(&scene->lone);
}

static void invite(struct scene *scene, size_t whom)
{
    struct agent_group *group = group_of(scene);
    struct invited_body invited = { ROLE_MEMBER, LONE_NOW + LIMIT_GROUP_INVITE_MS };
    uint8_t body[INVITED_BODY_SIZE];

    invited_body_encode(body, &invited);
    agent_enter(scene->agent);
    cr_assert_eq(agent_group_wish(scene->agent, group, EVENT_GROUP_INVITED, scene->aid[whom],
                                  bytes_of(body, sizeof body)),
                 ERR_OK);
    cr_assert_eq(agent_leave(scene->agent), ERR_OK);
}

static struct signed_event *joins(struct scene *scene, size_t who, size_t signer)
{
    const struct group_member *member = group_member_find(&scene->chain, scene->aid[who]);

    cr_assert_not_null(member);
    return others(scene, who, signer, EVENT_GROUP_JOINED, scene->aid[who],
                  bytes_of(member->invited, 32));
}

/* ------------------------------------------------------------------ taken and refused */

Test(agent_group, an_event_is_taken_once)
{
    struct scene scene;
    struct signed_event *said;

    scene_open(&scene);
    create(&scene);
    invite(&scene, 0);
    confirmed(&scene);
    said = joins(&scene, 0, 0);
    cr_expect(comes(&scene, said));
    cr_expect_eq(group_of(&scene)->chain.joined, 2);
    cr_expect(comes(&scene, said), "again");
    cr_expect_eq(group_of(&scene)->chain.next_seq, 4);
    cr_expect_not(is_alarmed(&scene));
    scene_close(&scene);
}

Test(agent_group, T25_an_event_that_nobody_signed_is_refused_and_told)
{
    struct scene scene;

    scene_open(&scene);
    create(&scene);
    invite(&scene, 0);
    confirmed(&scene);
    cr_expect(comes(&scene, joins(&scene, 0, 1)), "the channel goes on");
    cr_expect_eq(group_of(&scene)->chain.joined, 1, "a ghost has joined");
    cr_expect(is_alarmed(&scene));
    cr_expect_eq(group_of(&scene)->row.state, PROFILE_GROUP_JOINED);
    cr_expect(comes(&scene, joins(&scene, 0, 0)), "the true one");
    cr_expect_eq(group_of(&scene)->chain.joined, 2);
    scene_close(&scene);
}

Test(agent_group, T25_an_event_against_the_rules_is_another_history)
{
    struct scene scene;
    struct invited_body invited = { ROLE_ADMIN, LONE_NOW + 1000 };
    uint8_t body[INVITED_BODY_SIZE];

    scene_open(&scene);
    create(&scene);
    invited_body_encode(body, &invited);
    /* Signed by an agent that is not in the group. */
    cr_expect(comes(&scene, others(&scene, 0, 0, EVENT_GROUP_INVITED, scene.aid[1],
                                   bytes_of(body, sizeof body))));
    cr_expect_eq(group_of(&scene)->chain.count, 1);
    cr_expect_eq(group_of(&scene)->row.state, PROFILE_GROUP_FORKED);
    cr_expect(is_alarmed(&scene));
    scene_close(&scene);
}

Test(agent_group, T27_two_events_of_one_number_are_a_fork)
{
    struct scene scene;

    scene_open(&scene);
    create(&scene);
    invite(&scene, 0);
    confirmed(&scene);
    cr_assert(comes(&scene, joins(&scene, 0, 0)));
    scene.preimage[EVENT_SIZE - 33] ^= 1; /* the same number, a millisecond apart */
    sign(scene.sig, scene.secret[0], bytes_of(scene.preimage, EVENT_SIZE));
    cr_expect(comes(&scene, &scene.made));
    cr_expect_eq(group_of(&scene)->row.state, PROFILE_GROUP_FORKED);
    scene_close(&scene);
}

Test(agent_group, what_comes_before_it_is_asked_for_and_the_item_waits)
{
    struct scene scene;
    uint8_t reason = REMOVED_LEFT;
    size_t at;

    scene_open(&scene);
    create(&scene);
    invite(&scene, 0);
    confirmed(&scene);
    is_the_brokers(&scene, joins(&scene, 0, 0));
    cr_expect_not(comes(
        &scene, others(&scene, 0, 0, EVENT_GROUP_REMOVED, scene.aid[0], bytes_of(&reason, 1))));
    at = lone_find(&scene.lone, VERB_EVENTS, 0);
    cr_assert_lt(at, LONE_MAX);
    cr_expect_eq(scene.lone.sent[at].message.seq, 3);
    scene_close(&scene);
}

/* ------------------------------------------------------------------ said again */

Test(agent_group, T27_what_was_wanted_is_said_again_behind_who_was_faster)
{
    struct scene scene;
    struct agent_group *group;
    uint8_t head[32];

    scene_open(&scene);
    create(&scene);
    invite(&scene, 0);
    confirmed(&scene);
    /* While somebody joins I want an epoch and another member. */
    agent_enter(scene.agent);
    group = group_of(&scene);
    cr_assert_eq(agent_group_epoch_wish(scene.agent, group), ERR_OK);
    cr_assert_eq(agent_leave(scene.agent), ERR_OK);
    invite(&scene, 1);
    memcpy(head, group->chain.head, 32);
    cr_expect_eq(agent_group_pending(group), 2);
    cr_expect(comes(&scene, joins(&scene, 0, 0)));
    cr_expect_eq(group->stored_seq, 4);
    cr_expect_eq(group->chain.next_seq, 6, "both are wanted still");
    cr_expect_eq(agent_group_pending(group), 2);
    cr_expect_neq(memcmp(head, group->chain.head, 32), 0);
    cr_expect_eq(group->chain.joined, 2);
    cr_expect_not_null(group_member_find(&group->chain, scene.aid[1]));
    cr_expect(group_member_find(&group->chain, scene.aid[0])->reads, "the epoch is for him, too");
    cr_expect_not(is_alarmed(&scene));
    scene_close(&scene);
}

Test(agent_group, memory_is_made_anew_from_the_store)
{
    struct scene scene;
    struct agent_group *group;
    uint8_t head[32], gid[16];

    scene_open(&scene);
    create(&scene);
    invite(&scene, 0);
    memcpy(head, group_of(&scene)->chain.head, 32);
    agent_enter(scene.agent);
    agent_groups_load(scene.agent);
    cr_assert_eq(agent_leave(scene.agent), ERR_OK);
    group = group_of(&scene);
    cr_assert_not_null(group);
    cr_expect_arr_eq(group->chain.head, head, 32);
    cr_expect_eq(group->stored_seq, 2);
    cr_expect_eq(agent_group_pending(group), 1);
    cr_expect_str_eq(group->name, "team");
    cr_assert_eq(agent_group_find(scene.agent, "team", gid), ERR_OK);
    cr_expect_arr_eq(gid, scene.gid, 16);
    scene_close(&scene);
}

Test(agent_group, what_the_broker_refuses_is_given_up_alone)
{
    struct scene scene;
    struct message reply;
    struct group_info info;
    size_t at;

    scene_open(&scene);
    create(&scene);
    invite(&scene, 0);
    invite(&scene, 1);
    /* The first is on its way alone; it is refused, the second stays. */
    at = lone_find(&scene.lone, VERB_EVENT, 0);
    cr_assert_lt(at, LONE_MAX);
    cr_assert_eq(scene.lone.sent[at].message.events.count, 1);
    reply = message_error(&scene.lone.sent[at].message, ERR_QUOTA);
    lone_hear(&scene.lone, &reply, NULL, 0);
    cr_assert_eq(agent_group_get(scene.agent, scene.gid, &info), ERR_OK);
    for (int round = 0; round < 3 && info.refusal == ERR_OK; round++) {
        size_t next = lone_find(&scene.lone, VERB_EVENT, at + 1);
        cr_assert_lt(next, LONE_MAX, "which one is it?");
        cr_assert_eq(scene.lone.sent[next].message.events.count, 1);
        reply = message_error(&scene.lone.sent[next].message, ERR_QUOTA);
        lone_hear(&scene.lone, &reply, NULL, 0);
        at = next;
        cr_assert_eq(agent_group_get(scene.agent, scene.gid, &info), ERR_OK);
    }
    cr_expect_eq(info.refusal, ERR_QUOTA);
    cr_expect_eq(info.pending, 1);
    cr_expect_null(group_member_find(&group_of(&scene)->chain, scene.aid[0]));
    cr_expect_not_null(group_member_find(&group_of(&scene)->chain, scene.aid[1]));
    scene_close(&scene);
}
