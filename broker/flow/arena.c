#include <stdlib.h>

#include "broker/flow/flow_internal.h"

enum { CHUNK_SIZE = 64 * 1024, ALIGNMENT = 16 };

struct arena_chunk {
    struct arena_chunk *next;
    size_t used, size;
    _Alignas(ALIGNMENT) uint8_t bytes[];
};

void *arena_take(struct arena *arena, size_t len)
{
    struct arena_chunk *chunk = arena->chunks;
    size_t rounded = (len + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;

    if (!chunk || chunk->size - chunk->used < rounded) {
        size_t size = rounded > CHUNK_SIZE ? rounded : CHUNK_SIZE;

        chunk = mem_alloc(sizeof *chunk + size);
        *chunk = (struct arena_chunk){ .next = arena->chunks, .size = size };
        arena->chunks = chunk;
    }
    chunk->used += rounded;
    return chunk->bytes + chunk->used - rounded;
}

/* Keeps one chunk for the next turn. */
void arena_clear(struct arena *arena)
{
    struct arena_chunk *chunk = arena->chunks;

    while (chunk && chunk->next) {
        struct arena_chunk *next = chunk->next;

        free(chunk);
        chunk = next;
    }
    arena->chunks = chunk;
    if (chunk)
        chunk->used = 0;
}

void arena_free(struct arena *arena)
{
    arena_clear(arena);
    free(arena->chunks);
    arena->chunks = NULL;
}
