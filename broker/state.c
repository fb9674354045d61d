#include "broker/state.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/config.h"
#include "shared/base/files.h"
#include "shared/cli/places.h"

char *dir_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == path ? strdup("/")
           : slash       ? strndup(path, (size_t)(slash - path))
                         : strdup(".");
}

char *state_dir_of(const char *config_file, const char *state)
{
    char *dir, *joined;

    if (*state == '/')
        return strdup(state);
    dir = dir_of(config_file);
    joined = strcmp(state, ".") == 0 ? strdup(dir) : place_join(dir, state);
    free(dir);
    return joined;
}

static enum err fail(struct state *state, enum err e, const char *what)
{
    snprintf(state->what, sizeof state->what, "%s", what);
    return e;
}

static enum err open_dirs(struct state *state)
{
    char *keys;
    enum err e = dir_open(state->dir, STATE_DIR_MODE & 0777, &state->fd);

    if (e != ERR_OK)
        return fail(state, e, state->dir);
    e = dir_check_filesystem(state->fd);
    if (e != ERR_OK)
        return fail(state, e, state->dir);
    keys = place_join(state->dir, "keys");
    e = dir_open(keys, STATE_KEYS_MODE, &state->keys_fd);
    free(keys);
    return e == ERR_OK ? ERR_OK : fail(state, e, "keys");
}

static enum err open_keys(struct state *state)
{
    struct buf secret = { 0 };
    enum err e = file_read_secret(state->keys_fd, "curve.key", CURVE_KEY_LEN, &secret);

    if (e == ERR_OK && secret.len != CURVE_KEY_LEN)
        e = ERR_MALFORMED;
    if (e == ERR_OK)
        curve_from_secret(&state->curve, secret.at);
    buf_wipe(&secret);
    if (e != ERR_OK)
        return fail(state, e == ERR_TOO_LARGE ? ERR_MALFORMED : e, "keys/curve.key");
    e = signer_open(&state->signer, state->keys_fd, "controller.key");
    return e == ERR_OK ? ERR_OK : fail(state, e, "keys/controller.key");
}

enum err state_open(struct state *out, const char *config_file, const struct config *config)
{
    char *dir = state_dir_of(config_file, config_text(config, CONF_STATE));
    enum err e;

    *out = (struct state){ .fd = -1, .keys_fd = -1 };
    out->dir = realpath(dir, NULL); /* SQLite refuses a link anywhere in the path */
    e = out->dir ? ERR_OK : fail(out, errno == ENOENT ? ERR_NOT_FOUND : ERR_UNSAFE, dir);
    free(dir);
    if (e == ERR_OK)
        e = open_dirs(out);
    if (e == ERR_OK)
        e = open_keys(out);
    return e;
}

void state_close(struct state *state)
{
    signer_close(&state->signer);
    curve_wipe(&state->curve);
    if (state->keys_fd >= 0)
        close(state->keys_fd);
    if (state->fd >= 0)
        close(state->fd);
    free(state->dir);
    *state = (struct state){ .fd = -1, .keys_fd = -1 };
}

static enum err create_keys(struct state *state)
{
    uint8_t seed[32];
    enum err e;

    randombytes_buf(seed, sizeof seed);
    e = signer_create(state->keys_fd, "controller.key", seed);
    randombytes_buf(seed, sizeof seed);
    if (e == ERR_OK)
        e = file_create(state->keys_fd, "curve.key", 0600, bytes_of(seed, sizeof seed));
    sodium_memzero(seed, sizeof seed);
    return e == ERR_OK ? open_keys(state) : fail(state, e, "keys");
}

enum err state_create(struct state *out, const char *dir, const char *database)
{
    char *keys = NULL;
    enum err e;

    *out = (struct state){ .fd = -1, .keys_fd = -1 };
    e = dir_make(dir, STATE_DIR_MODE);
    if (e != ERR_OK && e != ERR_EXISTS)
        return fail(out, e, dir);
    out->dir = realpath(dir, NULL);
    if (!out->dir)
        return fail(out, ERR_IO, dir);
    e = dir_open(out->dir, STATE_DIR_MODE & 0777, &out->fd);
    if (e == ERR_OK)
        e = dir_check_filesystem(out->fd);
    if (e != ERR_OK)
        return fail(out, e, dir);
    if (faccessat(out->fd, "keys", F_OK, 0) == 0 || faccessat(out->fd, database, F_OK, 0) == 0)
        return fail(out, ERR_EXISTS, out->dir);
    keys = place_join(out->dir, "keys");
    e = dir_make(keys, STATE_KEYS_MODE);
    if (e == ERR_OK)
        e = dir_open(keys, STATE_KEYS_MODE, &out->keys_fd);
    free(keys);
    return e == ERR_OK ? create_keys(out) : fail(out, e, "keys");
}

enum err state_check_config(const char *config_file)
{
    struct stat st;

    if (stat(config_file, &st) != 0)
        return ERR_OK; /* reading it will say why */
    if ((st.st_uid != geteuid() && st.st_uid != 0) || (st.st_mode & 022))
        return ERR_UNSAFE;
    return ERR_OK;
}
