#include "broker/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sysexits.h>
#include <unistd.h>

#include "broker/config.h"
#include "broker/controller/controller.h"
#include "broker/edge/loop.h"
#include "broker/notify.h"
#include "broker/reload.h"
#include "broker/state.h"
#include "broker/store/store.h"
#include "shared/base/clock.h"
#include "shared/base/files.h"
#include "shared/base/log.h"
#include "shared/base/real.h"
#include "shared/cli/places.h"
#include "shared/net/socket.h"

#define DESCRIPTORS_FREE 64
#define STATUS_EVERY_S   10

int broker_exit_code(enum err e)
{
    switch ((int)e) {
    case ERR_OK:
        return EX_OK;
    case ERR_EXISTS:
        return EX_CANTCREAT;
    case ERR_LOCKED:
        return EX_TEMPFAIL;
    case ERR_UNSAFE:
        return EX_NOPERM;
    case ERR_NOT_FOUND:
    case ERR_MALFORMED:
    case ERR_FILESYSTEM:
    case ERR_STORE_NEWER:
        return EX_CONFIG;
    case ERR_IO:
    case ERR_STORE:
    case ERR_STORE_FULL:
        return EX_IOERR;
    case ERR_UNSUPPORTED:
    case ERR_UNREACHABLE:
    case ERR_AUTH:
        return EX_OSERR;
    default:
        return EX_SOFTWARE;
    }
}

char *broker_config_file(struct cli *cli)
{
    const char *given = cli_flag(cli, "config");

    return given ? strdup(given) : place_broker_config();
}

bool broker_descriptors(uint64_t connections)
{
    uint64_t need = connections + DESCRIPTORS_FREE;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return false;
    if (limit.rlim_cur < need && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max < 65536 || limit.rlim_max < need
                             ? limit.rlim_max
                             : (need > 65536 ? need : 65536);
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
            return false;
    }
    return limit.rlim_cur >= need;
}

/* ---- ports of the flow ----------------------------------------------------------------------- */

static void port_hand_out(void *ctx, struct outgoing *out)
{
    struct broker *broker = ctx;

    loop_hand_out(broker->loop, out);
}

static uint64_t port_disk_free(void *ctx)
{
    const struct broker *broker = ctx;
    struct statvfs fs;

    if (fstatvfs(broker->state.fd, &fs) != 0)
        return UINT64_MAX;
    return (uint64_t)fs.f_bavail * fs.f_frsize;
}

/* ---- what the loop leaves to us -------------------------------------------------------------- */

static void ask_status(struct broker *broker)
{
    loop_command(broker->loop, 0, geteuid(), bytes_of_text("{\"verb\":\"status\"}"));
}

static void on_second(void *ctx)
{
    struct broker *broker = ctx;

    if (broker->watchdog && loop_store_answers(broker->loop))
        notify_systemd("WATCHDOG=1");
    if (++broker->seconds % STATUS_EVERY_S == 0)
        ask_status(broker);
}

static void on_summary(void *ctx)
{
    struct broker *broker = ctx;

    broker->want_summary = true;
    ask_status(broker);
}

static void on_stopping(void *ctx)
{
    (void)ctx;
    notify_systemd("STOPPING=1");
}

static uint64_t number_of(const json_t *object, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(object, key));
}

static void log_summary(struct broker *broker, const json_t *status)
{
    struct loop_counts counts;

    loop_counts(broker->loop, &counts);
    log_event(LOG_INFO, "summary",
              "online=%llu frames=%llu bytes=%llu accepted=%llu delivered=%llu expired=%llu "
              "refused=%llu connections=%zu messages=%llu dropped=%llu malformed=%llu busy=%llu "
              "strangers=%llu",
              (unsigned long long)number_of(status, "online"),
              (unsigned long long)number_of(status, "frames"),
              (unsigned long long)number_of(status, "bytes"),
              (unsigned long long)number_of(status, "accepted_total"),
              (unsigned long long)number_of(status, "delivered_total"),
              (unsigned long long)number_of(status, "expired_total"),
              (unsigned long long)number_of(status, "refused_total"), counts.connections,
              (unsigned long long)counts.listener.messages,
              (unsigned long long)counts.listener.dropped,
              (unsigned long long)counts.listener.malformed,
              (unsigned long long)counts.listener.busy, (unsigned long long)counts.gate.unknown);
}

/* A status that we asked for ourselves. */
static void on_answer(void *ctx, struct bytes lines)
{
    struct broker *broker = ctx;
    json_t *status = json_loadb((const char *)lines.at, lines.len, JSON_DISABLE_EOF_CHECK, NULL);
    char text[160], age[SHORT_TEXT_SIZE];

    if (!json_is_object(status)) {
        json_decref(status);
        return;
    }
    if (number_of(status, "frames"))
        duration_text(age, number_of(status, "oldest_ms"));
    else
        snprintf(age, sizeof age, "-");
    snprintf(text, sizeof text, "STATUS=%llu agents online, %llu frames, oldest %s",
             (unsigned long long)number_of(status, "online"),
             (unsigned long long)number_of(status, "frames"), age);
    notify_systemd(text);
    if (broker->want_summary)
        log_summary(broker, status);
    broker->want_summary = false;
    json_decref(status);
}

