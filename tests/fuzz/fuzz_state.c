/* layers: base wire trust agent_crypto */
/* What is read from the database as state is written again as the same bytes. */
#include "agent/crypto/state.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len)
{
    uint8_t state[RATCHET_STATE_SIZE];
    struct bytes bytes = { at, len };
    struct buf keys = { 0 };
    struct ratchet ratchet;
    struct skipped skipped;

    if (ratchet_import(&ratchet, bytes) == ERR_OK) {
        ratchet_export(&ratchet, state);
        MUST(bytes_equal(bytes_of(state, sizeof state), bytes));
    }
    if (skipped_import(&skipped, bytes) == ERR_OK) {
        skipped_export(&skipped, &keys);
        MUST(bytes_equal(buf_bytes(&keys), bytes));
        skipped_add(&skipped, (const uint8_t[32]){ 1 }, 5, (const uint8_t[32]){ 2 }, 0);
        skipped_turn(&skipped);
        skipped_expire(&skipped, UINT64_MAX);
        MUST(skipped.count == 0 && skipped.chains == 0);
        skipped_wipe(&skipped);
        buf_wipe(&keys);
    }
    return 0;
}
