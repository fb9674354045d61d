#include "agent/flow/views.h"

#include <stdio.h>
#include <stdlib.h>

#include "agent/flow/contact.h"
#include "agent/flow/group.h"
#include "agent/flow/identity.h"
#include "agent/store/alarms.h"
#include "agent/store/dead.h"
#include "agent/store/log.h"
#include "agent/store/scopes.h"
#include "agent/store/sessions.h"

struct agent_views *agent_views_of(struct agent *agent)
{
    if (!agent->views)
        agent->views = mem_zeroed(1, sizeof *agent->views);
    return agent->views;
}

static void free_plain(struct buf *plain)
{
    buf_wipe(plain);
    buf_free(plain);
}

void agent_views_free(struct agent *agent)
{
    if (!agent->views)
        return;
    free_plain(&agent->views->out);
    free_plain(&agent->views->in);
    buf_free(&agent->views->credential);
    buf_free(&agent->views->broker_name);
    free(agent->views);
    agent->views = NULL;
}

/* ------------------------------------------------------------------ me */

enum err agent_self_get(struct agent *agent, struct agent_self *out)
{
    const struct agent_me *me = &agent->me;
    struct agent_views *views = agent_views_of(agent);
    struct directory_entry entry;
    struct log_head head;

    if (agent->broken != ERR_OK)
        return agent->broken;
    buf_clear(&views->broker_name);
    profile_blob_get(agent->store, "broker_name", &views->broker_name);
    *out = (struct agent_self){ .name = bytes_of_text(me->row.name),
                                .broker_name = views->broker_name.len
                                                   ? buf_bytes(&views->broker_name)
                                                   : bytes_of("", 0),
                                .state = me->revoked        ? SELF_REVOKED
                                         : me->row.enrolled ? SELF_ACTIVE
                                                            : SELF_PENDING,
                                .certificate_expires_ms = me->certificate_expires_ms,
                                .prekeys = agent->prekeys,
                                .prekeys_known = agent->prekeys_known };
    memcpy(out->aid, me->row.id, 32);
    memcpy(out->root_id, me->row.root_id, 32);
    out->endpoint
        = bytes_of_text(agent->settings.endpoint[0] ? agent->settings.endpoint : me->row.endpoint);
    views->circles[0] = '\0';
    if (profile_directory_get(agent->store, me->row.id, &entry))
        memcpy(views->circles, entry.circles, sizeof entry.circles);
    out->circles = bytes_of_text(views->circles);
    out->card.gen = me->row.card_gen;
    out->card.created_ms = me->card_created_ms;
    out->card.suites = me->card_suites;
    agent_info_read(me->card_info, &out->card);
    profile_log_head(agent->store, &head);
    out->log_entries = head.next;
    return agent_store_failure(agent->store);
}

/* ------------------------------------------------------------------ others */

enum peer_trust agent_trust_of(const struct profile_peer *peer)
{
    if (peer->revoked_ms)
        return TRUST_REVOKED;
    switch (peer->pin) {
    case PIN_NONE:
        return TRUST_NEW;
    case PIN_FIRST_USE:
        return TRUST_PINNED;
    case PIN_VERIFIED:
        return TRUST_VERIFIED;
    case PIN_CHANGED:
        return TRUST_CHANGED;
    case PIN_BLOCKED:
        return TRUST_BLOCKED;
    }
    return TRUST_NEW;
}

bool agent_group_label(struct agent *agent, int64_t group_id, uint8_t gid[static 16],
                       char name[static 65])
{
    const struct agent_group *group = agent_group_of(agent, group_id);
    struct profile_scope scope;

    if (group) {
        memcpy(gid, group->row.id, 16);
        snprintf(name, 65, "%s", group->name);
    } else {
        if (!profile_scope_get(agent->store, group_id, &scope))
            return false;
        memcpy(gid, scope.id, 16);
        name[0] = '\0';
    }
    if (!name[0])
        snprintf(name, 65, "#%02x%02x%02x%02x", gid[0], gid[1], gid[2], gid[3]);
    return true;
}

enum err agent_find_by_fingerprint(struct agent *agent, const char *text,
                                   struct directory_entry *entry)
{
    char plain[33], name[NAME_MAX_LEN + 1] = "";
    uint64_t index = 0;

    if (fingerprint_parse(plain, text) != ERR_OK)
        return ERR_UNKNOWN_AGENT;
    while (profile_directory_next(agent->store, name, index, entry, &index)) {
        if (fingerprint_fits(plain, entry->aid))
            return ERR_OK;
        memcpy(name, entry->name, sizeof name);
    }
    return ERR_UNKNOWN_AGENT;
}

enum err agent_peer_find(struct agent *agent, const char *peer, uint8_t aid[static 32])
{
    struct directory_entry entry;
    struct profile_peer row;

