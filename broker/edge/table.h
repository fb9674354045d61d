/*
 * table - finds a struct by a key of fixed length that lies inside it.
 *
 * Owns     its slots; the structs are borrowed.
 * Hash     seeded SipHash: peers choose keys and routing ids.
 */
#ifndef EDGE_TABLE_H
#define EDGE_TABLE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table {
    void **slot; /* owned; NULL: free */
    size_t size; /* power of two */
    size_t count;
    size_t key_at, key_len; /* where the key lies in a struct */
    uint8_t seed[16];
};

void table_init(struct table *table, size_t key_at, size_t key_len);
void table_wipe(struct table *table);

/* NULL: not there. */
void *table_find(const struct table *table, const void *key);
/* The key must not be there yet. */
void table_insert(struct table *table, void *entry);
void table_remove(struct table *table, const void *entry);

/* Walk: for (size_t i = 0; (entry = table_next(&t, &i));).  Removing the entry just given may move
 * others before `i` or repeat none; those moved to an earlier slot are not seen again. */
void *table_next(const struct table *table, size_t *i);

#endif
