/* prekeys, requests, events, receipts, notices, sizes */
#include <inttypes.h>
#include <sodium.h>

#include "agent/crypto/sign.h"
#include "shared/trust/event.h"
#include "shared/trust/init0.h"
#include "shared/trust/notice.h"
#include "shared/trust/prekey.h"
#include "shared/trust/receipt.h"
#include "shared/wire/frame.h"
#include "tests/vectors/check.h"
#include "tests/vectors/parts.h"

void part_prekeys(json_t *root)
{
    static const struct reason reasons[] = {
        { "spk_size", ERR_SCHEMA }, { "spk_signature", ERR_AUTH },
        { "spk_aid", ERR_AUTH },    { "spk_expired", ERR_EXPIRED },
        { NULL, ERR_OK },
    };
    json_t *row;
    size_t i;

    json_array_foreach(get(root, "prekeys"), i, row)
    {
        struct bytes statement = get_hex(row, "statement");
        struct spk_statement spk;
        struct buf out = { 0 };
        enum err e = spk_verify(statement, get_fixed(row, "sig", 64), get_fixed(row, "aid", 32),
                                get_fixed(row, "ik", 32), get_number(row, "now"), &spk);

        check_name("prekey: %s", get_text(row, "name"));
        if (!check_outcome(row, e, reasons))
            continue;
        spk_encode(&out, &spk);
        same_bytes("statement", buf_bytes(&out), statement);
        buf_free(&out);
    }
}

static bool holds_number(json_t *array, uint64_t number)
{
    json_t *element;
    size_t i;

    json_array_foreach(array, i,
                       element) if ((uint64_t)json_integer_value(element) == number) return true;
    return false;
}

static enum err request_judge(json_t *me, struct bytes bytes, uint64_t now_ms, struct init0 *init)
{
    uint8_t hashes[8][32];
    struct init0_own own = { .aid = get_fixed(me, "aid", 32),
                             .card_hashes = (const uint8_t(*)[32])hashes,
                             .suites = (uint32_t)get_number(me, "suites") };
    enum err e = init0_parse(bytes, init);
    json_t *hash;
    size_t i;

    if (e != ERR_OK)
        return e;
    json_array_foreach(get(me, "card_hashes"), i, hash) if (own.card_hash_count < 8)
        memcpy(hashes[own.card_hash_count++], hex_of(hash).at, 32);
    own.have_spk = holds_number(get(me, "spk_ids"), init->spk_id);
    own.have_opk = holds_number(get(me, "opk_ids"), init->opk_id);
    return init0_check(init, &own, now_ms);
}

void part_requests(json_t *root)
{
    static const struct reason reasons[] = {
        { "stale", ERR_STALE_TS },       { "expired", ERR_EXPIRED },
        { "wrong_recipient", ERR_AUTH }, { "card_hash_mismatch", ERR_STATE },
        { "no_prekey", ERR_NO_PREKEYS }, { "init_version", ERR_SCHEMA },
        { "init_opk", ERR_SCHEMA },      { "init_size", ERR_SCHEMA },
        { "wrong_suite", ERR_STATE },    { NULL, ERR_OK },
    };
    json_t *section = get(root, "requests");
    json_t *row;
    size_t i;

    json_array_foreach(get(section, "cases"), i, row)
    {
        struct bytes bytes = get_hex(row, "init0");
        struct buf out = { 0 };
        struct init0 init;
        enum err e = request_judge(get(section, "me"), bytes, get_number(row, "now"), &init);

        check_name("request: %s", get_text(row, "name"));
        /* A suite that does not exist is a matter of layout, one that my card lacks is not. */
        if (strcmp(get_text(row, "expect"), "wrong_suite") == 0 && e == ERR_SCHEMA
            && suite_bit(bytes.at[1]) == 0)
            e = ERR_STATE;
        if (!check_outcome(row, e, reasons))
            continue;
        init0_encode(&out, &init);
        same_bytes("INIT0", buf_bytes(&out), bytes);
        buf_free(&out);
    }
}

/* The key of whoever is named as the actor; NULL for a stranger. */
static const uint8_t *actor_key(json_t *root, const uint8_t actor[static 32])
{
    json_t *controller = get(root, "controller");
    json_t *agent;

    if (memcmp(get_fixed(controller, "root_id", 32), actor, 32) == 0)
        return get_fixed(controller, "ck", 32);
    agent = agent_by(root, "aid", actor);
    return agent ? get_fixed(agent, "ik", 32) : NULL;
}

