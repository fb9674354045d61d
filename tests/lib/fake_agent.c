#include "tests/lib/fake_agent.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "shared/trust/enrol.h"
#include "shared/trust/identity.h"
#include "shared/trust/label.h"
#include "shared/trust/prekey.h"

enum { REQUEST_LIFE_MS = 600 * 1000, IDLE_S = 604800 };

/* 32 bytes that follow from a name, a number and a purpose. */
static void noise32(uint8_t out[static 32], const char *purpose, const char *name, uint64_t number)
{
    crypto_generichash_state state;
    uint8_t digits[8];

    put_u64(digits, number);
    crypto_generichash_init(&state, NULL, 0, 32);
    crypto_generichash_update(&state, (const uint8_t *)purpose, strlen(purpose) + 1);
    crypto_generichash_update(&state, (const uint8_t *)name, strlen(name) + 1);
    crypto_generichash_update(&state, digits, sizeof digits);
    crypto_generichash_final(&state, out, 32);
}

static void card_make(struct fake_agent *agent, uint64_t now_ms)
{
    struct card card = { .gen = agent->gen,
                         .created_ms = now_ms,
                         .suites = suite_bit(SUITE_CHACHA) | suite_bit(SUITE_AES),
                         .proto_min = 1,
                         .proto_max = 1 };
    struct buf packed = { 0 }, preimage = { 0 };

    strcpy(card.name, agent->name);
    memcpy(card.ik, agent->ik, 32);
    memcpy(card.dk, agent->dk, 32);
    memcpy(card.tk, agent->tk, 32);
    card_encode(&packed, &card);
    agent->card_len = packed.len;
    memcpy(agent->card, packed.at, packed.len);
    card_hash(agent->card_hash, buf_bytes(&packed));
    label_preimage(&preimage, LABEL_CARD, buf_bytes(&packed));
    fake_agent_sign(agent, buf_bytes(&preimage), agent->card_sig);
    buf_free(&preimage);
    buf_free(&packed);
}

void fake_agent_make(struct fake_agent *out, const char *name, uint64_t number, uint64_t now_ms)
{
    uint8_t seed[32];

    *out = (struct fake_agent){ .gen = 1 };
    strcpy(out->name, name);
    noise32(seed, "ik", name, number);
    crypto_sign_seed_keypair(out->ik, out->ik_secret, seed);
    noise32(out->tk_secret, "tk", name, number);
    crypto_scalarmult_base(out->tk, out->tk_secret);
    noise32(seed, "dk", name, number);
    crypto_scalarmult_base(out->dk, seed);
    aid_of(out->aid, out->ik);
    card_make(out, now_ms);
}

void fake_agent_rekey(struct fake_agent *agent, uint64_t now_ms)
{
    agent->gen++;
    noise32(agent->tk_secret, "tk", agent->name, now_ms + agent->gen);
    crypto_scalarmult_base(agent->tk, agent->tk_secret);
    card_make(agent, now_ms);
}

void fake_agent_sign(const struct fake_agent *agent, struct bytes what, uint8_t sig[static 64])
{
    crypto_sign_detached(sig, NULL, what.at, what.len, agent->ik_secret);
}

void fake_enrol_sig(const struct fake_agent *agent, const uint8_t root_id[static 32],
                    const uint8_t invite_key[static 32], uint64_t ts_ms, uint8_t sig[static 64])
{
    uint8_t preimage[ENROL_PREIMAGE_SIZE];

    enrol_preimage(preimage, root_id, invite_key, agent->card_hash, ts_ms);
    fake_agent_sign(agent, bytes_of(preimage, sizeof preimage), sig);
}

void fake_spk(const struct fake_agent *agent, uint32_t id, uint64_t now_ms, struct buf *out,
              uint8_t sig[static 64])
{
    struct spk_statement spk
        = { .id = id, .created_ms = now_ms, .expires_ms = now_ms + SPK_LIFE_MS };
    uint8_t secret[32];

    memcpy(spk.aid, agent->aid, 32);
    noise32(secret, "spk", agent->name, id);
    crypto_scalarmult_base(spk.spk, secret);
    buf_clear(out);
    spk_encode(out, &spk);
    fake_agent_sign(agent, buf_bytes(out), sig);
}

/* ---- sessions -------------------------------------------------------------------------------- */

struct wire_event fake_event_wire(const struct fake_event *event)
{
    return (struct wire_event){ event->preimage, event->sig,
                                bytes_of(event->body, event->body_len) };
}

void fake_event_sign(struct fake_event *out, const struct fake_agent *actor)
{
    event_body_hash(out->event.body_hash, bytes_of(out->body, out->body_len));
    event_encode(out->preimage, &out->event);
    fake_agent_sign(actor, bytes_of(out->preimage, EVENT_SIZE), out->sig);
}

