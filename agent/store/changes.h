/*
 * changes - what the transactions have changed that people may want to hear of, so that nobody who
 *           changes a state has to remember it.
 *
 * Kept     from the commit until it is taken out; of more than 1,024 the oldest are forgotten.
 *          A row is described as it is when it is taken out: of a transaction that was rolled back
 *          nothing is left but a row that is as before, or not there.
 */
#ifndef AGENT_STORE_CHANGES_H
#define AGENT_STORE_CHANGES_H
#include "agent/store/store.h"

enum changed_row { CHANGED_OUTGOING, CHANGED_DEAD, CHANGED_SESSION, CHANGED_ALARM };

/* A row as it is now; what does not apply is zeros. */
struct profile_change {
    enum changed_row what;
    int64_t row;
    int state; /* out_stage, dead_reason, session_stage */
    uint8_t msg_id[16], sid[16], aid[32];
    char code[32]; /* of an alarm */
};

/* Outside transactions: the oldest change, which is forgotten with that.  False: there is none. */
bool profile_change_next(struct agent_store *store, struct profile_change *out);

#endif
