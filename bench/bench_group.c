/* layers: testworld db */
/*
 * bench_group - what a group costs its admin, its members and the broker: real agents and a real
 *               broker in one process, without sockets and on a virtual clock (tests/lib/world.h).
 *
 *     bench_group [-m MESSAGES] [-s AWAKE] [-q] [MEMBERS ...]     default: 500 messages; 10 100
 * 1000
 *
 * Up to 100 members all are online, all the time.  Of more, AWAKE are (30; the admin is one of
 * them): the others come in turns of 40, join, get their key and go; what is delivered to them is
 * stored, and costs nothing more.
 *
 * Bytes are messages as they cross the wire, without CURVE.  CPU is the thread's, of each party
 * alone; signatures are checked in the broker's part (in sealpostd another thread does that).
 * Stored: frames and events that were written, whether or not they are there still.  -q keeps the
 * broker's default quotas: then the virtual time says how long they make an admin wait.
 */
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "shared/trust/group_chain.h"
#include "tests/lib/world_internal.h"

enum { HOUR_MS = 3600000, NAME_SIZE = 24, ALL_MAX = 100, TURN = 40 };

struct bench {
    struct world *world;
    struct world_agent **who; /* [0] owns the group */
    size_t count;             /* in the group, or to be */
    uint8_t gid[16];
    uint32_t epoch; /* that all wait for */
    size_t reached; /* agents below have what is waited for */
    size_t upto;    /* agents below are looked at */
    size_t awake;   /* agents below stay online */
    uint8_t id[16]; /* of a message */
};

static void must(enum err e, const char *what)
{
    if (e != ERR_OK) {
        fprintf(stderr, "bench_group: %s: %s\n", what, err_name(e));
        exit(1);
    }
}

/* ---- what is there at a moment ----------------------------------------------------------------
 */

struct stored {
    int64_t frames, frame_bytes, events, event_bytes;
};

struct moment {
    uint64_t at_ms;
    struct world_spent admin, broker, members; /* all members but the admin */
    struct stored stored;
};

static int64_t number(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *stmt;
    int64_t n = -1;

    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK
        && sqlite3_step(stmt) == SQLITE_ROW)
        n = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return n;
}

static struct stored stored_now(const struct bench *bench)
{
    char path[WORLD_PATH];
    struct stored out;
    sqlite3 *db;

    snprintf(path, sizeof path, "%s/broker.db", bench->world->dir);
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK)
        exit(1);
    out.frames = number(db, "SELECT coalesce(sum(stored_seq), 0) FROM sender");
    out.frame_bytes = number(db, "SELECT coalesce(sum(total_bytes), 0) FROM sender");
    out.events = number(db, "SELECT count(*) FROM event");
    out.event_bytes
        = number(db, "SELECT coalesce(sum(length(preimage) + 64 + length(body)), 0) FROM event");
    sqlite3_close(db);
    return out;
}

static struct moment moment_now(const struct bench *bench)
{
    struct moment moment = { .at_ms = world_now_ms(bench->world),
                             .admin = world_agent_spent(bench->who[0]),
                             .broker = world_broker_spent(bench->world),
                             .stored = stored_now(bench) };

    for (size_t i = 1; i < bench->count; i++) {
        struct world_spent spent = world_agent_spent(bench->who[i]);

        moment.members.cpu_ns += spent.cpu_ns;
        moment.members.bytes_out += spent.bytes_out;
        moment.members.bytes_in += spent.bytes_in;
    }
    return moment;
}

static double ms(uint64_t after_ns, uint64_t before_ns)
{
    return (double)(int64_t)(after_ns - before_ns) / 1e6;
}

/* `each`: how many members share the members' part. */
static void report(const char *what, const struct moment *a, const struct moment *b, size_t each)
{
    printf("  %-26s %9.1f s  stored %6" PRId64 " frames %9" PRId64 " B, %5" PRId64
           " events %8" PRId64 " B\n",
           what, (double)(b->at_ms - a->at_ms) / 1000, b->stored.frames - a->stored.frames,
           b->stored.frame_bytes - a->stored.frame_bytes, b->stored.events - a->stored.events,
           b->stored.event_bytes - a->stored.event_bytes);
    printf("    admin   %10.2f ms  sent %10" PRIu64 " B, received %10" PRIu64 " B\n",
           ms(b->admin.cpu_ns, a->admin.cpu_ns), b->admin.bytes_out - a->admin.bytes_out,
           b->admin.bytes_in - a->admin.bytes_in);
    if (each)
        printf("    member  %10.2f ms  sent %10.0f B, received %10.0f B   (mean of %zu)\n",
               ms(b->members.cpu_ns, a->members.cpu_ns) / (double)each,
               (double)(b->members.bytes_out - a->members.bytes_out) / (double)each,
               (double)(b->members.bytes_in - a->members.bytes_in) / (double)each, each);
    printf("    broker  %10.2f ms\n", ms(b->broker.cpu_ns, a->broker.cpu_ns));
    fflush(stdout);
}

