/* layers: base wire trust agent_crypto */
/* log, invites, INIT0, prekeys, enrolment, events, receipts, notices: their rules, row by row */
#include <criterion/criterion.h>
#include <sodium.h>

#include "agent/crypto/prekey_make.h"
#include "agent/crypto/sign.h"
#include "shared/trust/enrol.h"
#include "shared/trust/event.h"
#include "shared/trust/identity.h"
#include "shared/trust/init0.h"
#include "shared/trust/invite.h"
#include "shared/trust/log_entry.h"
#include "shared/trust/notice.h"
#include "shared/trust/receipt.h"
#include "shared/wire/frame.h"

#define NOW 1800000000000u
#define DAY 86400000u

static void start(void)
{
    cr_assert(sodium_init() >= 0);
}

TestSuite(log_entry, .init = start);
TestSuite(prekey, .init = start);
TestSuite(enrol, .init = start);
TestSuite(event, .init = start);
TestSuite(receipt, .init = start);

/* ---- log ---- */

Test(log_entry, circles)
{
    static const char *const long_name
        = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"; /* 65 */
    static const struct {
        const char *name;
        const char *extra;
        size_t len;
        enum err want;
    } rows[] = {
        { "none", "", 0, ERR_OK },
        { "none, but said", "\0", 1, ERR_SCHEMA },
        { "one", "\1\1a", 3, ERR_OK },
        { "a label begins the next", "\2\1a\2ab", 6, ERR_OK },
        { "the same order by length only", "\2\2ab\1a", 6, ERR_SCHEMA },
        { "twice", "\2\1a\1a", 5, ERR_SCHEMA },
        { "descending", "\2\1b\1a", 5, ERR_SCHEMA },
        { "empty label", "\1\0", 2, ERR_SCHEMA },
        { "not a name", "\1\1A", 3, ERR_SCHEMA },
        { "trailing byte", "\1\1ab", 4, ERR_SCHEMA },
        { "cut", "\1\2a", 3, ERR_SCHEMA },
        { "fewer than said", "\2\1a", 3, ERR_SCHEMA },
        { "nine", "\11\1a\1b\1c\1d\1e\1f\1g\1h\1i", 19, ERR_SCHEMA },
        { "eight", "\10\1a\1b\1c\1d\1e\1f\1g\1h", 17, ERR_OK },
    };
    struct circles circles, other = { .count = 1 };
    struct buf out = { 0 };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        enum err e = circles_parse(bytes_of(rows[i].extra, rows[i].len), &circles);

        cr_expect_eq(e, rows[i].want, "%s", rows[i].name);
        if (e != ERR_OK)
            continue;
        buf_clear(&out);
        cr_expect_eq(circles_encode(&out, &circles), ERR_OK);
        cr_expect(bytes_equal(buf_bytes(&out), bytes_of(rows[i].extra, rows[i].len)), "%s",
                  rows[i].name);
    }
    other.label[0] = bytes_of_text("b");
    cr_expect(circles_share(&circles, &other));
    other.label[0] = bytes_of_text("z");
    cr_expect_not(circles_share(&circles, &other));
    other.label[0] = bytes_of_text(long_name);
    cr_expect_eq(circles_encode(&out, &other), ERR_MALFORMED);
    buf_free(&out);
}

static struct buf entry_make(uint64_t index, uint64_t ts, enum log_entry_type type,
                             struct bytes extra)
{
    struct log_entry entry = { index, ts, type, { 0 }, { 0 }, "ann", extra };
    struct buf out = { 0 };

    log_entry_encode(&out, &entry);
    return out;
}

