#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/config/config.h"
#include "shared/config/lines.h"

static void put(struct buf *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct buf *out, const char *format, ...)
{
    char *text = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        abort();
    va_end(args);
    buf_append(out, text, strlen(text));
    free(text);
}

static bool needs_quotes(const char *value)
{
    return !*value || *value == ' ' || value[strlen(value) - 1] == ' ' || strpbrk(value, "#\"'");
}

static void put_value(struct buf *out, const char *value)
{
    char quote = strchr(value, '"') ? '\'' : '"';

    if (needs_quotes(value))
        put(out, "%c%s%c", quote, value, quote);
    else
        put(out, "%s", value);
}

void config_write(const struct config *config, struct bytes title, struct buf *out)
{
    size_t count = config_key_count(config), section_len = 0;
    const char *section = "";

    buf_append(out, title.at, title.len);
    for (size_t i = 0; i < count; i++) {
        const struct config_key *key = config_key_at(config, i);
        const char *slash = strchr(key->path, '/');
        size_t len = slash ? (size_t)(slash - key->path) : 0;
        const char *name = slash ? slash + 1 : key->path, *indent = slash ? "    " : "";
        bool set = config_source(config, i) != CONFIG_DEFAULT;

        if (len && (len != section_len || strncmp(section, key->path, len) != 0)) {
            put(out, "%s%.*s\n", i ? "\n" : "", (int)len, key->path);
            section = key->path;
            section_len = len;
        }
        put(out, "%s#   %s%s\n", indent, key->help, key->restart ? " (restart)" : "");
        if (!set) {
            put(out, "%s#   %s =%s", indent, name, key->initial ? " " : "");
            if (key->initial)
                put_value(out, key->initial);
            put(out, "\n");
        }
        for (unsigned line = 0; set && line < config_lines(config, i); line++) {
            put(out, "%s%s = ", indent, name);
            put_value(out, config_text_at(config, i, line));
            put(out, "\n");
        }
    }
}

/* Is this the line of `key`?  Then the view of its value, quotes and comment apart, is in `value`.
 */
static bool is_line_of(const char *line, size_t len, const char *key, struct bytes *value)
{
    size_t at = strlen(key), end;

    if (len < at || memcmp(line, key, at) != 0)
        return false;
    while (at < len && line[at] == ' ')
        at++;
    if (at >= len || line[at] != '=')
        return false;
    at++;
    while (at < len && line[at] == ' ')
        at++;
    end = at;
    if (end < len && (line[end] == '"' || line[end] == '\'')) {
        char quote = line[end++];

        while (end < len && line[end] != quote)
            end++;
        end += end < len;
    } else {
        while (end < len && line[end] != '#')
            end++;
        while (end > at && line[end - 1] == ' ')
            end--;
    }
    *value = bytes_of(line + at, end - at);
    return true;
}

void config_change_line(struct buf *text, const char *key, const char *value)
{
    struct buf out = { 0 };
    bool found = false;
    const char *at = (const char *)text->at, *end = at + text->len;

    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        const char *next = stop ? stop + 1 : end;
        struct bytes old;

        if (found || !is_line_of(at, (size_t)((stop ? stop : end) - at), key, &old)) {
            buf_append(&out, at, (size_t)(next - at));
        } else {
            found = true;
            if (value) {
                buf_append(&out, at, (size_t)((const char *)old.at - at));
                put_value(&out, value);
                buf_append(&out, old.at + old.len, (size_t)(next - (const char *)old.at) - old.len);
            }
        }
        at = next;
    }
    if (!found && value) {
        if (out.len && out.at[out.len - 1] != '\n')
            put(&out, "\n");
        put(&out, "%s = ", key);
        put_value(&out, value);
        put(&out, "\n");
    }
    buf_wipe(text);
    *text = out;
}
