#include "tests/lib/fake_broker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/store/directory.h"
#include "broker/store/streams.h"

#define NOW_MS     UINT64_C(1900000000000)
#define ELAPSED_MS UINT64_C(1000000)
#define LONG_MS    (UINT64_C(2) * 3600 * 1000)

#define must(e) must_(e, #e, __LINE__)

static void must_(enum err e, const char *what, int line)
{
    if (e == ERR_OK)
        return;
    fprintf(stderr, "fake_broker.c:%d: %s: %s\n", line, what, err_name(e));
    abort();
}

static void insist(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "fake_broker: %s\n", what);
    abort();
}

/* ---- ports ----------------------------------------------------------------------------------- */

static uint64_t port_now(void *ctx)
{
    return ((struct fake_broker *)ctx)->now_ms;
}

static uint64_t port_elapsed(void *ctx)
{
    return ((struct fake_broker *)ctx)->elapsed_ms;
}

static uint64_t port_disk(void *ctx)
{
    return ((struct fake_broker *)ctx)->disk_free;
}

static void port_random(void *ctx, uint8_t *out, size_t len)
{
    uint64_t *state = &((struct fake_broker *)ctx)->random;

    for (size_t i = 0; i < len; i++) {
        *state = *state * 6364136223846793005u + 1442695040888963407u;
        out[i] = (uint8_t)(*state >> 56);
    }
}

static void port_hand_out(void *ctx, struct outgoing *out)
{
    struct fake_broker *broker = ctx;

    outgoing_gather(out);
    if (broker->last)
        broker->last->next = out;
    else
        broker->first = out;
    broker->last = out;
}

/* ---- opening --------------------------------------------------------------------------------- */

static void start(struct fake_broker *broker)
{
    struct flow_ports ports
        = { broker, port_now, port_elapsed, port_random, port_hand_out, port_disk };
    struct store_options options;
    uint8_t seed[32] = { 42 };

    store_options_default(&options);
    options.dir = *broker->dir ? broker->dir : NULL;
    options.now_ms = broker->now_ms;
    options.elapsed_ms = broker->elapsed_ms;
    options.random = port_random;
    options.random_ctx = broker;
    options.ballast_bytes = 0;
    options.disk_floor_bytes = broker->settings.disk_floor_bytes;
    must(store_open(&broker->store, &options));
    signer_new(&broker->signer, seed);
    must(controller_open(&broker->controller, broker->store, broker->signer,
                         &broker->controller_settings));
    must(flow_open(&broker->flow, broker->store, broker->controller, &ports, &broker->settings));
}

static void stop(struct fake_broker *broker)
{
    flow_close(&broker->flow);
    controller_close(&broker->controller);
    signer_close(&broker->signer);
    store_close(&broker->store);
}

void fake_broker_open(struct fake_broker *broker, bool on_disk)
{
    *broker = (struct fake_broker){
        .now_ms = NOW_MS, .elapsed_ms = ELAPSED_MS, .disk_free = UINT64_MAX, .random = 1
    };
    flow_settings_default(&broker->settings);
    controller_settings_default(&broker->controller_settings);
    strcpy(broker->controller_settings.endpoint, "tcp://127.0.0.1:5752");
    if (on_disk) {
        struct store_options options;

        strcpy(broker->dir, "/tmp/sealpost-flow-XXXXXX");
        insist(mkdtemp(broker->dir) != NULL, "mkdtemp");
        store_options_default(&options);
        options.dir = broker->dir;
        options.now_ms = broker->now_ms;
        options.random = port_random;
        options.random_ctx = broker;
        must(store_init(&options));
    }
    start(broker);
}

static void free_chain(struct outgoing *out)
{
    while (out) {
        struct outgoing *next = out->next;

        outgoing_free(&out);
        out = next;
    }
}

void fake_broker_close(struct fake_broker *broker)
{
    char command[128];

    stop(broker);
    free_chain(broker->first);
    free_chain(broker->kept);
    if (!*broker->dir)
        return;
    snprintf(command, sizeof command, "rm -rf '%s'", broker->dir);
    insist(system(command) == 0, command);
}

