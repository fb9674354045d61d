/* The public interface: the command line's calls, with C types in place of text. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/api/client.h"
#include "agent/include/sealpost/agent.h"
#include "shared/base/bytes.h"
#include "shared/base/text.h"
#include "shared/json/object.h"
#include "shared/net/socket.h"

#define COMMAND "libsealpost"

struct sealpost_agent {
    struct profile profile;
    struct client *client; /* owned */
    json_t *last;          /* owned: the object that views point into */
    struct buf body;       /* owned: of a message that is not text */
    char error[600];
};

static bool keep_item(void *ctx, json_t *object)
{
    sealpost_agent *agent = ctx;

    json_decref(agent->last);
    agent->last = json_incref(object);
    return true;
}

static void ignore_text(void *ctx, const char *text)
{
    (void)ctx;
    (void)text;
}

/* Runs a verb; takes the parameters. */
static int run(sealpost_agent *agent, const char *verb, json_t *params, int timeout_ms)
{
    struct client_call call = {
        .verb = verb,
        .params = params,
        .timeout_ms = timeout_ms < 0 ? UINT64_MAX : (uint64_t)timeout_ms,
        .ctx = agent,
        .item = keep_item,
        .note = ignore_text,
        .detail = ignore_text,
    };
    struct failure failure;
    int exit = client_run(agent->client, &call, &failure);

    json_decref(params);
    agent->error[0] = 0;
    if (failure.exit)
        snprintf(agent->error, sizeof agent->error, "%s: %s", failure.code, failure.message);
    return exit;
}

int sealpost_open(sealpost_agent **out, const char *profile)
{
    sealpost_agent *agent;
    struct failure failure;
    char note[256];

    *out = NULL;
    if (sodium_init() < 0)
        return 1;
    net_start();
    agent = mem_zeroed(1, sizeof *agent);
    if (!profile_choose(&agent->profile, profile, note, &failure)) {
        profile_close(&agent->profile);
        free(agent);
        return failure.exit;
    }
    agent->client = client_new(&agent->profile, COMMAND, true);
    *out = agent;
    return 0;
}

void sealpost_close(sealpost_agent **agent)
{
    sealpost_agent *a = *agent;

    if (!a)
        return;
    client_free(&a->client);
    profile_close(&a->profile);
    json_decref(a->last);
    buf_wipe(&a->body);
    free(a);
    *agent = NULL;
}

int sealpost_send(sealpost_agent *agent, const char *to, const void *body, size_t body_len,
                  int timeout_ms, char id[SEALPOST_ID_SIZE])
{
    struct bytes bytes = bytes_of(body, body_len);
    json_t *params = json_object();
    char hex[SEALPOST_ID_SIZE];
    uint8_t raw[16];
    int exit;

    randombytes_buf(raw, sizeof raw);
    hex_encode(hex, raw, sizeof raw);
    out_text(params, "to", to);
    out_text(params, "id", hex);
    out_b64(params, "body_b64", bytes);
    out_text(params, "media_type", utf8_valid(bytes) ? "text/plain" : "application/octet-stream");
    exit = run(agent, "send", params, timeout_ms);
    if (id)
        memcpy(id, exit == 0 ? hex : "", exit == 0 ? sizeof hex : 1);
    return exit;
}

static const char *text_of(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

static void id_of(char out[static SEALPOST_ID_SIZE], json_t *object, const char *key)
{
    snprintf(out, SEALPOST_ID_SIZE, "%s", text_of(object, key));
}

static void take_body(sealpost_agent *agent)
{
    const json_t *text = json_object_get(agent->last, "body");
    const char *b64 = text_of(agent->last, "body_b64");
    size_t len = strlen(b64), got = 0;

    buf_wipe(&agent->body);
    if (json_is_string(text)) {
        buf_append(&agent->body, json_string_value(text), json_string_length(text));
        return;
    }
    sodium_base642bin(buf_extend(&agent->body, len / 4 * 3 + 3), len / 4 * 3 + 3, b64, len, NULL,
                      &got, NULL, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    agent->body.len = got;
}

int sealpost_recv(sealpost_agent *agent, sealpost_message *out, int timeout_ms)
{
    int exit;

    if (out->struct_size < sizeof *out)
        return 2;
    json_decref(agent->last);
    agent->last = NULL;
    exit = run(agent, "recv", json_pack("{s:b, s:b, s:i}", "wait", 1, "no_ack", 1, "count", 1),
               timeout_ms);
    if (exit != 0 || !agent->last)
        return exit ? exit : 5;
    take_body(agent);
    id_of(out->id, agent->last, "id");
    id_of(out->thread, agent->last, "thread");
    id_of(out->reply_to, agent->last, "reply_to");
    out->from = text_of(agent->last, "from");
    out->fingerprint = text_of(agent->last, "from_fingerprint");
    out->media_type = text_of(agent->last, "media_type");
    out->body = agent->body.at;
    out->body_len = agent->body.len;
    out->again = json_is_true(json_object_get(agent->last, "again"));
    return 0;
}

int sealpost_ack(sealpost_agent *agent, const char *id)
{
    return run(agent, "ack", json_pack("{s:[s]}", "ids", id), -1);
}

const char *sealpost_error(const sealpost_agent *agent)
{
    return agent->error;
}
