/*
 * revoke - the end of an agent, by the operator or by itself (docs/protocol.md 2.3, 2.4).
 */
#include <stdio.h>

#include "broker/controller/inside.h"
#include "broker/store/audit.h"
#include "shared/trust/enrol.h"
#include "shared/wire/limit.h"

const char *revocation_word(uint8_t reason)
{
    static const char *const words[] = { [REVOKED_BY_OPERATOR] = "operator",
                                         [REVOKED_KEY_LOST] = "lost",
                                         [REVOKED_KEY_STOLEN] = "stolen",
                                         [REVOKED_REPLACED] = "replaced",
                                         [REVOKED_LEFT] = "left" };

    return reason < sizeof words / sizeof words[0] && words[reason] ? words[reason] : "-";
}

enum err controller_revoke(struct controller *controller, int64_t agent_id,
                           const struct revocation *revocation, uint64_t now_ms, const char *who,
                           const char *note)
{
    const struct agent_row *agent = store_agent(controller->store, agent_id);
    const char *word = revocation_word(revocation->reason);
    uint8_t extra[REVOCATION_SIZE];
    char detail[320];
    enum err e;

    if (!agent)
        return ERR_NOT_FOUND;
    if (agent->state == AGENT_REVOKED)
        return ERR_CERT_REVOKED;
    revocation_encode(extra, revocation);
    e = log_add(controller, ENTRY_REVOKE, agent, bytes_of(extra, sizeof extra), bytes_of(NULL, 0),
                NULL, now_ms);
    if (e == ERR_OK)
        e = store_agent_revoke(controller->store, agent_id, now_ms);
    if (e != ERR_OK)
        return e;
    snprintf(detail, sizeof detail, "%s%s%s", word, *note ? ": " : "", note);
    return store_audit(controller->store, now_ms, who, "agent.revoke", agent->name, detail);
}

enum err controller_leave_check(struct controller *controller, int64_t agent_id, uint64_t ts_ms,
                                const uint8_t sig[static 64], uint64_t now_ms)
{
    const struct agent_row *agent = store_agent(controller->store, agent_id);
    uint64_t apart = ts_ms > now_ms ? ts_ms - now_ms : now_ms - ts_ms;

    if (!agent)
        return ERR_AUTH;
    if (apart > LIMIT_FRESH_MS)
        return ERR_STALE_TS;
    return leave_verify(sig, agent->identity_key, controller_root_id(controller), agent->card_hash,
                        ts_ms);
}