void fake_event_make(struct fake_session *session, const struct fake_agent *actor,
                     enum event_type type, struct bytes body, uint64_t now_ms,
                     struct fake_event *out)
{
    const struct fake_agent *target = actor == session->a ? session->b : session->a;
    enum chain_state next = chain_next(session->chain.state, (uint8_t)type);

    *out = (struct fake_event){ .event = { .scope = SCOPE_SESSION,
                                           .seq = session->chain.next_seq,
                                           .type = (uint8_t)type,
                                           .ts_ms = now_ms },
                                .body_len = body.len };
    memcpy(out->event.id, session->chain.sid, 16);
    memcpy(out->event.prev, session->chain.head, 32);
    memcpy(out->event.actor, actor->aid, 32);
    memcpy(out->event.target, target->aid, 32);
    if (body.len)
        memcpy(out->body, body.at, body.len);
    fake_event_sign(out, actor);
    if (next != CHAIN_NONE) {
        session->chain.state = next;
        session->chain.next_seq++;
        event_digest(session->chain.head, bytes_of(out->preimage, EVENT_SIZE));
    }
}

void fake_session_make(struct fake_session *session, const struct fake_agent *a,
                       const struct fake_agent *b, uint64_t number, uint64_t now_ms,
                       void (*change)(struct init0 *init), struct buf *frame,
                       struct fake_event *opened)
{
    struct init0 *init = &session->init;
    struct buf packed = { 0 };
    size_t begin = frame->len;

    *session = (struct fake_session){ .a = a, .b = b, .next_a = 2, .next_b = 2 };
    *init = (struct init0){ .suite = SUITE_CHACHA,
                            .mode = MODE_MAILBOX,
                            .spk_id = 1,
                            .ts_ms = now_ms,
                            .req_exp_ms = now_ms + REQUEST_LIFE_MS,
                            .idle_s = IDLE_S };
    memcpy(init->aid_a, a->aid, 32);
    memcpy(init->aid_b, b->aid, 32);
    memcpy(init->card_hash_a, a->card_hash, 32);
    memcpy(init->card_hash_b, b->card_hash, 32);
    noise32(init->ek_a, "ek", a->name, number);
    if (change)
        change(init);
    init0_encode(&packed, init);
    memcpy(session->init0, packed.at, packed.len);
    init0_sid(session->chain.sid, buf_bytes(&packed));
    memcpy(session->chain.aid_a, a->aid, 32);
    memcpy(session->chain.aid_b, b->aid, 32);

    fake_frame(frame, FRAME_REQUEST, session->chain.sid, a, b, 1, init->req_exp_ms, BUCKET_MIN);
    fake_digest(bytes_of(frame->at + begin, frame->len - begin), session->request_digest);
    buf_append(&packed, session->request_digest, 32);
    session->body_len = packed.len;
    memcpy(session->body, packed.at, packed.len);
    fake_event_make(session, a, EVENT_OPENED, buf_bytes(&packed), now_ms, opened);
    buf_free(&packed);
}

void fake_accept_make(struct fake_session *session, uint64_t now_ms, struct buf *frame,
                      struct fake_event *out)
{
    uint8_t digest[32];
    size_t begin = frame->len;

    fake_frame(frame, FRAME_ACCEPT, session->chain.sid, session->b, session->a, 1,
               now_ms + REQUEST_LIFE_MS, BUCKET_MIN);
    fake_digest(bytes_of(frame->at + begin, frame->len - begin), digest);
    fake_event_make(session, session->b, EVENT_ACCEPTED, bytes_of(digest, 32), now_ms, out);
}

/* ---- frames ---------------------------------------------------------------------------------- */

void fake_frame(struct buf *out, enum frame_kind kind, const uint8_t scope[static 16],
                const struct fake_agent *from, const struct fake_agent *to, uint64_t seq,
                uint64_t expires_ms, size_t size)
{
    struct frame_header header
        = { .kind = (uint8_t)kind, .suite = SUITE_CHACHA, .seq = seq, .expires_ms = expires_ms };
    uint8_t seed[32];
    size_t rest = FRAME_HDR_SESSION + FRAME_COMMIT_SIZE + size + FRAME_TAG_SIZE;
    uint8_t *at = buf_extend(out, FRAME_FH_SIZE + 2 + rest);

    memcpy(header.scope, scope, 16);
    memcpy(header.sender, from->aid, 32);
    if (to)
        memcpy(header.recipient, to->aid, 32);
    frame_header_write(at, &header);
    at = put_u16(at + FRAME_FH_SIZE, FRAME_HDR_SESSION);
    noise32(seed, "frame", from->name, seq ^ get_u64(scope));
    randombytes_buf_deterministic(at, rest, seed);
}

void fake_stub(struct buf *out, struct bytes bytes)
{
    struct frame_view frame;
    uint8_t digest[32];

    if (frame_parse(bytes, &frame) != ERR_OK)
        abort();
    frame_stub_write(&frame, buf_extend(out, frame_stub_size(&frame)), digest);
}

