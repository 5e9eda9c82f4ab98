/*
 * lease: holds the writer lease of a type database and renews it, on a thread of its own, three times in its
 * life.
 *
 * The lease is lost when somebody else has taken it, or when it could not be renewed until shortly (a tenth
 * of its life) before its end.  on_lost is then called once, on the lease thread, without any lock; it must
 * not call lease_stop(). Whether a late commit gets through does not depend on this: the fencing token
 * decides.
 *
 * Threads: lease_fence() and lease_is_held() from any thread; start and stop by the owner.
 */
#ifndef TWS_STORE_LEASE_H
#define TWS_STORE_LEASE_H

#include "tws/store/store.h"

enum { LEASE_TTL_MS = 15000 };

struct lease;

struct lease_options {
    int64_t ttl_ms; /* 0: LEASE_TTL_MS */
    void (*on_lost)(void *ctx, const struct err *why);
    void *ctx;
};

/*
 * Takes the lease for a node.  -ERR_BUSY: somebody else has it, *ret_holder tells who.  The store is borrowed
 * until lease_stop().
 */
int lease_start(struct store *store, const char *node_id, const struct lease_options *options,
                struct lease **ret_lease, struct lease_holder *ret_holder, struct err *err) MUST_USE;
/* Gives the lease up, so that the next one need not wait. */
void lease_stop(struct lease *lease);

/* The token for store_commit(); the same all the time. */
int64_t lease_fence(const struct lease *lease);
/* False once it is lost, or past its end because a renewal hangs. */
bool lease_is_held(const struct lease *lease);

DEFINE_AUTO(struct lease, lease_stop);

#endif
