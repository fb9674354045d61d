#include "agent/flow/agent.h"

#include <stdlib.h>

#include "agent/flow/chain.h"
#include "agent/flow/channel.h"
#include "agent/flow/contact.h"
#include "agent/flow/dispatch.h"
#include "agent/flow/freeze.h"
#include "agent/flow/group.h"
#include "agent/flow/group_mail.h"
#include "agent/flow/identity.h"
#include "agent/flow/incoming.h"
#include "agent/flow/leave.h"
#include "agent/flow/link.h"
#include "agent/flow/news.h"
#include "agent/flow/outgoing.h"
#include "agent/flow/receipts.h"
#include "agent/flow/replenish.h"
#include "agent/flow/rotate.h"
#include "agent/flow/session.h"
#include "agent/flow/sweep.h"
#include "agent/flow/views.h"
#include "agent/flow/watch.h"
#include "agent/store/outbox.h"
#include "shared/base/crash.h"
#include "shared/base/log.h"
#include "shared/wire/limit.h"

#define DAY_MS         86400000ull
#define SWEEP_MS       60000
#define TIDY_MS        1000
#define CHECKPOINT_MS  300000
#define HOUR_MS        3600000
#define RENEW_AGAIN_MS 60000
#define NEVER          UINT64_MAX

void agent_settings_default(struct agent_settings *out)
{
    *out = (struct agent_settings){ .consent = CONSENT_CIRCLE,
                                    .ttl_ms = 7 * DAY_MS,
                                    .inbox_keep_ms = 30 * DAY_MS,
                                    .sent_keep_ms = 7 * DAY_MS,
                                    .dead_keep_ms = 30 * DAY_MS };
}

uint64_t agent_jitter(const struct agent *agent, uint64_t below)
{
    uint8_t bytes[8];

    agent_random(agent, bytes, sizeof bytes);
    return below ? get_u64(bytes) % below : 0;
}

uint64_t agent_backoff(const struct agent *agent, unsigned failures)
{
    unsigned doublings = failures > 0 ? failures - 1 : 0;
    uint64_t most = doublings < 6 ? 1000ull << doublings : LIMIT_BACKOFF_MAX_MS;

    if (most > LIMIT_BACKOFF_MAX_MS)
        most = LIMIT_BACKOFF_MAX_MS;
    return 50 + agent_jitter(agent, most);
}

/* ------------------------------------------------------------------ life */

static void begin_memory(struct agent *agent)
{
    struct profile_out_counts counts;

    agent->ack_due_ms = agent->look_ms = NEVER;
    agent->sweep_ms = agent_elapsed(agent);
    agent->tidied_ms = agent_elapsed(agent);
    agent->look_events = agent->look_requests = agent->look_queue = true;
    profile_out_counts(agent->store, &counts);
    agent->open_messages = counts.open;
    agent_freeze_load(agent);
    agent_leave_load(agent);
    agent_prekeys_load(agent);
    agent_groups_load(agent);
}

enum err agent_new(struct agent **out, struct agent_store **store, const struct agent_ports *ports,
                   const struct agent_settings *settings)
{
    struct agent *agent = mem_zeroed(1, sizeof *agent);
    uint64_t boots = 0;
    enum err e;

    *out = NULL;
    agent->store = *store;
    agent->ports = ports;
    agent->settings = *settings;
    agent_store_random(agent->store, ports->random, ports->ctx);
    agent_store_begin(agent->store);
    e = agent_me_load(agent);
    if (e == ERR_OK) {
        agent_link_init(agent);
        agent_card_refresh(agent);
        begin_memory(agent);
        profile_number_get(agent->store, "boot", &boots);
        profile_number_set(agent->store, "boot", boots + 1,
                           "times this profile was opened for writing");
        e = agent_store_commit(agent->store);
    } else {
        agent_store_rollback(agent->store);
    }
    if (e != ERR_OK) {
        agent_me_wipe(agent);
        free(agent);
        return e;
    }
    *store = NULL;
    *out = agent;
    return ERR_OK;
}

void agent_free(struct agent **agent)
{
    struct agent *a = *agent;

    if (!a)
        return;
    agent_link_free(a);
    agent_openings_free(a);
    agent_channels_free(a);
    agent_groups_free(a);
    agent_views_free(a);
    agent_news_free(a);
    buf_wipe(&a->scratch);
    buf_free(&a->scratch);
    agent_me_wipe(a);
    agent_store_close(&a->store);
    free(a);
    *agent = NULL;
}

void agent_configure(struct agent *agent, const struct agent_settings *settings)
{
    agent_enter(agent);
    agent->settings = *settings;
    agent_card_refresh(agent);
    agent_leave(agent);
}

/* ------------------------------------------------------------------ turns */

void agent_enter(struct agent *agent)
{
    agent_store_begin(agent->store);
}

