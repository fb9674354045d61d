/* People who do not exist, and requests made by hand. */
#include <sodium.h>
#include <stdio.h>

#include "agent/crypto/dh.h"
#include "agent/crypto/handshake.h"
#include "agent/crypto/ratchet.h"
#include "agent/crypto/sign.h"
#include "agent/flow/envelope.h"
#include "agent/store/secrets.h"
#include "shared/trust/identity.h"
#include "shared/trust/prekey.h"
#include "tests/lib/liar_internal.h"

/* ------------------------------------------------------------------ people */

void liar_person_sign(struct liar *liar, struct liar_person *person)
{
    struct buf packed = { 0 };

    card_encode(&packed, &person->card);
    person->packed = liar_keep(liar, buf_bytes(&packed));
    buf_free(&packed);
    card_hash(person->hash, person->packed);
    sign_labelled(person->sig, person->ik_secret, LABEL_CARD, person->packed);
}

void liar_person(struct liar *liar, struct liar_person *out, const char *name)
{
    uint8_t seed[32], tk_secret[32];

    *out = (struct liar_person){ .card = { .gen = 1,
                                           .created_ms = liar->world->now_ms,
                                           .suites = 1,
                                           .proto_min = 1,
                                           .proto_max = 1 } };
    snprintf(out->card.name, sizeof out->card.name, "%s", name);
    world_fill(liar->world, seed, sizeof seed);
    sign_key_of_seed(out->card.ik, out->ik_secret, seed);
    world_fill(liar->world, out->dk_secret, 32);
    dh_public(out->card.dk, out->dk_secret);
    world_fill(liar->world, tk_secret, 32);
    dh_public(out->card.tk, tk_secret);
    aid_of(out->aid, out->card.ik);
    liar_person_sign(liar, out);
}

void liar_view_enrol(struct liar_view *view, const struct liar_person *person, const char *circle)
{
    struct circles circles = { .count = circle ? 1 : 0 };
    struct log_entry entry = { .type = ENTRY_ENROL, .ts_ms = view->liar->world->now_ms };
    struct buf extra = { 0 };

    if (circle)
        circles.label[0] = bytes_of_text(circle);
    circles_encode(&extra, &circles);
    memcpy(entry.aid, person->aid, 32);
    memcpy(entry.card_hash, person->hash, 32);
    snprintf(entry.name, sizeof entry.name, "%s", person->card.name);
    entry.extra = buf_bytes(&extra);
    liar_view_append(view, entry);
    buf_free(&extra);
}

/* ------------------------------------------------------------------ requests */

/* B's keys: the public halves are anybody's, the secret ones are stolen. */
struct spoils {
    struct buf spk_public, spk_secret, dk_secret;
    struct spk_statement spk;
    struct bytes statement;
    struct card card;
};

static void steal(struct liar *liar, struct world_agent *from, struct spoils *out)
{
    struct agent *agent = from->agent;
    struct secret_info newest;

    *out = (struct spoils){ 0 };
    if (!profile_secret_newest(agent->store, SECRET_SPK, UINT32_MAX, &newest)
        || !profile_secret_get(agent->store, SECRET_SPK, newest.number, &out->spk_public,
                               &out->spk_secret)
        || !profile_secret_newest(agent->store, SECRET_DK, UINT32_MAX, &newest)
        || !profile_secret_get(agent->store, SECRET_DK, newest.number, NULL, &out->dk_secret)
        || card_parse(buf_bytes(&agent->me.row.card), &out->card) != ERR_OK)
        world_fail(liar->world, "%s has no keys", from->name);
    out->statement = bytes_of(out->spk_public.at, out->spk_public.len - 64);
    if (spk_parse(out->statement, &out->spk) != ERR_OK)
        world_fail(liar->world, "%s has a prekey that is none", from->name);
}

static void spoils_free(struct spoils *spoils)
{
    buf_free(&spoils->spk_public);
    buf_free(&spoils->spk_secret);
    buf_free(&spoils->dk_secret);
}

static struct init0 make_init0(struct liar *liar, const struct liar_asking *asking,
                               const struct spoils *b, const uint8_t ek_public[static 32])
{
    struct init0 init = { .suite = asking->suite ? asking->suite : SUITE_CHACHA,
                          .mode = MODE_MAILBOX,
                          .spk_id = b->spk.id,
                          .ts_ms = liar->world->now_ms,
                          .req_exp_ms = liar->world->now_ms + 86400000,
                          .idle_s = 604800 };

    memcpy(init.aid_a, asking->aid_a, 32);
    memcpy(init.card_hash_a, asking->card_hash_a, 32);
    memcpy(init.aid_b, asking->to->aid, 32);
    memcpy(init.card_hash_b, asking->to->agent->me.card_hash, 32);
    memcpy(init.ek_a, ek_public, 32);
    if (asking->change)
        asking->change(&init);
    return init;
}

