/*
 * bucket - the 33 sizes to which a message is padded: 256·2^i·{4, 5, 6, 7}/4 for i = 0 … 7, and
 * 65,536.
 */
#ifndef WIRE_BUCKET_H
#define WIRE_BUCKET_H
#include <stdbool.h>
#include <stddef.h>

#define BUCKET_COUNT 33
#define BUCKET_MIN   256
#define BUCKET_MAX   65536

/* The i-th size, ascending; i < BUCKET_COUNT. */
size_t bucket_size(size_t i);

/* The smallest bucket that is larger than `len` (the padding takes a byte at least); 0 if none is.
 */
size_t bucket_for(size_t len);

bool bucket_valid(size_t size);

#endif
