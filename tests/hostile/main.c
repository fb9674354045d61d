/*
 * hostile - peers that do what they must not, against a real broker.
 *
 *     hostile BUILD_DIR
 *
 * Each case says what must come back and what must not happen; after each one an ordinary agent
 * that was there before must still be served.
 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sodium.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/trust/enrol.h"
#include "shared/wire/limit.h"
#include "tests/hostile/peer.h"

enum { ANSWER_MS = 10000, HANDSHAKE_MS = 10000, NOTHING_MS = 300 };

extern char **environ;

static const char *build;
static char home[64] = "/tmp/sealpost-hostile-XXXXXX";
static pid_t broker;
static struct client good; /* joined, and pinged after each case */
static struct peer good_peer;
static unsigned agents, failures;
static const char *case_name;

static bool check(bool good_so_far, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool check(bool good_so_far, const char *format, ...)
{
    va_list args;

    if (good_so_far)
        return true;
    failures++;
    printf("  %s: ", case_name);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
    return false;
}

/* ---- the broker ------------------------------------------------------------------------------ */

static void path_of(char *out, size_t size, const char *program)
{
    snprintf(out, size, "%s/%s", build, program);
}

static pid_t start(char *const argv[], const char *out)
{
    posix_spawn_file_actions_t actions;
    pid_t pid;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 2, out, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (posix_spawn(&pid, argv[0], &actions, NULL, argv, environ) != 0)
        load_fail("cannot run %s", argv[0]);
    posix_spawn_file_actions_destroy(&actions);
    return pid;
}

static void run(char *const argv[])
{
    int status;
    pid_t pid = start(argv, "/dev/null");

    if (waitpid(pid, &status, 0) != pid || status != 0)
        load_fail("%s %s failed", argv[0], argv[1]);
}

static void broker_start(void)
{
    static const char config[] = "listen\n    endpoint = tcp://127.0.0.1:*\n"
                                 "    handshakes_per_s = 10000\n    handshake_timeout = 500ms\n"
                                 "log\n    level = debug\n";
    char daemon[300], control[300], path[300], log[300];
    char *init[] = { daemon, "init", NULL }, *run_it[] = { daemon, "run", NULL };
    char *wait[] = { control, "status", "--wait", "10s", NULL };
    FILE *file;

    if (!mkdtemp(home))
        load_fail("no temporary directory");
    setenv("SEALPOST_HOME", home, 1);
    path_of(daemon, sizeof daemon, "sealpostd");
    path_of(control, sizeof control, "sealpostctl");
    run(init);
    snprintf(path, sizeof path, "%s/broker/sealpostd.conf", home);
    file = fopen(path, "w");
    if (!file || fputs(config, file) < 0 || fclose(file) != 0)
        load_fail("cannot write %s", path);
    snprintf(log, sizeof log, "%s/broker.log", home);
    broker = start(run_it, log);
    run(wait);
}

static bool broker_lives(void)
{
    return waitpid(broker, NULL, WNOHANG) == 0;
}

static void broker_stop(void)
{
    char remove[100];

    if (broker > 0) {
        kill(broker, SIGTERM);
        waitpid(broker, NULL, 0);
    }
    snprintf(remove, sizeof remove, "rm -rf %s", home);
    if (getenv("HOSTILE_KEEP"))
        return;
    if (system(remove) != 0)
        fputs("hostile: cannot clean up\n", stderr);
}

static uint64_t broker_kib(void)
{
    char path[64], line[200];
    uint64_t kib = 0;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/status", (int)broker);
    file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, "VmRSS:", 6) == 0)
            kib = strtoull(line + 6, NULL, 10);
    if (file)
        fclose(file);
    return kib;
}

static unsigned broker_descriptors(void)
{
    char path[64];
    unsigned count = 0;
    DIR *dir;

    snprintf(path, sizeof path, "/proc/%d/fd", (int)broker);
    dir = opendir(path);
    while (dir && readdir(dir))
        count++;
    if (dir)
        closedir(dir);
    return count;
}

