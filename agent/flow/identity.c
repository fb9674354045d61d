#include "agent/flow/identity.h"

#include <sodium.h>
#include <stdio.h>

#include "agent/crypto/aead.h"
#include "agent/crypto/dh.h"
#include "agent/crypto/sign.h"
#include "agent/flow/freeze.h"
#include "agent/flow/group_mail.h"
#include "agent/flow/link.h"
#include "agent/flow/receipts.h"
#include "agent/flow/sync.h"
#include "agent/store/secrets.h"
#include "shared/base/crash.h"
#include "shared/base/log.h"
#include "shared/trust/enrol.h"
#include "shared/trust/identity.h"
#include "shared/trust/invite.h"
#include "shared/trust/label.h"
#include "shared/trust/server_card.h"
#include "shared/wire/bound.h"
#include "shared/wire/frame.h"
#include "shared/wire/limit.h"
#include "shared/wire/pack.h"
#include "shared/wire/take.h"

enum { INFO_DESCRIPTION = 1, INFO_METHODS, INFO_SCHEDULE };

/* ------------------------------------------------------------------ card */

void agent_info_pack(struct buf *out, const struct agent_settings *settings)
{
    const struct {
        unsigned key;
        const char *text;
    } parts[] = { { INFO_DESCRIPTION, settings->description },
                  { INFO_METHODS, settings->methods },
                  { INFO_SCHEDULE, settings->schedule } };
    size_t count = 0;

    for (size_t i = 0; i < 3; i++)
        count += parts[i].text[0] != '\0';
    if (count == 0)
        return;
    pack_map(out, count);
    for (size_t i = 0; i < 3; i++) {
        if (parts[i].text[0] == '\0')
            continue;
        pack_uint(out, parts[i].key);
        pack_text(out, parts[i].text);
    }
}

void agent_info_read(struct bytes info, struct card_info *out)
{
    struct take take = take_of(info);
    size_t pairs;

    out->description = out->methods = out->schedule = bytes_of("", 0);
    if (info.len == 0 || bound_check(info, BOUND_MESSAGE) != ERR_OK)
        return;
    pairs = take_map(&take);
    while (pairs-- > 0 && take.err == ERR_OK) {
        uint64_t key = take_uint(&take, UINT64_MAX);
        bool text = take_peek(&take) == TAKE_STR;
        if (text && key == INFO_DESCRIPTION)
            out->description = take_str(&take, CARD_INFO_MAX);
        else if (text && key == INFO_METHODS)
            out->methods = take_str(&take, CARD_INFO_MAX);
        else if (text && key == INFO_SCHEDULE)
            out->schedule = take_str(&take, CARD_INFO_MAX);
        else
            take_skip(&take);
    }
}

static void generation_key(char out[static 32], uint32_t gen)
{
    snprintf(out, 32, "card.%u", (unsigned)gen);
}

/* Remembered beyond the card: requests may name an older one, and the log is compared with it. */
static void remember_card(struct agent_store *store, uint32_t gen, const uint8_t hash[static 32])
{
    char key[32];

    generation_key(key, gen);
    profile_blob_set(store, key, bytes_of(hash, 32), "hash of my card of that generation");
}

uint32_t agent_card_generation(struct agent *agent, const uint8_t card_hash_wanted[static 32])
{
    struct buf hash = { 0 };
    uint32_t found = 0;

    for (uint32_t gen = agent->me.row.card_gen; gen > 0 && !found; gen--) {
        char key[32];
        generation_key(key, gen);
        if (profile_blob_get(agent->store, key, &hash)
            && bytes_equal(buf_bytes(&hash), bytes_of(card_hash_wanted, 32)))
            found = gen;
    }
    buf_free(&hash);
    return found;
}

static uint32_t own_suites(enum agent_cipher cipher)
{
    bool aes = cipher != CIPHER_CHACHA20 && aead_available(SUITE_AES);

    return suite_bit(SUITE_CHACHA) | (aes ? suite_bit(SUITE_AES) : 0);
}

