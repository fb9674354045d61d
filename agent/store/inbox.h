/*
 * inbox - messages taken in, until the program says done and for a while after; and the ids of all
 *         that were ever taken, so that one that is sealed anew is known.
 */
#ifndef AGENT_STORE_INBOX_H
#define AGENT_STORE_INBOX_H
#include "agent/store/store.h"

enum in_stage { INBOX_HELD, INBOX_NEW, INBOX_HANDED, INBOX_DONE, INBOX_FAILED };

struct profile_in {
    int64_t inbox_id, scope_id, peer_id;
    uint64_t seq;
    uint8_t digest[32], msg_id[16], thread[16];
    enum in_stage state;
    bool first_contact;
    uint64_t bytes, stored_ms, received_ms, expires_ms, handed_ms, done_ms, tries;
};

/* Returns its number. */
int64_t profile_in_add(struct agent_store *store, const struct profile_in *row,
                       struct bytes message);
bool profile_in_get(struct agent_store *store, int64_t inbox_id, struct profile_in *out);
bool profile_in_find(struct agent_store *store, const uint8_t msg_id[static 16],
                     struct profile_in *out);
bool profile_in_at(struct agent_store *store, int64_t scope_id, int64_t peer_id, uint64_t seq,
                   struct profile_in *out);
/* The envelope, opened; the caller wipes. */
bool profile_in_message(struct agent_store *store, int64_t inbox_id, struct buf *out);

/* New and handed, above `after`. */
bool profile_in_next_open(struct agent_store *store, int64_t after, struct profile_in *out);
/* All but held ones, above `after`; the other way round below `before`. */
bool profile_in_next(struct agent_store *store, int64_t after, struct profile_in *out);
bool profile_in_previous(struct agent_store *store, int64_t before, struct profile_in *out);
bool profile_in_held(struct agent_store *store, int64_t scope_id, struct profile_in *out);

void profile_in_handed(struct agent_store *store, int64_t inbox_id, uint64_t now_ms);
void profile_in_settle(struct agent_store *store, int64_t inbox_id, enum in_stage state,
                       uint64_t now_ms);
void profile_in_release(struct agent_store *store, int64_t inbox_id);
void profile_in_remove(struct agent_store *store, int64_t inbox_id);
/* Done or failed before `before_ms`. */
void profile_in_forget(struct agent_store *store, uint64_t before_ms);

/* Held requests; or unread mail, without that of live sessions that go on. */
uint64_t profile_in_count(struct agent_store *store, bool held);
/* Bodies of requests that wait for an answer. */
uint64_t profile_in_held_bytes(struct agent_store *store);
uint64_t profile_in_unread_of(struct agent_store *store, int64_t peer_id);
/* Frames of the scope that came after `since_ms`, and when the first of them came. */
uint64_t profile_in_since(struct agent_store *store, int64_t scope_id, uint64_t since_ms,
                          uint64_t *first_ms);
bool profile_in_next_id(struct agent_store *store, const uint8_t low[static 16],
                        const uint8_t high[static 16], uint8_t id[static 16]);
bool profile_in_next_in_thread(struct agent_store *store, const uint8_t thread[static 16],
                               int64_t after, struct profile_in *out);

/* False: it was known before. */
bool profile_known_add(struct agent_store *store, int64_t peer_id, const uint8_t msg_id[static 16],
                       uint64_t now_ms);
bool profile_known_any(struct agent_store *store, int64_t peer_id);
void profile_known_forget(struct agent_store *store, uint64_t before_ms);

#endif