/* An invite's text for a new name. */
static void invite_make(char text[static INVITE_TEXT_SIZE], char name[static 32])
{
    char command[400], control[300];
    FILE *pipe;

    path_of(control, sizeof control, "sealpostctl");
    snprintf(name, 32, "agent%u", agents++);
    snprintf(command, sizeof command, "%s -q invite %s", control, name);
    pipe = popen(command, "r");
    if (!pipe || !fgets(text, INVITE_TEXT_SIZE, pipe))
        load_fail("no invite");
    pclose(pipe);
    text[strcspn(text, "\n")] = 0;
}

static void join(struct client *client)
{
    char text[INVITE_TEXT_SIZE], name[32];

    *client = (struct client){ 0 };
    invite_make(text, name);
    client_join(client, name, text);
    buf_free(&client->card); /* joined once, and never again */
}

/* An agent that has joined and finished a handshake, and said nothing yet. */
static void arrive(struct client *client, struct peer *peer)
{
    join(client);
    peer_connect(peer, client, &client->transport);
    if (peer_handshake(peer, HANDSHAKE_MS) != PEER_READY)
        load_fail("%s: an enrolled agent is not let in", case_name);
}

static void hello(struct peer *peer, uint64_t ts_ms)
{
    static const uint8_t instance[16] = { 1 };
    struct message message = { .verb = VERB_HELLO, .rid = 1 };

    MESSAGE_SET(&message, ts, ts_ms);
    MESSAGE_SET(&message, min, 1);
    MESSAGE_SET(&message, version, 1);
    MESSAGE_SET(&message, instance, instance);
    peer_message(peer, &message);
}

static void ping(struct peer *peer)
{
    struct message message = { .verb = VERB_PING, .rid = 2 };

    MESSAGE_SET(&message, ts, clock_now_ms());
    peer_message(peer, &message);
}

/* The next answer must be this. */
static bool answered(struct peer *peer, enum err want, const char *what)
{
    int code = peer_hear(peer, ANSWER_MS, NULL);

    return check(code == (int)want, "%s: answered %s", what,
                 code < 0 ? "nothing" : err_name((enum err)code));
}

/* ---- strangers ------------------------------------------------------------------------------- */

/* Freed memory waits in the sanitizer's quarantine. */
#ifdef __SANITIZE_ADDRESS__
enum { GROWTH_KIB = 256 * 1024 };
#else
enum { GROWTH_KIB = 4096 };
#endif
enum { STRANGERS = 1000, AT_A_TIME = 50 };

static void strangers_at_once(unsigned count, unsigned ends[static 4])
{
    static struct peer peers[AT_A_TIME];

    for (unsigned i = 0; i < count; i++) {
        struct curve_keys keys;

        curve_make(&keys);
        peer_connect(&peers[i], &good, &keys);
    }
    for (unsigned i = 0; i < count; i++) {
        ends[peer_handshake(&peers[i], HANDSHAKE_MS)]++;
        zmq_send(peers[i].socket, "?", 1, ZMQ_DONTWAIT);
        check(peer_hear(&peers[i], 0, NULL) == -1, "a stranger got an answer");
        peer_close(&peers[i]);
    }
}

static void strangers_are_refused(void)
{
    unsigned ends[4] = { 0 }, before, after;
    uint64_t kib;

    strangers_at_once(AT_A_TIME, ends); /* so that buffers have their size */
    before = broker_descriptors();
    kib = broker_kib();
    for (unsigned i = AT_A_TIME; i < STRANGERS; i += AT_A_TIME)
        strangers_at_once(AT_A_TIME, ends);
    check(ends[PEER_READY] == 0, "%u strangers were let in", ends[PEER_READY]);
    check(ends[PEER_SILENCE] == 0, "%u strangers were kept waiting", ends[PEER_SILENCE]);
    check(ends[PEER_UNKNOWN] >= 5, "only %u were told that their key is unknown",
          ends[PEER_UNKNOWN]);
    for (int tries = 0; tries < 500 && broker_descriptors() > before; tries++)
        usleep(10000); /* connections end by themselves */
    after = broker_descriptors();
    check(after <= before, "descriptors grew from %u to %u", before, after);
    check(broker_kib() < kib + GROWTH_KIB, "memory grew from %" PRIu64 " to %" PRIu64 " KiB", kib,
          broker_kib());
}

