/* layers: testworld */
/*
 * When a session ends, its keys are nowhere: not in the profile, not in its write-ahead log, sealed
 * or not, and not in the memory of the process, which is all that a core dump would hold.
 */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/flow/core.h"
#include "agent/store/scopes.h"
#include "agent/store/sessions.h"
#include "shared/base/files.h"
#include "shared/db/clean.h"
#include "tests/lib/world_internal.h"

#define MINUTES(n) ((uint64_t)(n)*60000)
#define DAYS(n)    (MINUTES((n)*60) * 24)
#define MASK       0xa5a5a5a5a5a5a5a5u
#define NEEDLE     32

/* What is looked for is kept masked, for else it would be found here. */
struct needle {
    char what[40];
    uint64_t masked[NEEDLE / 8];
};

struct needles {
    struct needle at[16];
    size_t count;
};

static void remember(struct needles *needles, const char *what, const uint8_t *bytes)
{
    struct needle *needle = &needles->at[needles->count++];

    snprintf(needle->what, sizeof needle->what, "%s", what);
    for (size_t i = 0; i < NEEDLE / 8; i++) {
        uint64_t word;
        memcpy(&word, bytes + 8 * i, 8);
        needle->masked[i] = word ^ MASK;
    }
}

__attribute__((no_sanitize("address"))) static bool stands_at(const struct needle *needle,
                                                              const uint8_t *at)
{
    for (size_t i = 0; i < NEEDLE / 8; i++) {
        uint64_t word = 0;
        for (size_t b = 0; b < 8; b++) /* byte by byte: no copy of it in memory of ours */
            word |= (uint64_t)at[8 * i + b] << (8 * b);
        if ((word ^ MASK) != needle->masked[i])
            return false;
    }
    return true;
}

/* The first of them that stands between `from` and `to`; NULL: none. */
__attribute__((no_sanitize("address"))) static const struct needle *
search(const struct needles *needles, const uint8_t *from, const uint8_t *to)
{
    uint8_t first[16];

    for (size_t i = 0; i < needles->count; i++)
        first[i] = (uint8_t)(needles->at[i].masked[0] ^ (MASK & 0xff));
    for (const uint8_t *at = from; at + NEEDLE <= to; at++)
        for (size_t i = 0; i < needles->count; i++)
            if (*at == first[i] && stands_at(&needles->at[i], at))
                return &needles->at[i];
    return NULL;
}

/* Every page that this process may write.  (AddressSanitizer keeps what is freed, and terabytes.)
 */
static const struct needle *search_memory(const struct needles *needles)
{
#ifdef __SANITIZE_ADDRESS__
    (void)needles, (void)search;
    return NULL;
#else
    const struct needle *found = NULL;
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[400];

    cr_assert(maps != NULL);
    while (!found && fgets(line, sizeof line, maps)) {
        uint64_t from, to;
        char rights[8];
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s", &from, &to, rights) == 3 && rights[0] == 'r'
            && rights[1] == 'w')
            found
                = search(needles, (const uint8_t *)(uintptr_t)from, (const uint8_t *)(uintptr_t)to);
    }
    fclose(maps);
    return found;
#endif
}

/* NULL: in none of the profile's files. */
static const struct needle *search_profile(const struct needles *needles,
                                           const struct world_agent *who)
{
    static const char *const names[] = { "agent.db", "agent.db-wal", "agent.db-shm" };
    const struct needle *found = NULL;

    for (size_t i = 0; i < 3 && !found; i++) {
        char path[WORLD_PATH + 20];
        struct buf bytes = { 0 };
        snprintf(path, sizeof path, "%s/%s", who->dir, names[i]);
        if (file_read(path, 64u << 20, &bytes) == ERR_OK && bytes.len)
            found = search(needles, bytes.at, bytes.at + bytes.len);
        buf_free(&bytes);
    }
    return found;
}

/* ------------------------------------------------------------------ what is looked for */

static int64_t scope_of(struct world_agent *who, const uint8_t sid[static 16])
{
    struct profile_scope scope;

    cr_assert(profile_scope_find(who->agent->store, sid, &scope));
    return scope.scope_id;
}

