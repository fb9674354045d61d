/* verify - docs: cli 3.5. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cli/cmd.h"
#include "agent/cli/print.h"
#include "agent/cli/verbs.h"

#define FILE_MAX_LEN (1u << 20)

/* ------------------------------------------------------------------ text */

static void print_both(struct cmd *cmd, json_t *object)
{
    const char *you = member_text(object, "you"), *peer = member_text(object, "name");
    const char *print = member_text(object, "fingerprint");
    bool replaced = !member_null(object, "new_fingerprint");
    int width = (int)(strlen(you) > strlen(peer) ? strlen(you) : strlen(peer));
    int label = (int)strlen(peer) > 9 ? (int)strlen(peer) : 9;

    out_print(cmd->cli, "%-*s %-*s   %s\n", label, "you", width, you,
              member_text(object, "your_fingerprint"));
    out_print(cmd->cli, "%-*s %-*s   %s%s\n", label, peer, width, "", print,
              replaced ? "   known" : "");
    if (replaced)
        out_print(cmd->cli, "%-*s %-*s   %s   new\n", label, peer, width, "",
                  member_text(object, "new_fingerprint"));
    if (strcmp(member_text(object, "trust"), "verified") == 0 && !replaced)
        out_print(cmd->cli, "verified\n");
    else if (replaced)
        out_print(cmd->cli,
                  "ask its owner over another channel, then: sealpost verify %s FINGERPRINT"
                  " --replace\n",
                  peer);
    else
        out_print(cmd->cli, "compare over another channel, then: sealpost verify %s %s\n", peer,
                  print);
}

static void print_verified(struct cmd *cmd, json_t *object)
{
    out_print(cmd->cli, "%s   %s   %s\n", member_text(object, "name"),
              member_text(object, "fingerprint"), member_text(object, "trust"));
}

/* ------------------------------------------------------------------ a file */

static FILE *file_open(struct cli *cli, const char *path, int *exit)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");

    if (!file)
        *exit = out_usage(cli, "bad_value", NULL, "--file: %.200s cannot be read", path);
    return file;
}

static void add_pair(json_t *peers, const char *name, const char *print)
{
    json_t *pair = json_array();

    json_array_append_new(pair, cmd_string(name));
    json_array_append_new(pair, print ? cmd_string(print) : json_null());
    json_array_append_new(peers, pair);
}

/* NAME FINGERPRINT; empty lines and `#` comments are passed over. */
static int take_line(struct cli *cli, json_t *peers, char *line, unsigned number)
{
    char *rest = NULL;
    const char *name = strtok_r(line, " \t\r\n", &rest);
    const char *print = strtok_r(NULL, " \t\r\n", &rest);

    if (!name || name[0] == '#')
        return 0;
    if (!print || strtok_r(NULL, " \t\r\n", &rest))
        return out_usage(cli, "bad_value", "sealpost whoami --all",
                         "--file: line %u is not NAME FINGERPRINT", number);
    add_pair(peers, name, print);
    return cmd_check_peer(cli, name);
}

/* All of it, or none: a list that was cut would leave somebody unverified without a word. */
static int file_text(struct cli *cli, const char *path, FILE *file, struct buf *out)
{
    size_t got;

    do {
        uint8_t *to = buf_extend(out, 4096);
        got = fread(to, 1, 4096, file);
        out->len -= 4096 - got;
    } while (got > 0 && out->len <= FILE_MAX_LEN);
    if (ferror(file))
        return out_usage(cli, "bad_value", NULL, "--file: %.200s cannot be read", path);
    if (out->len > FILE_MAX_LEN || (out->len && memchr(out->at, 0, out->len)))
        return out_usage(cli, "bad_value", "sealpost whoami --all",
                         "--file: %.200s is no list of NAME FINGERPRINT", path);
    buf_append(out, "", 1);
    return 0;
}

static int read_file(struct cli *cli, const char *path, json_t *peers)
{
    unsigned number = 0;
    struct buf text = { 0 };
    char *line, *rest;
    int exit = 0;
    FILE *file = file_open(cli, path, &exit);

    if (file)
        exit = file_text(cli, path, file, &text);
    if (file && file != stdin)
        fclose(file);
    rest = exit ? NULL : (char *)text.at;
    while (!exit && (line = strsep(&rest, "\n")))
        exit = take_line(cli, peers, line, ++number);
    if (!exit && json_array_size(peers) == 0)
        out_note(cli, "--file: %.200s names nobody", path);
    buf_free(&text);
    return exit;
}

/* ------------------------------------------------------------------ the command */

static int usage_check(struct cli *cli)
{
    bool file = cli_has(cli, "file");

    if (file && (cli_args(cli) > 0 || cli_has(cli, "replace")))
        return out_usage(cli, "usage", NULL, "--file stands alone");
    if (!file && cli_args(cli) == 0)
        return out_usage(cli, "usage", NULL, "PEER or --file is missing");
    if (cli_has(cli, "replace") && cli_args(cli) < 2)
        return out_usage(cli, "usage", NULL, "--replace needs the new FINGERPRINT in full");
    return file ? 0 : cmd_check_peer(cli, cli_arg(cli, 0));
}

int cmd_verify(struct cli *cli)
{
    json_t *peers;
    struct cmd cmd;
    int exit = usage_check(cli);

    if (exit)
        return exit;
    if (!cmd_init(&cmd, cli, "verify"))
        return cli_wrong_use(cli);
    peers = json_array();
    json_object_set_new(cmd.call.params, "peers", peers);
    if (cli_has(cli, "file"))
        exit = read_file(cli, cli_flag(cli, "file"), peers);
    else
        add_pair(peers, cli_arg(cli, 0), cli_arg(cli, 1));
    if (exit) {
        cmd_free(&cmd);
        return exit;
    }
    cmd_flag(&cmd, "file", cli_has(cli, "file"));
    cmd_flag(&cmd, "replace", cli_has(cli, "replace"));
    cmd.text = cli_has(cli, "file") || cli_args(cli) > 1 ? print_verified : print_both;
    return cmd_run(&cmd);
}
