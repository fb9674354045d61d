#include "agent/flow/watch.h"

#include <stdio.h>

#include "agent/flow/contact.h"
#include "agent/flow/group.h"
#include "agent/flow/incoming.h"
#include "agent/flow/link.h"
#include "agent/flow/sync.h"
#include "agent/flow/identity.h"
#include "agent/store/alarms.h"
#include "agent/store/log.h"
#include "agent/store/peers.h"
#include "shared/base/log.h"

#define ENTRIES_AT_ONCE 256

bool agent_log_read(struct agent *agent)
{
    struct log_head head;

    profile_log_head(agent->store, &head);
    return head.next >= agent->link.broker_log_next && !agent->log_asked;
}

void agent_log_ask(struct agent *agent)
{
    struct message message = agent_message(VERB_LOG);
    struct log_head head;

    if (agent->log_asked)
        return;
    profile_log_head(agent->store, &head);
    MESSAGE_SET(&message, index, head.next);
    MESSAGE_SET(&message, max, ENTRIES_AT_ONCE);
    agent->log_asked = agent_ask(agent, &message, NULL, 0) != NULL;
    agent->log_wanted = !agent->log_asked;
}

bool agent_log_has(struct agent *agent, uint64_t index)
{
    struct log_head head;

    profile_log_head(agent->store, &head);
    if (index < head.next)
        return true;
    agent->log_wanted = true;
    return false;
}

/* ------------------------------------------------------------------ what peers have seen */

/* A head that a peer named and my copy does not reach yet: compared when it does, however long the
 * controller takes.  One of each peer, the one that is reached first. */
#define AHEAD      "heads_ahead"
#define AHEAD_SIZE (8 + 8 + 32) /* peer, index, head */
#define AHEAD_MAX  (1000 * AHEAD_SIZE)

static void note_ahead(struct agent *agent, uint64_t index, const uint8_t head[static 32],
                       int64_t peer_id)
{
    struct buf noted = { 0 };
    uint8_t *at, *end;

    profile_blob_get(agent->store, AHEAD, &noted);
    for (at = noted.at, end = at + noted.len; at < end; at += AHEAD_SIZE)
        if (get_u64(at) == (uint64_t)peer_id)
            break;
    if (at == end && noted.len < AHEAD_MAX)
        at = buf_extend(&noted, AHEAD_SIZE);
    else if (at == end || get_u64(at + 8) <= index)
        at = NULL;
    if (at) {
        memcpy(put_u64(put_u64(at, (uint64_t)peer_id), index), head, 32);
        profile_blob_set(agent->store, AHEAD, buf_bytes(&noted),
                         "heads of the log that peers named and my copy does not reach yet");
    }
    buf_free(&noted);
}

/* The copy has grown. */
static void compare_ahead(struct agent *agent)
{
    struct buf noted = { 0 }, left = { 0 };
    struct log_head mine;

    profile_log_head(agent->store, &mine);
    profile_blob_get(agent->store, AHEAD, &noted);
    for (size_t at = 0; at + AHEAD_SIZE <= noted.len; at += AHEAD_SIZE) {
        const uint8_t *one = noted.at + at;
        if (get_u64(one + 8) < mine.next)
            agent_log_compare(agent, get_u64(one + 8), one + 16, (int64_t)get_u64(one));
        else
            buf_append(&left, one, AHEAD_SIZE);
    }
    if (left.len == 0 && noted.len > 0)
        profile_fact_remove(agent->store, AHEAD);
    else if (left.len < noted.len)
        profile_blob_set(agent->store, AHEAD, buf_bytes(&left),
                         "heads of the log that peers named and my copy does not reach yet");
    buf_free(&noted);
    buf_free(&left);
}

void agent_log_compare(struct agent *agent, uint64_t index, const uint8_t head[static 32],
                       int64_t peer_id)
{
    uint8_t mine[32];
    char detail[64];

    if (peer_id && !agent_log_has(agent, index)) {
        note_ahead(agent, index, head, peer_id);
        return;
    }
    if (!profile_log_digest(agent->store, index, mine) || memcmp(mine, head, 32) == 0)
        return;
    snprintf(detail, sizeof detail, "entry %llu", (unsigned long long)index);
    profile_alarm_add(agent->store, "split_view", peer_id, 0, detail, agent_now(agent));
    agent->changed = true;
}

