/*
 * identity - the two public names that are hashes of keys.  Their fingerprints: base/text.
 */
#ifndef TRUST_IDENTITY_H
#define TRUST_IDENTITY_H
#include <stdint.h>

/* Agent id of an Ed25519 identity key. */
void aid_of(uint8_t out[static 32], const uint8_t ik[static 32]);

/* Id of a controller's Ed25519 root key. */
void root_id_of(uint8_t out[static 32], const uint8_t ck[static 32]);

#endif
