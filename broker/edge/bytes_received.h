/*
 * bytes_received - what TCP has received on a socket so far; -1: cannot be told.
 */
#ifndef EDGE_BYTES_RECEIVED_H
#define EDGE_BYTES_RECEIVED_H
#include <stdint.h>

int64_t bytes_received(int fd);

#endif