/* Signs a card of the generation into `me`; its suites are set. */
static void make_card(struct profile_me *me, struct card *card, uint32_t gen, struct bytes info,
                      uint64_t now_ms, const uint8_t ik_secret[static 64])
{
    card->gen = gen;
    card->created_ms = now_ms;
    card->proto_min = card->proto_max = 1;
    card->caps = 0;
    card->info = info;
    buf_clear(&me->card);
    card_encode(&me->card, card);
    sign_labelled(me->card_sig, ik_secret, LABEL_CARD, buf_bytes(&me->card));
    me->card_gen = gen;
}

void agent_card_replace(struct agent *agent, struct card *card, uint32_t gen)
{
    struct agent_me *me = &agent->me;
    struct buf info = { 0 };

    buf_append(&info, card->info.at, card->info.len);
    make_card(&me->row, card, gen, buf_bytes(&info), agent_now(agent), me->ik_secret);
    buf_free(&info);
    card_hash(me->card_hash, buf_bytes(&me->row.card));
    remember_card(agent->store, me->row.card_gen, me->card_hash);
    profile_me_put(agent->store, &me->row);
    card_parse(buf_bytes(&me->row.card), card);
    me->card_info = card->info;
    me->card_created_ms = card->created_ms;
    me->card_suites = card->suites;
    agent->card_wait_ms = 0;
    log_event(LOG_INFO, "card.new", "gen=%u", (unsigned)me->row.card_gen);
}

void agent_card_refresh(struct agent *agent)
{
    struct agent_me *me = &agent->me;
    struct buf info = { 0 };
    struct card card;

    agent_info_pack(&info, &agent->settings);
    /* Before the enrolment the card must stay as it is: ENROL is repeated with the same one. */
    if (me->row.enrolled
        && (!bytes_equal(buf_bytes(&info), me->card_info)
            || me->card_suites != own_suites(agent->settings.cipher))
        && card_parse(buf_bytes(&me->row.card), &card) == ERR_OK) {
        card.suites = own_suites(agent->settings.cipher);
        card.info = buf_bytes(&info);
        agent_card_replace(agent, &card, me->row.card_gen + 1);
    }
    buf_free(&info);
}

/* ------------------------------------------------------------------ making and loading */

static void make_keys(struct agent_store *store, const struct agent_ports *ports,
                      struct profile_me *me, const struct agent_settings *settings)
{
    uint8_t seed[32], ik_secret[64], secret[32];
    struct card card = { .suites = own_suites(settings->cipher) };
    struct buf info = { 0 };
    uint8_t hash[32];
    uint64_t now = ports->now_ms(ports->ctx);

    memcpy(card.name, me->name, sizeof me->name);
    ports->random(ports->ctx, seed, sizeof seed);
    sign_key_of_seed(card.ik, ik_secret, seed);
    profile_secret_add(store, SECRET_IK, 0, bytes_of(card.ik, 32), bytes_of(ik_secret, 64), now);
    ports->random(ports->ctx, secret, sizeof secret);
    dh_public(card.dk, secret);
    profile_secret_add(store, SECRET_DK, 1, bytes_of(card.dk, 32), bytes_of(secret, 32), now);
    ports->random(ports->ctx, secret, sizeof secret);
    dh_public(card.tk, secret);
    profile_secret_add(store, SECRET_TK, 1, bytes_of(card.tk, 32), bytes_of(secret, 32), now);
    aid_of(me->id, card.ik);
    agent_info_pack(&info, settings);
    make_card(me, &card, 1, buf_bytes(&info), now, ik_secret);
    buf_free(&info);
    card_hash(hash, buf_bytes(&me->card));
    remember_card(store, 1, hash);
    sodium_memzero(seed, sizeof seed);
    sodium_memzero(ik_secret, sizeof ik_secret);
    sodium_memzero(secret, sizeof secret);
}

static void keep_invite(struct agent_store *store, const struct agent_ports *ports,
                        struct profile_me *me, const struct invite *invite)
{
    uint8_t public_key[32];

