/* sessions: handshake of both sides, then every step, byte by byte */
#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>

#include "agent/crypto/dh.h"
#include "agent/crypto/handshake.h"
#include "agent/crypto/kdf.h"
#include "agent/crypto/ratchet.h"
#include "agent/crypto/state.h"
#include "shared/trust/init0.h"
#include "tests/vectors/check.h"
#include "tests/vectors/parts.h"

/* One end of the session. */
struct side {
    const uint8_t *aid;
    struct ratchet ratchet;
    struct skipped skipped;
};

struct run {
    json_t *row;
    const uint8_t *sid;
    struct side a, b;
    uint64_t now_ms;
};

static const struct reason reasons[] = {
    { "frame_size", ERR_SCHEMA },
    { "frame_version", ERR_SCHEMA },
    { "frame_kind", ERR_SCHEMA },
    { "wrong_suite", ERR_SCHEMA },
    { "wrong_session", ERR_SESSION_NOT_FOUND },
    { "wrong_sender", ERR_AUTH },
    { "wrong_recipient", ERR_AUTH },
    { "header", ERR_DECRYPT },
    { "old", ERR_DECRYPT },
    { "body", ERR_DECRYPT },
    { "padding", ERR_DECRYPT },
    { "commit", ERR_COMMIT },
    { "skip_limit", ERR_SKIP_LIMIT },
    { NULL, ERR_OK },
};

static struct side *side_of(struct run *run, const char *which)
{
    return strcmp(which, "A") == 0 ? &run->a : &run->b;
}

static json_t *card_by_hash(json_t *agent, const uint8_t hash[static 32])
{
    json_t *card;
    size_t i;

    json_array_foreach(get(agent, "cards"), i,
                       card) if (memcmp(get_fixed(card, "card_hash", 32), hash, 32)
                                 == 0) return card;
    check_fail("no card of this hash");
}

/* The DH outputs as A computes them, in the order of the file. */
static void dh_listed(json_t *row, const uint8_t *sk, const uint8_t *pk, size_t i)
{
    uint8_t secret[32];

    is_true("DH is not zero", dh(secret, sk, pk) == ERR_OK);
    same_bytes("DH", bytes_of(secret, 32), hex_of(json_array_get(get(row, "dh"), i)));
}

static void handshake_same(const struct handshake *got, json_t *row)
{
    same_field("sid", got->sid, 16, row, "sid");
    same_field("th", got->th, 32, row, "th");
    same_field("SK", got->sk, 32, row, "SK");
    same_field("HKA", got->hka, 32, row, "HKA");
    same_field("NHKB", got->nhkb, 32, row, "NHKB");
}

/* INIT0's fields as the file has them, written again. */
static void init0_same(json_t *row, struct bytes init0, struct init0 *init)
{
    struct buf out = { 0 };

    is_true("INIT0 parses", init0_parse(init0, init) == ERR_OK);
    init0_encode(&out, init);
    same_bytes("INIT0", buf_bytes(&out), init0);
    same_number("suite", init->suite, get_number(row, "suite"));
    same_number("spk_id", init->spk_id, get_number(row, "spk_id"));
    same_number("opk_id", init->opk_id, get_number(row, "opk_id"));
    same_bytes("ML-KEM ciphertext", init->pq_ct, get_hex(get(row, "mlkem"), "ct"));
    buf_free(&out);
}

