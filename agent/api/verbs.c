#include "agent/api/verbs.h"

const struct call_verb *const call_verbs[] = {
    &call_join,        &call_whoami,   &call_status, &call_reload,  &call_send,     &call_recv,
    &call_inbox,       &call_show,     &call_ack,    &call_trace,   &call_outbox,   &call_peers,
    &call_complete,    &call_verify,   &call_log,    &call_request, &call_requests, &call_accept,
    &call_reject,      &call_sessions, &call_close,  &call_rotate,  &call_leave,    &call_check,
    &call_communicate, &call_group,    NULL,
};