    snprintf(me->endpoint, sizeof me->endpoint, "tcp://%s:%u", invite->host,
             (unsigned)invite->port);
    memcpy(me->broker_key, invite->server_curve_pk, 32);
    memcpy(me->root_id, invite->root_id, 32);
    dh_public(public_key, invite->invite_curve_sk);
    profile_secret_remove(store, SECRET_INVITE, 0);
    profile_secret_add(store, SECRET_INVITE, 0, bytes_of(public_key, 32),
                       bytes_of(invite->invite_curve_sk, 32), ports->now_ms(ports->ctx));
}

enum err agent_identity_make(struct agent_store *store, const struct agent_ports *ports,
                             const struct agent_settings *settings, struct bytes name,
                             const struct invite *invite)
{
    struct profile_me me = { 0 };
    enum err e = ERR_OK;

    if (!name_valid(name))
        return ERR_MALFORMED;
    agent_store_random(store, ports->random, ports->ctx);
    agent_store_begin(store);
    if (profile_me_get(store, &me)) {
        if (me.enrolled || !bytes_equal(bytes_of_text(me.name), name)
            || memcmp(me.root_id, invite->root_id, 32) != 0)
            e = ERR_EXISTS;
    } else {
        memcpy(me.name, name.at, name.len);
        make_keys(store, ports, &me, settings);
    }
    if (e == ERR_OK) {
        keep_invite(store, ports, &me, invite);
        profile_me_put(store, &me);
        e = agent_store_commit(store);
        CRASH_POINT("join.keys");
    } else {
        agent_store_rollback(store);
    }
    profile_me_free(&me);
    return e;
}

static void read_certificate(struct agent_me *me)
{
    struct certificate cert;

    if (!me->row.enrolled || certificate_parse(buf_bytes(&me->row.certificate), &cert) != ERR_OK)
        return;
    uint64_t life = cert.exp_ms - cert.nbf_ms;
    me->certificate_expires_ms = cert.exp_ms;
    me->certificate_renew_ms
        = cert.exp_ms - (life / 2 < LIMIT_CERT_RENEW_MS ? life / 2 : LIMIT_CERT_RENEW_MS);
    memcpy(me->certified_hash, cert.card_hash, 32);
}

enum err agent_me_load(struct agent *agent)
{
    struct agent_me *me = &agent->me;
    struct buf public_key = { 0 }, secret_key = { 0 };
    struct card card;
    enum err e = ERR_OK;

    if (!profile_me_get(agent->store, &me->row)) {
        e = agent_store_failure(agent->store);
        return e == ERR_OK ? ERR_NOT_FOUND : e;
    }
    if (!profile_secret_get(agent->store, SECRET_IK, 0, &public_key, &secret_key)
        || public_key.len != 32 || secret_key.len != 64
        || card_parse(buf_bytes(&me->row.card), &card) != ERR_OK) {
        e = ERR_CORRUPT;
    } else {
        memcpy(me->ik_public, public_key.at, 32);
        memcpy(me->ik_secret, secret_key.at, 64);
        card_hash(me->card_hash, buf_bytes(&me->row.card));
        me->card_created_ms = card.created_ms;
        me->card_suites = card.suites;
        me->card_info = card.info;
        read_certificate(me);
    }
    buf_free(&public_key);
    buf_wipe(&secret_key);
    buf_free(&secret_key);
    return e;
}

void agent_me_wipe(struct agent *agent)
{
    profile_me_free(&agent->me.row);
    sodium_memzero(&agent->me, sizeof agent->me);
}

/* ------------------------------------------------------------------ certificates */

/* Takes over what the broker says about me; ERR_CERT_INVALID or ERR_CERT_EXPIRED. */
static enum err take_credential(struct agent *agent, struct bytes packed, const uint8_t *root_key,
                                struct credential *cred)
{
    struct profile_me *me = &agent->me.row;
    enum err e = credential_parse(packed, cred);

