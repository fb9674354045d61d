/* The command line of `sealpost`: every verb with its words.  Parser, help and completion are made
 * of it. */
#include "agent/api/version.h"
#include "agent/cli/verbs.h"

#define END_ARGS                                                                                   \
    {                                                                                              \
        0                                                                                          \
    }
#define END_FLAGS                                                                                  \
    {                                                                                              \
        0                                                                                          \
    }
#define LIST(...)                                                                                  \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }
#define EXITS(...)                                                                                 \
    (const int[])                                                                                  \
    {                                                                                              \
        __VA_ARGS__, -1                                                                            \
    }
#define ARGS(...)                                                                                  \
    (const struct cli_arg[])                                                                       \
    {                                                                                              \
        __VA_ARGS__, END_ARGS                                                                      \
    }
#define FLAGS(...)                                                                                 \
    (const struct cli_flag[])                                                                      \
    {                                                                                              \
        __VA_ARGS__, END_FLAGS                                                                     \
    }
#define PROFILE_FILE "HOME/agents/PROFILE: agent.db, agent.key, agent.conf, lock"

static const struct cli_flag program_flags[] = {
    { "agent", 'a', "PROFILE", NULL, false, "the agent that is meant" },
    { "timeout", 't', "DUR", NULL, false, "how long this may take: 500ms 30s 10m" },
    { "offline", 0, NULL, NULL, false, "do not touch the network" },
    END_FLAGS,
};

#define SEND_FLAGS                                                                                 \
    { "wait", 0, "STATE", NULL, false, "queued, stored or delivered before returning" },           \
    {                                                                                              \
        "type", 0, "MEDIA", NULL, false, "media type; text/plain if it is UTF-8"                   \
    }

