#include "shared/wire/head.h"

/* Codes with a number behind them: the kind, how many bytes, and the least value that needs them.
 */
static const struct spelling {
    uint8_t code, size;
    enum head_kind kind;
    uint64_t least;
} spellings[] = {
    { 0xc4, 1, HEAD_BIN, 0 },           { 0xc5, 2, HEAD_BIN, 0x100 },
    { 0xc6, 4, HEAD_BIN, 0x10000 },     { 0xcc, 1, HEAD_UINT, 0x80 },
    { 0xcd, 2, HEAD_UINT, 0x100 },      { 0xce, 4, HEAD_UINT, 0x10000 },
    { 0xcf, 8, HEAD_UINT, 1ULL << 32 }, { 0xd9, 1, HEAD_STR, 0x20 },
    { 0xda, 2, HEAD_STR, 0x100 },       { 0xdb, 4, HEAD_STR, 0x10000 },
    { 0xdc, 2, HEAD_ARRAY, 0x10 },      { 0xdd, 4, HEAD_ARRAY, 0x10000 },
    { 0xde, 2, HEAD_MAP, 0x10 },        { 0xdf, 4, HEAD_MAP, 0x10000 },
};

static enum err head_spelled(const uint8_t **at, const uint8_t *end, uint8_t code, struct head *out)
{
    for (size_t i = 0; i < sizeof spellings / sizeof spellings[0]; i++) {
        const struct spelling *s = &spellings[i];

        if (s->code != code)
            continue;
        if ((size_t)(end - *at) < s->size)
            return ERR_SCHEMA;
        out->kind = s->kind;
        out->value = 0;
        for (unsigned n = 0; n < s->size; n++)
            out->value = out->value << 8 | *(*at)++;
        return out->value < s->least ? ERR_SCHEMA : ERR_OK;
    }
    return ERR_SCHEMA; /* nil, floats, extensions, negative numbers, 0xc1 */
}

/* The kind and number of a head, without asking whether its content is there. */
static enum err head_spelling(const uint8_t **at, const uint8_t *end, struct head *out)
{
    uint8_t code;

    if (*at == end)
        return ERR_SCHEMA;
    code = *(*at)++;
    if (code < 0x80)
        *out = (struct head){ HEAD_UINT, code };
    else if (code < 0x90)
        *out = (struct head){ HEAD_MAP, code & 0x0f };
    else if (code < 0xa0)
        *out = (struct head){ HEAD_ARRAY, code & 0x0f };
    else if (code < 0xc0)
        *out = (struct head){ HEAD_STR, code & 0x1f };
    else if (code == 0xc2 || code == 0xc3)
        *out = (struct head){ HEAD_BOOL, code & 1 };
    else
        return head_spelled(at, end, code, out);
    return ERR_OK;
}

enum err head_read(const uint8_t **at, const uint8_t *end, struct head *out)
{
    enum err e = head_spelling(at, end, out);
    uint64_t left = (uint64_t)(end - *at);

    if (e != ERR_OK)
        return e;
    switch (out->kind) {
    case HEAD_UINT:
    case HEAD_BOOL:
        return ERR_OK;
    case HEAD_STR:
    case HEAD_BIN:
    case HEAD_ARRAY:
        return out->value > left ? ERR_SCHEMA : ERR_OK;
    case HEAD_MAP:
        return out->value > left / 2 ? ERR_SCHEMA : ERR_OK;
    }
    return ERR_SCHEMA;
}
