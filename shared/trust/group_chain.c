#include "shared/trust/group_chain.h"

#include <stdlib.h>

#include "shared/trust/label.h"

static bool same(const uint8_t a[static 32], const uint8_t b[static 32])
{
    return memcmp(a, b, 32) == 0;
}

/* ---- members: an array, ascending by aid ------------------------------------------------------
 */

/* Where the member is, or where it would be. */
static size_t place_of(const struct group_chain *chain, const uint8_t aid[static 32], bool *found)
{
    size_t low = 0, high = chain->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = memcmp(chain->members[middle].aid, aid, 32);

        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *found = false;
    return low;
}

static struct group_member *find(const struct group_chain *chain, const uint8_t aid[static 32])
{
    bool found;
    size_t at = place_of(chain, aid, &found);

    return found ? &chain->members[at] : NULL;
}

const struct group_member *group_member_find(const struct group_chain *chain,
                                             const uint8_t aid[static 32])
{
    return find(chain, aid);
}

static struct group_member *owner_of(const struct group_chain *chain)
{
    for (size_t i = 0; i < chain->count; i++)
        if (chain->members[i].joined && chain->members[i].role == ROLE_OWNER)
            return &chain->members[i];
    return NULL;
}

const struct group_member *group_owner(const struct group_chain *chain)
{
    return owner_of(chain);
}

/* 0: not a member. */
static uint8_t role_of(const struct group_chain *chain, const uint8_t aid[static 32])
{
    const struct group_member *member = find(chain, aid);

    return member && member->joined ? member->role : 0;
}

bool group_is_admin(const struct group_chain *chain, const uint8_t aid[static 32])
{
    return role_of(chain, aid) >= ROLE_ADMIN;
}

/* The member's place, made empty where there was none. */
static struct group_member *member_put(struct group_chain *chain, const uint8_t aid[static 32])
{
    bool found;
    size_t at = place_of(chain, aid, &found);
    struct group_member *member;

    if (!found) {
        if (chain->count == chain->cap) {
            chain->cap = chain->cap ? 2 * chain->cap : 8;
            chain->members = mem_resize(chain->members, chain->cap * sizeof *chain->members);
        }
        member = chain->members + at;
        memmove(member + 1, member, (chain->count - at) * sizeof *member);
        chain->count++;
    } else if (chain->members[at].joined) {
        chain->joined--;
    }
    member = chain->members + at;
    *member = (struct group_member){ 0 };
    memcpy(member->aid, aid, 32);
    return member;
}

static void member_drop(struct group_chain *chain, struct group_member *member)
{
    size_t behind = (size_t)(chain->members + chain->count - (member + 1));

    chain->joined -= member->joined;
    memmove(member, member + 1, behind * sizeof *member);
    chain->count--;
}

void group_members_hash(uint8_t out[static 32], const struct group_chain *chain)
{
    struct sha256 hash;

    label_hash_begin(&hash, LABEL_MEMBERS);
    for (size_t i = 0; i < chain->count; i++) {
        const struct group_member *member = &chain->members[i];

        if (!member->joined)
            continue;
        sha256_add(&hash, member->aid, 32);
        sha256_add(&hash, &member->role, 1);
    }
    sha256_end(&hash, out);
}

void group_chain_free(struct group_chain *chain)
{
    free(chain->members);
    *chain = (struct group_chain){ 0 };
}

void group_chain_copy(struct group_chain *to, const struct group_chain *from)
{
    struct group_member *members = NULL;

    if (from->count) {
        members = mem_alloc(from->count * sizeof *members);
        memcpy(members, from->members, from->count * sizeof *members);
    }
    free(to->members);
    *to = *from;
    to->members = members;
    to->cap = from->count;
}

/* ---- an event with its body -------------------------------------------------------------------
 */

union group_body {
    struct created_body created;
    struct invited_body invited;
    struct epoch_body epoch;
    uint8_t joined[32]; /* digest of the INVITED */
    uint8_t reason;     /* REMOVED, CLOSED */
    uint8_t role;
};

