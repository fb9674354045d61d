/*
 * store - an agent's profile: one SQLite file, everything secret in it sealed with the profile key.
 *         The only SQL of the agent is in this folder, one file per table or pair.
 *
 * Owns      the database and the profile key (wiped on close).
 * Thread    one.
 * Errors    The first failure of a transaction sticks: whatever follows does nothing and finds
 * nothing, and agent_store_commit() rolls back and returns it.  So callers ask once, at the end.
 *           ERR_STORE, ERR_STORE_FULL, ERR_CORRUPT (a sealed value does not open).
 * Durable   when agent_store_commit() has returned ERR_OK.
 */
#ifndef AGENT_STORE_H
#define AGENT_STORE_H
#include "shared/base/bytes.h"
#include "shared/base/err.h"

#define AGENT_STORE_FILE "agent.db"
#define AGENT_KEY_FILE   "agent.key"
#define AGENT_KEY_SIZE   32

struct agent_store;

/* Makes the key file and an empty database in a directory of ours; the caller holds its lock.
 * ERR_EXISTS: there is a database already.  A key file that is there already is kept. */
enum err agent_store_create(struct agent_store **out, const char *dir,
                            const uint8_t key[static AGENT_KEY_SIZE]);

/* The same with a key whose file is there already (agent/store/key.h). */
enum err agent_store_create_with(struct agent_store **out, const char *dir,
                                 const uint8_t key[static AGENT_KEY_SIZE]);

/* ERR_NOT_FOUND: no profile here.  ERR_UNSAFE: the key file's permissions.  ERR_CORRUPT: another
 * key.  ERR_STORE_NEWER.  ERR_PASSPHRASE: the key is wrapped. */
enum err agent_store_open(struct agent_store **out, const char *dir);
/* With a key at hand; the key file is not looked at. */
enum err agent_store_open_with(struct agent_store **out, const char *dir,
                               const uint8_t key[static AGENT_KEY_SIZE]);

/* Without a file, for tests. */
enum err agent_store_memory(struct agent_store **out, const uint8_t key[static AGENT_KEY_SIZE]);

/* Accepts NULL; nulls. */
void agent_store_close(struct agent_store **store);

/* Where nonces come from.  Needed before anything is sealed. */
void agent_store_random(struct agent_store *store, void (*random)(void *, uint8_t *, size_t),
                        void *ctx);

void agent_store_begin(struct agent_store *store);
enum err agent_store_commit(struct agent_store *store);
void agent_store_rollback(struct agent_store *store);
/* The failure so far, ERR_OK if none. */
enum err agent_store_failure(const struct agent_store *store);
/* Makes the transaction fail with `e`, unless it has failed already. */
void agent_store_fail(struct agent_store *store, enum err e);

/* Key material was deleted in this transaction: the log that still holds it must go (see tidy). */
void agent_store_shred(struct agent_store *store);
/* Empties the write-ahead log if keys were deleted, or if `now`.  Outside transactions. */
void agent_store_tidy(struct agent_store *store, bool now);
bool agent_store_untidy(const struct agent_store *store);

/* The dump that schema/agent/schema.sql holds. */
enum err agent_store_dump(struct agent_store *store, struct buf *out);

/* Small facts by name. */
bool profile_number_get(struct agent_store *store, const char *key, uint64_t *out);
void profile_number_set(struct agent_store *store, const char *key, uint64_t value,
                        const char *comment);
bool profile_blob_get(struct agent_store *store, const char *key, struct buf *out);
void profile_blob_set(struct agent_store *store, const char *key, struct bytes value,
                      const char *comment);
void profile_fact_remove(struct agent_store *store, const char *key);

#endif
