/*
 * liar - a hostile broker and controller: sits between the world's honest broker and real agents,
 *        reads and changes whatever passes, makes up the rest, and holds the controller's key.
 *
 * What needs the controller's signature is signed here; what needs an agent's cannot be, unless a
 * test steals a key on purpose.  Three tools:
 *
 *     rules      a function sees every message, changes or swallows it
 *     mailboxes  what an agent is delivered, in which order and how often, is the liar's choice
 *     views      an agent is shown another log, with certificates and heads that fit it
 *
 * Memory   all that the liar hands out lives until liar_free().
 * Thread   one; agents are told things when the world runs on.
 */
#ifndef TESTS_LIAR_H
#define TESTS_LIAR_H
#include "agent/flow/core.h"
#include "shared/trust/card.h"
#include "shared/trust/event.h"
#include "shared/trust/init0.h"
#include "shared/trust/log_entry.h"
#include "shared/trust/receipt.h"
#include "shared/wire/lists.h"
#include "tests/lib/world.h"

struct liar;

struct liar *liar_new(struct world *world);
void liar_free(struct liar **liar); /* before the world */

struct bytes liar_keep(struct liar *liar, struct bytes bytes);
/* Has its memory copied, and may be written to. */
uint8_t *liar_copy(struct liar *liar, struct bytes bytes);
/* The controller's key: 64 bytes secret, 32 bytes public. */
const uint8_t *liar_ck_secret(const struct liar *liar);
const uint8_t *liar_ck(const struct liar *liar);

/* ------------------------------------------------------------------ rules */

/* A message on the way; fields are changed with MESSAGE_SET, bytes by pointing elsewhere. */
struct passing {
    struct world_agent *who;
    bool to_agent;
    struct message message;
    struct bytes parts[WIRE_PARTS_MAX];
    size_t part_count;
};

/* False: swallowed. */
typedef bool liar_rule(void *ctx, struct liar *liar, struct passing *passing);
/* One at a time; NULL: none. */
void liar_set_rule(struct liar *liar, liar_rule *rule, void *ctx);

/* How many messages of the verb left `who` so far, those that a rule swallowed included. */
unsigned liar_count(const struct liar *liar, const struct world_agent *who, enum verb verb);

/* Made up: as if the broker had said it; as if the agent had (its transport key is stolen). */
void liar_tell(struct liar *liar, struct world_agent *who, const struct message *message,
               const struct bytes *parts, size_t count);
/* Runs the world until the broker has answered; the answer never reaches the agent. */
const struct passing *liar_ask_broker(struct liar *liar, struct world_agent *who,
                                      struct message *message, const struct bytes *parts,
                                      size_t count);

/* ------------------------------------------------------------------ mailboxes */

struct liar_item {
    struct wire_item item;
    struct bytes part; /* empty: a tombstone */
};

struct liar_receipt {
    uint8_t bytes[RECEIPT_SIZE + 64]; /* preimage, signature */
    struct receipt receipt;
};

/* From now on what the broker delivers to `who` is kept here, and ACKs are taken and answered. */
void liar_take_mailbox(struct liar *liar, struct world_agent *who);
/* What the broker has delivered since, in its order. */
size_t liar_item_count(const struct liar *liar, const struct world_agent *who);
struct liar_item liar_item_at(const struct liar *liar, const struct world_agent *who, size_t n);
/* The first of this kind from number `from` on; fails the world if there is none. */
struct liar_item liar_item_of(const struct liar *liar, const struct world_agent *who,
                              enum item_kind kind, size_t from);
/* Delivers these, at positions of their own. */
void liar_deliver(struct liar *liar, struct world_agent *who, const struct liar_item *items,
                  size_t count);
/* What `who` has signed for, cursor receipts left out. */
size_t liar_receipts(const struct liar *liar, const struct world_agent *who,
                     const struct liar_receipt **out);
/* Items around bytes. */
struct liar_item liar_item(struct liar *liar, enum item_kind kind, struct bytes part);
struct liar_item liar_tombstone(struct liar *liar, struct bytes frame, uint8_t reason);

/* ------------------------------------------------------------------ views of the log */

struct liar_view;

/* The log so far; follows the true one, entry by entry. */
struct liar_view *liar_view(struct liar *liar);
/* This entry of the true log never appears in it.  Before it does. */
void liar_view_hide(struct liar_view *view, uint64_t true_index);
/* An entry that the true log has not; index and time are filled in. */
void liar_view_append(struct liar_view *view, struct log_entry entry);
/* `who` is shown this one from now on; NULL: the truth. */
void liar_show(struct liar *liar, struct world_agent *who, struct liar_view *view);
/* Has the agents look at the log (NOTIFY 1), and lets them. */
void liar_log_moved(struct liar *liar, struct world_agent *who);

/* ------------------------------------------------------------------ people who do not exist */

struct liar_person {
    struct card card;
    uint8_t ik_secret[64], dk_secret[32];
    uint8_t aid[32], hash[32], sig[64];
    struct bytes packed;
};

void liar_person(struct liar *liar, struct liar_person *out, const char *name);
/* Packs, signs and hashes again after a change of `card`. */
void liar_person_sign(struct liar *liar, struct liar_person *person);
/* ENROL in a view; `circle` NULL: none. */
void liar_view_enrol(struct liar_view *view, const struct liar_person *person, const char *circle);
/* Card and certificate, for an agent that is shown `view` (NULL: the truth). */
struct bytes liar_certify(struct liar *liar, struct liar_view *view, const struct liar_person *p);
/* The same certificate, with the head of that view. */
struct bytes liar_recertify(struct liar *liar, struct liar_view *view, struct bytes credential);

/*
 * A request made by hand.  Whoever has `dk_secret` of A makes it as A does; without it (NULL), B's
 * own secrets stand in, which is all that a thief of them can do.
 */
struct liar_asking {
    struct world_agent *to;
    uint8_t aid_a[32], card_hash_a[32];
    const uint8_t *dk_secret, *dk_public; /* 32 bytes */
    const uint8_t *signer;                /* 64 bytes: signs OPENED */
    struct bytes credential;
    const char *text;
    uint8_t suite;                      /* 0: ChaCha20 */
    void (*change)(struct init0 *init); /* NULL: nothing */
};
struct liar_item liar_ask(struct liar *liar, const struct liar_asking *asking);
/* As this person, who has everything that is his. */
struct liar_item liar_ask_as(struct liar *liar, const struct liar_person *person,
                             struct bytes credential, struct world_agent *to, const char *text);

#endif
