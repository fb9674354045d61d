/* world_internal - what the files of the world share. */
#ifndef TESTS_WORLD_INTERNAL_H
#define TESTS_WORLD_INTERNAL_H
#include "agent/store/store.h"
#include "broker/controller/controller.h"
#include "broker/store/store.h"
#include "tests/lib/world.h"

enum { WORLD_AGENTS_MAX = 1100, WORLD_PATH = 160 };

/* A message on the way, or something that happens to a connection. */
enum trip_kind { TRIP_TO_BROKER, TRIP_TO_AGENT, TRIP_CONNECTED, TRIP_LOST };

struct trip {
    struct trip *next;
    uint64_t at_ms, order; /* when it arrives; `order` keeps equal times apart */
    enum trip_kind kind;
    struct world_agent *who;
    uint64_t conn;
    uint8_t key[32]; /* of the agent's end of the connection */
    enum link_loss why;
    struct buf head, body;
    size_t part_count;
    uint32_t part_len[63];
    bool made_up; /* by whoever sits between: it is not shown to him */
};

struct known_key {
    uint8_t key[32];
    struct requester by;
};

struct world_agent {
    struct world *world;
    char name[NAME_MAX_LEN + 1];
    char dir[WORLD_PATH]; /* dir of the world, dot, name */
    uint8_t aid[32];
    struct agent *agent; /* NULL: no process */
    struct agent_ports ports;
    uint64_t conn; /* 0: no socket */
    bool connected, apart;
    uint8_t key[32];                    /* of the socket */
    uint64_t to_broker_ms, to_agent_ms; /* arrival of the newest trip, so that none overtakes */
    struct world_spent spent;
};

/* One message that a test queued. */
struct saying {
    uint8_t id[16];
    struct world_agent *from, *to;
    uint64_t number; /* per (from, to), ascending */
    bool taken, dead;
};

struct world {
    uint64_t seed, draws;
    uint64_t now_ms, elapsed_ms;
    char dir[64], copy[80];
    struct world_weather weather;
    bool put_back; /* P4 is within a session; what was lost comes again in another, behind the rest
                    */
    struct flow_settings settings;

    struct store *store;
    struct controller *controller;
    struct signer *signer;
    struct flow *flow; /* NULL: no broker */
    struct flow_ports flow_ports;
    struct known_key *keys;
    size_t key_count, key_cap;

    /* Somebody between the broker and the agents (tests/lib/liar.h).  Sees each message where it
     * arrives, and may change it; false: it does not arrive. */
    bool (*between)(void *ctx, struct trip *trip);
    void *between_ctx;

    struct trip *trips; /* by arrival */
    uint64_t trip_order, last_conn;
    struct world_agent *agents[WORLD_AGENTS_MAX];
    size_t agent_count;

    struct numbered *numbered; /* every frame that ever left an agent, by hash of its number */
    size_t numbered_count, numbered_cap;
    struct saying *sayings;
    size_t saying_count, saying_cap;
    struct buf answers; /* lines for the operator */
    struct world_figures figures;
    bool measured;
    struct world_spent spent; /* the broker's */
};

_Noreturn void world_fail(const struct world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* For differences; 0 while nothing is measured. */
uint64_t world_cpu_ns(const struct world *world);

void world_fill(struct world *world, uint8_t *out, size_t len);
/* The controller's root key is made of it. */
void world_signer_seed(const struct world *world, uint8_t seed[static 32]);

/* world_link.c */
void link_ports(struct world_agent *who);
void link_hand_out(void *ctx, struct outgoing *out);
void link_broker_gone(struct world *world);
void link_cut(struct world *world, struct world_agent *who);
void link_clear(struct world *world);
void link_invite_key(struct world *world, const uint8_t key[static 32], int64_t invite_id);
void link_agent_gone(struct world_agent *who);
/* A message that its sender never wrote, over the agent's connection. */
void link_make_up(struct world_agent *who, enum trip_kind kind, struct bytes head,
                  const struct bytes *parts, size_t count);
uint64_t link_next_ms(const struct world *world);
/* Everything that arrives now. */
void link_arrive(struct world *world);

/* world_record.c */
/* P5: whatever leaves an agent has one digest per scope, sender and number (groups: and epoch), for
 * ever. */
void record_frames(struct world *world, const struct bytes *parts, size_t count);
void record_clear(struct world *world);
void record_sent(struct world *world, const uint8_t id[static 16], struct world_agent *from,
                 struct world_agent *to, uint64_t number);
#endif
