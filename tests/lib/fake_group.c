#include "tests/lib/fake_group.h"

#include <sodium.h>
#include <stdlib.h>

#include "broker/store/groups.h"
#include "shared/base/text.h"

#define DAY_MS UINT64_C(86400000)

void fake_group_begin(struct fake_group *group, uint64_t number)
{
    *group = (struct fake_group){ 0 };
    put_u64(group->chain.gid, UINT64_C(0x67726f7570000000) + number);
    put_u64(group->chain.gid + 8, number * UINT64_C(0x9e3779b97f4a7c15));
}

void fake_group_free(struct fake_group *group)
{
    group_chain_free(&group->chain);
}

void fake_group_event(const struct fake_group *group, const struct fake_agent *actor,
                      enum event_type type, const struct fake_agent *target, struct bytes body,
                      uint64_t now_ms, struct fake_event *out)
{
    *out = (struct fake_event){ .event = { .scope = SCOPE_GROUP,
                                           .seq = group->chain.next_seq,
                                           .type = (uint8_t)type,
                                           .ts_ms = now_ms },
                                .body_len = body.len };
    memcpy(out->event.id, group->chain.gid, 16);
    memcpy(out->event.prev, group->chain.head, 32);
    memcpy(out->event.actor, actor->aid, 32);
    if (target)
        memcpy(out->event.target, target->aid, 32);
    if (body.len)
        memcpy(out->body, body.at, body.len);
    fake_event_sign(out, actor);
}

static struct signed_event said(const struct fake_event *event)
{
    return (struct signed_event){ bytes_of(event->preimage, EVENT_SIZE), event->sig,
                                  bytes_of(event->body, event->body_len) };
}

void fake_group_take(struct fake_group *group, const struct fake_event *event)
{
    struct signed_event signed_event = said(event);

    if (group_chain_replay(&group->chain, &signed_event) != ERR_OK)
        abort();
}

void fake_created(const struct fake_group *group, const struct fake_agent *actor, uint8_t flags,
                  uint32_t max_members, uint64_t now_ms, struct fake_event *out)
{
    const struct created_body created = { flags, max_members };
    uint8_t body[CREATED_BODY_SIZE];

    created_body_encode(body, &created);
    fake_group_event(group, actor, EVENT_GROUP_CREATED, NULL, bytes_of(body, sizeof body), now_ms,
                     out);
}

void fake_invited(const struct fake_group *group, const struct fake_agent *actor,
                  const struct fake_agent *target, uint8_t role, uint64_t now_ms,
                  uint64_t expires_ms, struct fake_event *out)
{
    const struct invited_body invited = { role, expires_ms };
    uint8_t body[INVITED_BODY_SIZE];

    invited_body_encode(body, &invited);
    fake_group_event(group, actor, EVENT_GROUP_INVITED, target, bytes_of(body, sizeof body), now_ms,
                     out);
}

void fake_joined(const struct fake_group *group, const struct fake_agent *actor, uint64_t now_ms,
                 struct fake_event *out)
{
    const struct group_member *member = group_member_find(&group->chain, actor->aid);
    static const uint8_t none[32];

    fake_group_event(group, actor, EVENT_GROUP_JOINED, actor,
                     bytes_of(member ? member->invited : none, 32), now_ms, out);
}

void fake_removed(const struct fake_group *group, const struct fake_agent *actor,
                  const struct fake_agent *target, uint8_t reason, uint64_t now_ms,
                  struct fake_event *out)
{
    fake_group_event(group, actor, EVENT_GROUP_REMOVED, target, bytes_of(&reason, 1), now_ms, out);
}

void fake_epoch(const struct fake_group *group, const struct fake_agent *actor, uint64_t now_ms,
                struct fake_event *out)
{
    struct epoch_body epoch = { .epoch = group->chain.epoch + 1, .suite = SUITE_CHACHA };
    uint8_t body[EPOCH_BODY_SIZE];

    group_members_hash(epoch.members_hash, &group->chain);
    memset(epoch.confirm, (int)epoch.epoch, sizeof epoch.confirm); /* nobody opens anything */
    epoch_body_encode(body, &epoch);
    fake_group_event(group, actor, EVENT_GROUP_EPOCH, NULL, bytes_of(body, sizeof body), now_ms,
                     out);
}

