/*
 * signer - the only way to a signature of the controller.  Narrow calls, never raw bytes, each of
 *          which refuses what its own record does not allow; so the key can move into a process of
 *          its own without network.
 *
 * Secret   the seed stays inside; signer_close() wipes it.
 * Record   the log's head and what it binds, fed by signer_append_log(), from the first entry on.
 * Errors   ERR_FORBIDDEN: the record does not allow it.  ERR_CONFLICT: the entry does not extend
 *          the log.  ERR_SCHEMA: it is none.
 */
#ifndef CONTROLLER_SIGNER_H
#define CONTROLLER_SIGNER_H
#include "shared/trust/certificate.h"
#include "shared/trust/log_entry.h"
#include "shared/trust/server_card.h"

struct signer;

/* Makes NAME (0600) in the directory `keys_fd` with a new seed.  ERR_EXISTS. */
enum err signer_create(int keys_fd, const char *name, const uint8_t seed[static 32]);
/* ERR_NOT_FOUND, ERR_UNSAFE, ERR_MALFORMED, ERR_IO. */
enum err signer_open(struct signer **out, int keys_fd, const char *name);
/* Without a file. */
void signer_new(struct signer **out, const uint8_t seed[static 32]);
/* Accepts NULL; wipes. */
void signer_close(struct signer **signer);

/* Public halves; borrowed. */
const uint8_t *signer_ck(const struct signer *signer);
const uint8_t *signer_root_id(const struct signer *signer);

/* Refuses a revoked aid, a card_hash that the log does not bind to it, and a log index below the
 * last one signed; serial must be above the last one.  Appends the packed certificate. */
enum err signer_certificate(struct signer *signer, const struct certificate *cert, struct buf *out,
                            uint8_t sig[static 64]);

/* Refuses a life above 400 days. */
enum err signer_server(struct signer *signer, const struct server_card *card, struct buf *out,
                       uint8_t sig[static 64]);

/* The preimage of an EXPIRED event of a session by this controller, nothing else. */
enum err signer_expired(struct signer *signer, const uint8_t preimage[static 174],
                        uint8_t sig[static 64]);

/* Signs nothing: checks index and chain, keeps head and binding. */
enum err signer_append_log(struct signer *signer, struct bytes packed);
/* Forgets the log; entries are fed again.  After a rollback. */
void signer_forget_log(struct signer *signer);

#endif
