/*
 * pair - two agents with a session between them, for tests, benchmarks and fuzzing of the ratchet.
 */
#ifndef TESTS_PAIR_H
#define TESTS_PAIR_H
#include <sodium.h>

#include "agent/crypto/dh.h"
#include "agent/crypto/handshake.h"
#include "agent/crypto/ratchet.h"
#include "agent/crypto/state.h"
#include "shared/trust/init0.h"
#include "shared/trust/prekey.h"
#include "tests/lib/chance.h"

#define PAIR_NOW 1800000000000u

struct side {
    uint8_t aid[32], dk_sk[32], dk[32];
    struct ratchet ratchet;
    struct skipped skipped;
    uint64_t seq; /* last number used */
};

struct pair {
    struct chance chance;
    struct side a, b;
    uint8_t spk_sk[32], spk[32], opk_sk[32], opk[32], ek_sk[32], first_sk[32];
    uint8_t init0[INIT0_SIZE], statement[SPK_SIZE], sid[16];
    uint8_t suite;
};

static inline void pair_key(struct pair *pair, uint8_t sk[static 32], uint8_t pk[static 32])
{
    chance_bytes(&pair->chance, sk, 32);
    dh_public(pk, sk);
}

/* Keys, statement and INIT0; no handshake yet. */
static inline void pair_prepare(struct pair *pair, uint64_t seed, uint8_t suite)
{
    struct init0 init = { .suite = suite, .mode = MODE_MAILBOX, .flags = INIT0_OPK_USED };
    struct spk_statement spk = { .id = 7, .created_ms = PAIR_NOW, .expires_ms = PAIR_NOW + 1 };
    struct buf out = { 0 };

    memset(pair, 0, sizeof *pair);
    pair->chance.state = seed;
    pair->suite = suite;
    chance_bytes(&pair->chance, pair->a.aid, 32);
    chance_bytes(&pair->chance, pair->b.aid, 32);
    pair_key(pair, pair->a.dk_sk, pair->a.dk);
    pair_key(pair, pair->b.dk_sk, pair->b.dk);
    pair_key(pair, pair->spk_sk, pair->spk);
    pair_key(pair, pair->opk_sk, pair->opk);
    pair_key(pair, pair->ek_sk, init.ek_a);
    chance_bytes(&pair->chance, pair->first_sk, 32);

    memcpy(spk.aid, pair->b.aid, 32);
    memcpy(spk.spk, pair->spk, 32);
    spk_encode(&out, &spk);
    memcpy(pair->statement, out.at, SPK_SIZE);
    buf_clear(&out);
    memcpy(init.aid_a, pair->a.aid, 32);
    memcpy(init.aid_b, pair->b.aid, 32);
    init.spk_id = 7;
    init.opk_id = 9;
    init.ts_ms = PAIR_NOW;
    init.req_exp_ms = PAIR_NOW + 1000;
    init.idle_s = 600;
    init0_encode(&out, &init);
    memcpy(pair->init0, out.at, INIT0_SIZE);
    buf_free(&out);
}

static inline struct handshake_words pair_words(const struct pair *pair)
{
    return (struct handshake_words){ bytes_of(pair->init0, INIT0_SIZE),
                                     bytes_of(pair->statement, SPK_SIZE), pair->opk };
}

static inline enum err pair_initiate(struct pair *pair)
{
    struct handshake_words words = pair_words(pair);
    struct handshake_a keys
        = { pair->a.dk_sk, pair->ek_sk, pair->b.dk, pair->spk, pair->opk, NULL };
    struct handshake handshake;
    enum err e = handshake_initiate(&handshake, &words, &keys);

    if (e == ERR_OK)
        e = ratchet_init_a(&pair->a.ratchet, &handshake, pair->suite, pair->spk, pair->first_sk);
    memcpy(pair->sid, handshake.sid, 16);
    return e;
}

static inline enum err pair_respond(struct pair *pair)
{
    struct handshake_words words = pair_words(pair);
    struct handshake_b keys
        = { pair->b.dk_sk, pair->spk_sk, pair->opk_sk, pair->a.dk, pair->init0 + 132, NULL };
    struct handshake handshake;
    enum err e = handshake_respond(&handshake, &words, &keys);

    if (e == ERR_OK)
        ratchet_init_b(&pair->b.ratchet, &handshake, pair->suite, pair->spk_sk, pair->spk);
    return e;
}

static inline void pair_begin(struct pair *pair, uint64_t seed, uint8_t suite)
{
    pair_prepare(pair, seed, suite);
    if (pair_initiate(pair) != ERR_OK || pair_respond(pair) != ERR_OK)
        abort();
}

static inline void pair_end(struct pair *pair)
{
    skipped_wipe(&pair->a.skipped);
    skipped_wipe(&pair->b.skipped);
}

static inline struct side *pair_other(struct pair *pair, const struct side *side)
{
    return side == &pair->a ? &pair->b : &pair->a;
}

static inline struct frame_header pair_header(struct pair *pair, struct side *from)
{
    struct frame_header header = { .kind = FRAME_DATA,
                                   .suite = pair->suite,
                                   .seq = from->seq + 1,
                                   .expires_ms = PAIR_NOW + 86400000 };

    memcpy(header.scope, pair->sid, 16);
    memcpy(header.sender, from->aid, 32);
    memcpy(header.recipient, pair_other(pair, from)->aid, 32);
    return header;
}

/* `frame` has room for frame_size_for(message.len). */
static inline enum err pair_seal(struct pair *pair, struct side *from, struct bytes message,
                                 uint8_t *frame, uint8_t digest[static 32])
{
    struct frame_header header = pair_header(pair, from);
    uint8_t rand[32];
    enum err e;

    chance_bytes(&pair->chance, rand, 32);
    e = ratchet_encrypt(&from->ratchet, &header, message, rand, frame, digest);
    if (e == ERR_OK)
        from->seq++;
    return e;
}

static inline enum err pair_open_at(struct pair *pair, struct side *to, struct bytes bytes,
                                    uint64_t now_ms, uint8_t *out, struct ratchet_opened *opened)
{
    struct frame_view frame;
    uint8_t secret[32];
    enum err e = frame_parse_whole(bytes, &frame);

    if (e == ERR_OK)
        e = frame_expect(&frame, pair->sid, pair_other(pair, to)->aid, to->aid);
    if (e != ERR_OK)
        return e;
    chance_bytes(&pair->chance, secret, 32);
    return ratchet_decrypt(&to->ratchet, &to->skipped, &frame, secret, now_ms, out, opened);
}

static inline enum err pair_open(struct pair *pair, struct side *to, struct bytes bytes,
                                 uint8_t *out, struct ratchet_opened *opened)
{
    return pair_open_at(pair, to, bytes, PAIR_NOW, out, opened);
}

/* All that a side is, to compare. */
static inline struct buf side_bytes(const struct side *side)
{
    struct buf out = { 0 };

    ratchet_export(&side->ratchet, buf_extend(&out, RATCHET_STATE_SIZE));
    skipped_export(&side->skipped, &out);
    return out;
}

#endif