    if (e == ERR_OK)
        e = credential_authentic(cred, root_key);
    if (e != ERR_OK || memcmp(cred->aid, me->id, 32) != 0)
        return ERR_CERT_INVALID;
    if ((e = certificate_current(&cred->cert, agent_now(agent))) != ERR_OK)
        return e;
    buf_clear(&me->certificate);
    buf_append(&me->certificate, cred->cert_packed.at, cred->cert_packed.len);
    memcpy(me->certificate_sig, cred->cert_sig, 64);
    return ERR_OK;
}

static void keep_server_card(struct profile_me *me, const struct wire_signed *card)
{
    buf_clear(&me->server_card);
    buf_append(&me->server_card, card->bytes.at, card->bytes.len);
    buf_append(&me->server_card, card->sig, 64);
}

/* The newest server card rules which key the broker has. */
static enum err take_server_card(struct agent *agent, const struct wire_signed *signed_card)
{
    struct profile_me *me = &agent->me.row;
    struct server_card card, kept = { 0 };
    enum err e = server_card_verify(signed_card->bytes, signed_card->sig, me->root_key, &card);

    if (e != ERR_OK)
        return ERR_CERT_INVALID;
    if (me->server_card.len > 64)
        server_card_parse(bytes_of(me->server_card.at, me->server_card.len - 64), &kept);
    if (card.nbf_ms < kept.nbf_ms)
        return ERR_OK;
    keep_server_card(me, signed_card);
    if (memcmp(card.curve_pk, me->broker_key, 32) != 0 && card.nbf_ms <= agent_now(agent)) {
        memcpy(me->broker_key, card.curve_pk, 32);
        log_event(LOG_WARN, "broker.key", "new=%s", log_id(card.curve_pk));
    }
    return ERR_OK;
}

/* ------------------------------------------------------------------ ENROL */

void agent_enrol(struct agent *agent)
{
    struct profile_me *me = &agent->me.row;
    struct message message = agent_message(VERB_ENROL);
    struct buf invite_key = { 0 };
    uint8_t preimage[ENROL_PREIMAGE_SIZE], sig[64];
    uint64_t now = agent_now(agent);

    agent->link.enrol_ms = 0;
    if (agent_is_asked(agent, VERB_ENROL, 0)
        || !profile_secret_get(agent->store, SECRET_INVITE, 0, &invite_key, NULL))
        return;
    enrol_preimage(preimage, me->root_id, invite_key.at, agent->me.card_hash, now);
    sign(sig, agent->me.ik_secret, bytes_of(preimage, sizeof preimage));
    MESSAGE_SET(&message, ts, now);
    MESSAGE_SET(&message, card, ((struct wire_signed){ buf_bytes(&me->card), me->card_sig }));
    MESSAGE_SET(&message, sig, sig);
    agent_ask(agent, &message, NULL, 0);
    buf_free(&invite_key);
}

/* Everything that the answer says is checked against the invite: no trust on first use. */
static enum err take_enrolment(struct agent *agent, const struct message *message)
{
    struct profile_me *me = &agent->me.row;
    struct credential cred;
    struct server_card server;
    uint8_t root_id[32];
    enum err e;

    root_id_of(root_id, message->root);
    if (memcmp(root_id, me->root_id, 32) != 0
        || server_card_verify(message->server_card.bytes, message->server_card.sig, message->root,
                              &server)
               != ERR_OK
        || memcmp(server.curve_pk, me->broker_key, 32) != 0)
        return ERR_CERT_INVALID;
    e = take_credential(agent, message->credential, message->root, &cred);
    if (e != ERR_OK)
        return e;
    if (memcmp(cred.card_hash, agent->me.card_hash, 32) != 0)
        return ERR_CERT_INVALID;
    memcpy(me->root_key, message->root, 32);
    keep_server_card(me, &message->server_card);
    me->enrolled = true;
    profile_me_put(agent->store, me);
    read_certificate(&agent->me);
    return ERR_OK;
}

