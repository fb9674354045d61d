/*
 * gate - which keys may finish a CURVE handshake (protocol 6.1).
 *
 * The answer comes from memory: keys of active cards and of invites that are not gone, as the flow
 * announced them.  An empty set admits nobody.
 *
 * Thread   the loop's.
 * Time     of the elapsed clock.
 */
#ifndef EDGE_GATE_H
#define EDGE_GATE_H
#include "broker/edge/limit.h"
#include "broker/flow/flow.h"
#include "shared/net/curve.h"

struct gate;

struct gate_limits {
    uint64_t handshakes_per_s; /* of known keys, all together */
    uint64_t connections, connections_per_agent;
};

enum gate_answer { GATE_ADMIT = 200, GATE_LATER = 300, GATE_UNKNOWN = 400 };

/* What the gate knows of a key. */
struct gate_key {
    uint8_t key[CURVE_KEY_LEN];
    struct requester who; /* conn is 0 */
    unsigned connections; /* counted by the connection table */
    uint64_t banned_until_ms;
};

struct gate *gate_new(const struct gate_limits *limits, uint64_t now_ms);
void gate_free(struct gate **gate);
void gate_configure(struct gate *gate, const struct gate_limits *limits, uint64_t now_ms);

void gate_add(struct gate *gate, const struct requester *who);
void gate_drop(struct gate *gate, const uint8_t key[static CURVE_KEY_LEN]);
/* NULL: not in the set.  Borrowed until it is dropped. */
struct gate_key *gate_find(const struct gate *gate, const uint8_t key[static CURVE_KEY_LEN]);

/* No handshake of this key for a minute. */
void gate_ban(struct gate *gate, const uint8_t key[static CURVE_KEY_LEN], uint64_t until_ms);

/* `connections`: how many there are now. */
enum gate_answer gate_decide(struct gate *gate, const uint8_t key[static CURVE_KEY_LEN],
                             const void *address, size_t address_len, size_t connections,
                             uint64_t now_ms);

struct gate_counts {
    uint64_t admitted, later, unknown, malformed;
};
void gate_counts(const struct gate *gate, struct gate_counts *out);

/* Makes and binds the REP socket that ZAP asks.  ERR_UNSUPPORTED. */
enum err gate_bind(struct gate *gate);
void *gate_socket(const struct gate *gate);
/* Refusals are not logged: the self-test provokes one. */
void gate_quiet(struct gate *gate, bool quiet);
/* Answers what is waiting. */
void gate_serve(struct gate *gate, size_t connections, uint64_t now_ms);

#endif
