/* config - docs: cli 3.1, 4.3. */
#include <stdlib.h>
#include <string.h>

#include "agent/api/settings.h"
#include "agent/cli/cmd.h"
#include "agent/cli/print.h"
#include "agent/cli/verbs.h"

#define KEY_MAX_LEN 64

/* KEY or KEY=VALUE of an argument. */
struct change {
    char key[KEY_MAX_LEN + 1];
    const char *value; /* NULL: only shown; "": back to the default */
};

static int change_parse(struct cli *cli, struct config *config, const char *argument,
                        struct change *out)
{
    const char *equals = strchr(argument, '='), *near = NULL;
    size_t len = equals ? (size_t)(equals - argument) : strlen(argument);
    struct config_problem why;

    if (len > KEY_MAX_LEN)
        len = KEY_MAX_LEN;
    memcpy(out->key, argument, len);
    out->key[len] = 0;
    out->value = equals ? equals + 1 : NULL;
    if (config_find(config, out->key, &near) < 0) {
        if (near)
            return out_usage(cli, "unknown_setting", NULL,
                             "there is no setting \"%s\"; did you mean %s?", out->key, near);
        return out_usage(cli, "unknown_setting", "sealpost config", "there is no setting \"%s\"",
                         out->key);
    }
    if (out->value && out->value[0]
        && config_set(config, out->key, out->value, CONFIG_FILE, &why) != ERR_OK)
        return out_usage(cli, "bad_value", NULL, "%s", why.message);
    return 0;
}

/* As joined, where the file says nothing: the one default that is not in the table. */
static const char *default_of(const struct config_key *key, json_t *identity)
{
    if (strcmp(key->path, "broker") == 0)
        return member_text(identity, "broker");
    return key->initial ? key->initial : "";
}

static void print_setting(struct cli *cli, const struct config *config, size_t at, json_t *identity,
                          struct out_table *table)
{
    const struct config_key *key = config_key_at(config, at);
    bool is_default = config_source(config, at) == CONFIG_DEFAULT;
    const char *initial = default_of(key, identity);
    const char *value = is_default ? initial : config_text(config, at);
    const char *source = config_source_name(config_source(config, at));

    if (cli_json(cli)) {
        json_t *object = out_object("setting");

        out_text(object, "key", key->path);
        out_text(object, "value", value);
        out_text(object, "default", initial);
        out_text(object, "source", source);
        out_bool(object, "needs_restart", false);
        out_json(cli, object);
        return;
    }
    table_cell(table, "%s", key->path);
    table_cell(table, "%s", *value ? value : "-");
    table_cell(table, "%s", source);
    table_cell(table, "%s", key->help);
}

static void print_settings(struct cli *cli, const struct config *config,
                           const struct change *changes, size_t count, json_t *identity)
{
    static const char *const headers[] = { "KEY", "VALUE", "SOURCE", "MEANING", NULL };
    struct out_table *table = table_new(headers);

    for (size_t i = 0; i < config_key_count(config); i++) {
        bool wanted = count == 0;

        for (size_t k = 0; k < count; k++)
            wanted |= strcmp(changes[k].key, config_key_at(config, i)->path) == 0;
        if (wanted)
            print_setting(cli, config, i, identity, table);
    }
    table_print(cli, &table, NULL);
}

static int apply(struct cli *cli, const struct profile *profile, const struct change *changes,
                 size_t count)
{
    struct failure failure;

    for (size_t i = 0; i < count; i++) {
        enum err e = ERR_OK;

        if (changes[i].value)
            e = settings_change(profile, changes[i].key,
                                changes[i].value[0] ? changes[i].value : NULL);
        if (e != ERR_OK) {
            failure_of_err(&failure, e, PROFILE_SETTINGS);
            return cmd_failure(cli, &failure);
        }
    }
    return 0;
}

static int config_on(struct cli *cli, const struct profile *profile, const struct change *changes,
                     size_t count)
{
    struct failure failure;
    struct config *config;
    json_t *identity;
    int exit = apply(cli, profile, changes, count);

    if (exit)
        return exit;
    config = settings_read(profile, &failure);
    if (!config)
        return cmd_failure(cli, &failure);
    identity = profile_identity_read(profile);
    print_settings(cli, config, changes, count, identity);
    json_decref(identity);
    config_free(&config);
    return 0;
}

int cmd_config(struct cli *cli)
{
    size_t count = cli_args(cli);
    struct change *changes = mem_zeroed(count + 1, sizeof *changes);
    struct config *probe = settings_defaults();
    struct profile profile;
    int exit = 0;

    for (size_t i = 0; i < count && exit == 0; i++)
        exit = change_parse(cli, probe, cli_arg(cli, i), &changes[i]);
    config_free(&probe);
    if (exit == 0 && cmd_profile(cli, &profile, &exit)) {
        exit = config_on(cli, &profile, changes, count);
        profile_close(&profile);
    }
    free(changes);
    return exit;
}
