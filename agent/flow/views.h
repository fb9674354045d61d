/*
 * views - what the programs see: messages, peers, counts, read out of the store.
 */
#ifndef FLOW_VIEWS_H
#define FLOW_VIEWS_H
#include "agent/flow/core.h"
#include "agent/flow/envelope.h"
#include "agent/store/inbox.h"
#include "agent/store/log.h"
#include "agent/store/outbox.h"
#include "agent/store/peers.h"

/* Behind the info structs that are filled through `out`. */
struct agent_views {
    struct buf out, in, credential, broker_name;
    char circles[528], name[65], from[65], from_group[65], session_peer[65], group_name[65];
};

struct agent_views *agent_views_of(struct agent *agent);
void agent_views_free(struct agent *agent);

/* "id:…", at least 16 characters of it.  ERR_UNKNOWN_AGENT. */
enum err agent_find_by_fingerprint(struct agent *agent, const char *text,
                                   struct directory_entry *entry);

enum peer_trust agent_trust_of(const struct profile_peer *peer);

/* What this agent calls the group, and its id; of one that it has forgotten "#" and 8 digits.
 * False: the scope is none. */
bool agent_group_label(struct agent *agent, int64_t group_id, uint8_t gid[static 16],
                       char name[static 65]);

#endif
