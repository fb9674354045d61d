/* log - docs: cli 3.5. */
#include <stdio.h>
#include <string.h>

#include "agent/cli/cmd.h"
#include "agent/cli/print.h"
#include "agent/cli/verbs.h"

static void print_alarm(struct cli *cli, json_t *object)
{
    out_print(cli, "ALARM %s: ", member_text(object, "code"));
    print_escaped(cli, member_text(object, "message"));
    out_print(cli, "\n      next: ");
    print_escaped(cli, member_text(object, "hint"));
    out_print(cli, "\n");
}

static void print_entry(struct cli *cli, json_t *object)
{
    struct buf circles = { 0 };
    char at[TIME_TEXT_SIZE], gen[32] = "";

    member_time(at, object, "at");
    member_words(&circles, object, "circles", "-");
    if (!member_null(object, "gen"))
        snprintf(gen, sizeof gen, "   card %llu", (unsigned long long)member_number(object, "gen"));
    out_print(cli, "%4llu  %s  %-8s  %-12s %s   %s%s\n",
              (unsigned long long)member_number(object, "index"), at, member_text(object, "event"),
              member_text(object, "agent"), member_text(object, "fingerprint"),
              (const char *)circles.at, gen);
    buf_free(&circles);
}

static void print_one(struct cmd *cmd, json_t *object)
{
    if (strcmp(member_text(object, "type"), "alarm") == 0)
        print_alarm(cmd->cli, object);
    else
        print_entry(cmd->cli, object);
}

/* The next owner goes on behind what was printed. */
static void note_place(struct cmd *cmd, json_t *object)
{
    json_t *told = json_object_get(cmd->call.params, "told");

    if (strcmp(member_text(object, "type"), "alarm") == 0)
        cmd_number(cmd, "told", (uint64_t)json_integer_value(told) + 1);
    else
        cmd_number(cmd, "from", member_number(object, "index") + 1);
}

int cmd_log(struct cli *cli)
{
    struct cmd cmd;
    uint64_t count;

    if (cli_has(cli, "clear") && (cli_has(cli, "follow") || cli_has(cli, "count")))
        return out_usage(cli, "usage", NULL, "--clear stands alone");
    if (cli_count(cli, "count", 1, INT64_MAX, 0, &count) != ERR_OK || !cmd_init(&cmd, cli, "log"))
        return cli_wrong_use(cli);
    if (count)
        cmd_number(&cmd, "count", count);
    cmd_flag(&cmd, "follow", cli_has(cli, "follow"));
    cmd_text(&cmd, "clear", cli_flag(cli, "clear"));
    cmd.seen = note_place;
    cmd.text = print_one;
    cmd.stays = cli_has(cli, "follow");
    cmd.call.orderly = cmd.stays;
    cmd.call.streams = cmd.stays;
    return cmd_run(&cmd);
}
