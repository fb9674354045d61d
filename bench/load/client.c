#include "bench/load/client.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

#include "agent/crypto/sign.h"
#include "shared/base/clock.h"
#include "shared/trust/card.h"
#include "shared/trust/enrol.h"
#include "shared/trust/event.h"
#include "shared/trust/identity.h"
#include "shared/trust/init0.h"

static const uint8_t zeroes[64];

void load_fail(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

/* ------------------------------------------------------------------ talking */

bool client_say(struct client *client, struct message *message, const struct bytes *parts,
                size_t count)
{
    struct buf head = { 0 };
    bool sent;

    message->rid = ++client->last_rid;
    message_encode(message, &head);
    sent = zmq_send(client->socket, head.at, head.len,
                    count ? ZMQ_SNDMORE | ZMQ_DONTWAIT : ZMQ_DONTWAIT)
           >= 0;
    for (size_t i = 0; sent && i < count; i++)
        if (zmq_send(client->socket, parts[i].at, parts[i].len,
                     (i + 1 < count ? ZMQ_SNDMORE : 0) | ZMQ_DONTWAIT)
            < 0)
            load_fail("%s: a message broke in the middle: %s", client->name,
                      zmq_strerror(zmq_errno()));
    buf_free(&head);
    return sent;
}

bool client_hear(struct client *client, struct incoming *in, int wait_ms)
{
    zmq_pollitem_t item = { client->socket, 0, ZMQ_POLLIN, 0 };
    int more = 1;
    size_t size = sizeof more;

    in->parts = 0;
    if (wait_ms && zmq_poll(&item, 1, wait_ms) <= 0)
        return false;
    while (more) {
        if (in->parts == 64)
            load_fail("%s: more parts than allowed", client->name);
        zmq_msg_init(&in->part[in->parts]);
        if (zmq_msg_recv(&in->part[in->parts], client->socket, ZMQ_DONTWAIT) < 0) {
            if (in->parts)
                load_fail("%s: half a message", client->name);
            return false;
        }
        in->parts++;
        zmq_getsockopt(client->socket, ZMQ_RCVMORE, &more, &size);
    }
    if (message_decode(&in->message, incoming_part(in, 0), in->parts - 1, FROM_BROKER) != ERR_OK)
        load_fail("%s: the broker said something malformed", client->name);
    if (in->message.verb == VERB_ERROR)
        load_fail("%s: %s", client->name, err_name((enum err)in->message.code));
    return true;
}

void incoming_close(struct incoming *in)
{
    for (size_t i = 0; i < in->parts; i++)
        zmq_msg_close(&in->part[i]);
    in->parts = 0;
}

void client_ask(struct client *client, struct message *message, const struct bytes *parts,
                size_t count, struct incoming *in)
{
    for (int tries = 0; !client_say(client, message, parts, count); tries++) {
        zmq_pollitem_t item = { client->socket, 0, ZMQ_POLLOUT, 0 };

        if (tries == 100 || zmq_poll(&item, 1, 10000) <= 0)
            load_fail("%s: cannot send %s", client->name, verb_name(message->verb));
    }
    do {
        incoming_close(in);
        if (!client_hear(client, in, 30000))
            load_fail("%s: no answer to %s", client->name, verb_name(message->verb));
    } while (in->message.verb == VERB_NOTIFY);
    if (in->message.rid != message->rid)
        load_fail("%s: an answer to something else", client->name);
}

static void socket_new(struct client *client, const struct curve_keys *keys)
{
    uint8_t routing_id[NET_ROUTING_ID_LEN];

    randombytes_buf(routing_id, sizeof routing_id);
    if (socket_link(&client->socket, client->broker_key, keys, routing_id) != ERR_OK
        || zmq_connect(client->socket, client->endpoint) != 0)
        load_fail("%s: no socket", client->name);
}

void client_disconnect(struct client *client)
{
    socket_close(&client->socket);
}

/* ------------------------------------------------------------------ joining */

static void keys_make(struct client *client)
{
    struct card card = { .gen = 1, .suites = 1, .proto_min = 1, .proto_max = 1 };
    uint8_t seed[32];

    randombytes_buf(seed, sizeof seed);
    sign_key_of_seed(client->ik, client->ik_secret, seed);
    curve_make(&client->transport);
    aid_of(client->aid, client->ik);
    snprintf(card.name, sizeof card.name, "%s", client->name);
    memcpy(card.ik, client->ik, 32);
    randombytes_buf(card.dk, 32);
    memcpy(card.tk, client->transport.public_key, 32);
    card.created_ms = clock_now_ms();
    card_encode(&client->card, &card);
    sign_labelled(client->card_sig, client->ik_secret, LABEL_CARD, buf_bytes(&client->card));
    card_hash(client->card_hash, buf_bytes(&client->card));
}

void client_join(struct client *client, const char *name, const char *text)
{
    struct message enrol = { .verb = VERB_ENROL };
    uint8_t preimage[ENROL_PREIMAGE_SIZE], sig[64];
    struct curve_keys keys;
    struct incoming in = { .parts = 0 };
    struct invite invite;
    uint64_t now = clock_now_ms();

    if (invite_parse(text, now, &invite) != ERR_OK)
        load_fail("not an invite: %s", text);
    snprintf(client->name, sizeof client->name, "%s", name);
    randombytes_buf(client->instance, sizeof client->instance);
    snprintf(client->endpoint, sizeof client->endpoint, "tcp://%s:%u", invite.host, invite.port);
    memcpy(client->broker_key, invite.server_curve_pk, 32);
    memcpy(client->root_id, invite.root_id, 32);
    keys_make(client);
    curve_from_secret(&keys, invite.invite_curve_sk);
    enrol_preimage(preimage, client->root_id, keys.public_key, client->card_hash, now);
    sign(sig, client->ik_secret, bytes_of(preimage, sizeof preimage));
    MESSAGE_SET(&enrol, ts, now);
    MESSAGE_SET(&enrol, card, ((struct wire_signed){ buf_bytes(&client->card), client->card_sig }));
    MESSAGE_SET(&enrol, sig, sig);
    socket_new(client, &keys);
    client_ask(client, &enrol, NULL, 0, &in);
    incoming_close(&in);
    client_disconnect(client);
}

/* Where its mailbox and its channel stand. */
static void take_cursors(struct client *client, const struct wire_list *streams)
{
    struct list_reader reader = list_read(streams);
    struct wire_stream stream;

    while (list_stream(&reader, &stream))
        *(memcmp(stream.stream, zeroes, 16) == 0 ? &client->cursor : &client->channel)
            = stream.cursor;
}

void client_connect(struct client *client)
{
    struct message hello = { .verb = VERB_HELLO };
    struct incoming in = { .parts = 0 };

    MESSAGE_SET(&hello, ts, clock_now_ms());
    MESSAGE_SET(&hello, min, 1);
    MESSAGE_SET(&hello, version, 1);
    MESSAGE_SET(&hello, instance, client->instance);
    socket_new(client, &client->transport);
    client_ask(client, &hello, NULL, 0, &in);
    take_cursors(client, &in.message.streams);
    incoming_close(&in);
}

/* ------------------------------------------------------------------ frames and receipts */

void client_frame(const struct client *client, uint8_t kind, uint64_t seq, size_t message_len,
                  struct buf *out)
{
    struct frame_header header = { .kind = kind,
                                   .suite = SUITE_CHACHA,
                                   .seq = seq,
                                   .expires_ms = clock_now_ms() + 7ull * 86400000 };
    size_t size = frame_size_for(message_len);
    uint8_t *at;

    memcpy(header.scope, client->sid, 16);
    memcpy(header.sender, client->aid, 32);
    memcpy(header.recipient, client->peer, 32);
    buf_clear(out);
    at = buf_extend(out, size);
    frame_header_write(at, &header);
    put_u16(at + FRAME_FH_SIZE, FRAME_HDR_SESSION);
    randombytes_buf(at + FRAME_FH_SIZE + 2, size - FRAME_FH_SIZE - 2);
}

void client_receipt(const struct client *client, struct receipt *receipt,
                    uint8_t preimage[static RECEIPT_SIZE], uint8_t sig[static 64])
{
    memcpy(receipt->recipient, client->aid, 32);
    receipt->ts_ms = clock_now_ms();
    receipt_encode(preimage, receipt);
    sign(sig, client->ik_secret, bytes_of(preimage, RECEIPT_SIZE));
}

/* Runs of one kind of cover: session frames by one receipt, everything else by another. */
struct cover {
    struct receipt session, cursor;
    struct range_digest session_range, cursor_range;
};

static void cover_add(struct cover *cover, bool of_session, uint64_t number, uint64_t position,
                      const uint8_t digest[static 32])
{
    struct receipt *receipt = of_session ? &cover->session : &cover->cursor;
    struct range_digest *range = of_session ? &cover->session_range : &cover->cursor_range;
    uint64_t n = of_session ? number : position;

    if (!receipt->status) {
        receipt->status = RECEIPT_DELIVERED;
        receipt->from = n;
        range_begin(range);
    }
    receipt->to = n;
    range_add(range, digest);
}

static void cover_finish(const struct client *client, struct receipt *receipt,
                         struct range_digest *range, struct list_maker *receipts)
{
    uint8_t preimage[RECEIPT_SIZE], sig[64];

    if (!receipt->status)
        return;
    range_end(range, receipt->range_digest);
    client_receipt(client, receipt, preimage, sig);
    list_add_receipt(receipts, &(struct wire_receipt){ preimage, sig });
}

size_t client_settle(struct client *client, struct incoming *in,
                     void (*seen)(void *ctx, uint64_t seq), void *ctx)
{
    struct list_reader reader = list_read(&in->message.items);
    struct cover cover = { 0 };
    struct message ack = { .verb = VERB_ACK };
    struct list_maker receipts = { 0 };
    struct wire_item item;
    uint64_t last = 0;
    size_t part = 1, frames = 0;

    memcpy(cover.session.scope, client->sid, 16);
    memcpy(cover.session.sender, client->peer, 32);
    while (list_item(&reader, &item)) {
        uint8_t digest[32];
        struct frame_view frame;

        last = item.position;
        if (item.shape == ITEM_TOMBSTONE)
            load_fail("%s: a tombstone", client->name);
        if (item.kind < ITEM_RECEIPT) {
            if (frame_parse_whole(incoming_part(in, part), &frame) != ERR_OK)
                load_fail("%s: a frame that is none", client->name);
            frame_digest(&frame, digest);
            cover_add(&cover, item.kind != ITEM_REQUEST, frame.seq, item.position, digest);
            frames++;
            if (seen)
                seen(ctx, frame.seq);
        } else {
            struct bytes bytes = incoming_part(in, part);

            crypto_hash_sha256(digest, bytes.at, bytes.len);
            cover_add(&cover, false, 0, item.position, digest);
        }
        part++;
    }
    if (!last)
        return 0;
    cover_finish(client, &cover.session, &cover.session_range, &receipts);
    cover_finish(client, &cover.cursor, &cover.cursor_range, &receipts);
    MESSAGE_SET(&ack, stream, zeroes);
    MESSAGE_SET(&ack, after, client->cursor);
    MESSAGE_SET(&ack, position, last);
    MESSAGE_SET(&ack, receipts, list_of(&receipts));
    if (!client_say(client, &ack, NULL, 0))
        load_fail("%s: cannot send an ACK", client->name);
    client->cursor = last;
    list_free(&receipts);
    return frames;
}

/* ------------------------------------------------------------------ session */

static void event_make(const struct client *client, struct event *event, struct bytes body,
                       uint8_t preimage[static EVENT_SIZE], uint8_t sig[static 64])
{
    event->scope = SCOPE_SESSION;
    memcpy(event->id, client->sid, 16);
    memcpy(event->actor, client->aid, 32);
    memcpy(event->target, client->peer, 32);
    event->ts_ms = clock_now_ms();
    event_body_hash(event->body_hash, body);
    event_encode(preimage, event);
    sign(sig, client->ik_secret, bytes_of(preimage, EVENT_SIZE));
}

/* Takes whatever lies in the mailbox with FETCH, until nothing is left. */
static void empty_mailbox(struct client *client, size_t items)
{
    while (items) {
        struct message fetch = { .verb = VERB_FETCH };
        struct incoming in = { .parts = 0 };
        uint32_t count;

        MESSAGE_SET(&fetch, stream, zeroes);
        MESSAGE_SET(&fetch, max, 64);
        MESSAGE_SET(&fetch, max_bytes, 1048576);
        MESSAGE_SET(&fetch, wait_ms, 10000);
        client_ask(client, &fetch, NULL, 0, &in);
        count = in.message.items.count;
        if (!count)
            load_fail("%s: nothing in the mailbox", client->name);
        client_settle(client, &in, NULL, NULL);
        do {
            incoming_close(&in);
            if (!client_hear(client, &in, 30000))
                load_fail("%s: no answer to ACK", client->name);
        } while (in.message.verb == VERB_NOTIFY);
        if (in.message.verb != VERB_ACK)
            load_fail("%s: %s in place of an ACK", client->name, verb_name(in.message.verb));
        incoming_close(&in);
        items -= count < items ? count : items;
    }
}

void client_open_session(struct client *a, struct client *b)
{
    struct init0 init
        = { .suite = SUITE_CHACHA, .mode = MODE_MAILBOX, .idle_s = 604800, .spk_id = 1 };
    struct message request = { .verb = VERB_REQUEST }, accept = { .verb = VERB_EVENT };
    struct buf words = { 0 }, body = { 0 }, frame = { 0 };
    struct event opened = { .type = EVENT_OPENED }, accepted = { .type = EVENT_ACCEPTED, .seq = 1 };
    uint8_t preimage[EVENT_SIZE], sig[64], digest[32];
    struct list_maker events = { 0 };
    struct incoming in = { .parts = 0 };
    struct frame_view view;
    struct bytes part;

    memcpy(init.aid_a, a->aid, 32);
    memcpy(init.aid_b, b->aid, 32);
    memcpy(init.card_hash_a, a->card_hash, 32);
    memcpy(init.card_hash_b, b->card_hash, 32);
    randombytes_buf(init.ek_a, 32);
    init.ts_ms = clock_now_ms();
    init.req_exp_ms = init.ts_ms + 7ull * 86400000;
    init0_encode(&words, &init);
    init0_sid(a->sid, buf_bytes(&words));
    memcpy(b->sid, a->sid, 16);
    memcpy(a->peer, b->aid, 32);
    memcpy(b->peer, a->aid, 32);

    client_frame(a, FRAME_REQUEST, 1, 64, &frame);
    put_u64(frame.at + FRAME_FH_SIZE - 8, init.req_exp_ms); /* the request's frame ends with it */
    frame_parse_whole(buf_bytes(&frame), &view);
    frame_digest(&view, digest);
    opened_body_encode(&body, buf_bytes(&words), digest);
    event_make(a, &opened, buf_bytes(&body), preimage, sig);
    list_add_event(&events, &(struct wire_event){ preimage, sig, buf_bytes(&body) });
    MESSAGE_SET(&request, events, list_of(&events));
    part = buf_bytes(&frame);
    client_ask(a, &request, &part, 1, &in);
    incoming_close(&in);
    event_digest(accepted.prev, bytes_of(preimage, sizeof preimage));

    empty_mailbox(b, 1);
    client_frame(b, FRAME_ACCEPT, 1, 64, &frame);
    frame_parse_whole(buf_bytes(&frame), &view);
    frame_digest(&view, digest);
    event_make(b, &accepted, bytes_of(digest, 32), preimage, sig);
    list_clear(&events);
    list_add_event(&events, &(struct wire_event){ preimage, sig, bytes_of(digest, 32) });
    MESSAGE_SET(&accept, events, list_of(&events));
    part = buf_bytes(&frame);
    client_ask(b, &accept, &part, 1, &in);
    incoming_close(&in);

    empty_mailbox(a, 2); /* ACCEPTED and b's frame */
    empty_mailbox(b, 1); /* a's receipt for it */
    list_free(&events);
    buf_free(&words);
    buf_free(&body);
    buf_free(&frame);
}
