#include "shared/wire/take.h"

#include "shared/wire/head.h"

/* The number in the next head, if it is of this kind and at most `max`; else fails and gives 0. */
static uint64_t take_head(struct take *take, enum head_kind kind, uint64_t max)
{
    struct head head;

    if (take->err != ERR_OK)
        return 0;
    take->err = head_read(&take->at, take->end, &head);
    if (take->err == ERR_OK && (head.kind != kind || head.value > max))
        take->err = ERR_SCHEMA;
    return take->err == ERR_OK ? head.value : 0;
}

static struct bytes take_content(struct take *take, enum head_kind kind, size_t max)
{
    size_t len = take_head(take, kind, max);
    struct bytes content = { take->at, len };

    take->at += len;
    return take->err == ERR_OK ? content : (struct bytes){ 0 };
}

size_t take_array(struct take *take)
{
    return take_head(take, HEAD_ARRAY, SIZE_MAX);
}

void take_array_of(struct take *take, size_t count)
{
    if (take_array(take) != count)
        take_fail(take, ERR_SCHEMA);
}

size_t take_map(struct take *take)
{
    return take_head(take, HEAD_MAP, SIZE_MAX);
}

uint64_t take_uint(struct take *take, uint64_t max)
{
    return take_head(take, HEAD_UINT, max);
}

bool take_bool(struct take *take)
{
    return take_head(take, HEAD_BOOL, 1) != 0;
}

struct bytes take_str(struct take *take, size_t max)
{
    return take_content(take, HEAD_STR, max);
}

struct bytes take_bin(struct take *take, size_t max)
{
    return take_content(take, HEAD_BIN, max);
}

const uint8_t *take_fixed(struct take *take, size_t len)
{
    struct bytes content = take_content(take, HEAD_BIN, len);

    if (content.len != len)
        take_fail(take, ERR_SCHEMA);
    return take->err == ERR_OK ? content.at : NULL;
}

void take_copy(struct take *take, uint8_t *out, size_t len)
{
    const uint8_t *at = take_fixed(take, len);

    if (at)
        memcpy(out, at, len);
    else
        memset(out, 0, len);
}

struct bytes take_value(struct take *take)
{
    const uint8_t *start = take->at;
    uint64_t missing = 1; /* values; each needs a byte at least, so the loop ends */

    while (take->err == ERR_OK && missing > 0) {
        struct head head;

        take->err = head_read(&take->at, take->end, &head);
        if (take->err != ERR_OK)
            return (struct bytes){ 0 };
        missing--;
        if (head.kind == HEAD_STR || head.kind == HEAD_BIN)
            take->at += head.value;
        else if (head.kind == HEAD_ARRAY)
            missing += head.value;
        else if (head.kind == HEAD_MAP)
            missing += 2 * head.value;
        if (missing > (uint64_t)(take->end - take->at))
            take->err = ERR_SCHEMA;
    }
    return take->err == ERR_OK ? bytes_of(start, (size_t)(take->at - start)) : (struct bytes){ 0 };
}

void take_skip(struct take *take)
{
    take_value(take);
}

enum take_kind take_peek(const struct take *take)
{
    static const enum take_kind kinds[] = {
        [HEAD_UINT] = TAKE_UINT, [HEAD_BOOL] = TAKE_BOOL,   [HEAD_STR] = TAKE_STR,
        [HEAD_BIN] = TAKE_BIN,   [HEAD_ARRAY] = TAKE_ARRAY, [HEAD_MAP] = TAKE_MAP,
    };
    const uint8_t *at = take->at;
    struct head head;

    if (take->err != ERR_OK || head_read(&at, take->end, &head) != ERR_OK)
        return TAKE_NOTHING;
    return kinds[head.kind];
}

void take_fail(struct take *take, enum err e)
{
    if (take->err == ERR_OK)
        take->err = e;
}

enum err take_end(const struct take *take)
{
    if (take->err != ERR_OK)
        return take->err;
    return take->at == take->end ? ERR_OK : ERR_SCHEMA;
}
