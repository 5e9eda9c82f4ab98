/*
 * forward: passes a call on to the delegation target and its answer back, bytes unchanged.
 *
 * The body goes through as it came but for the delegation mark, which is put before the closing brace of the
 * top-level object, in the body's own encoding; what was behind the object is dropped.  Nothing is copied.
 * Any thread.
 */
#ifndef DWS_FORWARD_H
#define DWS_FORWARD_H

#include <stdatomic.h>

#include "dws/target.h"
#include "shared/net/client.h"
#include "shared/rpc/call.h"

enum {
    FORWARD_SLOTS = 4096,
    FORWARD_MAX_EQUAL = 64, /* so many equal calls may be in flight before the target is checked for a loop */
};

struct forwarder {
    const struct config *config;
    struct http_client *client;
    struct target *target;
    const char *node;
    _Atomic uint64_t answered, failed, retried;
    _Atomic size_t in_flight;
    _Atomic unsigned equal[FORWARD_SLOTS]; /* calls in flight by a hash of what they ask */
};

/*
 * -ERR_LOOP for a call that was forwarded to here by a chain of nodes that is too long or has this node in
 * it, or that is our own probe.  To be asked before anything else about the call is looked at.
 */
int forward_admit(struct forwarder *forwarder, const struct call *call, struct err *err) MUST_USE;

/*
 * CALL_LATER: the call will be finished; or -ERR_x.  write: the call may change something, so it is never
 * sent twice.
 */
int forward_call(struct forwarder *forwarder, struct call *call, bool write, struct err *err) MUST_USE;

/* Members for /status, without a comma in front. */
void forward_put_status(struct forwarder *forwarder, struct sbuf *json);

#endif
