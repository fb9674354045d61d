/* layers: agent_crypto trust */
/*
 * bench_group_crypto - what groups cost without any I/O, in microseconds of one thread, for 10, 100
 * and 1,000 members: judging and signing events, an epoch's secret sealed for all, its chains, a
 * message sealed and opened, a newcomer's check of the whole chain.
 *
 *     bench_group_crypto [MEMBERS ...]
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/lib/group_stage.h"
#include "tests/lib/pair.h"

enum { KEY_MESSAGE = 142 }; /* envelope with gid, epoch, evd, es and peer_ack: one small bucket */

static double now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void must(enum err e)
{
    if (e != ERR_OK) {
        fprintf(stderr, "bench_group_crypto: %s\n", err_name(e));
        exit(1);
    }
}

/* A group of any size: the stage's actors are few, so members are made beside it. */
struct big {
    struct group_stage stage;
    struct stage_actor *member; /* [0] is the owner, as on the stage */
    size_t count;
    struct said *said; /* the whole chain */
    size_t said_count;
};

static void big_append(struct big *big, struct said *said, const struct stage_actor *actor)
{
    struct said *kept = &big->said[big->said_count++];
    struct event parsed;

    *kept = *said;
    kept->event = (struct signed_event){ bytes_of(kept->preimage, EVENT_SIZE), kept->sig,
                                         bytes_of(kept->body, kept->body_len) };
    must(group_chain_append(&big->stage.chain, &kept->event, NULL, actor->pk, &parsed));
}

/* INVITED and JOINED of one who is not on the stage. */
static void big_join(struct big *big, const struct stage_actor *who)
{
    struct said said;

    said_invited(&said, &big->stage, 0, 1, ROLE_MEMBER, INT64_MAX);
    memcpy(said.fields.target, who->aid, 32);
    said_sign(&said, big->stage.actor[0].sk);
    big_append(big, &said, &big->stage.actor[0]);
    said.fields.seq = big->stage.chain.next_seq;
    said.fields.type = EVENT_GROUP_JOINED;
    memcpy(said.fields.prev, big->stage.chain.head, 32);
    memcpy(said.fields.actor, who->aid, 32);
    memcpy(said.body, big->stage.chain.head, 32);
    said.body_len = 32;
    said_sign(&said, who->sk);
    big_append(big, &said, who);
}

static void big_open(struct big *big, size_t members)
{
    struct said said;

    memset(big, 0, sizeof *big);
    stage_open(&big->stage, 1);
    big->member = mem_zeroed(members, sizeof *big->member);
    big->said = mem_zeroed(2 * members + 3, sizeof *big->said);
    big->count = members;
    big->member[0] = big->stage.actor[0];
    said_created(&said, &big->stage, 0, 0, GROUP_MEMBERS_MAX);
    big_append(big, &said, &big->stage.actor[0]);
    said_epoch(&said, &big->stage, 0);
    big_append(big, &said, &big->stage.actor[0]);
    for (size_t i = 1; i < members; i++) {
        stage_actor_make(&big->stage.chance, &big->member[i]);
        big_join(big, &big->member[i]);
    }
}

static void big_close(struct big *big)
{
    free(big->member);
    free(big->said);
    stage_close(&big->stage);
}

static void row(const char *what, double us, size_t times)
{
    printf("  %-44s %12.1f us\n", what, us / (double)times);
}

/* The key of `who` among the members, as the log gives it; here by looking, not counted. */
static void chain_checked(const struct big *big)
{
    struct group_chain chain = { 0 };
    size_t bytes = 0;
    double spent = 0;

    memcpy(chain.gid, big->stage.chain.gid, 16);
    for (size_t i = 0; i < big->said_count; i++) {
        const struct said *said = &big->said[i];
        const struct stage_actor *actor = &big->member[0];
        struct event parsed;
        double begun;

        for (size_t m = 0; m < big->count; m++)
            if (memcmp(big->member[m].aid, said->fields.actor, 32) == 0)
                actor = &big->member[m];
        begun = now_us();
        must(group_chain_append(&chain, &said->event, NULL, actor->pk, &parsed));
        spent += now_us() - begun;
        bytes += EVENT_SIZE + 64 + said->body_len;
    }
    row("newcomer: the whole chain, every signature", spent, 1);
    printf("  %-44s %12zu B in %zu events\n", "  which is", bytes, big->said_count);
    group_chain_free(&chain);
}

