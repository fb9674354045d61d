/* layers: broker_store */
/*
 * bench_store - the broker's store alone, on one thread and a real file: frames stored, delivered
 *               and settled per second, by size of the group.
 *
 *     bench_store [DIR [SECONDS]]      default: a directory in /tmp, 2 s per row
 *
 * 1,000 sessions of 500 agents, both directions; durable commits; no network, no signatures.
 *   store    SEND only
 *   online   SEND, FETCH, ACK of each frame, its receipt, and the receipt's ACK
 *   drain    FETCH and ACK, 16 at a time, of what `store` has left
 * Bytes are what was handed to write(): log and checkpoints together, from /proc/self/io.
 */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "broker/store/directory.h"
#include "broker/store/scopes.h"
#include "broker/store/senders.h"
#include "broker/store/streams.h"
#include "shared/base/clock.h"
#include "shared/trust/identity.h"

#define AGENTS   500
#define SESSIONS 1000
#define SMALL    486  /* a frame with a 300-byte body */
#define LARGE    4282 /* with 4 KiB */
#define RECEIPT  212
#define DRAIN    16
#define LIFE_MS  UINT64_C(604800000)

struct bench {
    struct store *store;
    char dir[256];
    uint64_t seconds, now_ms, random;
    int64_t agent[AGENTS], mailbox[AGENTS];
    struct pair {
        int64_t session;
        size_t a, b; /* of agent[] */
        uint64_t seq[2];
    } pair[SESSIONS];
    size_t turn; /* whose frame comes next */
    struct settlement settlement;
    uint8_t body[LARGE];
};

static void must(enum err e)
{
    if (e != ERR_OK) {
        fprintf(stderr, "bench_store: %s\n", err_text(e));
        exit(1);
    }
}

static void chance(void *ctx, uint8_t *out, size_t len)
{
    uint64_t *seed = ctx;

    for (size_t i = 0; i < len; i++) {
        *seed = *seed * 6364136223846793005u + 1442695040888963407u;
        out[i] = (uint8_t)(*seed >> 56);
    }
}

static uint64_t bytes_written(void)
{
    FILE *io = fopen("/proc/self/io", "r");
    char line[64];
    unsigned long long v = 0;

    while (io && fgets(line, sizeof line, io))
        if (sscanf(line, "wchar: %llu", &v) == 1)
            break;
    if (io)
        fclose(io);
    return v;
}

static uint64_t cpu_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* ---- a world of agents and sessions
 * --------------------------------------------------------------- */

static void add_agent(struct bench *b, size_t i)
{
    struct agent_new agent = { .circles = "", .now_ms = b->now_ms };
    struct buf card = { 0 };
    uint8_t sig[64] = { 0 };

    snprintf(agent.card.name, sizeof agent.card.name, "agent%zu", i);
    chance(&b->random, agent.card.ik, 32);
    chance(&b->random, agent.card.dk, 32);
    chance(&b->random, agent.card.tk, 32);
    agent.card.gen = 1;
    agent.card.suites = 1;
    agent.card.proto_min = agent.card.proto_max = 1;
    card_encode(&card, &agent.card);
    aid_of(agent.aid, agent.card.ik);
    card_hash(agent.card_hash, buf_bytes(&card));
    agent.packed = buf_bytes(&card);
    agent.sig = sig;
    must(store_agent_add(b->store, &agent, &b->agent[i]));
    b->mailbox[i] = store_agent(b->store, b->agent[i])->mailbox;
    buf_free(&card);
}

static void add_session(struct bench *b, size_t i)
{
    struct pair *pair = &b->pair[i];
    struct session_row session = { .mode = 1,
                                   .suite = 1,
                                   .opened_ms = b->now_ms,
                                   .idle_ms = LIFE_MS,
                                   .ends_ms = b->now_ms + LIFE_MS,
                                   .due_ms = b->now_ms + LIFE_MS };

    *pair = (struct pair){ .a = i % AGENTS, .b = (i * 7 + 1 + i / AGENTS) % AGENTS };
    if (pair->a == pair->b)
        pair->b = (pair->b + 1) % AGENTS;
    session.a_id = b->agent[pair->a];
    session.b_id = b->agent[pair->b];
    chance(&b->random, session.id, sizeof session.id);
    must(store_session_add(b->store, &session));
    pair->session = session.session_id;
}

