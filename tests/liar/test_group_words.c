/* layers: testworld */
/*
 * Words of a group in wrong hands: other keys for some, a removed member with all that the broker
 * has, a member who speaks as another, one who asks for keys that are not its business.
 */
#include "tests/liar/group_lies.h"

#include "agent/flow/contact.h"
#include "agent/flow/group_inner.h"
#include "agent/flow/group_mail.h"
#include "agent/store/chains.h"
#include "agent/store/peers.h"
#include "shared/wire/pack.h"

#define KEPT_MAX 64

/* ------------------------------------------------------------------ what a member has */

/* `author`'s chain in the newest epoch, out of the files of `holder`. */
static bool steal_chain(struct lies *lies, size_t holder, size_t author, struct group_sending *out)
{
    struct agent *agent = agent_at(&lies->stage, holder);
    struct agent_group *group = group_at(lies, holder);
    struct profile_chain chain;
    struct profile_peer peer;
    struct buf state = { 0 };
    bool good = profile_peer_find(agent->store, world_aid(lies->stage.who[author]), &peer)
                && profile_chain_find(agent->store, group->group_id, group->chain.epoch,
                                      peer.peer_id, &chain)
                && profile_chain_get(agent->store, &chain, &state)
                && group_sending_import(out, buf_bytes(&state)) == ERR_OK;

    buf_wipe(&state);
    buf_free(&state);
    return good;
}

/* A secret for the epoch that comes next, before there is one. */
static void tell_early(struct lies *lies, size_t from, size_t to, const uint8_t secret[static 32])
{
    struct agent *agent = agent_at(&lies->stage, from);
    struct buf body = { 0 };
    uint8_t digest[32] = { 0 };

    pack_array(&body, 4);
    pack_bin(&body, bytes_of(lies->stage.gid, 16));
    pack_uint(&body, group_at(lies, from)->chain.epoch + 1);
    pack_bin(&body, bytes_of(digest, 32));
    pack_bin(&body, bytes_of(secret, 32));
    agent_enter(agent);
    agent_group_tell(agent, world_aid(lies->stage.who[to]), ENVELOPE_GROUP_KEY, buf_bytes(&body));
    cr_assert_eq(agent_leave(agent), ERR_OK);
    buf_free(&body);
    world_pass(lies->stage.world, 5000);
}

static bool keeps_early(struct lies *lies, size_t i)
{
    struct agent_group *group = group_at(lies, i);
    struct profile_job job;

    return profile_job_early(agent_at(&lies->stage, i)->store, group->group_id,
                             group->chain.epoch + 1, &job);
}

/* Only an admin's word is kept for an epoch that has not come, and it is judged when that comes. */
Test(liar_group_words, T24_a_secret_before_its_epoch)
{
    static const uint8_t wrong[32] = "not the secret of that epoch";
    struct lies lies;
    uint8_t id[16];

    lies_open(&lies, 2101, 3, 3, false);
    tell_early(&lies, CYD, BOB, wrong);
    cr_expect_not(keeps_early(&lies, BOB), "a member hands out no keys");
    tell_early(&lies, ANN, BOB, wrong);
    cr_expect(keeps_early(&lies, BOB));
    cr_expect_eq(lie_alarms(&lies, BOB, "group_fork").count, 0);
    cr_assert_eq(agent_group_rekey(agent_at(&lies.stage, ANN), lies.stage.gid), ERR_OK);
    world_pass(lies.stage.world, 20000);
    cr_expect_geq(lie_alarms(&lies, BOB, "group_fork").count, 1, "bob is told");
    cr_expect(info_of(&lies.stage, BOB).keyed, "by the true one");
    cr_assert_eq(say(&lies.stage, CYD, "one secret", id), ERR_OK);
    READ_BY(&lies.stage, "one secret", ANN, BOB);
    lies_close(&lies);
}

/* ------------------------------------------------------------------ T26 */

struct archive {
    struct lies *lies;
    struct bytes frame[KEPT_MAX];
    size_t count;
};

