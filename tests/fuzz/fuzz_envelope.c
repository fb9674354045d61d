/* layers: base wire agent_flow */
/* An envelope that is read and written is read as the same one. */
#include "agent/flow/envelope.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len)
{
    struct envelope one, two;
    struct buf first = { 0 }, second = { 0 };

    if (envelope_decode(bytes_of(at, len), &one) != ERR_OK)
        return 0;
    envelope_encode(&first, &one);
    MUST(first.len <= len); /* unknown keys are left out */
    MUST(envelope_decode(buf_bytes(&first), &two) == ERR_OK);
    envelope_encode(&second, &two);
    MUST(bytes_equal(buf_bytes(&first), buf_bytes(&second)));
    buf_free(&first);
    buf_free(&second);
    return 0;
}
