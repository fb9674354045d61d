/* group: the chain of events with every refusal, epoch secrets, and every frame as a member gets it
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/crypto/kdf.h"
#include "agent/flow/envelope.h"
#include "shared/wire/pack.h"
#include "tests/lib/group_stage.h"
#include "tests/vectors/check.h"
#include "tests/vectors/parts.h"

#define EVENTS_MAX 16

static const struct reason event_reasons[] = {
    { "event_size", ERR_SCHEMA },          { "event_scope", ERR_SCHEMA },
    { "event_seq", ERR_CONFLICT },         { "event_prev", ERR_CONFLICT },
    { "event_body", ERR_DIGEST_MISMATCH }, /* the file has it for JOINED by another invitation */
    { "event_state", ERR_STATE },          { "event_actor", ERR_FORBIDDEN },
    { "event_signature", ERR_AUTH },       { "members_hash", ERR_DIGEST_MISMATCH },
    { "group_epoch", ERR_STATE },          { NULL, ERR_OK },
};

static const struct reason frame_reasons[] = {
    { "frame_size", ERR_SCHEMA },
    { "frame_kind", ERR_SCHEMA },
    { "wrong_suite", ERR_SCHEMA },
    { "group_epoch", ERR_SCHEMA },
    { "wrong_session", ERR_SESSION_NOT_FOUND },
    { "wrong_sender", ERR_AUTH },
    { "wrong_recipient", ERR_AUTH },
    { "group_signature", ERR_AUTH },
    { "old", ERR_DECRYPT },
    { "body", ERR_DECRYPT },
    { "padding", ERR_DECRYPT },
    { "skip_limit", ERR_SKIP_LIMIT },
    { "commit", ERR_COMMIT },
    { NULL, ERR_OK },
};

/* ---- the chain --------------------------------------------------------------------------------
 */

static struct signed_event event_of(json_t *row)
{
    return (struct signed_event){ get_hex(row, "preimage"), get_fixed(row, "sig", 64),
                                  get_hex(row, "body") };
}

static enum err chain_offer(json_t *root, struct group_chain *chain, json_t *row)
{
    static const uint8_t nobody[32];
    struct signed_event offered = event_of(row);
    struct event event;
    json_t *actor = event_parse(offered.preimage, &event) == ERR_OK
                        ? agent_by(root, "aid", event.actor)
                        : NULL;

    return group_chain_append(chain, &offered, NULL, actor ? get_fixed(actor, "ik", 32) : nobody,
                              &event);
}

static void chain_equal(const struct group_chain *want, const struct group_chain *got)
{
    struct buf a = chain_bytes(got), b = chain_bytes(want);

    same_bytes("chain", buf_bytes(&a), buf_bytes(&b));
    buf_free(&a);
    buf_free(&b);
}

/* Bodies from their fields, written again. */
static void body_same(uint8_t type, struct bytes body)
{
    uint8_t out[EPOCH_BODY_SIZE];
    struct created_body created;
    struct invited_body invited;
    struct epoch_body epoch;

    switch (type) {
    case EVENT_GROUP_CREATED:
        is_true("CREATED parses", created_body_parse(body, &created) == ERR_OK);
        created_body_encode(out, &created);
        break;
    case EVENT_GROUP_INVITED:
        is_true("INVITED parses", invited_body_parse(body, &invited) == ERR_OK);
        invited_body_encode(out, &invited);
        break;
    case EVENT_GROUP_EPOCH:
        is_true("EPOCH parses", epoch_body_parse(body, &epoch) == ERR_OK);
        epoch_body_encode(out, &epoch);
        break;
    default:
        return;
    }
    same_bytes("body", bytes_of(out, body.len), body);
}

static void members_same(const struct group_chain *chain, json_t *members)
{
    json_t *row;
    size_t i;

    same_number("members", chain->joined, json_array_size(members));
    json_array_foreach(members, i, row)
    {
        same_field("aid", chain->members[i].aid, 32, row, "aid");
        same_number("role", chain->members[i].role, get_number(row, "role"));
        is_true("reads", chain->members[i].reads);
    }
}

