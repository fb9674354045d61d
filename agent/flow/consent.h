/*
 * consent - may this agent talk to me without asking?  Docs: cli, contact and consent; first match
 * rules.
 */
#ifndef FLOW_CONSENT_H
#define FLOW_CONSENT_H
#include "agent/flow/core.h"
#include "agent/store/peers.h"
#include "agent/store/sessions.h"

enum consent_verdict { CONSENT_SILENT, CONSENT_HOLD, CONSENT_GIVE };

struct consent_facts {
    enum peer_pin pin;
    enum peer_policy policy;
    bool shares_circle; /* judged from our own copy of the log */
    bool leads;  /* it is owner or admin of a group that I have joined */
    bool agreed; /* it takes the place of a session, as was said in there */
    bool live; /* somebody waits at a screen: only what a person or accept_names says counts */
    const char *name; /* that the log binds; as our own pin has it */
};

enum consent_verdict agent_consent_judge(const struct agent_settings *settings,
                                         const struct consent_facts *facts);
/* The same for a request that is here; raises the alarm `not_verified` where that is the reason. */
enum consent_verdict agent_consent(struct agent *agent, const struct profile_peer *peer,
                                   const struct profile_session *session);

/* Does one of the globs (words) name it? */
bool agent_name_among(const char *globs, const char *name);

#endif
