#include "agent/api/object.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/text.h"
#include "shared/json/object.h"
#include "shared/trust/group_chain.h"

#define TCP_PREFIX "tcp://"

const char *object_out_state(enum outgoing_state state)
{
    switch (state) {
    case OUT_QUEUED:
        return "queued";
    case OUT_STORED:
        return "stored";
    case OUT_DELIVERED:
        return "delivered";
    case OUT_EXPIRED:
        return "expired";
    case OUT_REFUSED:
        return "refused";
    case OUT_DROPPED:
        return "dropped";
    }
    return "queued";
}

static void add_step(json_t *steps, const char *state, uint64_t at_ms, const char *by,
                     const char *note);

static const char *waits_text(enum outgoing_waits waits)
{
    switch (waits) {
    case WAITS_FOR_NOTHING:
        return NULL;
    case WAITS_FOR_BROKER:
        return "broker";
    case WAITS_FOR_APPROVAL:
        return "approval";
    case WAITS_FOR_CONSENT:
        return "consent";
    case WAITS_FOR_RECIPIENT:
        return "recipient";
    case WAITS_FOR_EPOCH:
        return "epoch";
    }
    return NULL;
}

const char *object_in_state(enum incoming_state state)
{
    switch (state) {
    case IN_HELD:
        return "held";
    case IN_NEW:
        return "new";
    case IN_HANDED:
        return "handed";
    case IN_DONE:
        return "done";
    case IN_FAILED:
        return "failed";
    }
    return "new";
}

const char *object_trust(enum peer_trust trust)
{
    switch (trust) {
    case TRUST_NEW:
        return "new";
    case TRUST_PINNED:
        return "pinned";
    case TRUST_VERIFIED:
        return "verified";
    case TRUST_CHANGED:
        return "changed";
    case TRUST_BLOCKED:
        return "blocked";
    case TRUST_REVOKED:
        return "revoked";
    }
    return "new";
}

struct bytes object_address(struct bytes endpoint)
{
    size_t skip = strlen(TCP_PREFIX);

    if (endpoint.len >= skip && memcmp(endpoint.at, TCP_PREFIX, skip) == 0)
        return bytes_of(endpoint.at + skip, endpoint.len - skip);
    return endpoint;
}

/* "a b c" -> ["a","b","c"] */
static json_t *words(struct bytes text)
{
    json_t *list = json_array();
    size_t at = 0;

    while (at < text.len) {
        const uint8_t *from = text.at + at;
        const uint8_t *end = memchr(from, ' ', text.len - at);
        size_t len = end ? (size_t)(end - from) : text.len - at;

        if (len)
            json_array_append_new(list, json_stringn((const char *)from, len));
        at += len + 1;
    }
    return list;
}

static void put_fingerprint(json_t *object, const char *key, const uint8_t hash[static 32])
{
    out_fingerprint(object, key, hash);
}

/* ------------------------------------------------------------------ agents */

static json_t *card_json(const struct card_info *card)
{
    json_t *object = json_object(), *suites = json_array();

    for (unsigned bit = 0; bit < 8; bit++) {
        char text[8];

        snprintf(text, sizeof text, "0x%02x", bit + 1);
        if (card->suites >> bit & 1)
            json_array_append_new(suites, json_string(text));
    }
    out_number(object, "gen", card->gen);
    out_bytes_text(object, "description", card->description);
    out_take(object, "methods", words(card->methods));
    out_bytes_text(object, "schedule", card->schedule);
    out_take(object, "suites", suites);
    out_text(object, "schema_min", "1.0");
    out_text(object, "schema_max", "1.0");
    out_time(object, "created_at", card->created_ms);
    return object;
}

static const char *self_state(enum self_state state)
{
    switch (state) {
    case SELF_PENDING:
        return "pending";
    case SELF_ACTIVE:
        return "active";
    case SELF_REVOKED:
        return "revoked";
    }
    return "pending";
}

static json_t *self_fields(const char *type, const struct agent_self *self, const char *profile)
{
    json_t *object = out_object(type);

    out_bytes_text(object, "agent", self->name);
    out_text(object, "profile", profile);
    put_fingerprint(object, "fingerprint", self->aid);
    out_bytes_text(object, "broker", object_address(self->endpoint));
    out_bytes_text(object, "broker_name", self->broker_name);
    put_fingerprint(object, "root", self->root_id);
    out_take(object, "circles", words(self->circles));
    out_text(object, "state", self_state(self->state));
    out_time(object, "certificate_expires_at", self->certificate_expires_ms);
    return object;
}

