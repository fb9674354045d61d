#include "agent/crypto/state.h"

enum { FLAG_SEND = 1, FLAG_RECEIVE = 2, FLAG_PEER = 4 };

void ratchet_export(const struct ratchet *ratchet, uint8_t out[static RATCHET_STATE_SIZE])
{
    uint8_t *at = out;

    at = put_u8(at, RATCHET_STATE_VERSION);
    at = put_u8(at, ratchet->suite);
    at = put_u8(at, (uint8_t)((ratchet->can_send ? FLAG_SEND : 0)
                              | (ratchet->can_receive ? FLAG_RECEIVE : 0)
                              | (ratchet->has_peer ? FLAG_PEER : 0)));
    at = put_raw(at, ratchet->root, 32);
    at = put_raw(at, ratchet->send_chain, 32);
    at = put_raw(at, ratchet->receive_chain, 32);
    at = put_raw(at, ratchet->send_header, 32);
    at = put_raw(at, ratchet->receive_header, 32);
    at = put_raw(at, ratchet->next_send_header, 32);
    at = put_raw(at, ratchet->next_receive_header, 32);
    at = put_raw(at, ratchet->own_secret, 32);
    at = put_raw(at, ratchet->own_public, 32);
    at = put_raw(at, ratchet->peer_public, 32);
    at = put_raw(at, ratchet->th, 32);
    at = put_u32(at, ratchet->sent);
    at = put_u32(at, ratchet->received);
    put_u32(at, ratchet->previous);
}

static const uint8_t *take_key(const uint8_t *at, uint8_t out[static 32])
{
    memcpy(out, at, 32);
    return at + 32;
}

enum err ratchet_import(struct ratchet *out, struct bytes bytes)
{
    const uint8_t *at = bytes.at;
    uint8_t flags;

    memset(out, 0, sizeof *out);
    if (bytes.len < 3)
        return ERR_CORRUPT;
    if (at[0] > RATCHET_STATE_VERSION)
        return ERR_STORE_NEWER;
    flags = at[2];
    if (bytes.len != RATCHET_STATE_SIZE || at[0] != RATCHET_STATE_VERSION || suite_bit(at[1]) == 0
        || flags > (FLAG_SEND | FLAG_RECEIVE | FLAG_PEER))
        return ERR_CORRUPT;
    out->suite = at[1];
    out->can_send = (flags & FLAG_SEND) != 0;
    out->can_receive = (flags & FLAG_RECEIVE) != 0;
    out->has_peer = (flags & FLAG_PEER) != 0;
    at = take_key(at + 3, out->root);
    at = take_key(at, out->send_chain);
    at = take_key(at, out->receive_chain);
    at = take_key(at, out->send_header);
    at = take_key(at, out->receive_header);
    at = take_key(at, out->next_send_header);
    at = take_key(at, out->next_receive_header);
    at = take_key(at, out->own_secret);
    at = take_key(at, out->own_public);
    at = take_key(at, out->peer_public);
    at = take_key(at, out->th);
    out->sent = get_u32(at);
    out->received = get_u32(at + 4);
    out->previous = get_u32(at + 8);
    return ERR_OK;
}
