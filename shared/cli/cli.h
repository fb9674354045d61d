/*
 * cli - the command line of the three programs, out of one table each.
 *
 * From the table come the parser, every help text, `help --json`, and completion.
 *
 * Wrong use   is told with the verb's usage line and the nearest word, and nothing was done.
 * Thread      main.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H
#include <jansson.h>
#include <stdbool.h>

#include "shared/base/bytes.h"
#include "shared/base/err.h"

struct cli;

struct cli_flag {
    const char *name;    /* "timeout"; NULL ends the list */
    char letter;         /* 't', or 0 */
    const char *value;   /* "DUR"; NULL: a switch */
    const char *initial; /* default, for help; NULL: none */
    bool repeat;
    const char *help; /* one line */
};

struct cli_arg {
    const char *name; /* NULL ends the list */
    bool required, repeat;
};

enum cli_impact { CLI_RO, CLI_RW, CLI_DANGER };

struct cli_verb {
    const char *name; /* NULL ends the list; one that begins with "__" is never shown */
    const char *stage;
    const char *group;            /* heading in the verb table; NULL: none */
    const char *summary;          /* one line */
    const struct cli_arg *args;   /* NULL: none */
    const struct cli_flag *flags; /* NULL: none besides the program's */
    const char *const *examples;  /* NULL-ended, as typed, without "$ " */
    const int *exits;             /* ended by -1 */
    const char *const *emits;     /* JSON types, NULL-ended */
    const char *files;            /* paragraph of help, or NULL */
    const char *see_also;         /* or NULL */
    enum cli_impact impact;
    bool blocks;                 /* may wait longer than its timeout */
    int (*run)(struct cli *cli); /* gives the exit code */
};

struct cli_program {
    const char *name;
    const char *summary;
    const struct cli_flag *flags; /* besides the eight of all programs */
    const struct cli_verb *verbs; /* besides help, version, completion */
    int wrong_use;                /* 2, or 64 */
    json_t *(*libraries)(void);   /* for `version --json`: {"libsodium":"1.0.18"}; new reference */
    /* Words for completion's hidden verb; NULL: none. */
};

/* Parses, runs, and gives what main() returns.  Ignores SIGPIPE, and the locale. */
int cli_main(const struct cli_program *program, int argc, char **argv, void *ctx);

void *cli_ctx(const struct cli *cli);

/* What was given.  Text is borrowed from argv. */
size_t cli_args(const struct cli *cli);
const char *cli_arg(const struct cli *cli, size_t i);  /* NULL beyond the last */
char *cli_arg_memory(const struct cli *cli, size_t i); /* to overwrite a secret in argv */
bool cli_has(const struct cli *cli, const char *flag);
const char *cli_flag(const struct cli *cli, const char *flag); /* last value, or NULL */
size_t cli_flag_count(const struct cli *cli, const char *flag);
const char *cli_flag_at(const struct cli *cli, const char *flag, size_t i);

/* Flag's value as a duration or count: ERR_OK and `otherwise` if it is not given; else
 * cli_bad_value() has been told and the result is ERR_MALFORMED: return cli_wrong_use(). */
enum err cli_duration(struct cli *cli, const char *flag, uint64_t otherwise, uint64_t *out_ms);
enum err cli_count(struct cli *cli, const char *flag, uint64_t least, uint64_t most,
                   uint64_t otherwise, uint64_t *out);
int cli_wrong_use(const struct cli *cli); /* the program's exit code for it */

bool cli_json(const struct cli *cli);
bool cli_quiet(const struct cli *cli);
unsigned cli_verbose(const struct cli *cli);
const char *cli_verb_name(const struct cli *cli);
const char *cli_program_name(const struct cli *cli);

#endif