static void chain_play(json_t *root, json_t *section)
{
    json_t *chain = get(section, "chain"), *row;
    struct group_chain at[EVENTS_MAX + 1] = { 0 }, replayed = { 0 };
    size_t i;

    memcpy(at[0].gid, get_fixed(chain, "id", 16), 16);
    memcpy(replayed.gid, at[0].gid, 16);
    json_array_foreach(get(chain, "events"), i, row)
    {
        struct signed_event event = event_of(row);

        check_name("group event %s", get_text(row, "name"));
        is_true("chain is short", i < EVENTS_MAX);
        event_same(root, chain, row);
        body_same((uint8_t)get_number(row, "type"), event.body);
        group_chain_copy(&at[i + 1], &at[i]);
        is_true("continues the chain", chain_offer(root, &at[i + 1], row) == ERR_OK);
        is_true("replays", group_chain_replay(&replayed, &event) == ERR_OK);
        chain_equal(&at[i + 1], &replayed);
        if (at[i + 1].epoch == 2 && get_number(row, "type") == EVENT_GROUP_EPOCH)
            members_same(&at[i + 1], get(section, "members"));
    }
    json_array_foreach(get(chain, "refuse"), i, row)
    {
        const struct group_chain *before = &at[get_number(row, "after")];
        struct group_chain after = { 0 };

        check_name("group event refused: %s", get_text(row, "name"));
        group_chain_copy(&after, before);
        if (!check_outcome(row, chain_offer(root, &after, row), event_reasons))
            chain_equal(before, &after);
        group_chain_free(&after);
    }
    group_chain_free(&replayed);
    for (i = 0; i <= EVENTS_MAX; i++)
        group_chain_free(&at[i]);
}

/* ---- epochs -----------------------------------------------------------------------------------
 */

struct run {
    json_t *root, *row;
    struct group_epoch epoch;
    const uint8_t *secret;
    struct group_sending chain[4]; /* the reader's, of A, B, C, M */
};

static json_t *agent_named(const struct run *run, const char *role)
{
    return get(get(run->root, "agents"), role);
}

/* Where the reader keeps a member's chain; NULL: not a member. */
static struct group_sending *chain_of(struct run *run, const char *role)
{
    if (!json_object_get(get(run->row, "chains"), role))
        return NULL;
    return &run->chain[role[0] == 'M' ? 3 : role[0] - 'A'];
}

static const char *role_of(const struct run *run, const uint8_t aid[static 32])
{
    static const char *const roles[] = { "A", "B", "C", "M" };

    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
        if (memcmp(get_fixed(agent_named(run, roles[i]), "aid", 32), aid, 32) == 0)
            return roles[i];
    return NULL;
}

static void epoch_begin(struct run *run)
{
    json_t *chain;
    const char *role;

    run->epoch.epoch = (uint32_t)get_number(run->row, "epoch");
    run->epoch.suite = (uint8_t)get_number(run->row, "suite");
    memcpy(run->epoch.gid, get_fixed(get(get(run->root, "group"), "chain"), "id", 16), 16);
    memcpy(run->epoch.digest, get_fixed(run->row, "event_digest", 32), 32);
    run->secret = get_fixed(run->row, "es", 32);
    json_object_foreach(get(run->row, "chains"), role, chain)
    {
        struct group_sending *at = chain_of(run, role);

        group_sending_init(at, run->secret, &run->epoch,
                           get_fixed(agent_named(run, role), "aid", 32));
        same_bytes("chain", bytes_of(at->key, 32), hex_of(chain));
    }
}

/* The sender's chain as it was in front of this frame. */
static struct group_sending chain_before(struct run *run, json_t *frame)
{
    struct group_sending chain;
    uint8_t unused[32];

    group_sending_init(&chain, run->secret, &run->epoch,
                       get_fixed(agent_named(run, get_text(frame, "from")), "aid", 32));
    for (uint64_t i = 0; i < get_number(frame, "gen"); i++, chain.next++)
        kdf_chain(chain.key, unused);
    return chain;
}