/* The broker keeps every word of the group, as its database would. */
static bool keep_words(void *ctx, struct liar *liar, struct passing *p)
{
    struct archive *archive = ctx;
    struct frame_view view;

    for (size_t i = 0; p->message.verb == VERB_SEND && !p->to_agent && i < p->part_count; i++)
        if (frame_parse_whole(p->parts[i], &view) == ERR_OK && view.kind == FRAME_GROUP
            && archive->count < KEPT_MAX)
            archive->frame[archive->count++] = liar_keep(liar, p->parts[i]);
    return true;
}

/* How many of them these keys open. */
static size_t opened_with(struct lies *lies, const struct archive *archive,
                          const struct group_sending *stolen, const struct group_epoch *epoch,
                          size_t author)
{
    size_t opened = 0;

    for (size_t i = 0; i < archive->count; i++) {
        struct group_sending chain = { 0 };
        struct group_opened where;
        struct frame_view view;
        struct buf state = { 0 }, plain = { 0 };

        group_sending_export(stolen, &state);
        cr_assert_eq(group_sending_import(&chain, buf_bytes(&state)), ERR_OK);
        cr_assert_eq(frame_parse_whole(archive->frame[i], &view), ERR_OK);
        opened += group_decrypt(&chain, epoch, &view, agent_at(&lies->stage, author)->me.ik_public,
                                world_now_ms(lies->stage.world), buf_extend(&plain, view.ct.len),
                                &where)
                  == ERR_OK;
        group_sending_wipe(&chain);
        buf_free(&state);
        buf_free(&plain);
    }
    return opened;
}

Test(liar_group_words, T26_a_removed_member_with_the_brokers_database)
{
    struct lies lies;
    struct archive archive = { 0 };
    struct group_sending stolen = { 0 }, guess = { 0 };
    struct group_epoch then, now;
    uint8_t no_secret[32] = { 0 };
    uint8_t id[16];

    lies_open(&lies, 2000, 3, 3, false);
    archive.lies = &lies;
    liar_set_rule(lies.liar, keep_words, &archive);
    cr_assert(steal_chain(&lies, CYD, BOB, &stolen), "cyd keeps what it should wipe");
    cr_assert(agent_group_epoch(group_at(&lies, CYD), &then));
    cr_assert_eq(say(&lies.stage, BOB, "while cyd is here", id), ERR_OK);
    READ_BY(&lies.stage, "while cyd is here", ANN, CYD);
    cr_expect_eq(opened_with(&lies, &archive, &stolen, &then, BOB), 1, "the keys are good");

    removes(&lies.stage, ANN, CYD);
    come_together(&lies.stage, 2, "cyd is out");
    archive.count = 0;
    for (int i = 0; i < 5; i++)
        cr_assert_eq(say(&lies.stage, BOB, "now that cyd is out", id), ERR_OK);
    world_pass(lies.stage.world, MINUTES(2));
    cr_assert(agent_group_epoch(group_at(&lies, ANN), &now), "the broker tells cyd all of it");
    cr_assert_geq(archive.count, 5);
    cr_expect_eq(opened_with(&lies, &archive, &stolen, &now, BOB), 0);
    cr_expect_eq(opened_with(&lies, &archive, &stolen, &then, BOB), 0);
    group_sending_init(&guess, no_secret, &now, world_aid(lies.stage.who[BOB]));
    cr_expect_eq(opened_with(&lies, &archive, &guess, &now, BOB), 0, "public parts make no keys");
    group_sending_wipe(&guess);
    cr_expect_eq(times_heard(&lies.stage, CYD, "now that cyd is out"), 0);
    cr_expect_eq(times_heard(&lies.stage, ANN, "now that cyd is out"), 5);
    group_sending_wipe(&stolen);
    lies_close(&lies);
}

/* ------------------------------------------------------------------ T24 */

