/* layers: base wire */
/* bound_check(), take and message_decode(): what is bounded can be read to its end, and a message
 * that is read and written is read as the same one. */
#include "shared/wire/bound.h"
#include "shared/wire/message.h"
#include "shared/wire/take.h"
#include "tests/fuzz/fuzz.h"

static void read_everything(struct bytes packed)
{
    struct take take = take_of(packed);
    bool good = bound_check(packed, BOUND_MESSAGE) == ERR_OK;

    take_skip(&take);
    MUST(!good || take_end(&take) == ERR_OK);
    MUST(bound_check(packed, BOUND_SIGNED) != ERR_OK || good);
    take = take_of(packed);
    while (take.err == ERR_OK && take_peek(&take) != TAKE_NOTHING) {
        switch (take_peek(&take)) {
        case TAKE_UINT:
            take_uint(&take, UINT64_MAX);
            break;
        case TAKE_BOOL:
            take_bool(&take);
            break;
        case TAKE_STR:
            take_str(&take, SIZE_MAX);
            break;
        case TAKE_BIN:
            take_bin(&take, SIZE_MAX);
            break;
        case TAKE_ARRAY:
            take_array(&take);
            break;
        case TAKE_MAP:
            take_map(&take);
            break;
        case TAKE_NOTHING:
            abort();
        }
    }
    MUST(!good || take.at == take.end);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len)
{
    struct bytes packed;

    if (len < 2)
        return 0;
    packed = bytes_of(at + 2, len - 2);
    read_everything(packed);
    for (int side = FROM_AGENT; side <= FROM_BROKER; side++) {
        struct message message;
        struct buf again = { 0 }, twice = { 0 };

        if (message_decode(&message, packed, at[0] % 65, (enum wire_side)side) != ERR_OK)
            continue;
        message_encode(&message, &again);
        MUST(again.len <= packed.len); /* keys from 64 on are left out */
        MUST(message_decode(&message, buf_bytes(&again), at[0] % 65, (enum wire_side)side)
             == ERR_OK);
        message_encode(&message, &twice);
        MUST(bytes_equal(buf_bytes(&again), buf_bytes(&twice)));
        buf_free(&again);
        buf_free(&twice);
    }
    return 0;
}
