#include "agent/crypto/skipped.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>

#define SKIPPED_VERSION 1
#define CHAINS_MAX      (SKIPPED_OLD_CHAINS + 2)
#define KEY_SIZE        41 /* exported: chain, n, added, key */

static struct skipped_key *oldest(const struct skipped *skipped)
{
    return skipped->key + skipped->first;
}

/* Makes room behind the last key: slides over the gap that evicted keys left, or grows. */
static void skipped_room(struct skipped *skipped)
{
    struct skipped_key *to = skipped->key;

    if (skipped->first + skipped->count < skipped->cap)
        return;
    if (skipped->first < skipped->count || skipped->first == 0) {
        skipped->cap = skipped->cap ? 2 * skipped->cap : 64;
        to = mem_alloc(skipped->cap * sizeof *to);
    }
    if (skipped->count)
        memmove(to, oldest(skipped), skipped->count * sizeof *to);
    if (to == skipped->key) {
        sodium_memzero(to + skipped->count, skipped->first * sizeof *to);
    } else if (skipped->key) {
        sodium_memzero(skipped->key, (skipped->first + skipped->count) * sizeof *to);
        free(skipped->key);
    }
    skipped->key = to;
    skipped->first = 0;
}

/* The chain has no keys left: its header key goes, and the indexes behind it move up. */
static void chain_forget(struct skipped *skipped, unsigned chain)
{
    struct skipped_chain *at = &skipped->chain[chain];

    memmove(at, at + 1, (skipped->chains - chain - 1u) * sizeof *at);
    skipped->chains--;
    sodium_memzero(&skipped->chain[skipped->chains], sizeof *at);
    for (uint32_t i = 0; i < skipped->count; i++)
        if (oldest(skipped)[i].chain > chain)
            oldest(skipped)[i].chain--;
}

static void oldest_forget(struct skipped *skipped)
{
    struct skipped_key *key = oldest(skipped);
    unsigned chain = key->chain;

    sodium_memzero(key, sizeof *key);
    skipped->first++;
    skipped->count--;
    skipped->changed = true;
    if (--skipped->chain[chain].count == 0)
        chain_forget(skipped, chain);
}

/* Only the newest chain can get more keys; another header key begins a new one. */
static unsigned chain_for(struct skipped *skipped, const uint8_t header_key[static 32])
{
    if (skipped->chains > 0) {
        unsigned last = skipped->chains - 1u;

        if (sodium_memcmp(skipped->chain[last].header_key, header_key, 32) == 0)
            return last;
    }
    assert(skipped->chains < CHAINS_MAX);
    memcpy(skipped->chain[skipped->chains].header_key, header_key, 32);
    skipped->chain[skipped->chains].count = 0;
    return skipped->chains++;
}

void skipped_add(struct skipped *skipped, const uint8_t header_key[static 32], uint32_t n,
                 const uint8_t message_key[static 32], uint64_t now_ms)
{
    struct skipped_key *key;
    unsigned chain;

    skipped_room(skipped);
    chain = chain_for(skipped, header_key);
    key = oldest(skipped) + skipped->count++;
    key->n = n;
    key->added_s = (uint32_t)(now_ms / 1000);
    key->chain = (uint8_t)chain;
    memcpy(key->message_key, message_key, 32);
    skipped->chain[chain].count++;
    skipped->changed = true;
    if (skipped->count > SKIPPED_MAX)
        oldest_forget(skipped);
}

static bool outlived(const struct skipped_key *key, uint64_t now_ms)
{
    return now_ms / 1000 >= key->added_s + SKIPPED_LIFE_MS / 1000;
}

static struct skipped_key *key_at(const struct skipped *skipped, unsigned chain, uint32_t n)
{
    for (uint32_t i = 0; i < skipped->count; i++) {
        struct skipped_key *key = oldest(skipped) + i;

        if (key->n == n && key->chain == chain)
            return key;
    }
    return NULL;
}

