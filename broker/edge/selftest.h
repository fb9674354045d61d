/*
 * selftest - does the gate keep strangers out, and let the right ones in under the right name?
 *
 * CURVE fails open when its options do not take, so the broker asks itself through its own address
 * before it calls itself ready.
 */
#ifndef EDGE_SELFTEST_H
#define EDGE_SELFTEST_H
#include "broker/edge/listener.h"

/* Serves the gate and the listener meanwhile.  ERR_AUTH: it failed. */
enum err selftest_run(struct listener *listener, const char *endpoint,
                      const uint8_t server_key[static CURVE_KEY_LEN]);

#endif
