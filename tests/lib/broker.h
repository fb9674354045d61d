/*
 * broker - a broker in memory for one test: store, controller and flow under a clock that the test
 *          turns, and people who ask it things.
 *
 * A request goes through encoder and decoder as on the wire; what is handed out is kept until the
 * next question.
 */
#ifndef TESTS_BROKER_H
#define TESTS_BROKER_H
#include <criterion/criterion.h>
#include <sodium.h>
#include <stdlib.h>

#include "broker/controller/controller.h"
#include "broker/flow/flow.h"
#include "broker/store/directory.h"
#include "broker/store/invites.h"
#include "shared/trust/enrol.h"
#include "shared/trust/identity.h"
#include "shared/trust/label.h"
#include "shared/wire/lists.h"

#define BROKER_NOW UINT64_C(1900000000000)
#define OK(e)      cr_assert_eq((e), ERR_OK, "line %d", __LINE__)

struct broker {
    struct store *store;
    struct signer *signer;
    struct controller *controller;
    struct flow *flow;
    struct flow_settings settings;
    uint64_t now_ms, elapsed_ms, chance, conns;
    const char *dir;      /* NULL: in memory */
    struct outgoing *out; /* newest first */
};

/* Somebody with keys: before joining known by an invite's key, afterwards by its own. */
struct person {
    uint8_t sk[64];
    struct card card;
    struct buf packed;
    uint8_t sig[64], aid[32], hash[32];
    struct requester by;
};

static inline void broker_chance(void *ctx, uint8_t *out, size_t len)
{
    struct broker *b = ctx;

    for (size_t i = 0; i < len; i++) {
        b->chance = b->chance * 6364136223846793005u + 1442695040888963407u;
        out[i] = (uint8_t)(b->chance >> 56);
    }
}

static inline uint64_t broker_now(void *ctx)
{
    return ((struct broker *)ctx)->now_ms;
}

static inline uint64_t broker_elapsed(void *ctx)
{
    return ((struct broker *)ctx)->elapsed_ms;
}

static inline uint64_t broker_disk(void *ctx)
{
    (void)ctx;
    return UINT64_MAX;
}

static inline void broker_hand_out(void *ctx, struct outgoing *out)
{
    struct broker *b = ctx;

    out->next = b->out;
    b->out = out;
}

static inline void broker_forget_out(struct broker *b)
{
    while (b->out) {
        struct outgoing *next = b->out->next;

        outgoing_free(&b->out);
        b->out = next;
    }
}

static inline void broker_pass(struct broker *b, uint64_t ms)
{
    b->now_ms += ms;
    b->elapsed_ms += ms;
}

static inline void broker_open(struct broker *b)
{
    struct store_options options;
    struct controller_settings settings;
    uint8_t seed[32] = { 7 };
    struct flow_ports ports
        = { b, broker_now, broker_elapsed, broker_chance, broker_hand_out, broker_disk };

    store_options_default(&options);
    options.dir = b->dir;
    options.ballast_bytes = 0;
    options.now_ms = b->now_ms;
    options.elapsed_ms = b->elapsed_ms;
    options.random = broker_chance;
    options.random_ctx = b;
    OK(store_open(&b->store, &options));
    signer_new(&b->signer, seed);
    controller_settings_default(&settings);
    memset(settings.curve_pk, 9, 32);
    OK(controller_open(&b->controller, b->store, b->signer, &settings));
    OK(flow_open(&b->flow, b->store, b->controller, &ports, &b->settings));
    broker_forget_out(b);
}

static inline void broker_begin(struct broker *b)
{
    *b = (struct broker){ .now_ms = BROKER_NOW, .elapsed_ms = 1000, .chance = 42 };
    cr_assert_geq(sodium_init(), 0);
    flow_settings_default(&b->settings);
    broker_open(b);
}

static inline void broker_close(struct broker *b)
{
    flow_close(&b->flow);
    controller_close(&b->controller);
    signer_close(&b->signer);
    store_close(&b->store);
    broker_forget_out(b);
}

/* ---- asking
 * --------------------------------------------------------------------------------------- */

/* A request and the bytes it was decoded from. */
struct broker_question {
    struct request request;
    struct buf bytes;
};

static inline void broker_free_question(void *memory)
{
    struct broker_question *question = memory;

    buf_free(&question->bytes);
    free(question);
}

/* Asks; decodes the answer, which lives until the next question. */
static inline struct message broker_ask(struct broker *b, const struct requester *by,
                                        struct message question)
{
    struct broker_question *asked = mem_zeroed(1, sizeof *asked);
    struct request *request = &asked->request;
    struct message answer = { 0 };

    broker_forget_out(b);
    question.rid = 77;
    message_encode(&question, &asked->bytes);
    OK(message_decode(&request->message, buf_bytes(&asked->bytes), 0, FROM_AGENT));
    request->by = *by;
    request->bytes = asked->bytes.len;
    request->memory = asked;
    request->release = broker_free_question;
    OK(flow_turn(b->flow, &request, 1));
    for (struct outgoing *out = b->out; out; out = out->next)
        if (out->kind == OUT_MESSAGE && out->conn == by->conn) {
            OK(message_decode(&answer, buf_bytes(&out->head), out->part_count, FROM_BROKER));
            if (answer.rid == 77)
                return answer;
        }
    cr_assert_fail("no answer");
    return answer;
}

