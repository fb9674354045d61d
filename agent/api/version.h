/*
 * version - what this program was made of.
 */
#ifndef API_VERSION_H
#define API_VERSION_H
#include <jansson.h>

/* {"libsodium":"1.0.18", …} of the libraries that run; a new reference. */
json_t *version_libraries(void);

#endif