/* A transaction failed: what is in memory may be ahead of the disk, so it is made anew. */
static void start_over(struct agent *agent, enum err e)
{
    log_event(LOG_ERROR, "agent.store", "error=%s", err_name(e));
    agent_link_event(agent, LINK_GONE);
    agent_openings_free(agent);
    agent_channels_free(agent);
    agent_store_begin(agent->store);
    profile_me_free(&agent->me.row);
    agent->broken = agent_me_load(agent);
    begin_memory(agent);
    agent_store_rollback(agent->store);
    agent->changed = true;
}

enum err agent_condition(const struct agent *agent)
{
    return agent->broken;
}

enum err agent_leave(struct agent *agent)
{
    enum err e;

    agent_groups_prepare(agent); /* has words for others */
    agent_contact_prepare(agent);
    agent_rotations_prepare(agent);
    if (agent_is_up(agent))
        agent_prekeys_prepare(agent);
    e = agent_store_commit(agent->store);
    if (agent->queued) {
        agent->queued = false;
        CRASH_POINT("send.committed");
    }
    if (e != ERR_OK)
        start_over(agent, e);
    else
        agent_send_all(agent);
    if (e == ERR_OK)
        agent_news_gather(agent);
    if (agent->changed) {
        agent->changed = false;
        agent->ports->changed(agent->ports->ctx);
    }
    return e;
}

void agent_send_all(struct agent *agent)
{
    if (agent->frozen && agent->link.state > STATE_DOWN)
        agent_link_refuse(agent, ERR_ROLLBACK);
    if (agent->hello_wanted) {
        agent->hello_wanted = false;
        agent_link_event(agent, LINK_AGAIN);
    }
    if (!agent_is_up(agent))
        return;
    if (agent->log_wanted)
        agent_log_ask(agent);
    agent_events_send(agent);
    agent_groups_send(agent);
    agent_requests_send(agent);
    agent_sends(agent);
    agent_acks_send(agent);
    agent_channels_acks_send(agent);
    agent_prekeys_ask(agent);
    agent_card_publish(agent); /* before requests that name it */
    agent_contact_ask(agent);
    agent_leave_ask(agent);
    agent_link_bye(agent);
}

void agent_received(struct agent *agent, struct bytes head, const struct bytes *parts, size_t count)
{
    agent_enter(agent);
    agent_dispatch(agent, head, parts, count);
    if (agent_leave(agent) == ERR_OK)
        CRASH_POINT("recv.committed");
}

/* ------------------------------------------------------------------ time */

static void tick_later(struct agent *agent, uint64_t now)
{
    uint64_t now_ms = agent_now(agent);

    if (now >= agent->look_ms) {
        agent->look_ms = NEVER;
        agent->look_events = agent->look_requests = true;
    }
    if (now >= agent->sweep_ms) {
        agent->sweep_ms = now + SWEEP_MS;
        agent_sweep(agent);
    }
    if (!agent_is_up(agent))
        return;
    if (now_ms >= agent->me.certificate_renew_ms && now_ms >= agent->renew_ms) {
        agent->renew_ms = now_ms + RENEW_AGAIN_MS;
        agent->hello_wanted = true;
    }
    if (agent->ack_stuck && now >= agent->ack_due_ms) {
        agent->ack_due_ms = NEVER;
        agent->hello_wanted = true;
    }
    agent_channels_tick(agent);
    if (now >= agent->log_due_ms) {
        agent->log_due_ms = now + HOUR_MS;
        agent->log_wanted = agent->prekeys_wanted = true;
    }
}

/* Deleted keys live on in the write-ahead log until it is emptied. */
static uint64_t tidy_due_ms(const struct agent *agent)
{
    return agent->tidied_ms + (agent_store_untidy(agent->store) ? TIDY_MS : CHECKPOINT_MS);
}

void agent_tick(struct agent *agent)
{
    uint64_t now = agent_elapsed(agent);

    agent_enter(agent);
    agent_link_tick(agent);
    tick_later(agent, now);
    agent_groups_tick(agent);
    agent_leave(agent);
    if (now >= tidy_due_ms(agent)) {
        agent_store_tidy(agent->store, true);
        agent->tidied_ms = now;
    }
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t openings_next_ms(const struct agent *agent)
{
    uint64_t next = NEVER;

    for (const struct agent_opening *opening = agent->openings; opening; opening = opening->next)
        if (!opening->asked && !opening->answered)
            next = sooner(next, opening->wait_ms);
    return next;
}

uint64_t agent_next_tick_ms(const struct agent *agent)
{
    uint64_t next = sooner(agent_link_next_ms(agent), agent->sweep_ms);

    if (agent_store_untidy(agent->store))
        next = sooner(next, tidy_due_ms(agent));
    if (!agent_is_up(agent)
        || agent->link.busy) /* a full socket is tried again by the link's time */
        return next;
    next = sooner(next, agent->look_ms);
    next = sooner(next, agent->log_due_ms);
    next = sooner(next, openings_next_ms(agent));
    next = sooner(next, agent_senders_next_ms(agent));
    next = sooner(next, agent_groups_next_ms(agent));
    next = sooner(next, agent_channels_next_ms(agent));
    if (!agent->ack_flying)
        next = sooner(next, agent->ack_due_ms);
    return next;
}
