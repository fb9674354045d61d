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
    for (size_t i = 0; i < BUCKET_COUNT; i++)
        if (bucket_size(i) > len)
            return bucket_size(i);
    return 0;
}

bool bucket_valid(size_t size)
{
    return size > 0 && bucket_for(size - 1) == size;
}