static void wrong_broker_key(void)
{
    struct client wrong = good;
    struct peer peer;

    wrong.broker_key[0] ^= 1;
    peer_connect(&peer, &wrong, &good.transport);
    check(peer_handshake(&peer, HANDSHAKE_MS) != PEER_READY, "the handshake was finished");
    peer_close(&peer);
}

/* ---- invites --------------------------------------------------------------------------------- */

static void spent_invite_is_refused(void)
{
    char text[INVITE_TEXT_SIZE], name[32];
    struct client client = { 0 };
    struct curve_keys keys;
    struct invite invite;
    struct peer peer;

    invite_make(text, name);
    client_join(&client, name, text);
    buf_free(&client.card);
    if (invite_parse(text, clock_now_ms(), &invite) != ERR_OK)
        load_fail("no invite");
    curve_from_secret(&keys, invite.invite_curve_sk);
    peer_connect(&peer, &client, &keys);
    check(peer_handshake(&peer, HANDSHAKE_MS) == PEER_READY, "gone before the agent came back");
    hello(&peer, clock_now_ms());
    answered(&peer, ERR_AUTH, "an invite's key may say HELLO");
    ping(&peer);
    answered(&peer, ERR_OK, "an invite's key may not PING");
    client_connect(&client); /* HELLO with its own key */
    ping(&peer);
    answered(&peer, ERR_TOKEN, "a spent invite's key is served");
    check(peer_lost(&peer, ANSWER_MS), "and stays connected");
    peer_close(&peer);
    peer_connect(&peer, &client, &keys);
    check(peer_handshake(&peer, HANDSHAKE_MS) == PEER_UNKNOWN, "a spent invite opens the door");
    peer_close(&peer);
    client_disconnect(&client);
}

static void withdrawn_invite_is_refused(void)
{
    char text[INVITE_TEXT_SIZE], name[32], control[300], command[800];
    struct curve_keys keys;
    struct invite invite;
    struct peer peer;

    invite_make(text, name);
    if (invite_parse(text, clock_now_ms(), &invite) != ERR_OK)
        load_fail("no invite");
    path_of(control, sizeof control, "sealpostctl");
    snprintf(
        command, sizeof command,
        "%s invite --withdraw $(%s invite --list | awk '$3 == \"%s\" { print $1 }') >/dev/null",
        control, control, name);
    if (system(command) != 0)
        load_fail("cannot withdraw");
    curve_from_secret(&keys, invite.invite_curve_sk);
    peer_connect(&peer, &good, &keys);
    check(peer_handshake(&peer, HANDSHAKE_MS) == PEER_UNKNOWN, "it opens the door");
    peer_close(&peer);
}

/* ---- messages -------------------------------------------------------------------------------- */

