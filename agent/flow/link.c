#include "agent/flow/link.h"

#include <stdlib.h>

#include "agent/flow/channel.h"
#include "agent/flow/group.h"
#include "agent/flow/identity.h"
#include "agent/flow/incoming.h"
#include "agent/flow/outgoing.h"
#include "agent/flow/receipts.h"
#include "agent/flow/sync.h"
#include "agent/store/secrets.h"
#include "shared/base/log.h"
#include "shared/wire/limit.h"

#define HANDSHAKE_MS  5000
#define REFUSED_MS    60000
#define BUSY_MS       50
#define FIRST_WAIT_MS 600 /* a stopped broker is found out in less than a second */
#define BYE_MS        1000
#define NEVER         UINT64_MAX

/* Missing entries are forbidden moves; + 1 so that DOWN is not mistaken for one. */
#define TO(state) ((state) + 1)
static const uint8_t link_table[STATE_REFUSED + 1][LINK_EVENT_COUNT] = {
    [STATE_DOWN] = { [LINK_START] = TO(STATE_CONNECTING), [LINK_REFUSE] = TO(STATE_REFUSED) },
    [STATE_CONNECTING] = { [LINK_CONNECTED] = TO(STATE_GREETING),
                           [LINK_FAILED] = TO(STATE_DOWN),
                           [LINK_GONE] = TO(STATE_DOWN),
                           [LINK_REFUSE] = TO(STATE_REFUSED),
                           [LINK_STOP] = TO(STATE_DOWN) },
    [STATE_GREETING] = { [LINK_GREETED] = TO(STATE_SYNCING),
                         [LINK_ENROLLED] = TO(STATE_DOWN),
                         [LINK_WAIT] = TO(STATE_DOWN),
                         [LINK_AGAIN] = TO(STATE_GREETING),
                         [LINK_GONE] = TO(STATE_DOWN),
                         [LINK_REFUSE] = TO(STATE_REFUSED),
                         [LINK_STOP] = TO(STATE_DOWN) },
    [STATE_SYNCING] = { [LINK_SYNCED] = TO(STATE_UP),
                        [LINK_WAIT] = TO(STATE_DOWN),
                        [LINK_AGAIN] = TO(STATE_GREETING),
                        [LINK_GONE] = TO(STATE_DOWN),
                        [LINK_REFUSE] = TO(STATE_REFUSED),
                        [LINK_STOP] = TO(STATE_DOWN) },
    [STATE_UP] = { [LINK_WAIT] = TO(STATE_DOWN),
                   [LINK_AGAIN] = TO(STATE_GREETING),
                   [LINK_GONE] = TO(STATE_DOWN),
                   [LINK_REFUSE] = TO(STATE_REFUSED),
                   [LINK_STOP] = TO(STATE_DOWN) },
    [STATE_REFUSED] = { [LINK_START] = TO(STATE_CONNECTING), [LINK_STOP] = TO(STATE_DOWN) },
};

bool agent_link_next(enum link_state state, enum link_event event, enum link_state *next)
{
    uint8_t to = link_table[state][event];

    if (to == 0)
        return false;
    *next = (enum link_state)(to - 1);
    return true;
}

const char *agent_link_state_name(enum link_state state)
{
    static const char *const names[]
        = { "down", "connecting", "greeting", "syncing", "up", "refused" };
    return names[state];
}

bool agent_is_up(const struct agent *agent)
{
    return agent->link.state == STATE_UP;
}

bool agent_is_caught_up(const struct agent *agent)
{
    const struct agent_conn *link = &agent->link;

    return agent_is_up(agent) && !agent->log_asked && !agent->deliveries
           && agent_channels_caught_up(agent)
           && (link->waiting == 0 || agent->delivered_to >= link->last_position);
}

/* ------------------------------------------------------------------ the socket */

