#include "shared/config/lines.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool lines_name_char(char c)
{
    return isalnum((unsigned char)c) || (c && strchr("$-_@.&+/", c));
}

/* The value behind "=": quotes off, comment off.  NULL with `wrong` set. */
static char *value_of(const char *at, size_t len, const char **wrong)
{
    const char *end;

    while (len && *at == ' ')
        at++, len--;
    if (len && (*at == '"' || *at == '\'')) {
        end = memchr(at + 1, *at, len - 1);
        if (!end) {
            *wrong = "the closing quote is missing";
            return NULL;
        }
        for (const char *rest = end + 1; rest < at + len && *rest != '#'; rest++)
            if (*rest != ' ') {
                *wrong = "something follows the closing quote";
                return NULL;
            }
        return strndup(at + 1, (size_t)(end - at - 1));
    }
    end = memchr(at, '#', len);
    if (end)
        len = (size_t)(end - at);
    while (len && at[len - 1] == ' ')
        len--;
    if (memchr(at, '"', len)) {
        *wrong = "a quote stands inside the value; put the whole value in quotes";
        return NULL;
    }
    return strndup(at, len);
}

static void read_name(struct config_line *line, const char *text, size_t len)
{
    size_t name = 0;

    while (name < len && lines_name_char(text[name]))
        name++;
    snprintf(line->name, sizeof line->name, "%.*s", (int)name, text);
    text += name;
    len -= name;
    while (len && *text == ' ')
        text++, len--;
    if (name == 0 || name >= sizeof line->name)
        line->wrong = "no name stands here";
    else if (len && *text == '=')
        line->value = value_of(text + 1, len - 1, &line->wrong);
    else if (len && *text != '#')
        line->wrong = "= is missing between name and value";
}

static void add(struct config_lines *out, const struct config_line *line)
{
    out->line = mem_resize(out->line, (out->count + 1) * sizeof *out->line);
    out->line[out->count++] = *line;
}

void lines_read(struct config_lines *out, struct bytes text, bool sections)
{
    const char *at = (const char *)text.at, *end = at + text.len;
    char section[64] = "";
    unsigned number = 0;

    *out = (struct config_lines){ 0 };
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((stop ? stop : end) - at), indent = 0;
        struct config_line line = { .number = ++number };
        bool nested;

        if (len && at[len - 1] == '\r')
            len--;
        while (indent < len && at[indent] == ' ')
            indent++;
        if (memchr(at, '\t', len))
            line.wrong = "a tab; ZPL wants spaces";
        else if (memchr(at, 0, len))
            line.wrong = "a NUL byte";
        if (!line.wrong && (indent == len || at[indent] == '#')) {
            at = stop ? stop + 1 : end;
            continue; /* empty, or a comment */
        }
        nested = indent > 0;
        if (!line.wrong) {
            read_name(&line, at + indent, len - indent);
            if (!line.wrong && indent != 0 && !(sections && indent == 4))
                line.wrong = sections ? "the indent must be 0 or exactly 4 spaces"
                                      : "the line must not be indented";
            else if (!line.wrong && sections && nested && !*section)
                line.wrong = "the key stands in no section";
            else if (!line.wrong && sections && nested && !line.value)
                line.wrong = "= is missing between name and value";
            else if (!line.wrong && sections && !nested && line.value)
                line.wrong = "a value stands outside a section (indent by 4 spaces?)";
            else if (!line.wrong && !sections && !line.value)
                line.wrong = "= is missing between name and value";
        }
        if (nested)
            memcpy(line.section, section, sizeof section);
        else if (sections && !line.wrong)
            memcpy(section, line.name, sizeof section);
        add(out, &line);
        at = stop ? stop + 1 : end;
    }
}

void lines_free(struct config_lines *lines)
{
    for (size_t i = 0; i < lines->count; i++)
        free(lines->line[i].value);
    free(lines->line);
    *lines = (struct config_lines){ 0 };
}
