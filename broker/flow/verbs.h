/*
 * verbs - the handlers of requests, and how a handler answers.
 *
 * A handler runs inside the turn's transaction.  It checks everything, then writes: a refused
 * request must have written nothing, because its neighbours in the turn are committed.
 *
 * Returns   ERR_OK                   `reply` is the answer
 *           an error on the wire     refused: the answer is ERROR with what refuse_*() added to it
 *           ERR_STORE, ERR_STORE_FULL, ERR_BUSY from the store: the turn fails (rolled back, run
 *                                    again one by one)
 * Memory    everything a handler points to from `reply` must live until the turn ends: reply_keep()
 *           copies into the turn's memory, reply_list() gives a list maker of the turn.
 */
#ifndef BROKER_VERBS_H
#define BROKER_VERBS_H
#include "broker/flow/flow.h"
#include "shared/wire/lists.h"

struct reply; /* flow_internal.h */

/* The answer's body; starts as message_reply() of the request.  Fill with MESSAGE_SET(). */
struct message *reply_message(struct reply *reply);

/* Memory of the turn. */
uint8_t *reply_memory(struct reply *reply, size_t len);
struct bytes reply_keep(struct reply *reply, struct bytes from);
struct list_maker *reply_list(struct reply *reply);

/* Appends a part; copies. */
void reply_part(struct reply *reply, struct bytes part);

/* What an ERROR carries beside code and text.  Returns `e`, so that a refusal is one line:
 *     return refuse_after(reply, ERR_RATE, 1000); */
enum err refuse_after(struct reply *reply, enum err e, uint64_t after_ms);
/* Any other field of the ERROR (seq, head, events, position, ts, min, version). */
struct message *refuse_message(struct reply *reply);

/* Leaves after the commit, in the order of the calls and before this request's answer. */
void reply_key_add(struct reply *reply, const uint8_t key[static 32], bool is_invite, int64_t id,
                   const uint8_t *aid, const uint8_t *identity_key);
void reply_key_drop(struct reply *reply, const uint8_t key[static 32]);
/* The same, and every connection of that key ends; behind the answer. */
void reply_key_revoke(struct reply *reply, const uint8_t key[static 32]);
/* Ends a connection after everything that was handed out for it. */
void reply_kick(struct reply *reply, uint64_t conn);
/* A message that is no answer, to `conn` (NOTIFY); rid 0. */
void reply_notify(struct reply *reply, uint64_t conn, const struct message *notify);

typedef enum err verb_handler(struct flow *flow, const struct request *request,
                              struct reply *reply);

/* directory and controller */
verb_handler hello_handle, enrol_handle, card_handle, lookup_handle, prekeys_handle, log_handle,
    leave_handle;

/* mail */
verb_handler request_handle, event_handle, events_handle, send_handle, fetch_handle, credit_handle,
    ack_handle, sync_handle, ping_handle, bye_handle;

/* large content */
verb_handler blob_put_handle, blob_chunk_handle, blob_get_handle, blob_del_handle;

#endif
