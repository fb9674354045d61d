/*
 * enrol_log - the file enrol.log: every log entry with its card, on disk before its turn commits.
 *
 * A record is  u32 length ‖ u16 n ‖ entry ‖ u16 m ‖ card ‖ [64 bytes signature] ‖ u64 check,  the
 * length counting what follows it.  A torn record at the end was never answered: it is cut off.
 */
#ifndef STORE_ENROL_LOG_H
#define STORE_ENROL_LOG_H
#include "shared/base/bytes.h"
#include "shared/base/err.h"

struct store;

struct enrol_record {
    struct bytes entry, card;
    const uint8_t *card_sig; /* NULL where there is no card */
};

/* Writes and fsyncs; undone by enrol_log_forget() unless the turn commits. */
enum err enrol_log_append(struct store *store, const struct enrol_record *record);
void enrol_log_committed(struct store *store);
void enrol_log_forget(struct store *store);
void enrol_log_close(struct store *store);

/*
 * At opening, inside a transaction: puts back what the table lacks, writes what the file lacks.
 * ERR_STORE: they tell different histories.
 */
enum err enrol_log_replay(struct store *store);

#endif
