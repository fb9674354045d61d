/*
 * settings - agent.conf: the keys that an agent has (docs: cli 4.3), read at every start.
 */
#ifndef API_SETTINGS_H
#define API_SETTINGS_H
#include "agent/api/profile.h"
#include "agent/flow/agent.h"
#include "shared/config/config.h"

/* All keys at their defaults. */
struct config *settings_defaults(void);

/* Those, then the profile's file.  NULL: `failure` names the first problem. */
struct config *settings_read(const struct profile *profile, struct failure *failure);

/* What the core obeys.  The endpoint stays empty unless the file has a broker. */
void settings_take(const struct config *config, struct agent_settings *out);

/* settings_read() and settings_take(). */
bool settings_load(const struct profile *profile, struct agent_settings *out,
                   struct failure *failure);

/* Sets one key in the file (value NULL: back to its default); two that write at once wait for each
 * other.  The value has been checked. */
enum err settings_change(const struct profile *profile, const char *key, const char *value);

#endif