static void begin(struct bench *b)
{
    struct store_options options;

    store_options_default(&options);
    options.dir = b->dir;
    options.ballast_bytes = 0;
    options.now_ms = b->now_ms = clock_now_ms();
    options.random = chance;
    options.random_ctx = &b->random;
    must(store_init(&options));
    must(store_open(&b->store, &options));
    must(store_begin(b->store));
    for (size_t i = 0; i < AGENTS; i++)
        add_agent(b, i);
    for (size_t i = 0; i < SESSIONS; i++)
        add_session(b, i);
    must(store_commit(b->store));
}

static void end(struct bench *b)
{
    char command[320];

    store_close(&b->store);
    settlement_free(&b->settlement);
    snprintf(command, sizeof command, "rm -rf '%s'", b->dir);
    if (system(command) != 0)
        fprintf(stderr, "bench_store: %s is left\n", b->dir);
}

/* ---- what a broker does with a frame
 * -------------------------------------------------------------- */

struct sent {
    struct pair *pair;
    size_t from, to; /* of agent[] */
    uint64_t position;
};

/* The reads and the writes of SEND. */
static struct sent send_one(struct bench *b, size_t len)
{
    struct pair *pair = &b->pair[b->turn % SESSIONS];
    int way = b->turn++ / SESSIONS % 2;
    struct sent sent = { pair, way ? pair->b : pair->a, way ? pair->a : pair->b, 0 };
    struct frame_row frame = { .stream_id = b->mailbox[sent.to],
                               .scope_id = pair->session,
                               .sender_id = b->agent[sent.from],
                               .seq = ++pair->seq[way],
                               .kind = ITEM_DATA,
                               .stored_ms = b->now_ms,
                               .expires_ms = b->now_ms + LIFE_MS,
                               .frame = { b->body, len } };
    struct session_row session;
    struct sender_row sender;
    struct stream_row stream;
    struct share share;

    put_u64(b->body, b->turn);
    crypto_hash_sha256(frame.digest, b->body, len); /* as frame_digest() costs */
    must(store_session_get(b->store, pair->session, &session));
    must(store_sender_get(b->store, pair->session, frame.sender_id, &sender));
    must(store_stream_get(b->store, frame.stream_id, &stream));
    must(store_share(b->store, frame.stream_id, frame.sender_id, &share));
    must(store_sender_advance(b->store, pair->session, frame.sender_id, frame.seq, frame.digest,
                              len, b->now_ms));
    must(store_frame_append(b->store, &frame, &sent.position));
    return sent;
}

static bool take(void *ctx, const struct frame_row *frame)
{
    struct bench *b = ctx;

    if (frame->damaged)
        must(ERR_STORE);
    settlement_add(&b->settlement, frame);
    return true;
}

static bool look(void *ctx, const struct frame_row *frame)
{
    uint64_t *last = ctx;

    *last = frame->position;
    return true;
}

/* FETCH and ACK of at most `max` frames of a mailbox; how many there were. */
static uint64_t settle(struct bench *b, size_t reader, uint64_t max)
{
    struct cursor_row cursor;
    uint64_t last = 0;

    must(store_cursor_get(b->store, b->mailbox[reader], b->agent[reader], &cursor));
    must(store_frame_fetch(b->store, b->mailbox[reader], cursor.position, max, look, &last));
    if (last == 0)
        return 0;
    settlement_clear(&b->settlement);
    must(store_frame_list(b->store, b->mailbox[reader], cursor.position, last, max, take, b));
    must(store_settle(b->store, b->mailbox[reader], last, &b->settlement));
    must(store_cursor_move(b->store, b->mailbox[reader], b->agent[reader], last, b->now_ms,
                           bytes_of(NULL, 0)));
    return b->settlement.rows;
}

