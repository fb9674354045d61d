#include "shared/base/real.h"

#include <sodium.h>

#include "shared/base/clock.h"

uint64_t real_now_ms(void *ctx)
{
    (void)ctx;
    return clock_now_ms();
}

uint64_t real_elapsed_ms(void *ctx)
{
    (void)ctx;
    return clock_elapsed_ms();
}

void real_random(void *ctx, uint8_t *out, size_t len)
{
    (void)ctx;
    randombytes_buf(out, len);
}
