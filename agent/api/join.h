/*
 * join - what happens before an agent exists: the invite's name, the profile, the identity in it.
 *
 * Interrupted anywhere, the same join finds what it began and goes on with the same keys.
 */
#ifndef API_JOIN_H
#define API_JOIN_H
#include "agent/api/failure.h"
#include "agent/api/profile.h"
#include "shared/base/text.h"
#include "shared/trust/invite.h"

/* The name of the profile that this invite has been used for on this account; false: none. */
bool join_find(const struct invite *invite, char profile[static NAME_MAX_LEN + 1]);

/* Asks the broker for which name the invite was made; "": for any.  False: `failure`. */
bool join_ask_name(const struct invite *invite, uint64_t timeout_ms,
                   char name[static NAME_MAX_LEN + 1], struct failure *failure);

/*
 * Makes profile, keys and card; leaves the profile open, without its lock.  `passphrase`: wraps the
 * profile's key; length 0: none.  False: `failure` (profile_exists, unsafe_permissions …).
 */
bool join_prepare(struct profile *profile, const char *name, const struct invite *invite,
                  struct bytes passphrase, struct failure *failure);

/* Takes a refused beginning away again, unless the agent was enrolled after all. */
void join_undo(struct profile *profile);

#endif
