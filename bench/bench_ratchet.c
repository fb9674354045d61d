/* layers: base wire trust agent_crypto */
/*
 * bench_ratchet - how many a second, on one thread: sealing, opening, DH steps, session set-up.
 *
 *     bench_ratchet [SECONDS]      per row; default 1
 *
 * A figure stands beside its aim; nothing fails when it is missed, for machines differ.
 */
#include "agent/crypto/aead.h"
#include "agent/crypto/sign.h"
#include "shared/base/clock.h"
#include "shared/trust/event.h"
#include "tests/lib/pair.h"

#define SMALL 35
#define LARGE 10240

struct bench {
    struct pair pair;
    uint8_t message[LARGE], frame[FRAME_MAX], out[BUCKET_MAX], digest[32], sig[64];
    size_t size; /* of the message */
    struct frame_header header;
    uint8_t rand[32];
    uint8_t ik[32], ik_secret[64];
    uint8_t *frames; /* sealed beforehand, to be opened */
    size_t frame_count, next;
    struct ratchet first; /* the receiver in front of them */
};

static void must(enum err e)
{
    if (e != ERR_OK) {
        fprintf(stderr, "bench_ratchet: %s\n", err_name(e));
        exit(1);
    }
}

static void encrypt(struct bench *b)
{
    b->header.seq++;
    b->rand[0]++;
    must(ratchet_encrypt(&b->pair.a.ratchet, &b->header, bytes_of(b->message, b->size), b->rand,
                         b->frame, b->digest));
}

/* Frames of one chain, opened in turn; at their end the receiver begins anew. */
static void decrypt(struct bench *b)
{
    size_t size = frame_size_for(b->size);
    struct ratchet_opened opened;
    struct frame_view view;

    if (b->next == b->frame_count) {
        b->next = 0;
        b->pair.b.ratchet = b->first;
    }
    must(frame_parse_whole(bytes_of(b->frames + b->next++ * size, size), &view));
    must(ratchet_decrypt(&b->pair.b.ratchet, &b->pair.b.skipped, &view, b->rand, PAIR_NOW, b->out,
                         &opened));
}

static void speak(struct bench *b, struct side *from)
{
    struct side *to = pair_other(&b->pair, from);
    struct ratchet_opened opened;

    must(pair_seal(&b->pair, from, bytes_of(b->message, b->size), b->frame, b->digest));
    must(pair_open(&b->pair, to, bytes_of(b->frame, frame_size_for(b->size)), b->out, &opened));
}

/* There and back: the DH ratchet turns on both sides. */
static void ping_pong(struct bench *b)
{
    speak(b, &b->pair.a);
    speak(b, &b->pair.b);
}

/* X3DH and the first ratchet keys of both sides. */
static void set_up(struct bench *b)
{
    must(pair_initiate(&b->pair));
    must(pair_respond(&b->pair));
}

static void digest(struct bench *b)
{
    struct frame_view view;

    must(frame_parse_whole(bytes_of(b->frame, frame_size_for(b->size)), &view));
    frame_digest(&view, b->digest);
}

static void sign_event(struct bench *b)
{
    sign(b->sig, b->ik_secret, bytes_of(b->message, EVENT_SIZE));
}

static void prepare(struct bench *b, uint8_t suite, size_t size)
{
    enum { FRAMES = 512 };

    pair_end(&b->pair);
    free(b->frames);
    pair_begin(&b->pair, 1, suite);
    b->size = size;
    b->header = pair_header(&b->pair, &b->pair.a);
    b->frames = mem_alloc(FRAMES * frame_size_for(size));
    b->frame_count = FRAMES;
    b->next = 0;
    speak(b, &b->pair.a); /* B has turned: what follows is one chain */
    b->first = b->pair.b.ratchet;
    for (size_t i = 0; i < FRAMES; i++)
        must(pair_seal(&b->pair, &b->pair.a, bytes_of(b->message, size),
                       b->frames + i * frame_size_for(size), b->digest));
}

static void row(struct bench *b, const char *name, void (*work)(struct bench *), double seconds,
                double aim)
{
    uint64_t start = clock_elapsed_us(), now = start;
    uint64_t count = 0;
    double rate;

    while ((double)(now - start) < seconds * 1e6) {
        for (int i = 0; i < 64; i++)
            work(b);
        count += 64;
        now = clock_elapsed_us();
    }
    rate = (double)count * 1e6 / (double)(now - start);
    printf("%-44s %10.0f/s", name, rate);
    if (aim > 0)
        printf("   aim %8.0f/s  %s", aim, rate >= aim ? "reached" : "MISSED");
    putchar('\n');
    fflush(stdout);
}

static void suite_rows(struct bench *b, uint8_t suite, const char *name, double seconds)
{
    char text[64];

    if (!aead_available(suite)) {
        printf("%s: not on this CPU\n", name);
        return;
    }
    snprintf(text, sizeof text, "seal 35 B, %s", name);
    prepare(b, suite, SMALL);
    row(b, text, encrypt, seconds, suite == SUITE_CHACHA ? 200000 : 0);
    snprintf(text, sizeof text, "open 35 B, %s", name);
    row(b, text, decrypt, seconds, 0);
    snprintf(text, sizeof text, "seal 10 KiB, %s", name);
    prepare(b, suite, LARGE);
    row(b, text, encrypt, seconds, 0);
    snprintf(text, sizeof text, "open 10 KiB, %s", name);
    row(b, text, decrypt, seconds, 0);
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? strtod(argv[1], NULL) : 1;
    struct bench *b = mem_zeroed(1, sizeof *b);

    if (sodium_init() < 0 || seconds <= 0)
        return 2;
    sign_key_of_seed(b->ik, b->ik_secret, b->rand);
    suite_rows(b, SUITE_CHACHA, "suite 0x01", seconds);
    suite_rows(b, SUITE_AES, "suite 0x02", seconds);
    prepare(b, SUITE_CHACHA, SMALL);
    row(b, "ping-pong, a DH step each way", ping_pong, seconds, 4000);
    row(b, "session set-up, both sides", set_up, seconds, 1500);
    prepare(b, SUITE_CHACHA, SMALL);
    row(b, "digest of a frame of 35 B", digest, seconds, 0);
    prepare(b, SUITE_CHACHA, LARGE);
    row(b, "digest of a frame of 10 KiB", digest, seconds, 0);
    row(b, "signature of an event", sign_event, seconds, 0);
    pair_end(&b->pair);
    free(b->frames);
    free(b);
    return 0;
}
