#include "agent/api/join.h"

#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <zmq.h>

#include "agent/api/object.h"
#include "agent/api/settings.h"
#include "agent/store/store.h"
#include "shared/base/clock.h"
#include "shared/base/real.h"
#include "shared/net/socket.h"
#include "shared/wire/message.h"

#define COMMAND "join"

static void invite_keys(const struct invite *invite, struct curve_keys *out,
                        char hex[static CURVE_TEXT_SIZE])
{
    curve_from_secret(out, invite->invite_curve_sk);
    curve_text(hex, out->public_key);
}

bool join_find(const struct invite *invite, char profile[static NAME_MAX_LEN + 1])
{
    char hex[CURVE_TEXT_SIZE];
    struct curve_keys keys;
    size_t count;
    char **names = profile_list(&count);
    bool found = false;

    invite_keys(invite, &keys, hex);
    curve_wipe(&keys);
    for (size_t i = 0; i < count && !found; i++) {
        struct profile p;
        struct failure ignored;
        json_t *identity = NULL;
        const char *key;

        if (profile_name(&p, names[i], &ignored) && profile_open(&p, &ignored))
            identity = profile_identity_read(&p);
        key = json_string_value(json_object_get(identity, "invite_key"));
        found = key && strcmp(key, hex) == 0;
        if (found)
            snprintf(profile, NAME_MAX_LEN + 1, "%s", names[i]);
        json_decref(identity);
        profile_close(&p);
    }
    profile_list_free(names, count);
    return found;
}

/* ------------------------------------------------------------------ the invite's name */

struct question {
    void *socket, *monitor;
    uint64_t until_ms;
    char address[320];
};

static bool question_open(struct question *q, const struct invite *invite)
{
    uint8_t routing_id[NET_ROUTING_ID_LEN];
    char hex[CURVE_TEXT_SIZE], endpoint[340];
    struct curve_keys keys;
    enum err e;

    do
        randombytes_buf(routing_id, sizeof routing_id);
    while (routing_id[0] == 0);
    invite_keys(invite, &keys, hex);
    snprintf(endpoint, sizeof endpoint, "tcp://%s", q->address);
    e = socket_link(&q->socket, invite->server_curve_pk, &keys, routing_id);
    curve_wipe(&keys);
    if (e == ERR_OK)
        e = monitor_open(&q->monitor, q->socket, "invite");
    return e == ERR_OK && zmq_connect(q->socket, endpoint) == 0;
}

static void question_close(struct question *q)
{
    monitor_close(&q->monitor, q->socket);
    socket_close(&q->socket);
}

static void unreachable(const struct question *q, struct failure *failure)
{
    failure_set(failure, 3, "broker_unreachable", "the operator: sealpostctl status",
                "no answer from %.300s, or not from the invite's broker", q->address);
}

static void ping(void *socket)
{
    struct message message = { .verb = VERB_PING, .rid = 1 };
    struct buf head = { 0 };

    MESSAGE_SET(&message, ts, clock_now_ms());
    message_encode(&message, &head);
    zmq_send(socket, head.at, head.len, ZMQ_DONTWAIT);
    buf_free(&head);
}

/* False: no answer, or none that can be used. */
static bool answer_read(void *socket, char name[static NAME_MAX_LEN + 1], enum err *refused)
{
    struct message message;
    uint8_t head[1024];
    int len = zmq_recv(socket, head, sizeof head, ZMQ_DONTWAIT);

    if (len < 0 || (size_t)len > sizeof head
        || message_decode(&message, bytes_of(head, (size_t)len), 0, FROM_BROKER) != ERR_OK)
        return false;
    if (message.verb == VERB_ERROR) {
        *refused = (enum err)message.code;
        return true;
    }
    if (message.verb != VERB_PING)
        return false;
    if (MESSAGE_HAS(&message, name) && name_valid(message.name))
        snprintf(name, NAME_MAX_LEN + 1, "%.*s", (int)message.name.len,
                 (const char *)message.name.at);
    return true;
}

/* What the monitor says ends the question, or begins it; true: it has ended, with a failure. */
static bool question_lost(struct question *q, struct failure *failure)
{
    int value = 0;

    for (;;) {
        switch (monitor_next(q->monitor, &value)) {
        case NET_NOTHING:
            return false;
        case NET_ACCEPTED:
        case NET_CONNECTED:
            break;
        case NET_READY:
            ping(q->socket);
            break;
        case NET_REFUSED:
            failure_set(failure, 4, "invite_refused", "operator: sealpostctl invite NAME",
                        "the invite is used, expired or withdrawn");
            failure->wire = err_name(ERR_TOKEN);
            return true;
        case NET_NO_HANDSHAKE:
        case NET_CLOSED:
        case NET_LOST:
            unreachable(q, failure);
            return true;
        }
    }
}

static bool question_ask(struct question *q, char name[static NAME_MAX_LEN + 1],
                         struct failure *failure)
{
    enum err refused = ERR_OK;

