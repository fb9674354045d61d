/*
 * profile - the directory of one agent: which one is meant, may it be trusted, who owns it (docs:
 * cli 2).
 *
 * Errors   told as a struct failure, ready for the user; the functions then give false.
 */
#ifndef API_PROFILE_H
#define API_PROFILE_H
#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

#include "agent/api/failure.h"
#include "shared/base/bytes.h"

#define PROFILE_SOCKET   "agent.sock"
#define PROFILE_LOCK     "lock"
#define PROFILE_SETTINGS "agent.conf"

struct profile {
    char *name, *dir; /* owned */
    int dir_fd;       /* -1: not open */
    int lock_fd;      /* -1: not ours */
    uint8_t *key;     /* owned, locked in memory: the key that a passphrase has opened; or NULL */
};

/* Every profile of this account that was joined, sorted; free with profile_list_free(). */
char **profile_list(size_t *count);
void profile_list_free(char **names, size_t count);

/*
 * The profile that is meant: `wanted` (-a, may be NULL), else SEALPOST_AGENT, else `.sealpost`,
 * else the only one.  Opens and checks it.  `note`: what a user should know besides; empty:
 * nothing.
 */
bool profile_choose(struct profile *out, const char *wanted, char note[static 256],
                    struct failure *failure);

/* The profile of that name, which must be valid; it need not exist, and is not opened. */
bool profile_name(struct profile *out, const char *name, struct failure *failure);
/* Makes the directory if it is missing, then as profile_open(). */
bool profile_make(struct profile *profile, struct failure *failure);
/* Opens and checks the directory: owner, permissions, file system. */
bool profile_open(struct profile *profile, struct failure *failure);
bool profile_exists(const struct profile *profile);

/* Gives the lock back, closes, wipes, frees. */
void profile_close(struct profile *profile);

/* Becomes the owner; `command` is noted for others.  ERR_LOCKED, ERR_UNSAFE, ERR_IO. */
enum err profile_lock(struct profile *profile, const char *command);
void profile_unlock(struct profile *profile);
/* Who has the lock, as far as it was noted: pid 0 if not. */
void profile_owner(const struct profile *profile, pid_t *pid, char command[static 80]);

/*
 * What others may know of the agent without its lock (`identity`): name, fingerprint, aid, broker,
 * root, circles, invite.  Not authoritative.  A new reference; NULL: there is none.
 */
json_t *profile_identity_read(const struct profile *profile);
enum err profile_identity_write(const struct profile *profile, const json_t *identity);

/* ------------------------------------------------------------------ the passphrase */

/* Does agent.key want a passphrase that has not been given yet? */
bool profile_wants_passphrase(const struct profile *profile);
/* Opens agent.key with it.  ERR_PASSPHRASE: it is wrong.  Takes half a second. */
enum err profile_unwrap(struct profile *profile, struct bytes passphrase);
/* A new profile's key is drawn and wrapped; one that is there already is opened.  The caller has
 * the lock. */
enum err profile_protect(struct profile *profile, struct bytes passphrase);

/* Removes everything of a profile that never was anybody; the caller has the lock. */
void profile_erase(struct profile *profile);
/* And of one that was: the key is overwritten, settings go, too. */
void profile_erase_all(struct profile *profile);

#endif
