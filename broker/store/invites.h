/*
 * invites - doors for strangers: one key each, good for one agent.
 */
#ifndef STORE_INVITES_H
#define STORE_INVITES_H
#include "broker/store/directory.h"

#define NOTE_SIZE 257

struct invite_row {
    int64_t invite_id;
    uint8_t key[32];             /* CURVE public key; the secret half is nowhere */
    char name[NAME_MAX_LEN + 1]; /* "": any free name */
    char circles[CIRCLES_TEXT_SIZE];
    bool approve;
    char note[NOTE_SIZE];
    uint64_t created_ms, expires_ms, until_ms;
    uint64_t used_ms, approved_ms, denied_ms, withdrawn_ms, done_ms; /* 0: not yet */
    int64_t agent_id; /* who came through it; 0: nobody yet */
    size_t card_len;  /* the card it was used for; 0: none */
    uint8_t card[CARD_MAX];
    uint8_t card_sig[64];
};

enum invite_state {
    INVITE_OPEN,
    INVITE_WAITING,
    INVITE_USED,
    INVITE_EXPIRED,
    INVITE_DENIED,
    INVITE_WITHDRAWN
};
enum invite_state store_invite_state(const struct invite_row *invite, uint64_t now_ms);
/* Is its key in the key set? */
bool store_invite_admits(const struct invite_row *invite, uint64_t now_ms);

enum err store_invite_get(struct store *store, int64_t invite_id, struct invite_row *out);
enum err store_invite_by_key(struct store *store, const uint8_t key[static 32],
                             struct invite_row *out);
/* The invite through which this agent came.  ERR_NOT_FOUND. */
enum err store_invite_of_agent(struct store *store, int64_t agent_id, struct invite_row *out);

/* invite_id is given by the store. */
enum err store_invite_add(struct store *store, struct invite_row *invite);
/* Writes every field but invite_id, key and created_ms. */
enum err store_invite_put(struct store *store, const struct invite_row *invite);

/* Every invite, or only those that are neither done nor over, oldest first.  `row` may not write.
 */
typedef bool store_invite_visit(void *ctx, const struct invite_row *invite);
enum err store_invite_list(struct store *store, bool all, uint64_t now_ms, store_invite_visit *row,
                           void *ctx);

/* Those whose time came to an end in (from_ms, to_ms]: their keys leave the key set. */
enum err store_invite_ended(struct store *store, uint64_t from_ms, uint64_t to_ms,
                            store_invite_visit *row, void *ctx);

#endif
