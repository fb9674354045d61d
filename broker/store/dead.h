/*
 * dead - what was not delivered, and why; facts only, for 30 days.
 */
#ifndef STORE_DEAD_H
#define STORE_DEAD_H
#include "broker/store/streams.h"

/* Reasons are those of enum notice_reason.  `recipient_id` 0: every reader of a channel. */
enum err store_dead_add(struct store *store, const struct frame_row *frame, int64_t recipient_id,
                        int reason, uint64_t now_ms, const char *detail);

#endif
