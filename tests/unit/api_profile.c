/* layers: agent_api */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/api/profile.h"
#include "agent/api/settings.h"

static char home[64];

static void begin(void)
{
    strcpy(home, "/tmp/sealpost-profile-XXXXXX");
    cr_assert_not_null(mkdtemp(home));
    setenv("SEALPOST_HOME", home, 1);
    unsetenv("SEALPOST_AGENT");
    cr_assert_eq(chdir(home), 0);
}

static void finish(void)
{
    char command[128];

    snprintf(command, sizeof command, "rm -rf %s", home);
    cr_assert_eq(chdir("/"), 0);
    cr_assert_eq(system(command), 0);
}

TestSuite(api_profile, .init = begin, .fini = finish);

static void make(const char *name)
{
    struct profile profile;
    struct failure failure;
    json_t *identity = json_pack("{s:s}", "agent", name);

    cr_assert(profile_name(&profile, name, &failure));
    cr_assert(profile_make(&profile, &failure), "%s", failure.message);
    cr_assert_eq(profile_identity_write(&profile, identity), ERR_OK);
    json_decref(identity);
    profile_close(&profile);
}

static void write_file(const char *path, const char *text, mode_t mode)
{
    FILE *file = fopen(path, "w");

    cr_assert_not_null(file);
    fputs(text, file);
    fclose(file);
    cr_assert_eq(chmod(path, mode), 0);
}

/* The name chosen, or the code of the failure. */
static void choose(const char *wanted, char out[static 80], char note[static 256])
{
    struct profile profile;
    struct failure failure;

    if (profile_choose(&profile, wanted, note, &failure))
        snprintf(out, 80, "%s", profile.name);
    else
        snprintf(out, 80, "!%s", failure.code);
    profile_close(&profile);
}

#define EXPECT_CHOICE(wanted, result)                                                              \
    do {                                                                                           \
        char choice_[80], note_[256];                                                              \
        choose(wanted, choice_, note_);                                                            \
        cr_expect_str_eq(choice_, result);                                                         \
    } while (0)

Test(api_profile, nobody_has_joined)
{
    EXPECT_CHOICE(NULL, "!no_profile");
    EXPECT_CHOICE("builder", "!no_profile");
}

Test(api_profile, the_only_one_needs_no_name)
{
    make("builder");
    EXPECT_CHOICE(NULL, "builder");
    EXPECT_CHOICE("builder", "builder");
    EXPECT_CHOICE("reviewer", "!no_profile");
    EXPECT_CHOICE("../builder", "!name_invalid");
    EXPECT_CHOICE("", "!name_invalid");
}

Test(api_profile, flag_before_environment_before_pointer)
{
    make("builder");
    make("reviewer");
    make("tester");
    EXPECT_CHOICE(NULL, "!profile_unspecified");
    write_file(".sealpost", "# us\n\n  tester \n", 0600);
    EXPECT_CHOICE(NULL, "tester");
    setenv("SEALPOST_AGENT", "reviewer", 1);
    EXPECT_CHOICE(NULL, "reviewer");
    EXPECT_CHOICE("builder", "builder");
    setenv("SEALPOST_AGENT", "", 1);
    EXPECT_CHOICE(NULL, "tester");
}

Test(api_profile, the_pointer_is_found_from_below)
{
    make("builder");
    make("reviewer");
    write_file(".sealpost", "builder\n", 0644);
    cr_assert_eq(mkdir("a", 0700), 0);
    cr_assert_eq(mkdir("a/b", 0700), 0);
    cr_assert_eq(chdir("a/b"), 0);
    EXPECT_CHOICE(NULL, "builder");
    write_file("../.sealpost", "reviewer\n", 0600);
    EXPECT_CHOICE(NULL, "reviewer");
}

Test(api_profile, a_pointer_that_others_could_write_is_ignored)
{
    char got[80], note[256];

    make("builder");
    make("reviewer");
    write_file(".sealpost", "builder\n", 0664);
    choose(NULL, got, note);
    cr_expect_str_eq(got, "!profile_unspecified");
    cr_expect_not_null(strstr(note, ".sealpost is ignored"));
    cr_assert_eq(rename(".sealpost", "elsewhere"), 0);
    cr_assert_eq(chmod("elsewhere", 0600), 0);
    cr_assert_eq(symlink("elsewhere", ".sealpost"), 0);
    choose(NULL, got, note);
    cr_expect_str_eq(got, "!profile_unspecified");
}