json_t *object_joined(const struct agent_self *self, const char *profile)
{
    return self_fields("joined", self, profile);
}

json_t *object_agent_self(const struct agent_self *self, const char *profile, const char *dir)
{
    json_t *object = self_fields("agent_self", self, profile);

    out_hex(object, "aid", self->aid, sizeof self->aid);
    out_take(object, "card", card_json(&self->card));
    out_text(object, "dir", dir);
    return object;
}

json_t *object_identity(const struct agent_self *self, const uint8_t invite_key[32])
{
    json_t *object = self_fields("identity", self, NULL);

    json_object_del(object, "profile");
    out_hex(object, "aid", self->aid, sizeof self->aid);
    out_hex(object, "invite_key", invite_key, 32);
    return object;
}

json_t *object_agent_self_of_identity(json_t *identity, const char *profile, const char *dir)
{
    static const char *const copied[] = { "fingerprint",
                                          "broker",
                                          "broker_name",
                                          "root",
                                          "circles",
                                          "state",
                                          "certificate_expires_at",
                                          "aid" };
    json_t *object = out_object("agent_self");

    json_object_set(object, "agent", json_object_get(identity, "agent"));
    out_text(object, "profile", profile);
    for (size_t i = 0; i < sizeof copied / sizeof copied[0]; i++) {
        json_t *value = json_object_get(identity, copied[i]);

        out_take(object, copied[i], json_incref(value));
    }
    out_null(object, "card");
    out_text(object, "dir", dir);
    return object;
}

json_t *object_peer(const struct peer_info *peer)
{
    json_t *object = out_object("peer");

    out_bytes_text(object, "name", peer->name);
    put_fingerprint(object, "fingerprint", peer->aid);
    out_hex(object, "aid", peer->aid, sizeof peer->aid);
    out_take(object, "circles", words(peer->circles));
    out_text(object, "trust", object_trust(peer->trust));
    out_take(object, "online", peer->presence_known ? json_boolean(peer->online) : NULL);
    out_time(object, "seen_at", peer->seen_ms);
    out_hex(object, "session", peer->has_session ? peer->session : NULL, sizeof peer->session);
    out_number(object, "unread", peer->unread);
    out_number(object, "outgoing", peer->outgoing);
    out_take(object, "card", peer->has_card ? card_json(&peer->card) : NULL);
    out_time(object, "certificate_expires_at", peer->certificate_expires_ms);
    return object;
}

/* ------------------------------------------------------------------ sessions and trust */

const char *object_phase(enum session_phase phase)
{
    switch (phase) {
    case PHASE_ASKED:
        return "asked";
    case PHASE_WAS_ASKED:
        return "was_asked";
    case PHASE_ACTIVE:
        return "active";
    case PHASE_CLOSED:
        return "closed";
    case PHASE_REJECTED:
        return "rejected";
    case PHASE_EXPIRED:
        return "expired";
    case PHASE_ROTATED:
        return "rotated";
    case PHASE_BROKEN:
        return "broken";
    }
    return "broken";
}

json_t *object_session(const struct session_info *session)
{
    json_t *object = out_object("session");
    char suite[8];

    snprintf(suite, sizeof suite, "0x%02x", session->suite);
    out_hex(object, "id", session->id, sizeof session->id);
    out_bytes_text(object, "peer", session->peer);
    put_fingerprint(object, "fingerprint", session->aid);
    out_text(object, "state", object_phase(session->phase));
    out_text(object, "mode", session->live ? "live" : "mailbox");
    out_text(object, "suite", suite);
    out_number(object, "sent_seq", session->sent_seq);
    out_number(object, "received_seq", session->received_seq);
    out_number(object, "skipped_keys", session->skipped_keys);
    out_time(object, "opened_at", session->opened_ms);
    out_time(object, "last_at", session->last_ms);
    out_time(object, "expires_at", session->expires_ms);
    out_text(object, "reason", session->reason);
    return object;
}

/* "+team": as it is addressed. */
static void put_group_name(json_t *object, const char *key, struct bytes name)
{
    char text[NAME_MAX_LEN + 2];

    snprintf(text, sizeof text, "+%.*s", (int)name.len, (const char *)name.at);
    out_text(object, key, text);
}

static bool is_text(struct bytes body)
{
    return utf8_valid(body) && !(body.len && memchr(body.at, 0, body.len));
}