static bool one_of(struct bytes body, uint8_t low, uint8_t high, uint8_t *out)
{
    *out = body.at[0];
    return *out >= low && *out <= high;
}

/* Layout, body and fields that are constant for the type. */
static enum err event_read(const struct group_chain *chain, const struct signed_event *event,
                           struct event *out, union group_body *body)
{
    static const uint8_t nobody[32];
    enum err e = event_parse(event->preimage, out);
    bool good = true, has_target = true;

    if (e != ERR_OK)
        return e;
    if (out->scope != SCOPE_GROUP || memcmp(out->id, chain->gid, 16) != 0 || out->ts_ms > INT64_MAX
        || event_body_check(out, event->body) != ERR_OK)
        return ERR_SCHEMA;
    switch (out->type) {
    case EVENT_GROUP_CREATED:
        good = created_body_parse(event->body, &body->created) == ERR_OK;
        has_target = false;
        break;
    case EVENT_GROUP_INVITED:
        good = invited_body_parse(event->body, &body->invited) == ERR_OK;
        break;
    case EVENT_GROUP_JOINED:
        memcpy(body->joined, event->body.at, 32);
        break;
    case EVENT_GROUP_REMOVED: /* who leaves by itself says so, and nobody else does */
        good = one_of(event->body, REMOVED_LEFT, REMOVED_UNREACHABLE, &body->reason)
               && (body->reason == REMOVED_LEFT) == same(out->actor, out->target);
        break;
    case EVENT_GROUP_EPOCH:
        good = epoch_body_parse(event->body, &body->epoch) == ERR_OK;
        has_target = false;
        break;
    case EVENT_GROUP_ROLE:
        good = one_of(event->body, ROLE_MEMBER, ROLE_OWNER, &body->role);
        break;
    case EVENT_GROUP_CLOSED:
        body->reason = event->body.at[0];
        has_target = false;
        break;
    }
    return good && same(out->target, nobody) == !has_target ? ERR_OK : ERR_SCHEMA;
}

/* ---- may it be now? ---------------------------------------------------------------------------
 */

static enum err life_check(const struct group_chain *chain, const struct event *event)
{
    bool first = event->type == EVENT_GROUP_CREATED;

    if (chain->life != (first ? GROUP_NONE : GROUP_OPEN))
        return ERR_STATE;
    if (chain->epoch_due && event->type != EVENT_GROUP_EPOCH && event->type != EVENT_GROUP_REMOVED)
        return ERR_STATE;
    return ERR_OK;
}

/* An invitation that has run out keeps its place until it is withdrawn or renewed: so what the
 * list holds does not depend on anybody's clock. */
static enum err invited_now(const struct group_chain *chain, const struct event *event)
{
    const struct group_member *target = find(chain, event->target);

    if (!target)
        return chain->count < chain->max_members ? ERR_OK : ERR_QUOTA;
    return target->joined || event->ts_ms < target->expires_ms ? ERR_STATE : ERR_OK;
}

static enum err joined_now(const struct group_chain *chain, const struct event *event,
                           const uint8_t invitation[static 32])
{
    const struct group_member *target = find(chain, event->target);

    if (!target)
        return ERR_OK; /* that is a question of who */
    if (target->joined)
        return ERR_STATE;
    if (!same(invitation, target->invited))
        return ERR_DIGEST_MISMATCH;
    return event->ts_ms < target->expires_ms ? ERR_OK : ERR_EXPIRED;
}

static enum err removed_now(const struct group_chain *chain, const struct event *event)
{
    const struct group_member *target = find(chain, event->target);
    bool by_itself = same(event->actor, event->target);

    if (!target || (by_itself && target->role == ROLE_OWNER) || (by_itself && chain->epoch_due))
        return ERR_STATE;
    return ERR_OK;
}

static enum err epoch_now(const struct group_chain *chain, const struct epoch_body *body)
{
    uint8_t hash[32];

    if (body->epoch != (uint64_t)chain->epoch + 1)
        return ERR_STATE;
    group_members_hash(hash, chain);
    return same(hash, body->members_hash) ? ERR_OK : ERR_DIGEST_MISMATCH;
}