static const struct {
    const char *name, *bytes;
    size_t len;
    int code;
} bad[] = {
#define BAD(name, bytes, code)                                                                     \
    {                                                                                              \
        name, bytes, sizeof(bytes) - 1, code                                                       \
    }
    BAD("nothing", "", ERR_SCHEMA),
    BAD("no array", "\x01", ERR_SCHEMA),
    BAD("cut short", "\x94\x01\x32\x01", ERR_SCHEMA),
    BAD("trailing byte", "\x94\x01\x32\x01\x81\x05\x01\x01", ERR_SCHEMA),
    BAD("other version", "\x94\x02\x32\x01\x81\x05\x01", ERR_SCHEMA),
    BAD("nil", "\x94\x01\x32\x01\x81\x05\xc0", ERR_SCHEMA),
    BAD("float", "\x94\x01\x32\x01\x81\x05\xca\x00\x00\x00\x00", ERR_SCHEMA),
    BAD("extension", "\x94\x01\x32\x01\x81\x05\xd4\x01\x01", ERR_SCHEMA),
    BAD("longer spelling", "\x94\x01\x32\x01\x81\x05\xcd\x00\x01", ERR_SCHEMA),
    BAD("negative", "\x94\x01\x32\x01\x81\x05\xff", ERR_SCHEMA),
    BAD("array bomb", "\xdd\x7f\xff\xff\xff", ERR_SCHEMA),
    BAD("map bomb", "\x94\x01\x32\x01\xdf\x7f\xff\xff\xff", ERR_SCHEMA),
    BAD("too deep", "\x94\x01\x32\x01\x81\x05\x91\x91\x91\x91\x91\x91\x01", ERR_SCHEMA),
    BAD("keys descend", "\x94\x01\x01\x01\x82\x0b\x01\x05\x01", ERR_SCHEMA),
    BAD("key twice", "\x94\x01\x32\x01\x82\x05\x01\x05\x01", ERR_SCHEMA),
    BAD("unknown key", "\x94\x01\x32\x01\x82\x05\x01\x06\x01", ERR_SCHEMA),
    BAD("key missing", "\x94\x01\x32\x01\x80", ERR_SCHEMA),
    BAD("wrong type", "\x94\x01\x32\x01\x81\x05\xa1\x61", ERR_SCHEMA),
    BAD("unknown verb", "\x94\x01\x7e\x01\x80", ERR_SCHEMA),
    BAD("the broker's verb", "\x94\x01\x14\x01\x81\x2a\x01", ERR_SCHEMA),
    BAD("an answer", "\x94\x01\xcc\xb2\x01\x81\x05\x01", ERR_SCHEMA),
    BAD("rid 0", "\x94\x01\x32\x00\x81\x05\x01", ERR_SCHEMA),
#undef BAD
};

/* Two of them each: the third within a minute ends the connection. */
static void malformed_messages_are_told(void)
{
    struct client client;
    struct peer peer;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int code;

        if (i % 2 == 0)
            arrive(&client, &peer);
        peer_say(&peer, bad[i].bytes, bad[i].len, false);
        code = peer_hear(&peer, ANSWER_MS, NULL);
        check(code == bad[i].code, "%s: answered %d", bad[i].name, code);
        if (i % 2 == 1)
            peer_close(&peer);
    }
    peer_close(&peer);
}

static void three_strikes_end_it(void)
{
    struct client client;
    struct peer peer;

    arrive(&client, &peer);
    for (int i = 0; i < 3; i++) {
        peer_say(&peer, "\xc0", 1, false);
        check(peer_hear(&peer, ANSWER_MS, NULL) == ERR_SCHEMA, "message %d was not answered", i);
    }
    check(peer_lost(&peer, ANSWER_MS), "it stays connected");
    peer_close(&peer);
    peer_connect(&peer, &client, &client.transport);
    check(peer_handshake(&peer, HANDSHAKE_MS) != PEER_READY, "it is let in again at once");
    peer_close(&peer);
}

static void parts_are_bounded(void)
{
    static uint8_t large[131072];
    struct client client;
    struct peer peer;
    struct message send = { .verb = VERB_SEND, .rid = 7 };
    struct buf head = { 0 };

    arrive(&client, &peer);
    hello(&peer, clock_now_ms());
    answered(&peer, ERR_OK, "HELLO was refused");
    message_encode(&send, &head);
    for (int i = 0; i < 200; i++)
        peer_say(&peer, i ? (const void *)"x" : head.at, i ? 1 : head.len, i < 199);
    answered(&peer, ERR_TOO_LARGE, "200 parts");
    peer_say(&peer, head.at, head.len, true);
    for (int i = 0; i < 63; i++)
        peer_say(&peer, large, 70000, i < 62);
    answered(&peer, ERR_TOO_LARGE, "more than 4 MiB");
    peer_say(&peer, "\x94\x01\x32\x01\x81\x05\x01", 7, true);
    peer_say(&peer, "x", 1, false);
    answered(&peer, ERR_SCHEMA, "a part that PING has not");
    peer_say(&peer, head.at, head.len, true);
    peer_say(&peer, large, sizeof large, false);
    check(peer_lost(&peer, ANSWER_MS), "a part that is too large does not end the connection");
    peer_close(&peer);
    buf_free(&head);
}

