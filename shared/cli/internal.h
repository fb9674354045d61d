/*
 * internal - what the files of shared/cli know of each other.
 */
#ifndef CLI_INTERNAL_H
#define CLI_INTERNAL_H
#include "shared/cli/cli.h"
#include "shared/cli/out.h"

#define CLI_FLAGS_MAX 64

struct cli_given {
    const struct cli_flag *flag;
    const char *value;
};

struct cli {
    const struct cli_program *program;
    const struct cli_verb *verb; /* NULL: none found */
    void *ctx;
    char **arg; /* borrowed from argv; after parsing without the verb */
    size_t arg_count;
    struct cli_given *given; /* owned */
    size_t given_count;
    bool json, closed;
};

extern const struct cli_flag cli_common_flags[];

/* The verbs that every program has. */
extern const struct cli_verb cli_common_verbs[];

size_t flag_list_count(const struct cli_flag *flags);

/* Walks common flags, the program's and the verb's (may be NULL), in this order. */
const struct cli_flag *cli_known_flag(const struct cli_program *program,
                                      const struct cli_verb *verb, size_t i);
const struct cli_verb *cli_known_verb(const struct cli_program *program, size_t i);
const struct cli_verb *cli_find_verb(const struct cli_program *program, const char *name);

/* "sealpost send TO [BODY] [flags]" */
void help_usage_line(struct buf *out, const struct cli_program *program,
                     const struct cli_verb *verb);
void help_verb(struct buf *out, const struct cli_program *program, const struct cli_verb *verb);
void help_program(struct buf *out, const struct cli_program *program);

int verb_help(struct cli *cli);
int verb_version(struct cli *cli);
int verb_completion(struct cli *cli);
void print_version_line(struct cli *cli);

#endif
