/*
 * store - turns, facts and the clock.  Opening and closing: open.c.
 */
#include "broker/store/store.h"

#include <stdio.h>
#include <stdlib.h>

#include "broker/store/audit.h"
#include "broker/store/inside.h"
#include "broker/store/modules.h"
#include "shared/base/clock.h"

#define HOUR_MS      UINT64_C(3600000)
#define AWAY_MAX_MS  (30 * 24 * HOUR_MS) /* a stop may last so long without question */
#define RECOUNT_MOST 500 /* frames; above, a recount after every turn costs too much */

/* ---- turns
 * ---------------------------------------------------------------------------------------- */

enum err store_begin(struct store *store)
{
    enum err e = db_begin(store->db);

    if (e != ERR_OK)
        return e;
    store->in_turn = true;
    store->numbers_before = store->numbers;
    e = meta_reserve(store);
    if (e == ERR_OK && store->accepting != store->accepting_written)
        e = meta_put(store, "accepting", store->accepting);
    if (e != ERR_OK)
        store_rollback(store);
    return e;
}

enum err store_flush(struct store *store)
{
    for (const struct module *const *m = store_modules; *m; m++) {
        enum err e = (*m)->flush ? (*m)->flush(store) : ERR_OK;

        if (e != ERR_OK)
            return e;
    }
    return ERR_OK;
}

static void note_commit(struct store *store, uint64_t us)
{
    store->commit_us[store->commits++ % COMMIT_SAMPLES]
        = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
    if (us > store->commit_us_max)
        store->commit_us_max = us;
}

/* A test build counts all rows again after every turn, as long as they are few. */
static enum err recount_if_few(struct store *store)
{
#ifdef SEALPOST_TESTING
    int64_t frames = 0, changes = sqlite3_total_changes64(db_handle(store->db));
    enum err e;

    if (!store->open) /* what a damaged file says is mended when it is read */
        return ERR_OK;
    if (changes == store->recounted)
        return ERR_OK;
    store->recounted = changes;
    e = db_number(store->db, "SELECT coalesce(sum(frames), 0) FROM stream", &frames);

    return e == ERR_OK && frames <= RECOUNT_MOST ? store_recount(store) : e;
#else
    (void)store;
    return ERR_OK;
#endif
}

enum err store_commit(struct store *store)
{
    uint64_t begun = clock_elapsed_us();
    enum err e = store_flush(store);

    if (e == ERR_OK)
        e = recount_if_few(store);
    if (e == ERR_OK)
        e = db_commit(store->db);
    if (e != ERR_OK) {
        store_rollback(store);
        return e;
    }
    store->in_turn = false;
    note_commit(store, clock_elapsed_us() - begun);
    store->accepting_written = store->accepting;
    for (const struct module *const *m = store_modules; *m; m++)
        if ((*m)->committed)
            (*m)->committed(store);
    return ERR_OK;
}

void store_rollback(struct store *store)
{
    bool full = db_full(store->db);

    if (!store->in_turn) /* a commit that failed has done it */
        return;
    store->in_turn = false;
    db_rollback(store->db);
    store->rollbacks++;
    for (const struct module *const *m = store_modules; *m; m++)
        if ((*m)->forget)
            (*m)->forget(store);
    if (full)
        space_full(store);
}

bool store_broken(const struct store *store)
{
    return db_broken(store->db);
}

uint64_t store_rollbacks(const struct store *store)
{
    return store->rollbacks;
}

/* ---- facts
 * ---------------------------------------------------------------------------------------- */

const uint8_t *store_id(const struct store *store)
{
    return store->id;
}

const uint8_t *store_incarnation(const struct store *store)
{
    return store->incarnation;
}

uint64_t store_incarnation_ms(const struct store *store)
{
    return store->incarnation_ms;
}

uint64_t store_boot(const struct store *store)
{
    return store->boot;
}

bool store_was_restored(const struct store *store)
{
    return store->restored;
}

static int ascending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static uint64_t percentile_99(const struct store *store)
{
    uint32_t sorted[COMMIT_SAMPLES];
    size_t count = store->commits < COMMIT_SAMPLES ? (size_t)store->commits : COMMIT_SAMPLES;

    if (count == 0)
        return 0;
    memcpy(sorted, store->commit_us, count * sizeof sorted[0]);
    qsort(sorted, count, sizeof sorted[0], ascending);
    return sorted[(count * 99 - 1) / 100];
}

