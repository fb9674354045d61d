/* peers - docs: cli 3.5. */
#include <stdio.h>
#include <string.h>

#include "agent/cli/cmd.h"
#include "agent/cli/print.h"
#include "agent/cli/verbs.h"

static void seen_text(char out[static SHORT_TEXT_SIZE], json_t *object)
{
    if (member_true(object, "online"))
        snprintf(out, SHORT_TEXT_SIZE, "online");
    else
        member_age(out, object, "seen_at");
}

static void add_row(struct cmd *cmd, json_t *object)
{
    struct out_table *table = cmd->table;
    char seen[SHORT_TEXT_SIZE];
    struct buf circles = { 0 };

    seen_text(seen, object);
    member_words(&circles, object, "circles", "-");
    table_cell(table, "%s", member_text(object, "name"));
    table_cell(table, "%s", (const char *)circles.at);
    table_cell(table, "%s", member_text(object, "trust"));
    table_cell(table, "%s", seen);
    table_cell(table, "%s", member_text(object, "fingerprint"));
    buf_free(&circles);
}

static void print_line(struct cli *cli, const char *label, const char *text)
{
    if (!*text)
        return;
    out_print(cli, "%-12s ", label);
    print_escaped(cli, text);
    out_print(cli, "\n");
}

static void print_card(struct cli *cli, json_t *card)
{
    struct buf words = { 0 };
    char generation[32], made[TIME_TEXT_SIZE];

    if (json_is_null(card))
        return;
    snprintf(generation, sizeof generation, "%llu", (unsigned long long)member_number(card, "gen"));
    member_time(made, card, "created_at");
    out_print(cli, "%-12s generation %s, made %s\n", "card", generation, made);
    print_line(cli, "description", member_text(card, "description"));
    member_words(&words, card, "methods", "");
    print_line(cli, "methods", (const char *)words.at);
    print_line(cli, "schedule", member_text(card, "schedule"));
    member_words(&words, card, "suites", "");
    print_line(cli, "suites", (const char *)words.at);
    buf_free(&words);
}

static void print_details(struct cmd *cmd, json_t *object)
{
    char seen[SHORT_TEXT_SIZE], left[SHORT_TEXT_SIZE];
    struct buf circles = { 0 };

    seen_text(seen, object);
    member_left(left, object, "certificate_expires_at");
    member_words(&circles, object, "circles", "-");
    out_print(cmd->cli, "%s   %s\n", member_text(object, "name"),
              member_text(object, "fingerprint"));
    print_line(cmd->cli, "circles", (const char *)circles.at);
    print_line(cmd->cli, "trust", member_text(object, "trust"));
    print_line(cmd->cli, "seen", seen);
    print_line(cmd->cli, "session", member_text(object, "session"));
    out_print(cmd->cli, "%-12s %llu unread, %llu on the way\n", "mail",
              (unsigned long long)member_number(object, "unread"),
              (unsigned long long)member_number(object, "outgoing"));
    print_card(cmd->cli, json_object_get(object, "card"));
    if (!member_null(object, "certificate_expires_at"))
        out_print(cmd->cli, "%-12s %s left\n", "certificate", left);
    buf_free(&circles);
}

int cmd_peers(struct cli *cli)
{
    static const char *const headers[]
        = { "NAME", "CIRCLES", "TRUST", "SEEN", "FINGERPRINT", NULL };
    const char *peer = cli_arg(cli, 0);
    bool one = peer && !strpbrk(peer, "*?[");
    struct cmd cmd;
    int exit = one ? cmd_check_peer(cli, peer) : 0;

    if (exit)
        return exit;
    if (!cmd_init(&cmd, cli, "peers"))
        return cli_wrong_use(cli);
    cmd_text(&cmd, "peer", peer);
    cmd_flag(&cmd, "pinned", cli_has(cli, "pinned"));
    if (one) {
        cmd.text = print_details;
        return cmd_run(&cmd);
    }
    cmd.table = table_new(headers);
    cmd.text = add_row;
    cmd.nothing = "no agent fits";
    return cmd_run(&cmd);
}