/* What a frame is made of and nobody sees. */
static void insides_same(const struct run *run, const struct group_sending *before, json_t *frame,
                         const uint8_t n[static 24])
{
    uint8_t key[32], mk[32];
    struct message_keys keys;

    memcpy(key, before->key, 32);
    kdf_chain(key, mk);
    same_field("mk", mk, 32, frame, "mk");
    kdf_message(&keys, LABEL_GMK, mk, run->epoch.suite, n);
    same_field("key", keys.key, 32, frame, "key");
    same_field("nonce", keys.nonce, 12, frame, "nonce");
    same_field("commit", keys.commit, 32, frame, "commit");
}

/* Whose key signed it: the sender's, but for one who writes in another's name. */
static json_t *signer_of(const struct run *run, json_t *frame)
{
    const char *crafted = has(frame, "crafted") ? get_text(frame, "crafted") : "";
    char role[2] = { 0 };

    if (sscanf(crafted, "sealed by %1s", role) == 1)
        return agent_named(run, role);
    return agent_named(run, get_text(frame, "from"));
}

static void frame_same(struct run *run, json_t *frame)
{
    struct bytes want = get_hex(frame, "frame"), plain = get_hex(frame, "plaintext");
    struct group_sending chain = chain_before(run, frame), before = chain;
    uint8_t stub[FRAME_STUB_MAX], digest[32], again[32], pk[32], sk[SIGN_SECRET_SIZE];
    uint8_t *out = mem_alloc(group_frame_size(plain.len));
    struct frame_header header = { .kind = FRAME_GROUP, .suite = run->epoch.suite };
    struct frame_view view;
    uint32_t epoch, gen;
    enum err e;

    is_true("parses", frame_parse_whole(want, &view) == ERR_OK);
    is_true("is a group's", group_frame_place(&view, &epoch, &gen));
    same_number("epoch", epoch, run->epoch.epoch);
    same_number("gen", gen, get_number(frame, "gen"));
    header.flags = (uint8_t)get_number(frame, "flags");
    header.seq = get_number(frame, "seq");
    header.expires_ms = get_number(frame, "expires_at");
    memcpy(header.scope, view.scope, 16); /* a crafted one names others */
    memcpy(header.sender, view.sender, 32);
    memcpy(header.recipient, view.recipient, 32);
    sign_key_of_seed(pk, sk, get_fixed(signer_of(run, frame), "ik_seed", 32));
    if (has(frame, "rand"))
        e = group_encrypt(&chain, &run->epoch, &header, sk, plain, get_fixed(frame, "rand", 32),
                          out, digest);
    else
        e = group_encrypt_with_n(&chain, &run->epoch, &header, sk, plain, view.hdr.at + 8, out,
                                 digest);
    is_true("sealed", e == ERR_OK);
    insides_same(run, &before, frame, view.hdr.at + 8);
    same_bytes("frame", bytes_of(out, group_frame_size(plain.len)), want);
    same_number("chain is one further", chain.next, before.next + 1);
    same_field("n", view.hdr.at + 8, 24, frame, "n");
    frame_stub_write(&view, stub, again);
    same_field("stub", stub, frame_stub_size(&view), frame, "stub");
    same_field("digest", digest, 32, frame, "digest");
    same_bytes("digest of the frame", bytes_of(again, 32), bytes_of(digest, 32));
    group_sending_wipe(&chain);
    free(out);
}

static enum err reader_open(struct run *run, struct bytes bytes, uint8_t *out,
                            struct group_opened *opened, struct group_sending **chain)
{
    static const uint8_t nobody[32];
    struct frame_view frame;
    const char *role;
    enum err e = frame_parse_whole(bytes, &frame);

    if (e != ERR_OK)
        return e;
    role = role_of(run, frame.sender);
    *chain = role ? chain_of(run, role) : NULL;
    e = frame_expect(&frame, run->epoch.gid, *chain ? frame.sender : nobody, nobody);
    if (e != ERR_OK)
        return e;
    return group_decrypt(*chain, &run->epoch, &frame, get_fixed(agent_named(run, role), "ik", 32),
                         get_number(run->root, "now"), out, opened);
}

