/* layers: agent_api */
#include <criterion/criterion.h>
#include <string.h>

#include "agent/api/failure.h"

/* Table of the manual: what the core says, and what scripts see. */
static const struct {
    enum err err;
    int exit;
    const char *code, *wire;
} cases[] = {
    { ERR_LOCKED, 1, "profile_busy", NULL },
    { ERR_LOCK_CONTENTION, 1, "profile_busy", "A2A_LOCK_CONTENTION" },
    { ERR_STORE, 1, "store_error", NULL },
    { ERR_STORE_FULL, 1, "disk_full", NULL },
    { ERR_READ_ONLY, 1, "read_only", NULL },
    { ERR_IO, 1, "store_error", NULL },
    { ERR_FILESYSTEM, 1, "bad_filesystem", NULL },
    { ERR_INTERNAL, 1, "internal", "A2A_INTERNAL" },
    { ERR_SCHEMA, 1, "internal", "A2A_SCHEMA" },
    { ERR_UNREACHABLE, 3, "broker_unreachable", NULL },
    { ERR_AUTH, 4, "not_joined", "A2A_AUTH" },
    { ERR_CERT_REVOKED, 4, "revoked", "A2A_CERT_REVOKED" },
    { ERR_PENDING_APPROVAL, 4, "pending_approval", "A2A_PENDING_APPROVAL" },
    { ERR_TOKEN, 4, "invite_refused", "A2A_TOKEN" },
    { ERR_NAME_TAKEN, 4, "name_taken", "A2A_NAME_TAKEN" },
    { ERR_EXISTS, 4, "profile_exists", NULL },
    { ERR_QUOTA_SENDER, 4, "quota", "A2A_QUOTA_SENDER" },
    { ERR_QUOTA_MAILBOX, 4, "quota", "A2A_QUOTA_MAILBOX" },
    { ERR_QUOTA, 4, "quota", "A2A_QUOTA" },
    { ERR_BUSY, 4, "busy", "A2A_BUSY" },
    { ERR_RATE, 4, "busy", "A2A_RATE" },
    { ERR_DISK, 4, "broker_disk", "A2A_DISK" },
    { ERR_TOO_LARGE, 4, "too_large", "A2A_TOO_LARGE" },
    { ERR_UNSAFE, 4, "unsafe_permissions", NULL },
    { ERR_VERSION, 4, "version", "A2A_VERSION" },
    { ERR_STALE_TS, 4, "clock", "A2A_STALE_TS" },
    { ERR_CERT_EXPIRED, 4, "certificate_expired", "A2A_CERT_EXPIRED" },
    { ERR_EXPIRED, 5, "expired", "A2A_EXPIRED" },
    { ERR_UNKNOWN_AGENT, 6, "unknown_agent", "A2A_UNKNOWN_AGENT" },
    { ERR_NOT_FOUND, 6, "unknown_message", NULL },
    { ERR_SESSION_NOT_FOUND, 6, "no_session", "A2A_SESSION_NOT_FOUND" },
    { ERR_KEY_CHANGED, 7, "key_changed", "A2A_KEY_CHANGED" },
    { ERR_CERT_INVALID, 7, "certificate_invalid", NULL },
    { ERR_SPLIT_VIEW, 7, "split_view", "A2A_SPLIT_VIEW" },
    { ERR_IMPERSONATION, 7, "impersonation", "A2A_IMPERSONATION" },
    { ERR_ROLLBACK, 7, "profile_restored", "A2A_ROLLBACK" },
    { ERR_SEQ_CONFLICT, 7, "profile_restored", "A2A_SEQ_CONFLICT" },
    /* without a row of their own: the name in lower case */
    { ERR_SEQ_GAP, 1, "seq_gap", "A2A_SEQ_GAP" },
    { ERR_NO_PREKEYS, 1, "no_prekeys", "A2A_NO_PREKEYS" },
};

Test(api_failure, of_every_error_in_the_table)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct failure failure;

        failure_of_err(&failure, cases[i].err, "WHAT");
        cr_expect_eq(failure.exit, cases[i].exit, "%s", cases[i].code);
        cr_expect_str_eq(failure.code, cases[i].code);
        cr_expect_eq(strncmp(failure.message, "WHAT: ", 6), 0, "%s", cases[i].code);
        cr_expect_eq(failure.wire == NULL, cases[i].wire == NULL, "%s", cases[i].code);
        if (failure.wire && cases[i].wire)
            cr_expect_str_eq(failure.wire, cases[i].wire);
    }
}

Test(api_failure, survives_the_way_to_another_process)
{
    struct failure before, after;
    json_t *object;

    failure_set(&before, 4, "quota", "sealpost outbox", "broker: %s", "limit reached");
    strcpy(before.peer, "reviewer");
    strcpy(before.id, "a5c77cca2bcc94aba60bc403b1c26501");
    before.wire = err_name(ERR_QUOTA_SENDER);
    before.retry_ms = 4000;
    object = failure_to_json(&before);
    failure_from_json(&after, object);
    json_decref(object);
    cr_expect_eq(after.exit, 4);
    cr_expect_str_eq(after.code, "quota");
    cr_expect_str_eq(after.message, "broker: limit reached");
    cr_expect_str_eq(after.hint, "sealpost outbox");
    cr_expect_str_eq(after.peer, "reviewer");
    cr_expect_str_eq(after.id, before.id);
    cr_expect_str_eq(after.wire, "A2A_QUOTA_SENDER");
    cr_expect_eq(after.retry_ms, 4000);
}

Test(api_failure, of_nonsense_is_internal)
{
    json_t *object = json_pack("{s:i, s:b}", "code", 7, "message", 1);
    struct failure failure;

    failure_from_json(&failure, object);
    json_decref(object);
    cr_expect_eq(failure.exit, 1);
    cr_expect_str_eq(failure.code, "internal");
    cr_expect_null(failure.wire);
}
