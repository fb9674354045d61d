/* join - docs: cli 3.1. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/api/join.h"
#include "agent/api/passphrase.h"
#include "agent/cli/cmd.h"
#include "agent/cli/print.h"
#include "agent/cli/verbs.h"
#include "shared/base/clock.h"
#include "shared/cli/control.h"
#include "shared/cli/places.h"

#define JOIN_MS    15000
#define CONTROL_MS 10000

/* ------------------------------------------------------------------ where the invite comes from */

/* The line; the caller wipes. */
static int invite_from_stdin(struct cli *cli, struct buf *out)
{
    char line[INVITE_TEXT_SIZE + 64];
    int exit = 0;

    if (!fgets(line, sizeof line, stdin))
        exit = out_usage(cli, "invite_malformed", NULL, "no invite on stdin");
    else
        buf_append(out, line, strcspn(line, " \t\r\n"));
    sodium_memzero(line, sizeof line);
    return exit;
}

/* Whoever looks at the list of processes sees stars; its first use spends it anyway. */
static void invite_from_argument(char *argument, struct buf *out)
{
    size_t len = strlen(argument);

    buf_append(out, argument, len);
    memset(argument, '*', len);
}

static int control_failure(struct cli *cli, enum err e)
{
    if (e == ERR_NOT_FOUND)
        return out_fail(cli, 3, "broker_not_running", "sealpostd run",
                        "nobody listens on the control socket");
    if (e == ERR_UNSAFE)
        return out_fail(cli, 4, "not_permitted", NULL,
                        "this account may not use the control socket");
    return out_fail(cli, 3, "broker_unreachable", "sealpostctl status",
                    "the broker did not answer on its control socket");
}

static json_t *invite_request(struct cli *cli, const char *name)
{
    json_t *request = json_object(), *circles = json_array(), *args = json_array();

    for (size_t i = 0; i < cli_flag_count(cli, "circle"); i++)
        json_array_append_new(circles, json_string(cli_flag_at(cli, "circle", i)));
    if (name)
        json_array_append_new(args, json_string(name));
    json_object_set_new(request, "verb", json_string("invite"));
    json_object_set_new(request, "args", args);
    if (json_array_size(circles))
        json_object_set_new(request, "circle", circles);
    else
        json_decref(circles);
    return request;
}

static int invite_of_answer(struct cli *cli, json_t *answer, struct buf *out)
{
    struct failure failure;
    const char *url = json_string_value(json_object_get(answer, "url"));

    if (strcmp(member_text(answer, "type"), "error") == 0) {
        failure_from_json(&failure, answer);
        return cmd_failure(cli, &failure);
    }
    if (!url)
        return control_failure(cli, ERR_MALFORMED);
    buf_append(out, url, strlen(url));
    return 0;
}

static int invite_from_broker(struct cli *cli, const char *name, struct buf *out)
{
    char *path = place_control_socket();
    struct control *control = NULL;
    json_t *request = NULL, *answer = NULL;
    enum err e = path ? control_open(&control, path) : ERR_NOT_FOUND;
    int exit;

    if (e == ERR_OK) {
        request = invite_request(cli, name);
        e = control_ask(control, request);
    }
    if (e == ERR_OK)
        e = control_next(control, CONTROL_MS, &answer);
    exit = e == ERR_OK && answer ? invite_of_answer(cli, answer, out)
                                 : control_failure(cli, e == ERR_OK ? ERR_IO : e);
    json_decref(answer);
    json_decref(request);
    control_close(&control);
    free(path);
    return exit;
}

