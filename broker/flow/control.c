#include "broker/flow/control.h"

#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "broker/controller/controller.h"
#include "broker/store/directory.h"
#include "broker/store/streams.h"
#include "shared/base/text.h"

const char *command_text(const struct command *command, const char *key)
{
    return json_string_value(json_object_get(command->in, key));
}

bool command_flag(const struct command *command, const char *key)
{
    return json_is_true(json_object_get(command->in, key));
}

uint64_t command_number(const struct command *command, const char *key, uint64_t otherwise)
{
    const json_t *value = json_object_get(command->in, key);

    return json_is_integer(value) && json_integer_value(value) >= 0
               ? (uint64_t)json_integer_value(value)
               : otherwise;
}

size_t command_args(const struct command *command)
{
    return json_array_size(json_object_get(command->in, "args"));
}

const char *command_arg(const struct command *command, size_t i)
{
    const char *text = json_string_value(json_array_get(json_object_get(command->in, "args"), i));

    return text ? text : "";
}

void command_fail(struct command *command, int exit_code, const char *code, const char *hint,
                  const char *format, ...)
{
    char *text = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        abort();
    va_end(args);
    out_line(&command->lines, out_error_object(code, exit_code, text, hint));
    free(text);
}

void command_unknown_agent(struct command *command, const char *name)
{
    size_t count = store_agent_count(command->flow->store);
    const char **names = mem_alloc((count + 1) * sizeof *names), *near;
    char hint[128];

    for (size_t i = 0; i < count; i++)
        names[i] = store_agent_at(command->flow->store, i)->name;
    near = text_nearest(name, names, count);
    if (near)
        snprintf(hint, sizeof hint, "sealpostctl agents %s", near);
    command_fail(command, 6, "unknown_agent", near ? hint : "sealpostctl agents",
                 "agent \"%.64s\": no such agent", name);
    free(names);
}

void command_unknown_group(struct command *command, const char *name)
{
    command_fail(command, 6, "unknown_group", "sealpostctl groups",
                 "group \"%.40s\": no such group", name);
}

struct first_frame {
    uint64_t stored_ms, position;
};

static bool note_first(void *ctx, const struct frame_row *frame)
{
    struct first_frame *first = ctx;

    first->stored_ms = frame->stored_ms;
    first->position = frame->position;
    return false;
}

enum err control_oldest(struct flow *flow, int64_t stream_id, uint64_t *stored_ms,
                        uint64_t *position)
{
    struct first_frame first = { 0, 0 };
    enum err e = store_frame_list(flow->store, stream_id, 0, INT64_MAX, 1, note_first, &first);

    *stored_ms = first.stored_ms;
    *position = first.position;
    return e;
}

static void name_operator(struct command *command, uid_t uid)
{
    const struct passwd *user = getpwuid(uid);

    if (user)
        snprintf(command->who, sizeof command->who, "%s", user->pw_name);
    else
        snprintf(command->who, sizeof command->who, "uid %u", (unsigned)uid);
}

static enum err run(struct command *command, const char *verb, bool *last)
{
    enum err e;

    if (strcmp(verb, "invite") == 0)
        return control_invite(command);
    if (strcmp(verb, "agents") == 0)
        return control_agents(command);
    if (strcmp(verb, "revoke") == 0)
        return control_revoke(command);
    if (strcmp(verb, "queues") == 0)
        return control_queues(command);
    if (strcmp(verb, "groups") == 0)
        return control_groups(command);
    if (strcmp(verb, "status") == 0)
        return control_status(command, NULL);
    if (strcmp(verb, "stop") == 0) {
        *last = false; /* the end of the connection says that the broker is gone */
        e = control_status(command, "stopping");
        if (e == ERR_OK)
            reply_order(command->reply, OUT_STOP);
        return e;
    }
    if (strcmp(verb, "reload") == 0) {
        *last = false; /* the edge answers */
        reply_order(command->reply, OUT_RELOAD);
        return ERR_OK;
    }
    command_fail(command, 2, "usage", "sealpostctl help", "\"%.40s\": no such command", verb);
    return ERR_OK;
}

enum err control_handle(struct flow *flow, const struct request *request, struct reply *reply)
{
    struct command command = { .flow = flow, .reply = reply };
    json_t *in = json_loadb((const char *)request->command.at, request->command.len,
                            JSON_REJECT_DUPLICATES, NULL);
    const char *verb = json_string_value(json_object_get(in, "verb"));
    bool last = true;
    enum err e = ERR_OK;

    command.in = in;
    name_operator(&command, (uid_t)request->by.id);
    if (verb)
        e = run(&command, verb, &last);
    else
        command_fail(&command, 2, "usage", NULL, "this is no command");
    if (e == ERR_OK && (command.lines.len || last))
        reply_operator(reply, buf_bytes(&command.lines), last);
    buf_wipe(&command.lines); /* an invite may stand in it */
    json_decref(in);
    return e;
}

/* The store failed for this command alone. */
void control_refuse(struct reply *reply, enum err e)
{
    struct buf lines = { 0 };

    out_line(&lines, out_error_object(e == ERR_DISK   ? "disk_full"
                                      : e == ERR_BUSY ? "busy"
                                                      : "internal",
                                      1, err_text(e), NULL));
    reply_operator(reply, buf_bytes(&lines), true);
    buf_free(&lines);
}

void control_configure(struct flow *flow)
{
    const struct flow_settings *from = &flow->settings;
    struct controller_settings controller;
    struct store_options store;

    controller_settings_default(&controller);
    controller.certificate_ttl_ms = from->certificate_ttl_ms;
    controller.invite_ttl_ms = from->invite_ttl_ms;
    snprintf(controller.default_circle, sizeof controller.default_circle, "%s",
             from->default_circle);
    if (*from->public_address)
        snprintf(controller.endpoint, sizeof controller.endpoint, "tcp://%.249s",
                 from->public_address);
    controller_configure(flow->controller, &controller);
    store_options_default(&store);
    store.max_bytes = from->store_max_bytes;
    store.disk_floor_bytes = from->disk_floor_bytes;
    store.wal_alarm_bytes = from->wal_alarm_bytes;
    store_configure(flow->store, &store);
}