static inline enum err answer_err(const struct message *answer)
{
    return answer->verb == VERB_ERROR ? (enum err)answer->code : ERR_OK;
}

/* Was such a thing handed out with the last answer? */
static inline bool broker_said(const struct broker *b, enum outgoing_kind kind, const uint8_t *key)
{
    for (const struct outgoing *out = b->out; out; out = out->next)
        if (out->kind == kind && memcmp(out->key, key, 32) == 0)
            return true;
    return false;
}

/* ---- people
 * --------------------------------------------------------------------------------------- */

static inline void person_sign_card(struct person *p)
{
    struct buf preimage = { 0 };

    buf_clear(&p->packed);
    card_encode(&p->packed, &p->card);
    label_preimage(&preimage, LABEL_CARD, buf_bytes(&p->packed));
    crypto_sign_detached(p->sig, NULL, preimage.at, preimage.len, p->sk);
    card_hash(p->hash, buf_bytes(&p->packed));
    buf_free(&preimage);
}

static inline void person_make(struct broker *b, struct person *p, const char *name)
{
    uint8_t seed[32];

    *p = (struct person){ 0 };
    broker_chance(b, seed, sizeof seed);
    crypto_sign_seed_keypair(p->card.ik, p->sk, seed);
    strcpy(p->card.name, name);
    broker_chance(b, p->card.dk, 32);
    broker_chance(b, p->card.tk, 32);
    p->card.gen = 1;
    p->card.created_ms = b->now_ms;
    p->card.suites = 1;
    p->card.proto_min = p->card.proto_max = 1;
    aid_of(p->aid, p->card.ik);
    person_sign_card(p);
}

/* An invite in the store; whoever has its key asks as `by`. */
static inline struct invite_row person_invite(struct broker *b, struct person *p,
                                              const struct invite_wish *wish)
{
    struct invite_row invite;
    uint8_t key[32];

    broker_chance(b, key, sizeof key);
    OK(store_begin(b->store));
    OK(controller_invite_make(b->controller, wish, key, b->now_ms, "kim", &invite));
    OK(store_commit(b->store));
    p->by = (struct requester){ .kind = BY_INVITE, .conn = ++b->conns, .id = invite.invite_id };
    memcpy(p->by.key, key, 32);
    return invite;
}

static inline struct message person_enrol_message(struct broker *b, const struct person *p,
                                                  const uint8_t invite_key[static 32],
                                                  uint8_t sig[static 64])
{
    struct message m = { .verb = VERB_ENROL };
    uint8_t preimage[ENROL_PREIMAGE_SIZE];

    enrol_preimage(preimage, controller_root_id(b->controller), invite_key, p->hash, b->now_ms);
    crypto_sign_detached(sig, NULL, preimage, sizeof preimage, p->sk);
    MESSAGE_SET(&m, ts, b->now_ms);
    MESSAGE_SET(&m, card, ((struct wire_signed){ buf_bytes(&p->packed), p->sig }));
    MESSAGE_SET(&m, sig, sig);
    return m;
}

static inline struct message person_enrol(struct broker *b, const struct person *p)
{
    uint8_t sig[64];

    return broker_ask(b, &p->by, person_enrol_message(b, p, p->by.key, sig));
}

/* From now on it speaks with its own key, over a new connection. */
static inline void person_is_agent(struct broker *b, struct person *p)
{
    const struct agent_row *agent = store_agent_by_aid(b->store, p->aid);

    cr_assert_not_null(agent);
    p->by = (struct requester){ .kind = BY_AGENT, .conn = ++b->conns, .id = agent->agent_id };
    memcpy(p->by.key, p->card.tk, 32);
    memcpy(p->by.aid, p->aid, 32);
    memcpy(p->by.identity_key, p->card.ik, 32);
}

static inline struct message person_hello(struct broker *b, const struct person *p)
{
    static const uint8_t instance[16] = { 1 };
    struct message m = { .verb = VERB_HELLO };

    MESSAGE_SET(&m, ts, b->now_ms);
    MESSAGE_SET(&m, min, 1);
    MESSAGE_SET(&m, version, 1);
    MESSAGE_SET(&m, instance, instance);
    return broker_ask(b, &p->by, m);
}

/* Invited, enrolled, greeted. */
static inline void person_joins(struct broker *b, struct person *p, const char *name,
                                const char *circle)
{
    struct invite_wish wish
        = { .circles = &circle, .circle_count = circle ? 1 : 0, .guest = !circle };
    struct message answer;

    person_make(b, p, name);
    person_invite(b, p, &wish);
    answer = person_enrol(b, p);
    OK(answer_err(&answer));
    person_is_agent(b, p);
    answer = person_hello(b, p);
    OK(answer_err(&answer));
}

static inline void person_end(struct person *p)
{
    buf_free(&p->packed);
}

#endif
