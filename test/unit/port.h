/*
 * port.h: loopback ports for servers that must know theirs before they start, or get it back after a restart.
 * Tests only.
 *
 * From below the range that the kernel hands out by itself, and held as long as this process lives: the UDP
 * port of the same number is the mark, as in test/tools/ports.py, so that tests beside this one take others.
 */
#ifndef TEST_UNIT_PORT_H
#define TEST_UNIT_PORT_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "test/unit/t.h"

enum { PORT_FIRST = 12000, PORT_COUNT = 20000, PORT_TRIES = 1000 };

/* A socket bound to the port, or -1. */
static inline int port_bind(int type, int port)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0)
        return fd;
    close(fd);
    return -1;
}

static inline int free_port(void)
{
    for (int i = 0; i < PORT_TRIES; i++) {
        unsigned random;
        assert_int_equal(getrandom(&random, sizeof(random), 0), sizeof(random));
        int port = PORT_FIRST + (int)(random % PORT_COUNT), mark = port_bind(SOCK_DGRAM, port);
        int fd = mark < 0 ? -1 : port_bind(SOCK_STREAM, port);
        if (fd >= 0) {
            close(fd);
            return port; /* the mark stays open until the process ends */
        }
        if (mark >= 0)
            close(mark);
    }
    fail_msg("no free port");
    return -1;
}

#endif
