#include "shared/trust/label.h"

#include <sodium.h>

static const char *const texts[LABEL_COUNT] = {
#define LABEL(constant, text) "a2a/1 " text,
    LABELS(LABEL)
#undef LABEL
};

struct bytes label(enum label which)
{
    return bytes_of(texts[which], strlen(texts[which]) + 1);
}

const char *label_text(enum label which)
{
    return texts[which] + strlen("a2a/1 ");
}

uint8_t *put_label(uint8_t *at, enum label which)
{
    struct bytes l = label(which);

    return put_raw(at, l.at, l.len);
}

void label_hash_begin(struct sha256 *hash, enum label which)
{
    struct bytes l = label(which);

    sha256_begin(hash);
    sha256_add(hash, l.at, l.len);
}

void label_hash(uint8_t out[static 32], enum label which, struct bytes data)
{
    struct sha256 hash;

    label_hash_begin(&hash, which);
    sha256_add(&hash, data.at, data.len);
    sha256_end(&hash, out);
}

void label_preimage(struct buf *out, enum label which, struct bytes object)
{
    struct bytes l = label(which);

    buf_append(out, l.at, l.len);
    buf_append(out, object.at, object.len);
}

bool label_verify(const uint8_t pk[static 32], const uint8_t sig[static 64], enum label which,
                  struct bytes object)
{
    struct buf preimage = { 0 };
    int bad;

    label_preimage(&preimage, which, object);
    bad = crypto_sign_verify_detached(sig, preimage.at, preimage.len, pk);
    buf_free(&preimage);
    return bad == 0;
}
