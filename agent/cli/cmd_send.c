/* send, reply - docs: cli 3.2, 3.3. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/cli/cmd.h"
#include "agent/cli/print.h"
#include "agent/cli/verbs.h"

#define BODY_MAX_LEN  61440
#define STDIN_MAX_LEN (64u << 20) /* beyond this nobody counts what is too much */
#define TYPE_MAX_LEN  256

/* All of stdin; of too much only the count is kept. */
static enum err stdin_read(struct buf *out, uint64_t *len)
{
    uint8_t piece[8192];
    size_t n;

    *len = 0;
    while (*len <= STDIN_MAX_LEN && (n = fread(piece, 1, sizeof piece, stdin)) > 0) {
        *len += n;
        if (out->len <= BODY_MAX_LEN)
            buf_append(out, piece, n);
    }
    sodium_memzero(piece, sizeof piece);
    return ferror(stdin) ? ERR_IO : ERR_OK;
}

int cmd_body(struct cli *cli, const char *argument, struct buf *out)
{
    uint64_t len;

    if (argument && strcmp(argument, "-") != 0) {
        buf_append(out, argument, strlen(argument));
        len = out->len;
    } else if (!argument && isatty(0)) {
        return out_usage(cli, "usage", NULL, "BODY is missing; - reads it from the terminal");
    } else if (stdin_read(out, &len) != ERR_OK) {
        return out_fail(cli, 1, "store_error", NULL, "stdin cannot be read");
    }
    if (len == 0)
        return out_usage(cli, "empty_body", NULL, "the body is empty");
    if (len > BODY_MAX_LEN)
        return out_fail(cli, 4, "too_large", NULL, "%s%llu B, limit %d B",
                        len > STDIN_MAX_LEN ? "more than " : "", (unsigned long long)len,
                        BODY_MAX_LEN);
    return 0;
}

static bool media_type_valid(const char *type)
{
    size_t len = strlen(type);

    for (size_t i = 0; i < len; i++)
        if (type[i] < 0x20 || type[i] > 0x7e)
            return false;
    return len >= 3 && len <= TYPE_MAX_LEN && strchr(type, '/');
}

static const char *media_type_of(struct bytes body)
{
    return utf8_valid(body) ? "text/plain" : "application/octet-stream";
}

static int flags_check(struct cli *cli)
{
    const char *wait = cli_flag(cli, "wait"), *type = cli_flag(cli, "type");

    if (wait && strcmp(wait, "queued") != 0 && strcmp(wait, "stored") != 0
        && strcmp(wait, "delivered") != 0 && strcmp(wait, "replied") != 0)
        return out_usage(cli, "bad_value", NULL,
                         "--wait: \"%.40s\" is none of queued stored delivered replied", wait);
    if (type && !media_type_valid(type))
        return out_usage(cli, "bad_value", NULL,
                         "--type: \"%.40s\" is no media type like text/plain", type);
    return 0;
}

/* The message's line; with --wait replied the answer, as recv prints it. */
static void print_sent(struct cmd *cmd, json_t *object)
{
    if (strcmp(member_text(object, "type"), "message") == 0)
        print_message(cmd->cli, object);
    else
        out_print(cmd->cli, "%s %s\n", member_text(object, "id"), member_text(object, "state"));
}

static void body_put(struct cmd *cmd, const struct buf *body)
{
    const char *type = cli_flag(cmd->cli, "type");
    uint8_t id[16];
    char hex[33];

    /* drawn here, so that asking again after an owner's end sends nothing twice */
    randombytes_buf(id, sizeof id);
    hex_encode(hex, id, sizeof id);
    cmd_text(cmd, "id", hex);
    out_b64(cmd->call.params, "body_b64", buf_bytes(body));
    cmd_text(cmd, "media_type", type ? type : media_type_of(buf_bytes(body)));
}

static int send_it(struct cli *cli, const char *place_key, const char *place, bool reply_to)
{
    struct buf body = { 0 };
    struct cmd cmd;
    int exit = flags_check(cli);

    if (exit)
        return exit;
    if (!cmd_init(&cmd, cli, "send"))
        return cli_wrong_use(cli);
    exit = cmd_body(cli, cli_arg(cli, 1), &body);
    if (exit) {
        cmd_free(&cmd);
    } else {
        cmd_text(&cmd, place_key, place);
        if (reply_to)
            cmd_text(&cmd, "reply_to", cli_flag(cli, "reply-to"));
        cmd_text(&cmd, "wait", cli_flag(cli, "wait"));
        body_put(&cmd, &body);
        cmd.text = print_sent;
        cmd.stays = cli_has(cli, "wait") && strcmp(cli_flag(cli, "wait"), "queued") != 0;
        exit = cmd_run(&cmd);
    }
    buf_wipe(&body);
    return exit;
}

int cmd_send(struct cli *cli)
{
    int exit = cmd_check_to(cli, cli_arg(cli, 0));

    return exit ? exit : send_it(cli, "to", cli_arg(cli, 0), true);
}

int cmd_reply(struct cli *cli)
{
    return send_it(cli, "answer_to", cli_arg(cli, 0), false);
}
