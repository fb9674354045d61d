#include "agent/api/events.h"

#include <stdio.h>
#include <string.h>

#include "agent/api/object.h"

uint64_t events_newest(const struct call *call)
{
    struct agent_news news = { 0 };

    while (agent_news_next(call->agent, news.number, &news))
        continue;
    return news.number;
}

/* A message of ours has come further; that it is queued, whoever sent it knows. */
static void tell_receipt(struct call *call, const struct agent_news *news)
{
    struct outgoing_info out;
    struct peer_info peer;
    struct bytes to = bytes_of("", 0);

    if (news->outgoing == OUT_QUEUED)
        return;
    if (agent_outgoing_get(call->agent, news->id, &out) == ERR_OK)
        to = out.to;
    else if (agent_peer_get(call->agent, news->aid, &peer) == ERR_OK)
        to = peer.name;
    call_item(call, object_receipt(news->id, to, (enum outgoing_state)news->outgoing, news->at_ms));
}

struct request_search {
    struct call *call;
    const struct agent_news *news;
};

static void tell_if_asked_for(void *ctx, const struct request_info *request)
{
    const struct request_search *search = ctx;

    if (memcmp(request->session, search->news->sid, 16) == 0)
        call_item(search->call, object_request(request, false));
}

static void tell_request(struct call *call, const struct agent_news *news)
{
    struct request_search search = { call, news };

    agent_requests_each(call->agent, tell_if_asked_for, &search);
}

static void tell_session(struct call *call, const struct agent_news *news)
{
    struct session_info session;

    if (agent_session_get(call->agent, news->sid, &session) == ERR_OK)
        call_item(call, object_session(&session));
}

struct alarm_search {
    struct call *call;
    const struct agent_news *news;
    struct bytes peer;
    bool found;
};

static void tell_if_new(void *ctx, const struct alarm_info *alarm)
{
    struct alarm_search *search = ctx;
    char message[400], hint[256];

    if (search->found || !bytes_equal(alarm->code, bytes_of_text(search->news->text))
        || (search->peer.len && !bytes_equal(alarm->peer, search->peer)))
        return;
    search->found = true;
    alarm_message(message, sizeof message, search->news->text, alarm);
    alarm_hint(hint, sizeof hint, search->news->text, alarm->peer);
    call_item(search->call, object_alarm(alarm, message, hint));
}

static void tell_alarm(struct call *call, const struct agent_news *news)
{
    struct alarm_search search = { .call = call, .news = news };
    struct peer_info peer;

    if (agent_peer_get(call->agent, news->aid, &peer) == ERR_OK)
        search.peer = peer.name;
    agent_alarms_each(call->agent, tell_if_new, &search);
}

static void tell_link(struct call *call, const struct agent_news *news)
{
    struct bytes broker = bytes_of("", 0);
    struct agent_self self;

    if (agent_self_get(call->agent, &self) == ERR_OK)
        broker = object_address(self.endpoint);
    call_item(call, object_link(news->up, broker, news->text[0] ? news->text : NULL));
}

uint64_t events_tell(struct call *call, uint64_t after)
{
    struct agent_news news;

    while (!call->ended && agent_news_next(call->agent, after, &news)) {
        after = news.number;
        switch (news.kind) {
        case NEWS_MESSAGE:
            tell_receipt(call, &news);
            break;
        case NEWS_REQUEST:
            tell_request(call, &news);
            break;
        case NEWS_SESSION:
            tell_session(call, &news);
            break;
        case NEWS_ALARM:
            tell_alarm(call, &news);
            break;
        case NEWS_LINK:
            tell_link(call, &news);
            break;
        }
    }
    return after;
}
