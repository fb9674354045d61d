/* layers: base wire trust agent_crypto */
/*
 * A session in the hands of a malicious peer and a lying network.  The input is a list of steps;
 * besides altered frames there are headers that the peer seals properly and fills as it likes.
 * Whatever is refused leaves no trace; the skipped keys stay within their bounds.
 */
#include "agent/crypto/aead.h"
#include "agent/crypto/kdf.h"
#include "shared/trust/label.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lib/pair.h"

struct input {
    const uint8_t *at, *end;
};

static uint8_t take_byte(struct input *input)
{
    return input->at < input->end ? *input->at++ : 0;
}

static uint32_t take_number(struct input *input)
{
    uint32_t v = take_byte(input);

    switch (v >> 6) {
    case 0:
        return v; /* small */
    case 1:
        return (v & 63) << 4 | take_byte(input) >> 4; /* about the limits */
    case 2:
        return UINT32_MAX - (v & 63);
    default:
        return v << 24 | (uint32_t)take_byte(input) << 16 | take_byte(input);
    }
}

static void offer(struct pair *pair, struct side *to, struct bytes frame)
{
    static uint8_t out[BUCKET_MAX];
    struct ratchet_opened opened;
    struct buf before = side_bytes(to), after;

    if (pair_open(pair, to, frame, out, &opened) != ERR_OK) {
        after = side_bytes(to);
        MUST(bytes_equal(buf_bytes(&before), buf_bytes(&after)));
        buf_free(&after);
    }
    MUST(to->skipped.count <= SKIPPED_MAX && to->skipped.chains <= SKIPPED_OLD_CHAINS + 1);
    buf_free(&before);
}

/* The peer's own frame with another header sealed into it, under one of its header keys. */
static void header_replace(const struct side *from, uint8_t *frame, struct input *input)
{
    const uint8_t *key
        = take_byte(input) & 1 ? from->ratchet.next_send_header : from->ratchet.send_header;
    uint8_t ad[LABEL_MAX_SIZE + 32 + FRAME_FH_SIZE], header[40];
    uint8_t *at = put_label(ad, LABEL_HDR);

    memcpy(header, from->ratchet.own_public, 32);
    header[0] ^= take_byte(input);
    if (take_byte(input) == 1)
        memset(header, 0, 32); /* a key of small order */
    put_u32(header + 32, take_number(input));
    put_u32(header + 36, take_number(input));
    at = put_raw(at, from->ratchet.th, 32);
    at = put_raw(at, frame, FRAME_FH_SIZE);
    xaead_seal(frame + 126, key, frame + 102, bytes_of(ad, (size_t)(at - ad)),
               bytes_of(header, sizeof header));
}

/* Moves the sending chain as if so many messages had been sealed and lost. */
static void lose(struct side *from, size_t count)
{
    uint8_t message_key[32];

    for (size_t i = 0; i < count; i++)
        kdf_chain(from->ratchet.send_chain, message_key);
    from->ratchet.sent += (uint32_t)count;
    from->seq += count;
}

static void step(struct pair *pair, struct input *input)
{
    uint8_t what = take_byte(input), frame[FRAME_MIN], digest[32];
    struct side *from = what & 1 ? &pair->a : &pair->b;
    struct side *to = pair_other(pair, from);
    size_t lost = what >> 1 & 1 ? take_byte(input) * 8u : 0;

    if (from->ratchet.can_send)
        lose(from, lost);
    if (pair_seal(pair, from, bytes_of_text("message"), frame, digest) != ERR_OK)
        return;
    switch (what >> 2 & 3) {
    case 0:
        break;
    case 1: {
        size_t at = (size_t)take_byte(input) << 8 | take_byte(input);

        frame[at % sizeof frame] ^= take_byte(input);
        break;
    }
    case 2:
        header_replace(from, frame, input);
        break;
    case 3: /* held back for good */
        return;
    }
    offer(pair, to, bytes_of(frame, sizeof frame));
    if (what & 0x80)
        offer(pair, to, bytes_of(frame, sizeof frame)); /* and again */
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len)
{
    static struct pair begun;
    struct input input = { at, at + len };
    struct pair pair;

    if (len == 0)
        return 0;
    if (begun.suite == 0)
        pair_begin(&begun, 1, SUITE_CHACHA);
    pair = begun;
    for (int i = 0; i < 24 && input.at < input.end; i++)
        step(&pair, &input);
    pair_end(&pair);
    return 0;
}
