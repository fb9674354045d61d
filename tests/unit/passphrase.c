/* layers: agent_api */
/* A key under a passphrase, the file of it, and where the passphrase comes from. */
#include "agent/api/passphrase.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/api/profile.h"
#include "agent/crypto/wrap.h"
#include "agent/store/key.h"
#include "agent/store/store.h"

static const uint8_t key[WRAP_KEY_SIZE] = { 7, 1, 4 }, salt[WRAP_SALT_SIZE] = { 9 },
                     nonce[WRAP_NONCE_SIZE] = { 3 };

static struct bytes text(const char *words)
{
    return bytes_of_text(words);
}

static void begin(void)
{
    cr_assert_geq(sodium_init(), 0);
}

TestSuite(wrap, .init = begin);

static void make(struct buf *file)
{
    cr_assert_eq(wrap(file, key, text("correct horse"), salt, nonce), ERR_OK);
    cr_assert_eq(file->len, WRAP_SIZE);
}

Test(wrap, T34_opens_with_its_passphrase_only)
{
    static const struct {
        const char *name, *passphrase;
        enum err result;
    } cases[] = {
        { "the right one", "correct horse", ERR_OK },
        { "another", "battery staple", ERR_PASSPHRASE },
        { "a shorter one", "correct hors", ERR_PASSPHRASE },
        { "other case", "Correct horse", ERR_PASSPHRASE },
        { "with a newline", "correct horse\n", ERR_PASSPHRASE },
    };
    struct buf file = { 0 };

    make(&file);
    cr_expect_null(memmem(file.at, file.len, key, 3), "the key does not stand in it");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t opened[WRAP_KEY_SIZE] = { 0 };

        cr_expect_eq(unwrap(opened, buf_bytes(&file), text(cases[i].passphrase)), cases[i].result,
                     "%s", cases[i].name);
        cr_expect_eq(memcmp(opened, key, sizeof key) == 0, cases[i].result == ERR_OK, "%s",
                     cases[i].name);
    }
    buf_wipe(&file);
}

Test(wrap, T34_a_changed_file_does_not_open)
{
    static const struct {
        const char *name;
        size_t at;
        enum err result;
    } cases[] = {
        { "the form's name", 0, ERR_CORRUPT },
        { "passes beyond reason", 8, ERR_CORRUPT },
        { "memory beyond reason", 16, ERR_CORRUPT },
        { "another number of passes", 15, ERR_PASSPHRASE },
        { "the salt", 24, ERR_PASSPHRASE },
        { "the nonce", 40, ERR_PASSPHRASE },
        { "the key", 64, ERR_PASSPHRASE },
        { "the tag", 111, ERR_PASSPHRASE },
    };
    uint8_t opened[WRAP_KEY_SIZE];
    struct buf file = { 0 };

    make(&file);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        file.at[cases[i].at] ^= 1;
        cr_expect_eq(unwrap(opened, buf_bytes(&file), text("correct horse")), cases[i].result, "%s",
                     cases[i].name);
        file.at[cases[i].at] ^= 1;
    }
    cr_expect_eq(unwrap(opened, bytes_of(file.at, WRAP_SIZE - 1), text("correct horse")),
                 ERR_CORRUPT, "cut short");
    cr_expect_eq(unwrap(opened, buf_bytes(&file), text("correct horse")), ERR_OK, "put right");
    buf_wipe(&file);
}

/* ------------------------------------------------------------------ files */

static char dir[64];