static void forget_asked(struct agent *agent)
{
    struct agent_conn *link = &agent->link;

    while (link->asked) {
        struct agent_asked *gone = link->asked;
        link->asked = gone->next;
        free(gone->frames);
        free(gone);
    }
    link->flying = 0;
    link->flying_bytes = 0;
}

/* What was on the way is unknown now; the next HELLO and SYNC tell. */
static void forget_connection(struct agent *agent)
{
    forget_asked(agent);
    agent_outgoing_forget(agent);
    agent_incoming_forget(agent);
    agent_groups_forget(agent);
    agent->log_asked = false;
    agent->prekeys_asked = false;
    agent->card_asked = false;
    agent->syncing = 0;
    agent->comparing = 0;
    for (struct agent_opening *opening = agent->openings; opening; opening = opening->next)
        opening->asked = false;
    for (struct agent_presence *presence = agent->presences; presence; presence = presence->next)
        presence->asked = false;
}

static void close_socket(struct agent *agent)
{
    if (agent->link.open)
        agent->ports->disconnect(agent->ports->ctx);
    agent->link.open = false;
    agent->link.busy = false;
    forget_connection(agent);
}

/* With our own key; before we have a certificate with the invite's. */
static void open_socket(struct agent *agent)
{
    struct agent_conn *link = &agent->link;
    struct profile_me *me = &agent->me.row;
    struct buf public_key = { 0 }, secret_key = { 0 };
    const char *endpoint = agent->settings.endpoint[0] ? agent->settings.endpoint : me->endpoint;
    bool found;

    link->enrolling = !me->enrolled;
    link->started_ms = agent_elapsed(agent);
    link->due_ms = NEVER;
    if (link->enrolling) {
        found = profile_secret_get(agent->store, SECRET_INVITE, 0, &public_key, &secret_key);
    } else {
        struct secret_info tk = { 0 };
        found = agent_transport_key(agent, &tk)
                && profile_secret_get(agent->store, SECRET_TK, tk.number, &public_key, &secret_key);
        link->transport_key = tk.number;
    }
    if (found && public_key.len == 32 && secret_key.len == 32) {
        link->open = true;
        agent->ports->connect(agent->ports->ctx, endpoint, me->broker_key, public_key.at,
                              secret_key.at);
    }
    buf_free(&public_key);
    buf_wipe(&secret_key);
    buf_free(&secret_key);
    if (!found)
        agent_link_refuse(agent, ERR_TOKEN);
}

/* ------------------------------------------------------------------ moves */

static void greet(struct agent *agent)
{
    struct agent_conn *link = &agent->link;

    link->heard_ms = agent_elapsed(agent);
    link->failures = 0;
    if (link->enrolling)
        agent_enrol(agent);
    else
        agent_hello(agent);
}

void agent_link_event(struct agent *agent, enum link_event event)
{
    struct agent_conn *link = &agent->link;
    enum link_state before = link->state, next;

    if (!agent_link_next(before, event, &next))
        return;
    link->state = next;
    if (next != STATE_UP)
        link->leaving = link->said_bye = false;
    log_event(LOG_DEBUG, "link", "me=%s from=%s to=%s", agent->me.row.name,
              agent_link_state_name(before), agent_link_state_name(next));
    if (next != before)
        agent->changed = true;
    switch (next) {
    case STATE_DOWN:
        close_socket(agent);
        if (event == LINK_ENROLLED)
            link->due_ms = agent_elapsed(agent);
        else if (event == LINK_STOP)
            link->due_ms = NEVER;
        else if (event != LINK_WAIT)
            agent_link_wait(agent, agent_backoff(agent, ++link->attempts));
        break;
    case STATE_CONNECTING:
        open_socket(agent);
        break;
    case STATE_GREETING:
        agent_incoming_forget(agent);
        greet(agent);
        break;
    case STATE_SYNCING:
        agent_sync_begin(agent);
        break;
    case STATE_UP:
        link->attempts = 0;
        agent_sync_end(agent);
        break;
    case STATE_REFUSED:
        close_socket(agent);
        link->due_ms
            = agent->me.revoked || agent->frozen ? NEVER : agent_elapsed(agent) + REFUSED_MS;
        break;
    }
}

