/* What a group's channel delivers: frames opened or held, events handed on, my own frames found. */
#include <sodium.h>
#include <stdlib.h>

#include "agent/flow/channel.h"
#include "agent/flow/freeze.h"
#include "agent/flow/group_mail.h"
#include "agent/flow/incoming.h"
#include "agent/flow/link.h"
#include "agent/flow/watch.h"
#include "agent/store/alarms.h"
#include "agent/store/dead.h"
#include "agent/store/inbox.h"
#include "agent/store/outbox.h"
#include "agent/store/scopes.h"
#include "shared/base/crash.h"
#include "shared/base/log.h"
#include "shared/wire/limit.h"

#define HOUR_MS      3600000
#define UNOPENED_MAX 100 /* dead letters of one group in an hour */

/* ------------------------------------------------------------------ authors */

static void wipe_chain(struct channel_author *author)
{
    group_sending_wipe(&author->sending);
    memset(&author->chain, 0, sizeof author->chain);
    author->moved = false;
}

void agent_channel_drop_authors(struct agent_channel *channel)
{
    while (channel->authors) {
        struct channel_author *gone = channel->authors;
        channel->authors = gone->next;
        wipe_chain(gone);
        buf_free(&gone->received.missing);
        free(gone);
    }
}

void agent_channel_void(struct agent_channel *channel)
{
    channel->over = true;
    for (struct channel_author *author = channel->authors; author; author = author->next)
        wipe_chain(author);
}

static void put_chain(struct agent *agent, struct profile_chain *chain,
                      const struct group_sending *sending)
{
    struct buf state = { 0 };

    chain->skipped = sending->skipped_count;
    group_sending_export(sending, &state);
    profile_chain_put(agent->store, chain, buf_bytes(&state));
    buf_wipe(&state);
    buf_free(&state);
}

static bool get_chain(struct agent *agent, const struct profile_chain *chain,
                      struct group_sending *sending)
{
    struct buf state = { 0 };
    bool good = profile_chain_get(agent->store, chain, &state)
                && group_sending_import(sending, buf_bytes(&state)) == ERR_OK;

    buf_wipe(&state);
    buf_free(&state);
    if (!good)
        agent_store_fail(agent->store, ERR_CORRUPT);
    return good;
}

/* All members together may leave out so many: the oldest chains' keys go first. */
static void trim_skipped(struct agent *agent, int64_t group_id)
{
    uint64_t total = profile_chains_skipped(agent->store, group_id);
    struct profile_chain chain;
    int64_t after = 0;

    while (total > LIMIT_GROUP_SKIPPED
           && profile_chain_next_skipped(agent->store, group_id, after, &chain)) {
        struct group_sending sending = { 0 };
        uint64_t over = total - LIMIT_GROUP_SKIPPED;
        uint32_t keep = chain.skipped > over ? chain.skipped - (uint32_t)over : 0;
        after = chain.chain_id;
        total -= chain.skipped - keep;
        if (get_chain(agent, &chain, &sending)) {
            group_sending_trim(&sending, agent_now(agent), keep);
            put_chain(agent, &chain, &sending);
        }
        group_sending_wipe(&sending);
    }
}

static void write_chain(struct agent *agent, struct channel_author *author)
{
    bool more = author->sending.skipped_count > author->chain.skipped;

    if (!author->moved)
        return;
    if (author->sending.skipped_count)
        group_sending_trim(&author->sending, agent_now(agent), (uint32_t)LIMIT_GROUP_SKIPPED);
    put_chain(agent, &author->chain, &author->sending);
    author->moved = false;
    if (more)
        trim_skipped(agent, author->chain.group_id);
}

void agent_channel_flush(struct agent *agent, struct agent_channel *channel)
{
    for (struct channel_author *author = channel->authors; author; author = author->next) {
        write_chain(agent, author);
        if (author->received_changed && !channel->over)
            profile_received_put(agent->store, channel->group_id, author->peer.peer_id,
                                 &author->received);
        author->received_changed = false;
    }
    if (!channel->opening)
        agent_channel_drop_authors(channel);
    if (channel->row_changed && !channel->over)
        profile_channel_put(agent->store, channel->group_id, &channel->row);
    channel->row_changed = false;
}

