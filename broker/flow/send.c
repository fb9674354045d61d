#include "broker/flow/accept.h"
#include "broker/flow/journal.h"
#include "broker/store/senders.h"

/* One SEND while its frames are taken, one after the other. */
struct sending {
    struct flow *flow;
    struct reply *reply;
    const struct requester *by;
    uint64_t after_ms; /* the longest that a status asks for */
    /* the scope of the last frame; most batches have one */
    int64_t scope_id; /* 0: none yet */
    uint8_t id[16];
    struct group *group; /* NULL: a session's */
    struct session_row session;
    const struct agent_row *recipient;
    /* for the answer: every scope named that is the sender's */
    struct named {
        int64_t scope_id;
        uint8_t id[16];
    } named[63];
    size_t named_count;
};

static enum err find_session(struct sending *s, const struct frame_view *frame)
{
    enum err e = store_session_find(s->flow->store, frame->scope, &s->session);

    if (e != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_SESSION_NOT_FOUND : e;
    if (s->session.a_id == s->by->id)
        s->recipient = store_agent(s->flow->store, s->session.b_id);
    else if (s->session.b_id == s->by->id)
        s->recipient = store_agent(s->flow->store, s->session.a_id);
    else
        return ERR_SESSION_NOT_FOUND;
    s->group = NULL;
    s->scope_id = s->session.session_id;
    return ERR_OK;
}

static enum err find_group(struct sending *s, const struct frame_view *frame)
{
    struct group *group;
    enum err e = group_find(s->flow, frame->scope, &group);

    if (e != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_NOT_MEMBER : e;
    if (!group_has_member(group, s->by->aid))
        return ERR_NOT_MEMBER;
    s->group = group;
    s->scope_id = group->row.group_id;
    return ERR_OK;
}

/* Rows 2 and 3: from whom, to whom, in which scope.  "Not yours" and "not there" are the same. */
static enum err send_find(struct sending *s, const struct frame_view *frame)
{
    static const uint8_t nobody[32];
    bool to_group = frame->kind == FRAME_GROUP;
    enum err e = ERR_OK;

    if (memcmp(frame->sender, s->by->aid, 32) != 0)
        return ERR_AUTH;
    if (!s->scope_id || to_group != (s->group != NULL) || memcmp(s->id, frame->scope, 16) != 0) {
        s->scope_id = 0;
        e = to_group ? find_group(s, frame) : find_session(s, frame);
        memcpy(s->id, frame->scope, 16);
    }
    if (e != ERR_OK)
        return e;
    if (to_group)
        return memcmp(frame->recipient, nobody, 32) == 0 ? ERR_OK : ERR_NOT_MEMBER;
    return memcmp(frame->recipient, s->recipient->aid, 32) == 0 ? ERR_OK : ERR_SESSION_NOT_FOUND;
}

static void send_name(struct sending *s)
{
    for (size_t i = s->named_count; i-- > 0;)
        if (s->named[i].scope_id == s->scope_id)
            return;
    s->named[s->named_count].scope_id = s->scope_id;
    memcpy(s->named[s->named_count++].id, s->id, 16);
}

/* Row 5: a number that is taken.  Where its digest is not known any more, any fits. */
static enum err send_again(struct sending *s, const struct frame_view *frame,
                           const struct sender_row *sender, const uint8_t digest[static 32])
{
    static const uint8_t unknown[32];
    uint8_t stored[32];
    enum err e;

    if (frame->seq == sender->stored_seq && memcmp(sender->digest, unknown, 32) != 0)
        return memcmp(sender->digest, digest, 32) == 0 ? ERR_DUPLICATE : ERR_SEQ_CONFLICT;
    e = store_frame_digest(s->flow->store, sender->session_id, sender->sender_id, frame->seq,
                           stored);
    if (e == ERR_NOT_FOUND)
        return ERR_DUPLICATE;
    if (e != ERR_OK)
        return e;
    return memcmp(stored, digest, 32) == 0 ? ERR_DUPLICATE : ERR_SEQ_CONFLICT;
}

/* Rows 7 and 8. */
static enum err send_state(const struct sending *s, const struct frame_view *frame)
{
    const struct group *group = s->group;

