#include "broker/config.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "shared/base/log.h"
#include "shared/base/text.h"

#define KIB    1024ull
#define MIB    (1024 * KIB)
#define GIB    (1024 * MIB)
#define SECOND 1000ull
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

/* ":" and a port behind the host; the host may be [IPv6]. */
static const char *port_of(const char *text)
{
    const char *colon = strrchr(text, ':');
    uint64_t port;

    if (!colon || colon == text)
        return NULL;
    if (strcmp(colon + 1, "*") == 0)
        return colon;
    return count_parse(&port, colon + 1) == ERR_OK && port >= 1 && port <= 65535 ? colon : NULL;
}

static const char *refuse_endpoint(const char *text)
{
    if (strncmp(text, "tcp://", 6) != 0 || !port_of(text + 6))
        return "is not tcp://ADDRESS:PORT";
    return NULL;
}

static const char *refuse_public(const char *text)
{
    const char *colon = port_of(text);

    if (!colon || colon[1] == '*' || colon - text > 255)
        return "is not HOST:PORT";
    for (const char *at = text; at < colon; at++)
        if (!isalnum((unsigned char)*at) && !strchr(".-:[]", *at))
            return "is not HOST:PORT";
    if (memchr(text, ':', (size_t)(colon - text)) && *text != '[')
        return "needs brackets around an IPv6 address";
    return NULL;
}

static const char *refuse_file_name(const char *text)
{
    return strchr(text, '/') ? "must be the name of a file in broker/state" : NULL;
}

