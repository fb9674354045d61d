#include "shared/wire/bound.h"

#include "shared/base/text.h"
#include "shared/wire/head.h"

/* An array or map that is not complete yet. */
struct level {
    uint64_t left;     /* values still to come; of a map keys and values */
    uint64_t next_key; /* the least key allowed */
    bool map, keys_used_up;
};

struct walk {
    const uint8_t *at, *end;
    struct level level[BOUND_DEPTH];
    int depth;
};

/* A value begins inside `level`: counts it, and where it is a key, checks it. */
static enum err level_enter(struct level *level, const struct head *head)
{
    bool key = level->map && level->left % 2 == 0;

    level->left--;
    if (!key)
        return ERR_OK;
    if (head->kind != HEAD_UINT || head->value < level->next_key || level->keys_used_up)
        return ERR_SCHEMA;
    level->keys_used_up = head->value == UINT64_MAX;
    level->next_key = head->value + 1;
    return ERR_OK;
}

static enum err walk_open(struct walk *walk, const struct head *head)
{
    bool map = head->kind == HEAD_MAP;

    if (walk->depth == BOUND_DEPTH)
        return ERR_SCHEMA;
    walk->level[walk->depth++]
        = (struct level){ .left = map ? 2 * head->value : head->value, .map = map };
    return ERR_OK;
}

static enum err walk_value(struct walk *walk, enum bound_use use)
{
    struct head head;
    enum err e = head_read(&walk->at, walk->end, &head);

    if (e == ERR_OK && walk->depth > 0)
        e = level_enter(&walk->level[walk->depth - 1], &head);
    if (e != ERR_OK)
        return e;
    switch (head.kind) {
    case HEAD_UINT:
    case HEAD_BOOL:
        return ERR_OK;
    case HEAD_STR:
        if (!utf8_valid(bytes_of(walk->at, head.value)))
            return ERR_SCHEMA;
        walk->at += head.value;
        return ERR_OK;
    case HEAD_BIN:
        walk->at += head.value;
        return ERR_OK;
    case HEAD_MAP:
        return use == BOUND_SIGNED ? ERR_SCHEMA : walk_open(walk, &head);
    case HEAD_ARRAY:
        return walk_open(walk, &head);
    }
    return ERR_SCHEMA;
}

enum err bound_check(struct bytes packed, enum bound_use use)
{
    struct walk walk = { .at = packed.at, .end = packed.len ? packed.at + packed.len : packed.at };

    do {
        enum err e = walk_value(&walk, use);

        if (e != ERR_OK)
            return e;
        while (walk.depth > 0 && walk.level[walk.depth - 1].left == 0)
            walk.depth--;
    } while (walk.depth > 0);
    return walk.at == walk.end ? ERR_OK : ERR_SCHEMA;
}