static enum err role_now(const struct group_chain *chain, const struct event *event)
{
    if (role_of(chain, event->target) == 0 || same(event->actor, event->target))
        return ERR_STATE;
    return ERR_OK;
}

static enum err state_check(const struct group_chain *chain, const struct event *event,
                            const union group_body *body)
{
    enum err e = life_check(chain, event);

    if (e != ERR_OK)
        return e;
    switch (event->type) {
    case EVENT_GROUP_INVITED:
        return invited_now(chain, event);
    case EVENT_GROUP_JOINED:
        return joined_now(chain, event, body->joined);
    case EVENT_GROUP_REMOVED:
        return removed_now(chain, event);
    case EVENT_GROUP_EPOCH:
        return epoch_now(chain, &body->epoch);
    case EVENT_GROUP_ROLE:
        return role_now(chain, event);
    }
    return ERR_OK;
}

/* ---- may this agent do it? --------------------------------------------------------------------
 */

static bool is_revoked(const struct group_facts *facts, const uint8_t aid[static 32])
{
    return facts && facts->revoked && facts->revoked(facts->ctx, aid);
}

static bool may_remove(const struct group_chain *chain, const struct event *event, uint8_t reason,
                       const struct group_facts *facts)
{
    const struct group_member *target = find(chain, event->target);
    uint8_t rank = role_of(chain, event->actor);

    if (reason == REMOVED_LEFT)
        return true; /* the target's own word, and it is in the list */
    if (rank < ROLE_ADMIN)
        return false;
    if (reason == REMOVED_REVOKED)
        return is_revoked(facts, event->target);
    return !target->joined || rank > target->role;
}

static bool may_invite(const struct group_chain *chain, const struct event *event, uint8_t role)
{
    uint8_t rank = role_of(chain, event->actor);

    if (rank >= ROLE_ADMIN)
        return true;
    return rank == ROLE_MEMBER && (chain->flags & GROUP_FLAG_ALL_INVITE) && role == ROLE_MEMBER;
}

static enum err actor_check(const struct group_chain *chain, const struct event *event,
                            const union group_body *body, const struct group_facts *facts)
{
    bool good = false;

    if (chain->epoch_due && !same(event->actor, chain->due_actor))
        return ERR_FORBIDDEN;
    switch (event->type) {
    case EVENT_GROUP_CREATED:
        good = true; /* whoever signs it */
        break;
    case EVENT_GROUP_INVITED:
        good = may_invite(chain, event, body->invited.role);
        break;
    case EVENT_GROUP_JOINED:
        good = same(event->actor, event->target) && find(chain, event->target);
        break;
    case EVENT_GROUP_REMOVED:
        good = may_remove(chain, event, body->reason, facts);
        break;
    case EVENT_GROUP_EPOCH:
        good = group_is_admin(chain, event->actor);
        break;
    case EVENT_GROUP_ROLE:
    case EVENT_GROUP_CLOSED:
        good = role_of(chain, event->actor) == ROLE_OWNER;
        break;
    }
    return good ? ERR_OK : ERR_FORBIDDEN;
}

static enum err check(const struct group_chain *chain, const struct signed_event *event,
                      const struct group_facts *facts, struct event *out, union group_body *body)
{
    enum err e = event_read(chain, event, out, body);

    if (e != ERR_OK)
        return e;
    if (out->seq != chain->next_seq || !same(out->prev, chain->head))
        return ERR_CONFLICT;
    e = state_check(chain, out, body);
    return e == ERR_OK ? actor_check(chain, out, body, facts) : e;
}

enum err group_chain_check(const struct group_chain *chain, const struct signed_event *event,
                           const struct group_facts *facts, struct event *out)
{
    union group_body body;

    return check(chain, event, facts, out, &body);
}

/* ---- then it is so ----------------------------------------------------------------------------
 */

static void created(struct group_chain *chain, const struct event *event,
                    const struct created_body *body, const uint8_t digest[static 32])
{
    struct group_member *creator = member_put(chain, event->actor);

    creator->role = ROLE_OWNER;
    creator->joined = true;
    chain->joined++;
    chain->life = GROUP_OPEN;
    chain->flags = body->flags;
    chain->max_members = body->max_members;
    memcpy(chain->created_digest, digest, 32);
    chain->epoch_due = true;
    memcpy(chain->due_actor, event->actor, 32);
}

