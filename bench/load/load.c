/*
 * load - a real broker process, CURVE, n producers and n consumers with frames of noise.
 *
 *     load [-b BUILD_DIR] [-d DIR] [-p PAIRS | -g MEMBERS [-r REMOVALS]] [-n FRAMES] [-s BODY]
 *          [-i IDLE]
 *
 * Four phases, each with its figures: stored for consumers that are away; drained by them; live,
 * all at once; and 500 messages a second for latency.  With -g one sender and a group of so many
 * members instead of pairs, and with -r the removal of some of them.  Everything runs on this
 * machine: the figures hold the load generator's own CPU, too, which bench/README.md says beside
 * them.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sodium.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/load/load.h"
#include "shared/base/clock.h"
#include "shared/base/text.h"
#include "shared/wire/limit.h"

enum { PAIRS_MAX = 64 };

extern char **environ;

struct options {
    const char *build, *dir;
    unsigned pairs, idle, members, removals;
    uint64_t frames; /* of each producer, in each phase */
    size_t body;
};

/* One producer and its consumer. */
struct pair {
    struct client producer, consumer;
    struct buf frame;           /* sent again and again, only the number changes */
    uint64_t next, stored, end; /* producer: next to send, highest stored, last of this phase */
    unsigned unanswered;
    uint64_t received; /* consumer: highest number seen */
    uint64_t acked;    /* frames whose ACK was answered */
    uint64_t in_ack;   /* frames of ACKs without an answer */
    uint64_t *sent_us; /* by number, of the latency phase */
};

static struct options options = { "build/release", NULL, 8, 0, 0, 0, 50000, 300 };
static pid_t broker;
static struct pair pairs[PAIRS_MAX];

/* ------------------------------------------------------------------ the broker */

static void run(char *const argv[], bool wait)
{
    pid_t pid;
    int status;

    if (posix_spawn(&pid, argv[0], NULL, NULL, argv, environ) != 0)
        load_fail("cannot run %s", argv[0]);
    if (!wait) {
        broker = pid;
        return;
    }
    if (waitpid(pid, &status, 0) != pid || status != 0)
        load_fail("%s failed", argv[0]);
}

static void path_of(char *out, size_t size, const char *program)
{
    snprintf(out, size, "%s/%s", options.build, program);
    if (access(out, X_OK) != 0)
        load_fail("%s is not there: build it, or name the build with -b", out);
}

static const char quotas[]
    = "queue_frames = 10000000\n    queue_bytes = 64GiB\n    pair_frames = 1000000\n"
      "    pair_bytes = 16GiB\n    send_per_s = 100000\n    send_burst = 100000\n"
      "    requests_open = 10000\n    prekeys_per_h = 100000\n";

static void broker_start(void)
{
    char daemon[400], control[400], config[400], text[1600];
    char *init[] = { daemon, "init", "-q", NULL };
    char *run_it[] = { daemon, "run", "--log-level", "warn", NULL };
    char *wait[] = { control, "-q", "status", "--wait", "10s", "--json", NULL };
    FILE *file;

    path_of(daemon, sizeof daemon, "sealpostd");
    path_of(control, sizeof control, "sealpostctl");
    setenv("SEALPOST_HOME", options.dir, 1);
    run(init, true);
    snprintf(config, sizeof config, "%s/broker/sealpostd.conf", options.dir);
    snprintf(text, sizeof text,
             "broker\n    name = load\nlisten\n    endpoint = tcp://127.0.0.1:*\n    connections = "
             "4096\n"
             "    handshakes_per_s = 10000\nstore\n    max_size = 64GiB\nquota\n    %s",
             quotas);
    file = fopen(config, "w");
    if (!file || fputs(text, file) < 0 || fclose(file) != 0)
        load_fail("cannot write %s", config);
    run(run_it, false);
    fflush(stdout);
    run(wait, true);
}

