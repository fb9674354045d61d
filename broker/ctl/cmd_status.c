#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "broker/ctl/ctl.h"
#include "shared/base/clock.h"
#include "shared/cli/places.h"

#define TRY_EVERY_MS 20

static unsigned long long count_of(const json_t *status, const char *key)
{
    return (unsigned long long)number_of(status, key);
}

static void status_text(struct cli *cli, const json_t *status)
{
    const json_t *problems = json_object_get(status, "problems"), *problem;
    size_t i;

    out_print(cli, "%s  root %s  %s, up %s\n", text_of(status, "name", "-"),
              text_of(status, "root", "-"), text_of(status, "state", "-"),
              age_of(status, "uptime_ms"));
    out_print(cli, "listens  %s   invites name %s\n", words_of(status, "endpoints"),
              text_of(status, "public", "nothing"));
    out_print(cli, "agents   %llu, %llu online   %llu pending   %llu open invites\n",
              count_of(status, "agents"), count_of(status, "online"), count_of(status, "pending"),
              count_of(status, "invites"));
    out_print(cli, "waiting  %llu frames, %s, oldest %s\n", count_of(status, "frames"),
              size_of(status, "bytes"), age_of(status, "oldest_ms"));
    out_print(cli, "so far   %llu accepted   %llu delivered   %llu expired   %llu refused\n",
              count_of(status, "accepted_total"), count_of(status, "delivered_total"),
              count_of(status, "expired_total"), count_of(status, "refused_total"));
    out_print(cli, "store    %s   log %s   disk free %s   commit p99 %llu us\n",
              size_of(status, "db_bytes"), size_of(status, "wal_bytes"),
              size_of(status, "disk_free_bytes"), count_of(status, "commit_p99_us"));
    json_array_foreach(problems, i, problem)
    {
        out_print(cli, "problem  %s: %s\n", text_of(problem, "code", "-"),
                  text_of(problem, "message", "-"));
    }
}

/* Until somebody listens, or the time is up: then the exit code. */
static int open_in_time(struct cli *cli, uint64_t wait_ms, struct control **control)
{
    uint64_t until_ms = clock_elapsed_ms() + wait_ms;
    const struct timespec pause = { 0, TRY_EVERY_MS * 1000000 };

    while (clock_elapsed_ms() < until_ms) {
        char *path
            = cli_has(cli, "socket") ? strdup(cli_flag(cli, "socket")) : place_control_socket();
        enum err e = control_open(control, path);

        free(path);
        if (e != ERR_NOT_FOUND && e != ERR_IO)
            break;
        nanosleep(&pause, NULL);
    }
    return *control ? 0 : ask_open(cli, control);
}

int cmd_status(struct cli *cli)
{
    struct control *control = NULL;
    json_t *rows = NULL;
    uint64_t wait_ms;
    int code;

    if (cli_duration(cli, "wait", 0, &wait_ms) != ERR_OK)
        return cli_wrong_use(cli);
    code = open_in_time(cli, wait_ms, &control);
    if (code == 0)
        code = ask_with(cli, control, ask_begin(cli), false, &rows);
    if (code == 0 && !cli_json(cli) && json_array_size(rows))
        status_text(cli, json_array_get(rows, 0));
    json_decref(rows);
    control_close(&control);
    return code;
}
