#include "shared/trust/identity.h"

#include "shared/trust/label.h"

void aid_of(uint8_t out[static 32], const uint8_t ik[static 32])
{
    label_hash(out, LABEL_AID, bytes_of(ik, 32));
}

void root_id_of(uint8_t out[static 32], const uint8_t ck[static 32])
{
    label_hash(out, LABEL_ROOT, bytes_of(ck, 32));
}