static void invited(struct group_chain *chain, const struct event *event,
                    const struct invited_body *body, const uint8_t digest[static 32])
{
    struct group_member *target = member_put(chain, event->target);

    target->role = body->role;
    target->expires_ms = body->expires_ms;
    memcpy(target->invited, digest, 32);
}

static void joined(struct group_chain *chain, const struct event *event)
{
    struct group_member *target = find(chain, event->target);

    if (!target || target->joined)
        return;
    target->joined = true;
    chain->joined++;
}

/* Whoever removes a revoked owner takes its place: there is always one. */
static void removed(struct group_chain *chain, const struct event *event)
{
    struct group_member *target = find(chain, event->target), *actor;
    bool was_owner;

    if (!target)
        return;
    if (target->joined && same(event->actor, event->target)) {
        chain->stale = true;
    } else if (target->joined) {
        chain->epoch_due = true;
        memcpy(chain->due_actor, event->actor, 32);
    }
    was_owner = target->joined && target->role == ROLE_OWNER;
    member_drop(chain, target);
    actor = find(chain, event->actor);
    if (was_owner && actor)
        actor->role = ROLE_OWNER;
}

static void epoch_begun(struct group_chain *chain, const struct event *event,
                        const struct epoch_body *body, const uint8_t digest[static 32])
{
    chain->epoch = body->epoch;
    chain->stale = chain->epoch_due = false;
    chain->epoch_seq = event->seq;
    chain->epoch_ms = event->ts_ms;
    memcpy(chain->epoch_digest, digest, 32);
    memcpy(chain->epoch_prev, event->prev, 32);
    memcpy(chain->epoch_actor, event->actor, 32);
    chain->epoch_body = *body;
    for (size_t i = 0; i < chain->count; i++)
        chain->members[i].reads = chain->members[i].joined;
}

static void role_set(struct group_chain *chain, const struct event *event, uint8_t role)
{
    struct group_member *target = find(chain, event->target), *actor = find(chain, event->actor);

    if (!target)
        return;
    target->role = role;
    if (role == ROLE_OWNER && actor)
        actor->role = ROLE_ADMIN;
}

static void apply(struct group_chain *chain, const struct signed_event *said,
                  const struct event *event, const union group_body *body)
{
    uint8_t digest[32];

    event_digest(digest, said->preimage);
    switch (event->type) {
    case EVENT_GROUP_CREATED:
        created(chain, event, &body->created, digest);
        break;
    case EVENT_GROUP_INVITED:
        invited(chain, event, &body->invited, digest);
        break;
    case EVENT_GROUP_JOINED:
        joined(chain, event);
        break;
    case EVENT_GROUP_REMOVED:
        removed(chain, event);
        break;
    case EVENT_GROUP_EPOCH:
        epoch_begun(chain, event, &body->epoch, digest);
        break;
    case EVENT_GROUP_ROLE:
        role_set(chain, event, body->role);
        break;
    case EVENT_GROUP_CLOSED:
        chain->life = GROUP_ENDED;
        break;
    }
    chain->next_seq = event->seq + 1;
    memcpy(chain->head, digest, 32);
}

enum err group_chain_append(struct group_chain *chain, const struct signed_event *event,
                            const struct group_facts *facts, const uint8_t actor_key[static 32],
                            struct event *out)
{
    union group_body body;
    enum err e = check(chain, event, facts, out, &body);

    if (e == ERR_OK)
        e = event_verify(event->preimage, event->sig, actor_key);
    if (e == ERR_OK)
        apply(chain, event, out, &body);
    return e;
}

enum err group_chain_replay(struct group_chain *chain, const struct signed_event *event)
{
    struct event parsed;
    union group_body body;
    enum err e = event_read(chain, event, &parsed, &body);

    if (e == ERR_OK)
        apply(chain, event, &parsed, &body);
    return e;
}
