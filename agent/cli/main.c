/* sealpost - the agent's program: prepare the process, then the table decides. */
#include <jansson.h>
#include <malloc.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>

#include "agent/cli/verbs.h"
#include "shared/base/files.h"
#include "shared/base/log.h"
#include "shared/net/socket.h"

#define OTHERS 0077

/* Bodies and invites pass through JSON values: what jansson frees is wiped first. */
static void wipe_and_free(void *memory)
{
    if (memory)
        sodium_memzero(memory, malloc_usable_size(memory));
    free(memory);
}

int main(int argc, char **argv)
{
    int exit;

    process_harden(OTHERS);
    if (sodium_init() < 0)
        return 1;
    json_set_alloc_funcs(malloc, wipe_and_free);
    log_silence(); /* stderr is for people; -v lets the log speak */
    net_start();
    exit = cli_main(&sealpost_program, argc, argv, NULL);
    net_end();
    return exit;
}
