/* layers: base wire trust agent_crypto */
#include "shared/trust/credential.h"

#include <criterion/criterion.h>
#include <sodium.h>

#include "agent/crypto/sign.h"
#include "shared/trust/identity.h"
#include "shared/trust/server_card.h"
#include "shared/wire/pack.h"

#define NOW  1800000000000u
#define HOUR 3600000u

/* An agent, a controller, and a credential that is good; tests spoil one thing. */
struct case_of {
    uint8_t ik[32], sk[64], ck[32], ck_sk[64];
    struct card card;
    struct certificate cert;
    struct buf packed_card, packed_cert, packed;
    uint8_t card_sig[64], cert_sig[64];
    struct credential cred;
    struct credential_facts facts;
};

static void case_pack(struct case_of *c)
{
    buf_clear(&c->packed_card);
    card_encode(&c->packed_card, &c->card);
    sign_labelled(c->card_sig, c->sk, LABEL_CARD, buf_bytes(&c->packed_card));
    buf_clear(&c->packed_cert);
    certificate_encode(&c->packed_cert, &c->cert);
    sign_labelled(c->cert_sig, c->ck_sk, LABEL_CERT, buf_bytes(&c->packed_cert));
    buf_clear(&c->packed);
    credential_encode(&c->packed, buf_bytes(&c->packed_card), c->card_sig,
                      buf_bytes(&c->packed_cert), c->cert_sig);
}

static struct case_of case_make(void)
{
    struct case_of c
        = { .card = { .name = "ann",
                      .gen = 3,
                      .created_ms = NOW - HOUR,
                      .suites = 3,
                      .proto_min = 1,
                      .proto_max = 1 },
            .cert = { .serial = 9, .nbf_ms = NOW - HOUR, .exp_ms = NOW + HOUR, .log_index = 4 } };

    cr_assert(sodium_init() >= 0);
    sign_key_of_seed(c.ik, c.sk, (const uint8_t[32]){ 1 });
    sign_key_of_seed(c.ck, c.ck_sk, (const uint8_t[32]){ 2 });
    memcpy(c.card.ik, c.ik, 32);
    memset(c.card.dk, 3, 32);
    memset(c.card.tk, 4, 32);
    card_encode(&c.packed_card, &c.card);
    aid_of(c.cert.aid, c.ik);
    card_hash(c.cert.card_hash, buf_bytes(&c.packed_card));
    case_pack(&c);
    c.facts.bound = true;
    return c;
}

static enum err case_judge(struct case_of *c)
{
    enum err e = credential_parse(buf_bytes(&c->packed), &c->cred);

    return e == ERR_OK ? credential_verify(&c->cred, c->ck, NOW, &c->facts) : e;
}

static void case_end(struct case_of *c)
{
    buf_free(&c->packed_card);
    buf_free(&c->packed_cert);
    buf_free(&c->packed);
}

static void known(struct case_of *c)
{
    credential_parse(buf_bytes(&c->packed), &c->cred);
    c->facts.pinned = c->facts.seen = true;
    memcpy(c->facts.pinned_aid, c->cred.aid, 32);
    memcpy(c->facts.seen_card_hash, c->cred.card_hash, 32);
    c->facts.seen_gen = 3;
}

