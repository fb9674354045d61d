#include "agent/api/profile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/store/key.h"
#include "shared/base/files.h"
#include "shared/base/log.h"
#include "shared/base/text.h"
#include "shared/cli/places.h"

#define POINTER  ".sealpost"
#define IDENTITY "identity"

static const char *const private_files[]
    = { "agent.db", "agent.db-wal", "agent.key", PROFILE_SETTINGS, PROFILE_LOCK, IDENTITY };

static char *agents_dir(void)
{
    char *home = place_home(), *dir = home ? place_join(home, "agents") : NULL;

    free(home);
    return dir;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char **profile_list(size_t *count)
{
    char *agents = agents_dir(), **names = NULL;
    DIR *dir = agents ? opendir(agents) : NULL;
    const struct dirent *entry;

    *count = 0;
    while (dir && (entry = readdir(dir))) {
        char file[NAME_MAX + 32];

        snprintf(file, sizeof file, "%s/%s", entry->d_name, IDENTITY);
        if (!name_valid(bytes_of_text(entry->d_name)) || faccessat(dirfd(dir), file, F_OK, 0) != 0)
            continue;
        names = mem_resize(names, (*count + 1) * sizeof *names);
        names[(*count)++] = (char *)mem_copy(bytes_of(entry->d_name, strlen(entry->d_name) + 1));
    }
    if (dir)
        closedir(dir);
    free(agents);
    if (*count)
        qsort(names, *count, sizeof *names, by_name);
    return names;
}

void profile_list_free(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

/* ------------------------------------------------------------------ which one */

/* First line of the pointer that is neither empty nor a comment. */
static bool pointer_line(const struct buf *text, char out[static 256])
{
    size_t at = 0;

    while (at < text->len) {
        const char *line = (const char *)text->at + at;
        size_t len = text->len - at;
        const char *end = memchr(line, '\n', len);

        len = end ? (size_t)(end - line) : len;
        at += len + 1;
        while (len && (line[0] == ' ' || line[0] == '\t'))
            line++, len--;
        while (len && strchr(" \t\r", line[len - 1]))
            len--;
        if (len == 0 || line[0] == '#' || len > 255)
            continue;
        memcpy(out, line, len);
        out[len] = 0;
        return true;
    }
    return false;
}

/* Whoever can write the pointer chooses under whose name we speak: it must be ours alone. */
static bool pointer_is_safe(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid()
           && !(st.st_mode & 022);
}

/* The first good `.sealpost` from the working directory up. */
static bool pointer_find(char name[static 256], char note[static 256])
{
    char dir[PATH_MAX - 16], path[PATH_MAX];
    struct buf text = { 0 };
    bool found = false;

    if (!getcwd(dir, sizeof dir))
        return false;
    while (!found) {
        snprintf(path, sizeof path, "%s/%s", strcmp(dir, "/") == 0 ? "" : dir, POINTER);
        if (access(path, F_OK) == 0 || errno != ENOENT) {
            if (!pointer_is_safe(path))
                snprintf(note, 256, "%.180s is ignored: a link, not ours, or writable for others",
                         path);
            else if (file_read(path, 4096, &text) == ERR_OK)
                found = pointer_line(&text, name);
        }
        if (strcmp(dir, "/") == 0)
            break;
        *strrchr(dir, '/') = 0;
        if (!dir[0])
            strcpy(dir, "/");
    }
    buf_free(&text);
    return found;
}

static void unspecified(struct failure *failure, char **names, size_t count)
{
    struct buf hint = { 0 };

    if (count == 0) {
        failure_set(failure, 6, "no_profile", "sealpost join INVITE", "no agent has joined here");
        return;
    }
    buf_append(&hint, "-a with one of:", 15);
    for (size_t i = 0; i < count; i++) {
        buf_append(&hint, " ", 1);
        buf_append(&hint, names[i], strlen(names[i]));
    }
    buf_append(&hint, "", 1);
    failure_set(failure, 6, "profile_unspecified", (const char *)hint.at,
                "%zu agents live here: which one is meant?", count);
    buf_free(&hint);
}

bool profile_choose(struct profile *out, const char *wanted, char note[static 256],
                    struct failure *failure)
{
    const char *name = wanted, *from_environment = getenv("SEALPOST_AGENT");
    char pointer[256];
    size_t count = 0;
    char **names = NULL;
    bool ok;

    note[0] = 0;
    *out = (struct profile){ .dir_fd = -1, .lock_fd = -1 };
    if (!name && from_environment && *from_environment)
        name = from_environment;
    if (!name && pointer_find(pointer, note))
        name = pointer;
    if (!name) {
        names = profile_list(&count);
        if (count == 1)
            name = names[0];
        else
            unspecified(failure, names, count);
    }
    ok = name && profile_name(out, name, failure) && profile_open(out, failure);
    profile_list_free(names, count);
    return ok;
}

bool profile_name(struct profile *out, const char *name, struct failure *failure)
{
    char *agents;

    *out = (struct profile){ .dir_fd = -1, .lock_fd = -1 };
    if (!name_valid(bytes_of_text(name))) {
        failure_set(failure, 2, "name_invalid", NULL,
                    "\"%.64s\" is no profile name: a-z 0-9 . _ -, at most 64 characters", name);
        return false;
    }
    agents = agents_dir();
    if (!agents) {
        failure_set(failure, 6, "no_profile", "set HOME or SEALPOST_HOME", "there is no HOME");
        return false;
    }
    out->name = (char *)mem_copy(bytes_of(name, strlen(name) + 1));
    out->dir = place_join(agents, name);
    free(agents);
    return true;
}

/* ------------------------------------------------------------------ may it be trusted */

static bool file_is_private(const struct profile *profile, const char *name,
                            struct failure *failure)
{
    char path[PATH_MAX], hint[PATH_MAX + 16];
    struct stat st;

    if (fstatat(profile->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return true; /* what is missing is missed later */
    if (S_ISREG(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & 077))
        return true;
    snprintf(path, sizeof path, "%s/%s", profile->dir, name);
    snprintf(hint, sizeof hint, "chmod 600 %.200s", path);
    if (!S_ISREG(st.st_mode))
        failure_set(failure, 4, "unsafe_permissions", NULL, "%.300s is no regular file", path);
    else if (st.st_uid != geteuid())
        failure_set(failure, 4, "unsafe_permissions", NULL, "%.300s belongs to another user", path);
    else
        failure_set(failure, 4, "unsafe_permissions", hint, "%.300s is mode %04o", path,
                    (unsigned)st.st_mode & 07777);
    return false;
}

static void dir_failure(const struct profile *profile, enum err e, struct failure *failure)
{
    char hint[300];
    struct stat st;

    if (e == ERR_NOT_FOUND) {
        failure_set(failure, 6, "no_profile", "sealpost whoami --all; sealpost join INVITE",
                    "there is no agent \"%s\" here", profile->name);
    } else if (e == ERR_UNSAFE && stat(profile->dir, &st) == 0) {
        snprintf(hint, sizeof hint, "chmod 700 %.250s", profile->dir);
        failure_set(failure, 4, "unsafe_permissions", st.st_uid == geteuid() ? hint : NULL,
                    "%.300s is mode %04o%s", profile->dir, (unsigned)st.st_mode & 07777,
                    st.st_uid == geteuid() ? "" : " and belongs to another user");
    } else {
        failure_of_err(failure, e, profile->dir);
    }
}

bool profile_open(struct profile *profile, struct failure *failure)
{
    enum err e = dir_open(profile->dir, 0700, &profile->dir_fd);

    if (e == ERR_OK)
        e = dir_check_filesystem(profile->dir_fd);
    if (e != ERR_OK) {
        dir_failure(profile, e, failure);
        return false;
    }
    for (size_t i = 0; i < sizeof private_files / sizeof private_files[0]; i++)
        if (!file_is_private(profile, private_files[i], failure))
            return false;
    return true;
}

bool profile_make(struct profile *profile, struct failure *failure)
{
    enum err e = dir_make(profile->dir, 0700);

    if (e != ERR_OK && e != ERR_EXISTS) { /* an interrupted join is gone on with */
        dir_failure(profile, e, failure);
        return false;
    }
    return profile_open(profile, failure);
}

bool profile_exists(const struct profile *profile)
{
    return access(profile->dir, F_OK) == 0;
}

void profile_close(struct profile *profile)
{
    profile_unlock(profile);
    if (profile->dir_fd >= 0)
        close(profile->dir_fd);
    free(profile->name);
    free(profile->dir);
    sodium_free(profile->key);
    *profile = (struct profile){ .dir_fd = -1, .lock_fd = -1 };
}

/* ------------------------------------------------------------------ who owns it */

enum err profile_lock(struct profile *profile, const char *command)
{
    enum err e = lock_take(profile->dir_fd, PROFILE_LOCK, &profile->lock_fd);
    char note[128];
    int len;

    if (e != ERR_OK)
        return e;
    len = snprintf(note, sizeof note, "%d %.79s\n", (int)getpid(), command);
    if (ftruncate(profile->lock_fd, 0) != 0
        || pwrite(profile->lock_fd, note, (size_t)len, 0) != len)
        return ERR_OK; /* a note for people; the lock itself holds */
    return ERR_OK;
}

void profile_unlock(struct profile *profile)
{
    if (profile->lock_fd >= 0)
        close(profile->lock_fd);
    profile->lock_fd = -1;
}

void profile_owner(const struct profile *profile, pid_t *pid, char command[static 80])
{
    struct buf text = { 0 };
    char *end;

    *pid = 0;
    command[0] = 0;
    if (file_read_secret(profile->dir_fd, PROFILE_LOCK, 256, &text) == ERR_OK && text.len) {
        buf_append(&text, "", 1);
        *pid = (pid_t)strtol((const char *)text.at, &end, 10);
        snprintf(command, 80, "%.*s", (int)strcspn(end + (*end == ' '), "\n"), end + (*end == ' '));
    }
    buf_free(&text);
}

/* ------------------------------------------------------------------ the passphrase */

bool profile_wants_passphrase(const struct profile *profile)
{
    return !profile->key && agent_key_is_wrapped(profile->dir_fd);
}

enum err profile_unwrap(struct profile *profile, struct bytes passphrase)
{
    uint8_t *key = sodium_malloc(AGENT_KEY_SIZE);
    enum err e = key ? agent_key_read(profile->dir_fd, passphrase, key) : ERR_NOMEM;

    if (e == ERR_OK) {
        sodium_free(profile->key);
        profile->key = key;
    } else {
        sodium_free(key);
    }
    return e;
}

enum err profile_protect(struct profile *profile, struct bytes passphrase)
{
    uint8_t key[AGENT_KEY_SIZE];
    enum err e;

    randombytes_buf(key, sizeof key);
    e = agent_key_make(profile->dir_fd, key, passphrase);
    sodium_memzero(key, sizeof key);
    return e == ERR_OK || e == ERR_EXISTS ? profile_unwrap(profile, passphrase) : e;
}

/* ------------------------------------------------------------------ what others may know */

json_t *profile_identity_read(const struct profile *profile)
{
    struct buf text = { 0 };
    json_t *identity = NULL;

    if (file_read_secret(profile->dir_fd, IDENTITY, 8192, &text) == ERR_OK)
        identity = json_loadb((const char *)text.at, text.len, 0, NULL);
    buf_free(&text);
    return identity;
}

enum err profile_identity_write(const struct profile *profile, const json_t *identity)
{
    char *text = json_dumps(identity, JSON_COMPACT | JSON_SORT_KEYS);
    struct buf line = { 0 };
    enum err e;

    if (!text)
        return ERR_INTERNAL;
    buf_append(&line, text, strlen(text));
    buf_append(&line, "\n", 1);
    e = file_write(profile->dir_fd, IDENTITY, 0600, buf_bytes(&line));
    buf_free(&line);
    free(text);
    return e;
}

void profile_erase(struct profile *profile)
{
    static const char *const files[]
        = { IDENTITY,           "agent.db",  "agent.db-wal", "agent.db-shm",
            "agent.db-journal", "agent.key", PROFILE_SOCKET, PROFILE_LOCK };

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        unlinkat(profile->dir_fd, files[i], 0);
    rmdir(profile->dir);
}

void profile_erase_all(struct profile *profile)
{
    static const uint8_t nothing[4096];
    int fd = openat(profile->dir_fd, "agent.key", O_WRONLY | O_NOFOLLOW | O_CLOEXEC);

    /* Without it the rest is noise, wherever the disk keeps old blocks of it. */
    if (fd >= 0) {
        if (write(fd, nothing, sizeof nothing) < 0 || fsync(fd) != 0)
            log_event(LOG_WARN, "erase", "file=agent.key error=\"%s\"", strerror(errno));
        close(fd);
    }
    unlinkat(profile->dir_fd, PROFILE_SETTINGS, 0);
    profile_erase(profile);
}
