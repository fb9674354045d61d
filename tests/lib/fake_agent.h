/*
 * fake_agent - an agent made by hand, for whoever must talk to a broker without the real thing:
 *              real Ed25519 keys and signatures, frames of the right layout filled with noise.
 *
 * Knows nothing of sockets or stores: it makes bytes.  Link `testlib`.
 * Random   none: everything follows from the number an agent is made from.
 */
#ifndef TESTS_FAKE_AGENT_H
#define TESTS_FAKE_AGENT_H
#include "shared/trust/card.h"
#include "shared/trust/event.h"
#include "shared/trust/init0.h"
#include "shared/trust/receipt.h"
#include "shared/wire/frame.h"
#include "shared/wire/lists.h"

struct fake_agent {
    char name[NAME_MAX_LEN + 1];
    uint8_t ik[32], ik_secret[64]; /* identity */
    uint8_t tk[32], tk_secret[32]; /* transport, X25519 */
    uint8_t dk[32];
    uint8_t aid[32], card_hash[32], card_sig[64];
    uint32_t gen;
    size_t card_len;
    uint8_t card[CARD_MAX];
};

/* The same number and name give the same agent. */
void fake_agent_make(struct fake_agent *out, const char *name, uint64_t number, uint64_t now_ms);
/* The next generation of its card, with a new transport key. */
void fake_agent_rekey(struct fake_agent *agent, uint64_t now_ms);
void fake_agent_sign(const struct fake_agent *agent, struct bytes what, uint8_t sig[static 64]);

/* ENROL's signature. */
void fake_enrol_sig(const struct fake_agent *agent, const uint8_t root_id[static 32],
                    const uint8_t invite_key[static 32], uint64_t ts_ms, uint8_t sig[static 64]);

/* A signed prekey; `out` holds the statement. */
void fake_spk(const struct fake_agent *agent, uint32_t id, uint64_t now_ms, struct buf *out,
              uint8_t sig[static 64]);

/* ---- sessions -------------------------------------------------------------------------------- */

/* What both sides know.  {0} before fake_session_make(). */
struct fake_session {
    const struct fake_agent *a, *b;
    struct init0 init;
    struct session_chain chain; /* as far as events were made */
    uint8_t request_digest[32];
    uint64_t next_a, next_b; /* numbers of the next frames */
    size_t body_len;         /* the OPENED event's */
    uint8_t body[EVENT_BODY_MAX];
    uint8_t init0[INIT0_SIZE];
};

/* An event with its memory. */
struct fake_event {
    struct event event;
    uint8_t preimage[EVENT_SIZE], sig[64];
    size_t body_len;
    uint8_t body[EVENT_BODY_MAX];
};

struct wire_event fake_event_wire(const struct fake_event *event);

/*
 * INIT0 of mailbox mode, frame 1 of A (appended to `frame`) and OPENED.  `number` keeps two
 * sessions of the same pair apart.  `change`, if given, may alter INIT0 before anything is made
 * from it.
 */
void fake_session_make(struct fake_session *session, const struct fake_agent *a,
                       const struct fake_agent *b, uint64_t number, uint64_t now_ms,
                       void (*change)(struct init0 *init), struct buf *frame,
                       struct fake_event *opened);

/* The next event of the chain; `chain` follows only where the rules allow it. */
void fake_event_make(struct fake_session *session, const struct fake_agent *actor,
                     enum event_type type, struct bytes body, uint64_t now_ms,
                     struct fake_event *out);
/* ACCEPTED by B, and B's frame 1. */
void fake_accept_make(struct fake_session *session, uint64_t now_ms, struct buf *frame,
                      struct fake_event *out);
/* Signs whatever stands in out->event and out->body. */
void fake_event_sign(struct fake_event *out, const struct fake_agent *actor);

/* ---- frames and receipts --------------------------------------------------------------------- */

/* A frame of a session around `size` bytes of noise (a bucket); appended to `out`. */
void fake_frame(struct buf *out, enum frame_kind kind, const uint8_t scope[static 16],
                const struct fake_agent *from, const struct fake_agent *to, uint64_t seq,
                uint64_t expires_ms, size_t size);
/* The stub of a frame; appended. */
void fake_stub(struct buf *out, struct bytes frame);
void fake_digest(struct bytes frame, uint8_t out[static 32]);

/* What a stream delivered, as far as receipts need to know. */
struct fake_item {
    uint64_t position, kind, seq, reason; /* seq 0: the broker's own */
    uint8_t scope[16], sender[32];
    uint8_t digest[32]; /* the item digest */
    struct bytes bytes; /* borrowed; a tombstone has none */
};

/* From a DELIVER or the answer to FETCH.  Returns how many. */
size_t fake_items_of(const struct message *message, const struct bytes *parts,
                     struct fake_item *out, size_t max);

struct fake_receipt {
    uint8_t preimage[RECEIPT_SIZE], sig[64];
};
void fake_receipt_sign(struct fake_receipt *out, const struct fake_agent *reader,
                       struct receipt receipt);

/* Exactly what an ACK of these items must carry: a session receipt for each run of kind 2 and 3
 * (status 1, tombstones 4), and a cursor receipt for the rest. */
void fake_receipts_of(const struct fake_agent *reader, const struct fake_item *items, size_t count,
                      uint64_t now_ms, struct list_maker *out);

#endif
