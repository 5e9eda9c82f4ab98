/*
 * target: the delegation target: who it is, whether it may be used, and a thread that finds out.
 *
 * Checks run at start, every delegation-check-interval, when an answer came from an address not seen before,
 * when a call shows that something changed, and before more than a number of equal calls go on
 * (target_gate).  A check asks TypeService.describe on a new connection of its own HTTP client, so that a
 * full pool of connections cannot keep it from seeing a loop; a target that does not know that method is
 * probed with a type name that nobody else knows: if it comes back here, there is a loop.
 *
 * All functions may be called from any thread and, but for new, stop and free, never block.
 */
#ifndef DWS_TARGET_H
#define DWS_TARGET_H

#include "dws/identity.h"
#include "shared/base/config.h"
#include "shared/base/err.h"
#include "shared/base/sbuf.h"

struct target;

enum target_state {
    TARGET_CHECKING, /* no check has ended well yet: nothing is forwarded */
    TARGET_OK,
    TARGET_DOWN,    /* not reached lately: calls are tried all the same */
    TARGET_REFUSED, /* must not be used: nothing is forwarded */
};

/* failed(ctx): the target cannot be used from the start, see target_failed(). On the target's thread. */
typedef void target_failed_fn(void *ctx);
/* rc 0: may go on; else the reason (the callee may take err). On the target's thread: must not block. */
typedef void target_gate_fn(void *ctx, int rc, struct err *err);

/*
 * A check found this cluster ("" if the target has none), and nobody knows of it yet: neither target_ready()
 * nor any other function here tells of it before this returns.  On the target's thread, no lock held.
 */
typedef void target_found_fn(void *ctx, const char *cluster);

enum { TARGET_LATER = 1 };

struct target *target_new(const struct config *config, const char *node, struct err *err) MUST_USE;
/*
 * Before target_start(): this process is of use without the target (it has types from a snapshot), so it may
 * start, not ready, as soon as the target was found to be down.
 */
void target_may_be_down(struct target *target);
/* Before target_start(). */
void target_on_found(struct target *target, target_found_fn *found, void *ctx);
/* Begins to check. */
void target_start(struct target *target, target_failed_fn *failed, void *ctx);
/* Ends the checks; whoever waits at target_gate() is called. */
void target_stop(struct target *target);
void target_free(struct target *target);

/* Where calls go: without name and password, which would take the place of the caller's token. */
const char *target_url(const struct target *target);
/* True and the text for people if the process must end because of the target. */
bool target_failed(struct target *target, struct err *err);
/* True once the target was accepted, or is being waited for with start-degraded. */
bool target_settled(struct target *target);

/*
 * Asked before anything is sent to the target.  0: go on; -ERR_LOOP, -ERR_TARGET: not now, and why;
 * -ERR_BUSY: too many wait; TARGET_LATER: done() will be called once with such an outcome, when a check has
 * ended or at deadline_us at the latest.  Until the first check has ended all wait for that; afterwards only
 * who wants a fresh one, because the call might run in a circle.
 */
int target_gate(struct target *target, bool fresh, uint64_t deadline_us, target_gate_fn *done, void *ctx,
                struct err *err) MUST_USE;
/* True if it is the name of our own probe, which thereby has come back. */
bool target_is_probe(struct target *target, struct slice type_name);
/* A call that had passed this node came back: look at once. */
void target_saw_loop(struct target *target);
/* What a forwarded call met: the address ("" if none), and whether there was an answer. */
void target_note(struct target *target, const char *address, bool answered);

/* The cluster of the type database, all zeros while it is not known. */
void target_cluster(struct target *target, char ret_cluster[HOPS_ID_LEN + 1]);
/* `"cluster":...,"read_only":...,"target":...,"hops":...,"chain":[...],"chain_complete":...` */
void target_put_description(struct target *target, struct sbuf *json);
/* As service_mode's ready and dependencies. */
bool target_ready(struct target *target, struct sbuf *reasons);
bool target_put_dependency(struct target *target, struct sbuf *json);
/* Members for /status, without a comma in front. */
void target_put_status(struct target *target, struct sbuf *json);

DEFINE_AUTO(struct target, target_free);

#endif