/* What a program asks of an agent is the agent's work, too. */
#define DO(bench, i, call, what)                                                                   \
    do {                                                                                           \
        uint64_t begun_ = world_cpu_ns((bench)->world);                                            \
        enum err e_ = (call);                                                                      \
        (bench)->who[i]->spent.cpu_ns += world_cpu_ns((bench)->world) - begun_;                    \
        must(e_, what);                                                                            \
    } while (0)

/* ---- waiting ----------------------------------------------------------------------------------
 */

typedef bool has_fn(struct bench *bench, size_t i);

struct wait {
    struct bench *bench;
    has_fn *has;
};

static bool all_have(struct world *world, void *ctx)
{
    const struct wait *wait = ctx;
    struct bench *bench = wait->bench;

    (void)world;
    while (bench->reached < bench->upto && wait->has(bench, bench->reached))
        bench->reached++;
    return bench->reached == bench->upto;
}

/* Until all have it, and then until what follows from it is over. */
static void wait_for(struct bench *bench, has_fn *has, size_t from, const char *what)
{
    struct wait wait = { bench, has };

    bench->reached = from;
    if (!world_run(bench->world, 100ull * HOUR_MS, all_have, &wait)) {
        fprintf(stderr, "bench_group: %s: %s waits for ever\n", what,
                bench->who[bench->reached]->name);
        exit(1);
    }
    world_pass(bench->world, 2000);
}

static bool is_up(struct bench *bench, size_t i)
{
    struct agent_link link;

    agent_link_get(bench->who[i]->agent, &link);
    return link.caught_up;
}

static bool has_key(struct bench *bench, size_t i)
{
    struct group_info info;

    if (agent_group_get(bench->who[i]->agent, bench->gid, &info) != ERR_OK)
        return false;
    if (i == 0 && (info.pending || info.keys_waiting))
        return false;
    return info.stage == IN_GROUP_JOINED && info.keyed && info.epoch >= bench->epoch;
}

static bool has_message(struct bench *bench, size_t i)
{
    struct incoming_info info;

    return agent_incoming_get(bench->who[i]->agent, bench->id, &info) == ERR_OK;
}

static uint32_t epoch_of(struct bench *bench, size_t i)
{
    struct group_info info;

    must(agent_group_get(bench->who[i]->agent, bench->gid, &info), "agent_group_get");
    return info.epoch;
}

/* ---- the parts --------------------------------------------------------------------------------
 */

static void quotas_raised(struct world *world)
{
    struct flow_settings *settings = world_settings(world);

    settings->send_per_s = settings->send_burst = 1000000;
    settings->prekeys_per_h = 1000000;
    settings->requests_open = 100000;
    settings->requests = 100000;
    settings->pair_frames = settings->queue_frames = 1000000;
    settings->pair_bytes = settings->queue_bytes = 1ull << 40;
    settings->group_members = GROUP_MEMBERS_MAX;
    world_broker_stop(world);
    world_broker_start(world);
}

static void quotas_print(struct world *world)
{
    const struct flow_settings *settings = world_settings(world);

    printf("quotas: %" PRIu64 " frames a second, burst %" PRIu64 "; %" PRIu64
           " prekeys an hour; %" PRIu64 " requests unanswered; %" PRIu64 " members\n",
           settings->send_per_s, settings->send_burst, settings->prekeys_per_h,
           settings->requests_open, settings->group_members);
}

/* All are of one circle, and so accept each other's requests and invitations unasked. */
static void all_enrol(struct bench *bench, size_t count)
{
    bench->who = mem_zeroed(count, sizeof *bench->who);
    bench->count = count;
    for (size_t i = 0; i < count; i++) {
        char name[NAME_SIZE];

        snprintf(name, sizeof name, "m%04zu", i);
        bench->who[i] = world_join(bench->world, name, "crew");
        world_kill(bench->world, bench->who[i]); /* nobody hears of the others one by one */
    }
}

static void wake(struct bench *bench, size_t from, size_t upto)
{
    for (size_t i = from; i < upto; i++)
        world_start(bench->world, bench->who[i]);
    bench->upto = upto;
    wait_for(bench, is_up, from, "start");
}

static void invite_some(struct bench *bench, size_t from, size_t upto)
{
    for (size_t i = from; i < upto; i++)
        DO(bench, 0,
           agent_group_invite(bench->who[0]->agent, bench->gid, bench->who[i]->aid, ROLE_MEMBER),
           "invite");
    bench->upto = upto;
    bench->epoch = epoch_of(bench, 0) + 1;
    wait_for(bench, has_key, from, "first key");
    bench->upto = 1;
    wait_for(bench, has_key, 0, "keys that are under way");
}

static void create(struct bench *bench, size_t members)
{
    struct group_create wish = { .name = bytes_of_text("crew") };
    size_t turn = members <= ALL_MAX ? members : TURN;
    struct moment before, after;

    wake(bench, 0, members <= ALL_MAX ? members : 1);
    before = moment_now(bench);
    DO(bench, 0, agent_group_create(bench->who[0]->agent, &wish, bench->gid), "create");
    for (size_t from = 1; from < members; from += turn) {
        size_t upto = from + turn < members ? from + turn : members;

        if (members > ALL_MAX)
            wake(bench, from, upto);
        invite_some(bench, from, upto);
        for (size_t i = from; i < upto; i++)
            if (i >= bench->awake)
                world_kill(bench->world, bench->who[i]);
    }
    after = moment_now(bench);
    report("create, invite, all join", &before, &after, members - 1);
    wake(bench, members, members + 1); /* who is to be added */
}