void agent_link_wait(struct agent *agent, uint64_t wait_ms)
{
    agent->link.due_ms = agent_elapsed(agent) + wait_ms;
}

/* The broker said so; later its door is just shut, as for any stranger. */
static const char revoked_at[] = "revoked_at";

static bool was_revoked(struct agent *agent)
{
    uint64_t at_ms = 0;

    return profile_number_get(agent->store, revoked_at, &at_ms) && at_ms != 0;
}

void agent_link_refuse(struct agent *agent, enum err why)
{
    if (why == ERR_CERT_REVOKED && !was_revoked(agent))
        profile_number_set(agent->store, revoked_at, agent_now(agent),
                           "when the broker said that this agent is revoked");
    agent->link.refusal = why;
    agent_link_event(agent, LINK_REFUSE);
}

void agent_link_init(struct agent *agent)
{
    agent->link.state = STATE_DOWN;
    agent->link.due_ms = NEVER;
    agent->link.most_flying = LIMIT_UNANSWERED;
    agent->link.most_members = LIMIT_GROUP_MEMBERS;
    agent->link.most_flying_bytes = LIMIT_UNANSWERED_BYTES;
    agent_random(agent, agent->link.instance, sizeof agent->link.instance);
}

void agent_link_free(struct agent *agent)
{
    close_socket(agent);
}

/* ------------------------------------------------------------------ what the driver reports */

void agent_go_online(struct agent *agent)
{
    struct agent_conn *link = &agent->link;

    link->wanted = true;
    link->leaving = false;
    if (agent->frozen)
        agent_link_refuse(agent, ERR_ROLLBACK);
    if (agent->me.revoked)
        agent_link_refuse(agent, ERR_CERT_REVOKED); /* nobody need wait for a connection */
    if (link->state == STATE_DOWN && link->due_ms == NEVER && !agent->me.revoked)
        link->due_ms = agent_elapsed(agent);
}

/*
 * Closing a socket drops what is still in it.  So receipts go out now, then what is on the way is
 * waited for, then comes BYE, and its answer says that all of it has arrived; for a second at most.
 */
void agent_go_offline(struct agent *agent)
{
    struct agent_conn *link = &agent->link;

    link->wanted = false;
    if (link->state != STATE_UP) {
        agent_link_event(agent, LINK_STOP);
        return;
    }
    link->leaving = true;
    link->leave_by_ms = agent_elapsed(agent) + BYE_MS;
    agent_enter(agent);
    agent_leave(agent);
}

void agent_link_bye(struct agent *agent)
{
    struct agent_conn *link = &agent->link;
    struct message bye = agent_message(VERB_BYE);

    if (!link->leaving || link->said_bye)
        return;
    agent_acks_hurry(agent);
    if (!link->asked && agent_ask(agent, &bye, NULL, 0))
        link->said_bye = true;
}

void agent_link_hurry(struct agent *agent)
{
    struct agent_conn *link = &agent->link;

    if ((link->state != STATE_DOWN && link->state != STATE_REFUSED) || agent->me.revoked
        || agent->frozen)
        return;
    link->failures = 0;
    link->attempts = 0;
    if (link->wanted)
        link->due_ms = agent_elapsed(agent);
}

void agent_connected(struct agent *agent)
{
    agent_enter(agent);
    agent_link_event(agent, LINK_CONNECTED);
    agent_leave(agent);
}

