/*
 * rows - table rows kept in memory, found by two numbers; changed ones are written before the
 * commit.
 *
 * Memory   a row stays where it is until rows_remove() or rows_clear().
 */
#ifndef STORE_ROWS_H
#define STORE_ROWS_H
#include "shared/base/bytes.h"

/* First member of every kind of row. */
struct row {
    int64_t a, b;
    struct row *next; /* in its slot */
    struct row *next_dirty;
    bool dirty;
};

struct rows {
    struct row **slot;
    size_t slots, count;
    size_t row_size;
    struct row *dirty;
    uint64_t seed;
};

void rows_init(struct rows *rows, size_t row_size, uint64_t seed);
void rows_wipe(struct rows *rows);

/* NULL if it is not here. */
void *rows_find(const struct rows *rows, int64_t a, int64_t b);
/* Zeroes but for its numbers; there must be none yet. */
void *rows_add(struct rows *rows, int64_t a, int64_t b);
void rows_remove(struct rows *rows, int64_t a, int64_t b);
/* All of them, written or not. */
void rows_clear(struct rows *rows);

void rows_touch(struct rows *rows, void *row);
/* The next changed row, no longer counted as changed; NULL: no more. */
void *rows_next_dirty(struct rows *rows);

#endif
