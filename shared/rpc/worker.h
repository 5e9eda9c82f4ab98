/*
 * worker: a fixed pool of threads with one bounded queue, first come first served.
 *
 * For work that may wait (database, other changes of a module) or takes long (large requests), which event
 * threads and the HTTP client's thread must not do.  workers_run() may be called from any thread, also from a
 * job.
 */
#ifndef SHARED_RPC_WORKER_H
#define SHARED_RPC_WORKER_H

#include "shared/base/err.h"

struct workers;

typedef void worker_fn(void *ctx);

struct workers *workers_new(unsigned threads, size_t max_waiting, struct err *err) MUST_USE;
/* -ERR_BUSY if max_waiting jobs wait already, or the pool is ending; fn is then not called. */
int workers_run(struct workers *workers, worker_fn *fn, void *ctx, struct err *err) MUST_USE;
size_t workers_waiting(struct workers *workers);
/* Does what waits, then ends the threads. Not from a job. */
void workers_free(struct workers *workers);

DEFINE_AUTO(struct workers, workers_free);

#endif