static void not_connected(struct agent *agent, enum link_loss why)
{
    struct agent_conn *link = &agent->link;

    switch (why) {
    case LINK_KEY_REFUSED:
        if (!link->enrolling && agent_transport_key_other(agent)) {
            agent_link_event(agent, LINK_FAILED);
            agent_link_wait(agent, 0);
            return;
        }
        /* The invite's key leaves the broker when it is used up, withdrawn or over. */
        if (!link->enrolling && (was_revoked(agent) || agent->leaving))
            agent->me.revoked = true;
        agent_link_refuse(agent, link->enrolling     ? ERR_TOKEN
                                 : agent->me.revoked ? ERR_CERT_REVOKED
                                                     : ERR_AUTH);
        return;
    case LINK_WRONG_BROKER:
        link->refusal = ERR_CERT_INVALID;
        break;
    case LINK_REFUSED:
        link->failures++;
        link->refusal = ERR_UNREACHABLE;
        break;
    case LINK_LOST:
    case LINK_TIMEOUT:
        link->refusal = ERR_UNREACHABLE;
        break;
    }
    agent_link_event(agent, LINK_FAILED);
    if (link->attempts == 1)
        agent_link_wait(agent, FIRST_WAIT_MS / 6 + agent_jitter(agent, FIRST_WAIT_MS));
}

void agent_disconnected(struct agent *agent, enum link_loss why)
{
    agent_enter(agent);
    if (agent->link.state == STATE_CONNECTING)
        not_connected(agent, why);
    else
        agent_link_event(agent, LINK_GONE);
    agent_leave(agent);
}

/* ------------------------------------------------------------------ questions */

struct message agent_message(enum verb verb)
{
    return (struct message){ .verb = verb };
}

struct agent_asked *agent_ask(struct agent *agent, struct message *message,
                              const struct bytes *parts, size_t count)
{
    struct agent_conn *link = &agent->link;
    struct buf head = { 0 };
    struct agent_asked *asked;
    enum err e;

    if (!link->open || link->busy || agent->frozen)
        return NULL;
    if (++link->rid == 0)
        link->rid = 1;
    message->rid = link->rid;
    message_encode(message, &head);
    e = agent->ports->send(agent->ports->ctx, buf_bytes(&head), parts, count);
    buf_free(&head);
    if (e != ERR_OK) {
        link->busy = true;
        link->busy_until_ms = agent_elapsed(agent) + BUSY_MS;
        return NULL;
    }
    log_event(LOG_DEBUG, "ask", "me=%s verb=%s rid=%u parts=%zu", agent->me.row.name,
              verb_name(message->verb), (unsigned)message->rid, count);
    asked = mem_zeroed(1, sizeof *asked);
    asked->rid = message->rid;
    asked->verb = message->verb;
    asked->sent_ms = agent_elapsed(agent);
    asked->next = link->asked;
    link->asked = asked;
    return asked;
}

bool agent_is_asked(const struct agent *agent, enum verb verb, int64_t scope_id)
{
    for (const struct agent_asked *asked = agent->link.asked; asked; asked = asked->next)
        if (asked->verb == verb && (scope_id == 0 || asked->scope_id == scope_id))
            return true;
    return false;
}

/* ------------------------------------------------------------------ time */

static uint64_t oldest_asked_ms(const struct agent_conn *link)
{
    uint64_t oldest = NEVER;

    for (const struct agent_asked *asked = link->asked; asked; asked = asked->next)
        if (asked->sent_ms < oldest)
            oldest = asked->sent_ms;
    return oldest;
}

static void ping(struct agent *agent)
{
    struct message message = agent_message(VERB_PING);

    MESSAGE_SET(&message, ts, agent_now(agent));
    if (agent_ask(agent, &message, NULL, 0))
        agent->link.pinged = true;
}

/* A question without an answer: its result is unknown.  A HELLO that is not answered means that
 * nobody is there. */
static void give_up_waiting(struct agent *agent)
{
    bool greeting = agent->link.state == STATE_GREETING;

    log_event(LOG_INFO, "link.no_answer", "state=%s", agent_link_state_name(agent->link.state));
    forget_connection(agent);
    agent_link_event(agent, greeting ? LINK_GONE : LINK_AGAIN);
}

