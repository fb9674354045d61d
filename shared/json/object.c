#include "shared/json/object.h"

#include <sodium.h>
#include <stdlib.h>

#include "shared/base/text.h"

json_t *out_object(const char *type)
{
    json_t *object = json_object();

    json_object_set_new(object, "v", json_integer(1));
    json_object_set_new(object, "type", json_string(type));
    return object;
}

void out_take(json_t *object, const char *key, json_t *value)
{
    json_object_set_new(object, key, value ? value : json_null());
}

void out_text(json_t *object, const char *key, const char *value)
{
    out_take(object, key, value ? json_string(value) : NULL);
}

void out_bytes_text(json_t *object, const char *key, struct bytes value)
{
    out_take(object, key, json_stringn((const char *)value.at, value.len));
}

void out_number(json_t *object, const char *key, uint64_t value)
{
    out_take(object, key, json_integer((json_int_t)value));
}

void out_number_or_null(json_t *object, const char *key, bool known, uint64_t value)
{
    out_take(object, key, known ? json_integer((json_int_t)value) : NULL);
}

void out_bool(json_t *object, const char *key, bool value)
{
    out_take(object, key, json_boolean(value));
}

void out_null(json_t *object, const char *key)
{
    out_take(object, key, NULL);
}

void out_time(json_t *object, const char *key, uint64_t ms)
{
    char text[TIME_TEXT_SIZE];

    if (ms)
        time_json(text, ms);
    out_take(object, key, ms ? json_string(text) : NULL);
}

void out_hex(json_t *object, const char *key, const uint8_t *at, size_t len)
{
    char *text = at ? mem_alloc(2 * len + 1) : NULL;

    if (at)
        hex_encode(text, at, len);
    out_take(object, key, at ? json_string(text) : NULL);
    free(text);
}

void out_b64(json_t *object, const char *key, struct bytes value)
{
    size_t size = sodium_base64_ENCODED_LEN(value.len, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    char *text = mem_alloc(size);

    sodium_bin2base64(text, size, value.at, value.len, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    out_take(object, key, json_string(text));
    free(text);
}

void out_fingerprint(json_t *object, const char *key, const uint8_t *hash)
{
    char text[FINGERPRINT_SIZE];

    if (hash)
        fingerprint_text(text, hash);
    out_take(object, key, hash ? json_string(text) : NULL);
}

json_t *out_words(const char *text)
{
    json_t *array = json_array();

    while (*text) {
        size_t len = strcspn(text, " ");

        if (len)
            json_array_append_new(array, json_stringn(text, len));
        text += len + strspn(text + len, " ");
    }
    return array;
}

json_t *out_error_object(const char *code, int exit_code, const char *message, const char *hint)
{
    json_t *object = out_object("error");

    out_text(object, "code", code);
    out_number(object, "exit", (uint64_t)exit_code);
    out_text(object, "message", message);
    out_text(object, "hint", hint);
    out_null(object, "peer");
    out_null(object, "id");
    out_null(object, "wire");
    out_null(object, "retry_ms");
    return object;
}

void out_line(struct buf *lines, json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT);

    if (text) {
        buf_append(lines, text, strlen(text));
        buf_append(lines, "\n", 1);
    }
    free(text);
    json_decref(object);
}
