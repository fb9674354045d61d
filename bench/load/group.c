#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/crypto/sign.h"
#include "bench/load/load.h"
#include "shared/base/clock.h"
#include "shared/trust/group_chain.h"
#include "shared/wire/limit.h"

enum { EVENTS_A_MESSAGE = 16, KEY_MESSAGE = 200 /* makes the 486 B of a group_key's frame */ };

static const uint8_t mailbox[16];

struct member {
    struct client client;
    uint64_t received; /* highest number seen */
    uint64_t acks;     /* without an answer */
    bool hashes;       /* computes the digests of what it gets; the others know them */
    uint64_t epochs;   /* EPOCH events that the channel brought, since joining */
    uint64_t keys;     /* highest number of the session with the sender */
    uint64_t told;     /* REMOVED events in the mailbox */
};

static struct group_chain chain;
static struct member sender, *members;
static unsigned count;

/* What the sender has made, by number. */
static uint8_t (*digests)[32];
static struct buf frame; /* sent again and again, only the number changes */
static uint64_t next = 1, stored, end;
static unsigned unanswered;
static bool appended;           /* the EVENT of a removal was answered */
static uint64_t keys_confirmed; /* receipts for keys that the sender has */

/* ------------------------------------------------------------------ events */

static struct list_maker events;
static size_t event_count;

static void events_say(void)
{
    struct message message = { .verb = VERB_EVENT };
    struct incoming in = { .parts = 0 };

    if (!event_count)
        return;
    MESSAGE_SET(&message, events, list_of(&events));
    client_ask(&sender.client, &message, NULL, 0, &in);
    incoming_close(&in);
    list_clear(&events);
    event_count = 0;
}

static void event_add(enum event_type type, const struct client *actor, const struct client *target,
                      struct bytes body)
{
    struct event event = {
        .scope = SCOPE_GROUP, .seq = chain.next_seq, .type = (uint8_t)type, .ts_ms = clock_now_ms()
    };
    uint8_t preimage[EVENT_SIZE], sig[64];
    struct signed_event said = { bytes_of(preimage, sizeof preimage), sig, body };

    memcpy(event.id, chain.gid, 16);
    memcpy(event.prev, chain.head, 32);
    memcpy(event.actor, actor->aid, 32);
    if (target)
        memcpy(event.target, target->aid, 32);
    event_body_hash(event.body_hash, body);
    event_encode(preimage, &event);
    sign(sig, actor->ik_secret, said.preimage);
    if (group_chain_replay(&chain, &said) != ERR_OK)
        load_fail("an event that cannot be read");
    list_add_event(&events, &(struct wire_event){ preimage, sig, body });
    event_count++;
}

static void add_epoch(void)
{
    struct epoch_body epoch = { .epoch = chain.epoch + 1, .suite = SUITE_CHACHA };
    uint8_t body[EPOCH_BODY_SIZE];

    group_members_hash(epoch.members_hash, &chain);
    randombytes_buf(epoch.confirm, sizeof epoch.confirm);
    epoch_body_encode(body, &epoch);
    event_add(EVENT_GROUP_EPOCH, &sender.client, NULL, bytes_of(body, sizeof body));
}

static void add_member(const struct client *client)
{
    const struct invited_body invited = { ROLE_MEMBER, clock_now_ms() + 86400000 };
    uint8_t body[INVITED_BODY_SIZE];

    invited_body_encode(body, &invited);
    event_add(EVENT_GROUP_INVITED, &sender.client, client, bytes_of(body, sizeof body));
    event_add(EVENT_GROUP_JOINED, client, client,
              bytes_of(group_member_find(&chain, client->aid)->invited, 32));
    if (event_count == EVENTS_A_MESSAGE)
        events_say();
}

static void group_open(void)
{
    const struct created_body created = { 0, 1024 };
    uint8_t body[CREATED_BODY_SIZE];

    randombytes_buf(chain.gid, sizeof chain.gid);
    created_body_encode(body, &created);
    event_add(EVENT_GROUP_CREATED, &sender.client, NULL, bytes_of(body, sizeof body));
    add_epoch();
    events_say();
    for (unsigned i = 0; i < count; i++)
        add_member(&members[i].client);
    events_say();
    add_epoch();
    events_say();
}