static void nothing(struct case_of *c)
{
    (void)c;
}
static void last_moment(struct case_of *c)
{
    c->cert.exp_ms = NOW - CERTIFICATE_SKEW_MS;
    case_pack(c);
}
static void expired(struct case_of *c)
{
    c->cert.exp_ms = NOW - CERTIFICATE_SKEW_MS - 1;
    case_pack(c);
}
static void first_moment(struct case_of *c)
{
    c->cert.nbf_ms = NOW + CERTIFICATE_SKEW_MS;
    case_pack(c);
}
static void not_yet(struct case_of *c)
{
    c->cert.nbf_ms = NOW + CERTIFICATE_SKEW_MS + 1;
    case_pack(c);
}
static void for_ever(struct case_of *c)
{
    c->cert.exp_ms = UINT64_MAX;
    case_pack(c);
}
static void from_the_end(struct case_of *c)
{
    c->cert.nbf_ms = UINT64_MAX;
    case_pack(c);
}
static void another_root(struct case_of *c)
{
    c->ck[0] ^= 1;
}
static void another_aid(struct case_of *c)
{
    c->cert.aid[0] ^= 1;
    case_pack(c);
}
static void another_card(struct case_of *c)
{
    c->card.gen = 4;
    case_pack(c);
}
static void card_signed_by_another(struct case_of *c)
{
    sign_labelled(c->card_sig, c->ck_sk, LABEL_CARD, buf_bytes(&c->packed_card));
    buf_clear(&c->packed);
    credential_encode(&c->packed, buf_bytes(&c->packed_card), c->card_sig,
                      buf_bytes(&c->packed_cert), c->cert_sig);
}
static void cert_label(struct case_of *c)
{
    sign_labelled(c->cert_sig, c->ck_sk, LABEL_CARD, buf_bytes(&c->packed_cert));
    buf_clear(&c->packed);
    credential_encode(&c->packed, buf_bytes(&c->packed_card), c->card_sig,
                      buf_bytes(&c->packed_cert), c->cert_sig);
}
static void revoked(struct case_of *c)
{
    c->facts.revoked = true;
}
static void unbound(struct case_of *c)
{
    c->facts.bound = false;
}
static void other_pin(struct case_of *c)
{
    known(c);
    c->facts.pinned_aid[31] ^= 1;
}
static void newer_seen(struct case_of *c)
{
    known(c);
    c->facts.seen_gen = 4;
}
static void older_seen(struct case_of *c)
{
    known(c);
    c->facts.seen_gen = 2;
    c->facts.seen_card_hash[0] ^= 1;
}
static void same_gen_other_card(struct case_of *c)
{
    known(c);
    c->facts.seen_card_hash[0] ^= 1;
}
static void trailing(struct case_of *c)
{
    buf_append(&c->packed, "", 1);
}
static void cut(struct case_of *c)
{
    c->packed.len--;
}

Test(credential, table)
{
    static const struct {
        const char *name;
        void (*spoil)(struct case_of *);
        enum err want;
    } rows[] = {
        { "good", nothing, ERR_OK },
        { "known and unchanged", known, ERR_OK },
        { "last moment", last_moment, ERR_OK },
        { "expired", expired, ERR_CERT_EXPIRED },
        { "first moment", first_moment, ERR_OK },
        { "not yet valid", not_yet, ERR_CERT_EXPIRED },
        { "exp is the largest number", for_ever, ERR_OK },
        { "nbf is the largest number", from_the_end, ERR_CERT_EXPIRED },
        { "another root", another_root, ERR_CERT_INVALID },
        { "another aid", another_aid, ERR_CERT_INVALID },
        { "another card", another_card, ERR_CERT_INVALID },
        { "card signed by another", card_signed_by_another, ERR_CERT_INVALID },
        { "certificate under the card's label", cert_label, ERR_CERT_INVALID },
        { "revoked", revoked, ERR_CERT_REVOKED },
        { "not in the log", unbound, ERR_CERT_INVALID },
        { "name is pinned to another", other_pin, ERR_KEY_CHANGED },
        { "newer card seen", newer_seen, ERR_CERT_INVALID },
        { "older card seen", older_seen, ERR_OK },
        { "same gen, other card", same_gen_other_card, ERR_CERT_INVALID },
        { "trailing byte", trailing, ERR_SCHEMA },
        { "cut", cut, ERR_SCHEMA },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct case_of c = case_make();

        rows[i].spoil(&c);
        cr_expect_eq(case_judge(&c), rows[i].want, "%s", rows[i].name);
        case_end(&c);
    }
}

