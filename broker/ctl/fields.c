#include <stdio.h>
#include <string.h>

#include "broker/ctl/ctl.h"
#include "shared/base/text.h"

#define SCRATCH 544

static char *scratch(void)
{
    static char ring[8][SCRATCH];
    static unsigned next;

    return ring[next++ % 8];
}

const char *text_of(const json_t *object, const char *key, const char *otherwise)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : otherwise;
}

uint64_t number_of(const json_t *object, const char *key)
{
    json_int_t number = json_integer_value(json_object_get(object, key));

    return number > 0 ? (uint64_t)number : 0;
}

bool known_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    return value && !json_is_null(value);
}

bool true_of(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

const char *size_of(const json_t *object, const char *key)
{
    char *out = scratch();

    size_text(out, number_of(object, key));
    return out;
}

const char *age_of(const json_t *object, const char *key)
{
    char *out = scratch();

    if (!known_of(object, key))
        return "-";
    duration_text(out, number_of(object, key));
    return out;
}

const char *time_of(const json_t *object, const char *key)
{
    const char *text = text_of(object, key, "-");
    char *out = scratch();

    if (strlen(text) < 19)
        return "-";
    snprintf(out, SCRATCH, "%.10s %.8sZ", text, text + 11);
    return out;
}

const char *words_of(const json_t *object, const char *key)
{
    const json_t *array = json_object_get(object, key), *one;
    char *out = scratch();
    size_t i, len = 0;

    out[0] = 0;
    json_array_foreach(array, i, one) if (len < SCRATCH) len
        += (size_t)snprintf(out + len, SCRATCH - len, "%s%s", i ? " " : "",
                            json_string_value(one) ? json_string_value(one) : "");
    return *out ? out : "-";
}
