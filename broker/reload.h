/*
 * reload - the running configuration: settings for the flow out of it, reading it again, showing
 * it.
 */
#ifndef BROKER_RELOAD_H
#define BROKER_RELOAD_H
#include "broker/broker.h"
#include "broker/config.h"
#include "broker/state.h"

struct loop;

/* The broker's parts; owned by broker.c, which opens and closes them in order. */
struct broker {
    struct cli *cli; /* borrowed */
    struct broker_start start;
    struct config *started, *config; /* as it was at the start; as it is now */
    struct state state;
    struct store *store;
    struct controller *controller;
    struct flow *flow;
    struct loop *loop;
    uint64_t began_ms, seconds;
    bool watchdog, want_summary;
};

/* With the address that invites name: broker/public, else the endpoint that was bound. */
void settings_of(const struct broker *broker, struct flow_settings *out);

/* --log-level and --log-format over the file's values. */
enum err apply_flags(struct config *config, const struct broker_start *start,
                     struct config_problem *why);

/* "problem" of docs: cli 5.2; a new reference. */
json_t *config_problem_object(const char *file, const struct config_problem *problem);

/* Every problem on stderr (JSON: objects, then the error); gives EX_CONFIG. */
int config_report(struct cli *cli, const struct config *config, const char *file);

/* Hooks of the loop; ctx is the broker. */
void reload_order(void *ctx, uint64_t conn);
bool reload_command(void *ctx, uint64_t conn, struct bytes line);

#endif
