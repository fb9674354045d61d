/*
 * text - how ids, times, sizes and durations look to people (docs: cli).
 *
 * Nothing here allocates; `out` holds the closing NUL.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H
#include "shared/base/bytes.h"
#include "shared/base/err.h"

#define NAME_MAX_LEN     64
#define FINGERPRINT_SIZE 40 /* 8 groups of 4, dashes, NUL */
#define TIME_TEXT_SIZE   32
#define SHORT_TEXT_SIZE  32

/* [a-z0-9][a-z0-9._-]{0,63} */
bool name_valid(struct bytes name);

/* Lower-case hex; `out` holds 2 * len + 1. */
void hex_encode(char *out, const uint8_t *at, size_t len);
/* Exactly 2 * len lower- or upper-case digits, else ERR_MALFORMED. */
enum err hex_decode(uint8_t *out, size_t len, const char *hex, size_t hex_len);

/* First 20 bytes of a 32-byte hash, base32 lower-case, 8 groups of 4. */
void fingerprint_text(char out[static FINGERPRINT_SIZE], const uint8_t hash[static 32]);
/* 16 to 32 characters, dashes anywhere, "id:" in front or not.  Writes the dashless form (NUL-ended). */
enum err fingerprint_parse(char out[static 33], const char *text);
/* Does the dashless form (or its beginning) name this hash? */
bool fingerprint_fits(const char *plain, const uint8_t hash[static 32]);

/* "2026-11-21 09:40:02Z" and "2026-11-21T09:40:02.117Z". */
void time_text(char out[static TIME_TEXT_SIZE], uint64_t ms);
void time_json(char out[static TIME_TEXT_SIZE], uint64_t ms);

/* "850ms" "12s" "3m" "5h" "9d", rounded down. */
void duration_text(char out[static SHORT_TEXT_SIZE], uint64_t ms);
/* integer + ms s m h d, one unit; "0" */
enum err duration_parse(uint64_t *out_ms, const char *text);

/* "31 B" "4.2 KiB" "1.0 GiB" */
void size_text(char out[static SHORT_TEXT_SIZE], uint64_t bytes);
/* integer, or integer + KiB MiB GiB */
enum err size_parse(uint64_t *out, const char *text);

/* Decimal, no sign, no more than 2^63 - 1. */
enum err count_parse(uint64_t *out, const char *text);

/* The nearest of `count` words (edit distance at most 3 and below half its length), or NULL. */
const char *text_nearest(const char *word, const char *const *words, size_t count);

/* Appends `from` with control characters, C1 and bidi controls escaped (\x1b, \u202e); newline and
 * tab stay when `lines` is true; bytes that are not UTF-8 become \xNN. */
void text_escape(struct buf *out, struct bytes from, bool lines);

bool utf8_valid(struct bytes text);

#endif
