/*
 * state - the broker's directory: database, keys, lock; found through the configuration file.
 *
 * Secret   the keys; state_close() wipes them.
 * Errors   ERR_NOT_FOUND: not initialised.  ERR_UNSAFE, ERR_FILESYSTEM, ERR_MALFORMED (a key file).
 *          `what` names the file.
 */
#ifndef BROKER_STATE_H
#define BROKER_STATE_H
#include "broker/controller/signer.h"
#include "shared/config/config.h"
#include "shared/net/curve.h"

#define STATE_DIR_MODE  02750 /* members of the group may inspect */
#define STATE_KEYS_MODE 0700

struct state {
    char *dir;       /* real path */
    int fd, keys_fd; /* -1: not open */
    struct curve_keys curve;
    struct signer *signer;
    char what[160];
};

/* The state directory of this configuration file, before it exists: malloc'ed. */
char *state_dir_of(const char *config_file, const char *state);

/* The directory of a path, malloc'ed. */
char *dir_of(const char *path);

enum err state_open(struct state *out, const char *config_file, const struct config *config);
void state_close(struct state *state);

/* Makes directory and keys.  ERR_EXISTS: keys or a database are there; nothing was touched. */
enum err state_create(struct state *out, const char *dir, const char *database);

/* The configuration file must be nobody else's to write. */
enum err state_check_config(const char *config_file);

#endif