static int invite_get(struct cli *cli, const char *name, struct buf *out)
{
    const char *argument = cli_arg(cli, 0);

    if (cli_has(cli, "local") && argument)
        return out_usage(cli, "usage", NULL, "--local makes its own invite");
    if (cli_has(cli, "circle") && !cli_has(cli, "local"))
        return out_usage(cli, "usage", NULL, "--circle needs --local: an invite has its circles");
    if (cli_has(cli, "local"))
        return invite_from_broker(cli, name, out);
    if (argument && strcmp(argument, "-") != 0) {
        invite_from_argument(cli_arg_memory(cli, 0), out);
        return 0;
    }
    if (!argument && isatty(0)) {
        if (out_ask_secret(cli, "Invite:", out) == ERR_OK)
            return 0;
        return out_usage(cli, "usage", NULL, "INVITE is missing");
    }
    if (!argument)
        return out_usage(cli, "usage", NULL, "INVITE is missing; - reads it from stdin");
    return invite_from_stdin(cli, out);
}

static int invite_read(struct cli *cli, const char *name, struct invite *invite)
{
    struct buf text = { 0 };
    int exit = invite_get(cli, name, &text);
    enum err e;

    if (exit == 0) {
        buf_append(&text, "", 1);
        e = invite_parse((const char *)text.at, clock_now_ms(), invite);
        if (e == ERR_TOKEN)
            exit = out_fail(cli, 4, "invite_refused", "operator: sealpostctl invite NAME",
                            "the invite has expired");
        else if (e != ERR_OK)
            exit = out_usage(cli, "invite_malformed", NULL,
                             "this is no invite: sealpost://HOST:PORT/#… is expected, whole");
    }
    buf_wipe(&text);
    return exit;
}

/* ------------------------------------------------------------------ which name, which profile */

static int check_name(struct cli *cli, const char *what, const char *name)
{
    if (!name || name_valid(bytes_of_text(name)))
        return 0;
    return out_usage(cli, "name_invalid", NULL,
                     "%s: \"%.64s\" is no name: a-z 0-9 . _ -, at most 64 characters", what, name);
}

struct joining {
    struct cli *cli;
    struct invite invite; /* wiped */
    char name[NAME_MAX_LEN + 1], profile[NAME_MAX_LEN + 1];
    uint64_t timeout_ms;
    bool again; /* a join of this invite was begun before */
};

static void set_name(char out[static NAME_MAX_LEN + 1], const char *name)
{
    snprintf(out, NAME_MAX_LEN + 1, "%s", name);
}

/* The name that this invite's profile has already. */
static void name_of_profile(struct joining *j)
{
    struct profile profile;
    struct failure ignored;
    json_t *identity = NULL;

    if (profile_name(&profile, j->profile, &ignored) && profile_open(&profile, &ignored))
        identity = profile_identity_read(&profile);
    set_name(j->name, member_text(identity, "agent"));
    json_decref(identity);
    profile_close(&profile);
}

/* --name, else the invite's, else -a's. */
static int name_choose(struct joining *j)
{
    const char *name = cli_flag(j->cli, "name"), *profile = cli_flag(j->cli, "agent");
    struct failure failure;

    if (join_find(&j->invite, j->profile)) {
        j->again = true;
        name_of_profile(j);
        return 0;
    }
    if (name)
        set_name(j->name, name);
    else if (!join_ask_name(&j->invite, j->timeout_ms, j->name, &failure))
        return cmd_failure(j->cli, &failure);
    if (!j->name[0] && profile)
        set_name(j->name, profile);
    if (!j->name[0])
        return out_usage(j->cli, "name_invalid", "sealpost join --name NAME INVITE",
                         "the invite is for any name: which one?");
    set_name(j->profile, profile ? profile : j->name);
    return 0;
}

/* ------------------------------------------------------------------ the join itself */

static void print_joined(struct cmd *cmd, json_t *object)
{
    struct buf circles = { 0 };
    bool active = strcmp(member_text(object, "state"), "active") == 0;

    member_words(&circles, object, "circles", "-");
    out_print(cmd->cli, "%s   %s\n", member_text(object, "agent"),
              member_text(object, "fingerprint"));
    out_print(cmd->cli, "broker     %s   root %s\n", member_text(object, "broker"),
              member_text(object, "root"));
    out_print(cmd->cli, "circles    %s\n", (const char *)circles.at);
    if (active)
        out_print(cmd->cli, "joined; next: sealpost -a %s peers\n", member_text(object, "profile"));
    else
        out_print(cmd->cli, "waits for the operator; then: sealpost -a %s peers\n",
                  member_text(object, "profile"));
    buf_free(&circles);
}

