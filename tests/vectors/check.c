#include "tests/vectors/check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "shared/base/text.h"

static char name[256] = "the file";
static unsigned count;

/* Everything decoded, to be freed at the end. */
static struct kept {
    struct kept *next;
    uint8_t at[];
} * kept;

json_t *check_open(const char *path)
{
    json_error_t error;
    json_t *root = json_load_file(path, 0, &error);

    if (!root) {
        fprintf(stderr, "%s: line %d: %s\n", path, error.line, error.text);
        exit(2);
    }
    return root;
}

void check_close(json_t *root)
{
    while (kept) {
        struct kept *next = kept->next;

        free(kept);
        kept = next;
    }
    json_decref(root);
}

unsigned check_count(void)
{
    unsigned n = count;

    count = 0;
    return n;
}

void check_name(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
}

void check_fail(const char *format, ...)
{
    va_list args;

    fflush(stdout);
    fprintf(stderr, "DIFFERS: %s: ", name);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

json_t *get(json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);

    if (!value)
        check_fail("the file has no field \"%s\" here", key);
    return value;
}

bool has(json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);

    return value && !json_is_null(value)
           && !(json_is_string(value) && json_string_length(value) == 0);
}

const char *get_text(json_t *object, const char *key)
{
    const char *text = json_string_value(get(object, key));

    if (!text)
        check_fail("field \"%s\" is no text", key);
    return text;
}

uint64_t get_number(json_t *object, const char *key)
{
    json_t *value = get(object, key);

    if (!json_is_integer(value))
        check_fail("field \"%s\" is no number", key);
    return (uint64_t)json_integer_value(value);
}

struct bytes hex_of(json_t *string)
{
    const char *hex = json_string_value(string);
    size_t len = json_string_length(string) / 2;
    struct kept *node = mem_alloc(sizeof *node + len + 1);

    node->next = kept;
    kept = node;
    if (!hex || hex_decode(node->at, len, hex, json_string_length(string)) != ERR_OK)
        check_fail("not hex where hex should be");
    return bytes_of(node->at, len);
}

struct bytes get_hex(json_t *object, const char *key)
{
    return hex_of(get(object, key));
}

struct bytes get_hex_of(json_t *object, const char *key, size_t len)
{
    struct bytes value = get_hex(object, key);

    if (value.len != len)
        check_fail("field \"%s\" has %zu bytes, not %zu", key, value.len, len);
    return value;
}

const uint8_t *get_fixed(json_t *object, const char *key, size_t len)
{
    return get_hex_of(object, key, len).at;
}

json_t *find_number(json_t *array, const char *key, uint64_t value)
{
    size_t i;
    json_t *element;

    json_array_foreach(array, i, element) if (get_number(element, key) == value) return element;
    check_fail("no element with \"%s\" %" PRIu64, key, value);
}

json_t *find_text(json_t *array, const char *key, const char *value)
{
    size_t i;
    json_t *element;

    json_array_foreach(array, i,
                       element) if (strcmp(get_text(element, key), value) == 0) return element;
    check_fail("no element with \"%s\" %s", key, value);
}

/* The first 64 bytes from the first difference on. */
static void print_from(const char *which, struct bytes bytes, size_t from)
{
    char hex[129];
    size_t len = bytes.len > from ? bytes.len - from : 0;

    hex_encode(hex, bytes.at + (len ? from : 0), len > 64 ? 64 : len);
    fprintf(stderr, "  %s from byte %zu on: %s\n", which, from, hex);
}

void same_bytes(const char *what, struct bytes got, struct bytes want)
{
    size_t at = 0;

    count++;
    if (bytes_equal(got, want))
        return;
    while (at < got.len && at < want.len && got.at[at] == want.at[at])
        at++;
    print_from("derived", got, at);
    print_from("in file", want, at);
    check_fail("%s (%zu bytes derived, %zu in the file)", what, got.len, want.len);
}

void same_field(const char *what, const void *got, size_t len, json_t *object, const char *key)
{
    if (json_object_get(object, key))
        same_bytes(what, bytes_of(got, len), get_hex(object, key));
}

void same_number(const char *what, uint64_t got, uint64_t want)
{
    count++;
    if (got != want)
        check_fail("%s: derived %" PRIu64 ", in the file %" PRIu64, what, got, want);
}

void same_text(const char *what, const char *got, const char *want)
{
    count++;
    if (strcmp(got, want) != 0)
        check_fail("%s: derived %s, in the file %s", what, got, want);
}

void is_true(const char *what, bool got)
{
    count++;
    if (!got)
        check_fail("%s", what);
}

static bool reason_fits(const char *reason, enum err e, const struct reason *reasons)
{
    if (strcmp(reason, "ok") == 0)
        return e == ERR_OK;
    for (; reasons->reason; reasons++)
        if (strcmp(reasons->reason, reason) == 0)
            return reasons->err == e;
    check_fail("reason \"%s\" is not known here", reason);
}

bool check_outcome(json_t *object, enum err e, const struct reason *reasons)
{
    const char *expect = get_text(object, "expect");
    json_t *also = json_object_get(object, "also");
    bool good = reason_fits(expect, e, reasons);
    size_t i;
    json_t *other;

    json_array_foreach(also, i, other) good
        = good || reason_fits(json_string_value(other), e, reasons);
    count++;
    if (!good)
        check_fail("expected %s, got %s", expect, e == ERR_OK ? "ok" : err_name(e));
    return e == ERR_OK;
}
