/* The world: its clock, its broker, its agents. */
#include "tests/lib/world.h"

#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <limits.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "shared/base/files.h"
#include "shared/base/log.h"
#include "shared/trust/invite.h"
#include "tests/lib/world_internal.h"

const struct world_weather world_calm = { .delay_max_ms = 5 };
const struct world_weather world_storm = { .delay_max_ms = 800, .cut = 15, .refuse = 100 };
const struct world_weather world_chaos
    = { .delay_max_ms = 800, .cut = 10, .refuse = 100, .drop = 20, .repeat = 20, .overtake = 50 };

enum { WORLD_START_MS = 1800000000 };

void world_fail(const struct world *world, const char *format, ...)
{
    va_list args;

    fprintf(stderr, "world: seed %" PRIu64 ", %" PRIu64 " ms after the beginning: ", world->seed,
            world->elapsed_ms);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    abort();
}

uint64_t world_cpu_ns(const struct world *world)
{
    struct timespec now;

    if (!world->measured)
        return 0;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void world_measure(struct world *world, bool on)
{
    world->measured = on;
}

struct world_spent world_agent_spent(const struct world_agent *who)
{
    return who->spent;
}

struct world_spent world_broker_spent(const struct world *world)
{
    return world->spent;
}

static void must(const struct world *world, enum err e, const char *what)
{
    if (e != ERR_OK)
        world_fail(world, "%s: %s", what, err_name(e));
}

void world_fill(struct world *world, uint8_t *out, size_t len)
{
    uint8_t seed[randombytes_SEEDBYTES] = { 0 };

    put_u64(put_u64(seed, world->seed), ++world->draws);
    randombytes_buf_deterministic(out, len, seed);
}

uint64_t world_random(struct world *world, uint64_t below)
{
    uint64_t n;

    world_fill(world, (uint8_t *)&n, sizeof n);
    return n % below;
}

uint64_t world_seed(const struct world *world)
{
    return world->seed;
}

uint64_t world_now_ms(const struct world *world)
{
    return world->now_ms;
}

struct flow_settings *world_settings(struct world *world)
{
    return &world->settings;
}

struct flow *world_flow(struct world *world)
{
    return world->flow;
}

void world_weather(struct world *world, struct world_weather weather)
{
    world->weather = weather;
}

struct world_figures world_figures(const struct world *world)
{
    return world->figures;
}

/* ------------------------------------------------------------------ broker */

static uint64_t broker_now(void *ctx)
{
    return ((struct world *)ctx)->now_ms;
}

static uint64_t broker_elapsed(void *ctx)
{
    return ((struct world *)ctx)->elapsed_ms;
}

static void broker_random(void *ctx, uint8_t *out, size_t len)
{
    world_fill(ctx, out, len);
}

static uint64_t broker_disk(void *ctx)
{
    (void)ctx;
    return UINT64_MAX;
}

static struct store_options store_options_of(struct world *world)
{
    struct store_options options;

    store_options_default(&options);
    options.dir = world->dir;
    options.now_ms = world->now_ms;
    options.elapsed_ms = world->elapsed_ms;
    options.random = broker_random;
    options.random_ctx = world;
    options.ballast_bytes = 0;
    options.disk_floor_bytes = 0;
    return options;
}

void world_signer_seed(const struct world *world, uint8_t seed[static 32])
{
    memset(seed, 0, 32);
    seed[0] = 1;
    put_u64(seed + 1, world->seed);
}

void world_broker_start(struct world *world)
{
    struct store_options options = store_options_of(world);
    struct controller_settings settings;
    uint8_t seed[32];
    struct signer *signer;

    world_signer_seed(world, seed);
    must(world, store_open(&world->store, &options), "store_open");
    signer_new(&signer, seed);
    world->signer = signer;
    controller_settings_default(&settings);
    snprintf(settings.endpoint, sizeof settings.endpoint, "tcp://world:5752");
    memset(settings.curve_pk, 7, sizeof settings.curve_pk);
    must(world, controller_open(&world->controller, world->store, signer, &settings),
         "controller_open");
    must(world,
         flow_open(&world->flow, world->store, world->controller, &world->flow_ports,
                   &world->settings),
         "flow_open");
}

static void broker_end(struct world *world)
{
    flow_close(&world->flow);
    controller_close(&world->controller);
    signer_close(&world->signer);
    store_close(&world->store);
    link_broker_gone(world);
}

void world_broker_stop(struct world *world)
{
    flow_say_goodbye(world->flow, 1000);
    broker_end(world);
}

/* What was committed is on the disk, what was in memory is gone; closing adds nothing to either. */
void world_broker_kill(struct world *world)
{
    broker_end(world);
}

static void copy_tree(struct world *world, const char *from, const char *to)
{
    char command[4 * WORLD_PATH];

    snprintf(command, sizeof command, "rm -rf '%s' && cp -a '%s' '%s'", to, from, to);
    if (system(command) != 0)
        world_fail(world, "cannot copy %s", from);
}

static int remove_one(const char *path, const struct stat *stat, int kind, struct FTW *where)
{
    (void)stat, (void)kind, (void)where;
    return remove(path);
}

static void remove_tree(const char *path)
{
    if (nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT)
        fprintf(stderr, "world: %s stays behind\n", path);
}

void world_broker_copy(struct world *world)
{
    char from[WORLD_PATH], command[4 * WORLD_PATH];

    /* As people copy by mistake: the database alone, log included; `seen` and enrol.log stay. */
    snprintf(from, sizeof from, "%s/broker.db", world->dir);
    snprintf(command, sizeof command, "rm -rf '%s' && mkdir -m 700 '%s' && cp -a '%s'* '%s'",
             world->copy, world->copy, from, world->copy);
    if (system(command) != 0)
        world_fail(world, "cannot copy the broker's database");
}

void world_broker_put_back(struct world *world)
{
    char command[4 * WORLD_PATH];

    world->put_back = true;
    snprintf(command, sizeof command, "rm -f '%s'/broker.db* && cp -a '%s'/. '%s'", world->dir,
             world->copy, world->dir);
    if (system(command) != 0)
        world_fail(world, "cannot put the broker's database back");
}

/* ------------------------------------------------------------------ life of the world */

struct world *world_new(uint64_t seed)
{
    struct world *world = mem_zeroed(1, sizeof *world);
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    struct store_options options;

    if (sodium_init() < 0)
        abort();
    if (getenv("WORLD_LOG"))
        log_setup(LOG_DEBUG, LOG_LOGFMT, UINT_MAX);
    world->seed = seed;
    world->now_ms = WORLD_START_MS * 1000ull;
    world->weather = world_calm;
    snprintf(world->dir, sizeof world->dir, "%s/sealpost-world-XXXXXX", base);
    if (!mkdtemp(world->dir))
        world_fail(world, "no place for the broker");
    snprintf(world->copy, sizeof world->copy, "%s.copy", world->dir);
    flow_settings_default(&world->settings);
    snprintf(world->settings.public_address, sizeof world->settings.public_address, "world:5752");
    world->flow_ports = (struct flow_ports){ world,         broker_now,    broker_elapsed,
                                             broker_random, link_hand_out, broker_disk };
    options = store_options_of(world);
    must(world, store_init(&options), "store_init");
    world_broker_start(world);
    return world;
}

void world_free(struct world **world_at)
{
    struct world *world = *world_at;

    if (!world)
        return;
    for (size_t i = 0; i < world->agent_count; i++)
        world_kill(world, world->agents[i]);
    if (world->flow)
        broker_end(world);
    for (size_t i = 0; i < world->agent_count; i++) {
        struct world_agent *who = world->agents[i];
        char copy[WORLD_PATH + 8];

        remove_tree(who->dir);
        snprintf(copy, sizeof copy, "%s.copy", who->dir);
        remove_tree(copy);
        free(who);
    }
    remove_tree(world->dir);
    remove_tree(world->copy);
    link_clear(world);
    record_clear(world);
    free(world->keys);
    free(world->sayings);
    buf_free(&world->answers);
    free(world);
    *world_at = NULL;
}

static uint64_t next_ms(const struct world *world)
{
    uint64_t next = link_next_ms(world), tick;
    uint64_t ahead = world->now_ms - world->elapsed_ms; /* of the elapsed clock */

    if (world->flow && (tick = flow_next_tick_ms(world->flow)) != UINT64_MAX && tick + ahead < next)
        next = tick + ahead;
    for (size_t i = 0; i < world->agent_count; i++) {
        struct agent *agent = world->agents[i]->agent;

        if (agent && (tick = agent_next_tick_ms(agent)) != UINT64_MAX && tick + ahead < next)
            next = tick + ahead;
    }
    return next;
}

static void step(struct world *world, uint64_t end_ms)
{
    uint64_t next = next_ms(world), begun;

    if (next > end_ms)
        next = end_ms;
    if (next > world->now_ms) {
        world->elapsed_ms += next - world->now_ms;
        world->now_ms = next;
    }
    link_arrive(world);
    for (size_t i = 0; i < world->agent_count; i++) {
        struct world_agent *who = world->agents[i];

        if (who->agent && agent_next_tick_ms(who->agent) <= world->elapsed_ms) {
            begun = world_cpu_ns(world);
            agent_tick(who->agent);
            who->spent.cpu_ns += world_cpu_ns(world) - begun;
        }
    }
    if (world->flow && flow_next_tick_ms(world->flow) <= world->elapsed_ms) {
        begun = world_cpu_ns(world);
        must(world, flow_tick(world->flow), "flow_tick");
        world->spent.cpu_ns += world_cpu_ns(world) - begun;
    }
}

static const char *due(const struct world *world)
{
    for (size_t i = 0; i < world->agent_count; i++)
        if (world->agents[i]->agent
            && agent_next_tick_ms(world->agents[i]->agent) <= world->elapsed_ms)
            return world->agents[i]->name;
    return world->flow && flow_next_tick_ms(world->flow) <= world->elapsed_ms ? "the broker"
                                                                              : "nobody";
}

bool world_run(struct world *world, uint64_t limit_ms,
               bool (*until)(struct world *world, void *ctx), void *ctx)
{
    uint64_t end_ms = world->now_ms + limit_ms;
    uint64_t moment = world->now_ms, steps = 0;

    while (!until(world, ctx)) {
        if (world->now_ms >= end_ms && link_next_ms(world) > end_ms)
            return until(world, ctx);
        step(world, end_ms);
        /* A timer that is always due would stop the clock. */
        steps = world->now_ms == moment ? steps + 1 : 0;
        moment = world->now_ms;
        if (steps > 100000)
            world_fail(world, "the timer of %s is due for ever", due(world));
    }
    return true;
}

static bool never(struct world *world, void *ctx)
{
    (void)world, (void)ctx;
    return false;
}

void world_pass(struct world *world, uint64_t ms)
{
    world_run(world, ms, never, NULL);
}

/* ------------------------------------------------------------------ agents */

struct agent *world_agent(struct world_agent *who)
{
    return who->agent;
}

const uint8_t *world_aid(const struct world_agent *who)
{
    return who->aid;
}

void world_start(struct world *world, struct world_agent *who)
{
    struct agent_settings settings;
    struct agent_store *store;

    if (who->agent)
        return;
    must(world, agent_store_open(&store, who->dir), "agent_store_open");
    agent_settings_default(&settings);
    settings.sent_keep_ms = 60 * 86400000ull; /* the record asks about old ones, too */
    must(world, agent_new(&who->agent, &store, &who->ports, &settings), "agent_new");
    agent_go_online(who->agent);
}

void world_stop(struct world *world, struct world_agent *who)
{
    if (!who->agent)
        return;
    agent_go_offline(who->agent);
    world_pass(world, 1);
    agent_free(&who->agent);
    link_agent_gone(who);
}

void world_kill(struct world *world, struct world_agent *who)
{
    (void)world;
    agent_free(&who->agent);
    link_agent_gone(who);
}

void world_agent_copy(struct world *world, struct world_agent *who)
{
    char copy[WORLD_PATH + 8];

    snprintf(copy, sizeof copy, "%s.copy", who->dir);
    copy_tree(world, who->dir, copy);
}

void world_agent_put_back(struct world *world, struct world_agent *who)
{
    char copy[WORLD_PATH + 8];

    snprintf(copy, sizeof copy, "%s.copy", who->dir);
    copy_tree(world, copy, who->dir);
}

void world_partition(struct world *world, struct world_agent *who, bool apart)
{
    who->apart = apart;
    if (apart)
        link_cut(world, who);
}

static bool joined(struct world *world, void *ctx)
{
    struct world_agent *who = ctx;
    struct agent_link link;

    (void)world;
    agent_link_get(who->agent, &link);
    return link.caught_up;
}

/* Everybody who can hear it knows the newcomer's name. */
static bool known_to_all(struct world *world, void *ctx)
{
    const struct world_agent *who = ctx;
    uint8_t aid[32];

    for (size_t i = 0; i < world->agent_count; i++) {
        struct world_agent *other = world->agents[i];
        struct agent_link link;
        if (!other->agent || other->apart || other == who)
            continue;
        agent_link_get(other->agent, &link);
        if (link.state == STATE_UP && agent_peer_find(other->agent, who->name, aid) != ERR_OK)
            return false;
    }
    return true;
}

/* What `sealpostctl invite` does, without its socket. */
static void invite_make(struct world *world, const char *name, const char *circle,
                        struct invite *invite)
{
    struct invite_wish wish
        = { .name = name, .circles = &circle, .circle_count = circle ? 1 : 0, .guest = !circle };
    uint8_t public_key[32];
    struct invite_row row;

    *invite = (struct invite){ .port = 5752 };
    snprintf(invite->host, sizeof invite->host, "world");
    memset(invite->server_curve_pk, 7, 32);
    memcpy(invite->root_id, controller_root_id(world->controller), 32);
    world_fill(world, invite->invite_curve_sk, 32);
    crypto_scalarmult_base(public_key, invite->invite_curve_sk);
    must(world, store_begin(world->store), "store_begin");
    must(world,
         controller_invite_make(world->controller, &wish, public_key, world->now_ms, "world", &row),
         "invite");
    must(world, store_commit(world->store), "store_commit");
    invite->exp_ms = row.expires_ms;
    link_invite_key(world, public_key, row.invite_id);
}

struct world_agent *world_join(struct world *world, const char *name, const char *circle)
{
    struct world_agent *who = mem_zeroed(1, sizeof *who);
    struct agent_settings settings;
    struct agent_self self;
    struct agent_store *store;
    struct invite invite;
    uint8_t key[AGENT_KEY_SIZE];

    if (world->agent_count == WORLD_AGENTS_MAX)
        world_fail(world, "too many agents");
    who->world = world;
    snprintf(who->name, sizeof who->name, "%s", name);
    snprintf(who->dir, sizeof who->dir, "%s.%s", world->dir, name);
    must(world, dir_make(who->dir, 0700), "dir_make");
    link_ports(who);
    world->agents[world->agent_count++] = who;

    invite_make(world, name, circle, &invite);
    agent_settings_default(&settings);
    settings.sent_keep_ms = 60 * 86400000ull; /* the record asks about old ones, too */
    world_fill(world, key, sizeof key);
    must(world, agent_store_create(&store, who->dir, key), "agent_store_create");
    must(world, agent_identity_make(store, &who->ports, &settings, bytes_of_text(name), &invite),
         "agent_identity_make");
    must(world, agent_new(&who->agent, &store, &who->ports, &settings), "agent_new");
    agent_go_online(who->agent);
    if (!world_run(world, 3600000, joined, who))
        world_fail(world, "%s does not get in", name);
    if (!world_run(world, 3600000, known_to_all, who))
        world_fail(world, "nobody hears of %s", name);
    must(world, agent_self_get(who->agent, &self), "agent_self_get");
    memcpy(who->aid, self.aid, 32);
    return who;
}
