#include "agent/api/version.h"

#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <zmq.h>

json_t *version_libraries(void)
{
    int major, minor, patch;
    char zmq[48];

    zmq_version(&major, &minor, &patch);
    snprintf(zmq, sizeof zmq, "%d.%d.%d", major, minor, patch);
    return json_pack("{s:s, s:s, s:s, s:s}", "libzmq", zmq, "libsodium", sodium_version_string(),
                     "sqlite", sqlite3_libversion(), "jansson", jansson_version_str());
}
