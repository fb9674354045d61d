#include "shared/base/crash.h"

#ifdef SEALPOST_TESTING
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

void crash_point(const char *name)
{
    static atomic_long passes;
    const char *at = getenv("SEALPOST_CRASH_AT");
    size_t len = strlen(name);

    if (!at || strncmp(at, name, len) != 0 || at[len] != ':')
        return;
    if (atomic_fetch_add(&passes, 1) + 1 == strtol(at + len + 1, NULL, 10))
        raise(SIGKILL);
}
#else
typedef int crash_points_are_for_test_builds;
#endif
