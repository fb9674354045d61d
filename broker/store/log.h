/*
 * log - the controller's hash-chained list of bindings, in the table and in enrol.log.
 *
 * An entry is on disk in enrol.log before the turn commits: a database that was put back gets it
 * again at opening, so the list never grows two ways.
 */
#ifndef STORE_LOG_H
#define STORE_LOG_H
#include "broker/store/directory.h"
#include "shared/trust/log_entry.h"

/* Where the list ends. */
void store_log_head(struct store *store, struct log_head *out);

/*
 * Appends one entry.  `packed` must extend the head (ERR_CONFLICT).  `card` and its signature are
 * those the entry binds; empty and NULL for REVOKE.  Fsyncs enrol.log.
 */
enum err store_log_append(struct store *store, struct bytes packed, int64_t agent_id,
                          struct bytes card, const uint8_t *card_sig);

/* From `index` on, at most `max`.  Borrowed for the call; false ends the walk. */
typedef bool store_log_visit(void *ctx, uint64_t index, struct bytes packed,
                             const uint8_t digest[static 32]);
enum err store_log_list(struct store *store, uint64_t index, uint64_t max, store_log_visit *row,
                        void *ctx);

#endif
