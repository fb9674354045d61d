/*
 * object - the JSON objects of docs: cli, field by field.
 *
 * Every object begins {"v":1,"type":TYPE}; a field that is unknown or does not apply is null.
 */
#ifndef JSON_OBJECT_H
#define JSON_OBJECT_H
#include <jansson.h>
#include <stdbool.h>

#include "shared/base/bytes.h"

/* {"v":1,"type":TYPE}: a new reference. */
json_t *out_object(const char *type);

/* Adds; NULL, or an absent time (0), becomes null. */
void out_text(json_t *object, const char *key, const char *value);
void out_bytes_text(json_t *object, const char *key,
                    struct bytes value); /* must be UTF-8; else null */
void out_number(json_t *object, const char *key, uint64_t value);
void out_number_or_null(json_t *object, const char *key, bool known, uint64_t value);
void out_bool(json_t *object, const char *key, bool value);
void out_null(json_t *object, const char *key);
void out_time(json_t *object, const char *key, uint64_t ms); /* RFC 3339; 0: null */
void out_hex(json_t *object, const char *key, const uint8_t *at, size_t len); /* NULL: null */
void out_b64(json_t *object, const char *key, struct bytes value);
void out_fingerprint(json_t *object, const char *key, const uint8_t *hash); /* NULL: null */
void out_take(json_t *object, const char *key, json_t *value);              /* steals; NULL: null */

/* Words of `text` with one space between, as an array. */
json_t *out_words(const char *text);

/* The error object of cli 6.1 without peer, id and wire; retry_ms below 0: null. */
json_t *out_error_object(const char *code, int exit, const char *message, const char *hint);

/* Appends one line; takes the object. */
void out_line(struct buf *lines, json_t *object);

#endif
