#include "shared/net/watch.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { FIRST_SOCKETS = 64, MOST_EVENTS = 64 };

struct watched {
    unsigned char wanted, armed; /* by the owner; in the kernel */
    bool told;                   /* between watch_opened() and watch_closed() */
};

struct watch {
    int epoll, wake;
    struct watched *sockets; /* by file descriptor */
    size_t socket_count;
};

struct watch *watch_new(void)
{
    struct watch *watch = xcalloc(1, sizeof(*watch));
    struct epoll_event event = { .events = EPOLLIN | EPOLLET };

    watch->epoll = epoll_create1(EPOLL_CLOEXEC);
    watch->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    event.data.fd = watch->wake;
    if (watch->epoll < 0 || watch->wake < 0 || epoll_ctl(watch->epoll, EPOLL_CTL_ADD, watch->wake, &event)) {
        watch_free(watch);
        return NULL;
    }
    return watch;
}

void watch_free(struct watch *watch)
{
    if (!watch)
        return;
    if (watch->epoll >= 0)
        close(watch->epoll);
    if (watch->wake >= 0)
        close(watch->wake);
    free(watch->sockets);
    free(watch);
}

static struct watched *find(struct watch *watch, int fd)
{
    size_t old = watch->socket_count, count = old ? old : FIRST_SOCKETS;

    if ((size_t)fd < old)
        return &watch->sockets[fd];
    while (count <= (size_t)fd)
        count *= 2;
    watch->sockets = xrealloc(watch->sockets, count * sizeof(struct watched));
    memset(watch->sockets + old, 0, (count - old) * sizeof(struct watched));
    watch->socket_count = count;
    return &watch->sockets[fd];
}

void watch_opened(struct watch *watch, int fd)
{
    *find(watch, fd) = (struct watched){ .told = true };
}

void watch_closed(struct watch *watch, int fd)
{
    *find(watch, fd) = (struct watched){ .told = false };
}

/* The kernel forgets sockets that are closed, so it may know fewer than `armed` says, and a new one by an old
 * number. */
static void arm(struct watch *watch, int fd, struct watched *socket)
{
    struct epoll_event event = { .data.fd = fd };
    int op = !socket->wanted ? EPOLL_CTL_DEL : socket->armed ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

    if (socket->wanted & WATCH_IN)
        event.events |= EPOLLIN;
    if (socket->wanted & WATCH_OUT)
        event.events |= EPOLLOUT;
    socket->armed = socket->wanted;
    if (epoll_ctl(watch->epoll, op, fd, &event) == 0 || op == EPOLL_CTL_DEL)
        return;
    op = errno == EEXIST ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    if (epoll_ctl(watch->epoll, op, fd, &event))
        abort();
}

void watch_want(struct watch *watch, int fd, unsigned wanted)
{
    struct watched *socket = find(watch, fd);

    socket->wanted = (unsigned char)wanted;
    if (socket->told ? (wanted & ~socket->armed) != 0 : wanted != socket->armed)
        arm(watch, fd, socket);
}

/* What of an event is wanted. What is not would come again and again, so it is taken back now. */
static unsigned wanted_of(struct watch *watch, int fd, uint32_t events)
{
    struct watched *socket = find(watch, fd);
    unsigned ready = 0;

    if (events & EPOLLIN)
        ready |= WATCH_IN;
    if (events & EPOLLOUT)
        ready |= WATCH_OUT;
    if (events & (EPOLLERR | EPOLLHUP))
        ready |= WATCH_IN | WATCH_OUT;
    if (socket->wanted != socket->armed)
        arm(watch, fd, socket);
    return ready & socket->wanted;
}

size_t watch_wait(struct watch *watch, int ms, struct watch_event *ret_events, size_t max)
{
    struct epoll_event events[MOST_EVENTS];
    int n = epoll_wait(watch->epoll, events, (int)(max < MOST_EVENTS ? max : MOST_EVENTS), ms);
    size_t count = 0;

    for (int i = 0; i < n; i++) {
        int fd = events[i].data.fd;
        unsigned ready = fd == watch->wake ? 0 : wanted_of(watch, fd, events[i].events);
        if (ready)
            ret_events[count++] = (struct watch_event){ fd, ready };
    }
    return count;
}

void watch_wake(struct watch *watch)
{
    eventfd_write(watch->wake, 1);
}
