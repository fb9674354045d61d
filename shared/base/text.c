#include "shared/base/text.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static bool name_char(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool name_valid(struct bytes name)
{
    if (name.len < 1 || name.len > NAME_MAX_LEN || !name_char(name.at[0]))
        return false;
    for (size_t i = 1; i < name.len; i++)
        if (!name_char(name.at[i]) && name.at[i] != '.' && name.at[i] != '_' && name.at[i] != '-')
            return false;
    return true;
}

void hex_encode(char *out, const uint8_t *at, size_t len)
{
    sodium_bin2hex(out, 2 * len + 1, at, len);
}

enum err hex_decode(uint8_t *out, size_t len, const char *hex, size_t hex_len)
{
    size_t got = 0;
    const char *end = NULL;

    if (hex_len != 2 * len || sodium_hex2bin(out, len, hex, hex_len, NULL, &got, &end) != 0
        || got != len || end != hex + hex_len)
        return ERR_MALFORMED;
    return ERR_OK;
}

static const char base32[] = "abcdefghijklmnopqrstuvwxyz234567";

static void fingerprint_plain(char out[static 33], const uint8_t hash[static 32])
{
    for (int i = 0; i < 32; i++) {
        int bit = i * 5;
        unsigned two = (unsigned)hash[bit / 8] << 8 | hash[bit / 8 + 1];

        out[i] = base32[two >> (11 - bit % 8) & 31];
    }
    out[32] = 0;
}

void fingerprint_text(char out[static FINGERPRINT_SIZE], const uint8_t hash[static 32])
{
    char plain[33];
    char *to = out;

    fingerprint_plain(plain, hash);
    for (int i = 0; i < 32; i++) {
        if (i && i % 4 == 0)
            *to++ = '-';
        *to++ = plain[i];
    }
    *to = 0;
}

enum err fingerprint_parse(char out[static 33], const char *text)
{
    size_t len = 0;

    if (strncmp(text, "id:", 3) == 0)
        text += 3;
    for (; *text; text++) {
        if (*text == '-')
            continue;
        if (len == 32 || !strchr(base32, *text))
            return ERR_MALFORMED;
        out[len++] = *text;
    }
    out[len] = 0;
    return len < 16 ? ERR_MALFORMED : ERR_OK;
}

bool fingerprint_fits(const char *plain, const uint8_t hash[static 32])
{
    char own[33];

    fingerprint_plain(own, hash);
    return strncmp(own, plain, strlen(plain)) == 0;
}

static void time_format(char *out, uint64_t ms, bool json)
{
    time_t s = (time_t)(ms / 1000);
    struct tm tm;
    size_t len;

    gmtime_r(&s, &tm);
    len = json ? strftime(out, TIME_TEXT_SIZE, "%Y-%m-%dT%H:%M:%S", &tm)
               : strftime(out, TIME_TEXT_SIZE, "%Y-%m-%d %H:%M:%SZ", &tm);
    if (json)
        snprintf(out + len, TIME_TEXT_SIZE - len, ".%03uZ", (unsigned)(ms % 1000));
}

void time_text(char out[static TIME_TEXT_SIZE], uint64_t ms)
{
    time_format(out, ms, false);
}

void time_json(char out[static TIME_TEXT_SIZE], uint64_t ms)
{
    time_format(out, ms, true);
}

