/*
 * signer_file - the key in a file of 32 bytes, the record in memory.
 */
#include <sodium.h>
#include <stdlib.h>

#include "broker/controller/signer.h"
#include "shared/base/files.h"
#include "shared/trust/event.h"
#include "shared/trust/identity.h"
#include "shared/trust/label.h"

#define SEED_SIZE          32
#define SERVER_LIFE_MAX_MS (UINT64_C(400) * 86400000)

/* What the log says about an agent now. */
struct binding {
    uint8_t aid[32], card_hash[32];
    bool used, revoked;
};

struct signer {
    uint8_t sk[64]; /* secret */
    uint8_t ck[32], root_id[32];
    struct log_head head;
    struct binding *bindings; /* open addressing; cap is a power of two */
    size_t count, cap;
    uint64_t last_serial, last_index;
};

/* ---- the key
 * -------------------------------------------------------------------------------------- */

enum err signer_create(int keys_fd, const char *name, const uint8_t seed[static 32])
{
    return file_create(keys_fd, name, 0600, bytes_of(seed, SEED_SIZE));
}

void signer_new(struct signer **out, const uint8_t seed[static 32])
{
    struct signer *signer;

    if (sodium_init() < 0 || !(signer = sodium_malloc(sizeof *signer)))
        abort();
    memset(signer, 0, sizeof *signer);
    crypto_sign_seed_keypair(signer->ck, signer->sk, seed);
    root_id_of(signer->root_id, signer->ck);
    *out = signer;
}

enum err signer_open(struct signer **out, int keys_fd, const char *name)
{
    struct buf seed = { 0 };
    enum err e = file_read_secret(keys_fd, name, SEED_SIZE, &seed);

    if (e == ERR_TOO_LARGE || (e == ERR_OK && seed.len != SEED_SIZE))
        e = ERR_MALFORMED;
    if (e == ERR_OK)
        signer_new(out, seed.at);
    buf_wipe(&seed);
    return e;
}

void signer_close(struct signer **signer)
{
    if (!*signer)
        return;
    free((*signer)->bindings);
    sodium_free(*signer); /* wipes */
    *signer = NULL;
}

const uint8_t *signer_ck(const struct signer *signer)
{
    return signer->ck;
}

const uint8_t *signer_root_id(const struct signer *signer)
{
    return signer->root_id;
}

/* ---- the record
 * ----------------------------------------------------------------------------------- */

static struct binding *place_of(struct binding *bindings, size_t cap, const uint8_t *aid)
{
    size_t at = (size_t)get_u64(aid) & (cap - 1);

    while (bindings[at].used && memcmp(bindings[at].aid, aid, 32) != 0)
        at = (at + 1) & (cap - 1);
    return &bindings[at];
}

static void grow(struct signer *signer)
{
    size_t cap = signer->cap ? 2 * signer->cap : 64;
    struct binding *bindings = mem_zeroed(cap, sizeof *bindings);

    for (size_t i = 0; i < signer->cap; i++)
        if (signer->bindings[i].used)
            *place_of(bindings, cap, signer->bindings[i].aid) = signer->bindings[i];
    free(signer->bindings);
    signer->bindings = bindings;
    signer->cap = cap;
}

enum err signer_append_log(struct signer *signer, struct bytes packed)
{
    struct log_entry entry;
    struct binding *binding;
    enum err e = log_head_append(&signer->head, packed, &entry);

    if (e != ERR_OK)
        return e;
    if (2 * (signer->count + 1) > signer->cap)
        grow(signer);
    binding = place_of(signer->bindings, signer->cap, entry.aid);
    if (!binding->used) {
        binding->used = true;
        memcpy(binding->aid, entry.aid, 32);
        signer->count++;
    }
    memcpy(binding->card_hash, entry.card_hash, 32);
    binding->revoked = binding->revoked || entry.type == ENTRY_REVOKE;
    return ERR_OK;
}

void signer_forget_log(struct signer *signer)
{
    signer->head = (struct log_head){ 0 };
    if (signer->cap)
        memset(signer->bindings, 0, signer->cap * sizeof *signer->bindings);
    signer->count = 0;
    signer->last_index = 0;
}

/* ---- signatures
 * ----------------------------------------------------------------------------------- */

static void sign_object(const struct signer *signer, enum label which, struct bytes object,
                        uint8_t sig[static 64])
{
    struct buf preimage = { 0 };

    label_preimage(&preimage, which, object);
    crypto_sign_detached(sig, NULL, preimage.at, preimage.len, signer->sk);
    buf_free(&preimage);
}

static enum err certificate_allowed(struct signer *signer, const struct certificate *cert)
{
    const struct binding *binding;

    if (signer->head.next == 0)
        return ERR_FORBIDDEN;
    binding = place_of(signer->bindings, signer->cap, cert->aid);
    if (!binding->used || binding->revoked || memcmp(binding->card_hash, cert->card_hash, 32) != 0)
        return ERR_FORBIDDEN;
    if (cert->serial <= signer->last_serial || cert->log_index < signer->last_index)
        return ERR_FORBIDDEN;
    /* Whoever gets this certificate will hold the log against it. */
    if (cert->log_index + 1 != signer->head.next
        || memcmp(cert->log_head, signer->head.digest, 32) != 0 || cert->exp_ms <= cert->nbf_ms)
        return ERR_FORBIDDEN;
    return ERR_OK;
}

enum err signer_certificate(struct signer *signer, const struct certificate *cert, struct buf *out,
                            uint8_t sig[static 64])
{
    size_t before = out->len;
    enum err e = certificate_allowed(signer, cert);

    if (e != ERR_OK)
        return e;
    certificate_encode(out, cert);
    sign_object(signer, LABEL_CERT, bytes_of(out->at + before, out->len - before), sig);
    signer->last_serial = cert->serial;
    signer->last_index = cert->log_index;
    return ERR_OK;
}

enum err signer_server(struct signer *signer, const struct server_card *card, struct buf *out,
                       uint8_t sig[static 64])
{
    size_t before = out->len;

    if (card->exp_ms <= card->nbf_ms || card->exp_ms - card->nbf_ms > SERVER_LIFE_MAX_MS)
        return ERR_FORBIDDEN;
    server_card_encode(out, card);
    sign_object(signer, LABEL_SERVER, bytes_of(out->at + before, out->len - before), sig);
    return ERR_OK;
}

enum err signer_expired(struct signer *signer, const uint8_t preimage[static 174],
                        uint8_t sig[static 64])
{
    struct event event;

    if (event_parse(bytes_of(preimage, EVENT_SIZE), &event) != ERR_OK
        || event.scope != SCOPE_SESSION || event.type != EVENT_EXPIRED
        || memcmp(event.actor, signer->root_id, 32) != 0)
        return ERR_FORBIDDEN;
    crypto_sign_detached(sig, NULL, preimage, EVENT_SIZE, signer->sk);
    return ERR_OK;
}
