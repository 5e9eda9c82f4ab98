/*
 * loader: asks the delegation target about a type, without a token, by the get_type_info that every workspace
 * has.
 *
 * loader_load() never blocks; done() is called exactly once, on a worker, or, if none is free, on the HTTP
 * client's or the target's thread with an error.  Until the target was looked at for the first time, loads
 * wait for that like forwarded calls; type-load-timeout includes it.  The question carries the delegation
 * mark like every forwarded call.  Any thread.
 */
#ifndef DWS_LOADER_H
#define DWS_LOADER_H

#include <stdatomic.h>

#include "dws/target.h"
#include "shared/base/typename.h"
#include "shared/net/client.h"
#include "shared/rpc/service.h"

struct loader {
    const struct config *config;
    struct http_client *client;
    struct target *target;
    const char *node;
    struct service *service; /* whose workers read the answers; NULL: done() runs on the client's thread */
};

/* What was asked for, checked to be an answer to that; valid during the call. */
struct loaded {
    struct type_id id;   /* absolute */
    struct slice schema; /* JSON schema */
    bool released;       /* it is among the type's released versions */
};

/*
 * rc 0, or: -ERR_NO_MODULE, -ERR_NO_TYPE with the target's text, if it says so definitely; -ERR_TARGET,
 * -ERR_BUSY, -ERR_LOOP and others if the target could not be asked or has trouble of its own: that says
 * nothing of the type.
 */
typedef void loader_done_fn(void *ctx, int rc, const struct loaded *loaded, struct err *err);

/* ref: normalised type name. */
void loader_load(struct loader *loader, struct slice ref, loader_done_fn *done, void *ctx);

/* Reads an answer; for tests. The slices of *ret point into the arena or the body. */
int loader_read_answer(struct slice body, const struct type_id *asked, struct arena *arena,
                       struct loaded *ret, struct err *err) MUST_USE;

/* What a client is told of an error that is not the type's own; code and text change. */
#define LOADER_FAILED "Failed retrieving type info from remote type database: "

#endif
