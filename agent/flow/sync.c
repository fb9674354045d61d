#include "agent/flow/sync.h"

#include "agent/crypto/sign.h"
#include "agent/flow/chain.h"
#include "agent/flow/channel.h"
#include "agent/flow/freeze.h"
#include "agent/flow/group.h"
#include "agent/flow/identity.h"
#include "agent/flow/link.h"
#include "agent/flow/outgoing.h"
#include "agent/flow/receipts.h"
#include "agent/flow/replenish.h"
#include "agent/flow/session.h"
#include "agent/flow/watch.h"
#include "agent/store/acks.h"
#include "agent/store/alarms.h"
#include "agent/store/outbox.h"
#include "agent/store/scopes.h"
#include "agent/store/sessions.h"
#include "shared/base/log.h"
#include "shared/trust/receipt.h"
#include "shared/wire/limit.h"

#define SCOPES_AT_ONCE 256
#define COMPARE        "compare_chains"
#define ONE_GROUP      1 /* agent_asked.number */

enum sync_state { IN_STEP, BEHIND, ROLLBACK, UNKNOWN };

void agent_sync_new_incarnation(struct agent *agent)
{
    log_event(LOG_WARN, "broker.restored", "incarnation=%s", log_id(agent->me.row.incarnation));
    profile_acks_clear(agent->store);
    profile_out_unaccepted_all(agent->store);
    agent_chain_doubt_ends(agent);
    agent->prekeys_void = agent->prekeys_replace = true;
    profile_number_set(agent->store, "broker_restored_ms", agent_now(agent),
                       "when the broker was last found to have been put back");
    for (struct agent_channel *channel = agent->channels; channel; channel = channel->next)
        channel->row.settled = 0;
    profile_number_set(agent->store, COMPARE, 1, "the broker was put back: compare every chain");
}

bool agent_sync_compares(struct agent *agent)
{
    uint64_t due = 0;

    return profile_number_get(agent->store, COMPARE, &due) && due;
}

void agent_sync_begin(struct agent *agent)
{
    agent->sync_after = 0;
    agent->sync_groups = false;
    agent->syncing = agent->comparing = 0;
    agent_sync_resume(agent);
}

void agent_sync_resume(struct agent *agent)
{
    if (agent->syncing || agent->comparing || agent->log_asked)
        return;
    if (agent_log_read(agent))
        agent_sync_scopes(agent);
    else
        agent_log_ask(agent);
}

/* The last number that I used and its digest, as the broker may be asked about it.  A request
 * without an answer (`asked`: whether it is one) is not asked about: it is repeated. */
static bool scope_to_ask(struct agent *agent, int64_t scope_id, bool asked,
                         struct profile_scope *scope, uint8_t digest[static 32])
{
    struct profile_out row;

    memset(digest, 0, 32);
    if (!profile_scope_get(agent->store, scope_id, scope))
        return false;
    if (scope->next_seq > 1
        && profile_out_at(agent->store, scope->scope_id, scope->next_seq - 1, &row)) {
        memcpy(digest, row.digest, 32);
        if (asked && row.state == OUTBOX_SEALED)
            return false;
    }
    return true;
}

static void add_scope(struct agent *agent, int64_t scope_id, bool asked, struct list_maker *scopes)
{
    struct profile_scope scope;
    uint8_t digest[32];

    if (scope_to_ask(agent, scope_id, asked, &scope, digest))
        list_add_scope_asked(
            scopes,
            &(struct wire_scope){ .scope = scope.id, .seq = scope.next_seq - 1, .digest = digest });
}

/* Sessions come first, then groups; numbers of scopes are one row of numbers, so that each knows
 * where it was. */
static bool next_scope(struct agent *agent, int64_t *after, bool *asked)
{
    struct profile_session session;
    struct profile_group group;

    if (!agent->sync_groups) {
        if (profile_session_next_live(agent->store, *after, &session)) {
            *after = session.session_id;
            *asked = session.state == SESSION_ASKED;
            return true;
        }
        agent->sync_groups = true;
        *after = 0;
    }
    while (profile_group_next(agent->store, *after, &group)) {
        *after = group.group_id;
        *asked = false;
        if (group.state == PROFILE_GROUP_JOINED)
            return true;
    }
    return false;
}

