/*
 * secrets - every private key of the agent, sealed; nothing else holds one on disk.
 *
 * Secret   what comes out through `private`: the caller wipes.
 */
#ifndef AGENT_STORE_SECRETS_H
#define AGENT_STORE_SECRETS_H
#include "agent/store/store.h"

enum secret_kind {
    SECRET_IK = 1,
    SECRET_DK,
    SECRET_TK,
    SECRET_SPK, /* public: statement ‖ signature 64 */
    SECRET_OPK,
    SECRET_INVITE /* until the first HELLO */
};

void profile_secret_add(struct agent_store *store, enum secret_kind kind, uint32_t number,
                        struct bytes public_part, struct bytes private_part, uint64_t now_ms);

/* Either output may be NULL. */
bool profile_secret_get(struct agent_store *store, enum secret_kind kind, uint32_t number,
                        struct buf *public_part, struct buf *private_part);

struct secret_info {
    uint32_t number;
    uint64_t created_ms;
    bool retired;
};

/* The newest one in use whose number is at most `most`. */
bool profile_secret_newest(struct agent_store *store, enum secret_kind kind, uint32_t most,
                           struct secret_info *out);
/* Highest number ever used of a kind, 0 if none; also of those that are deleted. */
uint32_t profile_secret_last(struct agent_store *store, enum secret_kind kind);

/* Up to `max` in use with a number above `after`, ascending: numbers and 32-byte public halves. */
size_t profile_secret_list(struct agent_store *store, enum secret_kind kind, uint32_t after,
                           size_t max, uint32_t *numbers, uint8_t (*publics)[32]);

/* Wiped from the file at the next tidy. */
void profile_secret_remove(struct agent_store *store, enum secret_kind kind, uint32_t number);
/* All in use with numbers up to `number` are wiped at `delete_ms`. */
void profile_secret_retire(struct agent_store *store, enum secret_kind kind, uint32_t number,
                           uint64_t delete_ms);
void profile_secret_expire(struct agent_store *store, uint64_t now_ms);

#endif
