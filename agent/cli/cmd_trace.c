/* trace - docs: cli 3.2. */
#include <stdio.h>
#include <string.h>

#include "agent/cli/cmd.h"
#include "agent/cli/print.h"
#include "agent/cli/verbs.h"
#include "shared/base/clock.h"

static void attest(char *out, size_t size, json_t *object, json_t *step)
{
    const char *state = member_text(step, "state"), *by = member_text(step, "by");
    const char *note = member_text(step, "note");
    bool outgoing = strcmp(member_text(object, "direction"), "out") == 0;
    const char *peer = member_text(object, outgoing ? "to" : "from");

    if (strcmp(state, "queued") == 0 && !outgoing)
        snprintf(out, size, "%s wrote it", peer);
    else if (strcmp(by, "agent") == 0)
        snprintf(out, size, "this disk%s%s", *note ? ", " : "", note);
    else if (strcmp(by, "broker") == 0)
        snprintf(out, size, "broker%s%s", *note ? ", " : "", note);
    else if (strcmp(state, "delivered") == 0 && *note)
        snprintf(out, size, "%s signed for it", note);
    else if (strcmp(state, "delivered") == 0)
        snprintf(out, size, outgoing ? "%s signed for it" : "this disk; we signed for it", peer);
    else
        snprintf(out, size, "%s%s%s", peer, *note ? ": " : "", note);
}

static void print_step(struct cli *cli, json_t *object, json_t *step)
{
    char when[TIME_TEXT_SIZE], who[200];

    member_time(when, step, "at");
    attest(who, sizeof who, object, step);
    out_print(cli, "%-10s  %s   ", member_text(step, "state"), when);
    print_escaped(cli, who);
    out_print(cli, "\n");
}

/* Of a group's message: how many have it, and who has not. */
static void print_missing(struct cli *cli, json_t *object)
{
    json_t *missing = json_object_get(object, "missing"), *name;
    size_t i;

    if (member_text(object, "to")[0] != '+' || member_null(object, "stored_at"))
        return;
    out_print(cli, "delivered to %llu of %llu",
              (unsigned long long)member_number(object, "delivered_to"),
              (unsigned long long)member_number(object, "recipients"));
    json_array_foreach(missing, i, name)
        out_print(cli, "%s%s", i ? ", " : "; not yet ", json_string_value(name));
    out_print(cli, "\n");
}

/* An unfinished ladder says what it waits for. */
static void print_waiting(struct cli *cli, json_t *object)
{
    char seen[SHORT_TEXT_SIZE], left[SHORT_TEXT_SIZE];

    if (member_null(object, "waits_for"))
        return;
    member_age(seen, object, "peer_seen_at");
    member_left(left, object, "expires_at");
    out_print(cli, "waits for %s", member_text(object, "waits_for"));
    if (!member_null(object, "peer_seen_at"))
        out_print(cli, " (last seen %s ago)", seen);
    out_print(cli, ", expires in %s\n", left);
}

static void print_one(struct cmd *cmd, json_t *object)
{
    bool outgoing = strcmp(member_text(object, "direction"), "out") == 0;
    char size[SHORT_TEXT_SIZE];
    json_t *step;
    size_t i;

    member_size(size, object, "size");
    out_print(cmd->cli, "%s   %s ", member_text(object, "id"), outgoing ? "to" : "from");
    print_escaped(cmd->cli, member_text(object, outgoing ? "to" : "from"));
    out_print(cmd->cli, "   ");
    print_escaped(cmd->cli, member_text(object, "media_type"));
    out_print(cmd->cli, "   %s\n", size);
    json_array_foreach(json_object_get(object, "steps"), i, step)
        print_step(cmd->cli, object, step);
    if (outgoing) {
        print_missing(cmd->cli, object);
        print_waiting(cmd->cli, object);
    } else
        out_print(cmd->cli, "%s\n", member_text(object, "state"));
}

int cmd_trace(struct cli *cli)
{
    struct cmd cmd;

    if (!cmd_init(&cmd, cli, "trace"))
        return cli_wrong_use(cli);
    cmd_text(&cmd, "id", cli_arg(cli, 0));
    cmd.text = print_one;
    return cmd_run(&cmd);
}
