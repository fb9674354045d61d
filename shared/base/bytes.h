/*
 * bytes - a borrowed view, a growing buffer, and big-endian numbers.
 *
 * Memory   running out of it ends the process: nothing here can be half done.
 */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Borrowed: whoever made it keeps the memory alive. */
struct bytes {
    const uint8_t *at;
    size_t len;
};

static inline struct bytes bytes_of(const void *at, size_t len)
{
    return (struct bytes){ at, len };
}

static inline struct bytes bytes_of_text(const char *text)
{
    return (struct bytes){ (const uint8_t *)text, strlen(text) };
}

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

/* malloc, calloc, realloc that end the process instead of returning NULL. */
void *mem_alloc(size_t len);
void *mem_zeroed(size_t count, size_t len);
void *mem_resize(void *at, size_t len);
uint8_t *mem_copy(struct bytes from);

/* Owned, growing.  {0} is a good empty buffer. */
struct buf {
    uint8_t *at;
    size_t len, cap;
};

void buf_append(struct buf *buf, const void *at, size_t len);

/* Room for `len` more bytes, counted at once; returns where they go. */
uint8_t *buf_extend(struct buf *buf, size_t len);

/* Forgets the content and keeps the memory. */
void buf_clear(struct buf *buf);

/* Zeroes, then frees. */
void buf_wipe(struct buf *buf);
void buf_free(struct buf *buf);

static inline struct bytes buf_bytes(const struct buf *buf)
{
    return (struct bytes){ buf->at, buf->len };
}

/* Big-endian, as in every binary layout of a2a/1. */
static inline uint8_t *put_u8(uint8_t *at, uint8_t v)
{
    *at = v;
    return at + 1;
}

static inline uint8_t *put_u16(uint8_t *at, uint16_t v)
{
    at[0] = (uint8_t)(v >> 8);
    at[1] = (uint8_t)v;
    return at + 2;
}

static inline uint8_t *put_u32(uint8_t *at, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(v >> (24 - 8 * i));
    return at + 4;
}

static inline uint8_t *put_u64(uint8_t *at, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        at[i] = (uint8_t)(v >> (56 - 8 * i));
    return at + 8;
}

static inline uint8_t *put_raw(uint8_t *at, const void *from, size_t len)
{
    memcpy(at, from, len);
    return at + len;
}

static inline uint16_t get_u16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t get_u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static inline uint64_t get_u64(const uint8_t *at)
{
    return (uint64_t)get_u32(at) << 32 | get_u32(at + 4);
}

#endif