/* No bit of a credential can be changed. */
Test(credential, every_bit_counts)
{
    struct case_of c = case_make();

    cr_assert_eq(case_judge(&c), ERR_OK);
    for (size_t bit = 0; bit < 8 * c.packed.len; bit++) {
        c.packed.at[bit / 8] ^= (uint8_t)(1 << bit % 8);
        cr_expect_neq(case_judge(&c), ERR_OK, "bit %zu", bit);
        c.packed.at[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    case_end(&c);
}

Test(credential, sizes_of_the_page)
{
    struct case_of c = case_make();

    snprintf(c.card.name, sizeof c.card.name, "brave");
    c.card.created_ms = c.cert.nbf_ms = c.cert.exp_ms = 1ull << 40;
    case_pack(&c);
    cr_expect_eq(c.packed_card.len, 135, "%zu", c.packed_card.len);
    cr_expect_eq(c.packed_cert.len, 133, "%zu", c.packed_cert.len);
    cr_expect_eq(c.packed.len, 405, "%zu", c.packed.len);
    case_end(&c);
}

Test(card, refuses)
{
    static const struct {
        const char *name;
        const char *card_name;
        uint32_t gen, suites;
        uint8_t proto_min, proto_max;
        size_t info;
        enum err want;
    } rows[] = {
        { "good", "ann", 1, 1, 1, 1, 0, ERR_OK },
        { "no name", "", 1, 1, 1, 1, 0, ERR_SCHEMA },
        { "capital", "Ann", 1, 1, 1, 1, 0, ERR_SCHEMA },
        { "gen 0", "ann", 0, 1, 1, 1, 0, ERR_SCHEMA },
        { "largest gen", "ann", UINT32_MAX, 1, 1, 1, 0, ERR_OK },
        { "suite 0x01 missing", "ann", 1, 2, 1, 1, 0, ERR_SCHEMA },
        { "versions upside down", "ann", 1, 1, 2, 1, 0, ERR_SCHEMA },
        { "largest info", "ann", 1, 1, 1, 1, CARD_INFO_MAX, ERR_OK },
        { "info too large", "ann", 1, 1, 1, 1, CARD_INFO_MAX + 1, ERR_SCHEMA },
    };
    static const uint8_t info[CARD_INFO_MAX + 1];

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct card card = { .gen = rows[i].gen,
                             .suites = rows[i].suites,
                             .proto_min = rows[i].proto_min,
                             .proto_max = rows[i].proto_max,
                             .info = { info, rows[i].info } };
        struct card out;
        struct buf packed = { 0 };

        snprintf(card.name, sizeof card.name, "%s", rows[i].card_name);
        card_encode(&packed, &card);
        cr_expect_eq(card_parse(buf_bytes(&packed), &out), rows[i].want, "%s", rows[i].name);
        buf_free(&packed);
    }
}

Test(server_card, table)
{
    struct server_card card = { .endpoint = "tcp://relay:5752", .nbf_ms = 1, .exp_ms = 2 }, out;
    struct case_of c = case_make();
    struct buf packed = { 0 };
    uint8_t sig[64];

    server_card_encode(&packed, &card);
    sign_labelled(sig, c.ck_sk, LABEL_SERVER, buf_bytes(&packed));
    cr_expect_eq(server_card_verify(buf_bytes(&packed), sig, c.ck, &out), ERR_OK);
    cr_expect_str_eq(out.endpoint, card.endpoint);
    cr_expect_eq(server_card_verify(buf_bytes(&packed), sig, c.ik, &out), ERR_AUTH);
    packed.at[packed.len - 1] ^= 1;
    cr_expect_eq(server_card_verify(buf_bytes(&packed), sig, c.ck, &out), ERR_AUTH);
    card.endpoint[0] = '\0';
    buf_clear(&packed);
    server_card_encode(&packed, &card);
    cr_expect_eq(server_card_parse(buf_bytes(&packed), &out), ERR_SCHEMA, "no endpoint");
    buf_clear(&packed);
    pack_array(&packed, 6);
    pack_text(&packed, "a2a-server");
    pack_uint(&packed, 1);
    pack_bin(&packed, bytes_of(card.curve_pk, 32));
    pack_str(&packed, bytes_of("tcp://a\0b", 9));
    pack_uint(&packed, 1);
    pack_uint(&packed, 2);
    cr_expect_eq(server_card_parse(buf_bytes(&packed), &out), ERR_SCHEMA, "NUL in the endpoint");
    buf_free(&packed);
    case_end(&c);
}