static void dir_begin(void)
{
    begin();
    strcpy(dir, "/tmp/sealpost-passphrase-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    setenv("SEALPOST_HOME", dir, 1);
    unsetenv(PASSPHRASE_FILE_VARIABLE);
}

static void dir_end(void)
{
    char command[128];

    snprintf(command, sizeof command, "rm -rf %s", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(passphrase, .init = dir_begin, .fini = dir_end);

Test(passphrase, T34_a_profile_opens_with_it_only)
{
    struct agent_store *store;
    struct profile profile;
    struct failure failure;

    cr_assert(profile_name(&profile, "ann", &failure));
    cr_assert(profile_make(&profile, &failure), "%s", failure.message);
    cr_expect_not(profile_wants_passphrase(&profile), "there is no key yet");
    cr_assert_eq(profile_protect(&profile, text("correct horse")), ERR_OK);
    cr_expect_not(profile_wants_passphrase(&profile), "it is open");
    cr_assert_eq(agent_store_create_with(&store, profile.dir, profile.key), ERR_OK);
    agent_store_close(&store);
    profile_close(&profile);

    cr_assert(profile_name(&profile, "ann", &failure));
    cr_assert(profile_open(&profile, &failure), "%s", failure.message);
    cr_expect(profile_wants_passphrase(&profile));
    cr_expect_eq(agent_store_open(&store, profile.dir), ERR_PASSPHRASE);
    cr_expect_eq(agent_store_create(&store, profile.dir, key), ERR_EXISTS);
    cr_expect_eq(profile_unwrap(&profile, text("wrong")), ERR_PASSPHRASE);
    cr_expect_null(profile.key);
    cr_expect_eq(profile_protect(&profile, text("wrong")), ERR_PASSPHRASE, "nothing is made anew");
    cr_assert_eq(profile_unwrap(&profile, text("correct horse")), ERR_OK);
    cr_assert_eq(agent_store_open_with(&store, profile.dir, profile.key), ERR_OK);
    agent_store_close(&store);
    profile_close(&profile);
}

static void write_file(const char *path, const char *content, mode_t mode)
{
    FILE *file = fopen(path, "w");

    cr_assert_not_null(file);
    fputs(content, file);
    fclose(file);
    cr_assert_eq(chmod(path, mode), 0);
}

Test(passphrase, its_file)
{
    static char too_long[PASSPHRASE_MAX + 2];
    static const struct {
        const char *name, *content, *passphrase, *code;
        mode_t mode;
    } cases[] = {
        { "one line", "correct horse\n", "correct horse", "", 0600 },
        { "without an end", "correct horse", "correct horse", "", 0400 },
        { "the first of many", "one\ntwo\n", "one", "", 0600 },
        { "of another system", "one\r\n", "one", "", 0600 },
        { "spaces count", " one \n", " one ", "", 0600 },
        { "others may read", "one\n", NULL, "unsafe_permissions", 0644 },
        { "the group may read", "one\n", NULL, "unsafe_permissions", 0640 },
        { "empty", "", NULL, "bad_value", 0600 },
        { "an empty line", "\none\n", NULL, "bad_value", 0600 },
        { "too long", too_long, NULL, "bad_value", 0600 },
    };
    struct failure failure;
    struct buf passphrase;
    char path[128];

    memset(too_long, 'x', sizeof too_long - 1);
    snprintf(path, sizeof path, "%s/pass", dir);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        unlink(path);
        write_file(path, cases[i].content, cases[i].mode);
        setenv(PASSPHRASE_FILE_VARIABLE, path, 1);
        passphrase_begin(&passphrase);
        cr_expect(passphrase_of_file(&passphrase, &failure), "%s", cases[i].name);
        cr_expect_str_eq(failure.code, cases[i].code, "%s: %s", cases[i].name, failure.message);
        if (cases[i].passphrase)
            cr_expect(bytes_equal(buf_bytes(&passphrase), text(cases[i].passphrase)), "%s",
                      cases[i].name);
        passphrase_end(&passphrase);
    }
    unlink(path);
    passphrase_begin(&passphrase);
    cr_expect(passphrase_of_file(&passphrase, &failure));
    cr_expect_str_eq(failure.code, "passphrase_needed", "no file");
    unsetenv(PASSPHRASE_FILE_VARIABLE);
    cr_expect_not(passphrase_of_file(&passphrase, &failure), "none is named");
    passphrase_end(&passphrase);
}