/* Export and import in the middle of everything must not be noticed. */
static void chain_reopen(struct group_sending *chain)
{
    struct buf kept = { 0 };

    group_sending_export(chain, &kept);
    group_sending_wipe(chain);
    is_true("chain imported", group_sending_import(chain, buf_bytes(&kept)) == ERR_OK);
    buf_wipe(&kept);
}

static struct buf reader_bytes(const struct run *run)
{
    struct buf out = { 0 };

    for (size_t i = 0; i < 4; i++)
        group_sending_export(&run->chain[i], &out);
    return out;
}

static void step_play(struct run *run, json_t *step)
{
    json_t *number = json_object_get(step, "frame");
    json_t *frame
        = number ? json_array_get(get(run->row, "frames"), (size_t)json_integer_value(number))
                 : NULL;
    struct bytes bytes = frame ? get_hex(frame, "frame") : get_hex(step, "bytes");
    struct buf before = reader_bytes(run), after;
    uint8_t *out = mem_alloc(BUCKET_MAX);
    struct group_sending *chain = NULL;
    struct group_opened opened;

    if (check_outcome(step, reader_open(run, bytes, out, &opened, &chain), frame_reasons)) {
        same_bytes("plaintext", bytes_of(out + opened.offset, opened.len),
                   get_hex(frame, "plaintext"));
        chain_reopen(chain);
    } else {
        after = reader_bytes(run);
        same_bytes("chains after a refusal", buf_bytes(&after), buf_bytes(&before));
        buf_wipe(&after);
    }
    buf_wipe(&before);
    free(out);
}

static void epoch_play(json_t *root, json_t *row)
{
    struct run run = { .root = root, .row = row };
    json_t *each;
    size_t i;

    check_name("group epoch %" PRIu64, get_number(row, "epoch"));
    epoch_begin(&run);
    json_array_foreach(get(row, "frames"), i, each)
    {
        check_name("group epoch %" PRIu32 " frame %zu", run.epoch.epoch, i);
        frame_same(&run, each);
    }
    json_array_foreach(get(row, "steps"), i, each)
    {
        check_name("group epoch %" PRIu32 " step %zu", run.epoch.epoch, i);
        step_play(&run, each);
    }
    for (i = 0; i < 4; i++)
        group_sending_wipe(&run.chain[i]);
}

/* A member's check of the secret that an admin handed out. */
static void secret_check(json_t *row)
{
    static const struct reason reasons[] = { { "confirm", ERR_GROUP_FORK }, { NULL, ERR_OK } };
    struct event event;
    struct epoch_body body;
    uint8_t confirm[32];

    check_name("group secret: %s", get_text(row, "name"));
    is_true("event parses", event_parse(get_hex(row, "event"), &event) == ERR_OK);
    is_true("body parses", epoch_body_parse(get_hex(row, "body"), &body) == ERR_OK);
    group_confirm(confirm, get_fixed(row, "es", 32), event.id, body.epoch, event.prev,
                  body.members_hash);
    check_outcome(row, memcmp(confirm, body.confirm, 32) == 0 ? ERR_OK : ERR_GROUP_FORK, reasons);
}

static void key_message_same(json_t *section)
{
    json_t *epoch = json_array_get(get(section, "epochs"), 0);
    struct envelope envelope;
    struct buf body = { 0 };

    check_name("group key message");
    is_true("decodes", envelope_decode(get_hex(section, "key_message"), &envelope) == ERR_OK);
    same_number("kind", envelope.kind, ENVELOPE_GROUP_KEY);
    pack_array(&body, 4);
    pack_bin(&body, get_hex(get(section, "chain"), "id"));
    pack_uint(&body, get_number(epoch, "epoch"));
    pack_bin(&body, get_hex(epoch, "event_digest"));
    pack_bin(&body, get_hex(epoch, "es"));
    same_bytes("body", envelope.body, buf_bytes(&body));
    buf_wipe(&body);
}

void part_group(json_t *root)
{
    json_t *section = get(root, "group"), *row;
    size_t i;

    chain_play(root, section);
    json_array_foreach(get(section, "epochs"), i, row) epoch_play(root, row);
    json_array_foreach(get(section, "secrets"), i, row) secret_check(row);
    key_message_same(section);
}