/* NULL: nobody we know. */
static struct channel_author *author_of(struct agent *agent, struct agent_channel *channel,
                                        const uint8_t aid[static 32])
{
    struct channel_author *author = channel->authors;
    struct profile_peer peer;

    while (author && memcmp(author->peer.id, aid, 32) != 0)
        author = author->next;
    if (author || !profile_peer_find(agent->store, aid, &peer))
        return author;
    author = mem_zeroed(1, sizeof *author);
    author->peer = peer;
    profile_received_get(agent->store, channel->group_id, peer.peer_id, &author->received);
    author->next = channel->authors;
    channel->authors = author;
    return author;
}

/* His chain in that epoch.  False: there is none. */
static bool load_chain(struct agent *agent, const struct agent_group *group,
                       struct channel_author *author, uint32_t epoch)
{
    if (author->chain.chain_id && author->chain.epoch == epoch)
        return true;
    write_chain(agent, author);
    wipe_chain(author);
    if (!agent_group_epoch_at(group, epoch, &author->epoch)
        || !profile_chain_find(agent->store, group->group_id, epoch, author->peer.peer_id,
                               &author->chain))
        return false;
    if (get_chain(agent, &author->chain, &author->sending))
        return true;
    wipe_chain(author);
    return false;
}

/* The first number of an author is where I came in; later ones follow each other. */
static void note_number(struct agent *agent, const struct agent_channel *channel,
                        struct channel_author *author, uint64_t seq,
                        const uint8_t digest[static 32])
{
    bool first = author->received.seq == 0;

    if (first)
        author->received.seq = seq - 1;
    if (agent_received_add(&author->received, seq, digest))
        profile_alarm_add(agent->store, "gap", author->peer.peer_id, channel->group_id,
                          "messages are missing", agent_now(agent));
    author->received_changed = true;
}

/* ------------------------------------------------------------------ opening */

/* What it signed was checked with the key that the verified log binds to its name. */
static void pin_author(struct agent *agent, struct profile_peer *peer)
{
    struct profile_peer other;

    if (peer->pin != PIN_NONE || profile_peer_pinned(agent->store, peer->name, peer->id, &other))
        return;
    profile_peer_pin(agent->store, peer, PIN_FIRST_USE, "spoke in a group of ours",
                     agent_now(agent));
    peer->pin = PIN_FIRST_USE;
}

static void take_message(struct agent *agent, struct agent_group *group,
                         struct channel_author *author, struct bytes plain,
                         const struct frame_view *view, const uint8_t digest[static 32],
                         uint64_t stored_ms)
{
    uint8_t sender[32];
    struct envelope envelope;

    if (envelope_decode(plain, &envelope) != ERR_OK) {
        log_event(LOG_WARN, "group.envelope", "group=%s seq=%llu", log_id(group->row.id),
                  (unsigned long long)view->seq);
        return;
    }
    if (envelope.has_log)
        agent_log_compare(agent, envelope.log_index, envelope.log_head, author->peer.peer_id);
    pin_author(agent, &author->peer);
    if (envelope.kind == ENVELOPE_USER && author->peer.pin != PIN_BLOCKED)
        agent_inbox_put(agent, group->group_id, author->peer.peer_id, &envelope, plain, view,
                        digest, stored_ms, false);
    memcpy(sender, view->sender, 32);
    agent_group_heard(agent, group, sender, &envelope);
}

/* An admin who has other keys under the epoch's number has another history.  Of others it is not
 * believed: anybody can send what does not open. */
static bool is_fork(const struct agent_group *group, const struct channel_author *author,
                    const struct frame_view *view, enum err e)
{
    uint32_t epoch, gen;

    return (e == ERR_DECRYPT || e == ERR_COMMIT) && group_frame_place(view, &epoch, &gen)
           && epoch == group->chain.epoch && gen >= author->sending.next
           && group_is_admin(&group->chain, author->peer.id);
}

