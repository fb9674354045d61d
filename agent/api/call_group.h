/*
 * call_group - groups in commands: found by name, and what their errors mean to people.
 * Names are without "+".
 */
#ifndef API_CALL_GROUP_H
#define API_CALL_GROUP_H
#include "agent/api/call.h"

/* What a group function of agent.h said. */
void call_group_failure(struct call *call, enum err e, const char *name, struct failure *out);
void call_fail_group(struct call *call, enum err e, const char *name);
/* As call_find_peer(). */
bool call_find_group(struct call *call, const char *name, uint64_t until_ms,
                     uint8_t gid[static 16]);

#endif
