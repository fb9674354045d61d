/*
 * accept - a frame into a mailbox or a channel: quotas, expiry, numbers.  The rows of
 * docs/protocol.md 6.3 that SEND, REQUEST and the frame of ACCEPTED have in common.
 */
#ifndef BROKER_ACCEPT_H
#define BROKER_ACCEPT_H
#include "broker/flow/groups.h"
#include "broker/store/directory.h"
#include "broker/store/scopes.h"
#include "shared/wire/frame.h"

/* Rate of an agent's frames and events.  ERR_RATE with after_ms. */
enum err accept_rate(struct reply *reply, int64_t agent_id);

struct incoming {
    const struct session_row *session; /* NULL: a group's */
    const struct agent_row *recipient; /* of a session's */
    struct group *group;
    int64_t sender_id;
    const struct frame_view *frame;
    const uint8_t *digest; /* 32 bytes: frame_digest */
};

/*
 * Rows 9 to 12.  ERR_OK: it may be stored; ERR_TOMBSTONE: only its number may.  Changes nothing.
 * ERR_DISK, ERR_QUOTA_SENDER, ERR_QUOTA_MAILBOX, ERR_STALE_TS.
 */
enum err accept_check(struct flow *flow, const struct incoming *incoming);

/* Row 13: the row, the sender's number, the recipient or the group's readers woken.  `verdict` is
 * accept_check()'s. */
enum err accept_store(struct flow *flow, const struct incoming *incoming, enum err verdict);

#endif
