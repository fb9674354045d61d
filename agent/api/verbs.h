/*
 * verbs - the list of calls that a worker knows; each is in its call_*.c.
 */
#ifndef API_VERBS_H
#define API_VERBS_H
#include "agent/api/call.h"

extern const struct call_verb call_join, call_whoami, call_status, call_check, call_reload;
extern const struct call_verb call_send;
extern const struct call_verb call_recv, call_communicate;
extern const struct call_verb call_inbox, call_show, call_ack;
extern const struct call_verb call_trace, call_outbox;
extern const struct call_verb call_peers, call_complete;
extern const struct call_verb call_verify, call_log;
extern const struct call_verb call_request, call_requests, call_accept, call_reject;
extern const struct call_verb call_sessions, call_close;
extern const struct call_verb call_rotate, call_leave;
extern const struct call_verb call_group;

/* Ended by NULL. */
extern const struct call_verb *const call_verbs[];

#endif