void invites(const char *prefix, unsigned count, char (*out)[INVITE_TEXT_SIZE])
{
    char control[400], command[32768];
    int len;
    FILE *pipe;

    path_of(control, sizeof control, "sealpostctl");
    len = snprintf(command, sizeof command, "%s -q invite", control);
    for (unsigned i = 0; i < count; i++)
        len += snprintf(command + len, sizeof command - (size_t)len, " %s%u", prefix, i);
    pipe = popen(command, "r");
    if (!pipe)
        load_fail("cannot ask for invites");
    for (unsigned i = 0; i < count; i++) {
        if (!fgets(out[i], INVITE_TEXT_SIZE, pipe))
            load_fail("an invite is missing");
        out[i][strcspn(out[i], "\n")] = 0;
    }
    pclose(pipe);
}

/* A figure of /proc/PID/status, in KiB. */
static uint64_t memory_kib(const char *what)
{
    char path[64], line[200];
    uint64_t kib = 0;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/status", (int)broker);
    file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, what, strlen(what)) == 0)
            kib = strtoull(line + strlen(what) + 1, NULL, 10);
    if (file)
        fclose(file);
    return kib;
}

uint64_t cpu_ms(void)
{
    char path[64], text[1024];
    unsigned long user = 0, system = 0;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)broker);
    file = fopen(path, "r");
    if (file && fgets(text, sizeof text, file))
        sscanf(strrchr(text, ')') + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
               &system);
    if (file)
        fclose(file);
    return (user + system) * 1000 / (unsigned long)sysconf(_SC_CLK_TCK);
}

uint64_t disk_bytes(void)
{
    static const char *const names[] = { "broker.db", "broker.db-wal" };
    uint64_t sum = 0;

    for (size_t i = 0; i < 2; i++) {
        char path[400];
        struct stat st;

        snprintf(path, sizeof path, "%s/broker/%s", options.dir, names[i]);
        if (stat(path, &st) == 0)
            sum += (uint64_t)st.st_size;
    }
    return sum;
}

/* ------------------------------------------------------------------ producing */

static bool produce(struct pair *pair)
{
    static struct buf frames[BATCH];
    struct message send = { .verb = VERB_SEND };
    struct bytes parts[BATCH];
    uint64_t room = WINDOW_FRAMES - (pair->next - 1 - pair->stored);
    size_t count = 0;

    if (pair->unanswered == WINDOW_MESSAGES || pair->next > pair->end || room == 0)
        return false;
    /* Full batches while there is room for one: half-full ones cost as much. */
    if (room < BATCH && pair->end - pair->next + 1 > room)
        return false;
    while (count < BATCH && pair->next + count <= pair->end) {
        buf_clear(&frames[count]);
        buf_append(&frames[count], pair->frame.at, pair->frame.len);
        put_u64(frames[count].at + FRAME_FH_SIZE - 16, pair->next + count);
        parts[count] = buf_bytes(&frames[count]);
        count++;
    }
    if (!client_say(&pair->producer, &send, parts, count))
        return false;
    pair->next += count;
    pair->unanswered++;
    return true;
}

static void heard_by_producer(struct pair *pair, struct incoming *in)
{
    struct list_reader reader;
    struct wire_stored stored;
    uint64_t status;

    switch ((int)in->message.verb) {
    case VERB_SEND:
        reader = list_read(&in->message.status);
        while (list_status(&reader, &status))
            if (status != 0)
                load_fail("%s: a frame was refused: %s", pair->producer.name,
                          err_name((enum err)status));
        reader = list_read(&in->message.stored);
        while (list_stored(&reader, &stored))
            pair->stored = stored.seq;
        pair->unanswered--;
        break;
    case VERB_DELIVER: /* receipts */
        client_settle(&pair->producer, in, NULL, NULL);
        break;
    default:
        break;
    }
}

/* ------------------------------------------------------------------ consuming */

static void seen(void *ctx, uint64_t seq)
{
    struct pair *pair = ctx;

    if (seq != pair->received + 1)
        load_fail("%s: got %" PRIu64 " after %" PRIu64, pair->consumer.name, seq, pair->received);
    pair->received = seq;
}