static uint64_t number(struct store *store, const char *sql)
{
    int64_t v = 0;

    return db_number(store->db, sql, &v) == ERR_OK && v > 0 ? (uint64_t)v : 0;
}

void store_facts(struct store *store, struct store_facts *out)
{
    if (db_in_transaction(store->db))
        store_flush(store); /* a failure shows at the commit */
    *out = (struct store_facts){
        .pages = number(store, "PRAGMA page_count"),
        .pages_max = number(store, "PRAGMA max_page_count"),
        .pages_free = number(store, "PRAGMA freelist_count"),
        .wal_pages = (uint64_t)db_wal_pages(store->db),
        .frames = number(store, "SELECT sum(frames) FROM stream"),
        .bytes = number(store, "SELECT sum(bytes) FROM stream"),
        .commits = store->commits,
        .commit_us_max = store->commit_us_max,
        .commit_us_p99 = percentile_99(store),
        .accepting = store->accepting,
        .pinned = store->pinned,
    };
    if (store->commits)
        out->commit_us_last = store->commit_us[(store->commits - 1) % COMMIT_SAMPLES];
}

enum err store_minute(struct store *store, uint64_t now_ms)
{
    const struct {
        const char *key;
        uint64_t value;
    } facts[] = {
        { "clock_ms", now_ms },
        { "pages", number(store, "PRAGMA page_count") },
        { "pages_max", number(store, "PRAGMA max_page_count") },
        { "pages_free", number(store, "PRAGMA freelist_count") },
        { "wal_pages", (uint64_t)db_wal_pages(store->db) },
        { "accepting", store->accepting },
    };

    store->now_ms = now_ms;
    store->commit_us_max = 0;
    for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++) {
        enum err e = meta_put(store, facts[i].key, (int64_t)facts[i].value);

        if (e != ERR_OK)
            return e;
    }
    return ERR_OK;
}

/* ---- clock
 * ---------------------------------------------------------------------------------------- */

static bool within(uint64_t a, uint64_t b, uint64_t most)
{
    return a > b ? a - b <= most : b - a <= most;
}

/* People must hear of it; if it cannot be written the log line has to do. */
static void note_jump(struct store *store, uint64_t expected_ms, uint64_t now_ms)
{
    char detail[80];

    snprintf(detail, sizeof detail, "expected %llu ms, found %llu ms: nothing expires",
             (unsigned long long)expected_ms, (unsigned long long)now_ms);
    log_event(LOG_ERROR, "clock_jump", "expected_ms=%llu now_ms=%llu",
              (unsigned long long)expected_ms, (unsigned long long)now_ms);
    (void)store_audit(store, now_ms, "broker", "clock.jump", "", detail);
}

/* At opening: what the file last knew against the wall clock. */
void clock_open(struct store *store, uint64_t last_ms)
{
    uint64_t now = store->options.now_ms;

    store->base_ms = now;
    store->base_elapsed_ms = store->options.elapsed_ms;
    store->clock_sound = last_ms == 0 || (now + HOUR_MS >= last_ms && now <= last_ms + AWAY_MAX_MS);
    if (store->clock_sound)
        return;
    store->base_ms = last_ms;
    note_jump(store, last_ms, now);
}

bool store_clock_sound(struct store *store, uint64_t now_ms, uint64_t elapsed_ms)
{
    uint64_t expected = store->base_ms + (elapsed_ms - store->base_elapsed_ms);
    bool sound = within(now_ms, expected, HOUR_MS);

    store->now_ms = now_ms;
    if (sound && !store->clock_sound)
        log_event(LOG_INFO, "clock_again", "now_ms=%llu", (unsigned long long)now_ms);
    if (!sound && store->clock_sound)
        note_jump(store, expected, now_ms);
    if (sound) { /* drift within the hour is followed */
        store->base_ms = now_ms;
        store->base_elapsed_ms = elapsed_ms;
    }
    store->clock_sound = sound;
    return sound;
}

void store_clock_accept(struct store *store, uint64_t now_ms, uint64_t elapsed_ms)
{
    store->base_ms = now_ms;
    store->base_elapsed_ms = elapsed_ms;
    store->clock_sound = true;
}
