/*
 * wycheproof [DIR] - Project Wycheproof's vectors (C2SP/wycheproof, testvectors_v1) against our
 * calls.
 *
 * DIR, or the environment's SEALPOST_WYCHEPROOF, holds the files; they are not part of this
 * project. Without them it says SKIPPED and ends with 77.  The first wrong outcome ends it with 1.
 */
#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/crypto/aead.h"
#include "agent/crypto/dh.h"
#include "shared/trust/event.h"
#include "shared/wire/frame.h"
#include "tests/vectors/check.h"

#define SKIPPED 77

/* A test and the group that it stands in. */
struct vector {
    json_t *group, *test;
    bool valid;
};

static void x25519(const struct vector *v)
{
    static const uint8_t zeroes[32];
    const uint8_t *shared = get_fixed(v->test, "shared", 32);
    uint8_t out[32];
    enum err e = dh(out, get_fixed(v->test, "private", 32), get_fixed(v->test, "public", 32));

    if (memcmp(shared, zeroes, 32) == 0) {
        is_true("an all-zero secret is refused", e == ERR_DECRYPT);
        return;
    }
    is_true("agreed", e == ERR_OK);
    same_bytes("shared", bytes_of(out, 32), bytes_of(shared, 32));
}

static void ed25519(const struct vector *v)
{
    const uint8_t *pk = get_fixed(get(v->group, "publicKey"), "pk", 32);
    struct bytes sig = get_hex(v->test, "sig");
    bool good = sig.len == 64 && event_verify(get_hex(v->test, "msg"), sig.at, pk) == ERR_OK;

    is_true(v->valid ? "accepted" : "refused", good == v->valid);
}

/* ct ‖ tag, as our calls have them. */
static struct buf sealed_of(json_t *test)
{
    struct bytes ct = get_hex(test, "ct"), tag = get_hex(test, "tag");
    struct buf sealed = { 0 };

    buf_append(&sealed, ct.at, ct.len);
    buf_append(&sealed, tag.at, tag.len);
    return sealed;
}

static void opened_same(const struct vector *v, enum err e, const uint8_t *out)
{
    if (v->valid) {
        struct bytes message = get_hex(v->test, "msg");

        is_true("opens", e == ERR_OK);
        same_bytes("message", bytes_of(out, message.len), message);
    } else {
        is_true("refused", e == ERR_DECRYPT);
    }
}

static void aead_case(const struct vector *v, uint8_t suite)
{
    const uint8_t *key = get_fixed(v->test, "key", 32), *nonce = get_fixed(v->test, "iv", 12);
    struct bytes ad = get_hex(v->test, "aad"), message = get_hex(v->test, "msg");
    struct buf sealed = sealed_of(v->test);
    uint8_t *out = mem_alloc(message.len + AEAD_TAG_SIZE + sealed.len);

    opened_same(v, aead_open(suite, out, key, nonce, ad, buf_bytes(&sealed)), out);
    if (v->valid) {
        is_true("sealed", aead_seal(suite, out, key, nonce, ad, message) == ERR_OK);
        same_bytes("ciphertext", bytes_of(out, message.len + AEAD_TAG_SIZE), buf_bytes(&sealed));
    }
    free(out);
    buf_free(&sealed);
}

static void chacha(const struct vector *v)
{
    aead_case(v, SUITE_CHACHA);
}

static void aes(const struct vector *v)
{
    aead_case(v, SUITE_AES);
}

static void xchacha(const struct vector *v)
{
    const uint8_t *key = get_fixed(v->test, "key", 32), *nonce = get_fixed(v->test, "iv", 24);
    struct bytes ad = get_hex(v->test, "aad"), message = get_hex(v->test, "msg");
    struct buf sealed = sealed_of(v->test);
    uint8_t *out = mem_alloc(message.len + AEAD_TAG_SIZE + sealed.len);

    opened_same(v, xaead_open(out, key, nonce, ad, buf_bytes(&sealed)), out);
    if (v->valid) {
        xaead_seal(out, key, nonce, ad, message);
        same_bytes("ciphertext", bytes_of(out, message.len + AEAD_TAG_SIZE), buf_bytes(&sealed));
    }
    free(out);
    buf_free(&sealed);
}

/* What is played of each file: all of it, or the groups with these sizes in bits. */
static const struct file {
    const char *name;
    void (*play)(const struct vector *);
    uint8_t suite;                     /* 0, or what the CPU must have */
    unsigned iv_bits, key_bits, least; /* how many cases there must be */
} files[] = {
    { "x25519_test.json", x25519, 0, 0, 0, 518 },
    { "ed25519_test.json", ed25519, 0, 0, 0, 151 },
    { "chacha20_poly1305_test.json", chacha, SUITE_CHACHA, 96, 256, 316 },
    { "xchacha20_poly1305_test.json", xchacha, 0, 192, 256, 306 },
    { "aes_gcm_test.json", aes, SUITE_AES, 96, 256, 66 },
};

static bool group_counts(const struct file *file, json_t *group)
{
    return file->iv_bits == 0
           || (get_number(group, "ivSize") == file->iv_bits
               && get_number(group, "keySize") == file->key_bits
               && get_number(group, "tagSize") == 128);
}

static void file_play(const char *dir, const struct file *file)
{
    char path[4096];
    json_t *root, *group, *test;
    size_t i, j;
    unsigned cases = 0;

    if (file->suite && !aead_available(file->suite)) {
        printf("%-32s SKIPPED: this CPU does not have it\n", file->name);
        return;
    }
    snprintf(path, sizeof path, "%s/%s", dir, file->name);
    root = check_open(path);
    json_array_foreach(get(root, "testGroups"), i, group)
    {
        if (!group_counts(file, group))
            continue;
        json_array_foreach(get(group, "tests"), j, test)
        {
            struct vector v = { group, test, strcmp(get_text(test, "result"), "invalid") != 0 };

            check_name("%s case %" PRIu64, file->name, get_number(test, "tcId"));
            file->play(&v);
            cases++;
        }
    }
    check_name("%s", file->name);
    is_true("all cases were there", cases >= file->least);
    printf("%-32s ok  %4u cases\n", file->name, cases);
    check_close(root);
}

int main(int argc, char **argv)
{
    const char *dir = argc > 1 ? argv[1] : getenv("SEALPOST_WYCHEPROOF");

    if (!dir || access(dir, R_OK) != 0) {
        printf("SKIPPED: %s\n", dir ? strerror(errno) : "SEALPOST_WYCHEPROOF names no folder");
        return SKIPPED;
    }
    if (sodium_init() < 0)
        return 2;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        file_play(dir, &files[i]);
    return 0;
}
