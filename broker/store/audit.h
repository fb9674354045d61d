/*
 * audit - acts of operators and alarms; what happened minute by minute; and sweeping both.
 */
#ifndef STORE_AUDIT_H
#define STORE_AUDIT_H
#include "broker/store/store.h"

/* who: an operator's user name, an agent's name, "broker".  act: invite.new, frame.damaged … */
enum err store_audit(struct store *store, uint64_t now_ms, const char *who, const char *act,
                     const char *about, const char *detail);

struct minute_counts {
    uint64_t frames_in, bytes_in;   /* stored */
    uint64_t frames_out, bytes_out; /* signed for */
    uint64_t expired, refused;
    uint64_t commits, commit_us_max;
    uint64_t connected; /* agents, now */
};

/* Adds to the minute of now_ms. */
enum err store_minute_add(struct store *store, uint64_t now_ms, const struct minute_counts *counts);

/* Once an hour, inside a turn: old minutes, audit rows, dead letters, cards, used prekeys, invites go, a bounded
 * number a call.  *more: call again soon. */
enum err store_sweep_old(struct store *store, uint64_t now_ms, bool *more);

#endif
