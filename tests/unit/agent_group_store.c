/* layers: agent_store */
/* Sending chains, held frames, who has signed, and a group's rows in the outbox. */
#include <criterion/criterion.h>
#include <sodium.h>

#include "agent/store/acks.h"
#include "agent/store/chains.h"
#include "agent/store/check.h"
#include "agent/store/dead.h"
#include "agent/store/groups.h"
#include "agent/store/outbox.h"
#include "agent/store/peers.h"
#include "agent/store/scopes.h"
#include "tests/lib/chance.h"

#define NOW    1800000000000ull
#define DAY_MS 86400000ull

struct scene {
    struct chance chance;
    struct agent_store *store;
    int64_t group_id, bob, carol;
};

static void scene_random(void *ctx, uint8_t *out, size_t len)
{
    chance_bytes(ctx, out, len);
}

static void scene_open(struct scene *s)
{
    struct profile_group group = { .id = { 9 }, .state = PROFILE_GROUP_JOINED, .role = 1 };
    uint8_t key[AGENT_KEY_SIZE] = { 1 }, one[32] = { 1 }, two[32] = { 2 };

    cr_assert_geq(sodium_init(), 0);
    *s = (struct scene){ .chance = { .state = 5 } };
    cr_assert_eq(agent_store_memory(&s->store, key), ERR_OK);
    agent_store_random(s->store, scene_random, &s->chance);
    agent_store_begin(s->store);
    profile_group_add(s->store, &group);
    s->group_id = group.group_id;
    s->bob = profile_peer_add(s->store, one, "bob", NOW);
    s->carol = profile_peer_add(s->store, two, "carol", NOW);
}

static void scene_close(struct scene *s)
{
    cr_expect_eq(agent_store_commit(s->store), ERR_OK);
    agent_store_close(&s->store);
}

static struct profile_chain add_chain(struct scene *s, uint32_t epoch, int64_t peer,
                                      uint32_t skipped, const char *state)
{
    struct profile_chain chain
        = { .group_id = s->group_id, .peer_id = peer, .epoch = epoch, .skipped = skipped };

    profile_chain_add(s->store, &chain, bytes_of_text(state));
    return chain;
}

Test(agent_group_store, a_chain_is_kept_sealed_version_by_version)
{
    struct scene s;
    struct profile_chain chain, found;
    struct agent_store_checked checked;
    struct buf state = { 0 };

    scene_open(&s);
    chain = add_chain(&s, 3, s.bob, 0, "first");
    chain.skipped = 2;
    profile_chain_put(s.store, &chain, bytes_of_text("second"));
    cr_assert(profile_chain_find(s.store, s.group_id, 3, s.bob, &found));
    cr_expect_eq(found.version, 1);
    cr_expect_eq(found.skipped, 2);
    cr_assert(profile_chain_get(s.store, &found, &state));
    cr_expect(bytes_equal(buf_bytes(&state), bytes_of_text("second")));
    cr_expect_not(profile_chain_find(s.store, s.group_id, 3, s.carol, &found));
    cr_expect_not(profile_chain_find(s.store, s.group_id, 4, s.bob, &found));
    cr_assert_eq(agent_store_commit(s.store), ERR_OK);
    cr_assert_eq(agent_store_check(s.store, &checked), ERR_OK);
    cr_expect_eq(checked.values, 1);
    agent_store_begin(s.store);
    buf_free(&state);
    scene_close(&s);
}

Test(agent_group_store, an_older_version_of_a_chain_is_never_written)
{
    struct scene s;
    struct profile_chain chain, old;

    scene_open(&s);
    chain = old = add_chain(&s, 3, 0, 0, "first");
    profile_chain_put(s.store, &chain, bytes_of_text("second"));
    profile_chain_put(s.store, &old, bytes_of_text("again"));
    cr_expect_eq(agent_store_failure(s.store), ERR_ROLLBACK);
    agent_store_rollback(s.store);
    agent_store_begin(s.store);
    scene_close(&s);
}

Test(agent_group_store, chains_of_older_epochs_end_at_once_or_in_a_day)
{
    struct scene s;
    struct profile_chain found;

    scene_open(&s);
    add_chain(&s, 1, s.bob, 0, "x");
    add_chain(&s, 1, s.carol, 3, "x");
    add_chain(&s, 2, s.bob, 5, "x");
    cr_expect_eq(profile_chains_skipped(s.store, s.group_id), 8);
    cr_assert(profile_chain_next_skipped(s.store, s.group_id, 0, &found));
    cr_expect_eq(found.peer_id, s.carol);
    profile_chains_end(s.store, s.group_id, 2, true, NOW + DAY_MS);
    cr_expect_not(profile_chain_find(s.store, s.group_id, 1, s.bob, &found));
    cr_assert(profile_chain_find(s.store, s.group_id, 1, s.carol, &found));
    cr_expect_eq(found.delete_ms, NOW + DAY_MS);
    profile_chains_sweep(s.store, NOW + DAY_MS);
    cr_expect_not(profile_chain_any(s.store, s.group_id, 1));
    cr_expect(profile_chain_any(s.store, s.group_id, 2));
    profile_chains_remove(s.store, s.group_id);
    cr_expect_not(profile_chain_any(s.store, s.group_id, 2));
    scene_close(&s);
}