/* 512 MiB in one message: libzmq counts only whole ones. */
static void endless_message_is_cut(void)
{
    enum { PARTS = 8192 };
    static uint8_t part[65536];
    struct client client;
    struct peer peer;
    uint64_t before = broker_kib(), most = before, until_ms;
    bool cut = false;

    arrive(&client, &peer);
    for (int i = 0; i < PARTS; i++) {
        zmq_msg_t message;

        zmq_msg_init_data(&message, part, sizeof part, NULL, NULL);
        if (zmq_msg_send(&message, peer.socket, ZMQ_DONTWAIT | (i + 1 < PARTS ? ZMQ_SNDMORE : 0))
            < 0)
            load_fail("cannot send: %s", zmq_strerror(zmq_errno()));
    }
    until_ms = clock_elapsed_ms() + ANSWER_MS;
    while (!cut && clock_elapsed_ms() < until_ms) {
        cut = peer_lost(&peer, 5);
        if (broker_kib() > most)
            most = broker_kib();
    }
    check(cut, "the connection was not cut");
    check(most < before + 192 * 1024, "memory grew by %" PRIu64 " KiB", most - before);
    peer_close(&peer);
}

/* ---- connections ----------------------------------------------------------------------------- */

static void routing_ids_must_be_ours(void)
{
    struct client client;
    struct peer peer;

    join(&client);
    peer_open(&peer, &client, &client.transport, "short", 5);
    check(peer_handshake(&peer, HANDSHAKE_MS) == PEER_READY, "not let in");
    ping(&peer);
    check(peer_hear(&peer, NOTHING_MS, NULL) == -1, "an id of 5 bytes is answered");
    peer_close(&peer);
}

static void routing_id_of_another(void)
{
    static const uint8_t id[16] = "0123456789abcde";
    struct client one, two;
    struct peer first, second;

    join(&one);
    join(&two);
    peer_open(&first, &one, &one.transport, id, sizeof id);
    peer_handshake(&first, HANDSHAKE_MS);
    hello(&first, clock_now_ms());
    answered(&first, ERR_OK, "HELLO of the first");
    peer_open(&second, &two, &two.transport, id, sizeof id);
    peer_handshake(&second, HANDSHAKE_MS);
    ping(&second);
    answered(&second, ERR_OK, "it is a connection of its own");
    hello(&second, clock_now_ms());
    answered(&second, ERR_OK, "HELLO of the second");
    peer_close(&first);
    peer_close(&second);
}

static void first_say_hello(void)
{
    struct message credit = { .verb = VERB_CREDIT, .rid = 9 };
    struct client client;
    struct peer peer;

    arrive(&client, &peer);
    MESSAGE_SET(&credit, credit, 10);
    MESSAGE_SET(&credit, credit_bytes, 1000000);
    peer_message(&peer, &credit);
    answered(&peer, ERR_HELLO, "CREDIT before HELLO");
    hello(&peer, clock_now_ms() - 600000);
    answered(&peer, ERR_STALE_TS, "a clock 10 minutes behind");
    hello(&peer, clock_now_ms() + 600000);
    answered(&peer, ERR_STALE_TS, "a clock 10 minutes ahead");
    hello(&peer, clock_now_ms());
    answered(&peer, ERR_OK, "a good HELLO");
    peer_message(&peer, &credit);
    answered(&peer, ERR_OK, "CREDIT after it");
    peer_close(&peer);
}

static void connections_of_a_key_are_bounded(void)
{
    struct client client;
    struct peer peers[5];

    join(&client);
    for (int i = 0; i < 5; i++) {
        peer_connect(&peers[i], &client, &client.transport);
        check((peer_handshake(&peers[i], HANDSHAKE_MS) == PEER_READY) == (i < 4),
              "connection %d of one key", i + 1);
        if (i < 4) {
            ping(&peers[i]);
            check(peer_hear(&peers[i], ANSWER_MS, NULL) == 0, "PING of connection %d", i + 1);
        }
    }
    for (int i = 0; i < 5; i++)
        peer_close(&peers[i]);
}

