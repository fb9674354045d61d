/*
 * state - a ratchet as bytes for the database, versioned.  The skipped keys are a row of their own
 * (skipped_export()), written only when struct skipped says that it has changed.
 *
 * Secret   the bytes; they are sealed (seal.h) before they are stored.
 */
#ifndef CRYPTO_STATE_H
#define CRYPTO_STATE_H
#include "agent/crypto/ratchet.h"

#define RATCHET_STATE_VERSION 1
#define RATCHET_STATE_SIZE    367

void ratchet_export(const struct ratchet *ratchet, uint8_t out[static RATCHET_STATE_SIZE]);

/* ERR_CORRUPT: not something we wrote.  ERR_STORE_NEWER: a later version wrote it. */
enum err ratchet_import(struct ratchet *out, struct bytes bytes);

#endif
