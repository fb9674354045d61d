#include "broker/edge/gate.h"

#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "shared/base/log.h"
#include "shared/base/text.h"
#include "shared/net/socket.h"

/* Handshakes a second: of one known key (every one-shot command is one), of one address with
 * unknown keys. */
#define PER_KEY       20
#define PER_ADDRESS   5
#define NAMES_MOST    16384
#define ZAP_PARTS     7
#define ZAP_PART_MOST 256

struct gate {
    struct table keys; /* owned: struct gate_key */
    struct buckets per_key, per_address;
    struct bucket all;
    struct gate_limits limits;
    struct gate_counts counts;
    bool quiet;
    void *zap; /* owned */
};

struct gate *gate_new(const struct gate_limits *limits, uint64_t now_ms)
{
    struct gate *gate = mem_zeroed(1, sizeof *gate);

    gate->limits = *limits;
    table_init(&gate->keys, offsetof(struct gate_key, key), CURVE_KEY_LEN);
    buckets_init(&gate->per_key, PER_KEY, PER_KEY, NAMES_MOST, now_ms);
    buckets_init(&gate->per_address, PER_ADDRESS, PER_ADDRESS, NAMES_MOST, now_ms);
    bucket_init(&gate->all, limits->handshakes_per_s, limits->handshakes_per_s, now_ms);
    return gate;
}

void gate_free(struct gate **gate)
{
    struct gate_key *each;

    if (!*gate)
        return;
    socket_close(&(*gate)->zap);
    for (size_t i = 0; (each = table_next(&(*gate)->keys, &i));)
        free(each);
    table_wipe(&(*gate)->keys);
    buckets_wipe(&(*gate)->per_key);
    buckets_wipe(&(*gate)->per_address);
    free(*gate);
    *gate = NULL;
}

void gate_configure(struct gate *gate, const struct gate_limits *limits, uint64_t now_ms)
{
    if (limits->handshakes_per_s != gate->limits.handshakes_per_s)
        bucket_init(&gate->all, limits->handshakes_per_s, limits->handshakes_per_s, now_ms);
    gate->limits = *limits;
}

struct gate_key *gate_find(const struct gate *gate, const uint8_t key[static CURVE_KEY_LEN])
{
    return table_find(&gate->keys, key);
}

void gate_add(struct gate *gate, const struct requester *who)
{
    struct gate_key *known = gate_find(gate, who->key);

    if (!known) {
        known = mem_zeroed(1, sizeof *known);
        memcpy(known->key, who->key, CURVE_KEY_LEN);
        table_insert(&gate->keys, known);
    }
    known->who = *who;
}

void gate_drop(struct gate *gate, const uint8_t key[static CURVE_KEY_LEN])
{
    struct gate_key *known = gate_find(gate, key);

    if (!known)
        return;
    table_remove(&gate->keys, known);
    free(known);
}

void gate_ban(struct gate *gate, const uint8_t key[static CURVE_KEY_LEN], uint64_t until_ms)
{
    struct gate_key *known = gate_find(gate, key);

    if (known)
        known->banned_until_ms = until_ms;
}

enum gate_answer gate_decide(struct gate *gate, const uint8_t key[static CURVE_KEY_LEN],
                             const void *address, size_t address_len, size_t connections,
                             uint64_t now_ms)
{
    const struct gate_key *known = gate_find(gate, key);

    /* Strangers have buckets of their own, so that they cannot use up the members'. */
    if (!known)
        return buckets_take(&gate->per_address, address, address_len, now_ms) ? GATE_UNKNOWN
                                                                              : GATE_LATER;
    if (now_ms < known->banned_until_ms || connections >= gate->limits.connections
        || known->connections >= gate->limits.connections_per_agent)
        return GATE_LATER;
    if (!buckets_take(&gate->per_key, key, CURVE_KEY_LEN, now_ms)
        || !bucket_take(&gate->all, now_ms))
        return GATE_LATER;
    return GATE_ADMIT;
}

void gate_counts(const struct gate *gate, struct gate_counts *out)
{
    *out = gate->counts;
}