/* ------------------------------------------------------------------ sending */

static void frame_make(size_t body)
{
    struct frame_header header = { .kind = FRAME_GROUP,
                                   .suite = SUITE_CHACHA,
                                   .expires_ms = clock_now_ms() + 7ull * 86400000 };
    size_t bucket = bucket_for(64 + body);
    size_t rest = FRAME_HDR_GROUP + FRAME_COMMIT_SIZE + bucket + FRAME_TAG_SIZE;
    uint8_t *at = buf_extend(&frame, FRAME_FH_SIZE + 2 + rest);

    memcpy(header.scope, chain.gid, 16);
    memcpy(header.sender, sender.client.aid, 32);
    frame_header_write(at, &header);
    at = put_u16(at + FRAME_FH_SIZE, FRAME_HDR_GROUP);
    randombytes_buf(at, rest);
    put_u32(at, chain.epoch);
}

static void digest_keep(uint64_t seq, struct bytes bytes)
{
    struct frame_view view;

    if (frame_parse_whole(bytes, &view) != ERR_OK)
        load_fail("the frame is none");
    frame_digest(&view, digests[seq]);
}

static bool produce(void)
{
    static struct buf frames[BATCH];
    struct message send = { .verb = VERB_SEND };
    struct bytes parts[BATCH];
    uint64_t room = WINDOW_FRAMES - (next - 1 - stored);
    size_t n = 0;

    if (unanswered == WINDOW_MESSAGES || next > end || (room < BATCH && end - next + 1 > room))
        return false;
    while (n < BATCH && next + n <= end) {
        buf_clear(&frames[n]);
        buf_append(&frames[n], frame.at, frame.len);
        put_u64(frames[n].at + FRAME_FH_SIZE - 16, next + n);
        parts[n] = buf_bytes(&frames[n]);
        digest_keep(next + n, parts[n]);
        n++;
    }
    if (!client_say(&sender.client, &send, parts, n))
        return false;
    next += n;
    unanswered++;
    return true;
}

static void answered(const struct incoming *in)
{
    struct list_reader reader = list_read(&in->message.status);
    struct wire_stored of;
    uint64_t status;

    while (list_status(&reader, &status))
        if (status != 0)
            load_fail("a frame was refused: %s", err_name((enum err)status));
    reader = list_read(&in->message.stored);
    while (list_stored(&reader, &of))
        if (memcmp(of.scope, chain.gid, 16) == 0)
            stored = of.seq;
    unanswered--;
}

/* ------------------------------------------------------------------ reading */

static void seen(struct member *member, uint64_t seq)
{
    if (seq != member->received + 1 && member != &sender)
        load_fail("%s: got %" PRIu64 " after %" PRIu64, member->client.name, seq, member->received);
    member->received = seq;
}

static bool is_event(const struct wire_item *item, struct bytes bytes, enum event_type type)
{
    struct event event;

    return item->kind == ITEM_EVENT && bytes.len >= EVENT_SIZE
           && event_parse(bytes_of(bytes.at, EVENT_SIZE), &event) == ERR_OK && event.type == type;
}

/* The digest of an item, whatever it is. */
static void item_digest(struct member *member, const struct wire_item *item, struct bytes bytes,
                        uint8_t out[static 32])
{
    struct frame_view view;

    if (item->shape == ITEM_TOMBSTONE) {
        if (item->reason != 0)
            load_fail("%s: a tombstone", member->client.name);
        seen(member, item->seq);
        memcpy(out, item->digest, 32);
    } else if (item->kind >= ITEM_RECEIPT) {
        member->epochs += is_event(item, bytes, EVENT_GROUP_EPOCH);
        crypto_hash_sha256(out, bytes.at, bytes.len);
    } else {
        uint64_t seq = get_u64(bytes.at + FRAME_FH_SIZE - 16);

        if (bytes.len != frame.len || seq >= next)
            load_fail("%s: a frame that nobody sent", member->client.name);
        seen(member, seq);
        memcpy(out, digests[seq], 32);
        if (!member->hashes)
            return;
        if (frame_parse_whole(bytes, &view) != ERR_OK)
            load_fail("%s: a frame that is none", member->client.name);
        frame_digest(&view, out);
    }
}

