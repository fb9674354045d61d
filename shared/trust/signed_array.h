/*
 * signed_array - how every signed MessagePack object begins: canonical, an array of so many, a tag
 * and version 1.  For the parsers of this folder only.
 */
#ifndef TRUST_SIGNED_ARRAY_H
#define TRUST_SIGNED_ARRAY_H
#include "shared/wire/pack.h"
#include "shared/wire/take.h"

/* A cursor behind the array's head; a failure is kept in it. */
struct take signed_array(struct bytes packed, size_t max_size, size_t count);

/* As signed_array(), behind tag and version. */
struct take signed_object(struct bytes packed, size_t max_size, size_t count, const char *tag);

/* A valid name into out[NAME_MAX_LEN + 1]. */
void take_name(struct take *take, char *out);

#endif
