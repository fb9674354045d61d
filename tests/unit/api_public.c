/* layers: agent_api */
#include <criterion/criterion.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/api/client.h"
#include "agent/api/join.h"
#include "agent/include/sealpost/agent.h"
#include "shared/base/clock.h"
#include "shared/net/socket.h"

static char home[64];

static void begin(void)
{
    cr_assert_geq(sodium_init(), 0);
    strcpy(home, "/tmp/sealpost-public-XXXXXX");
    cr_assert_not_null(mkdtemp(home));
    setenv("SEALPOST_HOME", home, 1);
    unsetenv("SEALPOST_AGENT");
    umask(077);
}

static void finish(void)
{
    char command[128];

    net_end();
    snprintf(command, sizeof command, "rm -rf %s", home);
    cr_assert_eq(system(command), 0);
}

TestSuite(api_public, .init = begin, .fini = finish);

/* An invite of a broker that nobody has ever seen. */
static void invite_make(struct invite *invite)
{
    *invite = (struct invite){ .host = "127.0.0.1", .port = 1 };
    randombytes_buf(invite->root_id, sizeof invite->root_id);
    randombytes_buf(invite->invite_curve_sk, sizeof invite->invite_curve_sk);
    crypto_scalarmult_base(invite->server_curve_pk, invite->root_id);
    invite->exp_ms = clock_now_ms() + 3600000;
}

static void prepare(const char *name, const struct invite *invite)
{
    struct profile profile;
    struct failure failure;

    cr_assert(profile_name(&profile, name, &failure));
    cr_assert(join_prepare(&profile, name, invite, (struct bytes){ 0 }, &failure), "%s",
              failure.message);
    profile_close(&profile);
}

Test(api_public, nothing_to_open)
{
    sealpost_agent *agent = NULL;

    cr_expect_eq(sealpost_open(&agent, NULL), 6);
    cr_expect_null(agent);
    cr_expect_eq(sealpost_open(&agent, "No Name"), 2);
    sealpost_close(&agent);
}

Test(api_public, an_agent_that_nobody_answers)
{
    sealpost_message message = { .struct_size = sizeof message };
    sealpost_message small = { .struct_size = 1 };
    sealpost_agent *agent = NULL;
    struct invite invite;
    char id[SEALPOST_ID_SIZE];

    invite_make(&invite);
    prepare("builder", &invite);
    cr_assert_eq(sealpost_open(&agent, "builder"), 0);
    cr_expect_eq(sealpost_recv(agent, &small, 0), 2);
    cr_expect_eq(sealpost_recv(agent, &message, 50), 3);
    cr_expect_eq(strncmp(sealpost_error(agent), "broker_unreachable: ", 20), 0, "%s",
                 sealpost_error(agent));
    cr_expect_neq(sealpost_send(agent, "reviewer", "hi", 2, 50, id), 0);
    cr_expect_str_eq(id, "");
    cr_expect_eq(sealpost_ack(agent, "abcdef"), 6);
    sealpost_close(&agent);
    cr_expect_null(agent);
}

Test(api_public, the_same_invite_finds_its_profile_again)
{
    struct invite invite, other;
    char found[NAME_MAX_LEN + 1];
    struct profile profile;
    struct failure failure;

    invite_make(&invite);
    invite_make(&other);
    prepare("builder", &invite);
    cr_assert(join_find(&invite, found));
    cr_expect_str_eq(found, "builder");
    cr_expect(!join_find(&other, found));
    prepare("builder", &invite);
    cr_assert(profile_name(&profile, "builder", &failure));
    cr_expect(!join_prepare(&profile, "builder", &other, (struct bytes){ 0 }, &failure));
    cr_expect_str_eq(failure.code, "profile_exists");
    join_undo(&profile);
    cr_expect(!profile_exists(&profile));
    profile_close(&profile);
}

static bool take_item(void *ctx, json_t *object)
{
    json_t **kept = ctx;

    json_decref(*kept);
    *kept = json_incref(object);
    return true;
}

static void ignore(void *ctx, const char *text)
{
    (void)ctx;
    (void)text;
}

/* A second command works through the first one's process, and through nobody's when that has gone.
 */
Test(api_public, a_guest_is_served_and_takes_over)
{
    struct profile owner, guest;
    struct failure failure;
    struct client *a, *b;
    struct invite invite;
    json_t *got = NULL;
    struct client_call call = { .verb = "whoami",
                                .params = json_object(),
                                .timeout_ms = UINT64_MAX,
                                .offline = true,
                                .ctx = &got,
                                .item = take_item,
                                .note = ignore,
                                .detail = ignore };
    char note[256];

    net_start();
    invite_make(&invite);
    prepare("builder", &invite);
    cr_assert(profile_choose(&owner, NULL, note, &failure));
    cr_assert(profile_choose(&guest, NULL, note, &failure));
    a = client_new(&owner, "first", true);
    b = client_new(&guest, "second", false);
    cr_assert_eq(client_run(a, &call, &failure), 0);
    cr_assert_eq(client_run(b, &call, &failure), 0);
    cr_expect_str_eq(json_string_value(json_object_get(got, "agent")), "builder");
    cr_expect_lt(guest.lock_fd, 0);
    client_free(&a);
    cr_assert_eq(client_run(b, &call, &failure), 0);
    cr_expect_geq(guest.lock_fd, 0);
    client_free(&b);
    json_decref(got);
    json_decref(call.params);
    profile_close(&owner);
    profile_close(&guest);
}