void agent_enrol_answer(struct agent *agent, enum err code, const struct message *message)
{
    struct agent_conn *link = &agent->link;

    if (agent->link.state != STATE_GREETING || !link->enrolling)
        return;
    if (code == ERR_OK) {
        CRASH_POINT("join.enrolled");
        code = take_enrolment(agent, message);
        if (code == ERR_OK) {
            link->refusal = ERR_OK;
            log_event(LOG_INFO, "enrolled", "name=%s", agent->me.row.name);
            agent_link_event(agent, LINK_ENROLLED);
            return;
        }
    }
    link->refusal = code;
    agent->changed = true;
    if (code == ERR_PENDING_APPROVAL) {
        uint64_t wait = message && MESSAGE_HAS(message, after_ms) ? message->after_ms : 30000;
        link->enrol_ms = agent_elapsed(agent) + (wait < 1000 ? 1000 : wait);
    } else if (err_retry(code) == RETRY_SAME) {
        link->enrol_ms = agent_elapsed(agent) + agent_backoff(agent, ++link->attempts);
    } else {
        agent_link_refuse(agent, code);
    }
}

/* ------------------------------------------------------------------ CARD */

void agent_card_publish(struct agent *agent)
{
    struct profile_me *me = &agent->me.row;
    struct message message = agent_message(VERB_CARD);

    if (agent->card_asked || memcmp(agent->me.certified_hash, agent->me.card_hash, 32) == 0
        || agent_elapsed(agent) < agent->card_wait_ms)
        return;
    MESSAGE_SET(&message, card, ((struct wire_signed){ buf_bytes(&me->card), me->card_sig }));
    agent->card_asked = agent_ask(agent, &message, NULL, 0) != NULL;
}

/* The broker has it now: another connection, for until a HELLO has come with it the old one must be
 * kept. */
static void show_new_key(struct agent *agent)
{
    agent_link_event(agent, LINK_WAIT);
    agent_link_wait(agent, 0);
}

void agent_card_answer(struct agent *agent, enum err code, const struct message *message)
{
    struct credential cred;

    agent->card_asked = false;
    if (code == ERR_OK)
        code = take_credential(agent, message->credential, agent->me.row.root_key, &cred);
    if (code != ERR_OK) {
        log_event(LOG_WARN, "card.refused", "error=%s", err_name(code));
        agent->card_wait_ms = agent_elapsed(agent) + agent_backoff(agent, ++agent->card_failures);
        return;
    }
    agent->card_failures = 0;
    profile_me_put(agent->store, &agent->me.row);
    read_certificate(&agent->me);
    agent->log_wanted = true;
    if (agent_transport_key_stale(agent))
        show_new_key(agent);
}

/* The broker knows a card of mine that this profile does not: it is an old copy.  Once a person has
 * said that it is the only one, the next generation stands above both. */
static enum err overtake_card(struct agent *agent, const struct credential *cred)
{
    struct card card;

    if (!agent_was_restored(agent)) {
        agent_freeze(agent, 0, 0, "the broker knows a newer card than this profile");
        return ERR_ROLLBACK;
    }
    if (card_parse(buf_bytes(&agent->me.row.card), &card) == ERR_OK)
        agent_card_replace(agent, &card, cred->card.gen + 1);
    return ERR_OK;
}

/* ------------------------------------------------------------------ HELLO */

void agent_hello(struct agent *agent)
{
    struct message message = agent_message(VERB_HELLO);

    MESSAGE_SET(&message, ts, agent_now(agent));
    MESSAGE_SET(&message, min, 1);
    MESSAGE_SET(&message, version, 1);
    MESSAGE_SET(&message, instance, agent->link.instance);
    agent_ask(agent, &message, NULL, 0);
}

static void take_limits(struct agent_conn *link, const struct wire_list *limits)
{
    struct list_reader reader = list_read(limits);
    uint64_t number, value;

    while (list_limit(&reader, &number, &value)) {
        if (number == WIRE_LIMIT_UNANSWERED && value > 0)
            link->most_flying = value;
        else if (number == WIRE_LIMIT_UNANSWERED_BYTES && value > 0)
            link->most_flying_bytes = value;
        else if (number == WIRE_LIMIT_FRAME_LIFE)
            link->frame_life_ms = value;
        else if (number == WIRE_LIMIT_MEMBERS)
            link->most_members = value;
    }
}