static void not_opened(struct agent *agent, struct agent_group *group,
                       const struct channel_author *author, const struct frame_view *view,
                       const uint8_t digest[static 32], enum err e)
{
    uint64_t now = agent_now(agent);

    log_event(LOG_WARN, "frame.unopened", "group=%s from=%s seq=%llu error=%s",
              log_id(group->row.id), author->peer.name, (unsigned long long)view->seq, err_name(e));
    if (profile_dead_unopened(agent->store, group->group_id, now > HOUR_MS ? now - HOUR_MS : 0)
        < UNOPENED_MAX)
        profile_dead_incoming(agent->store, author->peer.peer_id, group->group_id, view->seq,
                              digest, view->all, err_name(e), now);
    profile_alarm_add(agent->store, "undecryptable", author->peer.peer_id, group->group_id,
                      err_name(e), now);
    agent->changed = true;
}

/* With the author's chain at hand.  Number, chain and inbox row are one transaction. */
static bool open_frame(struct agent *agent, struct agent_channel *channel,
                       struct agent_group *group, struct channel_author *author,
                       const struct frame_view *view, const uint8_t digest[static 32],
                       uint64_t stored_ms)
{
    struct buf *plain = &channel->plain;
    struct group_opened opened;
    enum err e;

    buf_clear(plain);
    channel->opening = true;
    e = group_decrypt(&author->sending, &author->epoch, view, author->peer.identity_key,
                      agent_now(agent), buf_extend(plain, view->ct.len), &opened);
    CRASH_POINT("recv.opened");
    if (e == ERR_OK) {
        author->moved = true;
        take_message(agent, group, author, bytes_of(plain->at + opened.offset, opened.len), view,
                     digest, stored_ms);
    } else {
        bool fork = is_fork(group, author, view, e);
        not_opened(agent, group, author, view, digest, e);
        if (fork)
            agent_group_forked(agent, group, "a message of an admin has other keys than ours");
    }
    channel->opening = false;
    buf_wipe(plain);
    return e == ERR_OK;
}

/* ------------------------------------------------------------------ frames */

/* A number that was dealt with: is it the same frame?  Then `opened` tells whether it was read. */
static void known_again(struct agent *agent, const struct agent_channel *channel,
                        const struct channel_author *author, struct channel_item *item)
{
    const uint8_t *was = NULL;
    struct profile_in row;
    struct profile_held held;
    uint64_t restored_ms = 0;
    int64_t peer_id = author->peer.peer_id;

    if (profile_in_at(agent->store, channel->group_id, peer_id, item->seq, &row)) {
        was = row.digest;
        item->opened = true;
    } else if (profile_held_at(agent->store, channel->group_id, peer_id, item->seq, &held)) {
        was = held.digest;
    }
    if (item->seq == author->received.seq)
        was = author->received.digest;
    if (!was || memcmp(was, item->digest, 32) == 0)
        return;
    item->opened = false;
    /* What a broker that was put back had lost may have been sealed anew under a newer epoch. */
    if (profile_number_get(agent->store, "broker_restored_ms", &restored_ms)
        && agent_now(agent) < restored_ms + LIMIT_GROUP_KEPT_MS)
        return;
    profile_alarm_add(agent->store, "undecryptable", peer_id, channel->group_id,
                      "A2A_SEQ_CONFLICT: a number came twice with different content",
                      agent_now(agent));
}

/* Its key has not come: kept as it is.  False: too many are kept already. */
static bool hold_frame(struct agent *agent, struct agent_channel *channel,
                       const struct channel_author *author, const struct frame_view *view,
                       uint32_t epoch, const struct channel_item *item, uint64_t stored_ms)
{
    struct profile_held held = { .group_id = channel->group_id,
                                 .peer_id = author->peer.peer_id,
                                 .seq = view->seq,
                                 .epoch = epoch,
                                 .stored_ms = stored_ms,
                                 .received_ms = agent_now(agent) };

    if (profile_held_count(agent->store, channel->group_id) >= LIMIT_GROUP_HELD) {
        if (!channel->held_full)
            log_event(LOG_WARN, "group.held_full", "group=%s", log_id(channel->gid));
        channel->held_full = true;
        return false;
    }
    memcpy(held.digest, item->digest, 32);
    profile_held_add(agent->store, &held, view->all);
    return true;
}

