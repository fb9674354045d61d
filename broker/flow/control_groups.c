#include <stdlib.h>
#include <string.h>

#include "broker/flow/control.h"

/* Rows of v_groups and v_members, as objects: what people see in the file and here is the same. */

enum { GROUPS_MOST = 10000, MEMBERS_MOST = 10000 };

struct view_row {
    int count;
    const char *const *names, *const *values;
};

/* NULL: the column is NULL. */
static const char *column(const struct view_row *row, const char *name)
{
    for (int i = 0; i < row->count; i++)
        if (strcmp(row->names[i], name) == 0)
            return row->values[i];
    return NULL;
}

static void put_number(json_t *object, const struct view_row *row, const char *name)
{
    const char *value = column(row, name);

    out_number(object, name, value ? strtoull(value, NULL, 10) : 0);
}

/* Seconds of the view; milliseconds in an object. */
static void put_age(json_t *object, const char *key, const struct view_row *row, const char *name)
{
    const char *value = column(row, name);
    long long s = value ? strtoll(value, NULL, 10) : 0;

    out_number_or_null(object, key, value != NULL, s > 0 ? (uint64_t)s * 1000 : 0);
}

static void put_name(json_t *object, const struct view_row *row)
{
    const char *id = column(row, "group8");
    char name[16];

    snprintf(name, sizeof name, "#%.8s", id ? id : "");
    out_text(object, "group", name);
}

static bool group_row(void *ctx, int count, const char *const *names, const char *const *values)
{
    const struct view_row row = { count, names, values };
    json_t *object = out_object("channel");

    put_name(object, &row);
    out_text(object, "state", column(&row, "state"));
    out_text(object, "owner", column(&row, "owner"));
    put_number(object, &row, "epoch");
    put_number(object, &row, "members");
    put_number(object, &row, "invited");
    put_number(object, &row, "events");
    put_number(object, &row, "frames");
    put_number(object, &row, "bytes");
    put_age(object, "oldest_ms", &row, "oldest_s");
    out_text(object, "slowest", column(&row, "slowest"));
    out_line(ctx, object);
    return true;
}

struct members {
    struct command *command;
    json_t *objects; /* least behind first */
};

static bool is_online(struct command *command, const char *name)
{
    const struct agent_row *agent
        = store_agent_by_name(command->flow->store, bytes_of_text(name ? name : ""));

    return agent && peer_online(command->flow, agent->agent_id);
}

static bool member_row(void *ctx, int count, const char *const *names, const char *const *values)
{
    const struct view_row row = { count, names, values };
    const struct members *members = ctx;
    const bool joined = strcmp(column(&row, "state"), "joined") == 0;
    json_t *object = out_object("reader");

    put_name(object, &row);
    out_text(object, "name", column(&row, "name"));
    out_text(object, "role", column(&row, "role"));
    out_text(object, "state", column(&row, "state"));
    out_bool(object, "online", is_online(members->command, column(&row, "name")));
    out_number_or_null(object, "behind", joined, strtoull(column(&row, "behind"), NULL, 10));
    put_age(object, "acked_ms", &row, "acked_s");
    json_array_append_new(members->objects, object);
    return true;
}

/* `#1931143f`, as groups are shown; the mark may be left out, for shells. */
static bool group8_of(const char *text, char out[static 9])
{
    text += *text == '#';
    for (size_t i = 0; i < 8; i++) {
        if (!text[i] || !strchr("0123456789abcdef", text[i]))
            return false;
        out[i] = text[i];
    }
    out[8] = 0;
    return text[8] == 0;
}

static enum err members_of(struct command *command, const char *name)
{
    struct members members = { command, json_array() };
    char group8[9];
    enum err e = ERR_OK;

    if (group8_of(name, group8))
        e = store_view(command->flow->store, "v_members", "group8", group8, "behind", MEMBERS_MOST,
                       member_row, &members);
    if (e == ERR_OK && json_array_size(members.objects) == 0)
        command_unknown_group(command, name);
    for (size_t i = json_array_size(members.objects); e == ERR_OK && i-- > 0;)
        out_line(&command->lines, json_incref(json_array_get(members.objects, i)));
    json_decref(members.objects);
    return e;
}

enum err control_groups(struct command *command)
{
    if (command_args(command))
        return members_of(command, command_arg(command, 0));
    return store_view(command->flow->store, "v_groups", NULL, NULL, NULL, GROUPS_MOST, group_row,
                      &command->lines);
}
