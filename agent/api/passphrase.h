/*
 * passphrase - where the passphrase of a protected profile comes from when nobody types it: the
 * first line of the file that SEALPOST_PASSPHRASE_FILE names (docs: cli 1.6).
 *
 * Memory   a passphrase lies in locked memory between passphrase_begin() and passphrase_end().
 */
#ifndef API_PASSPHRASE_H
#define API_PASSPHRASE_H
#include "agent/api/failure.h"
#include "shared/base/bytes.h"

#define PASSPHRASE_FILE_VARIABLE "SEALPOST_PASSPHRASE_FILE"
#define PASSPHRASE_MAX           1024

void passphrase_begin(struct buf *out);
void passphrase_end(struct buf *passphrase);

/* Is a file named?  Then its first line, without its end, is appended, or `failure` is set
 * (unsafe_permissions: others may read it). */
bool passphrase_of_file(struct buf *out, struct failure *failure);

/* Is it empty, or too long?  Then `failure` says so. */
bool passphrase_is_bad(const struct buf *passphrase, struct failure *failure);

#endif