void fake_digest(struct bytes bytes, uint8_t out[static 32])
{
    struct frame_view frame;

    if (frame_parse(bytes, &frame) != ERR_OK)
        abort();
    frame_digest(&frame, out);
}

/* ---- items and receipts ---------------------------------------------------------------------- */

static void item_of(struct fake_item *out, const struct wire_item *item, struct bytes bytes)
{
    struct frame_view frame;

    *out = (struct fake_item){ .position = item->position, .kind = item->kind };
    if (item->shape == ITEM_TOMBSTONE) {
        out->reason = item->reason;
        out->seq = item->seq;
        memcpy(out->scope, item->scope, 16);
        memcpy(out->sender, item->sender, 32);
        memcpy(out->digest, item->digest, 32);
        return;
    }
    out->bytes = bytes;
    if (item->kind >= ITEM_RECEIPT) {
        crypto_hash_sha256(out->digest, bytes.at, bytes.len);
        return;
    }
    if (frame_parse(bytes, &frame) != ERR_OK)
        abort();
    out->seq = frame.seq;
    memcpy(out->scope, frame.scope, 16);
    memcpy(out->sender, frame.sender, 32);
    frame_digest(&frame, out->digest);
}

size_t fake_items_of(const struct message *message, const struct bytes *parts,
                     struct fake_item *out, size_t max)
{
    struct list_reader reader = list_read(&message->items);
    struct wire_item item;
    size_t count = 0, part = 0;

    while (count < max && list_item(&reader, &item)) {
        bool has_bytes = item.shape != ITEM_TOMBSTONE;

        item_of(&out[count++], &item, has_bytes ? parts[part] : bytes_of(NULL, 0));
        part += has_bytes;
    }
    if (reader.err != ERR_OK)
        abort();
    return count;
}

void fake_receipt_sign(struct fake_receipt *out, const struct fake_agent *reader,
                       struct receipt receipt)
{
    memcpy(receipt.recipient, reader->aid, 32);
    receipt_encode(out->preimage, &receipt);
    fake_agent_sign(reader, bytes_of(out->preimage, RECEIPT_SIZE), out->sig);
}

static bool settles_session(const struct fake_item *item)
{
    return item->kind == ITEM_ACCEPT || item->kind == ITEM_DATA;
}

static void receipt_add(const struct fake_agent *reader, const struct receipt *receipt,
                        struct list_maker *out)
{
    struct fake_receipt made;
    struct wire_receipt wire = { made.preimage, made.sig };

    fake_receipt_sign(&made, reader, *receipt);
    list_add_receipt(out, &wire);
}

/* Items of the same session and sender from `first` on, as far as they go on without a gap. */
static void session_receipt(const struct fake_agent *reader, const struct fake_item *items,
                            size_t count, size_t first, bool *done, uint64_t now_ms,
                            struct list_maker *out)
{
    struct receipt receipt = { .from = items[first].seq, .to = items[first].seq, .ts_ms = now_ms };
    struct range_digest range;
    bool tombstone = items[first].reason != 0;

    memcpy(receipt.scope, items[first].scope, 16);
    memcpy(receipt.sender, items[first].sender, 32);
    receipt.status = tombstone ? RECEIPT_TOMBSTONE : RECEIPT_DELIVERED;
    range_begin(&range);
    for (size_t i = first; i < count; i++) {
        const struct fake_item *item = &items[i];

        if (done[i] || !settles_session(item) || memcmp(item->scope, receipt.scope, 16) != 0
            || memcmp(item->sender, receipt.sender, 32) != 0)
            continue;
        if ((item->reason != 0) != tombstone || (i != first && item->seq != receipt.to + 1))
            break;
        receipt.to = item->seq;
        range_add(&range, item->digest);
        done[i] = true;
    }
    range_end(&range, receipt.range_digest);
    receipt_add(reader, &receipt, out);
}

void fake_receipts_of(const struct fake_agent *reader, const struct fake_item *items, size_t count,
                      uint64_t now_ms, struct list_maker *out)
{
    struct receipt cursor = { .status = RECEIPT_DELIVERED, .ts_ms = now_ms };
    struct range_digest range;
    bool *done = calloc(count + 1, sizeof *done);

    range_begin(&range);
    for (size_t i = 0; i < count; i++) {
        if (settles_session(&items[i])) {
            if (!done[i])
                session_receipt(reader, items, count, i, done, now_ms, out);
            continue;
        }
        if (cursor.from == 0)
            cursor.from = items[i].position;
        cursor.to = items[i].position;
        range_add(&range, items[i].digest);
    }
    range_end(&range, cursor.range_digest);
    if (cursor.from)
        receipt_add(reader, &cursor, out);
    free(done);
}