static void session_begin(struct run *run, json_t *root)
{
    json_t *row = run->row;
    json_t *agents = get(root, "agents");
    json_t *a = get(agents, get_text(row, "initiator")),
           *b = get(agents, get_text(row, "responder"));
    struct bytes init0 = get_hex(row, "init0");
    struct init0 init;
    struct handshake ours, theirs;
    json_t *card_a, *card_b, *spk, *opk = NULL;
    const uint8_t *ss, *ek_sk = get_fixed(row, "ek_sk", 32), *opk_pk, *spk_pk;
    uint8_t ek[32];

    init0_same(row, init0, &init);
    card_a = card_by_hash(a, init.card_hash_a);
    card_b = card_by_hash(b, init.card_hash_b);
    spk = find_number(get(b, "prekeys"), "spk_id", init.spk_id);
    if (init.opk_id)
        opk = find_number(get(b, "opks"), "opk_id", init.opk_id);
    ss = has(get(row, "mlkem"), "ss") ? get_fixed(get(row, "mlkem"), "ss", 32) : NULL;
    opk_pk = opk ? get_fixed(opk, "pk", 32) : NULL;
    spk_pk = get_fixed(spk, "spk", 32);
    dh_public(ek, ek_sk);
    same_bytes("EK", bytes_of(ek, 32), bytes_of(init.ek_a, 32));

    struct handshake_words words = { init0, get_hex(spk, "statement"), opk_pk };
    struct handshake_a keys_a = {
        get_fixed(card_a, "dk_sk", 32), ek_sk, get_fixed(card_b, "dk", 32), spk_pk, opk_pk, ss
    };
    struct handshake_b keys_b = { get_fixed(card_b, "dk_sk", 32),
                                  get_fixed(spk, "spk_sk", 32),
                                  opk ? get_fixed(opk, "sk", 32) : NULL,
                                  get_fixed(card_a, "dk", 32),
                                  init.ek_a,
                                  ss };

    dh_listed(row, keys_a.dk_a_sk, keys_a.spk_b, 0);
    dh_listed(row, ek_sk, keys_a.dk_b, 1);
    dh_listed(row, ek_sk, keys_a.spk_b, 2);
    if (opk)
        dh_listed(row, ek_sk, opk_pk, 3);
    is_true("A's handshake", handshake_initiate(&ours, &words, &keys_a) == ERR_OK);
    handshake_same(&ours, row);
    is_true("B's handshake", handshake_respond(&theirs, &words, &keys_b) == ERR_OK);
    handshake_same(&theirs, row);

    run->sid = get_fixed(row, "sid", 16);
    run->a.aid = get_fixed(a, "aid", 32);
    run->b.aid = get_fixed(b, "aid", 32);
    is_true("A begins", ratchet_init_a(&run->a.ratchet, &ours, init.suite, spk_pk,
                                       get_fixed(row, "first_ratchet_sk", 32))
                            == ERR_OK);
    ratchet_init_b(&run->b.ratchet, &theirs, init.suite, keys_b.spk_b_sk, spk_pk);
}

static struct frame_header header_of(const struct run *run, const struct side *from, json_t *frame)
{
    const struct side *to = from == &run->a ? &run->b : &run->a;
    struct frame_header header = { .kind = (uint8_t)get_number(frame, "kind"),
                                   .suite = from->ratchet.suite,
                                   .flags = (uint8_t)get_number(frame, "flags"),
                                   .seq = get_number(frame, "seq"),
                                   .expires_ms = get_number(frame, "expires_at") };

    memcpy(header.scope, run->sid, 16);
    memcpy(header.sender, from->aid, 32);
    memcpy(header.recipient, to->aid, 32);
    return header;
}

/* What a frame is made of and nobody sees; `before` is the sender's state in front of it. */
static void insides_same(const struct ratchet *before, json_t *frame, const uint8_t n[static 24])
{
    struct ratchet sender = *before;
    struct message_keys keys;
    uint8_t header[40], mk[32];

    put_u32(put_u32(put_raw(header, sender.own_public, 32), sender.previous), sender.sent);
    same_field("header", header, sizeof header, frame, "header");
    kdf_chain(sender.send_chain, mk);
    same_field("mk", mk, 32, frame, "mk");
    kdf_message(&keys, LABEL_MK, mk, sender.suite, n);
    same_field("key", keys.key, 32, frame, "key");
    same_field("nonce", keys.nonce, 12, frame, "nonce");
    same_field("commit", keys.commit, 32, frame, "commit");
}

