/*
 * sealpostd - the broker: init makes one, run runs it, check looks at its configuration.
 */
#include <czmq.h>
#include <sodium.h>
#include <sqlite3.h>
#include <sysexits.h>

#include "broker/cmd.h"
#include "shared/base/files.h"

static const struct cli_flag program_flags[]
    = { { "config", 'c', "FILE", NULL, false, "configuration file" }, { 0 } };

static const struct cli_flag init_flags[]
    = { { "listen", 0, "ENDPOINT", "tcp://127.0.0.1:5752", false, "where agents connect" },
        { "public", 0, "HOST:PORT", NULL, false, "what invites name" },
        { "name", 0, "LABEL", "home", false, "shown to agents" },
        { "state", 0, "DIR", NULL, false, "database and keys elsewhere" },
        { 0 } };
static const char *const init_examples[]
    = { "sealpostd init", "sealpostd init --listen 'tcp://*:5752' --public broker.example:5752",
        NULL };
static const int init_exits[] = { 0, 64, 73, 74, 77, 78, -1 };
static const char *const init_emits[] = { "initialised", "error", NULL };

static const struct cli_flag run_flags[]
    = { { "log-level", 0, "L", "info", false, "error, warn, info or debug" },
        { "log-format", 0, "F", "logfmt", false, "logfmt or json" },
        { "ready-fd", 0, "N", NULL, false, "gets a newline when agents can connect" },
        { 0 } };
static const char *const run_examples[]
    = { "sealpostd run", "sealpostd run --config /etc/sealpost/sealpostd.conf", NULL };
static const int run_exits[] = { 0, 64, 70, 71, 74, 75, 77, 78, -1 };
static const char *const run_emits[] = { "problem", "error", NULL };

static const struct cli_arg check_args[] = { { "FILE", false, false }, { 0 } };
static const char *const check_examples[] = { "sealpostd check sealpostd.conf", NULL };
static const int check_exits[] = { 0, 64, 77, 78, -1 };
static const char *const check_emits[] = { "problem", "checked", "error", NULL };

static const struct cli_verb verbs[] = {
    { .name = "init",
      .stage = "S1",
      .summary = "makes a broker: directory, configuration, keys, empty database",
      .flags = init_flags,
      .examples = init_examples,
      .exits = init_exits,
      .emits = init_emits,
      .files = "sealpostd.conf, keys/controller.key, keys/curve.key, broker.db",
      .impact = CLI_RW,
      .run = cmd_init },
    { .name = "run",
      .stage = "S1",
      .summary = "runs the broker in the foreground until it is told to stop",
      .flags = run_flags,
      .examples = run_examples,
      .exits = run_exits,
      .emits = run_emits,
      .files = "the log goes to stderr; lock and control.sock lie beside the database",
      .see_also = "sealpostctl status, sealpostctl stop",
      .impact = CLI_RW,
      .blocks = true,
      .run = cmd_run },
    { .name = "check",
      .stage = "S1",
      .summary = "looks at a configuration, the keys and the database; changes nothing",
      .args = check_args,
      .examples = check_examples,
      .exits = check_exits,
      .emits = check_emits,
      .impact = CLI_RO,
      .run = cmd_check },
    { 0 },
};

static json_t *libraries(void)
{
    json_t *object = json_object();
    char text[48];
    int major, minor, patch;

    zmq_version(&major, &minor, &patch);
    snprintf(text, sizeof text, "%d.%d.%d", major, minor, patch);
    json_object_set_new(object, "libzmq", json_string(text));
    json_object_set_new(object, "libsodium", json_string(sodium_version_string()));
    json_object_set_new(object, "sqlite", json_string(sqlite3_libversion()));
    json_object_set_new(object, "jansson", json_string(JANSSON_VERSION));
    return object;
}

static const struct cli_program program = { .name = "sealpostd",
                                            .summary = "the broker of Sealpost",
                                            .flags = program_flags,
                                            .verbs = verbs,
                                            .wrong_use = EX_USAGE,
                                            .libraries = libraries };

int main(int argc, char **argv)
{
    process_harden(027);
    if (sodium_init() < 0)
        return EX_SOFTWARE;
    return cli_main(&program, argc, argv, NULL);
}