/* A key for a frame that never came, as an overtaken one leaves behind. */
static void leave_skipped(struct world_agent *who, const uint8_t sid[static 16])
{
    struct profile_session session;
    struct ratchet ratchet;
    struct skipped skipped;
    uint8_t header[32] = { 7 }, key[32];

    randombytes_buf(key, sizeof key);
    agent_store_begin(who->agent->store);
    cr_assert(profile_session_get(who->agent->store, scope_of(who, sid), &session));
    cr_assert(profile_session_load(who->agent->store, &session, &ratchet, &skipped));
    skipped_add(&skipped, header, 900, key, world_now_ms(who->world));
    skipped.changed = true;
    profile_session_save(who->agent->store, &session, &ratchet, &skipped);
    sodium_memzero(&ratchet, sizeof ratchet);
    sodium_memzero(key, sizeof key);
    skipped_wipe(&skipped);
    cr_assert_eq(agent_store_commit(who->agent->store), ERR_OK);
}

static void remember_keys(struct needles *needles, struct world_agent *who,
                          const uint8_t sid[static 16])
{
    struct profile_session session;
    struct ratchet ratchet;
    struct skipped skipped;

    cr_assert(profile_session_get(who->agent->store, scope_of(who, sid), &session));
    cr_assert(profile_session_load(who->agent->store, &session, &ratchet, &skipped));
    remember(needles, "root key", ratchet.root);
    remember(needles, "sending chain", ratchet.send_chain);
    remember(needles, "receiving chain", ratchet.receive_chain);
    remember(needles, "sending header key", ratchet.send_header);
    remember(needles, "receiving header key", ratchet.receive_header);
    remember(needles, "next sending header key", ratchet.next_send_header);
    remember(needles, "next receiving header key", ratchet.next_receive_header);
    remember(needles, "ratchet key", ratchet.own_secret);
    cr_assert_eq(skipped.count, 1);
    remember(needles, "skipped key", skipped.key[skipped.first].message_key);
    sodium_memzero(&ratchet, sizeof ratchet);
    skipped_wipe(&skipped);
}

static void copy_file(const char *from, const char *to)
{
    struct buf bytes = { 0 };
    FILE *out = fopen(to, "wb");

    if (out && file_read(from, 64u << 20, &bytes) == ERR_OK && bytes.len)
        fwrite(bytes.at, 1, bytes.len, out);
    if (out)
        fclose(out);
    buf_free(&bytes);
}

/* The first column of the first row; wanted are the bytes behind the nonce. */
static void remember_blob(struct needles *needles, sqlite3 *db, const char *what,
                          const char *select)
{
    sqlite3_stmt *get;

    if (sqlite3_prepare_v2(db, select, -1, &get, NULL) == SQLITE_OK
        && sqlite3_step(get) == SQLITE_ROW && sqlite3_column_bytes(get, 0) >= 24 + NEEDLE)
        remember(needles, what, (const uint8_t *)sqlite3_column_blob(get, 0) + 24);
    sqlite3_finalize(get);
}

static void read_sealed(struct needles *needles, const struct world_agent *who)
{
    char from[WORLD_PATH + 20], db[WORLD_PATH + 40], wal[WORLD_PATH + 40];
    sqlite3 *copy;

    snprintf(db, sizeof db, "%s-copy.db", who->dir);
    snprintf(wal, sizeof wal, "%s-copy.db-wal", who->dir);
    snprintf(from, sizeof from, "%s/agent.db", who->dir);
    copy_file(from, db);
    snprintf(from, sizeof from, "%s/agent.db-wal", who->dir);
    copy_file(from, wal);
    if (sqlite3_open(db, &copy) == SQLITE_OK) {
        remember_blob(needles, copy, "sealed ratchet",
                      "SELECT ratchet FROM session WHERE ratchet IS NOT NULL");
        remember_blob(needles, copy, "sealed skipped keys", "SELECT keys FROM skipped");
    }
    sqlite3_close(copy);
    remove(db);
    remove(wal);
    snprintf(wal, sizeof wal, "%s-copy.db-shm", who->dir);
    remove(wal);
}

/* The same, sealed, as it stands in the profile: read from a copy of the files, in a process of its
 * own, so that nothing of it stays in the memory of this one. */
static void remember_sealed(struct needles *needles, const struct world_agent *who)
{
    int ends[2];
    pid_t child;

    cr_assert_eq(pipe(ends), 0);
    child = fork();
    if (child == 0) {
        read_sealed(needles, who);
        _exit(write(ends[1], needles, sizeof *needles) != (ssize_t)sizeof *needles);
    }
    cr_assert_gt(child, 0);
    cr_assert_eq(read(ends[0], needles, sizeof *needles), (ssize_t)sizeof *needles);
    waitpid(child, NULL, 0);
    close(ends[0]);
    close(ends[1]);
    cr_assert_eq(needles->count, 2);
}