static enum err chain_offer(json_t *root, struct session_chain *chain, json_t *row)
{
    static const uint8_t nobody[32];
    struct signed_event offered
        = { get_hex(row, "preimage"), get_fixed(row, "sig", 64), get_hex(row, "body") };
    struct event event;
    const uint8_t *key
        = event_parse(offered.preimage, &event) == ERR_OK ? actor_key(root, event.actor) : NULL;

    return session_chain_append(chain, &offered, get_fixed(get(root, "controller"), "root_id", 32),
                                key ? key : nobody, &event);
}

void event_same(json_t *root, json_t *section, json_t *row)
{
    struct event event = { .scope = (uint8_t)get_number(section, "scope"),
                           .seq = get_number(row, "seq"),
                           .type = (uint8_t)get_number(row, "type"),
                           .ts_ms = get_number(row, "ts") };
    bool controller = strcmp(get_text(row, "actor"), "controller") == 0;
    json_t *actor
        = controller ? get(root, "controller") : get(get(root, "agents"), get_text(row, "actor"));
    uint8_t preimage[EVENT_SIZE], digest[32], sig[64], pk[32], sk[64];

    memcpy(event.id, get_fixed(section, "id", 16), 16);
    memcpy(event.prev, get_fixed(row, "prev", 32), 32);
    memcpy(event.actor, get_fixed(actor, controller ? "root_id" : "aid", 32), 32);
    memcpy(event.target, get_fixed(row, "target", 32), 32);
    event_body_hash(event.body_hash, get_hex(row, "body"));
    event_encode(preimage, &event);
    same_field("preimage", preimage, sizeof preimage, row, "preimage");
    event_digest(digest, bytes_of(preimage, sizeof preimage));
    same_field("digest", digest, 32, row, "digest");
    sign_key_of_seed(pk, sk, get_fixed(actor, controller ? "ck_seed" : "ik_seed", 32));
    sign(sig, sk, bytes_of(preimage, sizeof preimage));
    same_field("sig", sig, 64, row, "sig");
}

static void chain_play(json_t *root, json_t *section)
{
    static const struct reason reasons[] = {
        { "event_size", ERR_SCHEMA },
        { "event_scope", ERR_SCHEMA },
        { "event_seq", ERR_CONFLICT },
        { "event_prev", ERR_CONFLICT },
        { "event_body", ERR_SCHEMA },
        { "event_state", ERR_STATE },
        { "event_actor", ERR_FORBIDDEN },
        { "event_signature", ERR_AUTH },
        { NULL, ERR_OK },
    };
    struct session_chain chain[9] = { 0 };
    json_t *row;
    size_t i;

    memcpy(chain[0].sid, get_fixed(section, "id", 16), 16);
    json_array_foreach(get(section, "events"), i, row)
    {
        check_name("event %s of \"%s\"", get_text(row, "name"), get_text(section, "name"));
        is_true("chain is short", i + 1 < sizeof chain / sizeof chain[0]);
        event_same(root, section, row);
        chain[i + 1] = chain[i];
        is_true("continues the chain", chain_offer(root, &chain[i + 1], row) == ERR_OK);
    }
    json_array_foreach(get(section, "refuse"), i, row)
    {
        struct session_chain after = chain[get_number(row, "after")], before = after;

        check_name("event refused: %s", get_text(row, "name"));
        if (!check_outcome(row, chain_offer(root, &after, row), reasons))
            is_true("chain unharmed", memcmp(&before, &after, sizeof after) == 0);
    }
}

void part_events(json_t *root)
{
    json_t *section;
    size_t i;

    json_array_foreach(get(root, "events"), i, section) chain_play(root, section);
}

/* Over the digests that the verifier holds; how many there are. */
static size_t receipt_range(json_t *row, uint8_t out[static 32])
{
    json_t *digests = json_object_get(row, "digests"), *digest;
    struct range_digest range;
    size_t i;

    range_begin(&range);
    json_array_foreach(digests, i, digest) range_add(&range, hex_of(digest).at);
    for (uint64_t n = get_number(row, "from"); !digests && n <= get_number(row, "to"); n++) {
        uint8_t base[40], one[32];

        memcpy(base, get_fixed(row, "digest_base", 32), 32);
        put_u64(base + 32, n);
        crypto_hash_sha256(one, base, sizeof base);
        range_add(&range, one);
    }
    range_end(&range, out);
    return range.count;
}

static enum err receipt_judge(json_t *row)
{
    struct bytes preimage = get_hex(row, "preimage");
    struct receipt receipt;
    uint8_t held[32];
    enum err e = receipt_parse(preimage, &receipt);

