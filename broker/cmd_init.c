#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/cmd.h"
#include "broker/config.h"
#include "broker/state.h"
#include "broker/store/store.h"
#include "shared/base/clock.h"
#include "shared/base/files.h"
#include "shared/base/text.h"
#include "shared/cli/places.h"

#define SYSTEM_CONFIG SEALPOST_SYSCONFDIR "/sealpost/sealpostd.conf"

/* Where the new configuration goes; it does not exist yet, so it is not looked for. */
static char *new_config_file(struct cli *cli)
{
    const char *given = cli_flag(cli, "config"), *variable = getenv("SEALPOST_CONFIG");
    char *home, *dir, *file;

    if (given)
        return strdup(given);
    if (variable && *variable)
        return strdup(variable);
    home = place_home();
    dir = home ? place_join(home, "broker") : NULL;
    file = dir ? place_join(dir, "sealpostd.conf") : NULL;
    free(home);
    free(dir);
    return file;
}

static int take_flags(struct cli *cli, struct config *config, const char *file)
{
    static const char *const pairs[][2] = { { "listen", "listen/endpoint" },
                                            { "public", "broker/public" },
                                            { "name", "broker/name" },
                                            { "state", "broker/state" } };
    struct config_problem why;
    char name[NAME_MAX_LEN + 1];

    /* A file in which nothing is set counts as broken, so the name always stands in it. */
    snprintf(name, sizeof name, "%s", config_text(config, CONF_NAME));
    config_set(config, "broker/name", name, CONFIG_FLAG, NULL);
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        const char *value = cli_flag(cli, pairs[i][0]);

        if (value && config_set(config, pairs[i][1], value, CONFIG_FLAG, &why) != ERR_OK)
            return out_usage(cli, "bad_value", NULL, "--%s: %s", pairs[i][0], why.message);
    }
    if (strcmp(file, SYSTEM_CONFIG) == 0)
        config_set(config, "control/socket", SEALPOST_RUNSTATEDIR "/sealpost/control.sock",
                   CONFIG_FLAG, NULL);
    return 0;
}

static int fail(struct cli *cli, enum err e, const char *what)
{
    if (e == ERR_EXISTS)
        return out_fail(cli, EX_CANTCREAT, "exists", "sealpostd run",
                        "%s: exists already; nothing was touched", what);
    return out_fail(cli, broker_exit_code(e),
                    e == ERR_UNSAFE ? "unsafe_permissions" : "store_error", NULL, "%s: %s", what,
                    err_text(e));
}

static void random_of(void *ctx, uint8_t *out, size_t len)
{
    (void)ctx;
    randombytes_buf(out, len);
}

static enum err make_database(const struct state *state, const struct config *config)
{
    struct store_options options;

    store_options_default(&options);
    options.dir = state->dir;
    options.file = config_text(config, CONF_STORE_FILE);
    options.now_ms = clock_now_ms();
    options.elapsed_ms = clock_elapsed_ms();
    options.random = random_of;
    options.ballast_bytes = config_number(config, CONF_BALLAST);
    options.max_bytes = config_number(config, CONF_MAX_SIZE);
    return store_init(&options);
}

static enum err write_config(const struct config *config, const char *file)
{
    const char *slash = strrchr(file, '/');
    char *dir = dir_of(file);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct buf text = { 0 };
    enum err e = fd < 0 ? ERR_IO : ERR_OK;

    broker_config_write(config, &text);
    if (e == ERR_OK)
        e = file_create(fd, slash ? slash + 1 : file, 0640, buf_bytes(&text));
    if (fd >= 0)
        close(fd);
    buf_free(&text);
    free(dir);
    return e;
}

static int report(struct cli *cli, const struct config *config, const struct state *state,
                  const char *file)
{
    char root[FINGERPRINT_SIZE];
    const char *public = config_text(config, CONF_PUBLIC), *slash = strrchr(file, '/');

    fingerprint_text(root, signer_root_id(state->signer));
    if (cli_json(cli)) {
        json_t *object = out_object("initialised");

        out_text(object, "name", config_text(config, CONF_NAME));
        out_text(object, "dir", state->dir);
        out_text(object, "config", file);
        out_text(object, "root", root);
        out_text(object, "endpoint", config_text(config, CONF_ENDPOINT));
        out_text(object, "public", *public ? public : NULL);
        out_json(cli, object);
        return 0;
    }
    out_print(cli, "broker  %s   root %s\n", config_text(config, CONF_NAME), root);
    out_print(cli, "wrote   %s, keys/, %s in %s\n", slash ? slash + 1 : file,
              config_text(config, CONF_STORE_FILE), state->dir);
    out_print(cli, "keep a copy of keys/ offline: backups do not hold it\n");
    out_print(cli, "next    sealpostd run\n");
    return 0;
}

/* The configuration last: where it is missing, nothing was made whole. */
static int make(struct cli *cli, const struct config *config, const char *file)
{
    char *dir = state_dir_of(file, config_text(config, CONF_STATE)), *config_dir = dir_of(file);
    struct state state = { .fd = -1, .keys_fd = -1 };
    const char *what = file;
    enum err e = access(file, F_OK) == 0 ? ERR_EXISTS : ERR_OK;
    int code;

    if (e == ERR_OK) {
        e = dir_make(config_dir, STATE_DIR_MODE);
        e = e == ERR_EXISTS ? ERR_OK : e;
        what = config_dir;
    }
    if (e == ERR_OK) {
        e = state_create(&state, dir, config_text(config, CONF_STORE_FILE));
        what = state.what;
    }
    if (e == ERR_OK) {
        e = make_database(&state, config);
        what = config_text(config, CONF_STORE_FILE);
    }
    if (e == ERR_OK) {
        e = write_config(config, file);
        what = file;
    }
    code = e == ERR_OK ? report(cli, config, &state, file) : fail(cli, e, what);
    state_close(&state);
    free(dir);
    free(config_dir);
    return code;
}

int cmd_init(struct cli *cli)
{
    struct config *config = broker_config_new();
    char *file = new_config_file(cli);
    int code;

    if (!file)
        code = out_fail(cli, EX_CONFIG, "no_home", "set SEALPOST_HOME",
                        "there is no home directory");
    else
        code = take_flags(cli, config, file);
    if (code == 0)
        code = make(cli, config, file);
    config_free(&config);
    free(file);
    return code;
}