static const struct {
    const char *name;
    uint64_t ms;
} units[] = { { "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 } };

void duration_text(char out[static SHORT_TEXT_SIZE], uint64_t ms)
{
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (ms >= units[i].ms || units[i].ms == 1) {
            snprintf(out, SHORT_TEXT_SIZE, "%" PRIu64 "%s", ms / units[i].ms, units[i].name);
            return;
        }
}

/* The number in front; `rest` is what follows it. */
static enum err number_parse(uint64_t *out, const char *text, const char **rest)
{
    uint64_t n = 0;

    if (*text < '0' || *text > '9')
        return ERR_MALFORMED;
    for (; *text >= '0' && *text <= '9'; text++) {
        uint64_t digit = (uint64_t)(*text - '0');

        if (n > (INT64_MAX - digit) / 10)
            return ERR_MALFORMED;
        n = n * 10 + digit;
    }
    *out = n;
    *rest = text;
    return ERR_OK;
}

static enum err scaled(uint64_t *out, uint64_t n, uint64_t factor)
{
    if (n > INT64_MAX / factor)
        return ERR_MALFORMED;
    *out = n * factor;
    return ERR_OK;
}

enum err duration_parse(uint64_t *out_ms, const char *text)
{
    const char *unit;
    uint64_t n;

    if (number_parse(&n, text, &unit) != ERR_OK)
        return ERR_MALFORMED;
    if (n == 0 && *unit == 0) {
        *out_ms = 0;
        return ERR_OK;
    }
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strcmp(unit, units[i].name) == 0)
            return scaled(out_ms, n, units[i].ms);
    return ERR_MALFORMED;
}

static const struct {
    const char *name;
    uint64_t bytes;
} sizes[] = { { "GiB", 1073741824 }, { "MiB", 1048576 }, { "KiB", 1024 } };

void size_text(char out[static SHORT_TEXT_SIZE], uint64_t bytes)
{
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        if (bytes >= sizes[i].bytes) {
            snprintf(out, SHORT_TEXT_SIZE, "%.1f %s", (double)bytes / (double)sizes[i].bytes,
                     sizes[i].name);
            return;
        }
    snprintf(out, SHORT_TEXT_SIZE, "%" PRIu64 " B", bytes);
}

enum err size_parse(uint64_t *out, const char *text)
{
    const char *unit;
    uint64_t n;

    if (number_parse(&n, text, &unit) != ERR_OK)
        return ERR_MALFORMED;
    if (*unit == 0) {
        *out = n;
        return ERR_OK;
    }
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        if (strcmp(unit, sizes[i].name) == 0)
            return scaled(out, n, sizes[i].bytes);
    return ERR_MALFORMED;
}

enum err count_parse(uint64_t *out, const char *text)
{
    const char *rest;
    uint64_t n;

    if (number_parse(&n, text, &rest) != ERR_OK || *rest)
        return ERR_MALFORMED;
    *out = n;
    return ERR_OK;
}

static size_t edit_distance(const char *a, const char *b)
{
    size_t la = strlen(a), lb = strlen(b);
    size_t row[NAME_MAX_LEN + 2];

    if (la > NAME_MAX_LEN || lb > NAME_MAX_LEN)
        return SIZE_MAX;
    for (size_t j = 0; j <= lb; j++)
        row[j] = j;
    for (size_t i = 1; i <= la; i++) {
        size_t corner = row[0];

        row[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            size_t above = row[j];
            size_t best = corner + (a[i - 1] != b[j - 1]);

            if (above + 1 < best)
                best = above + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
            corner = above;
        }
    }
    return row[lb];
}

const char *text_nearest(const char *word, const char *const *words, size_t count)
{
    const char *nearest = NULL;
    size_t least = 4;

    for (size_t i = 0; i < count; i++) {
        size_t distance = edit_distance(word, words[i]);

        if (distance < least && distance * 2 <= strlen(words[i])) {
            least = distance;
            nearest = words[i];
        }
    }
    return nearest;
}

/* Length of the UTF-8 character at `at`, 0 if there is none; `out` gets its number. */
static size_t utf8_char(const uint8_t *at, size_t len, uint32_t *out)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    size_t n = at[0] < 0x80       ? 1
               : at[0] >> 5 == 6  ? 2
               : at[0] >> 4 == 14 ? 3
               : at[0] >> 3 == 30 ? 4
                                  : 0;
    uint32_t c;

    if (n == 0 || n > len)
        return 0;
    c = n == 1 ? at[0] : at[0] & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if (at[i] >> 6 != 2)
            return 0;
        c = c << 6 | (at[i] & 63);
    }
    if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return 0;
    *out = c;
    return n;
}

bool utf8_valid(struct bytes text)
{
    uint32_t c;

    for (size_t i = 0; i < text.len;) {
        size_t n = utf8_char(text.at + i, text.len - i, &c);

        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

static bool control(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x202a && c <= 0x202e)
           || (c >= 0x2066 && c <= 0x2069);
}

void text_escape(struct buf *out, struct bytes from, bool lines)
{
    char escaped[12];

    for (size_t i = 0; i < from.len;) {
        uint32_t c = 0;
        size_t n = utf8_char(from.at + i, from.len - i, &c);

        if (n && (!control(c) || (lines && (c == '\n' || c == '\t')))) {
            buf_append(out, from.at + i, n);
        } else {
            if (n < 2)
                snprintf(escaped, sizeof escaped, "\\x%02x", from.at[i]);
            else
                snprintf(escaped, sizeof escaped, "\\u%04" PRIx32, c);
            buf_append(out, escaped, strlen(escaped));
        }
        i += n ? n : 1;
    }
}
