/* whoami - docs: cli 3.1. */
#include <string.h>

#include "agent/api/object.h"
#include "agent/cli/cmd.h"
#include "agent/cli/print.h"
#include "agent/cli/verbs.h"

static void print_field(struct cli *cli, const char *label, const char *text)
{
    out_print(cli, "%-12s ", label);
    print_escaped(cli, text);
    out_print(cli, "\n");
}

static void print_full(struct cli *cli, json_t *object)
{
    json_t *card = json_object_get(object, "card");
    struct buf words = { 0 };
    char made[TIME_TEXT_SIZE];

    member_time(made, card, "created_at");
    out_print(cli, "%-12s %s\n", "aid", member_text(object, "aid"));
    out_print(cli, "%-12s generation %llu, made %s\n", "card",
              (unsigned long long)member_number(card, "gen"), made);
    print_field(cli, "description", member_text(card, "description"));
    member_words(&words, card, "methods", "");
    print_field(cli, "methods", (const char *)words.at);
    print_field(cli, "schedule", member_text(card, "schedule"));
    member_words(&words, card, "suites", "");
    print_field(cli, "suites", (const char *)words.at);
    print_field(cli, "directory", member_text(object, "dir"));
    buf_free(&words);
}

static void print_self(struct cmd *cmd, json_t *object)
{
    char until[TIME_TEXT_SIZE], left[SHORT_TEXT_SIZE];
    struct buf circles = { 0 };
    bool certified = !member_null(object, "certificate_expires_at");

    member_time(until, object, "certificate_expires_at");
    member_left(left, object, "certificate_expires_at");
    member_words(&circles, object, "circles", "-");
    out_print(cmd->cli, "%s   %s\n", member_text(object, "agent"),
              member_text(object, "fingerprint"));
    out_print(cmd->cli, "%-12s %s   root %s\n", "broker", member_text(object, "broker"),
              member_text(object, "root"));
    print_field(cmd->cli, "circles", (const char *)circles.at);
    if (strcmp(member_text(object, "state"), "active") != 0)
        print_field(cmd->cli, "state", member_text(object, "state"));
    out_print(cmd->cli, certified ? "%-12s until %s, %s left\n" : "%-12s none yet\n", "certificate",
              until, left);
    if (cli_has(cmd->cli, "full"))
        print_full(cmd->cli, object);
    buf_free(&circles);
}

/* One line of whoami --all; form fixed: it is the input of verify --file. */
static void print_all_line(struct cli *cli, json_t *identity, const struct profile *profile)
{
    if (cli_json(cli))
        out_json(cli, object_agent_self_of_identity(identity, profile->name, profile->dir));
    else
        out_print(cli, "%s %s\n", member_text(identity, "agent"),
                  member_text(identity, "fingerprint"));
}

static int whoami_all(struct cli *cli)
{
    size_t count, shown = 0;
    char **names = profile_list(&count);

    for (size_t i = 0; i < count; i++) {
        struct profile profile;
        struct failure failure;
        json_t *identity = NULL;

        if (!profile_name(&profile, names[i], &failure) || !profile_open(&profile, &failure))
            out_note(cli, "%s", failure.message);
        else
            identity = profile_identity_read(&profile);
        if (identity) {
            print_all_line(cli, identity, &profile);
            shown++;
        }
        json_decref(identity);
        profile_close(&profile);
    }
    profile_list_free(names, count);
    if (shown == 0)
        return out_fail(cli, 6, "no_profile", "sealpost join INVITE", "no agent has joined here");
    return 0;
}

int cmd_whoami(struct cli *cli)
{
    struct cmd cmd;

    if (cli_has(cli, "all"))
        return whoami_all(cli);
    if (!cmd_init(&cmd, cli, "whoami"))
        return cli_wrong_use(cli);
    cmd.text = print_self;
    return cmd_run(&cmd);
}
