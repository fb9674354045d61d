#include "agent/api/failure.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/bytes.h"
#include "shared/base/text.h"

/* What the core reports, as people and scripts see it.  Codes are fixed, texts are not. */
static const struct row {
    enum err err;
    int exit;
    const char *code;
    const char *text; /* NULL: the error's own */
    const char *hint;
} rows[] = {
    { ERR_LOCKED, 1, "profile_busy", NULL, "wait, or end that process" },
    { ERR_LOCK_CONTENTION, 1, "profile_busy", "another program uses this identity at the broker",
      "wait 45 s, or end that program" },
    { ERR_STORE, 1, "store_error", NULL, "sealpost status" },
    { ERR_CORRUPT, 1, "store_error", "agent.db or agent.key is damaged", "sealpost status" },
    { ERR_STORE_NEWER, 1, "store_error", "agent.db was made by a newer program",
      "upgrade sealpost" },
    { ERR_IO, 1, "store_error", NULL, "look at the disk, then: sealpost status --check" },
    { ERR_READ_ONLY, 1, "read_only", NULL,
      "make it writable for this account, or set SEALPOST_HOME to a directory that is" },
    { ERR_STORE_FULL, 1, "disk_full", "no space on this disk", "free space" },
    { ERR_FILESYSTEM, 1, "bad_filesystem", "the profile lies on a network file system",
      "set SEALPOST_HOME to a local directory" },
    { ERR_NOMEM, 1, "internal", NULL, NULL },
    { ERR_INTERNAL, 1, "internal", NULL, "report it with the output of -v" },
    { ERR_SCHEMA, 1, "internal", NULL, "report it with the output of -v" },
    { ERR_UNREACHABLE, 3, "broker_unreachable", NULL, "sealpost status" },
    { ERR_PASSPHRASE, 4, "passphrase_wrong", NULL, "try again, or see SEALPOST_PASSPHRASE_FILE" },
    { ERR_AUTH, 4, "not_joined", "the broker does not know this agent's key",
      "ask the operator for an invite, then: sealpost join INVITE" },
    { ERR_CERT_REVOKED, 4, "revoked", NULL, "ask the operator" },
    { ERR_PENDING_APPROVAL, 4, "pending_approval", NULL,
      "operator: sealpostctl agents --approve NAME" },
    { ERR_TOKEN, 4, "invite_refused", NULL, "operator: sealpostctl invite NAME" },
    { ERR_NAME_TAKEN, 4, "name_taken", NULL, "sealpost join --name OTHER INVITE" },
    { ERR_EXISTS, 4, "profile_exists", NULL, "sealpost join -a OTHER INVITE" },
    { ERR_FORBIDDEN, 4, "refused", NULL, NULL },
    { ERR_BLOCKED, 4, "blocked_by_you", NULL, "sealpost accept PEER" },
    { ERR_NOT_IN_SEND_TO, 4, "not_in_send_to", NULL, "sealpost config send_to" },
    { ERR_QUOTA_SENDER, 4, "quota", NULL, "sealpost outbox" },
    { ERR_QUOTA_MAILBOX, 4, "quota", NULL, "sealpost outbox" },
    { ERR_QUOTA, 4, "quota", NULL, "sealpost outbox" },
    { ERR_BUSY, 4, "busy", NULL, "sealpost outbox" },
    { ERR_RATE, 4, "busy", NULL, "sealpost outbox" },
    { ERR_DISK, 4, "broker_disk", NULL, "operator: sealpostctl status" },
    { ERR_TOO_LARGE, 4, "too_large", NULL, NULL },
    { ERR_UNSAFE, 4, "unsafe_permissions", NULL, "chmod -R go= PROFILE" },
    { ERR_NOT_MEMBER, 4, "not_a_member", NULL, NULL },
    { ERR_EPOCH, 4, "group_stale", NULL, NULL },
    { ERR_VERSION, 4, "version", NULL, "upgrade the older side" },
    { ERR_STALE_TS, 4, "clock", "clocks differ by more than 300 s", "set the clock" },
    { ERR_CERT_EXPIRED, 4, "certificate_expired", NULL, "sealpost status" },
    { ERR_EXPIRED, 5, "expired", NULL, "sealpost outbox" },
    { ERR_UNKNOWN_AGENT, 6, "unknown_agent", NULL, "sealpost peers" },
    { ERR_NOT_FOUND, 6, "unknown_message", NULL, "sealpost inbox --all" },
    { ERR_SESSION_NOT_FOUND, 6, "no_session", NULL, "sealpost sessions" },
    { ERR_KEY_CHANGED, 7, "key_changed", NULL,
      "ask its owner for the fingerprint of the new key, then: sealpost verify PEER FINGERPRINT"
      " --replace" },
    { ERR_NOT_VERIFIED, 7, "not_verified", NULL, "sealpost verify PEER" },
    { ERR_CERT_INVALID, 7, "certificate_invalid", NULL, "sealpost log" },
    { ERR_SPLIT_VIEW, 7, "split_view", NULL, "sealpost log" },
    { ERR_IMPERSONATION, 7, "impersonation", NULL, "sealpost log" },
    { ERR_GROUP_FORK, 7, "group_fork", NULL, "sealpost status" },
    { ERR_ROLLBACK, 7, "profile_restored", "this profile is older than what it already said",
      "if there is no newer copy of this profile: sealpost rotate --all" },
    { ERR_SEQ_CONFLICT, 7, "profile_restored", "this profile is older than what it already said",
      "if there is no newer copy of this profile: sealpost rotate --all" },
};