/* False: it must wait. */
static bool take_new(struct agent *agent, struct agent_channel *channel, struct agent_group *group,
                     struct channel_author *author, const struct frame_view *view,
                     struct channel_item *item, uint64_t stored_ms)
{
    uint32_t epoch, gen;

    if (!group_frame_place(view, &epoch, &gen)) {
        not_opened(agent, group, author, view, item->digest, ERR_SCHEMA);
    } else if (author->peer.known && load_chain(agent, group, author, epoch)) {
        item->opened = open_frame(agent, channel, group, author, view, item->digest, stored_ms);
    } else if (author->peer.known && profile_chain_any(agent->store, group->group_id, epoch)) {
        not_opened(agent, group, author, view, item->digest, ERR_NOT_MEMBER);
    } else if (epoch < channel->row.epoch) {
        /* Behind the next EPOCH nothing of this one comes: its keys are gone. */
        not_opened(agent, group, author, view, item->digest, ERR_EPOCH);
    } else if (!hold_frame(agent, channel, author, view, epoch, item, stored_ms)) {
        return false;
    }
    note_number(agent, channel, author, view->seq, item->digest);
    CRASH_POINT("recv.rows");
    return true;
}

static bool take_frame(struct agent *agent, struct agent_channel *channel,
                       struct agent_group *group, const struct wire_item *wire, struct bytes part,
                       struct channel_item *item)
{
    static const uint8_t nobody[32];
    struct channel_author *author;
    struct frame_view view;

    if (frame_parse_whole(part, &view) != ERR_OK || view.kind != FRAME_GROUP)
        return true;
    frame_digest(&view, item->digest);
    if (memcmp(view.scope, channel->gid, 16) != 0 || memcmp(view.recipient, nobody, 32) != 0
        || group->row.state == PROFILE_GROUP_FORKED || channel->over)
        return true;
    author = author_of(agent, channel, view.sender);
    if (!author) {
        profile_alarm_add(agent->store, "undecryptable", 0, channel->group_id,
                          "A2A_NOT_MEMBER: a message of somebody unknown", agent_now(agent));
        return true;
    }
    item->peer_id = author->peer.peer_id;
    item->seq = view.seq;
    item->wants = (view.flags & FRAME_WANTS_RECEIPT) != 0;
    CRASH_POINT("recv.known");
    if (agent_received_has(&author->received, view.seq)) {
        known_again(agent, channel, author, item);
        return true;
    }
    return take_new(agent, channel, group, author, &view, item, wire->stored_ms);
}

/* My own: the broker says where it stands among the others'. */
static bool take_own(struct agent *agent, const struct agent_channel *channel,
                     const struct wire_item *item)
{
    struct profile_scope scope;
    struct profile_out row;

    if (!profile_scope_get(agent->store, channel->group_id, &scope))
        return true;
    if (item->seq >= scope.next_seq && !scope.adopts) {
        if (agent_was_restored(agent))
            return true;
        agent_freeze(agent, 0, channel->group_id, "a group has words that this profile forgot");
        return false;
    }
    if (!profile_out_at(agent->store, channel->group_id, item->seq, &row))
        return true;
    if (memcmp(row.digest, item->digest, 32) != 0)
        profile_alarm_add(agent->store, "undecryptable", 0, channel->group_id,
                          "A2A_SEQ_CONFLICT: a number of mine stands for other content",
                          agent_now(agent));
    else if (row.state == OUTBOX_SEALED)
        profile_out_accepted(agent->store, channel->group_id, item->seq, row.outbox_id,
                             agent_now(agent));
    return true;
}