static void heard_by_consumer(struct pair *pair, struct incoming *in)
{
    switch ((int)in->message.verb) {
    case VERB_DELIVER:
        pair->in_ack += client_settle(&pair->consumer, in, seen, pair);
        break;
    case VERB_ACK:
        if (in->message.position == pair->consumer.cursor) {
            pair->acked += pair->in_ack;
            pair->in_ack = 0;
        }
        break;
    default:
        break;
    }
}

void give_credit(struct client *client)
{
    struct message credit = { .verb = VERB_CREDIT };

    MESSAGE_SET(&credit, credit, CREDIT);
    MESSAGE_SET(&credit, credit_bytes, LIMIT_CREDIT_BYTES_MAX);
    if (!client_say(client, &credit, NULL, 0))
        load_fail("%s: cannot give credit", client->name);
}

/* ------------------------------------------------------------------ the loop */

/* Takes everything that has arrived anywhere; waits if nothing has. */
static void turn(bool producers, bool consumers, bool may_wait)
{
    struct incoming in = { .parts = 0 };
    bool heard = false;

    for (unsigned i = 0; i < options.pairs; i++) {
        for (int n = 0; producers && n < 8 && client_hear(&pairs[i].producer, &in, 0); n++) {
            heard_by_producer(&pairs[i], &in);
            incoming_close(&in);
            heard = true;
        }
        for (int n = 0; consumers && n < 8 && client_hear(&pairs[i].consumer, &in, 0); n++) {
            heard_by_consumer(&pairs[i], &in);
            incoming_close(&in);
            heard = true;
        }
    }
    if (!heard && may_wait) {
        zmq_pollitem_t items[2 * PAIRS_MAX];
        int count = 0;

        for (unsigned i = 0; i < options.pairs; i++) {
            if (producers)
                items[count++] = (zmq_pollitem_t){ pairs[i].producer.socket, 0, ZMQ_POLLIN, 0 };
            if (consumers)
                items[count++] = (zmq_pollitem_t){ pairs[i].consumer.socket, 0, ZMQ_POLLIN, 0 };
        }
        if (zmq_poll(items, count, 30000) == 0)
            load_fail("nothing has moved for 30 s");
    }
}

static bool all_stored(void)
{
    for (unsigned i = 0; i < options.pairs; i++)
        if (pairs[i].stored < pairs[i].end)
            return false;
    return true;
}

static bool all_acked(void)
{
    for (unsigned i = 0; i < options.pairs; i++)
        if (pairs[i].received < pairs[i].end || pairs[i].in_ack)
            return false;
    return true;
}

static void more(uint64_t frames)
{
    for (unsigned i = 0; i < options.pairs; i++)
        pairs[i].end += frames;
}

static double rate(uint64_t count, uint64_t us)
{
    return (double)count * 1e6 / (double)us;
}

void report(const char *phase, uint64_t count, uint64_t us, uint64_t cpu, const char *aim)
{
    printf("%-28s %9.0f /s   %6.2f s   broker %5.2f s CPU, %4.1f us each   aim %s\n", phase,
           rate(count, us), (double)us / 1e6, (double)cpu / 1e3, (double)cpu * 1e3 / (double)count,
           aim);
    fflush(stdout);
}

static void phase_store(void)
{
    uint64_t start = clock_elapsed_us(), cpu = cpu_ms(), before = disk_bytes();
    uint64_t count = options.frames * options.pairs;

    more(options.frames);
    while (!all_stored()) {
        for (unsigned i = 0; i < options.pairs; i++)
            while (produce(&pairs[i]))
                ;
        turn(true, false, true);
    }
    report("stored, consumers away", count, clock_elapsed_us() - start, cpu_ms() - cpu, "60,000");
    printf("%-28s %9.0f B of disk a frame of %zu B\n", "",
           (double)(disk_bytes() - before) / (double)count, pairs[0].frame.len);
}

