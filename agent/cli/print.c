#include "agent/cli/print.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shared/base/clock.h"

const char *member_text(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

uint64_t member_number(json_t *object, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(object, key));
}

bool member_true(json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

bool member_null(json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    return !value || json_is_null(value);
}

/* The objects' own form, "2026-11-21T09:40:02.117Z". */
void member_time(char out[static TIME_TEXT_SIZE], json_t *object, const char *key)
{
    const char *text = member_text(object, key);

    if (strlen(text) < 19)
        snprintf(out, TIME_TEXT_SIZE, "-");
    else
        snprintf(out, TIME_TEXT_SIZE, "%.10s %.8sZ", text, text + 11);
}

uint64_t member_time_ms(json_t *object, const char *key)
{
    const char *text = member_text(object, key);
    struct tm tm = { 0 };
    const char *rest = strlen(text) < 19 ? NULL : strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    uint64_t ms = 0;

    if (!rest)
        return 0;
    if (*rest == '.')
        ms = strtoull(rest + 1, NULL, 10);
    return (uint64_t)timegm(&tm) * 1000 + ms;
}

static void duration_between(char out[static SHORT_TEXT_SIZE], uint64_t from_ms, uint64_t to_ms)
{
    duration_text(out, to_ms > from_ms ? to_ms - from_ms : 0);
}

void member_age(char out[static SHORT_TEXT_SIZE], json_t *object, const char *key)
{
    if (member_null(object, key))
        snprintf(out, SHORT_TEXT_SIZE, "-");
    else
        duration_between(out, member_time_ms(object, key), clock_now_ms());
}

void member_left(char out[static SHORT_TEXT_SIZE], json_t *object, const char *key)
{
    if (member_null(object, key))
        snprintf(out, SHORT_TEXT_SIZE, "-");
    else
        duration_between(out, clock_now_ms(), member_time_ms(object, key));
}

void member_size(char out[static SHORT_TEXT_SIZE], json_t *object, const char *key)
{
    size_text(out, member_number(object, key));
}

void member_words(struct buf *out, json_t *object, const char *key, const char *none)
{
    json_t *list = json_object_get(object, key), *word;
    size_t i;

    buf_clear(out);
    json_array_foreach(list, i, word)
    {
        if (i)
            buf_append(out, " ", 1);
        buf_append(out, json_string_value(word), json_string_length(word));
    }
    if (out->len == 0)
        buf_append(out, none, strlen(none));
    buf_append(out, "", 1);
}

void print_escaped(struct cli *cli, const char *text)
{
    struct buf escaped = { 0 };

    text_escape(&escaped, bytes_of_text(text), false);
    out_raw(cli, buf_bytes(&escaped));
    buf_free(&escaped);
}

static void body_bytes(json_t *object, struct buf *out)
{
    const json_t *text = json_object_get(object, "body");
    const char *b64 = member_text(object, "body_b64");
    size_t len = strlen(b64), got = 0;

    if (json_is_string(text)) {
        buf_append(out, json_string_value(text), json_string_length(text));
        return;
    }
    sodium_base642bin(buf_extend(out, len / 4 * 3 + 3), len / 4 * 3 + 3, b64, len, NULL, &got, NULL,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    out->len = got;
}

void print_body_raw(struct cli *cli, json_t *object)
{
    struct buf body = { 0 };

    body_bytes(object, &body);
    out_raw(cli, buf_bytes(&body));
    buf_wipe(&body);
}

void print_body_to(struct buf *out, json_t *object)
{
    struct buf body = { 0 };

    body_bytes(object, &body);
    text_escape(out, buf_bytes(&body), true);
    if (out->len == 0 || out->at[out->len - 1] != '\n')
        buf_append(out, "\n", 1);
    buf_wipe(&body);
}

void print_body(struct cli *cli, json_t *object)
{
    struct buf escaped = { 0 };

    print_body_to(&escaped, object);
    out_raw(cli, buf_bytes(&escaped));
    buf_wipe(&escaped);
}

void print_message(struct cli *cli, json_t *object)
{
    bool incoming = !member_null(object, "from");
    char when[TIME_TEXT_SIZE], size[SHORT_TEXT_SIZE];

    member_time(when, object, incoming ? "sent_at" : "queued_at");
    member_size(size, object, "size");
    out_print(cli, incoming ? "from " : "to ");
    print_escaped(cli, member_text(object, incoming ? "from" : "to"));
    if (incoming && !member_null(object, "group")) {
        out_print(cli, " in ");
        print_escaped(cli, member_text(object, "group"));
    }
    out_print(cli, "   %s   ", when);
    print_escaped(cli, member_text(object, "media_type"));
    out_print(cli, "   %s   %s", size, member_text(object, "id"));
    if (!incoming)
        out_print(cli, "   %s", member_text(object, "state"));
    out_print(cli, "\n");
    print_body(cli, object);
    out_print(cli, "\n");
}