/* Parts that everybody can see, and the names of the frame. */
static void frame_same(struct bytes bytes, json_t *frame, const uint8_t digest[static 32])
{
    uint8_t stub[FRAME_STUB_MAX], again[32];
    struct frame_view view, of_stub;

    is_true("parses", frame_parse_whole(bytes, &view) == ERR_OK);
    same_field("n", view.hdr.at, 24, frame, "n");
    same_field("digest", digest, 32, frame, "digest");
    frame_stub_write(&view, stub, again);
    same_field("stub", stub, frame_stub_size(&view), frame, "stub");
    same_bytes("digest of the frame", bytes_of(again, 32), bytes_of(digest, 32));
    is_true("stub parses", frame_parse(bytes_of(stub, frame_stub_size(&view)), &of_stub) == ERR_OK
                               && of_stub.is_stub);
    frame_digest(&of_stub, again);
    same_bytes("digest of the stub", bytes_of(again, 32), bytes_of(digest, 32));
}

static void step_send(struct run *run, json_t *frame)
{
    struct side *from = side_of(run, get_text(frame, "from"));
    struct frame_header header = header_of(run, from, frame);
    struct bytes plain = get_hex(frame, "plaintext"), want = get_hex(frame, "frame");
    size_t size = frame_size_for(plain.len);
    struct ratchet before = from->ratchet;
    uint8_t *out = mem_alloc(size), digest[32];
    enum err e;

    if (has(frame, "rand"))
        e = ratchet_encrypt(&from->ratchet, &header, plain, get_fixed(frame, "rand", 32), out,
                            digest);
    else
        e = ratchet_encrypt_with_n(&from->ratchet, &header, plain, want.at + FRAME_FH_SIZE + 2, out,
                                   digest);
    is_true("sealed", e == ERR_OK);
    insides_same(&before, frame, out + FRAME_FH_SIZE + 2);
    same_bytes("frame", bytes_of(out, size), want);
    frame_same(want, frame, digest);
    free(out);
}

/* Seals messages that nobody ever sees. */
static void step_lose(struct run *run, json_t *step)
{
    struct side *from = side_of(run, get_text(step, "from"));
    const struct side *to = from == &run->a ? &run->b : &run->a;
    struct frame_header header = { .kind = FRAME_DATA, .suite = from->ratchet.suite, .seq = 2 };
    uint8_t out[FRAME_OVERHEAD + BUCKET_MIN], digest[32];

    memcpy(header.recipient, to->aid, 32);
    for (uint64_t i = 0; i < get_number(step, "count"); i++)
        is_true("lost", ratchet_encrypt(&from->ratchet, &header, (struct bytes){ 0 }, from->aid,
                                        out, digest)
                            == ERR_OK);
}

/* Everything of a side, to see that a refusal left it alone. */
static struct buf side_bytes(const struct side *side)
{
    struct buf out = { 0 };

    ratchet_export(&side->ratchet, buf_extend(&out, RATCHET_STATE_SIZE));
    skipped_export(&side->skipped, &out);
    return out;
}

static enum err side_open(struct run *run, struct side *me, struct bytes bytes,
                          const uint8_t new_secret[static 32], uint8_t *out,
                          struct ratchet_opened *opened)
{
    const struct side *peer = me == &run->a ? &run->b : &run->a;
    struct frame_view frame;
    enum err e = frame_parse_whole(bytes, &frame);

    if (e == ERR_OK)
        e = frame_expect(&frame, run->sid, peer->aid, me->aid);
    if (e == ERR_OK)
        e = ratchet_decrypt(&me->ratchet, &me->skipped, &frame, new_secret, run->now_ms, out,
                            opened);
    return e;
}