static const struct config_key keys[CONF_COUNT] = {
    [CONF_NAME] = { .path = "broker/name",
                    .kind = CONFIG_NAME,
                    .initial = "home",
                    .help = "label shown to agents" },
    [CONF_STATE] = { .path = "broker/state",
                     .kind = CONFIG_PATH,
                     .initial = ".",
                     .restart = true,
                     .help = "directory of database, keys and lock; relative to this file" },
    [CONF_PUBLIC] = { .path = "broker/public",
                      .kind = CONFIG_TEXT,
                      .most = 261,
                      .least = 3,
                      .refuse = refuse_public,
                      .help = "HOST:PORT that invites name; needed if the endpoint is a wildcard" },
    [CONF_ENDPOINT]
    = { .path = "listen/endpoint",
        .kind = CONFIG_TEXT,
        .initial = "tcp://127.0.0.1:5752",
        .lines = 8,
        .restart = true,
        .refuse = refuse_endpoint,
        .help = "where agents connect; * for any address or a free port; up to 8 lines" },
    [CONF_CONNECTIONS] = { .path = "listen/connections",
                           .kind = CONFIG_COUNT,
                           .initial = "1024",
                           .least = 16,
                           .most = 100000,
                           .help = "all connections; must leave 64 descriptors free" },
    [CONF_CONNECTIONS_PER_AGENT] = { .path = "listen/connections_per_agent",
                                     .kind = CONFIG_COUNT,
                                     .initial = "4",
                                     .least = 1,
                                     .most = 64,
                                     .help = "connections of one key" },
    [CONF_HANDSHAKES_PER_S] = { .path = "listen/handshakes_per_s",
                                .kind = CONFIG_COUNT,
                                .initial = "200",
                                .least = 1,
                                .most = 10000,
                                .help = "handshakes of known keys, all together" },
    [CONF_HANDSHAKE_TIMEOUT] = { .path = "listen/handshake_timeout",
                                 .kind = CONFIG_DURATION,
                                 .initial = "5s",
                                 .least = 500,
                                 .most = 30 * SECOND,
                                 .restart = true,
                                 .help = "a handshake must be done by then" },
    [CONF_CIRCLE] = { .path = "enrol/circle",
                      .kind = CONFIG_NAME,
                      .initial = "home",
                      .help = "circle of an invite without --circle" },
    [CONF_INVITE_TTL] = { .path = "enrol/invite_ttl",
                          .kind = CONFIG_DURATION,
                          .initial = "1h",
                          .least = MINUTE,
                          .most = 30 * DAY,
                          .help = "life of an unused invite" },
    [CONF_CERTIFICATE_TTL] = { .path = "enrol/certificate_ttl",
                               .kind = CONFIG_DURATION,
                               .initial = "24h",
                               .least = 5 * MINUTE,
                               .most = 30 * DAY,
                               .help = "life of a certificate" },
    [CONF_STORE_FILE] = { .path = "store/file",
                          .kind = CONFIG_PATH,
                          .initial = "broker.db",
                          .most = 64,
                          .restart = true,
                          .refuse = refuse_file_name,
                          .help = "the database, in broker/state" },
    [CONF_MAX_SIZE] = { .path = "store/max_size",
                        .kind = CONFIG_BYTES,
                        .initial = "4GiB",
                        .least = 64 * MIB,
                        .most = 1024 * GIB,
                        .help = "most that the database may be; new mail is refused from 80 % on" },
    [CONF_DISK_FLOOR] = { .path = "store/disk_floor",
                          .kind = CONFIG_BYTES,
                          .initial = "256MiB",
                          .least = 16 * MIB,
                          .most = 1024 * GIB,
                          .help = "free disk below which new mail is refused" },
    [CONF_BALLAST] = { .path = "store/ballast",
                       .kind = CONFIG_BYTES,
                       .initial = "64MiB",
                       .least = 0,
                       .most = GIB,
                       .restart = true,
                       .help = "file given away when the disk is full" },
    [CONF_WAL_ALARM] = { .path = "store/wal_alarm",
                         .kind = CONFIG_BYTES,
                         .initial = "64MiB",
                         .least = 8 * MIB,
                         .most = 4 * GIB,
                         .help = "size of the log that is told" },
    [CONF_QUEUE_FRAMES] = { .path = "quota/queue_frames",
                            .kind = CONFIG_COUNT,
                            .initial = "10000",
                            .least = 1,
                            .most = 10000000,
                            .help = "frames that may wait in one stream" },
    [CONF_QUEUE_BYTES] = { .path = "quota/queue_bytes",
                           .kind = CONFIG_BYTES,
                           .initial = "256MiB",
                           .least = MIB,
                           .most = 64 * GIB,
                           .help = "and their bytes" },
    [CONF_PAIR_FRAMES] = { .path = "quota/pair_frames",
                           .kind = CONFIG_COUNT,
                           .initial = "1000",
                           .least = 1,
                           .most = 1000000,
                           .help = "of one sender in one stream, all its sessions together" },
    [CONF_PAIR_BYTES] = { .path = "quota/pair_bytes",
                          .kind = CONFIG_BYTES,
                          .initial = "64MiB",
                          .least = 128 * KIB,
                          .most = 16 * GIB,
                          .help = "and their bytes" },
    [CONF_REQUESTS] = { .path = "quota/requests",
                        .kind = CONFIG_COUNT,
                        .initial = "100",
                        .least = 1,
                        .most = 10000,
                        .help = "requests held for one recipient" },
    [CONF_REQUEST_BYTES] = { .path = "quota/request_bytes",
                             .kind = CONFIG_BYTES,
                             .initial = "4MiB",
                             .least = 128 * KIB,
                             .most = GIB,
                             .help = "and their bytes" },
    [CONF_REQUESTS_OPEN] = { .path = "quota/requests_open",
                             .kind = CONFIG_COUNT,
                             .initial = "20",
                             .least = 1,
                             .most = 10000,
                             .help = "unanswered requests of one sender" },
    [CONF_SEND_PER_S] = { .path = "quota/send_per_s",
                          .kind = CONFIG_COUNT,
                          .initial = "50",
                          .least = 1,
                          .most = 100000,
                          .help = "frames a second of one sender" },
    [CONF_SEND_BURST] = { .path = "quota/send_burst",
                          .kind = CONFIG_COUNT,
                          .initial = "500",
                          .least = 1,
                          .most = 100000,
                          .help = "and at once" },
    [CONF_PREKEYS_PER_H] = { .path = "quota/prekeys_per_h",
                             .kind = CONFIG_COUNT,
                             .initial = "30",
                             .least = 1,
                             .most = 100000,
                             .help = "one-time prekeys an hour for one requester" },
    [CONF_FRAME_TTL_MAX] = { .path = "frame/ttl_max",
                             .kind = CONFIG_DURATION,
                             .initial = "30d",
                             .least = HOUR,
                             .most = 30 * DAY,
                             .help = "longest life of a frame" },
    [CONF_GROUP_MEMBERS] = { .path = "group/members_max",
                             .kind = CONFIG_COUNT,
                             .initial = "1024",
                             .least = 2,
                             .most = 10000,
                             .help = "members and invited agents of one group" },
    [CONF_BLOB_SIZE_MAX] = { .path = "blob/size_max",
                             .kind = CONFIG_BYTES,
                             .initial = "1GiB",
                             .least = 65536,
                             .most = 64 * GIB,
                             .help = "largest file, sealed" },
    [CONF_BLOB_AGENT_BYTES] = { .path = "blob/agent_bytes",
                                .kind = CONFIG_BYTES,
                                .initial = "2GiB",
                                .least = MIB,
                                .most = 1024 * GIB,
                                .help = "all files of one sender" },
    [CONF_BLOB_TTL] = { .path = "blob/ttl",
                        .kind = CONFIG_DURATION,
                        .initial = "7d",
                        .least = HOUR,
                        .most = 30 * DAY,
                        .help = "longest life of a file" },
    [CONF_CONTROL_SOCKET] = { .path = "control/socket",
                              .kind = CONFIG_PATH,
                              .initial = "control.sock",
                              .restart = true,
                              .help = "socket of sealpostctl; relative to broker/state" },
    [CONF_CONTROL_GROUP] = { .path = "control/group",
                             .kind = CONFIG_TEXT,
                             .least = 1,
                             .most = 64,
                             .restart = true,
                             .help = "group that may operate the broker, besides owner and root" },
    [CONF_LOG_LEVEL] = { .path = "log/level",
                         .kind = CONFIG_CHOICE,
                         .initial = "info",
                         .choices = "error warn info debug",
                         .help = "error, warn, info or debug" },
    [CONF_LOG_FORMAT] = { .path = "log/format",
                          .kind = CONFIG_CHOICE,
                          .initial = "logfmt",
                          .choices = "logfmt json",
                          .help = "logfmt or json" },
    [CONF_LOG_PER_EVENT] = { .path = "log/per_event",
                             .kind = CONFIG_COUNT,
                             .initial = "10",
                             .least = 1,
                             .most = 10000,
                             .help = "lines a second of one event" },
    [CONF_GRACE] = { .path = "shutdown/grace",
                     .kind = CONFIG_DURATION,
                     .initial = "5s",
                     .least = SECOND,
                     .most = MINUTE,
                     .help = "how long a stop may take" },
};

