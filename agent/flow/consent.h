/*
 * consent - may this agent talk to me without asking?  Docs: cli, contact and consent; first match
 * rules.
 */
#ifndef FLOW_CONSENT_H
#define FLOW_CONSENT_H
#include "agent/flow/agent.h"
#include "agent/store/peers.h"

enum consent_verdict { CONSENT_SILENT, CONSENT_HOLD, CONSENT_GIVE };

struct consent_facts {
    enum peer_pin pin;
    enum peer_policy policy;
    bool shares_circle; /* judged from our own copy of the log */
    bool live;          /* somebody waits at a screen: only what a person or accept_names says counts */
    const char *name;   /* that the log binds; as our own pin has it */
};

enum consent_verdict agent_consent_judge(enum agent_consent setting,
                                         const struct consent_facts *facts);

#endif