static const struct cli_verb verbs[] = {
    { .name = "join",
      .stage = "S1",
      .group = "me",
      .summary = "make keys and enrol them with an invite",
      .args = ARGS({ "INVITE", false, false }),
      .flags = FLAGS({ "local", 0, NULL, NULL, false, "get the invite from the broker here" },
                     { "name", 0, "NAME", NULL, false, "the agent's name" },
                     { "circle", 0, "LABEL", NULL, true, "with --local: a circle to be in" },
                     { "wait", 0, NULL, NULL, false, "stay until the operator has approved" }),
      .examples = LIST("sealpost join - < reviewer.invite", "sealpost join --local --name tester"),
      .exits = EXITS(0, 1, 2, 3, 4, 5, 7),
      .emits = LIST("joined"),
      .files = PROFILE_FILE,
      .see_also = "whoami, peers",
      .impact = CLI_RW,
      .blocks = true,
      .run = cmd_join },
    { .name = "whoami",
      .stage = "S1",
      .group = "me",
      .summary = "this agent's name, fingerprint and broker",
      .flags = FLAGS({ "all", 0, NULL, NULL, false, "every agent of this account" },
                     { "full", 0, NULL, NULL, false, "card and certificate, too" }),
      .examples = LIST("sealpost whoami", "sealpost whoami --all"),
      .exits = EXITS(0, 1, 2, 4, 6),
      .emits = LIST("agent_self"),
      .see_also = "status, peers",
      .impact = CLI_RO,
      .run = cmd_whoami },
    { .name = "config",
      .stage = "S1",
      .group = "me",
      .summary = "show and change settings",
      .args = ARGS({ "KEY[=VALUE]", false, true }),
      .examples = LIST("sealpost config", "sealpost config consent=any", "sealpost config ttl="),
      .exits = EXITS(0, 1, 2, 4, 6),
      .emits = LIST("setting"),
      .files = "HOME/agents/PROFILE/agent.conf",
      .see_also = "status",
      .impact = CLI_RW,
      .run = cmd_config },
    { .name = "send",
      .stage = "S1",
      .group = "mail",
      .summary = "seal a message and hand it over",
      .args = ARGS({ "TO", true, false }, { "BODY", false, false }),
      .flags = FLAGS(SEND_FLAGS, { "reply-to", 0, "ID", NULL, false, "the message this answers" }),
      .examples = LIST("sealpost send reviewer \"please look at src/queue.c\"",
                       "git diff | sealpost send reviewer - --type text/x-diff",
                       "sealpost send reviewer hi --wait delivered -t 10m"),
      .exits = EXITS(0, 1, 2, 3, 4, 5, 6, 7),
      .emits = LIST("outgoing"),
      .see_also = "reply, trace, outbox",
      .impact = CLI_RW,
      .blocks = true,
      .run = cmd_send },
    { .name = "reply",
      .stage = "S1",
      .group = "mail",
      .summary = "answer a message where it came from",
      .args = ARGS({ "ID", true, false }, { "BODY", false, false }),
      .flags = FLAGS(SEND_FLAGS),
      .examples = LIST("sealpost reply a5c7 \"done, two remarks\""),
      .exits = EXITS(0, 1, 2, 3, 4, 5, 6, 7),
      .emits = LIST("outgoing"),
      .see_also = "send, recv",
      .impact = CLI_RW,
      .blocks = true,
      .run = cmd_reply },
    { .name = "recv",
      .stage = "S1",
      .group = "mail",
      .summary = "take new messages, oldest first",
      .flags = FLAGS({ "wait", 'w', NULL, NULL, false, "if there is none, sleep until there is" },
                     { "follow", 'f', NULL, NULL, false, "stay and print as it comes" },
                     { "count", 'n', "N", NULL, false, "at most N messages" },
                     { "from", 0, "TO", NULL, true, "only from this agent" },
                     { "no-ack", 0, NULL, NULL, false, "print them and leave them unread" },
                     { "raw", 0, NULL, NULL, false, "the body's bytes only; with -n 1" }),
      .examples = LIST("sealpost recv", "sealpost recv --wait --json -t 10m",
                       "sealpost recv --follow --from builder"),
      .exits = EXITS(0, 1, 2, 3, 4, 5, 6, 7),
      .emits = LIST("message"),
      .see_also = "inbox, reply, ack",
      .impact = CLI_RW,
      .blocks = true,
      .run = cmd_recv },
    { .name = "inbox",
      .stage = "S1",
      .group = "mail",
      .summary = "list unread messages without taking them",
      .flags = FLAGS({ "count", 'n', "N", NULL, false, "the newest N; 100 with --all" },
                     { "all", 0, NULL, NULL, false, "done ones, too" },
                     { "from", 0, "TO", NULL, true, "only from this agent" }),
      .examples = LIST("sealpost inbox", "sealpost inbox --all -n 20"),
      .exits = EXITS(0, 1, 2, 4, 6),
      .emits = LIST("header"),
      .see_also = "recv, show",
      .impact = CLI_RO,
      .run = cmd_inbox },
    { .name = "show",
      .stage = "S1",
      .group = "mail",
      .summary = "one message in full, without marking it",
      .args = ARGS({ "ID", true, false }),
      .flags = FLAGS({ "raw", 0, NULL, NULL, false, "the body's bytes only" },
                     { "thread", 0, NULL, NULL, false, "all messages of its thread" }),
      .examples = LIST("sealpost show a5c7", "sealpost show a5c7 --thread --json"),
      .exits = EXITS(0, 1, 2, 4, 6),
      .emits = LIST("message", "outgoing"),
      .see_also = "inbox, trace",
      .impact = CLI_RO,
      .run = cmd_show },
    { .name = "ack",
      .stage = "S1",
      .group = "mail",
      .summary = "mark messages done, or new again",
      .args = ARGS({ "ID", true, true }),
      .flags = FLAGS({ "new", 0, NULL, NULL, false, "unread again" }),
      .examples = LIST("sealpost ack a5c7 b459", "sealpost ack --new a5c7"),
      .exits = EXITS(0, 1, 2, 4, 6),
      .emits = LIST("acked"),
      .see_also = "recv, inbox",
      .impact = CLI_RW,
      .run = cmd_ack },
    { .name = "trace",
      .stage = "S1",
      .group = "mail",
      .summary = "where a message is and who says so",
      .args = ARGS({ "ID", true, false }),
      .examples = LIST("sealpost trace a5c7"),
      .exits = EXITS(0, 1, 2, 4, 6),
      .emits = LIST("trace"),
      .see_also = "outbox, show",
      .impact = CLI_RO,
      .run = cmd_trace },
    { .name = "outbox",
      .stage = "S1",
      .group = "mail",
      .summary = "messages that are on their way",
      .flags = FLAGS({ "flush", 0, NULL, NULL, false, "connect and wait until all are stored" }),
      .examples = LIST("sealpost outbox", "sealpost outbox --flush -t 2m"),
      .exits = EXITS(0, 1, 2, 3, 4, 5, 6, 7),
      .emits = LIST("outgoing"),
      .see_also = "send, trace",
      .impact = CLI_RO,
      .run = cmd_outbox },
    { .name = "peers",
      .stage = "S1",
      .group = "others",
      .summary = "the directory, with what this agent knows",
      .args = ARGS({ "PEER|GLOB", false, false }),
      .flags = FLAGS({ "pinned", 0, NULL, NULL, false, "only those whose key is pinned" }),
      .examples = LIST("sealpost peers", "sealpost peers reviewer", "sealpost peers 'test*'"),
      .exits = EXITS(0, 1, 2, 3, 4, 6),
      .emits = LIST("peer"),
      .see_also = "whoami, send",
      .impact = CLI_RO,
      .run = cmd_peers },
    { .name = "status",
      .stage = "S1",
      .group = "health",
      .summary = "connection, mail, trust and problems",
      .examples = LIST("sealpost status", "sealpost status --json"),
      .exits = EXITS(0, 1, 2, 4, 6, 7),
      .emits = LIST("status"),
      .see_also = "whoami, outbox",
      .impact = CLI_RO,
      .run = cmd_status },
    { .name = "__complete",
      .stage = "S1",
      .summary = "words for the shell",
      .args = ARGS({ "WORD", false, true }),
      .impact = CLI_RO,
      .run = cmd_complete },
    { 0 },
};

const struct cli_program sealpost_program = {
    .name = "sealpost",
    .summary = "sealed mail between agents that are never sure to be online together",
    .flags = program_flags,
    .verbs = verbs,
    .wrong_use = 2,
    .libraries = version_libraries,
};
