/*
 * bound - is this one MessagePack value that is safe to decode?  Runs before anything else sees a
 * stranger's bytes; walks them once and allocates nothing.
 *
 * Accepts  bool, positive integers, str (UTF-8), bin, arrays and maps in their shortest spelling,
 *          nested at most BOUND_DEPTH deep; counts and lengths not larger than the bytes left; map
 *          keys positive integers, strictly ascending; nothing behind the value.
 * Errors   ERR_SCHEMA.
 */
#ifndef WIRE_BOUND_H
#define WIRE_BOUND_H
#include "shared/base/bytes.h"
#include "shared/base/err.h"

#define BOUND_DEPTH 4

enum bound_use {
    BOUND_MESSAGE, /* transport: maps allowed */
    BOUND_SIGNED   /* signed or hashed objects: arrays only */
};

enum err bound_check(struct bytes packed, enum bound_use use);

#endif