Test(log_entry, chain)
{
    static const struct {
        const char *name;
        uint64_t index, ts;
        int type;
        struct bytes extra;
        enum err want;
    } rows[] = {
        { "first", 0, 100, ENTRY_ENROL, { 0 }, ERR_OK },
        { "the same again", 0, 100, ENTRY_ENROL, { 0 }, ERR_CONFLICT },
        { "one left out", 2, 100, ENTRY_CARD, { 0 }, ERR_CONFLICT },
        { "time runs backwards", 1, 99, ENTRY_CARD, { 0 }, ERR_CONFLICT },
        { "after the end of time", 1, UINT64_C(1) << 63, ENTRY_CARD, { 0 }, ERR_SCHEMA },
        { "same time", 1, 100, ENTRY_CARD, { 0 }, ERR_OK },
        { "card with extra", 2, 100, ENTRY_CARD, { (const uint8_t *)"\1\1a", 3 }, ERR_SCHEMA },
        { "revoked without reason", 2, 100, ENTRY_REVOKE, { 0 }, ERR_SCHEMA },
        { "reason 0",
          2,
          100,
          ENTRY_REVOKE,
          { (const uint8_t *)"\0\0\0\0\0\0\0\0\1", 9 },
          ERR_SCHEMA },
        { "reason 6",
          2,
          100,
          ENTRY_REVOKE,
          { (const uint8_t *)"\6\0\0\0\0\0\0\0\1", 9 },
          ERR_SCHEMA },
        { "revoked", 2, 100, ENTRY_REVOKE, { (const uint8_t *)"\5\0\0\0\0\0\0\0\1", 9 }, ERR_OK },
        { "another root", 3, 100, 4, { 0 }, ERR_SCHEMA },
        { "type 0", 3, 100, 0, { 0 }, ERR_SCHEMA },
    };
    struct log_head head = { 0 };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf packed = entry_make(rows[i].index, rows[i].ts, (enum log_entry_type)rows[i].type,
                                       rows[i].extra);
        struct log_head before = head;
        struct log_entry out;
        uint8_t digest[32];

        cr_expect_eq(log_head_append(&head, buf_bytes(&packed), &out), rows[i].want, "%s",
                     rows[i].name);
        if (rows[i].want != ERR_OK) {
            cr_expect_eq(memcmp(&before, &head, sizeof head), 0, "%s: head moved", rows[i].name);
        } else {
            log_digest(digest, before.digest, buf_bytes(&packed));
            cr_expect_arr_eq(head.digest, digest, 32);
            cr_expect_eq(head.next, rows[i].index + 1);
        }
        buf_free(&packed);
    }
}

/* ---- invites ---- */

static struct invite invite_make(const char *host, uint16_t port)
{
    struct invite invite = { .port = port, .exp_ms = NOW };

    snprintf(invite.host, sizeof invite.host, "%s", host);
    memset(invite.server_curve_pk, 1, 32);
    memset(invite.root_id, 2, 32);
    memset(invite.invite_curve_sk, 3, 32);
    return invite;
}

Test(invite, there_and_back)
{
    static const struct {
        const char *host;
        uint16_t port;
        enum err want;
    } rows[] = {
        { "relay.example.org", 5752, ERR_OK }, { "192.0.2.7", 1, ERR_OK },
        { "[2001:db8::1]", 65535, ERR_OK },    { "relay", 0, ERR_MALFORMED },
        { "", 5752, ERR_MALFORMED },           { "a b", 5752, ERR_MALFORMED },
        { "[::1", 5752, ERR_MALFORMED },       { "[]", 5752, ERR_MALFORMED },
        { "a/b", 5752, ERR_MALFORMED },        { "a_b", 5752, ERR_MALFORMED },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct invite invite = invite_make(rows[i].host, rows[i].port), again;
        char text[INVITE_TEXT_SIZE];

        cr_expect_eq(invite_encode(text, &invite), rows[i].want, "%s", rows[i].host);
        if (rows[i].want != ERR_OK)
            continue;
        cr_expect_eq(strlen(strchr(text, '#') + 1), 151);
        cr_expect_eq(invite_parse(text, NOW, &again), ERR_OK, "%s", text);
        cr_expect_eq(memcmp(&invite, &again, sizeof invite), 0, "%s", text);
        cr_expect_eq(invite_parse(text, NOW + 300000, &again), ERR_OK);
        cr_expect_eq(invite_parse(text, NOW + 300001, &again), ERR_TOKEN);
        cr_expect_eq(again.invite_curve_sk[0], 0, "wiped");
    }
}