Test(agent_group_store, held_frames_stand_in_their_order)
{
    struct scene s;
    struct profile_held held = { .seq = 1, .epoch = 4, .received_ms = NOW }, out;
    struct buf frame = { 0 };
    int64_t after = 0;

    scene_open(&s);
    held.group_id = s.group_id;
    for (uint64_t i = 1; i <= 4; i++) {
        held.peer_id = i % 2 ? s.bob : s.carol;
        held.seq = i;
        held.epoch = i == 4 ? 5 : 4;
        held.received_ms = NOW + i;
        held.digest[0] = (uint8_t)i;
        profile_held_add(s.store, &held, bytes_of_text("frame"));
    }
    cr_expect_eq(profile_held_count(s.store, s.group_id), 4);
    for (uint64_t i = 1; i <= 3; i++) {
        cr_assert(profile_held_next(s.store, s.group_id, 4, after, &out));
        cr_expect_eq(out.seq, i);
        after = out.held_id;
    }
    cr_expect_not(profile_held_next(s.store, s.group_id, 4, after, &out));
    cr_assert(profile_held_next(s.store, s.group_id, 0, after, &out));
    cr_expect_eq(out.epoch, 5);
    cr_assert(profile_held_at(s.store, s.group_id, s.carol, 4, &out));
    cr_expect_eq(out.digest[0], 4);
    cr_assert(profile_held_frame(s.store, out.held_id, &frame));
    cr_expect(bytes_equal(buf_bytes(&frame), bytes_of_text("frame")));
    cr_expect_eq(profile_helds_forget(s.store, NOW + 3), 2);
    profile_held_remove(s.store, out.held_id);
    cr_expect_eq(profile_held_count(s.store, s.group_id), 1);
    buf_free(&frame);
    scene_close(&s);
}

static int64_t queue(struct scene *s, uint8_t id)
{
    struct profile_out row = { .group_id = s->group_id,
                               .msg_id = { id },
                               .thread = { id },
                               .bytes = 5,
                               .created_ms = NOW,
                               .expires_ms = NOW + 7 * DAY_MS };

    return profile_out_add(s->store, &row, bytes_of_text("hello"));
}

static struct profile_out seal(struct scene *s, int64_t id, uint64_t seq, uint32_t epoch)
{
    struct profile_out row = { 0 };

    cr_assert(profile_out_get(s->store, id, &row));
    row.scope_id = s->group_id;
    row.seq = seq;
    row.epoch = epoch;
    row.recipients = 2;
    row.sealed_ms = NOW;
    row.digest[0] = (uint8_t)(seq + 10 * epoch);
    profile_out_seal_group(s->store, &row, bytes_of_text("frame"));
    cr_assert(profile_out_get(s->store, id, &row));
    return row;
}

Test(agent_group_store, a_row_of_a_group_is_sealed_anew_until_it_is_accepted)
{
    struct scene s;
    struct profile_out row;
    struct buf plain = { 0 };
    int64_t id;

    scene_open(&s);
    id = queue(&s, 1);
    cr_expect_eq(profile_out_queued_group(s.store, 0), s.group_id);
    cr_expect_eq(profile_out_lowest_sealed(s.store, s.group_id), 0);
    row = seal(&s, id, 7, 3);
    cr_expect_eq(row.state, OUTBOX_SEALED);
    cr_expect_eq(profile_out_queued_group(s.store, 0), 0);
    cr_expect_eq(profile_out_lowest_sealed(s.store, s.group_id), 7);
    row = seal(&s, id, 7, 4);
    cr_expect_eq(row.epoch, 4);
    cr_expect_eq(row.digest[0], 47);
    cr_expect(profile_out_message(s.store, id, &plain), "its text is still there");
    profile_out_accepted(s.store, s.group_id, 7, id, NOW + 5);
    cr_assert(profile_out_get(s.store, id, &row));
    profile_out_seal_group(s.store, &row, bytes_of_text("frame"));
    cr_expect_eq(agent_store_failure(s.store), ERR_STORE, "never what the broker has");
    agent_store_rollback(s.store);
    agent_store_begin(s.store);
    buf_free(&plain);
    scene_close(&s);
}

