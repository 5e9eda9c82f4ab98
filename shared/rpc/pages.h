/*
 * pages: the few paths that answer to GET, for probes and people: /live, /ready, /status.  Event threads;
 * nothing here waits.
 */
#ifndef SHARED_RPC_PAGES_H
#define SHARED_RPC_PAGES_H

#include "shared/rpc/service.h"

/* True if the path is one of them; then the request was answered. */
bool pages_answer(struct service *service, struct http_request *request);

#endif
