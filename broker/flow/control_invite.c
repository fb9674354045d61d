#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/controller/controller.h"
#include "broker/flow/control.h"
#include "broker/store/invites.h"
#include "shared/base/log.h"
#include "shared/base/text.h"
#include "shared/trust/invite.h"

#define TTL_LEAST_MS 60000ull
#define TTL_MOST_MS  (30 * 86400000ull)

static const char *const state_names[] = {
    [INVITE_OPEN] = "open",       [INVITE_WAITING] = "waiting", [INVITE_USED] = "used",
    [INVITE_EXPIRED] = "expired", [INVITE_DENIED] = "denied",   [INVITE_WITHDRAWN] = "withdrawn"
};

static void put_invite(struct command *command, const struct invite_row *row, const char *url)
{
    const struct agent_row *agent
        = row->agent_id ? store_agent(command->flow->store, row->agent_id) : NULL;
    json_t *object = out_object("invite");

    out_number(object, "number", (uint64_t)row->invite_id);
    out_hex(object, "key8", row->key, 4);
    out_text(object, "url", url);
    out_text(object, "name", *row->name ? row->name : NULL);
    out_take(object, "circles", out_words(row->circles));
    out_bool(object, "approve", row->approve);
    out_text(object, "state", state_names[store_invite_state(row, command->flow->now_ms)]);
    out_text(object, "note", row->note);
    out_time(object, "made_at", row->created_ms);
    out_time(object, "expires_at", row->expires_ms);
    out_text(object, "used_by", agent ? agent->name : NULL);
    out_line(&command->lines, object);
}

/* HOST:PORT into an invite's two fields. */
static bool address_of(struct invite *invite, const char *address)
{
    const char *colon = strrchr(address, ':');
    uint64_t port;

    if (!colon || colon == address || (size_t)(colon - address) > INVITE_HOST_MAX
        || count_parse(&port, colon + 1) != ERR_OK || port < 1 || port > 65535)
        return false;
    snprintf(invite->host, sizeof invite->host, "%.*s", (int)(colon - address), address);
    invite->port = (uint16_t)port;
    return true;
}

/* The key pair, its public half to the controller, its secret half into the text. */
static enum err make_one(struct command *command, const struct invite_wish *wish,
                         struct invite *invite)
{
    struct flow *flow = command->flow;
    char text[INVITE_TEXT_SIZE];
    struct invite_row row;
    uint8_t key[32];
    enum err e;

    flow->ports.random(flow->ports.ctx, invite->invite_curve_sk, 32);
    crypto_scalarmult_base(key, invite->invite_curve_sk);
    e = controller_invite_make(flow->controller, wish, key, flow->now_ms, command->who, &row);
    if (e == ERR_OK) {
        invite->exp_ms = row.expires_ms;
        if (invite_encode(text, invite) == ERR_OK) {
            reply_key_add(command->reply, row.key, true, row.invite_id, NULL, NULL);
            put_invite(command, &row, text);
            log_event(LOG_INFO, "invite_made", "agent=%s key=%s", *row.name ? row.name : "-",
                      log_id(row.key));
        } else {
            e = ERR_MALFORMED;
        }
    }
    sodium_memzero(invite->invite_curve_sk, sizeof invite->invite_curve_sk);
    sodium_memzero(text, sizeof text);
    return e;
}

/* False: the error has been told. */
static bool wish_of(struct command *command, struct invite_wish *wish, const char **circles,
                    size_t most)
{
    const json_t *list = json_object_get(command->in, "circle"), *one;
    size_t i;

    *wish = (struct invite_wish){ .circles = circles,
                                  .guest = command_flag(command, "guest"),
                                  .approve = command_flag(command, "approve"),
                                  .ttl_ms = command_number(command, "ttl", 0),
                                  .note = command_text(command, "note") };
    json_array_foreach(list, i, one)
    {
        const char *name = json_string_value(one);

        if (!name || !name_valid(bytes_of_text(name))) {
            command_fail(command, 2, "name_invalid", NULL,
                         "circle \"%.64s\": 1 to 64 of a-z 0-9 . _ -", name ? name : "");
            return false;
        }
        if (wish->circle_count == most) {
            command_fail(command, 2, "bad_value", NULL, "at most %zu circles", most);
            return false;
        }
        circles[wish->circle_count++] = name;
    }
    if (wish->guest && wish->circle_count) {
        command_fail(command, 2, "usage", NULL, "--guest and --circle exclude each other");
        return false;
    }
    if (wish->ttl_ms && (wish->ttl_ms < TTL_LEAST_MS || wish->ttl_ms > TTL_MOST_MS)) {
        command_fail(command, 2, "bad_value", NULL, "--ttl is out of bounds, 1m to 30d");
        return false;
    }
    if (wish->note && strlen(wish->note) >= NOTE_SIZE) {
        command_fail(command, 2, "bad_value", NULL, "--note is longer than %d bytes",
                     NOTE_SIZE - 1);
        return false;
    }
    return true;
}