static void flood_is_answered(void)
{
    enum { BURSTS = 20, PINGS = 400 }; /* far more than the 16 that an agent keeps open */
    struct client client;
    struct peer peer;
    int code = 0;

    arrive(&client, &peer);
    for (int burst = 0; burst < BURSTS && code >= 0; burst++) {
        for (int i = 0; i < PINGS; i++)
            ping(&peer);
        for (int i = 0; i < PINGS && code >= 0; i++) {
            code = peer_hear(&peer, ANSWER_MS, NULL);
            check(code == 0 || code == ERR_BUSY, "answer %d of burst %d: %d", i, burst, code);
        }
    }
    peer_close(&peer);
}

/* It asks and asks, and never takes an answer.  Its own libzmq does not notice the end while its
 * queue is full, so the broker's descriptors tell. */
static void deaf_peer_is_cut(void)
{
    struct message log = { .verb = VERB_LOG, .rid = 3 };
    struct client client;
    struct peer peer;
    uint64_t until_ms = clock_elapsed_ms() + 3 * ANSWER_MS, before_kib = broker_kib();
    struct buf head = { 0 };
    unsigned before;

    join(&client);
    before = broker_descriptors();
    peer_connect(&peer, &client, &client.transport);
    check(peer_handshake(&peer, HANDSHAKE_MS) == PEER_READY, "not let in");
    hello(&peer, clock_now_ms());
    MESSAGE_SET(&log, index, 0);
    MESSAGE_SET(&log, max, 256);
    message_encode(&log, &head);
    do {
        for (int i = 0; i < 100; i++)
            if (zmq_send(peer.socket, head.at, head.len, ZMQ_DONTWAIT) < 0)
                break;
        usleep(1000);
    } while (broker_descriptors() > before && clock_elapsed_ms() < until_ms);
    check(broker_descriptors() <= before, "it stays connected");
    check(broker_kib() < before_kib + 65536 + GROWTH_KIB, "memory grew by %" PRIu64 " KiB",
          broker_kib() - before_kib);
    buf_free(&head);
    peer_close(&peer);
}

/* ---- all of them ----------------------------------------------------------------------------- */

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
    { "a thousand strangers are refused, and nothing grows", strangers_are_refused },
    { "the wrong broker key ends the handshake", wrong_broker_key },
    { "a spent invite is refused", spent_invite_is_refused },
    { "a withdrawn invite is refused", withdrawn_invite_is_refused },
    { "malformed messages are told", malformed_messages_are_told },
    { "three strikes end the connection", three_strikes_end_it },
    { "parts are bounded in number and size", parts_are_bounded },
    { "an endless message is cut", endless_message_is_cut },
    { "routing ids are 16 bytes", routing_ids_must_be_ours },
    { "a routing id is no identity", routing_id_of_another },
    { "first say HELLO, with the right time", first_say_hello },
    { "connections of one key are bounded", connections_of_a_key_are_bounded },
    { "a flood of one connection is answered, request by request", flood_is_answered },
    { "a peer that takes no answers is cut", deaf_peer_is_cut },
};

static bool good_is_served(void)
{
    struct incoming in = { .parts = 0 };
    int code;

    ping(&good_peer);
    code = peer_hear(&good_peer, ANSWER_MS, &in);
    incoming_close(&in);
    return code == 0;
}

int main(int argc, char **argv)
{
    size_t count = sizeof cases / sizeof cases[0];
    unsigned bad_cases = 0, done = 0;

    if (argc < 2 || sodium_init() < 0)
        load_fail("usage: hostile BUILD_DIR [WORD]");
    build = argv[1];
    net_start();
    broker_start();
    atexit(broker_stop);
    case_name = "start";
    arrive(&good, &good_peer);
    ping(&good_peer);
    peer_hear(&good_peer, ANSWER_MS, NULL);
    for (size_t i = 0; i < count; i++) {
        unsigned before = failures;

        if (argc > 2 && !strstr(cases[i].name, argv[2]))
            continue;
        case_name = cases[i].name;
        cases[i].run();
        check(broker_lives(), "the broker has ended");
        check(good_is_served(), "others are not served");
        bad_cases += failures > before;
        done++;
        printf("%s - %s\n", failures > before ? "not ok" : "ok", case_name);
        fflush(stdout);
    }
    peer_close(&good_peer);
    printf("%u passed, %u failed, 0 skipped\n", done - bad_cases, bad_cases);
    return bad_cases ? 1 : 0;
}
