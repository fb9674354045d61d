/*
 * lines - the strict pass over a ZPL file, before zconfig sees it.
 */
#ifndef CONFIG_LINES_H
#define CONFIG_LINES_H
#include "shared/base/bytes.h"

/* One line that means something: a section (`value` NULL), or a key and its value as written. */
struct config_line {
    unsigned number;
    char section[64]; /* of a key: the section it stands in, or "" */
    char name[64];
    char *value;       /* owned; quotes taken off; NULL: a section */
    const char *wrong; /* a literal: what is wrong with the form; NULL: nothing */
};

struct config_lines {
    struct config_line *line; /* owned */
    size_t count;
};

/* `sections`: keys stand in sections, indented by 4; else flat. */
void lines_read(struct config_lines *out, struct bytes text, bool sections);
void lines_free(struct config_lines *lines);

/* Is `name` one that ZPL takes? */
bool lines_name_char(char c);

#endif