static const struct row *row_of(enum err e)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].err == e)
            return &rows[i];
    return NULL;
}

/* Arguments and names of files may be any bytes; what is cut is cut between characters. */
static void put_clean(char *to, size_t size, const char *text)
{
    struct buf clean = { 0 };
    size_t len;

    text_escape(&clean, bytes_of_text(text), true);
    len = clean.len < size ? clean.len : size - 1;
    while (len && len < clean.len && (clean.at[len] & 0xc0) == 0x80)
        len--;
    if (len)
        memcpy(to, clean.at, len);
    to[len] = 0;
    buf_free(&clean);
}

void failure_set(struct failure *out, int exit, const char *code, const char *hint,
                 const char *format, ...)
{
    char *text = NULL;
    va_list args;

    *out = (struct failure){ .exit = exit, .retry_ms = -1 };
    snprintf(out->code, sizeof out->code, "%s", code);
    put_clean(out->hint, sizeof out->hint, hint ? hint : "");
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        abort();
    va_end(args);
    put_clean(out->message, sizeof out->message, text);
    free(text);
}

/* "A2A_SEQ_GAP" -> "seq_gap" */
static void code_of_name(char *to, size_t size, enum err e)
{
    const char *name = err_name(e);

    snprintf(to, size, "%s", strncmp(name, "A2A_", 4) == 0 ? name + 4 : name);
    for (; *to; to++)
        *to = (char)tolower((unsigned char)*to);
}

void failure_of_err(struct failure *out, enum err e, const char *what)
{
    const struct row *row = row_of(e);
    char code[32];

    if (row) {
        failure_set(out, row->exit, row->code, row->hint, "%s: %s", what,
                    row->text ? row->text : err_text(e));
    } else {
        code_of_name(code, sizeof code, e);
        failure_set(out, 1, code, NULL, "%s: %s", what, err_text(e));
    }
    if (err_on_wire(e))
        out->wire = err_name(e);
}

bool failure_is_temporary(enum err e)
{
    return e == ERR_QUOTA || e == ERR_QUOTA_SENDER || e == ERR_QUOTA_MAILBOX || e == ERR_BUSY
           || e == ERR_RATE || e == ERR_DISK;
}

static json_t *text_or_null(const char *text)
{
    return text && *text ? json_string(text) : json_null();
}

json_t *failure_to_json(const struct failure *failure)
{
    json_t *object = json_object();

    json_object_set_new(object, "code", json_string(failure->code));
    json_object_set_new(object, "exit", json_integer(failure->exit));
    json_object_set_new(object, "message", text_or_null(failure->message));
    json_object_set_new(object, "hint", text_or_null(failure->hint));
    json_object_set_new(object, "peer", text_or_null(failure->peer));
    json_object_set_new(object, "id", text_or_null(failure->id));
    json_object_set_new(object, "wire", text_or_null(failure->wire));
    json_object_set_new(object, "retry_ms",
                        failure->retry_ms >= 0 ? json_integer(failure->retry_ms) : json_null());
    return object;
}

/* The wire's names are static, so what another process says is looked up here. */
static const char *wire_name(const char *text)
{
    for (int e = 10; text && e < 200; e++)
        if (err_on_wire((enum err)e) && strcmp(err_name((enum err)e), text) == 0)
            return err_name((enum err)e);
    return NULL;
}

void failure_from_json(struct failure *out, json_t *object)
{
    const char *code = json_string_value(json_object_get(object, "code"));
    const char *message = json_string_value(json_object_get(object, "message"));
    const char *hint = json_string_value(json_object_get(object, "hint"));
    const char *peer = json_string_value(json_object_get(object, "peer"));
    const char *id = json_string_value(json_object_get(object, "id"));
    const json_t *retry = json_object_get(object, "retry_ms");
    int exit = (int)json_integer_value(json_object_get(object, "exit"));

    failure_set(out, exit ? exit : 1, code ? code : "internal", hint, "%s",
                message ? message : "the owner of the profile gave no reason");
    snprintf(out->peer, sizeof out->peer, "%s", peer ? peer : "");
    snprintf(out->id, sizeof out->id, "%s", id ? id : "");
    out->wire = wire_name(json_string_value(json_object_get(object, "wire")));
    if (json_is_integer(retry))
        out->retry_ms = json_integer_value(retry);
}