/* Acknowledges a DELIVER. */
static void settle(struct member *member, struct incoming *in)
{
    struct list_reader reader = list_read(&in->message.items);
    bool of_channel = memcmp(in->message.stream, mailbox, 16) != 0;
    uint64_t *cursor = of_channel ? &member->client.channel : &member->client.cursor;
    struct receipt receipt = { .status = RECEIPT_DELIVERED };
    struct message ack = { .verb = VERB_ACK };
    struct list_maker receipts = { 0 };
    uint8_t preimage[RECEIPT_SIZE], sig[64];
    struct range_digest range;
    struct wire_item item;
    size_t part = 1;

    range_begin(&range);
    while (list_item(&reader, &item)) {
        bool has_bytes = item.shape != ITEM_TOMBSTONE;
        uint8_t digest[32];

        item_digest(member, &item, has_bytes ? incoming_part(in, part) : bytes_of(NULL, 0), digest);
        part += has_bytes;
        range_add(&range, digest);
        if (!receipt.from)
            receipt.from = item.position;
        receipt.to = item.position;
    }
    range_end(&range, receipt.range_digest);
    client_receipt(&member->client, &receipt, preimage, sig);
    list_add_receipt(&receipts, &(struct wire_receipt){ preimage, sig });
    MESSAGE_SET(&ack, stream, in->message.stream);
    MESSAGE_SET(&ack, after, *cursor);
    MESSAGE_SET(&ack, position, receipt.to);
    MESSAGE_SET(&ack, receipts, list_of(&receipts));
    if (!client_say(&member->client, &ack, NULL, 0))
        load_fail("%s: cannot send an ACK", member->client.name);
    *cursor = receipt.to;
    member->acks++;
    list_free(&receipts);
}

static void key_seen(void *ctx, uint64_t seq)
{
    struct member *member = ctx;

    if (seq != member->keys + 1)
        load_fail("%s: got key %" PRIu64 " after %" PRIu64, member->client.name, seq, member->keys);
    member->keys = seq;
}

/* The same of a mailbox: keys, receipts for them, events of which it is the target. */
static void settle_mailbox(struct member *member, struct incoming *in)
{
    struct list_reader reader = list_read(&in->message.items);
    struct wire_item item;

    for (size_t part = 1; list_item(&reader, &item); part += item.shape != ITEM_TOMBSTONE) {
        if (item.shape == ITEM_TOMBSTONE)
            load_fail("%s: a tombstone", member->client.name);
        keys_confirmed += member == &sender && item.kind == ITEM_RECEIPT;
        member->told += is_event(&item, incoming_part(in, part), EVENT_GROUP_REMOVED);
    }
    client_settle(&member->client, in, key_seen, member);
    member->acks++;
}

static bool listen_to(struct member *member)
{
    struct incoming in = { .parts = 0 };
    int n;

    for (n = 0; n < 8 && client_hear(&member->client, &in, 0); n++) {
        if (in.message.verb == VERB_DELIVER && memcmp(in.message.stream, mailbox, 16) == 0)
            settle_mailbox(member, &in);
        else if (in.message.verb == VERB_DELIVER)
            settle(member, &in);
        else if (in.message.verb == VERB_ACK)
            member->acks--;
        else if (in.message.verb == VERB_SEND)
            answered(&in);
        else if (in.message.verb == VERB_EVENT)
            appended = true;
        incoming_close(&in);
    }
    return n;
}

/* Takes everything that has arrived anywhere; waits if nothing has. */
static void turn(bool with_members)
{
    unsigned listening = with_members ? count : 0;
    bool heard = listen_to(&sender);

    for (unsigned i = 0; i < listening; i++)
        heard = listen_to(&members[i]) || heard;
    if (!heard) {
        zmq_pollitem_t *items = mem_zeroed(count + 1, sizeof *items);

        items[0] = (zmq_pollitem_t){ sender.client.socket, 0, ZMQ_POLLIN, 0 };
        for (unsigned i = 0; i < listening; i++)
            items[i + 1] = (zmq_pollitem_t){ members[i].client.socket, 0, ZMQ_POLLIN, 0 };
        if (zmq_poll(items, (int)listening + 1, 30000) == 0)
            load_fail("nothing has moved for 30 s");
        free(items);
    }
}