    if (!group)
        return s->session.state == SESSION_ACTIVE && s->recipient->state != AGENT_REVOKED
                   ? ERR_OK
                   : ERR_STATE;
    if (group->chain.life != GROUP_OPEN)
        return ERR_STATE;
    if (get_u32(frame->hdr.at) != group->chain.epoch
        || ((group->chain.flags & GROUP_FLAG_STRICT) && group_is_stale(s->flow, group)))
        return ERR_EPOCH;
    return ERR_OK;
}

/* The acceptance table of docs/protocol.md 6.3, row by row. */
static enum err send_one(struct sending *s, struct bytes part)
{
    struct incoming incoming = { .sender_id = s->by->id };
    uint8_t digest[FRAME_DIGEST_SIZE];
    struct sender_row sender;
    struct frame_view frame;
    enum err e, verdict;

    if ((e = frame_parse(part, &frame)) != ERR_OK)
        return e;
    if (frame.kind != FRAME_DATA && frame.kind != FRAME_GROUP)
        return ERR_SCHEMA;
    if ((e = send_find(s, &frame)) != ERR_OK)
        return e;
    send_name(s);
    if ((e = accept_rate(s->reply, s->by->id)) != ERR_OK)
        return e;
    if ((e = store_sender_get(s->flow->store, s->scope_id, s->by->id, &sender)) != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_INTERNAL : e;
    if (frame.seq > sender.stored_seq + 1)
        return ERR_SEQ_GAP;
    frame_digest(&frame, digest);
    if (frame.seq <= sender.stored_seq)
        return send_again(s, &frame, &sender, digest);
    if ((e = send_state(s, &frame)) != ERR_OK)
        return e;
    incoming.session = s->group ? NULL : &s->session;
    incoming.recipient = s->group ? NULL : s->recipient;
    incoming.group = s->group;
    incoming.frame = &frame;
    incoming.digest = digest;
    verdict = accept_check(s->flow, &incoming);
    if (verdict != ERR_OK && verdict != ERR_TOMBSTONE)
        return verdict;
    e = accept_store(s->flow, &incoming, verdict);
    return e == ERR_OK ? verdict : e;
}

static void send_wait(struct sending *s, enum err status)
{
    const struct message *refusal = &s->reply->refusal;
    uint64_t ms = status == ERR_RATE && MESSAGE_HAS(refusal, after_ms) ? refusal->after_ms
                                                                       : error_after_ms(status);

    if (ms > s->after_ms)
        s->after_ms = ms;
}

static enum err send_answer(struct sending *s, struct list_maker *status)
{
    struct list_maker *stored = reply_list(s->reply);
    struct message *message = reply_message(s->reply);

    for (size_t i = 0; i < s->named_count; i++) {
        struct wire_stored of = { .scope = s->named[i].id };
        struct sender_row sender;
        enum err e = store_sender_get(s->flow->store, s->named[i].scope_id, s->by->id, &sender);

        if (e != ERR_OK)
            return e == ERR_NOT_FOUND ? ERR_INTERNAL : e;
        of.seq = sender.stored_seq;
        list_add_stored(stored, &of);
    }
    MESSAGE_SET(message, status, list_of(status));
    MESSAGE_SET(message, stored, list_of(stored));
    if (s->after_ms)
        MESSAGE_SET(message, after_ms, s->after_ms);
    return ERR_OK;
}

enum err send_handle(struct flow *flow, const struct request *request, struct reply *reply)
{
    struct list_maker *status = reply_list(reply);
    struct sending s;

    s.flow = flow;
    s.reply = reply;
    s.by = &request->by;
    s.after_ms = 0;
    s.scope_id = 0;
    s.group = NULL;
    s.named_count = 0;
    if (request->part_count == 0)
        return ERR_SCHEMA;
    for (size_t i = 0; i < request->part_count; i++) {
        enum err e = send_one(&s, request->parts[i]);

        if (e != ERR_OK && !err_on_wire(e) && e != ERR_DUPLICATE && e != ERR_TOMBSTONE)
            return e;
        if (e != ERR_OK && e != ERR_DUPLICATE && e != ERR_TOMBSTONE)
            journal_frame(flow, request, e);
        send_wait(&s, e);
        list_add_status(status, (uint64_t)e);
    }
    return send_answer(&s, status);
}
