/*
 * peers - whom I know, how far I trust them, and the history of that.
 */
#ifndef AGENT_STORE_PEERS_H
#define AGENT_STORE_PEERS_H
#include "agent/store/store.h"
#include "shared/base/text.h"

enum peer_pin { PIN_NONE, PIN_FIRST_USE, PIN_VERIFIED, PIN_CHANGED, PIN_BLOCKED };
enum peer_policy { POLICY_DEFAULT, POLICY_ACCEPTED, POLICY_ASK };

struct profile_peer {
    int64_t peer_id;
    uint8_t id[32];
    char name[NAME_MAX_LEN + 1];
    bool known; /* identity_key, card_gen, card_hash: a credential was verified */
    uint8_t identity_key[32];
    uint32_t card_gen;
    uint8_t card_hash[32];
    enum peer_pin pin;
    enum peer_policy policy;
    uint64_t first_seen_ms, revoked_ms; /* 0: not revoked */
};

bool profile_peer_get(struct agent_store *store, int64_t peer_id, struct profile_peer *out);
bool profile_peer_find(struct agent_store *store, const uint8_t aid[static 32],
                       struct profile_peer *out);
/* Another agent's pin on this name: first use, verified, or changed and not yet decided by a
 * person. */
bool profile_peer_pinned(struct agent_store *store, const char *name, const uint8_t but[static 32],
                         struct profile_peer *out);
/* The agent with a pin that we know by this name; one whose key has changed before all others. */
bool profile_peer_named(struct agent_store *store, const char *name, struct profile_peer *out);
/* Is there an agent known by this name with this pin? */
bool profile_peer_has_pin(struct agent_store *store, const char *name, enum peer_pin pin);
/* A new row, nothing known yet. */
int64_t profile_peer_add(struct agent_store *store, const uint8_t aid[static 32], const char *name,
                         uint64_t now_ms);
/* A verified credential. */
void profile_peer_learn(struct agent_store *store, int64_t peer_id,
                        const uint8_t identity_key[static 32], uint32_t card_gen,
                        const uint8_t card_hash[static 32], struct bytes credential);
bool profile_peer_credential(struct agent_store *store, int64_t peer_id, struct buf *out);
/* Written down with its reason; nothing if it is so already. */
void profile_peer_pin(struct agent_store *store, const struct profile_peer *peer, enum peer_pin pin,
                      const char *why, uint64_t now_ms);
/* The pin that it had before it was blocked. */
enum peer_pin profile_peer_pin_before(struct agent_store *store, int64_t peer_id);
void profile_peer_policy(struct agent_store *store, int64_t peer_id, enum peer_policy policy);
void profile_peer_revoked(struct agent_store *store, int64_t peer_id, uint64_t at_ms);

#endif
