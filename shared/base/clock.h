/*
 * clock - the real clocks.  Flow code never calls them: it gets the time from its ports.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H
#include <stdint.h>

/* Unix time in milliseconds. */
uint64_t clock_now_ms(void);

/* Milliseconds that only go forward, suspended time included (CLOCK_BOOTTIME). */
uint64_t clock_elapsed_ms(void);
uint64_t clock_elapsed_us(void);

#endif
