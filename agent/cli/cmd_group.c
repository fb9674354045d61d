/* group - docs: cli 3.6. */
#include <stdio.h>
#include <string.h>

#include "agent/cli/cmd.h"
#include "agent/cli/print.h"
#include "agent/cli/verbs.h"

enum { NO_PEERS = 0, ANY_PEERS = -1, SOME_PEERS = -2, ONE_PEER_AND_ROLE = -3 };

static const struct action {
    const char *name;
    int peers;
    const char *asks, *rest; /* before and behind the group's name; NULL: it does not ask */
} actions[] = {
    { "create", ANY_PEERS, NULL, NULL },
    { "show", NO_PEERS, NULL, NULL },
    { "invite", SOME_PEERS, NULL, NULL },
    { "remove", SOME_PEERS, "remove them from", "?" },
    { "role", ONE_PEER_AND_ROLE, NULL, NULL },
    { "rekey", NO_PEERS, NULL, NULL },
    { "leave", NO_PEERS, "leave", "?" },
    { "close", NO_PEERS, "close", " for everybody, for good?" },
};

static const struct action *action_of(const char *name)
{
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++)
        if (strcmp(actions[i].name, name) == 0)
            return &actions[i];
    return NULL;
}

/* ------------------------------------------------------------------ printing */

static size_t joined_of(json_t *object)
{
    json_t *member;
    size_t i, joined = 0;

    json_array_foreach(json_object_get(object, "members"), i, member) joined
        += strcmp(member_text(member, "state"), "joined") == 0;
    return joined;
}

static void add_row(struct cmd *cmd, json_t *object)
{
    char age[SHORT_TEXT_SIZE];
    size_t all = json_array_size(json_object_get(object, "members")), joined = joined_of(object);

    member_age(age, object, "changed_at");
    table_cell(cmd->table, "%s", member_text(object, "name"));
    table_cell(cmd->table, "%s", member_text(object, "state"));
    table_cell(cmd->table, "%s", member_text(object, "role"));
    table_cell(cmd->table, "%llu", (unsigned long long)member_number(object, "epoch"));
    table_cell(cmd->table, "%zu", joined);
    table_cell(cmd->table, "%zu", all - joined);
    table_cell(cmd->table, "%s", age);
}

static void print_group(struct cmd *cmd, json_t *object)
{
    json_t *member;
    size_t i;

    out_print(cmd->cli, "%s   %.8s   %s%s   epoch %llu   head %.16s\n", member_text(object, "name"),
              member_text(object, "id"), member_text(object, "state"),
              member_true(object, "strict") ? ", strict" : "",
              (unsigned long long)member_number(object, "epoch"), member_text(object, "head"));
    json_array_foreach(json_object_get(object, "members"), i, member)
        out_print(cmd->cli, "%-8s %-8s %s   %s\n", member_text(member, "role"),
                  member_text(member, "state"), member_text(member, "fingerprint"),
                  member_null(member, "name") ? "?" : member_text(member, "name"));
}

/* After a change one line is enough. */
static void print_changed(struct cmd *cmd, json_t *object)
{
    size_t all = json_array_size(json_object_get(object, "members")), joined = joined_of(object);

    out_print(cmd->cli, "%s   %s   epoch %llu   %zu joined, %zu invited\n",
              member_text(object, "name"), member_text(object, "state"),
              (unsigned long long)member_number(object, "epoch"), joined, all - joined);
}

/* ------------------------------------------------------------------ arguments */

static bool role_is_word(const char *role, bool owner_too)
{
    return strcmp(role, "member") == 0 || strcmp(role, "admin") == 0
           || (owner_too && strcmp(role, "owner") == 0);
}

static int check_role(struct cli *cli, const struct action *action)
{
    const char *role = cli_flag(cli, "role");

    if (role && strcmp(action->name, "invite") != 0)
        return out_usage(cli, "usage", NULL, "--role belongs to group invite");
    if (role && !role_is_word(role, false))
        return out_usage(cli, "bad_value", NULL, "--role: \"%.40s\" is neither member nor admin",
                         role);
    if (cli_has(cli, "strict") && strcmp(action->name, "create") != 0)
        return out_usage(cli, "usage", NULL, "--strict belongs to group create");
    if (action->peers == ONE_PEER_AND_ROLE && cli_args(cli) == 4
        && !role_is_word(cli_arg(cli, 3), true))
        return out_usage(cli, "bad_value", NULL, "\"%.40s\" is none of member admin owner",
                         cli_arg(cli, 3));
    return 0;
}

