/*
 * config - settings of a ZPL file against a table of keys.
 *
 * zconfig alone takes unknown keys, doubles and wrong indents in silence, so a strict pass reads
 * the lines first and names every problem at once: FILE:LINE: section/key: text.
 *
 * Owns     the values and the problems.
 * Thread   whoever holds it; reading is shared.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H
#include <stdbool.h>

#include "shared/base/bytes.h"
#include "shared/base/err.h"

enum config_kind {
    CONFIG_NAME, /* [a-z0-9][a-z0-9._-]{0,63} */
    CONFIG_TEXT, /* least … most bytes of UTF-8 without control characters; most 0: 256 */
    CONFIG_COUNT,
    CONFIG_BYTES,    /* 4096, 4KiB, 1GiB */
    CONFIG_DURATION, /* 5s, 7d; kept in ms */
    CONFIG_BOOL,     /* yes no */
    CONFIG_CHOICE,   /* one of `choices` */
    CONFIG_PATH
};

/* One row is one setting: parser, default file, man page and `config` verb come from it. */
struct config_key {
    const char *path; /* "section/key"; in a flat file "key" */
    enum config_kind kind;
    const char *initial; /* default as one writes it; NULL: none */
    uint64_t least, most;
    const char *choices; /* CONFIG_CHOICE: words with one space between */
    unsigned lines;      /* how often it may stand in the file; 0 means 1 */
    bool restart;        /* a reload does not take it over */
    const char *help;    /* one line */
    /* NULL, or why `text` cannot be (a literal); called when kind and bounds are right. */
    const char *(*refuse)(const char *text);
};

enum config_source { CONFIG_DEFAULT, CONFIG_FILE, CONFIG_ENV, CONFIG_FLAG };

struct config_problem {
    unsigned line;    /* 0: the whole file */
    char key[129];    /* empty: none */
    const char *code; /* "unknown_key" "double_key" "bad_value" "bad_form" "unreadable" "empty" */
    char message[256];
    char hint[160]; /* empty: none */
};

struct config;

/* Borrows the table.  All values are defaults. */
struct config *config_new(const struct config_key *keys, size_t count);
void config_free(struct config **config);

/*
 * Reads a file over the defaults; forgets earlier values and problems of files.  `empty_is_fine`: a
 * file without settings, or none at all, is no problem.  ERR_OK, or ERR_MALFORMED with problems.
 */
enum err config_read(struct config *config, const char *file, bool empty_is_fine);
enum err config_read_text(struct config *config, struct bytes text, bool empty_is_fine);

size_t config_problem_count(const struct config *config);
const struct config_problem *config_problem_at(const struct config *config, size_t i);
/* "FILE:LINE: section/key: text" */
void config_problem_text(struct buf *out, const char *file, const struct config_problem *problem);

/* A value from a flag or the environment.  ERR_NOT_FOUND, ERR_MALFORMED with `why` (may be NULL).
 */
enum err config_set(struct config *config, const char *path, const char *text,
                    enum config_source source, struct config_problem *why);

/* Row number of a path, or -1; `nearest` (may be NULL): the most similar path or NULL. */
int config_find(const struct config *config, const char *path, const char **nearest);
const struct config_key *config_key_at(const struct config *config, size_t i);
size_t config_key_count(const struct config *config);

/* By row number.  Text is borrowed until the next change; "" if there is none. */
const char *config_text(const struct config *config, size_t key);
const char *config_text_at(const struct config *config, size_t key, unsigned line);
unsigned config_lines(const struct config *config, size_t key);
uint64_t config_number(const struct config *config,
                       size_t key); /* count, bytes, ms, bool, choice's place */
enum config_source config_source(const struct config *config, size_t key);
const char *config_source_name(enum config_source source);

/* Would the two give another value? */
bool config_differs(const struct config *a, const struct config *b, size_t key);

/* A commented file with every key; keys that are not set in `config` stand as comments. */
void config_write(const struct config *config, struct bytes title, struct buf *out);

/*
 * Changes, adds or (value NULL) removes the one line of `key` in a flat file's text; all other
 * bytes stay.  Quotes the value where ZPL needs it.
 */
void config_change_line(struct buf *text, const char *key, const char *value);

#endif
