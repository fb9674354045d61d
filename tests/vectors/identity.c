/* agents, controller, log, certificates, credentials, invites, enrolments */
#include "shared/trust/identity.h"

#include <inttypes.h>

#include "agent/crypto/dh.h"
#include "agent/crypto/sign.h"
#include "shared/trust/credential.h"
#include "shared/trust/enrol.h"
#include "shared/trust/invite.h"
#include "shared/trust/log_entry.h"
#include "shared/trust/prekey.h"
#include "shared/trust/server_card.h"
#include "tests/vectors/check.h"
#include "tests/vectors/parts.h"

json_t *agent_by(json_t *root, const char *key, const uint8_t value[static 32])
{
    const char *role;
    json_t *agent;

    json_object_foreach(get(root, "agents"), role,
                        agent) if (memcmp(get_fixed(agent, key, 32), value, 32) == 0) return agent;
    return NULL;
}

static void public_half(const char *what, json_t *object, const char *secret, const char *public)
{
    uint8_t pk[32];

    dh_public(pk, get_fixed(object, secret, 32));
    same_bytes(what, bytes_of(pk, 32), get_hex(object, public));
}

static void agent_card(json_t *agent, json_t *row, const uint8_t *ik, const uint8_t *sk)
{
    struct card card = { .gen = (uint32_t)get_number(row, "gen"),
                         .created_ms = get_number(row, "created"),
                         .suites = (uint32_t)get_number(row, "suites"),
                         .proto_min = (uint8_t)get_number(row, "proto_min"),
                         .proto_max = (uint8_t)get_number(row, "proto_max"),
                         .caps = (uint32_t)get_number(row, "caps"),
                         .info = get_hex(row, "info") };
    struct card again;
    struct bytes packed = get_hex(row, "card");
    struct buf out = { 0 };
    uint8_t sig[64], hash[32];

    snprintf(card.name, sizeof card.name, "%s", get_text(agent, "name"));
    memcpy(card.ik, ik, 32);
    memcpy(card.dk, get_fixed(row, "dk", 32), 32);
    memcpy(card.tk, get_fixed(row, "tk", 32), 32);
    card_encode(&out, &card);
    same_bytes("card", buf_bytes(&out), packed);
    sign_labelled(sig, sk, LABEL_CARD, packed);
    same_field("card_sig", sig, 64, row, "card_sig");
    card_hash(hash, packed);
    same_field("card_hash", hash, 32, row, "card_hash");
    is_true("card verifies", card_verify(packed, sig, &again) == ERR_OK);
    buf_clear(&out);
    card_encode(&out, &again);
    same_bytes("card read and written", buf_bytes(&out), packed);
    buf_free(&out);
    public_half("dk", row, "dk_sk", "dk");
    public_half("tk", row, "tk_sk", "tk");
}

static void agent_prekey(json_t *row, const uint8_t *aid, const uint8_t *sk)
{
    struct spk_statement spk = { .id = (uint32_t)get_number(row, "spk_id"),
                                 .created_ms = get_number(row, "created"),
                                 .expires_ms = get_number(row, "expires"),
                                 .pq_ek = get_hex(row, "pq_ek") };
    struct buf out = { 0 };
    uint8_t sig[64];

    memcpy(spk.aid, aid, 32);
    memcpy(spk.spk, get_fixed(row, "spk", 32), 32);
    spk_encode(&out, &spk);
    same_bytes("statement", buf_bytes(&out), get_hex(row, "statement"));
    sign(sig, sk, buf_bytes(&out));
    same_field("statement sig", sig, 64, row, "sig");
    public_half("spk", row, "spk_sk", "spk");
    buf_free(&out);
}

void part_agents(json_t *root)
{
    const char *role;
    json_t *agent, *row;
    size_t i;

    json_object_foreach(get(root, "agents"), role, agent)
    {
        uint8_t ik[32], sk[64], aid[32];
        char fingerprint[FINGERPRINT_SIZE];

        check_name("agent %s", role);
        sign_key_of_seed(ik, sk, get_fixed(agent, "ik_seed", 32));
        same_field("ik", ik, 32, agent, "ik");
        aid_of(aid, ik);
        same_field("aid", aid, 32, agent, "aid");
        fingerprint_text(fingerprint, aid);
        same_text("fingerprint", fingerprint, get_text(agent, "fingerprint"));
        json_array_foreach(get(agent, "cards"), i, row) agent_card(agent, row, ik, sk);
        json_array_foreach(get(agent, "prekeys"), i, row) agent_prekey(row, aid, sk);
        json_array_foreach(get(agent, "opks"), i, row) public_half("opk", row, "sk", "pk");
    }
}

