/*
 * broker - one broker from start to stop: configuration, state, store, controller, flow, edge.
 *
 * Exit codes of docs: cli 6.2 (sysexits).
 */
#ifndef BROKER_BROKER_H
#define BROKER_BROKER_H
#include "shared/cli/out.h"

struct broker_start {
    const char *config_file;
    const char *log_level, *log_format; /* flags; NULL: as configured */
    int ready_fd;                       /* -1: none */
};

/* Runs until it is told to stop; gives the exit code, having said why. */
int broker_run(struct cli *cli, const struct broker_start *start);

/* What an error at start means to the caller of the program. */
int broker_exit_code(enum err e);

/* The chosen configuration file, malloc'ed: --config, SEALPOST_CONFIG, HOME/broker, the system's.
 */
char *broker_config_file(struct cli *cli);

/* At least `connections` and 64 more descriptors?  Raises the soft limit. */
bool broker_descriptors(uint64_t connections);

#endif