enum err gate_bind(struct gate *gate)
{
    gate->zap = zmq_socket(net_context(), ZMQ_REP);
    if (gate->zap && socket_option(gate->zap, ZMQ_LINGER, 0, true) == ERR_OK
        && zmq_bind(gate->zap, "inproc://zeromq.zap.01") == 0)
        return ERR_OK;
    socket_close(&gate->zap);
    return ERR_UNSUPPORTED;
}

void *gate_socket(const struct gate *gate)
{
    return gate->zap;
}

void gate_quiet(struct gate *gate, bool quiet)
{
    gate->quiet = quiet;
}

struct zap_part {
    uint8_t at[ZAP_PART_MOST];
    size_t len; /* more than ZAP_PART_MOST: it was cut */
};

/* All parts of one request; the count, or -1 when nothing waits. */
static int zap_receive(void *zap, struct zap_part part[static ZAP_PARTS])
{
    struct zap_part beyond;
    int count = 0, more = 1;
    size_t len = sizeof more;

    while (more) {
        struct zap_part *to = count < ZAP_PARTS ? &part[count] : &beyond;
        int n = zmq_recv(zap, to->at, sizeof to->at, count ? 0 : ZMQ_DONTWAIT);

        if (n < 0)
            return -1;
        to->len = (size_t)n;
        count++;
        if (zmq_getsockopt(zap, ZMQ_RCVMORE, &more, &len) != 0)
            return -1;
    }
    return count;
}

static bool part_is(const struct zap_part *part, const char *text)
{
    return part->len == strlen(text) && memcmp(part->at, text, part->len) == 0;
}

static void zap_reply(void *zap, const struct zap_part *id, enum gate_answer answer,
                      const char *user)
{
    static const struct {
        enum gate_answer answer;
        const char *code, *text;
    } texts[] = { { GATE_ADMIT, "200", "" },
                  { GATE_LATER, "300", "later" },
                  { GATE_UNKNOWN, "400", "unknown key" } };
    size_t i = answer == GATE_ADMIT ? 0 : answer == GATE_LATER ? 1 : 2;

    zmq_send(zap, "1.0", 3, ZMQ_SNDMORE);
    zmq_send(zap, id->at, id->len, ZMQ_SNDMORE);
    zmq_send(zap, texts[i].code, 3, ZMQ_SNDMORE);
    zmq_send(zap, texts[i].text, strlen(texts[i].text), ZMQ_SNDMORE);
    zmq_send(zap, user, strlen(user), ZMQ_SNDMORE);
    zmq_send(zap, "", 0, 0);
}

static void count_answer(struct gate *gate, enum gate_answer answer)
{
    if (answer == GATE_ADMIT)
        gate->counts.admitted++;
    else if (answer == GATE_LATER)
        gate->counts.later++;
    else
        gate->counts.unknown++;
}

/* Parts: version, request id, domain, address, routing id, mechanism, key. */
void gate_serve(struct gate *gate, size_t connections, uint64_t now_ms)
{
    struct zap_part part[ZAP_PARTS];
    int count;

    while ((count = zap_receive(gate->zap, part)) >= 0) {
        enum gate_answer answer = GATE_UNKNOWN;
        char user[CURVE_TEXT_SIZE] = "", address[65] = "";

        if (count == ZAP_PARTS && part[1].len <= ZAP_PART_MOST && part_is(&part[0], "1.0")
            && part_is(&part[2], NET_ZAP_DOMAIN) && part_is(&part[5], "CURVE")
            && part[6].len == CURVE_KEY_LEN) {
            size_t address_len = part[3].len < 64 ? part[3].len : 64;

            memcpy(address, part[3].at, address_len);
            answer = gate_decide(gate, part[6].at, part[3].at, address_len, connections, now_ms);
            curve_text(user, part[6].at);
        } else {
            gate->counts.malformed++;
        }
        count_answer(gate, answer);
        if (answer != GATE_ADMIT && !gate->quiet)
            log_event(LOG_WARN, "handshake_refused", "addr=%s key=%.8s code=%d", log_value(address),
                      *user ? user : "-", (int)answer);
        if (answer != GATE_ADMIT)
            user[0] = 0;
        zap_reply(gate->zap, &part[1], answer, user);
    }
}
