/*
 * ctl - sealpostctl: each verb asks the running broker through its control socket and shows the
 * answers.
 */
#ifndef CTL_CTL_H
#define CTL_CTL_H
#include "shared/cli/control.h"
#include "shared/cli/out.h"

int cmd_invite(struct cli *cli);
int cmd_status(struct cli *cli);
int cmd_agents(struct cli *cli);
int cmd_revoke(struct cli *cli);
int cmd_queues(struct cli *cli);
int cmd_groups(struct cli *cli);
int cmd_config(struct cli *cli);
int cmd_stop(struct cli *cli);
int cmd_reload(struct cli *cli);

/* {"verb":VERB,"args":[…]}: a new reference. */
json_t *ask_begin(const struct cli *cli);

/*
 * Asks; takes the request.  With --json every object is printed as it comes and `out` stays empty,
 * else they are gathered in it (an array, new reference).  Gives the exit code; an error was told.
 */
int ask(struct cli *cli, json_t *request, json_t **out);

/* The same, keeping the connection in `control` for what follows. */
int ask_open(struct cli *cli, struct control **control);
int ask_with(struct cli *cli, struct control *control, json_t *request, bool only_one,
             json_t **out);

/* Fields of an answer. */
const char *text_of(const json_t *object, const char *key, const char *otherwise);
uint64_t number_of(const json_t *object, const char *key);
bool known_of(const json_t *object, const char *key); /* there and not null */
bool true_of(const json_t *object, const char *key);

/* Scratch texts for tables; eight live at a time. */
const char *size_of(const json_t *object, const char *key);
const char *age_of(const json_t *object, const char *key);   /* of …_ms */
const char *time_of(const json_t *object, const char *key);  /* of …_at, to the second */
const char *words_of(const json_t *object, const char *key); /* an array, one space between */

#endif