/* Either way gives the same keys: that is Diffie-Hellman. */
static enum err agree(const struct liar_asking *asking, const struct spoils *b, struct bytes init0,
                      const uint8_t ek_secret[static 32], const uint8_t ek_public[static 32],
                      struct handshake *out)
{
    struct handshake_words words = { init0, b->statement, NULL };
    struct handshake_a as_a = {
        .dk_a_sk = asking->dk_secret, .ek_a_sk = ek_secret, .dk_b = b->card.dk, .spk_b = b->spk.spk
    };
    struct handshake_b as_b = { .dk_b_sk = b->dk_secret.at,
                                .spk_b_sk = b->spk_secret.at,
                                .dk_a = asking->dk_public,
                                .ek_a = ek_public };

    return asking->dk_secret ? handshake_initiate(out, &words, &as_a)
                             : handshake_respond(out, &words, &as_b);
}

static void first_frame(struct liar *liar, const struct liar_asking *asking,
                        const struct init0 *init, const uint8_t sid[static 16],
                        struct ratchet *ratchet, struct buf *frame, uint8_t digest[static 32])
{
    struct frame_header header
        = { .kind = FRAME_REQUEST, .suite = init->suite, .seq = 1, .expires_ms = init->req_exp_ms };
    struct envelope envelope = { .kind = ENVELOPE_USER,
                                 .ts_ms = init->ts_ms,
                                 .schema_version = ENVELOPE_SCHEMA_VERSION,
                                 .content_type = bytes_of_text("text/plain"),
                                 .body = bytes_of_text(asking->text) };
    struct buf plain = { 0 };
    uint8_t msg_id[16], hedge[32];
    size_t size;

    memcpy(header.scope, sid, 16);
    memcpy(header.sender, init->aid_a, 32);
    memcpy(header.recipient, init->aid_b, 32);
    world_fill(liar->world, msg_id, sizeof msg_id);
    world_fill(liar->world, hedge, sizeof hedge);
    envelope.msg_id = msg_id;
    envelope_encode(&plain, &envelope);
    size = frame_size_for(plain.len);
    if (ratchet_encrypt(ratchet, &header, buf_bytes(&plain), hedge, buf_extend(frame, size), digest)
        != ERR_OK)
        world_fail(liar->world, "a request cannot be sealed");
    buf_free(&plain);
}

/* Signed by whomever the test says. */
static struct wire_event opened(struct liar *liar, const struct liar_asking *asking,
                                const struct init0 *init, const uint8_t sid[static 16],
                                struct bytes init0, const uint8_t digest[static 32])
{
    struct event event = { .scope = SCOPE_SESSION, .type = EVENT_OPENED, .ts_ms = init->ts_ms };
    struct buf body = { 0 };
    uint8_t preimage[EVENT_SIZE], sig[64];
    struct wire_event made;

    opened_body_encode(&body, init0, digest);
    memcpy(event.id, sid, 16);
    memcpy(event.actor, init->aid_a, 32);
    memcpy(event.target, init->aid_b, 32);
    event_body_hash(event.body_hash, buf_bytes(&body));
    event_encode(preimage, &event);
    sign(sig, asking->signer, bytes_of(preimage, EVENT_SIZE));
    made.preimage = liar_copy(liar, bytes_of(preimage, EVENT_SIZE));
    made.sig = liar_copy(liar, bytes_of(sig, 64));
    made.body = liar_keep(liar, buf_bytes(&body));
    buf_free(&body);
    return made;
}

struct liar_item liar_ask(struct liar *liar, const struct liar_asking *asking)
{
    struct liar_item made = { .item = { .shape = ITEM_BYTES_REQUEST, .kind = ITEM_REQUEST } };
    struct handshake handshake;
    struct ratchet ratchet;
    struct spoils b;
    struct init0 init;
    struct buf init0 = { 0 }, frame = { 0 };
    uint8_t ek_secret[32], ek_public[32], first[32], sid[16], digest[32];

    steal(liar, asking->to, &b);
    world_fill(liar->world, ek_secret, 32);
    world_fill(liar->world, first, 32);
    dh_public(ek_public, ek_secret);
    init = make_init0(liar, asking, &b, ek_public);
    init0_encode(&init0, &init);
    init0_sid(sid, buf_bytes(&init0));
    if (agree(asking, &b, buf_bytes(&init0), ek_secret, ek_public, &handshake) != ERR_OK
        || ratchet_init_a(&ratchet, &handshake, init.suite, b.spk.spk, first) != ERR_OK)
        world_fail(liar->world, "no agreement");
    first_frame(liar, asking, &init, sid, &ratchet, &frame, digest);
    made.item.opened = opened(liar, asking, &init, sid, buf_bytes(&init0), digest);
    made.item.credential = asking->credential;
    made.item.old_card = bytes_of("", 0);
    made.item.stored_ms = liar->world->now_ms;
    made.part = liar_keep(liar, buf_bytes(&frame));
    buf_free(&init0);
    buf_free(&frame);
    spoils_free(&b);
    return made;
}

struct liar_item liar_ask_as(struct liar *liar, const struct liar_person *person,
                             struct bytes credential, struct world_agent *to, const char *text)
{
    struct liar_asking asking = { .to = to,
                                  .dk_secret = person->dk_secret,
                                  .dk_public = person->card.dk,
                                  .signer = person->ik_secret,
                                  .credential = credential,
                                  .text = text };

    memcpy(asking.aid_a, person->aid, 32);
    memcpy(asking.card_hash_a, person->hash, 32);
    return liar_ask(liar, &asking);
}