/* Without bytes: my own frame, or one whose life has ended. */
static bool take_place(struct agent *agent, struct agent_channel *channel,
                       const struct wire_item *wire, struct channel_item *item)
{
    struct channel_author *author;

    memcpy(item->digest, wire->digest, 32);
    if (wire->kind != ITEM_GROUP || memcmp(wire->scope, channel->gid, 16) != 0)
        return true;
    if (memcmp(wire->sender, agent->me.row.id, 32) == 0)
        return wire->reason != 0 || take_own(agent, channel, wire);
    author = author_of(agent, channel, wire->sender);
    if (author && !agent_received_has(&author->received, wire->seq))
        note_number(agent, channel, author, wire->seq, wire->digest);
    return true;
}

/* ------------------------------------------------------------------ events */

static bool read_event(struct bytes part, struct signed_event *out, struct event *event)
{
    if (part.len < EVENT_SIZE + 64)
        return false;
    out->preimage = bytes_of(part.at, EVENT_SIZE);
    out->sig = part.at + EVENT_SIZE;
    out->body = bytes_of(part.at + EVENT_SIZE + 64, part.len - EVENT_SIZE - 64);
    return event_parse(out->preimage, event) == ERR_OK;
}

/* False: what comes before it is missing. */
static bool take_event(struct agent *agent, struct agent_channel *channel, struct bytes part,
                       struct channel_item *item)
{
    struct agent_group *group;
    struct signed_event taken;
    struct event event;
    struct epoch_body body;

    crypto_hash_sha256(item->digest, part.at, part.len);
    if (!read_event(part, &taken, &event) || event.scope != SCOPE_GROUP
        || memcmp(event.id, channel->gid, 16) != 0)
        return true;
    agent_channel_flush(agent, channel); /* it may end or wipe what is read */
    if (!agent_group_event_item(agent, &taken))
        return false;
    group = agent_group_of(agent, channel->group_id);
    if (!group || channel->over)
        return true;
    if (event.type == EVENT_GROUP_EPOCH && epoch_body_parse(taken.body, &body) == ERR_OK)
        agent_group_epoch_read(agent, group, body.epoch);
    else if (event.type == EVENT_GROUP_CLOSED && group->row.state == PROFILE_GROUP_CLOSED)
        agent_group_read_to_end(agent, group);
    return true;
}

/* ------------------------------------------------------------------ items */

static bool settle_item(struct agent *agent, struct agent_channel *channel,
                        const struct wire_item *wire, struct bytes part, struct channel_item *item)
{
    struct agent_group *group = agent_group_of(agent, channel->group_id);

    if (!group)
        return false;
    if (wire->shape == ITEM_TOMBSTONE)
        return take_place(agent, channel, wire, item);
    switch ((enum item_kind)wire->kind) {
    case ITEM_GROUP:
        return take_frame(agent, channel, group, wire, part, item);
    case ITEM_EVENT:
        return take_event(agent, channel, part, item);
    case ITEM_REQUEST:
    case ITEM_ACCEPT:
    case ITEM_DATA:
    case ITEM_RECEIPT:
    case ITEM_NOTICE:
        break;
    }
    crypto_hash_sha256(item->digest, part.at, part.len);
    return true;
}

static bool take_item(struct agent *agent, struct agent_channel *channel,
                      const struct wire_item *wire, struct bytes part)
{
    struct channel_item item = { .position = wire->position };
    bool patient = wire->shape != ITEM_TOMBSTONE && wire->kind == ITEM_EVENT;

    if (wire->position <= channel->delivered_to)
        return true;
    if (!channel->cursor_known) {
        /* A new reader's cursor is just before the first item. */
        channel->cursor = wire->position - 1;
        channel->cursor_known = true;
    }
    if (!settle_item(agent, channel, wire, part, &item))
        return false;
    channel->delivered_to = wire->position;
    channel->row.settled = wire->position;
    channel->row_changed = true;
    /* A frame that is held may still be opened before its receipt is due. */
    patient = patient || (item.wants && !item.opened);
    agent_channel_item_add(agent, channel, &item, patient);
    return true;
}

