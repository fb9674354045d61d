#include "shared/trust/init0.h"

#include "shared/trust/label.h"
#include "shared/trust/prekey.h"
#include "shared/wire/frame.h"

#define INIT0_VERSION    1
#define INIT0_FRESH_MS   300000
#define INIT0_MAILBOX_MS (7ull * 86400000)

void init0_encode(struct buf *out, const struct init0 *init)
{
    uint8_t *at = buf_extend(out, INIT0_SIZE + init->pq_ct.len);

    at = put_u8(at, INIT0_VERSION);
    at = put_u8(at, init->suite);
    at = put_u8(at, init->mode);
    at = put_u8(at, init->flags);
    at = put_raw(at, init->aid_a, 32);
    at = put_raw(at, init->aid_b, 32);
    at = put_raw(at, init->card_hash_a, 32);
    at = put_raw(at, init->card_hash_b, 32);
    at = put_raw(at, init->ek_a, 32);
    at = put_u32(at, init->spk_id);
    at = put_u32(at, init->opk_id);
    at = put_u64(at, init->ts_ms);
    at = put_u64(at, init->req_exp_ms);
    at = put_u32(at, init->idle_s);
    at = put_raw(at, init->prev_sid, 16);
    at = put_u16(at, (uint16_t)init->pq_ct.len);
    if (init->pq_ct.len)
        put_raw(at, init->pq_ct.at, init->pq_ct.len);
}

static void init0_read(const uint8_t *at, struct init0 *out)
{
    out->suite = at[1];
    out->mode = at[2];
    out->flags = at[3];
    memcpy(out->aid_a, at + 4, 32);
    memcpy(out->aid_b, at + 36, 32);
    memcpy(out->card_hash_a, at + 68, 32);
    memcpy(out->card_hash_b, at + 100, 32);
    memcpy(out->ek_a, at + 132, 32);
    out->spk_id = get_u32(at + 164);
    out->opk_id = get_u32(at + 168);
    out->ts_ms = get_u64(at + 172);
    out->req_exp_ms = get_u64(at + 180);
    out->idle_s = get_u32(at + 188);
    memcpy(out->prev_sid, at + 192, 16);
    out->pq_ct = bytes_of(at + INIT0_SIZE, get_u16(at + 208));
}

/* Do the fields agree with each other? */
static bool init0_consistent(const struct init0 *init)
{
    static const uint8_t none[16];
    size_t pq_len = init->suite >> 4 ? MLKEM_CT : 0;
    bool opk_used = (init->flags & INIT0_OPK_USED) != 0;
    bool rotate = (init->flags & INIT0_ROTATE) != 0;

    return suite_bit(init->suite) != 0 && init->mode <= MODE_MAILBOX
           && (init->flags & ~(INIT0_OPK_USED | INIT0_ROTATE)) == 0
           && opk_used == (init->opk_id != 0) && rotate == (memcmp(init->prev_sid, none, 16) != 0)
           && init->pq_ct.len == pq_len && init->idle_s <= INIT0_IDLE_MAX_S
           && init->ts_ms <= INT64_MAX && init->req_exp_ms <= INT64_MAX
           && memcmp(init->aid_a, init->aid_b, 32) != 0;
}

enum err init0_parse(struct bytes bytes, struct init0 *out)
{
    if (bytes.len < INIT0_SIZE || bytes.at[0] != INIT0_VERSION)
        return ERR_SCHEMA;
    init0_read(bytes.at, out);
    if (bytes.len != INIT0_SIZE + out->pq_ct.len || !init0_consistent(out))
        return ERR_SCHEMA;
    return ERR_OK;
}

void init0_sid(uint8_t out[static 16], struct bytes bytes)
{
    uint8_t hash[32];

    label_hash(hash, LABEL_SID, bytes);
    memcpy(out, hash, 16);
}

/* a is later than b by more than `ms`.  A peer chooses both, so no sums: they could wrap. */
static bool later_by_more(uint64_t a, uint64_t b, uint64_t ms)
{
    return a > b && a - b > ms;
}

enum err init0_fresh(const struct init0 *init, uint64_t now_ms)
{
    bool live = init->mode == MODE_LIVE;

    if (later_by_more(init->ts_ms, now_ms, INIT0_FRESH_MS)
        || (live && later_by_more(now_ms, init->ts_ms, INIT0_FRESH_MS)))
        return ERR_STALE_TS;
    if (later_by_more(init->req_exp_ms, init->ts_ms, live ? INIT0_FRESH_MS : INIT0_MAILBOX_MS))
        return ERR_STALE_TS;
    return now_ms <= init->req_exp_ms ? ERR_OK : ERR_EXPIRED;
}

static bool own_card(const struct init0_own *own, const uint8_t card_hash[static 32])
{
    for (size_t i = 0; i < own->card_hash_count; i++)
        if (memcmp(own->card_hashes[i], card_hash, 32) == 0)
            return true;
    return false;
}

enum err init0_check(const struct init0 *init, const struct init0_own *own, uint64_t now_ms)
{
    enum err e;

    if (memcmp(init->aid_b, own->aid, 32) != 0)
        return ERR_AUTH;
    if (!own_card(own, init->card_hash_b) || !(own->suites & suite_bit(init->suite)))
        return ERR_STATE;
    e = init0_fresh(init, now_ms);
    if (e != ERR_OK)
        return e;
    if (!own->have_spk || (init->opk_id != 0 && !own->have_opk))
        return ERR_NO_PREKEYS;
    return ERR_OK;
}