Test(invite, refuses_other_spellings)
{
    static const struct {
        const char *name, *from, *to;
    } rows[] = {
        { "scheme", "sealpost://", "https://" },
        { "capital scheme", "sealpost", "Sealpost" },
        { "no port", ":5752", "" },
        { "port 0", ":5752", ":0" },
        { "port 65536", ":5752", ":65536" },
        { "port of six digits", ":5752", ":057520" },
        { "port with a leading zero", ":5752", ":05752" },
        { "port with sign", ":5752", ":+5752" },
        { "no host", "relay", "" },
        { "no slash", "/#", "#" },
        { "path", "/#", "/x#" },
        { "user", "relay", "me@relay" },
        { "leading space", "sealpost", " sealpost" },
        { "a byte above 0x7f in the code", "QEBAQ", "QEB\x83Q" },
    };
    struct invite invite = invite_make("relay", 5752), out;
    char text[INVITE_TEXT_SIZE], spoiled[INVITE_TEXT_SIZE + 32];

    cr_assert_eq(invite_encode(text, &invite), ERR_OK);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *at = strstr(text, rows[i].from);

        cr_assert(at, "%s", rows[i].name);
        snprintf(spoiled, sizeof spoiled, "%.*s%s%s", (int)(at - text), text, rows[i].to,
                 at + strlen(rows[i].from));
        cr_expect_eq(invite_parse(spoiled, NOW, &out), ERR_MALFORMED, "%s", rows[i].name);
    }
    for (size_t len = 0; len < strlen(text); len++) {
        snprintf(spoiled, sizeof spoiled, "%.*s", (int)len, text);
        cr_expect_eq(invite_parse(spoiled, NOW, &out), ERR_MALFORMED, "%zu characters", len);
    }
    snprintf(spoiled, sizeof spoiled, "%s=", text);
    cr_expect_eq(invite_parse(spoiled, NOW, &out), ERR_MALFORMED, "padding");
    snprintf(spoiled, sizeof spoiled, "%s\n", text);
    cr_expect_eq(invite_parse(spoiled, NOW, &out), ERR_MALFORMED, "newline");
}

/* ---- INIT0 ---- */

static struct init0 init_make(void)
{
    struct init0 init = { .suite = SUITE_CHACHA,
                          .mode = MODE_MAILBOX,
                          .aid_a = { 1 },
                          .aid_b = { 2 },
                          .card_hash_b = { 3 },
                          .spk_id = 1,
                          .ts_ms = NOW,
                          .req_exp_ms = NOW + DAY,
                          .idle_s = 60 };
    return init;
}

Test(init0, layout)
{
    static const uint8_t ciphertext[1088];
    static const struct {
        const char *name;
        size_t at;
        uint8_t value;
        enum err want;
    } rows[] = {
        { "good", 0, 1, ERR_OK },
        { "version 2", 0, 2, ERR_SCHEMA },
        { "no such suite", 1, 3, ERR_SCHEMA },
        { "ML-KEM without ciphertext", 1, 0x11, ERR_SCHEMA },
        { "live", 2, 0, ERR_OK },
        { "mode 2", 2, 2, ERR_SCHEMA },
        { "unknown flag", 3, 4, ERR_SCHEMA },
        { "flag of a one-time prekey", 3, 1, ERR_SCHEMA },
        { "one-time prekey without flag", 171, 5, ERR_SCHEMA },
        { "rotate without an old session", 3, 2, ERR_SCHEMA },
        { "an old session without rotate", 192, 1, ERR_SCHEMA },
        { "to oneself", 36, 1, ERR_SCHEMA },
        { "idle for ever", 188, 1, ERR_SCHEMA },
        { "pq_len", 209, 1, ERR_SCHEMA },
    };
    struct init0 init = init_make(), out;
    struct buf bytes = { 0 };

    init0_encode(&bytes, &init);
    cr_expect_eq(bytes.len, INIT0_SIZE);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t old = bytes.at[rows[i].at];

        bytes.at[rows[i].at] = rows[i].value;
        cr_expect_eq(init0_parse(buf_bytes(&bytes), &out), rows[i].want, "%s", rows[i].name);
        bytes.at[rows[i].at] = old;
    }
    for (size_t len = 0; len < bytes.len; len++)
        cr_expect_eq(init0_parse(bytes_of(bytes.at, len), &out), ERR_SCHEMA, "%zu bytes", len);
    init.suite = SUITE_CHACHA_MLKEM;
    init.pq_ct = bytes_of(ciphertext, sizeof ciphertext);
    buf_clear(&bytes);
    init0_encode(&bytes, &init);
    cr_expect_eq(bytes.len, INIT0_MAX);
    cr_expect_eq(init0_parse(buf_bytes(&bytes), &out), ERR_OK);
    buf_free(&bytes);
}

