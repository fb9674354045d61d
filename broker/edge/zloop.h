/*
 * zloop - CZMQ's event loop, without the names of syslog that its header drags in: they are those
 * of our log levels.
 */
#ifndef EDGE_ZLOOP_H
#define EDGE_ZLOOP_H
#include <czmq.h>
#undef LOG_INFO
#undef LOG_DEBUG

#endif
