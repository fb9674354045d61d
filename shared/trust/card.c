#include "shared/trust/card.h"

#include "shared/trust/label.h"
#include "shared/trust/signed_array.h"

#define CARD_TAG    "a2a-card"
#define CARD_FIELDS 13

void card_encode(struct buf *out, const struct card *card)
{
    pack_array(out, CARD_FIELDS);
    pack_text(out, CARD_TAG);
    pack_uint(out, 1);
    pack_text(out, card->name);
    pack_bin(out, bytes_of(card->ik, 32));
    pack_bin(out, bytes_of(card->dk, 32));
    pack_bin(out, bytes_of(card->tk, 32));
    pack_uint(out, card->gen);
    pack_uint(out, card->created_ms);
    pack_uint(out, card->suites);
    pack_uint(out, card->proto_min);
    pack_uint(out, card->proto_max);
    pack_uint(out, card->caps);
    pack_bin(out, card->info);
}

enum err card_parse(struct bytes packed, struct card *out)
{
    struct take take = signed_object(packed, CARD_MAX, CARD_FIELDS, CARD_TAG);

    take_name(&take, out->name);
    take_copy(&take, out->ik, 32);
    take_copy(&take, out->dk, 32);
    take_copy(&take, out->tk, 32);
    out->gen = (uint32_t)take_uint(&take, UINT32_MAX);
    out->created_ms = take_uint(&take, UINT64_MAX);
    out->suites = (uint32_t)take_uint(&take, UINT32_MAX);
    out->proto_min = (uint8_t)take_uint(&take, UINT8_MAX);
    out->proto_max = (uint8_t)take_uint(&take, UINT8_MAX);
    out->caps = (uint32_t)take_uint(&take, UINT32_MAX);
    out->info = take_bin(&take, CARD_INFO_MAX);
    if (out->gen == 0 || !(out->suites & 1) || out->proto_min > out->proto_max)
        take_fail(&take, ERR_SCHEMA);
    return take_end(&take);
}

enum err card_verify(struct bytes packed, const uint8_t sig[static 64], struct card *out)
{
    enum err e = card_parse(packed, out);

    if (e != ERR_OK)
        return e;
    return label_verify(out->ik, sig, LABEL_CARD, packed) ? ERR_OK : ERR_AUTH;
}

void card_hash(uint8_t out[static 32], struct bytes packed)
{
    label_hash(out, LABEL_CARD, packed);
}
