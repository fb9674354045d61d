/*
 * vectors FILE - plays known answers of the protocol (format sealpost-vectors/1).
 *
 * A line for each section; the first wrong byte or outcome is named on stderr and ends it with 1.
 */
#include <sodium.h>
#include <stdio.h>

#include "tests/vectors/check.h"
#include "tests/vectors/parts.h"

static const struct {
    const char *section;
    void (*play)(json_t *root);
    const char *later; /* what is not played, and why */
} parts[] = {
    { "labels", part_labels, NULL },
    { "msgpack", part_msgpack, NULL },
    { "padding", part_padding, NULL },
    { "agents", part_agents, NULL },
    { "controller", part_controller, NULL },
    { "log", part_log, NULL },
    { "certificates", part_certificates, NULL },
    { "credentials", part_credentials, NULL },
    { "prekeys", part_prekeys, NULL },
    { "invites", part_invites, NULL },
    { "enrolments", part_enrolments, NULL },
    { "requests", part_requests, NULL },
    { "sessions", part_sessions, "ML-KEM not implemented yet: its secret is taken from the file" },
    { "events", part_events, NULL },
    { "group", part_group, NULL },
    { "receipts", part_receipts, NULL },
    { "notices", part_notices, NULL },
    { "envelopes", part_envelopes, NULL },
    { "sizes", part_sizes, NULL },
};

static void play(json_t *root)
{
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (!json_object_get(root, parts[i].section)) {
            printf("%-13s absent\n", parts[i].section);
            continue;
        }
        check_name("%s", parts[i].section);
        parts[i].play(root);
        printf("%-13s ok  %5u comparisons", parts[i].section, check_count());
        printf("%s%s\n", parts[i].later ? "  " : "", parts[i].later ? parts[i].later : "");
    }
}

int main(int argc, char **argv)
{
    json_t *root;

    if (argc != 2) {
        fputs("usage: vectors FILE\n", stderr);
        return 2;
    }
    if (sodium_init() < 0) {
        fputs("vectors: libsodium does not start\n", stderr);
        return 2;
    }
    root = check_open(argv[1]);
    same_text("format", get_text(root, "format"), "sealpost-vectors/1");
    same_text("protocol", get_text(root, "protocol"), "a2a/1");
    check_count();
    play(root);
    check_close(root);
    return 0;
}