/* A refusal that the same join cannot cure leaves nothing behind. */
static bool is_final(const struct failure *failure)
{
    static const char *const codes[]
        = { "invite_refused", "name_taken", "root_mismatch", "refused", "version" };

    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (strcmp(failure->code, codes[i]) == 0)
            return true;
    return false;
}

static int enrol(struct joining *j, struct profile *profile)
{
    struct failure failure;
    struct cmd cmd;
    int exit;

    if (!cmd_init(&cmd, j->cli, "join"))
        return cli_wrong_use(j->cli);
    if (!cli_has(j->cli, "wait") || cli_has(j->cli, "timeout"))
        cmd.call.timeout_ms = j->timeout_ms;
    cmd_flag(&cmd, "wait", cli_has(j->cli, "wait"));
    cmd.text = print_joined;
    exit = cmd_run_on(&cmd, profile, &failure);
    if (failure.exit) {
        if (is_final(&failure))
            join_undo(profile);
        if (strcmp(failure.code, "output_closed") != 0)
            cmd_failure(j->cli, &failure);
    }
    return exit;
}

/* What is begun goes on as it was begun: with its passphrase, or without one. */
static bool go_on(struct joining *j, struct profile *profile, struct failure *failure)
{
    if (!profile_open(profile, failure))
        return false;
    if (!cli_has(j->cli, "passphrase") || profile_wants_passphrase(profile))
        return true;
    failure_set(failure, 4, "profile_exists", "sealpost join -a OTHER INVITE --passphrase",
                "profile %.64s was made without a passphrase", profile->name);
    return false;
}

static bool prepare(struct joining *j, struct profile *profile, struct failure *failure)
{
    bool wanted = cli_has(j->cli, "passphrase"), ok;
    struct buf passphrase;

    passphrase_begin(&passphrase);
    ok = (!wanted || cmd_passphrase(j->cli, j->profile, true, &passphrase, failure))
         && join_prepare(profile, j->name, &j->invite, buf_bytes(&passphrase), failure);
    passphrase_end(&passphrase);
    return ok;
}

static int join_as(struct joining *j)
{
    struct profile profile;
    struct failure failure;
    int exit;

    if (!profile_name(&profile, j->profile, &failure)
        || !(j->again ? go_on(j, &profile, &failure) : prepare(j, &profile, &failure)))
        exit = cmd_failure(j->cli, &failure);
    else
        exit = enrol(j, &profile);
    profile_close(&profile);
    return exit;
}

int cmd_join(struct cli *cli)
{
    struct joining j = { .cli = cli };
    const char *name = cli_flag(cli, "name"), *profile = cli_flag(cli, "agent");
    int exit = check_name(cli, "--name", name);

    if (exit == 0)
        exit = check_name(cli, "-a", profile);
    for (size_t i = 0; exit == 0 && i < cli_flag_count(cli, "circle"); i++)
        exit = check_name(cli, "--circle", cli_flag_at(cli, "circle", i));
    if (exit == 0 && cli_duration(cli, "timeout", JOIN_MS, &j.timeout_ms) != ERR_OK)
        exit = cli_wrong_use(cli);
    if (exit == 0 && cli_has(cli, "local") && !name && !profile)
        exit = out_usage(cli, "usage", NULL, "--local needs --name or -a");
    if (exit == 0)
        exit = invite_read(cli, name ? name : profile, &j.invite);
    if (exit == 0)
        exit = name_choose(&j);
    if (exit == 0)
        exit = join_as(&j);
    sodium_memzero(&j, sizeof j);
    return exit;
}
