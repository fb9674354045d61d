/*
 * me - who I am: the one row of table profile.
 *
 * Memory   profile_me_get() fills buffers that profile_me_free() gives back.
 */
#ifndef AGENT_STORE_ME_H
#define AGENT_STORE_ME_H
#include "agent/store/store.h"
#include "shared/base/text.h"

struct profile_me {
    char name[NAME_MAX_LEN + 1];
    uint8_t id[32];
    char endpoint[300]; /* tcp://host:port */
    uint8_t broker_key[32], root_id[32];
    bool enrolled; /* root_key, server_card, certificate are there */
    uint8_t root_key[32];
    struct buf server_card; /* signature last */
    uint8_t incarnation[16];
    struct buf card;
    uint8_t card_sig[64];
    uint32_t card_gen;
    struct buf certificate;
    uint8_t certificate_sig[64];
};

bool profile_me_get(struct agent_store *store, struct profile_me *out);
/* Makes the row, or replaces all of it. */
void profile_me_put(struct agent_store *store, const struct profile_me *me);
void profile_me_free(struct profile_me *me);

#endif