static void phase_drain(void)
{
    uint64_t start, cpu = cpu_ms();

    for (unsigned i = 0; i < options.pairs; i++)
        client_connect(&pairs[i].consumer);
    start = clock_elapsed_us();
    for (unsigned i = 0; i < options.pairs; i++) {
        give_credit(&pairs[i].consumer);
        give_credit(&pairs[i].producer);
    }
    while (!all_acked())
        turn(true, true, true);
    report("drained", options.frames * options.pairs, clock_elapsed_us() - start, cpu_ms() - cpu,
           "60,000");
}

static void phase_live(void)
{
    uint64_t start = clock_elapsed_us(), cpu = cpu_ms();

    more(options.frames);
    while (!all_acked()) {
        for (unsigned i = 0; i < options.pairs; i++)
            while (produce(&pairs[i]))
                ;
        turn(true, true, true);
    }
    report("delivered, all online", options.frames * options.pairs, clock_elapsed_us() - start,
           cpu_ms() - cpu, "40,000");
}

/* ------------------------------------------------------------------ latency */

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void percentiles(const char *what, uint64_t *us, size_t count, const char *aim)
{
    qsort(us, count, sizeof *us, by_size);
    printf("%-28s p50 %6" PRIu64 " us   p99 %6" PRIu64 " us   max %6" PRIu64 " us   aim %s\n", what,
           us[count / 2], us[count * 99 / 100], us[count - 1], aim);
}

/* One frame at a time, 500 a second, from the pairs in turn. */
static void phase_latency(void)
{
    enum { COUNT = 2500, EVERY_US = 2000 };
    static uint64_t stored_us[COUNT], arrived_us[COUNT];
    uint64_t begin = clock_elapsed_us();

    for (int n = 0; n < COUNT; n++) {
        struct pair *pair = &pairs[(unsigned)n % options.pairs];
        uint64_t due = begin + (uint64_t)n * EVERY_US, sent;

        while (clock_elapsed_us() < due) {
            turn(true, true, false);
            usleep(50);
        }
        pair->end++;
        sent = clock_elapsed_us();
        while (produce(pair))
            ;
        while (pair->stored < pair->end || pair->received < pair->end) {
            turn(true, true, true);
            if (!stored_us[n] && pair->stored == pair->end)
                stored_us[n] = clock_elapsed_us() - sent;
            if (!arrived_us[n] && pair->received == pair->end)
                arrived_us[n] = clock_elapsed_us() - sent;
        }
    }
    while (!all_acked())
        turn(true, true, true);
    percentiles("stored, 500 /s", stored_us, COUNT, "p50 <= 500 us");
    percentiles("end to end, 500 /s", arrived_us, COUNT, "-");
}

static void phase_idle(void)
{
    struct client *idle = mem_zeroed(options.idle, sizeof *idle);
    char(*texts)[INVITE_TEXT_SIZE] = mem_zeroed(options.idle, sizeof *texts);
    uint64_t before, after;

    invites("idle", options.idle, texts);
    for (unsigned i = 0; i < options.idle; i++) {
        char name[32];

        snprintf(name, sizeof name, "idle%u", i);
        client_join(&idle[i], name, texts[i]);
    }
    before = memory_kib("VmRSS:");
    for (unsigned i = 0; i < options.idle; i++)
        client_connect(&idle[i]);
    after = memory_kib("VmRSS:");
    printf("%-28s %9.1f KiB of broker memory each, libzmq's share included   aim 32\n",
           "idle agents", (double)(after - before) / options.idle);
    for (unsigned i = 0; i < options.idle; i++)
        client_disconnect(&idle[i]);
    free(idle);
    free(texts);
}

/* What one flush of the disk costs: the least that a commit can take. */
static void report_flush(void)
{
    enum { COUNT = 200 };
    static uint64_t took_us[COUNT];
    static const char block[4096];
    char path[400];
    int fd;

    snprintf(path, sizeof path, "%s/flush", options.dir);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    for (int i = 0; i < COUNT; i++) {
        uint64_t start;

        if (fd < 0 || pwrite(fd, block, sizeof block, (off_t)i * (off_t)sizeof block) < 0)
            load_fail("cannot write to %s", options.dir);
        start = clock_elapsed_us();
        fdatasync(fd);
        took_us[i] = clock_elapsed_us() - start;
    }
    close(fd);
    unlink(path);
    percentiles("fdatasync of 4 KiB", took_us, COUNT, "-");
}

