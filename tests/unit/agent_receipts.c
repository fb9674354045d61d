/* layers: agent_flow */
#include "agent/flow/receipts.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdlib.h>

#include "tests/lib/chance.h"

#define SILENT 0
#define ROWS   1024

struct row_spec {
    int64_t scope;
    uint64_t seq;
    uint8_t status;
};

static const struct {
    const char *name;
    struct row_spec rows[8];
    size_t count, receipts;
} cases[] = {
    { "nothing", { { 0 } }, 0, 0 },
    { "one frame", { { 1, 1, 1 } }, 1, 1 },
    { "a run of one session", { { 1, 1, 1 }, { 1, 2, 1 }, { 1, 3, 1 } }, 3, 1 },
    { "two sessions, mixed", { { 1, 1, 1 }, { 2, 9, 1 }, { 1, 2, 1 }, { 2, 10, 1 } }, 4, 2 },
    { "another status", { { 1, 1, 1 }, { 1, 2, 4 }, { 1, 3, 1 } }, 3, 3 },
    { "a hole", { { 1, 1, 1 }, { 1, 3, 1 } }, 2, 2 },
    { "control items", { { 0, 0, SILENT }, { 0, 0, SILENT } }, 2, 1 },
    { "control items between",
      { { 0, 0, SILENT }, { 1, 1, 1 }, { 0, 0, SILENT }, { 1, 2, 1 } },
      4,
      2 },
    { "silent frames", { { 1, 1, 1 }, { 1, 2, SILENT }, { 1, 3, 1 } }, 3, 3 },
    { "a number twice", { { 1, 1, 1 }, { 1, 1, 1 } }, 2, 2 },
};

static void make_rows(const struct row_spec *spec, size_t count, struct profile_ack *rows)
{
    for (size_t i = 0; i < count; i++) {
        rows[i] = (struct profile_ack){ .position = 100 + 3 * i,
                                        .scope_id = spec[i].scope,
                                        .peer_id = spec[i].scope,
                                        .seq = spec[i].seq,
                                        .status = spec[i].status };
        put_u64(rows[i].digest, 1000 + i);
    }
}

/* What the broker checks: every row up to the position exactly once, in order, under its digest. */
static void check(struct ack_plan *plan, const struct profile_ack *rows, size_t count,
                  const char *name)
{
    size_t covered = 0;

    for (size_t r = 0; r < plan->count; r++) {
        struct planned_receipt *receipt = &plan->receipt[r];
        struct range_digest range;
        uint8_t want[32], got[32];
        uint64_t next = receipt->from, last = 0;
        range_begin(&range);
        for (size_t i = 0; i < count && rows[i].position <= plan->position; i++) {
            bool mine = receipt->scope_id
                            ? rows[i].status && rows[i].scope_id == receipt->scope_id
                                  && rows[i].status == receipt->status
                                  && rows[i].seq >= receipt->from && rows[i].seq <= receipt->to
                            : rows[i].status == SILENT;
            if (!mine)
                continue;
            if (receipt->scope_id)
                cr_assert_eq(rows[i].seq, next++, "%s: numbers in order", name);
            last = receipt->scope_id ? rows[i].seq : rows[i].position;
            range_add(&range, rows[i].digest);
            covered++;
        }
        range_end(&range, want);
        range_end(&receipt->range, got);
        cr_assert_eq(last, receipt->to, "%s: ends where it says", name);
        cr_assert_arr_eq(got, want, 32, "%s: digest of receipt %zu", name, r);
    }
    for (size_t i = 0; i < count; i++)
        covered -= rows[i].position <= plan->position;
    cr_assert_eq(covered, 0, "%s: each exactly once", name);
}

Test(agent_receipts, plans_cover_each_item_once)
{
    struct profile_ack rows[8];
    struct ack_plan *plan = malloc(sizeof *plan);

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        make_rows(cases[i].rows, cases[i].count, rows);
        agent_ack_plan(plan, rows, cases[i].count);
        cr_expect_eq(plan->count, cases[i].receipts, "%s: %zu receipts", cases[i].name,
                     plan->count);
        cr_expect_eq(plan->position, cases[i].count ? rows[cases[i].count - 1].position : 0, "%s",
                     cases[i].name);
        if (strcmp(cases[i].name, "a number twice") != 0)
            check(plan, rows, cases[i].count, cases[i].name);
    }
    free(plan);
}

/* Any mixture: never more than 64 receipts, and what is left begins behind the position. */
Test(agent_receipts, random_mixtures)
{
    struct profile_ack *rows = malloc(ROWS * sizeof *rows);
    struct row_spec *spec = malloc(ROWS * sizeof *spec);
    struct ack_plan *plan = malloc(sizeof *plan);
    struct chance chance = { .state = 20261124 };

    printf("seed %" PRIu64 "\n", chance.state);
    for (int run = 0; run < 300; run++) {
        uint64_t next[40] = { 0 };
        size_t count = 1 + chance_below(&chance, ROWS), at = 0;
        uint64_t sessions = 1 + chance_below(&chance, 40), calm = 1 + chance_below(&chance, 50);
        for (size_t i = 0; i < count; i++) {
            uint64_t s = chance_below(&chance, sessions);
            if (chance_below(&chance, 10) == 0) {
                spec[i] = (struct row_spec){ 0, 0, SILENT };
                continue;
            }
            next[s] += chance_below(&chance, calm) ? 1 : 2;
            spec[i]
                = (struct row_spec){ (int64_t)s + 1, next[s], chance_below(&chance, calm) ? 1 : 4 };
        }
        make_rows(spec, count, rows);
        while (at < count) { /* one ACK after the other */
            size_t done = 0;
            agent_ack_plan(plan, rows + at, count - at);
            cr_assert_leq(plan->count, PLAN_RECEIPTS + 1);
            cr_assert_gt(plan->position, 0, "there is always a way on");
            check(plan, rows + at, count - at, "random");
            while (at + done < count && rows[at + done].position <= plan->position)
                done++;
            at += done;
        }
    }
    free(rows);
    free(spec);
    free(plan);
}
