#include "shared/wire/bucket.h"

#include <assert.h>

size_t bucket_size(size_t i)
{
    assert(i < BUCKET_COUNT);
    if (i == BUCKET_COUNT - 1) /* the last one has no siblings */
        return BUCKET_MAX;
    return ((size_t)BUCKET_MIN / 4 << i / 4) * (4 + i % 4);
}

size_t bucket_for(size_t len)
{
    size_t power = BUCKET_MIN; /* the largest power of two that is at most `len` */

    if (len < BUCKET_MIN)
        return BUCKET_MIN;
    if (len >= BUCKET_MAX)
        return 0;
    while (2 * power <= len)
        power *= 2;
    return (len / (power / 4) + 1) * (power / 4);
}

bool bucket_valid(size_t size)
{
    return size > 0 && bucket_for(size - 1) == size;
}