void fake_broker_restart(struct fake_broker *broker)
{
    stop(broker);
    start(broker);
    fake_forget(broker);
}

static void clock_to(struct fake_broker *broker, uint64_t elapsed_ms)
{
    if (elapsed_ms <= broker->elapsed_ms)
        return;
    broker->now_ms += elapsed_ms - broker->elapsed_ms;
    broker->elapsed_ms = elapsed_ms;
}

void fake_broker_pass(struct fake_broker *broker, uint64_t ms)
{
    uint64_t end = broker->elapsed_ms + ms;

    /* Days would be millions of ticks: then the timers are just late. */
    if (ms > LONG_MS)
        clock_to(broker, end - LONG_MS / 2);
    while (flow_next_tick_ms(broker->flow) <= end) {
        clock_to(broker, flow_next_tick_ms(broker->flow));
        must(flow_tick(broker->flow));
    }
    clock_to(broker, end);
}

/* ---- requests and what comes of them --------------------------------------------------------- */

struct spoken {
    struct request request;
    size_t len;
    uint8_t bytes[];
};

static struct request *request_make(const struct requester *by, const struct message *message,
                                    const struct bytes *parts, size_t count)
{
    struct buf head = { 0 };
    struct spoken *spoken;
    size_t len;
    uint8_t *at;

    message_encode(message, &head);
    len = head.len;
    for (size_t i = 0; i < count; i++)
        len += parts[i].len;
    spoken = mem_zeroed(1, sizeof *spoken + len);
    spoken->request.by = *by;
    spoken->request.bytes = len;
    spoken->request.memory = spoken;
    spoken->request.release = free;
    spoken->request.part_count = count;
    at = put_raw(spoken->bytes, head.at, head.len);
    for (size_t i = 0; i < count; i++) {
        spoken->request.parts[i] = bytes_of(at, parts[i].len);
        at = put_raw(at, parts[i].len ? parts[i].at : spoken->bytes, parts[i].len);
    }
    must(message_decode(&spoken->request.message, bytes_of(spoken->bytes, head.len), count,
                        FROM_AGENT));
    buf_free(&head);
    return &spoken->request;
}

uint32_t fake_queue(struct fake_broker *broker, const struct requester *by,
                    const struct message *message, const struct bytes *parts, size_t count)
{
    struct message numbered = *message;

    numbered.rid = ++broker->last_rid;
    broker->queued[broker->queued_count++] = request_make(by, &numbered, parts, count);
    return numbered.rid;
}

enum err fake_run(struct fake_broker *broker)
{
    size_t count = broker->queued_count;

    broker->queued_count = 0;
    return flow_turn(broker->flow, broker->queued, count);
}

static struct answer answer_of(const struct outgoing *out)
{
    struct answer answer = { .e = ERR_OK, .part_count = out->part_count };
    const uint8_t *at = out->body.at;

    must(message_decode(&answer.message, buf_bytes(&out->head), out->part_count, FROM_BROKER));
    for (size_t i = 0; i < out->part_count; i++) {
        answer.parts[i] = bytes_of(at, out->part_len[i]);
        at += out->part_len[i];
    }
    insist(at == out->body.at + out->body.len, "parts and body of an answer differ");
    if (answer.message.verb == VERB_ERROR)
        answer.e = (enum err)answer.message.code;
    return answer;
}

/* Takes the first that fits out of the queue. */
static struct outgoing *take(struct fake_broker *broker,
                             bool (*fits)(const struct outgoing *out, const void *ctx),
                             const void *ctx)
{
    struct outgoing *before = NULL, *out = broker->first;

    while (out && !fits(out, ctx)) {
        before = out;
        out = out->next;
    }
    if (!out)
        return NULL;
    if (before)
        before->next = out->next;
    else
        broker->first = out->next;
    if (broker->last == out)
        broker->last = before;
    out->next = broker->kept;
    broker->kept = out;
    return out;
}

