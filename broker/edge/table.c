#include "broker/edge/table.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/bytes.h"

void table_init(struct table *table, size_t key_at, size_t key_len)
{
    *table = (struct table){ .size = 64, .key_at = key_at, .key_len = key_len };
    table->slot = mem_zeroed(table->size, sizeof *table->slot);
    randombytes_buf(table->seed, sizeof table->seed);
}

void table_wipe(struct table *table)
{
    free(table->slot);
    sodium_memzero(table, sizeof *table);
}

static const void *key_of(const struct table *table, const void *entry)
{
    return (const char *)entry + table->key_at;
}

static size_t home_of(const struct table *table, const void *key)
{
    uint8_t hash[crypto_shorthash_BYTES];
    uint64_t n;

    crypto_shorthash(hash, key, table->key_len, table->seed);
    memcpy(&n, hash, sizeof n);
    return (size_t)n & (table->size - 1);
}

static size_t slot_of(const struct table *table, const void *key)
{
    size_t i = home_of(table, key);

    while (table->slot[i] && memcmp(key_of(table, table->slot[i]), key, table->key_len) != 0)
        i = (i + 1) & (table->size - 1);
    return i;
}

void *table_find(const struct table *table, const void *key)
{
    return table->slot[slot_of(table, key)];
}

static void grow(struct table *table)
{
    void **old = table->slot;
    size_t size = table->size;

    table->size *= 2;
    table->slot = mem_zeroed(table->size, sizeof *table->slot);
    for (size_t i = 0; i < size; i++)
        if (old[i])
            table->slot[slot_of(table, key_of(table, old[i]))] = old[i];
    free(old);
}

void table_insert(struct table *table, void *entry)
{
    if (table->count * 2 >= table->size)
        grow(table);
    table->slot[slot_of(table, key_of(table, entry))] = entry;
    table->count++;
}

/* Closes the gap, so that no tombstones pile up. */
void table_remove(struct table *table, const void *entry)
{
    size_t mask = table->size - 1, gap = slot_of(table, key_of(table, entry));

    if (table->slot[gap] != entry)
        return;
    table->slot[gap] = NULL;
    table->count--;
    for (size_t i = (gap + 1) & mask; table->slot[i]; i = (i + 1) & mask) {
        size_t home = home_of(table, key_of(table, table->slot[i]));

        /* may it move to the gap without getting before its home? */
        if (((i - home) & mask) >= ((i - gap) & mask)) {
            table->slot[gap] = table->slot[i];
            table->slot[i] = NULL;
            gap = i;
        }
    }
}

void *table_next(const struct table *table, size_t *i)
{
    while (*i < table->size)
        if (table->slot[(*i)++])
            return table->slot[*i - 1];
    return NULL;
}