const uint8_t *skipped_find(const struct skipped *skipped, unsigned chain, uint32_t n,
                            uint64_t now_ms)
{
    const struct skipped_key *key = key_at(skipped, chain, n);

    return key && !outlived(key, now_ms) ? key->message_key : NULL;
}

void skipped_remove(struct skipped *skipped, unsigned chain, uint32_t n)
{
    struct skipped_key *key = key_at(skipped, chain, n);
    size_t behind;

    if (!key)
        return;
    behind = (size_t)(oldest(skipped) + skipped->count - (key + 1));
    memmove(key, key + 1, behind * sizeof *key);
    skipped->count--;
    sodium_memzero(oldest(skipped) + skipped->count, sizeof *key);
    skipped->changed = true;
    if (--skipped->chain[chain].count == 0)
        chain_forget(skipped, chain);
}

void skipped_turn(struct skipped *skipped)
{
    while (skipped->chains > SKIPPED_OLD_CHAINS)
        oldest_forget(skipped); /* keys lie by chain: these are the oldest chain's */
}

void skipped_expire(struct skipped *skipped, uint64_t now_ms)
{
    while (skipped->count > 0 && outlived(oldest(skipped), now_ms))
        oldest_forget(skipped);
}

void skipped_wipe(struct skipped *skipped)
{
    if (skipped->key)
        sodium_memzero(skipped->key, skipped->cap * sizeof *skipped->key);
    free(skipped->key);
    sodium_memzero(skipped, sizeof *skipped);
}

void skipped_export(const struct skipped *skipped, struct buf *out)
{
    uint8_t *at = buf_extend(out, 6u + 32u * skipped->chains + (size_t)KEY_SIZE * skipped->count);

    at = put_u8(at, SKIPPED_VERSION);
    at = put_u8(at, skipped->chains);
    at = put_u32(at, skipped->count);
    for (unsigned i = 0; i < skipped->chains; i++)
        at = put_raw(at, skipped->chain[i].header_key, 32);
    for (uint32_t i = 0; i < skipped->count; i++) {
        const struct skipped_key *key = oldest(skipped) + i;

        at = put_u8(at, key->chain);
        at = put_u32(at, key->n);
        at = put_u32(at, key->added_s);
        at = put_raw(at, key->message_key, 32);
    }
}

/* Chains are numbered in the order of their keys and none is empty; else we did not write it. */
static enum err skipped_read(struct skipped *out, const uint8_t *at)
{
    unsigned expected = 0; /* the chain of the key before */

    for (uint32_t i = 0; i < out->count; i++, at += KEY_SIZE) {
        struct skipped_key *key = out->key + i;

        key->chain = at[0];
        key->n = get_u32(at + 1);
        key->added_s = get_u32(at + 5);
        memcpy(key->message_key, at + 9, 32);
        if (key->chain >= out->chains || key->chain < expected || key->chain > expected + 1
            || (i == 0 && key->chain != 0))
            return ERR_CORRUPT;
        expected = key->chain;
        out->chain[key->chain].count++;
    }
    return out->chains == (out->count ? expected + 1u : 0) ? ERR_OK : ERR_CORRUPT;
}

enum err skipped_import(struct skipped *out, struct bytes bytes)
{
    enum err e;

    *out = (struct skipped){ 0 };
    if (bytes.len < 6 || bytes.at[0] != SKIPPED_VERSION || bytes.at[1] >= CHAINS_MAX
        || get_u32(bytes.at + 2) > SKIPPED_MAX
        || bytes.len != 6u + 32u * bytes.at[1] + (size_t)KEY_SIZE * get_u32(bytes.at + 2))
        return ERR_CORRUPT;
    out->chains = bytes.at[1];
    out->count = out->cap = get_u32(bytes.at + 2);
    out->key = mem_alloc(out->cap * sizeof *out->key);
    for (unsigned i = 0; i < out->chains; i++)
        memcpy(out->chain[i].header_key, bytes.at + 6 + 32 * i, 32);
    e = skipped_read(out, bytes.at + 6 + 32u * out->chains);
    if (e != ERR_OK)
        skipped_wipe(out);
    return e;
}