static bool all_acked(void)
{
    for (unsigned i = 0; i < count; i++)
        if (members[i].received < end || members[i].acks)
            return false;
    return sender.acks == 0 && sender.received == end;
}

/* ------------------------------------------------------------------ phases */

static void phase_store(uint64_t frames)
{
    uint64_t start = clock_elapsed_us(), cpu = cpu_ms(), before = disk_bytes();

    end += frames;
    while (stored < end) {
        while (produce())
            ;
        turn(false);
    }
    report("stored by one, members away", frames, clock_elapsed_us() - start, cpu_ms() - cpu,
           "20,000");
    printf("%-28s %9.0f B of disk a frame of %zu B\n", "",
           (double)(disk_bytes() - before) / (double)frames, frame.len);
}

static void phase_drain(void)
{
    uint64_t before = members[0].received, start, cpu;

    for (unsigned i = 0; i < count; i++)
        client_connect(&members[i].client);
    cpu = cpu_ms();
    start = clock_elapsed_us();
    for (unsigned i = 0; i < count; i++)
        give_credit(&members[i].client);
    give_credit(&sender.client);
    while (!all_acked())
        turn(true);
    report("drained by all", (end - before) * count, clock_elapsed_us() - start, cpu_ms() - cpu,
           "60,000");
}

static void phase_live(uint64_t frames)
{
    uint64_t start = clock_elapsed_us(), cpu = cpu_ms();

    end += frames;
    while (!all_acked()) {
        while (produce())
            ;
        turn(true);
    }
    report("delivered, all online", frames * count, clock_elapsed_us() - start, cpu_ms() - cpu,
           "60,000");
}

/* One at a time, so that every frame is a message of its own to every member. */
static void phase_single(uint64_t frames)
{
    uint64_t start = clock_elapsed_us(), cpu = cpu_ms();

    for (uint64_t i = 0; i < frames; i++) {
        end++;
        while (produce())
            ;
        while (!all_acked())
            turn(true);
    }
    report("delivered, one at a time", frames * count, clock_elapsed_us() - start, cpu_ms() - cpu,
           "-");
}

/* ------------------------------------------------------------------ removing */

/* Until nothing comes any more: the events of joining are still on their way. */
static void calm_down(void)
{
    for (uint64_t last = clock_elapsed_us(); clock_elapsed_us() - last < 1000000;) {
        bool heard = listen_to(&sender);

        for (unsigned i = 0; i < count; i++)
            heard = listen_to(&members[i]) || heard;
        if (heard)
            last = clock_elapsed_us();
    }
}

/* The next key for each of the first `n` members, as many as the window has room for. */
static unsigned say_keys(unsigned from, unsigned n)
{
    static struct buf frames[BATCH];

    while (from < n && unanswered < WINDOW_MESSAGES) {
        struct message send = { .verb = VERB_SEND };
        struct bytes parts[BATCH];
        size_t batch = 0;

        for (; batch < BATCH && from + batch < n; batch++) {
            const struct member *member = &members[from + batch];

            memcpy(sender.client.sid, member->client.sid, 16);
            memcpy(sender.client.peer, member->client.aid, 32);
            client_frame(&sender.client, FRAME_DATA, member->keys + 1, KEY_MESSAGE, &frames[batch]);
            parts[batch] = buf_bytes(&frames[batch]);
        }
        if (!client_say(&sender.client, &send, parts, batch))
            break;
        from += (unsigned)batch;
        unanswered++;
    }
    return from;
}

/* Do the first `n` all have so many epochs and keys up to that number? */
static bool all_have(unsigned n, uint64_t epochs, uint64_t keys)
{
    for (unsigned i = 0; i < n; i++)
        if (members[i].epochs < epochs || members[i].keys < keys)
            return false;
    return true;
}

static bool all_quiet(void)
{
    for (unsigned i = 0; i < count; i++)
        if (members[i].acks)
            return false;
    return sender.acks == 0;
}