/* ---- start ----------------------------------------------------------------------------------- */

static int fail(struct broker *broker, enum err e, const char *what, const char *hint)
{
    return out_fail(broker->cli, broker_exit_code(e),
                    e == ERR_UNSAFE                                        ? "unsafe_permissions"
                    : e == ERR_LOCKED                                      ? "already_running"
                    : e == ERR_FILESYSTEM                                  ? "bad_filesystem"
                    : e == ERR_NOT_FOUND                                   ? "not_initialised"
                    : e == ERR_STORE_NEWER                                 ? "database_newer"
                    : e == ERR_AUTH                                        ? "self_test_failed"
                    : e == ERR_STORE || e == ERR_IO || e == ERR_STORE_FULL ? "store_error"
                                                                           : "system",
                    hint, "%s: %s", what, err_text(e));
}

static int read_config(struct broker *broker)
{
    struct config_problem why;
    enum err e = state_check_config(broker->start.config_file);
    const char *group;

    if (e != ERR_OK)
        return fail(broker, e, broker->start.config_file, "chmod go-w on that file");
    broker->config = broker_config_new();
    broker->started = broker_config_new();
    if (config_read(broker->config, broker->start.config_file, false) != ERR_OK)
        return config_report(broker->cli, broker->config, broker->start.config_file);
    group = config_text(broker->config, CONF_CONTROL_GROUP);
    config_read(broker->started, broker->start.config_file, false);
    if (apply_flags(broker->config, &broker->start, &why) != ERR_OK)
        return out_usage(broker->cli, "bad_value", NULL, "%s: %s", why.key, why.message);
    broker_config_log(broker->config);
    if (*group && !getgrnam(group))
        return out_fail(broker->cli, EX_CONFIG, "bad_config", NULL,
                        "control/group: no group \"%s\"", group);
    if (!broker_descriptors(config_number(broker->config, CONF_CONNECTIONS)))
        return out_fail(broker->cli, EX_CONFIG, "bad_config", "raise the limit of open files",
                        "%s: listen/connections: too many for the limit of open files",
                        broker->start.config_file);
    return 0;
}

static int open_state(struct broker *broker)
{
    enum err e = state_open(&broker->state, broker->start.config_file, broker->config);

    if (e == ERR_OK)
        return 0;
    return fail(broker, e, broker->state.what,
                e == ERR_NOT_FOUND ? "sealpostd init"
                : e == ERR_UNSAFE  ? "chmod 700 keys, chmod 600 keys/*; the owner must be this user"
                                   : NULL);
}

static void store_settings(const struct broker *broker, struct store_options *out)
{
    const struct config *config = broker->config;

    store_options_default(out);
    out->dir = broker->state.dir;
    out->file = config_text(config, CONF_STORE_FILE);
    out->now_ms = clock_now_ms();
    out->elapsed_ms = clock_elapsed_ms();
    out->random = real_random;
    out->max_bytes = config_number(config, CONF_MAX_SIZE);
    out->disk_floor_bytes = config_number(config, CONF_DISK_FLOOR);
    out->ballast_bytes = config_number(config, CONF_BALLAST);
    out->wal_alarm_bytes = config_number(config, CONF_WAL_ALARM);
}

static int open_store(struct broker *broker)
{
    struct controller_settings settings;
    struct store_options options;
    enum err e;

    store_settings(broker, &options);
    e = store_open(&broker->store, &options);
    if (e != ERR_OK)
        return fail(broker, e, options.file,
                    e == ERR_LOCKED      ? "sealpostctl status"
                    : e == ERR_NOT_FOUND ? "sealpostd init"
                                         : NULL);
    log_event(LOG_INFO, "store_opened", "file=%s", log_value(options.file));
    controller_settings_default(&settings);
    settings.certificate_ttl_ms = config_number(broker->config, CONF_CERTIFICATE_TTL);
    settings.invite_ttl_ms = config_number(broker->config, CONF_INVITE_TTL);
    snprintf(settings.default_circle, sizeof settings.default_circle, "%s",
             config_text(broker->config, CONF_CIRCLE));
    memcpy(settings.curve_pk, broker->state.curve.public_key, sizeof settings.curve_pk);
    e = controller_open(&broker->controller, broker->store, broker->state.signer, &settings);
    return e == ERR_OK ? 0
                       : fail(broker, e == ERR_CONFLICT ? ERR_STORE : e, "certificate log", NULL);
}