json_t *object_request(const struct request_info *request, bool text)
{
    json_t *object = out_object("request");

    out_text(object, "direction", request->incoming ? "in" : "out");
    if (request->group)
        put_group_name(object, "peer", request->title);
    else
        out_bytes_text(object, "peer", request->peer);
    out_take(object, "inviter",
             request->group ? json_stringn((const char *)request->peer.at, request->peer.len)
                            : NULL);
    put_fingerprint(object, "fingerprint", request->aid);
    out_take(object, "circles", words(request->circles));
    out_text(object, "mode", request->group ? "group" : request->live ? "live" : "mailbox");
    out_number(object, "size", request->body.len);
    out_take(object, "text",
             text && is_text(request->body) ? json_stringn(
                 request->body.len ? (const char *)request->body.at : "", request->body.len)
                                            : NULL);
    out_hex(object, "session", request->session, sizeof request->session);
    out_time(object, "made_at", request->made_ms);
    out_time(object, "expires_at", request->expires_ms);
    out_text(object, "trust", object_trust(request->trust));
    return object;
}

static const char *event_word(enum log_kind kind)
{
    switch (kind) {
    case LOG_ENROLLED:
        return "enrolled";
    case LOG_CARD:
        return "card";
    case LOG_REVOKED:
        return "revoked";
    }
    return "card";
}

static const char *group_state(const struct group_info *group)
{
    switch (group->stage) {
    case IN_GROUP_INVITED:
        return "invited";
    case IN_GROUP_JOINED:
        return group->stale ? "stale" : "joined";
    case IN_GROUP_LEFT:
        return "left";
    case IN_GROUP_CLOSED:
        return "closed";
    case IN_GROUP_FORKED:
        return "forked";
    }
    return "left";
}

static const char *role_word(uint8_t role)
{
    return role == ROLE_OWNER ? "owner" : role == ROLE_ADMIN ? "admin" : "member";
}

json_t *object_group(const struct group_info *group)
{
    json_t *object = out_object("group");

    put_group_name(object, "name", group->name);
    out_hex(object, "id", group->id, sizeof group->id);
    out_text(object, "state", group_state(group));
    out_text(object, "role", role_word(group->role));
    out_number(object, "epoch", group->epoch);
    out_take(object, "members", json_array());
    out_hex(object, "head", group->head, sizeof group->head);
    out_bool(object, "strict", group->strict);
    out_bool(object, "keyed", group->keyed);
    out_bool(object, "silent", group->silent);
    out_number(object, "pending", group->pending);
    out_number(object, "keys_waiting", group->keys_waiting);
    out_time(object, "changed_at", group->changed_ms);
    return object;
}

void object_group_member(json_t *group, const struct group_member_info *member)
{
    json_t *object = json_object();

    out_take(object, "name",
             member->name.len ? json_stringn((const char *)member->name.at, member->name.len)
                              : NULL);
    put_fingerprint(object, "fingerprint", member->aid);
    out_text(object, "role", role_word(member->role));
    out_text(object, "state", member->joined ? "joined" : "invited");
    json_array_append_new(json_object_get(group, "members"), object);
}

void object_trace_member(json_t *trace, const struct signed_info *info)
{
    char name[NAME_MAX_LEN + 1];

    snprintf(name, sizeof name, "%.*s", (int)info->name.len, (const char *)info->name.at);
    if (info->at_ms)
        add_step(json_object_get(trace, "steps"), "delivered", info->at_ms, "recipient", name);
    else
        json_array_append_new(json_object_get(trace, "missing"), json_string(name));
}

json_t *object_log_entry(const struct log_info *entry)
{
    json_t *object = out_object("log_entry");

    out_number(object, "index", entry->index);
    out_time(object, "at", entry->at_ms);
    out_text(object, "event", event_word(entry->kind));
    out_bytes_text(object, "agent", entry->name);
    put_fingerprint(object, "fingerprint", entry->aid);
    out_take(object, "circles", words(entry->circles));
    out_number_or_null(object, "gen", entry->gen > 0, entry->gen);
    out_hex(object, "head", entry->head, sizeof entry->head);
    return object;
}

json_t *object_alarm(const struct alarm_info *alarm, const char *message, const char *hint)
{
    json_t *object = out_object("alarm");

    out_bytes_text(object, "code", alarm->code);
    out_take(object, "peer",
             alarm->peer.len ? json_stringn((const char *)alarm->peer.at, alarm->peer.len) : NULL);
    out_text(object, "message", message);
    out_text(object, "hint", hint);
    return object;
}

