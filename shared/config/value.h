/*
 * value - is this text a value for that key?
 */
#ifndef CONFIG_VALUE_H
#define CONFIG_VALUE_H
#include "shared/config/config.h"

/* Kind, bounds, then the key's own rule.  On false `why` says it.  `number` is the count, bytes,
 * ms, 0 or 1, or the place among the choices. */
bool value_check(const struct config_key *key, const char *text, uint64_t *number,
                 char why[static 256]);

#endif