Test(init0, freshness)
{
    static const struct {
        const char *name;
        uint8_t mode;
        uint64_t ts, req_exp;
        enum err want;
    } rows[] = {
        { "live, now", MODE_LIVE, NOW, NOW + 300000, ERR_OK },
        { "live, oldest", MODE_LIVE, NOW - 300000, NOW, ERR_OK },
        { "live, too old", MODE_LIVE, NOW - 300001, NOW, ERR_STALE_TS },
        { "live, from the future", MODE_LIVE, NOW + 300001, NOW + 300001, ERR_STALE_TS },
        { "live, too long", MODE_LIVE, NOW, NOW + 300001, ERR_STALE_TS },
        { "live, over", MODE_LIVE, NOW - 10, NOW - 1, ERR_EXPIRED },
        { "mailbox, longest", MODE_MAILBOX, NOW, NOW + 7u * DAY, ERR_OK },
        { "mailbox, too long", MODE_MAILBOX, NOW, NOW + 7u * DAY + 1, ERR_STALE_TS },
        { "mailbox, six days old", MODE_MAILBOX, NOW - 6u * DAY, NOW + 1, ERR_OK },
        { "mailbox, last moment", MODE_MAILBOX, NOW - DAY, NOW, ERR_OK },
        { "mailbox, over", MODE_MAILBOX, NOW - DAY, NOW - 1, ERR_EXPIRED },
        { "mailbox, a little ahead", MODE_MAILBOX, NOW + 300000, NOW + DAY, ERR_OK },
        { "mailbox, from the future", MODE_MAILBOX, NOW + 300001, NOW + DAY, ERR_STALE_TS },
        { "largest numbers", MODE_MAILBOX, UINT64_MAX, UINT64_MAX, ERR_STALE_TS },
        { "ends before it begins", MODE_MAILBOX, NOW, 0, ERR_EXPIRED },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct init0 init = init_make();

        init.mode = rows[i].mode;
        init.ts_ms = rows[i].ts;
        init.req_exp_ms = rows[i].req_exp;
        cr_expect_eq(init0_fresh(&init, NOW), rows[i].want, "%s", rows[i].name);
    }
}

Test(init0, what_b_checks)
{
    static const uint8_t aid[32] = { 2 }, stranger[32] = { 9 }, cards[2][32] = { { 8 }, { 3 } };
    struct init0_own own = { aid, cards, 2, 1, true, true };
    struct init0 init = init_make();

    cr_expect_eq(init0_check(&init, &own, NOW), ERR_OK);
    own.aid = stranger;
    cr_expect_eq(init0_check(&init, &own, NOW), ERR_AUTH);
    own.aid = aid;
    own.card_hash_count = 1;
    cr_expect_eq(init0_check(&init, &own, NOW), ERR_STATE, "a card that was never mine");
    own.card_hash_count = 2;
    init.suite = SUITE_AES;
    cr_expect_eq(init0_check(&init, &own, NOW), ERR_STATE, "suite");
    init.suite = SUITE_CHACHA;
    own.have_spk = false;
    cr_expect_eq(init0_check(&init, &own, NOW), ERR_NO_PREKEYS);
    own.have_spk = true;
    own.have_opk = false;
    cr_expect_eq(init0_check(&init, &own, NOW), ERR_OK, "none is used");
    init.opk_id = 4;
    cr_expect_eq(init0_check(&init, &own, NOW), ERR_NO_PREKEYS);
}

/* ---- prekeys, enrolment ---- */

