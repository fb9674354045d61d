/*
 * prekeys - the signed prekey and the one-time prekeys that agents leave for others.
 */
#ifndef STORE_PREKEYS_H
#define STORE_PREKEYS_H
#include "broker/store/store.h"
#include "shared/trust/prekey.h"

struct spk_row {
    uint32_t spk_id;
    uint8_t sig[64];
    uint64_t stored_ms, expires_ms;
    size_t len;
    uint8_t statement[SPK_MAX];
};

enum err store_spk_get(struct store *store, int64_t agent_id, struct spk_row *out);
enum err store_spk_put(struct store *store, int64_t agent_id, const struct spk_row *spk);

/* How many one-time prekeys are held. */
enum err store_opk_count(struct store *store, int64_t agent_id, uint64_t *out);
/* ERR_NOT_FOUND. */
enum err store_opk_get(struct store *store, int64_t agent_id, uint32_t opk_id,
                       uint8_t key[static 32]);
enum err store_opk_add(struct store *store, int64_t agent_id, uint32_t opk_id,
                       const uint8_t key[static 32]);
enum err store_opk_drop_all(struct store *store, int64_t agent_id);

/*
 * The key promised to `requester` before, else the lowest free one, promised to it until
 * `until_ms`. *fresh: it was not promised to it before.  ERR_NOT_FOUND: none is left.
 */
enum err store_opk_reserve(struct store *store, int64_t agent_id, int64_t requester,
                           uint64_t now_ms, uint64_t until_ms, uint32_t *opk_id,
                           uint8_t key[static 32], bool *fresh);

/* Would store_opk_reserve() give a key that is promised already?  ERR_NOT_FOUND: no. */
enum err store_opk_reserved(struct store *store, int64_t agent_id, int64_t requester,
                            uint64_t now_ms, uint32_t *opk_id, uint8_t key[static 32]);

/* May `requester` use this key: promised to it, or free?  ERR_NOT_FOUND: no such key, or promised
 * to somebody else. */
enum err store_opk_usable(struct store *store, int64_t agent_id, uint32_t opk_id, int64_t requester,
                          uint64_t now_ms);
/* REQUEST has used it: it is gone, and remembered for 38 days. */
enum err store_opk_use(struct store *store, int64_t agent_id, uint32_t opk_id, uint64_t now_ms);
/* The key that was used under this number.  ERR_NOT_FOUND. */
enum err store_opk_used(struct store *store, int64_t agent_id, uint32_t opk_id,
                        uint8_t key[static 32]);

#endif