/* False: there is something to ask, and it could not be sent. */
static bool ask_scopes(struct agent *agent)
{
    struct message message = agent_message(VERB_SYNC);
    struct list_maker scopes = { 0 };
    int64_t before = agent->sync_after;
    bool groups = agent->sync_groups, sent = true, asked;

    while (scopes.count < SCOPES_AT_ONCE && next_scope(agent, &agent->sync_after, &asked))
        add_scope(agent, agent->sync_after, asked, &scopes);
    if (scopes.count > 0) {
        MESSAGE_SET(&message, scopes, list_of(&scopes));
        sent = agent_ask(agent, &message, NULL, 0) != NULL;
        agent->syncing += sent;
        if (!sent) {
            agent->sync_after = before;
            agent->sync_groups = groups;
        }
    }
    list_free(&scopes);
    return sent;
}

void agent_sync_scopes(struct agent *agent)
{
    if (agent->syncing || agent->comparing || agent->link.state != STATE_SYNCING || agent->frozen)
        return;
    if (ask_scopes(agent) && agent->syncing == 0)
        agent_link_event(agent, LINK_SYNCED);
}

/* The broker's number with the broker's digest is one of mine? */
static bool digest_fits(struct agent *agent, int64_t scope_id, const struct wire_scope *said)
{
    static const uint8_t unknown[32];
    struct profile_out row;

    return said->seq == 0 || memcmp(said->digest, unknown, 32) == 0
           || !profile_out_at(agent->store, scope_id, said->seq, &row)
           || memcmp(row.digest, said->digest, 32) == 0;
}

static void take_count(struct agent *agent, int64_t scope_id, uint64_t stored)
{
    profile_out_accepted_to(agent->store, scope_id, stored, agent_now(agent));
    profile_out_unaccepted_from(agent->store, scope_id, stored + 1);
    agent_sender_synced(agent, scope_id, stored);
}

static void group_answered(struct agent *agent, struct agent_group *group,
                           const struct profile_scope *scope, const struct wire_scope *said)
{
    int64_t id = scope->scope_id;

    /* Unknown: my CREATED or JOINED has not arrived, or is lost; its answer tells. */
    if (group->row.state != PROFILE_GROUP_JOINED || said->state == UNKNOWN)
        return;
    if (scope->adopts) {
        profile_out_detach(agent->store, id, said->seq);
        profile_scope_adopt(agent->store, id, said->seq);
    } else if (said->state == ROLLBACK || said->seq >= scope->next_seq
               || !digest_fits(agent, id, said)) {
        agent_group_rolled_back(agent, group);
        return;
    }
    take_count(agent, id, said->seq);
    agent_group_synced(agent, group);
}

static void scope_answered(struct agent *agent, const struct wire_scope *said)
{
    struct profile_scope scope;
    struct profile_session session;
    struct agent_group *group;

    if (!profile_scope_find(agent->store, said->scope, &scope))
        return;
    group = agent_group_of(agent, scope.scope_id);
    if (group) {
        group_answered(agent, group, &scope, said);
        return;
    }
    if (!profile_session_get(agent->store, scope.scope_id, &session)
        || session.state > SESSION_ACTIVE)
        return;
    if (said->state == UNKNOWN) {
        agent_session_lost(agent, &session);
        return;
    }
    if (said->state == ROLLBACK || said->seq >= scope.next_seq
        || !digest_fits(agent, scope.scope_id, said)) {
        agent_session_rolled_back(agent, &session);
        return;
    }
    take_count(agent, scope.scope_id, said->seq);
    if (agent->link.new_incarnation) {
        struct agent_asked *asked = agent_chain_ask(agent, &session);
        if (asked) {
            asked->number = 1;
            agent->comparing++;
        } else {
            agent->hello_wanted = true; /* unasked: begin again */
        }
    }
}

static void advance_answered(struct agent *agent, const struct agent_asked *asked,
                             const struct message *message)
{
    struct agent_sender *sender = agent_sender_of(agent, asked->scope_id);
    struct list_reader reader = list_read(&message->scopes);
    struct wire_scope said;

    if (!sender)
        return;
    sender->advancing = false;
    if (list_scope_answered(&reader, &said))
        agent_sender_synced(agent, asked->scope_id, said.seq);
}

void agent_sync_group(struct agent *agent, const struct agent_group *group)
{
    struct agent_channel *channel = agent_channel_of(agent, group);
    struct message message = agent_message(VERB_SYNC);
    struct list_maker scopes = { 0 };
    struct agent_asked *asked;

    if (!agent_is_up(agent) || channel->asked || group->row.state != PROFILE_GROUP_JOINED)
        return;
    add_scope(agent, group->group_id, false, &scopes);
    MESSAGE_SET(&message, scopes, list_of(&scopes));
    asked = scopes.count ? agent_ask(agent, &message, NULL, 0) : NULL;
    if (asked) {
        asked->scope_id = group->group_id;
        asked->number = ONE_GROUP;
        channel->asked = true;
    }
    list_free(&scopes);
}