    for (;;) {
        zmq_pollitem_t items[2] = { { .socket = q->socket, .events = ZMQ_POLLIN },
                                    { .socket = q->monitor, .events = ZMQ_POLLIN } };
        uint64_t now = clock_elapsed_ms();

        if (now >= q->until_ms) {
            unreachable(q, failure);
            return false;
        }
        zmq_poll(items, 2, (long)(q->until_ms - now));
        if (answer_read(q->socket, name, &refused))
            break;
        if (question_lost(q, failure))
            return false;
    }
    if (refused != ERR_OK)
        failure_of_err(failure, refused, "invite");
    return refused == ERR_OK;
}

bool join_ask_name(const struct invite *invite, uint64_t timeout_ms,
                   char name[static NAME_MAX_LEN + 1], struct failure *failure)
{
    struct question q = { 0 };
    bool ok;

    name[0] = 0;
    q.until_ms = clock_elapsed_ms() + timeout_ms;
    snprintf(q.address, sizeof q.address, "%s:%u", invite->host, invite->port);
    ok = question_open(&q, invite);
    if (!ok)
        unreachable(&q, failure);
    ok = ok && question_ask(&q, name, failure);
    question_close(&q);
    return ok;
}

/* ------------------------------------------------------------------ the profile */

static void port_changed(void *ctx)
{
    (void)ctx;
}

/* Enough for making keys: nothing is sent before the worker runs. */
static const struct agent_ports making_ports = { .now_ms = real_now_ms,
                                                 .elapsed_ms = real_elapsed_ms,
                                                 .random = real_random,
                                                 .changed = port_changed };

static enum err store_make_raw(struct agent_store **store, const char *dir)
{
    uint8_t key[AGENT_KEY_SIZE];
    enum err e;

    randombytes_buf(key, sizeof key);
    e = agent_store_create(store, dir, key);
    sodium_memzero(key, sizeof key);
    return e == ERR_EXISTS ? agent_store_open(store, dir) : e;
}

static enum err store_make_wrapped(struct agent_store **store, struct profile *profile,
                                   struct bytes passphrase)
{
    enum err e = profile_protect(profile, passphrase);

    if (e == ERR_OK)
        e = agent_store_create_with(store, profile->dir, profile->key);
    return e == ERR_EXISTS ? agent_store_open_with(store, profile->dir, profile->key) : e;
}

static enum err store_make(struct agent_store **store, struct profile *profile,
                           struct bytes passphrase)
{
    enum err e = passphrase.len ? store_make_wrapped(store, profile, passphrase)
                                : store_make_raw(store, profile->dir);

    if (e == ERR_OK)
        agent_store_random(*store, real_random, NULL);
    return e;
}

/* What whoami --all and the same join again look at. */
static enum err identity_note(const struct profile *profile, struct agent_store **store,
                              const struct agent_settings *settings, const struct invite *invite)
{
    char hex[CURVE_TEXT_SIZE];
    struct agent *agent = NULL;
    struct curve_keys keys;
    struct agent_self self;
    enum err e = agent_new(&agent, store, &making_ports, settings);
    json_t *identity;

    if (e == ERR_OK)
        e = agent_self_get(agent, &self);
    if (e == ERR_OK) {
        invite_keys(invite, &keys, hex);
        identity = object_identity(&self, keys.public_key);
        e = profile_identity_write(profile, identity);
        json_decref(identity);
        curve_wipe(&keys);
    }
    agent_free(&agent);
    return e;
}

static enum err identity_make(struct profile *profile, const char *name,
                              const struct invite *invite, struct bytes passphrase,
                              const struct agent_settings *settings)
{
    struct agent_store *store = NULL;
    enum err e = store_make(&store, profile, passphrase);

    if (e == ERR_OK)
        e = agent_identity_make(store, &making_ports, settings, bytes_of_text(name), invite);
    if (e == ERR_OK)
        e = identity_note(profile, &store, settings, invite);
    agent_store_close(&store);
    return e;
}

static void exists_failure(const struct profile *profile, struct failure *failure)
{
    failure_set(failure, 4, "profile_exists", "sealpost join -a OTHER INVITE",
                "there is an agent \"%s\" on this account already", profile->name);
}

bool join_prepare(struct profile *profile, const char *name, const struct invite *invite,
                  struct bytes passphrase, struct failure *failure)
{
    struct agent_settings settings;
    enum err e;

    if (!profile_make(profile, failure))
        return false;
    e = profile_lock(profile, COMMAND);
    if (e == ERR_LOCKED) {
        exists_failure(profile, failure);
        return false;
    }
    if (e == ERR_OK && !settings_load(profile, &settings, failure)) {
        profile_unlock(profile);
        return false;
    }
    if (e == ERR_OK)
        e = identity_make(profile, name, invite, passphrase, &settings);
    profile_unlock(profile);
    if (e == ERR_EXISTS)
        exists_failure(profile, failure);
    else if (e != ERR_OK)
        failure_of_err(failure, e, profile->dir);
    return e == ERR_OK;
}

void join_undo(struct profile *profile)
{
    json_t *identity = profile_identity_read(profile);
    const char *state = json_string_value(json_object_get(identity, "state"));

    if ((!state || strcmp(state, "pending") == 0) && profile_lock(profile, COMMAND) == ERR_OK)
        profile_erase(profile);
    json_decref(identity);
}