/* A full socket took the question that the state waits for. */
static void resume(struct agent *agent)
{
    const struct agent_conn *link = &agent->link;

    if (link->state == STATE_SYNCING) {
        agent_sync_resume(agent);
    } else if (link->state == STATE_GREETING && !(link->enrolling && link->enrol_ms)
               && !agent_is_asked(agent, link->enrolling ? VERB_ENROL : VERB_HELLO, 0)) {
        if (link->enrolling)
            agent_enrol(agent);
        else
            agent_hello(agent);
    }
}

static void tick_connected(struct agent *agent, uint64_t now)
{
    struct agent_conn *link = &agent->link;
    uint64_t oldest = oldest_asked_ms(link);

    if (link->leaving && now >= link->leave_by_ms) {
        agent_link_event(agent, LINK_STOP);
        return;
    }
    if (now >= link->heard_ms + LIMIT_SILENCE_MS) {
        agent_link_event(agent, LINK_GONE);
        return;
    }
    if (oldest != NEVER && now >= oldest + LIMIT_ANSWER_MS) {
        give_up_waiting(agent);
        return;
    }
    if (!link->pinged && now >= link->heard_ms + LIMIT_PING_MS)
        ping(agent);
    if (link->state == STATE_GREETING && link->enrolling && link->enrol_ms && now >= link->enrol_ms)
        agent_enrol(agent);
    else
        resume(agent);
}

void agent_link_tick(struct agent *agent)
{
    struct agent_conn *link = &agent->link;
    uint64_t now = agent_elapsed(agent);

    link->busy = false;
    switch (link->state) {
    case STATE_DOWN:
    case STATE_REFUSED:
        if (link->wanted && now >= link->due_ms)
            agent_link_event(agent, LINK_START);
        break;
    case STATE_CONNECTING:
        if (now >= link->started_ms + HANDSHAKE_MS)
            not_connected(agent, LINK_TIMEOUT);
        break;
    case STATE_GREETING:
    case STATE_SYNCING:
    case STATE_UP:
        tick_connected(agent, now);
        break;
    }
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t agent_link_next_ms(const struct agent *agent)
{
    const struct agent_conn *link = &agent->link;
    uint64_t next = NEVER, oldest;

    switch (link->state) {
    case STATE_DOWN:
    case STATE_REFUSED:
        return link->wanted ? link->due_ms : NEVER;
    case STATE_CONNECTING:
        return link->started_ms + HANDSHAKE_MS;
    case STATE_GREETING:
    case STATE_SYNCING:
    case STATE_UP:
        oldest = oldest_asked_ms(link);
        if (oldest != NEVER)
            next = oldest + LIMIT_ANSWER_MS;
        if (link->leaving)
            next = sooner(next, link->leave_by_ms);
        if (link->enrolling && link->enrol_ms)
            next = sooner(next, link->enrol_ms);
        next = sooner(next, link->heard_ms + (link->pinged ? LIMIT_SILENCE_MS : LIMIT_PING_MS));
        /* Whatever is due wants to send: a full socket puts all of it off. */
        return link->busy ? link->busy_until_ms : next;
    }
    return NEVER;
}

void agent_ping(struct agent *agent)
{
    if (agent_is_up(agent) && !agent->link.pinged)
        ping(agent);
}

void agent_link_get(const struct agent *agent, struct agent_link *out)
{
    const struct agent_conn *link = &agent->link;

    *out = (struct agent_link){
        .state = link->state,
        .refusal = link->refusal,
        .failures = link->failures,
        .reached = link->reached,
        .caught_up = agent_is_caught_up(agent),
        .pending_approval = !agent->me.row.enrolled && link->refusal == ERR_PENDING_APPROVAL,
        .clock_skew_ms = link->skew_ms,
        .clock_skew_known = link->skew_known,
        .rtt_ms = link->rtt_ms,
        .rtt_known = link->rtt_known,
        .retry_after_ms = link->retry_after_ms,
        .pongs = link->pongs,
    };
}
