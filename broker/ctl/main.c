/*
 * sealpostctl - what an operator asks of the running broker.
 */
#include "broker/ctl/ctl.h"
#include "shared/base/files.h"

static const struct cli_flag program_flags[]
    = { { "socket", 0, "PATH", NULL, false, "control socket of the broker" }, { 0 } };

static const int exits[] = { 0, 1, 2, 3, 4, -1 };
static const int exits_named[] = { 0, 1, 2, 3, 4, 6, -1 };
static const int exits_stop[] = { 0, 1, 2, 3, 4, 5, -1 };

static const struct cli_arg invite_args[] = { { "NAME", false, true }, { 0 } };
static const struct cli_flag invite_flags[]
    = { { "circle", 0, "L", "home", true, "circle that the agent will be in" },
        { "guest", 0, NULL, NULL, false, "in no circle" },
        { "ttl", 0, "DUR", "1h", false, "how long it is good" },
        { "approve", 0, NULL, NULL, false, "joining waits for agents --approve" },
        { "note", 0, "TEXT", NULL, false, "for your own list" },
        { "host", 0, "HOST:PORT", NULL, false, "address to put into it" },
        { "list", 0, NULL, NULL, false, "all invites, without their secret" },
        { "withdraw", 0, "NUMBER", NULL, false, "it lets nobody in any more" },
        { 0 } };
static const char *const invite_examples[]
    = { "sealpostctl invite reviewer --ttl 1h", "sealpostctl invite builder | sealpost join -",
        "sealpostctl invite --list", NULL };
static const char *const invite_emits[] = { "invite", "error", NULL };

static const struct cli_flag status_flags[]
    = { { "wait", 0, "DUR", NULL, false, "until the broker answers" }, { 0 } };
static const char *const status_examples[]
    = { "sealpostctl status", "sealpostctl status --wait 10s", NULL };
static const char *const status_emits[] = { "broker_status", "error", NULL };

static const struct cli_arg name_args[] = { { "NAME", false, false }, { 0 } };
static const struct cli_flag agents_flags[]
    = { { "pending", 0, NULL, NULL, false, "only those that wait for you" },
        { "approve", 0, "NAME", NULL, false, "let it in; asks" },
        { "deny", 0, "NAME", NULL, false, "do not let it in; asks" },
        { 0 } };
static const char *const agents_examples[]
    = { "sealpostctl agents", "sealpostctl agents --approve alice", NULL };
static const char *const agents_emits[] = { "agent", "error", NULL };

static const struct cli_arg revoke_args[] = { { "NAME", true, false }, { 0 } };
static const struct cli_flag revoke_flags[]
    = { { "reason", 0, "WHY", "operator", false, "operator, lost, stolen or replaced" },
        { "note", 0, "TEXT", NULL, false, "for the audit" },
        { 0 } };
static const char *const revoke_examples[]
    = { "sealpostctl revoke reviewer", "sealpostctl revoke reviewer --reason stolen --yes", NULL };

static const char *const queues_examples[] = { "sealpostctl queues", "sealpostctl queues reviewer",
                                               "sealpostctl queues '#1931143f'", NULL };
static const char *const queues_emits[] = { "queue", "frame", "error", NULL };

static const struct cli_arg group_args[] = { { "GROUP", false, false }, { 0 } };
static const char *const groups_examples[]
    = { "sealpostctl groups", "sealpostctl groups 1931143f", NULL };
static const char *const groups_emits[] = { "channel", "reader", "error", NULL };

static const char *const config_examples[] = { "sealpostctl config", NULL };
static const char *const config_emits[] = { "setting", "error", NULL };
static const char *const stop_examples[] = { "sealpostctl stop", NULL };
static const char *const reload_examples[] = { "sealpostctl reload", NULL };
static const char *const reload_emits[] = { "broker_status", "problem", "error", NULL };

static const struct cli_verb verbs[] = {
    { .name = "invite",
      .stage = "S1",
      .summary = "makes a link that lets one agent join",
      .args = invite_args,
      .flags = invite_flags,
      .examples = invite_examples,
      .exits = exits_named,
      .emits = invite_emits,
      .see_also = "sealpost join, sealpostctl agents",
      .impact = CLI_RW,
      .run = cmd_invite },
    { .name = "status",
      .stage = "S1",
      .summary = "is it running, what waits, how is the disk",
      .flags = status_flags,
      .examples = status_examples,
      .exits = exits,
      .emits = status_emits,
      .impact = CLI_RO,
      .blocks = true,
      .run = cmd_status },
    { .name = "agents",
      .stage = "S1",
      .summary = "who has joined, who waits for approval",
      .args = name_args,
      .flags = agents_flags,
      .examples = agents_examples,
      .exits = exits_named,
      .emits = agents_emits,
      .impact = CLI_DANGER,
      .run = cmd_agents },
    { .name = "revoke",
      .stage = "S2",
      .summary = "ends an agent for good: connection, sessions, mail; asks",
      .args = revoke_args,
      .flags = revoke_flags,
      .examples = revoke_examples,
      .exits = exits_named,
      .emits = agents_emits,
      .see_also = "sealpostctl agents, sealpost leave",
      .impact = CLI_DANGER,
      .run = cmd_revoke },
    { .name = "queues",
      .stage = "S1",
      .summary = "mail that waits; with NAME its frames, never content",
      .args = name_args,
      .examples = queues_examples,
      .exits = exits_named,
      .emits = queues_emits,
      .impact = CLI_RO,
      .run = cmd_queues },
    { .name = "groups",
      .stage = "S3",
      .summary = "groups and their channels; with GROUP its members, and how far each is behind",
      .args = group_args,
      .examples = groups_examples,
      .exits = exits_named,
      .emits = groups_emits,
      .see_also = "sealpostctl queues",
      .impact = CLI_RO,
      .run = cmd_groups },
    { .name = "config",
      .stage = "S1",
      .summary = "settings that the broker runs with, and where they come from",
      .examples = config_examples,
      .exits = exits,
      .emits = config_emits,
      .files = "sealpostd.conf",
      .impact = CLI_RO,
      .run = cmd_config },
    { .name = "stop",
      .stage = "S1",
      .summary = "ends the broker in order; comes back when it has ended",
      .examples = stop_examples,
      .exits = exits_stop,
      .emits = status_emits,
      .impact = CLI_RW,
      .blocks = true,
      .run = cmd_stop },
    { .name = "reload",
      .stage = "S1",
      .summary = "reads sealpostd.conf again; with a mistake in it nothing changes",
      .examples = reload_examples,
      .exits = exits,
      .emits = reload_emits,
      .impact = CLI_RW,
      .run = cmd_reload },
    { 0 },
};

static json_t *libraries(void)
{
    json_t *object = json_object();

    json_object_set_new(object, "jansson", json_string(JANSSON_VERSION));
    return object;
}

static const struct cli_program program = { .name = "sealpostctl",
                                            .summary = "operates the broker of Sealpost",
                                            .flags = program_flags,
                                            .verbs = verbs,
                                            .wrong_use = 2,
                                            .libraries = libraries };

int main(int argc, char **argv)
{
    process_harden(077);
    return cli_main(&program, argc, argv, NULL);
}
