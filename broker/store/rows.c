#include "broker/store/rows.h"

#include <assert.h>
#include <stdlib.h>

void rows_init(struct rows *rows, size_t row_size, uint64_t seed)
{
    assert(row_size >= sizeof(struct row));
    *rows = (struct rows){ .row_size = row_size, .seed = seed, .slots = 64 };
    rows->slot = mem_zeroed(rows->slots, sizeof *rows->slot);
}

void rows_wipe(struct rows *rows)
{
    if (!rows->slot)
        return;
    rows_clear(rows);
    free(rows->slot);
    *rows = (struct rows){ 0 };
}

/* Seeded, because ids that agents choose come here, too. */
static size_t slot_of(const struct rows *rows, int64_t a, int64_t b)
{
    uint64_t h = ((uint64_t)a ^ rows->seed) * 0x9e3779b97f4a7c15u;

    h = (h ^ (h >> 32) ^ (uint64_t)b) * 0xd6e8feb86659fd93u;
    h ^= h >> 29;
    return (size_t)h & (rows->slots - 1);
}

void *rows_find(const struct rows *rows, int64_t a, int64_t b)
{
    struct row *row = rows->slot[slot_of(rows, a, b)];

    while (row && (row->a != a || row->b != b))
        row = row->next;
    return row;
}

static void grow(struct rows *rows)
{
    struct row **old = rows->slot;
    size_t old_slots = rows->slots;

    rows->slots *= 2;
    rows->slot = mem_zeroed(rows->slots, sizeof *rows->slot);
    for (size_t i = 0; i < old_slots; i++)
        while (old[i]) {
            struct row *row = old[i];
            size_t at = slot_of(rows, row->a, row->b);

            old[i] = row->next;
            row->next = rows->slot[at];
            rows->slot[at] = row;
        }
    free(old);
}

void *rows_add(struct rows *rows, int64_t a, int64_t b)
{
    struct row *row = mem_zeroed(1, rows->row_size);
    size_t at;

    assert(!rows_find(rows, a, b));
    if (rows->count++ >= rows->slots)
        grow(rows);
    at = slot_of(rows, a, b);
    row->a = a;
    row->b = b;
    row->next = rows->slot[at];
    rows->slot[at] = row;
    return row;
}

static void forget_dirty(struct rows *rows, struct row *row)
{
    struct row **at = &rows->dirty;

    while (*at != row)
        at = &(*at)->next_dirty;
    *at = row->next_dirty;
}

void rows_remove(struct rows *rows, int64_t a, int64_t b)
{
    struct row **at = &rows->slot[slot_of(rows, a, b)];
    struct row *row;

    while (*at && ((*at)->a != a || (*at)->b != b))
        at = &(*at)->next;
    if (!*at)
        return;
    row = *at;
    *at = row->next;
    if (row->dirty)
        forget_dirty(rows, row);
    free(row);
    rows->count--;
}

void rows_clear(struct rows *rows)
{
    for (size_t i = 0; i < rows->slots; i++)
        while (rows->slot[i]) {
            struct row *row = rows->slot[i];

            rows->slot[i] = row->next;
            free(row);
        }
    rows->count = 0;
    rows->dirty = NULL;
}

void rows_touch(struct rows *rows, void *any)
{
    struct row *row = any;

    if (row->dirty)
        return;
    row->dirty = true;
    row->next_dirty = rows->dirty;
    rows->dirty = row;
}

void *rows_next_dirty(struct rows *rows)
{
    struct row *row = rows->dirty;

    if (row) {
        rows->dirty = row->next_dirty;
        row->dirty = false;
    }
    return row;
}
