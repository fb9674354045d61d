/* What a person who asks for a check wants to know and nobody needs otherwise. */
#include "agent/store/check.h"

#include <stdio.h>

#include "agent/flow/core.h"

enum err agent_check_store(struct agent *agent, struct agent_checked *out)
{
    struct agent_store_checked checked;
    enum err e;

    *out = (struct agent_checked){ 0 };
    if (agent->broken != ERR_OK)
        return agent->broken;
    e = agent_store_check(agent->store, &checked);
    out->values = checked.values;
    snprintf(out->why, sizeof out->why, "%s", checked.why);
    return e;
}
