/*
 * object - the JSON objects of the command line (docs: cli 3), made of what the core tells.
 *
 * Every field that the page lists is always there; unknown is null.  Results are new references.
 */
#ifndef API_OBJECT_H
#define API_OBJECT_H
#include <jansson.h>

#include "agent/flow/agent.h"

json_t *object_joined(const struct agent_self *self, const char *profile);
json_t *object_agent_self(const struct agent_self *self, const char *profile, const char *dir);

/* For other commands that cannot open the store: name, fingerprint and what else may be told. */
json_t *object_identity(const struct agent_self *self, const uint8_t invite_key[32]);
/* `agent_self` of such an identity. */
json_t *object_agent_self_of_identity(json_t *identity, const char *profile, const char *dir);

json_t *object_peer(const struct peer_info *peer);

enum object_detail { OBJECT_PLAIN, OBJECT_BODY };

json_t *object_outgoing(const struct outgoing_info *info, enum object_detail detail);
/* `message` with the body, `header` without. */
json_t *object_incoming(const struct incoming_info *info, enum object_detail detail);

json_t *object_trace_out(const struct outgoing_info *info, uint64_t peer_seen_ms);
json_t *object_trace_in(const struct incoming_info *info, uint64_t peer_seen_ms);

/* How far a message of ours has come; whether the broker is there (`reason` may be NULL). */
json_t *object_receipt(const uint8_t id[static 16], struct bytes to, enum outgoing_state state,
                       uint64_t at_ms);
json_t *object_link(bool up, struct bytes broker, const char *reason);
/* `result`: ok, warn or fail. */
json_t *object_check(const char *name, const char *result, const char *detail, const char *hint);
/* One session; one request that waits, with its words if `text`. */
json_t *object_session(const struct session_info *session);
json_t *object_request(const struct request_info *request, bool text);
/* One group without members, and one member more of it. */
json_t *object_group(const struct group_info *group);
void object_group_member(json_t *group, const struct group_member_info *member);
/* One member's step in the `trace` of a group message; who has not signed is among its `missing`. */
void object_trace_member(json_t *trace, const struct signed_info *info);
json_t *object_log_entry(const struct log_info *entry);
/* `message` and `hint` as call.h makes them. */
json_t *object_alarm(const struct alarm_info *alarm, const char *message, const char *hint);
json_t *object_left(const struct agent_self *self, bool erased);

/* Words of the objects. */
const char *object_phase(enum session_phase phase);
const char *object_out_state(enum outgoing_state state);
const char *object_in_state(enum incoming_state state);
const char *object_trust(enum peer_trust trust);

/* HOST:PORT of "tcp://HOST:PORT". */
struct bytes object_address(struct bytes endpoint);

#endif