static int open_edge(struct broker *broker)
{
    const struct flow_ports ports
        = { broker, real_now_ms, real_elapsed_ms, real_random, port_hand_out, port_disk_free };
    struct loop_options options
        = { .keys = &broker->state.curve,
            .handshake_ms = (int)config_number(broker->config, CONF_HANDSHAKE_TIMEOUT),
            .hooks = { broker, reload_order, reload_command, on_answer, on_summary, on_second,
                       on_stopping } };
    struct flow_settings settings;
    enum err e;

    broker_config_gate(broker->config, &options.limits);
    e = loop_open(&broker->loop, &options);
    if (e != ERR_OK)
        return fail(broker, e, "sockets", NULL);
    settings_of(broker, &settings);
    e = flow_open(&broker->flow, broker->store, broker->controller, &ports, &settings);
    return e == ERR_OK ? 0 : fail(broker, e, "directory", NULL);
}

static int listen_on(struct broker *broker)
{
    const char *endpoints[8];
    struct flow_settings settings;
    size_t count = config_lines(broker->config, CONF_ENDPOINT);
    enum err e;

    for (size_t i = 0; i < count; i++)
        endpoints[i] = config_text_at(broker->config, CONF_ENDPOINT, (unsigned)i);
    e = loop_listen(broker->loop, &broker->state.curve, endpoints, count);
    if (e == ERR_UNSUPPORTED)
        return out_fail(broker->cli, EX_OSERR, "system", "is another program listening there?",
                        "%s: cannot listen there", endpoints[0]);
    if (e != ERR_OK)
        return fail(broker, e, endpoints[0], NULL);
    for (size_t i = 0; loop_endpoint(broker->loop, i); i++)
        log_event(LOG_INFO, "listening", "addr=%s", loop_endpoint(broker->loop, i));
    settings_of(broker, &settings); /* now with the address that was bound */
    flow_configure(broker->flow, &settings);
    e = loop_start(broker->loop, broker->flow);
    return e == ERR_OK ? 0 : fail(broker, e, "store actor", NULL);
}

static int open_control(struct broker *broker)
{
    const char *path = config_text(broker->config, CONF_CONTROL_SOCKET);
    const char *name = config_text(broker->config, CONF_CONTROL_GROUP), *slash;
    const struct group *group = *name ? getgrnam(name) : NULL;
    char *full = *path == '/' ? strdup(path) : place_join(broker->state.dir, path);
    char *dir = dir_of(full);
    int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    enum err e = ERR_NOT_FOUND;
    int code;

    slash = strrchr(full, '/');
    if (dir_fd >= 0)
        e = loop_control(broker->loop, dir_fd, slash + 1, group ? group->gr_gid : (gid_t)-1);
    code = e == ERR_OK ? 0 : fail(broker, e == ERR_EXISTS ? ERR_LOCKED : e, full, NULL);
    if (dir_fd >= 0)
        close(dir_fd);
    free(dir);
    free(full);
    return code;
}

static void say_ready(struct broker *broker)
{
    log_event(LOG_INFO, "ready", "ms=%llu",
              (unsigned long long)(clock_elapsed_ms() - broker->began_ms));
    notify_systemd("READY=1");
    if (broker->start.ready_fd >= 0) {
        if (write(broker->start.ready_fd, "\n", 1) < 0)
            log_event(LOG_WARN, "ready", "reason=ready_fd_closed");
        close(broker->start.ready_fd);
    }
}

static void block_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void leave_at_once(int number)
{
    (void)number;
    _exit(0);
}

/* The loop is gone: a second TERM ends the process here. */
static void listen_for_haste(void)
{
    sigset_t set;

    signal(SIGTERM, leave_at_once);
    signal(SIGINT, leave_at_once);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static int open_all(struct broker *broker)
{
    int (*const steps[])(struct broker *)
        = { read_config, open_state, open_store, open_edge, listen_on, open_control };
    int code = 0;

    for (size_t i = 0; i < sizeof steps / sizeof steps[0] && code == 0; i++)
        code = steps[i](broker);
    return code;
}

/* The control connections last: their end says that the lock is free. */
static void close_all(struct broker *broker)
{
    if (broker->loop)
        loop_abandon(broker->loop);
    flow_close(&broker->flow);
    controller_close(&broker->controller);
    store_close(&broker->store);
    loop_close(&broker->loop);
    net_end();
    state_close(&broker->state);
    config_free(&broker->config);
    config_free(&broker->started);
}

int broker_run(struct cli *cli, const struct broker_start *start)
{
    struct broker broker = { .cli = cli,
                             .start = *start,
                             .state = { .fd = -1, .keys_fd = -1 },
                             .began_ms = clock_elapsed_ms(),
                             .watchdog = notify_watchdog_ms() > 0 };
    enum err e;
    int code;

    net_start();
    block_signals();
    log_event(LOG_INFO, "starting", "version=%s file=%s", SEALPOST_VERSION,
              log_value(start->config_file));
    code = open_all(&broker);
    if (code == 0) {
        say_ready(&broker);
        e = loop_run(broker.loop, config_number(broker.config, CONF_GRACE));
        listen_for_haste();
        code = broker_exit_code(e);
    }
    close_all(&broker);
    if (code == 0)
        log_event(LOG_INFO, "stopped", "code=0");
    return code;
}
