/*
 * log_stage - a lone agent called ann and the log that a test lets it read: she, bob, and whoever
 *             else calls himself bob.
 */
#ifndef TESTS_LOG_STAGE_H
#define TESTS_LOG_STAGE_H
#include "agent/crypto/sign.h"
#include "agent/flow/watch.h"
#include "agent/store/alarms.h"
#include "agent/store/log.h"
#include "agent/store/peers.h"
#include "shared/trust/credential.h"
#include "shared/trust/identity.h"
#include "shared/trust/log_entry.h"
#include "tests/lib/lone_agent.h"

#define HOUR 3600000u

/* Somebody whose keys and card are ours to make. */
struct person {
    uint8_t ik[32], sk[64], aid[32], hash[32];
    struct card card;
    struct buf packed;
    uint8_t sig[64];
};

struct stage {
    struct lone lone;
    struct log_head head;
    uint8_t ck[32], ck_sk[64];
    struct person bob, mallory; /* both are called bob */
};

static inline void person_make(struct person *p, const char *name, uint8_t number)
{
    *p = (struct person){
        .card
        = { .gen = 1, .created_ms = LONE_NOW - HOUR, .suites = 1, .proto_min = 1, .proto_max = 1 }
    };
    sign_key_of_seed(p->ik, p->sk, (const uint8_t[32]){ number });
    strcpy(p->card.name, name);
    memcpy(p->card.ik, p->ik, 32);
    memset(p->card.dk, number, 32);
    memset(p->card.tk, number + 1, 32);
    card_encode(&p->packed, &p->card);
    card_hash(p->hash, buf_bytes(&p->packed));
    sign_labelled(p->sig, p->sk, LABEL_CARD, buf_bytes(&p->packed));
    aid_of(p->aid, p->ik);
}

static inline void entry_pack(struct buf *out, const struct stage *s, enum log_entry_type type,
                              const char *name, const uint8_t aid[static 32],
                              const uint8_t hash[static 32])
{
    static const uint8_t revoked[9] = { 1 }; /* by the operator, from the beginning */
    struct log_entry entry = { .index = s->head.next, .ts_ms = LONE_NOW, .type = type };

    memcpy(entry.aid, aid, 32);
    memcpy(entry.card_hash, hash, 32);
    strcpy(entry.name, name);
    if (type == ENTRY_REVOKE)
        entry.extra = bytes_of(revoked, sizeof revoked);
    log_entry_encode(out, &entry);
}

/* Asks for the log and answers with this one entry; the head is what the controller says. */
static inline void log_says(struct stage *s, struct bytes packed, const uint8_t head[static 32])
{
    struct list_maker items = { 0 };
    struct message reply;
    size_t at;

    lone_forget(&s->lone);
    agent_enter(s->lone.agent);
    agent_log_ask(s->lone.agent);
    agent_leave(s->lone.agent);
    at = lone_find(&s->lone, VERB_LOG, 0);
    cr_assert_neq(at, LONE_MAX);
    reply = message_reply(&s->lone.sent[at].message);
    list_add_entry(&items, packed);
    MESSAGE_SET(&reply, items, list_of(&items));
    MESSAGE_SET(&reply, index, s->head.next - 1);
    MESSAGE_SET(&reply, head, head);
    lone_hear(&s->lone, &reply, NULL, 0);
    list_free(&items);
}

static inline void log_goes_on(struct stage *s, enum log_entry_type type, const char *name,
                               const uint8_t aid[static 32], const uint8_t hash[static 32])
{
    struct buf packed = { 0 };
    struct log_entry entry;

    entry_pack(&packed, s, type, name, aid, hash);
    cr_assert_eq(log_head_append(&s->head, buf_bytes(&packed), &entry), ERR_OK);
    s->lone.agent->link.broker_log_next = s->head.next; /* as HELLO would have said */
    memcpy(s->lone.agent->link.broker_log_head, s->head.digest, 32);
    log_says(s, buf_bytes(&packed), s->head.digest);
    buf_free(&packed);
}

static inline void stage_open(struct stage *s)
{
    struct agent *agent;

    memset(s, 0, sizeof *s);
    lone_open(&s->lone, 11);
    agent = s->lone.agent;
    sign_key_of_seed(s->ck, s->ck_sk, (const uint8_t[32]){ 99 });
    memcpy(agent->me.row.root_key, s->ck, 32);
    agent->me.row.enrolled = true;
    agent->me.certificate_renew_ms = UINT64_MAX;
    agent->link.state = STATE_UP;
    agent->link.open = true;
    agent->link.heard_ms = s->lone.elapsed_ms;
    agent->log_due_ms = UINT64_MAX;
    person_make(&s->bob, "bob", 1);
    person_make(&s->mallory, "bob", 2);
    log_goes_on(s, ENTRY_ENROL, "ann", agent->me.row.id, agent->me.card_hash);
    log_goes_on(s, ENTRY_ENROL, "bob", s->bob.aid, s->bob.hash);
}

static inline void stage_close(struct stage *s)
{
    buf_free(&s->bob.packed);
    buf_free(&s->mallory.packed);
    lone_close(&s->lone);
}

/* The only open alarm, or none for NULL. */
static inline void expect_alarm(struct stage *s, const char *code, const char *detail,
                                const char *what)
{
    struct profile_alarm alarm[4];
    size_t count = profile_alarms(s->lone.agent->store, alarm, 4);

    cr_assert_eq(count, code ? 1 : 0, "%s: %zu alarms", what, count);
    if (!code)
        return;
    cr_expect_str_eq(alarm[0].code, code, "%s", what);
    cr_expect_neq(strstr(alarm[0].detail, detail), NULL, "%s: %s", what, alarm[0].detail);
}

static inline void know_bob(struct stage *s)
{
    struct agent_store *store = s->lone.agent->store;
    struct profile_peer peer;

    agent_store_begin(store);
    cr_assert(profile_peer_get(store, profile_peer_add(store, s->bob.aid, "bob", LONE_NOW), &peer));
    profile_peer_pin(store, &peer, PIN_FIRST_USE, "first use", LONE_NOW);
    cr_assert_eq(agent_store_commit(store), ERR_OK);
}

static inline enum err say_to_bob(struct stage *s, uint8_t id[static 16])
{
    struct send_request request = { .body = bytes_of_text("hello") };

    memcpy(request.to, s->bob.aid, 32);
    return agent_send(s->lone.agent, &request, id);
}

#endif
