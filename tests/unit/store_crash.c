/* layers: broker_flow */
/*
 * store_crash - the process is killed at every named place of store and controller; the next start
 *               finds whole turns, counters that fit, and one log.
 */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/store/log.h"
#include "broker/store/scopes.h"
#include "broker/store/senders.h"
#include "broker/store/streams.h"
#include "tests/lib/broker.h"

#define WEEK UINT64_C(604800000)

static const char *const places[] = {
    "open.locked",     "open.migrated", "open.reserved",   "open.seen",
    "open.ready",      "log.checked",   "log.file_synced", "log.row",
    "cert.signed",     "log.committed", "ack.deleted",     "ack.cursor",
    "sweep.tombstone", "ckpt.begin",    "ckpt.pages",      "ckpt.end",
};

struct life {
    struct broker broker;
    struct person alice, bob;
    char dir[40];
};

static void life_open(struct life *life)
{
    life->broker.dir = life->dir;
    life->broker.now_ms = BROKER_NOW;
    life->broker.elapsed_ms = 1000;
    life->broker.chance = 42;
    flow_settings_default(&life->broker.settings);
    broker_open(&life->broker);
    life->broker.chance = 4711; /* so that the same people come in every life */
    person_make(&life->broker, &life->alice, "alice");
    person_make(&life->broker, &life->bob, "bob");
}

static void life_close(struct life *life)
{
    person_end(&life->alice);
    person_end(&life->bob);
    broker_close(&life->broker);
}

/* Joins through whatever invite there is, as an agent does that heard no answer. */
static void join(struct life *life, struct person *p, int64_t invite_id)
{
    struct broker *b = &life->broker;
    struct invite_wish wish = { 0 };
    struct invite_row invite;
    struct message answer;

    if (store_agent_by_aid(b->store, p->aid) == NULL
        || store_invite_get(b->store, invite_id, &invite) != ERR_OK || invite.done_ms == 0) {
        if (store_invite_get(b->store, invite_id, &invite) == ERR_OK) {
            p->by = (struct requester){ .kind = BY_INVITE, .conn = ++b->conns, .id = invite_id };
            memcpy(p->by.key, invite.key, 32);
        } else {
            b->chance = 100 + (uint64_t)invite_id; /* a key that no other life has drawn */
            person_invite(b, p, &wish);
        }
        answer = person_enrol(b, p);
        OK(answer_err(&answer));
    }
    person_is_agent(b, p);
    answer = person_hello(b, p);
    OK(answer_err(&answer));
}

static int64_t the_session(struct life *life)
{
    struct broker *b = &life->broker;
    struct session_row s = { .id = { 7 },
                             .a_id = life->alice.by.id,
                             .b_id = life->bob.by.id,
                             .mode = 1,
                             .suite = 1,
                             .opened_ms = BROKER_NOW,
                             .idle_ms = WEEK,
                             .ends_ms = BROKER_NOW + WEEK,
                             .due_ms = BROKER_NOW + WEEK };
    struct session_row found;

    if (store_session_find(b->store, s.id, &found) == ERR_OK)
        return found.session_id;
    OK(store_begin(b->store));
    OK(store_session_add(b->store, &s));
    OK(store_session_move(b->store, s.session_id, SESSION_ACTIVE, BROKER_NOW + WEEK, 0, -1));
    OK(store_commit(b->store));
    return s.session_id;
}

