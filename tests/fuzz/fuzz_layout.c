/* layers: base wire trust */
/* Fixed layouts: INIT0, statements, events, receipts, notices.  What parses is written again as the
 * same bytes.  The first byte chooses the kind. */
#include "shared/trust/event.h"
#include "shared/trust/init0.h"
#include "shared/trust/notice.h"
#include "shared/trust/prekey.h"
#include "shared/trust/receipt.h"
#include "tests/fuzz/fuzz.h"

static bool init0_again(struct bytes bytes, struct buf *out)
{
    struct init0 init;

    if (init0_parse(bytes, &init) != ERR_OK)
        return false;
    init0_fresh(&init, 1800000000000);
    init0_encode(out, &init);
    return true;
}

static bool spk_again(struct bytes bytes, struct buf *out)
{
    struct spk_statement spk;

    if (spk_parse(bytes, &spk) != ERR_OK)
        return false;
    spk_encode(out, &spk);
    return true;
}

static bool event_again(struct bytes bytes, struct buf *out)
{
    struct event event;

    if (event_parse(bytes, &event) != ERR_OK)
        return false;
    event_encode(buf_extend(out, EVENT_SIZE), &event);
    return true;
}

/* An event with a body behind it, offered to an empty chain. */
static bool chain_again(struct bytes bytes, struct buf *out)
{
    static const uint8_t root_id[32], key[32] = { 9 }, sig[64];
    struct signed_event offered = { { bytes.at, EVENT_SIZE }, sig, { 0 } };
    struct session_chain chain = { 0 }, before = { 0 };
    struct event event;

    (void)out;
    if (bytes.len < EVENT_SIZE)
        return false;
    offered.body = bytes_of(bytes.at + EVENT_SIZE, bytes.len - EVENT_SIZE);
    if (event_parse(offered.preimage, &event) == ERR_OK) {
        memcpy(chain.sid, event.id, 16);
        before = chain;
    }
    MUST(session_chain_append(&chain, &offered, root_id, key, &event) != ERR_OK);
    MUST(memcmp(&chain, &before, sizeof chain) == 0);
    return false;
}

static bool receipt_again(struct bytes bytes, struct buf *out)
{
    struct receipt receipt;

    if (receipt_parse(bytes, &receipt) != ERR_OK)
        return false;
    receipt_encode(buf_extend(out, RECEIPT_SIZE), &receipt);
    return true;
}

static bool notice_again(struct bytes bytes, struct buf *out)
{
    struct notice notice;

    if (notice_parse(bytes, &notice) != ERR_OK)
        return false;
    notice_encode(buf_extend(out, NOTICE_SIZE), &notice);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len)
{
    static bool (*const kinds[])(struct bytes, struct buf *) = {
        init0_again, spk_again, event_again, chain_again, receipt_again, notice_again,
    };
    struct buf again = { 0 };

    if (len == 0)
        return 0;
    if (kinds[at[0] % (sizeof kinds / sizeof kinds[0])](bytes_of(at + 1, len - 1), &again))
        MUST(bytes_equal(buf_bytes(&again), bytes_of(at + 1, len - 1)));
    buf_free(&again);
    return 0;
}
