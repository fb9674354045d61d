/*
 * enrol - what an agent signs to be enrolled, and to leave (2.3).
 */
#ifndef TRUST_ENROL_H
#define TRUST_ENROL_H
#include "shared/base/bytes.h"
#include "shared/base/err.h"

#define ENROL_PREIMAGE_SIZE 116
#define LEAVE_PREIMAGE_SIZE 84

void enrol_preimage(uint8_t out[static ENROL_PREIMAGE_SIZE], const uint8_t root_id[static 32],
                    const uint8_t invite_curve_pk[static 32], const uint8_t card_hash[static 32],
                    uint64_t ts_ms);
void leave_preimage(uint8_t out[static LEAVE_PREIMAGE_SIZE], const uint8_t root_id[static 32],
                    const uint8_t card_hash[static 32], uint64_t ts_ms);

/* Freshness of ts is the caller's.  ERR_AUTH. */
enum err enrol_verify(const uint8_t sig[static 64], const uint8_t ik[static 32],
                      const uint8_t root_id[static 32], const uint8_t invite_curve_pk[static 32],
                      const uint8_t card_hash[static 32], uint64_t ts_ms);
enum err leave_verify(const uint8_t sig[static 64], const uint8_t ik[static 32],
                      const uint8_t root_id[static 32], const uint8_t card_hash[static 32],
                      uint64_t ts_ms);

#endif