static void receipt(struct bench *b, const struct sent *sent)
{
    struct frame_row item = { .stream_id = b->mailbox[sent->from],
                              .scope_id = sent->pair->session,
                              .sender_id = b->agent[sent->to],
                              .kind = ITEM_RECEIPT,
                              .stored_ms = b->now_ms,
                              .expires_ms = b->now_ms + LIFE_MS,
                              .frame = { b->body, RECEIPT } };
    uint64_t position;

    must(store_frame_append(b->store, &item, &position));
}

static uint64_t do_store(struct bench *b, size_t group, size_t len)
{
    for (size_t i = 0; i < group; i++)
        send_one(b, len);
    return group;
}

static uint64_t do_online(struct bench *b, size_t group, size_t len)
{
    struct sent sent[256];

    for (size_t i = 0; i < group; i++)
        sent[i] = send_one(b, len);
    for (size_t i = 0; i < group; i++)
        if (settle(b, sent[i].to, 1024))
            receipt(b, &sent[i]);
    for (size_t i = 0; i < group; i++)
        settle(b, sent[i].from, 1024);
    return group;
}

static uint64_t do_drain(struct bench *b, size_t group, size_t len)
{
    uint64_t settled = 0;

    (void)len;
    for (size_t i = 0; i < AGENTS && settled < group; i++)
        settled += settle(b, b->turn++ % AGENTS, group < DRAIN ? group : DRAIN);
    return settled;
}

/* ---- rows
 * ----------------------------------------------------------------------------------------- */

typedef uint64_t group_work(struct bench *b, size_t group, size_t len);

static void row(struct bench *b, const char *name, group_work *work, size_t group, size_t len)
{
    uint64_t frames = 0, more, written = bytes_written();
    uint64_t begun = clock_elapsed_us(), cpu = cpu_us(), took;
    struct store_facts facts;
    bool did;

    do {
        must(store_begin(b->store));
        more = work(b, group, len);
        must(store_commit(b->store));
        must(store_maintain(b->store, false, &did));
        frames += more;
        took = clock_elapsed_us() - begun;
    } while (more && took < b->seconds * 1000000);
    written = bytes_written() - written;
    cpu = cpu_us() - cpu;
    store_facts(b->store, &facts);
    if (frames == 0)
        frames = 1;
    printf("%-7s %5zu B  group %3zu  %8.0f frames/s  %5.1f us CPU  %6.1f KB written a frame"
           "  commit p99 %5llu us\n",
           name, len, group, (double)frames * 1e6 / (double)took, (double)cpu / (double)frames,
           (double)written / 1000.0 / (double)frames, (unsigned long long)facts.commit_us_p99);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static const size_t groups[] = { 1, 16, 64, 256 }, sizes[] = { SMALL, LARGE };
    static const struct {
        const char *name;
        group_work *work;
    } kinds[] = { { "store", do_store }, { "drain", do_drain }, { "online", do_online } };
    const char *parent = argc > 1 ? argv[1] : "/tmp";

    if (sodium_init() < 0)
        return 1;
    for (size_t s = 0; s < 2; s++)
        for (size_t g = 0; g < 4; g++) {
            struct bench *b = mem_zeroed(1, sizeof *b);

            b->seconds = argc > 2 ? strtoul(argv[2], NULL, 10) : 2;
            snprintf(b->dir, sizeof b->dir, "%s/bench-store-XXXXXX", parent);
            if (!mkdtemp(b->dir)) {
                perror(parent);
                return 1;
            }
            begin(b);
            for (size_t k = 0; k < 3; k++)
                row(b, kinds[k].name, kinds[k].work, groups[g], sizes[s]);
            end(b);
            free(b);
        }
    return 0;
}
