#include "broker/controller/controller.h"
#include "broker/flow/control.h"
#include "broker/flow/revoke.h"
#include "broker/store/directory.h"
#include "shared/base/text.h"
#include "broker/store/invites.h"

/* What the operator may say; 0: no such reason.  Leaving is the agent's own. */
static uint8_t reason_of(const char *word)
{
    static const uint8_t said[]
        = { REVOKED_BY_OPERATOR, REVOKED_KEY_LOST, REVOKED_KEY_STOLEN, REVOKED_REPLACED };

    if (!word)
        return REVOKED_BY_OPERATOR;
    for (size_t i = 0; i < sizeof said; i++)
        if (strcmp(word, revocation_word(said[i])) == 0)
            return said[i];
    return 0;
}

/* The last one of that name that is revoked. */
static const struct agent_row *revoked_before(struct store *store, const char *name)
{
    const struct agent_row *found = NULL;

    for (size_t i = 0; i < store_agent_count(store); i++) {
        const struct agent_row *agent = store_agent_at(store, i);

        if (agent->state == AGENT_REVOKED && strcmp(agent->name, name) == 0)
            found = agent;
    }
    return found;
}

static void refuse_name(struct command *command, const char *name)
{
    if (revoked_before(command->flow->store, name))
        command_fail(command, 4, "revoked", NULL, "agent \"%.64s\" is revoked already", name);
    else
        command_unknown_agent(command, name);
}

enum err control_revoke(struct command *command)
{
    const char *name = command_arg(command, 0), *note = command_text(command, "note");
    const char *fingerprint = command_text(command, "fingerprint");
    uint8_t reason = reason_of(command_text(command, "reason"));
    struct store *store = command->flow->store;
    const struct agent_row *agent = store_agent_by_name(store, bytes_of_text(name));
    char shown[FINGERPRINT_SIZE];
    enum err e;

    if (!reason) {
        command_fail(command, 2, "bad_value", NULL,
                     "--reason is one of operator, lost, stolen, replaced");
        return ERR_OK;
    }
    if (note && strlen(note) >= NOTE_SIZE) {
        command_fail(command, 2, "bad_value", NULL, "--note is longer than %d bytes",
                     NOTE_SIZE - 1);
        return ERR_OK;
    }
    if (!agent) {
        refuse_name(command, name);
        return ERR_OK;
    }
    fingerprint_text(shown, agent->aid);
    if (fingerprint && strcmp(fingerprint, shown) != 0) { /* not the one that was asked about */
        command_fail(command, 4, "refused", "sealpostctl agents",
                     "agent \"%.64s\" has another fingerprint now, %s", name, shown);
        return ERR_OK;
    }
    e = revoke_agent(command->flow, command->reply, agent->agent_id, reason, command->who,
                     note ? note : "");
    return e == ERR_OK ? control_agent_put(command, agent) : e;
}
