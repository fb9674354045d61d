/* layers: base config broker */
#include "broker/config.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "shared/base/files.h"

Test(broker_config, every_default_is_within_its_bounds)
{
    struct config *config = broker_config_new(); /* aborts otherwise */

    for (size_t i = 0; i < CONF_COUNT; i++) {
        const struct config_key *key = config_key_at(config, i);

        cr_expect_not_null(key->path, "row %zu is missing", i);
        cr_expect(key->help && *key->help, "%s has no help", key->path);
        cr_expect_eq(config_find(config, key->path, NULL), (int)i, "%s stands twice", key->path);
    }
    config_free(&config);
}

/* The flow's own defaults are those of the file. */
Test(broker_config, flow_has_the_same_defaults)
{
    struct config *config = broker_config_new();
    struct flow_settings of_file, of_flow;

    broker_config_flow(config, &of_file);
    flow_settings_default(&of_flow);
#define SAME(field)                                                                                \
    cr_expect_eq(of_file.field, of_flow.field, #field ": %llu in the file, %llu in the flow",      \
                 (unsigned long long)of_file.field, (unsigned long long)of_flow.field)
    SAME(invite_ttl_ms);
    SAME(certificate_ttl_ms);
    SAME(queue_frames);
    SAME(queue_bytes);
    SAME(pair_frames);
    SAME(pair_bytes);
    SAME(requests);
    SAME(request_bytes);
    SAME(requests_open);
    SAME(send_per_s);
    SAME(send_burst);
    SAME(prekeys_per_h);
    SAME(group_members);
    SAME(blob_size_max);
    SAME(blob_agent_bytes);
    SAME(blob_ttl_ms);
    SAME(frame_ttl_max_ms);
    SAME(store_max_bytes);
    SAME(disk_floor_bytes);
    SAME(wal_alarm_bytes);
#undef SAME
    config_free(&config);
}

/* deploy/sealpostd.conf is what the table says; SEALPOST_WRITE=1 writes it anew. */
Test(broker_config, example_file_is_current)
{
    struct config *config = broker_config_new(), *again = broker_config_new();
    struct buf want = { 0 }, have = { 0 };
    char path[512];

    snprintf(path, sizeof path, "%.*s/deploy/sealpostd.conf",
             (int)(strstr(__FILE__, "/tests/unit/") - __FILE__), __FILE__);
    config_set(config, "broker/name", "home", CONFIG_FLAG, NULL);
    broker_config_write(config, &want);
    if (getenv("SEALPOST_WRITE")) {
        FILE *file = fopen(path, "w");

        cr_assert(file && fwrite(want.at, 1, want.len, file) == want.len && fclose(file) == 0);
    }
    cr_assert_eq(file_read(path, 65536, &have), ERR_OK, "%s", path);
    cr_expect(bytes_equal(buf_bytes(&want), buf_bytes(&have)), "%s is stale", path);
    cr_expect_eq(config_read_text(again, buf_bytes(&have), false), ERR_OK);
    buf_free(&want);
    buf_free(&have);
    config_free(&config);
    config_free(&again);
}

static const struct {
    const char *name, *path, *text;
    bool good;
} values[] = {
    { "endpoint", "listen/endpoint", "tcp://127.0.0.1:5752", true },
    { "wildcard", "listen/endpoint", "tcp://*:*", true },
    { "IPv6", "listen/endpoint", "tcp://[::1]:5752", true },
    { "no port", "listen/endpoint", "tcp://127.0.0.1", false },
    { "port 0", "listen/endpoint", "tcp://127.0.0.1:0", false },
    { "ipc", "listen/endpoint", "ipc:///tmp/x:1", false },
    { "public", "broker/public", "broker.example:5752", true },
    { "public IPv6", "broker/public", "[::1]:5752", true },
    { "bare IPv6", "broker/public", "::1:5752", false },
    { "public wildcard", "broker/public", "*:5752", false },
    { "public port *", "broker/public", "broker.example:*", false },
    { "space in it", "broker/public", "broker example:1", false },
    { "file elsewhere", "store/file", "/tmp/broker.db", false },
    { "file", "store/file", "mail.db", true },
};

Test(broker_config, own_rules)
{
    struct config *config = broker_config_new();

    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        cr_expect_eq(config_set(config, values[i].path, values[i].text, CONFIG_FLAG, NULL),
                     values[i].good ? ERR_OK : ERR_MALFORMED, "%s", values[i].name);
    config_free(&config);
}