/* An admin gives bob another secret than the one that it has committed to. */
Test(liar_group_words, T24_another_secret_for_one_member)
{
    struct lies lies;
    struct agent *ann;
    struct agent_group *group;
    struct liar_item items[16];
    struct buf body = { 0 };
    uint8_t other[32] = "not the secret of this epoch", id[16];
    size_t first, count;

    lies_open(&lies, 2100, 3, 3, false);
    ann = agent_at(&lies.stage, ANN);
    group = group_at(&lies, ANN);
    liar_take_mailbox(lies.liar, lies.stage.who[BOB]);
    cr_assert_eq(agent_group_rekey(ann, lies.stage.gid), ERR_OK);
    world_pass(lies.stage.world, 20000);
    first = liar_item_count(lies.liar, lies.stage.who[BOB]);
    cr_assert_gt(first, 0, "the true one, kept back");
    cr_assert_not(info_of(&lies.stage, BOB).keyed);
    pack_array(&body, 4);
    pack_bin(&body, bytes_of(lies.stage.gid, 16));
    pack_uint(&body, group->chain.epoch);
    pack_bin(&body, bytes_of(group->chain.epoch_digest, 32));
    pack_bin(&body, bytes_of(other, 32));
    agent_enter(ann);
    agent_group_tell(ann, world_aid(lies.stage.who[BOB]), ENVELOPE_GROUP_KEY, buf_bytes(&body));
    cr_assert_eq(agent_leave(ann), ERR_OK);
    buf_free(&body);
    world_pass(lies.stage.world, 5000);
    count = liar_item_count(lies.liar, lies.stage.who[BOB]);
    cr_assert(count > first && count <= 16);
    for (size_t i = 0; i < count; i++)
        items[i] = liar_item_at(lies.liar, lies.stage.who[BOB], i);
    liar_deliver(lies.liar, lies.stage.who[BOB], items + first, count - first);
    world_pass(lies.stage.world, 2000);
    cr_expect_not(info_of(&lies.stage, BOB).keyed, "refused");
    cr_expect_geq(lie_alarms(&lies, BOB, "group_fork").count, 1, "bob is told");
    cr_expect_eq(lie_alarms(&lies, CYD, "group_fork").count, 0);
    liar_deliver(lies.liar, lies.stage.who[BOB], items, first);
    world_pass(lies.stage.world, 2000);
    cr_expect(info_of(&lies.stage, BOB).keyed, "the true one is good");
    cr_assert_eq(say(&lies.stage, CYD, "one secret", id), ERR_OK);
    READ_BY(&lies.stage, "one secret", ANN, BOB);
    lies_close(&lies);
}

/* ------------------------------------------------------------------ T28 */

struct forged_word {
    struct lies *lies;
    struct bytes frame;
    uint64_t seq;
};

/* Cyd, who has bob's chain, seals in his name; the broker puts it in the place of bob's. */
static bool speak_as_bob(void *ctx, struct liar *liar, struct passing *p)
{
    struct forged_word *word = ctx;
    struct lies *lies = word->lies;
    struct list_reader reader;
    struct wire_item item;
    struct frame_view view;
    size_t part = 0;

    (void)liar;
    if (!p->to_agent || !is_channel(lies, p) || index_of(lies, p->who) != ANN)
        return true;
    reader = list_read(&p->message.items);
    while (list_item(&reader, &item)) {
        if (item.shape == ITEM_TOMBSTONE)
            continue;
        if (frame_parse_whole(p->parts[part], &view) == ERR_OK && view.kind == FRAME_GROUP
            && view.seq == word->seq
            && memcmp(view.sender, world_aid(lies->stage.who[BOB]), 32) == 0)
            p->parts[part] = word->frame;
        part++;
    }
    return true;
}

