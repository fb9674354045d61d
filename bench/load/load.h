/*
 * load - what the phases of pairs and of a group have in common: the broker process, invites,
 *        figures.
 */
#ifndef LOAD_H
#define LOAD_H
#include "bench/load/client.h"

enum { BATCH = 63, WINDOW_MESSAGES = 16, WINDOW_FRAMES = 1000, CREDIT = 1024 };

/* `count` invites for names that begin with `prefix`. */
void invites(const char *prefix, unsigned count, char (*out)[INVITE_TEXT_SIZE]);

/* Of the broker: CPU since it started; bytes of its database and log. */
uint64_t cpu_ms(void);
uint64_t disk_bytes(void);

/* One line of figures: how many of what, in how long, with how much of the broker's CPU. */
void report(const char *phase, uint64_t count, uint64_t us, uint64_t cpu, const char *aim);

/* Credit for everything that the broker allows. */
void give_credit(struct client *client);

/*
 * One sender and `members` readers, `frames` frames with bodies of `body` bytes in each phase:
 * stored for members that are away, drained by all of them at once, and delivered while all are
 * there.  With `removals` instead: so many members are removed, one after the other, while all are
 * there, each having a session with the sender that carries the new secret to it.
 */
void group_phases(unsigned members, unsigned removals, uint64_t frames, size_t body);

#endif
