/*
 * out - what a command prints: JSON Lines or text on stdout, talk on stderr (cli 1.2).
 *
 * Closed   once stdout cannot be written, everything is swallowed and out_closed() is true; the
 *          command then ends with exit 1 and says nothing.
 */
#ifndef CLI_OUT_H
#define CLI_OUT_H
#include "shared/cli/cli.h"
#include "shared/json/object.h"

/* One line, flushed.  Takes the object. */
void out_json(struct cli *cli, json_t *object);

/* Text on stdout, flushed with out_flush() or at the end. */
void out_print(struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
void out_raw(struct cli *cli, struct bytes bytes);
void out_flush(struct cli *cli);
bool out_closed(const struct cli *cli);

/* "note: …" on stderr; not with -q, nor with --json unless -v. */
void out_note(struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* As out_note(), only with -v. */
void out_detail(struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

bool out_colour(const struct cli *cli);

/* An error of 6.1.  `message` is WHAT: WHY. */
struct cli_error {
    const char *code;
    int exit;
    const char *message;
    const char *hint; /* the next command; NULL */
    const char *peer; /* NULL */
    const char *id;   /* NULL */
    const char *wire; /* A2A_…; NULL */
    int64_t retry_ms; /* below 0: none */
};

/* Prints it in the form asked for; gives error->exit. */
int out_error(struct cli *cli, const struct cli_error *error);
/* The common case: no peer, id, wire. */
int out_fail(struct cli *cli, int exit, const char *code, const char *hint, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* Wrong use: code "usage" or another of exit 2 (64), with the verb's usage line. */
int out_usage(struct cli *cli, const char *code, const char *hint, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Text tables: a header in capitals, columns two spaces apart.  A header that begins with '>' is a
 * column that stands to the right. */
struct out_table;
struct out_table *table_new(const char *const *headers); /* NULL-ended */
void table_cell(struct out_table *table, const char *format, ...)
    __attribute__((format(printf, 2, 3))); /* row after row; control characters are escaped */
/* Prints and frees.  Without rows: `nothing` as a note, no header. */
void table_print(struct cli *cli, struct out_table **table, const char *nothing);

/* One question of a dangerous command.  With --yes: yes.  Without a terminal or with --no-input:
 * needs_yes has been told.  Else asks on stderr. */
enum out_answer { OUT_YES, OUT_NO, OUT_NEEDS_YES };
enum out_answer out_ask(struct cli *cli, const char *question);

/* A line without echo from the terminal, for secrets, at most 1,024 bytes of it; the caller wipes.
 * A signal finds the terminal as it was before.  ERR_UNSUPPORTED: no terminal. */
enum err out_ask_secret(struct cli *cli, const char *question, struct buf *out);

#endif
