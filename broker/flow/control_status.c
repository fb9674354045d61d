#include <stdio.h>
#include <unistd.h>

#include "broker/controller/controller.h"
#include "broker/flow/control.h"
#include "broker/store/directory.h"
#include "broker/store/invites.h"
#include "broker/store/log.h"
#include "broker/store/streams.h"

#define PAGE_BYTES      4096
#define WAL_FRAME_BYTES (PAGE_BYTES + 24)

struct invite_counts {
    uint64_t now_ms, open, waiting;
};

static bool count_invite(void *ctx, const struct invite_row *invite)
{
    struct invite_counts *counts = ctx;
    enum invite_state state = store_invite_state(invite, counts->now_ms);

    counts->open += state == INVITE_OPEN;
    counts->waiting += state == INVITE_WAITING;
    return true;
}

/* When the oldest frame of all mailboxes was stored; 0: there is none. */
static enum err oldest_of_all(struct flow *flow, uint64_t *out)
{
    size_t count = store_agent_count(flow->store);
    enum err e = ERR_OK;

    *out = 0;
    for (size_t i = 0; i < count && e == ERR_OK; i++) {
        const struct agent_row *agent = store_agent_at(flow->store, i);
        struct stream_row stream;
        uint64_t stored_ms, position;

        e = store_stream_get(flow->store, agent->mailbox, &stream);
        if (e != ERR_OK || !stream.frames)
            continue;
        e = control_oldest(flow, agent->mailbox, &stored_ms, &position);
        if (stored_ms && (!*out || stored_ms < *out))
            *out = stored_ms;
    }
    return e;
}

static void add_problem(json_t *problems, const char *code, const char *message, const char *hint)
{
    json_t *one = json_object();

    out_text(one, "code", code);
    out_text(one, "message", message);
    out_text(one, "hint", hint);
    json_array_append_new(problems, one);
}

static json_t *problems_of(const struct flow *flow, const struct store_facts *facts)
{
    json_t *problems = json_array();

    if (!facts->accepting)
        add_problem(problems, "disk_low", "the disk or the database is full: new mail is refused",
                    "free space, or raise store/max_size");
    if (facts->wal_pages * WAL_FRAME_BYTES > flow->settings.wal_alarm_bytes)
        add_problem(problems, "wal_large", "the log of the database is large",
                    "end the programs that read the database for long");
    if (!*flow->settings.public_address)
        add_problem(problems, "no_public_address",
                    "invites need --host: the endpoint is a wildcard", "set broker/public");
    return problems;
}

static uint64_t active_agents(const struct flow *flow)
{
    uint64_t active = 0;

    for (size_t i = 0; i < store_agent_count(flow->store); i++)
        active += store_agent_at(flow->store, i)->state == AGENT_ACTIVE;
    return active;
}

enum err control_status(struct command *command, const char *state)
{
    struct flow *flow = command->flow;
    struct invite_counts invites = { .now_ms = flow->now_ms };
    struct store_facts facts;
    struct log_head head;
    uint64_t oldest_ms, free_bytes = flow->ports.disk_free(flow->ports.ctx);
    json_t *object;
    enum err e = oldest_of_all(flow, &oldest_ms);

    if (e == ERR_OK)
        e = store_invite_list(flow->store, false, invites.now_ms, count_invite, &invites);
    if (e != ERR_OK)
        return e;
    store_facts(flow->store, &facts);
    store_log_head(flow->store, &head);
    object = out_object("broker_status");
    out_text(object, "name", flow->settings.broker_name);
    out_text(object, "version", SEALPOST_VERSION);
    out_number(object, "pid", (uint64_t)getpid());
    out_number(object, "uptime_ms", flow->elapsed_ms - flow->started_ms);
    out_take(object, "endpoints", out_words(flow->settings.endpoints));
    out_text(object, "public",
             *flow->settings.public_address ? flow->settings.public_address : NULL);
    out_fingerprint(object, "root", controller_root_id(flow->controller));
    out_text(object, "state", state ? state : facts.accepting ? "running" : "disk_low");
    out_number(object, "agents", active_agents(flow));
    out_number(object, "online", peers_online(flow));
    out_number(object, "pending", invites.waiting);
    out_number(object, "invites", invites.open);
    out_number(object, "frames", facts.frames);
    out_number(object, "bytes", facts.bytes);
    out_number_or_null(object, "oldest_ms", oldest_ms != 0,
                       flow->now_ms > oldest_ms ? flow->now_ms - oldest_ms : 0);
    out_number(object, "accepted_total", flow->totals.frames_in);
    out_number(object, "delivered_total", flow->totals.frames_out);
    out_number(object, "expired_total", flow->totals.expired);
    out_number(object, "refused_total", flow->totals.refused);
    out_number(object, "db_bytes", facts.pages * PAGE_BYTES);
    out_number(object, "wal_bytes", facts.wal_pages * WAL_FRAME_BYTES);
    out_number(object, "disk_free_bytes", free_bytes > INT64_MAX ? INT64_MAX : free_bytes);
    out_number(object, "commit_p99_us", facts.commit_us_p99);
    out_number(object, "log_index", head.next);
    out_take(object, "problems", problems_of(flow, &facts));
    out_line(&command->lines, object);
    return ERR_OK;
}
