/* layers: base wire trust agent_crypto */
/*
 * Group messages in the hands of a lying broker and of a member who knows every chain.  First byte
 * even: a list of steps; whatever is refused leaves no trace, nothing opens that its member did not
 * sign, and skipped keys stay within their bounds.  Odd: what is read from the database as a chain
 * is written again as the same bytes.
 */
#include "agent/crypto/kdf.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lib/group_stage.h"

struct input {
    const uint8_t *at, *end;
};

static uint8_t take_byte(struct input *input)
{
    return input->at < input->end ? *input->at++ : 0;
}

enum { ANNA, MALLORY, SIZE = 438 };

struct talk {
    struct group_stage *stage;
    struct group_epoch epoch;
    struct group_sending sender, reader; /* Anna's chain, at her and at whoever reads */
    uint64_t seq;
};

static void state(struct bytes bytes)
{
    struct group_sending chain;
    struct buf out = { 0 };

    if (group_sending_import(&chain, bytes) != ERR_OK)
        return;
    group_sending_export(&chain, &out);
    MUST(bytes_equal(buf_bytes(&out), bytes));
    group_sending_trim(&chain, 0, 3);
    MUST(chain.skipped_count <= 3);
    group_sending_trim(&chain, UINT64_MAX, 3);
    MUST(chain.skipped_count == 0);
    group_sending_wipe(&chain);
    buf_wipe(&out);
}

/* `good`: Anna sealed it, and nobody has touched it. */
static void offer(struct talk *talk, const uint8_t *frame, bool good)
{
    struct buf before = { 0 }, after = { 0 };
    struct group_opened opened;
    struct frame_view view;
    uint8_t out[BUCKET_MIN];
    enum err e = frame_parse_whole(bytes_of(frame, SIZE), &view);

    group_sending_export(&talk->reader, &before);
    if (e == ERR_OK)
        e = group_decrypt(&talk->reader, &talk->epoch, &view, talk->stage->actor[ANNA].pk,
                          STAGE_NOW, out, &opened);
    if (e != ERR_OK) {
        group_sending_export(&talk->reader, &after);
        MUST(bytes_equal(buf_bytes(&before), buf_bytes(&after)));
    } else {
        MUST(good && opened.len == 7 && memcmp(out + opened.offset, "message", 7) == 0);
    }
    MUST(talk->reader.skipped_count <= GROUP_SKIPPED_MAX);
    buf_free(&before);
    buf_free(&after);
}

static void lose(struct talk *talk, uint32_t count)
{
    uint8_t unused[32];

    for (uint32_t i = 0; i < count; i++)
        kdf_chain(talk->sender.key, unused);
    talk->sender.next += count;
}

/* In Anna's name, with her chain, by Mallory's hand. */
static void forge(struct talk *talk, const struct frame_header *header, uint8_t *frame)
{
    struct group_sending copy = talk->sender;
    uint8_t digest[32];

    MUST(group_encrypt(&copy, &talk->epoch, header, talk->stage->actor[MALLORY].sk,
                       bytes_of_text("message"), talk->epoch.digest, frame, digest)
         == ERR_OK);
}

static void step(struct talk *talk, struct input *input)
{
    struct frame_header header = { .kind = FRAME_GROUP, .suite = SUITE_CHACHA, .expires_ms = 1 };
    uint8_t what = take_byte(input), frame[SIZE], digest[32];
    bool good = true;

    memcpy(header.scope, talk->epoch.gid, 16);
    memcpy(header.sender, talk->stage->actor[ANNA].aid, 32);
    header.seq = ++talk->seq;
    if (what & 1)
        lose(talk, take_byte(input) * 8u);
    if ((what >> 1 & 3) == 1) {
        forge(talk, &header, frame);
        offer(talk, frame, false);
        return;
    }
    MUST(group_encrypt(&talk->sender, &talk->epoch, &header, talk->stage->actor[ANNA].sk,
                       bytes_of_text("message"), talk->epoch.digest, frame, digest)
         == ERR_OK);
    if ((what >> 1 & 3) == 2) { /* held back for good */
        return;
    } else if ((what >> 1 & 3) == 3) {
        size_t at = (size_t)take_byte(input) << 8 | take_byte(input);
        uint8_t change = take_byte(input);

        frame[at % SIZE] ^= change;
        good = change == 0;
    }
    offer(talk, frame, good);
    if (what & 0x80)
        offer(talk, frame, false); /* and again */
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len)
{
    static struct group_stage stage;
    struct input input = { at, at + len };
    struct talk talk = { 0 };

    if (len == 0)
        return 0;
    if (take_byte(&input) & 1) {
        state(bytes_of(input.at, len - 1));
        return 0;
    }
    if (stage.now_ms == 0) {
        stage_open(&stage, 1);
        MUST(stage_create(&stage, ANNA, 0, 8) == ERR_OK);
    }
    talk.stage = &stage;
    talk.epoch = stage_group_epoch(&stage.chain);
    group_sending_init(&talk.sender, stage.secret, &talk.epoch, stage.actor[ANNA].aid);
    group_sending_init(&talk.reader, stage.secret, &talk.epoch, stage.actor[ANNA].aid);
    for (int i = 0; i < 24 && input.at < input.end; i++)
        step(&talk, &input);
    group_sending_wipe(&talk.sender);
    group_sending_wipe(&talk.reader);
    return 0;
}