json_t *object_receipt(const uint8_t id[static 16], struct bytes to, enum outgoing_state state,
                       uint64_t at_ms)
{
    json_t *object = out_object("receipt");

    out_hex(object, "id", id, 16);
    out_bytes_text(object, "to", to);
    out_text(object, "state", object_out_state(state));
    out_time(object, "at", at_ms);
    return object;
}

json_t *object_link(bool up, struct bytes broker, const char *reason)
{
    json_t *object = out_object("link");

    out_text(object, "state", up ? "up" : "down");
    out_bytes_text(object, "broker", broker);
    out_text(object, "reason", reason);
    return object;
}

json_t *object_check(const char *name, const char *result, const char *detail, const char *hint)
{
    json_t *object = out_object("check");

    out_text(object, "name", name);
    out_text(object, "result", result);
    out_text(object, "detail", detail);
    out_text(object, "hint", hint && *hint ? hint : NULL);
    return object;
}

json_t *object_left(const struct agent_self *self, bool erased)
{
    json_t *object = out_object("left");

    out_bytes_text(object, "agent", self->name);
    out_bool(object, "erased", erased);
    return object;
}

/* ------------------------------------------------------------------ mail */

/* Exactly one of the two is set: readers must never guess an encoding. */
static void put_body(json_t *object, struct bytes body)
{
    bool text = is_text(body);

    out_take(object, "body", text ? json_stringn((const char *)body.at, body.len) : NULL);
    if (text)
        out_null(object, "body_b64");
    else
        out_b64(object, "body_b64", body);
}

/* The default name of a message is its id. */
static void put_key(json_t *object, const uint8_t id[static 16])
{
    out_hex(object, "key", id, 16);
    out_null(object, "trace");
}

static void outgoing_fields(json_t *object, const struct outgoing_info *info)
{
    out_hex(object, "id", info->id, sizeof info->id);
    if (info->has_group) {
        put_group_name(object, "to", info->to);
        out_null(object, "to_fingerprint");
    } else {
        out_bytes_text(object, "to", info->to);
        put_fingerprint(object, "to_fingerprint", info->to_aid);
    }
    out_text(object, "state", object_out_state(info->state));
    out_text(object, "waits_for", waits_text(info->waits_for));
    out_text(object, "reason", info->reason);
    out_bool(object, "duplicate", false);
    out_null(object, "retry_of");
    put_key(object, info->id);
    out_hex(object, "reply_to", info->has_reply_to ? info->reply_to : NULL, 16);
    out_hex(object, "thread", info->thread, sizeof info->thread);
    out_bytes_text(object, "media_type", info->media_type);
    out_number(object, "size", info->body.len);
    out_take(object, "files", json_array());
    out_number(object, "attempts", info->attempts);
    out_time(object, "next_try_at", info->next_try_ms);
    out_time(object, "queued_at", info->queued_ms);
    out_time(object, "stored_at", info->stored_ms);
    out_time(object, "delivered_at", info->delivered_ms);
    out_time(object, "expires_at", info->expires_ms);
    out_number(object, "recipients", info->has_group ? info->recipients : 1);
    out_number(object, "delivered_to",
               info->has_group ? info->delivered_to : info->state == OUT_DELIVERED);
    out_null(object, "warning");
}

json_t *object_outgoing(const struct outgoing_info *info, enum object_detail detail)
{
    json_t *object = out_object("outgoing");

    outgoing_fields(object, info);
    if (detail == OBJECT_BODY)
        put_body(object, info->body);
    return object;
}

static void put_schema(json_t *object, uint64_t schema)
{
    char text[48];

    /* a plain number is the first form: MAJOR alone */
    snprintf(text, sizeof text, "%" PRIu64 ".%" PRIu64, schema < 256 ? schema : schema >> 8,
             schema < 256 ? 0 : schema & 0xff);
    out_text(object, "schema", text);
}

