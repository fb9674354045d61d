#include "shared/base/bytes.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

static void *must(void *at)
{
    if (!at) {
        fputs("fatal: out of memory\n", stderr);
        abort();
    }
    return at;
}

void *mem_alloc(size_t len)
{
    return must(malloc(len ? len : 1));
}

void *mem_zeroed(size_t count, size_t len)
{
    return must(calloc(count ? count : 1, len ? len : 1));
}

void *mem_resize(void *at, size_t len)
{
    return must(realloc(at, len ? len : 1));
}

uint8_t *mem_copy(struct bytes from)
{
    uint8_t *to = mem_alloc(from.len);

    if (from.len)
        memcpy(to, from.at, from.len);
    return to;
}

uint8_t *buf_extend(struct buf *buf, size_t len)
{
    size_t need = buf->len + len;

    if (need > buf->cap) {
        size_t cap = buf->cap ? buf->cap : 64;

        while (cap < need)
            cap *= 2;
        /* Not realloc: it may leave a copy of a secret behind. */
        uint8_t *to = mem_alloc(cap);

        if (buf->len)
            memcpy(to, buf->at, buf->len);
        if (buf->at)
            sodium_memzero(buf->at, buf->len);
        free(buf->at);
        buf->at = to;
        buf->cap = cap;
    }
    buf->len = need;
    return buf->at + need - len;
}

void buf_append(struct buf *buf, const void *at, size_t len)
{
    if (len)
        memcpy(buf_extend(buf, len), at, len);
}

void buf_clear(struct buf *buf)
{
    buf->len = 0;
}

void buf_free(struct buf *buf)
{
    free(buf->at);
    *buf = (struct buf){ 0 };
}

void buf_wipe(struct buf *buf)
{
    if (buf->at)
        sodium_memzero(buf->at, buf->cap);
    buf_free(buf);
}