/* ------------------------------------------------------------------ beginning and end */

static void stop(void)
{
    if (broker > 0) {
        kill(broker, SIGTERM);
        waitpid(broker, NULL, 0);
        broker = 0;
    }
}

static void setup(void)
{
    static char producers[PAIRS_MAX][INVITE_TEXT_SIZE], consumers[PAIRS_MAX][INVITE_TEXT_SIZE];

    invites("producer", options.pairs, producers);
    invites("consumer", options.pairs, consumers);
    for (unsigned i = 0; i < options.pairs; i++) {
        struct pair *pair = &pairs[i];
        char name[32];

        snprintf(name, sizeof name, "producer%u", i);
        client_join(&pair->producer, name, producers[i]);
        snprintf(name, sizeof name, "consumer%u", i);
        client_join(&pair->consumer, name, consumers[i]);
        client_connect(&pair->producer);
        client_connect(&pair->consumer);
        client_open_session(&pair->producer, &pair->consumer);
        client_disconnect(&pair->consumer);
        client_frame(&pair->producer, FRAME_DATA, 2, options.body, &pair->frame);
        pair->next = 2;
        pair->stored = pair->received = pair->end = 1;
    }
}

static void pair_phases(void)
{
    setup();
    printf("%u pairs, %" PRIu64
           " frames each, bodies of %zu B in frames of %zu B, window %d, credit %d\nquotas: %s",
           options.pairs, options.frames, options.body, pairs[0].frame.len, WINDOW_FRAMES, CREDIT,
           quotas);
    report_flush();
    phase_store();
    phase_drain();
    phase_live();
    phase_latency();
}

static void arguments(int argc, char **argv)
{
    uint64_t n;

    for (int c; (c = getopt(argc, argv, "b:d:p:g:r:n:s:i:")) != -1;) {
        if (c == 'b' || c == 'd') {
            *(c == 'b' ? &options.build : &options.dir) = optarg;
            continue;
        }
        if (c == '?' || count_parse(&n, optarg) != ERR_OK)
            load_fail("usage: load [-b BUILD_DIR] [-d DIR] [-p PAIRS | -g MEMBERS [-r REMOVALS]]"
                      " [-n FRAMES] [-s BODY] [-i IDLE]");
        if (c == 'g')
            options.members = (unsigned)n;
        else if (c == 'r')
            options.removals = (unsigned)n;
        else if (c == 'p')
            options.pairs = (unsigned)n;
        else if (c == 'n')
            options.frames = n;
        else if (c == 's')
            options.body = n;
        else
            options.idle = (unsigned)n;
    }
    if (options.members > 1000)
        load_fail("at most 1000 members");
    if (options.pairs < 1 || options.pairs > PAIRS_MAX)
        load_fail("1 to %d pairs", PAIRS_MAX);
}

int main(int argc, char **argv)
{
    static char place[] = "/tmp/sealpost-load-XXXXXX";
    char remove[64];

    arguments(argc, argv);
    if (sodium_init() < 0)
        return 1;
    if (!options.dir)
        options.dir = mkdtemp(place);
    net_start();
    broker_start();
    atexit(stop);
    if (options.members) {
        printf("quotas: %s", quotas);
        report_flush();
        group_phases(options.members, options.removals, options.frames, options.body);
    } else {
        pair_phases();
    }
    if (options.idle)
        phase_idle();
    printf("%-28s %9.1f MiB now, %.1f MiB at most\n", "broker memory",
           (double)memory_kib("VmRSS:") / 1024, (double)memory_kib("VmHWM:") / 1024);
    stop();
    if (options.dir == place) {
        snprintf(remove, sizeof remove, "rm -rf %s", place);
        if (system(remove) != 0)
            return 1;
    }
    return 0;
}
