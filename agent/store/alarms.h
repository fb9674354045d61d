/*
 * alarms - what a person must see; open until cleared.
 */
#ifndef AGENT_STORE_ALARMS_H
#define AGENT_STORE_ALARMS_H
#include "agent/store/store.h"
#include "shared/base/text.h"

struct profile_alarm {
    uint64_t at_ms;
    char code[32], detail[256];
    char peer[NAME_MAX_LEN + 1]; /* empty: none */
};

/* Said once: the same code, peer and detail that is still open is not written again.
 * peer_id, scope_id: 0 for none. */
void profile_alarm_add(struct agent_store *store, const char *code, int64_t peer_id,
                       int64_t scope_id, const char *detail, uint64_t now_ms);

/* Open ones, oldest first; at most `max`. */
size_t profile_alarms(struct agent_store *store, struct profile_alarm *out, size_t max);

bool profile_alarm_open(struct agent_store *store, const char *code);

/* A person has dealt with them; `peer_id` 0: whomever they are about.  False: none was open. */
bool profile_alarm_clear(struct agent_store *store, const char *code, int64_t peer_id,
                         uint64_t now_ms);

#endif