Test(liar_group_words, T28_a_member_speaks_as_another)
{
    struct lies lies;
    struct forged_word word = { 0 };
    struct group_sending stolen = { 0 };
    struct group_epoch epoch;
    struct frame_header header = { .kind = FRAME_GROUP, .seq = 1 };
    struct envelope envelope = { .kind = ENVELOPE_USER,
                                 .schema_version = ENVELOPE_SCHEMA_VERSION,
                                 .content_type = bytes_of_text("text/plain"),
                                 .body = bytes_of_text("bob would never say that") };
    struct buf plain = { 0 }, frame = { 0 };
    uint8_t rand[32] = { 7 }, digest[32], msg_id[16] = { 9 }, id[16];

    lies_open(&lies, 2200, 3, 3, false);
    cr_assert(steal_chain(&lies, CYD, BOB, &stolen));
    cr_assert(agent_group_epoch(group_at(&lies, CYD), &epoch));
    envelope.ts_ms = world_now_ms(lies.stage.world);
    envelope.msg_id = msg_id;
    envelope_encode(&plain, &envelope);
    header.suite = epoch.suite;
    header.expires_ms = world_now_ms(lies.stage.world) + DAYS(1);
    memcpy(header.scope, lies.stage.gid, 16);
    memcpy(header.sender, world_aid(lies.stage.who[BOB]), 32);
    cr_assert_eq(group_encrypt(&stolen, &epoch, &header, agent_at(&lies.stage, CYD)->me.ik_secret,
                               buf_bytes(&plain), rand,
                               buf_extend(&frame, group_frame_size(plain.len)), digest),
                 ERR_OK);
    word = (struct forged_word){ &lies, liar_keep(lies.liar, buf_bytes(&frame)), 1 };
    liar_set_rule(lies.liar, speak_as_bob, &word);
    cr_assert_eq(say(&lies.stage, BOB, "what bob says", id), ERR_OK);
    READ_BY(&lies.stage, "what bob says", CYD);
    cr_expect_eq(times_heard(&lies.stage, ANN, "bob would never say that"), 0);
    cr_expect_geq(lie_alarms(&lies, ANN, "undecryptable").count, 1);
    liar_set_rule(lies.liar, NULL, NULL);
    cr_assert_eq(say(&lies.stage, BOB, "and goes on", id), ERR_OK);
    READ_BY(&lies.stage, "and goes on", ANN, CYD); /* its chain was not moved */
    group_sending_wipe(&stolen);
    buf_free(&plain);
    buf_free(&frame);
    lies_close(&lies);
}

/* ------------------------------------------------------------------ T63 */

Test(liar_group_words, T63_whoever_is_not_in_it_gets_no_key)
{
    struct lies lies;
    struct agent *dan;
    struct buf body = { 0 };
    struct send_request hello
        = { .body = bytes_of_text("hello"), .media_type = bytes_of_text("text/plain") };
    uint32_t epoch;
    uint8_t id[16];
    unsigned before;

    lies_open(&lies, 2300, 3, 4, false);
    dan = agent_at(&lies.stage, DAN);
    memcpy(hello.to, world_aid(lies.stage.who[ANN]), 32);
    cr_assert_eq(agent_send(dan, &hello, id), ERR_OK);
    world_pass(lies.stage.world, MINUTES(2));
    before = liar_count(lies.liar, lies.stage.who[ANN], VERB_SEND);
    epoch = info_of(&lies.stage, ANN).epoch;
    pack_array(&body, 2);
    pack_bin(&body, bytes_of(lies.stage.gid, 16));
    pack_uint(&body, epoch);
    agent_enter(dan);
    agent_group_tell(dan, world_aid(lies.stage.who[ANN]), ENVELOPE_GROUP_KEY_REQ, buf_bytes(&body));
    cr_assert_eq(agent_leave(dan), ERR_OK);
    buf_free(&body);
    world_pass(lies.stage.world, MINUTES(30));
    cr_expect_eq(liar_count(lies.liar, lies.stage.who[ANN], VERB_SEND), before, "no answer");
    cr_expect_eq(info_of(&lies.stage, ANN).epoch, epoch, "and no new epoch");
    lies_close(&lies);
}
