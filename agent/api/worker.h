/*
 * worker - the thread that owns a profile: its store, its link to the broker, and the calls of
 * every command that works through it.
 *
 * The command that owns the profile speaks to it over one end of a socket pair, other commands over
 * agent.sock, all in the same private language (JSON objects, one a line):
 *
 *   to the worker     {"call":VERB,"params":{},"started_ms":N,"timeout_ms":N|null,"offline":B,
 *                      "settle":[ID]}   settle: what an earlier owner gave out and is on paper
 *                     {"took":ID}  {"input":{}}  {"reload":true}  {"finish":true} (the owning
 * command only) from the worker   {"item":{},"take":ID?}  {"note":S}  {"detail":S}  {"taken":ID}
 *                     {"error":{}}  {"end":EXIT}  {"moved":true}   look for the next owner
 *
 * Owns     store, agent, link, agent.sock.
 * Thread   one of its own.  worker_start() and worker_end() belong to the program's.
 */
#ifndef API_WORKER_H
#define API_WORKER_H
#include "agent/api/failure.h"
#include "agent/api/profile.h"

struct worker;

struct worker_options {
    const struct profile *profile; /* borrowed until worker_end(); its lock is ours */
    bool stays;                    /* serves other commands */
    const char *command;           /* shown to others; borrowed likewise */
};

/* Opens the store and starts the thread; `fd` is the command's end.  False: `failure`. */
bool worker_start(struct worker **out, const struct worker_options *options, int *fd,
                  struct failure *failure);

/* After {"finish":true}, or with `fd` closed: waits until the profile is free to be given away. */
void worker_end(struct worker **worker);

#endif
