#include <assert.h>
#include <sodium.h>

#include "broker/store/inside.h"

/* Each value says what it is, so that no two rows give the same bytes. */
enum { SUM_NULL, SUM_INT, SUM_BLOB };

void sum_begin(struct store *store, const char *table)
{
    buf_clear(&store->sum);
    buf_append(&store->sum, table, strlen(table) + 1);
}

void sum_int(struct store *store, int64_t v)
{
    uint8_t *at = buf_extend(&store->sum, 9);

    put_u64(put_u8(at, SUM_INT), (uint64_t)v);
}

void sum_null(struct store *store)
{
    put_u8(buf_extend(&store->sum, 1), SUM_NULL);
}

void sum_int_or_null(struct store *store, int64_t v)
{
    if (v)
        sum_int(store, v);
    else
        sum_null(store);
}

void sum_blob(struct store *store, const void *v, size_t len)
{
    uint8_t *at = buf_extend(&store->sum, 9 + len);

    at = put_u64(put_u8(at, SUM_BLOB), len);
    if (len)
        memcpy(at, v, len);
}

int64_t sum_end(struct store *store)
{
    static const uint8_t key[] = "sealpost row sum";
    uint8_t out[crypto_shorthash_BYTES];

    static_assert(sizeof key == crypto_shorthash_KEYBYTES + 1, "the text is the key");
    crypto_shorthash(out, store->sum.at, store->sum.len, key);
    return (int64_t)get_u64(out);
}
