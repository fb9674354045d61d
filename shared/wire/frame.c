#include "shared/wire/frame.h"

#include "shared/base/sha256.h"

/* L("frame"); the list of all labels is shared/trust/label.h, a layer above. */
static const char frame_label[] = "a2a/1 frame";

uint32_t suite_bit(uint8_t suite)
{
    switch (suite) {
    case SUITE_CHACHA:
        return 1;
    case SUITE_AES:
        return 2;
    case SUITE_CHACHA_MLKEM:
        return 4;
    case SUITE_AES_MLKEM:
        return 8;
    }
    return 0;
}

void frame_header_write(uint8_t out[static FRAME_FH_SIZE], const struct frame_header *header)
{
    uint8_t *at = out;

    at = put_u8(at, FRAME_VERSION);
    at = put_u8(at, header->kind);
    at = put_u8(at, header->suite);
    at = put_u8(at, header->flags);
    at = put_raw(at, header->scope, 16);
    at = put_raw(at, header->sender, 32);
    at = put_raw(at, header->recipient, 32);
    at = put_u64(at, header->seq);
    put_u64(at, header->expires_ms);
}

static size_t frame_hdr_size(uint8_t kind)
{
    switch (kind) {
    case FRAME_REQUEST:
    case FRAME_ACCEPT:
    case FRAME_DATA:
        return FRAME_HDR_SESSION;
    case FRAME_GROUP:
        return FRAME_HDR_GROUP;
    }
    return 0;
}

/* What the fixed header says of itself, sizes aside. */
static bool frame_fields_good(const uint8_t *fh, const struct frame_view *frame)
{
    bool first = frame->kind == FRAME_REQUEST || frame->kind == FRAME_ACCEPT;

    return fh[0] == FRAME_VERSION && suite_bit(frame->suite) != 0
           && (frame->flags & ~FRAME_WANTS_RECEIPT) == 0
           && (first ? frame->seq == 1 : frame->seq >= 1 && frame->seq <= INT64_MAX)
           && frame->expires_ms <= INT64_MAX;
}

enum err frame_parse(struct bytes bytes, struct frame_view *out)
{
    const uint8_t *fh = bytes.at;
    size_t hdr, head;

    if (bytes.len > FRAME_MAX)
        return ERR_TOO_LARGE;
    if (bytes.len < FRAME_STUB_GROUP)
        return ERR_SCHEMA;
    *out = (struct frame_view){
        .kind = fh[1],
        .suite = fh[2],
        .flags = fh[3],
        .scope = fh + 4,
        .sender = fh + 20,
        .recipient = fh + 52,
        .seq = get_u64(fh + 84),
        .expires_ms = get_u64(fh + 92),
        .fh = fh,
        .all = bytes,
    };
    hdr = frame_hdr_size(out->kind);
    head = FRAME_FH_SIZE + 2 + hdr + FRAME_COMMIT_SIZE;
    if (hdr == 0 || !frame_fields_good(fh, out) || get_u16(fh + FRAME_FH_SIZE) != hdr
        || bytes.len <= head)
        return ERR_SCHEMA;
    out->hdr = bytes_of(fh + FRAME_FH_SIZE + 2, hdr);
    out->commit = fh + head - FRAME_COMMIT_SIZE;
    out->ct = bytes_of(fh + head, bytes.len - head);
    out->is_stub = out->ct.len == SHA256_SIZE;
    if (!out->is_stub
        && (out->ct.len <= FRAME_TAG_SIZE || !bucket_valid(out->ct.len - FRAME_TAG_SIZE)))
        return ERR_SCHEMA;
    return ERR_OK;
}

enum err frame_parse_whole(struct bytes bytes, struct frame_view *out)
{
    enum err e = frame_parse(bytes, out);

    return e == ERR_OK && out->is_stub ? ERR_SCHEMA : e;
}

enum err frame_expect(const struct frame_view *frame, const uint8_t scope[static 16],
                      const uint8_t sender[static 32], const uint8_t recipient[static 32])
{
    if (memcmp(frame->scope, scope, 16) != 0)
        return ERR_SESSION_NOT_FOUND;
    if (memcmp(frame->sender, sender, 32) != 0 || memcmp(frame->recipient, recipient, 32) != 0)
        return ERR_AUTH;
    return ERR_OK;
}

/* How much of the frame stands before ct. */
static size_t frame_head_size(const struct frame_view *frame)
{
    return (size_t)(frame->ct.at - frame->fh);
}

static void frame_ct_hash(const struct frame_view *frame, uint8_t out[static 32])
{
    if (frame->is_stub)
        memcpy(out, frame->ct.at, 32);
    else
        sha256(out, frame->ct);
}

void frame_digest(const struct frame_view *frame, uint8_t out[static FRAME_DIGEST_SIZE])
{
    uint8_t stub[FRAME_STUB_MAX];

    frame_stub_write(frame, stub, out);
}

size_t frame_stub_size(const struct frame_view *frame)
{
    return frame_head_size(frame) + SHA256_SIZE;
}

void frame_stub_write(const struct frame_view *frame, uint8_t *stub,
                      uint8_t digest[static FRAME_DIGEST_SIZE])
{
    size_t head = frame_head_size(frame);
    struct sha256 hash;

    memcpy(stub, frame->fh, head);
    frame_ct_hash(frame, stub + head);
    sha256_begin(&hash);
    sha256_add(&hash, frame_label, sizeof frame_label);
    sha256_add(&hash, stub, head + SHA256_SIZE);
    sha256_end(&hash, digest);
}

size_t frame_size_for(size_t len)
{
    size_t bucket = bucket_for(len);

    return bucket ? FRAME_OVERHEAD + bucket : 0;
}