void part_controller(json_t *root)
{
    json_t *row = get(root, "controller");
    struct server_card card
        = { .nbf_ms = get_number(row, "nbf"), .exp_ms = get_number(row, "exp") };
    struct server_card again;
    struct buf out = { 0 };
    uint8_t ck[32], sk[64], root_id[32], sig[64];

    sign_key_of_seed(ck, sk, get_fixed(row, "ck_seed", 32));
    same_field("ck", ck, 32, row, "ck");
    root_id_of(root_id, ck);
    same_field("root_id", root_id, 32, row, "root_id");
    public_half("curve_pk", row, "curve_sk", "curve_pk");
    memcpy(card.curve_pk, get_fixed(row, "curve_pk", 32), 32);
    snprintf(card.endpoint, sizeof card.endpoint, "%s", get_text(row, "endpoint"));
    server_card_encode(&out, &card);
    same_field("server_card", out.at, out.len, row, "server_card");
    sign_labelled(sig, sk, LABEL_SERVER, buf_bytes(&out));
    same_field("server_card_sig", sig, 64, row, "server_card_sig");
    is_true("server card verifies", server_card_verify(buf_bytes(&out), sig, ck, &again) == ERR_OK);
    is_true("server card read again", again.nbf_ms == card.nbf_ms && again.exp_ms == card.exp_ms
                                          && memcmp(again.curve_pk, card.curve_pk, 32) == 0);
    same_text("endpoint", again.endpoint, card.endpoint);
    buf_free(&out);
}

static void log_circles(json_t *log)
{
    struct circles circles = { 0 }, again;
    struct buf extra = { 0 };
    json_t *text;
    size_t i;

    json_array_foreach(get(log, "circles"), i, text) circles.label[circles.count++]
        = bytes_of_text(json_string_value(text));
    is_true("circles are in order", circles_encode(&extra, &circles) == ERR_OK);
    same_field("circles", extra.at, extra.len, json_array_get(get(log, "entries"), 0), "extra");
    is_true("circles are read", circles_parse(buf_bytes(&extra), &again) == ERR_OK);
    same_number("how many circles", again.count, circles.count);
    buf_free(&extra);
}

static void log_entry(json_t *row, struct log_head *head)
{
    struct log_entry entry = { .index = get_number(row, "index"),
                               .ts_ms = get_number(row, "ts"),
                               .type = (enum log_entry_type)get_number(row, "type"),
                               .extra = get_hex(row, "extra") };
    struct log_entry again;
    struct buf out = { 0 };

    memcpy(entry.aid, get_fixed(row, "aid", 32), 32);
    memcpy(entry.card_hash, get_fixed(row, "card_hash", 32), 32);
    snprintf(entry.name, sizeof entry.name, "%s", get_text(row, "name"));
    log_entry_encode(&out, &entry);
    same_bytes("entry", buf_bytes(&out), get_hex(row, "entry"));
    is_true("entry continues the log", log_head_append(head, buf_bytes(&out), &again) == ERR_OK);
    same_field("digest", head->digest, 32, row, "digest");
    same_text("name", again.name, entry.name);
    buf_free(&out);
}

/* A list of entries that should end in `head`. */
static enum err log_play(json_t *row)
{
    struct log_head head = { 0 };
    json_t *entry;
    size_t i;

    json_array_foreach(get(row, "entries"), i, entry)
    {
        struct log_entry out;
        struct log_head before = head;
        enum err e = log_head_append(&head, hex_of(entry), &out);

        if (e != ERR_OK) {
            is_true("head unharmed", memcmp(&before, &head, sizeof head) == 0);
            return e;
        }
    }
    return memcmp(head.digest, get_fixed(row, "head", 32), 32) == 0 ? ERR_OK : ERR_SPLIT_VIEW;
}

