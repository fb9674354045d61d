#include "shared/trust/signed_array.h"

#include "shared/base/text.h"
#include "shared/wire/bound.h"

struct take signed_array(struct bytes packed, size_t max_size, size_t count)
{
    struct take take = take_of(packed);

    if (packed.len > max_size || bound_check(packed, BOUND_SIGNED) != ERR_OK)
        take_fail(&take, ERR_SCHEMA);
    take_array_of(&take, count);
    return take;
}

struct take signed_object(struct bytes packed, size_t max_size, size_t count, const char *tag)
{
    struct take take = signed_array(packed, max_size, count);

    if (!bytes_equal(take_str(&take, 16), bytes_of_text(tag)) || take_uint(&take, UINT8_MAX) != 1)
        take_fail(&take, ERR_SCHEMA);
    return take;
}

void take_name(struct take *take, char *out)
{
    struct bytes name = take_str(take, NAME_MAX_LEN);

    out[0] = '\0';
    if (!name_valid(name)) {
        take_fail(take, ERR_SCHEMA);
        return;
    }
    memcpy(out, name.at, name.len);
    out[name.len] = '\0';
}