struct config *broker_config_new(void)
{
    return config_new(keys, CONF_COUNT);
}

void broker_config_write(const struct config *config, struct buf *out)
{
    config_write(
        config,
        bytes_of_text("#   sealpostd.conf - settings of the broker; see sealpostd.conf(5)\n"
                      "#\n"
                      "#   Sections, then keys with exactly 4 spaces. Unknown keys are errors.\n"
                      "#   A key behind # has the value shown. (restart): not by reload.\n"
                      "\n"),
        out);
}

void broker_config_flow(const struct config *config, struct flow_settings *out)
{
    flow_settings_default(out);
    snprintf(out->broker_name, sizeof out->broker_name, "%s", config_text(config, CONF_NAME));
    snprintf(out->default_circle, sizeof out->default_circle, "%s",
             config_text(config, CONF_CIRCLE));
    out->invite_ttl_ms = config_number(config, CONF_INVITE_TTL);
    out->certificate_ttl_ms = config_number(config, CONF_CERTIFICATE_TTL);
    out->queue_frames = config_number(config, CONF_QUEUE_FRAMES);
    out->queue_bytes = config_number(config, CONF_QUEUE_BYTES);
    out->pair_frames = config_number(config, CONF_PAIR_FRAMES);
    out->pair_bytes = config_number(config, CONF_PAIR_BYTES);
    out->requests = config_number(config, CONF_REQUESTS);
    out->request_bytes = config_number(config, CONF_REQUEST_BYTES);
    out->requests_open = config_number(config, CONF_REQUESTS_OPEN);
    out->send_per_s = config_number(config, CONF_SEND_PER_S);
    out->send_burst = config_number(config, CONF_SEND_BURST);
    out->prekeys_per_h = config_number(config, CONF_PREKEYS_PER_H);
    out->group_members = config_number(config, CONF_GROUP_MEMBERS);
    out->frame_ttl_max_ms = config_number(config, CONF_FRAME_TTL_MAX);
    out->blob_size_max = config_number(config, CONF_BLOB_SIZE_MAX);
    out->blob_agent_bytes = config_number(config, CONF_BLOB_AGENT_BYTES);
    out->blob_ttl_ms = config_number(config, CONF_BLOB_TTL);
    out->store_max_bytes = config_number(config, CONF_MAX_SIZE);
    out->disk_floor_bytes = config_number(config, CONF_DISK_FLOOR);
    out->wal_alarm_bytes = config_number(config, CONF_WAL_ALARM);
}

void broker_config_gate(const struct config *config, struct gate_limits *out)
{
    out->handshakes_per_s = config_number(config, CONF_HANDSHAKES_PER_S);
    out->connections = config_number(config, CONF_CONNECTIONS);
    out->connections_per_agent = config_number(config, CONF_CONNECTIONS_PER_AGENT);
}

void broker_config_log(const struct config *config)
{
    log_setup((enum log_level)config_number(config, CONF_LOG_LEVEL),
              (enum log_format)config_number(config, CONF_LOG_FORMAT),
              (unsigned)config_number(config, CONF_LOG_PER_EVENT));
}
