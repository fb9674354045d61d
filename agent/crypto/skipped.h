/*
 * skipped - message keys kept for frames that come late: bounded, oldest out first.
 *
 * Owns     its memory; {0} is a good empty one; skipped_wipe() zeroes and frees.
 * Bounds   2,000 keys; five header keys that are no longer current; 30 days.
 */
#ifndef CRYPTO_SKIPPED_H
#define CRYPTO_SKIPPED_H
#include "shared/base/bytes.h"
#include "shared/base/err.h"

#define SKIPPED_MAX        2000
#define SKIPPED_STEP_MAX   1000 /* left out at once */
#define SKIPPED_OLD_CHAINS 5
#define SKIPPED_LIFE_MS    (30ull * 86400000)

struct skipped_key {
    uint32_t n;
    uint32_t added_s; /* Unix time */
    uint8_t chain;    /* index into struct skipped.chain */
    uint8_t message_key[32];
};

struct skipped_chain {
    uint8_t header_key[32];
    uint32_t count; /* keys of it; 0 only while the set is being changed */
};

struct skipped {
    struct skipped_key *key; /* from `first` on, oldest first */
    uint32_t first, count, cap;
    struct skipped_chain chain[SKIPPED_OLD_CHAINS + 2]; /* oldest first */
    uint8_t chains;
    bool changed; /* since the caller last cleared it: write the set again */
};

/* Adds at the end; the oldest leaves if there are too many. */
void skipped_add(struct skipped *skipped, const uint8_t header_key[static 32], uint32_t n,
                 const uint8_t message_key[static 32], uint64_t now_ms);

/* The key, borrowed until the set changes, or NULL.  One that has outlived its time is not found.
 */
const uint8_t *skipped_find(const struct skipped *skipped, unsigned chain, uint32_t n,
                            uint64_t now_ms);
void skipped_remove(struct skipped *skipped, unsigned chain, uint32_t n);

/* The DH ratchet turns: all chains are old now, and only the newest five of them stay. */
void skipped_turn(struct skipped *skipped);

/* Forgets what has outlived its time. */
void skipped_expire(struct skipped *skipped, uint64_t now_ms);

void skipped_wipe(struct skipped *skipped);

/* For the database, to be sealed there.  ERR_CORRUPT: not something we wrote; `out` stays empty. */
void skipped_export(const struct skipped *skipped, struct buf *out);
enum err skipped_import(struct skipped *out, struct bytes bytes);

#endif
