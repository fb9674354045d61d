/*
 * notify - tells systemd: READY=1, STATUS=…, WATCHDOG=1, STOPPING=1.  Nothing where NOTIFY_SOCKET
 * is not set.
 */
#ifndef BROKER_NOTIFY_H
#define BROKER_NOTIFY_H
#include <stdint.h>

void notify_systemd(const char *state);

/* How often systemd wants to hear WATCHDOG=1, in ms; 0: it does not. */
uint64_t notify_watchdog_ms(void);

#endif