static void one_group_answered(struct agent *agent, const struct agent_asked *asked, enum err code,
                               const struct message *message)
{
    struct agent_channel *channel = agent_channel_find(agent, asked->scope_id);
    struct list_reader reader;
    struct wire_scope said;

    if (channel)
        channel->asked = false;
    if (code != ERR_OK)
        return;
    reader = list_read(&message->scopes);
    while (list_scope_answered(&reader, &said))
        scope_answered(agent, &said);
}

void agent_sync_answer(struct agent *agent, const struct agent_asked *asked, enum err code,
                       const struct message *message)
{
    struct list_reader reader;
    struct wire_scope said;

    if (asked->number == ONE_GROUP) {
        one_group_answered(agent, asked, code, message);
        return;
    }
    if (code != ERR_OK) {
        struct agent_sender *sender = agent_sender_of(agent, asked->scope_id);
        if (sender)
            sender->advancing = false;
        log_event(LOG_WARN, "sync.refused", "error=%s", err_name(code));
        agent_link_event(agent, asked->scope_id ? LINK_AGAIN : LINK_GONE);
        return;
    }
    if (asked->scope_id) {
        advance_answered(agent, asked, message);
        return;
    }
    if (agent->link.state != STATE_SYNCING || agent->syncing == 0)
        return;
    agent->syncing--;
    reader = list_read(&message->scopes);
    while (list_scope_answered(&reader, &said))
        scope_answered(agent, &said);
    agent_sync_scopes(agent);
}

void agent_sync_compared(struct agent *agent)
{
    if (agent->comparing > 0 && --agent->comparing == 0)
        agent_sync_scopes(agent);
}

/* From now on: what was queued before goes first. */
static void begin_sealing(struct agent *agent)
{
    struct profile_session session;
    int64_t after = 0;

    agent->synced = true;
    while (profile_session_next_live(agent->store, after, &session)) {
        after = session.session_id;
        if (session.state == SESSION_ACTIVE)
            agent_outgoing_seal_session(agent, &session);
    }
}

void agent_sync_end(struct agent *agent)
{
    struct message credit = agent_message(VERB_CREDIT);

    MESSAGE_SET(&credit, credit, LIMIT_CREDIT_DEFAULT);
    MESSAGE_SET(&credit, credit_bytes, LIMIT_CREDIT_BYTES_DEFAULT);
    if (!agent_ask(agent, &credit, NULL, 0))
        agent->hello_wanted = true; /* without credit nothing would ever come */
    if (agent->link.new_incarnation && !agent->hello_wanted)
        profile_fact_remove(agent->store, COMPARE);
    agent->prekeys_wanted = true;
    agent->look_events = agent->look_requests = agent->look_queue = true;
    agent->look_rotations = true;
    agent_groups_up(agent);
    if (!agent->synced)
        begin_sealing(agent);
    agent->ack_stuck = false;
    for (struct agent_opening *opening = agent->openings; opening; opening = opening->next)
        opening->wait_ms = 0;
}

void agent_sync_advance(struct agent *agent, struct agent_sender *sender, uint64_t from,
                        uint64_t to)
{
    struct message message = agent_message(VERB_SYNC);
    struct list_maker scopes = { 0 }, receipts = { 0 };
    struct receipt receipt = { .status = RECEIPT_ADVANCE, .from = from, .to = to };
    uint8_t preimage[RECEIPT_SIZE], sig[64], digest[32];
    struct profile_session session;
    struct profile_scope scope;
    struct agent_asked *asked;
    bool waits = !sender->group && profile_session_get(agent->store, sender->scope_id, &session)
                 && session.state == SESSION_ASKED;

    if (!scope_to_ask(agent, sender->scope_id, waits, &scope, digest))
        return;
    memcpy(receipt.scope, scope.id, 16);
    memcpy(receipt.sender, agent->me.row.id, 32);
    memcpy(receipt.recipient, agent->me.row.id, 32);
    receipt.ts_ms = agent_now(agent);
    receipt_encode(preimage, &receipt);
    sign(sig, agent->me.ik_secret, bytes_of(preimage, sizeof preimage));
    list_add_scope_asked(
        &scopes,
        &(struct wire_scope){ .scope = scope.id, .seq = scope.next_seq - 1, .digest = digest });
    list_add_receipt(&receipts, &(struct wire_receipt){ preimage, sig });
    MESSAGE_SET(&message, scopes, list_of(&scopes));
    MESSAGE_SET(&message, receipts, list_of(&receipts));
    asked = agent_ask(agent, &message, NULL, 0);
    if (asked) {
        asked->scope_id = sender->scope_id;
        sender->advancing = true;
    }
    list_free(&scopes);
    list_free(&receipts);
}
