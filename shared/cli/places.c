#include "shared/cli/places.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *place_join(const char *dir, const char *name)
{
    char *path = NULL;
    const char *gap = *dir && dir[strlen(dir) - 1] == '/' ? "" : "/";

    return asprintf(&path, "%s%s%s", dir, gap, name) < 0 ? NULL : path;
}

static const char *set_variable(const char *name)
{
    const char *value = getenv(name);

    return value && *value ? value : NULL;
}

char *place_home(void)
{
    const char *at = set_variable("SEALPOST_HOME");
    const struct passwd *me;

    if (at)
        return strdup(at);
    if ((at = set_variable("XDG_DATA_HOME")))
        return place_join(at, "sealpost");
    if ((at = set_variable("HOME")))
        return place_join(at, ".local/share/sealpost");
    me = getpwuid(geteuid());
    return me && me->pw_dir ? place_join(me->pw_dir, ".local/share/sealpost") : NULL;
}

/* A broker of this account has a directory below HOME; else it is the system's. */
static char *of_user_or_system(const char *variable, const char *name, const char *system)
{
    const char *at = set_variable(variable);
    char *home, *dir, *path = NULL;

    if (at)
        return strdup(at);
    home = place_home();
    dir = home ? place_join(home, "broker") : NULL;
    if (dir && access(dir, F_OK) == 0)
        path = place_join(dir, name);
    free(home);
    free(dir);
    return path ? path : strdup(system);
}

char *place_broker_config(void)
{
    return of_user_or_system("SEALPOST_CONFIG", "sealpostd.conf",
                             SEALPOST_SYSCONFDIR "/sealpost/sealpostd.conf");
}

char *place_control_socket(void)
{
    return of_user_or_system("SEALPOST_CONTROL", "control.sock",
                             SEALPOST_RUNSTATEDIR "/sealpost/control.sock");
}
