/*
 * key - agent.key, the file with the key that everything secret in a profile is sealed with: raw,
 * or wrapped by a passphrase.
 *
 * Errors   ERR_UNSAFE: the file's owner or permissions.  ERR_CORRUPT: neither form.
 *          ERR_PASSPHRASE: a passphrase is needed, or this one is wrong.
 */
#ifndef AGENT_STORE_KEY_H
#define AGENT_STORE_KEY_H
#include "agent/store/store.h"

/* Makes the file.  Without a passphrase (length 0) the key stands in it as it is.  ERR_EXISTS. */
enum err agent_key_make(int dir_fd, const uint8_t key[static AGENT_KEY_SIZE],
                        struct bytes passphrase);

/* Reads the key; of a raw file whatever the passphrase.  The caller wipes.  ERR_NOT_FOUND. */
enum err agent_key_read(int dir_fd, struct bytes passphrase, uint8_t key[static AGENT_KEY_SIZE]);

/* Is there one that a passphrase wraps? */
bool agent_key_is_wrapped(int dir_fd);

#endif
