/*
 * real - the real time and chance, in the shape that ports want them.  `ctx` is not used.
 */
#ifndef BASE_REAL_H
#define BASE_REAL_H
#include <stddef.h>
#include <stdint.h>

uint64_t real_now_ms(void *ctx);
uint64_t real_elapsed_ms(void *ctx);
void real_random(void *ctx, uint8_t *out, size_t len);

#endif
