#include "agent/crypto/wrap.h"

#include <assert.h>
#include <sodium.h>

#include "agent/crypto/seal.h"

#define MAGIC_SIZE  8
#define HEAD_SIZE   (MAGIC_SIZE + 8 + 8 + WRAP_SALT_SIZE)
#define PASSES_MAX  16
#define MEMORY_MAX  (1ull << 30)
#define WRAP_COLUMN "agent.key"

static_assert(HEAD_SIZE + SEAL_OVERHEAD + WRAP_KEY_SIZE == WRAP_SIZE, "the page says 112");
static_assert(WRAP_SALT_SIZE == crypto_pwhash_argon2id_SALTBYTES, "salt of Argon2id");

static const uint8_t magic[MAGIC_SIZE] = "sealkey1";

bool wrap_is(struct bytes file)
{
    return file.len == WRAP_SIZE && memcmp(file.at, magic, MAGIC_SIZE) == 0;
}

static enum err derive(uint8_t kek[static WRAP_KEY_SIZE], struct bytes passphrase,
                       const uint8_t *salt, uint64_t passes, uint64_t memory)
{
    return crypto_pwhash_argon2id(kek, WRAP_KEY_SIZE, (const char *)passphrase.at, passphrase.len,
                                  salt, passes, (size_t)memory, crypto_pwhash_ALG_ARGON2ID13)
                   == 0
               ? ERR_OK
               : ERR_NOMEM;
}

enum err wrap(struct buf *out, const uint8_t key[static WRAP_KEY_SIZE], struct bytes passphrase,
              const uint8_t salt[static WRAP_SALT_SIZE],
              const uint8_t nonce[static WRAP_NONCE_SIZE])
{
    const uint64_t passes = crypto_pwhash_argon2id_OPSLIMIT_MODERATE,
                   memory = crypto_pwhash_argon2id_MEMLIMIT_MODERATE;
    uint8_t kek[WRAP_KEY_SIZE], *at;
    enum err e = derive(kek, passphrase, salt, passes, memory);

    if (e == ERR_OK) {
        at = put_raw(buf_extend(out, HEAD_SIZE), magic, MAGIC_SIZE);
        at = put_u64(at, passes);
        at = put_u64(at, memory);
        put_raw(at, salt, WRAP_SALT_SIZE);
        seal(out, kek, (struct seal_place){ WRAP_COLUMN, 0, 0 }, nonce,
             bytes_of(key, WRAP_KEY_SIZE));
    }
    sodium_memzero(kek, sizeof kek);
    return e;
}

enum err unwrap(uint8_t key[static WRAP_KEY_SIZE], struct bytes file, struct bytes passphrase)
{
    uint8_t kek[WRAP_KEY_SIZE];
    struct buf plain = { 0 };
    uint64_t passes, memory;
    enum err e;

    if (!wrap_is(file))
        return ERR_CORRUPT;
    passes = get_u64(file.at + MAGIC_SIZE);
    memory = get_u64(file.at + MAGIC_SIZE + 8);
    if (passes < crypto_pwhash_argon2id_OPSLIMIT_MIN || passes > PASSES_MAX
        || memory < crypto_pwhash_argon2id_MEMLIMIT_MIN || memory > MEMORY_MAX)
        return ERR_CORRUPT;
    e = derive(kek, passphrase, file.at + MAGIC_SIZE + 16, passes, memory);
    if (e == ERR_OK
        && unseal(&plain, kek, (struct seal_place){ WRAP_COLUMN, 0, 0 },
                  bytes_of(file.at + HEAD_SIZE, file.len - HEAD_SIZE))
               != ERR_OK)
        e = ERR_PASSPHRASE;
    if (e == ERR_OK)
        memcpy(key, plain.at, WRAP_KEY_SIZE);
    sodium_memzero(kek, sizeof kek);
    buf_wipe(&plain);
    return e;
}