/* 300 frames, one becomes a tombstone, all are settled, the log is checkpointed. */
static void live(struct life *life)
{
    static uint8_t body[4000];
    struct broker *b = &life->broker;
    struct settlement settlement = { 0 };
    struct sender_row sender;
    struct frame_row row;
    int64_t session, alice, mailbox;
    uint64_t position = 0, first;
    bool did;

    join(life, &life->alice, 1);
    join(life, &life->bob, 2);
    session = the_session(life);
    alice = life->alice.by.id;
    mailbox = store_agent(b->store, life->bob.by.id)->mailbox;

    OK(store_begin(b->store));
    OK(store_sender_get(b->store, session, alice, &sender));
    first = sender.settled_seq + 1;
    for (uint64_t seq = sender.stored_seq + 1; seq < first + 300; seq++) {
        struct frame_row frame = { .stream_id = mailbox,
                                   .scope_id = session,
                                   .sender_id = alice,
                                   .seq = seq,
                                   .kind = ITEM_DATA,
                                   .stored_ms = BROKER_NOW,
                                   .expires_ms = BROKER_NOW + WEEK,
                                   .frame = { body, sizeof body } };

        OK(store_sender_advance(b->store, session, alice, seq, frame.digest, sizeof body,
                                BROKER_NOW));
        OK(store_frame_append(b->store, &frame, &position));
    }
    OK(store_commit(b->store));

    OK(store_begin(b->store));
    OK(store_frame_find(b->store, session, alice, first, &row));
    if (row.reason == 0)
        OK(store_frame_tombstone(b->store, &row, 1));
    OK(store_commit(b->store));

    OK(store_begin(b->store));
    for (uint64_t seq = first; seq < first + 300; seq++) {
        OK(store_frame_find(b->store, session, alice, seq, &row));
        settlement_add(&settlement, &row);
    }
    OK(store_settle(b->store, mailbox, row.position, &settlement));
    OK(store_cursor_move(b->store, mailbox, life->bob.by.id, row.position, BROKER_NOW,
                         bytes_of(NULL, 0)));
    OK(store_commit(b->store));
    OK(store_maintain(b->store, true, &did));
    cr_assert(did);
    settlement_free(&settlement);
}

static void make_store(struct life *life)
{
    struct store_options options;

    strcpy(life->dir, "/tmp/sealpost-crash-XXXXXX");
    cr_assert_not_null(mkdtemp(life->dir));
    store_options_default(&options);
    options.dir = life->dir;
    options.now_ms = BROKER_NOW;
    options.random = broker_chance;
    options.random_ctx = &life->broker;
    OK(store_init(&options));
}

static void remove_store(const struct life *life)
{
    char command[64];

    snprintf(command, sizeof command, "rm -rf %s", life->dir);
    cr_assert_eq(system(command), 0);
}

/* True if it was killed; false: it came to its end, so the place was not passed so often. */
static bool killed_at(struct life *life, const char *place, int pass)
{
    char at[64];
    int status;
    pid_t child;

    snprintf(at, sizeof at, "%s:%d", place, pass);
    child = fork();
    if (child == 0) {
        setenv("SEALPOST_CRASH_AT", at, 1);
        life_open(life);
        live(life);
        _exit(0);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0, "%s",
              at);
    return WIFSIGNALED(status);
}

static void check_whole(struct life *life, const char *place, int pass)
{
    struct broker *b = &life->broker;
    struct log_head head;

    OK(store_recount(b->store));
    store_log_head(b->store, &head);
    cr_expect_eq(head.next, store_agent_count(b->store), "%s:%d", place, pass);
    live(life);
    store_log_head(b->store, &head);
    cr_expect_eq(store_agent_count(b->store), 2, "%s:%d", place, pass);
    cr_expect_eq(head.next, 2, "%s:%d", place, pass);
    OK(store_recount(b->store));
}

Test(store_crash, T19_every_place_leaves_whole_turns)
{
#ifdef SEALPOST_TESTING
    cr_assert_geq(sodium_init(), 0);
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        for (int pass = 1; pass <= 2; pass++) {
            struct life *life = mem_zeroed(1, sizeof *life);
            bool killed;

            make_store(life);
            killed = killed_at(life, places[i], pass);
            cr_expect(killed || pass == 2, "%s is never passed", places[i]);
            life_open(life);
            check_whole(life, places[i], pass);
            life_close(life);
            remove_store(life);
            free(life);
        }
#endif
}
