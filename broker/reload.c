#include "broker/reload.h"

#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "broker/edge/loop.h"
#include "shared/base/log.h"

/* HOST:PORT of an endpoint that others can reach by that name; false: a wildcard. */
static bool address_of(char *out, size_t size, const char *endpoint)
{
    if (strncmp(endpoint, "tcp://", 6) != 0 || strncmp(endpoint, "tcp://0.0.0.0:", 14) == 0
        || strncmp(endpoint, "tcp://[::]:", 11) == 0 || strchr(endpoint, '*'))
        return false;
    return snprintf(out, size, "%s", endpoint + 6) < (int)size;
}

void settings_of(const struct broker *broker, struct flow_settings *out)
{
    const char *public = config_text(broker->config, CONF_PUBLIC), *endpoint;
    size_t len = 0;

    broker_config_flow(broker->config, out);
    memcpy(out->curve_pk, broker->state.curve.public_key, sizeof out->curve_pk);
    if (*public)
        snprintf(out->public_address, sizeof out->public_address, "%s", public);
    for (size_t i = 0; broker->loop && (endpoint = loop_endpoint(broker->loop, i)); i++) {
        if (!*out->public_address)
            address_of(out->public_address, sizeof out->public_address, endpoint);
        if (len < sizeof out->endpoints)
            len += (size_t)snprintf(out->endpoints + len, sizeof out->endpoints - len, "%s%s",
                                    i ? " " : "", endpoint);
    }
}

enum err apply_flags(struct config *config, const struct broker_start *start,
                     struct config_problem *why)
{
    enum err e = ERR_OK;

    if (start->log_level)
        e = config_set(config, "log/level", start->log_level, CONFIG_FLAG, why);
    if (e == ERR_OK && start->log_format)
        e = config_set(config, "log/format", start->log_format, CONFIG_FLAG, why);
    return e;
}

json_t *config_problem_object(const char *file, const struct config_problem *problem)
{
    json_t *object = out_object("problem");

    out_text(object, "file", file);
    out_number_or_null(object, "line", problem->line != 0, problem->line);
    out_text(object, "key", *problem->key ? problem->key : NULL);
    out_text(object, "code", problem->code);
    out_text(object, "message", problem->message);
    out_text(object, "hint", *problem->hint ? problem->hint : NULL);
    return object;
}

int config_report(struct cli *cli, const struct config *config, const char *file)
{
    for (size_t i = 0; i < config_problem_count(config); i++) {
        struct buf text = { 0 };

        if (cli_json(cli)) {
            out_json(cli, config_problem_object(file, config_problem_at(config, i)));
        } else {
            config_problem_text(&text, file, config_problem_at(config, i));
            fprintf(stderr, "%.*s\n", (int)text.len, (const char *)text.at);
        }
        buf_free(&text);
    }
    return out_fail(cli, EX_CONFIG, "bad_config", "sealpostd check", "%s: %zu problem%s", file,
                    config_problem_count(config), config_problem_count(config) == 1 ? "" : "s");
}

/* ---- reload ---------------------------------------------------------------------------------- */

static void refuse_reload(struct broker *broker, uint64_t conn, const struct config *next)
{
    const char *file = broker->start.config_file;
    struct buf lines = { 0 }, first = { 0 };

    for (size_t i = 0; i < config_problem_count(next); i++) {
        const struct config_problem *problem = config_problem_at(next, i);

        log_event(LOG_WARN, "reload_failed", "file=%s line=%u key=%s reason=%s", log_value(file),
                  problem->line, log_value(problem->key), log_value(problem->message));
        out_line(&lines, config_problem_object(file, problem));
        if (i == 0)
            config_problem_text(&first, file, problem);
    }
    buf_append(&first, "", 1);
    out_line(&lines, out_error_object("bad_config", 1, (const char *)first.at, "sealpostd check"));
    if (conn)
        loop_answer(broker->loop, conn, buf_bytes(&lines), true);
    buf_free(&lines);
    buf_free(&first);
}

/* Is the setting of the file another one than the process runs with? */
static bool waits_for_restart(const struct broker *broker, size_t key)
{
    return config_key_at(broker->config, key)->restart
           && config_differs(broker->config, broker->started, key);
}

static void take_over(struct broker *broker, struct config *next)
{
    struct flow_settings settings;
    struct gate_limits limits;

    config_free(&broker->config);
    broker->config = next;
    for (size_t i = 0; i < CONF_COUNT; i++)
        if (waits_for_restart(broker, i))
            log_event(LOG_WARN, "needs_restart", "key=%s", config_key_at(next, i)->path);
    broker_config_log(next);
    broker_config_gate(next, &limits);
    settings_of(broker, &settings);
    loop_configure(broker->loop, &limits, &settings);
    loop_set_grace(broker->loop, config_number(next, CONF_GRACE));
    log_event(LOG_INFO, "reloaded", "file=%s", log_value(broker->start.config_file));
}

void reload_order(void *ctx, uint64_t conn)
{
    struct broker *broker = ctx;
    struct config *next = broker_config_new();

    if (config_read(next, broker->start.config_file, false) != ERR_OK) {
        refuse_reload(broker, conn, next);
        config_free(&next);
        return;
    }
    apply_flags(next, &broker->start, NULL);
    take_over(broker, next);
    if (conn) /* the new settings were sent before it */
        loop_command(broker->loop, conn, geteuid(), bytes_of_text("{\"verb\":\"status\"}"));
}

/* ---- showing --------------------------------------------------------------------------------- */

static void join_lines(struct buf *out, const struct config *config, size_t key)
{
    for (unsigned i = 0; i < config_lines(config, key); i++) {
        const char *text = config_text_at(config, key, i);

        if (i)
            buf_append(out, " ", 1);
        buf_append(out, text, strlen(text));
    }
    buf_append(out, "", 1);
}

/* What the process runs with: for keys that wait, the value of the start. */
static void put_setting(const struct broker *broker, size_t key, struct buf *lines)
{
    bool waits = waits_for_restart(broker, key);
    const struct config *config = waits ? broker->started : broker->config;
    const struct config_key *row = config_key_at(config, key);
    json_t *object = out_object("setting");
    struct buf value = { 0 };

    join_lines(&value, config, key);
    out_text(object, "key", row->path);
    out_text(object, "value", (const char *)value.at);
    out_text(object, "default", row->initial ? row->initial : "");
    out_text(object, "source", config_source_name(config_source(config, key)));
    out_bool(object, "needs_restart", waits);
    out_line(lines, object);
    buf_free(&value);
}

bool reload_command(void *ctx, uint64_t conn, struct bytes line)
{
    struct broker *broker = ctx;
    json_t *in = json_loadb((const char *)line.at, line.len, 0, NULL);
    const char *verb = json_string_value(json_object_get(in, "verb"));
    struct buf lines = { 0 };
    bool ours = verb && strcmp(verb, "config") == 0;

    for (size_t i = 0; ours && i < CONF_COUNT; i++)
        put_setting(broker, i, &lines);
    if (ours)
        loop_answer(broker->loop, conn, buf_bytes(&lines), true);
    buf_free(&lines);
    json_decref(in);
    return ours;
}