void fake_role(const struct fake_group *group, const struct fake_agent *actor,
               const struct fake_agent *target, uint8_t role, uint64_t now_ms,
               struct fake_event *out)
{
    fake_group_event(group, actor, EVENT_GROUP_ROLE, target, bytes_of(&role, 1), now_ms, out);
}

void fake_group_closed(const struct fake_group *group, const struct fake_agent *actor,
                       uint64_t now_ms, struct fake_event *out)
{
    static const uint8_t reason;

    fake_group_event(group, actor, EVENT_GROUP_CLOSED, NULL, bytes_of(&reason, 1), now_ms, out);
}

/* ---- at a broker --------------------------------------------------------------------------------
 */

static void must(const struct answer *answer, const char *what)
{
    if (answer->e == ERR_OK)
        return;
    fprintf(stderr, "fake_group: %s: %s\n", what, err_name(answer->e));
    abort();
}

struct answer fake_group_say(struct fake_broker *broker, const struct fake_party *by,
                             const struct fake_event *events, size_t count)
{
    return fake_event_say(broker, by, events, count, bytes_of(NULL, 0));
}

void fake_group_open(struct fake_broker *broker, struct fake_group *group,
                     const struct fake_party *owner, uint8_t flags, uint64_t number)
{
    struct fake_event events[2];
    struct answer answer;

    fake_group_begin(group, number);
    fake_created(group, &owner->agent, flags, (uint32_t)broker->settings.group_members,
                 broker->now_ms, &events[0]);
    fake_group_take(group, &events[0]);
    fake_epoch(group, &owner->agent, broker->now_ms, &events[1]);
    fake_group_take(group, &events[1]);
    answer = fake_group_say(broker, owner, events, 2);
    must(&answer, "CREATED");
}

void fake_group_admit(struct fake_broker *broker, struct fake_group *group,
                      const struct fake_party *owner, const struct fake_party *members,
                      size_t count)
{
    struct fake_event event;
    struct answer answer;

    for (size_t i = 0; i < count; i++) {
        fake_invited(group, &owner->agent, &members[i].agent, ROLE_MEMBER, broker->now_ms,
                     broker->now_ms + DAY_MS, &event);
        fake_group_take(group, &event);
        answer = fake_group_say(broker, owner, &event, 1);
        must(&answer, "INVITED");
        fake_joined(group, &members[i].agent, broker->now_ms, &event);
        fake_group_take(group, &event);
        answer = fake_group_say(broker, &members[i], &event, 1);
        must(&answer, "JOINED");
    }
    fake_epoch(group, &owner->agent, broker->now_ms, &event);
    fake_group_take(group, &event);
    answer = fake_group_say(broker, owner, &event, 1);
    must(&answer, "EPOCH");
}

struct answer fake_group_remove(struct fake_broker *broker, struct fake_group *group,
                                const struct fake_party *by, const struct fake_party *target)
{
    struct fake_event events[2];

    fake_removed(group, &by->agent, &target->agent, REMOVED_BY_ADMIN, broker->now_ms, &events[0]);
    fake_group_take(group, &events[0]);
    fake_epoch(group, &by->agent, broker->now_ms, &events[1]);
    fake_group_take(group, &events[1]);
    return fake_group_say(broker, by, events, 2);
}

void fake_group_frame(struct buf *out, const struct fake_group *group,
                      const struct fake_agent *from, uint32_t epoch, uint64_t seq, uint8_t flags,
                      uint64_t expires_ms, size_t size)
{
    struct frame_header header = { .kind = FRAME_GROUP,
                                   .suite = SUITE_CHACHA,
                                   .flags = flags,
                                   .seq = seq,
                                   .expires_ms = expires_ms };
    size_t rest = FRAME_HDR_GROUP + FRAME_COMMIT_SIZE + size + FRAME_TAG_SIZE;
    uint8_t *at = buf_extend(out, FRAME_FH_SIZE + 2 + rest);
    uint8_t seed[32] = { 0 };

    memcpy(header.scope, group->chain.gid, 16);
    memcpy(header.sender, from->aid, 32);
    frame_header_write(at, &header);
    at = put_u16(at + FRAME_FH_SIZE, FRAME_HDR_GROUP);
    put_u64(seed, seq);
    put_u64(seed + 8, get_u64(from->aid));
    put_u64(seed + 16, epoch);
    randombytes_buf_deterministic(at, rest, seed);
    put_u32(at, epoch);
    put_u32(at + 4, (uint32_t)seq);
}

