/*
 * init0 - the first word of a session: who, to whom, with which keys, how long (3.2).
 */
#ifndef TRUST_INIT0_H
#define TRUST_INIT0_H
#include "shared/base/bytes.h"
#include "shared/base/err.h"

#define INIT0_SIZE       210
#define INIT0_MAX        1298 /* with ML-KEM */
#define INIT0_OPK_USED   1    /* flags */
#define INIT0_ROTATE     2
#define INIT0_IDLE_MAX_S 2592000

enum init0_mode { MODE_LIVE = 0, MODE_MAILBOX = 1 };

struct init0 {
    uint8_t suite, mode, flags;
    uint8_t aid_a[32], aid_b[32];
    uint8_t card_hash_a[32], card_hash_b[32];
    uint8_t ek_a[32];
    uint32_t spk_id, opk_id; /* opk_id: 0 if none */
    uint64_t ts_ms, req_exp_ms;
    uint32_t idle_s;
    uint8_t prev_sid[16]; /* zeroes unless INIT0_ROTATE */
    struct bytes pq_ct;   /* empty or 1,088 bytes; borrowed */
};

void init0_encode(struct buf *out, const struct init0 *init);

/* Layout, version, suite that exists, mode, flags, opk_id against its flag, pq_len against the
 * suite, two different agents, idle_s, prev_sid against its flag.  ERR_SCHEMA. */
enum err init0_parse(struct bytes bytes, struct init0 *out);

/* sid: names the session. */
void init0_sid(uint8_t out[static 16], struct bytes bytes);

/* ts and req_exp against the clock of whoever checks.  ERR_STALE_TS, ERR_EXPIRED. */
enum err init0_fresh(const struct init0 *init, uint64_t now_ms);

/* What B is and has, looked up for this INIT0. */
struct init0_own {
    const uint8_t *aid;               /* 32 bytes */
    const uint8_t (*card_hashes)[32]; /* of my cards that still count */
    size_t card_hash_count;
    uint32_t suites;         /* of my card */
    bool have_spk, have_opk; /* private halves of spk_id and, if used, opk_id */
};

/* All that B checks before any key agreement: me, my card, suite, freshness, prekeys.
 * ERR_AUTH (another agent), ERR_STATE (card, suite), ERR_STALE_TS, ERR_EXPIRED, ERR_NO_PREKEYS. */
enum err init0_check(const struct init0 *init, const struct init0_own *own, uint64_t now_ms);

#endif
