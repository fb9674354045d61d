/* layers: testlib */
/*
 * bench_flow - what the broker's store thread spends on a message, without sockets: frames taken
 * and delivered in one turn, acknowledged in the next, receipts acknowledged in a third.
 *
 *     bench_flow [PAIRS] [FRAMES a turn and pair] [TURNS] [BODY] [BATCH: frames of one SEND]
 *
 * Making frames and receipts is the clients' work and not counted; nor are the receipts'
 * signatures, which the loop thread checks (request_precheck).
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "shared/wire/bucket.h"
#include "tests/lib/fake_broker.h"

enum { PAIRS_MOST = 64, DAY_MS = 86400000 };

struct pair {
    struct fake_party producer, consumer;
    struct fake_session session;
    struct fake_item *items;
    size_t count;
};

static struct fake_broker broker;
static struct pair pairs[PAIRS_MOST];
static double spent_s[3], cpu_s[3];

static double seconds(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void run_turn(int phase)
{
    double wall, cpu;

    for (size_t i = 0; i < broker.queued_count; i++)
        request_precheck(broker.queued[i]);
    wall = seconds(CLOCK_MONOTONIC);
    cpu = seconds(CLOCK_THREAD_CPUTIME_ID);
    if (fake_run(&broker) != ERR_OK)
        abort();
    spent_s[phase] += seconds(CLOCK_MONOTONIC) - wall;
    cpu_s[phase] += seconds(CLOCK_THREAD_CPUTIME_ID) - cpu;
}

static void queue_sends(struct pair *pair, int frames, int batch, size_t bucket)
{
    struct message message = { .verb = VERB_SEND };
    struct buf bytes[63] = { { 0 } };
    struct bytes parts[63];

    for (int done = 0; done < frames; done += batch) {
        int count = frames - done < batch ? frames - done : batch;

        for (int i = 0; i < count; i++) {
            buf_clear(&bytes[i]);
            fake_frame(&bytes[i], FRAME_DATA, pair->session.chain.sid, &pair->producer.agent,
                       &pair->consumer.agent, pair->session.next_a++, broker.now_ms + DAY_MS,
                       bucket);
            parts[i] = buf_bytes(&bytes[i]);
        }
        fake_queue(&broker, &pair->producer.by, &message, parts, (size_t)count);
    }
    for (size_t i = 0; i < 63; i++)
        buf_free(&bytes[i]);
}

/* Everything that was handed out to this party, in one ACK. */
static void queue_ack(struct pair *pair, const struct fake_party *party)
{
    static const uint8_t mailbox[16];
    struct message message = { .verb = VERB_ACK };
    struct list_maker receipts = { 0 };
    struct answer answer;

    pair->count = 0;
    while ((answer = fake_next(&broker, party->by.conn, VERB_DELIVER)).e == ERR_OK)
        pair->count += fake_items_of(&answer.message, answer.parts, pair->items + pair->count,
                                     1024 - pair->count);
    if (!pair->count)
        return;
    fake_receipts_of(&party->agent, pair->items, pair->count, broker.now_ms, &receipts);
    MESSAGE_SET(&message, stream, mailbox);
    MESSAGE_SET(&message, after, fake_cursor(&broker, party));
    MESSAGE_SET(&message, position, pair->items[pair->count - 1].position);
    MESSAGE_SET(&message, receipts, list_of(&receipts));
    fake_queue(&broker, &party->by, &message, NULL, 0);
    list_free(&receipts);
}

static void forget_kept(void)
{
    fake_forget(&broker);
    while (broker.kept) {
        struct outgoing *out = broker.kept;

        broker.kept = out->next;
        outgoing_free(&out);
    }
}

static void set_up(int count)
{
    fake_broker_open(&broker, true);
    broker.settings.send_per_s = broker.settings.send_burst = 10000000;
    broker.settings.pair_frames = broker.settings.queue_frames = 1000000;
    broker.settings.pair_bytes = broker.settings.queue_bytes = UINT64_C(1) << 40;
    flow_configure(broker.flow, &broker.settings);
    for (int i = 0; i < count; i++) {
        char name[16];

        snprintf(name, sizeof name, "p%d", i);
        fake_join(&broker, &pairs[i].producer, name);
        snprintf(name, sizeof name, "c%d", i);
        fake_join(&broker, &pairs[i].consumer, name);
        fake_session_open(&broker, &pairs[i].session, &pairs[i].producer, &pairs[i].consumer, 1);
        fake_credit(&broker, &pairs[i].producer, 1024, 16 << 20);
        fake_credit(&broker, &pairs[i].consumer, 1024, 16 << 20);
        pairs[i].items = mem_zeroed(1024, sizeof *pairs[i].items);
    }
}

static int argument(int argc, char **argv, int i, int otherwise)
{
    return argc > i ? atoi(argv[i]) : otherwise;
}

int main(int argc, char **argv)
{
    static const char *const names[] = { "take and deliver", "ack", "ack of receipts" };
    int count = argument(argc, argv, 1, 8), frames = argument(argc, argv, 2, 16);
    int turns = argument(argc, argv, 3, 300), body = argument(argc, argv, 4, 200);
    int batch = argument(argc, argv, 5, 1);
    double all, wall = 0, cpu = 0;

    set_up(count);
    for (int turn = 0; turn < turns; turn++) {
        for (int i = 0; i < count; i++)
            queue_sends(&pairs[i], frames, batch, bucket_for((size_t)body));
        run_turn(0);
        for (int i = 0; i < count; i++)
            queue_ack(&pairs[i], &pairs[i].consumer);
        run_turn(1);
        for (int i = 0; i < count; i++)
            queue_ack(&pairs[i], &pairs[i].producer);
        run_turn(2);
        forget_kept();
    }
    all = (double)count * frames * turns;
    printf("%d pairs, %d frames a turn each, %d turns, body %d B, %d a SEND\n", count, frames,
           turns, body, batch);
    for (int phase = 0; phase < 3; phase++) {
        printf("%-18s %6.2f us wall, %6.2f us cpu a message\n", names[phase],
               spent_s[phase] * 1e6 / all, cpu_s[phase] * 1e6 / all);
        wall += spent_s[phase];
        cpu += cpu_s[phase];
    }
    printf("%-18s %6.2f us wall, %6.2f us cpu: %.0f messages/s\n", "together", wall * 1e6 / all,
           cpu * 1e6 / all, all / wall);
    fake_broker_close(&broker);
    for (int i = 0; i < count; i++)
        free(pairs[i].items);
    return 0;
}
