#include "agent/cli/cmd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/api/passphrase.h"
#include "shared/base/log.h"
#include "shared/base/text.h"

#define LOG_LINES 100 /* of one event in a second */

/* "recv --follow": the verb and its flags, never a value that could be private. */
static void describe(struct cmd *cmd)
{
    static const char *const telling[] = { "wait", "follow", "flush", "exec", "no-ack" };
    size_t n = (size_t)snprintf(cmd->command, sizeof cmd->command, "%s", cli_verb_name(cmd->cli));

    for (size_t i = 0; i < sizeof telling / sizeof telling[0]; i++)
        if (cli_has(cmd->cli, telling[i]) && n < sizeof cmd->command)
            n += (size_t)snprintf(cmd->command + n, sizeof cmd->command - n, " --%s", telling[i]);
}

static bool print_item(void *ctx, json_t *object)
{
    struct cmd *cmd = ctx;

    if (cmd->seen)
        cmd->seen(cmd, object);
    if (cli_json(cmd->cli) && !cmd->raw) {
        out_json(cmd->cli, json_incref(object));
    } else if (cmd->text) {
        cmd->text(cmd, object);
        out_flush(cmd->cli);
    }
    return !out_closed(cmd->cli);
}

static void print_note(void *ctx, const char *text)
{
    struct cmd *cmd = ctx;

    out_note(cmd->cli, "%s", text);
}

static void print_detail(void *ctx, const char *text)
{
    struct cmd *cmd = ctx;

    out_detail(cmd->cli, "%s", text);
}

bool cmd_passphrase(struct cli *cli, const char *profile, bool again, struct buf *out,
                    struct failure *failure)
{
    struct buf second;
    char question[128];

    if (passphrase_of_file(out, failure))
        return failure->exit == 0;
    snprintf(question, sizeof question, "%sassphrase of %.64s:", again ? "New p" : "P", profile);
    if (out_ask_secret(cli, question, out) != ERR_OK) {
        failure_set(failure, 4, "passphrase_needed",
                    "name a file with it in " PASSPHRASE_FILE_VARIABLE,
                    "profile %.64s: there is no terminal to ask for the passphrase", profile);
        return false;
    }
    if (passphrase_is_bad(out, failure) || !again)
        return failure->exit == 0;
    passphrase_begin(&second);
    if (out_ask_secret(cli, "The same again:", &second) != ERR_OK
        || !bytes_equal(buf_bytes(out), buf_bytes(&second)))
        failure_set(failure, 2, "bad_value", NULL, "the two are not the same");
    passphrase_end(&second);
    return failure->exit == 0;
}

static bool ask_passphrase(void *ctx, struct buf *out, struct failure *failure)
{
    struct cmd *cmd = ctx;

    return cmd_passphrase(cmd->cli, cmd->profile->name, false, out, failure);
}

bool cmd_init(struct cmd *cmd, struct cli *cli, const char *call)
{
    uint64_t timeout_ms;

    *cmd = (struct cmd){ .cli = cli };
    if (cli_duration(cli, "timeout", UINT64_MAX, &timeout_ms) != ERR_OK)
        return false;
    if (cli_verbose(cli))
        log_setup(cli_verbose(cli) > 1 ? LOG_DEBUG : LOG_INFO, LOG_LOGFMT, LOG_LINES);
    describe(cmd);
    cmd->call = (struct client_call){
        .verb = call,
        .params = json_object(),
        .timeout_ms = timeout_ms,
        .offline = cli_has(cli, "offline"),
        .item = print_item,
        .note = print_note,
        .detail = print_detail,
        .passphrase = ask_passphrase,
    };
    return true;
}

void cmd_free(struct cmd *cmd)
{
    json_decref(cmd->call.params);
    cmd->call.params = NULL;
    if (cmd->table)
        table_print(cmd->cli, &cmd->table, NULL);
}

json_t *cmd_string(const char *value)
{
    json_t *string = json_string(value);
    struct buf clean = { 0 };

    if (string)
        return string;
    text_escape(&clean, bytes_of_text(value), true);
    string = json_stringn((const char *)clean.at, clean.len);
    buf_free(&clean);
    return string;
}