Test(prekey, made_and_verified)
{
    uint8_t ik[32], sk[64], aid[32], other[32] = { 0 }, sig[64];
    struct spk_statement spk;
    struct buf out = { 0 };

    sign_key_of_seed(ik, sk, (const uint8_t[32]){ 5 });
    aid_of(aid, ik);
    prekey_make(&out, sig, aid, sk, 12, NOW, (const uint8_t[32]){ 6 });
    cr_expect_eq(out.len, SPK_SIZE);
    cr_expect_eq(spk_verify(buf_bytes(&out), sig, aid, ik, NOW, &spk), ERR_OK);
    cr_expect_eq(spk.id, 12);
    cr_expect_eq(spk_verify(buf_bytes(&out), sig, aid, ik, NOW + SPK_LIFE_MS, &spk), ERR_OK);
    cr_expect_eq(spk_verify(buf_bytes(&out), sig, aid, ik, NOW + SPK_LIFE_MS + 1, &spk),
                 ERR_EXPIRED);
    cr_expect_eq(spk_verify(buf_bytes(&out), sig, other, ik, NOW, &spk), ERR_AUTH);
    cr_expect_eq(spk_verify(buf_bytes(&out), sig, aid, aid, NOW, &spk), ERR_AUTH);
    for (size_t bit = 0; bit < 8 * out.len; bit++) {
        out.at[bit / 8] ^= (uint8_t)(1 << bit % 8);
        cr_expect_neq(spk_verify(buf_bytes(&out), sig, aid, ik, NOW, &spk), ERR_OK, "%zu", bit);
        out.at[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t len = 0; len < out.len; len++)
        cr_expect_eq(spk_parse(bytes_of(out.at, len), &spk), ERR_SCHEMA);
    buf_free(&out);
}

Test(enrol, T47_signatures)
{
    uint8_t ik[32], sk[64], sig[64], root[32] = { 1 }, invite[32] = { 2 }, card[32] = { 3 };
    uint8_t enrol[ENROL_PREIMAGE_SIZE], leave[LEAVE_PREIMAGE_SIZE];

    sign_key_of_seed(ik, sk, (const uint8_t[32]){ 7 });
    enrol_preimage(enrol, root, invite, card, NOW);
    sign(sig, sk, bytes_of(enrol, sizeof enrol));
    cr_expect_eq(enrol_verify(sig, ik, root, invite, card, NOW), ERR_OK);
    cr_expect_eq(enrol_verify(sig, ik, root, invite, card, NOW + 1), ERR_AUTH);
    cr_expect_eq(enrol_verify(sig, ik, invite, invite, card, NOW), ERR_AUTH);
    cr_expect_eq(enrol_verify(sig, ik, root, root, card, NOW), ERR_AUTH);
    cr_expect_eq(enrol_verify(sig, ik, root, invite, root, NOW), ERR_AUTH);
    cr_expect_eq(enrol_verify(sig, root, root, invite, card, NOW), ERR_AUTH);
    cr_expect_eq(leave_verify(sig, ik, root, card, NOW), ERR_AUTH);
    leave_preimage(leave, root, card, NOW);
    sign(sig, sk, bytes_of(leave, sizeof leave));
    cr_expect_eq(leave_verify(sig, ik, root, card, NOW), ERR_OK);
    cr_expect_eq(leave_verify(sig, ik, root, card, NOW + 1), ERR_AUTH);
    cr_expect_eq(leave_verify(sig, ik, card, card, NOW), ERR_AUTH);
}

/* ---- events ---- */

/* A session's parties and controller, with keys. */
struct cast {
    uint8_t ik[3][32], sk[3][64], aid[3][32]; /* A, B, the controller (aid = root_id) */
    struct session_chain chain;
    struct buf opening;
};

enum who { A, B, CONTROLLER, NOBODY };

static struct cast cast_make(void)
{
    struct cast cast = { 0 };
    struct init0 init = init_make();
    struct buf init0 = { 0 };
    uint8_t digest[32] = { 1 };

    for (uint8_t i = 0; i < 3; i++) {
        sign_key_of_seed(cast.ik[i], cast.sk[i], (const uint8_t[32]){ (uint8_t)(i + 1) });
        if (i == CONTROLLER)
            root_id_of(cast.aid[i], cast.ik[i]);
        else
            aid_of(cast.aid[i], cast.ik[i]);
    }
    memcpy(init.aid_a, cast.aid[A], 32);
    memcpy(init.aid_b, cast.aid[B], 32);
    init0_encode(&init0, &init);
    opened_body_encode(&cast.opening, buf_bytes(&init0), digest);
    init0_sid(cast.chain.sid, buf_bytes(&init0));
    buf_free(&init0);
    return cast;
}

static struct bytes body_of(struct cast *cast, uint8_t type)
{
    static const uint8_t zeroes[32];
    static const size_t sizes[] = { 0, 0, 32, 1, 16, CLOSED_BODY_SIZE, 1 };

    return type == EVENT_OPENED ? buf_bytes(&cast->opening) : bytes_of(zeroes, sizes[type]);
}

static enum err cast_offer(struct cast *cast, uint8_t type, enum who actor, enum who target)
{
    struct event event
        = { .scope = SCOPE_SESSION, .seq = cast->chain.next_seq, .type = type, .ts_ms = NOW };
    struct bytes body = body_of(cast, type);
    uint8_t preimage[EVENT_SIZE], sig[64];
    struct signed_event offered = { { preimage, sizeof preimage }, sig, body };
    struct event out;

    memcpy(event.id, cast->chain.sid, 16);
    memcpy(event.prev, cast->chain.head, 32);
    memcpy(event.actor, cast->aid[actor], 32);
    if (target != NOBODY)
        memcpy(event.target, cast->aid[target], 32);
    event_body_hash(event.body_hash, body);
    event_encode(preimage, &event);
    sign(sig, cast->sk[actor], bytes_of(preimage, sizeof preimage));
    return session_chain_append(&cast->chain, &offered, cast->aid[CONTROLLER], cast->ik[actor],
                                &out);
}

struct step {
    uint8_t type;
    enum who actor, target;
    enum err want;
};

Test(event, who_may_do_what_and_when)
{
    static const struct {
        const char *name;
        struct step step[6];
    } rows[] = {
        { "a good life",
          { { EVENT_OPENED, A, B, ERR_OK },
            { EVENT_ACCEPTED, B, A, ERR_OK },
            { EVENT_CLOSED, A, B, ERR_OK },
            { EVENT_CLOSED, B, A, ERR_STATE },
            { EVENT_EXPIRED, CONTROLLER, NOBODY, ERR_STATE } } },
        { "nothing before OPENED",
          { { EVENT_ACCEPTED, B, A, ERR_STATE },
            { EVENT_CLOSED, A, B, ERR_STATE },
            { EVENT_EXPIRED, CONTROLLER, NOBODY, ERR_STATE } } },
        { "OPENED by the wrong one",
          { { EVENT_OPENED, B, A, ERR_FORBIDDEN },
            { EVENT_OPENED, A, A, ERR_FORBIDDEN },
            { EVENT_OPENED, A, B, ERR_OK },
            { EVENT_OPENED, A, B, ERR_STATE } } },
        { "only B answers",
          { { EVENT_OPENED, A, B, ERR_OK },
            { EVENT_ACCEPTED, A, B, ERR_FORBIDDEN },
            { EVENT_REJECTED, A, B, ERR_FORBIDDEN },
            { EVENT_ACCEPTED, B, B, ERR_FORBIDDEN },
            { EVENT_REJECTED, B, A, ERR_OK },
            { EVENT_ACCEPTED, B, A, ERR_STATE } } },
        { "a request is withdrawn by A only",
          { { EVENT_OPENED, A, B, ERR_OK },
            { EVENT_CLOSED, B, A, ERR_FORBIDDEN },
            { EVENT_ROTATED, A, B, ERR_STATE },
            { EVENT_CLOSED, A, B, ERR_OK } } },
        { "only the controller lets it expire",
          { { EVENT_OPENED, A, B, ERR_OK },
            { EVENT_EXPIRED, A, B, ERR_FORBIDDEN },
            { EVENT_EXPIRED, CONTROLLER, A, ERR_FORBIDDEN },
            { EVENT_EXPIRED, CONTROLLER, NOBODY, ERR_OK },
            { EVENT_ACCEPTED, B, A, ERR_STATE } } },
        { "rotation",
          { { EVENT_OPENED, A, B, ERR_OK },
            { EVENT_ACCEPTED, B, A, ERR_OK },
            { EVENT_REJECTED, B, A, ERR_STATE },
            { EVENT_ROTATED, CONTROLLER, A, ERR_FORBIDDEN },
            { EVENT_ROTATED, B, A, ERR_OK },
            { EVENT_CLOSED, B, A, ERR_STATE } } },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct cast cast = cast_make();

        for (const struct step *step = rows[i].step; step < rows[i].step + 6 && step->type;
             step++) {
            struct session_chain before = cast.chain;

            cr_expect_eq(cast_offer(&cast, step->type, step->actor, step->target), step->want,
                         "%s: %s", rows[i].name, event_type_name(step->type));
            cr_expect((step->want == ERR_OK) == (memcmp(&before, &cast.chain, sizeof before) != 0),
                      "%s: %s", rows[i].name, event_type_name(step->type));
        }
        buf_free(&cast.opening);
    }
}

/* Every cell of the table that is not in this list is a forbidden step. */
Test(event, every_step)
{
    static const struct {
        enum chain_state from;
        uint8_t type;
        enum chain_state to;
    } allowed[] = {
        { CHAIN_NONE, EVENT_OPENED, CHAIN_REQUESTED },
        { CHAIN_REQUESTED, EVENT_ACCEPTED, CHAIN_ACTIVE },
        { CHAIN_REQUESTED, EVENT_REJECTED, CHAIN_REJECTED },
        { CHAIN_REQUESTED, EVENT_CLOSED, CHAIN_CLOSED },
        { CHAIN_REQUESTED, EVENT_EXPIRED, CHAIN_EXPIRED },
        { CHAIN_ACTIVE, EVENT_ROTATED, CHAIN_ROTATED },
        { CHAIN_ACTIVE, EVENT_CLOSED, CHAIN_CLOSED },
        { CHAIN_ACTIVE, EVENT_EXPIRED, CHAIN_EXPIRED },
    };

    for (int state = CHAIN_NONE; state <= CHAIN_STATE_COUNT; state++) {
        for (int type = 0; type < 256; type++) {
            enum chain_state want = CHAIN_NONE;

            for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++)
                if (allowed[i].from == (enum chain_state)state && allowed[i].type == type)
                    want = allowed[i].to;
            cr_expect_eq(chain_next((enum chain_state)state, (uint8_t)type), want, "%d, %d", state,
                         type);
        }
    }
}

