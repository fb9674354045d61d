#include "shared/trust/server_card.h"

#include "shared/trust/label.h"
#include "shared/trust/signed_array.h"

#define SERVER_TAG    "a2a-server"
#define SERVER_FIELDS 6

void server_card_encode(struct buf *out, const struct server_card *card)
{
    pack_array(out, SERVER_FIELDS);
    pack_text(out, SERVER_TAG);
    pack_uint(out, 1);
    pack_bin(out, bytes_of(card->curve_pk, 32));
    pack_text(out, card->endpoint);
    pack_uint(out, card->nbf_ms);
    pack_uint(out, card->exp_ms);
}

enum err server_card_parse(struct bytes packed, struct server_card *out)
{
    struct take take = signed_object(packed, SERVER_CARD_MAX, SERVER_FIELDS, SERVER_TAG);
    struct bytes endpoint;

    take_copy(&take, out->curve_pk, 32);
    endpoint = take_str(&take, SERVER_ENDPOINT_MAX);
    out->nbf_ms = take_uint(&take, UINT64_MAX);
    out->exp_ms = take_uint(&take, UINT64_MAX);
    out->endpoint[0] = '\0';
    if (endpoint.len == 0 || memchr(endpoint.at, 0, endpoint.len)) {
        take_fail(&take, ERR_SCHEMA);
    } else {
        memcpy(out->endpoint, endpoint.at, endpoint.len);
        out->endpoint[endpoint.len] = '\0';
    }
    return take_end(&take);
}

enum err server_card_verify(struct bytes packed, const uint8_t sig[static 64],
                            const uint8_t ck[static 32], struct server_card *out)
{
    enum err e = server_card_parse(packed, out);

    if (e != ERR_OK)
        return e;
    return label_verify(ck, sig, LABEL_SERVER, packed) ? ERR_OK : ERR_AUTH;
}
