/*
 * group_chain - the life of a group as its signed events tell it, and the rules that every event
 *               must keep (docs/protocol.md 5.2).  Broker and members judge with the same code.
 *
 * Owns     the list of members; group_chain_free().  {0} with `gid` set is the beginning.
 * Cost     a lookup is O(log n); an EPOCH hashes all members; the rest moves an array.
 * Clock    the events' own times; who appends compares them with now.
 */
#ifndef TRUST_GROUP_CHAIN_H
#define TRUST_GROUP_CHAIN_H
#include "shared/trust/event.h"

enum group_role { ROLE_MEMBER = 1, ROLE_ADMIN, ROLE_OWNER };
enum group_life { GROUP_NONE, GROUP_OPEN, GROUP_ENDED };
enum removed_reason { REMOVED_LEFT, REMOVED_BY_ADMIN, REMOVED_REVOKED, REMOVED_UNREACHABLE };

#define GROUP_MEMBERS_MAX     10000
#define GROUP_FLAG_ALL_INVITE 1 /* members may invite, role 1 only */
#define GROUP_FLAG_STRICT     2 /* without a current epoch nobody sends */
#define CREATED_BODY_SIZE     5
#define INVITED_BODY_SIZE     9
#define EPOCH_BODY_SIZE       69

struct created_body {
    uint8_t flags;
    uint32_t max_members;
};
struct invited_body {
    uint8_t role; /* ROLE_MEMBER or ROLE_ADMIN */
    uint64_t expires_ms;
};
struct epoch_body {
    uint32_t epoch;
    uint8_t members_hash[32], confirm[32];
    uint8_t suite;
};
void created_body_encode(uint8_t out[static CREATED_BODY_SIZE], const struct created_body *body);
void invited_body_encode(uint8_t out[static INVITED_BODY_SIZE], const struct invited_body *body);
void epoch_body_encode(uint8_t out[static EPOCH_BODY_SIZE], const struct epoch_body *body);
/* ERR_SCHEMA: length, flag, role, suite that does not exist. */
enum err created_body_parse(struct bytes body, struct created_body *out);
enum err invited_body_parse(struct bytes body, struct invited_body *out);
enum err epoch_body_parse(struct bytes body, struct epoch_body *out);

struct group_member {
    uint8_t aid[32];
    uint8_t role;        /* enum group_role; of an invited one: what it will be */
    bool joined;         /* else invited; what has run out keeps its place until it is withdrawn
                          * (REMOVED) or renewed (INVITED) */
    bool reads;          /* joined, and an EPOCH has admitted it since */
    uint64_t expires_ms; /* of the invitation */
    uint8_t invited[32]; /* digest of its INVITED; zeroes: the creator */
};

struct group_chain {
    uint8_t gid[16];
    enum group_life life;
    uint8_t flags;
    uint32_t max_members;
    uint64_t next_seq;
    uint8_t head[32]; /* digest of the last event; zeroes */
    uint32_t epoch;   /* 0: none yet */
    bool stale;       /* a member left by itself, no EPOCH since */
    /* After CREATED, and after REMOVED of a member by somebody else, the same actor's EPOCH must
     * follow in the same append; until then only its REMOVEDs may. */
    bool epoch_due;
    uint8_t due_actor[32];
    /* of the newest EPOCH */
    uint64_t epoch_seq, epoch_ms;
    uint8_t epoch_digest[32], epoch_prev[32], epoch_actor[32];
    struct epoch_body epoch_body;
    uint8_t created_digest[32];
    struct group_member *members; /* joined and invited, ascending by aid */
    size_t count, cap;
    size_t joined; /* of them */
};

void group_chain_free(struct group_chain *chain);
/* `to` becomes a copy; it was empty or valid before. */
void group_chain_copy(struct group_chain *to, const struct group_chain *from);

/* NULL: neither member nor invited.  Borrowed until the chain changes. */
const struct group_member *group_member_find(const struct group_chain *chain,
                                             const uint8_t aid[static 32]);
/* NULL: none (only in a chain that has no CREATED). */
const struct group_member *group_owner(const struct group_chain *chain);
bool group_is_admin(const struct group_chain *chain, const uint8_t aid[static 32]); /* or owner */

/* members_hash of those who have joined, as they are now. */
void group_members_hash(uint8_t out[static 32], const struct group_chain *chain);

/* What the rules need to know besides the chain. */
struct group_facts {
    /* Does the log say that the agent is revoked?  Asked of REMOVED's target only: what a revoked
     * agent signed before stays true, and whoever appends refuses what it signs later.  NULL:
     * nobody is. */
    bool (*revoked)(void *ctx, const uint8_t aid[static 32]);
    void *ctx;
};

/*
 * May this event come next?  Everything but the signature, in this order: layout and body
 * (ERR_SCHEMA), number and prev (ERR_CONFLICT), state (ERR_STATE; ERR_QUOTA: the group is full;
 * ERR_EXPIRED: the invitation; ERR_DIGEST_MISMATCH: JOINED by another invitation, EPOCH over other
 * members), who may (ERR_FORBIDDEN).  Changes nothing.
 */
enum err group_chain_check(const struct group_chain *chain, const struct signed_event *event,
                           const struct group_facts *facts, struct event *out);

/* group_chain_check(), then the signature under the actor's key (ERR_AUTH), then the chain is one
 * longer.  After an error it is what it was. */
enum err group_chain_append(struct group_chain *chain, const struct signed_event *event,
                            const struct group_facts *facts, const uint8_t actor_key[static 32],
                            struct event *out);

/* Without any check: an event that was checked when it was stored.  ERR_SCHEMA: it cannot be read.
 */
enum err group_chain_replay(struct group_chain *chain, const struct signed_event *event);

#endif