Test(event, layout)
{
    static const struct {
        const char *name;
        uint8_t scope, type;
        enum err want;
    } rows[] = {
        { "session", SCOPE_SESSION, EVENT_CLOSED, ERR_OK },
        { "group", SCOPE_GROUP, EVENT_GROUP_EPOCH, ERR_OK },
        { "a session's type in a group", SCOPE_GROUP, EVENT_CLOSED, ERR_SCHEMA },
        { "a group's type in a session", SCOPE_SESSION, EVENT_GROUP_CLOSED, ERR_SCHEMA },
        { "type 0", SCOPE_SESSION, 0, ERR_SCHEMA },
        { "type 7", SCOPE_SESSION, 7, ERR_SCHEMA },
        { "type 23", SCOPE_GROUP, 23, ERR_SCHEMA },
        { "scope 3", 3, EVENT_CLOSED, ERR_SCHEMA },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct event event = { .scope = rows[i].scope, .type = rows[i].type }, out;
        uint8_t preimage[EVENT_SIZE + 1];

        event_encode(preimage, &event);
        cr_expect_eq(event_parse(bytes_of(preimage, EVENT_SIZE), &out), rows[i].want, "%s",
                     rows[i].name);
        cr_expect_eq(event_parse(bytes_of(preimage, EVENT_SIZE - 1), &out), ERR_SCHEMA);
        cr_expect_eq(event_parse(bytes_of(preimage, EVENT_SIZE + 1), &out), ERR_SCHEMA);
    }
}

