/* A file of its own: glibc's struct tcp_info lacks the field, and the headers do not mix. */
#include "broker/edge/bytes_received.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

int64_t bytes_received(int fd)
{
    struct tcp_info info = { 0 };
    socklen_t len = sizeof info;

    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
        return -1;
    return (int64_t)info.tcpi_bytes_received;
}