void part_log(json_t *root)
{
    static const struct reason reasons[] = {
        { "log_index", ERR_CONFLICT }, { "log_ts", ERR_CONFLICT },     { "circles", ERR_SCHEMA },
        { "trailing", ERR_SCHEMA },    { "log_head", ERR_SPLIT_VIEW }, { NULL, ERR_OK },
    };
    json_t *log = get(root, "log");
    struct log_head head = { 0 };
    json_t *row;
    size_t i;

    log_circles(log);
    json_array_foreach(get(log, "entries"), i, row)
    {
        check_name("log entry %zu", i);
        log_entry(row, &head);
    }
    json_array_foreach(get(log, "refuse"), i, row)
    {
        check_name("log: %s", get_text(row, "name"));
        check_outcome(row, log_play(row), reasons);
    }
}

void part_certificates(json_t *root)
{
    json_t *row;
    size_t i;
    uint8_t ck[32], sk[64];

    sign_key_of_seed(ck, sk, get_fixed(get(root, "controller"), "ck_seed", 32));
    json_array_foreach(get(root, "certificates"), i, row)
    {
        json_t *agent = get(get(root, "agents"), get_text(row, "agent"));
        json_t *card = json_array_get(get(agent, "cards"), get_number(row, "card"));
        struct certificate cert = { .serial = get_number(row, "serial"),
                                    .nbf_ms = get_number(row, "nbf"),
                                    .exp_ms = get_number(row, "exp"),
                                    .log_index = get_number(row, "log_index") };
        struct certificate again;
        struct buf out = { 0 }, both = { 0 };
        uint8_t sig[64];

        check_name("certificate %zu", i);
        memcpy(cert.aid, get_fixed(row, "aid", 32), 32);
        memcpy(cert.card_hash, get_fixed(row, "card_hash", 32), 32);
        memcpy(cert.log_head, get_fixed(row, "log_head", 32), 32);
        certificate_encode(&out, &cert);
        same_bytes("cert", buf_bytes(&out), get_hex(row, "cert"));
        sign_labelled(sig, sk, LABEL_CERT, buf_bytes(&out));
        same_field("cert_sig", sig, 64, row, "cert_sig");
        is_true("cert verifies", certificate_verify(buf_bytes(&out), sig, ck, &again) == ERR_OK);
        is_true("cert read again", memcmp(&again, &cert, sizeof cert) == 0);
        credential_encode(&both, get_hex(card, "card"), get_fixed(card, "card_sig", 64),
                          buf_bytes(&out), sig);
        same_bytes("credential", buf_bytes(&both), get_hex(row, "credential"));
        buf_free(&out);
        buf_free(&both);
    }
}

/* What the one who checks knows: the first entries of the log, and what it remembers of the name.
 */
static struct credential_facts facts_of(json_t *root, json_t *row, const struct credential *cred)
{
    struct credential_facts facts = { 0 };
    json_t *known = get(row, "known"), *entries = get(get(root, "log"), "entries");

    for (size_t i = 0; i < get_number(row, "log_count"); i++) {
        struct log_entry entry;

        is_true("log entry",
                log_entry_parse(get_hex(json_array_get(entries, i), "entry"), &entry) == ERR_OK);
        if (memcmp(entry.aid, cred->aid, 32) != 0)
            continue;
        facts.revoked = facts.revoked || entry.type == ENTRY_REVOKE;
        facts.bound = facts.bound
                      || (strcmp(entry.name, cred->card.name) == 0
                          && memcmp(entry.card_hash, cred->card_hash, 32) == 0);
    }
    if (!json_is_null(known)) {
        facts.pinned = true;
        memcpy(facts.pinned_aid, get_fixed(known, "aid", 32), 32);
        facts.seen = memcmp(facts.pinned_aid, cred->aid, 32) == 0;
        facts.seen_gen = (uint32_t)get_number(known, "gen");
        memcpy(facts.seen_card_hash, get_fixed(known, "card_hash", 32), 32);
    }
    return facts;
}