Test(event, closed_body)
{
    struct closed_body closed = { CLOSED_BROKEN, 1ull << 40 }, again;
    uint8_t body[CLOSED_BODY_SIZE];

    closed_body_encode(body, &closed);
    cr_expect_eq(closed_body_parse(bytes_of(body, sizeof body), &again), ERR_OK);
    cr_expect(again.reason == closed.reason && again.final_seq == closed.final_seq);
    cr_expect_eq(closed_body_parse(bytes_of(body, 8), &again), ERR_SCHEMA);
}

/* ---- receipts, notices ---- */

Test(receipt, table)
{
    static const uint8_t zeroes[32];
    static const struct {
        const char *name;
        uint8_t status, scope;
        uint64_t from, to;
        enum err want;
    } rows[] = {
        { "one", RECEIPT_DELIVERED, 1, 1, 1, ERR_OK },
        { "most", RECEIPT_TOMBSTONE, 1, 5, 1028, ERR_OK },
        { "too many", RECEIPT_DELIVERED, 1, 5, 1029, ERR_RECEIPT },
        { "positions may have holes", RECEIPT_DELIVERED, 0, 5, 1u << 30, ERR_OK },
        { "from 0", RECEIPT_DELIVERED, 1, 0, 1, ERR_RECEIPT },
        { "upside down", RECEIPT_DELIVERED, 1, 2, 1, ERR_RECEIPT },
        { "all numbers there are", RECEIPT_DELIVERED, 1, 1, UINT64_MAX, ERR_RECEIPT },
        { "status 0", 0, 1, 1, 1, ERR_RECEIPT },
        { "status 6", 6, 1, 1, 1, ERR_RECEIPT },
        { "advance of another's numbers", RECEIPT_ADVANCE, 1, 1, 9000, ERR_RECEIPT },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct receipt receipt = { .status = rows[i].status,
                                   .scope = { rows[i].scope },
                                   .sender = { rows[i].scope },
                                   .recipient = { 7 },
                                   .from = rows[i].from,
                                   .to = rows[i].to };
        struct receipt again;
        uint8_t preimage[RECEIPT_SIZE];

        receipt_encode(preimage, &receipt);
        cr_expect_eq(receipt_parse(bytes_of(preimage, sizeof preimage), &again), rows[i].want, "%s",
                     rows[i].name);
        cr_expect_eq(receipt_is_cursor(&receipt), memcmp(receipt.sender, zeroes, 32) == 0);
    }
}