Test(agent_group_store, a_day_after_acceptance_a_row_needs_no_frame)
{
    struct scene s;
    struct profile_out row;
    struct profile_out_counts counts;
    struct buf frame = { 0 };
    int64_t id, later;

    scene_open(&s);
    id = queue(&s, 1);
    later = queue(&s, 2);
    seal(&s, id, 1, 1);
    seal(&s, later, 2, 1);
    profile_out_accepted(s.store, s.group_id, 1, id, NOW);
    profile_out_accepted(s.store, s.group_id, 2, later, NOW + 2);
    profile_out_counts(s.store, &counts);
    cr_expect_eq(counts.stored, 2);
    cr_expect_eq(counts.open, 0, "who is kept for a restored broker keeps nothing new out");
    cr_expect_not(profile_out_age(s.store, NOW, NOW + DAY_MS));
    cr_expect(profile_out_age(s.store, NOW + 1, NOW + DAY_MS));
    cr_assert(profile_out_get(s.store, id, &row));
    cr_expect_eq(row.state, OUTBOX_DELIVERED);
    cr_expect_not(profile_out_frame(s.store, id, &frame));
    cr_expect(profile_out_frame(s.store, later, &frame));
    profile_out_left(s.store, s.group_id, NOW + 9);
    cr_assert(profile_out_get(s.store, later, &row));
    cr_expect_eq(row.state, OUTBOX_DELIVERED);
    buf_free(&frame);
    scene_close(&s);
}

Test(agent_group_store, signatures_are_counted_once_and_go_with_the_row)
{
    struct scene s;
    int64_t id;

    scene_open(&s);
    id = queue(&s, 1);
    profile_signed_add(s.store, id, s.bob, NOW);
    profile_signed_add(s.store, id, s.bob, NOW + 1);
    profile_signed_add(s.store, id, s.carol, NOW + 2);
    cr_expect_eq(profile_signed_count(s.store, id), 2);
    cr_expect_eq(profile_signed_at(s.store, id, s.bob), NOW);
    cr_expect_eq(profile_signed_next(s.store, id, 0), s.bob);
    cr_expect_eq(profile_signed_next(s.store, id, s.bob), s.carol);
    cr_expect_eq(profile_signed_next(s.store, id, s.carol), 0);
    profile_out_remove(s.store, id);
    cr_expect_eq(profile_signed_count(s.store, id), 0);
    scene_close(&s);
}

Test(agent_group_store, a_dead_letter_remembers_its_group)
{
    struct scene s;
    struct profile_out row;
    struct profile_dead dead;
    uint8_t id[16] = { 1 };

    scene_open(&s);
    row = seal(&s, queue(&s, 1), 3, 1);
    profile_dead_letter(s.store, &row, DEAD_READER_REMOVED, "", NOW);
    cr_assert(profile_dead_find(s.store, id, &dead));
    cr_expect_eq(dead.group_id, s.group_id);
    cr_expect_eq(dead.peer_id, 0);
    cr_expect_eq(dead.seq, 3);
    scene_close(&s);
}

Test(agent_group_store, in_again_numbers_begin_behind_the_broker_s)
{
    struct scene s;
    struct profile_scope scope;
    struct profile_out row;
    int64_t id;

    scene_open(&s);
    for (uint64_t seq = 1; seq <= 3; seq++)
        profile_scope_take_seq(s.store, s.group_id, seq);
    id = queue(&s, 1);
    seal(&s, id, 3, 1);
    profile_scope_adopt_later(s.store, s.group_id);
    cr_assert(profile_scope_get(s.store, s.group_id, &scope));
    cr_expect(scope.adopts);
    profile_out_detach(s.store, s.group_id, 2);
    profile_scope_adopt(s.store, s.group_id, 2);
    cr_assert(profile_scope_get(s.store, s.group_id, &scope));
    cr_expect_not(scope.adopts);
    cr_expect_eq(scope.next_seq, 3);
    cr_assert(profile_out_get(s.store, id, &row));
    cr_expect_eq(row.scope_id, 0);
    seal(&s, queue(&s, 2), 3, 2); /* the number is free */
    scene_close(&s);
}

Test(agent_group_store, a_channel_remembers_how_far_it_was_read)
{
    struct scene s;
    struct profile_channel channel;

    scene_open(&s);
    cr_expect_not(profile_channel_get(s.store, s.group_id, &channel));
    profile_channel_put(s.store, s.group_id, &(struct profile_channel){ 40, 2 });
    profile_channel_put(s.store, s.group_id, &(struct profile_channel){ 50, 3 });
    profile_cursor_set(s.store, 7);
    cr_assert(profile_channel_get(s.store, s.group_id, &channel));
    cr_expect_eq(channel.settled, 50);
    cr_expect_eq(channel.epoch, 3);
    cr_expect_eq(profile_cursor(s.store), 7, "the mailbox has its own");
    profile_acks_clear(s.store);
    cr_expect_not(profile_channel_get(s.store, s.group_id, &channel));
    scene_close(&s);
}