struct wanted {
    enum outgoing_kind kind;
    uint64_t conn;
    uint32_t rid;
    enum verb verb; /* of rid 0 */
};

static bool fits_message(const struct outgoing *out, const void *ctx)
{
    const struct wanted *wanted = ctx;
    struct message message;

    if (out->kind != OUT_MESSAGE || out->conn != wanted->conn)
        return false;
    must(message_decode(&message, buf_bytes(&out->head), out->part_count, FROM_BROKER));
    return message.rid == wanted->rid && (wanted->rid || message.verb == wanted->verb);
}

static bool fits_kind(const struct outgoing *out, const void *ctx)
{
    const struct wanted *wanted = ctx;

    return out->kind == wanted->kind && (!wanted->conn || out->conn == wanted->conn);
}

struct answer fake_answer(struct fake_broker *broker, uint64_t conn, uint32_t rid)
{
    struct wanted wanted = { OUT_MESSAGE, conn, rid, VERB_PING };
    const struct outgoing *out = take(broker, fits_message, &wanted);

    return out ? answer_of(out) : (struct answer){ .e = ERR_NOT_FOUND };
}

struct answer fake_next(struct fake_broker *broker, uint64_t conn, enum verb verb)
{
    struct wanted wanted = { OUT_MESSAGE, conn, 0, verb };
    const struct outgoing *out = take(broker, fits_message, &wanted);

    return out ? answer_of(out) : (struct answer){ .e = ERR_NOT_FOUND };
}

bool fake_came(struct fake_broker *broker, enum outgoing_kind kind, uint64_t conn)
{
    struct wanted wanted = { kind, conn, 0, VERB_PING };

    return take(broker, fits_kind, &wanted) != NULL;
}

void fake_forget(struct fake_broker *broker)
{
    free_chain(broker->first);
    broker->first = broker->last = NULL;
}

struct answer fake_say(struct fake_broker *broker, const struct requester *by,
                       const struct message *message, const struct bytes *parts, size_t count)
{
    uint32_t rid = fake_queue(broker, by, message, parts, count);

    must(fake_run(broker));
    return fake_answer(broker, by->conn, rid);
}

/* ---- joining --------------------------------------------------------------------------------- */

static void invite(struct fake_broker *broker, const char *name, struct requester *by)
{
    struct invite_wish wish = { .name = name };
    struct invite_row row;

    *by = (struct requester){ .kind = BY_INVITE, .conn = ++broker->last_conn };
    port_random(broker, by->key, sizeof by->key);
    must(store_begin(broker->store));
    must(controller_invite_make(broker->controller, &wish, by->key, broker->now_ms, "test", &row));
    must(store_commit(broker->store));
    by->id = row.invite_id;
}

static void enrol(struct fake_broker *broker, struct fake_party *party)
{
    struct message message = { .verb = VERB_ENROL };
    struct wire_signed card
        = { bytes_of(party->agent.card, party->agent.card_len), party->agent.card_sig };
    struct requester by;
    uint8_t sig[64];

    invite(broker, party->agent.name, &by);
    fake_enrol_sig(&party->agent, controller_root_id(broker->controller), by.key, broker->now_ms,
                   sig);
    MESSAGE_SET(&message, ts, broker->now_ms);
    MESSAGE_SET(&message, card, card);
    MESSAGE_SET(&message, sig, sig);
    must(fake_say(broker, &by, &message, NULL, 0).e);
}

static void publish(struct fake_broker *broker, const struct fake_party *party)
{
    struct message message = { .verb = VERB_PREKEYS };
    struct list_maker opks = { 0 };
    struct wire_signed spk;
    struct buf statement = { 0 };
    uint8_t sig[64], key[32];

    fake_spk(&party->agent, 1, broker->now_ms, &statement, sig);
    spk = (struct wire_signed){ buf_bytes(&statement), sig };
    for (uint32_t id = 1; id <= 10; id++) {
        struct wire_opk opk = { id, key };

        port_random(broker, key, sizeof key);
        list_add_opk(&opks, &opk);
    }
    MESSAGE_SET(&message, spk, spk);
    MESSAGE_SET(&message, opks, list_of(&opks));
    must(fake_say(broker, &party->by, &message, NULL, 0).e);
    list_free(&opks);
    buf_free(&statement);
}