static int check_peers(struct cli *cli, const struct action *action)
{
    size_t n = cli_args(cli) - 2, peers = action->peers == ONE_PEER_AND_ROLE ? 1 : n;
    int exit = 0;

    if (action->peers == NO_PEERS && n > 0)
        return out_usage(cli, "usage", NULL, "group %s takes a NAME and nothing else",
                         action->name);
    if (action->peers == SOME_PEERS && n == 0)
        return out_usage(cli, "usage", NULL, "PEER is missing");
    if (action->peers == ONE_PEER_AND_ROLE && n != 2)
        return out_usage(cli, "usage", NULL, "group role NAME PEER member|admin|owner");
    for (size_t i = 0; !exit && i < peers; i++)
        exit = cli_arg(cli, 2 + i)[0] == '+'
                   ? out_usage(cli, "bad_value", NULL, "\"%.64s\" is a group, not an agent",
                               cli_arg(cli, 2 + i))
                   : cmd_check_peer(cli, cli_arg(cli, 2 + i));
    return exit;
}

/* "+team" and "team" are the same. */
static const char *plain_name(const char *name)
{
    return name[0] == '+' ? name + 1 : name;
}

static int check(struct cli *cli, const struct action *action)
{
    const char *name = cli_arg(cli, 1);
    int exit;

    if (!name)
        return out_usage(cli, "usage", NULL, "NAME is missing: sealpost group %s NAME",
                         action->name);
    if (!name_valid(bytes_of_text(plain_name(name))))
        return out_usage(cli, "name_invalid", NULL, "\"%.64s\" is no group name: a-z 0-9 . _ -",
                         name);
    exit = check_peers(cli, action);
    return exit ? exit : check_role(cli, action);
}

/* ------------------------------------------------------------------ the verb */

static int list(struct cli *cli)
{
    static const char *const headers[]
        = { "GROUP", "STATE", "ROLE", ">EPOCH", ">MEMBERS", ">INVITED", ">CHANGED", NULL };
    struct cmd cmd;

    if (!cmd_init(&cmd, cli, "group"))
        return cli_wrong_use(cli);
    cmd_flag(&cmd, "all", cli_has(cli, "all"));
    cmd.table = table_new(headers);
    cmd.text = add_row;
    cmd.nothing = "in no group";
    return cmd_run(&cmd);
}

static int change(struct cli *cli, const struct action *action)
{
    size_t peers = cli_args(cli) - 2 - (action->peers == ONE_PEER_AND_ROLE);
    json_t *names = json_array();
    struct cmd cmd;

    if (!cmd_init(&cmd, cli, "group")) {
        json_decref(names);
        return cli_wrong_use(cli);
    }
    for (size_t i = 0; i < peers; i++)
        json_array_append_new(names, json_string(cli_arg(cli, 2 + i)));
    cmd_text(&cmd, "action", action->name);
    cmd_text(&cmd, "name", plain_name(cli_arg(cli, 1)));
    json_object_set_new(cmd.call.params, "peers", names);
    cmd_text(&cmd, "role",
             action->peers == ONE_PEER_AND_ROLE ? cli_arg(cli, 3) : cli_flag(cli, "role"));
    cmd_flag(&cmd, "strict", cli_has(cli, "strict"));
    cmd.text = strcmp(action->name, "show") == 0 ? print_group : print_changed;
    return cmd_run(&cmd);
}

int cmd_group(struct cli *cli)
{
    const char *word = cli_arg(cli, 0);
    const struct action *action = word ? action_of(word) : NULL;
    char question[160];
    int exit;

    if (!word)
        return list(cli);
    if (!action)
        return out_usage(cli, "usage", NULL,
                         "\"%.40s\" is none of create show invite remove role rekey leave close",
                         word);
    exit = check(cli, action);
    if (exit)
        return exit;
    if (!action->asks)
        return change(cli, action);
    snprintf(question, sizeof question, "%s +%.64s%s", action->asks, plain_name(cli_arg(cli, 1)),
             action->rest);
    switch (out_ask(cli, question)) {
    case OUT_YES:
        return change(cli, action);
    case OUT_NO:
        out_note(cli, "nothing was done");
        return 0;
    case OUT_NEEDS_YES:
        break;
    }
    return cli_wrong_use(cli);
}