void part_credentials(json_t *root)
{
    static const struct reason reasons[] = {
        { "expired", ERR_CERT_EXPIRED },
        { "not_yet_valid", ERR_CERT_EXPIRED },
        { "cert_signature", ERR_CERT_INVALID },
        { "card_signature", ERR_CERT_INVALID },
        { "aid_mismatch", ERR_CERT_INVALID },
        { "card_hash_mismatch", ERR_CERT_INVALID },
        { "not_in_log", ERR_CERT_INVALID },
        { "gen_old", ERR_CERT_INVALID },
        { "revoked", ERR_CERT_REVOKED },
        { "key_changed", ERR_KEY_CHANGED },
        { "non_shortest", ERR_SCHEMA },
        { "wrong_size", ERR_SCHEMA },
        { "trailing", ERR_SCHEMA },
        { NULL, ERR_OK },
    };
    const uint8_t *ck = get_fixed(get(root, "controller"), "ck", 32);
    json_t *row;
    size_t i;

    json_array_foreach(get(root, "credentials"), i, row)
    {
        struct credential cred;
        enum err e = credential_parse(get_hex(row, "credential"), &cred);

        check_name("credential: %s", get_text(row, "name"));
        if (e == ERR_OK) {
            struct credential_facts facts = facts_of(root, row, &cred);

            e = credential_verify(&cred, ck, get_number(row, "now"), &facts);
        }
        check_outcome(row, e, reasons);
    }
}

void part_invites(json_t *root)
{
    static const struct reason reasons[] = {
        { "invite_address", ERR_MALFORMED },
        { "invite_encoding", ERR_MALFORMED },
        { "truncated", ERR_MALFORMED },
        { "wrong_tag", ERR_MALFORMED },
        { "wrong_size", ERR_MALFORMED },
        { "trailing", ERR_MALFORMED },
        { "expired", ERR_TOKEN },
        { NULL, ERR_OK },
    };
    json_t *row;
    size_t i;

    json_array_foreach(get(root, "invites"), i, row)
    {
        struct invite invite;
        char text[INVITE_TEXT_SIZE];
        uint8_t pk[32];

        check_name("invite: %s", get_text(row, "name"));
        if (!check_outcome(
                row, invite_parse(get_text(row, "text"), get_number(row, "now"), &invite), reasons))
            continue;
        is_true("written again", invite_encode(text, &invite) == ERR_OK);
        same_text("text", text, get_text(row, "text"));
        if (!has(row, "host"))
            continue;
        same_text("host", invite.host, get_text(row, "host"));
        same_number("port", invite.port, get_number(row, "port"));
        same_number("exp", invite.exp_ms, get_number(row, "exp"));
        same_field("server_curve_pk", invite.server_curve_pk, 32, row, "server_curve_pk");
        same_field("root_id", invite.root_id, 32, row, "root_id");
        same_field("invite_curve_sk", invite.invite_curve_sk, 32, row, "invite_curve_sk");
        dh_public(pk, invite.invite_curve_sk);
        same_field("invite_curve_pk", pk, 32, row, "invite_curve_pk");
    }
}

void part_enrolments(json_t *root)
{
    static const struct reason reasons[] = { { "enrol_signature", ERR_AUTH }, { NULL, ERR_OK } };
    json_t *row;
    size_t i;

    json_array_foreach(get(root, "enrolments"), i, row)
    {
        const uint8_t *ik = get_fixed(row, "ik", 32), *root_id = get_fixed(row, "root_id", 32);
        const uint8_t *invite_pk = get_fixed(row, "invite_curve_pk", 32);
        const uint8_t *hash = get_fixed(row, "card_hash", 32);
        uint64_t ts = get_number(row, "ts");
        json_t *agent = agent_by(root, "ik", ik);
        uint8_t preimage[ENROL_PREIMAGE_SIZE], sig[64], pk[32], sk[64];
        enum err e = enrol_verify(get_fixed(row, "sig", 64), ik, root_id, invite_pk, hash, ts);

        check_name("enrolment: %s", get_text(row, "name"));
        if (!check_outcome(row, e, reasons))
            continue;
        enrol_preimage(preimage, root_id, invite_pk, hash, ts);
        same_field("preimage", preimage, sizeof preimage, row, "preimage");
        if (!agent)
            continue;
        sign_key_of_seed(pk, sk, get_fixed(agent, "ik_seed", 32));
        sign(sig, sk, bytes_of(preimage, sizeof preimage));
        same_field("sig", sig, 64, row, "sig");
    }
}
