/*
 * check - is the whole profile readable?  For a person who asks; it reads everything once.
 */
#ifndef AGENT_STORE_CHECK_H
#define AGENT_STORE_CHECK_H
#include "agent/store/store.h"

struct agent_store_checked {
    uint64_t values; /* sealed ones that open */
    char why[160];   /* what is wrong; empty: nothing */
};

/* Outside transactions.  ERR_CORRUPT: `why` names the first thing; ERR_STORE. */
enum err agent_store_check(struct agent_store *store, struct agent_store_checked *out);

#endif
