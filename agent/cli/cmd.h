/*
 * cmd - what the verbs of `sealpost` share: choose the profile, make the call, print what comes.
 *
 * A verb checks its arguments (nothing is opened before that), fills a struct cmd and runs it. JSON
 * is printed as it comes; text is the verb's own.
 */
#ifndef CLI_CMD_H
#define CLI_CMD_H
#include <jansson.h>

#include "agent/api/client.h"
#include "shared/cli/cli.h"
#include "shared/cli/out.h"

struct cmd {
    struct cli *cli;
    struct client_call call;
    char command[80];
    const struct profile *profile; /* borrowed: while it runs */
    bool stays;                    /* serves other commands while it runs */
    /* Of every object, before it is printed: what a hand-over must know; NULL: nothing. */
    void (*seen)(struct cmd *cmd, json_t *object);
    /* Text of one object; NULL: nothing. */
    void (*text)(struct cmd *cmd, json_t *object);
    struct out_table *table; /* owned; printed after the last object, before an error */
    const char *nothing;     /* the note instead of an empty table */
    bool raw;                /* `text` even with --json */
};

/* `call` is the worker's verb.  False: --timeout is no duration, and that was told. */
bool cmd_init(struct cmd *cmd, struct cli *cli, const char *call);

/* An argument as JSON has it: bytes that are not UTF-8 become \\xNN, which nothing is called. */
json_t *cmd_string(const char *value);
void cmd_text(struct cmd *cmd, const char *key, const char *value); /* NULL: not set */
void cmd_flag(struct cmd *cmd, const char *key, bool value);        /* false: not set */
void cmd_number(struct cmd *cmd, const char *key, uint64_t value);

/* Chooses the profile and makes the call; gives the exit code.  Frees what cmd_init() made. */
int cmd_run(struct cmd *cmd);
/* The same for a profile at hand; does not print the failure. */
int cmd_run_on(struct cmd *cmd, struct profile *profile, struct failure *failure);
/* For verbs that end before they run. */
void cmd_free(struct cmd *cmd);

/* -a and its relatives.  False: `exit` after the error was told. */
bool cmd_profile(struct cli *cli, struct profile *profile, int *exit);

/* The passphrase of a profile, from its file or the terminal; `again`: a new one is typed twice.
 * Into a buffer of passphrase_begin().  False: `failure`. */
bool cmd_passphrase(struct cli *cli, const char *profile, bool again, struct buf *out,
                    struct failure *failure);

/* Prints in the form asked for. */
int cmd_failure(struct cli *cli, const struct failure *failure);

/* Is it a name, or id:FINGERPRINT?  Else the exit code after the error was told. */
int cmd_check_peer(struct cli *cli, const char *peer);
/* The same, or +GROUP. */
int cmd_check_to(struct cli *cli, const char *to);
/* The one source of a body: the argument, or with "-" or none stdin.  0, or an exit code after the
 * error was told. */
int cmd_body(struct cli *cli, const char *argument, struct buf *out);
/* --from of recv and inbox into the parameter `from`; 0, or an exit code. */
int cmd_take_from(struct cmd *cmd);

#endif