/* ------------------------------------------------------------------ what an entry means */

/* Somebody else under my name, or a card under my id that I never made. */
static void watch_myself(struct agent *agent, const struct log_entry *entry)
{
    const struct profile_me *me = &agent->me.row;
    bool my_aid = memcmp(entry->aid, me->id, 32) == 0;
    struct directory_entry mine;
    char detail[64];

    if (my_aid && entry->type == ENTRY_REVOKE)
        return; /* HELLO tells, and the operator means it */
    if (my_aid ? agent_card_generation(agent, entry->card_hash) != 0
               : strcmp(entry->name, me->name) != 0 || entry->type == ENTRY_REVOKE
                     || !profile_directory_get(agent->store, me->id, &mine))
        return;
    snprintf(detail, sizeof detail, "log entry %llu", (unsigned long long)entry->index);
    profile_alarm_add(agent->store, "impersonation", 0, 0, detail, agent_now(agent));
    agent->changed = true;
}

static void watch_peers(struct agent *agent, const struct log_entry *entry)
{
    struct profile_peer peer;

    if (entry->type == ENTRY_REVOKE) {
        if (profile_peer_find(agent->store, entry->aid, &peer))
            agent_contact_revoked(agent, &peer);
        agent_groups_revoked(agent, entry->aid);
    } else if (profile_peer_pinned(agent->store, entry->name, entry->aid, &peer)
               && memcmp(entry->aid, agent->me.row.id, 32) != 0) {
        agent_contact_changed(agent, &peer, "the log names another agent");
    }
}

static void circles_text(char out[static CIRCLES_TEXT_MAX], const struct log_entry *entry)
{
    struct circles circles;
    size_t at = 0;

    out[0] = '\0';
    if (entry->type != ENTRY_ENROL || circles_parse(entry->extra, &circles) != ERR_OK)
        return;
    for (size_t i = 0; i < circles.count; i++) {
        if (i > 0)
            out[at++] = ' ';
        memcpy(out + at, circles.label[i].at, circles.label[i].len);
        at += circles.label[i].len;
    }
    out[at] = '\0';
}

/* ------------------------------------------------------------------ reading */

static bool append_all(struct agent *agent, const struct message *message)
{
    struct list_reader reader = list_read(&message->items);
    struct log_head head;
    struct bytes packed;

    profile_log_head(agent->store, &head);
    while (list_entry(&reader, &packed)) {
        struct log_entry entry;
        char circles[CIRCLES_TEXT_MAX];
        if (log_head_append(&head, packed, &entry) != ERR_OK)
            return false;
        circles_text(circles, &entry);
        watch_myself(agent, &entry);
        watch_peers(agent, &entry);
        profile_log_add(agent->store, &entry, circles, head.digest);
        agent->changed = true;
    }
    return reader.err == ERR_OK;
}

/* What waited for the log can go on. */
static void log_moved(struct agent *agent)
{
    compare_ahead(agent);
    agent_contact_resume(agent);
    agent_groups_resume(agent);
    agent_incoming_resume(agent);
    if (agent->link.state == STATE_SYNCING && agent_log_read(agent))
        agent_sync_scopes(agent);
}

void agent_log_answer(struct agent *agent, enum err code, const struct message *message)
{
    struct log_head head;

    agent->log_asked = false;
    agent->log_answers++;
    if (code != ERR_OK || !append_all(agent, message)) {
        /* A log that does not continue ours is another log. */
        if (code == ERR_OK)
            profile_alarm_add(agent->store, "split_view", 0, 0, "log does not continue",
                              agent_now(agent));
        log_event(LOG_WARN, "log.refused", "error=%s", err_name(code));
        agent_link_event(agent, LINK_GONE);
        return;
    }
    profile_log_head(agent->store, &head);
    if (head.next > 0)
        agent_log_compare(agent, message->index, message->head, 0);
    agent_log_compare(agent, agent->link.broker_log_next - 1, agent->link.broker_log_head, 0);
    if (message->index + 1 > head.next && message->items.count > 0)
        agent_log_ask(agent);
    log_moved(agent);
}