/* ------------------------------------------------------------------ scenes */

struct scene {
    struct world *world;
    struct world_agent *ann, *bob;
    uint8_t sid[16];
    struct needles ann_keys, bob_keys, ann_sealed, bob_sealed;
};

/* A session in which both have spoken. */
static void scene_open(struct scene *scene, uint64_t seed)
{
    struct session_info info;

    db_clean_memory(); /* as agents do; here the broker would be first */
    memset(scene, 0, sizeof *scene);
    scene->world = world_new(seed);
    scene->ann = world_join(scene->world, "ann", "home");
    scene->bob = world_join(scene->world, "bob", "home");
    for (int i = 0; i < 3; i++) {
        cr_assert(world_send(scene->world, scene->ann, scene->bob, 40));
        cr_assert(world_run(scene->world, MINUTES(5), world_all_delivered, NULL));
        cr_assert(world_send(scene->world, scene->bob, scene->ann, 40));
        cr_assert(world_run(scene->world, MINUTES(5), world_all_delivered, NULL));
    }
    cr_assert_eq(agent_session_of(scene->ann->agent, scene->world->sayings[0].id, &info), ERR_OK);
    memcpy(scene->sid, info.id, 16);
    leave_skipped(scene->ann, scene->sid);
    leave_skipped(scene->bob, scene->sid);
    remember_keys(&scene->ann_keys, scene->ann, scene->sid);
    remember_keys(&scene->bob_keys, scene->bob, scene->sid);
    remember_sealed(&scene->ann_sealed, scene->ann);
    remember_sealed(&scene->bob_sealed, scene->bob);
}

static void expect_none(const struct needle *found, const char *where)
{
    cr_expect(found == NULL, "%s in %s", found ? found->what : "", where);
}

static void expect_wiped(const struct scene *scene, const struct world_agent *who)
{
    const struct needles *keys = who == scene->ann ? &scene->ann_keys : &scene->bob_keys;
    const struct needles *sealed = who == scene->ann ? &scene->ann_sealed : &scene->bob_sealed;

    expect_none(search_memory(keys), "the memory of the process");
    expect_none(search_memory(sealed), "the memory of the process");
    expect_none(search_profile(keys, who), "the profile");
    expect_none(search_profile(sealed, who), "the profile");
}

/* The search itself: it finds what is there. */
Test(wiped, what_is_there_is_found)
{
    struct scene scene;
    struct needles planted = { 0 };
    uint8_t *secret = malloc(NEEDLE);

    scene_open(&scene, 1);
    cr_expect(search_profile(&scene.ann_sealed, scene.ann) != NULL);
    randombytes_buf(secret, NEEDLE);
    remember(&planted, "planted", secret);
#ifndef __SANITIZE_ADDRESS__
    cr_expect(search_memory(&planted) != NULL);
#endif
    sodium_memzero(secret, NEEDLE);
    cr_expect(search_memory(&planted) == NULL);
    free(secret);
    world_free(&scene.world);
}

/* On the closer's disk at once; on the peer's when it hears of it, and has tidied. */
Test(wiped, closed)
{
    struct scene scene;

    scene_open(&scene, 2);
    cr_assert_eq(agent_close(scene.ann->agent, scene.bob->aid, NULL, false), ERR_OK);
    expect_wiped(&scene, scene.ann);
    world_pass(scene.world, 5000);
    expect_wiped(&scene, scene.bob);
    world_free(&scene.world);
}

Test(wiped, blocked)
{
    struct scene scene;
    uint8_t sid[16];
    bool answered;

    scene_open(&scene, 3);
    cr_assert_eq(agent_reject(scene.ann->agent, scene.bob->aid, true, &answered, sid), ERR_OK);
    world_pass(scene.world, 2000);
    expect_wiped(&scene, scene.ann);
    world_free(&scene.world);
}

Test(wiped, expired)
{
    struct scene scene;

    scene_open(&scene, 4);
    world_pass(scene.world, DAYS(8));
    expect_wiped(&scene, scene.ann);
    expect_wiped(&scene, scene.bob);
    world_free(&scene.world);
}