void cmd_text(struct cmd *cmd, const char *key, const char *value)
{
    if (value)
        json_object_set_new(cmd->call.params, key, cmd_string(value));
}

void cmd_flag(struct cmd *cmd, const char *key, bool value)
{
    if (value)
        json_object_set_new(cmd->call.params, key, json_true());
}

void cmd_number(struct cmd *cmd, const char *key, uint64_t value)
{
    json_object_set_new(cmd->call.params, key, json_integer((json_int_t)value));
}

int cmd_failure(struct cli *cli, const struct failure *failure)
{
    return out_error(cli, &(struct cli_error){
                              .code = failure->code,
                              .exit = failure->exit,
                              .message = failure->message,
                              .hint = failure->hint[0] ? failure->hint : NULL,
                              .peer = failure->peer[0] ? failure->peer : NULL,
                              .id = failure->id[0] ? failure->id : NULL,
                              .wire = failure->wire,
                              .retry_ms = failure->retry_ms,
                          });
}

bool cmd_profile(struct cli *cli, struct profile *profile, int *exit)
{
    struct failure failure;
    char note[256];
    bool ok = profile_choose(profile, cli_flag(cli, "agent"), note, &failure);

    if (note[0])
        out_note(cli, "%s", note);
    if (!ok) {
        *exit = failure.exit == 2 ? out_usage(cli, failure.code, NULL, "%s", failure.message)
                                  : cmd_failure(cli, &failure);
        profile_close(profile);
    }
    return ok;
}

int cmd_run_on(struct cmd *cmd, struct profile *profile, struct failure *failure)
{
    struct client *client = client_new(profile, cmd->command, cmd->stays);
    int exit;

    cmd->call.ctx = cmd;
    cmd->profile = profile;
    client_signals(cmd->stays);
    exit = client_run(client, &cmd->call, failure);
    if (cmd->table)
        table_print(cmd->cli, &cmd->table,
                    failure->exit || cli_json(cmd->cli) ? NULL : cmd->nothing);
    out_flush(cmd->cli);
    client_free(&client); /* leaving takes a moment, and the reader need not wait for it */
    cmd_free(cmd);
    return exit;
}

int cmd_run(struct cmd *cmd)
{
    struct failure failure;
    struct profile profile;
    int exit;

    if (!cmd_profile(cmd->cli, &profile, &exit)) {
        cmd_free(cmd);
        return exit;
    }
    exit = cmd_run_on(cmd, &profile, &failure);
    profile_close(&profile);
    /* a closed output has nobody to hear of it */
    if (failure.exit && strcmp(failure.code, "output_closed") != 0)
        cmd_failure(cmd->cli, &failure);
    return exit;
}

int cmd_check_peer(struct cli *cli, const char *peer)
{
    char plain[33];

    if (peer[0] == '+')
        return out_usage(cli, "bad_value", NULL, "\"%.64s\" is a group; an agent is meant", peer);
    if (strncmp(peer, "id:", 3) == 0 ? fingerprint_parse(plain, peer) == ERR_OK
                                     : name_valid(bytes_of_text(peer)))
        return 0;
    return out_usage(cli, "name_invalid", NULL, "\"%.64s\" is neither a name nor id:FINGERPRINT",
                     peer);
}

int cmd_check_to(struct cli *cli, const char *to)
{
    if (to[0] != '+')
        return cmd_check_peer(cli, to);
    if (name_valid(bytes_of_text(to + 1)))
        return 0;
    return out_usage(cli, "name_invalid", NULL, "\"%.64s\" is no group: +NAME", to);
}

int cmd_take_from(struct cmd *cmd)
{
    size_t count = cli_flag_count(cmd->cli, "from");
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++) {
        const char *peer = cli_flag_at(cmd->cli, "from", i);
        int exit = cmd_check_to(cmd->cli, peer);

        if (exit) {
            json_decref(list);
            return exit;
        }
        json_array_append_new(list, json_string(peer));
    }
    json_object_set_new(cmd->call.params, "from", list);
    return 0;
}