static void incoming_fields(json_t *object, const struct incoming_info *info, bool body)
{
    out_hex(object, "id", info->id, sizeof info->id);
    out_hex(object, "thread", info->thread, sizeof info->thread);
    out_hex(object, "reply_to", info->has_reply_to ? info->reply_to : NULL, 16);
    out_bytes_text(object, "from", info->from);
    put_fingerprint(object, "from_fingerprint", info->from_aid);
    if (info->has_group)
        put_group_name(object, "group", info->group_name);
    else
        out_null(object, "group");
    out_text(object, "trust", object_trust(info->trust));
    out_bool(object, "first_contact", info->first_contact);
    out_time(object, "sent_at", info->sent_ms);
    out_time(object, "stored_at", info->stored_ms);
    out_time(object, "received_at", info->received_ms);
    out_time(object, "expires_at", info->expires_ms);
    out_text(object, "state", object_in_state(info->state));
    out_bool(object, "again", info->again);
    out_bytes_text(object, "media_type", info->media_type);
    out_number(object, "size", info->body.len);
    if (body)
        put_body(object, info->body);
    out_take(object, "files", json_array());
    put_key(object, info->id);
    out_number(object, "hops", 0);
    out_bool(object, "wake", info->wake);
    put_schema(object, info->schema);
    out_null(object, "warning");
    out_hex(object, "session", info->session, sizeof info->session);
    out_number(object, "seq", info->seq);
    out_hex(object, "digest", info->digest, sizeof info->digest);
    out_number(object, "tries", info->tries);
}

json_t *object_incoming(const struct incoming_info *info, enum object_detail detail)
{
    json_t *object = out_object(detail == OBJECT_BODY ? "message" : "header");

    incoming_fields(object, info, detail == OBJECT_BODY);
    return object;
}

/* ------------------------------------------------------------------ trace */

static void add_step(json_t *steps, const char *state, uint64_t at_ms, const char *by,
                     const char *note)
{
    json_t *step = json_object();

    out_text(step, "state", state);
    out_time(step, "at", at_ms);
    out_text(step, "by", by);
    out_text(step, "note", note);
    json_array_append_new(steps, step);
}

/* Where it was numbered: its session, or its group; NULL: nowhere yet. */
static const uint8_t *scope_of(const struct outgoing_info *info)
{
    if (info->has_group)
        return info->seq > 0 ? info->group : NULL;
    return info->has_session ? info->session : NULL;
}

static json_t *steps_out(const struct outgoing_info *info)
{
    const uint8_t *scope = scope_of(info);
    json_t *steps = json_array();
    char note[64], number[9];

    add_step(steps, "queued", info->queued_ms, "agent", NULL);
    if (info->stored_ms) {
        hex_encode(number, scope ? scope : info->session, 4);
        snprintf(note, sizeof note, "%s %s, number %" PRIu64, info->has_group ? "group" : "session",
                 number, info->seq);
        add_step(steps, "stored", info->stored_ms, "broker", scope ? note : NULL);
    }
    if (info->state == OUT_DELIVERED && !info->has_group)
        add_step(steps, "delivered", info->delivered_ms, "recipient", NULL);
    if (info->state == OUT_EXPIRED)
        add_step(steps, "expired", info->ended_ms, info->stored_ms ? "broker" : "agent",
                 info->reason);
    if (info->state == OUT_REFUSED)
        add_step(steps, "refused", info->ended_ms, info->stored_ms ? "recipient" : "broker",
                 info->reason);
    if (info->state == OUT_DROPPED)
        add_step(steps, "dropped", info->ended_ms, "agent", info->reason);
    return steps;
}

json_t *object_trace_out(const struct outgoing_info *info, uint64_t peer_seen_ms)
{
    json_t *object = out_object("trace");

    outgoing_fields(object, info);
    out_text(object, "direction", "out");
    out_hex(object, "session", scope_of(info), 16);
    out_number_or_null(object, "seq", info->seq > 0, info->seq);
    out_hex(object, "digest", info->seq > 0 ? info->digest : NULL, 32);
    out_null(object, "position");
    out_time(object, "peer_seen_at", peer_seen_ms);
    out_take(object, "steps", steps_out(info));
    out_take(object, "missing", json_array());
    return object;
}

json_t *object_trace_in(const struct incoming_info *info, uint64_t peer_seen_ms)
{
    json_t *object = out_object("trace"), *steps = json_array();

    incoming_fields(object, info, false);
    add_step(steps, "queued", info->sent_ms, "agent", NULL);
    add_step(steps, "stored", info->stored_ms, "broker", NULL);
    add_step(steps, "delivered", info->received_ms, "recipient", NULL);
    out_text(object, "direction", "in");
    out_number(object, "position", info->position);
    out_time(object, "peer_seen_at", peer_seen_ms);
    out_take(object, "steps", steps);
    return object;
}