/* Takes items in from number `from` on; returns how many are done. */
static size_t take_items(struct agent *agent, struct agent_channel *channel,
                         const struct message *message, const struct bytes *parts,
                         size_t part_count, size_t from)
{
    struct list_reader reader = list_read(&message->items);
    struct wire_item item;
    size_t part = 0, done = 0;

    channel->busy = true;
    while (list_item(&reader, &item)) {
        struct bytes bytes = bytes_of("", 0);
        if (item.shape != ITEM_TOMBSTONE) {
            if (part >= part_count)
                break;
            bytes = parts[part++];
        }
        if (done >= from && !take_item(agent, channel, &item, bytes))
            break;
        done++;
    }
    agent_channel_flush(agent, channel);
    channel->busy = false;
    if (channel->delivered_to >= channel->last)
        agent->changed = true;
    return done;
}

void agent_channel_deliver(struct agent *agent, struct bytes head, const struct message *message,
                           const struct bytes *parts, size_t count)
{
    struct agent_group *group;
    struct agent_channel *channel;
    size_t done = 0;

    if (!agent_is_up(agent))
        return;
    group = agent_group_named(agent, message->stream);
    if (!group) {
        log_event(LOG_WARN, "group.unknown", "group=%s", log_id(message->stream));
        return;
    }
    channel = agent_channel_of(agent, group);
    if (!channel->deliveries) {
        done = take_items(agent, channel, message, parts, count, 0);
        if (done >= message->items.count)
            return;
    }
    agent_delivery_keep(&channel->deliveries, head, parts, count, done);
}

static void resume(struct agent *agent, struct agent_channel *channel)
{
    channel->held_full = false;
    while (channel->deliveries) {
        struct agent_delivery *delivery = channel->deliveries;
        struct bytes parts[WIRE_PARTS_MAX];
        struct message message;
        if (agent_delivery_read(delivery, &message, parts)) {
            delivery->done
                = take_items(agent, channel, &message, parts, delivery->part_count, delivery->done);
            if (delivery->done < message.items.count)
                return;
        }
        agent_delivery_drop(&channel->deliveries);
    }
}

void agent_channels_resume(struct agent *agent)
{
    for (struct agent_channel *channel = agent->channels; channel; channel = channel->next)
        if (channel->deliveries && !channel->busy)
            resume(agent, channel);
}

/* ------------------------------------------------------------------ held frames */

/* False: its key is still missing. */
static bool open_one(struct agent *agent, struct agent_channel *channel, struct agent_group *group,
                     const struct profile_held *held, struct bytes frame)
{
    struct profile_peer peer;
    struct channel_author *author = NULL;
    struct frame_view view;

    if (frame_parse_whole(frame, &view) != ERR_OK
        || !profile_peer_get(agent->store, held->peer_id, &peer))
        return true;
    author = author_of(agent, channel, peer.id);
    if (!author || !author->peer.known)
        return false;
    if (load_chain(agent, group, author, held->epoch)) {
        if (open_frame(agent, channel, group, author, &view, held->digest, held->stored_ms))
            agent_channel_item_opened(agent, channel, held->peer_id, held->seq);
    } else if (profile_chain_any(agent->store, group->group_id, held->epoch)) {
        not_opened(agent, group, author, &view, held->digest, ERR_NOT_MEMBER);
    } else {
        return false;
    }
    return true;
}

void agent_group_open_held(struct agent *agent, struct agent_group *group)
{
    struct agent_channel *channel = agent_channel_of(agent, group);
    struct profile_held held;
    struct buf frame = { 0 };
    int64_t after = 0;

    while (!channel->over && profile_held_next(agent->store, group->group_id, 0, after, &held)) {
        after = held.held_id;
        buf_clear(&frame);
        if (!profile_held_frame(agent->store, held.held_id, &frame)
            || open_one(agent, channel, group, &held, buf_bytes(&frame)))
            profile_held_remove(agent->store, held.held_id);
    }
    buf_free(&frame);
    agent_channel_flush(agent, channel);
    if (channel->held_full && !channel->busy)
        resume(agent, channel);
}