static void step_recv(struct run *run, json_t *step, json_t *frame)
{
    static const uint8_t no_secret[32];
    struct side *me = side_of(run, get_text(step, "by"));
    struct bytes bytes = frame ? get_hex(frame, "frame") : get_hex(step, "bytes");
    bool turns = has(step, "ratchet_sk");
    uint8_t *out = mem_alloc(BUCKET_MAX);
    struct buf before = side_bytes(me), after;
    struct ratchet_opened opened;
    enum err e = side_open(run, me, bytes, turns ? get_fixed(step, "ratchet_sk", 32) : no_secret,
                           out, &opened);

    if (check_outcome(step, e, reasons)) {
        same_bytes("plaintext", bytes_of(out, opened.len), get_hex(frame, "plaintext"));
        is_true("turned as expected", opened.turned == turns);
    } else {
        after = side_bytes(me);
        same_bytes("state after a refusal", buf_bytes(&after), buf_bytes(&before));
        buf_wipe(&after);
    }
    buf_wipe(&before);
    free(out);
}

static void key_same(json_t *state, const char *key, const uint8_t *got, bool set)
{
    if (!set)
        is_true(key, json_is_null(get(state, key)));
    else
        same_bytes(key, bytes_of(got, 32), get_hex(state, key));
}

static void state_same(const struct side *side, json_t *state)
{
    const struct ratchet *r = &side->ratchet;

    key_same(state, "RK", r->root, true);
    key_same(state, "CKs", r->send_chain, r->can_send);
    key_same(state, "CKr", r->receive_chain, r->can_receive);
    key_same(state, "HKs", r->send_header, r->can_send);
    key_same(state, "HKr", r->receive_header, r->can_receive);
    key_same(state, "NHKs", r->next_send_header, true);
    key_same(state, "NHKr", r->next_receive_header, true);
    key_same(state, "DHs", r->own_secret, true);
    key_same(state, "DHr", r->peer_public, r->has_peer);
    same_number("Ns", r->sent, get_number(state, "Ns"));
    same_number("Nr", r->received, get_number(state, "Nr"));
    same_number("PN", r->previous, get_number(state, "PN"));
    same_number("skipped", side->skipped.count, get_number(state, "skipped"));
}

/* Export and import in the middle of everything must not be noticed. */
static void side_reopen(struct side *side)
{
    uint8_t state[RATCHET_STATE_SIZE];
    struct buf keys = { 0 };

    ratchet_export(&side->ratchet, state);
    skipped_export(&side->skipped, &keys);
    is_true("state imported",
            ratchet_import(&side->ratchet, bytes_of(state, sizeof state)) == ERR_OK);
    skipped_wipe(&side->skipped);
    is_true("skipped keys imported", skipped_import(&side->skipped, buf_bytes(&keys)) == ERR_OK);
    buf_wipe(&keys);
}

static void session_play(struct run *run)
{
    const char *session = get_text(run->row, "name");
    json_t *step, *frames = get(run->row, "frames");
    size_t i;

    json_array_foreach(get(run->row, "steps"), i, step)
    {
        const char *op = get_text(step, "op");
        json_t *frame = json_object_get(step, "frame");

        if (frame)
            frame = json_array_get(frames, (size_t)json_integer_value(frame));
        check_name("session %s step %zu (%s)", session, i, op);
        if (strcmp(op, "send") == 0)
            step_send(run, frame);
        else if (strcmp(op, "lose") == 0)
            step_lose(run, step);
        else if (strcmp(op, "recv") == 0)
            step_recv(run, step, frame);
        else
            check_fail("no such step");
        side_reopen(&run->a);
        side_reopen(&run->b);
    }
}

void part_sessions(json_t *root)
{
    json_t *row;
    size_t i;

    json_array_foreach(get(root, "sessions"), i, row)
    {
        struct run run = { .row = row, .now_ms = get_number(root, "now") };
        json_t *final = json_object_get(row, "final");

        check_name("session %s", get_text(row, "name"));
        session_begin(&run, root);
        session_play(&run);
        check_name("session %s at the end", get_text(row, "name"));
        if (final) {
            state_same(&run.a, get(final, "A"));
            state_same(&run.b, get(final, "B"));
        }
        skipped_wipe(&run.a.skipped);
        skipped_wipe(&run.b.skipped);
    }
}
