#include "shared/wire/pack.h"

#include <msgpack/pack.h>

static int pack_write(void *data, const char *at, size_t len)
{
    buf_append((struct buf *)data, at, len);
    return 0; /* running out of memory ends the process */
}

static msgpack_packer packer_of(struct buf *out)
{
    msgpack_packer packer;

    msgpack_packer_init(&packer, out, pack_write);
    return packer;
}

void pack_array(struct buf *out, size_t count)
{
    msgpack_packer packer = packer_of(out);

    msgpack_pack_array(&packer, count);
}

void pack_map(struct buf *out, size_t pairs)
{
    msgpack_packer packer = packer_of(out);

    msgpack_pack_map(&packer, pairs);
}

void pack_uint(struct buf *out, uint64_t v)
{
    msgpack_packer packer = packer_of(out);

    msgpack_pack_uint64(&packer, v);
}

void pack_bool(struct buf *out, bool v)
{
    msgpack_packer packer = packer_of(out);

    if (v)
        msgpack_pack_true(&packer);
    else
        msgpack_pack_false(&packer);
}

void pack_str(struct buf *out, struct bytes text)
{
    msgpack_packer packer = packer_of(out);

    msgpack_pack_str(&packer, text.len);
    buf_append(out, text.at, text.len);
}

void pack_text(struct buf *out, const char *text)
{
    pack_str(out, bytes_of_text(text));
}

void pack_bin(struct buf *out, struct bytes v)
{
    msgpack_packer packer = packer_of(out);

    msgpack_pack_bin(&packer, v.len);
    buf_append(out, v.at, v.len);
}

void pack_packed(struct buf *out, struct bytes packed)
{
    buf_append(out, packed.at, packed.len);
}
