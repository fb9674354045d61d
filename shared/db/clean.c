#include "shared/db/clean.h"

#include <sodium.h>
#include <sqlite3.h>
#include <string.h>

static sqlite3_mem_methods plain;

static void clean_free(void *at)
{
    if (at)
        sodium_memzero(at, (size_t)plain.xSize(at));
    plain.xFree(at);
}

/* Never in place: the allocator would free the old block as it is. */
static void *clean_resize(void *at, int size)
{
    void *made;
    int had;

    if (!at)
        return plain.xMalloc(size);
    had = plain.xSize(at);
    if (size <= had)
        return at;
    made = plain.xMalloc(size);
    if (made) {
        memcpy(made, at, (size_t)had);
        clean_free(at);
    }
    return made;
}

void db_clean_memory(void)
{
    sqlite3_mem_methods clean;

    if (plain.xFree || sqlite3_config(SQLITE_CONFIG_GETMALLOC, &plain) != SQLITE_OK)
        return;
    clean = plain;
    clean.xFree = clean_free;
    clean.xRealloc = clean_resize;
    sqlite3_config(SQLITE_CONFIG_MALLOC, &clean);
    /* Small pieces would come out of pools that nobody zeroes. */
    sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0);
}