static bool names_valid(struct command *command)
{
    for (size_t i = 0; i < command_args(command); i++)
        if (!name_valid(bytes_of_text(command_arg(command, i)))) {
            command_fail(command, 2, "name_invalid", NULL,
                         "name \"%.64s\": 1 to 64 of a-z 0-9 . _ -, the first a letter or digit",
                         command_arg(command, i));
            return false;
        }
    return true;
}

static enum err make_all(struct command *command)
{
    struct flow *flow = command->flow;
    const char *circles[CIRCLES_MAX], *address = command_text(command, "host");
    struct invite invite = { 0 };
    struct invite_wish wish;
    size_t count = command_args(command) ? command_args(command) : 1;
    enum err e = ERR_OK, first = ERR_OK;
    const char *taken = NULL;

    if (!names_valid(command) || !wish_of(command, &wish, circles, CIRCLES_MAX))
        return ERR_OK;
    if (!address)
        address = flow->settings.public_address;
    if (!*address) {
        command_fail(command, 4, "no_public_address", "set broker/public, or give --host HOST:PORT",
                     "invite: nobody can reach a wildcard address");
        return ERR_OK;
    }
    if (!address_of(&invite, address)) {
        command_fail(command, 2, "bad_value", NULL, "\"%.100s\" is not HOST:PORT", address);
        return ERR_OK;
    }
    memcpy(invite.server_curve_pk, flow->settings.curve_pk, 32);
    memcpy(invite.root_id, controller_root_id(flow->controller), 32);
    for (size_t i = 0; i < count && (e == ERR_OK || e == ERR_NAME_TAKEN); i++) {
        wish.name = command_args(command) ? command_arg(command, i) : NULL;
        e = make_one(command, &wish, &invite);
        if (e == ERR_NAME_TAKEN && first == ERR_OK) {
            first = e;
            taken = wish.name;
        }
    }
    if (e != ERR_OK && e != ERR_NAME_TAKEN && e != ERR_MALFORMED)
        return e;
    if (e == ERR_MALFORMED)
        command_fail(command, 2, "bad_value", NULL, "this invite cannot be made");
    else if (first == ERR_NAME_TAKEN)
        command_fail(command, 4, "name_taken", NULL, "name \"%s\" belongs to another agent", taken);
    return ERR_OK;
}

static bool list_one(void *ctx, const struct invite_row *row)
{
    put_invite(ctx, row, NULL);
    return true;
}

static enum err withdraw(struct command *command, uint64_t number)
{
    struct flow *flow = command->flow;
    struct invite_row row;
    enum err e = controller_invite_withdraw(flow->controller, (int64_t)number, flow->now_ms,
                                            command->who, &row);

    if (e == ERR_OK) {
        reply_key_drop(command->reply, row.key);
        put_invite(command, &row, NULL);
        log_event(LOG_INFO, "invite_withdrawn", "key=%s", log_id(row.key));
    } else if (e == ERR_NOT_FOUND || e == ERR_STATE) {
        command_fail(command, 6, "unknown_invite", "sealpostctl invite --list",
                     e == ERR_STATE ? "invite %llu: used or over already"
                                    : "invite %llu: no such invite",
                     (unsigned long long)number);
        e = ERR_OK;
    }
    return e;
}

enum err control_invite(struct command *command)
{
    if (command_flag(command, "list"))
        return store_invite_list(command->flow->store, true, command->flow->now_ms, list_one,
                                 command);
    if (json_is_integer(json_object_get(command->in, "withdraw")))
        return withdraw(command, command_number(command, "withdraw", 0));
    return make_all(command);
}
