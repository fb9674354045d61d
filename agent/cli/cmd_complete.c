/*
 * __complete WORD... - the words that may stand where the last one is being typed (docs: cli 8).
 * From this disk, without waiting for anybody; silent when something fails.
 */
#include <string.h>

#include "agent/cli/cmd.h"
#include "agent/cli/print.h"
#include "agent/cli/verbs.h"

static bool is_one_of(const char *word, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(word, *list) == 0)
            return true;
    return false;
}

static const char *what_fits(struct cli *cli)
{
    static const char *const of_ids[] = { "reply", "show", "ack", "trace", NULL };
    static const char *const of_peers[]
        = { "send",   "peers",    "verify", "request", "requests",    "accept",
            "reject", "sessions", "rotate", "close",   "communicate", NULL };
    size_t n = cli_args(cli);
    const char *before = n >= 2 ? cli_arg(cli, n - 2) : "";

    if (strcmp(before, "-a") == 0 || strcmp(before, "--agent") == 0)
        return "profiles";
    if (strcmp(before, "--from") == 0)
        return "peers";
    if (strcmp(before, "--reply-to") == 0)
        return "ids";
    if (n >= 2 && strcmp(cli_arg(cli, 0), "group") == 0)
        return n == 2 ? "actions" : n == 3 ? "groups" : "peers";
    for (size_t i = 0; i + 1 < n; i++) {
        if (is_one_of(cli_arg(cli, i), of_ids))
            return "ids";
        if (is_one_of(cli_arg(cli, i), of_peers))
            return "peers";
    }
    return "";
}

static bool begins_with(const char *word, const char *prefix)
{
    return strncmp(word, prefix, strlen(prefix)) == 0;
}

static bool print_word(void *ctx, json_t *object)
{
    struct cli *cli = ctx;
    const char *word = member_text(object, "word");
    size_t n = cli_args(cli);

    if (begins_with(word, n ? cli_arg(cli, n - 1) : ""))
        out_print(cli, "%s\n", word);
    return !out_closed(cli);
}

static void be_silent(void *ctx, const char *text)
{
    (void)ctx;
    (void)text;
}

static void complete_profiles(struct cli *cli)
{
    size_t count, n = cli_args(cli);
    char **names = profile_list(&count);

    for (size_t i = 0; i < count; i++)
        if (begins_with(names[i], n ? cli_arg(cli, n - 1) : ""))
            out_print(cli, "%s\n", names[i]);
    profile_list_free(names, count);
}

static void complete_actions(struct cli *cli)
{
    static const char *const actions[]
        = { "create", "show", "invite", "remove", "role", "rekey", "leave", "close" };

    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++)
        if (begins_with(actions[i], cli_arg(cli, cli_args(cli) - 1)))
            out_print(cli, "%s\n", actions[i]);
}

/* The profile that the typed line names; the words are not parsed as flags here. */
static const char *typed_profile(struct cli *cli)
{
    for (size_t i = 0; i + 1 < cli_args(cli); i++)
        if (strcmp(cli_arg(cli, i), "-a") == 0 || strcmp(cli_arg(cli, i), "--agent") == 0)
            return cli_arg(cli, i + 1);
    return cli_flag(cli, "agent");
}

int cmd_complete(struct cli *cli)
{
    const char *what = what_fits(cli);
    struct client *client;
    struct failure failure;
    struct profile profile;
    char note[256];

    if (strcmp(what, "profiles") == 0) {
        complete_profiles(cli);
        return 0;
    }
    if (strcmp(what, "actions") == 0) {
        complete_actions(cli);
        return 0;
    }
    if (!*what)
        return 0;
    if (profile_choose(&profile, typed_profile(cli), note, &failure)) {
        struct client_call call = { .verb = "complete",
                                    .params = json_pack("{s:s}", "what", what),
                                    .timeout_ms = 0,
                                    .offline = true,
                                    .no_wait = true,
                                    .ctx = cli,
                                    .item = print_word,
                                    .note = be_silent,
                                    .detail = be_silent };

        client = client_new(&profile, "__complete", false);
        client_run(client, &call, &failure);
        client_free(&client);
        json_decref(call.params);
    }
    profile_close(&profile);
    return 0;
}