Test(api_profile, what_others_can_read_is_refused)
{
    static const struct {
        const char *file;
        mode_t mode;
    } cases[] = { { "", 0750 },          { "/agent.key", 0640 },
                  { "/agent.db", 0604 }, { "/agent.conf", 0644 },
                  { "/lock", 0660 },     { "/identity", 0622 } };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char path[256], got[80], note[256];

        make("builder");
        snprintf(path, sizeof path, "%s/agents/builder%s", home, cases[i].file);
        if (cases[i].file[0])
            write_file(path, "x", cases[i].mode);
        cr_assert_eq(chmod(path, cases[i].mode), 0);
        choose("builder", got, note);
        cr_expect_str_eq(got, "!unsafe_permissions", "%s", cases[i].file);
        cr_assert_eq(chmod(path, cases[i].file[0] ? 0600 : 0700), 0);
    }
}

Test(api_profile, T20_one_owner_at_a_time_and_others_see_who)
{
    struct profile a, b;
    struct failure failure;
    char note[256], command[80];
    pid_t pid;

    make("builder");
    cr_assert(profile_choose(&a, "builder", note, &failure));
    cr_assert(profile_choose(&b, "builder", note, &failure));
    cr_assert_eq(profile_lock(&a, "recv --follow"), ERR_OK);
    cr_assert_eq(profile_lock(&b, "send"), ERR_LOCKED);
    profile_owner(&b, &pid, command);
    cr_expect_eq(pid, getpid());
    cr_expect_str_eq(command, "recv --follow");
    profile_unlock(&a);
    cr_assert_eq(profile_lock(&b, "send"), ERR_OK);
    profile_owner(&a, &pid, command);
    cr_expect_str_eq(command, "send");
    profile_close(&a);
    profile_close(&b);
}

Test(api_profile, erased_without_a_trace)
{
    struct profile profile;
    struct failure failure;
    char note[256];

    make("builder");
    cr_assert(profile_choose(&profile, "builder", note, &failure));
    cr_assert_eq(profile_lock(&profile, "join"), ERR_OK);
    profile_erase(&profile);
    cr_expect(!profile_exists(&profile));
    profile_close(&profile);
    EXPECT_CHOICE(NULL, "!no_profile");
}

/* ------------------------------------------------------------------ agent.conf */

Test(api_profile, settings_are_read_and_one_line_changes)
{
    struct agent_settings settings;
    struct profile profile;
    struct failure failure;
    char note[256];

    make("builder");
    cr_assert(profile_choose(&profile, "builder", note, &failure));
    cr_assert(settings_load(&profile, &settings, &failure));
    cr_expect_eq(settings.ttl_ms, UINT64_C(7) * 86400000);
    cr_expect_eq(settings.consent, CONSENT_CIRCLE);
    cr_expect_str_eq(settings.endpoint, "");
    cr_assert_eq(settings_change(&profile, "broker", "[::1]:5752"), ERR_OK);
    cr_assert_eq(settings_change(&profile, "consent", "any"), ERR_OK);
    cr_assert_eq(settings_change(&profile, "dead.keep", "0"), ERR_OK);
    cr_assert_eq(settings_change(&profile, "card.methods", "review build"), ERR_OK);
    cr_assert(settings_load(&profile, &settings, &failure), "%s", failure.message);
    cr_expect_str_eq(settings.endpoint, "tcp://[::1]:5752");
    cr_expect_eq(settings.consent, CONSENT_ANY);
    cr_expect_eq(settings.dead_keep_ms, 0);
    cr_expect_str_eq(settings.methods, "review build");
    cr_assert_eq(settings_change(&profile, "consent", NULL), ERR_OK);
    cr_assert(settings_load(&profile, &settings, &failure));
    cr_expect_eq(settings.consent, CONSENT_CIRCLE);
    profile_close(&profile);
}

Test(api_profile, a_bad_file_names_its_line)
{
    static const char *const cases[] = { "consnt = any\n", "ttl = 1s\n", "consent = maybe\n",
                                         "broker = nowhere\n", "ttl = 1d\nttl = 2d\n" };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct agent_settings settings;
        struct profile profile;
        struct failure failure;
        char path[256], note[256];

        make("builder");
        snprintf(path, sizeof path, "%s/agents/builder/agent.conf", home);
        write_file(path, cases[i], 0600);
        cr_assert(profile_choose(&profile, "builder", note, &failure));
        cr_expect(!settings_load(&profile, &settings, &failure), "%s", cases[i]);
        cr_expect_str_eq(failure.code, "bad_config", "%s", cases[i]);
        cr_expect_not_null(strstr(failure.message, "agent.conf:"), "%s", failure.message);
        profile_close(&profile);
    }
}
