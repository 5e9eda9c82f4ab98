/*
 * dispatch: the way of an HTTP request through the service: verb, page or call, envelope, method, token,
 * parameters, role, run. The order of these checks shows in the answers and is upstream's.
 *
 * Threads: a call begins on an event thread, or on a worker if its body is large.  After a wait for the auth
 * service, for methods that write and for methods that would have to wait it goes on on a worker.
 */
#ifndef SHARED_RPC_DISPATCH_H
#define SHARED_RPC_DISPATCH_H

#include "shared/net/server.h"

/* The http_handler_fn of a service; ctx is the struct service. */
void dispatch_request(void *ctx, struct http_request *request);

#endif