/* The last member goes: its events, and when they are stored the new secret to all who stay. */
static void remove_last(void)
{
    const uint8_t reason = REMOVED_BY_ADMIN;
    struct message message = { .verb = VERB_EVENT };
    struct member *gone = &members[count - 1];
    uint64_t epochs = members[0].epochs + 1, keys = members[0].keys + 1;
    uint64_t start, stored_us, epoch_us = 0, all_us = 0, cpu = cpu_ms(), told = gone->told;
    unsigned staying = count - 1, said = 0;

    start = clock_elapsed_us();
    appended = false;
    keys_confirmed = 0;
    event_add(EVENT_GROUP_REMOVED, &sender.client, &gone->client, bytes_of(&reason, 1));
    add_epoch();
    MESSAGE_SET(&message, events, list_of(&events));
    if (!client_say(&sender.client, &message, NULL, 0))
        load_fail("cannot send the events");
    list_clear(&events);
    event_count = 0;
    while (!appended)
        turn(true);
    stored_us = clock_elapsed_us() - start;
    while (!all_us || !all_quiet() || keys_confirmed < staying || gone->told == told) {
        said = say_keys(said, staying);
        turn(true);
        if (!epoch_us && all_have(staying, epochs, 0))
            epoch_us = clock_elapsed_us() - start;
        if (!all_us && all_have(staying, epochs, keys))
            all_us = clock_elapsed_us() - start;
    }
    printf("removed one of %u: stored %.0f ms, epoch with all %.0f ms, epoch and key with all %.0f "
           "ms, acknowledged %.0f ms; broker %" PRIu64 " ms CPU   aim 2000\n",
           count + 1, (double)stored_us / 1e3, (double)epoch_us / 1e3, (double)all_us / 1e3,
           (double)(clock_elapsed_us() - start) / 1e3, cpu_ms() - cpu);
    fflush(stdout);
    client_disconnect(&gone->client);
    count--;
}

static void sessions_open(void)
{
    for (unsigned i = 0; i < count; i++) {
        client_connect(&members[i].client);
        client_open_session(&sender.client, &members[i].client);
        client_disconnect(&members[i].client);
        members[i].keys = 1; /* the request was number 1 */
    }
}

static void phase_remove(unsigned removals)
{
    for (unsigned i = 0; i < count; i++) {
        client_connect(&members[i].client);
        give_credit(&members[i].client);
    }
    give_credit(&sender.client);
    calm_down();
    for (unsigned i = 0; i < count; i++)
        members[i].epochs = 0;
    while (removals-- && count > 1)
        remove_last();
}

static void join(struct member *member, const char *prefix, unsigned number, const char *invite)
{
    char name[32];

    snprintf(name, sizeof name, "%s%u", prefix, number);
    client_join(&member->client, name, invite);
}

void group_phases(unsigned size, unsigned removals, uint64_t frames, size_t body)
{
    char(*texts)[INVITE_TEXT_SIZE] = mem_zeroed(size, sizeof *texts);

    count = size;
    members = mem_zeroed(count, sizeof *members);
    members[0].hashes = true;
    digests = mem_zeroed(2 * frames + 1000, sizeof *digests);
    invites("sender", 1, texts);
    join(&sender, "sender", 0, texts[0]);
    invites("member", count, texts);
    for (unsigned i = 0; i < count; i++)
        join(&members[i], "member", i, texts[i]);
    client_connect(&sender.client);
    if (removals)
        sessions_open();
    group_open();
    client_disconnect(&sender.client);
    client_connect(&sender.client);
    frame_make(body);
    if (removals) {
        printf("a group of %u members, keys in frames of %zu B, window %d messages, credit %d\n",
               count + 1, frame_size_for(KEY_MESSAGE), WINDOW_MESSAGES, CREDIT);
        phase_remove(removals);
        free(texts);
        return;
    }
    printf("a group of %u members, %" PRIu64
           " frames in each phase, bodies of %zu B in frames of %zu B, window %d, credit %d\n",
           count + 1, frames, body, frame.len, WINDOW_FRAMES, CREDIT);
    phase_store(frames);
    phase_drain();
    phase_live(frames);
    phase_single(frames < 100 ? frames : 100);
    free(texts);
}
