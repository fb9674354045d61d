/* rotate, leave - docs: cli 3.1, 3.5. */
#include <stdio.h>
#include <string.h>

#include "agent/api/profile.h"
#include "agent/cli/cmd.h"
#include "agent/cli/print.h"
#include "agent/cli/verbs.h"

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

static void note_erased(struct cmd *cmd, json_t *object)
{
    json_object_set_new(object, "erased", json_boolean(cli_has(cmd->cli, "erase")));
}

static void say_left(struct cmd *cmd, json_t *object)
{
    out_print(cmd->cli, "%s has left%s.\n", member_text(object, "agent"),
              cli_has(cmd->cli, "erase") ? "; its keys and mail are erased" : "");
}

static int erase(struct cli *cli, struct profile *profile)
{
    struct failure failure;
    enum err e = profile_lock(profile, "leave");

    if (e != ERR_OK) {
        failure_of_err(&failure, e, profile->dir);
        return cmd_failure(cli, &failure);
    }
    profile_erase_all(profile);
    return 0;
}

static int leave_as(struct cli *cli, struct profile *profile)
{
    struct failure failure = { 0 };
    struct cmd cmd;
    int exit;

    if (!cmd_init(&cmd, cli, "leave"))
        return cli_wrong_use(cli);
    cmd_flag(&cmd, "yes", cli_has(cli, "yes"));
    cmd.seen = note_erased;
    cmd.text = say_left;
    exit = cmd_run_on(&cmd, profile, &failure);
    if (failure.exit)
        cmd_failure(cli, &failure);
    return exit == 0 && cli_has(cli, "erase") ? erase(cli, profile) : exit;
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
