#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/cmd.h"
#include "broker/reload.h"
#include "broker/store/store.h"
#include "shared/cli/places.h"

static void put_problem(struct cli *cli, const char *file, const struct config_problem *problem)
{
    struct buf text = { 0 };

    if (!cli_json(cli)) {
        config_problem_text(&text, file, problem);
        buf_append(&text, "\n", 1);
        out_raw(cli, buf_bytes(&text));
        buf_free(&text);
        return;
    }
    out_json(cli, config_problem_object(file, problem));
}

static int put_file_problem(struct cli *cli, enum err e, const char *file, const char *what)
{
    struct config_problem problem
        = { .code = e == ERR_UNSAFE ? "unsafe_permissions" : "bad_state" };

    snprintf(problem.message, sizeof problem.message, "%s: %s", what, err_text(e));
    put_problem(cli, file, &problem);
    return e == ERR_UNSAFE ? EX_NOPERM : EX_CONFIG;
}

/* Keys and database, where they exist. */
static int check_state(struct cli *cli, const char *file, const struct config *config)
{
    struct state state;
    enum err e = state_open(&state, file, config);
    char *database = NULL;
    int code = 0;

    if (e == ERR_OK)
        database = place_join(state.dir, config_text(config, CONF_STORE_FILE));
    else if (e != ERR_NOT_FOUND)
        code = put_file_problem(cli, e, file, state.what);
    if (database && access(database, F_OK) == 0) {
        e = store_check_file(database);
        if (e != ERR_OK)
            code = put_file_problem(cli, e, file, config_text(config, CONF_STORE_FILE));
    }
    free(database);
    state_close(&state);
    return code;
}

static size_t settings_in(const struct config *config)
{
    size_t count = 0;

    for (size_t i = 0; i < config_key_count(config); i++)
        count += config_source(config, i) == CONFIG_FILE;
    return count;
}

static int check(struct cli *cli, const char *file, struct config *config)
{
    int code = 0;

    if (state_check_config(file) != ERR_OK)
        code = put_file_problem(cli, ERR_UNSAFE, file, "configuration");
    if (config_read(config, file, false) != ERR_OK)
        code = EX_CONFIG;
    for (size_t i = 0; i < config_problem_count(config); i++)
        put_problem(cli, file, config_problem_at(config, i));
    if (code == 0)
        code = check_state(cli, file, config);
    if (code == 0 && cli_json(cli)) {
        json_t *object = out_object("checked");

        out_text(object, "file", file);
        out_number(object, "keys", settings_in(config));
        out_json(cli, object);
    } else if (code == 0) {
        out_print(cli, "ok\n");
    }
    return code;
}

int cmd_check(struct cli *cli)
{
    char *file = cli_arg(cli, 0) ? strdup(cli_arg(cli, 0)) : broker_config_file(cli);
    struct config *config = broker_config_new();
    int code = check(cli, file, config);

    config_free(&config);
    free(file);
    return code;
}
