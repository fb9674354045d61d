/*
 * print - how objects look to people.  What a peer wrote is escaped everywhere.
 */
#ifndef CLI_PRINT_H
#define CLI_PRINT_H
#include <jansson.h>

#include "shared/base/text.h"
#include "shared/cli/out.h"

/* Members; "" and 0 where they are null. */
const char *member_text(json_t *object, const char *key);
uint64_t member_number(json_t *object, const char *key);
bool member_true(json_t *object, const char *key);
bool member_null(json_t *object, const char *key);

/* "2026-11-21 09:40:02Z" of a time member; "-" if null. */
void member_time(char out[static TIME_TEXT_SIZE], json_t *object, const char *key);
/* Unix milliseconds of a time member; 0 if null. */
uint64_t member_time_ms(json_t *object, const char *key);
/* How long ago, "-" if null; how long until. */
void member_age(char out[static SHORT_TEXT_SIZE], json_t *object, const char *key);
void member_left(char out[static SHORT_TEXT_SIZE], json_t *object, const char *key);
void member_size(char out[static SHORT_TEXT_SIZE], json_t *object, const char *key);
/* "home lab" of a list of strings, `none` if it is empty. */
void member_words(struct buf *out, json_t *object, const char *key, const char *none);

/* One line's worth of foreign text. */
void print_escaped(struct cli *cli, const char *text);

/* Body of a message or outgoing object: as bytes; or escaped, ended by a newline. */
void print_body_raw(struct cli *cli, json_t *object);
void print_body(struct cli *cli, json_t *object);
/* The same into a buffer, which the caller wipes. */
void print_body_to(struct buf *out, json_t *object);

/* `message`, or `outgoing` with body: header line, body, empty line. */
void print_message(struct cli *cli, json_t *object);

#endif
