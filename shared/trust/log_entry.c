#include "shared/trust/log_entry.h"

#include "shared/trust/label.h"
#include "shared/trust/signed_array.h"

#define LOG_ENTRY_FIELDS 7

void log_entry_encode(struct buf *out, const struct log_entry *entry)
{
    pack_array(out, LOG_ENTRY_FIELDS);
    pack_uint(out, entry->index);
    pack_uint(out, entry->ts_ms);
    pack_uint(out, entry->type);
    pack_bin(out, bytes_of(entry->aid, 32));
    pack_bin(out, bytes_of(entry->card_hash, 32));
    pack_text(out, entry->name);
    pack_bin(out, entry->extra);
}

static enum err log_extra_check(uint64_t type, struct bytes extra)
{
    struct circles circles;
    struct revocation revocation;

    switch (type) {
    case ENTRY_ENROL:
        return circles_parse(extra, &circles);
    case ENTRY_CARD:
        return extra.len == 0 ? ERR_OK : ERR_SCHEMA;
    case ENTRY_REVOKE:
        return revocation_parse(extra, &revocation);
    }
    return ERR_SCHEMA; /* 4 is reserved for a root that follows another: not in this version */
}

enum err log_entry_parse(struct bytes packed, struct log_entry *out)
{
    struct take take = signed_array(packed, LOG_ENTRY_MAX, LOG_ENTRY_FIELDS);
    uint64_t type;

    out->index = take_uint(&take, INT64_MAX);
    out->ts_ms = take_uint(&take, INT64_MAX);
    type = take_uint(&take, UINT8_MAX);
    take_copy(&take, out->aid, 32);
    take_copy(&take, out->card_hash, 32);
    take_name(&take, out->name);
    out->extra = take_bin(&take, LOG_EXTRA_MAX);
    if (take.err == ERR_OK)
        take.err = log_extra_check(type, out->extra);
    out->type = (enum log_entry_type)type;
    return take_end(&take);
}

void log_digest(uint8_t out[static 32], const uint8_t prev[static 32], struct bytes packed)
{
    struct sha256 hash;

    label_hash_begin(&hash, LABEL_LOG);
    sha256_add(&hash, prev, 32);
    sha256_add(&hash, packed.at, packed.len);
    sha256_end(&hash, out);
}

enum err log_head_append(struct log_head *head, struct bytes packed, struct log_entry *out)
{
    enum err e = log_entry_parse(packed, out);

    if (e != ERR_OK)
        return e;
    if (out->index != head->next || out->ts_ms < head->ts_ms)
        return ERR_CONFLICT;
    log_digest(head->digest, head->digest, packed);
    head->next++;
    head->ts_ms = out->ts_ms;
    return ERR_OK;
}

/* By bytes, a shorter one before its continuation. */
static int label_compare(struct bytes a, struct bytes b)
{
    int order = memcmp(a.at, b.at, a.len < b.len ? a.len : b.len);

    if (order != 0)
        return order;
    return (a.len > b.len) - (a.len < b.len);
}

static bool circles_good(const struct circles *circles)
{
    if (circles->count > CIRCLES_MAX)
        return false;
    for (size_t i = 0; i < circles->count; i++)
        if (!name_valid(circles->label[i])
            || (i > 0 && label_compare(circles->label[i - 1], circles->label[i]) >= 0))
            return false;
    return true;
}

enum err circles_encode(struct buf *out, const struct circles *circles)
{
    if (!circles_good(circles))
        return ERR_MALFORMED;
    if (circles->count == 0)
        return ERR_OK;
    put_u8(buf_extend(out, 1), (uint8_t)circles->count);
    for (size_t i = 0; i < circles->count; i++) {
        put_u8(buf_extend(out, 1), (uint8_t)circles->label[i].len);
        buf_append(out, circles->label[i].at, circles->label[i].len);
    }
    return ERR_OK;
}

enum err circles_parse(struct bytes extra, struct circles *out)
{
    size_t at = 1;

    *out = (struct circles){ 0 };
    if (extra.len == 0)
        return ERR_OK;
    if (extra.at[0] == 0 || extra.at[0] > CIRCLES_MAX)
        return ERR_SCHEMA;
    while (out->count < extra.at[0]) {
        size_t len;

        if (at == extra.len)
            return ERR_SCHEMA;
        len = extra.at[at++];
        if (len > extra.len - at)
            return ERR_SCHEMA;
        out->label[out->count++] = bytes_of(extra.at + at, len);
        at += len;
    }
    return at == extra.len && circles_good(out) ? ERR_OK : ERR_SCHEMA;
}

bool circles_share(const struct circles *a, const struct circles *b)
{
    for (size_t i = 0; i < a->count; i++)
        for (size_t j = 0; j < b->count; j++)
            if (bytes_equal(a->label[i], b->label[j]))
                return true;
    return false;
}

void revocation_encode(uint8_t out[static REVOCATION_SIZE], const struct revocation *revocation)
{
    put_u64(put_u8(out, revocation->reason), revocation->invalid_since_ms);
}

enum err revocation_parse(struct bytes extra, struct revocation *out)
{
    if (extra.len != REVOCATION_SIZE)
        return ERR_SCHEMA;
    out->reason = extra.at[0];
    out->invalid_since_ms = get_u64(extra.at + 1);
    if (out->reason < REVOKED_BY_OPERATOR || out->reason > REVOKED_LEFT)
        return ERR_SCHEMA;
    return ERR_OK;
}
