#include "agent/flow/news.h"

#include <stdio.h>
#include <stdlib.h>

#include "agent/flow/group_inner.h"
#include "agent/flow/link.h"
#include "agent/store/changes.h"
#include "agent/store/dead.h"
#include "agent/store/outbox.h"
#include "agent/store/sessions.h"

#define KEPT       1024
#define REMEMBERED 4096 /* a power of two */

/* The last state that was told of a row: most changes of a row do not change its state. */
struct told {
    int64_t row;
    int what, state;
};

struct agent_news_ring {
    struct agent_news news[KEPT];
    uint64_t newest; /* its number; 0: none yet */
    struct told told[REMEMBERED];
    bool link_told, up;
};

static struct agent_news_ring *ring_of(struct agent *agent)
{
    if (!agent->news)
        agent->news = mem_zeroed(1, sizeof *agent->news);
    return agent->news;
}

void agent_news_free(struct agent *agent)
{
    free(agent->news);
    agent->news = NULL;
}

static struct agent_news *add(struct agent *agent, enum news_kind kind)
{
    struct agent_news_ring *ring = ring_of(agent);
    struct agent_news *news = &ring->news[++ring->newest % KEPT];

    *news = (struct agent_news){ .number = ring->newest, .at_ms = agent_now(agent), .kind = kind };
    agent->changed = true;
    return news;
}

static bool told_already(struct agent *agent, const struct profile_change *change)
{
    uint64_t place = ((uint64_t)change->row * 4 + (uint64_t)change->what) % REMEMBERED;
    struct told *told = &ring_of(agent)->told[place];
    struct told now = { change->row, (int)change->what, change->state };

    if (told->row == now.row && told->what == now.what && told->state == now.state)
        return true;
    *told = now;
    return false;
}

static enum outgoing_state state_of(enum out_stage stage)
{
    switch (stage) {
    case OUTBOX_QUEUED:
    case OUTBOX_SEALED:
        return OUT_QUEUED;
    case OUTBOX_ACCEPTED:
        return OUT_STORED;
    case OUTBOX_DELIVERED:
        return OUT_DELIVERED;
    }
    return OUT_QUEUED;
}

static enum outgoing_state state_of_dead(int reason)
{
    return reason == DEAD_EXPIRED   ? OUT_EXPIRED
           : reason == DEAD_DROPPED ? OUT_DROPPED
                                    : OUT_REFUSED;
}

static void tell(struct agent *agent, struct profile_change *change)
{
    struct agent_news *news;

    if (change->what == CHANGED_OUTGOING && change->state == OUTBOX_SEALED)
        change->state = OUTBOX_QUEUED; /* the same to people */
    if (told_already(agent, change))
        return;
    switch (change->what) {
    case CHANGED_OUTGOING:
        news = add(agent, NEWS_MESSAGE);
        news->outgoing = state_of((enum out_stage)change->state);
        break;
    case CHANGED_DEAD:
        news = add(agent, NEWS_MESSAGE);
        news->outgoing = state_of_dead(change->state);
        break;
    case CHANGED_SESSION:
        news = add(agent, change->state == SESSION_WAS_ASKED ? NEWS_REQUEST : NEWS_SESSION);
        break;
    case CHANGED_ALARM:
        news = add(agent, NEWS_ALARM);
        snprintf(news->text, sizeof news->text, "%s", change->code);
        break;
    default:
        return;
    }
    memcpy(news->id, change->msg_id, 16);
    memcpy(news->sid, change->sid, 16);
    memcpy(news->aid, change->aid, 32);
}

static void tell_link(struct agent *agent)
{
    struct agent_news_ring *ring = ring_of(agent);
    bool up = agent_is_up(agent);
    struct agent_news *news;

    if (ring->link_told ? ring->up == up : !up)
        return;
    ring->link_told = true;
    ring->up = up;
    news = add(agent, NEWS_LINK);
    news->up = up;
    if (!up && agent->link.refusal != ERR_OK)
        snprintf(news->text, sizeof news->text, "%s", err_text(agent->link.refusal));
}

/* Invitations live in memory; a person is asked once. */
static void tell_invitations(struct agent *agent)
{
    for (struct agent_group *group = agent->groups; group; group = group->next) {
        struct agent_news *news;
        if (!group->held || group->held_told || group->row.state != PROFILE_GROUP_INVITED)
            continue;
        group->held_told = true;
        news = add(agent, NEWS_REQUEST);
        memcpy(news->sid, group->row.id, 16);
        agent_group_inviter(agent, group, news->aid);
    }
}

void agent_news_gather(struct agent *agent)
{
    struct profile_change change;

    while (profile_change_next(agent->store, &change))
        tell(agent, &change);
    tell_invitations(agent);
    tell_link(agent);
}

bool agent_news_next(const struct agent *agent, uint64_t after, struct agent_news *out)
{
    const struct agent_news_ring *ring = agent->news;
    uint64_t oldest;

    if (!ring || after >= ring->newest)
        return false;
    oldest = ring->newest > KEPT ? ring->newest - KEPT + 1 : 1;
    *out = ring->news[(after + 1 > oldest ? after + 1 : oldest) % KEPT];
    return true;
}
