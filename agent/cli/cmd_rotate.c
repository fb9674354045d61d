/* rotate, leave - docs: cli 3.1, 3.5. */
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "agent/api/profile.h"
#include "agent/cli/cmd.h"
#include "agent/cli/print.h"
#include "agent/cli/verbs.h"
#include "shared/base/clock.h"

/* ------------------------------------------------------------------ rotate */

static void say_rotated(struct cmd *cmd, json_t *object)
{
    if (strcmp(member_text(object, "type"), "session") == 0)
        out_print(cmd->cli, "%s %s %s\n", member_text(object, "peer"), member_text(object, "id"),
                  member_text(object, "state"));
    else
        out_print(cmd->cli, "New keys. Card generation %llu.\n",
                  (unsigned long long)member_number(json_object_get(object, "card"), "gen"));
}

int cmd_rotate(struct cli *cli)
{
    const char *peer = cli_arg(cli, 0);
    bool keys = cli_has(cli, "keys"), all = cli_has(cli, "all");
    struct cmd cmd;
    int exit = peer ? cmd_check_peer(cli, peer) : 0;

    if (!exit && (peer != NULL) + keys + all != 1)
        exit = out_usage(cli, "usage", NULL, "one of PEER, --keys and --all");
    if (exit)
        return exit;
    if (!cmd_init(&cmd, cli, "rotate"))
        return cli_wrong_use(cli);
    cmd_text(&cmd, "peer", peer);
    cmd_flag(&cmd, "keys", keys);
    cmd_flag(&cmd, "all", all);
    cmd.text = say_rotated;
    return cmd_run(&cmd);
}

/* ------------------------------------------------------------------ leave */

#define OWNER_MS 5000 /* whoever serves the profile hears that it is over, and ends */
#define TRY_MS   20

struct leaving {
    struct cmd cmd; /* first: callbacks get it */
    json_t *left;   /* owned; what is printed when all of it is true */
};

static bool keep_left(void *ctx, json_t *object)
{
    struct leaving *leaving = ctx;

    json_decref(leaving->left);
    leaving->left = json_incref(object);
    return true;
}

static void say_left(struct leaving *leaving, bool erased)
{
    struct cli *cli = leaving->cmd.cli;

    if (!leaving->left)
        return;
    json_object_set_new(leaving->left, "erased", json_boolean(erased));
    if (cli_json(cli))
        out_json(cli, json_incref(leaving->left));
    else
        out_print(cli, "%s has left%s.\n", member_text(leaving->left, "agent"),
                  erased ? "; its keys and mail are erased" : "");
    out_flush(cli);
}

static enum err take_over(struct profile *profile)
{
    uint64_t until = clock_elapsed_ms() + OWNER_MS;
    enum err e;

    while ((e = profile_lock(profile, "leave")) == ERR_LOCKED && clock_elapsed_ms() < until)
        poll(NULL, 0, TRY_MS);
    return e;
}

static int erase(struct leaving *leaving, struct profile *profile)
{
    struct failure failure;
    enum err e = take_over(profile);
    char command[80];
    pid_t pid;

    if (e == ERR_OK)
        profile_erase_all(profile);
    say_left(leaving, e == ERR_OK);
    if (e == ERR_OK)
        return 0;
    failure_of_err(&failure, e, profile->dir);
    if (e == ERR_LOCKED) {
        profile_owner(profile, &pid, command);
        failure_set(&failure, 1, "profile_busy", "end that process, then: sealpost leave --erase",
                    "profile %s: nothing is erased yet, it is in use by pid %d (%s)",
                    profile->name, (int)pid, command);
    }
    return cmd_failure(leaving->cmd.cli, &failure);
}

static int leave_as(struct cli *cli, struct profile *profile)
{
    struct failure failure = { 0 };
    struct leaving leaving = { .left = NULL };
    int exit;

    if (!cmd_init(&leaving.cmd, cli, "leave"))
        return cli_wrong_use(cli);
    cmd_flag(&leaving.cmd, "yes", cli_has(cli, "yes"));
    leaving.cmd.call.item = keep_left;
    exit = cmd_run_on(&leaving.cmd, profile, &failure);
    if (exit == 0 && cli_has(cli, "erase"))
        exit = erase(&leaving, profile);
    else
        say_left(&leaving, false);
    if (failure.exit)
        cmd_failure(cli, &failure);
    json_decref(leaving.left);
    return exit;
}

int cmd_leave(struct cli *cli)
{
    struct profile profile;
    char question[200];
    int exit;

    if (!cmd_profile(cli, &profile, &exit))
        return exit;
    snprintf(question, sizeof question, "end %.64s at its broker%s, for good?", profile.name,
             cli_has(cli, "erase") ? ", and erase its keys and mail" : "");
    switch (out_ask(cli, question)) {
    case OUT_YES:
        exit = leave_as(cli, &profile);
        break;
    case OUT_NO:
        out_note(cli, "nothing was done");
        exit = 0;
        break;
    case OUT_NEEDS_YES:
        exit = cli_wrong_use(cli);
        break;
    }
    profile_close(&profile);
    return exit;
}