static void say(struct bench *bench, size_t i)
{
    struct send_request request = { .group = bench->gid,
                                    .media_type = bytes_of_text("text/plain"),
                                    .body = bytes_of_text("a message of thirty-five characters") };

    DO(bench, i, agent_send(bench->who[i]->agent, &request, bench->id), "send");
}

static void send_one(struct bench *bench)
{
    struct moment before, after;

    bench->upto = bench->awake;
    before = moment_now(bench);
    say(bench, 0);
    wait_for(bench, has_message, 1, "message");
    after = moment_now(bench);
    report("one message", &before, &after, bench->awake - 1);
}

/* The last of all, who is enrolled and not in the group yet. */
static void add(struct bench *bench, size_t members)
{
    struct moment before, after;

    before = moment_now(bench);
    bench->upto = bench->awake;
    invite_some(bench, members, members + 1);
    bench->upto = bench->awake;
    wait_for(bench, has_key, 0, "key with the newcomer");
    after = moment_now(bench);
    report("add one", &before, &after, bench->awake - 1);
}

static void take_away(struct bench *bench, size_t members)
{
    struct moment before, after;

    before = moment_now(bench);
    bench->epoch = epoch_of(bench, 0) + 1;
    DO(bench, 0,
       agent_group_remove(bench->who[0]->agent, bench->gid,
                          (const uint8_t(*)[32])bench->who[members]->aid, 1),
       "remove");
    bench->upto = bench->awake;
    wait_for(bench, has_key, 0, "key without him");
    after = moment_now(bench);
    report("remove one", &before, &after, bench->awake - 1);
}

/* One member is away for all of it, and for one epoch. */
static void catch_up(struct bench *bench, size_t messages)
{
    size_t late = bench->awake - 1;
    struct world_spent was, is;
    struct moment before, after;

    world_stop(bench->world, bench->who[late]);
    before = moment_now(bench);
    bench->upto = late;
    for (size_t i = 0; i < messages; i++) {
        if (i == messages / 2) {
            bench->epoch = epoch_of(bench, 0) + 1;
            DO(bench, 0, agent_group_rekey(bench->who[0]->agent, bench->gid), "rekey");
            wait_for(bench, has_key, 0, "another epoch");
        }
        say(bench, 0);
        if (i % 100 == 99 || i + 1 == messages)
            wait_for(bench, has_message, 1, "messages");
    }
    after = moment_now(bench);
    printf("  %zu messages and an epoch while one member is away\n", messages);
    report("said and read", &before, &after, late - 1);
    was = world_agent_spent(bench->who[late]);
    before = after;
    world_start(bench->world, bench->who[late]);
    bench->upto = bench->awake;
    wait_for(bench, has_message, late, "the late one");
    is = world_agent_spent(bench->who[late]);
    after = moment_now(bench);
    printf("    late one %9.2f ms  sent %10" PRIu64 " B, received %10" PRIu64
           " B; broker %.2f ms\n",
           ms(is.cpu_ns, was.cpu_ns), is.bytes_out - was.bytes_out, is.bytes_in - was.bytes_in,
           ms(after.broker.cpu_ns, before.broker.cpu_ns));
}

static void run(size_t members, size_t awake, size_t messages, bool quotas)
{
    struct bench bench = { .world = world_new(members),
                           .awake = members <= ALL_MAX || awake > members ? members : awake };

    if (!quotas)
        quotas_raised(bench.world);
    printf("\n%zu members, %zu online\n", members, bench.awake);
    quotas_print(bench.world);
    world_measure(bench.world, true);
    all_enrol(&bench, members + 1);
    create(&bench, members);
    send_one(&bench);
    add(&bench, members);
    take_away(&bench, members);
    catch_up(&bench, messages);
    world_free(&bench.world);
    free(bench.who);
}

int main(int argc, char **argv)
{
    size_t sizes[16] = { 10, 100, 1000 }, given = 0, messages = 500, awake = 30;
    struct rlimit files = { 20000, 20000 };
    bool quotas = false;

    setrlimit(RLIMIT_NOFILE, &files);
    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc;

        if (strcmp(argv[i], "-q") == 0)
            quotas = true;
        else if (strcmp(argv[i], "-m") == 0 && more)
            messages = strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "-s") == 0 && more)
            awake = strtoul(argv[++i], NULL, 10);
        else if (given < 16)
            sizes[given++] = strtoul(argv[i], NULL, 10);
    }
    for (size_t i = 0; i < (given ? given : 3); i++) {
        if (sizes[i] < 4 || sizes[i] >= WORLD_AGENTS_MAX || awake < 4 || messages < 2)
            return 1;
        run(sizes[i], awake, messages, quotas);
    }
    return 0;
}
