/*
 * world - one broker and any number of agents in one process, on a virtual clock, over a link that
 * delays, cuts and partitions, run from a seed.
 *
 * Nothing sleeps and nothing is left to chance: the same seed gives the same run.  What agents say,
 * what reaches them and what their outboxes claim is written down; world_check() compares.
 *
 * Thread   one.
 * Errors   a promise that was broken ends the test through world_fail() with the seed in its text.
 */
#ifndef TESTS_WORLD_H
#define TESTS_WORLD_H
#include "agent/flow/agent.h"
#include "broker/flow/flow.h"

struct world;
struct world_agent;

/* How bad the link is.  Probabilities in 1/1000 per message unless said otherwise. */
struct world_weather {
    unsigned delay_max_ms; /* each way */
    unsigned cut;          /* the connection breaks, and what is on the way is lost */
    unsigned refuse;       /* a new connection finds nobody */
    unsigned drop;         /* one request or answer is lost, the connection stays */
    unsigned repeat;       /* one message arrives twice */
    unsigned overtake;     /* one request or answer does not wait for those before it */
};

/* Calm; what TCP may do; what only a broker that lies, or one in its place, could do besides. */
extern const struct world_weather world_calm, world_storm, world_chaos;

/* Makes the broker, empty, in a directory of its own under `base` (NULL: /dev/shm or /tmp). */
struct world *world_new(uint64_t seed);
void world_free(struct world **world);

uint64_t world_seed(const struct world *world);
uint64_t world_random(struct world *world, uint64_t below);
uint64_t world_now_ms(const struct world *world);
struct flow_settings *
world_settings(struct world *world); /* take effect at the next broker start */
void world_weather(struct world *world, struct world_weather weather);

/* Invites and joins an agent that stays online; `circle` NULL: a guest in no circle. */
struct world_agent *world_join(struct world *world, const char *name, const char *circle);
struct agent *world_agent(struct world_agent *who); /* NULL while it is down */
const uint8_t *world_aid(const struct world_agent *who);

/* A process of the agent starts, stops in order, or is killed. */
void world_start(struct world *world, struct world_agent *who);
void world_stop(struct world *world, struct world_agent *who);
void world_kill(struct world *world, struct world_agent *who);
/* Keeps a copy of its profile; puts it back (the agent must be down). */
void world_agent_copy(struct world *world, struct world_agent *who);
void world_agent_put_back(struct world *world, struct world_agent *who);

void world_broker_stop(struct world *world);
void world_broker_kill(struct world *world);
void world_broker_start(struct world *world);
/* As a backup would: a copy of the database, to be put back later with new incarnation rules. */
void world_broker_copy(struct world *world);
void world_broker_put_back(struct world *world);
struct flow *world_flow(struct world *world);

/* The agent can (not) reach the broker. */
void world_partition(struct world *world, struct world_agent *who, bool apart);

/* Queues a numbered message; the text is made from the number and its size.  False: refused. */
bool world_send(struct world *world, struct world_agent *from, struct world_agent *to, size_t size);
/* Takes everything that is unread at `who`, as a program would, and writes it down. */
void world_take_all(struct world *world, struct world_agent *who);

/* Runs until `until` says so or `limit_ms` of virtual time have passed; returns what it said last.
 */
bool world_run(struct world *world, uint64_t limit_ms,
               bool (*until)(struct world *world, void *ctx), void *ctx);
void world_pass(struct world *world, uint64_t ms);

/* All messages that were queued have been taken at the other side (or are dead letters there). */
bool world_all_arrived(struct world *world, void *unused);
/* … and every sender has its receipts. */
bool world_all_delivered(struct world *world, void *unused);

/* Says on stderr what has not arrived or has no receipt, and where it stands. */
void world_explain(struct world *world);

/* Nothing lost, nothing twice, order per sender kept, nothing invented. */
void world_check(struct world *world);

/* What a party has done since the world began: CPU while world_measure() is on, without what the
 * link takes; messages and their bytes, heads and parts, as they would cross the wire. */
struct world_spent {
    uint64_t cpu_ns;
    uint64_t messages_out, bytes_out, messages_in, bytes_in;
};
void world_measure(struct world *world, bool on);
struct world_spent world_agent_spent(const struct world_agent *who);
struct world_spent world_broker_spent(const struct world *world);

struct world_figures {
    uint64_t sent, taken, cuts, connections, turns;
};
struct world_figures world_figures(const struct world *world);

#endif
