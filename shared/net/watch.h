/*
 * watch: which sockets a thread waits for (epoll), cheap for sockets that are waited for over and over.
 *
 * The kernel is told at once what is wanted in addition, but of sockets announced with watch_opened() it is
 * told what is wanted no longer only when an unwanted event comes: a kept connection costs no system call
 * between two requests.  So whoever closes such a socket must say it with watch_closed(), before.
 *
 * One thread owns a watch; watch_wake() may come from any.  Sockets stay their owner's.  If the kernel cannot
 * watch one for want of memory, the process ends.
 */
#ifndef SHARED_NET_WATCH_H
#define SHARED_NET_WATCH_H

#include "shared/base/base.h"

struct watch;

enum { WATCH_IN = 1, WATCH_OUT = 2 };

struct watch_event {
    int fd;
    unsigned ready; /* of what is wanted; all of it when the connection has failed */
};

/* NULL when there are no file descriptors left. */
struct watch *watch_new(void) MUST_USE;
void watch_free(struct watch *watch);
void watch_opened(struct watch *watch, int fd);
void watch_closed(struct watch *watch, int fd);
/* wanted: WATCH_ bits, 0 for nothing any more. */
void watch_want(struct watch *watch, int fd, unsigned wanted);
/* Until something wanted happens, watch_wake() was called or `ms` are over, or earlier. Returns how many
 * events. */
size_t watch_wait(struct watch *watch, int ms, struct watch_event *ret_events, size_t max);
void watch_wake(struct watch *watch);

#endif