/* What I have confirmed, I know: it is written down before it is said. */
static bool cursor_is_ahead(struct agent *agent, uint64_t cursor)
{
    uint64_t mine = profile_cursor(agent->store), last = profile_ack_last(agent->store);

    return profile_cursor_known(agent->store) && cursor > mine && cursor > last;
}

static enum err take_streams(struct agent *agent, const struct wire_list *streams)
{
    static const uint8_t mailbox[16];
    struct list_reader reader = list_read(streams);
    struct wire_stream stream;

    agent->link.waiting = 0;
    agent->link.last_position = 0;
    while (list_stream(&reader, &stream)) {
        if (memcmp(stream.stream, mailbox, 16) != 0) {
            enum err e = agent_channel_told(agent, &stream);
            if (e != ERR_OK)
                return e;
            continue;
        }
        if (cursor_is_ahead(agent, stream.cursor)) {
            agent_freeze(agent, 0, 0, "mail was confirmed that this profile does not know");
            return ERR_ROLLBACK;
        }
        agent->link.waiting = stream.last > stream.cursor ? stream.waiting : 0;
        agent->link.last_position = stream.last;
        agent_cursor_told(agent, stream.cursor);
    }
    return ERR_OK;
}

static enum err take_hello(struct agent *agent, const struct message *message)
{
    static const uint8_t none[16];
    struct agent_me *me = &agent->me;
    struct agent_conn *link = &agent->link;
    struct credential cred;
    enum err e;

    if (message->version != 1)
        return ERR_VERSION;
    if ((e = take_server_card(agent, &message->server_card)) != ERR_OK)
        return e;
    if ((e = take_credential(agent, message->credential, me->row.root_key, &cred)) != ERR_OK)
        return e;
    if (memcmp(cred.card_hash, me->card_hash, 32) != 0 && cred.card.gen >= me->row.card_gen
        && (e = overtake_card(agent, &cred)) != ERR_OK)
        return e;
    if (memcmp(me->row.incarnation, message->incarnation, 16) != 0) {
        bool first = memcmp(me->row.incarnation, none, 16) == 0;
        memcpy(me->row.incarnation, message->incarnation, 16);
        if (!first)
            agent_sync_new_incarnation(agent);
    }
    link->new_incarnation = agent_sync_compares(agent);
    profile_me_put(agent->store, &me->row);
    if (MESSAGE_HAS(message, name) && name_valid(message->name))
        profile_blob_set(agent->store, "broker_name", message->name,
                         "the broker's label, last HELLO");
    profile_secret_remove(agent->store, SECRET_INVITE, 0);
    read_certificate(me);
    agent_transport_key_known(agent);
    take_limits(link, &message->limits);
    if ((e = take_streams(agent, &message->streams)) != ERR_OK)
        return e;
    link->broker_log_next = message->index + 1;
    memcpy(link->broker_log_head, message->head, 32);
    return ERR_OK;
}

void agent_hello_answer(struct agent *agent, enum err code, const struct message *message)
{
    struct agent_conn *link = &agent->link;

    if (link->state != STATE_GREETING)
        return;
    if (code == ERR_OK)
        code = take_hello(agent, message);
    link->refusal = code;
    if (code == ERR_OK && agent_transport_key_stale(agent)) {
        show_new_key(agent);
    } else if (code == ERR_OK) {
        CRASH_POINT("join.credential");
        agent_link_event(agent, LINK_GREETED);
    } else if (code == ERR_LOCK_CONTENTION) {
        uint64_t wait = message && MESSAGE_HAS(message, after_ms) ? message->after_ms : 5000;
        agent_link_event(agent, LINK_WAIT);
        agent_link_wait(agent, wait < 1000 ? 1000 : wait);
    } else if (err_retry(code) == RETRY_SAME) {
        agent_link_event(agent, LINK_GONE);
    } else {
        if (code == ERR_CERT_REVOKED)
            agent->me.revoked = true;
        agent_link_refuse(agent, code);
    }
}
