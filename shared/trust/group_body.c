/* What stands in the bodies of a group's events. */
#include "shared/trust/group_chain.h"
#include "shared/wire/frame.h"

void created_body_encode(uint8_t out[static CREATED_BODY_SIZE], const struct created_body *body)
{
    put_u32(put_u8(out, body->flags), body->max_members);
}

void invited_body_encode(uint8_t out[static INVITED_BODY_SIZE], const struct invited_body *body)
{
    put_u64(put_u8(out, body->role), body->expires_ms);
}

void epoch_body_encode(uint8_t out[static EPOCH_BODY_SIZE], const struct epoch_body *body)
{
    uint8_t *at = put_u32(out, body->epoch);

    at = put_raw(at, body->members_hash, 32);
    at = put_raw(at, body->confirm, 32);
    put_u8(at, body->suite);
}

enum err created_body_parse(struct bytes body, struct created_body *out)
{
    if (body.len != CREATED_BODY_SIZE)
        return ERR_SCHEMA;
    out->flags = body.at[0];
    out->max_members = get_u32(body.at + 1);
    if ((out->flags & ~(GROUP_FLAG_ALL_INVITE | GROUP_FLAG_STRICT)) != 0 || out->max_members < 1
        || out->max_members > GROUP_MEMBERS_MAX)
        return ERR_SCHEMA;
    return ERR_OK;
}

enum err invited_body_parse(struct bytes body, struct invited_body *out)
{
    if (body.len != INVITED_BODY_SIZE)
        return ERR_SCHEMA;
    out->role = body.at[0];
    out->expires_ms = get_u64(body.at + 1);
    if ((out->role != ROLE_MEMBER && out->role != ROLE_ADMIN) || out->expires_ms > INT64_MAX)
        return ERR_SCHEMA;
    return ERR_OK;
}

enum err epoch_body_parse(struct bytes body, struct epoch_body *out)
{
    if (body.len != EPOCH_BODY_SIZE)
        return ERR_SCHEMA;
    out->epoch = get_u32(body.at);
    memcpy(out->members_hash, body.at + 4, 32);
    memcpy(out->confirm, body.at + 36, 32);
    out->suite = body.at[68];
    return out->epoch != 0 && suite_bit(out->suite) != 0 ? ERR_OK : ERR_SCHEMA;
}