void fake_connect(struct fake_broker *broker, struct fake_party *party)
{
    const struct agent_row *row = store_agent_by_aid(broker->store, party->agent.aid);

    insist(row != NULL, "agent is not enrolled");
    party->by
        = (struct requester){ .kind = BY_AGENT, .conn = ++broker->last_conn, .id = row->agent_id };
    memcpy(party->by.key, party->agent.tk, 32);
    memcpy(party->by.aid, party->agent.aid, 32);
    memcpy(party->by.identity_key, party->agent.ik, 32);
}

void fake_join(struct fake_broker *broker, struct fake_party *party, const char *name)
{
    *party = (struct fake_party){ .instance = { 1 } };
    fake_agent_make(&party->agent, name, 1, broker->now_ms);
    enrol(broker, party);
    fake_connect(broker, party);
    must(fake_hello(broker, party).e);
    publish(broker, party);
    fake_forget(broker);
}

struct answer fake_hello(struct fake_broker *broker, const struct fake_party *party)
{
    struct message message = { .verb = VERB_HELLO };

    MESSAGE_SET(&message, ts, broker->now_ms);
    MESSAGE_SET(&message, min, 1);
    MESSAGE_SET(&message, version, 1);
    MESSAGE_SET(&message, instance, party->instance);
    return fake_say(broker, &party->by, &message, NULL, 0);
}

struct answer fake_credit(struct fake_broker *broker, const struct fake_party *party,
                          uint64_t items, uint64_t bytes)
{
    struct message message = { .verb = VERB_CREDIT };

    MESSAGE_SET(&message, credit, items);
    MESSAGE_SET(&message, credit_bytes, bytes);
    return fake_say(broker, &party->by, &message, NULL, 0);
}

/* ---- sessions -------------------------------------------------------------------------------- */

struct answer fake_event_say(struct fake_broker *broker, const struct fake_party *by,
                             const struct fake_event *events, size_t count, struct bytes frame)
{
    struct message message = { .verb = VERB_EVENT };
    struct list_maker list = { 0 };
    struct answer answer;

    for (size_t i = 0; i < count; i++) {
        struct wire_event wire = fake_event_wire(&events[i]);

        list_add_event(&list, &wire);
    }
    MESSAGE_SET(&message, events, list_of(&list));
    answer = fake_say(broker, &by->by, &message, &frame, frame.len ? 1 : 0);
    list_free(&list);
    return answer;
}

struct answer fake_request(struct fake_broker *broker, const struct fake_party *by,
                           const struct fake_event *opened, struct bytes frame)
{
    struct message message = { .verb = VERB_REQUEST };
    struct list_maker list = { 0 };
    struct wire_event wire = fake_event_wire(opened);
    struct answer answer;

    list_add_event(&list, &wire);
    MESSAGE_SET(&message, events, list_of(&list));
    answer = fake_say(broker, &by->by, &message, &frame, 1);
    list_free(&list);
    return answer;
}

void fake_session_open(struct fake_broker *broker, struct fake_session *session,
                       const struct fake_party *a, const struct fake_party *b, uint64_t number)
{
    struct buf frame = { 0 };
    struct fake_event event;

    fake_session_make(session, &a->agent, &b->agent, number, broker->now_ms, NULL, &frame, &event);
    must(fake_request(broker, a, &event, buf_bytes(&frame)).e);
    fake_ack_all(broker, b);
    buf_clear(&frame);
    fake_accept_make(session, broker->now_ms, &frame, &event);
    must(fake_event_say(broker, b, &event, 1, buf_bytes(&frame)).e);
    buf_free(&frame);
    fake_ack_all(broker, a);
    fake_ack_all(broker, b); /* the receipt for its frame 1 */
    fake_ack_all(broker, a);
    fake_forget(broker);
}