Test(receipt, signed_by_the_recipient)
{
    struct receipt receipt = { .status = RECEIPT_ADVANCE, .scope = { 1 }, .from = 3, .to = 9000 };
    struct receipt again;
    uint8_t ik[32], sk[64], other[32], other_sk[64], sig[64], preimage[RECEIPT_SIZE];
    struct bytes bytes = { preimage, sizeof preimage };

    sign_key_of_seed(ik, sk, (const uint8_t[32]){ 8 });
    sign_key_of_seed(other, other_sk, (const uint8_t[32]){ 9 });
    aid_of(receipt.recipient, ik);
    aid_of(receipt.sender, ik);
    receipt_encode(preimage, &receipt);
    sign(sig, sk, bytes);
    cr_expect_eq(receipt_parse(bytes, &again), ERR_OK);
    cr_expect_eq(receipt_verify(bytes, &again, sig, ik), ERR_OK);
    cr_expect_eq(receipt_verify(bytes, &again, sig, other), ERR_RECEIPT, "another key");
    sign(sig, other_sk, bytes);
    cr_expect_eq(receipt_verify(bytes, &again, sig, other), ERR_RECEIPT, "not the recipient's key");
    cr_expect_eq(receipt_verify(bytes, &again, sig, ik), ERR_RECEIPT, "another signed");
    receipt.range_digest[0] = 1;
    receipt_encode(preimage, &receipt);
    cr_expect_eq(receipt_parse(bytes, &again), ERR_RECEIPT, "advance covers no frames");
}

Test(receipt, range_is_ordered)
{
    uint8_t one[32] = { 1 }, two[32] = { 2 }, a[32], b[32];
    struct range_digest range;

    range_begin(&range);
    range_add(&range, one);
    range_add(&range, two);
    range_end(&range, a);
    cr_expect_eq(range.count, 2);
    range_begin(&range);
    range_add(&range, two);
    range_add(&range, one);
    range_end(&range, b);
    cr_expect_arr_neq(a, b, 32);
}

Test(notice, layout)
{
    struct notice notice = { .reason = NOTICE_DAMAGED, .seq = 5, .position = 6, .at_ms = 7 }, again;
    uint8_t bytes[NOTICE_SIZE];

    notice_encode(bytes, &notice);
    cr_expect_eq(notice_parse(bytes_of(bytes, sizeof bytes), &again), ERR_OK);
    cr_expect(again.seq == 5 && again.position == 6 && again.at_ms == 7);
    for (size_t len = 0; len < sizeof bytes; len++)
        cr_expect_eq(notice_parse(bytes_of(bytes, len), &again), ERR_SCHEMA);
    bytes[1] = 0;
    cr_expect_eq(notice_parse(bytes_of(bytes, sizeof bytes), &again), ERR_SCHEMA);
    bytes[1] = NOTICE_READER_REMOVED + 1;
    cr_expect_eq(notice_parse(bytes_of(bytes, sizeof bytes), &again), ERR_SCHEMA);
    bytes[1] = NOTICE_EXPIRED;
    bytes[0] = 2;
    cr_expect_eq(notice_parse(bytes_of(bytes, sizeof bytes), &again), ERR_SCHEMA);
}
