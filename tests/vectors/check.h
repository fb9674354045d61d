/*
 * check - reads a vectors file and compares: the first difference ends the program.
 *
 * Memory   everything taken out of the file lives until check_close().
 */
#ifndef VECTORS_CHECK_H
#define VECTORS_CHECK_H
#include <jansson.h>

#include "shared/base/bytes.h"
#include "shared/base/err.h"

/* Opens FILE or ends the program. */
json_t *check_open(const char *path);
void check_close(json_t *root);

/* How many comparisons there were since the last call. */
unsigned check_count(void);

/* What is being checked, for the message of a failure. */
void check_name(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints what was being checked and ends the program with 1. */
_Noreturn void check_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Fields; a missing one, or one of another type, is a failure. */
json_t *get(json_t *object, const char *key);
bool has(json_t *object, const char *key); /* there, and neither null nor "" */
const char *get_text(json_t *object, const char *key);
uint64_t get_number(json_t *object, const char *key);
struct bytes get_hex(json_t *object, const char *key);
struct bytes get_hex_of(json_t *object, const char *key, size_t len);
const uint8_t *get_fixed(json_t *object, const char *key, size_t len);
struct bytes hex_of(json_t *string);

/* The element whose `key` is this number or text. */
json_t *find_number(json_t *array, const char *key, uint64_t value);
json_t *find_text(json_t *array, const char *key, const char *value);

void same_bytes(const char *what, struct bytes got, struct bytes want);
/* Against a hex field; skipped where the file has none. */
void same_field(const char *what, const void *got, size_t len, json_t *object, const char *key);
void same_number(const char *what, uint64_t got, uint64_t want);
void same_text(const char *what, const char *got, const char *want);
void is_true(const char *what, bool got);

/* Which error a reason word of the file is here.  The last row has no reason. */
struct reason {
    const char *reason;
    enum err err;
};

/* `e` against expect and also.  True if the case is to be accepted. */
bool check_outcome(json_t *object, enum err e, const struct reason *reasons);

#endif