/* ---- frames ---------------------------------------------------------------------------------- */

struct answer fake_send(struct fake_broker *broker, const struct fake_party *by,
                        const struct bytes *frames, size_t count)
{
    struct message message = { .verb = VERB_SEND };

    return fake_say(broker, &by->by, &message, frames, count);
}

enum err fake_status(const struct answer *answer, size_t i)
{
    struct list_reader reader = list_read(&answer->message.status);
    uint64_t status = 0;

    insist(answer->e == ERR_OK, err_name(answer->e));
    for (size_t k = 0; k <= i; k++)
        insist(list_status(&reader, &status), "fewer statuses than frames");
    return (enum err)status;
}

enum err fake_send_next(struct fake_broker *broker, struct fake_session *session,
                        const struct fake_party *by)
{
    bool is_a = memcmp(by->agent.aid, session->a->aid, 32) == 0;
    uint64_t *next = is_a ? &session->next_a : &session->next_b;
    struct buf frame = { 0 };
    struct bytes part;
    struct answer answer;
    enum err status;

    fake_frame(&frame, FRAME_DATA, session->chain.sid, is_a ? session->a : session->b,
               is_a ? session->b : session->a, *next, broker->now_ms + 86400000, BUCKET_MIN);
    part = buf_bytes(&frame);
    answer = fake_send(broker, by, &part, 1);
    buf_free(&frame);
    status = fake_status(&answer, 0);
    if (status == ERR_OK)
        ++*next;
    return status;
}

/* ---- reading --------------------------------------------------------------------------------- */

static size_t fetch_behind(struct fake_broker *broker, const struct fake_party *party,
                           uint64_t after, struct fake_item *items, size_t max)
{
    static const uint8_t mailbox[16];
    struct message message = { .verb = VERB_FETCH };
    struct answer answer;

    MESSAGE_SET(&message, stream, mailbox);
    MESSAGE_SET(&message, max, max);
    MESSAGE_SET(&message, max_bytes, 4 << 20);
    MESSAGE_SET(&message, after, after);
    answer = fake_say(broker, &party->by, &message, NULL, 0);
    must(answer.e);
    return fake_items_of(&answer.message, answer.parts, items, max);
}

size_t fake_fetch(struct fake_broker *broker, const struct fake_party *party,
                  struct fake_item *items)
{
    size_t count = 0, more;

    do {
        more = fetch_behind(broker, party, count ? items[count - 1].position : 0, items + count,
                            256 - count);
        count += more;
    } while (more && count < 256);
    return count;
}

struct answer fake_ack_with(struct fake_broker *broker, const struct fake_party *party,
                            uint64_t after, uint64_t position, const struct list_maker *receipts)
{
    static const uint8_t mailbox[16];
    struct message message = { .verb = VERB_ACK };

    MESSAGE_SET(&message, stream, mailbox);
    MESSAGE_SET(&message, after, after);
    MESSAGE_SET(&message, position, position);
    MESSAGE_SET(&message, receipts, list_of(receipts));
    return fake_say(broker, &party->by, &message, NULL, 0);
}

uint64_t fake_cursor(struct fake_broker *broker, const struct fake_party *party)
{
    const struct agent_row *row = store_agent(broker->store, party->by.id);
    struct cursor_row cursor;

    must(store_cursor_get(broker->store, row->mailbox, row->agent_id, &cursor));
    return cursor.position;
}

size_t fake_ack_all(struct fake_broker *broker, const struct fake_party *party)
{
    struct fake_item *items = mem_zeroed(256, sizeof *items);
    size_t all = 0, count;

    while ((count = fake_fetch(broker, party, items)) > 0) {
        struct list_maker receipts = { 0 };

        fake_receipts_of(&party->agent, items, count, broker->now_ms, &receipts);
        must(fake_ack_with(broker, party, fake_cursor(broker, party), items[count - 1].position,
                           &receipts)
                 .e);
        list_free(&receipts);
        all += count;
    }
    free(items);
    return all;
}