    if (strncmp(peer, "id:", 3) == 0) {
        enum err e = agent_find_by_fingerprint(agent, peer, &entry);
        if (e != ERR_OK)
            return e;
    } else {
        if (profile_peer_has_pin(agent->store, peer, PIN_CHANGED))
            return ERR_KEY_CHANGED;
        if (!profile_directory_named(agent->store, peer, &entry))
            return ERR_UNKNOWN_AGENT;
    }
    memcpy(aid, entry.aid, 32);
    if (!profile_peer_find(agent->store, aid, &row))
        return ERR_OK;
    if (row.pin == PIN_CHANGED)
        return ERR_KEY_CHANGED;
    return row.pin == PIN_BLOCKED ? ERR_BLOCKED : ERR_OK;
}

static void describe_card(struct agent *agent, const struct profile_peer *row,
                          struct buf *credential, struct peer_info *out)
{
    struct credential cred;

    if (!profile_peer_credential(agent->store, row->peer_id, credential)
        || credential_parse(buf_bytes(credential), &cred) != ERR_OK)
        return;
    out->has_card = true;
    out->card.gen = cred.card.gen;
    out->card.created_ms = cred.card.created_ms;
    out->card.suites = cred.card.suites;
    agent_info_read(cred.card.info, &out->card);
    out->certificate_expires_ms = cred.cert.exp_ms;
}

static void describe_peer(struct agent *agent, const struct directory_entry *entry,
                          struct buf *credential, struct peer_info *out)
{
    const struct agent_presence *presence = agent_presence_of(agent, entry->aid);
    struct profile_peer row;
    struct profile_session session;

    *out = (struct peer_info){ .name = bytes_of_text(entry->name),
                               .circles = bytes_of_text(entry->circles),
                               .trust = TRUST_NEW };
    memcpy(out->aid, entry->aid, 32);
    if (presence && presence->known) {
        out->presence_known = true;
        out->online = presence->online;
        out->seen_ms = presence->seen_ms;
    }
    if (profile_peer_find(agent->store, entry->aid, &row)) {
        out->trust = agent_trust_of(&row);
        out->unread = profile_in_unread_of(agent->store, row.peer_id);
        out->outgoing = profile_out_count_of(agent->store, row.peer_id);
        if (profile_session_active(agent->store, row.peer_id, &session)) {
            out->has_session = true;
            memcpy(out->session, session.id, 16);
        }
        describe_card(agent, &row, credential, out);
    }
    /* the new key under a changed one's name is not heard either */
    if (profile_peer_has_pin(agent->store, entry->name, PIN_CHANGED))
        out->trust = TRUST_CHANGED;
    if (entry->revoked)
        out->trust = TRUST_REVOKED;
}

enum err agent_peer_get(struct agent *agent, const uint8_t aid[static 32], struct peer_info *out)
{
    struct agent_views *views = agent_views_of(agent);
    struct directory_entry entry;

    if (!profile_directory_get(agent->store, aid, &entry))
        return ERR_UNKNOWN_AGENT;
    describe_peer(agent, &entry, &views->credential, out);
    memcpy(views->name, entry.name, sizeof entry.name);
    memcpy(views->circles, entry.circles, sizeof entry.circles);
    out->name = bytes_of_text(views->name);
    out->circles = bytes_of_text(views->circles);
    return agent_store_failure(agent->store);
}

enum err agent_peers_each(struct agent *agent,
                          void (*each)(void *ctx, const struct peer_info *peer), void *ctx)
{
    struct directory_entry entry = { 0 };
    struct buf credential = { 0 };
    uint64_t index = 0;
    char name[NAME_MAX_LEN + 1] = "";

    while (profile_directory_next(agent->store, name, index, &entry, &index)) {
        struct peer_info info;
        memcpy(name, entry.name, sizeof name);
        if (memcmp(entry.aid, agent->me.row.id, 32) == 0)
            continue;
        describe_peer(agent, &entry, &credential, &info);
        each(ctx, &info);
    }
    buf_free(&credential);
    return agent_store_failure(agent->store);
}

/* ------------------------------------------------------------------ counts, alarms */

enum err agent_counts_get(struct agent *agent, struct agent_counts *out)
{
    struct profile_out_counts counts;

    profile_out_counts(agent->store, &counts);
    *out = (struct agent_counts){ .unread = profile_in_count(agent->store, false),
                                  .held = profile_in_count(agent->store, true),
                                  .queued = counts.queued,
                                  .stored = counts.stored,
                                  .dead = profile_dead_count(agent->store),
                                  .sessions = profile_sessions_count(agent->store),
                                  .oldest_ms = counts.oldest_ms };
    return agent_store_failure(agent->store);
}

enum err agent_alarms_each(struct agent *agent,
                           void (*each)(void *ctx, const struct alarm_info *alarm), void *ctx)
{
    struct profile_alarm alarms[64];
    size_t count = profile_alarms(agent->store, alarms, 64);

    for (size_t i = 0; i < count; i++) {
        struct alarm_info info = { .code = bytes_of_text(alarms[i].code),
                                   .detail = bytes_of_text(alarms[i].detail),
                                   .peer = bytes_of_text(alarms[i].peer),
                                   .at_ms = alarms[i].at_ms };
        each(ctx, &info);
    }
    return agent_store_failure(agent->store);
}
