/*
 * usage - what an agent uses beyond its mailbox: requests it has open, requests held for it.
 */
#ifndef STORE_USAGE_H
#define STORE_USAGE_H
#include "broker/store/store.h"

struct usage_row {
    uint64_t blobs, blob_bytes;
    uint64_t requests_out;  /* sessions it asked for, unanswered */
    uint64_t requests_in;   /* held for it: waiting for its answer */
    uint64_t request_bytes; /* their frames */
};

/* Zeroes for an agent that uses nothing. */
enum err store_usage_get(struct store *store, int64_t agent_id, struct usage_row *out);

/* A request from a to b of so many bytes is open; it is answered or over. */
enum err store_request_opened(struct store *store, int64_t a_id, int64_t b_id, uint64_t bytes);
enum err store_request_ended(struct store *store, int64_t a_id, int64_t b_id, uint64_t bytes);

#endif