/* ---- its channel --------------------------------------------------------------------------------
 */

enum err fake_group_send(struct fake_broker *broker, const struct fake_group *group,
                         const struct fake_party *by, uint64_t seq)
{
    struct buf frame = { 0 };
    struct bytes part;
    struct answer answer;

    fake_group_frame(&frame, group, &by->agent, group->chain.epoch, seq, 0, broker->now_ms + DAY_MS,
                     BUCKET_MIN);
    part = buf_bytes(&frame);
    answer = fake_send(broker, by, &part, 1);
    buf_free(&frame);
    return fake_status(&answer, 0);
}

enum err fake_channel_fetch(struct fake_broker *broker, const struct fake_party *party,
                            const struct fake_group *group, struct fake_item *items, size_t *count)
{
    struct message message = { .verb = VERB_FETCH };
    size_t max = *count, more;

    MESSAGE_SET(&message, stream, group->chain.gid);
    MESSAGE_SET(&message, max_bytes, 4 << 20);
    *count = 0;
    do {
        struct answer answer;

        MESSAGE_SET(&message, max, max - *count);
        MESSAGE_SET(&message, after, *count ? items[*count - 1].position : 0);
        answer = fake_say(broker, &party->by, &message, NULL, 0);
        if (answer.e != ERR_OK)
            return answer.e;
        more = fake_items_of(&answer.message, answer.parts, items + *count, max - *count);
        *count += more;
    } while (more && *count < max);
    return ERR_OK;
}

struct answer fake_channel_ack_with(struct fake_broker *broker, const struct fake_party *party,
                                    const struct fake_group *group, uint64_t after,
                                    uint64_t position, const struct list_maker *receipts)
{
    struct message message = { .verb = VERB_ACK };

    MESSAGE_SET(&message, stream, group->chain.gid);
    MESSAGE_SET(&message, after, after);
    MESSAGE_SET(&message, position, position);
    MESSAGE_SET(&message, receipts, list_of(receipts));
    return fake_say(broker, &party->by, &message, NULL, 0);
}

void fake_channel_receipt(const struct fake_agent *reader, const struct fake_item *items,
                          size_t count, uint64_t now_ms, struct list_maker *out)
{
    struct receipt receipt = { .status = RECEIPT_DELIVERED,
                               .from = items[0].position,
                               .to = items[count - 1].position,
                               .ts_ms = now_ms };
    struct range_digest range;
    struct fake_receipt made;
    struct wire_receipt wire = { made.preimage, made.sig };

    range_begin(&range);
    for (size_t i = 0; i < count; i++)
        range_add(&range, items[i].digest);
    range_end(&range, receipt.range_digest);
    fake_receipt_sign(&made, reader, receipt);
    list_add_receipt(out, &wire);
}

uint64_t fake_channel_cursor(struct fake_broker *broker, const struct fake_party *party,
                             const struct fake_group *group)
{
    struct group_row row;
    struct cursor_row cursor;

    if (store_group_find(broker->store, group->chain.gid, &row) != ERR_OK
        || store_cursor_get(broker->store, row.stream_id, party->by.id, &cursor) != ERR_OK)
        return 0;
    return cursor.position;
}

size_t fake_channel_ack_all(struct fake_broker *broker, const struct fake_party *party,
                            const struct fake_group *group)
{
    enum { MOST = 256 };
    struct fake_item *items = mem_zeroed(MOST, sizeof *items);
    size_t all = 0, count = MOST;

    while (fake_channel_fetch(broker, party, group, items, &count) == ERR_OK && count > 0) {
        struct list_maker receipts = { 0 };
        struct answer answer;

        fake_channel_receipt(&party->agent, items, count, broker->now_ms, &receipts);
        answer
            = fake_channel_ack_with(broker, party, group, fake_channel_cursor(broker, party, group),
                                    items[count - 1].position, &receipts);
        must(&answer, "ACK of a channel");
        list_free(&receipts);
        all += count;
        count = MOST;
    }
    free(items);
    return all;
}