static void epoch_made(struct big *big, struct said *said)
{
    enum { TIMES = 50 };
    struct event parsed;
    double begun = now_us();

    for (int i = 0; i < TIMES; i++)
        said_epoch(said, &big->stage, 0);
    row("admin: members_hash, confirm, EPOCH signed", now_us() - begun, TIMES);
    begun = now_us();
    for (int i = 0; i < TIMES; i++) {
        must(group_chain_check(&big->stage.chain, &said->event, NULL, &parsed));
        must(event_verify(said->event.preimage, said->event.sig, big->stage.actor[0].pk));
    }
    row("broker, member: EPOCH judged and verified", now_us() - begun, TIMES);
}

static void chains_made(const struct big *big, struct group_sending *chains)
{
    struct group_epoch epoch = stage_group_epoch(&big->stage.chain);
    double begun = now_us();

    for (size_t i = 0; i < big->count; i++)
        group_sending_init(&chains[i], big->stage.secret, &epoch, big->member[i].aid);
    row("each: a chain for every member", now_us() - begun, 1);
}

/* The same session for all: its work does not depend on who it is with. */
static void keys_sealed(const struct big *big)
{
    uint8_t message[KEY_MESSAGE] = { 4 }, digest[32], out[BUCKET_MIN];
    uint8_t *frames = mem_alloc(big->count * FRAME_MIN);
    struct ratchet_opened opened;
    struct pair pair;
    double begun;

    pair_begin(&pair, 1, SUITE_CHACHA);
    begun = now_us();
    for (size_t i = 1; i < big->count; i++)
        must(pair_seal(&pair, &pair.a, bytes_of(message, sizeof message), frames + i * FRAME_MIN,
                       digest));
    row("admin: the secret sealed for all others", now_us() - begun, 1);
    printf("  %-44s %12zu B\n", "  which is", (big->count - 1) * (size_t)FRAME_MIN);
    begun = now_us();
    for (size_t i = 1; i < big->count; i++)
        must(pair_open(&pair, &pair.b, bytes_of(frames + i * FRAME_MIN, FRAME_MIN), out, &opened));
    row("member: the secret opened", now_us() - begun, big->count - 1);
    pair_end(&pair);
    free(frames);
}

static void message_said(const struct big *big, struct group_sending *chains)
{
    enum { TIMES = 500, SIZE = 438 };
    struct group_epoch epoch = stage_group_epoch(&big->stage.chain);
    struct frame_header header
        = { .kind = FRAME_GROUP, .suite = epoch.suite, .seq = 1, .expires_ms = 1 };
    struct group_sending reader = chains[0];
    uint8_t *frames = mem_alloc(TIMES * SIZE), out[BUCKET_MIN], digest[32], rand[32] = { 0 };
    struct group_opened opened;
    struct frame_view view;
    double begun = now_us();

    memcpy(header.scope, epoch.gid, 16);
    memcpy(header.sender, big->member[0].aid, 32);
    for (size_t i = 0; i < TIMES; i++)
        must(group_encrypt(&chains[0], &epoch, &header, big->member[0].sk,
                           bytes_of_text("a message of thirty-five characters"), rand,
                           frames + i * SIZE, digest));
    row("author: a message sealed and signed", now_us() - begun, TIMES);
    begun = now_us();
    for (size_t i = 0; i < TIMES; i++) {
        must(frame_parse_whole(bytes_of(frames + i * SIZE, SIZE), &view));
        must(group_decrypt(&reader, &epoch, &view, big->member[0].pk, STAGE_NOW, out, &opened));
    }
    row("reader: opened and verified", now_us() - begun, TIMES);
    free(frames);
}

int main(int argc, char **argv)
{
    static const char *const sizes[] = { "10", "100", "1000" };

    if (sodium_init() < 0)
        return 1;
    for (int i = 0; i < (argc > 1 ? argc - 1 : 3); i++) {
        size_t members = strtoul(argc > 1 ? argv[i + 1] : sizes[i], NULL, 10);
        struct group_sending *chains;
        struct big big;
        struct said said;

        if (members < 2 || members > GROUP_MEMBERS_MAX)
            return 1;
        printf("%zu members\n", members);
        chains = mem_zeroed(members, sizeof *chains);
        big_open(&big, members);
        chain_checked(&big);
        epoch_made(&big, &said);
        keys_sealed(&big);
        big_append(&big, &said, &big.stage.actor[0]);
        chains_made(&big, chains);
        message_said(&big, chains);
        big_close(&big);
        free(chains);
    }
    return 0;
}
