#include "agent/api/settings.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "shared/base/files.h"
#include "shared/base/text.h"
#include "shared/cli/places.h"

#define SETTINGS_MAX_LEN 65536
#define HOUR_MS          UINT64_C(3600000)
#define DAY_MS           (24 * HOUR_MS)

/* HOST:PORT, [IPv6]:PORT */
static const char *refuse_address(const char *text)
{
    const char *colon = strrchr(text, ':'), *host_end = colon;
    uint64_t port;

    if (!colon || colon == text || count_parse(&port, colon + 1) != ERR_OK || port < 1
        || port > 65535)
        return "is not HOST:PORT";
    if (text[0] == '[' ? host_end[-1] != ']' : strchr(text, ':') != colon)
        return "is not HOST:PORT; an IPv6 address stands in brackets";
    if (strpbrk(text, " /@#\""))
        return "is not HOST:PORT";
    return NULL;
}

enum {
    KEY_BROKER,
    KEY_CONSENT,
    KEY_ACCEPT,
    KEY_TRUST,
    KEY_SEND_TO,
    KEY_CIPHER,
    KEY_TTL,
    KEY_INBOX,
    KEY_SENT,
    KEY_DEAD,
    KEY_DESCRIPTION,
    KEY_METHODS,
    KEY_SCHEDULE,
    KEY_COUNT
};

static const struct config_key keys[KEY_COUNT] = {
    [KEY_BROKER] = { .path = "broker",
                     .kind = CONFIG_TEXT,
                     .least = 1,
                     .most = 262,
                     .help = "HOST:PORT, if the same broker has moved",
                     .refuse = refuse_address },
    [KEY_CONSENT] = { .path = "consent",
                      .kind = CONFIG_CHOICE,
                      .initial = "circle",
                      .choices = "ask circle any",
                      .help = "whose first message is accepted at once" },
    [KEY_ACCEPT] = { .path = "accept_names",
                     .kind = CONFIG_TEXT,
                     .most = 1024,
                     .help = "names accepted at once: globs, words" },
    [KEY_TRUST] = { .path = "trust",
                    .kind = CONFIG_CHOICE,
                    .initial = "pinned",
                    .choices = "pinned verified",
                    .help = "verified: talk only with agents whose fingerprint was compared" },
    [KEY_SEND_TO] = { .path = "send_to",
                      .kind = CONFIG_TEXT,
                      .initial = "*",
                      .most = 1024,
                      .help = "whom this agent may write to: globs, words" },
    [KEY_CIPHER] = { .path = "cipher",
                     .kind = CONFIG_CHOICE,
                     .initial = "auto",
                     .choices = "auto chacha20 aes256",
                     .help = "the cipher of new sessions" },
    [KEY_TTL] = { .path = "ttl",
                  .kind = CONFIG_DURATION,
                  .initial = "7d",
                  .least = 60000,
                  .most = 30 * DAY_MS,
                  .help = "how long a message may wait" },
    [KEY_INBOX] = { .path = "inbox.keep",
                    .kind = CONFIG_DURATION,
                    .initial = "30d",
                    .most = 3650 * DAY_MS,
                    .help = "how long done mail stays; 0: not at all" },
    [KEY_SENT] = { .path = "sent.keep",
                   .kind = CONFIG_DURATION,
                   .initial = "7d",
                   .most = 3650 * DAY_MS,
                   .help = "how long delivered messages stay" },
    [KEY_DEAD] = { .path = "dead.keep",
                   .kind = CONFIG_DURATION,
                   .initial = "30d",
                   .most = 3650 * DAY_MS,
                   .help = "how long dead letters stay" },
    [KEY_DESCRIPTION] = { .path = "card.description",
                          .kind = CONFIG_TEXT,
                          .most = 256,
                          .help = "published: what this agent does" },
    [KEY_METHODS] = { .path = "card.methods",
                      .kind = CONFIG_TEXT,
                      .most = 512,
                      .help = "published: what it can be asked for, words" },
    [KEY_SCHEDULE] = { .path = "card.schedule",
                       .kind = CONFIG_TEXT,
                       .most = 128,
                       .help = "published: when it looks at its mail" },
};

struct config *settings_defaults(void)
{
    return config_new(keys, KEY_COUNT);
}

struct config *settings_read(const struct profile *profile, struct failure *failure)
{
    struct config *config = settings_defaults();
    char *file = place_join(profile->dir, PROFILE_SETTINGS);

    if (config_read(config, file, true) != ERR_OK) {
        const struct config_problem *problem = config_problem_at(config, 0);
        struct buf text = { 0 };

        config_problem_text(&text, file, problem);
        failure_set(failure, 1, "bad_config", problem->hint[0] ? problem->hint : NULL, "%.*s",
                    (int)text.len, (const char *)text.at);
        buf_free(&text);
        config_free(&config);
    }
    free(file);
    return config;
}

void settings_take(const struct config *config, struct agent_settings *out)
{
    agent_settings_default(out);
    if (config_text(config, KEY_BROKER)[0])
        snprintf(out->endpoint, sizeof out->endpoint, "tcp://%s", config_text(config, KEY_BROKER));
    out->consent = (enum agent_consent)config_number(config, KEY_CONSENT);
    out->trust_verified = config_number(config, KEY_TRUST) == 1;
    out->cipher = (enum agent_cipher)config_number(config, KEY_CIPHER);
    snprintf(out->accept_names, sizeof out->accept_names, "%s", config_text(config, KEY_ACCEPT));
    snprintf(out->send_to, sizeof out->send_to, "%s", config_text(config, KEY_SEND_TO));
    out->ttl_ms = config_number(config, KEY_TTL);
    out->inbox_keep_ms = config_number(config, KEY_INBOX);
    out->sent_keep_ms = config_number(config, KEY_SENT);
    out->dead_keep_ms = config_number(config, KEY_DEAD);
    snprintf(out->description, sizeof out->description, "%s", config_text(config, KEY_DESCRIPTION));
    snprintf(out->methods, sizeof out->methods, "%s", config_text(config, KEY_METHODS));
    snprintf(out->schedule, sizeof out->schedule, "%s", config_text(config, KEY_SCHEDULE));
}

bool settings_load(const struct profile *profile, struct agent_settings *out,
                   struct failure *failure)
{
    struct config *config = settings_read(profile, failure);

    if (!config)
        return false;
    settings_take(config, out);
    config_free(&config);
    return true;
}

enum err settings_change(const struct profile *profile, const char *key, const char *value)
{
    int guard = open(profile->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct buf text = { 0 };
    enum err e;

    if (guard < 0 || flock(guard, LOCK_EX) != 0) {
        if (guard >= 0)
            close(guard);
        return ERR_IO;
    }
    e = file_read_secret(profile->dir_fd, PROFILE_SETTINGS, SETTINGS_MAX_LEN, &text);
    if (e == ERR_OK || e == ERR_NOT_FOUND) {
        config_change_line(&text, key, value);
        e = file_write(profile->dir_fd, PROFILE_SETTINGS, 0600, buf_bytes(&text));
    }
    buf_free(&text);
    close(guard);
    return e;
}