    if (e == ERR_OK)
        e = receipt_verify(preimage, &receipt, get_fixed(row, "sig", 64), get_fixed(row, "ik", 32));
    if (e != ERR_OK || receipt.status == RECEIPT_ADVANCE)
        return e;
    if (receipt_range(row, held) != receipt.to - receipt.from + 1 && !receipt_is_cursor(&receipt))
        return ERR_RECEIPT;
    return memcmp(held, receipt.range_digest, 32) == 0 ? ERR_OK : ERR_RECEIPT;
}

static void receipt_same(json_t *root, json_t *row)
{
    struct receipt receipt = { .status = (uint8_t)get_number(row, "status"),
                               .from = get_number(row, "from"),
                               .to = get_number(row, "to"),
                               .ts_ms = get_number(row, "ts") };
    json_t *agent = agent_by(root, "ik", get_fixed(row, "ik", 32));
    uint8_t preimage[RECEIPT_SIZE], sig[64], pk[32], sk[64];

    memcpy(receipt.scope, get_fixed(row, "scope", 16), 16);
    memcpy(receipt.sender, get_fixed(row, "sender", 32), 32);
    memcpy(receipt.recipient, get_fixed(row, "recipient", 32), 32);
    if (receipt.status != RECEIPT_ADVANCE)
        receipt_range(row, receipt.range_digest);
    same_field("range_digest", receipt.range_digest, 32, row, "range_digest");
    receipt_encode(preimage, &receipt);
    same_field("preimage", preimage, sizeof preimage, row, "preimage");
    if (!agent)
        return;
    sign_key_of_seed(pk, sk, get_fixed(agent, "ik_seed", 32));
    sign(sig, sk, bytes_of(preimage, sizeof preimage));
    same_field("sig", sig, 64, row, "sig");
}

void part_receipts(json_t *root)
{
    static const struct reason reasons[] = {
        { "receipt_size", ERR_RECEIPT }, { "receipt_signature", ERR_RECEIPT },
        { "range", ERR_RECEIPT },        { "range_digest", ERR_RECEIPT },
        { "out_of_range", ERR_RECEIPT }, { NULL, ERR_OK },
    };
    json_t *row;
    size_t i;

    json_array_foreach(get(root, "receipts"), i, row)
    {
        check_name("receipt: %s", get_text(row, "name"));
        if (check_outcome(row, receipt_judge(row), reasons))
            receipt_same(root, row);
    }
}

void part_notices(json_t *root)
{
    json_t *row;
    size_t i;

    json_array_foreach(get(root, "notices"), i, row)
    {
        struct notice notice = { .reason = (uint8_t)get_number(row, "reason"),
                                 .seq = get_number(row, "seq"),
                                 .position = get_number(row, "position"),
                                 .at_ms = get_number(row, "at") };
        struct notice again;
        uint8_t out[NOTICE_SIZE];

        check_name("notice: %s", get_text(row, "name"));
        memcpy(notice.scope, get_fixed(row, "scope", 16), 16);
        memcpy(notice.sender, get_fixed(row, "sender", 32), 32);
        memcpy(notice.recipient, get_fixed(row, "recipient", 32), 32);
        memcpy(notice.frame_digest, get_fixed(row, "digest", 32), 32);
        notice_encode(out, &notice);
        same_field("notice", out, sizeof out, row, "notice");
        is_true("parses", notice_parse(bytes_of(out, sizeof out), &again) == ERR_OK);
        notice_encode(out, &again);
        same_field("notice read and written", out, sizeof out, row, "notice");
    }
}

void part_sizes(json_t *root)
{
    static const struct {
        const char *name;
        uint64_t size;
    } sizes[] = {
        { "spk_statement", SPK_SIZE },
        { "spk_statement_pq", SPK_MAX },
        { "init0", INIT0_SIZE },
        { "init0_pq", INIT0_MAX },
        { "event_preimage", EVENT_SIZE },
        { "receipt_preimage", RECEIPT_SIZE },
        { "frame_min", FRAME_MIN },
        { "frame_max", FRAME_MAX },
        { "group_frame_min", FRAME_FH_SIZE + 2 + FRAME_HDR_GROUP + 32 + BUCKET_MIN + 16 },
    };
    json_t *section = get(root, "sizes");
    json_t *card = json_array_get(get(get(get(root, "agents"), "A"), "cards"), 0);
    json_t *cert = json_array_get(get(root, "certificates"), 0);

    same_number("card", get_hex(card, "card").len, get_number(section, "card"));
    same_number("cert", get_hex(cert, "cert").len, get_number(section, "cert"));
    same_number("credential", get_hex(cert, "credential").len, get_number(section, "credential"));
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        if (json_object_get(section, sizes[i].name))
            same_number(sizes[i].name, sizes[i].size, get_number(section, sizes[i].name));
}
